"""Real fields with labelled nuclei, in the style of DeepLIIF's sample data: NAME.png beside NAME_truth.png.

Red is a positive nucleus, blue a negative one, green the border drawn around each, which
belongs to it. For evaluation only: nothing is fitted to them, and no picture of them
is written anywhere.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from PIL import Image
from scipy.ndimage import distance_transform_edt
from skimage.measure import label
from skimage.segmentation import watershed

from slidescore.assay import Assay
from slidescore.cells import Segmenter
from slidescore.cells.table import floats
from slidescore.pipeline.analysis import analyze_slide
from slidescore.scoring import bin_values
from slidescore.slide import ArrayReader
from slidescore.stain import StainVectors
from slidescore.training.examine import segment_picture
from slidescore.training.metrics import NO_COUNTS, Counts, detection_counts, mask_counts
from slidescore.training.scenes import centroids

MIN_AREA_PX = 20
BRIGHT = 100
BOOTSTRAP = 2000


@dataclass(frozen=True)
class Labelled:
    """One field: picture, instance labels int32 (H, W), and which labels are positive, bool (n,)."""

    name: str
    rgb: np.ndarray
    nuclei: np.ndarray
    positive: np.ndarray


@dataclass(frozen=True)
class NucleiCounts:
    """Counts of one field or several."""

    cells: Counts = NO_COUNTS
    positive: Counts = NO_COUNTS
    negative: Counts = NO_COUNTS
    masks: Counts = NO_COUNTS
    foreground: Counts = NO_COUNTS
    share_labelled: float = 0.0
    share_measured: float = 0.0

    @property
    def foreground_iou(self) -> float:
        """Intersection over union of all nuclei against background."""
        union = self.foreground.n_true + self.foreground.n_found - self.foreground.n_matched
        return self.foreground.n_matched / max(union, 1)


def load_fields(folder: Path) -> list[Labelled]:
    """Read all fields of a folder."""
    fields = []
    for path in sorted(folder.glob("*_truth.png")):
        name = path.name.removesuffix("_truth.png")
        rgb = np.asarray(Image.open(path.with_name(f"{name}.png")).convert("RGB"))
        fields.append(Labelled(name, rgb, *read_truth(np.asarray(Image.open(path).convert("RGB")))))
    return fields


def read_truth(picture: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Read nuclei from a truth picture: labels int32 (H, W), and which are positive, bool (n,)."""
    red, green, blue = (picture[..., c].astype(int) for c in range(3))
    masks = (
        (red > BRIGHT) & (blue < BRIGHT) & (green < BRIGHT),
        (blue > BRIGHT) & (red < BRIGHT) & (green < BRIGHT),
    )
    nuclei, positive = np.zeros(picture.shape[:2], np.int32), []
    for is_positive, mask in zip((True, False), masks, strict=True):
        parts = label(mask, connectivity=1)
        for number in np.flatnonzero(np.bincount(parts.ravel()) >= MIN_AREA_PX):
            if number:
                positive.append(is_positive)
                nuclei[parts == number] = len(positive)
    border = (green > BRIGHT) & (red < BRIGHT) & (blue < BRIGHT)
    # Each border pixel goes to the nucleus that it can be reached from first.
    away = distance_transform_edt(nuclei == 0)
    return watershed(away, nuclei, mask=border | (nuclei > 0)).astype(np.int32), np.asarray(positive, bool)


def score_field(field: Labelled, assay: Assay, segmenter: Segmenter, vectors: StainVectors, mpp: float) -> NucleiCounts:
    """Score cells and calls of the whole pipeline, and the masks of its segmenter, on one field."""
    cells = analyze_slide(lambda: ArrayReader(field.rgb, mpp=mpp), assay).cells
    found = np.stack([floats(cells, "x"), floats(cells, "y")], axis=1).astype(float) * mpp
    called = bin_values(floats(cells, "dab_od_nucleus"), assay.bins.of("nucleus")) > 0
    true = (centroids(field.nuclei) + 0.5).astype(float) * mpp
    masks = masks_at(field.rgb, segmenter, vectors, mpp, assay.reading.mpp)
    both, positive = (masks > 0) & (field.nuclei > 0), field.positive
    return NucleiCounts(
        detection_counts(true, found),
        detection_counts(true[positive], found[called]),
        detection_counts(true[~positive], found[~called]),
        mask_counts(field.nuclei, masks),
        Counts(int(both.sum()), int((field.nuclei > 0).sum()), int((masks > 0).sum())),
        float(positive.mean()),
        float(called.mean()) if len(called) else 0.0,
    )


def masks_at(
    rgb: np.ndarray, segmenter: Segmenter, vectors: StainVectors, mpp: float, analysis_mpp: float
) -> np.ndarray:
    """Segment at the analysis resolution and bring the labels back to the picture's pixels."""
    height, width = rgb.shape[:2]
    size = (round(width * mpp / analysis_mpp), round(height * mpp / analysis_mpp))
    found = segment_picture(segmenter, vectors, cv2.resize(rgb, size, interpolation=cv2.INTER_AREA), analysis_mpp)
    return cv2.resize(found.nuclei, (width, height), interpolation=cv2.INTER_NEAREST)


def add(counts: list[NucleiCounts]) -> NucleiCounts:
    """Add up fields."""
    names = ("cells", "positive", "negative", "masks", "foreground")
    sums = {name: sum((getattr(each, name) for each in counts), NO_COUNTS) for name in names}
    return NucleiCounts(**sums)


def interval(counts: list[NucleiCounts], figure: Callable[[NucleiCounts], float]) -> tuple[float, float]:
    """95 % interval of a pooled figure by a bootstrap over fields; four fields make a rough one."""
    draws = np.random.default_rng(5).integers(len(counts), size=(BOOTSTRAP, len(counts)))
    values = [figure(add([counts[k] for k in chosen])) for chosen in draws]
    low, high = np.percentile(values, (2.5, 97.5))
    return float(low), float(high)
