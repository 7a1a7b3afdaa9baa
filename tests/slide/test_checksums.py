from __future__ import annotations

import hashlib
import shutil
import subprocess
from pathlib import Path

import pytest

from dicom_write import write_series
from slide.drawn import noise
from slidescore.errors import InputError, SlideOpenError
from slidescore.slide import SlideInput
from slidescore.slide.checksums import read_manifest


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def write(path: Path, content: bytes = b"slide") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def manifest(folder: Path, text: str, name: str = "sums.sha256") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    "line",
    [
        "{hex}  a.svs",
        "{hex} *a.svs",
        "{HEX}  a.svs",
        "{hex}  ./a.svs",
        "SHA256 (a.svs) = {hex}",
        "{hex} a.svs",
        "SHA256(a.svs)= {hex}",
        "SHA2-256(a.svs)= {hex}",
        "{hex}  none/../a.svs",
        "\ufeff{hex}  a.svs\r",
        "# made on Monday\n\n{hex}  a.svs",
        "file,sha256\na.svs,{hex}",
        'sha256,note,File\n{HEX},"new, and good",a.svs\n\n',
    ],
)
def test_forms_of_a_manifest(tmp_path: Path, line: str) -> None:
    slide = write(tmp_path / "a.svs")
    sum_ = digest(b"slide")
    path = manifest(tmp_path, line.format(hex=sum_, HEX=sum_.upper()) + "\n")
    checked = read_manifest(path).check(slide)
    assert (checked.status, checked.n_listed, checked.n_files) == ("verified", 1, 1)


