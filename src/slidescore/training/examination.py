"""Fixed renderings on which every network is examined.

They were written down, seed and ranges, before the first network was trained, and are never eased afterwards: a figure
measured on pictures that may still be changed is worth nothing, and one bar must hold for all networks that follow.
`synthetic` draws from the main ranges of training, none narrower; `sheet` shows every cell with stained cytoplasm and
shared membranes around a pale nucleus, the pattern on which the search for nuclei fails first. `heavy` came later, with
the range of that name in training: glands black with DAB. The first two were not touched for it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from slidescore.training.ranges import HEAVY, SHEET, TRAINING, RenderRanges
from slidescore.training.render import render_ihc
from slidescore.training.scene import Scene

EXAMINATION_SEED = 20240229
"""Root of all seeds; never changed."""

EXAMINATION_MPP = 0.5
"""Resolution at which scenes are examined, whole fields, um/px."""

EXAMINATIONS: Mapping[str, RenderRanges] = MappingProxyType({"synthetic": TRAINING, "sheet": SHEET, "heavy": HEAVY})
"""Kind of examination and its ranges."""


def render_examination(scene: Scene, kind: str) -> NDArray[np.uint8]:
    """Return the one picture of `scene` on which networks are examined; uint8, (H, W, 3), RGB.

    Parameters
    ----------
    scene
        A whole field at EXAMINATION_MPP.
    kind
        Key of EXAMINATIONS.

    Raises
    ------
    KeyError
        If there is no such examination.
    """
    ranges = EXAMINATIONS[kind]
    return render_ihc(scene, ranges, np.random.default_rng(examination_seed(scene.name, kind)))


def examination_seed(name: str, kind: str) -> np.random.SeedSequence:
    """Return the seed of one picture, from the root, the scene's name and the kind alone."""
    digest = hashlib.sha256(f"{name}\n{kind}".encode()).digest()
    return np.random.SeedSequence([EXAMINATION_SEED, *np.frombuffer(digest, dtype="<u4").tolist()])
