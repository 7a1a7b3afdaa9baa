"""What is measured on phantoms against what was drawn: the acceptance figures, on fields of at least 2,000 cells."""

from __future__ import annotations

from typing import Any

import accuracy
import pytest

import phantom as ph

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def scored() -> dict[str, dict[str, Any]]:
    """Score every field once."""
    return {}


def score(scored: dict[str, dict[str, Any]], name: str) -> dict[str, Any]:
    if name not in scored:
        scored[name] = accuracy.score_phantom(ph.draw_phantom(accuracy.FIELDS[name]))
    assert scored[name]["cells"] >= 2000
    return scored[name]


@pytest.mark.parametrize("name", ["apart, 0.5 um/px", "apart, 0.25 um/px"])
def test_cells_apart_with_densities_off_the_thresholds(scored: dict[str, dict[str, Any]], name: str) -> None:
    figures = score(scored, name)
    assert abs(figures["cytoplasm"]["h_measured"] - figures["cytoplasm"]["h_drawn"]) <= 3
    assert figures["precision"] >= 0.95
    assert figures["recall"] >= 0.95


@pytest.mark.parametrize(
    "name", ["crowded, 0.5 um/px", "crowded, 0.25 um/px", "crowded 3,000/mm2", "crowded 6,000/mm2"]
)
def test_crowded_cells_with_densities_across_the_thresholds(scored: dict[str, dict[str, Any]], name: str) -> None:
    figures = score(scored, name)
    assert abs(figures["cytoplasm"]["h_measured"] - figures["cytoplasm"]["h_drawn"]) <= 5
    assert figures["cytoplasm"]["largest_share_error"] <= 4
    assert figures["precision"] >= 0.85
    assert figures["recall"] >= 0.85


@pytest.mark.parametrize("name", ["negative, 0.5 um/px", "negative, 0.25 um/px"])
def test_true_negatives_score_nothing(scored: dict[str, dict[str, Any]], name: str) -> None:
    figures = score(scored, name)
    for compartment in accuracy.COMPARTMENTS:
        assert figures[compartment]["h_measured"] <= 1
    assert figures["recall"] >= 0.85
