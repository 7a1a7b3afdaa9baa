"""The network as a segmenter: the same cells alone or in a batch, at any size, in either precision."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch

import phantom as ph
from nn.drawn_network import DECODE, drawn_network, make_card, random_network, save_drawn
from slidescore.cells.types import CELL_TYPES, LYMPHOCYTE, TUMOR
from slidescore.errors import DeviceError, DeviceMemoryError, ModelError
from slidescore.nn.card import Calibration
from slidescore.nn.device import Device, cpu_has_bf16
from slidescore.nn.network import STRIDE
from slidescore.nn.segmenter import NetworkSegmenter, calibrated, load_segmenter, make_segmenter
from slidescore.nn.weights import Model

SINGLE, HALF = Device("cpu", "float32", "CPU"), Device("cpu", "bf16", "CPU")
MPP = 0.5
SIZES = [(256, 256), (250, 243), (47, 33), (16, 17), (5, 9), (1, 1)]


def made(network=None, device: Device = SINGLE, **card) -> NetworkSegmenter:
    made_card = make_card(**card)
    return make_segmenter(Model("drawn", made_card, made_card.digest, network or drawn_network()), device)


@pytest.fixture(scope="module")
def pixels(island: ph.Phantom) -> np.ndarray:
    return np.ascontiguousarray(island.rgb[200:456, 200:456])


def find(segmenter: NetworkSegmenter, rgb: np.ndarray):
    return segmenter.segment_batch(rgb[None], np.ones((1, *rgb.shape[:2]), bool), MPP)[0]


def test_nuclei_carry_a_detection_and_a_type_probability(pixels):
    found = find(made(), pixels)
    n = int(found.nuclei.max())
    assert n > 20
    assert (found.nuclei.shape, found.nuclei.dtype) == (pixels.shape[:2], np.int32)
    assert set(np.unique(found.nuclei)) == set(range(n + 1))
    assert found.detection_probability.shape == (n,)
    assert found.type_probability.shape == (n, len(CELL_TYPES))
    assert found.type_probability.dtype == np.float32
    np.testing.assert_allclose(found.type_probability.sum(axis=1), 1, atol=1e-5)
    assert ((found.detection_probability >= 0.5) & (found.detection_probability <= 1)).all()


def test_segment_is_a_batch_of_one(pixels):
    segmenter = made()
    alone = segmenter.segment(pixels, None, np.ones(pixels.shape[:2], bool), MPP)
    np.testing.assert_array_equal(alone.nuclei, find(segmenter, pixels).nuclei)


def test_alone_or_in_a_batch_of_sixteen(pixels):
    segmenter = made(random_network())
    batch = np.stack([np.roll(pixels, 7 * k, axis=1) for k in range(16)])
    together = segmenter.predict_maps(batch)
    for k in (0, 5, 15):
        alone = segmenter.predict_maps(batch[k : k + 1])
        for name in ("center", "foreground", "distance", "type_probability"):
            np.testing.assert_allclose(getattr(alone, name)[0], getattr(together, name)[k], atol=1e-4, err_msg=name)


@pytest.mark.parametrize("size", SIZES)
def test_any_size_will_do(pixels, size):
    height, width = size
    part = pixels[:height, :width]
    found = find(made(), part)
    assert found.nuclei.shape == size
    whole = find(made(), pixels).nuclei
    # Away from the cut what is seen is the same; which label it bears is not.
    margin = 24
    if min(size) > 3 * margin:
        inner = np.s_[: height - margin, : width - margin]
        assert ((found.nuclei[inner] > 0) == (whole[inner] > 0)).mean() > 0.999


@pytest.mark.parametrize("size", SIZES)
def test_maps_are_padded_to_the_stride_and_the_image_lies_in_their_corner(pixels, size):
    height, width = size
    maps = made().predict_maps(pixels[None, :height, :width])
    padded = tuple(-(-side // STRIDE) * STRIDE for side in size)
    assert maps.center.shape == maps.foreground.shape == maps.distance.shape == (1, *padded)
    assert maps.type_probability.shape[:2] == (1, len(CELL_TYPES))
    assert padded[0] % maps.type_probability.shape[2] == 0


def test_no_nucleus_lies_where_there_is_no_pixel(pixels):
    usable = np.ones((1, *pixels.shape[:2]), bool)
    usable[:, :100] = False
    [found] = made().segment_batch(pixels[None], usable, MPP)
    assert not found.nuclei[:100].any()
    assert found.nuclei[100:].any()


def test_glass_holds_no_nucleus():
    found = find(made(), np.full((64, 64, 3), 245, np.uint8))
    assert not found.nuclei.any()
    assert found.detection_probability.shape == (0,)
    assert found.type_probability.shape == (0, 4)


def test_calibration_moves_tumor_and_temperature_spreads():
    logits = torch.tensor([2.0, 0.0, 0.0, 0.0]).reshape(1, 4, 1, 1)

    def of(temperature: float, shift: float) -> np.ndarray:
        return calibrated(logits, Calibration(type_temperature=temperature, tumor_shift=shift))[0, :, 0, 0].numpy()

    plain = np.exp([2.0, 0, 0, 0]) / np.exp([2.0, 0, 0, 0]).sum()
    np.testing.assert_allclose(of(1.0, 0.0), plain, rtol=1e-6)
    np.testing.assert_allclose(of(1.0, -2.0), [0.25] * 4, rtol=1e-6)
    assert 0.25 < of(4.0, 0.0)[TUMOR] < plain[TUMOR]
    assert of(1.0, 1.0)[TUMOR] > plain[TUMOR]
    assert of(1.0, 1.0)[LYMPHOCYTE] < plain[LYMPHOCYTE]


def test_the_shift_of_the_card_reaches_the_cells(pixels):
    plain = find(made(), pixels).type_probability[:, TUMOR]
    shifted = find(made(calibration=Calibration(type_temperature=1.0, tumor_shift=2.0)), pixels)
    assert (shifted.type_probability[:, TUMOR] > plain).all()


def test_the_settings_of_the_card_reach_the_nuclei(pixels):
    assert find(made(decode=DECODE | {"min_area_um2": 60.0}), pixels).nuclei.max() < find(made(), pixels).nuclei.max()
    with pytest.raises(ModelError, match="unknown key 'min_centre'"):
        made(decode={"min_centre": 0.5})


@pytest.mark.parametrize(
    ("name", "value"), [("min_center", 1.5), ("min_distance_um", -1.0), ("max_area_um2", 1e9), ("min_area_um2", np.nan)]
)
def test_a_setting_out_of_range_is_one_line_that_names_it(name, value):
    with pytest.raises(ModelError, match=rf"model 'drawn' decode: cannot be used: {name} .* is not within"):
        made(decode=DECODE | {name: value})


def test_threads_share_a_segmenter(pixels):
    segmenter = made(random_network())
    parts = [np.ascontiguousarray(np.roll(pixels, 11 * k, axis=0)) for k in range(6)]
    one_by_one = [segmenter.predict_maps(part[None]).foreground for part in parts]
    with ThreadPoolExecutor(3) as pool:
        at_once = list(pool.map(lambda part: segmenter.predict_maps(part[None]).foreground, parts))
    for first, second in zip(one_by_one, at_once, strict=True):
        np.testing.assert_array_equal(first, second)


def test_loading_from_a_folder_and_the_model_stays_as_it_is(tmp_path: Path, pixels):
    folder = save_drawn(tmp_path / "drawn")
    np.testing.assert_array_equal(find(load_segmenter(folder, SINGLE), pixels).nuclei, find(made(), pixels).nuclei)
    network = drawn_network()
    made(network, HALF)
    assert next(network.parameters()).dtype == torch.float32
    assert next(network.parameters()).requires_grad


def test_folding_the_batch_norms_changes_nothing_to_speak_of(pixels):
    network = random_network()
    seen = torch.from_numpy(pixels[None]).permute(0, 3, 1, 2) / 255.0
    with torch.inference_mode():
        plain = torch.sigmoid(network(seen)[0]).numpy()
    np.testing.assert_allclose(made(network).predict_maps(pixels[None]).center, plain[:, 0], atol=1e-4)


@pytest.mark.skipif(not cpu_has_bf16(), reason="this CPU does not compute in bf16")
def test_half_precision_says_nearly_the_same(pixels):
    single, half = (made(random_network(), device).predict_maps(pixels[None]) for device in (SINGLE, HALF))
    for name in ("center", "foreground", "distance", "type_probability"):
        np.testing.assert_allclose(getattr(half, name), getattr(single, name), atol=0.02, err_msg=name)


@pytest.mark.skipif(not cpu_has_bf16(), reason="this CPU does not compute in bf16")
def test_half_precision_finds_the_same_cells(pixels):
    single, half = find(made(device=SINGLE), pixels), find(made(device=HALF), pixels)
    # The drawn network's centers hang on one channel, so half precision makes more ties of them than a trained one's.
    assert half.nuclei.max() == pytest.approx(single.nuclei.max(), rel=0.1)
    assert ((single.nuclei > 0) == (half.nuclei > 0)).mean() > 0.99
    assert half.type_probability.dtype == half.detection_probability.dtype == np.float32


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_a_gpu_finds_the_same_cells(pixels):
    single, gpu = find(made(device=SINGLE), pixels), find(made(device=Device("cuda:0", "float16", "GPU")), pixels)
    assert gpu.nuclei.max() == pytest.approx(single.nuclei.max(), rel=0.1)
    assert ((single.nuclei > 0) == (gpu.nuclei > 0)).mean() > 0.99


def test_out_of_memory_is_one_line(pixels, monkeypatch):
    segmenter = made()

    def full(*_, **__):
        raise torch.cuda.OutOfMemoryError("CUDA out of memory.\nTried to allocate")

    monkeypatch.setattr(torch, "softmax", full)
    with pytest.raises(DeviceMemoryError, match=r"out of memory on cpu \(use fewer --workers, or --device cpu\)"):
        segmenter.predict_maps(pixels[None])
    monkeypatch.setattr(torch.nn.Module, "to", full)
    with pytest.raises(DeviceMemoryError, match="out of memory on cpu"):
        made()


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("head", ["shape_head", "type_head"])
def test_a_map_that_is_no_number_is_an_error_and_no_cell(pixels, value, head):
    network = drawn_network()
    last = network.shape_head if head == "shape_head" else network.type_head[1]
    with torch.no_grad():
        last.bias[-1] = float(value)
    with pytest.raises(DeviceError, match="no finite number, in float32 on cpu") as caught:
        find(made(network), pixels)
    assert not isinstance(caught.value, DeviceMemoryError)


def test_pixels_that_may_not_be_written_to_are_taken_as_they_are(pixels):
    locked = pixels[:64, :64].copy()[None]
    locked.flags.writeable = False
    # Torch would warn, and a warning is an error here.
    np.testing.assert_array_equal(made().predict_maps(locked).center, made().predict_maps(locked.copy()).center)
