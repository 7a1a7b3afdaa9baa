"""What is measured on phantoms against what was drawn: the acceptance figures, on fields of at least 2,000 cells."""

from __future__ import annotations

from typing import Any

import accuracy
import phantom_accuracy
import pytest

pytestmark = pytest.mark.slow

Scored = dict[tuple[str, str], dict[str, Any]]


@pytest.fixture(scope="module")
def scored() -> Scored:
    """Score every field once with each segmenter."""
    return {}


def score(scored: Scored, name: str, segmenter: str) -> dict[str, Any]:
    if (name, segmenter) not in scored:
        assay = accuracy.variant("cxcr4", segmenter)
        scored[name, segmenter] = phantom_accuracy.score_phantom(phantom_accuracy.draw_field(name), assay)
    assert scored[name, segmenter]["cells"] >= 2000
    return scored[name, segmenter]


@pytest.mark.parametrize("segmenter", accuracy.SEGMENTERS)
@pytest.mark.parametrize("name", ["apart, 0.5 um/px", "apart, 0.25 um/px"])
def test_cells_apart_with_densities_off_the_thresholds(scored: Scored, name: str, segmenter: str) -> None:
    figures = score(scored, name, segmenter)
    assert abs(figures["cytoplasm"]["h_measured"] - figures["cytoplasm"]["h_drawn"]) <= 3
    assert figures["precision"] >= 0.95
    assert figures["recall"] >= 0.95


@pytest.mark.parametrize("segmenter", accuracy.SEGMENTERS)
@pytest.mark.parametrize(
    "name", ["crowded, 0.5 um/px", "crowded, 0.25 um/px", "crowded 3,000/mm2", "crowded 6,000/mm2"]
)
def test_crowded_cells_with_densities_across_the_thresholds(scored: Scored, name: str, segmenter: str) -> None:
    figures = score(scored, name, segmenter)
    assert abs(figures["cytoplasm"]["h_measured"] - figures["cytoplasm"]["h_drawn"]) <= 5
    assert figures["cytoplasm"]["largest_share_error"] <= 4
    assert figures["precision"] >= 0.85
    assert figures["recall"] >= 0.85


@pytest.mark.parametrize("segmenter", accuracy.SEGMENTERS)
@pytest.mark.parametrize("name", ["negative, 0.5 um/px", "negative, 0.25 um/px"])
def test_true_negatives_score_nothing(scored: Scored, name: str, segmenter: str) -> None:
    figures = score(scored, name, segmenter)
    for compartment in phantom_accuracy.COMPARTMENTS:
        assert figures[compartment]["h_measured"] <= 1
    assert figures["recall"] >= 0.85
