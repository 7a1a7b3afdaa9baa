"""Every score of a set of cells with its interval: all schemes in all compartments, from the squares they lie in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from slidescore.assay import Assay, Compartment, Scale
from slidescore.scoring.calls import NO_PIXELS
from slidescore.scoring.intervals import Replicates, Uncertainty, bootstrap, seed_of, uncertainty_of
from slidescore.scoring.pixel_h_score import BLOCK_UM
from slidescore.scoring.schemes import SCHEMES
from slidescore.scoring.scores import COMPARTMENTS, Scores
from slidescore.scoring.squares import SquareCounts

CELLS_OF: Scale = "h_score"
"""Scheme whose interval stands in the columns h_score_low and h_score_high, whatever the call is made on."""
PIXELS: Scale = "pixel_h_score"
"""Scheme that counts pixels, not cells."""
NO_SQUARES = SquareCounts(np.zeros((0, 2), np.int64), np.zeros((0, 4)))

Squares = Mapping[Compartment, SquareCounts]


@dataclass(frozen=True, slots=True)
class Estimate:
    """A score with the ends of its 95 % interval; None where there is none."""

    value: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True, eq=False)
class Estimates:
    """What is known of the scores of a set of cells.

    Attributes
    ----------
    schemes
        By scheme and compartment.
    own, squares
        Of the score that the call is made on: how sure it is, and what follows from which squares.
    h
        Of the H-score in the assay's compartment.
    """

    schemes: dict[Scale, dict[Compartment, Estimate]]
    own: Uncertainty
    squares: SquareCounts
    h: Uncertainty


def estimate(scores: Scores, cells: Squares, assay: Assay, seed: int, pixels: Squares | None = None) -> Estimates:
    """Estimate all scores.

    Parameters
    ----------
    scores
        Of the cells.
    cells
        Their bins by square, in every compartment, see `cell_squares`.
    assay
        What the call is made on, and how intervals are made.
    seed
        Of the random numbers, see `seed_of`.
    pixels
        Pixels by block, by the thresholds of every compartment; None where pixels are not counted.

    Notes
    -----
    Compartments and schemes of the same squares share their replicates.
    """
    scheme, compartment = assay.score.scheme, assay.score.compartment
    # The same squares in every compartment, for the cells are.
    drawn = bootstrap(cells[compartment], assay.interval, seed)
    known = {
        of_cells: {name: _known(of_cells, name, drawn, cells[name], assay) for name in COMPARTMENTS}
        for of_cells in SCHEMES
        if of_cells != PIXELS
    }
    if pixels is None:
        known[PIXELS] = dict.fromkeys(COMPARTMENTS, Uncertainty(0, NO_PIXELS))
    else:
        # Which blocks hold anything depends on the thresholds, which compartments can share.
        blocks = {id(each): each for each in pixels.values()}
        drawn_blocks = {key: _draw_blocks(each, assay, seed) for key, each in blocks.items()}
        known[PIXELS] = {
            name: _known(PIXELS, name, drawn_blocks[id(each)], each, assay) for name, each in pixels.items()
        }
    counted = pixels if scheme == PIXELS else cells
    return Estimates(
        {name: {each: _estimate(scores, name, each, known[name][each]) for each in COMPARTMENTS} for name in SCHEMES},
        own=known[scheme][compartment],
        squares=NO_SQUARES if counted is None else counted[compartment],
        h=known[CELLS_OF][compartment],
    )


def _draw_blocks(pixels: SquareCounts, assay: Assay, seed: int) -> Replicates:
    blocks = assay.interval.model_copy(update={"square_um": BLOCK_UM})
    return bootstrap(pixels, blocks, seed, "stained pixels")


def _known(
    scheme: Scale, compartment: Compartment, drawn: Replicates, squares: SquareCounts, assay: Assay
) -> Uncertainty:
    own = (scheme, compartment) == (assay.score.scheme, assay.score.compartment)
    return uncertainty_of(drawn, squares.counts, scheme, assay.score, assay.call.cutoff if own else None)


def _estimate(scores: Scores, scheme: Scale, compartment: Compartment, known: Uncertainty) -> Estimate:
    return Estimate(scores.value(scheme, compartment), known.low, known.high)


def slide_seed(fingerprint: str, part: str = "") -> int:
    """Return the seed of the random numbers of a slide, or of a named part of it; copies of a file share it."""
    return seed_of(fingerprint, "squares", *([part] if part else []))


def call_uncertainty(squares: SquareCounts, assay: Assay, seed: int) -> Uncertainty:
    """Say how sure the score is that the call is made on; `squares` are of its cells, or of its pixels."""
    of_pixels = assay.score.scheme == PIXELS
    drawn = _draw_blocks(squares, assay, seed) if of_pixels else bootstrap(squares, assay.interval, seed)
    return uncertainty_of(drawn, squares.counts, assay.score.scheme, assay.score, assay.call.cutoff)
