"""Tiles of many threads in one batch: whatever is gathered how, a tile's maps are its own; nobody waits for ever."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch

from nn.drawn_network import make_card, random_network
from slidescore.errors import DeviceError, DeviceMemoryError
from slidescore.nn import gathering
from slidescore.nn.card import Calibration
from slidescore.nn.device import Device
from slidescore.nn.gathering import BatchRunner, Desk, Gatherer
from slidescore.nn.network import CellNetwork, fused
from slidescore.nn.segmenter import NetworkSegmenter, calibrated, make_segmenter
from slidescore.nn.weights import Model

STAND_IN = Device("cpu", "float32", "stands in for a GPU")
PLACES = 4
SIDE = 64
CALIBRATION = Calibration(type_temperature=1.3, tumor_shift=0.2)
SECONDS = 30


class Counting(BatchRunner):
    """Computes as the real one and says what each batch held; may be told to fail."""

    def __init__(self, network: CellNetwork, fail: Callable[[Desk], None] | None = None, seconds: float = 0.0) -> None:
        super().__init__(network, STAND_IN, partial(calibrated, calibration=CALIBRATION), PLACES)
        object.__setattr__(self, "batches", [])
        object.__setattr__(self, "fail", fail)
        object.__setattr__(self, "seconds", seconds)

    def run(self, desk: Desk) -> None:
        self.batches.append(desk.pixels.copy())  # type: ignore[attr-defined]
        time.sleep(self.seconds)  # type: ignore[attr-defined]
        if self.fail is not None:  # type: ignore[attr-defined]
            self.fail(desk)  # type: ignore[attr-defined]
        super().run(desk)


@pytest.fixture(scope="module")
def network() -> CellNetwork:
    return fused(random_network())


@pytest.fixture(scope="module")
def tiles() -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (12, SIDE, SIDE, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def alone(network: CellNetwork, tiles: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """The maps of each tile in a fixed batch of its own, the other places black."""
    runner, maps = Counting(network), []
    for tile in tiles:
        desk = runner.desk(SIDE, SIDE)
        desk.pixels[:] = 0
        desk.pixels[0] = tile
        runner.run(desk)
        maps.append((desk.shapes[0].copy(), desk.types[0].copy()))
    return maps


def in_threads(gatherer: Gatherer, tiles: Any, n_threads: int) -> list[Any]:
    """The maps of each tile, or the error it met."""

    def compute(tile: np.ndarray) -> Any:
        try:
            return gatherer.compute(tile)
        except Exception as error:  # noqa: BLE001 - it is what is looked at
            return error

    with ThreadPoolExecutor(n_threads) as pool:
        return [future.result(SECONDS) for future in [pool.submit(compute, tile) for tile in tiles]]


def same(found: tuple[np.ndarray, np.ndarray], wanted: tuple[np.ndarray, np.ndarray]) -> bool:
    return np.array_equal(found[0], wanted[0]) and np.array_equal(found[1], wanted[1])


@pytest.mark.parametrize("n_threads", [1, 2, 4, 5, 12])
@pytest.mark.parametrize("wait_s", [0.0, 0.02])
def test_maps_depend_on_the_tile_alone(network, tiles, alone, n_threads, wait_s):
    order = np.random.default_rng(n_threads).permutation(len(tiles))
    found = in_threads(Gatherer(Counting(network), wait_s), tiles[order], n_threads)
    assert all(same(maps, alone[k]) for maps, k in zip(found, order, strict=True))


def test_full_batches_are_not_waited_for(network, tiles):
    runner = Counting(network)
    # None may be closed by the clock: were one not full, this would take a minute.
    found = in_threads(Gatherer(runner, wait_s=60.0), tiles, len(tiles))
    assert len(found) == len(tiles)
    assert len(runner.batches) == len(tiles) / PLACES
    held = {tile.tobytes() for batch in runner.batches for tile in batch}
    assert held == {tile.tobytes() for tile in tiles}


def test_one_thread_waits_no_longer_than_the_bound(network, tiles):
    runner = Counting(network)
    Gatherer(runner, wait_s=0.01).compute(tiles[0])
    [batch] = runner.batches
    assert np.array_equal(batch[0], tiles[0])
    assert not batch[1:].any()


def test_a_batch_fills_up_while_another_one_is_computed(network, tiles):
    runner = Counting(network, seconds=0.3)
    in_threads(Gatherer(runner, wait_s=0.0), tiles[:5], 5)
    assert len(runner.batches) == 2


def test_sizes_are_not_mixed(network, tiles, alone):
    small = tiles[:6, :32, :48]
    found = in_threads(Gatherer(Counting(network), 0.02), [*tiles[:6], *small, *tiles[6:]], 9)
    assert all(same(found[k], alone[k]) for k in range(6))
    assert all(same(found[k + 6], alone[k]) for k in range(6, 12))
    assert [found[6 + k][0].shape for k in range(6)] == [(3, 32, 48)] * 6
    runner = Counting(network)
    wanted = in_threads(Gatherer(runner, 0.0), small, 1)
    assert all(same(found[6 + k], wanted[k]) for k in range(6))


def test_memory_is_bounded(network, tiles, alone):
    runner = Counting(network, seconds=0.01)
    gatherer = Gatherer(runner, 0.0)
    found = in_threads(gatherer, [tiles[k % 12, : 32 + 16 * (k % 3)] for k in range(36)], 12)
    assert not any(isinstance(each, Exception) for each in found)
    assert gatherer._n_desks <= gathering.MAX_DESKS
    assert same(gatherer.compute(tiles[3]), alone[3])
    assert len(gatherer._free) == gatherer._n_desks
    assert not gatherer._open


def test_an_error_reaches_every_tile_of_its_batch_and_no_other(network, tiles, alone):
    bad = tiles[5]

    def fail(desk: Desk) -> None:
        if any(np.array_equal(tile, bad) for tile in desk.pixels):
            raise DeviceMemoryError("out of memory on cuda:0", remedy="use fewer --workers, or --device cpu")

    runner = Counting(network, fail)
    gatherer = Gatherer(runner, 0.05)
    found = in_threads(gatherer, tiles, 8)
    [batch] = [batch for batch in runner.batches if any(np.array_equal(tile, bad) for tile in batch)]
    for k, tile in enumerate(tiles):
        if any(np.array_equal(tile, other) for other in batch):
            assert isinstance(found[k], DeviceMemoryError)
            assert str(found[k]) == "out of memory on cuda:0 (use fewer --workers, or --device cpu)"
        else:
            assert same(found[k], alone[k])
    errors = [each for each in found if isinstance(each, Exception)]
    assert len({id(error) for error in errors}) == len(errors) >= 1
    # What went wrong once does not stay.
    assert same(gatherer.compute(tiles[0]), alone[0])


def test_torchs_own_word_for_want_of_memory_becomes_one_line(network, tiles, monkeypatch):
    def full(*_: Any, **__: Any) -> None:
        raise torch.cuda.OutOfMemoryError("CUDA out of memory.\nTried to allocate")

    monkeypatch.setattr(torch, "sigmoid", full)
    found = in_threads(Gatherer(Counting(network), 0.02), tiles[:6], 6)
    assert [type(each) for each in found] == [DeviceMemoryError] * 6
    assert str(found[0]).startswith("out of memory on cpu")


def test_no_room_for_a_batch_costs_who_asked_and_leaves_nothing_behind(network, tiles, alone, monkeypatch):
    runner = Counting(network)
    gatherer = Gatherer(runner, 0.0)

    def full(*_: Any, **__: Any) -> None:
        raise torch.cuda.OutOfMemoryError("no page-locked memory")

    with monkeypatch.context() as patch:
        patch.setattr(gathering, "Desk", full)
        with pytest.raises(DeviceMemoryError, match="out of memory"):
            gatherer.compute(tiles[0])
    assert same(gatherer.compute(tiles[0]), alone[0])


def test_a_tile_that_does_not_fit_costs_nobody_else(network, tiles, alone):
    """The thread that began the batch computes it for the others even when it fails at its own tile."""
    gatherer = Gatherer(Counting(network), 0.2)
    wrong = np.zeros((SIDE, SIDE, 4), np.uint8)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(gatherer.compute, wrong)
        time.sleep(0.05)
        second = pool.submit(gatherer.compute, tiles[1])
        assert isinstance(first.exception(SECONDS), ValueError)
        assert same(second.result(SECONDS), alone[1])


def test_a_number_that_is_not_finite_costs_its_own_tile_only(tiles):
    network = fused(random_network())
    with torch.no_grad():
        # A white tile becomes infinite, any other one does not.
        network.stem[0][0].weight.fill_(1e38)
    white = np.full((SIDE, SIDE, 3), 255, np.uint8)
    grey = np.full((SIDE, SIDE, 3), 127, np.uint8)
    with torch.no_grad():
        network.stem[0][0].bias.zero_()
    found = in_threads(Gatherer(Counting(network), 0.2), [grey, white, grey, grey], 4)
    assert isinstance(found[1], DeviceError)
    assert "no finite number, in float32 on cpu" in str(found[1])
    assert not any(isinstance(found[k], Exception) for k in (0, 2, 3))


def test_a_device_on_which_the_place_matters_is_refused(network, tiles, monkeypatch):
    class Placed(Counting):
        def _compute(self, desk: Desk) -> None:
            super()._compute(desk)
            desk.shapes[1:] += np.float32(1e-7)

    found = in_threads(Gatherer(Placed(network), 0.0), tiles[:2], 1)
    assert all(isinstance(each, DeviceError) for each in found)
    assert "another place of a batch on cpu (stands in for a GPU)" in str(found[0])


def test_nothing_is_left_running(network, tiles):
    before = threading.active_count()
    gatherer = Gatherer(Counting(network), 0.0)
    in_threads(gatherer, tiles, 3)
    assert threading.active_count() == before


def test_a_segmenter_with_a_gatherer_finds_what_it_finds_without(island):
    card = make_card()
    plain = make_segmenter(Model("random", card, card.digest, random_network()), STAND_IN)
    assert plain.gatherer is None
    runner = BatchRunner(plain.network, STAND_IN, partial(calibrated, calibration=plain.calibration), PLACES)
    gathered = NetworkSegmenter(
        plain.digest, STAND_IN, plain.network, plain.decode, plain.calibration, gatherer=Gatherer(runner, 0.0)
    )
    images = np.stack([island.rgb[200:330, 200:350], island.rgb[300:430, 200:350]])
    one, other = plain.predict_maps(images), gathered.predict_maps(images)
    for name in ("center", "foreground", "distance", "type_probability"):
        first, second = getattr(one, name), getattr(other, name)
        assert (first.shape, first.dtype) == (second.shape, second.dtype)
        np.testing.assert_allclose(first, second, atol=1e-4, err_msg=name)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
@pytest.mark.parametrize("n_threads", [1, 3, 12])
def test_on_a_gpu_maps_depend_on_the_tile_alone(tiles, n_threads):
    card = make_card()
    model = Model("random", card, card.digest, random_network())
    segmenter = make_segmenter(model, Device("cuda:0", "float16", "GPU"))
    again = make_segmenter(model, Device("cuda:0", "float16", "GPU"))
    assert segmenter.gatherer is not None
    assert again.gatherer is not None
    wanted = in_threads(segmenter.gatherer, tiles, 1)
    found = in_threads(again.gatherer, tiles[::-1], n_threads)[::-1]
    assert all(same(one, other) for one, other in zip(found, wanted, strict=True))
