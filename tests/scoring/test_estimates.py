"""All scores with their intervals: one set of replicates, every scheme, and the one that the call is made on."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from slidescore.scoring import COMPARTMENTS, SCHEMES, score_cells
from slidescore.scoring.calls import NO_PIXELS
from slidescore.scoring.cell_squares import cell_squares
from slidescore.scoring.estimates import Estimate, call_uncertainty, estimate, slide_seed
from slidescore.scoring.intervals import uncertainty
from slidescore.scoring.squares import SquareCounts

SEED = slide_seed("ab" * 32)


@pytest.fixture(scope="module")
def cells(make_cells):
    """Twenty squares of 30 cells; the membrane is a little darker."""
    rng = np.random.default_rng(4)
    od = rng.uniform(0.0, 0.8, 600) + np.repeat(rng.normal(0, 0.1, 20), 30)
    x = np.repeat(np.arange(20) * 1024.0, 30) + np.tile(np.arange(30.0), 20)
    return make_cells(od.tolist(), x=x.astype(np.float32), dab_od_membrane=(od + 0.1).tolist())


def blocks(n: int) -> SquareCounts:
    rng = np.random.default_rng(n)
    return SquareCounts(np.stack([np.arange(n), np.zeros(n, np.int64)], axis=1), rng.uniform(10, 90, (n, 4)))


def test_every_score_has_its_own_interval(assay, cells):
    scores, squares = score_cells(cells, assay), cell_squares(cells, assay, 0.5)
    found = estimate(scores, squares, assay, SEED)
    assert list(found.schemes) == list(SCHEMES)
    for name in ("h_score", "percent_positive", "irs", "allred"):
        for compartment in COMPARTMENTS:
            alone = uncertainty(squares[compartment], name, assay.score, assay.interval, SEED)
            expected = Estimate(scores.value(name, compartment), alone.low, alone.high)
            assert found.schemes[name][compartment] == expected
    own = uncertainty(squares["cytoplasm"], "h_score", assay.score, assay.interval, SEED, assay.call.cutoff)
    assert found.own == found.h == own == call_uncertainty(squares["cytoplasm"], assay, SEED)
    assert found.squares is squares["cytoplasm"]


def test_without_pixels_there_is_no_pixel_score(assay, change, cells):
    scores, squares = score_cells(cells, assay), cell_squares(cells, assay, 0.5)
    pixel = change(assay, {"score.scheme": "pixel_h_score", "call.cutoff.scale": "pixel_h_score"})
    found = estimate(replace(scores, settings=pixel.score), squares, pixel, SEED)
    assert set(found.schemes["pixel_h_score"].values()) == {Estimate(None, None, None)}
    assert (found.own.reason, found.own.low, found.squares.n_squares) == (NO_PIXELS, None, 0)
    assert found.h.low is not None


def test_the_call_on_pixels_rests_on_their_blocks(assay, change, cells):
    pixel = change(assay, {"score.scheme": "pixel_h_score", "call.cutoff.scale": "pixel_h_score"})
    counted = {**dict.fromkeys(COMPARTMENTS, blocks(12)), "nucleus": blocks(4)}
    scores = score_cells(cells, pixel)
    scores = replace(scores, pixel={name: each.total for name, each in counted.items()})
    found = estimate(scores, cell_squares(cells, pixel, 0.5), pixel, SEED, counted)
    assert found.own == call_uncertainty(counted["cytoplasm"], pixel, SEED)
    assert (found.own.n_squares, found.squares) == (12, counted["cytoplasm"])
    assert found.schemes["pixel_h_score"]["nucleus"].low is None
    assert found.schemes["pixel_h_score"]["nucleus"].value == scores.value("pixel_h_score", "nucleus")
    assert found.h.n_squares == 20
    few = call_uncertainty(counted["nucleus"], change(pixel, {"interval.square_um": 256.0}), SEED)
    assert few.reason == "only 4 squares of 512 um hold stained pixels (at least 10)"


def test_only_the_score_that_is_called_has_a_probability(assay, change, cells):
    scores, squares = score_cells(cells, assay), cell_squares(cells, assay, 0.5)
    irs = change(assay, {"score.scheme": "irs", "call.cutoff.scale": "irs", "call.cutoff.value": 4.0})
    found = estimate(replace(scores, settings=irs.score), squares, irs, SEED)
    assert found.own.p_high is not None
    assert found.h.p_high is None
    silent = estimate(scores, squares, change(assay, {"call.cutoff": None}), SEED)
    assert silent.own.p_high is None
    assert silent.own.low is not None


def test_a_seed_is_the_files_and_the_parts():
    seeds = {slide_seed("a"), slide_seed("b"), slide_seed("a", "core 1"), slide_seed("a", "core 2")}
    assert len(seeds) == 4
    assert slide_seed("a", "core 1") == slide_seed("a", "core 1")
