"""How this process keeps the memory that it has freed: for the next tile, instead of handing it back and asking again.

A tile needs the same few dozen arrays of 2 to 60 MB as the one before. The C library hands arrays of that size back to
the system as soon as they are freed, which then has to fill every page with zeros again, 50,000 of them a tile: 8 to
12 % of the CPU time of a slide on two cores. Peak memory is the same within 5 %.
"""

from __future__ import annotations

import ctypes
import sys

import pyarrow as pa

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_ARENA_MAX = -1, -3, -8
"""glibc, mallopt(3): how much free memory at the end of the heap goes back to the system; from which size on arrays
have pages of their own; in how many heaps threads look for memory."""
LARGEST_KEPT_BYTES = 64 << 20
"""Larger arrays come from the system and go back to it; a map of the network is 26 MB for a tile of 1,280 px."""
KEPT_BYTES = 512 << 20
"""So much free memory stays with the process: what two tiles need beside what they hold at any time."""


def keep_freed_memory() -> bool:
    """Set up this process so; before its threads begin. False where the C library is not glibc: nothing is changed."""
    if sys.platform != "linux":
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
        # glibc alone has this; other libraries have a mallopt that takes other numbers, or does nothing.
        ctypes.CDLL(None).gnu_get_libc_version  # noqa: B018
    except (AttributeError, OSError):
        return False
    # One heap for all threads: those of threads are too small for such arrays. They seldom ask at the same time.
    wanted = ((M_ARENA_MAX, 1), (M_MMAP_THRESHOLD, LARGEST_KEPT_BYTES), (M_TRIM_THRESHOLD, KEPT_BYTES))
    return all(bool(mallopt(which, value)) for which, value in wanted)


def give_back_freed_memory() -> None:
    """Hand all pages that hold nothing back to the system: those of Arrow's tables, and with glibc all others.

    What is kept of each tile lies between arrays that come and go, so that after some hundred tiles half of the heap is
    holes that nothing fits into.
    """
    pa.default_memory_pool().release_unused()
    if sys.platform == "linux" and hasattr(libc := ctypes.CDLL(None), "malloc_trim"):
        libc.malloc_trim(0)
