"""What the system says while something else runs: how busy GPUs are, and what memory and time processes take."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from pathlib import Path
from statistics import mean
from types import TracebackType

import torch

MILLISECONDS_BETWEEN_SAMPLES = 200
SECONDS_BETWEEN_MEMORY_SAMPLES = 1.0
PROC = Path("/proc")


class GpuWatch:
    """Notes what the driver says of GPUs, five times a second, from entering to leaving.

    The driver's share is that of the time in which anything ran there, not of what the GPU could do.

    Parameters
    ----------
    devices
        As `--device` takes them: `cuda:0,cuda:1`; a CPU is not watched.
    """

    def __init__(self, devices: str) -> None:
        self._ids = [gpu_id(name) for name in devices.split(",") if name.startswith("cuda")]
        self._found: list[tuple[float, float]] = []
        self._tool: subprocess.Popen[str] | None = None

    def __enter__(self) -> GpuWatch:
        if self._ids:
            command = [
                "nvidia-smi", f"--id={','.join(self._ids)}", f"--loop-ms={MILLISECONDS_BETWEEN_SAMPLES}",
                "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits",
            ]  # fmt: skip
            try:
                self._tool = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
            except OSError:
                return self
            self._thread = threading.Thread(target=self._listen, args=(self._tool,))
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._tool is not None:
            self._tool.terminate()
            self._thread.join()
            self._tool.wait()

    def busy(self, began: float, ended: float) -> float | None:
        """Return the mean share of the time between two moments (`time.time`) in which the GPUs were busy, 0 to 1.

        None where the driver did not say.
        """
        shares = [share for moment, share in self._found if began <= moment <= ended]
        return round(mean(shares), 3) if shares else None

    def _listen(self, tool: subprocess.Popen[str]) -> None:
        assert tool.stdout is not None
        with tool.stdout:
            for line in tool.stdout:
                # "[N/A]", where a part of a GPU is lent, for one.
                if line.strip().isdecimal():
                    self._found.append((time.time(), int(line) / 100))


def gpu_id(name: str) -> str:
    """Name a GPU as the driver does: its numbers are not always those of CUDA."""
    index = int(name.partition(":")[2] or 0)
    found = getattr(torch.cuda.get_device_properties(index), "uuid", None)
    return str(index) if found is None else f"GPU-{found}"


class MemoryWatch:
    """Notes about once a second how much memory a process and all that descend from it hold; Linux only.

    Attributes
    ----------
    peak_mb
        The most that they held together, pages that several of them share counted once.
    """

    def __init__(self, process: int) -> None:
        self.peak_mb = 0.0
        self._process = process
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._sample)

    def __enter__(self) -> MemoryWatch:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ending.set()
        self._thread.join()

    def _sample(self) -> None:
        while True:
            self.peak_mb = max(self.peak_mb, tree_mb(self._process))
            if self._ending.wait(SECONDS_BETWEEN_MEMORY_SAMPLES):
                return


def tree_mb(root: int) -> float:
    """Return what a process and all that descend from it hold at this moment, in MB."""
    return sum(_held_kb(process) for process in _tree(root)) / 1024


def tree_cpu_seconds(root: int) -> float:
    """Return the CPU-seconds that a process and all that descend from it have used; those that have ended left out."""
    # The 14th and 15th field of the whole line: ticks in user mode and in the kernel.
    return sum(int(ticks) for fields in _tree(root).values() for ticks in fields[11:13]) / os.sysconf("SC_CLK_TCK")


def _tree(root: int) -> dict[int, list[str]]:
    """List a process and all that descend from it, each with what the kernel says of it after its name."""
    said: dict[int, list[str]] = {}
    for folder in PROC.glob("[0-9]*"):
        try:
            # "pid (name) state parent ..."; a name may hold anything, brackets too.
            said[int(folder.name)] = (folder / "stat").read_text("utf-8", "replace").rpartition(")")[2].split()
        except OSError:
            continue
    return {process: fields for process, fields in said.items() if _descends(process, root, said)}


def _descends(process: int, root: int, said: dict[int, list[str]]) -> bool:
    while process != root and process in said:
        process = int(said[process][1])
    return process == root


def _held_kb(process: int) -> int:
    try:
        lines = (PROC / str(process) / "smaps_rollup").read_text("ascii", "replace").splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)
