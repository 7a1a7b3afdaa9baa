from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageFile

from slide.contract import Opened, ReaderContract
from slide.drawn import Pixels, noise
from slidescore.errors import SlideOpenError
from slidescore.slide import decoded_image
from slidescore.slide.image_reader import ImageReader

HALF_A_MICROMETRE_DPI = 50_800


class ImageContract(ReaderContract):
    backend = "image"
    pixels: Pixels = noise(75, 53)

    @pytest.fixture
    def opened(self, tmp_path: Path) -> Iterator[Opened]:
        path = tmp_path / "image é.dat"
        mpp = self.write(path)
        with ImageReader(path) as reader:
            yield Opened(reader, [self.pixels], mpp)

    def write(self, path: Path) -> tuple[float, float] | None:
        raise NotImplementedError


class TestPng(ImageContract):
    def write(self, path: Path) -> tuple[float, float] | None:
        Image.fromarray(self.pixels).save(path, "png", dpi=(HALF_A_MICROMETRE_DPI, HALF_A_MICROMETRE_DPI))
        return (0.5, 0.5)


class TestPngWithAlpha(ImageContract):
    pixels = noise(75, 53, channels=4)
    pixels[10:20, 30:40, 3] = 0
    pixels[20:30, 30:40, 3] = 128

    def write(self, path: Path) -> tuple[float, float] | None:
        Image.fromarray(self.pixels).save(path, "png")
        return None


class TestStrippedTiff(ImageContract):
    def write(self, path: Path) -> tuple[float, float] | None:
        tifffile.imwrite(path, self.pixels, photometric="rgb", rowsperstrip=7, compression="zlib")
        return None


class TestMappedBigTiff(ImageContract):
    def write(self, path: Path) -> tuple[float, float] | None:
        options: dict[str, Any] = {"resolution": (40_000, 20_000), "resolutionunit": "CENTIMETER"}
        tifffile.imwrite(path, self.pixels, photometric="rgb", bigtiff=True, byteorder=">", **options)
        return (0.25, 0.5)


class TestPlanarTiff(ImageContract):
    def write(self, path: Path) -> tuple[float, float] | None:
        planes = np.ascontiguousarray(np.moveaxis(self.pixels, -1, 0))
        options: dict[str, Any] = {"resolution": (50_800, 50_800), "resolutionunit": "INCH"}
        tifffile.imwrite(path, planes, photometric="rgb", planarconfig="separate", **options)
        return (0.5, 0.5)


class TestTiffWithAlpha(ImageContract):
    pixels = noise(75, 53, channels=4)
    pixels[10:20, 30:40, 3] = 0

    def write(self, path: Path) -> tuple[float, float] | None:
        tifffile.imwrite(path, self.pixels, photometric="rgb", extrasamples=["unassalpha"])
        return None


def read_all(path: Path) -> Pixels:
    with ImageReader(path) as reader:
        return reader.read_region((0, 0), 0, reader.dimensions)


def reason(path: Path) -> str:
    with pytest.raises(SlideOpenError) as caught:
        ImageReader(path)
    assert "\n" not in str(caught.value)
    assert caught.value.where == str(path)
    assert str(path.parent) not in caught.value.message
    return caught.value.message


