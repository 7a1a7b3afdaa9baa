"""Stain vectors of a laboratory from several control slides, each with the same weight.

Hematoxylin alone can be seen on negative controls, DAB only on positive ones. Each slide is solved by itself, and a
pooled vector is the median of the slides', so that one odd slide moves little.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from slidescore.stain.estimate import EXTREME_PERCENT
from slidescore.stain.hue import hue_angles, hue_frame
from slidescore.stain.vectors import StainVectors, angle_degrees, components, unit

Densities = NDArray[np.float64]
Direction = tuple[float, float, float]

DAB_MIN_OD = 0.3
"""From this length on a block counts as DAB where its hue is nearer to DAB than to hematoxylin; as the check of the
stain does (`slidescore.qc.stain_counts`)."""
DENSE_PERCENT = 99.5
"""Percentile of a stain that stands for the densest on a slide."""
DENSE_SHARE = 0.6
"""A stain is solved from blocks that hold at least this share of the densest: the less of it, the more a trace of the
other turns the hue. Of DAB on phantoms 0.5, 0.6 and 0.7 leave 0.8, 0.8 and 0.9 degrees on average."""
PURE_QUANTILE = 0.05
"""Of the blocks dense in a stain this share, with least of the other, is that stain alone. A smaller share does worse
where the camera is noisy: for DAB on phantoms of the noisiest scanner 0.02 leaves 2.0 degrees, 0.05 leaves 1.1."""
ROUNDS = 3
"""The stains are solved so often, each time from the blocks that the last vectors call dense; they rest then."""
KEPT_QUANTILE = 0.95
"""Hematoxylin is solved twice, the second time without the twentieth of blocks farthest off the first line: pigment,
erythrocytes and debris of a negative control."""
FINE_IN_COARSE = 4
"""Blocks of 1 um in one of 2 um."""
MAX_DAB_OF_NEGATIVE = 0.2
"""A negative control in which more of the stained blocks than this are DAB says nothing about hematoxylin."""


@dataclass(frozen=True, slots=True)
class StainLimits:
    """Beyond these a slide's solution is not believed.

    Attributes
    ----------
    min_od
        A block is stained when the length of its optical-density vector reaches this.
    max_turn_degrees, max_residual_od, min_blocks
        Largest turn from the fixed vector, largest unexplained density, least number of blocks.
    """

    min_od: float
    max_turn_degrees: float
    max_residual_od: float
    min_blocks: int


@dataclass(frozen=True, slots=True)
class ControlBlocks:
    """Tissue of one control, averaged in blocks, so that noise and coarse chroma of JPEG turn no hue.

    Attributes
    ----------
    fine, coarse
        float64, (N, 3) and (M, 3): optical density in R, G, B of blocks of 1 um and of 2 um.
    positive
        Whether it holds DAB.
    """

    fine: Densities
    coarse: Densities
    positive: bool


@dataclass(frozen=True, slots=True)
class SlideStains:
    """What one control says about the stains.

    Attributes
    ----------
    positive
        Whether it was to hold DAB.
    hematoxylin, dab
        Unit vectors in R, G, B; None where it says nothing about that stain.
    hematoxylin_reason, dab_reason
        Why it does not, else empty.
    residual_od
        Root mean square density that its two stains (or the fixed one where it has none) leave unexplained.
    n_stained, n_dab
        Fine blocks that are stained, and of them those in which DAB prevails.
    """

    positive: bool
    hematoxylin: Direction | None
    dab: Direction | None
    hematoxylin_reason: str
    dab_reason: str
    residual_od: float | None
    n_stained: int
    n_dab: int


@dataclass(frozen=True, slots=True)
class PooledStains:
    """Vectors of several controls.

    Attributes
    ----------
    vectors
        The vectors to use; a stain that could not be solved keeps its fixed vector.
    hematoxylin_reason, dab_reason
        Why a stain kept its fixed vector, else empty.
    n_hematoxylin, n_dab
        Controls that each vector rests on.
    hematoxylin_spread_degrees, dab_spread_degrees
        Median angle between the controls' own vectors and the pooled one; None for a vector that was kept.
    """

    vectors: StainVectors
    hematoxylin_reason: str
    dab_reason: str
    n_hematoxylin: int
    n_dab: int
    hematoxylin_spread_degrees: float | None
    dab_spread_degrees: float | None


def solve_control(blocks: ControlBlocks, fixed: StainVectors, limits: StainLimits) -> SlideStains:
    """Solve the stains of one control from its blocks.

    Notes
    -----
    On a negative control hematoxylin is the line along which its blocks differ (the first principal axis, centred, so
    that an even background of another colour is not part of it). On a positive one both stains are the extreme
    directions in the plane of the stained blocks (Macenko et al. 2009, ISBI), and each is then solved again from the
    blocks that are dense in it and hold least of the other: extremes of pale blocks are those of their noise.
    """
    stained = _stained(blocks.fine, limits)
    n = len(stained)
    n_dab = int(_is_dab(stained, fixed).sum())
    found = SlideStains(blocks.positive, None, None, "", "", None, n, n_dab)
    if n < limits.min_blocks:
        few = f"only {n} stained blocks, at least {limits.min_blocks}"
        return replace(found, hematoxylin_reason=few, dab_reason=few)
    if not blocks.positive:
        return _solve_negative(found, blocks, fixed, limits)
    if n_dab < limits.min_blocks:
        few = f"only {n_dab} blocks of DAB, at least {limits.min_blocks}"
        return replace(found, hematoxylin_reason=few, dab_reason=few)
    return _judge(found, stained, *_purified(stained, *_extremes(stained)), fixed, limits)


def pool_controls(controls: Sequence[SlideStains], fixed: StainVectors) -> PooledStains:
    """Pool the vectors of controls: the median of each stain's unit vectors, every control with the same weight.

    Hematoxylin is taken from the negative controls where any of them tells it, and else from the positive ones, on
    which it is never quite alone. DAB is taken from the positive ones.
    """
    negative = [each.hematoxylin for each in controls if not each.positive and each.hematoxylin]
    positive = [each.hematoxylin for each in controls if each.positive and each.hematoxylin]
    hematoxylins = negative or positive
    dabs = [each.dab for each in controls if each.dab]
    hematoxylin = _median(hematoxylins) if hematoxylins else fixed.hematoxylin
    dab = _median(dabs) if dabs else fixed.dab
    return PooledStains(
        vectors=StainVectors(hematoxylin, dab, "controls"),
        hematoxylin_reason="" if hematoxylins else _why([each.hematoxylin_reason for each in controls]),
        dab_reason="" if dabs else _why([each.dab_reason for each in controls if each.positive]),
        n_hematoxylin=len(hematoxylins),
        n_dab=len(dabs),
        hematoxylin_spread_degrees=_spread(hematoxylins, hematoxylin),
        dab_spread_degrees=_spread(dabs, dab),
    )


def _stained(density: Densities, limits: StainLimits) -> Densities:
    stained: Densities = density[np.linalg.norm(density, axis=1) >= limits.min_od]
    return stained


def _is_dab(density: Densities, fixed: StainVectors) -> NDArray[np.bool_]:
    frame = hue_frame(fixed)
    length, along, _ = hue_angles(density, frame)
    dab: NDArray[np.bool_] = (length >= DAB_MIN_OD) & (along > frame.separation_degrees / 2)
    return dab


def _solve_negative(found: SlideStains, blocks: ControlBlocks, fixed: StainVectors, limits: StainLimits) -> SlideStains:
    absent = "negative control"
    if found.n_dab > MAX_DAB_OF_NEGATIVE * found.n_stained:
        share = 100 * found.n_dab / found.n_stained
        return replace(found, hematoxylin_reason=f"{share:.0f} % of its stained blocks are DAB", dab_reason=absent)
    stained = _stained(blocks.coarse, limits)
    least = limits.min_blocks // FINE_IN_COARSE
    if len(stained) < least:
        few = f"only {len(stained)} stained blocks of 2 um, at least {least}"
        return replace(found, hematoxylin_reason=few, dab_reason=absent)
    axis = _first_axis(stained)
    off = np.linalg.norm((stained - stained.mean(axis=0)) @ (np.eye(3) - np.outer(axis, axis)), axis=1)
    axis = _first_axis(stained[off <= np.quantile(off, KEPT_QUANTILE)])
    judged = _judge(found, stained, axis, unit(np.asarray(fixed.dab)), fixed, limits)
    return replace(judged, dab=None, dab_reason=absent)


def _first_axis(density: Densities) -> Densities:
    centred = density - density.mean(axis=0)
    _, basis = np.linalg.eigh(centred.T @ centred)
    axis: Densities = basis[:, 2] * (1.0 if basis[:, 2].sum() > 0 else -1.0)
    return axis


def _extremes(stained: Densities) -> tuple[Densities, Densities]:
    """Return the extreme directions in the plane of the blocks: hematoxylin and DAB."""
    # The plane goes through the origin (no stain, no density), so the moments are not centred.
    _, basis = np.linalg.eigh(stained.T @ stained)
    plane = basis[:, 1:][:, ::-1]
    plane = plane * np.where(plane.sum(axis=0) < 0, -1.0, 1.0)
    angles = np.arctan2(stained @ plane[:, 1], stained @ plane[:, 0])
    ends = np.percentile(angles, [EXTREME_PERCENT, 100.0 - EXTREME_PERCENT])
    first, second = (plane @ np.array([np.cos(angle), np.sin(angle)]) for angle in ends)
    # Hematoxylin is the one that is redder in density: it absorbs red, DAB hardly does.
    return (first, second) if first[0] > second[0] else (second, first)


def _purified(stained: Densities, hematoxylin: Densities, dab: Densities) -> tuple[Densities, Densities]:
    """Solve both stains again, each from the blocks that are dense in it and hold least of the other."""
    for _ in range(ROUNDS):
        vectors = StainVectors(components(hematoxylin), components(dab), "").matrix
        parts = stained @ np.linalg.inv(vectors)
        turned = []
        for own, other in ((0, 1), (1, 0)):
            top = np.percentile(parts[:, own], DENSE_PERCENT)
            dense = parts[parts[:, own] >= DENSE_SHARE * top]
            mixed = np.quantile(dense[:, other] / dense[:, own], PURE_QUANTILE)
            aside = np.median(dense[:, 2] / dense[:, own])
            turned.append(unit(vectors[own] + mixed * vectors[other] + aside * vectors[2]))
        hematoxylin, dab = turned
    return hematoxylin, dab


def _judge(
    found: SlideStains,
    stained: Densities,
    hematoxylin: Densities,
    dab: Densities,
    fixed: StainVectors,
    limits: StainLimits,
) -> SlideStains:
    """Believe a solution within the limits, each stain by its own turn."""
    normal = unit(np.cross(hematoxylin, dab))
    residual = float(np.sqrt(np.mean((stained @ normal) ** 2)))
    reasons = []
    for vector, reference in ((hematoxylin, fixed.matrix[0]), (dab, fixed.matrix[1])):
        turn = angle_degrees(vector, reference)
        if residual > limits.max_residual_od:
            reasons.append(f"residual {residual:.3f} OD, more than {limits.max_residual_od:g}")
        elif turn > limits.max_turn_degrees:
            reasons.append(f"turns {turn:.1f} degrees, more than {limits.max_turn_degrees:g}")
        else:
            reasons.append("")
    solved = [components(unit(np.maximum(vector, 0.0))) for vector in (hematoxylin, dab)]
    return replace(
        found,
        hematoxylin=None if reasons[0] else solved[0],
        dab=None if reasons[1] else solved[1],
        hematoxylin_reason=reasons[0],
        dab_reason=reasons[1],
        residual_od=residual,
    )


def _median(vectors: Sequence[Direction]) -> Direction:
    return components(unit(np.median(np.asarray(vectors), axis=0)))


def _spread(vectors: Sequence[Direction], pooled: Direction) -> float | None:
    if not vectors:
        return None
    return float(np.median([angle_degrees(np.asarray(each), np.asarray(pooled)) for each in vectors]))


def _why(reasons: Sequence[str]) -> str:
    """Say why no control tells a stain: the first reason there is."""
    said = [reason for reason in reasons if reason]
    if not said:
        return "no such control"
    return said[0] if len(said) == 1 else f"none of {len(said)} controls tells it; of the first: {said[0]}"
