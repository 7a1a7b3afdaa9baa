"""Where work runs: supervised processes on this machine."""

from slidescore.execute.local import UnforeseenError, WorkerCrashError, available_cores, run_tasks

__all__ = ["UnforeseenError", "WorkerCrashError", "available_cores", "run_tasks"]
