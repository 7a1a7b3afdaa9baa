"""A scene: a piece of tissue whose stains and nuclei are known, before it is rendered as H&E or IHC."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

UNKNOWN_TYPE = -1
"""Type of a nucleus that nobody labelled; it counts for detection and says nothing about type."""


@dataclass(frozen=True, slots=True)
class Scene:
    """Stains and nuclei of one field.

    Attributes
    ----------
    name, patient, source, split
        File stem; patient or case, which never lies in two splits; data set; `train`, `val` or `test`.
    mpp
        Resolution of all arrays, um/px.
    hematoxylin_od, eosin_od
        Optical density of the stains, float32, (H, W); nothing below 0.
    nuclei
        int32, (H, W); 0 is no nucleus, nucleus k has label k, labels run from 1 to n without gaps.
    types
        int8, (n,); index into CELL_TYPES of nucleus k at k - 1, or UNKNOWN_TYPE.
    centers_px
        float32, (n, 2), x and y; whole numbers are the middles of pixels.
    known
        bool, (H, W); False where nuclei may be that nobody labelled, so that finding one there is no error.
    exact_masks
        Whether the masks were drawn by hand or by construction; False for masks grown from points.
    """

    name: str
    patient: str
    source: str
    split: str
    mpp: float
    hematoxylin_od: NDArray[np.float32]
    eosin_od: NDArray[np.float32]
    nuclei: NDArray[np.int32]
    types: NDArray[np.int8]
    centers_px: NDArray[np.float32]
    known: NDArray[np.bool_]
    exact_masks: bool
