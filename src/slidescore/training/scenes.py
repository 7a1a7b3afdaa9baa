"""Scenes from the labelled H&E data sets; their folders are laid out as ../shared/data/train describes."""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from skimage.segmentation import relabel_sequential

from slidescore.cells.types import LYMPHOCYTE, OTHER, STROMAL, TUMOR
from slidescore.errors import InputError
from slidescore.training.pseudo_masks import grow_masks
from slidescore.training.scene import UNKNOWN_TYPE, Scene
from slidescore.training.unmix import unmix_he

DSB, M2C, BRECAHAD = "dsb2018_hist", "brca_m2c", "brecahad_30"
TYPICAL_NUCLEUS_UM2 = 38.0
"""DSB crops state no resolution; their median nucleus is taken to be of this size (a 7 um nucleus)."""
DSB_MPP = (0.15, 0.65)
M2C_MPP, BRECAHAD_MPP = 0.5, 0.24
M2C_TYPES = {"tumour": TUMOR, "lymphocyte": LYMPHOCYTE, "stromal": STROMAL}
BRECAHAD_TYPES = {
    "tumour": TUMOR,
    "tumor": TUMOR,
    "non_tumour": UNKNOWN_TYPE,
    "tumour_mitosis": TUMOR,
    "apoptosis": OTHER,
}
VALIDATION_DSB_EVERY = 8
"""Every eighth DSB crop, in the order of file names, is held back."""
VALIDATION_BRECAHAD_CASES = 1
WORKING_MPP = 0.35
"""Finer images are averaged to this: nothing is trained finer, and memory is finite."""


def load_scenes(data: Path, splits: tuple[str, ...] = ("train", "val")) -> list[Scene]:
    """Load every scene of the wanted splits, in a fixed order.

    Raises
    ------
    InputError
        If the folder holds none of the data sets.
    """
    found = [name for name in (DSB, M2C, BRECAHAD) if (data / name).is_dir()]
    if not found:
        raise InputError("holds none of the training data sets", where=str(data),
                         remedy=f"it should have a folder {DSB}, {M2C} or {BRECAHAD}")  # fmt: skip
    readers = {DSB: _dsb_scenes, M2C: _m2c_scenes, BRECAHAD: _brecahad_scenes}
    scenes = [scene for name in found for scene in _read_set(readers[name], data / name)]
    # The lists of BRCA-M2C hold back single fields of patients that are trained on; those fields are left out.
    trained = {(scene.source, scene.patient) for scene in scenes if scene.split == "train"}
    return [
        scene
        for scene in scenes
        if scene.split in splits and (scene.split == "train" or (scene.source, scene.patient) not in trained)
    ]


def _read_set(reader: Callable[[Path], Iterator[Scene]], folder: Path) -> list[Scene]:
    try:
        return list(reader(folder))
    except InputError:
        raise
    except (OSError, KeyError, ValueError) as error:
        raise InputError(
            f"is not laid out as its data set is: {' '.join(str(error).split())}", where=str(folder),
            remedy="see docs/training.md",
        ) from error  # fmt: skip


def _dsb_scenes(folder: Path) -> Iterator[Scene]:
    for number, path in enumerate(sorted(folder.glob("*_label.png"))):
        labels = np.asarray(Image.open(path)).astype(np.int32)
        name = path.name.removesuffix("_label.png")
        rgb = read_rgb(folder / f"{name}.png")
        labels = relabel_sequential(labels)[0].astype(np.int32)
        areas = np.bincount(labels.ravel())[1:]
        mpp = float(np.clip(np.sqrt(TYPICAL_NUCLEUS_UM2 / np.median(areas)), *DSB_MPP)) if len(areas) else M2C_MPP
        split = "val" if number % VALIDATION_DSB_EVERY == 0 else "train"
        types = np.full(labels.max(), UNKNOWN_TYPE, np.int8)
        yield _scene(name, name, DSB, split, mpp, rgb, labels, types, np.ones(labels.shape, bool), exact=True)


def _m2c_scenes(folder: Path) -> Iterator[Scene]:
    points: dict[str, list[tuple[float, float, int]]] = defaultdict(list)
    splits: dict[str, str] = {}
    with (folder / "labels_points.csv").open(encoding="utf-8", newline="") as handle:
        for row in csv.DictReader(handle):
            kind = row["class"].strip().lower().split("/")[0].split("_")[0]
            points[row["image"]].append((float(row["x"]), float(row["y"]), M2C_TYPES[kind]))
            splits[row["image"]] = row["split"].strip()
    for image in sorted(points):
        rgb = read_rgb(folder / "images" / image)
        table = np.array(points[image], np.float64)
        centers, types = table[:, :2].astype(np.float32), table[:, 2].astype(np.int8)
        inside = (centers >= 0).all(axis=1) & (centers[:, 0] < rgb.shape[1]) & (centers[:, 1] < rgb.shape[0])
        centers, types = centers[inside], types[inside]
        hematoxylin, eosin = unmix_he(rgb)
        labels, trusted = grow_masks(hematoxylin, centers, types, M2C_MPP)
        yield Scene(
            image, image[:12], M2C, splits[image], M2C_MPP, hematoxylin, eosin,
            *_without_gaps(labels, types, centers), trusted, exact_masks=False,
        )  # fmt: skip


