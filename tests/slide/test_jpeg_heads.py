"""What precedes the pixels of a tile: kept, left out, or refused."""

from __future__ import annotations

import pytest
from imagecodecs import jpeg8_encode

from slide.drawn import Pixels
from slide.jpeg_tiff import coloured
from slidescore.errors import SlideOpenError
from slidescore.slide.jpeg_codes import decode_into, make_desk
from slidescore.slide.jpeg_heads import head_of, read_head

YCBCR, RGB = head_of(b"", is_rgb=False), head_of(b"", is_rgb=True)
JFIF = b"\xff\xe0\x00\x10JFIF\x00\x01\x01\x00\x00\x01\x00\x01\x00\x00"
ADOBE_RGB = b"\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00\x00"


def codes_of(sampling: str = "420", side: int = 32) -> bytes:
    rgb = coloured(side, side)
    return bytes(jpeg8_encode(rgb, level=90, colorspace="rgb", outcolorspace="ycbcr", subsampling=sampling))


def decoded(codes: bytes, head: bytes) -> Pixels:
    known = read_head(codes, head, 32, 32)
    assert codes.startswith(known.stored)
    desk = make_desk(32, 32, 3)
    decode_into(known.given + codes[len(known.stored) :], desk)
    return desk.copy()


@pytest.mark.parametrize(
    ("sampling", "factors"), [("444", (1, 1)), ("422", (2, 1)), ("420", (2, 2)), ("440", (1, 2)), ("411", (4, 1))]
)
def test_it_says_how_colours_are_sampled(sampling: str, factors: tuple[int, int]) -> None:
    assert read_head(codes_of(sampling), YCBCR, 32, 32).sampling == factors


def test_tiff_s_word_on_colours_stands_wherever_a_marker_is() -> None:
    codes = codes_of("444")
    expected = {head: decoded(codes, head) for head in (YCBCR, RGB)}
    assert (expected[YCBCR] != expected[RGB]).any()
    frame = codes.index(b"\xff\xc0")
    for marker in (JFIF, ADOBE_RGB, JFIF + ADOBE_RGB):
        for place in (2, frame):
            changed = codes[:place] + marker + codes[place:]
            for head, pixels in expected.items():
                assert (decoded(changed, head) == pixels).all()


def test_markers_in_the_tables_do_not_count_either() -> None:
    codes = codes_of("444")
    tables = b"\xff\xd8" + JFIF + ADOBE_RGB + b"\xff\xd9"
    assert head_of(tables, is_rgb=False) == YCBCR
    assert (decoded(codes, head_of(tables, is_rgb=False)) == decoded(codes, YCBCR)).all()


def test_fill_bytes_are_passed_over() -> None:
    codes = codes_of()
    frame = codes.index(b"\xff\xc0")
    assert (decoded(codes[:frame] + b"\xff\xff\xff" + codes[frame:], YCBCR) == decoded(codes, YCBCR)).all()


def test_every_cut_and_every_changed_byte_is_refused_or_keeps_the_frame() -> None:
    codes = codes_of()
    whole = read_head(codes, YCBCR, 32, 32)
    for end in range(len(whole.stored)):
        with pytest.raises(SlideOpenError):
            read_head(codes[:end], YCBCR, 32, 32)
    for at in range(len(whole.stored)):
        for value in (0, 0xFF, codes[at] ^ 1, codes[at] ^ 0x80):
            try:
                head = read_head(codes[:at] + bytes([value]) + codes[at + 1 :], YCBCR, 32, 32)
            except SlideOpenError:
                continue
            assert b"\x08\x00\x20\x00\x20\x03" in head.given


@pytest.mark.parametrize("tables", [b"\xff\xd8\xff", b"no tables", codes_of(), b"\xff\xd8\xff\xdb\xff\xff\x00\xff\xd9"])
def test_tables_that_are_none_are_refused(tables: bytes) -> None:
    with pytest.raises(SlideOpenError):
        head_of(tables, is_rgb=False)


def test_pixels_of_another_size_are_refused() -> None:
    with pytest.raises(SlideOpenError, match="32 x 32 px in a tile of 64 x 32"):
        read_head(codes_of(), YCBCR, 64, 32)
