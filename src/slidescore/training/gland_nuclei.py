"""Fills a layout with nuclei: proposes them at random and keeps those that come not too close to one already kept.

How close is too close sets how much nuclei overlap. Distances are tuned by eye.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from slidescore.training.gland_layout import Layout
from slidescore.training.gland_noise import smooth_noise
from slidescore.training.gland_populations import (
    EPITHELIAL,
    MAX_PROPOSALS,
    GlandNuclei,
    endothelial_nuclei,
    epithelial_nuclei,
    lymphocytes,
    stromal_nuclei,
)
from slidescore.training.gland_style import POLAR_LAYOUTS, GlandStyle

BASAL_MAJORS, BASAL_UM = 0.42, (0.5, 4.0)
"""Least depth of centres in polar epithelium: in major axes, and basal cytoplasm added to it, range of fields."""
ROW_UM = (0.5, 2.0)
"""Depth over which the centres of one row vary, range of fields."""
APICAL_MAJORS = 0.45
"""Least distance of centres from the luminal border, in major axes."""
CRIBRIFORM_GAP_UM = 2.0
"""Added to the distance of centres from the holes of cribriform glands."""
TRABECULAR_DEPTH, CRIBRIFORM_DEPTH, SOLID_DEPTH = 0.6, 0.5, 0.45
"""Least depth of centres in minor axes, by layout."""
STROMAL_GAP = 0.3
"""Least distance of stromal centres from glands, in minor axes of the epithelial nuclei."""
CLUSTER_UM = 22.0
"""Size of clusters of lymphocytes."""
CLUSTER_THRESHOLD, CLUSTER_GROWTH = 1.3, 2.2
"""Level of noise of unit variance above which a cluster lies, and how much a density of 1 lowers it."""
STRAY_DENSITY = (0.003, 0.02)
"""Density of lymphocytes outside clusters, epithelium included; one of the two."""
VACUOLE_GAP = 0.42
"""Least distance of centres from vacuoles, in minor axes: vacuoles dent nuclei a little."""
CAPILLARY_GAP_UM = 2.0
"""Least distance of centres from capillaries, their own nuclei excepted."""
REACH_PERCENTILE = 98
"""Percentile of distances asked for beyond which no pairs are looked at: few nuclei are that long, and pairs cost."""


def propose_nuclei(
    style: GlandStyle,
    layout: Layout,
    vacuoles: NDArray[np.float64],
    capillaries: NDArray[np.float64],
    rng: np.random.Generator,
) -> GlandNuclei:
    """Propose more nuclei than fit, in random order, those of capillaries first.

    Parameters
    ----------
    style, layout
        Of the field.
    vacuoles, capillaries
        As `place_vacuoles` and `place_capillaries` give them; no nucleus is proposed in one.
    rng
        Source of all randomness.

    Returns
    -------
    GlandNuclei
        At most MAX_PROPOSALS.
    """
    stroma = layout.depth_um < -style.minor_um * STROMAL_GAP
    epithelium = (layout.depth_um > 0) & ~layout.lumen
    walls = endothelial_nuclei(capillaries, rng)
    groups = [
        walls,
        epithelial_nuclei(style, epithelium & _epithelial_places(style, layout, rng), layout, rng),
        stromal_nuclei(style.stroma_density, stroma, layout, rng),
    ]
    clustered = CLUSTER_THRESHOLD - CLUSTER_GROWTH * style.lymphocyte_density
    cluster = smooth_noise(layout.depth_um.shape[0], CLUSTER_UM / layout.mpp, rng) > clustered
    groups.append(lymphocytes(style.lymphocyte_density, stroma & cluster, layout, rng))
    groups.append(lymphocytes(rng.choice(STRAY_DENSITY), stroma | epithelium, layout, rng))
    proposed = GlandNuclei(
        *(np.concatenate([getattr(group, name) for group in groups]) for name in GlandNuclei.__slots__)
    )
    first = len(walls.x_um)
    order = np.concatenate([np.arange(first), first + rng.permutation(len(proposed.x_um) - first)])[:MAX_PROPOSALS]
    proposed = proposed.pick(order)
    free = _outside_spaces(proposed, vacuoles, capillaries)
    free[:first] = True
    return proposed.pick(np.flatnonzero(free))


def _epithelial_places(style: GlandStyle, layout: Layout, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Give where centres of epithelial nuclei may lie, if that is epithelium."""
    depth = layout.depth_um
    if style.layout == "trabeculae":  # too thin for a basal and an apical side
        return np.asarray(depth > style.minor_um * TRABECULAR_DEPTH)
    if style.layout not in POLAR_LAYOUTS:
        return np.asarray(depth > style.minor_um * SOLID_DEPTH)
    basal = style.major_um * BASAL_MAJORS + rng.uniform(*BASAL_UM)
    top = basal + (style.layers - 1) * EPITHELIAL.row_pitch * style.major_um + rng.uniform(*ROW_UM)
    if style.layout == "cribriform":  # cells stand around the holes
        free = cv2.distanceTransform((~layout.lumen).astype(np.uint8), cv2.DIST_L2, 3) * layout.mpp
        return np.asarray((free > basal + CRIBRIFORM_GAP_UM) & (depth > style.minor_um * CRIBRIFORM_DEPTH))
    apical = layout.band_um - APICAL_MAJORS * style.major_um
    return np.asarray((depth > basal) & (depth < np.minimum(top, apical)))


def _outside_spaces(
    nuclei: GlandNuclei, vacuoles: NDArray[np.float64], capillaries: NDArray[np.float64]
) -> NDArray[np.bool_]:
    free = np.ones(len(nuclei.x_um), bool)
    for x, y, radius in vacuoles:
        free &= np.hypot(nuclei.x_um - x, nuclei.y_um - y) > radius + VACUOLE_GAP * nuclei.minor_um
    for x, y, a, b, angle in capillaries:
        u = np.cos(angle) * (nuclei.x_um - x) + np.sin(angle) * (nuclei.y_um - y)
        v = -np.sin(angle) * (nuclei.x_um - x) + np.cos(angle) * (nuclei.y_um - y)
        free &= np.hypot(u / (a + CAPILLARY_GAP_UM), v / (b + CAPILLARY_GAP_UM)) > 1
    return free


def keep_apart(nuclei: GlandNuclei) -> GlandNuclei:
    """Keep nuclei in order unless one already kept is too close; distance is measured in their radii towards it.

    Parameters
    ----------
    nuclei
        Proposed nuclei; the larger closeness of two counts.

    Returns
    -------
    GlandNuclei
        Those kept, in order.
    """
    n = len(nuclei.x_um)
    if n == 0:
        return nuclei
    points = np.column_stack([nuclei.x_um, nuclei.y_um])
    reach = float(np.percentile(nuclei.major_um * nuclei.closeness, REACH_PERCENTILE))
    pairs = cKDTree(points).query_pairs(reach, output_type="ndarray")
    i, j = pairs[:, 0], pairs[:, 1]
    dx, dy = nuclei.x_um[j] - nuclei.x_um[i], nuclei.y_um[j] - nuclei.y_um[i]
    direction = np.arctan2(dy, dx)
    radii = np.zeros(len(i))
    for k in (i, j):
        turn = direction - nuclei.angle[k]
        across = np.hypot(nuclei.minor_um[k] * np.cos(turn), nuclei.major_um[k] * np.sin(turn))
        # radius of an ellipse in a direction: a b / |(b cos, a sin)|, with a and b half of the full axes
        radii += 0.5 * nuclei.major_um[k] * nuclei.minor_um[k] / across
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
    return nuclei.pick(np.array(kept, np.intp))
