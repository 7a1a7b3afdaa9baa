from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest

from dicom_write import element, write_series
from slide.drawn import noise
from slidescore.errors import SlideOpenError
from slidescore.slide import open_slide
from slidescore.slide.dicom_preflight import check_dicom, is_dicom
from slidescore.slide.dicom_series import series_uid
from slidescore.slide.preflight import check_structure
from slidescore.slide.reader import REMARKS


def series(folder: Path, *, native: bool = False) -> list[Path]:
    return write_series(folder, noise(300, 260), 0.5, levels=(1, 4), tile=64, native=native)


def replace(path: Path, old: bytes, new: bytes, *, resize: bool = False) -> None:
    content = path.read_bytes()
    assert old in content
    assert resize or len(old) == len(new)
    path.write_bytes(content.replace(old, new, 1))


def reason(path: Path) -> str:
    with pytest.raises(SlideOpenError) as caught:
        open_slide(path)
    assert "\n" not in str(caught.value)
    return caught.value.message


@pytest.mark.parametrize("native", [False, True])
def test_whole_series_pass_and_are_read(tmp_path: Path, native: bool) -> None:
    paths = series(tmp_path, native=native)
    assert check_structure(paths[0]) == ()
    with open_slide(paths[0]) as reader:
        assert (reader.vendor, reader.level_count, reader.dimensions) == ("dicom", 2, (300, 260))
        assert reader.mpp == pytest.approx((0.5, 0.5))
        assert REMARKS not in reader.properties
        if native:
            got = reader.read_region((0, 0), 0, (300, 260))
            np.testing.assert_array_equal(got[..., :3], noise(300, 260))


def test_a_claim_of_a_million_pixels_a_side(tmp_path: Path) -> None:
    path = series(tmp_path)[0]
    for number, old in ((6, 300), (7, 260)):
        replace(path, element(0x48, number, b"UL", old), element(0x48, number, b"UL", 1_000_000))
    assert reason(path) == "DICOM: claims 1000000 x 1000000 pixels, which no slide has"


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (element(0x48, 6, b"UL", 300), element(0x48, 6, b"UL", 3_000), "need 235 frames, it has 25"),
        (element(0x28, 0x10, b"US", 64), element(0x28, 0x10, b"US", 0), "frames of 64 x 0 pixels"),
        (element(0x28, 0x10, b"US", 64), element(0x28, 0x10, b"US", 60_000), "frames of 64 x 60000 pixels"),
        (element(0x28, 0x2, b"US", 3), element(0x28, 0x2, b"US", 9), "9 samples a pixel of 8 bits"),
        (element(0x28, 0x100, b"US", 8), element(0x28, 0x100, b"US", 136), "of 136 bits"),
        (element(0x28, 0x8, b"IS", "25"), element(0x28, 0x8, b"IS", "2x"), "number of frames is no number"),
        (element(0x28, 0x8, b"IS", "25"), element(0x28, 0x8, b"IS", "24"), "need 25 frames, it has 24"),
        (element(0x28, 0x8, b"IS", "25"), element(0x28, 0x8, b"IS", "26"), "table lists 25 of 26 frames"),
    ],
)
def test_claims_that_cannot_be_true(tmp_path: Path, old: bytes, new: bytes, words: str) -> None:
    path = series(tmp_path)[0]
    replace(path, old, new)
    assert words in reason(path)


@pytest.mark.parametrize("kept", [0.2, 0.5, 0.9, 0.999])
@pytest.mark.parametrize("native", [False, True])
def test_truncated_files_are_refused(tmp_path: Path, kept: float, native: bool) -> None:
    path = series(tmp_path, native=native)[0]
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * kept)])
    with pytest.raises(SlideOpenError, match="DICOM: "):
        check_structure(path)


def test_a_table_of_frames_must_lead_to_frames(tmp_path: Path) -> None:
    path = series(tmp_path)[0]
    content = bytearray(path.read_bytes())
    at = content.index(struct.pack("<HH2s", 0x7FE0, 0x10, b"OB")) + 12 + 8
    starts = np.frombuffer(content[at : at + 100], "<u4").copy()
    for changed, words in ((np.zeros_like(starts), "out of order"), (starts + 2 * (starts > 0), "does not begin")):
        content[at : at + 100] = changed.astype("<u4").tobytes()
        path.write_bytes(content)
        assert words in reason(path)