def test_jpeg_gives_the_pixels_pillow_decodes(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    Image.fromarray(noise(64, 48)).save(path, quality=90, dpi=(25_400, 25_400))
    with Image.open(path) as image:
        expected = np.array(image)
    with ImageReader(path) as reader:
        np.testing.assert_array_equal(reader.read_region((0, 0), 0, (64, 48))[..., :3], expected)
        assert reader.mpp == (1.0, 1.0)
        assert reader.vendor == "jpeg"


@pytest.mark.parametrize("dpi", [72, 96, 150, 300, 600])
@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.tif"])
def test_the_resolution_of_a_screen_is_none(tmp_path: Path, name: str, dpi: int) -> None:
    path = tmp_path / name
    Image.fromarray(noise(8, 8)).save(path, dpi=(dpi, dpi))
    with ImageReader(path) as reader:
        assert reader.mpp is None


def test_density_without_a_unit_is_none(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, noise(8, 8), photometric="rgb", resolution=(20_000, 20_000), resolutionunit="NONE")
    with ImageReader(path) as reader:
        assert reader.mpp is None


def test_palettes_become_their_colours(tmp_path: Path) -> None:
    pixels = noise(20, 20)
    palette = Image.fromarray(pixels).quantize(16)
    expected = np.array(palette.convert("RGB"))
    for name in ("a.png", "a.tif"):
        palette.save(tmp_path / name)
        np.testing.assert_array_equal(read_all(tmp_path / name)[..., :3], expected)


def test_a_transparent_palette_colour_is_transparent(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    image = Image.new("P", (4, 4), 1)
    image.putpalette([255, 0, 0, 0, 255, 0])
    image.putpixel((2, 1), 0)
    image.save(path, transparency=0)
    alpha = read_all(path)[..., 3]
    assert alpha[1, 2] == 0
    assert (alpha == 0).sum() == 1


def test_premultiplied_alpha_is_divided_out(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    pixels = np.full((4, 4, 4), 100, np.uint8)
    pixels[..., 3] = 128
    tifffile.imwrite(path, pixels, photometric="rgb", extrasamples=["assocalpha"])
    assert read_all(path)[0, 0].tolist() == [199, 199, 199, 128]


def test_jpeg_in_strips(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    smooth = np.full((32, 32, 3), (180, 120, 60), np.uint8)
    tifffile.imwrite(path, smooth, photometric="rgb", compression="jpeg", rowsperstrip=16)
    assert np.abs(read_all(path)[..., :3].astype(int) - smooth).max() <= 3


def test_the_largest_page_is_the_image(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    large = noise(64, 48)
    with tifffile.TiffWriter(path) as writer:
        writer.write(noise(16, 12), photometric="rgb")
        writer.write(large, photometric="rgb")
    np.testing.assert_array_equal(read_all(path)[..., :3], large)


def test_a_stack_is_refused(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((5, 8, 8, 3), np.uint8), photometric="rgb")
    assert "stack of 5" in reason(tmp_path / "a.tif")


def test_orientation_is_stated_and_not_applied(tmp_path: Path) -> None:
    pixels = noise(20, 10)
    exif = Image.Exif()
    exif[0x0112] = 6
    path = tmp_path / "a.png"
    Image.fromarray(pixels).save(path, exif=exif)
    with ImageReader(path) as reader:
        assert reader.dimensions == (20, 10)
        assert reader.properties["image.exif-orientation"] == "6"
    np.testing.assert_array_equal(read_all(path)[..., :3], pixels)


def test_icc_profiles_are_noticed(tmp_path: Path) -> None:
    Image.fromarray(noise(8, 8)).save(tmp_path / "with.png", icc_profile=b"profile")
    Image.fromarray(noise(8, 8)).save(tmp_path / "without.png")
    assert ImageReader(tmp_path / "with.png").icc_profile
    assert not ImageReader(tmp_path / "without.png").icc_profile


@pytest.mark.parametrize(
    ("mode", "name", "words"),
    [
        ("L", "a.png", "grayscale"),
        ("LA", "a.png", "grayscale"),
        ("1", "a.png", "black and white"),
        ("I;16", "a.png", "16-bit PNG"),
        ("L", "a.jpg", "grayscale"),
        ("CMYK", "a.jpg", "CMYK"),
        ("L", "a.tif", "1 channel"),
        ("CMYK", "a.tif", "SEPARATED"),
        ("I;16", "a.tif", "16-bit TIFF"),
        ("1", "a.tif", "1-bit TIFF"),
    ],
)
def test_what_is_not_8_bit_rgb_is_refused(tmp_path: Path, mode: str, name: str, words: str) -> None:
    Image.new(mode, (8, 8)).save(tmp_path / name)
    assert words in reason(tmp_path / name)


def test_16_bit_rgb_is_refused(tmp_path: Path) -> None:
    import cv2

    deep = np.zeros((8, 8, 3), np.uint16)
    cv2.imwrite(str(tmp_path / "a.png"), deep)
    assert "16-bit PNG" in reason(tmp_path / "a.png")
    tifffile.imwrite(tmp_path / "a.tif", deep, photometric="rgb")
    assert "16-bit TIFF" in reason(tmp_path / "a.tif")


def test_a_fourth_channel_must_be_alpha(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", noise(8, 8, 4), photometric="rgb", extrasamples=["unspecified"])
    assert "fourth channel" in reason(tmp_path / "a.tif")


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "plain.tif", "packed.tif"])
@pytest.mark.parametrize("kept", [0.1, 0.5, 0.9])
def test_truncated_files_are_refused(tmp_path: Path, name: str, kept: float) -> None:
    path = tmp_path / name
    if name == "packed.tif":
        tifffile.imwrite(path, noise(100, 100), photometric="rgb", compression="zlib", rowsperstrip=10)
    else:
        Image.fromarray(noise(100, 100)).save(path)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * kept)])
    assert reason(path)


def test_missing_strips_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, noise(40, 40), photometric="rgb", compression="zlib", rowsperstrip=10)
    with tifffile.TiffFile(path, mode="r+") as tiff:
        tag = tiff.pages[0].aspage().tags["StripByteCounts"]
        tag.overwrite([0, *tag.value[1:]])
    assert "1 of its 4 strips or tiles are missing" in reason(path)


def test_a_pillow_that_accepts_truncated_images_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.fromarray(noise(8, 8)).save(tmp_path / "a.png")
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    assert "truncated" in reason(tmp_path / "a.png")


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.tif"])
def test_images_over_the_limit_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    Image.fromarray(noise(20, 20)).save(tmp_path / name)
    monkeypatch.setattr(decoded_image, "MAX_PIXELS", 399)
    assert "20 x 20" in reason(tmp_path / name)


def test_pillows_own_limit_does_not_apply(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a.png", "a.jpg"):
        Image.fromarray(noise(20, 20)).save(tmp_path / name)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    for name in ("a.png", "a.jpg"):
        assert read_all(tmp_path / name).shape == (20, 20, 4)


def test_other_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(b"GIF89a and more")
    assert reason(path) == "not a PNG, JPEG or TIFF"
    assert "No such file" in reason(tmp_path / "none.png")


def test_the_suffix_does_not_matter(tmp_path: Path) -> None:
    Image.fromarray(noise(8, 8)).save(tmp_path / "a.tif", "png")
    with ImageReader(tmp_path / "a.tif") as reader:
        assert reader.vendor == "png"
