"""Ways in which a slide's bytes go wrong: each a pure function of the bytes and a generator of random numbers.

A mutator takes a whole file and returns another one, never the same bytes. What it changes is found in the file, so it
needs no knowledge of how the file was made.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from faults.layout import (
    Layout,
    Range,
    dicom_frames,
    dicom_layout,
    jpeg_layout,
    jpeg_segments,
    png_chunks,
    png_layout,
    tiff_layout,
    tiff_places,
)

Mutator = Callable[[bytes, np.random.Generator], bytes]

HUGE_PX = 1_000_000
WRONG_MPP_FACTORS = (0.5, 2.0, 4.0, 0.8)


def truncate(content: bytes, rng: np.random.Generator) -> bytes:
    """Cut the end off, as an interrupted copy does."""
    return content[: int(len(content) * rng.uniform(0.02, 0.995))]


def random_bytes(content: bytes, rng: np.random.Generator) -> bytes:
    """Overwrite 32 bytes anywhere with others."""
    at = int(rng.integers(0, len(content) - 32))
    return _put(content, at, rng.bytes(32))


def zero_block(content: bytes, rng: np.random.Generator) -> bytes:
    """Overwrite a block of 4 kB with zeros, as a lost sector reads."""
    size = min(4096, len(content) // 4)
    for _ in range(100):
        at = int(rng.integers(0, len(content) - size))
        if any(content[at : at + size]):
            return _put(content, at, bytes(size))
    message = "no block that is not zero"
    raise ValueError(message)


def flip_structure(find: Callable[[bytes], Layout]) -> Mutator:
    """Flip one bit outside of the pixel data."""
    return lambda content, rng: _flip(content, find(content).structure, rng)


def flip_data(find: Callable[[bytes], Layout]) -> Mutator:
    """Flip one bit of the pixel data."""
    return lambda content, rng: _flip(content, find(content).data, rng)


# TIFF


def zero_tile_table(content: bytes, rng: np.random.Generator) -> bytes:
    """Fill level 0's table of tile offsets or lengths with zeros."""
    start, stop = tiff_places(content).values[str(rng.choice(["TileOffsets", "TileByteCounts"]))]
    return _put(content, start, bytes(stop - start))


def drop_tiff_tiles(content: bytes, rng: np.random.Generator) -> bytes:
    """Set the lengths of a tenth to a half of level 0's tiles to 0, as scanners do for what they did not scan."""
    places = tiff_places(content)
    start, stop = places.values["TileByteCounts"]
    step = places.count_bytes
    n_tiles = (stop - start) // step
    for number in rng.permutation(n_tiles)[: max(1, int(n_tiles * rng.uniform(0.1, 0.5)))]:
        content = _put(content, start + int(number) * step, bytes(step))
    return content


def claim_tiff_size(content: bytes, rng: np.random.Generator) -> bytes:
    """Claim a million pixels a side."""
    places = tiff_places(content)
    for name in ("ImageWidth", "ImageLength"):
        content = _put_tiff_long(content, places.order, places.values[name], HUGE_PX)
    return content


def swap_svs_mpp(content: bytes, rng: np.random.Generator) -> bytes:
    """State another resolution in an Aperio description."""
    found = re.search(rb"MPP = ([\d.]+)", content)
    assert found
    old = found[1]
    new = f"{float(old) * rng.choice(WRONG_MPP_FACTORS):.6f}"[: len(old)].ljust(len(old), "0").encode()
    return _put(content, found.start(1), new)


def remove_svs_mpp(content: bytes, rng: np.random.Generator) -> bytes:
    """Misspell the resolution in an Aperio description."""
    return content.replace(b"MPP = ", b"MPQ = ", 1)


def swap_tiff_mpp(content: bytes, rng: np.random.Generator) -> bytes:
    """State another resolution in the tags."""
    places = tiff_places(content)
    factor = rng.choice(WRONG_MPP_FACTORS)
    for name in ("XResolution", "YResolution"):
        start, _ = places.values[name]
        numerator, denominator = struct.unpack_from(places.order + "II", content, start)
        content = _put(content, start, struct.pack(places.order + "II", int(numerator / factor), denominator))
    return content


def remove_tiff_mpp(content: bytes, rng: np.random.Generator) -> bytes:
    """State a resolution of 0."""
    places = tiff_places(content)
    for name in ("XResolution", "YResolution"):
        content = _put(content, places.values[name][0], bytes(4))
    return content


# DICOM


def claim_dicom_size(content: bytes, rng: np.random.Generator) -> bytes:
    """Claim a million pixels a side."""
    for number in (6, 7):
        tag = struct.pack("<HH2sH", 0x48, number, b"UL", 4)
        content = _put(content, content.index(tag) + len(tag), struct.pack("<I", HUGE_PX))
    return content


def drop_dicom_frames(content: bytes, rng: np.random.Generator) -> bytes:
    """State fewer frames than there are."""
    tag = struct.pack("<HH2s", 0x28, 0x8, b"IS")
    at = content.index(tag) + len(tag)
    [length] = struct.unpack_from("<H", content, at)
    n_frames = int(content[at + 2 : at + 2 + length])
    fewer = max(1, int(n_frames * rng.uniform(0.5, 0.95)))
    return _put(content, at + 2, str(fewer).ljust(length).encode())


def zero_frame_table(content: bytes, rng: np.random.Generator) -> bytes:
    """Fill the table of frame offsets with zeros."""
    frames = dicom_frames(content)
    size = 4 * len(frames)
    return _put(content, frames[0][0] - 8 - size, bytes(size))


