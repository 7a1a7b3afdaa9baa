"""One batch: only what is filled is copied, and a segmenter's batches have the frame that it was given."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest

from nn.drawn_network import make_card, random_network
from slidescore.nn.batches import BatchRunner
from slidescore.nn.card import Calibration
from slidescore.nn.device import Device
from slidescore.nn.network import fused
from slidescore.nn.segmenter import calibrated, make_segmenter
from slidescore.nn.weights import Model

STAND_IN = Device("cpu", "float32", "stands in for a GPU")
PLACES, SIDE = 4, 32
UNTOUCHED = -7.0


@pytest.fixture(scope="module")
def runner() -> BatchRunner:
    calibration = Calibration(type_temperature=1.3, tumor_shift=0.2)
    return BatchRunner(fused(random_network()), STAND_IN, partial(calibrated, calibration=calibration), PLACES)


@pytest.mark.parametrize("n_tiles", [1, 3, PLACES])
def test_only_filled_places_come_back_and_they_are_those_of_a_full_batch(runner: BatchRunner, n_tiles: int) -> None:
    tiles = np.random.default_rng(0).integers(0, 256, (PLACES, SIDE, SIDE, 3), dtype=np.uint8)
    full, part = runner.desk((SIDE, SIDE)), runner.desk((SIDE, SIDE))
    for place, tile in enumerate(tiles):
        full.put(place, tile)
        part.put(place, tile)
    runner.run(full, PLACES)
    part.shapes[:] = part.types[:] = UNTOUCHED
    runner.run(part, n_tiles)
    assert np.array_equal(part.shapes[:n_tiles], full.shapes[:n_tiles])
    assert np.array_equal(part.types[:n_tiles], full.types[:n_tiles])
    assert part.finite[:n_tiles].all()
    assert (part.shapes[n_tiles:] == UNTOUCHED).all()
    assert (part.types[n_tiles:] == UNTOUCHED).all()


def test_places_are_checked_once_a_frame_and_leave_the_tiles_as_they_were(runner: BatchRunner, monkeypatch) -> None:
    computed: list[int] = []
    original = BatchRunner._compute

    def counting(self: BatchRunner, desk, n_tiles: int) -> None:
        computed.append(n_tiles)
        original(self, desk, n_tiles)

    monkeypatch.setattr(BatchRunner, "_compute", counting)
    desk = runner.desk((SIDE, 2 * SIDE))
    tile = np.random.default_rng(1).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
    desk.put(0, tile)
    for _ in range(2):
        runner.run(desk, 1)
    assert computed == [PLACES, PLACES, 1, 1]
    assert np.array_equal(desk.pixels[0, :, :SIDE], tile)
    assert (desk.pixels[0, :, SIDE:] == 255).all()


def test_a_segmenter_on_a_gpu_computes_in_the_frame_that_it_is_given(monkeypatch) -> None:
    monkeypatch.setattr(Device, "is_cuda", True)
    card = make_card()
    model = Model("random", card, card.digest, random_network())
    framed, free = make_segmenter(model, STAND_IN, (64, 96)), make_segmenter(model, STAND_IN)
    assert framed.gatherer is not None
    assert free.gatherer is not None
    assert framed.gatherer._frame_of(48, 64) == framed.gatherer._frame_of(64, 96) == (64, 96)
    assert framed.gatherer._frame_of(80, 64) == (80, 64)
    assert free.gatherer._frame_of(48, 64) == (48, 64)
