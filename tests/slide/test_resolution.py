from __future__ import annotations

import math
from typing import Any

import pytest

from slide.drawn import noise
from slidescore.errors import MissingResolutionError
from slidescore.slide import ArrayReader, Resolution, decide_resolution
from slidescore.slide.resolution import doubt_resolution

LIMITS: dict[str, Any] = {"min_mpp": 0.05, "max_mpp": 2.0, "max_axis_difference": 0.05}


def reader(mpp: float | tuple[float, float] | None) -> ArrayReader:
    return ArrayReader(noise(4, 4), mpp=mpp)


def test_the_files_own() -> None:
    found = decide_resolution(reader((0.25, 0.26)), None, **LIMITS)
    assert found == Resolution(0.25, 0.26, "file")
    assert found.mpp == pytest.approx(0.255)


@pytest.mark.parametrize("stated", [None, 0.25, (0.25, 0.5), 353.0])
def test_the_supplied_one_wins(stated: float | tuple[float, float] | None) -> None:
    assert decide_resolution(reader(stated), 0.5, **LIMITS) == Resolution(0.5, 0.5, "supplied")


def test_none_is_refused() -> None:
    with pytest.raises(MissingResolutionError, match="--mpp"):
        decide_resolution(reader(None), None, **LIMITS)


@pytest.mark.parametrize("mpp", [0.049, 2.01, 352.8, 0.0, -0.5, math.nan, math.inf])
def test_outside_the_limits_is_refused(mpp: float) -> None:
    with pytest.raises(MissingResolutionError, match=r"outside 0\.05 to 2"):
        decide_resolution(reader(mpp), None, **LIMITS)
    with pytest.raises(MissingResolutionError, match=r"outside 0\.05 to 2"):
        decide_resolution(reader(0.25), mpp, **LIMITS)


@pytest.mark.parametrize("mpp", [0.05, 2.0])
def test_the_limits_themselves_are_accepted(mpp: float) -> None:
    assert decide_resolution(reader(mpp), None, **LIMITS).mpp == mpp


def test_axes_that_differ_are_refused() -> None:
    assert decide_resolution(reader((0.25, 0.262)), None, **LIMITS)
    with pytest.raises(MissingResolutionError, match=r"along x and 0\.265 along y"):
        decide_resolution(reader((0.25, 0.265)), None, **LIMITS)


def stating(vendor: str, mpp: float, **properties: str) -> ArrayReader:
    names = {name.replace("__", "."): value for name, value in properties.items()}
    return ArrayReader(noise(4, 4), mpp=mpp, vendor=vendor, properties=names)


@pytest.mark.parametrize(
    ("slide", "words"),
    [
        (stating("aperio", 0.5, aperio__AppMag="20"), ""),
        (stating("aperio", 0.263, aperio__AppMag="40"), ""),
        (stating("aperio", 0.25, aperio__AppMag="20"), "it states 0.25 um/px and a magnification of 20"),
        (stating("aperio", 1.0, aperio__AppMag="20"), "do not go together"),
        (stating("mirax", 0.243, **{"openslide__objective-power": "20"}), ""),
        (stating("hamamatsu", 0.22, **{"openslide__objective-power": "40"}), ""),
        (stating("hamamatsu", 0.88, **{"openslide__objective-power": "40"}), "do not go together"),
        (stating("aperio", 0.5, tiff__XResolution="20000", tiff__ResolutionUnit="centimeter"), ""),
        (
            stating("aperio", 0.5, tiff__XResolution="10000", tiff__ResolutionUnit="centimeter"),
            "0.5 um/px in one place",
        ),
        (stating("aperio", 0.5, tiff__XResolution="50800", tiff__ResolutionUnit="inch"), ""),
        (stating("aperio", 0.5, tiff__XResolution="72", tiff__ResolutionUnit="inch"), ""),
        (stating("generic-tiff", 0.5, tiff__XResolution="10000", tiff__ResolutionUnit="centimeter"), ""),
        (stating("aperio", 0.5, aperio__AppMag="twenty"), ""),
        (stating("aperio", 0.5, aperio__AppMag="nan"), ""),
    ],
)
def test_what_speaks_against_a_stated_resolution(slide: ArrayReader, words: str) -> None:
    said = " ".join(doubt_resolution(slide))
    assert words in said
    assert bool(words) == bool(said)


def test_nothing_speaks_against_what_is_not_stated() -> None:
    silent = ArrayReader(noise(4, 4), properties={"openslide.objective-power": "40"})
    assert doubt_resolution(silent) == ()
