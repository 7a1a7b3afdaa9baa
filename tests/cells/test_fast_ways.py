"""Every fast way gives, bit by bit, what the plain way gives: the same nuclei, cells, rims, means and outlines."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from cells.plain_ways import (
    distance_to,
    plain_compartments,
    plain_decode,
    plain_flood,
    plain_growth,
    plain_membrane,
    plain_outlines,
    plain_peaks,
    plain_solidity,
)
from slidescore.cells import CompartmentSizes, cut_compartments, measure_cells, trace_outlines
from slidescore.cells.boxes import bounding_boxes
from slidescore.cells.decode import DecodeSettings, decode_maps
from slidescore.cells.flooding import flood, rise
from slidescore.cells.growing import FAR, LONGEST_REACH_PX, MARGIN, chamfer_px, grow_nuclei
from slidescore.cells.hulls import are_solid, octagon_areas
from slidescore.cells.measure import _percentile
from slidescore.cells.regions import renumber
from slidescore.cells.seeding import find_peaks
from slidescore.stain import StainPlanes

seeds = st.integers(0, 2**30)


def same(fast: NDArray, plain: NDArray) -> None:
    assert (fast.dtype, fast.shape) == (plain.dtype, plain.shape)
    np.testing.assert_array_equal(fast, plain)
    assert fast.tobytes() == plain.tobytes()


def made_labels(rng: np.random.Generator) -> NDArray[np.int32]:
    """Discs and scraps, touching or not, cut by the rim of the picture, down to one pixel; labels without gaps."""
    shape = tuple(rng.integers(1, 60, 2))
    if rng.random() < 0.5:
        rows, columns = np.indices(shape)
        labels = np.zeros(shape, np.int32)
        for number in range(1, int(rng.integers(1, 14))):
            y, x, radius = rng.uniform(0, shape[0]), rng.uniform(0, shape[1]), rng.choice([0.6, 2.0, 8.0])
            labels[(np.hypot(rows - y, (columns - x) / rng.uniform(0.5, 1)) <= radius) & (labels == 0)] = number
    else:
        field = smooth_noise(rng, shape)
        labels = (rng.integers(0, 4, shape) * (field > 0)).astype(np.int32)
        if rng.random() < 0.7:
            labels = cv2.connectedComponents((field > 0).astype(np.uint8), connectivity=8)[1]
    names = np.unique(labels[labels > 0])
    return np.searchsorted(np.concatenate([[0], names]), labels).astype(np.int32)


def smooth_noise(rng: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.float32]:
    noise = rng.standard_normal(shape).astype(np.float32)
    return cv2.GaussianBlur(noise, (0, 0), float(rng.choice([0.4, 1.5, 3.0])))


def made_sizes(rng: np.random.Generator) -> CompartmentSizes:
    return CompartmentSizes(
        float(rng.choice([0.5, 2.0, 5.0, 10.0, 10.058, 31.4])), float(rng.choice([0.0, 1.5, 2.98, 3.0, 6.0])),
        float(rng.choice([0.0, 1.49, 1.5, 2.7])), 0.03, 0.75,
    )  # fmt: skip


@given(seeds)
def test_compartments_and_measurements_are_those_of_the_plain_way(seed):
    rng = np.random.default_rng(seed)
    nuclei, sizes = made_labels(rng), made_sizes(rng)
    usable = rng.random(nuclei.shape) < rng.choice([0.5, 0.9, 1.0])
    dab, hematoxylin = (smooth_noise(rng, nuclei.shape) for _ in range(2))
    fast, plain = cut_compartments(nuclei, dab, usable, sizes), plain_compartments(nuclei, dab, usable, sizes)
    for name, expected in plain.items():
        same(getattr(fast, name), expected)
    for labels, boxes in ((nuclei, fast.nucleus_boxes), (fast.cells, fast.cell_boxes)):
        tight = bounding_boxes(labels, len(boxes) - 1)[1:]
        held = tight[:, 2] > tight[:, 0]
        assert (boxes[1:][held, :2] <= tight[held, :2]).all()
        assert (boxes[1:][held, 2:] >= tight[held, 2:]).all()
    measured = measure_cells(fast, StainPlanes(hematoxylin, dab), membrane_percentile=75.0, min_pixels=4)
    for k in range(1, int(nuclei.max()) + 1):
        inside, cell, rim = nuclei == k, fast.cells == k, fast.membrane & (fast.cells == k)
        y, x = np.nonzero(inside)
        assert measured.x_px[k - 1] == x.sum() / len(x)
        assert measured.y_px[k - 1] == y.sum() / len(y)
        assert (measured.nucleus_area_px[k - 1], measured.cell_area_px[k - 1]) == (inside.sum(), cell.sum())
        expected = sum(hematoxylin[inside].astype(float).tolist(), 0.0) / len(x) if len(x) >= 4 else np.nan
        np.testing.assert_equal(measured.hematoxylin_od_nucleus[k - 1], expected)
        np.testing.assert_equal(measured.dab_od_membrane[k - 1], plain_membrane(dab[rim], 75.0, 4))
        every, clear = dab[inside].astype(float).tolist(), dab[inside & ~fast.guard].astype(float).tolist()
        used = clear if len(clear) >= 4 else every
        # Joined by areas, so once more multiplied and divided.
        expected = sum(used, 0.0) / len(used) * len(x) / len(x) if len(x) >= 4 else np.nan
        np.testing.assert_equal(measured.dab_od_nucleus[k - 1], expected)


@given(seeds, st.sampled_from([0.0, 1e-9, 1e-5, 0.3, 1e4]), st.sampled_from([0.0, 30.0, 75.0, 90.0, 100.0]))
def test_percentiles_are_those_of_numpy(seed, spread, percentile):
    rng = np.random.default_rng(seed)
    values = (0.2 + spread * rng.standard_cauchy(rng.integers(1, 300))).astype(np.float32)
    room = np.empty(len(values) + 1, np.float32), np.empty(len(values) + 1, np.int32)
    assert _percentile(values.copy(), percentile, *room) == plain_membrane(values, percentile, 1)


@given(seeds, st.sampled_from([0.5, 3.0, 10.0, 25.5]))
def test_growth_has_the_distances_and_owners_of_opencv(seed, reach):
    rng = np.random.default_rng(seed)
    nuclei = made_labels(rng)
    usable = np.ones(nuclei.shape, bool)
    grown = grow_nuclei(nuclei, usable, bounding_boxes(nuclei, int(nuclei.max())), reach)
    cells, distance = plain_growth(nuclei, usable, reach)
    same(grown.cells, cells)
    fast = grown.distance_px[MARGIN:-MARGIN, MARGIN:-MARGIN]
    same(fast[cells > 0], distance[cells > 0])
    assert (fast[cells == 0] == FAR).all()


def test_growth_is_bounded_by_what_single_precision_can_add_up():
    nuclei = np.zeros((3, 3), np.int32)
    with pytest.raises(ValueError, match="cells cannot grow by 201"):
        grow_nuclei(nuclei, nuclei == 0, bounding_boxes(nuclei, 0), LONGEST_REACH_PX + 1)


def test_the_way_over_an_offset_is_as_long_as_opencv_says():
    seen = np.zeros((41, 41), bool)
    seen[20, 20] = True
    distance = distance_to(seen)
    for dy in range(-20, 21):
        for dx in range(-20, 21):
            # On some processors OpenCV leaves this to another library, which rounds differently.
            assert chamfer_px(dx, dy) == pytest.approx(distance[20 + dy, 20 + dx], abs=3e-4)


def made_maps(rng: np.random.Generator) -> dict[str, NDArray]:
    """Maps with plateaus and saddles, that touch every rim; types coarser by four."""
    shape = tuple(8 * rng.integers(1, 10, 2))

    def plane() -> NDArray[np.float32]:
        values = 1 / (1 + np.exp(-3 * smooth_noise(rng, shape) / 0.3))
        return (np.round(8 * values) / 8 if rng.random() < 0.5 else values).astype(np.float32)

    return {
        "center": plane(),
        "foreground": plane(),
        "distance": plane(),
        "types": rng.random((4, shape[0] // 4, shape[1] // 4)).astype(np.float32),
        "usable": rng.random(shape) < rng.choice([0.97, 1.0]),
    }


@given(seeds)
def test_decoding_is_that_of_the_plain_way(seed):
    rng = np.random.default_rng(seed)
    maps = made_maps(rng)
    settings = DecodeSettings(
        float(rng.choice([0.0, 0.3, 0.45])), float(rng.choice([0.4, 0.5])), float(rng.choice([0.6, 2.0, 2.5])),
        float(rng.choice([1.0, 8.0])), float(rng.choice([100.0, 500.0])), 0.6, float(rng.choice([0.6, 0.75, 0.9])),
    )  # fmt: skip
    before = {name: values.copy() for name, values in maps.items()}
    fast, plain = decode_maps(*maps.values(), 0.5, settings), plain_decode(*maps.values(), 0.5, settings)
    for name in ("nuclei", "detection_probability", "type_probability"):
        same(getattr(fast, name), getattr(plain, name))
    same(fast.boxes[1:], bounding_boxes(plain.nuclei, len(fast.boxes) - 1)[1:])
    assert len(fast.boxes) == len(fast.detection_probability) + 1
    for name, values in maps.items():
        np.testing.assert_array_equal(values, before[name])


@given(seeds)
def test_peaks_are_numbered_as_opencv_numbers_them(seed):
    rng = np.random.default_rng(seed)
    plane = np.round(4 * smooth_noise(rng, tuple(rng.integers(1, 40, 2)))).astype(np.float32)
    mask, apart = rng.random(plane.shape) < 0.9, float(rng.choice([0.3, 1.0, 3.0, 4.6]))
    peaks = find_peaks(plane, mask, apart, -1.0)
    labels, expected = np.zeros(plane.shape, np.int32), plain_peaks(plane, mask, apart, -1.0)
    labels.reshape(-1)[peaks.places] = peaks.labels
    same(labels, expected)
    heights = [max(0.0, plane[expected == k].max()) for k in range(1, int(expected.max()) + 1)]
    assert peaks.height.tolist() == heights
    assert (np.diff(peaks.places) > 0).all()


@given(seeds)
def test_floods_are_those_of_the_plain_way(seed):
    rng = np.random.default_rng(seed)
    shape = tuple(rng.integers(1, 30, 2))
    height = (rng.integers(0, rng.integers(2, 60), shape) * 0.0499).astype(np.float32) - np.float32(0.2)
    sources = (rng.integers(1, 9, shape) * (rng.random(shape) < 0.05)).astype(np.int32)
    mask = rng.random(shape) < rng.choice([0.6, 0.9, 1.0])
    expected = plain_flood(height, sources, mask)
    same(flood(height, sources, mask), expected)
    # Sources of one label may lie in several parts of the mask.
    labels, n = np.where(mask, sources, 0).astype(np.int32), 9
    same(rise(height, labels, mask, np.flatnonzero(labels), n), bounding_boxes(expected, n))
    same(labels, expected)


@given(seeds, st.sampled_from([0.3, 0.6, 0.8, 0.95]))
def test_a_bound_decides_on_solidity_as_the_hull_does(seed, least):
    labels = made_labels(np.random.default_rng(seed))
    n = int(labels.max())
    boxes, area = bounding_boxes(labels, n), np.bincount(labels.ravel(), minlength=n + 1)[1:]
    wanted = np.arange(n) % 3 > 0
    solidity = plain_solidity(labels, n)
    same(are_solid(labels, boxes, area, wanted, least), wanted & (solidity >= least))
    # The octagon holds the hull.
    octagons = octagon_areas(labels, boxes, np.ones(n, bool))
    assert (octagons >= np.rint(area / np.maximum(solidity, 1e-9))).all()


@given(seeds, st.sampled_from([1.0, 2.0, 4.02, 1e4]))
def test_outlines_are_those_of_opencv(seed, scale):
    rng = np.random.default_rng(seed)
    labels = made_labels(rng)
    n = int(labels.max())
    keep, centers = rng.random(n) < 0.8, rng.uniform(0, 60, (n, 2))
    for boxes in (None, np.tile([0, 0, *labels.shape], (n + 1, 1))):
        fast, plain = trace_outlines(labels, keep, centers, scale, boxes), plain_outlines(labels, keep, centers, scale)
        assert len(fast) == len(plain) == keep.sum()
        for own, expected in zip(fast, plain, strict=True):
            same(own, expected)


@given(seeds)
def test_numbers_close_up_over_dropped_regions(seed):
    rng = np.random.default_rng(seed)
    labels = made_labels(rng)
    n = int(labels.max())
    keep = rng.random(n) < 0.6
    numbers = np.where(keep, np.cumsum(keep), 0).astype(np.int32)
    expected = np.concatenate([[0], numbers]).astype(np.int32)[labels]
    renumber(labels, bounding_boxes(labels, n), numbers)
    same(labels, expected)
