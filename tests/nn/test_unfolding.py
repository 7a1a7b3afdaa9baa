"""Input by table and maps unfolded in one pass: the bits that torch's own way gives, in either precision."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from nn.drawn_network import make_card, random_network
from slidescore.nn.device import Device
from slidescore.nn.network import FOLD, SHAPE_MAPS
from slidescore.nn.segmenter import make_segmenter
from slidescore.nn.unfolding import unfold
from slidescore.nn.weights import Model

PRECISIONS = ("float32", "bf16")


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 3, 5), (2, 4, 3)])
def test_unfolding_is_pixel_shuffle(shape):
    n, height, width = shape
    channels = torch.rand(n, len(SHAPE_MAPS) * FOLD**2, height, width)
    expected = torch.nn.functional.pixel_shuffle(channels, FOLD).transpose(0, 1).numpy()
    found = unfold(channels.permute(0, 2, 3, 1).contiguous().numpy())
    assert found.flags.c_contiguous
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_maps_are_those_of_the_plain_way_to_the_last_bit(precision):
    card = make_card()
    segmenter = make_segmenter(Model("random", card, card.digest, random_network()), Device("cpu", precision, "CPU"))
    rgb = np.random.default_rng(3).integers(0, 256, (2, 48, 64, 3), dtype=np.uint8)
    rgb[0, 0, :, 0], rgb[0, 1, :, 1] = np.arange(64), 255 - np.arange(64)
    maps = segmenter.predict_maps(rgb)
    with torch.inference_mode():
        seen = torch.from_numpy(rgb).permute(0, 3, 1, 2).to(segmenter.device.dtype) / 255.0
        probability = torch.sigmoid(segmenter.network(seen)[0].float()).numpy()
    for k, name in enumerate(SHAPE_MAPS):
        found = getattr(maps, name)
        assert (found.dtype, found.flags.c_contiguous) == (np.float32, True)
        np.testing.assert_array_equal(found, probability[:, k])
