"""Freed memory stays with a process that scores slides."""

from __future__ import annotations

import ctypes
import subprocess
import sys

import pytest

from slidescore.execute import keep_freed_memory

FAULTS = """
import resource, numpy as np
from slidescore.execute import keep_freed_memory
if {keep}:
    print(keep_freed_memory())
for turn in range(20):
    if turn == 4:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    np.ones((24, 1 << 20), np.uint8)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""
PAGES_OF_AN_ARRAY = (24 << 20) // 4096


def faults(*, keep: bool) -> list[str]:
    code = FAULTS.format(keep=keep)
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()


@pytest.mark.skipif(sys.platform != "linux", reason="only glibc is set up")
def test_arrays_of_one_size_get_the_same_pages_again():
    kept = faults(keep=True)
    if not hasattr(ctypes.CDLL(None), "gnu_get_libc_version"):
        assert kept[0] == "False"
        pytest.skip("the C library is not glibc")
    assert kept[0] == "True"
    [without] = faults(keep=False)
    # Huge pages, where the system gives them unasked, make both cheap.
    assert int(kept[1]) < PAGES_OF_AN_ARRAY
    assert int(kept[1]) <= int(without)


def test_other_systems_are_left_alone(monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    assert keep_freed_memory() is False
