"""Where a network runs is settled from what the machine has, and said in the profile."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from slidescore.errors import DeviceError, DeviceMemoryError, InputError
from slidescore.nn import device as device_module
from slidescore.nn.device import (
    Device,
    cpu_gains_from_bf16,
    cpu_has_bf16,
    list_gpus,
    memory_of,
    one_thread_each,
    release_cached,
    resolve_device,
    resolve_devices,
)


@pytest.fixture
def machine(monkeypatch):
    """Pretend to be on a machine with so many GPUs and such a CPU."""

    def pretend(*, gpus: int = 0, bf16: bool = True) -> None:
        monkeypatch.setattr(torch.cuda, "is_available", lambda: gpus > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
        monkeypatch.setattr(torch.cuda, "get_device_name", lambda index: f"GPU {index}")
        monkeypatch.setattr(device_module, "cpu_gains_from_bf16", lambda: bf16)

    return pretend


@pytest.mark.parametrize(
    ("gpus", "bf16", "asked", "name", "profile"),
    [
        (0, True, "auto", "cpu", "cpu-bf16"),
        (0, False, "auto", "cpu", "cpu-float32"),
        (2, True, "auto", "cuda:0", "cuda-float16x4"),
        (2, True, "cpu", "cpu", "cpu-bf16"),
        (2, True, "cuda", "cuda:0", "cuda-float16x4"),
        (2, True, "cuda:1", "cuda:1", "cuda-float16x4"),
    ],
)
def test_a_device_and_its_precision(machine, gpus, bf16, asked, name, profile):
    machine(gpus=gpus, bf16=bf16)
    found = resolve_device(asked)
    assert (found.name, found.profile) == (name, profile)
    assert found.hardware == ("CPU" if name == "cpu" else f"GPU {name[-1]}")


@pytest.mark.parametrize(("asked", "profile"), [("cpu", "cpu-float32"), ("cuda", "cuda-float32x4")])
def test_single_precision_can_be_had_everywhere(machine, asked, profile):
    machine(gpus=1)
    found = resolve_device(asked, float32=True)
    assert (found.profile, found.dtype) == (profile, torch.float32)


def test_several_devices_of_one_kind(machine, monkeypatch):
    machine(gpus=3)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda index: "GPU")
    assert [device.name for device in resolve_devices("cuda:0,cuda:2")] == ["cuda:0", "cuda:2"]
    assert [device.name for device in resolve_devices("cuda:1,cuda")] == ["cuda:1", "cuda:0"]
    assert resolve_devices("auto") == (resolve_device("auto"),)
    assert resolve_devices("cpu", float32=True) == (resolve_device("cpu", float32=True),)
    assert {device.profile for device in resolve_devices("cuda:0,cuda:1", float32=True)} == {"cuda-float32x4"}


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ("cuda:0,cuda:1", "cuda:1 (GPU 1) computes otherwise than cuda:0 (GPU 0)"),
        ("cuda:0,cpu", "cpu (CPU) computes otherwise than cuda:0 (GPU 0)"),
        ("cuda:0,cuda", "cuda:0 is named twice"),
        ("cpu,cpu", "cpu is named twice"),
        ("cuda:0,cuda:7", "there is no such GPU: 2 found"),
        ("auto,cuda:0", "no such devices"),
        ("cuda:0,", "no such devices"),
        ("cuda:0, cuda:1", "no such devices"),
        ("", "no such device"),
    ],
)
def test_devices_that_do_not_go_together_are_one_line(machine, asked, said):
    machine(gpus=2)
    with pytest.raises(InputError) as caught:
        resolve_devices(asked)
    assert said in str(caught.value)
    assert caught.value.remedy


@pytest.mark.parametrize(
    ("gpus", "asked", "said"),
    [
        (0, "cuda", "--device cuda: no GPU was found"),
        (1, "cuda:1", "--device cuda:1: there is no such GPU: 1 found"),
        (1, "gpu", "--device gpu: no such device"),
        (1, "cuda:0,cuda:1", "no such device"),
    ],
)
def test_a_device_that_is_not_there_is_one_line(machine, gpus, asked, said):
    machine(gpus=gpus)
    with pytest.raises(InputError) as caught:
        resolve_device(asked)
    assert said in str(caught.value)
    assert caught.value.remedy


@pytest.mark.parametrize(
    ("features", "has", "gains"),
    [
        ({"cpu_name": "AMD Zen 5", "avx512_bf16": True}, True, True),
        ({"cpu_name": "Intel Xeon", "avx512_bf16": True, "amx_bf16": True}, True, True),
        ({"cpu_name": "Intel Xeon", "avx512_bf16": True, "amx_bf16": False}, True, False),
        ({"cpu_name": "AMD Zen 3", "avx512_f": True, "avx512_bf16": False}, False, False),
        ({}, False, False),
    ],
)
def test_bf16_is_taken_only_where_the_cpu_gains_from_it(monkeypatch, features, has, gains):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: features, raising=False)
    assert (cpu_has_bf16(), cpu_gains_from_bf16()) == (has, gains)


@pytest.mark.parametrize(
    ("vendor", "flags", "gains"),
    [
        ("AuthenticAMD", "fpu avx512f avx512_bf16", True),
        ("AuthenticAMD", "fpu avx512f avx512_bf16x", False),
        ("GenuineIntel", "fpu avx512f avx512_bf16", False),
        ("GenuineIntel", "fpu avx512_bf16 amx_bf16", True),
    ],
)
def test_an_older_torch_is_helped_out_by_the_kernel(monkeypatch, tmp_path, vendor, flags, gains):
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    path = tmp_path / "cpuinfo"
    path.write_text(f"processor\t: 0\nvendor_id\t: {vendor}\nflags\t\t: {flags}\n")
    monkeypatch.setattr(device_module, "CPU_FEATURES_FILE", path)
    assert cpu_gains_from_bf16() is gains
    monkeypatch.setattr(device_module, "CPU_FEATURES_FILE", tmp_path / "none")
    assert cpu_has_bf16() is cpu_gains_from_bf16() is False


def test_gpus_are_listed_by_their_names(machine):
    machine(gpus=2)
    assert list_gpus() == ["GPU 0", "GPU 1"]
    machine(gpus=0)
    assert list_gpus() == []


def test_threads_compute_alone_for_a_while_only():
    before = torch.get_num_threads()
    with one_thread_each():
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == before


def threads_seen_by_a_new_thread() -> int:
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(torch.get_num_threads).result()


def test_two_slides_at_once_share_the_setting_and_the_last_one_puts_it_back():
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        first, second = one_thread_each(), one_thread_each()
        first.__enter__()
        second.__enter__()
        first.__exit__(None, None, None)
        # The second slide's next thread must not compute with what the first one put back.
        assert threads_seen_by_a_new_thread() == 1
        second.__exit__(None, None, None)
        assert threads_seen_by_a_new_thread() == torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


def test_slides_in_many_threads_leave_the_setting_as_it_was():
    before = threads_seen_by_a_new_thread()

    def compute(_: int) -> int:
        with one_thread_each():
            return threads_seen_by_a_new_thread()

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(compute, range(200))) == {1}
    assert threads_seen_by_a_new_thread() == before


def test_a_thread_that_computed_beside_another_does_not_make_one_the_rule():
    before = threads_seen_by_a_new_thread()
    with ThreadPoolExecutor(1) as pool:
        beside = one_thread_each()
        pool.submit(beside.__enter__).result()
        with one_thread_each():
            pool.submit(beside.__exit__, None, None, None).result()
        # The pool's thread was not the last to end, so its own number is still 1 when it comes first now.
        alone = one_thread_each()
        pool.submit(alone.__enter__).result()
        pool.submit(alone.__exit__, None, None, None).result()
    assert threads_seen_by_a_new_thread() == before


def test_a_device_says_whether_it_is_a_gpu():
    assert Device("cuda:1", "float16", "x").is_cuda
    assert not Device("cpu", "bf16", "CPU").is_cuda


SAID = [
    torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
    getattr(torch, "AcceleratorError", RuntimeError)("CUDA error: out of memory"),
    RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
    RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED"),
    RuntimeError("[enforce fail at alloc_cpu.cpp:124] DefaultCPUAllocator: can't allocate memory: you tried to ..."),
]


@pytest.mark.parametrize("error", SAID)
def test_however_want_of_memory_is_said_it_is_one_line(error):
    """A card that others have filled says it when a context or a page-locked piece is asked for, in other words."""
    with pytest.raises(DeviceMemoryError) as caught, memory_of(Device("cuda:1", "float16", "GPU")):
        raise error
    assert str(caught.value) == "out of memory on cuda:1 (use fewer --workers, or --device cpu)"
    assert caught.value.__cause__ is error


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("CUDA error: an illegal memory access was encountered"),
        DeviceMemoryError("out of memory on cuda:0"),
        DeviceError("the network's maps hold a value that is no finite number"),
        ValueError("out of memory"),
    ],
)
def test_other_errors_are_left_as_they_are(error):
    with pytest.raises(type(error)) as caught, memory_of(Device("cuda:1", "float16", "GPU")):
        raise error
    assert caught.value is error


def test_memory_of_a_gpu_that_was_never_used_is_not_asked_for(monkeypatch):
    emptied: list[int] = []
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: emptied.append(1))
    release_cached()
    assert emptied == []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    release_cached()
    assert emptied == [1]
