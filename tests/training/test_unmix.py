from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from slidescore.training.unmix import EOSIN, HEMATOXYLIN, estimate_he, unmix_he

SIDE = 160


def unit(vector: NDArray[np.float64]) -> NDArray[np.float64]:
    return vector / np.linalg.norm(vector)


def turned(vector: NDArray[np.float64], seed: int) -> NDArray[np.float64]:
    """Turned by about eight degrees, still a colour."""
    step = np.random.default_rng(seed).standard_normal(3)
    return unit(np.maximum(unit(vector) + 0.08 * step, 0.01))


def planes() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Nuclei with hardly any eosin, fibres with hardly any hematoxylin, glass on the left."""
    rng = np.random.default_rng(0)
    nuclei = np.zeros((SIDE, SIDE), np.uint8)
    for x, y in rng.integers(40, SIDE, (40, 2)).tolist():
        cv2.circle(nuclei, (x, y), 7, 1, -1)
    hematoxylin = np.where(nuclei > 0, rng.uniform(0.4, 0.9, nuclei.shape), 0.0)
    eosin = np.where(nuclei > 0, 0.0, rng.uniform(0.1, 0.5, nuclei.shape))
    hematoxylin[:, :20] = eosin[:, :20] = 0
    return hematoxylin, eosin


def picture(
    hematoxylin: NDArray[np.float64], eosin: NDArray[np.float64], vectors: list[NDArray[np.float64]], white: float = 250
) -> NDArray[np.uint8]:
    """Beer-Lambert forward; the inverse of what is tested."""
    od = hematoxylin[..., None] * vectors[0] + eosin[..., None] * vectors[1]
    return np.rint(white * 10**-od).astype(np.uint8)


@pytest.mark.parametrize("seed", [None, 1, 2, 3])
@pytest.mark.parametrize("white", [255, 215])
def test_planes_that_were_drawn_come_back(seed: int | None, white: float) -> None:
    drawn = planes()
    vectors = [unit(v) if seed is None else turned(v, seed + k) for k, v in enumerate((HEMATOXYLIN, EOSIN))]
    found = unmix_he(picture(*drawn, vectors, white))
    for plane, wanted in zip(found, drawn, strict=True):
        assert plane.dtype == np.float32
        assert plane.shape == (SIDE, SIDE)
        assert plane.min() >= 0
        assert np.abs(plane - wanted).mean() < 0.02
        assert np.corrcoef(plane.ravel(), wanted.ravel())[0, 1] > 0.99


def test_turned_vectors_are_found_and_told_apart() -> None:
    vectors = [turned(HEMATOXYLIN, 5), turned(EOSIN, 6)]
    hematoxylin, eosin = planes()
    od = (hematoxylin[..., None] * vectors[0] + eosin[..., None] * vectors[1]).reshape(-1, 3)
    for found, wanted in zip(estimate_he(od), vectors, strict=True):
        assert np.degrees(np.arccos(min(1.0, found @ wanted))) < 2


def test_a_field_of_another_colour_or_hardly_any_gets_the_fixed_vectors() -> None:
    brown = np.abs(np.random.default_rng(0).normal(0, 0.3, (4000, 1))) * unit(np.array([0.27, 0.57, 0.78]))
    for density in (brown, np.full((400, 3), 0.4), np.zeros((4000, 3))):
        hematoxylin, eosin = estimate_he(density)
        np.testing.assert_allclose(hematoxylin, unit(HEMATOXYLIN))
        np.testing.assert_allclose(eosin, unit(EOSIN))


def test_glass_holds_no_stain() -> None:
    for plane in unmix_he(np.full((50, 50, 3), 241, np.uint8)):
        assert not plane.any()
