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
from slidescore.nn import batches, gathering
from slidescore.nn.batches import BatchRunner, Desk
from slidescore.nn.card import Calibration
from slidescore.nn.device import Device
from slidescore.nn.gathering import Gatherer
from slidescore.nn.network import CellNetwork, fused
from slidescore.nn.segmenter import NetworkSegmenter, calibrated, make_segmenter
from slidescore.nn.weights import Model

STAND_IN = Device("cpu", "float32", "stands in for a GPU")
PLACES = 4
SIDE = 64
CALIBRATION = Calibration(type_temperature=1.3, tumor_shift=0.2)
SECONDS = 30


class Counting(BatchRunner):
    """Computes as the real one and says which tiles each batch held; may be told to fail."""

    def __init__(self, network: CellNetwork, fail: Callable[[Any], None] | None = None, seconds: float = 0.0) -> None:
        super().__init__(network, STAND_IN, partial(calibrated, calibration=CALIBRATION), PLACES)
        object.__setattr__(self, "batches", [])
        object.__setattr__(self, "fail", fail)
        object.__setattr__(self, "seconds", seconds)

    def run(self, desk: Desk, n_tiles: int) -> None:
        self.batches.append(desk.pixels[:n_tiles].copy())  # type: ignore[attr-defined]
        time.sleep(self.seconds)  # type: ignore[attr-defined]
        if self.fail is not None:  # type: ignore[attr-defined]
            self.fail(desk.pixels[:n_tiles])  # type: ignore[attr-defined]
        super().run(desk, n_tiles)


@pytest.fixture(scope="module")
def network() -> CellNetwork:
    return fused(random_network())


