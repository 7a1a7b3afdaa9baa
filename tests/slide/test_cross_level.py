from __future__ import annotations

from collections.abc import Callable, Sequence
from io import BytesIO

import cv2
import numpy as np
import pytest
import simplejpeg
import skimage.data
from PIL import Image

from slide.drawn import Pixels, noise
from slidescore.errors import SlideOpenError
from slidescore.slide import AnalysisGrid, ArrayReader, plan_grid, read_analysis, read_thumbnail
from slidescore.slide.cross_level import (
    LEAST_LIMIT,
    LEAST_SQUARES,
    LEVELS_DIFFER,
    MOST_LIMIT,
    Window,
    call_witness,
)
from slidescore.slide.level_windows import EDGY_WINDOWS, WINDOWS

MPP, SIDE = 0.5, 1024


def tissue_like(seed: int = 0, side: int = SIDE) -> Pixels:
    """Smooth colours with grain: means over 16 px differ by some tens of grey levels, pixels by some more."""
    coarse = cv2.resize(noise(side // 32, side // 32, seed=seed), (side, side), interpolation=cv2.INTER_CUBIC)
    grain = np.random.default_rng(seed).normal(0, 12, (side, side, 1))
    return np.clip(coarse * 0.5 + 90 + grain, 0, 255).astype(np.uint8)


def averaged(pixels: Pixels, factor: int) -> Pixels:
    size = (pixels.shape[1] // factor, pixels.shape[0] // factor)
    return cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)


class Called:
    """A slide of these levels, all of it tissue unless said otherwise, and the witness that was called."""

    def __init__(self, level0: Pixels, *levels: Pixels, mpp: float = MPP, tissue: np.ndarray | None = None) -> None:
        self.reader = ArrayReader(level0, mpp=mpp, levels=levels)
        self.scored = plan_grid(self.reader, mpp, 0.5, 0.03)
        coarse = plan_grid(self.reader, mpp, 8.0, 0.03)
        rgb, valid = read_thumbnail(self.reader, coarse)
        mask = np.ones(valid.shape, bool) if tissue is None else tissue
        self.asked: list[tuple[int, int, int]] = []
        self.witness = call_witness(self.reader, mpp, self.scored, (coarse, rgb, valid), mask, self.read)

    def read(self, grid: AnalysisGrid, x_px: int, y_px: int, width_px: int, height_px: int) -> Window:
        self.asked.append((grid.level, x_px, y_px))
        return read_analysis(self.reader, grid, x_px, y_px, width_px, height_px)

    def refuses(self, x_px: int, y_px: int, width_px: int, height_px: int) -> bool:
        return self.refuses_window(self.read(self.scored, x_px, y_px, width_px, height_px), x_px, y_px)

    def refuses_window(self, window: Window, x_px: int, y_px: int) -> bool:
        said = ""
        try:
            self.witness.refuse(self.reader, window, x_px, y_px)
        except SlideOpenError as error:
            said = error.message
        assert not said or said.startswith(LEVELS_DIFFER)
        return bool(said)


def in_jpeg(pixels: Pixels, quality: int) -> Pixels:
    """As stored at 4:2:0."""
    coded = BytesIO()
    Image.fromarray(pixels).save(coded, "JPEG", quality=quality, subsampling=2)
    return np.array(Image.open(coded))


@pytest.mark.parametrize("factors", [(4,), (2, 8), (4, 16), (3,)])
@pytest.mark.parametrize("mpp", [0.5, 0.25, 0.35, 0.2527])
def test_levels_made_by_averaging_agree_everywhere(factors: Sequence[int], mpp: float) -> None:
    level0 = tissue_like(1)
    slide = Called(level0, *(averaged(level0, factor) for factor in factors), mpp=mpp)
    assert (slide.witness.verdict, slide.witness.n_glass_differ) == ("compared", 0)
    assert slide.witness.limit < 20
    for x, y in ((-64, -64), (0, 0), (100, 37), (300, 300), (5000, 0)):
        assert not slide.refuses(x, y, 400, 300)


@pytest.mark.parametrize(
    ("mpp", "factors", "level"),
    [
        (0.25, (4, 16), 1),
        (0.25, (2, 4, 8, 16), 2),
        (0.5, (4, 16), 1),
        (0.5, (2, 8), 1),
        (0.22, (4, 16, 64), 1),
        (0.25, (8, 32), 1),
        (0.12, (4, 16), 2),
    ],
)
def test_the_witness_is_coarse_enough_to_be_cheap_and_fine_enough_to_be_good(
    mpp: float, factors: Sequence[int], level: int
) -> None:
    level0 = tissue_like(1)
    slide = Called(level0, *(averaged(level0, factor) for factor in factors), mpp=mpp)
    assert slide.witness.grid is not None
    assert slide.witness.grid.level == level
    assert slide.witness.grid.level != slide.scored.level


@pytest.mark.parametrize("quality", [80, 40])
@pytest.mark.parametrize("factors", [(4, 16), (2, 4, 8)])
def test_ordinary_jpeg_pyramids_are_compared_closely(factors: Sequence[int], quality: int) -> None:
    level0 = tissue_like(12)
    levels = [in_jpeg(averaged(level0, factor), quality) for factor in factors]
    slide = Called(in_jpeg(level0, quality), *levels, mpp=0.25)
    assert slide.witness.limit <= (15 if quality == 80 else 30)
    assert not slide.refuses(0, 0, SIDE // 2, SIDE // 2)


@pytest.mark.parametrize("shift", [24, -24, 40])
def test_a_patch_that_is_another_colour_is_refused(shift: int) -> None:
    level0 = tissue_like(2)
    spoilt = level0.copy()
    patch = spoilt[320:448, 512:640].astype(int)
    spoilt[320:448, 512:640] = np.clip(patch + shift, 0, 255)
    slide = Called(spoilt, averaged(level0, 4))
    assert slide.witness.limit < 12
    assert slide.refuses(448, 256, 256, 256)
    assert not slide.refuses(0, 0, 256, 256)
    # Damage in the coarse level is damage as well.
    assert Called(level0, averaged(spoilt, 4)).refuses(448, 256, 256, 256)


def test_a_speck_is_no_damage() -> None:
    level0 = tissue_like(3)
    spoilt = level0.copy()
    spoilt[64:80, 64 : 64 + 16 * (LEAST_SQUARES - 1)] = 0
    assert not Called(spoilt, averaged(level0, 4)).refuses(0, 0, 512, 512)


def test_pixels_that_the_slide_does_not_hold_are_not_compared() -> None:
    level0 = np.dstack([tissue_like(4), np.full((SIDE, SIDE), 255, np.uint8)])
    level0[200:400, 200:400] = 0
    coarse = averaged(level0[..., :3], 4)
    slide = Called(level0, np.dstack([coarse, np.full(coarse.shape[:2], 255, np.uint8)]))
    assert not slide.refuses(0, 0, 700, 700)


@pytest.mark.parametrize("make", [lambda a: a[::4, ::4], lambda a: averaged(np.roll(a, (4, 4), (0, 1)), 4)])
def test_rough_pyramids_are_given_more_room(make: Callable[[Pixels], Pixels]) -> None:
    level0 = tissue_like(5)
    slide = Called(level0, np.ascontiguousarray(make(level0)))
    assert slide.witness.verdict == "compared"
    assert LEAST_LIMIT <= slide.witness.limit <= MOST_LIMIT
    assert not slide.refuses(0, 0, SIDE, SIDE)


def left_out(pixels: Pixels, factor: int) -> Pixels:
    """Every n-th pixel."""
    return np.ascontiguousarray(pixels[factor // 2 :: factor, factor // 2 :: factor])


def by_lanczos(pixels: Pixels, factor: int) -> Pixels:
    size = (pixels.shape[1] // factor, pixels.shape[0] // factor)
    return np.array(Image.fromarray(pixels).resize(size, Image.Resampling.LANCZOS))


def as_light(pixels: Pixels, factor: int) -> Pixels:
    light = ((np.arange(256) / 255) ** 2.2).astype(np.float32)[pixels]
    return np.rint(averaged(light, factor) ** (1 / 2.2) * 255).astype(np.uint8)


def sharpened(pixels: Pixels, factor: int) -> Pixels:
    small = averaged(pixels, factor)
    return cv2.addWeighted(small, 2, cv2.GaussianBlur(small, (0, 0), 1), -1, 0)


def stained_tissue(side: int = 2048) -> Pixels:
    """A real picture (DAB with hematoxylin), repeated."""
    picture = skimage.data.immunohistochemistry()
    return np.tile(picture, (side // picture.shape[0], side // picture.shape[1], 1))


def smooth_tissue_with_a_black_spot() -> Pixels:
    """Nearly all of it teaches that levels hardly differ; in grains of carbon, 1 um wide, they do."""
    level0 = cv2.GaussianBlur(stained_tissue(), (0, 0), 6)
    rng = np.random.default_rng(0)
    level0 = np.clip(level0 * 0.4 + 130 + rng.normal(0, 3, level0.shape), 0, 255).astype(np.uint8)
    grains = cv2.GaussianBlur(rng.normal(0, 1, (512, 512)).astype(np.float32), (0, 0), 2) > 0.15
    level0[1024:1536, 512:1024][grains] = 15
    return level0


@pytest.mark.parametrize("qualities", [(90, 80), (30, 90), (90, 30)])
@pytest.mark.parametrize(
    ("draw", "shrink"),
    [
        *((stained_tissue, shrink) for shrink in (averaged, left_out, by_lanczos, as_light, sharpened)),
        *((smooth_tissue_with_a_black_spot, shrink) for shrink in (averaged, left_out, by_lanczos, sharpened)),
    ],
)
def test_no_ordinary_pyramid_of_real_tissue_is_refused(
    draw: Callable[[], Pixels], shrink: Callable[[Pixels, int], Pixels], qualities: tuple[int, int]
) -> None:
    level0 = draw()
    coarse = in_jpeg(shrink(level0, 4), qualities[1])
    slide = Called(in_jpeg(level0, qualities[0]), coarse, mpp=0.25)
    assert (slide.witness.verdict, slide.witness.n_glass_differ) == ("compared", 0)
    side = level0.shape[0] // 2
    assert not slide.refuses(0, 0, side, side)


@pytest.mark.parametrize(("factor", "least"), [(2, 0.7), (4, 0.7)])
def test_most_flipped_bits_that_change_much_are_seen(factor: int, least: float) -> None:
    """In codes that libjpeg decodes without a warning."""
    level0, rng, tile = stained_tissue(1024), np.random.default_rng(2), 256
    slide = Called(in_jpeg(level0, 80), in_jpeg(averaged(level0, factor), 80), mpp=0.5)
    whole = slide.read(slide.scored, 0, 0, 1024, 1024)
    seen = []
    while len(seen) < 20:
        x, y = (int(rng.integers(1, 3)) * tile for _ in range(2))
        coded = BytesIO()
        Image.fromarray(level0[y : y + tile, x : x + tile]).save(coded, "JPEG", quality=80, subsampling=2)
        content = bytearray(coded.getvalue())
        before = simplejpeg.decode_jpeg(bytes(content))
        content[int(rng.integers(content.index(b"\xff\xda") + 14, len(content) - 2))] ^= 1 << int(rng.integers(8))
        try:
            after = simplejpeg.decode_jpeg(bytes(content))
        except ValueError:
            continue
        if (np.abs(after.astype(int) - before).max(axis=-1) > 8).sum() > 2_000:
            spoilt = whole[0].copy()
            spoilt[y : y + tile, x : x + tile] = after
            seen.append(slide.refuses_window((spoilt, whole[1]), 0, 0))
    assert np.mean(seen) >= least


def test_a_pyramid_of_single_pixels_is_not_compared() -> None:
    level0 = np.clip(tissue_like(6) + np.random.default_rng(6).normal(0, 60, (SIDE, SIDE, 3)), 0, 255).astype(np.uint8)
    slide = Called(level0, np.ascontiguousarray(level0[::8, ::8]))
    assert slide.witness.verdict == "too different to compare"
    assert not slide.refuses(0, 0, SIDE, SIDE)


@pytest.mark.parametrize(
    "other",
    [
        lambda a: averaged(tissue_like(99), 4),
        lambda a: averaged(a[::-1], 4),
        lambda a: averaged(a[..., ::-1], 4),
        lambda a: averaged(np.clip(a.astype(int) + 14, 0, 255).astype(np.uint8), 4),
    ],
)
def test_levels_that_show_different_things_are_refused_everywhere(other: Callable[[Pixels], Pixels]) -> None:
    level0 = np.clip(tissue_like(7).astype(int) * (1.0, 0.9, 0.6), 0, 240).astype(np.uint8)
    slide = Called(level0, np.ascontiguousarray(other(level0)))
    assert (slide.witness.verdict, slide.witness.limit) == ("compared", LEAST_LIMIT)
    assert all(slide.refuses(x, 256, 256, 256) for x in range(0, SIDE, 256))


def test_tissue_that_is_lost_from_afar_is_noticed() -> None:
    """Tissue is looked for on a coarse level: what it lost there would never be scored."""
    level0 = np.full((SIDE, SIDE, 3), 240, np.uint8)
    level0[:, : SIDE // 2] = tissue_like(8)[:, : SIDE // 2]
    tissue = np.zeros((64, 64), bool)
    tissue[:, :32] = True
    more = level0.copy()
    more[256:512, 768:] = tissue_like(8)[256:512, 768:]
    slide = Called(more, averaged(level0, 4), tissue=tissue)
    assert (slide.witness.verdict, slide.witness.n_glass_differ) == ("compared", 1)
    assert Called(level0, averaged(level0, 4), tissue=tissue).witness.n_glass_differ == 0


def test_dirt_on_glass_is_no_damage() -> None:
    """Its edges differ between levels that JPEG made, and nobody scores it."""
    level0 = np.full((SIDE, SIDE, 3), 240, np.uint8)
    level0[:, : SIDE // 2] = tissue_like(13)[:, : SIDE // 2]
    for x in range(600, SIDE - 40, 60):
        cv2.line(level0, (x, 100), (x + 30, 900), (20, 30, 120), 7)
    tissue = np.zeros((64, 64), bool)
    tissue[:, :32] = True
    slide = Called(in_jpeg(level0, 80), in_jpeg(averaged(level0, 4), 40), tissue=tissue)
    assert slide.witness.n_glass_differ == 0


def test_a_slide_of_one_level_has_no_witness() -> None:
    level0 = tissue_like(9)
    for levels in ((), (averaged(level0, 64),)):
        slide = Called(level0, *levels)
        assert slide.witness.verdict == "one level"
        assert not slide.refuses(0, 0, 100, 100)


def test_few_windows_are_read_and_what_cannot_be_read_is_left_out() -> None:
    class Failing(Called):
        def read(self, grid: AnalysisGrid, x_px: int, y_px: int, width_px: int, height_px: int) -> Window:
            assert width_px == height_px <= 260
            window = super().read(grid, x_px, y_px, width_px, height_px)
            if len(self.asked) % 3 == 0:
                raise SlideOpenError("damaged")
            return window

    level0 = tissue_like(10, side=4096)
    level0[2048:] = 240
    tissue = np.zeros((256, 256), bool)
    tissue[:128] = True
    slide = Failing(level0, averaged(level0, 4), tissue=tissue)
    scored = [(x, y) for level, x, y in slide.asked if level == 0]
    assert len(scored) == 2 * WINDOWS + EDGY_WINDOWS
    assert sum(y < 2048 for _, y in scored) == WINDOWS + EDGY_WINDOWS
    again = Failing(level0, averaged(level0, 4), tissue=tissue)
    assert (again.asked, again.witness) == (slide.asked, slide.witness)


def test_damage_in_many_windows_does_not_raise_the_limit() -> None:
    level0 = tissue_like(11)
    for last_row in (256, 512, 640):
        spoilt = level0.copy()
        noisy = np.random.default_rng(0).integers(0, 256, (last_row // 16, SIDE // 16, 3), dtype=np.uint8)
        spoilt[:last_row] = cv2.resize(noisy, (SIDE, last_row), interpolation=cv2.INTER_NEAREST)
        slide = Called(spoilt, averaged(level0, 4))
        assert slide.witness.verdict == "compared"
        assert slide.witness.limit < 12
