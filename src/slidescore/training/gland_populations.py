"""Proposes nuclei of each kind: epithelial, stromal, lymphocytes, endothelial. All ranges are tuned by eye."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from slidescore.cells.types import LYMPHOCYTE, STROMAL, TUMOR
from slidescore.training.gland_layout import Layout
from slidescore.training.gland_noise import smooth_noise
from slidescore.training.gland_style import BANDED_LAYOUTS, POLAR_LAYOUTS, GlandStyle
from slidescore.training.procedural_nuclei import Chromatin
from slidescore.training.ranges import Span

MAX_PROPOSALS = 4000
"""Most nuclei proposed a field; bounds the time at coarse resolutions."""


@dataclass(frozen=True, slots=True)
class EpithelialRanges:
    """Ranges of epithelial nuclei within a field, around its style."""

    proposals: float = 5.0
    """Proposals for each nucleus that would fit: random packing is nearly full by then."""
    row_um: float = 1.5
    """Length of a place in a band of a single row."""
    row_pitch: float = 0.7
    """Distance of rows in major axes; they interlock."""
    thinness_spread: float = 0.09
    """Standard deviation of the logarithm of the aspect's square root."""
    max_major_um: float = 22.0
    """Longest nucleus."""
    patch_spread: float = 0.2
    """Standard deviation of the OD of neighbourhoods, relative."""
    patch_um: float = 45.0
    """Size of neighbourhoods."""
    other_chance: float = 0.12
    """Share of nuclei with any other interphase chromatin."""
    other_atypical: float = 0.3
    """Added to it for atypia 1."""
    mitotic_chance: float = 0.004
    """Share of mitoses."""
    mitotic_atypical: float = 0.015
    """Added to it for atypia 1."""
    mitotic_od: Span = (0.8, 1.1)
    """Mean hematoxylin OD of mitoses."""
    mitotic_closeness: float = 1.3
    """Least distance of mitoses, in the sum of the radii: the cell is round and clear."""
    od: Span = (0.12, 1.15)
    """Limits of the mean hematoxylin OD."""


@dataclass(frozen=True, slots=True)
class StromalRanges:
    """Ranges of fibroblasts."""

    place_um2: float = 110.0
    """Area of a place in full stroma."""
    major_um: Span = (8.0, 16.0)
    """Full major axis."""
    slim_um: float = 2.7
    """Mean full minor axis in a field of slim nuclei."""
    plump_um: float = 1.3
    """Added to it in a field of plump nuclei."""
    minor_spread_um: float = 0.6
    """Standard deviation of the minor axis."""
    minor_um: Span = (1.8, 5.5)
    """Limits of the minor axis."""
    angle_spread: float = 0.25
    """Standard deviation from the direction of fibres, radians."""
    mean_od: float = 0.55
    """Mean of the mean hematoxylin OD."""
    od_spread: float = 0.16
    """Its standard deviation."""
    od: Span = (0.2, 1.0)
    """Its limits."""
    closeness: float = 1.1
    """Least distance, in the sum of the radii."""


@dataclass(frozen=True, slots=True)
class LymphocyteRanges:
    """Ranges of lymphocytes."""

    place_um2: float = 30.0
    """Area of a place in a dense infiltrate."""
    proposals: float = 1.6
    """Proposals for each nucleus that would fit."""
    size_um: Span = (4.5, 6.8)
    """Geometric mean of the full axes."""
    aspect: Span = (1.0, 1.25)
    """Major over minor axis."""
    mean_od: float = 0.8
    """Mean of the mean hematoxylin OD."""
    od_spread: float = 0.13
    """Its standard deviation."""
    od: Span = (0.4, 1.15)
    """Its limits."""
    closeness: float = 0.92
    """Least distance, in the sum of the radii."""


@dataclass(frozen=True, slots=True)
class EndothelialRanges:
    """Ranges of the nuclei on the walls of capillaries."""

    a_capillary: int = 3
    """Nuclei proposed for each capillary."""
    wall_um: float = 1.0
    """Distance of their centres from the lumen."""
    major_um: Span = (6.0, 10.0)
    """Full major axis."""
    minor_um: Span = (1.9, 3.0)
    """Full minor axis."""
    od: Span = (0.4, 0.8)
    """Mean hematoxylin OD."""
    closeness: float = 1.0
    """Least distance, in the sum of the radii."""


