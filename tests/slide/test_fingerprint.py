from __future__ import annotations

import hashlib
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slide.test_discover import dicom
from slidescore.errors import SlideOpenError
from slidescore.slide import SlideInput, file_sha256, find_slides, fingerprint, slide_ids
from slidescore.slide.fingerprint import safe_stem

MEBIBYTE = 1 << 20


def write(path: Path, size: int) -> Path:
    path.write_bytes(np.random.default_rng(size).bytes(size))
    return path


def change(path: Path, offset: int) -> None:
    content = bytearray(path.read_bytes())
    content[offset] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("size", [1, 1000, MEBIBYTE - 1, MEBIBYTE])
def test_small_files_count_whole(tmp_path: Path, size: int) -> None:
    path = write(tmp_path / "a.svs", size)
    before = fingerprint(path)
    assert re.fullmatch("[0-9a-f]{64}", before)
    for offset in {0, size // 3, size // 2, size - 1}:
        change(path, offset)
        assert fingerprint(path) != before
        change(path, offset)
    assert fingerprint(path) == before


@pytest.mark.parametrize("offset", [0, 65_535, -65_536, -1])
def test_both_ends_of_large_files_count(tmp_path: Path, offset: int) -> None:
    path = write(tmp_path / "a.svs", 5 * MEBIBYTE + 7)
    before = fingerprint(path)
    change(path, offset)
    assert fingerprint(path) != before


def test_the_size_counts(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(bytes(3 * MEBIBYTE))
    (tmp_path / "b").write_bytes(bytes(4 * MEBIBYTE))
    assert fingerprint(tmp_path / "a") != fingerprint(tmp_path / "b")


def test_the_name_does_not_count(tmp_path: Path) -> None:
    path = write(tmp_path / "a.svs", 5000)
    assert fingerprint(path) == fingerprint(shutil.copy(path, tmp_path / "b.svs"))


def test_the_parts_of_a_mirax_slide_count(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mrxs", 100)
    alone = fingerprint(path)
    (tmp_path / "a").mkdir()
    write(tmp_path / "a" / "Data0000.dat", 2 * MEBIBYTE)
    write(tmp_path / "a" / "Data0001.dat", 500)
    both = fingerprint(path)
    assert both != alone
    change(tmp_path / "a" / "Data0001.dat", 250)
    assert fingerprint(path) != both
    change(tmp_path / "a" / "Data0001.dat", 250)
    shutil.copy(path, tmp_path / "b.mrxs")
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    assert fingerprint(tmp_path / "b.mrxs") == both


def test_the_files_of_a_series_count_in_any_order(tmp_path: Path) -> None:
    for name, files in (("one", "ab"), ("two", "yx"), ("three", "a")):
        (tmp_path / name).mkdir()
        for file, tail in zip(files, (b"1", b"2"), strict=False):
            (tmp_path / name / f"{file}.dcm").write_bytes(dicom("1.2.3") + tail)
    one, two, three = (fingerprint(next(iter(find_slides([tmp_path / n]))).path) for n in ("one", "two", "three"))
    assert one == two != three
    assert fingerprint(tmp_path / "one" / "a.dcm") == fingerprint(tmp_path / "one" / "b.dcm")


def test_unreadable_files_are_errors_of_ours(tmp_path: Path) -> None:
    for read in (fingerprint, file_sha256):
        with pytest.raises(SlideOpenError, match="No such file"):
            read(tmp_path / "none.svs")


def test_file_sha256(tmp_path: Path) -> None:
    path = write(tmp_path / "a.svs", 3 * MEBIBYTE)
    assert file_sha256(path) == hashlib.sha256(path.read_bytes()).hexdigest()


def ids(*slides: tuple[str, str]) -> list[tuple[str, str | None]]:
    return slide_ids([(SlideInput(Path(file), file), digest * 64) for file, digest in slides])


def test_ids_are_stem_and_fingerprint() -> None:
    assert ids(("x/Case 12 (é).svs", "a"), ("x/b.tar.tiff", "b")) == [
        ("Case_12_-aaaaaaaa", None),
        ("b.tar-bbbbbbbb", None),
    ]


def test_copies_are_numbered_and_flagged() -> None:
    assert ids(("1/s.svs", "a"), ("2/s.svs", "a"), ("3/s.svs", "a"), ("4/s.svs", "b")) == [
        ("s-aaaaaaaa", None),
        ("s-aaaaaaaa-2", "1/s.svs"),
        ("s-aaaaaaaa-3", "1/s.svs"),
        ("s-bbbbbbbb", None),
    ]


def test_a_copy_under_another_name_is_flagged() -> None:
    assert ids(("a.svs", "a"), ("b.svs", "a")) == [("a-aaaaaaaa", None), ("b-aaaaaaaa", "a.svs")]


def test_letter_case_does_not_tell_ids_apart() -> None:
    one, two = "a" * 8 + "0" * 56, "a" * 8 + "1" * 56
    slides = [(SlideInput(Path(f), f), d) for f, d in (("S.svs", one), ("s.svs", two))]
    assert slide_ids(slides) == [("S-aaaaaaaa", None), ("s-aaaaaaaa-2", None)]


@pytest.mark.parametrize(
    ("file", "stem"),
    [
        ("plain.svs", "plain"),
        ("no_suffix", "no_suffix"),
        ("a b\tc.svs", "a_b_c"),
        ("a__b  __c.svs", "a_b_c"),
        ("été.svs", "_t_"),
        ("e\u0301t.svs", "_t"),
        ("-rf.svs", "rf"),
        ("---.svs", "slide"),
        ("NUL.svs", "_NUL"),
        ("com1.x.svs", "_com1.x"),
        ("console.svs", "console"),
        ("x" * 200 + ".svs", "x" * 80),
    ],
)
def test_stems(file: str, stem: str) -> None:
    assert safe_stem(file) == stem


@given(st.text(st.characters(exclude_characters="/\0"), min_size=1))
def test_stems_are_safe(name: str) -> None:
    stem = safe_stem(name)
    assert re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,80}", stem)
    assert "__" not in stem
