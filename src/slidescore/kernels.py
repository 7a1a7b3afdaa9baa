"""Compiling the inner loops: with numba, once for all processes where their code can be kept."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numba

_MARK = b"slidescore.kernels import kernel"


def kernel(function: Callable[..., Any]) -> Any:
    """Compile with numba, which then runs without the interpreter's lock; what is compiled is kept on disk.

    Where nothing can be written, neither beside the source nor in the user's cache, numba refuses to keep anything, and
    every process compiles for itself.

    A kernel holds the kernels that it calls, and these may stand in other files. numba looks only at the file of the
    kernel itself before it takes what was kept, so here an edit of any file with kernels makes all of them anew.
    """
    try:
        compiled = numba.njit(cache=True, nogil=True)(function)
    except RuntimeError:
        return numba.njit(nogil=True)(function)
    # numba offers no public way to say what a kernel was made of; tests/test_kernels.py sees whether this one holds.
    kept = compiled._cache._cache_file
    kept._source_stamp = (kept._source_stamp, *kernel_stamps())
    return compiled


@cache
def kernel_stamps() -> tuple[tuple[str, int, int], ...]:
    """Return name, time of change (ns) and size of every source file with kernels."""
    package = Path(__file__).parent
    files = [path for path in sorted(package.rglob("*.py")) if _MARK in path.read_bytes()]
    stats = [(path.relative_to(package).as_posix(), path.stat()) for path in files]
    return tuple((name, stat.st_mtime_ns, stat.st_size) for name, stat in stats)
