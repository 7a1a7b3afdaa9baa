from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

from slide.drawn import halved, noise, write_pyramid
from slidescore.errors import SlideOpenError
from slidescore.slide import open_slide


def reason(path: Path) -> str:
    with pytest.raises(SlideOpenError) as caught:
        open_slide(path)
    text = str(caught.value)
    assert "\n" not in text
    assert str(path) in text
    return text


def test_pyramids_go_to_openslide(tmp_path: Path) -> None:
    pixels = noise(128, 128)
    with open_slide(write_pyramid(tmp_path / "a.tiff", [pixels, halved(pixels)])) as reader:
        assert (reader.backend, reader.vendor, reader.level_count) == ("openslide", "generic-tiff", 2)


def test_plain_images_go_to_the_image_reader(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "stripped.tif", noise(30, 30), photometric="rgb")
    Image.fromarray(noise(30, 30)).save(tmp_path / "a.png")
    Image.fromarray(noise(30, 30)).save(tmp_path / "a.jpg")
    for name, vendor in (("stripped.tif", "tiff"), ("a.png", "png"), ("a.jpg", "jpeg")):
        with open_slide(str(tmp_path / name)) as reader:
            assert (reader.backend, reader.vendor) == ("image", vendor)


def test_tiles_that_openslide_cannot_decode_go_to_the_image_reader(tmp_path: Path) -> None:
    pixels = noise(64, 64)
    tifffile.imwrite(tmp_path / "zstd.tif", pixels, photometric="rgb", tile=(32, 32), compression="lerc")
    with open_slide(tmp_path / "zstd.tif") as reader:
        assert reader.backend == "image"
        np.testing.assert_array_equal(reader.read_region((0, 0), 0, (64, 64))[..., :3], pixels)


def test_one_pixel(tmp_path: Path) -> None:
    Image.new("RGB", (1, 1), (255, 255, 255)).save(tmp_path / "one.png")
    with open_slide(tmp_path / "one.png") as reader:
        assert reader.read_region((0, 0), 0, (1, 1)).tolist() == [[[255, 255, 255, 255]]]


def test_not_a_slide_lists_every_attempt(tmp_path: Path) -> None:
    path = tmp_path / "note é.svs"
    path.write_text("not a slide\n" * 50)
    text = reason(path)
    assert "OpenSlide: unknown format" in text
    assert "image: not a PNG, JPEG or TIFF" in text


def test_missing_directory_and_empty_file(tmp_path: Path) -> None:
    (tmp_path / "empty.svs").touch()
    assert "no such file" in reason(tmp_path / "none.svs")
    assert "is a directory" in reason(tmp_path)
    assert "empty (0 bytes)" in reason(tmp_path / "empty.svs")


def test_permission_denied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.svs"
    path.write_bytes(b"x")

    def refuse(*args: object, **kwargs: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    assert "permission denied" in reason(path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_does_not_hang(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.svs")
    assert "not a regular file" in reason(tmp_path / "pipe.svs")


def test_impossible_paths(tmp_path: Path) -> None:
    assert "cannot be read" in reason(tmp_path / ("x" * 5000))
    assert "cannot be read" in reason(tmp_path / "a\0b.svs")


@pytest.mark.parametrize("kept", [0.02, 0.3, 0.7, 0.99])
def test_truncated_pyramids_are_refused(tmp_path: Path, kept: float) -> None:
    pixels = noise(256, 256)
    path = write_pyramid(tmp_path / "a.tiff", [pixels, halved(pixels)])
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * kept)])
    assert reason(path)


def test_a_damaged_scanner_file_is_not_tried_as_an_image(tmp_path: Path) -> None:
    path = tmp_path / "a.svs"
    options: dict[str, Any] = {"description": "Aperio Image Library x", "metadata": None}
    tifffile.imwrite(path, noise(64, 64), photometric="rgb", tile=(32, 32), compression="lerc", **options)
    text = reason(path)
    assert "OpenSlide: Unsupported TIFF compression" in text
    assert "image:" not in text