def test_without_a_table_frames_are_counted(tmp_path: Path) -> None:
    path = series(tmp_path)[0]
    content = path.read_bytes()
    at = content.index(struct.pack("<HH2s", 0x7FE0, 0x10, b"OB")) + 12
    item = struct.pack("<HH", 0xFFFE, 0xE000)
    path.write_bytes(content[:at] + item + bytes(4) + content[at + 108 :])
    assert check_structure(path) == ()
    with open_slide(path) as reader:
        assert reader.read_region((0, 0), 0, (300, 260))[..., 3].all()
    replace(path, element(0x28, 0x8, b"IS", "25"), element(0x28, 0x8, b"IS", "28"))
    assert "it holds 25 of 28 frames" in reason(path)


def test_the_other_files_of_the_series_are_looked_at_too(tmp_path: Path) -> None:
    paths = series(tmp_path)
    paths[1].write_bytes(paths[1].read_bytes()[:-200])
    message = reason(paths[0])
    assert "file 2 of the series" in message
    assert paths[1].name not in message


def test_a_damaged_label_is_remarked(tmp_path: Path) -> None:
    """It is never read; the slide beside it is whole."""
    paths = series(tmp_path)
    content = paths[1].read_bytes()
    old = element(8, 8, b"CS", "DERIVED\\PRIMARY\\VOLUME\\RESAMPLED")
    assert old in content
    label = content.replace(old, element(8, 8, b"CS", "ORIGINAL\\PRIMARY\\LABEL\\NONE "))[:-200]
    paths[1].write_bytes(label)
    [remark] = check_structure(paths[0])
    assert remark.startswith("an image besides the slide's own (file 2 of the series, by name): ")


def test_an_element_of_unknown_layout_hides_what_follows_it(tmp_path: Path) -> None:
    """UN of undefined length, as converters leave private sequences: nothing behind it can be checked here."""
    path = series(tmp_path)[0]
    content = path.read_bytes()
    at = content.index(element(0x28, 0x2, b"US", 3))
    private = struct.pack("<HH2sHI", 0x27, 0x1010, b"UN", 0, 0xFFFFFFFF) + struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)
    path.write_bytes(content[:at] + private + content[at:])
    assert check_dicom([path]) == ()


def test_reduced_levels_alone_are_refused(tmp_path: Path) -> None:
    paths = series(tmp_path)
    paths[0].unlink()
    assert "reduced levels only" in reason(paths[1])


def test_levels_whose_resolutions_do_not_fit_are_remarked(tmp_path: Path) -> None:
    paths = series(tmp_path)
    replace(paths[0], b"0.0005000000\\0.0005000000", b"0.0004000000\\0.0004000000")
    [remark] = check_structure(paths[0])
    assert "state resolutions that do not fit their sizes" in remark
    with open_slide(paths[0]) as reader:
        assert reader.properties[REMARKS] == remark


def test_other_layouts_and_other_objects_pass(tmp_path: Path) -> None:
    head = b"\0" * 128 + b"DICM"
    for name, content in (
        ("implicit.dcm", element(2, 0x10, b"UI", "1.2.840.10008.1.2") + b"\x28\0\x10\0\x02\0\0\0\xff\xff"),
        ("report.dcm", element(2, 0x10, b"UI", "1.2.840.10008.1.2.1") + element(0x20, 0x11, b"IS", "1")),
    ):
        (tmp_path / name).write_bytes(head + content)
        assert is_dicom(tmp_path / name)
        assert check_dicom([tmp_path / name]) == ()


def test_sequences_nested_without_end_do_not_overflow(tmp_path: Path) -> None:
    """20 bytes a level: 3,000 levels fit into the first 64 kB, in which a series is looked for."""
    level = struct.pack("<HH2sHI", 8, 0x1115, b"SQ", 0, 0xFFFFFFFF) + struct.pack("<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF)
    path = tmp_path / "deep.dcm"
    path.write_bytes(b"\0" * 128 + b"DICM" + level * 5_000)
    assert series_uid(path) is None
    with pytest.raises(SlideOpenError, match="ends within its header"):
        check_structure(path)
