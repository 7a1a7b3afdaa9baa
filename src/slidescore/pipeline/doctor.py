"""Checking an installation by using it: libraries, shipped assays, and a slide drawn in memory."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from slidescore.assay import Assay, list_assays, load_assay
from slidescore.errors import SlidescoreError
from slidescore.execute import available_cores
from slidescore.nn.card import find_model, list_models, read_card, read_weights
from slidescore.pipeline.analysis import analyze_slide
from slidescore.pipeline.judge import SlideIdentity, judge_slide
from slidescore.pipeline.segmenters import check_model
from slidescore.pipeline.survey import fixed_vectors
from slidescore.slide import ArrayReader
from slidescore.slide.openslide_reader import check_library_version
from slidescore.stain import StainVectors
from slidescore.version import library_versions

DISC_SPACING_PX, DISC_RADIUS_PX, DISC_ROWS = 40, 8, 12
"""The drawn slide: a grid of nuclei 8 um wide at 0.5 um/px, half of them in stained cells."""
CELL_RADIUS_PX = 16
HEMATOXYLIN_OD, DAB_OD = 0.4, 0.5


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was checked."""

    name: str
    good: bool
    text: str


def check_installation() -> Iterator[Finding]:
    """Check what scoring needs, one finding at a time."""
    yield Finding("python", True, f"{platform.python_version()} on {platform.system()} {platform.machine()}")
    yield Finding("cores", True, f"{available_cores()} usable")
    for name, version in library_versions().items():
        yield Finding(name, version != "missing", version)
    yield _check_openslide()
    yield from _check_devices()
    for name in list_models():
        yield _check_model(name)
    for name in list_assays():
        yield _check_assay(name)
    yield _check_scoring()


def _check_openslide() -> Finding:
    import openslide

    version = openslide.__library_version__
    try:
        check_library_version(version)
    except SlidescoreError as error:
        return Finding("openslide", False, str(error))
    return Finding("openslide", True, f"library {version}")


def _check_devices() -> Iterator[Finding]:
    """Say what a network would run on. Torch is asked only here, so that a broken one breaks nothing else."""
    try:
        from slidescore.nn.device import cpu_gains_from_bf16, cpu_has_bf16, list_gpus
    except (ImportError, OSError) as error:
        problem = " ".join(str(error).split())
        yield Finding("devices", False, f"torch cannot be loaded: {problem}; only the classical segmenter runs")
        return
    if cpu_gains_from_bf16():
        speed = "bf16: yes"
    elif cpu_has_bf16():
        speed = "bf16: yes, but no quicker, so a network computes in float32"
    else:
        speed = "bf16: no, so a network computes in float32"
    yield Finding("CPU", True, speed)
    yield Finding("GPU", True, ", ".join(f"cuda:{n} {name}" for n, name in enumerate(list_gpus())) or "none")


def _check_model(name: str) -> Finding:
    try:
        folder = find_model(name)
        card = read_card(folder)
        read_weights(folder, card)
    except SlidescoreError as error:
        return Finding(f"model {name}", False, str(error))
    return Finding(f"model {name}", True, f"version {card.version}, weights as on its card, {card.digest}")


def _check_assay(name: str) -> Finding:
    try:
        assay = load_assay(name).assay
        if assay.cells.segmenter == "network":
            check_model(assay)
        return Finding(f"assay {name}", True, f"{assay.title}; segmenter {assay.cells.segmenter}")
    except SlidescoreError as error:
        return Finding(f"assay {name}", False, str(error))


def _check_scoring() -> Finding:
    """Score a drawn slide whose H-score is known: half the cells at 0, half at 2+, so 100."""
    assay = _without_network(load_assay().assay)
    rgb, n_cells = draw_test_slide(fixed_vectors(assay))
    try:
        analysis = analyze_slide(lambda: ArrayReader(rgb, mpp=0.5), assay)
        row = judge_slide(analysis, assay, SlideIdentity("drawn", "drawn")).row
    except SlidescoreError as error:
        return Finding("scoring", False, str(error))
    right = row["n_cells"] == n_cells and row["h_score"] == 100.0  # noqa: PLR2004 - the drawn H-score
    return Finding("scoring", right, f"drawn slide: {row['n_cells']} of {n_cells} cells, H {row['h_score']} of 100")


def _without_network(assay: Assay) -> Assay:
    """Take the classical segmenter and count every cell: a network knows tissue, not discs on glass."""
    cells = assay.cells.model_copy(update={"segmenter": "classical"})
    tumor = assay.tumor.model_copy(update={"rule": "all", "model": None})
    return assay.model_copy(update={"cells": cells, "tumor": tumor})


def draw_test_slide(vectors: StainVectors) -> tuple[NDArray[np.uint8], int]:
    """Draw round nuclei on glass, every second one in a 2+ cell; uint8 (H, W, 3) RGB, and the number of cells."""
    side = DISC_SPACING_PX * (DISC_ROWS + 2)
    y, x = np.mgrid[:side, :side]
    hematoxylin, dab = np.zeros((side, side)), np.zeros((side, side))
    for row in range(DISC_ROWS):
        for column in range(DISC_ROWS):
            distance = np.hypot(x - DISC_SPACING_PX * (column + 1.5), y - DISC_SPACING_PX * (row + 1.5))
            nucleus, cell = distance <= DISC_RADIUS_PX, distance <= CELL_RADIUS_PX
            hematoxylin[nucleus] = HEMATOXYLIN_OD
            dab[cell & ~nucleus] = DAB_OD * ((row + column) % 2)
    density = hematoxylin[..., None] * vectors.matrix[0] + dab[..., None] * vectors.matrix[1]
    return np.rint(245.0 * 10.0**-density).astype(np.uint8), DISC_ROWS**2
