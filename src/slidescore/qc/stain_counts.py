"""What colours the tissue of a slide has: counts that tiles gather and that add up exactly.

They are counted in blocks of 2 um, over all tissue that is to be scored. Every count is a whole number, so neither the
cut into tiles nor their order changes a sum.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from slidescore.kernels import kernel
from slidescore.qc.square_kernels import CENTI, MOD

Levels = NDArray[np.int16]
Counts = NDArray[np.int64]

LENGTH_STEP_MOD, LENGTH_BINS = 10, 300
"""Density is counted in 300 bins of 0.01 OD; what is denser is in the last."""
ANGLE_STEP, ALONG_BINS, ACROSS_BINS = 25, 720, 720
"""Angles are counted in bins of a quarter degree, from -90 to 90; what lies beyond is in the end bins."""
ANGLE_LOW = -90 * CENTI
STAINED_MOD = 200
"""From 0.2 OD on a hue is told: there an error of 0.01 OD in the white turns it by less than 3 degrees."""
CHROMOGEN_MOD, CHROMOGEN_ALONG = 300, 22 * CENTI
"""From 0.3 OD on, and more than half of the way from hematoxylin to DAB, a block counts as chromogen."""
RED_ACROSS = -12 * CENTI
"""This far to the red side of the arc a hue is red: stains of other scanners turn by less than 9 degrees."""
NEUTRAL_OFF = 3 * CENTI
"""This near to equal density in all channels a block is grey."""


@dataclass(frozen=True, slots=True)
class BlockColours:
    """Coarse blocks of a window; int16, (h, w) each, 0 where not `whole`.

    Attributes
    ----------
    length_mod, least_mod, hematoxylin_mod
        Length of the density, least density of a channel, and hematoxylin; 1/1000 OD.
    along, across, off, neutral_off
        Angle along the arc of stains, across it, off it, and off neutral grey; 1/100 degree.
    to_hematoxylin_mod, to_dab_mod, aside_mod
        Parts of the density along the axes of the hue frame; 1/1000 OD.
    whole
        bool, (h, w): whether all pixels of the block are tissue and there.
    """

    length_mod: Levels
    least_mod: Levels
    hematoxylin_mod: Levels
    along: Levels
    across: Levels
    off: Levels
    neutral_off: Levels
    to_hematoxylin_mod: Levels
    to_dab_mod: Levels
    aside_mod: Levels
    whole: NDArray[np.bool_]

    @staticmethod
    def degrees(angle: float) -> int:
        """Return an angle in the unit in which blocks hold theirs."""
        return round(CENTI * angle)


def block_colours(described: Levels, whole: NDArray[np.bool_]) -> BlockColours:
    """Name what `describe_blocks` found; int16, (10, h, w), in the order of the attributes."""
    length, least, hematoxylin, along, across, off, neutral_off, to_hematoxylin, to_dab, aside = described
    return BlockColours(
        length, least, hematoxylin, along, across, off, neutral_off, to_hematoxylin, to_dab, aside, whole
    )


@dataclass(frozen=True, slots=True)
class ColourCounts:
    """How often the blocks of a tile or slide have which colour; all int64.

    Attributes
    ----------
    length
        (LENGTH_BINS,): all blocks by density.
    along, across
        (ALONG_BINS,), (ACROSS_BINS,): stained blocks by hue.
    red_along
        (ALONG_BINS,): those of them that are red.
    singles
        (4,): stained blocks, and of them those that are grey, chromogen, or off the arc but not red.
    moments
        (6,): sums of products of the parts of stained blocks along the hue frame: hh, dd, aa, hd, ha, da; 1e-6 OD^2.
    """

    length: Counts
    along: Counts
    across: Counts
    red_along: Counts
    singles: Counts
    moments: Counts


def no_colours() -> ColourCounts:
    """Return counts of nothing."""
    return ColourCounts(
        np.zeros(LENGTH_BINS, np.int64),
        np.zeros(ALONG_BINS, np.int64),
        np.zeros(ACROSS_BINS, np.int64),
        np.zeros(ALONG_BINS, np.int64),
        np.zeros(4, np.int64),
        np.zeros(6, np.int64),
    )


def count_colours(colours: BlockColours, counted: NDArray[np.bool_], off_limit_degrees: float) -> ColourCounts:
    """Count the blocks of a window.

    Parameters
    ----------
    colours
        The blocks.
    counted
        bool, (h, w): which of them count.
    off_limit_degrees
        From this far off the arc a hue is neither stain nor a mixture.
    """
    return ColourCounts(
        *_count(
            counted, colours.whole, colours.length_mod, colours.along, colours.across, colours.off,
            colours.neutral_off, colours.to_hematoxylin_mod, colours.to_dab_mod, colours.aside_mod,
            BlockColours.degrees(off_limit_degrees),
        )
    )  # fmt: skip


@kernel
def _count(
    counted: NDArray[np.bool_],
    whole: NDArray[np.bool_],
    length_mod: Levels,
    along_hue: Levels,
    across_hue: Levels,
    off_hue: Levels,
    neutral_off: Levels,
    to_hematoxylin: Levels,
    to_dab: Levels,
    aside_mod: Levels,
    off_limit: int,
) -> tuple[Counts, Counts, Counts, Counts, Counts, Counts]:
    lengths, alongs, acrosses = (
        np.zeros(LENGTH_BINS, np.int64),
        np.zeros(ALONG_BINS, np.int64),
        np.zeros(ACROSS_BINS, np.int64),
    )
    reds, singles, moments = np.zeros(ALONG_BINS, np.int64), np.zeros(4, np.int64), np.zeros(6, np.int64)
    for y in range(counted.shape[0]):
        for x in range(counted.shape[1]):
            if not (counted[y, x] and whole[y, x]):
                continue
            length = int(length_mod[y, x])
            lengths[max(0, min(length // LENGTH_STEP_MOD, LENGTH_BINS - 1))] += 1
            if length < STAINED_MOD:
                continue
            along, across = int(along_hue[y, x]), int(across_hue[y, x])
            bin_along = max(0, min((along - ANGLE_LOW) // ANGLE_STEP, ALONG_BINS - 1))
            red = across < RED_ACROSS
            alongs[bin_along] += 1
            acrosses[max(0, min((across - ANGLE_LOW) // ANGLE_STEP, ACROSS_BINS - 1))] += 1
            reds[bin_along] += red
            singles[0] += 1
            singles[1] += neutral_off[y, x] <= NEUTRAL_OFF
            singles[2] += length >= CHROMOGEN_MOD and along >= CHROMOGEN_ALONG
            singles[3] += off_hue[y, x] >= off_limit and not red
            h, d, a = int(to_hematoxylin[y, x]), int(to_dab[y, x]), int(aside_mod[y, x])
            moments[0] += h * h
            moments[1] += d * d
            moments[2] += a * a
            moments[3] += h * d
            moments[4] += h * a
            moments[5] += d * a
    return lengths, alongs, acrosses, reds, singles, moments


def add_colours(parts: Iterable[ColourCounts]) -> ColourCounts:
    """Add up counts."""
    total = no_colours()
    for part in parts:
        total = ColourCounts(
            total.length + part.length,
            total.along + part.along,
            total.across + part.across,
            total.red_along + part.red_along,
            total.singles + part.singles,
            total.moments + part.moments,
        )
    return total


def angle_quantile(counts: Counts, share: float) -> float | None:
    """Return the angle below which a share of the counts lies, in degrees, linear within a bin; None without counts."""
    at = _quantile(counts, share)
    return None if at is None else (ANGLE_LOW + ANGLE_STEP * at) / CENTI


def length_quantile(counts: Counts, share: float) -> float | None:
    """Return the density below which a share of the counts lies, in OD; None without counts."""
    at = _quantile(counts, share)
    return None if at is None else LENGTH_STEP_MOD * at / MOD


def _quantile(counts: Counts, share: float) -> float | None:
    below = np.cumsum(counts)
    if below[-1] == 0:
        return None
    at = int(np.searchsorted(below, share * below[-1], side="left"))
    before = int(below[at] - counts[at])
    return at + (share * int(below[-1]) - before) / max(int(counts[at]), 1)
