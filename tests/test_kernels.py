"""Kernels compile and run wherever the package lies."""

from __future__ import annotations

import numba

from slidescore import kernels
from slidescore.kernels import kernel, kernel_stamps


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


def test_every_file_with_kernels_counts():
    names = {name for name, _, _ in kernel_stamps()}
    assert {"cells/boxes.py", "cells/flooding.py", "stain/separation.py"} <= names
    assert "errors.py" not in names


def test_an_edit_of_another_file_with_kernels_makes_a_kernel_anew(monkeypatch, tmp_path):
    source = tmp_path / "callers.py"
    source.write_text("def triple(value):\n    return 3 * value\n")
    scope = {}
    exec(compile(source.read_text(), str(source), "exec"), scope)

    def hits():
        compiled = kernel(scope["triple"])
        assert compiled(2) == 6
        return len(compiled.stats.cache_hits)

    assert (hits(), hits()) == (0, 1)
    edited = (*kernel_stamps(), ("cells/other.py", 1, 1))
    monkeypatch.setattr(kernels, "kernel_stamps", lambda: edited)
    assert (hits(), hits()) == (0, 1)
