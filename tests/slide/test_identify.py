"""What a result says about the scanner and the reader names nobody."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from PIL import Image

from slide.drawn import noise, write_pyramid
from slidescore.slide import ArrayReader, SlideReader, open_slide
from slidescore.slide.identify import name_library, name_scanner


def reader(**properties: str) -> SlideReader:
    given: Any = SimpleNamespace(properties={key.replace("__", "."): value for key, value in properties.items()})
    return cast("SlideReader", given)


@pytest.mark.parametrize(
    ("key", "value", "shown"),
    [
        ("dicom.ManufacturerModelName", "Aperio GT 450 DX", "Aperio GT 450 DX"),
        ("hamamatsu.Product", "NanoZoomer 2.0-HT", "NanoZoomer 2.0-HT"),
        ("hamamatsu.Product", "C13220-01", "C13220-01"),
        ("leica.device-model", "Leica SCN400", "Leica SCN400"),
        ("philips.DICOM_MANUFACTURERS_MODEL_NAME", "UFS Scanner", "UFS Scanner"),
        ("ventana.ScannerModel", "VENTANA DP 200", "VENTANA DP 200"),
        ("mirax.GENERAL.SLIDE_TYPE", "Pannoramic 250 Flash III", "Pannoramic 250 Flash III"),
    ],
)
def test_a_model_in_the_makers_words_is_shown(key: str, value: str, shown: str) -> None:
    assert name_scanner(reader(**{key.replace(".", "__", 1): value})) == shown


@pytest.mark.parametrize(
    "value",
    [
        "SS1302",
        "CPAPERIOCS",
        "Anna Mueller",
        "Aperio Mueller",
        "1950",
        "12 Leica",
        "Müller",
        "Leica 12 05 1950",
        "Scan 1204 1950",
    ],
)
def test_anything_else_is_eight_digits(value: str) -> None:
    shown = name_scanner(reader(**{"aperio__ScanScope ID": value}))
    assert shown is not None
    assert shown.startswith("unlisted-")
    assert len(shown) == 17
    assert shown == name_scanner(reader(**{"aperio__ScanScope ID": value}))
    assert shown != name_scanner(reader(**{"aperio__ScanScope ID": f"{value}x"}))


def test_only_the_keys_of_scanners_are_looked_at() -> None:
    assert name_scanner(reader(aperio__Filename="Leica", openslide__comment="Leica")) is None
    assert name_scanner(reader(**{"aperio__ScanScope ID": "  "})) is None


def test_the_library_is_named_with_its_version(tmp_path: Path) -> None:
    write_pyramid(tmp_path / "a.tiff", [noise(64, 64)])
    Image.fromarray(noise(8, 8)).save(tmp_path / "b.png")
    Image.fromarray(noise(8, 8)).save(tmp_path / "c.tif")
    starts = []
    for name in ("a.tiff", "b.png", "c.tif"):
        with open_slide(tmp_path / name) as opened:
            starts.append(name_library(opened).split())
    assert [(name, version[0].isdigit()) for name, version in starts] == [
        ("OpenSlide", True),
        ("pillow", True),
        ("tifffile", True),
    ]
    assert name_library(ArrayReader(np.zeros((4, 4, 3), np.uint8), mpp=0.5)) == "array"
