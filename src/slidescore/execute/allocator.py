"""How this process keeps the memory that it has freed: for the next tile, instead of handing it back and asking again.

A tile needs the same few dozen arrays of 2 to 26 MB as the one before. The C library hands arrays of that size back to
the system as soon as they are freed, which then has to fill every page with zeros again, 50,000 of them a tile: 8 to
12 % of the CPU time of a slide on two cores.
"""

from __future__ import annotations

import ctypes
import sys
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_ARENA_MAX = -1, -3, -8
"""glibc, mallopt(3): how much free memory at the end of the heap goes back to the system; from which size on arrays
have pages of their own; in how many heaps threads look for memory."""
LARGEST_KEPT_BYTES = 32 << 20
"""Larger arrays come from the system and go back to it; glibc before 2.35 takes no larger number. A map of the network
is 26 MB for a tile of 1,280 px."""
KEPT_BYTES = 512 << 20
"""So much free memory stays with the process: what two tiles need beside what they hold at any time."""


@dataclass(slots=True)
class _Heap:
    """The C library of a process that keeps its memory; None in all others."""

    libc: Any = None


_HEAP = _Heap()


def keep_freed_memory() -> bool:
    """Set up this process so; before its threads begin. False where the C library does not take it, all or nothing."""
    if sys.platform != "linux":
        return False
    try:
        libc = ctypes.CDLL(None)
        # glibc alone has the first; other libraries have a mallopt that takes other numbers, or does nothing.
        mallopt = libc.gnu_get_libc_version and libc.malloc_trim and libc.mallopt
    except (AttributeError, OSError):
        return False
    if not (mallopt(M_MMAP_THRESHOLD, LARGEST_KEPT_BYTES) and mallopt(M_TRIM_THRESHOLD, KEPT_BYTES)):
        return False
    # One heap for all threads: those of threads are too small for such arrays. They seldom ask at the same time.
    mallopt(M_ARENA_MAX, 1)
    _HEAP.libc = libc
    return True


def give_back_freed_memory() -> None:
    """Hand all pages that hold nothing back to the system, in a process that keeps them; any other is left alone.

    What is kept of each tile lies between arrays that come and go, so that after some hundred tiles half of the heap is
    holes that nothing fits into.
    """
    if _HEAP.libc is not None:
        pa.default_memory_pool().release_unused()
        _HEAP.libc.malloc_trim(0)
