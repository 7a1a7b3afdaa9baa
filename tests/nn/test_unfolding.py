"""Input by table and maps unfolded in one pass: the bits that torch's own way gives, in either precision."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from nn.drawn_network import make_card, random_network
from slidescore.errors import DeviceError
from slidescore.nn.device import Device
from slidescore.nn.network import FOLD, SHAPE_MAPS
from slidescore.nn.segmenter import make_segmenter
from slidescore.nn.unfolding import unfold, unfold_half
from slidescore.nn.weights import Model

PRECISIONS = ("float32", "bf16")


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 3, 5), (2, 4, 3)])
def test_unfolding_is_pixel_shuffle(shape):
    n, height, width = shape
    channels = torch.rand(n, len(SHAPE_MAPS) * FOLD**2, height, width)
    expected = torch.nn.functional.pixel_shuffle(channels, FOLD).transpose(0, 1).numpy()
    found = np.full((len(SHAPE_MAPS), n * height * FOLD + 1, width * FOLD), np.nan, np.float32)
    unfold(channels.permute(0, 2, 3, 1).flatten(0, 1).contiguous().numpy(), found)
    np.testing.assert_array_equal(found[:, :-1].reshape(expected.shape), expected)
    assert np.isnan(found[:, -1]).all()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("odd", [float("inf"), -float("inf"), float("nan")])
def test_a_number_of_16_bits_that_is_none_has_the_largest_magnitude(dtype, odd):
    channels = torch.linspace(-90, 90, 5 * len(SHAPE_MAPS) * FOLD**2).reshape(1, 1, 5, -1).to(dtype)
    table = np.arange(1 << 16, dtype=np.float32)
    for finite in (True, False):
        bits = channels.view(torch.int16).numpy().view(np.uint16)
        maps, largest = unfold_half(bits, table)
        expected = np.zeros((len(SHAPE_MAPS), FOLD, 5 * FOLD), np.float32)
        unfold(bits[0].astype(np.float32), expected)
        np.testing.assert_array_equal(maps[:, 0], expected)
        assert bool(torch.tensor(largest, dtype=torch.int16).view(dtype).isfinite()) is finite
        channels[0, 0, 2, 7] = odd


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("odd", [float("inf"), float("nan")])
def test_maps_of_no_number_are_refused(precision, odd):
    network = random_network()
    with torch.no_grad():
        network.shape_head.bias[3] = odd
    card = make_card()
    segmenter = make_segmenter(Model("random", card, card.digest, network), Device("cpu", precision, "CPU"))
    with pytest.raises(DeviceError, match="number"):
        segmenter.predict_maps(np.zeros((1, 32, 48, 3), np.uint8))


@pytest.mark.parametrize("precision", PRECISIONS)
def test_maps_are_those_of_the_plain_way_to_the_last_bit(precision):
    card = make_card()
    segmenter = make_segmenter(Model("random", card, card.digest, random_network()), Device("cpu", precision, "CPU"))
    rgb = np.random.default_rng(3).integers(0, 256, (2, 96, 64, 3), dtype=np.uint8)
    rgb[0, 0, :, 0], rgb[0, 1, :, 1] = np.arange(64), 255 - np.arange(64)
    maps = segmenter.predict_maps(rgb)
    with torch.inference_mode():
        seen = torch.from_numpy(rgb).permute(0, 3, 1, 2).to(segmenter.device.dtype) / 255.0
        probability = torch.sigmoid(segmenter.network(seen)[0].float()).numpy()
    for k, name in enumerate(SHAPE_MAPS):
        found = getattr(maps, name)
        assert (found.dtype, found.flags.c_contiguous) == (np.float32, True)
        np.testing.assert_array_equal(found, probability[:, k])
