"""The command line with faults planted in it and in its workers, and with every finished tile kept at once.

Run by `interrupted.start`. What is planted is JSON in SLIDESCORE_PLANTED_FAULTS:

- `stall_read`, `stall_look`: name of a slide; `pipe`: a pipe that nobody writes to. Reading pixels of that slide, or
  looking at it, then waits for the pipe as it would for a file system that has stopped answering.
- `disk_full`: after so many files written whole in a `worker` or in the `main` process (`where`), `marker` is made, and
  from then on no process can write.
- `pause_s`: so long a worker rests after each block of tiles that it has kept, so that there is a moment to stop it in,
  however few a watcher is granted.
"""

from __future__ import annotations

import errno
import json
import os
import signal
import time
from functools import partial
from pathlib import Path
from typing import Any

PLANTED = json.loads(os.environ.get("SLIDESCORE_PLANTED_FAULTS", "{}"))


def wait_for_ever() -> None:
    os.open(PLANTED["pipe"], os.O_RDONLY)


def plant_stalls() -> None:
    from slidescore.pipeline import intake
    from slidescore.slide.openslide_reader import OpenSlideReader

    read, look = OpenSlideReader.read_region, intake.fingerprint

    def stalled_read(self: OpenSlideReader, *arguments: Any) -> Any:
        if self._path.name == PLANTED.get("stall_read"):
            wait_for_ever()
        return read(self, *arguments)

    def stalled_look(path: Path) -> str:
        if path.name == PLANTED.get("stall_look"):
            wait_for_ever()
        return look(path)

    OpenSlideReader.read_region = stalled_read
    intake.fingerprint = stalled_look


def plant_full_disk() -> None:
    where, marker = PLANTED["disk_full"]["where"], Path(PLANTED["disk_full"]["marker"])
    here = "main" if __name__ == "__main__" else "worker"
    sync, left = os.fsync, PLANTED["disk_full"]["after"]

    def full_sync(descriptor: int) -> None:
        nonlocal left
        left -= here == where
        if left < 0:
            marker.touch()
        if marker.exists():
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        sync(descriptor)

    os.fsync = full_sync


def plant_pauses() -> None:
    from slidescore.pipeline import journal

    write = journal.write_block

    def write_and_rest(*arguments: Any) -> None:
        write(*arguments)
        time.sleep(PLANTED["pause_s"])

    journal.write_block = write_and_rest


# Workers import this file too.
if "pipe" in PLANTED:
    plant_stalls()
if "disk_full" in PLANTED:
    plant_full_disk()
if "pause_s" in PLANTED:
    plant_pauses()

if __name__ == "__main__":
    # What a shell starts in the background ignores it, and so does all that it starts.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    from slidescore.cli.main import main
    from slidescore.pipeline import cohort

    cohort.RunOptions = partial(cohort.RunOptions, journal_s=0.0)
    main()
