"""Draws the kept nuclei of a field, half of them stretched from real ones. Shares and edges are tuned by eye."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from slidescore.cells.types import LYMPHOCYTE
from slidescore.training.donors import Donor, donor_axes, donor_prototypes
from slidescore.training.gland_populations import GlandNuclei
from slidescore.training.gland_style import GlandStyle
from slidescore.training.nucleus_drawing import Canvas, Placement, Prototypes, draw_nucleus
from slidescore.training.procedural_nuclei import Chromatin, procedural_prototypes

PROTOTYPES_A_KIND = 8
"""Procedural nuclei made of each chromatin a field."""
DONOR_POOL = 36
"""Real nuclei brought into the frame a field."""
DONOR_SHARE = 0.5
"""Share of nuclei stretched from real ones."""
DONOR_RANKS = 7
"""A donor is chosen among so many of nearest aspect on either side."""
SHARP_EDGE_UM, BLURRED_EDGE_UM = (0.35, 0.7), (1.0, 2.4)
"""Width of the edge of nuclei in and out of focus."""
BLURRED_OD = (0.3, 0.75)
"""Factor on the OD of nuclei out of focus."""
MIN_SEMI_AXIS_PX, MIN_EDGE_PX = 0.3, 0.5
"""Least semi-axis and edge drawn, at resolutions too coarse for nuclei."""
GHOST_OD = 0.07
"""Nuclei fainter than that above their surroundings cannot be asked of anyone; their pixels become unknown."""
GHOST_CYTOPLASM_SHARE = 0.5
"""Share of the cytoplasm's hematoxylin OD added to it."""


def draw_nuclei(
    canvas: Canvas,
    nuclei: GlandNuclei,
    style: GlandStyle,
    donors: Sequence[Donor],
    mpp: float,
    rng: np.random.Generator,
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Draw all nuclei in their order, later ones above.

    Parameters
    ----------
    canvas
        Layers, changed in place; nucleus k gets label k + 1.
    nuclei
        What is drawn.
    style
        Style of the field.
    donors
        Real nuclei; may be none.
    mpp
        Resolution of the canvas, um/px.
    rng
        Source of all randomness.

    Returns
    -------
    full_px, ghost
        int64, (n,), pixels of each nucleus, those under others included; bool, (n,), too faint to be asked for.
    """
    n = len(nuclei.x_um)
    kinds = np.repeat(np.arange(len(Chromatin), dtype=np.int8), PROTOTYPES_A_KIND)
    bank = procedural_prototypes(kinds, mpp, rng)
    chosen = PROTOTYPES_A_KIND * nuclei.chromatin.astype(np.intp) + rng.integers(0, PROTOTYPES_A_KIND, n)
    layers = list(bank.layers)
    real, aspects = _real_pool(donors, mpp, rng)
    if real is not None:
        # lymphocytes and mitoses are drawn: donors of unknown type are mostly epithelial
        use = rng.random(n) < DONOR_SHARE
        use &= (nuclei.type != LYMPHOCYTE) & (nuclei.chromatin != Chromatin.MITOTIC)
        chosen[use] = len(layers) + _similar_donors(aspects, (nuclei.major_um / nuclei.minor_um)[use], rng)
        layers += list(real.layers)
    blurred = rng.random(n) < style.blurred
    edge_um = np.where(blurred, rng.uniform(*BLURRED_EDGE_UM, n), rng.uniform(*SHARP_EDGE_UM, n))
    edge_px = edge_um / mpp
    od = nuclei.mean_od * np.where(blurred, rng.uniform(*BLURRED_OD, n), 1.0)
    flip = rng.integers(0, 2, n) * np.pi
    mirror = rng.integers(0, 2, n).astype(bool)
    full_px = np.zeros(n, np.int64)
    for k in range(n):
        place = Placement(
            x_px=nuclei.x_um[k] / mpp,
            y_px=nuclei.y_um[k] / mpp,
            semi_major_px=max(0.5 * nuclei.major_um[k] / mpp, MIN_SEMI_AXIS_PX),
            semi_minor_px=max(0.5 * nuclei.minor_um[k] / mpp, MIN_SEMI_AXIS_PX),
            angle=nuclei.angle[k] + flip[k],
            mean_od=od[k],
            edge_px=max(edge_px[k], MIN_EDGE_PX),
        )
        layer = layers[chosen[k]]
        full_px[k] = draw_nucleus(canvas, layer[::-1] if mirror[k] else layer, bank.semi_axis_px, place, k + 1)
    return full_px, od < GHOST_OD + GHOST_CYTOPLASM_SHARE * style.cytoplasm_hematoxylin_od


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
