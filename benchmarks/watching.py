"""What the system says while something else runs: how busy GPUs are, and what memory and time processes take."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from statistics import mean
from types import TracebackType

import psutil
import torch

MILLISECONDS_BETWEEN_SAMPLES = 200
SECONDS_BETWEEN_MEMORY_SAMPLES = 1.0


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
    return _sum_over_tree(root, lambda process: process.memory_full_info().pss) / 2**20


def tree_cpu_seconds(root: int) -> float:
    """Return the CPU-seconds that a process and all that descend from it have used; those that have ended left out."""
    # Without what children have used: those that run are asked themselves.
    return _sum_over_tree(root, lambda process: sum(process.cpu_times()[:2]))


def _sum_over_tree(root: int, ask: Callable[[psutil.Process], float]) -> float:
    """Ask a process and all that descend from it, and add up; one that has ended or does not say counts 0."""
    total = 0.0
    with suppress(psutil.NoSuchProcess):
        first = psutil.Process(root)
        for process in (first, *first.children(recursive=True)):
            with suppress(psutil.Error):
                total += ask(process)
    return total