def test_what_sha256sum_writes_is_read(tmp_path: Path) -> None:
    if shutil.which("sha256sum") is None:
        pytest.skip("no sha256sum here")
    names = ["a.svs", "b c.svs", "é ü.svs", "sub/d.svs", "new\nline.svs", "back\\slash.svs"]
    for name in names:
        write(tmp_path / name, name.encode())
    for option in ("--text", "--binary", "--tag"):
        done = subprocess.run(["sha256sum", option, *names], cwd=tmp_path, capture_output=True, text=True, check=True)
        read = read_manifest(manifest(tmp_path, done.stdout, f"sums{option}"))
        for name in names:
            assert read.check(tmp_path / name).status == "verified", name


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "lists nothing"),
        ("\n# only words\n", "lists nothing"),
        ("hello\n", "line 1 is not 'SHA-256  path'"),
        (f"{'0' * 63}  a.svs\n", "line 1 is not"),
        (f"{'0' * 64}  a.svs\n{'1' * 64}  ./a.svs\n", "line 2: a second checksum for './a.svs'"),
        (f"{'0' * 64}  sub/..\n", "line 1: 'sub/..' names no file"),
        (f"{'0' * 64}  a\0/a.svs\n", "names no file"),
        ("file,sha256\na.svs,xyz\n", "line 2 holds no SHA-256"),
    ],
)
def test_what_is_no_manifest_is_refused(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(InputError) as caught:
        read_manifest(manifest(tmp_path, text))
    assert words in str(caught.value)
    assert "--checksums" in str(caught.value)


def test_a_manifest_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        read_manifest(tmp_path / "none")
    with pytest.raises(InputError, match="is no manifest"):
        read_manifest(tmp_path)
    (tmp_path / "binary").write_bytes(b"II*\0\xff\xfe")
    with pytest.raises(InputError, match="not UTF-8"):
        read_manifest(tmp_path / "binary")


def test_a_changed_byte_is_an_error(tmp_path: Path) -> None:
    slide = write(tmp_path / "a.svs")
    path = manifest(tmp_path, f"{digest(b'slide')}  a.svs\n")
    slide.write_bytes(b"slidf")
    with pytest.raises(SlideOpenError, match="its SHA-256 is not the one in the checksum manifest") as caught:
        read_manifest(path).check(slide)
    assert caught.value.where == str(slide)
    assert "a.svs" not in caught.value.reason


@pytest.mark.parametrize("listed_as", ["slides/sub/a.svs", "sub/a.svs", "a.svs", "{absolute}"])
@pytest.mark.parametrize("lies", ["", "slides", "elsewhere"])
def test_a_path_may_be_relative_to_the_manifest_to_the_input_or_to_nothing(
    tmp_path: Path, listed_as: str, lies: str
) -> None:
    slide = write(tmp_path / "slides/sub/a.svs")
    (tmp_path / lies).mkdir(exist_ok=True)
    name = listed_as.format(absolute=slide)
    path = manifest(tmp_path / lies, f"{digest(b'slide')}  {name}\n")
    assert read_manifest(path).check(slide).status == "verified"


def test_an_unlisted_slide_says_so(tmp_path: Path) -> None:
    slide = write(tmp_path / "b.svs")
    path = manifest(tmp_path, f"{digest(b'slide')}  a.svs\n{digest(b'slide')}  other/b.svs\n")
    assert read_manifest(path).check(slide).status == "unlisted"


def test_a_line_about_another_file_that_exists_is_not_taken(tmp_path: Path) -> None:
    """sha256sum in a folder lists a.svs; the a.svs of a folder below it is another slide."""
    write(tmp_path / "a.svs", b"one")
    below = write(tmp_path / "sub/a.svs", b"two")
    read = read_manifest(manifest(tmp_path, f"{digest(b'one')}  a.svs\n"))
    assert read.check(tmp_path / "a.svs").status == "verified"
    assert read.check(below).status == "unlisted"
    read.refuse_ambiguity([SlideInput(tmp_path / "a.svs", "a.svs"), SlideInput(below, "sub/a.svs")])


def test_a_manifest_may_lie_beside_the_slides(tmp_path: Path) -> None:
    """`sha256sum ../slides/*.svs`, and the same after both were moved apart."""
    slide, other = write(tmp_path / "slides/a.svs"), write(tmp_path / "moved/slides/a.svs", b"other")
    lists, far = tmp_path / "lists", tmp_path / "x/y/far"
    for folder, path in ((lists, slide), (far, slide)):
        folder.mkdir(parents=True)
        read = read_manifest(manifest(folder, f"{digest(b'slide')}  ../slides/a.svs\n"))
        assert read.check(path).status == "verified"
    assert read_manifest(lists / "sums.sha256").check(other).status == "unlisted"


def test_a_link_may_be_listed_by_either_name(tmp_path: Path) -> None:
    """A folder of links to a store of slides is how many laboratories arrange a study."""
    write(tmp_path / "store/0001.svs")
    link = tmp_path / "study/a.svs"
    link.parent.mkdir()
    link.symlink_to(tmp_path / "store/0001.svs")
    for number, (folder, name) in enumerate((("study", "a.svs"), ("store", "0001.svs"), (".", "a.svs"))):
        good = read_manifest(manifest(tmp_path / folder, f"{digest(b'slide')}  {name}\n", f"good{number}"))
        assert good.check(link).status == "verified"
        bad = read_manifest(manifest(tmp_path / folder, f"{digest(b'x')}  {name}\n", f"bad{number}"))
        with pytest.raises(SlideOpenError, match="SHA-256"):
            bad.check(link)


def test_the_longest_path_is_taken(tmp_path: Path) -> None:
    one, two = write(tmp_path / "in/x/a.svs", b"one"), write(tmp_path / "in/y/a.svs", b"two")
    lies = tmp_path / "lists"
    lies.mkdir()
    text = f"{digest(b'one')}  x/a.svs\n{digest(b'two')}  y/a.svs\n{digest(b'three')}  a.svs\n"
    read = read_manifest(manifest(lies, text))
    assert read.check(one).status == "verified"
    assert read.check(two).status == "verified"
    read.refuse_ambiguity([SlideInput(one, "x/a.svs"), SlideInput(two, "y/a.svs")])


def test_a_line_that_could_be_about_two_slides_is_an_error(tmp_path: Path) -> None:
    slides = [SlideInput(write(tmp_path / f"in/{name}/a.svs"), f"{name}/a.svs") for name in ("x", "y")]
    lies = tmp_path / "lists"
    lies.mkdir()
    read = read_manifest(manifest(lies, f"{digest(b'slide')}  a.svs\n"))
    with pytest.raises(InputError, match=r"'a\.svs' in the checksum manifest could be 'x/a\.svs' or 'y/a\.svs'"):
        read.refuse_ambiguity(slides)
    read.refuse_ambiguity(slides[:1])


def test_all_files_of_a_slide_are_compared(tmp_path: Path) -> None:
    index = write(tmp_path / "a.mrxs", b"index")
    for name in ("Slidedat.ini", "Data0000.dat"):
        write(tmp_path / "a" / name, name.encode())
    lines = {name: f"{digest(name.encode())}  a/{name}\n" for name in ("Slidedat.ini", "Data0000.dat")}
    first = f"{digest(b'index')}  a.mrxs\n"
    whole = read_manifest(manifest(tmp_path, first + "".join(lines.values()), "whole"))
    part = read_manifest(manifest(tmp_path, first + lines["Slidedat.ini"], "part"))
    assert whole.check(index).status == "verified"
    checked = part.check(index)
    assert (checked.status, checked.n_listed, checked.n_files) == ("unlisted", 2, 3)
    (tmp_path / "a/Data0000.dat").write_bytes(b"changed")
    assert part.check(index).status == "unlisted"
    with pytest.raises(SlideOpenError, match="the SHA-256 of one of its files"):
        whole.check(index)


def test_all_files_of_a_dicom_series_are_compared(tmp_path: Path) -> None:
    paths = write_series(tmp_path / "in", noise(100, 80), 0.5, levels=(1, 4), tile=64)
    text = "".join(f"{digest(path.read_bytes())}  {path.name}\n" for path in paths)
    read = read_manifest(manifest(tmp_path / "in", text))
    assert read.check(paths[0]).n_listed == 2
    content = paths[1].read_bytes()
    paths[1].write_bytes(content[:-30] + bytes([content[-30] ^ 1]) + content[-29:])
    with pytest.raises(SlideOpenError):
        read.check(paths[0])


def test_reading_goes_on_is_told(tmp_path: Path) -> None:
    slide = write(tmp_path / "a.svs", bytes(3_500_000))
    told: list[None] = []
    path = manifest(tmp_path, f"{digest(bytes(3_500_000))}  a.svs\n")
    read_manifest(path).check(slide, lambda: told.append(None))
    assert len(told) == 4


def test_a_file_that_cannot_be_read_is_an_error_of_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slide = write(tmp_path / "a.svs")
    read = read_manifest(manifest(tmp_path, f"{digest(b'slide')}  a.svs\n"))

    def refuse(*args: object, **kwargs: object) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(SlideOpenError, match="Input/output error"):
        read.check(slide)


def test_what_is_listed_and_nowhere_is_lost(tmp_path: Path) -> None:
    slides = tmp_path / "slides"
    write(slides / "a.svs")
    write(slides / "b" / "b.mrxs")
    write(slides / "b" / "b" / "Data0000.dat")
    write(tmp_path / "elsewhere" / "known.svs")
    lines = ("a.svs", "b/b/Data0000.dat", "b/Data0001.dat", "elsewhere/known.svs", "c.svs", "old/a.svs")
    path = manifest(tmp_path, "".join(f"{number:064x}  {line}\n" for number, line in enumerate(lines)))
    found = [SlideInput(slides / "a.svs", "a.svs"), SlideInput(slides / "b" / "b.mrxs", "b/b.mrxs")]
    assert read_manifest(path).lost(found, [slides]) == ["b/Data0001.dat", "c.svs", "old/a.svs"]
