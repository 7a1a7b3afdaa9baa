"""A tiny folder of training data in the layout of the real sets: composed glands, rendered as H&E and written out."""

from __future__ import annotations

import csv
from functools import cache
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from slidescore.cells.types import LYMPHOCYTE, STROMAL, TUMOR
from slidescore.training.glands import compose_glands
from slidescore.training.render import render_he
from slidescore.training.scene import Scene
from slidescore.training.scenes import BRECAHAD, BRECAHAD_MPP, DSB, M2C, M2C_MPP

SIDE_PX = 192
N_DSB = 9
"""The first and the ninth are held back."""
M2C_SPLITS = ("train", "train", "train", "val", "test")
BRECAHAD_CASES = (1, 2)
"""The first is held back."""
M2C_CLASSES = {TUMOR: "tumour_epithelial", LYMPHOCYTE: "lymphocyte", STROMAL: "stromal"}


def m2c_name(number: int) -> str:
    """Its first twelve characters are the patient."""
    return f"TCGA-XX-{number:04d}_field.png"


@cache
def made_field(seed: int, side_px: int = SIDE_PX, mpp: float = M2C_MPP) -> tuple[Scene, NDArray[np.uint8]]:
    """A field of glands and its picture as H&E."""
    rng = np.random.default_rng((20, seed))
    scene = compose_glands(side_px, mpp, (), rng)
    return scene, render_he(scene, rng)


def write_data(folder: Path) -> Path:
    """Write all three sets and return the folder."""
    _write_dsb(folder / DSB)
    _write_m2c(folder / M2C)
    _write_brecahad(folder / BRECAHAD)
    return folder


def _write_dsb(folder: Path) -> None:
    folder.mkdir(parents=True)
    for number in range(N_DSB):
        scene, rgb = made_field(number)
        Image.fromarray(rgb).save(folder / f"crop{number:02d}.png")
        Image.fromarray(scene.nuclei.astype(np.uint16)).save(folder / f"crop{number:02d}_label.png")


def _write_m2c(folder: Path) -> None:
    (folder / "images").mkdir(parents=True)
    rows = []
    for number, split in enumerate(M2C_SPLITS):
        scene, rgb = made_field(100 + number)
        Image.fromarray(rgb).save(folder / "images" / m2c_name(number))
        for (x, y), kind in zip(scene.centers_px.round().astype(int), scene.types, strict=True):
            rows.append([m2c_name(number), split, x, y, M2C_CLASSES[int(kind)]])
    _write_table(folder / "labels_points.csv", ["image", "split", "x", "y", "class"], rows)


def _write_brecahad(folder: Path) -> None:
    (folder / "images").mkdir(parents=True)
    rows = []
    for case in BRECAHAD_CASES:
        name = f"Case_{case:02d}-01.jpg"
        scene, rgb = made_field(200 + case, mpp=2 * BRECAHAD_MPP)
        fine = cv2.resize(rgb, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC)
        Image.fromarray(fine).save(folder / "images" / name, quality=95)
        for (x, y), kind in zip(2 * scene.centers_px, scene.types, strict=True):
            label = "tumour" if kind == TUMOR else "non_tumour"
            rows.append([name, x, y, 30.0, 30.0, label.title(), label])
    _write_table(folder / "labels.csv", ["image", "x", "y", "w", "h", "orig_class", "class"], rows)


def _write_table(path: Path, head: list[str], rows: list[list[object]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as handle:
        writer = csv.writer(handle)
        writer.writerow(head)
        writer.writerows(rows)
