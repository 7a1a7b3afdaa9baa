"""Where work runs: supervised processes on this machine, and threads inside them."""

from slidescore.execute.allocator import give_back_freed_memory, keep_freed_memory, return_freed_memory
from slidescore.execute.crew import in_order
from slidescore.execute.local import Limits, TaskTimeoutError, Workers, available_cores, run_tasks
from slidescore.execute.worker import UnforeseenError, WorkerCrashError, cores_now

__all__ = [
    "Limits",
    "TaskTimeoutError",
    "UnforeseenError",
    "WorkerCrashError",
    "Workers",
    "available_cores",
    "cores_now",
    "give_back_freed_memory",
    "in_order",
    "keep_freed_memory",
    "return_freed_memory",
    "run_tasks",
]
