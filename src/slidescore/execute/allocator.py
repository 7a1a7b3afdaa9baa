"""What becomes of memory that this process has freed: kept for the next tile, or handed back at once.

A tile needs the same few dozen arrays of 2 to 26 MB as the one before. The C library hands arrays of that size back to
the system as soon as they are freed, which then has to fill every page with zeros again, 50,000 of them a tile: 8 to
12 % of the CPU time of a slide on two cores. Scoring therefore keeps them.

A server's threads load what they keep for minutes and free it from another thread; what was kept of that would add up.
A server therefore hands back every large array. Either is settled before a process makes its threads.
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
LEAST_RETURNED_BYTES = 1 << 20
"""In a server, arrays from this size on have pages of their own: columns of cells, not tiles, which are smaller."""
KEPT_BYTES = 512 << 20
"""So much free memory stays with the process: what two tiles need beside what they hold at any time."""


@dataclass(slots=True)
class _Heap:
    """The C library of a process that keeps its memory; None in all others."""

    libc: Any = None


_HEAP = _Heap()


def keep_freed_memory() -> bool:
    """Set up this process so; before its threads begin. False where the C library does not take it, all or nothing."""
    libc = _glibc()
    if libc is None:
        return False
    if not (libc.mallopt(M_MMAP_THRESHOLD, LARGEST_KEPT_BYTES) and libc.mallopt(M_TRIM_THRESHOLD, KEPT_BYTES)):
        return False
    # One heap for all threads: those of threads are too small for such arrays. They seldom ask at the same time.
    libc.mallopt(M_ARENA_MAX, 1)
    _HEAP.libc = libc
    return True


def return_freed_memory() -> bool:
    """Set up this process to hand large arrays back as soon as they are freed; False where the C library is another."""
    libc = _glibc()
    if libc is None or not libc.mallopt(M_MMAP_THRESHOLD, LEAST_RETURNED_BYTES):
        return False
    # Arrow's own pool keeps what it has freed, too.
    pa.set_memory_pool(pa.system_memory_pool())
    return True


def give_back_freed_memory() -> None:
    """Hand all pages that hold nothing back to the system, in a process that keeps them; any other is left alone.

    What is kept of each tile lies between arrays that come and go, so that after some hundred tiles half of the heap is
    holes that nothing fits into.
    """
    if _HEAP.libc is not None:
        pa.default_memory_pool().release_unused()
        _HEAP.libc.malloc_trim(0)


def _glibc() -> Any | None:
    """Find the C library; None where it is not glibc."""
    if sys.platform != "linux":
        return None
    try:
        libc = ctypes.CDLL(None)
        # glibc alone has the first; other libraries have a mallopt that takes other numbers, or does nothing.
        return libc if libc.gnu_get_libc_version and libc.malloc_trim and libc.mallopt else None
    except (AttributeError, OSError):
        return None
