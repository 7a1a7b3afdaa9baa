"""Where a network runs, and in which precision.

Half precision is taken only where the hardware computes in it: on a CPU that emulates bfloat16 it would be slower than
float32 and rounder for nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch

from slidescore.errors import InputError

Precision = Literal["float32", "bf16", "float16"]

DTYPES: dict[Precision, torch.dtype] = {
    "float32": torch.float32,
    "bf16": torch.bfloat16,
    "float16": torch.float16,
}
BF16_FEATURES = ("avx512_bf16", "amx_bf16")
"""What a CPU calls arithmetic in bfloat16; the names are those of Linux and of torch alike."""
CPU_FEATURES_FILE = Path("/proc/cpuinfo")


@dataclass(frozen=True, slots=True)
class Device:
    """A device and the precision that a network runs in there.

    Attributes
    ----------
    name
        As torch calls it: `cpu`, `cuda:0`.
    precision
        float32, bf16 or float16.
    hardware
        The product's name, for people.
    """

    name: str
    precision: Precision
    hardware: str

    @property
    def is_cuda(self) -> bool:
        """Whether it is a GPU."""
        return self.name.startswith("cuda")

    @property
    def profile(self) -> str:
        """Device class and precision, as in the numeric profile: `cpu-bf16`."""
        return f"{self.name.split(':', maxsplit=1)[0]}-{self.precision}"

    @property
    def dtype(self) -> torch.dtype:
        """The precision as torch names it."""
        return DTYPES[self.precision]


def resolve_device(asked: str = "auto", *, float32: bool = False) -> Device:
    """Settle where a network runs.

    Parameters
    ----------
    asked
        `auto` (a GPU where there is one), `cpu`, `cuda` (the first GPU) or `cuda:N`.
    float32
        Whether to run in single precision wherever it is, to compare with.

    Raises
    ------
    InputError
        If there is no such device.
    """
    where, remedy = f"--device {asked}", "use auto or cpu; 'slidescore doctor' lists the GPUs"
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", asked):
        raise InputError("no such device", where=where, remedy="use auto, cpu, cuda or cuda:N")
    n_gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if asked == "cpu" or (asked == "auto" and n_gpus == 0):
        return Device("cpu", "bf16" if cpu_has_bf16() and not float32 else "float32", "CPU")
    index = int(asked.partition(":")[2] or 0)
    if index >= n_gpus:
        raise InputError(
            f"there is no such GPU: {n_gpus or 'none'} found" if n_gpus else "no GPU was found",
            where=where,
            remedy=remedy,
        )
    return Device(f"cuda:{index}", "float32" if float32 else "float16", torch.cuda.get_device_name(index))


def cpu_has_bf16() -> bool:
    """Whether this CPU multiplies in bfloat16; torch's own flags say only that it can be emulated."""
    if hasattr(torch.cpu, "get_capabilities"):
        found = torch.cpu.get_capabilities()
        return any(bool(found.get(name)) for name in BF16_FEATURES)
    try:
        text = CPU_FEATURES_FILE.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    flags = next((line.split() for line in text.splitlines() if line.startswith("flags")), [])
    return any(name in flags for name in BF16_FEATURES)


def list_gpus() -> list[str]:
    """Return the names of the GPUs that torch can use."""
    if not torch.cuda.is_available():
        return []
    return [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]


@contextmanager
def one_thread_each() -> Iterator[None]:
    """Let each thread compute alone: tiles run in threads of their own, and sums do not depend on their number."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
