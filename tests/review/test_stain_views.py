"""Single-stain pictures against the formula, and against the slide they were taken from."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from phantom import draw_phantom, slide_spec
from slidescore.report.overlay_pyramid import MISSING_COLOUR
from slidescore.review.pixel_source import PixelSource
from slidescore.review.stain_views import (
    HEAT_MAX_OD,
    VIEWS,
    Stains,
    heat_legend_png,
    read_stains,
    show_stain,
    view_tile,
)
from slidescore.slide import ArrayReader
from slidescore.stain import StainVectors, separate
from slidescore.stain.vectors import unit

STAINS = Stains((241.0, 239.5, 242.0), StainVectors((0.65, 0.70, 0.29), (0.27, 0.57, 0.78), "fixed"))


def mixed(hematoxylin_od: np.ndarray, dab_od: np.ndarray) -> np.ndarray:
    """A picture of nothing but the two stains."""
    vectors = STAINS.vectors
    od = hematoxylin_od[..., None] * unit(np.array(vectors.hematoxylin)) + dab_od[..., None] * unit(
        np.array(vectors.dab)
    )
    return np.rint(np.array(STAINS.white) * 10**-od).astype(np.uint8)


def decoded(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)))


def test_the_two_stains_multiplied_give_the_slide_back():
    hematoxylin, dab = np.meshgrid(np.linspace(0, 0.8, 200), np.linspace(0, 1.0, 200))
    rgb = mixed(hematoxylin, dab)
    only = [show_stain(rgb, STAINS, view).astype(float) for view in ("hematoxylin", "dab")]
    again = only[0] * only[1] / np.array(STAINS.white)
    assert np.abs(again - rgb).max() <= 2


def test_on_a_phantom_they_do_so_but_for_what_neither_stain_explains():
    phantom = draw_phantom(slide_spec(3, side_px=384, tissue="full", noise_gray=0.0, illumination=0.0))
    white = tuple(float(value) for value in phantom.rgb.reshape(-1, 3).max(axis=0))
    stains = Stains(white, STAINS.vectors)
    planes = separate(phantom.rgb, white, stains.vectors, residual=True)
    explained = np.abs(planes.residual_od) < 0.005
    assert explained.mean() > 0.3
    only = [show_stain(phantom.rgb, stains, view).astype(float) for view in ("hematoxylin", "dab")]
    # Where a stain is brighter than glass there is no picture of it.
    shown = explained & (planes.hematoxylin_od >= 0) & (planes.dab_od >= 0)
    assert np.abs(only[0] * only[1] / np.array(white) - phantom.rgb)[shown].max() <= 3
    assert np.abs(only[0] * only[1] / np.array(white) - phantom.rgb)[shown].mean() < 1


def test_a_picture_of_one_stain_has_nothing_of_the_other():
    ramp = np.tile(np.linspace(0, 0.8, 256), (4, 1))
    none = np.zeros_like(ramp)
    glass = np.rint(STAINS.white)
    assert np.abs(show_stain(mixed(none, ramp), STAINS, "hematoxylin") - glass).max() <= 3
    assert np.abs(show_stain(mixed(ramp, none), STAINS, "dab") - glass).max() <= 3
    assert np.abs(show_stain(mixed(ramp, none), STAINS, "hematoxylin").astype(int) - mixed(ramp, none)).max() <= 1


def test_the_heat_map_grows_darker_with_dab_and_holds_still_beyond_its_end():
    ramp = np.tile(np.linspace(0, HEAT_MAX_OD, 256), (2, 1))
    heat = show_stain(mixed(np.zeros_like(ramp), ramp), STAINS, "heat")[0].astype(float)
    lightness = heat @ (0.2126, 0.7152, 0.0722)
    assert lightness[0] > 230
    assert lightness[-1] < 20
    assert (np.diff(lightness[::16]) < 0).all()
    black = np.zeros((1, 1, 3), np.uint8)
    assert tuple(show_stain(black, STAINS, "heat")[0, 0]) == tuple(show_stain(black + 1, STAINS, "heat")[0, 0])


def test_brighter_than_glass_is_no_stain():
    bright = np.full((2, 2, 3), 255, np.uint8)
    for view in ("hematoxylin", "dab", "heat"):
        assert show_stain(bright, STAINS, view).min() > 180


def test_the_legend_has_the_heat_maps_colours():
    legend = decoded(heat_legend_png())
    assert legend.shape == (16, 256, 3)
    od = np.array([[0.0, 0.3, 0.75, 1.5]])
    shown = show_stain(mixed(np.zeros_like(od), od), STAINS, "heat")[0].astype(int)
    places = np.rint(od[0] / HEAT_MAX_OD * 255).astype(int)
    assert np.abs(legend[3, places].astype(int) - shown).max() < 12


class TestTiles:
    @pytest.fixture
    def source(self) -> PixelSource:
        rng = np.random.default_rng(0)
        od = np.kron(rng.uniform(0, 0.6, (19, 13)), np.ones((20, 24)))
        pixels = np.dstack([mixed(od, od[::-1]), np.full(od.shape, 255, np.uint8)])
        pixels[:40, :48] = 0
        return PixelSource(lambda: ArrayReader(pixels))

    @pytest.mark.parametrize("view", VIEWS)
    def test_every_view_is_a_jpeg_of_the_tiles_size(self, source: PixelSource, view: str) -> None:
        for tile in ((0, 0, 0), (0, 1, 1), (1, 0, 0)):
            picture = Image.open(io.BytesIO(view_tile(source, STAINS, view, *tile)))
            assert picture.format == "JPEG"
            assert picture.size == source.grid.tile_size_px(*tile)
            assert picture.mode == "RGB"

    @pytest.mark.parametrize("view", VIEWS)
    def test_what_is_missing_is_missing_in_every_view(self, source: PixelSource, view: str) -> None:
        corner = decoded(view_tile(source, STAINS, view, 0, 0, 0))[:32, :32].astype(int)
        assert np.abs(corner - MISSING_COLOUR).max() <= 3

    def test_colours_survive_the_encoding(self, source: PixelSource) -> None:
        rgb, valid = source.read_tile(0, 0, 0)
        inside = valid.copy()
        inside[:64, :64] = False
        for view in VIEWS:
            expected = rgb if view == "rgb" else show_stain(rgb, STAINS, view)
            got = decoded(view_tile(source, STAINS, view, 0, 0, 0)).astype(int)
            assert np.abs(got - expected)[inside].mean() < 3

    def test_no_tile_is_refused(self, source: PixelSource) -> None:
        with pytest.raises(ValueError, match="no tile"):
            view_tile(source, STAINS, "rgb", 0, 5, 5)


def test_stains_are_those_that_the_slide_was_measured_with():
    record = {
        "stains": {
            "white": [250.0, 249.0, 248.5],
            "hematoxylin": [0.6, 0.7, 0.3],
            "dab": [0.2, 0.6, 0.7],
            "vectors_source": "estimated",
        }
    }
    stains = read_stains(record)
    assert stains.white == (250.0, 249.0, 248.5)
    assert stains.vectors == StainVectors((0.6, 0.7, 0.3), (0.2, 0.6, 0.7), "estimated")
    assert hash(stains) == hash(read_stains(record))
