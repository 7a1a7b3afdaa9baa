from __future__ import annotations

import os
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from slidescore.errors import InputError
from slidescore.slide import find_slides
from slidescore.slide.discover import SUFFIXES


def touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(name.encode())


def files(*inputs: Path) -> list[str]:
    return [slide.file for slide in find_slides(inputs)]


def element(group: int, number: int, vr: bytes, value: bytes) -> bytes:
    if vr in (b"SQ", b"UN", b"OB"):
        return struct.pack("<HH2sHI", group, number, vr, 0, len(value)) + value
    return struct.pack("<HH2sH", group, number, vr, len(value)) + value


def dicom(uid: str, before: bytes = b"") -> bytes:
    value = uid.encode() + b"\0" * (len(uid) % 2)
    meta = element(2, 0x10, b"UI", b"1.2.840.10008.1.2.4.50")
    rest = element(0x20, 0x11, b"IS", b"1 ")
    return b"\0" * 128 + b"DICM" + meta + before + element(0x20, 0x0E, b"UI", value) + rest


def undefined_sequence(items: Sequence[bytes]) -> bytes:
    """A ReferencedSeriesSequence of undefined length, its items alternately of defined and undefined length."""
    out = struct.pack("<HH2sHI", 0x08, 0x1115, b"SQ", 0, 0xFFFFFFFF)
    for number, item in enumerate(items):
        if number % 2:
            out += struct.pack("<HHI", 0xFFFE, 0xE000, len(item)) + item
        else:
            out += struct.pack("<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF) + item + struct.pack("<HHI", 0xFFFE, 0xE00D, 0)
    return out + struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)


def test_directories_are_searched_recursively_in_a_stable_order(tmp_path: Path) -> None:
    touch(tmp_path, "b/2.svs", "b/10.svs", "a.SVS", "B.tiff", "é ü.ndpi", "b/c/d.Jpeg", "notes.txt", "b/scores.csv")
    assert files(tmp_path) == ["B.tiff", "a.SVS", "b/10.svs", "b/2.svs", "b/c/d.Jpeg", "é ü.ndpi"]


@pytest.mark.parametrize("suffix", sorted(SUFFIXES - {".mrxs", ".vms", ".vmu"}))
def test_suffixes_in_any_case(tmp_path: Path, suffix: str) -> None:
    touch(tmp_path, f"a{suffix}", f"b{suffix.upper()}")
    assert files(tmp_path) == [f"a{suffix}", f"b{suffix.upper()}"]


def test_hidden_files_and_folders_are_left_out(tmp_path: Path) -> None:
    touch(tmp_path, "a.svs", "._a.svs", ".cache/b.svs")
    assert files(tmp_path) == ["a.svs"]


def test_run_folders_are_left_out(tmp_path: Path) -> None:
    touch(tmp_path, "a.svs", "run/slides/x/overlay.tiff", "other/b.tiff")
    (tmp_path / "run" / "run.json").write_text('{"slidescore_version": "0.1.0"}')
    (tmp_path / "other" / "run.json").write_text('{"tool": "another"}')
    assert files(tmp_path) == ["a.svs", "other/b.tiff"]
    with pytest.raises(InputError, match="is a run folder"):
        files(tmp_path / "run")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
@pytest.mark.timeout(60)
def test_a_pipe_in_place_of_run_json_is_not_waited_for(tmp_path: Path) -> None:
    touch(tmp_path, "a/b.svs")
    os.mkfifo(tmp_path / "a" / "run.json")
    os.mkfifo(tmp_path / "run.json")
    assert files(tmp_path) == ["a/b.svs"]


def test_a_named_file_is_taken_whatever_its_suffix(tmp_path: Path) -> None:
    touch(tmp_path, "slide.dat", ".hidden.svs", "sub/c.svs")
    assert files(tmp_path / "slide.dat") == ["slide.dat"]
    assert files(tmp_path / ".hidden.svs", tmp_path / "sub" / "c.svs") == [".hidden.svs", "c.svs"]


def test_several_inputs_prefix_their_names(tmp_path: Path) -> None:
    touch(tmp_path, "one/a.svs", "two/a.svs", "b.svs")
    assert files(tmp_path / "two", tmp_path / "one", tmp_path / "b.svs") == ["b.svs", "one/a.svs", "two/a.svs"]


def test_the_working_directory_has_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path, "one/a.svs", "two/a.svs")
    monkeypatch.chdir(tmp_path / "one")
    assert files(Path(), Path("../two")) == ["one/a.svs", "two/a.svs"]
    assert files(Path()) == ["a.svs"]


def test_the_same_slide_is_taken_once(tmp_path: Path) -> None:
    touch(tmp_path, "one/a.svs", "one/b.svs")
    assert files(tmp_path / "one", tmp_path / "one" / "a.svs") == ["one/a.svs", "one/b.svs"]
    assert files(tmp_path / "one" / "a.svs", tmp_path / "one") == ["a.svs", "one/b.svs"]
    assert files(tmp_path / "one", tmp_path / "one") == ["one/a.svs", "one/b.svs"]