def swap_dicom_mpp(content: bytes, rng: np.random.Generator) -> bytes:
    """State another pixel spacing."""
    start, stop = _dicom_spacing(content)
    old = float(content[start:stop].split(b"\\")[0])
    new = f"{old * rng.choice(WRONG_MPP_FACTORS):.10f}"
    return _put(content, start, f"{new}\\{new}".ljust(stop - start).encode())


def remove_dicom_mpp(content: bytes, rng: np.random.Generator) -> bytes:
    """Leave the pixel spacing blank."""
    start, stop = _dicom_spacing(content)
    return _put(content, start, b" " * (stop - start))


def _dicom_spacing(content: bytes) -> Range:
    tag = struct.pack("<HH2s", 0x28, 0x30, b"DS")
    at = content.index(tag) + len(tag)
    [length] = struct.unpack_from("<H", content, at)
    return at + 2, at + 2 + length


# PNG and JPEG


def claim_png_size(content: bytes, rng: np.random.Generator) -> bytes:
    """Claim a million pixels a side, with a right checksum."""
    return _put_chunk(content, b"IHDR", lambda old: struct.pack(">II", HUGE_PX, HUGE_PX) + old[8:])


def swap_png_mpp(content: bytes, rng: np.random.Generator) -> bytes:
    """State another resolution, with a right checksum."""
    factor = rng.choice(WRONG_MPP_FACTORS)

    def other(old: bytes) -> bytes:
        x, y, unit = struct.unpack(">IIB", old)
        return struct.pack(">IIB", int(x / factor), int(y / factor), unit)

    return _put_chunk(content, b"pHYs", other)


def remove_png_mpp(content: bytes, rng: np.random.Generator) -> bytes:
    """Leave the resolution out, as a program does that does not know it."""
    [(start, stop)] = [(start, stop) for kind, start, stop in png_chunks(content) if kind == b"pHYs"]
    return content[: start - 8] + content[stop + 4 :]


def claim_jpeg_size(content: bytes, rng: np.random.Generator) -> bytes:
    """Claim the most pixels that a JPEG can claim."""
    [at] = [start for marker, start, _ in jpeg_segments(content) if marker in (0xFFC0, 0xFFC2)]
    return _put(content, at + 1, b"\xff\xff\xff\xff")


def swap_jpeg_mpp(content: bytes, rng: np.random.Generator) -> bytes:
    """State another density in the JFIF header."""
    at = content.index(b"JFIF\0") + 8
    x, y = struct.unpack_from(">HH", content, at)
    factor = rng.choice(WRONG_MPP_FACTORS)
    return _put(content, at, struct.pack(">HH", *(min(65_535, int(each / factor)) for each in (x, y))))


def remove_jpeg_mpp(content: bytes, rng: np.random.Generator) -> bytes:
    """State a density without a unit."""
    return _put(content, content.index(b"JFIF\0") + 7, b"\0")


def _anywhere(find: Callable[[bytes], Layout]) -> dict[str, Mutator]:
    return {
        "truncated": truncate,
        "bit in structure": flip_structure(find),
        "bit in data": flip_data(find),
        "lost block": zero_block,
        "random bytes": random_bytes,
    }


_TIFF = {
    **_anywhere(tiff_layout),
    "zeroed table": zero_tile_table,
    "missing tiles": drop_tiff_tiles,
    "huge claim": claim_tiff_size,
}
MUTATORS: Mapping[str, Mapping[str, Mutator]] = {
    "svs": {**_TIFF, "other mpp": swap_svs_mpp, "no mpp": remove_svs_mpp},
    "tiff": {**_TIFF, "other mpp": swap_tiff_mpp, "no mpp": remove_tiff_mpp},
    "dicom": {
        **_anywhere(dicom_layout),
        "zeroed table": zero_frame_table,
        "missing tiles": drop_dicom_frames,
        "huge claim": claim_dicom_size,
        "other mpp": swap_dicom_mpp,
        "no mpp": remove_dicom_mpp,
    },
    "png": {
        **_anywhere(png_layout),
        "huge claim": claim_png_size,
        "other mpp": swap_png_mpp,
        "no mpp": remove_png_mpp,
    },
    "jpeg": {
        **_anywhere(jpeg_layout),
        "huge claim": claim_jpeg_size,
        "other mpp": swap_jpeg_mpp,
        "no mpp": remove_jpeg_mpp,
    },
}
"""By format and kind of fault."""


def mutate(content: bytes, mutator: Mutator, rng: np.random.Generator) -> bytes:
    """Apply a mutator until it changes something; a mutator that draws what was there draws again."""
    for _ in range(100):
        changed = mutator(content, rng)
        if changed != content:
            return changed
    message = "the mutator changes nothing"
    raise ValueError(message)


def _put(content: bytes, at: int, new: bytes) -> bytes:
    return content[:at] + new + content[at + len(new) :]


def _flip(content: bytes, ranges: Sequence[Range], rng: np.random.Generator) -> bytes:
    sizes = np.array([stop - start for start, stop in ranges])
    at = int(rng.integers(0, sizes.sum()))
    number = int(np.searchsorted(np.cumsum(sizes), at, side="right"))
    at = ranges[number][0] + at - int(sizes[:number].sum())
    return _put(content, at, bytes([content[at] ^ 1 << int(rng.integers(8))]))


def _put_tiff_long(content: bytes, order: str, place: Range, value: int) -> bytes:
    """Write a value into an entry of a classic TIFF, as a LONG whatever it was."""
    start, _ = place
    return _put(content, start - 6, struct.pack(order + "HII", 4, 1, value))


def _put_chunk(content: bytes, kind: bytes, change: Callable[[bytes], bytes]) -> bytes:
    [(start, stop)] = [(start, stop) for name, start, stop in png_chunks(content) if name == kind]
    new = change(content[start:stop])
    return _put(content, start, new + struct.pack(">I", zlib.crc32(kind + new)))
