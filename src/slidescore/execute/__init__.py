"""Where work runs: supervised processes on this machine."""

from slidescore.execute.local import Limits, TaskTimeoutError, Workers, available_cores, run_tasks
from slidescore.execute.worker import UnforeseenError, WorkerCrashError

__all__ = [
    "Limits",
    "TaskTimeoutError",
    "UnforeseenError",
    "WorkerCrashError",
    "Workers",
    "available_cores",
    "run_tasks",
]