def test_two_slides_of_one_name_are_refused(tmp_path: Path) -> None:
    touch(tmp_path, "x/slides/a.svs", "y/slides/a.svs")
    with pytest.raises(InputError, match=r"slides/a\.svs") as caught:
        files(tmp_path / "x" / "slides", tmp_path / "y" / "slides")
    assert str(tmp_path / "x" / "slides" / "a.svs") in str(caught.value)
    assert str(tmp_path / "y" / "slides" / "a.svs") in str(caught.value)
    assert files(tmp_path) == ["x/slides/a.svs", "y/slides/a.svs"]


def test_nothing_found_names_the_suffixes(tmp_path: Path) -> None:
    touch(tmp_path, "full/a.svs", "empty/notes.txt")
    with pytest.raises(InputError, match=r"no slides.*\.svs") as caught:
        files(tmp_path / "full", tmp_path / "empty")
    assert caught.value.where == str(tmp_path / "empty")


def test_missing_inputs_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file or directory"):
        files(tmp_path / "none")


def test_impossible_inputs_are_refused(tmp_path: Path) -> None:
    for name in ("x" * 5000, "a\0b"):
        with pytest.raises(InputError):
            files(tmp_path / name)


def test_a_folder_that_cannot_be_listed_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path, "a.svs", "closed/b.svs")
    listed = Path.iterdir

    def refuse(self: Path) -> Iterator[Path]:
        if self.name == "closed":
            raise PermissionError(13, "Permission denied")
        return listed(self)

    monkeypatch.setattr(Path, "iterdir", refuse)
    with pytest.raises(InputError, match=r"closed: cannot be listed: Permission denied"):
        files(tmp_path)


def test_links(tmp_path: Path) -> None:
    touch(tmp_path, "store/a.svs", "store/b.svs", "set/c.svs")
    try:
        (tmp_path / "set" / "linked.svs").symlink_to(tmp_path / "store" / "a.svs")
        (tmp_path / "set" / "again.svs").symlink_to(tmp_path / "store" / "a.svs")
        (tmp_path / "set" / "loop").symlink_to(tmp_path / "set")
        (tmp_path / "set" / "deep").symlink_to(tmp_path / "store")
        (tmp_path / "set" / "dangling.svs").symlink_to(tmp_path / "gone.svs")
    except OSError:
        pytest.skip("no symbolic links here")
    # What leads nowhere is taken: a slide that vanished deserves its row.
    assert files(tmp_path / "set") == ["again.svs", "c.svs", "dangling.svs", "deep/b.svs"]


@pytest.mark.skipif(os.name != "posix", reason="file names are bytes only on POSIX")
def test_names_that_are_not_utf8_can_be_written(tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9.svs")
    try:
        touch(tmp_path, "x.svs")
        (tmp_path / name).write_bytes(b"x")
    except OSError:
        pytest.skip("the file system refuses such names")
    assert files(tmp_path) == ["caf\ufffd.svs", "x.svs"]
    assert find_slides([tmp_path])[0].path == tmp_path / name


def test_mirax_folders_are_parts(tmp_path: Path) -> None:
    touch(tmp_path, "a.mrxs", "a/Slidedat.ini", "a/Data0000.dat", "a/preview.jpg", "b/c.jpg")
    assert files(tmp_path) == ["a.mrxs", "b/c.jpg"]


def test_hamamatsu_images_are_parts(tmp_path: Path) -> None:
    touch(tmp_path, "a.jpg", "a_map2.jpg", "other.jpg")
    (tmp_path / "a.vms").write_text(
        "[Virtual Microscope Specimen]\r\nImageFile=a.jpg\r\nMapFile=a_map2.jpg\r\nX=1.5\r\n"
    )
    assert files(tmp_path) == ["a.vms", "other.jpg"]


def test_a_dicom_series_is_one_slide(tmp_path: Path) -> None:
    for name, uid in (("3.dcm", "1.2.3"), ("1.dcm", "1.2.34"), ("2.dcm", "1.2.3"), ("sub/4.dcm", "1.2.3")):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(dicom(uid))
    touch(tmp_path, "broken.dcm", "broken2.dcm")
    assert files(tmp_path) == ["1.dcm", "2.dcm", "broken.dcm", "broken2.dcm", "sub/4.dcm"]
    assert files(tmp_path / "3.dcm", tmp_path / "2.dcm") == ["3.dcm"]


def test_the_series_of_a_nested_element_does_not_count(tmp_path: Path) -> None:
    nested = element(0x20, 0x0E, b"UI", b"9.9.99")
    deep = undefined_sequence([nested, nested, nested])
    defined = element(0x08, 0x1140, b"SQ", struct.pack("<HHI", 0xFFFE, 0xE000, len(nested)) + nested)
    (tmp_path / "a.dcm").write_bytes(dicom("1.2.3", deep + defined))
    (tmp_path / "b.dcm").write_bytes(dicom("1.2.3", undefined_sequence([deep, nested])))
    (tmp_path / "c.dcm").write_bytes(dicom("9.9.99"))
    assert files(tmp_path) == ["a.dcm", "c.dcm"]


@pytest.mark.parametrize("length", range(128, 220, 7))
def test_cut_dicom_headers_stand_by_themselves(tmp_path: Path, length: int) -> None:
    for name in ("a.dcm", "b.dcm"):
        (tmp_path / name).write_bytes(dicom("1.2.3", undefined_sequence([b"\xff" * 9]))[:length])
    assert files(tmp_path) == ["a.dcm", "b.dcm"]
