"""Thresholds from what is known of control cells: the bins that people gave to cells, or the share of cells in each.

Pure: optical densities in, thresholds with their bootstrap intervals out. Both ways keep counts: a threshold lies where
as many cells are above it as are known to be, so that errors to both sides cancel and the H-score has no bias from it.
Of the rules for labelled cells that benchmarks/calibrate.py compares (this one, a logistic fit, least errors, equal
rates of errors) it is the nearest to the truth; see docs/calibrate.md.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Triple = tuple[float, float, float]

N_BINS, N_THRESHOLDS = 4, 3
MIN_LABELS = 30
"""Labelled cells that every bin needs: with fewer a threshold is off by more than 0.02 OD (docs/calibrate.md)."""
MIN_CONTROLS = 3
"""Controls of known bin shares that are needed: three thresholds, each seen by one control at least."""
TOLD_SHARE = (0.02, 0.98)
"""A control tells where a bin begins when between these shares of its cells are known to lie below."""
STEP_OD = 0.001
"""Thresholds from shares are looked for in steps of this; a tenth of what scanners and stains vary by."""
MIN_SLIDES_DRAWN = 5
"""From so many slides on the bootstrap draws slides as well; fewer would repeat themselves in most replicates."""
REPLICATES = 1000
INTERVAL_PERCENT = (2.5, 97.5)
WITHIN, ACROSS = "cells within slides", "slides, and cells within them"


@dataclass(frozen=True, slots=True)
class LabelledCells:
    """Cells whose bin a person gave.

    Attributes
    ----------
    od
        float64, (N,): DAB OD of the compartment.
    bins
        int64, (N,): 0 to 3.
    slides
        int64, (N,): number of the slide of each cell.
    """

    od: Floats
    bins: NDArray[np.int64]
    slides: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class ShareControl:
    """A control of which the share of cells in each bin is known.

    Attributes
    ----------
    name
        Of the slide or region, for messages.
    od
        float64, (N,): DAB OD of the compartment of every counted cell.
    shares
        Expected share of cells in bin 0, 1+, 2+, 3+; they add to 1.
    """

    name: str
    od: Floats
    shares: tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class ThresholdFit:
    """Thresholds and how sure they are.

    Attributes
    ----------
    method
        `labels` or `shares`.
    thresholds, low, high
        DAB OD at which 1+, 2+ and 3+ begin, and the ends of their 95 % bootstrap intervals.
    n_cells, n_slides
        Cells and slides (or regions) that the fit rests on.
    resampled
        What the bootstrap drew again.
    """

    method: str
    thresholds: Triple
    low: Triple
    high: Triple
    n_cells: int
    n_slides: int
    resampled: str


@dataclass(frozen=True, slots=True)
class NoFit:
    """Why there are no thresholds: too little is known (`contradicts` False), or what is known contradicts itself."""

    reason: str
    contradicts: bool = False


def fit_labels(cells: LabelledCells, *, seed: int, replicates: int = REPLICATES) -> ThresholdFit | NoFit:
    """Fit thresholds to labelled cells.

    Parameters
    ----------
    cells
        At least `MIN_LABELS` of every bin, and the median density of the bins rises.
    seed
        Of the bootstrap.
    replicates
        How often cells are drawn again.
    """
    counts = np.bincount(cells.bins, minlength=N_BINS)
    if counts.min() < MIN_LABELS:
        have = ", ".join(str(n) for n in counts.tolist())
        return NoFit(f"labels of bins 0, 1+, 2+, 3+ are {have}; each needs at least {MIN_LABELS}")
    medians = [float(np.median(cells.od[cells.bins == number])) for number in range(N_BINS)]
    for number in range(1, N_BINS):
        if medians[number] <= medians[number - 1]:
            lower, upper = medians[number - 1], medians[number]
            return NoFit(
                f"thresholds would cross: cells labelled {number} have a median of {upper:.3f} OD, those labelled "
                f"{number - 1} {lower:.3f} OD",
                contradicts=True,
            )
    thresholds = _cut_labels(cells.od, cells.bins)
    bad = _contradiction(thresholds)
    if bad:
        return NoFit(bad, contradicts=True)
    groups = [np.flatnonzero(cells.slides == slide) for slide in np.unique(cells.slides)]

    def replicate(rng: np.random.Generator, drawn: NDArray[np.int64]) -> Floats:
        rows = np.concatenate([rng.choice(groups[slide], len(groups[slide])) for slide in drawn])
        return _cut_labels(cells.od[rows], cells.bins[rows])

    low, high, resampled = _bootstrap(replicate, len(groups), seed, replicates)
    return ThresholdFit("labels", _triple(thresholds), low, high, len(cells.od), len(groups), resampled)


def fit_shares(controls: Sequence[ShareControl], *, seed: int, replicates: int = REPLICATES) -> ThresholdFit | NoFit:
    """Fit thresholds to controls whose bin shares are known.

    Each threshold is where the shares of cells below it come nearest to those expected, by least squares over the
    controls, each with the same weight.

    Parameters
    ----------
    controls
        At least `MIN_CONTROLS`, of which at least one tells each threshold.
    seed, replicates
        As for `fit_labels`.
    """
    if len(controls) < MIN_CONTROLS:
        return NoFit(f"{len(controls)} controls have expected percents p0 to p3; at least {MIN_CONTROLS} are needed")
    expected = np.cumsum([control.shares for control in controls], axis=1)[:, :N_THRESHOLDS]
    told = (expected >= TOLD_SHARE[0]) & (expected <= TOLD_SHARE[1])
    if not told.any(axis=0).all():
        first = int(np.flatnonzero(~told.any(axis=0))[0]) + 1
        return NoFit(f"no control tells where {first}+ begins: none expects cells on both sides of it")
    lowest = min(float(control.od.min()) for control in controls)
    highest = max(float(control.od.max()) for control in controls)
    edges = np.arange(np.floor(lowest / STEP_OD), np.ceil(highest / STEP_OD) + 2) * STEP_OD
    counts = [np.histogram(control.od, edges)[0] for control in controls]
    shares = np.stack([each / each.sum() for each in counts])
    thresholds = _cut_shares(shares, expected, edges)
    bad = _contradiction(thresholds)
    if bad:
        return NoFit(bad, contradicts=True)

    def replicate(rng: np.random.Generator, drawn: NDArray[np.int64]) -> Floats:
        again = np.stack([rng.multinomial(counts[k].sum(), shares[k]) / counts[k].sum() for k in drawn])
        # A draw without the controls that tell a threshold says nothing about it.
        return np.where(told[drawn].any(axis=0), _cut_shares(again, expected[drawn], edges), np.nan)

    low, high, resampled = _bootstrap(replicate, len(controls), seed, replicates)
    n_cells = sum(len(control.od) for control in controls)
    return ThresholdFit("shares", _triple(thresholds), low, high, n_cells, len(controls), resampled)


def shares_of(od: Floats, thresholds: Triple) -> Floats:
    """Return the share of cells in each bin, float64, (4,); a value on a threshold belongs to the upper bin."""
    bins = np.searchsorted(np.asarray(thresholds), od, side="right")
    return np.bincount(bins, minlength=N_BINS) / max(len(od), 1)


def _cut_labels(od: Floats, bins: NDArray[np.int64]) -> Floats:
    """Cut so that as many cells lie below each threshold as are labelled below; halfway between two cells."""
    ranked = np.sort(od)
    below = np.cumsum(np.bincount(bins, minlength=N_BINS))[:N_THRESHOLDS]
    low, high = np.clip(below - 1, 0, len(od) - 1), np.clip(below, 0, len(od) - 1)
    middle: Floats = (ranked[low] + ranked[high]) / 2
    return middle


def _cut_shares(shares: Floats, expected: Floats, edges: Floats) -> Floats:
    """Find the edges at which the shares below come nearest to those expected.

    Parameters
    ----------
    shares
        (J, K): share of each control's cells in each step of density.
    expected
        (J, 3): expected share below each threshold.
    edges
        (K + 1,).
    """
    below = np.concatenate([np.zeros((len(shares), 1)), np.cumsum(shares, axis=1)], axis=1)
    cuts = np.empty(N_THRESHOLDS)
    for number in range(N_THRESHOLDS):
        squares = ((below - expected[:, number, None]) ** 2).sum(axis=0)
        # Between two groups of cells every edge is as good; the middle is meant.
        best = np.flatnonzero(squares <= squares.min() + np.finfo(np.float64).eps * len(shares))
        cuts[number] = edges[best].mean()
    return cuts


def _contradiction(thresholds: Floats) -> str:
    text = ", ".join(f"{value:.3f}" for value in thresholds)
    if np.any(np.diff(thresholds) <= 0):
        return f"thresholds would cross: {text} OD"
    if thresholds[0] <= 0:
        return f"1+ would begin at no density at all: {text} OD"
    return ""


def _bootstrap(
    replicate: Callable[[np.random.Generator, NDArray[np.int64]], Floats], n_slides: int, seed: int, replicates: int
) -> tuple[Triple, Triple, str]:
    rng = np.random.default_rng(seed)
    across = n_slides >= MIN_SLIDES_DRAWN
    same = np.arange(n_slides)
    drawn = [replicate(rng, rng.choice(n_slides, n_slides) if across else same) for _ in range(replicates)]
    low, high = np.nanpercentile(np.stack(drawn), INTERVAL_PERCENT, axis=0)
    return _triple(low), _triple(high), ACROSS if across else WITHIN


def _triple(values: Floats) -> Triple:
    first, second, third = (float(value) for value in values)
    return first, second, third
