"""Kernels compile and run wherever the package lies."""

from __future__ import annotations

import numba

from slidescore.kernels import kernel


def double(value):
    return 2 * value


def test_what_is_compiled_is_kept_and_runs_without_the_lock():
    compiled = kernel(double)
    assert compiled(21) == 42
    assert compiled.targetoptions["nogil"]
    # Contracting or reordering sums would round differently on another processor.
    assert not compiled.targetoptions.get("fastmath")
    assert "Null" not in type(compiled._cache).__name__


def test_a_place_where_nothing_can_be_written_is_no_error(monkeypatch):
    njit, asked = numba.njit, []

    def refuses(*args, **options):
        asked.append(options.get("cache", False))
        if options.get("cache"):
            raise RuntimeError("cannot cache function: no locator available")
        return njit(*args, **options)

    monkeypatch.setattr(numba, "njit", refuses)
    compiled = kernel(double)
    assert asked == [True, False]
    assert compiled.py_func is double
    assert compiled(21) == 42
    assert "Null" in type(compiled._cache).__name__
