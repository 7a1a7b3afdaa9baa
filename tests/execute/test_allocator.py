"""Freed memory stays with a process that scores slides."""

from __future__ import annotations

import ctypes
import subprocess
import sys

import pytest

from slidescore.execute import keep_freed_memory, return_freed_memory

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


HELD = """
import threading, numpy as np
from pathlib import Path
from slidescore.execute import return_freed_memory
if {hand_back}:
    assert return_freed_memory()
large, small = [], []

def take():
    # As a server's threads do: what one takes another lets go, and something small stays behind it.
    large[:] = [np.ones(4 << 20, np.uint8) for _ in range(8)]
    small.append(np.ones(1 << 10, np.uint8))

for _ in range(30):
    thread = threading.Thread(target=take)
    thread.start()
    thread.join()
large.clear()
print(int(Path("/proc/self/statm").read_text().split()[1]) * 4096 >> 20)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only glibc is set up")
@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "gnu_get_libc_version"), reason="the C library is not glibc")
def test_a_server_hands_large_arrays_back():
    def held_mb(*, hand_back: bool) -> int:
        code = HELD.format(hand_back=hand_back)
        return int(subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout)

    assert held_mb(hand_back=True) < held_mb(hand_back=False) - 10


def test_other_systems_are_left_alone(monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    assert keep_freed_memory() is False
    assert return_freed_memory() is False