EPITHELIAL, STROMA, LYMPHOID = EpithelialRanges(), StromalRanges(), LymphocyteRanges()
"""Ranges of all fields."""
ENDOTHELIAL = EndothelialRanges()
"""Ranges of all fields."""


@dataclass(frozen=True, slots=True)
class GlandNuclei:
    """Proposed or kept nuclei, (n,) each.

    Attributes
    ----------
    x_um, y_um
        float64; centres from the corner of the canvas.
    major_um, minor_um
        float64; full axes.
    angle
        float64; direction of the major axis, radians, x towards y.
    type
        int8; index into CELL_TYPES.
    chromatin
        int8; Chromatin.
    mean_od
        float64; mean hematoxylin OD.
    closeness
        float64; least distance to others, in the sum of the radii towards each other.
    """

    x_um: NDArray[np.float64]
    y_um: NDArray[np.float64]
    major_um: NDArray[np.float64]
    minor_um: NDArray[np.float64]
    angle: NDArray[np.float64]
    type: NDArray[np.int8]
    chromatin: NDArray[np.int8]
    mean_od: NDArray[np.float64]
    closeness: NDArray[np.float64]

    def pick(self, index: NDArray[np.intp]) -> GlandNuclei:
        """Return the nuclei of some indices, in their order."""
        return GlandNuclei(*(getattr(self, name)[index] for name in self.__slots__))


def epithelial_nuclei(
    style: GlandStyle, zone: NDArray[np.bool_], layout: Layout, rng: np.random.Generator
) -> GlandNuclei:
    """Propose epithelial nuclei in a zone of the layout's grid, bool, (h, w)."""
    ranges = EPITHELIAL
    # a zone thinner than a nucleus is long holds a row of centres: then a place is short, as the zone is
    in_rows = style.layout in BANDED_LAYOUTS
    rows_um = ranges.row_um + (style.layers - 1) * ranges.row_pitch * style.major_um
    length = min(style.major_um, rows_um) if in_rows else style.major_um
    place_um2 = np.pi / 4 * length * style.minor_um * min(style.closeness, 1.0) ** 2
    x, y, angle = _scatter(zone, _count(zone, layout, place_um2, ranges.proposals), layout, rng)
    n = len(x)
    scale = np.exp(rng.normal(0, style.size_spread, n))
    thin = np.exp(rng.normal(0, ranges.thinness_spread, n))
    polar = style.layout in POLAR_LAYOUTS
    angle = angle + (rng.normal(0, style.angle_spread, n) if polar else rng.uniform(0, np.pi, n))
    patches = smooth_noise(zone.shape[0], ranges.patch_um / layout.mpp, rng)
    patch = 1 + ranges.patch_spread * _at(patches, x, y, layout.mpp)
    od = style.epithelial_od * patch * np.exp(rng.normal(0, style.od_spread, n))
    chromatin = np.full(n, int(style.chromatin), np.int8)
    other = rng.random(n) < ranges.other_chance + ranges.other_atypical * style.atypical
    chromatin[other] = rng.integers(Chromatin.GRANULAR, Chromatin.HYPERCHROMATIC + 1, int(other.sum()))
    mitotic = rng.random(n) < ranges.mitotic_chance + ranges.mitotic_atypical * style.atypical
    chromatin[mitotic] = Chromatin.MITOTIC
    od[mitotic] = rng.uniform(*ranges.mitotic_od, int(mitotic.sum()))
    closeness = np.full(n, style.closeness)
    closeness[mitotic] = ranges.mitotic_closeness
    return GlandNuclei(
        x_um=x,
        y_um=y,
        major_um=np.minimum(style.major_um * scale / thin, ranges.max_major_um),
        minor_um=style.minor_um * scale * thin,
        angle=angle,
        type=np.full(n, TUMOR, np.int8),
        chromatin=chromatin,
        mean_od=np.clip(od, *ranges.od),
        closeness=closeness,
    )


