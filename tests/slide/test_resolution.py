from __future__ import annotations

import math
from typing import Any

import pytest

from slide.drawn import noise
from slidescore.errors import MissingResolutionError
from slidescore.slide import ArrayReader, Resolution, decide_resolution

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
