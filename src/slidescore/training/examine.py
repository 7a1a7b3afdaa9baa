"""The examination: a segmenter on fields that no training saw, as real H&E and in the fixed renderings."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from slidescore.cells.segmenter import Segmentation, Segmenter
from slidescore.cells.types import CELL_TYPES, TUMOR
from slidescore.stain import DEFAULT_WHITE, StainVectors, separate
from slidescore.training.examination import EXAMINATION_MPP, EXAMINATIONS, render_examination
from slidescore.training.metrics import NO_COUNTS, Counts, detection_counts, match_centers, type_counts
from slidescore.training.scene import Scene
from slidescore.training.scenes import M2C, centroids, load_scenes, read_rgb

REAL = "h_and_e"
"""The real picture, beside the renderings of EXAMINATIONS."""
BOOTSTRAP_SEED, BOOTSTRAP_DRAWS = 11, 2000
INTERVAL_PERCENT = (2.5, 97.5)


@dataclass(frozen=True, slots=True)
class ExaminedField:
    """One field: what was found and what is true. Types in the order of CELL_TYPES; empty where nothing types cells.

    `tumor_probability`, float32, and `true_types`, int8, are of the labelled cells that were found.
    """

    name: str
    patient: str
    cells: Counts
    types: tuple[Counts, ...]
    tumor_probability: NDArray[np.float32]
    true_types: NDArray[np.int8]


@dataclass(frozen=True, slots=True)
class Examined:
    """One kind of picture, all fields, with 95 % intervals over patients; the rest as in ExaminedField."""

    kind: str
    n_fields: int
    n_patients: int
    cells: Counts
    f1_low: float
    f1_high: float
    types: tuple[Counts, ...]
    tumor_probability: NDArray[np.float32]
    true_types: NDArray[np.int8]


def examine(segmenter: Segmenter, vectors: StainVectors, data: Path) -> list[Examined]:
    """Examine a segmenter on the test list of BRCA-M2C.

    Every cell found counts, and every labelled cell: there are no ignore zones in an examination.

    Parameters
    ----------
    segmenter
        Any.
    vectors
        Stain vectors, for segmenters that look at stains.
    data
        Folder of the training data sets.
    """
    scenes = [scene for scene in load_scenes(data, ("test",)) if scene.source == M2C]
    results = []
    for kind in (REAL, *EXAMINATIONS):
        fields = [examine_field(segmenter, vectors, scene, _picture(scene, kind, data)) for scene in scenes]
        results.append(summarize(kind, fields))
    return results


def examine_field(segmenter: Segmenter, vectors: StainVectors, scene: Scene, rgb: NDArray[np.uint8]) -> ExaminedField:
    """Segment one picture, uint8 (H, W, 3) at EXAMINATION_MPP, and count."""
    found = segment_picture(segmenter, vectors, rgb, EXAMINATION_MPP)
    found_um = centroids(found.nuclei).astype(np.float64) * EXAMINATION_MPP
    true_um = scene.centers_px.astype(np.float64) * EXAMINATION_MPP
    cells = detection_counts(true_um, found_um)
    if found.type_probability is None:
        return ExaminedField(scene.name, scene.patient, cells, (), np.empty(0, np.float32), np.empty(0, np.int8))
    kinds = found.type_probability.argmax(axis=1).astype(np.int8)
    types = tuple(type_counts(true_um, scene.types, found_um, kinds, k) for k in range(len(CELL_TYPES)))
    pairs = match_centers(true_um, found_um)
    return ExaminedField(
        scene.name, scene.patient, cells, types, found.type_probability[pairs[:, 1], TUMOR], scene.types[pairs[:, 0]]
    )


def segment_picture(segmenter: Segmenter, vectors: StainVectors, rgb: NDArray[np.uint8], mpp: float) -> Segmentation:
    """Segment a picture as one tile, its white taken to be 255."""
    planes = separate(rgb, DEFAULT_WHITE, vectors)
    return segmenter.segment(rgb, planes, np.ones(rgb.shape[:2], bool), mpp)


def summarize(kind: str, fields: Sequence[ExaminedField]) -> Examined:
    """Add up fields; the interval is a bootstrap over patients, whose fields stay together."""
    patients = sorted({each.patient for each in fields})
    of_patient = [add_up(each.cells for each in fields if each.patient == patient) for patient in patients]
    low, high = f1_interval(of_patient)
    n_types = min((len(each.types) for each in fields), default=0)
    types = tuple(add_up(each.types[k] for each in fields) for k in range(n_types))
    return Examined(
        kind, len(fields), len(patients), add_up(each.cells for each in fields), low, high, types,
        np.concatenate([each.tumor_probability for each in fields]),
        np.concatenate([each.true_types for each in fields]),
    )  # fmt: skip


def add_up(counts: Iterable[Counts]) -> Counts:
    """Add counts."""
    total = NO_COUNTS
    for each in counts:
        total = total + each
    return total


def f1_interval(counts: Sequence[Counts]) -> tuple[float, float]:
    """95 % interval of the pooled F1 by a bootstrap over units that belong together."""
    table = np.array([(each.n_matched, each.n_true, each.n_found) for each in counts], np.float64)
    chosen = np.random.default_rng(BOOTSTRAP_SEED).integers(len(counts), size=(BOOTSTRAP_DRAWS, len(counts)))
    sums = table[chosen].sum(axis=1)
    f1 = 2 * sums[:, 0] / np.maximum(sums[:, 1] + sums[:, 2], 1)
    low, high = np.percentile(f1, INTERVAL_PERCENT)
    return float(low), float(high)


def _picture(scene: Scene, kind: str, data: Path) -> NDArray[np.uint8]:
    return read_rgb(data / M2C / "images" / scene.name) if kind == REAL else render_examination(scene, kind)
