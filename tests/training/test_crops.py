from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from slidescore.cells.types import LYMPHOCYTE, TUMOR
from slidescore.training.crops import CropRanges, cut_crop, warp_scene, whole_field
from slidescore.training.scene import Scene
from training.test_render import MPP, scene_of

CENTERS = [(x, y) for y in range(16, 200, 26) for x in range(16 + y % 5, 200, 26)]
FIELD = scene_of(CENTERS, [TUMOR, LYMPHOCYTE] * (len(CENTERS) // 2) + [TUMOR] * (len(CENTERS) % 2), side=208)


def check_centers(crop: Scene) -> int:
    """Every moved center that lies in the crop lies on its own nucleus; how many do."""
    n = int(crop.nuclei.max())
    assert len(crop.types) == len(crop.centers_px) == n
    assert set(np.unique(crop.nuclei)) - {0} == set(range(1, n + 1))
    at = np.rint(crop.centers_px).astype(int)
    inside = ((at >= 0) & (at < crop.nuclei.shape[::-1])).all(axis=1)
    on = crop.nuclei[at[inside, 1], at[inside, 0]]
    np.testing.assert_array_equal(on, np.flatnonzero(inside) + 1)
    return int(inside.sum())


@given(
    st.floats(0, 2 * np.pi), st.floats(0.6, 1.6), st.floats(-0.1, 0.1), st.booleans(), st.floats(60, 140),
    st.floats(60, 140),
)  # fmt: skip
def test_centers_stay_on_their_nuclei(
    angle: float, factor: float, stretch: float, flip: bool, x: float, y: float
) -> None:
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    matrix = turn @ np.diag([-1.0 if flip else 1.0, 1.0]) @ np.diag([1 + stretch, 1 / (1 + stretch)]) * factor
    offset = np.array([x, y]) - matrix @ np.full(2, 47.5)
    crop = warp_scene(FIELD, np.hstack([matrix, offset[:, None]]), 96, MPP * factor)
    assert check_centers(crop) > 3
    assert crop.mpp == MPP * factor
    # Each is the nucleus that it was: moved back, its center is one of the field's, and of the same type.
    back = crop.centers_px @ matrix.T + offset
    old = np.argmin(np.hypot(*(back[:, None] - FIELD.centers_px[None]).transpose(2, 0, 1)), axis=1)
    np.testing.assert_allclose(back, FIELD.centers_px[old], atol=0.01)
    np.testing.assert_array_equal(crop.types, FIELD.types[old])
    assert len(set(old.tolist())) == len(old)


@given(st.integers(0, 10**6))
def test_cut_crops_keep_labels_and_lie_mostly_inside(seed: int) -> None:
    crop = cut_crop(FIELD, 128, CropRanges(), np.random.default_rng(seed))
    check_centers(crop)
    assert crop.nuclei.shape == crop.hematoxylin_od.shape == crop.eosin_od.shape == crop.known.shape == (128, 128)
    assert 0.35 <= crop.mpp <= 0.70
    assert crop.known.mean() > 0.6
    assert not crop.nuclei[~crop.known].any()
    assert crop.hematoxylin_od.min() >= 0


def test_the_same_generator_cuts_the_same_crop_and_another_does_not() -> None:
    first, again, other = (cut_crop(FIELD, 96, CropRanges(), np.random.default_rng(seed)) for seed in (3, 3, 4))
    for name in Scene.__slots__:
        assert np.array_equal(getattr(first, name), getattr(again, name))
    assert not np.array_equal(first.hematoxylin_od, other.hematoxylin_od)


def test_resolutions_spread_as_asked() -> None:
    ranges = CropRanges()
    drawn = np.array([cut_crop(FIELD, 16, ranges, np.random.default_rng(seed)).mpp for seed in range(400)])
    near = ((drawn >= ranges.near_mpp[0]) & (drawn <= ranges.near_mpp[1])).mean()
    assert 0.6 < near < 0.85  # 0.6 by wish and a third of the rest by chance
    assert drawn.min() < 0.37
    assert drawn.max() > 0.67


def test_what_lies_outside_a_small_scene_is_unknown() -> None:
    small = scene_of([(20, 20)], [TUMOR], side=40)
    crop = cut_crop(small, 128, CropRanges(), np.random.default_rng(0))
    assert 0 < crop.known.mean() < 0.3
    assert crop.hematoxylin_od[~crop.known].std() > 0  # mirrored, not blank


def test_a_whole_field_keeps_its_extent_and_its_nuclei() -> None:
    wide = replace(
        FIELD,
        **{name: getattr(FIELD, name)[:120] for name in ("hematoxylin_od", "eosin_od", "nuclei", "known")},
        types=FIELD.types[: int(FIELD.nuclei[:120].max())],
        centers_px=FIELD.centers_px[: int(FIELD.nuclei[:120].max())],
    )
    for mpp in (0.25, 0.4, 0.8):
        field = whole_field(wide, mpp)
        assert field.nuclei.shape == (round(120 * MPP / mpp), round(208 * MPP / mpp))
        assert field.known.all()
        assert check_centers(field) >= len(wide.types) - 8
        area = (field.nuclei > 0).sum() * mpp**2
        assert abs(area / ((wide.nuclei > 0).sum() * MPP**2) - 1) < 0.03
    assert whole_field(wide, MPP) is wide


def test_coarser_crops_are_averaged_not_picked() -> None:
    noise = replace(FIELD, hematoxylin_od=np.random.default_rng(0).random((208, 208), np.float32))
    matrix = np.array([[3.0, 0, 1], [0, 3.0, 1]])
    crop = warp_scene(noise, matrix, 64, 3 * MPP)
    assert crop.hematoxylin_od.std() < 0.45 * noise.hematoxylin_od.std()
    assert abs(crop.hematoxylin_od.mean() - 0.5) < 0.02
