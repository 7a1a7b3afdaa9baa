"""A scanner changes the light, the stains and their densities of a phantom as it says, and nothing else."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

import phantom as ph
from phantom_scanner import SCANNERS, Scanner


@pytest.fixture(scope="module")
def field() -> ph.Phantom:
    return ph.draw_phantom(ph.plain_spec(2, n_cells=60))


def stains(rgb: NDArray[np.uint8], scanner: Scanner) -> NDArray[np.float64]:
    """Hematoxylin and DAB of each pixel by the scanner's own vectors and white; (H, W, 2)."""
    white = 255 * (np.array(scanner.white) / 255) ** scanner.gamma
    density = -np.log10(np.maximum(rgb, 1) / white)
    normal = np.cross(*scanner.vectors)
    unmixing = np.linalg.inv(np.vstack([scanner.vectors, normal / np.linalg.norm(normal)]))
    found: NDArray[np.float64] = (density @ unmixing)[..., :2]
    return found


@pytest.mark.parametrize("gamma", [0.8, 1.0, 1.2])
def test_gains_and_gamma_scale_the_drawn_densities(field: ph.Phantom, gamma: float) -> None:
    scanner = Scanner(
        "test", hematoxylin_gain=0.9, dab_gain=0.8, dab_turn_deg=4.0, hematoxylin_turn_deg=-3.0, turn_azimuth_deg=70.0,
        gamma=gamma, noise_gray=0.0, blur_um=0.0,
    )  # fmt: skip
    measured = stains(scanner.scan(field, 1), scanner)
    truth = field.truth
    cytoplasm = (truth.cell_labels > 0) & (truth.nucleus_labels == 0)
    assert np.median(measured[..., 1][cytoplasm]) == pytest.approx(
        scanner.dab_scale * np.median(truth.dab_od[cytoplasm]), abs=0.01
    )
    nuclei = truth.nucleus_labels > 0
    assert measured[..., 0][nuclei].mean() == pytest.approx(0.9 * gamma * truth.hematoxylin_od[nuclei].mean(), abs=0.01)


def test_the_same_seed_gives_the_same_pixels(field: ph.Phantom) -> None:
    once, again, other = (SCANNERS[4].scan(field, seed) for seed in (1, 1, 2))
    assert np.array_equal(once, again)
    assert not np.array_equal(once, other)


def test_scanners_have_names_of_their_own_and_turn_by_less_than_what_is_believed() -> None:
    assert len({scanner.name for scanner in SCANNERS}) == len(SCANNERS) == 5
    reference = SCANNERS[0].vectors
    for scanner in SCANNERS[1:]:
        turns = np.degrees(np.arccos(np.sum(scanner.vectors * reference, axis=1)))
        assert np.all((turns > 0) & (turns < 12))
