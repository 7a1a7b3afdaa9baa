"""What a segmenter is: stain planes in, nucleus labels out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from slidescore.stain import StainPlanes


@dataclass(frozen=True, slots=True)
class Segmentation:
    """Nuclei of one tile, halo included.

    Attributes
    ----------
    nuclei
        int32, (H, W); 0 is background, nucleus k has label k, labels run from 1 to n without gaps.
    detection_probability
        float32, (n,), or None where the segmenter knows none.
    type_probability
        float32, (n, 4), in the order of `slidescore.cells.types.CELL_TYPES`, each row summing to 1; or None where the
        segmenter tells no types apart.
    boxes
        int64, (n + 1, 4), half-open (y0, x0, y1, x1): where to look for each label; None where they are not known.
    """

    nuclei: NDArray[np.int32]
    detection_probability: NDArray[np.float32] | None = None
    type_probability: NDArray[np.float32] | None = None
    boxes: NDArray[np.int64] | None = None


class Segmenter(Protocol):
    """Finds nuclei; must use only pixels within the halo of a nucleus, so that tiles agree at their seams."""

    @property
    def name(self) -> str:
        """What the assay calls it."""
        ...

    @property
    def digest(self) -> str:
        """Identity of its weights or its version; another digest may give other cells."""
        ...

    def segment(
        self, rgb: NDArray[np.uint8], planes: StainPlanes, usable: NDArray[np.bool_], mpp: float
    ) -> Segmentation:
        """Find the nuclei of a tile.

        Parameters
        ----------
        rgb
            uint8, (H, W, 3), RGB, at `mpp` um/px.
        planes
            Optical density of each stain, float32, (H, W).
        usable
            bool, (H, W); False where there is no tissue or no pixel.
        mpp
            Resolution of the arrays in um/px.
        """
        ...
