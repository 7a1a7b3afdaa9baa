"""What a disk that cannot be written to says, in one line. Imports nothing heavy."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from slidescore.errors import DiskFullError, RunFolderError

FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
"""No space left on the device, or in the user's share of it."""


def cannot_write(error: OSError, path: Path) -> RunFolderError:
    """Make the error of a file that could not be written; a full disk has a kind of its own, for it ends the run."""
    reason = error.strerror or str(error)
    if error.errno not in FULL:
        return RunFolderError(f"cannot be written: {reason}", where=str(path))
    return DiskFullError(
        f"cannot be written: {reason}{_free_text(path)}",
        where=str(path),
        remedy="make room, then run the same command again: it goes on where it stopped",
    )


def remove_file(path: Path) -> None:
    """Take a file away, if it is there, before anything that it speaks of is changed.

    Raises
    ------
    RunFolderError
        If it cannot be removed.
    """
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise RunFolderError(f"cannot be removed: {error.strerror or error}", where=str(path)) from error


def sync_folder(path: Path) -> None:
    """Have a folder's entries, such as a file renamed into it, survive a loss of power.

    Where a file system cannot do that for folders, nothing more can be done.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_DIRECTORY", 0))
    except OSError:
        return
    try:
        os.fsync(descriptor)
    except OSError as error:
        # A file system that knows no such thing says EINVAL or the like; a full or broken one must be heard.
        if error.errno in FULL or error.errno == errno.EIO:
            raise
    finally:
        os.close(descriptor)


def _free_text(path: Path) -> str:
    """Say how much is free where a file should go."""
    for folder in path.parents:
        try:
            status = os.statvfs(folder)
        except (OSError, AttributeError):
            continue
        return f", {status.f_bavail * status.f_frsize:,} bytes are free"
    return ""
