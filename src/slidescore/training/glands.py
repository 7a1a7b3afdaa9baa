"""Composes fields of crowded glands whose every nucleus is known.

No labelled glands exist to train on, and a network trained on breast misses half of the nuclei of columnar
epithelium. A field is laid out on a coarse grid of about 1 um: gland profiles, their depth (distance to the basement
membrane), lumens and the direction of cells and fibres. Nuclei are proposed at random, each with its axes, and kept
in random order unless they come too close to one already kept; how close is too close sets how much they overlap.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree

from slidescore.cells.types import LYMPHOCYTE, STROMAL, TUMOR
from slidescore.training.nucleus_drawing import (
    Canvas,
    Chromatin,
    Donor,
    Placement,
    Prototypes,
    donor_axes,
    donor_prototypes,
    draw_nucleus,
    procedural_prototypes,
)
from slidescore.training.scene import Scene

SOURCE = "glands"
GRID_MPP = 1.0
"""Grid of the layout, um/px; no outline is finer than that."""
MARGIN_UM, MARGIN_MAX_PX = 10.0, 32
"""Rim drawn around the field and cut off, so that nuclei and glands run across its border."""
LAYOUTS = ("tubules", "branching", "cribriform", "sheet", "nests", "trabeculae", "stroma")
LAYOUT_CHANCE = (0.44, 0.20, 0.08, 0.08, 0.07, 0.06, 0.07)
POLAR_LAYOUTS = ("tubules", "branching", "cribriform", "trabeculae")
MAX_PROPOSALS = 4000
"""Most nuclei proposed a field; bounds the time at coarse resolutions."""
PROPOSALS_A_PLACE = 5.0
"""Proposals for each nucleus that would fit: random packing is nearly full by then."""
MIN_VISIBLE_SHARE = 0.3
MIN_VISIBLE_UM2 = 8.0
"""Nuclei of which less can be seen, because of others or the border, lose their label; their pixels become unknown."""
GHOST_OD = 0.07
"""Nuclei fainter than that above their surroundings cannot be asked of anyone; their pixels become unknown."""
DONOR_POOL = 36
"""Real nuclei brought into the frame a field."""
DONOR_SHARE = 0.5
DONOR_RANKS = 7
"""A donor is chosen among so many of nearest aspect on either side."""
SKIPPED_TUBULES = 0.06
"""Share of places on the grid of tubules that stay stroma."""
SECRET_CHANCE, DEBRIS_CHANCE = 0.35, 0.4
"""Share of fields with mucin or secretion, and with crumbs, in their lumens."""
CAPILLARY_GAP_UM = 7.0
"""Least distance of a capillary from glands."""
LUMEN_SHARE = 0.5
"""Pixels that are lumen by more than that may hold crumbs."""
ROUND_CHANCE = 0.25
"""Share of fields with low columnar or transversely cut, so round, nuclei."""
LAYOUT_TRIES, MIN_EPITHELIUM_SHARE = 5, 0.4
"""Layouts tried until so much of the field is epithelium."""


@dataclass(frozen=True, slots=True)
class _Style:
    """What is drawn once for a field; lengths in um."""

    layout: str
    band: float
    layers: float
    major: float
    minor: float
    size_spread: float
    angle_spread: float
    closeness: float
    chromatin: Chromatin
    epithelial_od: float
    od_spread: float
    goblet: float
    atypical: float
    stroma_density: float
    lymphocyte_density: float
    blurred: float
    cytoplasm_eosin: float
    cytoplasm_hematoxylin: float
    stroma_eosin: float


@dataclass(frozen=True, slots=True)
class _Layout:
    """Coarse fields; depth_um is positive in glands, negative in stroma."""

    depth_um: NDArray[np.float32]
    band_um: NDArray[np.float32]
    lumen: NDArray[np.bool_]
    cos2: NDArray[np.float32]
    sin2: NDArray[np.float32]
    mpp: float


@dataclass(frozen=True, slots=True)
class _Nuclei:
    """Proposed or kept nuclei; x and y in um from the corner of the canvas."""

    x: NDArray[np.float64]
    y: NDArray[np.float64]
    major: NDArray[np.float64]
    minor: NDArray[np.float64]
    angle: NDArray[np.float64]
    type: NDArray[np.int8]
    chromatin: NDArray[np.int8]
    mean_od: NDArray[np.float64]
    closeness: NDArray[np.float64]

    def pick(self, index: NDArray[np.intp]) -> _Nuclei:
        return _Nuclei(*(getattr(self, name)[index] for name in self.__slots__))


def compose_glands(size_px: int, mpp: float, donors: Sequence[Donor], rng: np.random.Generator) -> Scene:
    """Compose one field of glands, nests or sheets in stroma.

    Parameters
    ----------
    size_px
        Side of the square field.
    mpp
        Resolution, um/px.
    donors
        Real nuclei; about half of the nuclei are stretched from them. Without any, all are procedural.
    rng
        Source of all randomness.

    Returns
    -------
    Scene
        Source `glands`, split `train`, exact masks. `known` is False only where nuclei are visible that are too
        small or too faint to be asked for.
    """
    margin_px = min(round(MARGIN_UM / mpp), MARGIN_MAX_PX)
    side_px = size_px + 2 * margin_px
    style = _draw_style(rng)
    layout = _lay_out(style, side_px * mpp, max(GRID_MPP, mpp), rng)
    vacuoles = _vacuoles(style, layout, rng)
    capillaries = _capillaries(style, layout, rng)
    proposed = _propose(style, layout, vacuoles, capillaries, rng)
    kept = proposed.pick(_keep(proposed))
    shape = (side_px, side_px)
    canvas = Canvas(np.zeros(shape, np.float32), np.zeros(shape, np.float32), np.zeros(shape, np.int32))
    full_px, ghost = _draw_nuclei(canvas, kept, style, donors, mpp, rng)
    hematoxylin, eosin = _draw_tissue(canvas, style, layout, vacuoles, capillaries, mpp, rng)
    crop = (slice(margin_px, margin_px + size_px),) * 2
    labels, known, left = _label(canvas.nuclei[crop], full_px, ghost, mpp)
    return Scene(
        name=f"{style.layout}_{int(rng.integers(1 << 30)):08x}",
        patient=SOURCE,
        source=SOURCE,
        split="train",
        mpp=mpp,
        hematoxylin_od=np.ascontiguousarray(hematoxylin[crop]),
        eosin_od=np.ascontiguousarray(eosin[crop]),
        nuclei=labels,
        types=kept.type[left],
        centers_px=_centroids(labels, len(left)),
        known=known,
        exact_masks=True,
    )


def _draw_style(rng: np.random.Generator) -> _Style:
    layout = str(rng.choice(LAYOUTS, p=LAYOUT_CHANCE))
    atypical = float(rng.choice([0.0, 0.35, 1.0], p=[0.5, 0.25, 0.25]))
    minor = rng.uniform(4.2, 6.6)
    aspect = rng.uniform(1.5, 2.9)
    if atypical == 1.0 or layout in ("sheet", "nests"):
        minor, aspect = rng.uniform(5.5, 8.5), rng.uniform(1.1, 1.6)
    elif rng.random() < ROUND_CHANCE:  # cut across or low columnar: round
        minor, aspect = rng.uniform(5.0, 6.8), rng.uniform(1.1, 1.5)
    major = min(minor * aspect, 16.0)
    layers = float(rng.choice([1.0, 1.6, 2.4, 3.4], p=[0.2, 0.22, 0.3, 0.28]))
    chromatin = Chromatin(int(rng.choice(3, p=[0.45, 0.33, 0.22])))
    od = {Chromatin.GRANULAR: (0.3, 0.8), Chromatin.VESICULAR: (0.18, 0.5), Chromatin.HYPERCHROMATIC: (0.55, 1.05)}
    band = float(np.clip(major * (0.75 + 0.45 * layers) + rng.uniform(3, 16), 13, 46))
    style = _Style(
        layout=layout,
        band=band,
        layers=layers,
        major=major,
        minor=minor,
        size_spread=rng.uniform(0.07, 0.14) + 0.1 * atypical,
        angle_spread=rng.uniform(0.08, 0.25) + 0.4 * atypical,
        closeness=rng.uniform(0.58, 0.88),
        chromatin=chromatin,
        epithelial_od=rng.uniform(*od[chromatin]),
        od_spread=rng.uniform(0.1, 0.28),
        goblet=float(rng.choice([0.0, rng.uniform(0.1, 0.4), rng.uniform(0.4, 1.0)], p=[0.6, 0.2, 0.2])),
        atypical=atypical,
        stroma_density=float(rng.choice([rng.uniform(0.05, 0.25), rng.uniform(0.25, 0.7)])),
        lymphocyte_density=float(rng.choice([rng.uniform(0, 0.05), rng.uniform(0.1, 0.4), 1.0], p=[0.5, 0.35, 0.15])),
        blurred=float(rng.choice([0.03, 0.12, 0.3], p=[0.4, 0.4, 0.2])),
        cytoplasm_eosin=rng.uniform(0.05, 0.35),
        cytoplasm_hematoxylin=rng.uniform(0.0, 0.12),
        stroma_eosin=rng.uniform(0.08, 0.4),
    )
    if layout == "cribriform":
        return replace(style, closeness=rng.uniform(0.85, 1.15))
    if layout in ("sheet", "nests"):
        return replace(style, closeness=rng.uniform(0.85, 1.3), goblet=0.0)
    return style


def _noise(side: int, scale: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """Give smooth noise of about unit variance whose features are `scale` pixels apart."""
    cells = max(int(np.ceil(side / max(scale, 1.0))), 1) + 3
    coarse = rng.standard_normal((cells, cells), dtype=np.float32)
    large = cv2.resize(coarse, None, fx=max(scale, 1.0), fy=max(scale, 1.0), interpolation=cv2.INTER_CUBIC)
    y, x = rng.integers(0, np.array(large.shape) - side + 1)
    return np.asarray(large[y : y + side, x : x + side] * np.float32(1.35))


def _lay_out(style: _Style, side_um: float, grid_mpp: float, rng: np.random.Generator) -> _Layout:
    """Lay out the field; try again where the frame happens to lie on little epithelium."""
    for _ in range(LAYOUT_TRIES):
        layout = _try_layout(style, side_um, grid_mpp, rng)
        share = float(((layout.depth_um > 0) & ~layout.lumen).mean())
        if share >= MIN_EPITHELIUM_SHARE or style.layout == "stroma":
            break
    return layout


def _try_layout(style: _Style, side_um: float, grid_mpp: float, rng: np.random.Generator) -> _Layout:
    side = max(int(np.ceil(side_um / grid_mpp)) + 1, 8)
    band = style.band * (1 + 0.13 * _noise(side, 40 / grid_mpp, rng))
    lumen = np.zeros((side, side), bool)
    if style.layout == "tubules":
        inside = _tubules(style, side, grid_mpp, rng)
    elif style.layout == "branching":
        inside = _noise(side, 2.3 * style.band / grid_mpp, rng) > rng.uniform(-0.5, 0.3)
    elif style.layout in ("cribriform", "sheet"):
        inside = _noise(side, 130 / grid_mpp, rng) > rng.uniform(-2.5, -0.3)
    elif style.layout == "nests":
        inside = _noise(side, rng.uniform(22, 50) / grid_mpp, rng) > rng.uniform(-0.4, 0.5)
    elif style.layout == "trabeculae":
        inside = np.abs(_noise(side, rng.uniform(35, 70) / grid_mpp, rng)) < rng.uniform(0.3, 0.6)
    else:
        inside = np.zeros((side, side), bool)
    inside = ndimage.binary_opening(inside, iterations=4 if style.layout in ("tubules", "branching") else 2)
    depth = _signed_distance(inside, grid_mpp)
    if style.layout in ("tubules", "branching"):
        wobble = band + 1.5 * _noise(side, 6 / grid_mpp, rng) * rng.uniform(0, 1)
        lumen = depth > wobble
    elif style.layout == "cribriform":
        holes = _noise(side, rng.uniform(18, 34) / grid_mpp, rng) > rng.uniform(0.7, 1.2)
        lumen = holes & (depth > style.minor * 2)
    lumen = ndimage.binary_opening(lumen, iterations=1)
    cos2, sin2 = _directions(style, depth, lumen, grid_mpp, rng)
    return _Layout(depth, band.astype(np.float32), lumen, cos2, sin2, grid_mpp)


def _signed_distance(inside: NDArray[np.bool_], mpp: float) -> NDArray[np.float32]:
    mask = inside.astype(np.uint8)
    far = float(np.hypot(*inside.shape)) * mpp
    within = np.minimum(cv2.distanceTransform(mask, cv2.DIST_L2, 5) * mpp, far)
    beyond = np.minimum(cv2.distanceTransform(1 - mask, cv2.DIST_L2, 5) * mpp, far)
    return np.asarray(np.where(inside, within - mpp / 2, mpp / 2 - beyond), np.float32)


def _tubules(style: _Style, side: int, mpp: float, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Put noisy superellipses on a jittered grid; where two meet, a septum of stroma stays between them."""
    lumen_um = float(rng.choice([rng.uniform(0, 3), rng.uniform(6, 16), rng.uniform(15, 40)], p=[0.4, 0.4, 0.2]))
    radius = style.band + lumen_um
    stretch = rng.uniform(1.0, 2.6)
    septum = rng.uniform(2.0, 18.0)
    turn = rng.uniform(0, np.pi)
    pitch_x, pitch_y = 2 * radius * stretch * 0.92 + septum, 2 * radius * 0.92 + septum
    yy, xx = np.mgrid[:side, :side].astype(np.float32) * np.float32(mpp)
    warp = rng.uniform(0.0, 0.25) * radius
    xx = xx + warp * _noise(side, radius / mpp, rng)
    yy = yy + warp * _noise(side, radius / mpp, rng)
    middle = side * mpp / 2
    cos, sin = np.cos(turn), np.sin(turn)
    shift_u, shift_v = rng.uniform(0, pitch_x), rng.uniform(0, pitch_y)
    u = cos * (xx - middle) + sin * (yy - middle) + shift_u
    v = -sin * (xx - middle) + cos * (yy - middle) + shift_v
    serration = rng.choice([0.0, rng.uniform(0.02, 0.07)])
    teeth = rng.integers(6, 14)
    best = np.full((side, side), -side * mpp, np.float32)
    second = best.copy()
    reach = side * mpp * 0.75
    for row in range(int(-reach // pitch_y) - 1, int(reach // pitch_y) + 2):
        for column in range(int(-reach // pitch_x) - 1, int(reach // pitch_x) + 2):
            u0 = (column + 0.5 * (row % 2) + rng.normal(0, 0.08)) * pitch_x
            v0 = (row + rng.normal(0, 0.08)) * pitch_y
            size = radius * rng.uniform(0.8, 1.12)
            exponent = rng.uniform(2.0, 3.2)
            if rng.random() < SKIPPED_TUBULES:
                continue
            reach_um = 1.45 * size * stretch + 3 * warp
            x0, y0 = (
                middle + cos * (u0 - shift_u) - sin * (v0 - shift_v),
                middle + sin * (u0 - shift_u) + cos * (v0 - shift_v),
            )
            columns = slice(max(int((x0 - reach_um) / mpp), 0), max(int((x0 + reach_um) / mpp) + 1, 0))
            rows = slice(max(int((y0 - reach_um) / mpp), 0), max(int((y0 + reach_um) / mpp) + 1, 0))
            p, q = (u[rows, columns] - u0) / (size * stretch), (v[rows, columns] - v0) / size
            if p.size == 0:
                continue
            theta = np.arctan2(q, p)
            outline = 1 + serration * np.abs(np.sin(teeth * theta / 2))
            for order in (2, 3, 4):
                outline = outline + rng.normal(0, 0.04) * np.cos(order * theta + rng.uniform(0, 2 * np.pi))
            rho = (np.abs(p) ** exponent + np.abs(q) ** exponent) ** np.float32(1 / exponent)
            level = ((1 - rho / outline) * size).astype(np.float32)
            box = (rows, columns)
            second[box] = np.maximum(second[box], np.minimum(best[box], level))
            best[box] = np.maximum(best[box], level)
    return np.asarray((best > 0) & (best - second > septum), bool)


def _directions(
    style: _Style, depth: NDArray[np.float32], lumen: NDArray[np.bool_], mpp: float, rng: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Give the axis of cells in glands and of fibres in stroma, as cosine and sine of twice its angle."""
    side = depth.shape[0]
    guide = -_signed_distance(lumen, mpp) if style.layout == "cribriform" and lumen.any() else depth
    smooth = cv2.GaussianBlur(guide, (0, 0), 3.0 / mpp)
    gx, gy = cv2.Sobel(smooth, cv2.CV_32F, 1, 0), cv2.Sobel(smooth, cv2.CV_32F, 0, 1)
    across = 2 * np.arctan2(gy, gx)
    free = np.pi * (rng.uniform(0, 2) + 0.3 * _noise(side, 60 / mpp, rng))
    gland = depth > 0
    if style.layout in POLAR_LAYOUTS:
        weight = np.where(gland, 1.0, -np.exp(depth / 14.0))
    else:
        weight = np.where(gland, 0.0, -np.exp(depth / 14.0))
    rest = 1 - np.abs(weight)
    cos2 = weight * np.cos(across) + rest * np.cos(free)
    sin2 = weight * np.sin(across) + rest * np.sin(free)
    return cos2.astype(np.float32), sin2.astype(np.float32)


def _at(field: NDArray[np.float32], x: NDArray[np.float64], y: NDArray[np.float64], mpp: float) -> NDArray[np.float32]:
    top = field.shape[0] - 1
    rows = np.clip(np.rint(y / mpp), 0, top).astype(np.intp)
    return field[rows, np.clip(np.rint(x / mpp), 0, top).astype(np.intp)]


def _vacuoles(style: _Style, layout: _Layout, rng: np.random.Generator) -> NDArray[np.float64]:
    """Give goblets as rows of x, y, radius, um: in the apical part of polar epithelium, apart from each other."""
    zone = (layout.depth_um > 0.35 * layout.band_um) & (layout.depth_um < layout.band_um) & ~layout.lumen
    if style.goblet == 0 or style.layout not in POLAR_LAYOUTS or not zone.any():
        return np.zeros((0, 3))
    ys, xs = np.nonzero(zone)
    mean = rng.uniform(3.0, 6.0)
    count = min(int(style.goblet * len(ys) * layout.mpp**2 / (3.5 * mean**2)), 400)
    pick = rng.integers(0, len(ys), count)
    rows = np.column_stack([xs[pick] * layout.mpp, ys[pick] * layout.mpp, mean * np.exp(rng.normal(0, 0.2, count))])
    kept: list[NDArray[np.float64]] = []
    for row in rows:
        if all(np.hypot(row[0] - k[0], row[1] - k[1]) > 0.95 * (row[2] + k[2]) for k in kept):
            kept.append(row)
    return np.array(kept).reshape(-1, 3)


def _capillaries(style: _Style, layout: _Layout, rng: np.random.Generator) -> NDArray[np.float64]:
    """Give small vessels as rows of x, y, semi-axes and angle; um, radians."""
    zone = layout.depth_um < -CAPILLARY_GAP_UM
    count = int(rng.poisson(1.2)) if zone.any() else 0
    ys, xs = np.nonzero(zone)
    pick = rng.integers(0, max(len(ys), 1), count)
    a, b = rng.uniform(5, 11, count), rng.uniform(2.5, 5, count)
    return np.column_stack([xs[pick] * layout.mpp, ys[pick] * layout.mpp, a, b, rng.uniform(0, np.pi, count)])


def _propose(
    style: _Style,
    layout: _Layout,
    vacuoles: NDArray[np.float64],
    capillaries: NDArray[np.float64],
    rng: np.random.Generator,
) -> _Nuclei:
    groups = [_wall_nuclei(capillaries, rng)]
    depth, band = layout.depth_um, layout.band_um
    epithelium = (depth > 0) & ~layout.lumen
    if style.layout == "trabeculae":  # too thin for a basal and an apical side
        zone = epithelium & (depth > style.minor * 0.6)
    elif style.layout in POLAR_LAYOUTS:
        basal = style.major * 0.42 + rng.uniform(0.5, 4.0)
        top = basal + (style.layers - 1) * 0.7 * style.major + rng.uniform(0.5, 2.0)
        if style.layout == "cribriform":
            free = cv2.distanceTransform((~layout.lumen).astype(np.uint8), cv2.DIST_L2, 3) * layout.mpp
            zone = epithelium & (free > basal + 2) & (depth > style.minor * 0.5)
        else:
            zone = epithelium & (depth > basal) & (depth < np.minimum(top, band - 0.45 * style.major))
    else:
        zone = epithelium & (depth > style.minor * 0.45)
    groups.append(_epithelial(style, zone, layout, rng))
    stroma = depth < -style.minor * 0.3
    groups.append(_stromal(style, stroma, layout, rng))
    clusters = _noise(depth.shape[0], 22 / layout.mpp, rng)
    groups.append(_lymphocytes(style, stroma & (clusters > 1.3 - 2.2 * style.lymphocyte_density), layout, rng))
    groups.append(
        _lymphocytes(replace(style, lymphocyte_density=rng.choice([0.003, 0.02])), stroma | epithelium, layout, rng)
    )
    proposed = _Nuclei(*(np.concatenate([getattr(g, name) for g in groups]) for name in _Nuclei.__slots__))
    first = len(groups[0].x)
    order = np.concatenate([np.arange(first), first + rng.permutation(len(proposed.x) - first)])[:MAX_PROPOSALS]
    proposed = proposed.pick(order)
    free = np.ones(len(order), bool)
    for x, y, radius in vacuoles:
        free &= np.hypot(proposed.x - x, proposed.y - y) > radius + 0.42 * proposed.minor
    for x, y, a, b, angle in capillaries:
        u = np.cos(angle) * (proposed.x - x) + np.sin(angle) * (proposed.y - y)
        v = -np.sin(angle) * (proposed.x - x) + np.cos(angle) * (proposed.y - y)
        free &= np.hypot(u / (a + 2), v / (b + 2)) > 1
    free[:first] = True
    return proposed.pick(np.flatnonzero(free))


def _scatter(
    zone: NDArray[np.bool_], count: int, layout: _Layout, rng: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Give random places in a zone and the local axis there."""
    where = np.flatnonzero(zone)
    pick = where[rng.integers(0, len(where), count)] if len(where) else where[:0]
    rows, columns = np.divmod(pick, zone.shape[1])
    angle = 0.5 * np.arctan2(layout.sin2.ravel()[pick], layout.cos2.ravel()[pick])
    shift = rng.uniform(-0.5, 0.5, (2, len(pick)))
    return (columns + shift[0]) * layout.mpp, (rows + shift[1]) * layout.mpp, angle.astype(np.float64)


def _count(zone: NDArray[np.bool_], layout: _Layout, area_um2: float, share: float) -> int:
    return min(int(np.count_nonzero(zone) * layout.mpp**2 / area_um2 * share), MAX_PROPOSALS)


def _epithelial(style: _Style, zone: NDArray[np.bool_], layout: _Layout, rng: np.random.Generator) -> _Nuclei:
    # a zone thinner than a nucleus is long holds a row of centres: then a place is short, as the zone is
    in_rows = style.layout in ("tubules", "branching")
    length = min(style.major, 1.5 + (style.layers - 1) * 0.7 * style.major) if in_rows else style.major
    area = np.pi / 4 * length * style.minor * min(style.closeness, 1.0) ** 2
    x, y, angle = _scatter(zone, _count(zone, layout, area, PROPOSALS_A_PLACE), layout, rng)
    n = len(x)
    spread = style.size_spread
    scale = np.exp(rng.normal(0, spread, n))
    thin = np.exp(rng.normal(0, 0.09, n))
    polar = style.layout in POLAR_LAYOUTS
    angle = angle + (rng.normal(0, style.angle_spread, n) if polar else rng.uniform(0, np.pi, n))
    patch = 1 + 0.2 * _at(_noise(zone.shape[0], 45 / layout.mpp, rng), x, y, layout.mpp)
    od = style.epithelial_od * patch * np.exp(rng.normal(0, style.od_spread, n))
    chromatin = np.full(n, int(style.chromatin), np.int8)
    other = rng.random(n) < 0.12 + 0.3 * style.atypical
    chromatin[other] = rng.integers(0, 3, int(other.sum()))
    mitotic = rng.random(n) < 0.004 + 0.015 * style.atypical
    chromatin[mitotic] = Chromatin.MITOTIC
    od[mitotic] = rng.uniform(0.8, 1.1, int(mitotic.sum()))
    closeness = np.full(n, style.closeness)
    closeness[mitotic] = 1.3
    return _Nuclei(
        x, y, np.minimum(style.major * scale / thin, 19.0), style.minor * scale * thin, angle,
        np.full(n, TUMOR, np.int8), chromatin, np.clip(od, 0.12, 1.15), closeness,
    )  # fmt: skip


def _stromal(style: _Style, zone: NDArray[np.bool_], layout: _Layout, rng: np.random.Generator) -> _Nuclei:
    x, y, angle = _scatter(zone, _count(zone, layout, 110.0, style.stroma_density), layout, rng)
    n = len(x)
    plump = rng.uniform(0, 1)
    return _Nuclei(
        x, y, rng.uniform(8, 16, n), np.clip(rng.normal(2.7 + 1.3 * plump, 0.6, n), 1.8, 5.5),
        angle + rng.normal(0, 0.25, n), np.full(n, STROMAL, np.int8), np.full(n, Chromatin.SPINDLE, np.int8),
        np.clip(rng.normal(0.55, 0.16, n), 0.2, 1.0), np.full(n, 1.1),
    )  # fmt: skip


def _lymphocytes(style: _Style, zone: NDArray[np.bool_], layout: _Layout, rng: np.random.Generator) -> _Nuclei:
    x, y, angle = _scatter(zone, _count(zone, layout, 30.0, 1.6 * style.lymphocyte_density), layout, rng)
    n = len(x)
    size = rng.uniform(4.5, 6.8, n)
    aspect = rng.uniform(1.0, 1.25, n)
    return _Nuclei(
        x, y, size * np.sqrt(aspect), size / np.sqrt(aspect), angle + rng.uniform(0, np.pi, n),
        np.full(n, LYMPHOCYTE, np.int8), np.full(n, Chromatin.LYMPHOID, np.int8),
        np.clip(rng.normal(0.8, 0.13, n), 0.4, 1.15), np.full(n, 0.92),
    )  # fmt: skip


def _wall_nuclei(capillaries: NDArray[np.float64], rng: np.random.Generator) -> _Nuclei:
    """Give flat endothelial nuclei on the walls of capillaries."""
    x0, y0, a, b, turn = np.repeat(capillaries, 3, axis=0).T
    n = len(x0)
    theta = rng.uniform(0, 2 * np.pi, n)
    u, v = (a + 1) * np.cos(theta), (b + 1) * np.sin(theta)
    x, y = x0 + np.cos(turn) * u - np.sin(turn) * v, y0 + np.sin(turn) * u + np.cos(turn) * v
    angle = turn + np.arctan2((b + 1) * np.cos(theta), -(a + 1) * np.sin(theta))
    return _Nuclei(
        x, y, rng.uniform(6, 10, n), rng.uniform(1.9, 3, n), angle, np.full(n, STROMAL, np.int8),
        np.full(n, Chromatin.SPINDLE, np.int8), rng.uniform(0.4, 0.8, n), np.full(n, 1.0),
    )  # fmt: skip


def _keep(nuclei: _Nuclei) -> NDArray[np.intp]:
    """Keep nuclei in order unless one already kept is too close; distance is measured in their radii towards it."""
    n = len(nuclei.x)
    if n == 0:
        return np.zeros(0, np.intp)
    points = np.column_stack([nuclei.x, nuclei.y])
    reach = float(np.percentile(nuclei.major * nuclei.closeness, 98))
    pairs = cKDTree(points).query_pairs(reach, output_type="ndarray")
    i, j = pairs[:, 0], pairs[:, 1]
    dx, dy = nuclei.x[j] - nuclei.x[i], nuclei.y[j] - nuclei.y[i]
    direction = np.arctan2(dy, dx)
    radii = np.zeros(len(i))
    for k in (i, j):
        turn = direction - nuclei.angle[k]
        across = np.hypot(nuclei.minor[k] * np.cos(turn), nuclei.major[k] * np.sin(turn))
        radii += 0.5 * nuclei.major[k] * nuclei.minor[k] / across
    near = np.hypot(dx, dy) < radii * np.maximum(nuclei.closeness[i], nuclei.closeness[j])
    i, j = i[near], j[near]
    order = np.argsort(i, kind="stable")
    later = j[order]
    start = np.searchsorted(i[order], np.arange(n + 1))
    blocked = np.zeros(n, bool)
    kept = []
    for k in range(n):
        if not blocked[k]:
            kept.append(k)
            blocked[later[start[k] : start[k + 1]]] = True
    return np.array(kept, np.intp)


def _draw_nuclei(
    canvas: Canvas, nuclei: _Nuclei, style: _Style, donors: Sequence[Donor], mpp: float, rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Draw all nuclei in random order; give their full areas and which are too faint to be asked for."""
    n = len(nuclei.x)
    kinds = np.repeat(np.arange(len(Chromatin), dtype=np.int8), 8)
    bank = procedural_prototypes(kinds, mpp, rng)
    chosen = 8 * nuclei.chromatin.astype(np.intp) + rng.integers(0, 8, n)
    real, aspects = _real_pool(donors, mpp, rng)
    if real is not None:
        # lymphocytes and mitoses are drawn: donors of unknown type are mostly epithelial
        use = rng.random(n) < DONOR_SHARE
        use &= (nuclei.type != LYMPHOCYTE) & (nuclei.chromatin != Chromatin.MITOTIC)
        chosen[use] = len(bank.layers) + _similar_donors(aspects, (nuclei.major / nuclei.minor)[use], rng)
        layers = [*bank.layers, *real.layers]
    else:
        layers = list(bank.layers)
    blurred = rng.random(n) < style.blurred
    edge = np.where(blurred, rng.uniform(1.0, 2.4, n), rng.uniform(0.35, 0.7, n)) / mpp
    od = nuclei.mean_od * np.where(blurred, rng.uniform(0.3, 0.75, n), 1.0)
    flip = rng.integers(0, 2, n) * np.pi
    mirror = rng.integers(0, 2, n).astype(bool)
    full = np.zeros(n, np.int64)
    for k in range(n):
        place = Placement(
            nuclei.x[k] / mpp, nuclei.y[k] / mpp, max(0.5 * nuclei.major[k] / mpp, 0.3),
            max(0.5 * nuclei.minor[k] / mpp, 0.3), nuclei.angle[k] + flip[k], od[k], max(edge[k], 0.5),
        )  # fmt: skip
        layer = layers[chosen[k]]
        full[k] = draw_nucleus(canvas, layer[::-1] if mirror[k] else layer, bank.semi_axis_px, place, k + 1)
    return full, od < GHOST_OD + 0.5 * style.cytoplasm_hematoxylin


def _real_pool(
    donors: Sequence[Donor], mpp: float, rng: np.random.Generator
) -> tuple[Prototypes | None, NDArray[np.float64]]:
    """Give some real nuclei from round to long, and their aspects."""
    if not donors:
        return None, np.zeros(0)
    pool = [donors[k] for k in rng.integers(0, len(donors), min(DONOR_POOL, len(donors)))]
    axes = [donor_axes(donor)[1] for donor in pool]
    aspects = np.array([major / minor for major, minor in axes])
    order = np.argsort(aspects, kind="stable")
    return donor_prototypes([pool[k] for k in order], mpp), aspects[order]


def _similar_donors(
    aspects: NDArray[np.float64], wanted: NDArray[np.float64], rng: np.random.Generator
) -> NDArray[np.intp]:
    """Choose donors of nearly the wanted aspect, so that chromatin is stretched little."""
    rank = np.searchsorted(aspects, wanted) + rng.integers(-DONOR_RANKS, DONOR_RANKS + 1, len(wanted))
    return np.asarray(np.clip(rank, 0, len(aspects) - 1), np.intp)


def _draw_tissue(
    canvas: Canvas,
    style: _Style,
    layout: _Layout,
    vacuoles: NDArray[np.float64],
    capillaries: NDArray[np.float64],
    mpp: float,
    rng: np.random.Generator,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Draw cytoplasm, membranes, fibres, lumens and vessels under the nuclei."""
    side = canvas.nuclei.shape[0]

    def upsampled(field: NDArray[np.float32]) -> NDArray[np.float32]:
        scale = mpp / layout.mpp
        warp = np.array([[scale, 0, 0], [0, scale, 0]])
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        return np.asarray(cv2.warpAffine(field, warp, (side, side), flags=flags, borderMode=cv2.BORDER_REPLICATE))

    depth = upsampled(layout.depth_um)
    band = upsampled(layout.band_um)
    open_space = upsampled(cv2.GaussianBlur(layout.lumen.astype(np.float32), (0, 0), 1.3))
    open_space = np.clip((open_space - 0.45) * 2.2 + 0.5, 0, 1)
    gland = np.clip(depth / 1.2 + 0.5, 0, 1)
    grain = 1 + 0.12 * _noise(side, 1.3 / mpp, rng) + 0.16 * _noise(side, 7 / mpp, rng)
    height = np.clip(depth / np.maximum(band, 1), 0, 1)
    cytoplasm = 1 + rng.uniform(-0.7, 0.7) * (height - 0.5)
    epithelium_eosin = style.cytoplasm_eosin * cytoplasm * grain
    epithelium_eosin += rng.uniform(0, 0.12) * _cell_borders(canvas.nuclei) * (depth > 0)
    fibres = _fibres(upsampled(layout.cos2), upsampled(layout.sin2), mpp, rng)
    loose = rng.uniform(0.1, 0.7)
    stroma_eosin = (
        style.stroma_eosin
        * np.clip(1 + loose * (0.42 * fibres + 0.3 * _noise(side, 14 / mpp, rng)), 0.02, 2)
        * (0.5 + 0.5 * grain)
    )
    membrane = rng.uniform(0, 0.15) * np.exp(-((depth + 0.6) ** 2) / 1.0)
    eosin = gland * epithelium_eosin + (1 - gland) * stroma_eosin + membrane
    blue = style.cytoplasm_hematoxylin * (1 - rng.uniform(0, 0.6) * height) * grain
    hematoxylin = gland * blue + (1 - gland) * rng.uniform(0.0, 0.07) * np.clip(1 + 0.5 * fibres, 0, 2)

    clear = open_space
    mucin = np.zeros((side, side), np.float32)
    for x, y, radius in vacuoles:
        cv2.ellipse(mucin, ((x / mpp, y / mpp), (2 * radius / mpp, 1.8 * radius / mpp), rng.uniform(0, 180)), 1.0, -1)
    mucin = cv2.GaussianBlur(mucin, (0, 0), max(0.5 / mpp, 0.5))
    secret = np.zeros((side, side), np.float32)
    if rng.random() < SECRET_CHANCE:
        secret = np.clip(0.5 * _noise(side, 9 / mpp, rng), 0, 1) * open_space
    vessel, cells = _vessel_layers(capillaries, side, mpp, rng)
    clear = np.maximum(np.maximum(clear, mucin), vessel)
    eosin = eosin * (1 - clear) + rng.uniform(0, 0.3) * secret * grain + cells
    hematoxylin = hematoxylin * (1 - clear) + rng.choice([0.0, 0.09]) * (mucin + secret) * grain
    debris = _debris(open_space, mpp, rng)
    cover = canvas.cover
    hematoxylin = hematoxylin * (1 - cover) + canvas.nuclear_od + debris * (1 - cover)
    eosin = eosin * (1 - rng.uniform(0.4, 0.8) * cover)
    return np.maximum(hematoxylin, 0).astype(np.float32), np.maximum(eosin, 0).astype(np.float32)


def _cell_borders(nuclei: NDArray[np.int32]) -> NDArray[np.float32]:
    """Give lines half way between nuclei: borders of their cells."""
    empty = (nuclei == 0).astype(np.uint8)
    if empty.all():
        return np.zeros(nuclei.shape, np.float32)
    _, nearest = cv2.distanceTransformWithLabels(empty, cv2.DIST_L2, 3, labelType=cv2.DIST_LABEL_PIXEL)
    owners = np.zeros(int(nearest.max()) + 1, np.int32)
    inside = nuclei > 0
    owners[nearest[inside]] = nuclei[inside]
    cell = owners[nearest]
    border = np.zeros(nuclei.shape, np.float32)
    border[:, 1:] = cell[:, 1:] != cell[:, :-1]
    border[1:] = np.maximum(border[1:], cell[1:] != cell[:-1])
    return np.asarray(cv2.GaussianBlur(border, (0, 0), 0.7) * 1.6, np.float32)


def _fibres(
    cos2: NDArray[np.float32], sin2: NDArray[np.float32], mpp: float, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Give streaks of unit variance along the stroma's direction: noise averaged along short paths."""
    side = cos2.shape[0]
    angle = 0.5 * np.arctan2(sin2, cos2)
    step = np.float32(max(1.6 / mpp, 1.0))
    dx, dy = step * np.cos(angle), step * np.sin(angle)
    yy, xx = np.mgrid[:side, :side].astype(np.float32)
    noise = cv2.GaussianBlur(rng.standard_normal((side, side), dtype=np.float32), (0, 0), max(0.45 / mpp, 0.5))
    for stride in (1, 2, 2.7):
        ends = [
            cv2.remap(noise, xx + k * dx, yy + k * dy, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
            for k in (-0.5 * stride, 0.5 * stride)
        ]
        noise = 0.5 * (ends[0] + ends[1])
    return np.asarray(noise / max(float(noise.std()), 1e-6), np.float32)


def _vessel_layers(
    capillaries: NDArray[np.float64], side: int, mpp: float, rng: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Give the clear insides of capillaries and the eosin of red blood cells in them."""
    vessel, cells = np.zeros((side, side), np.float32), np.zeros((side, side), np.float32)
    for x, y, a, b, angle in capillaries:
        cv2.ellipse(vessel, ((x / mpp, y / mpp), (2 * a / mpp, 2 * b / mpp), np.degrees(angle)), 1.0, -1)
        for _ in range(int(rng.integers(0, 5))):
            along, od = rng.uniform(-0.7, 0.7) * a, rng.uniform(0.3, 0.7)
            centre = ((x + np.cos(angle) * along) / mpp, (y + np.sin(angle) * along) / mpp)
            cv2.ellipse(cells, (centre, (5.5 / mpp, rng.uniform(3, 5.5) / mpp), rng.uniform(0, 180)), od, -1)
    blur = max(0.5 / mpp, 0.4)
    return cv2.GaussianBlur(vessel, (0, 0), blur), cv2.GaussianBlur(cells, (0, 0), blur)


def _debris(open_space: NDArray[np.float32], mpp: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """Give dark crumbs in lumens: no nuclei, and known to be none."""
    side = len(open_space)
    out = np.zeros((side, side), np.float32)
    where = np.flatnonzero(open_space > LUMEN_SHARE)
    if len(where) and rng.random() < DEBRIS_CHANCE:
        for place in where[rng.integers(0, len(where), int(rng.integers(2, 16)))].tolist():
            y, x = divmod(place, side)
            size = rng.uniform(0.8, 2.6) / mpp
            axes = (size, size * rng.uniform(0.5, 1))
            cv2.ellipse(out, ((x, y), axes, rng.uniform(0, 180)), rng.uniform(0.1, 0.7), -1)
        out = cv2.GaussianBlur(out, (0, 0), max(0.4 / mpp, 0.4))
    return out


def _label(
    drawn: NDArray[np.int32], full_px: NDArray[np.int64], ghost: NDArray[np.bool_], mpp: float
) -> tuple[NDArray[np.int32], NDArray[np.bool_], NDArray[np.intp]]:
    """Renumber what can be asked for; give labels, known pixels and the indices of the nuclei that stay."""
    visible = np.bincount(drawn.ravel(), minlength=len(full_px) + 1)[1:]
    good = (visible >= MIN_VISIBLE_SHARE * full_px) & (visible * mpp**2 >= MIN_VISIBLE_UM2) & (visible > 0) & ~ghost
    table = np.zeros(len(full_px) + 1, np.int32)
    table[1:][good] = np.arange(1, int(good.sum()) + 1)
    labels = table[drawn]
    return labels, (drawn == 0) | (labels > 0), np.flatnonzero(good)


def _centroids(labels: NDArray[np.int32], n: int) -> NDArray[np.float32]:
    rows, columns = np.nonzero(labels)
    own = labels[rows, columns]
    count = np.maximum(np.bincount(own, minlength=n + 1), 1)
    x, y = (np.bincount(own, weights=w, minlength=n + 1) / count for w in (columns, rows))
    return np.stack([x, y], axis=1)[1:].astype(np.float32)