@pytest.fixture(scope="module")
def tiles() -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (12, SIDE, SIDE, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def alone(network: CellNetwork, tiles: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """The maps of each tile in a fixed batch of its own."""
    return [by_itself(network, tile, (SIDE, SIDE)) for tile in tiles]


def by_itself(network: CellNetwork, tile: np.ndarray, frame: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """The maps of a tile in the first place of a batch of its own, with glass around it by hand."""
    runner = Counting(network)
    desk = runner.desk(frame)
    desk.pixels[:] = 255
    desk.pixels[0, : tile.shape[0], : tile.shape[1]] = tile
    runner.run(desk, 1)
    height, width = tile.shape[:2]
    return desk.shapes[0, :, :height, :width].copy(), desk.types[0, :, : height // 4, : width // 4].copy()


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
    found = in_threads(Gatherer(Counting(network), wait_s=wait_s), tiles[order], n_threads)
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
    assert len(batch) == 1
    assert np.array_equal(batch[0], tiles[0])


def test_a_batch_fills_up_while_another_one_is_computed(network, tiles):
    runner = Counting(network, seconds=0.3)
    in_threads(Gatherer(runner, wait_s=0.0), tiles[:5], 5)
    assert len(runner.batches) == 2


def test_sizes_are_not_mixed(network, tiles, alone):
    small = tiles[:6, :32, :48]
    found = in_threads(Gatherer(Counting(network), wait_s=0.02), [*tiles[:6], *small, *tiles[6:]], 9)
    assert all(same(found[k], alone[k]) for k in range(6))
    assert all(same(found[k + 6], alone[k]) for k in range(6, 12))
    assert [found[6 + k][0].shape for k in range(6)] == [(3, 32, 48)] * 6
    runner = Counting(network)
    wanted = in_threads(Gatherer(runner, wait_s=0.0), small, 1)
    assert all(same(found[6 + k], wanted[k]) for k in range(6))


def test_memory_is_bounded(network, tiles, alone):
    runner = Counting(network, seconds=0.01)
    gatherer = Gatherer(runner, wait_s=0.0)
    found = in_threads(gatherer, [tiles[k % 12, : 32 + 16 * (k % 3)] for k in range(36)], 12)
    assert not any(isinstance(each, Exception) for each in found)
    assert gatherer._n_desks <= gathering.MAX_DESKS
    assert same(gatherer.compute(tiles[3]), alone[3])
    assert len(gatherer._free) == gatherer._n_desks
    assert not gatherer._open


def test_an_error_reaches_every_tile_of_its_batch_and_no_other(network, tiles, alone):
    bad = tiles[5]

    def fail(batch: np.ndarray) -> None:
        if any(np.array_equal(tile, bad) for tile in batch):
            raise DeviceMemoryError("out of memory on cuda:0", remedy="use fewer --workers, or --device cpu")

    runner = Counting(network, fail)
    gatherer = Gatherer(runner, wait_s=0.05)
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
    found = in_threads(Gatherer(Counting(network), wait_s=0.02), tiles[:6], 6)
    assert [type(each) for each in found] == [DeviceMemoryError] * 6
    assert str(found[0]).startswith("out of memory on cpu")


def test_no_room_for_a_batch_costs_who_asked_and_leaves_nothing_behind(network, tiles, alone, monkeypatch):
    runner = Counting(network)
    gatherer = Gatherer(runner, wait_s=0.0)

    def full(*_: Any, **__: Any) -> None:
        raise torch.cuda.OutOfMemoryError("no page-locked memory")

    with monkeypatch.context() as patch:
        patch.setattr(batches, "Desk", full)
        with pytest.raises(DeviceMemoryError, match="out of memory"):
            gatherer.compute(tiles[0])
    assert same(gatherer.compute(tiles[0]), alone[0])


def test_a_tile_that_does_not_fit_costs_nobody_else(network, tiles, alone):
    """The thread that began the batch computes it for the others even when it fails at its own tile."""
    gatherer = Gatherer(Counting(network), wait_s=0.2)
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
    found = in_threads(Gatherer(Counting(network), wait_s=0.2), [grey, white, grey, grey], 4)
    assert isinstance(found[1], DeviceError)
    assert "no finite number, in float32 on cpu" in str(found[1])
    assert not any(isinstance(found[k], Exception) for k in (0, 2, 3))


def test_a_device_on_which_the_place_matters_is_refused(network, tiles, monkeypatch):
    class Placed(Counting):
        def _compute(self, desk: Desk, n_tiles: int) -> None:
            super()._compute(desk, n_tiles)
            desk.shapes[1:] += np.float32(1e-7)

    found = in_threads(Gatherer(Placed(network), wait_s=0.0), tiles[:2], 1)
    assert all(isinstance(each, DeviceError) for each in found)
    assert "another place of a batch on cpu (stands in for a GPU)" in str(found[0])


def test_nothing_is_left_running(network, tiles):
    before = threading.active_count()
    gatherer = Gatherer(Counting(network), wait_s=0.0)
    in_threads(gatherer, tiles, 3)
    assert threading.active_count() == before


def test_a_segmenter_with_a_gatherer_finds_what_it_finds_without(island):
    card = make_card()
    plain = make_segmenter(Model("random", card, card.digest, random_network()), STAND_IN)
    assert plain.gatherer is None
    runner = BatchRunner(plain.network, STAND_IN, partial(calibrated, calibration=plain.calibration), PLACES)
    gathered = NetworkSegmenter(
        plain.digest, STAND_IN, plain.network, plain.decode, plain.calibration, gatherer=Gatherer(runner, wait_s=0.0)
    )
    images = np.stack([island.rgb[200:330, 200:350], island.rgb[300:430, 200:350]])
    for batch in (images, images[:1]):
        one, other = plain.predict_maps(batch), gathered.predict_maps(batch)
        for name in ("center", "foreground", "distance", "type_probability"):
            first, second = getattr(one, name), getattr(other, name)
            assert (first.shape, first.dtype) == (second.shape, second.dtype)
            assert second.flags.c_contiguous
            np.testing.assert_allclose(first, second, atol=1e-4, err_msg=name)


# ---- tiles of many sizes in one frame ----

FRAME = (96, 80)
SIZES = [(96, 80), (64, 64), (48, 80), (96, 32), (16, 16), (80, 48), (32, 64), (64, 32)]


@pytest.fixture(scope="module")
def cropped(network) -> list[tuple[np.ndarray, tuple[np.ndarray, np.ndarray]]]:
    """Tiles of many sizes, each with its maps in a batch of its own."""
    rng = np.random.default_rng(2)
    tiles = [rng.integers(0, 256, (*size, 3), dtype=np.uint8) for size in SIZES]
    return [(tile, by_itself(network, tile, FRAME)) for tile in tiles]


@pytest.mark.parametrize("n_threads", [1, 3, 8])
def test_in_a_frame_maps_depend_on_the_tile_alone_whatever_its_size(network, cropped, n_threads):
    gatherer = Gatherer(Counting(network), frame=FRAME, wait_s=0.01)
    # Twice, so that places hold smaller tiles where larger ones have been.
    for order in (range(len(SIZES)), np.random.default_rng(n_threads).permutation(len(SIZES))):
        found = in_threads(gatherer, [cropped[k][0] for k in order], n_threads)
        for k, maps in zip(order, found, strict=True):
            assert maps[0].shape == (3, *SIZES[k])
            assert maps[1].shape == (4, SIZES[k][0] // 4, SIZES[k][1] // 4)
            assert same(maps, cropped[k][1])
    assert {desk.frame for desk in gatherer._free} == {FRAME}


def test_tiles_of_different_sizes_fill_a_batch_together(network, cropped):
    runner = Counting(network)
    # None may be closed by the clock: were sizes not put together, this would take minutes.
    found = in_threads(Gatherer(runner, frame=FRAME, wait_s=60.0), [tile for tile, _ in cropped], len(SIZES))
    assert all(same(maps, wanted) for maps, (_, wanted) in zip(found, cropped, strict=True))
    assert [len(batch) for batch in runner.batches] == [PLACES, PLACES]


def test_what_a_tile_leaves_of_its_frame_is_glass(network, tiles):
    runner = Counting(network)
    gatherer = Gatherer(runner, frame=(SIDE, SIDE), wait_s=0.0)
    gatherer.compute(tiles[0])
    gatherer.compute(np.zeros((16, 32, 3), np.uint8))
    last = runner.batches[-1][0]
    assert not last[:16, :32].any()
    assert (last[16:] == 255).all()
    assert (last[:16, 32:] == 255).all()


def test_a_tile_larger_than_the_frame_has_one_of_its_own(network, tiles, alone):
    gatherer = Gatherer(Counting(network), frame=(SIDE - 16, SIDE), wait_s=0.0)
    small = tiles[1][:32]
    found = in_threads(gatherer, [tiles[0], small, tiles[2]], 3)
    assert same(found[0], alone[0])
    assert same(found[2], alone[2])
    assert same(found[1], by_itself(network, small, (SIDE - 16, SIDE)))


# ---- threads that fail, and others that wait for them ----


def test_no_room_for_one_size_leaves_nobody_waiting(network, tiles, alone, monkeypatch):
    """The only desk is in use; when it comes free it is given up for a size for which there is no room then."""
    monkeypatch.setattr(gathering, "MAX_DESKS", 1)
    release = threading.Event()

    class Tight(Counting):
        def desk(self, frame: tuple[int, int]) -> Desk:
            if frame == (32, 32):
                raise DeviceMemoryError("out of memory on cuda:0")
            return super().desk(frame)

    gatherer = Gatherer(Tight(network, lambda _: release.wait(SECONDS) and None), wait_s=0.0)
    with ThreadPoolExecutor(4) as pool:
        first = pool.submit(gatherer.compute, tiles[0])
        while not gatherer._n_desks:
            time.sleep(0.001)
        waiting = [pool.submit(gatherer.compute, tile) for tile in (tiles[1][:32, :32], tiles[2][:48], tiles[3])]
        time.sleep(0.05)
        release.set()
        assert same(first.result(SECONDS), alone[0])
        assert isinstance(waiting[0].exception(SECONDS), DeviceMemoryError)
        assert same(waiting[1].result(SECONDS), by_itself(network, tiles[2][:48], (48, SIDE)))
        assert same(waiting[2].result(SECONDS), alone[3])
    # Whichever came last: the desk is there, or was given up for the size that got none.
    assert len(gatherer._free) == gatherer._n_desks <= 1
    assert same(gatherer.compute(tiles[4]), alone[4])


def test_a_follower_that_fails_at_its_own_tile_costs_nobody_else(network, tiles, alone):
    gatherer = Gatherer(Counting(network), wait_s=0.3)
    wrong = np.zeros((SIDE, SIDE, 4), np.uint8)
    with ThreadPoolExecutor(3) as pool:
        first = pool.submit(gatherer.compute, tiles[0])
        time.sleep(0.05)
        found = [pool.submit(gatherer.compute, tile) for tile in (wrong, tiles[1])]
        assert isinstance(found[0].exception(SECONDS), ValueError)
        assert same(first.result(SECONDS), alone[0])
        assert same(found[1].result(SECONDS), alone[1])
    assert len(gatherer._free) == gatherer._n_desks
    assert same(gatherer.compute(tiles[2]), alone[2])


class Stubborn(Exception):
    """Cannot be made again of what it says."""

    def __init__(self, first: str, second: str) -> None:
        super().__init__(f"{first} {second}")


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(3), Stubborn("a", "b"), RuntimeError("CUDA error")])
def test_whatever_ends_a_batch_is_heard_by_all_that_wait_for_it(network, tiles, alone, error):
    failing = [True]

    def fail(_: Any) -> None:
        if failing:
            raise error

    gatherer = Gatherer(Counting(network, fail), wait_s=0.2)
    with ThreadPoolExecutor(3) as pool:
        found = [pool.submit(gatherer.compute, tile) for tile in tiles[:3]]
        heard = [each.exception(SECONDS) for each in found]
    assert [type(each) for each in heard] == [type(error)] * 3
    assert {str(each) for each in heard} == {str(error)}
    failing.clear()
    assert same(gatherer.compute(tiles[0]), alone[0])


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