def _brecahad_scenes(folder: Path) -> Iterator[Scene]:
    boxes: dict[str, list[dict[str, str]]] = defaultdict(list)
    with (folder / "labels.csv").open(encoding="utf-8", newline="") as handle:
        for row in csv.DictReader(handle):
            boxes[row["image"]].append(row)
    cases = sorted({image[:7] for image in boxes})
    for image in sorted(boxes):
        rgb = read_rgb(folder / "images" / image)
        # x and y are the middles of the boxes, as a look at the fields shows.
        centers = np.array([[float(row["x"]), float(row["y"])] for row in boxes[image]], np.float32)
        types = np.array([BRECAHAD_TYPES.get(row["class"].strip().lower().replace("-", "_"), UNKNOWN_TYPE)
                          for row in boxes[image]], np.int8)  # fmt: skip
        scale = BRECAHAD_MPP / WORKING_MPP
        rgb = cv2.resize(rgb, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        centers = np.clip(centers * scale, 0, np.array(rgb.shape[1::-1]) - 1).astype(np.float32)
        hematoxylin, eosin = unmix_he(rgb)
        labels, _ = grow_masks(hematoxylin, centers, np.where(types < 0, TUMOR, types).astype(np.int8), WORKING_MPP)
        # The boxes are not exhaustive: only what is labelled is known.
        split = "val" if image[:7] in cases[:VALIDATION_BRECAHAD_CASES] else "train"
        nuclei, types, centers = _without_gaps(labels, types, centers)
        yield Scene(image, image[:7], BRECAHAD, split, WORKING_MPP, hematoxylin, eosin, nuclei, types, centers,
                    nuclei > 0, exact_masks=False)  # fmt: skip


def _scene(
    name: str, patient: str, source: str, split: str, mpp: float, rgb: NDArray[np.uint8], labels: NDArray[np.int32],
    types: NDArray[np.int8], known: NDArray[np.bool_], *, exact: bool,
) -> Scene:  # fmt: skip
    if mpp < WORKING_MPP:
        shape = (round(rgb.shape[1] * mpp / WORKING_MPP), round(rgb.shape[0] * mpp / WORKING_MPP))
        rgb = cv2.resize(rgb, shape, interpolation=cv2.INTER_AREA)
        labels = cv2.resize(labels, shape, interpolation=cv2.INTER_NEAREST)
        known = cv2.resize(known.astype(np.uint8), shape, interpolation=cv2.INTER_NEAREST) > 0
        mpp = WORKING_MPP
    hematoxylin, eosin = unmix_he(rgb)
    return Scene(name, patient, source, split, mpp, hematoxylin, eosin,
                 *_without_gaps(labels, types, None), known, exact_masks=exact)  # fmt: skip


def _without_gaps(
    labels: NDArray[np.int32], types: NDArray[np.int8], centers_px: NDArray[np.float32] | None
) -> tuple[NDArray[np.int32], NDArray[np.int8], NDArray[np.float32]]:
    """Renumber what is left; centres not given are centroids of the masks."""
    left = np.unique(labels)
    left = left[left > 0]
    table = np.zeros(int(labels.max()) + 1, np.int32)
    table[left] = np.arange(1, len(left) + 1)
    labels = table[labels]
    return labels, types[left - 1], centroids(labels) if centers_px is None else centers_px[left - 1]


def centroids(labels: NDArray[np.int32]) -> NDArray[np.float32]:
    """Return the centroid of each label, float32, (n, 2), x and y in pixels."""
    rows, columns = np.nonzero(labels)
    own = labels[rows, columns]
    n = int(labels.max()) + 1
    count = np.maximum(np.bincount(own, minlength=n), 1)
    x, y = np.bincount(own, columns, minlength=n) / count, np.bincount(own, rows, minlength=n) / count
    return np.stack([x, y], axis=1)[1:].astype(np.float32)


def read_rgb(path: Path) -> NDArray[np.uint8]:
    """Read a picture, uint8, (H, W, 3).

    Raises
    ------
    InputError
        If it cannot be read.
    """
    try:
        return np.asarray(Image.open(path).convert("RGB"))
    except OSError as error:
        raise InputError(f"cannot be read: {error}", where=str(path)) from error
