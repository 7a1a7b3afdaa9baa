"""Where a network runs, and in which precision.

Half precision is taken only where it is quicker: elsewhere it would be rounder for nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Lock, Thread
from typing import Literal

import torch

from slidescore.errors import DeviceMemoryError, InputError, SlidescoreError

Precision = Literal["float32", "bf16", "float16"]

DTYPES: dict[Precision, torch.dtype] = {
    "float32": torch.float32,
    "bf16": torch.bfloat16,
    "float16": torch.float16,
}
AVX512_BF16, AMX_BF16 = "avx512_bf16", "amx_bf16"
"""What a CPU calls arithmetic in bfloat16; the names are those of Linux and of torch alike."""
CPU_FEATURES_FILE = Path("/proc/cpuinfo")
MEMORY_WORDS = ("out of memory", "alloc_failed", "allocation_failed", "not enough memory", "can't allocate memory")
"""What CUDA, cuBLAS, cuDNN and torch's allocator for CPUs say, in small letters, when memory does not suffice: only
torch's allocator for GPUs has an error of its own for it."""
BATCH_TILES = 4
"""Tiles in every batch on a GPU, full or not: part of the numeric profile. One tile of 1,280 x 1,280 px is already 37
GFLOP; more than a few add waiting and memory, and no speed."""


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
        """Device class, precision and tiles a batch, as in the numeric profile: `cpu-bf16`, `cuda-float16x4`."""
        batch = f"x{BATCH_TILES}" if self.is_cuda else ""
        return f"{self.name.split(':', maxsplit=1)[0]}-{self.precision}{batch}"

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
        return Device("cpu", "bf16" if cpu_gains_from_bf16() and not float32 else "float32", "CPU")
    index = int(asked.partition(":")[2] or 0)
    if index >= n_gpus:
        raise InputError(
            f"there is no such GPU: {n_gpus or 'none'} found" if n_gpus else "no GPU was found",
            where=where,
            remedy=remedy,
        )
    return Device(f"cuda:{index}", "float32" if float32 else "float16", torch.cuda.get_device_name(index))


def resolve_devices(asked: str = "auto", *, float32: bool = False) -> tuple[Device, ...]:
    """Settle the devices that the slides of a run are spread over.

    Parameters
    ----------
    asked
        One device as `resolve_device` takes it, or several with commas between them: `cuda:0,cuda:1`.
    float32
        Whether to run in single precision wherever it is, to compare with.

    Raises
    ------
    InputError
        If there is no such device, one is named twice, or they are not all alike: the numbers of a slide must not
        depend on which device it happened to get.
    """
    names = asked.split(",")
    if len(names) > 1 and not all(re.fullmatch(r"cpu|cuda(:\d+)?", name) for name in names):
        raise InputError("no such devices", where=f"--device {asked}", remedy="name GPUs, as cuda:0,cuda:1")
    found = tuple(resolve_device(name, float32=float32) for name in names)
    for number, device in enumerate(found):
        if device.name in {other.name for other in found[:number]}:
            raise InputError(f"{device.name} is named twice", where=f"--device {asked}", remedy="name each GPU once")
        if (device.profile, device.hardware) != (found[0].profile, found[0].hardware):
            raise InputError(
                f"{device.name} ({device.hardware}) computes otherwise than {found[0].name} ({found[0].hardware})",
                where=f"--device {asked}",
                remedy="name GPUs of one kind; one run gives the same numbers on each of them",
            )
    return found


def cpu_has_bf16() -> bool:
    """Whether this CPU multiplies in bfloat16; torch's own flag says only that it can be emulated."""
    features, _ = _cpu()
    return bool(features & {AVX512_BF16, AMX_BF16})


def cpu_gains_from_bf16() -> bool:
    """Whether bfloat16 is quicker than float32 on this CPU.

    Notes
    -----
    Intel's AVX512-BF16 without AMX multiplies no faster than float32 and pays for the conversions: the network's
    convolutions took 1.6 times as long on a Xeon whose AMX was masked (259 against 415 ms for 1184 x 1184 px, one
    thread, torch 2.13). On an AMD EPYC the same instructions were 2.3 to 3 times as quick as float32.
    """
    features, is_intel = _cpu()
    return AMX_BF16 in features or (AVX512_BF16 in features and not is_intel)


def _cpu() -> tuple[set[str], bool]:
    """Return what this CPU can do, and whether it is Intel's."""
    if hasattr(torch.cpu, "get_capabilities"):
        found = torch.cpu.get_capabilities()
        return {name for name, has in found.items() if has is True}, "Intel" in str(found.get("cpu_name", ""))
    try:
        text = CPU_FEATURES_FILE.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return set(), False
    flags = next((line.partition(":")[2].split() for line in text.splitlines() if line.startswith("flags")), [])
    return set(flags), "GenuineIntel" in text


@contextmanager
def memory_of(device: Device) -> Iterator[None]:
    """Say in one line that a device's memory does not suffice.

    Raises
    ------
    DeviceMemoryError
        In place of torch's own error.
    """
    try:
        yield
    except RuntimeError as error:
        if not _tells_of_memory(error):
            raise
        raise DeviceMemoryError(
            f"out of memory on {device.name}", remedy="use fewer --workers, or --device cpu"
        ) from error


def _tells_of_memory(error: RuntimeError) -> bool:
    """Whether an error is torch's, or a library's below it, and says that memory does not suffice."""
    if isinstance(error, SlidescoreError):
        return False
    said = str(error).lower()
    return isinstance(error, torch.cuda.OutOfMemoryError) or any(word in said for word in MEMORY_WORDS)


def release_cached() -> None:
    """Give memory of GPUs that torch keeps for later, and nobody uses, back to whoever else wants it."""
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        torch.cuda.empty_cache()


def list_gpus() -> list[str]:
    """Return the names of the GPUs that torch can use."""
    if not torch.cuda.is_available():
        return []
    return [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]


@dataclass(slots=True)
class _Alone:
    """How many slides of this process ask for single threads at this moment, and what held before the first."""

    holders: int = 0
    before: int = 1


_ALONE, _ALONE_LOCK = _Alone(), Lock()


@contextmanager
def one_thread_each() -> Iterator[None]:
    """Let each thread compute alone: tiles run in threads of their own, and sums do not depend on their number.

    Torch keeps one number for the whole process, and new threads take it. So while several slides are scored at once it
    stays 1, and the last one to end puts back what was there before the first.
    """
    with _ALONE_LOCK:
        if _ALONE.holders == 0:
            _ALONE.before = _threads_of_new_threads()
        _ALONE.holders += 1
        torch.set_num_threads(1)
    try:
        yield
    finally:
        with _ALONE_LOCK:
            _ALONE.holders -= 1
            if _ALONE.holders == 0:
                torch.set_num_threads(_ALONE.before)


def _threads_of_new_threads() -> int:
    """Return the number that torch gives to new threads; a thread that once computed alone still answers 1 itself."""
    found: list[int] = []
    asking = Thread(target=lambda: found.append(torch.get_num_threads()))
    asking.start()
    asking.join()
    return found[0]