def stromal_nuclei(density: float, zone: NDArray[np.bool_], layout: Layout, rng: np.random.Generator) -> GlandNuclei:
    """Propose spindle nuclei along the fibres in a zone of the layout's grid, bool, (h, w)."""
    ranges = STROMA
    x, y, angle = _scatter(zone, _count(zone, layout, ranges.place_um2, density), layout, rng)
    n = len(x)
    minor_um = ranges.slim_um + ranges.plump_um * rng.uniform(0, 1)
    return GlandNuclei(
        x_um=x,
        y_um=y,
        major_um=rng.uniform(*ranges.major_um, n),
        minor_um=np.clip(rng.normal(minor_um, ranges.minor_spread_um, n), *ranges.minor_um),
        angle=angle + rng.normal(0, ranges.angle_spread, n),
        type=np.full(n, STROMAL, np.int8),
        chromatin=np.full(n, Chromatin.SPINDLE, np.int8),
        mean_od=np.clip(rng.normal(ranges.mean_od, ranges.od_spread, n), *ranges.od),
        closeness=np.full(n, ranges.closeness),
    )


def lymphocytes(density: float, zone: NDArray[np.bool_], layout: Layout, rng: np.random.Generator) -> GlandNuclei:
    """Propose lymphocytes in a zone of the layout's grid, bool, (h, w)."""
    ranges = LYMPHOID
    x, y, angle = _scatter(zone, _count(zone, layout, ranges.place_um2, ranges.proposals * density), layout, rng)
    n = len(x)
    size = rng.uniform(*ranges.size_um, n)
    aspect = rng.uniform(*ranges.aspect, n)
    return GlandNuclei(
        x_um=x,
        y_um=y,
        major_um=size * np.sqrt(aspect),
        minor_um=size / np.sqrt(aspect),
        angle=angle + rng.uniform(0, np.pi, n),
        type=np.full(n, LYMPHOCYTE, np.int8),
        chromatin=np.full(n, Chromatin.LYMPHOID, np.int8),
        mean_od=np.clip(rng.normal(ranges.mean_od, ranges.od_spread, n), *ranges.od),
        closeness=np.full(n, ranges.closeness),
    )


def endothelial_nuclei(capillaries: NDArray[np.float64], rng: np.random.Generator) -> GlandNuclei:
    """Propose flat nuclei on the walls of capillaries, rows as `place_capillaries` gives them."""
    ranges = ENDOTHELIAL
    x0, y0, a, b, turn = np.repeat(capillaries, ranges.a_capillary, axis=0).T
    n = len(x0)
    theta = rng.uniform(0, 2 * np.pi, n)
    a, b = a + ranges.wall_um, b + ranges.wall_um
    u, v = a * np.cos(theta), b * np.sin(theta)
    return GlandNuclei(
        x_um=x0 + np.cos(turn) * u - np.sin(turn) * v,
        y_um=y0 + np.sin(turn) * u + np.cos(turn) * v,
        major_um=rng.uniform(*ranges.major_um, n),
        minor_um=rng.uniform(*ranges.minor_um, n),
        angle=turn + np.arctan2(b * np.cos(theta), -a * np.sin(theta)),
        type=np.full(n, STROMAL, np.int8),
        chromatin=np.full(n, Chromatin.SPINDLE, np.int8),
        mean_od=rng.uniform(*ranges.od, n),
        closeness=np.full(n, ranges.closeness),
    )


def _count(zone: NDArray[np.bool_], layout: Layout, place_um2: float, share: float) -> int:
    return min(int(np.count_nonzero(zone) * layout.mpp**2 / place_um2 * share), MAX_PROPOSALS)


def _scatter(
    zone: NDArray[np.bool_], count: int, layout: Layout, rng: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Give random places in a zone, um, and the local axis there."""
    where = np.flatnonzero(zone)
    pick = where[rng.integers(0, len(where), count)] if len(where) else where[:0]
    rows, columns = np.divmod(pick, zone.shape[1])
    angle = 0.5 * np.arctan2(layout.sin2.ravel()[pick], layout.cos2.ravel()[pick])
    shift = rng.uniform(-0.5, 0.5, (2, len(pick)))
    return (columns + shift[0]) * layout.mpp, (rows + shift[1]) * layout.mpp, angle.astype(np.float64)


def _at(field: NDArray[np.float32], x: NDArray[np.float64], y: NDArray[np.float64], mpp: float) -> NDArray[np.float32]:
    """Read a field of the grid at places in um."""
    top = field.shape[0] - 1
    rows = np.clip(np.rint(y / mpp), 0, top).astype(np.intp)
    return field[rows, np.clip(np.rint(x / mpp), 0, top).astype(np.intp)]
