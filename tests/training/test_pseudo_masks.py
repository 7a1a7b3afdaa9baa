from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from slidescore.cells.types import CELL_TYPES, LYMPHOCYTE, STROMAL, TUMOR
from slidescore.training.pseudo_masks import MAX_RADIUS_UM, grow_masks

MPP = 0.5
SIDE = 160
Disk = tuple[int, int, int]


def draw(disks: list[Disk], od: float = 0.7) -> NDArray[np.float32]:
    """Disks of hematoxylin, x, y, radius in pixels, on a pale and grainy field, a little blurred."""
    plane = np.zeros((SIDE, SIDE), np.float32)
    for x, y, radius in disks:
        cv2.circle(plane, (x, y), radius, od, -1)
    grain = np.random.default_rng(2).normal(0, 0.03, plane.shape).astype(np.float32)
    return np.maximum(cv2.GaussianBlur(plane, (0, 0), 0.8) + 0.1 + grain, 0)


def disk_mask(disk: Disk) -> NDArray[np.bool_]:
    y, x = np.mgrid[:SIDE, :SIDE]
    return np.hypot(x - disk[0], y - disk[1]) <= disk[2]


def iou(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> float:
    return float((a & b).sum() / (a | b).sum())


def grow(plane: NDArray[np.float32], disks: list[Disk], types: list[int]) -> tuple[NDArray[np.int32], NDArray]:
    centers = np.array([disk[:2] for disk in disks], np.float32).reshape(-1, 2)
    return grow_masks(plane, centers, np.array(types, np.int8), MPP)


DISKS: list[Disk] = [(30, 30, 10), (90, 30, 7), (30, 100, 12), (110, 110, 9)]


@pytest.mark.parametrize("shift", [(0, 0), (2, -1)])
def test_disks_of_hematoxylin_come_back_from_their_points(shift: tuple[int, int]) -> None:
    points = [(x + shift[0], y + shift[1], r) for x, y, r in DISKS]
    labels, trusted = grow(draw(DISKS), points, [TUMOR, LYMPHOCYTE, TUMOR, STROMAL])
    assert labels.max() == len(DISKS)
    for k, disk in enumerate(DISKS):
        assert iou(labels == k + 1, disk_mask(disk)) > 0.7
    assert trusted.all()


def test_touching_disks_are_parted() -> None:
    disks = [(60, 60, 9), (76, 60, 9)]
    labels, _ = grow(draw(disks), disks, [TUMOR, TUMOR])
    _, x = np.mgrid[:SIDE, :SIDE]
    both = disk_mask(disks[0]) | disk_mask(disks[1])
    for label, side in ((1, x < 68), (2, x > 68)):
        assert iou(labels == label, both & side) > 0.7


def test_a_dark_blob_without_a_point_is_not_trusted_and_neither_is_its_rim() -> None:
    labels, trusted = grow(draw(DISKS), DISKS[:3], [TUMOR, LYMPHOCYTE, TUMOR])
    blob = disk_mask(DISKS[3])
    assert not labels[blob].any()
    assert (~trusted[blob]).mean() > 0.95
    assert trusted[labels > 0].all()
    assert trusted[~disk_mask((110, 110, 15))].all()
    assert not trusted[110, 110 + 10]


def test_pale_or_tiny_blobs_are_trusted_to_be_no_nuclei() -> None:
    plane = np.maximum(draw(DISKS[:3]), draw([(110, 110, 9)], od=0.2))
    plane = np.maximum(plane, draw([(130, 60, 1)]))
    _, trusted = grow(plane, DISKS[:3], [TUMOR, LYMPHOCYTE, TUMOR])
    assert trusted.all()


@pytest.mark.parametrize("kind", [TUMOR, LYMPHOCYTE, STROMAL])
def test_no_mask_reaches_further_than_its_type(kind: int) -> None:
    big = [(80, 80, 40)]
    labels, _ = grow(draw(big), big, [kind])
    rows, columns = np.nonzero(labels)
    reach_um = np.hypot(columns - 80, rows - 80).max() * MPP
    assert reach_um <= MAX_RADIUS_UM[CELL_TYPES[kind]] + 1.0


def test_a_point_on_nothing_still_gets_a_small_nucleus() -> None:
    labels, _ = grow(draw(DISKS), [*DISKS, (75, 75, 0)], [TUMOR] * 5)
    area_um2 = (labels == 5).sum() * MPP**2
    assert 10 < area_um2 < 80
    assert labels[75, 75] == 5


def test_points_at_the_border_and_no_points_at_all() -> None:
    disks = [(0, 0, 8), (159, 159, 8), (80, 159, 8)]
    labels, _ = grow(draw(disks), disks, [TUMOR] * 3)
    for k, disk in enumerate(disks):
        assert iou(labels == k + 1, disk_mask(disk)) > 0.6
    labels, trusted = grow(draw([]), [], [])
    assert not labels.any()
    assert trusted.all()
