"""Compiling the inner loops: with numba, once for all processes where their code can be kept."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba


def kernel(function: Callable[..., Any]) -> Any:
    """Compile with numba, which then runs without the interpreter's lock; what is compiled is kept on disk.

    Where nothing can be written, neither beside the source nor in the user's cache, numba refuses to keep anything, and
    every process compiles for itself.
    """
    try:
        return numba.njit(cache=True, nogil=True)(function)
    except RuntimeError:
        return numba.njit(nogil=True)(function)
