"""Maps drawn from known nuclei give these nuclei back."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from slidescore.cells.decode import SMOOTH_UM, DecodeSettings, decode_maps
from slidescore.cells.segmenter import Segmentation

MPP = 0.5
SIDE = 96
SETTINGS = DecodeSettings()
PEAK = 1 / (1 + SMOOTH_UM**2)
"""What smoothing leaves of the height of a peak 1 um wide, in two dimensions."""
Disk = tuple[int, int, int]


def draw_labels(disks: list[Disk]) -> NDArray[np.int32]:
    """Disks of x, y, radius; where two overlap a pixel belongs to the nearer middle."""
    y, x = np.mgrid[:SIDE, :SIDE]
    away = np.stack([np.hypot(x - cx, y - cy) / r for cx, cy, r in disks])
    return np.where(away.min(axis=0) <= 1, away.argmin(axis=0) + 1, 0).astype(np.int32)


def maps_of(disks: list[Disk], heights: list[float] | None = None) -> dict[str, NDArray]:
    """Center, foreground and distance as a perfect network would say them; types all alike."""
    labels = draw_labels(disks)
    y, x = np.mgrid[:SIDE, :SIDE]
    center, distance = np.zeros((2, SIDE, SIDE), np.float32)
    for k, (cx, cy, radius) in enumerate(disks):
        away = np.hypot(x - cx, y - cy)
        height = 1.0 if heights is None else heights[k]
        center = np.maximum(center, height * np.exp(-0.5 * (away * MPP / 1.0) ** 2)).astype(np.float32)
        distance[labels == k + 1] = np.maximum(1 - away / radius, 0)[labels == k + 1]
    return {
        "center": center,
        "foreground": (labels > 0).astype(np.float32),
        "distance": distance,
        "type_probability": np.full((4, SIDE // 4, SIDE // 4), 0.25, np.float32),
        "usable": np.ones((SIDE, SIDE), bool),
    }


def decode(maps: dict[str, NDArray], settings: DecodeSettings = SETTINGS) -> Segmentation:
    return decode_maps(**maps, mpp=MPP, settings=settings)


def test_nuclei_come_back_in_reading_order_with_the_height_of_their_peaks() -> None:
    disks = [(70, 12, 8), (20, 30, 7), (60, 60, 9)]
    found = decode(maps_of(disks, [0.9, 0.5, 0.7]))
    np.testing.assert_array_equal(found.nuclei, draw_labels(disks))
    np.testing.assert_allclose(found.detection_probability, np.array([0.9, 0.5, 0.7]) * PEAK, rtol=2e-3)
    assert (found.nuclei.dtype, found.detection_probability.dtype) == (np.int32, np.float32)


@pytest.mark.parametrize("apart", [7, 10, 14])
def test_touching_nuclei_are_parted_between_their_centers(apart: int) -> None:
    disks = [(40, 40, 8), (40 + apart, 40, 8)]
    found = decode(maps_of(disks))
    assert found.nuclei.max() == 2
    assert (found.nuclei != draw_labels(disks)).mean() < 0.002
    assert (found.nuclei > 0).sum() == (draw_labels(disks) > 0).sum()


def test_peaks_closer_than_the_least_distance_are_one_nucleus() -> None:
    maps = maps_of([(40, 40, 8), (46, 40, 8)], [1.0, 0.8])
    assert decode(maps).nuclei.max() == 2
    assert decode(maps, replace(SETTINGS, min_distance_um=4.0)).nuclei.max() == 1


def test_a_flat_top_is_one_nucleus() -> None:
    maps = maps_of([(40, 40, 8)])
    maps["center"] = np.minimum(maps["center"], np.float32(0.6))
    assert decode(maps).nuclei.max() == 1


def test_a_top_cut_in_two_by_rounding_is_one_nucleus() -> None:
    maps = maps_of([(40, 40, 8)])
    maps["center"][38:43, 38:43] = 0.75
    maps["center"][38:43, 40] = np.nextafter(np.float32(0.75), np.float32(0))
    assert decode(maps).nuclei.max() == 1


def test_low_peaks_and_faint_foreground_are_no_nuclei() -> None:
    maps = maps_of([(20, 20, 8), (60, 20, 8), (20, 60, 8)], [0.34 / PEAK, 0.36 / PEAK, 1.0])
    maps["foreground"][50:, :] *= 0.49
    assert decode(maps).nuclei.max() == 1
    assert decode(maps).nuclei[20, 60] == 1
    assert (
        decode(maps, replace(SETTINGS, min_center=0.3, min_foreground=0.4, min_mean_foreground=0.4)).nuclei.max() == 3
    )


def test_small_ones_are_dropped_and_leave_no_gap() -> None:
    disks = [(20, 10, 2), (60, 20, 8), (20, 50, 2), (60, 60, 8)]  # 13 px are 3.3 um2
    found = decode(maps_of(disks, [0.5, 0.6, 0.7, 0.8]))
    assert np.unique(found.nuclei).tolist() == [0, 1, 2]
    assert found.nuclei[20, 60] == 1
    assert found.nuclei[60, 60] == 2
    np.testing.assert_allclose(found.detection_probability, np.array([0.6, 0.8]) * PEAK, rtol=2e-3)
    assert found.type_probability.shape == (2, 4)
    assert decode(maps_of(disks), replace(SETTINGS, min_area_um2=2.0)).nuclei.max() == 4


def test_nothing_is_found_where_there_is_no_pixel() -> None:
    disks = [(20, 20, 8), (60, 60, 8)]
    maps = maps_of(disks)
    maps["usable"][:, 60:] = False
    maps["usable"][:40] = False
    found = decode(maps)
    assert not found.nuclei[~maps["usable"]].any()
    assert found.nuclei.max() == 0  # the second peak itself lies where nothing is usable
    maps["usable"][60, 60] = True
    assert decode(maps).nuclei.max() == 1


def test_types_are_averaged_over_the_nucleus() -> None:
    maps = maps_of([(24, 24, 8), (64, 64, 8)])
    types = np.zeros((4, SIDE, SIDE), np.float32)
    types[0, :, :24], types[1, :, 24:] = 1, 1
    labels = draw_labels([(24, 24, 8), (64, 64, 8)])
    types[:, labels == 2] = np.array([0.1, 0.2, 0.3, 0.4], np.float32)[:, None]
    maps["type_probability"] = types[:, ::4, ::4]
    found = decode(maps)
    # Each type pixel covers four by four; the share of the first nucleus left of column 24 counts as tumor.
    coarse = np.repeat(np.repeat(maps["type_probability"], 4, axis=1), 4, axis=2)
    expected = [coarse[:, found.nuclei == k].mean(axis=1) for k in (1, 2)]
    np.testing.assert_allclose(found.type_probability, expected / np.sum(expected, axis=1, keepdims=True), atol=1e-6)
    assert 0.4 < found.type_probability[0, 0] < 0.6
    np.testing.assert_allclose(found.type_probability.sum(axis=1), 1, atol=1e-6)


def test_empty_maps_give_no_nucleus() -> None:
    maps = {name: np.zeros_like(value) for name, value in maps_of([(40, 40, 8)]).items()}
    found = decode(maps)
    assert not found.nuclei.any()
    assert found.detection_probability.shape == (0,)
    assert found.type_probability.shape == (0, 4)


def test_a_turned_field_gives_turned_nuclei() -> None:
    maps = maps_of([(24, 24, 8), (64, 64, 9), (37, 24, 7)])
    found = decode(maps).nuclei
    turned = {name: np.ascontiguousarray(np.rot90(value, axes=(-2, -1))) for name, value in maps.items()}
    again = np.rot90(decode(turned).nuclei, -1)
    assert cv2.countNonZero(((found > 0) != (again > 0)).astype(np.uint8)) == 0
    for label in range(1, 4):
        same = again[found == label]
        assert (same == np.bincount(same).argmax()).mean() > 0.97


def test_a_flat_area_is_no_nucleus() -> None:
    maps = maps_of([(20, 20, 7), (65, 65, 7)])
    maps["foreground"][40:90, 40:90] = 1
    assert decode(maps, replace(SETTINGS, max_area_um2=600.0)).nuclei.max() == 1
    assert decode(maps, replace(SETTINGS, max_area_um2=700.0)).nuclei.max() == 2


@pytest.mark.parametrize("damage", [{"min_center": 5.0}, {"min_foreground": -1.0}, {"min_distance_um": float("nan")}])
def test_settings_out_of_range_are_refused(damage: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(damage))):
        DecodeSettings(**damage)


def test_scraps_and_doubtful_regions_are_no_nuclei() -> None:
    maps = maps_of([(20, 20, 8), (65, 65, 8)])
    cross = maps["foreground"] * 0
    cross[50:81, 64:67] = cross[64:67, 50:81] = 1
    scrap = {**maps, "foreground": np.where(np.mgrid[:SIDE, :SIDE][0] > 45, cross, maps["foreground"])}
    assert decode(scrap).nuclei.max() == 1
    assert decode(scrap, replace(SETTINGS, min_solidity=0.2)).nuclei.max() == 2
    doubtful = {**maps, "foreground": maps["foreground"] * np.where(np.mgrid[:SIDE, :SIDE][0] > 45, 0.55, 1)}
    assert decode(doubtful).nuclei.max() == 1
    assert decode(doubtful, replace(SETTINGS, min_mean_foreground=0.5)).nuclei.max() == 2
