"""A slide keeps its pseudonym, the key file alone leads back, and nothing else gives a name away."""

from __future__ import annotations

import csv
import pickle
import stat
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slidescore.errors import InputError, RunFolderError, SlideOpenError
from slidescore.pipeline.pseudonyms import (
    KEY_COLUMNS,
    KeyRow,
    check_key_file,
    give_pseudonyms,
    hide_names,
    read_key_file,
    refuse_mixed_names,
    rename_slides,
)
from slidescore.report.files import write_json
from slidescore.slide import SlideInput


def named(*names: str, folder: str = "/in") -> list[KeyRow]:
    return [KeyRow("", name, f"{folder}/{name}", f"print of {name}") for name in names]


@pytest.fixture
def key(tmp_path: Path) -> Path:
    return tmp_path / "key.csv"


def test_new_slides_get_numbers_and_the_key_file_says_whose(key: Path) -> None:
    given_names = give_pseudonyms(key, named("anna.svs", "berta.svs", 'a/c, "d" é.svs'))
    assert sorted(given_names) == ["slide-0001", "slide-0002", "slide-0003"]
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    with key.open(encoding="utf-8", newline="") as handle:
        rows = list(csv.DictReader(handle))
    assert tuple(rows[0]) == KEY_COLUMNS
    assert [row["pseudonym"] for row in rows] == ["slide-0001", "slide-0002", "slide-0003"]
    assert {row["pseudonym"]: row["file"] for row in rows} == dict(
        zip(given_names, ["anna.svs", "berta.svs", 'a/c, "d" é.svs'], strict=True)
    )


def test_the_order_of_names_is_not_that_of_numbers(tmp_path: Path) -> None:
    """Sorted names, or a digest of them, would tell who is who to whoever has the list of patients."""
    rows = named(*[f"{number:02d}.svs" for number in range(12)])
    orders = {tuple(give_pseudonyms(tmp_path / f"{attempt}.csv", rows)) for attempt in range(5)}
    assert len(orders) > 1


def test_a_slide_keeps_its_pseudonym_and_new_ones_are_added(key: Path) -> None:
    first = give_pseudonyms(key, named("a.svs", "b.svs"))
    before = key.read_bytes()
    assert give_pseudonyms(key, named("b.svs", "a.svs")) == first[::-1]
    assert key.read_bytes() == before
    more = give_pseudonyms(key, named("c.svs", "a.svs", "b.svs"))
    assert more == ["slide-0003", *first]
    assert key.read_bytes().startswith(before)


def test_a_slide_that_moved_keeps_its_pseudonym_and_one_of_another_content_does_not(key: Path) -> None:
    [first] = give_pseudonyms(key, named("a.svs"))
    moved = named("a.svs", folder="/archive")
    assert give_pseudonyms(key, moved) == [first]
    assert [row.path for row in read_key_file(key)] == ["/in/a.svs", "/archive/a.svs"]
    other = [replace(moved[0], path="/other/a.svs", fingerprint="another")]
    assert give_pseudonyms(key, other) == ["slide-0002"]


def test_a_file_with_new_content_keeps_its_pseudonym_and_both_contents_are_kept(key: Path) -> None:
    [first] = give_pseudonyms(key, named("a.svs"))
    changed = [replace(named("a.svs")[0], fingerprint="new")]
    assert give_pseudonyms(key, changed) == [first]
    assert [row.fingerprint for row in read_key_file(key)] == ["print of a.svs", "new"]


def test_two_slides_of_one_run_never_share_a_pseudonym(key: Path) -> None:
    [first] = give_pseudonyms(key, named("a.svs"))
    twin = replace(named("a.svs")[0], path="/copy/a.svs")
    assert give_pseudonyms(key, [replace(named("a.svs")[0], file="in/a.svs"), twin]) == [first, "slide-0002"]


def test_slides_that_cannot_be_read_are_told_apart_by_their_path(key: Path) -> None:
    broken = [replace(row, fingerprint="") for row in named("a.svs", "b.svs")]
    first = give_pseudonyms(key, broken)
    assert len(set(first)) == 2
    assert give_pseudonyms(key, broken) == first


def test_names_of_no_valid_unicode_are_kept(key: Path) -> None:
    row = KeyRow("", "a?.svs", "/in/a\udcff.svs", "f")
    [name] = give_pseudonyms(key, [row])
    assert read_key_file(key) == [replace(row, pseudonym=name)]
    assert give_pseudonyms(key, [row]) == [name]


def test_a_line_cut_off_by_a_power_failure_is_written_again(key: Path) -> None:
    give_pseudonyms(key, named("a.svs"))
    whole = key.read_bytes()
    key.write_bytes(whole + b"slide-0002,b.svs,/in")
    assert give_pseudonyms(key, named("a.svs", "b.svs")) == ["slide-0001", "slide-0002"]
    assert key.read_bytes().startswith(whole)
    assert len(read_key_file(key)) == 2
    for torn in (b"", b"pseudon", whole[: whole.index(b"\n")]):
        key.write_bytes(torn)
        assert give_pseudonyms(key, named("a.svs")) == ["slide-0001"]
        assert key.read_bytes() == whole


