"""What is measured on phantoms against what was drawn: the acceptance figures, on fields of at least 2,000 cells."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import accuracy
import phantom_accuracy
import pytest

pytestmark = pytest.mark.slow

CLASSICAL_TOO = {"apart, 0.5 um/px", "crowded, 0.5 um/px", "negative, 0.5 um/px"}
"""Fields that the classical segmenter is tried on as well; docs/accuracy.md has it on all of them."""


def cases(*names: str) -> list[Any]:
    """Each field with its segmenters, next to one another so that a field is drawn once."""
    return [
        pytest.param(name, segmenter, id=f"{name}-{segmenter}")
        for name in names
        for segmenter in accuracy.SEGMENTERS
        if segmenter != "classical" or name in CLASSICAL_TOO
    ]


draw_field = lru_cache(maxsize=1)(phantom_accuracy.draw_field)


def score(name: str, segmenter: str) -> dict[str, Any]:
    figures = phantom_accuracy.score_phantom(draw_field(name), accuracy.variant("cxcr4", segmenter))
    assert figures["cells"] >= 2000
    return figures


@pytest.mark.parametrize(("name", "segmenter"), cases("apart, 0.5 um/px", "apart, 0.25 um/px"))
def test_cells_apart_with_densities_off_the_thresholds(name: str, segmenter: str) -> None:
    figures = score(name, segmenter)
    assert abs(figures["cytoplasm"]["h_measured"] - figures["cytoplasm"]["h_drawn"]) <= 3
    assert figures["precision"] >= 0.95
    assert figures["recall"] >= 0.95


@pytest.mark.parametrize(
    ("name", "segmenter"),
    cases("crowded, 0.5 um/px", "crowded, 0.25 um/px", "crowded 3,000/mm2", "crowded 6,000/mm2"),
)
def test_crowded_cells_with_densities_across_the_thresholds(name: str, segmenter: str) -> None:
    figures = score(name, segmenter)
    assert abs(figures["cytoplasm"]["h_measured"] - figures["cytoplasm"]["h_drawn"]) <= 5
    assert figures["cytoplasm"]["largest_share_error"] <= 4
    assert figures["precision"] >= 0.85
    assert figures["recall"] >= 0.85


@pytest.mark.parametrize(("name", "segmenter"), cases("negative, 0.5 um/px", "negative, 0.25 um/px"))
def test_true_negatives_score_nothing(name: str, segmenter: str) -> None:
    figures = score(name, segmenter)
    for compartment in phantom_accuracy.COMPARTMENTS:
        assert figures[compartment]["h_measured"] <= 1
    assert figures["recall"] >= 0.85
