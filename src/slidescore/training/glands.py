"""Composes fields of crowded glands whose every nucleus is known.

No labelled glands exist to train on, and a network trained on breast misses half of the nuclei of columnar
epithelium. A field is laid out on a coarse grid, filled with nuclei, and drawn: nuclei first, tissue under them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from slidescore.training.donors import Donor
from slidescore.training.gland_drawing import draw_nuclei
from slidescore.training.gland_layout import lay_out, place_capillaries, place_vacuoles
from slidescore.training.gland_nuclei import keep_apart, propose_nuclei
from slidescore.training.gland_style import draw_style
from slidescore.training.gland_tissue import draw_tissue
from slidescore.training.nucleus_drawing import Canvas
from slidescore.training.scene import Scene
from slidescore.training.scenes import centroids

SOURCE = "glands"
"""Source and patient of composed scenes."""
GRID_MPP = 1.0
"""Grid of the layout, um/px; no outline is finer than that."""
MARGIN_UM, MARGIN_MAX_PX = 10.0, 32
"""Rim drawn around the field and cut off, so that nuclei and glands run across its border."""
MIN_VISIBLE_SHARE, MIN_VISIBLE_UM2 = 0.3, 8.0
"""Nuclei of which less can be seen, because of others or the border, lose their label; their pixels become unknown."""
NAMES = 1 << 30
"""Numbers that names of fields are drawn from."""


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
    style = draw_style(rng)
    layout = lay_out(style, side_px * mpp, max(GRID_MPP, mpp), rng)
    vacuoles = place_vacuoles(style, layout, rng)
    capillaries = place_capillaries(layout, rng)
    nuclei = keep_apart(propose_nuclei(style, layout, vacuoles, capillaries, rng))
    shape = (side_px, side_px)
    canvas = Canvas(np.zeros(shape, np.float32), np.zeros(shape, np.float32), np.zeros(shape, np.int32))
    full_px, ghost = draw_nuclei(canvas, nuclei, style, donors, mpp, rng)
    hematoxylin, eosin = draw_tissue(canvas, style, layout, vacuoles, capillaries, mpp, rng)
    crop = (slice(margin_px, margin_px + size_px),) * 2
    labels, known, left = label_visible(canvas.nuclei[crop], full_px, ghost, mpp)
    return Scene(
        name=f"{style.layout}_{int(rng.integers(NAMES)):08x}",
        patient=SOURCE,
        source=SOURCE,
        split="train",
        mpp=mpp,
        hematoxylin_od=np.ascontiguousarray(hematoxylin[crop]),
        eosin_od=np.ascontiguousarray(eosin[crop]),
        nuclei=labels,
        types=nuclei.type[left],
        centers_px=centroids(labels),
        known=known,
        exact_masks=True,
    )


def label_visible(
    drawn: NDArray[np.int32], full_px: NDArray[np.int64], ghost: NDArray[np.bool_], mpp: float
) -> tuple[NDArray[np.int32], NDArray[np.bool_], NDArray[np.intp]]:
    """Renumber what can be asked for.

    Parameters
    ----------
    drawn
        int32, (H, W); uppermost nucleus of each pixel of the field.
    full_px, ghost
        int64 and bool, (n,); pixels of each nucleus wherever they lie, and whether it is too faint to be asked for.
    mpp
        um/px.

    Returns
    -------
    Labels from 1 without gaps, int32; the pixels where all is known, bool; the indices of the nuclei that stay.
    """
    visible = np.bincount(drawn.ravel(), minlength=len(full_px) + 1)[1:]
    good = (visible >= MIN_VISIBLE_SHARE * full_px) & (visible * mpp**2 >= MIN_VISIBLE_UM2) & (visible > 0) & ~ghost
    table = np.zeros(len(full_px) + 1, np.int32)
    table[1:][good] = np.arange(1, int(good.sum()) + 1)
    labels = table[drawn]
    return labels, (drawn == 0) | (labels > 0), np.flatnonzero(good)
