"""The network's bounds: shapes, cost, size, and what folding and shifting may change."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from nn.drawn_network import TINY, make_card, random_network
from slidescore.nn.card import MAX_WEIGHTS_BYTES, WEIGHTS_FILE
from slidescore.nn.network import SHAPE_MAPS, STRIDE, CellNetwork, NetworkConfig, fused
from slidescore.nn.weights import load_model, save_model
from slidescore.training.report import gflop_per_megapixel


@pytest.fixture(autouse=True)
def _no_gradients():
    with torch.inference_mode():
        yield


@pytest.mark.parametrize(("height", "width"), [(16, 16), (32, 80), (64, 48)])
def test_maps_have_the_size_of_the_image_and_types_a_quarter(height: int, width: int) -> None:
    shapes, types = CellNetwork(TINY).eval()(torch.rand(2, 3, height, width))
    assert shapes.shape == (2, len(SHAPE_MAPS), height, width)
    assert types.shape == (2, 4, height // 4, width // 4)


def test_the_default_network_keeps_to_its_budget(tmp_path: Path) -> None:
    network = CellNetwork()
    assert 15 < gflop_per_megapixel(network) <= 25
    save_model(tmp_path / "model", network, make_card(name="model"))
    assert (tmp_path / "model" / WEIGHTS_FILE).stat().st_size <= MAX_WEIGHTS_BYTES == 8 * 2**20
    assert load_model(tmp_path / "model").network.config == NetworkConfig()


def test_a_counted_network_costs_what_its_convolutions_cost() -> None:
    """One convolution of 3 x 3 between 4 channels on half resolution is 2 * 9 * 16 / 4 operations a pixel."""
    one, two = (
        gflop_per_megapixel(CellNetwork(NetworkConfig((4, 4, 4, 4), dilations))) for dilations in ((1,), (1, 2))
    )
    assert two - one == pytest.approx(2 * 9 * 16 / 16**2 * 1e-3, rel=1e-6)


@pytest.mark.parametrize("seed", range(3))
def test_folded_norms_change_nothing(seed: int) -> None:
    network = random_network(seed)
    folded = fused(network)
    assert any(isinstance(module, torch.nn.BatchNorm2d) for module in network.modules())
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in folded.modules())
    pixels = torch.rand(1, 3, 64, 96)
    for whole, short in zip(network(pixels), folded(pixels), strict=True):
        torch.testing.assert_close(short, whole, atol=1e-4, rtol=1e-4)


def test_an_image_moved_by_the_stride_moves_the_answer() -> None:
    network = random_network()
    pixels = torch.rand(1, 3, 512, 512)
    moved = torch.roll(pixels, (STRIDE, 2 * STRIDE), dims=(2, 3))
    margin = 224
    for here, there, fold in zip(network(pixels), network(moved), (1, 4), strict=True):
        inner = slice(margin // fold, -margin // fold)
        back = torch.roll(there, (-STRIDE // fold, -2 * STRIDE // fold), dims=(2, 3))
        torch.testing.assert_close(back[..., inner, inner], here[..., inner, inner], atol=1e-5, rtol=1e-4)
        assert here[..., inner, inner].std() > 1e-3


def test_what_lies_further_than_the_reach_does_not_matter() -> None:
    """Tiles with a halo of that size agree; dilations of the coarsest level reach furthest."""
    network = random_network()
    pixels = torch.rand(1, 3, 512, 512)
    changed = pixels.clone()
    changed[..., :16] = 0
    reach = 16 + 224
    for before, after, fold in zip(network(pixels), network(changed), (1, 4), strict=True):
        torch.testing.assert_close(after[..., reach // fold :], before[..., reach // fold :], atol=1e-6, rtol=1e-6)
        assert not torch.equal(after, before)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("shape", [(1, 16, 16), (2, 48, 80)])
def test_the_way_up_may_take_the_memory_of_the_way_down(dtype: torch.dtype, shape: tuple[int, int, int]) -> None:
    """Where gradients are not asked the sums are made in place, and are the same to the last bit."""
    n, height, width = shape
    with torch.inference_mode(mode=False):
        network = fused(random_network()).to(dtype=dtype, memory_format=torch.channels_last)
        pixels = torch.rand(n, 3, height, width, dtype=dtype).to(memory_format=torch.channels_last)
        given = pixels.clone()
        with torch.no_grad():
            in_place = network.folded(pixels)
        assert torch.equal(pixels, given)
        for found, expected in zip(in_place, network.folded(pixels), strict=True):
            assert torch.equal(found, expected)
