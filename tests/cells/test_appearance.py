"""How candidates look, all at once, is how each looks on its own."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slidescore.cells.appearance import Appearances, ChannelPlanes, look_at
from slidescore.cells.boxes import bounding_boxes

SIDE = 40
FIELDS = Appearances.__dataclass_fields__


def seen(labels: np.ndarray, planes: ChannelPlanes, ring_px: int) -> dict[str, np.ndarray]:
    found = look_at(labels, planes, bounding_boxes(labels, int(labels.max(initial=0))), ring_px)
    return {name: getattr(found, name) for name in FIELDS}


def seen_slowly(labels: np.ndarray, planes: ChannelPlanes, ring_px: int) -> dict[str, list[float]]:
    """The same, one candidate at a time, by its definition."""
    out: dict[str, list[float]] = {name: [] for name in FIELDS}
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * ring_px + 1, 2 * ring_px + 1))
    for k in range(1, int(labels.max(initial=0)) + 1):
        inside = labels == k
        if not inside.any():
            for values in out.values():
                values.append(0.0)
            continue
        whole_ring = (cv2.dilate(inside.astype(np.uint8), disc) > 0) & ~inside
        ring = whole_ring & (labels == 0) if (whole_ring & (labels == 0)).any() else whole_ring
        means = {
            name: (getattr(planes, name)[inside].mean(dtype=float), getattr(planes, name)[ring].mean(dtype=float))
            for name in ("channel", "hematoxylin", "dab")
        }
        moments = np.cov(np.argwhere(inside).T, bias=True) + np.eye(2) / 12
        short, long = np.linalg.eigvalsh(moments)
        level, around = means["channel"]
        out["area_px"].append(inside.sum())
        out["long_over_short"].append(np.sqrt(long / short))
        out["contrast_od"].append(level - around)
        out["hematoxylin_contrast_od"].append(np.subtract(*means["hematoxylin"]))
        out["dab_contrast_od"].append(np.subtract(*means["dab"]))
        out["hematoxylin_od"].append(means["hematoxylin"][0])
        out["noise_od"].append(planes.channel[ring].std(dtype=float))
        out["open_share"].append((planes.channel[whole_ring] < (level + around) / 2).mean())
    return out


@given(st.integers(0, 2**30), st.integers(0, 6), st.integers(2, 5))
def test_one_look_at_all_is_a_look_at_each(seed, count, ring_px):
    rng = np.random.default_rng(seed)
    labels = np.zeros((SIDE, SIDE), np.int32)
    for number in range(1, count + 1):
        axes = tuple(rng.integers(2, 9, 2).tolist())
        center = tuple(rng.integers(0, SIDE, 2).tolist())
        mask = cv2.ellipse(np.zeros((SIDE, SIDE), np.uint8), center, axes, int(rng.integers(180)), 0, 360, 1, -1)
        labels[(mask > 0) & ((labels == 0) | (rng.random() < 0.3))] = number
    planes = ChannelPlanes(*rng.uniform(0, 1, (3, SIDE, SIDE)).astype(np.float32))
    fast, slow = seen(labels, planes, ring_px), seen_slowly(labels, planes, ring_px)
    for name in FIELDS:
        np.testing.assert_allclose(fast[name], slow[name], atol=1e-5, err_msg=name)


@pytest.mark.parametrize(("a", "b"), [(10, 10), (12, 6), (15, 5)])
@pytest.mark.parametrize("degrees", [0, 30, 90])
def test_elongation_is_long_over_short(a, b, degrees):
    labels = cv2.ellipse(np.zeros((SIDE, SIDE), np.uint8), (20, 20), (a, b), degrees, 0, 360, 1, -1).astype(np.int32)
    plane = np.zeros((SIDE, SIDE), np.float32)
    assert seen(labels, ChannelPlanes(plane, plane, plane), 3)["long_over_short"] == pytest.approx(a / b, rel=0.1)


def test_a_line_of_pixels_has_a_breadth():
    labels = np.zeros((9, 20), np.int32)
    labels[4, 5:15] = 1
    plane = np.zeros((9, 20), np.float32)
    assert seen(labels, ChannelPlanes(plane, plane, plane), 2)["long_over_short"] == pytest.approx(10)


def test_a_step_in_each_plane_is_its_contrast():
    labels = np.zeros((20, 20), np.int32)
    labels[6:14, 6:14] = 1
    channel, blue, brown = (
        np.where(labels > 0, high, low).astype(np.float32) for high, low in ((0.5, 0.1), (0.3, 0.1), (0.2, 0.6))
    )
    found = seen(labels, ChannelPlanes(channel, blue, brown), 3)
    contrasts = [found[name][0] for name in ("contrast_od", "hematoxylin_contrast_od", "dab_contrast_od")]
    assert contrasts == pytest.approx([0.4, 0.2, -0.4])
    assert found["open_share"][0] == 1.0
    assert found["noise_od"][0] == pytest.approx(0, abs=1e-4)


def test_a_candidate_that_fills_its_tile_has_nothing_to_be_seen_against():
    plane = np.ones((6, 6), np.float32)
    found = seen(np.ones((6, 6), np.int32), ChannelPlanes(plane, plane, plane), 2)
    assert found["contrast_od"].tolist() == [0.0]
