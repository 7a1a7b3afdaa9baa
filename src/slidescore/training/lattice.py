"""Composes lattices: black membranes around pale or brown cells, most of them cut beside their nucleus.

Glands of stomach and other mucous or clear cells look so under a strong membrane stain. What is pale there need not be
a nucleus, and what is black never is one: a field teaches both. Hematoxylin and DAB are drawn at once, because cells
without a nucleus cannot be rendered from a scene of nuclei.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from slidescore.training.donors import Donor
from slidescore.training.glands import NAMES, label_visible
from slidescore.training.lattice_layout import lay_lattice
from slidescore.training.lattice_nuclei import draw_lattice_nuclei, join, nuclei_in_glands, nuclei_in_stroma
from slidescore.training.lattice_stains import lattice_stains
from slidescore.training.nucleus_drawing import Canvas
from slidescore.training.render import StainMaps
from slidescore.training.scene import Scene
from slidescore.training.scenes import centroids

SOURCE = "lattice"
"""Source and patient of composed lattices."""
MARGIN_PX = 24
"""Rim drawn around the field and cut off."""


def compose_lattice(
    size_px: int, mpp: float, donors: Sequence[Donor], rng: np.random.Generator
) -> tuple[Scene, StainMaps]:
    """Compose one field of glands whose membranes are stained.

    Parameters
    ----------
    size_px
        Side of the square field.
    mpp
        Resolution, um/px.
    donors
        Real nuclei; half of the nuclei are stretched from them. Without any, all are procedural.
    rng
        Source of all randomness.

    Returns
    -------
    Scene, StainMaps
        Source `lattice`, split `train`, exact masks; and the stains that `slidescore.training.render.picture_of` takes.
    """
    side_px = size_px + 2 * MARGIN_PX
    layout = lay_lattice(side_px, mpp, rng)
    nuclei = join(nuclei_in_glands(layout, mpp, rng), nuclei_in_stroma(layout, mpp, rng))
    shape = (side_px, side_px)
    canvas = Canvas(np.zeros(shape, np.float32), np.zeros(shape, np.float32), np.zeros(shape, np.int32))
    full_px = draw_lattice_nuclei(canvas, nuclei, donors, mpp, rng)
    hematoxylin, dab = lattice_stains(canvas, layout, mpp, rng)
    crop = (slice(MARGIN_PX, MARGIN_PX + size_px),) * 2
    labels, known, left = label_visible(canvas.nuclei[crop], full_px, np.zeros(len(full_px), bool), mpp)
    scene = Scene(
        name=f"lattice_{int(rng.integers(NAMES)):08x}",
        patient=SOURCE,
        source=SOURCE,
        split="train",
        mpp=mpp,
        hematoxylin_od=np.ascontiguousarray(hematoxylin[crop]),
        eosin_od=np.zeros((size_px, size_px), np.float32),
        nuclei=labels,
        types=nuclei.type[left],
        centers_px=centroids(labels),
        known=known,
        exact_masks=True,
    )
    return scene, StainMaps(scene.hematoxylin_od, np.ascontiguousarray(dab[crop]), layout.cell[crop], SOURCE)