def test_a_key_file_open_to_others_is_closed(key: Path) -> None:
    give_pseudonyms(key, named("a.svs"))
    key.chmod(0o644)
    give_pseudonyms(key, named("a.svs"))
    assert stat.S_IMODE(key.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    "content", ["thesis", "a,b\n1,2\n", ",".join(KEY_COLUMNS) + "\nslide-x,a,b,c,d\n", ",".join(KEY_COLUMNS) + "\n1\n"]
)
def test_another_file_is_never_written_over(key: Path, content: str) -> None:
    key.write_text(content)
    for attempt in (lambda: check_key_file(key, key.parent / "run"), lambda: give_pseudonyms(key, named("a.svs"))):
        with pytest.raises(InputError, match="is no key file"):
            attempt()
    assert key.read_text() == content


def test_a_key_file_in_the_run_folder_is_refused(tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    (tmp_path / "link").symlink_to(run)
    for place in (run / "key.csv", run / "slides" / "key.csv", tmp_path / "link" / "key.csv", run):
        with pytest.raises(InputError, match="lies in a run folder") as caught:
            check_key_file(place, run)
        assert str(tmp_path) not in str(caught.value)
    check_key_file(tmp_path / "key.csv", run)
    assert not (tmp_path / "key.csv").exists()


def test_a_key_file_in_another_run_folder_is_refused_too(tmp_path: Path) -> None:
    (tmp_path / "earlier" / "slides").mkdir(parents=True)
    write_json(tmp_path / "earlier" / "run.json", {})
    for place in (tmp_path / "earlier" / "key.csv", tmp_path / "earlier" / "slides" / "key.csv"):
        with pytest.raises(InputError, match="lies in a run folder"):
            check_key_file(place, tmp_path / "run")


def test_commands_that_share_a_key_file_at_one_time_give_no_number_twice(key: Path) -> None:
    """Each opens the file itself, so that threads meet the lock as processes do."""
    with ThreadPoolExecutor(8) as pool:
        runs = list(pool.map(lambda n: give_pseudonyms(key, named("shared.svs", f"{n}.svs")), range(24)))
    rows = read_key_file(key)
    assert sorted(row.pseudonym for row in rows) == [f"slide-{n:04d}" for n in range(1, 26)]
    assert len({shared for shared, _ in runs}) == 1
    assert {row.file: row.pseudonym for row in rows} == {"shared.svs": runs[0][0]} | {
        f"{n}.svs": own for n, (_, own) in enumerate(runs)
    }


def test_a_key_file_that_cannot_be_is_refused_before_any_work(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(InputError, match="is no file"):
        check_key_file(tmp_path / "folder", tmp_path / "run")
    with pytest.raises(InputError, match="folder does not exist"):
        check_key_file(tmp_path / "nowhere" / "key.csv", tmp_path / "run")
    with pytest.raises(InputError, match="cannot be used"):
        read_key_file(tmp_path / "gone.csv")


def test_names_and_pseudonyms_are_not_mixed_in_one_run(tmp_path: Path) -> None:
    refuse_mixed_names(tmp_path / "new", pseudonymized=True)
    for flag in (True, False):
        write_json(tmp_path / "run.json", {"pseudonymized": flag})
        refuse_mixed_names(tmp_path, pseudonymized=flag)
        with pytest.raises(RunFolderError, match="holds results under"):
            refuse_mixed_names(tmp_path, pseudonymized=not flag)
    write_json(tmp_path / "run.json", {})
    with pytest.raises(RunFolderError, match="under names"):
        refuse_mixed_names(tmp_path, pseudonymized=True)


def test_slides_are_renamed_and_stay_where_they_are(tmp_path: Path, key: Path) -> None:
    roi = tmp_path / "roi"
    (roi / "sub").mkdir(parents=True)
    (roi / "sub" / "a.svs.geojson").write_text("{}")
    slides = [SlideInput(tmp_path / "in/sub/a.svs", "sub/a.svs"), SlideInput(tmp_path / "in/b.svs", "b.svs")]
    shown = rename_slides(key, slides, {0: "f"}, roi)
    assert [slide.path for slide in shown] == [slide.path for slide in slides]
    assert sorted(slide.file for slide in shown) == ["slide-0001", "slide-0002"]
    by_file = {row.file: row for row in read_key_file(key)}
    assert by_file["sub/a.svs"].annotations == str((roi / "sub" / "a.svs.geojson").resolve())
    assert (by_file["b.svs"].annotations, by_file["b.svs"].fingerprint) == ("", "")


@given(st.sampled_from(["message", "where", "remedy"]), st.text("ab/", max_size=3))
def test_an_error_that_names_the_slide_names_its_pseudonym(part: str, around: str) -> None:
    slide = SlideInput(Path("/in/Mueller/Anna 1950.svs"), "Mueller/Anna 1950.svs")
    for name in (str(slide.path), slide.file, slide.path.name):
        given_error = SlideOpenError(**{"message": "m", part: f"{around}{name}{around}"})  # type: ignore[arg-type]
        hidden = hide_names(given_error, slide, "slide-0001")
        assert type(hidden) is SlideOpenError
        assert "Anna" not in repr((hidden, hidden.message, hidden.where, hidden.remedy))
        assert "Anna" not in repr(pickle.loads(pickle.dumps(hidden)))
        assert "slide-0001" in getattr(hidden, part)
        assert name in getattr(given_error, part)
