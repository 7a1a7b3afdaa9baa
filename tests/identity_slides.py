"""Slides that carry the identity of a patient wherever a file can: 30 tokens, each of which must come out nowhere."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np
import openslide
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image, PngImagePlugin

import phantom as ph
from dicom_write import element, instance, write_series
from phantom_write import shrink

PLACES = (
    "svs comment", "svs patient", "svs filename", "svs title", "svs user", "svs scanner", "svs label", "svs macro",
    "svs label pixels", "svs artist", "dicom name", "dicom id", "dicom accession", "dicom physician",
    "dicom container", "dicom model", "dicom serial", "dicom label text", "dicom comments", "png text", "jpeg comment",
    "jpeg exif", "tiff description", "key file line", "resolution", "xml attribute", "image host", "folder above",
    "file name", "folder below",
)  # fmt: skip
TOKENS: Mapping[str, str] = {place: f"Zq{number:02d}Muellerin" for number, place in enumerate(PLACES)}
"""A token for each place; none is a word, and none contains another."""
IN_NAMES = ("file name", "folder below")
"""Places in the names of files below INPUT, which are in every table unless pseudonyms take their place."""

LABEL_COLOUR, MACRO_COLOUR = (255, 0, 255), (0, 255, 0)
"""Colours that no stain has: were a label or macro image drawn anywhere, it would show."""
_TILE_PX = 128
GOOD = ("patient.svs", "dicom/level0.dcm", "image.tif")
"""What can be scored; the other files fail, each in its own way."""


def write_slides(folder: Path) -> None:
    """Write slides that can be scored and slides that cannot, all of them with tokens."""
    field = ph.draw_phantom(ph.crowded_spec(61, n_cells=220, tissue="irregular", tissue_fraction=0.7))
    below = folder / TOKENS["folder below"]
    (folder / "dicom").mkdir(parents=True)
    below.mkdir()
    write_svs(folder / "patient.svs", field.rgb, field.mpp)
    write_dicom(folder / "dicom", field.rgb, field.mpp)
    write_tiff(folder / "image.tif", field.rgb, field.mpp)
    twin = np.ascontiguousarray(field.rgb[::-1])
    write_svs(below / f"{TOKENS['file name']} 1950.svs", twin, field.mpp)
    write_failing(folder, below, field.rgb)


def drawn(text: str, colour: tuple[int, int, int]) -> NDArray[np.uint8]:
    """A picture of a text, as a label or a macro image is one."""
    picture = np.full((120, 400, 3), colour, np.uint8)
    cv2.putText(picture, text, (5, 70), cv2.FONT_HERSHEY_SIMPLEX, 1.0, (0, 0, 0), 2)
    return picture


def write_svs(path: Path, rgb: NDArray[np.uint8], mpp: float | str) -> None:
    """Write an Aperio slide with a label and a macro image."""
    height, width = rgb.shape[:2]
    stated = f"AppMag = 20|MPP = {mpp}|Filename = {TOKENS['svs filename']}|Title = {TOKENS['svs title']}"
    who = f"Patient = {TOKENS['svs patient']}|User = {TOKENS['svs user']}|ScanScope ID = {TOKENS['svs scanner']}"
    about = f"Aperio Image Library v12.0.15 {TOKENS['svs comment']}\r\n"
    size = f"{width}x{height} [0,0 {width}x{height}] (256x256) JPEG/RGB Q=80"
    with tifffile.TiffWriter(path) as writer:
        for number, downsample in enumerate((1, 4)):
            writer.write(
                shrink(rgb, downsample), tile=(256, 256), photometric="rgb", compression="jpeg", subsampling=(2, 2),
                subfiletype=1 if number else 0, description=f"{about}{size}|{stated}|{who}", metadata=None,
                software=TOKENS["svs comment"], extratags=[(315, 2, 0, TOKENS["svs artist"], True)],
            )  # fmt: skip
        for name, colour in (("label", LABEL_COLOUR), ("macro", MACRO_COLOUR)):
            text = TOKENS["svs label pixels" if name == "label" else "svs macro"]
            writer.write(
                drawn(text, colour), photometric="rgb", subfiletype=1 if name == "label" else 9, rowsperstrip=120,
                metadata=None, software=False,
                description=f"{about}{name} 400x120 {TOKENS[f'svs {name}']}",
            )  # fmt: skip


def write_dicom(folder: Path, rgb: NDArray[np.uint8], mpp: float) -> None:
    """Write a series with patient tags, and a label of the same series beside it."""
    tags = [
        element(0x8, 0x50, b"SH", TOKENS["dicom accession"]),
        element(0x8, 0x90, b"PN", f"{TOKENS['dicom physician']}^Otto"),
        element(0x8, 0x1090, b"LO", TOKENS["dicom model"]),
        element(0x10, 0x10, b"PN", f"{TOKENS['dicom name']}^Anna"),
        element(0x10, 0x20, b"LO", TOKENS["dicom id"]),
        element(0x18, 0x1000, b"LO", TOKENS["dicom serial"]),
        element(0x20, 0x4000, b"LT", TOKENS["dicom comments"]),
        element(0x40, 0x512, b"LO", TOKENS["dicom container"]),
    ]
    write_series(folder, rgb, mpp, tile=_TILE_PX, more=tags)
    text = TOKENS["dicom label text"]
    own = [
        element(0x8, 0x8, b"CS", "ORIGINAL\\PRIMARY\\LABEL\\NONE"),
        element(0x2200, 0x5, b"LT", text),
    ]
    picture = cv2.resize(drawn(text, LABEL_COLOUR), (_TILE_PX, _TILE_PX))
    label = instance(picture, mpp, 7, _TILE_PX, 90, 1, native=False, more=[*tags, *own])
    (folder / "zlabel.dcm").write_bytes(label)


def write_tiff(path: Path, rgb: NDArray[np.uint8], mpp: float) -> None:
    """Write a plain image with a description and the names of a person and a computer."""
    tifffile.imwrite(
        path, rgb, photometric="rgb", rowsperstrip=64, resolution=(1e4 / mpp, 1e4 / mpp), resolutionunit="CENTIMETER",
        description=TOKENS["tiff description"], metadata=None, software=False,
        extratags=[(316, 2, 0, TOKENS["image host"], True)],
    )  # fmt: skip


def write_failing(folder: Path, below: Path, rgb: NDArray[np.uint8]) -> None:
    """Write slides that fail; the libraries' own messages about several of them quote a token."""
    write_svs(folder / "no resolution.svs", rgb, TOKENS["resolution"])
    whole = (folder / "patient.svs").read_bytes()
    (below / f"{TOKENS['file name']} cut.svs").write_bytes(whole[: len(whole) // 2])
    (folder / "mirax").mkdir()
    (folder / "mirax.mrxs").write_bytes(b"mirax")
    line = f"[GENERAL]\nSLIDE_VERSION=01.02\n{TOKENS['key file line']} 1950\n"
    (folder / "mirax" / "Slidedat.ini").write_text(line)
    (folder / "mirax" / "Index.dat").write_bytes(b"index")
    token = TOKENS["xml attribute"]
    xml = (
        '<?xml version="1.0"?><scn xmlns="http://www.leica-microsystems.com/scn/2010/10/01">'
        f'<collection name="{token}" sizeX="{token}" sizeY="1"><image name="{token}"></image></collection></scn>'
    )
    ph.write_pyramid(folder / "leica.scn", rgb, None, levels=(1,), description=xml)
    text = PngImagePlugin.PngInfo()
    text.add_text("Comment", TOKENS["png text"])
    text.add_text("Patient", TOKENS["png text"], zip=True)
    Image.fromarray(rgb[..., 0]).save(folder / "gray.png", pnginfo=text)
    exif = broken_exif(TOKENS["jpeg exif"])
    Image.fromarray(rgb).save(folder / "photo.jpg", comment=TOKENS["jpeg comment"].encode(), dpi=(72, 72), exif=exif)
    deep = np.zeros((40, 40, 3), np.uint16)
    tifffile.imwrite(folder / "deep.tif", deep, photometric="rgb", description=TOKENS["tiff description"])
    dicom = (folder / "dicom" / "level0.dcm").read_bytes()
    (folder / "cut").mkdir()
    (folder / "cut" / "cut.dcm").write_bytes(dicom[: len(dicom) // 2])


def broken_exif(description: str) -> bytes:
    """Make EXIF data of more entries than there are, of which Pillow warns."""
    exif = Image.Exif()
    exif[0x10E] = description
    content = exif.tobytes()
    at = content.index(b"*") + 6 if b"II*" in content else content.index(b"\0*") + 6
    return content[:at] + b"\xff\xff" + content[at + 2 :]


def check_traps(folder: Path) -> None:
    """Make sure that the tokens are there to be found: in properties, associated images and messages."""
    with openslide.OpenSlide(folder / "patient.svs") as slide:
        assert {"label", "macro"} <= set(slide.associated_images)
        stated = " ".join(slide.properties.values())
        for place in ("comment", "patient", "filename", "title", "user", "scanner"):
            assert TOKENS[f"svs {place}"] in stated, place
    with openslide.OpenSlide(folder / "dicom" / "level0.dcm") as slide:
        assert "label" in slide.associated_images
        stated = " ".join(slide.properties.values())
        for place in ("name", "id", "accession", "physician", "model"):
            assert TOKENS[f"dicom {place}"] in stated, place
    with pytest.raises(openslide.OpenSlideError, match=TOKENS["key file line"]):
        openslide.OpenSlide(folder / "mirax.mrxs")
    with Image.open(folder / "photo.jpg") as photo, pytest.warns(UserWarning, match="Corrupt EXIF"):
        photo.getexif()
