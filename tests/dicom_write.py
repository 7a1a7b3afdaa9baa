"""Writes small whole-slide DICOM series that OpenSlide opens: explicit VR little endian, one file a level."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from phantom_write import shrink

WHOLE_SLIDE = "1.2.840.10008.5.1.4.1.1.77.1.6"
JPEG_BASELINE = "1.2.840.10008.1.2.4.50"
EXPLICIT_LITTLE_ENDIAN = "1.2.840.10008.1.2.1"
ROOT_UID = "1.2.826.0.1.3680043.10.999"
"""A root for UIDs that are nobody's."""
_LONG = (b"OB", b"OV", b"OW", b"SQ", b"UC", b"UN", b"UT")
_UNDEFINED = 0xFFFFFFFF


def element(group: int, number: int, vr: bytes, value: bytes | str | int | float | Sequence[bytes]) -> bytes:
    """Encode a data element; a sequence is given as the content of its items."""
    content = _encoded(vr, value)
    content += (b"\0" if vr in (b"UI", b"OB") else b" ") * (len(content) % 2)
    if vr in _LONG:
        return struct.pack("<HH2sHI", group, number, vr, 0, len(content)) + content
    return struct.pack("<HH2sH", group, number, vr, len(content)) + content


def _encoded(vr: bytes, value: bytes | str | int | float | Sequence[bytes]) -> bytes:
    if vr == b"SQ":
        assert not isinstance(value, (str, bytes, int, float))
        return b"".join(struct.pack("<HHI", 0xFFFE, 0xE000, len(item)) + item for item in value)
    if isinstance(value, (int, float)):
        return struct.pack({b"US": "<H", b"UL": "<I", b"FL": "<f", b"FD": "<d", b"UV": "<Q"}[vr], value)
    return value.encode() if isinstance(value, str) else b"".join([value])  # type: ignore[list-item]


def write_series(
    folder: Path,
    rgb: NDArray[np.uint8],
    mpp: float,
    levels: Sequence[int] = (1, 4),
    tile: int = 128,
    quality: int = 80,
    series: int = 1,
    *,
    native: bool = False,
    more: Sequence[bytes] = (),
) -> list[Path]:
    """Write a series, one file a level, the finest first.

    Parameters
    ----------
    rgb
        uint8, (H, W, 3), RGB: level 0.
    mpp
        um per pixel of level 0.
    levels
        Downsamples; each level but the first is the area average of level 0.
    native
        Store pixels as they are instead of as JPEG.
    more
        Further data elements of every file, which take the place of its own.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for number, downsample in enumerate(levels):
        path = folder / f"level{number}.dcm"
        path.write_bytes(
            instance(shrink(rgb, downsample), mpp * downsample, number, tile, quality, series, native=native, more=more)
        )
        paths.append(path)
    return paths


def instance(
    rgb: NDArray[np.uint8],
    mpp: float,
    number: int,
    tile: int,
    quality: int,
    series: int,
    *,
    native: bool,
    more: Sequence[bytes] = (),
) -> bytes:
    """Encode one level as a DICOM file."""
    height, width = rgb.shape[:2]
    frames = [_frame(part, quality, native=native) for part in _cut(rgb, tile)]
    uid = f"{ROOT_UID}.{series}.{number + 1}"
    syntax = EXPLICIT_LITTLE_ENDIAN if native else JPEG_BASELINE
    meta = b"".join(
        [
            element(2, 1, b"OB", b"\0\1"),
            element(2, 2, b"UI", WHOLE_SLIDE),
            element(2, 3, b"UI", uid),
            element(2, 0x10, b"UI", syntax),
            element(2, 0x12, b"UI", ROOT_UID),
        ]
    )
    kind = "ORIGINAL\\PRIMARY\\VOLUME\\NONE" if number == 0 else "DERIVED\\PRIMARY\\VOLUME\\RESAMPLED"
    spacing = element(0x28, 0x30, b"DS", f"{mpp / 1000:.10f}\\{mpp / 1000:.10f}")
    measures = element(0x28, 0x9110, b"SQ", [spacing])
    head = [
        element(0x8, 0x8, b"CS", kind),
        element(0x8, 0x16, b"UI", WHOLE_SLIDE),
        element(0x8, 0x18, b"UI", uid),
        element(0x8, 0x60, b"CS", "SM"),
        element(0x8, 0x70, b"LO", "phantom"),
        element(0x8, 0x1090, b"LO", "phantom"),
        element(0x20, 0xD, b"UI", f"{ROOT_UID}.9"),
        element(0x20, 0xE, b"UI", f"{ROOT_UID}.{series}"),
        element(0x20, 0x13, b"IS", str(number + 1)),
        element(0x20, 0x9311, b"CS", "TILED_FULL"),
        element(0x28, 0x2, b"US", 3),
        element(0x28, 0x4, b"CS", "RGB" if native else "YBR_FULL_422"),
        element(0x28, 0x6, b"US", 0),
        element(0x28, 0x8, b"IS", str(len(frames))),
        element(0x28, 0x10, b"US", tile),
        element(0x28, 0x11, b"US", tile),
        element(0x28, 0x100, b"US", 8),
        element(0x28, 0x101, b"US", 8),
        element(0x28, 0x102, b"US", 7),
        element(0x28, 0x103, b"US", 0),
        element(0x48, 0x1, b"FL", width * mpp / 1000),
        element(0x48, 0x2, b"FL", height * mpp / 1000),
        element(0x48, 0x3, b"FL", 0.001),
        element(0x48, 0x6, b"UL", width),
        element(0x48, 0x7, b"UL", height),
        element(0x48, 0x303, b"UL", 1),
        element(0x5200, 0x9229, b"SQ", [measures]),
    ]
    start = b"\0" * 128 + b"DICM" + element(2, 0, b"UL", len(meta)) + meta
    by_tag = {struct.unpack("<HH", each[:4]): each for each in (*head, *more)}
    return start + b"".join(by_tag[tag] for tag in sorted(by_tag)) + _pixel_data(frames, native=native)


def _cut(rgb: NDArray[np.uint8], tile: int) -> list[NDArray[np.uint8]]:
    """Cut into tiles, row by row; those at the edge are filled up with white."""
    height, width = rgb.shape[:2]
    rows, columns = -(-height // tile), -(-width // tile)
    whole = np.full((rows * tile, columns * tile, 3), 255, np.uint8)
    whole[:height, :width] = rgb
    return [
        np.ascontiguousarray(whole[y : y + tile, x : x + tile])
        for y in range(0, rows * tile, tile)
        for x in range(0, columns * tile, tile)
    ]


def _frame(rgb: NDArray[np.uint8], quality: int, *, native: bool) -> bytes:
    if native:
        return rgb.tobytes()
    done, coded = cv2.imencode(".jpg", rgb[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    assert done
    content = coded.tobytes()
    return content + b"\0" * (len(content) % 2)


def _pixel_data(frames: Sequence[bytes], *, native: bool) -> bytes:
    if native:
        content = b"".join(frames)
        return struct.pack("<HH2sHI", 0x7FE0, 0x10, b"OB", 0, len(content)) + content
    items = [struct.pack("<HHI", 0xFFFE, 0xE000, len(frame)) + frame for frame in frames]
    starts = np.cumsum([0, *map(len, items)])[:-1].astype("<u4").tobytes()
    table = struct.pack("<HHI", 0xFFFE, 0xE000, len(starts)) + starts
    head = struct.pack("<HH2sHI", 0x7FE0, 0x10, b"OB", 0, _UNDEFINED)
    return head + table + b"".join(items) + struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)
