from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import orjson
import pytest

from review.made_app import ScoredRun
from slidescore.errors import InputError, RunFolderError
from slidescore.report.digests import result_digest, seal
from slidescore.report.files import read_json, write_bytes, write_json
from slidescore.review.api_params import ApiError
from slidescore.review.run_store import RunStore, stamp_of
from slidescore.review.slide_paths import LIST_AGAIN_SECONDS, SlidePaths


@pytest.fixture
def run(scored_run: ScoredRun, tmp_path: Path) -> ScoredRun:
    return scored_run.copy(tmp_path)


@pytest.fixture
def store(run: ScoredRun) -> RunStore:
    return RunStore(run.run)


def refused(status: int, call: Callable[[], object]) -> str:
    with pytest.raises(ApiError) as caught:
        call()
    assert caught.value.status == status
    return caught.value.error


def test_rows_come_worst_first(store: RunStore, run: ScoredRun) -> None:
    view = store.view()
    assert [row["file"] for row in view.rows] == ["broken.tiff", "few.tiff", "strong.tiff", "weak.tiff"]
    assert view.pictured == {run.ids["few"], run.ids["strong"], run.ids["weak"]}
    assert store.name == "run"
    assert store.view() is view


def test_no_result_is_read_at_start(run: ScoredRun, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    original = Path.read_bytes
    monkeypatch.setattr(Path, "read_bytes", lambda path: (read.append(path.name), original(path))[1])
    RunStore(run.run).view()
    assert "result.json" not in read


def test_a_result_is_what_the_file_says(store: RunStore, run: ScoredRun) -> None:
    result = store.result(run.ids["strong"])
    assert result.record == run.record("strong")
    assert result.digest == result_digest(run.record("strong"))
    assert store.result(run.ids["strong"]) is result
    assert store.is_current(result)


@pytest.mark.parametrize("slide_id", ["nowhere", "", "..", "../run.json", "strong", "a\x00b", "STRONG-601b93e1"])
def test_other_slides_do_not_exist(store: RunStore, slide_id: str) -> None:
    refused(404, lambda: store.result(slide_id))
    refused(404, lambda: store.row(slide_id))


def test_a_slide_that_failed_has_no_result(store: RunStore, run: ScoredRun) -> None:
    said = refused(404, lambda: store.result(run.ids["broken"]))
    assert said.startswith("this slide could not be scored: TIFF: directory 1 lies past the end")


def test_a_result_that_was_written_again_is_read_again(store: RunStore, run: ScoredRun) -> None:
    old = store.result(run.ids["strong"])
    path = store.slide_folder(run.ids["strong"]).result
    record = {**run.record("strong"), "device": "another"}
    del record["seal"]
    write_bytes(path, seal(record))
    new = store.result(run.ids["strong"])
    assert new.record["device"] == "another"
    assert new.digest != old.digest
    assert not store.is_current(old)


def test_a_result_under_way_is_in_between(store: RunStore, run: ScoredRun) -> None:
    store.result(run.ids["strong"])
    path = store.slide_folder(run.ids["strong"]).result
    packed = path.read_bytes()
    path.unlink()
    assert "scored again" in refused(409, lambda: store.result(run.ids["strong"]))
    write_bytes(path, packed[: len(packed) // 2])
    refused(409, lambda: store.result(run.ids["strong"]))
    write_bytes(path, b"[]")
    refused(409, lambda: store.result(run.ids["strong"]))
    write_bytes(path, packed)
    assert store.result(run.ids["strong"]).record == orjson.loads(packed)


def test_a_result_that_was_changed_by_hand_is_refused(store: RunStore, run: ScoredRun) -> None:
    path = store.slide_folder(run.ids["strong"]).result
    write_bytes(path, path.read_bytes().replace(b'"call": "HIGH"', b'"call": "LOW"'))
    assert "changed" in refused(409, lambda: store.result(run.ids["strong"]))


def test_a_result_of_another_command_is_refused(store: RunStore, run: ScoredRun) -> None:
    path = store.slide_folder(run.ids["strong"]).result
    record = run.record("strong")
    del record["seal"]
    record["assay"]["digest"] = "0" * 16
    write_bytes(path, seal(record))
    refused(409, lambda: store.result(run.ids["strong"]))


def test_a_run_under_another_assay_is_in_between_until_its_table_is_there(store: RunStore, run: ScoredRun) -> None:
    content = read_json(run.run / "run.json")
    content["assay"]["digest"] = "0" * 16
    write_json(run.run / "run.json", content)
    refused(409, store.view)
    table = run.run / "scores.csv"
    old = run.record("strong")["scores"]["assay_digest"]
    write_bytes(table, table.read_bytes().replace(old.encode(), b"0" * 16))
    assert store.view().content["assay"]["digest"] == "0" * 16


def test_a_table_that_was_written_again_is_read_again(store: RunStore, run: ScoredRun) -> None:
    table = run.run / "scores.csv"
    write_bytes(table, table.read_bytes().replace(b"weak.tiff", b"pale.tiff"))
    assert store.row(run.ids["weak"])["file"] == "pale.tiff"
    table.unlink()
    refused(409, store.view)


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path, run: ScoredRun) -> None:
    with pytest.raises(RunFolderError, match="not a run folder"):
        RunStore(tmp_path)
    with pytest.raises(RunFolderError, match="not a run folder"):
        RunStore(tmp_path / "nowhere")
    (run.run / "scores.csv").unlink()
    with pytest.raises(RunFolderError, match=r"no scores\.csv"):
        RunStore(run.run)


@pytest.mark.parametrize(
    "changes",
    [{"slides": []}, {"slides": None}, {"slides": {"a": 1}}, {"assay": {"text": None}}, {"assay": {}}, {"assay": None}],
)
def test_a_run_whose_facts_are_of_another_kind_is_refused(run: ScoredRun, changes: dict[str, object]) -> None:
    store = RunStore(run.run)
    write_json(run.run / "run.json", read_json(run.run / "run.json") | changes)
    with pytest.raises(RunFolderError):
        RunStore(run.run)
    refused(409, store.view)


def test_stamps_tell_files_apart(tmp_path: Path) -> None:
    path = tmp_path / "a"
    assert stamp_of(path) is None
    path.write_bytes(b"1")
    first = stamp_of(path)
    write_bytes(path, b"2")
    os.utime(path, ns=(path.stat().st_atime_ns, first[0]))
    assert stamp_of(path) != first


# ---- where slides are ----


def test_a_slide_is_where_it_was_scored(scored_run: ScoredRun) -> None:
    path = scored_run.slides / "strong.tiff"
    found = SlidePaths(None).find(scored_run.record("strong"), str(path))
    assert (found.path, found.note) == (path, "")


def test_another_file_of_that_name_is_not_it(scored_run: ScoredRun, tmp_path: Path) -> None:
    shutil.copy(scored_run.slides / "weak.tiff", tmp_path / "strong.tiff")
    found = SlidePaths(None).find(scored_run.record("strong"), str(tmp_path / "strong.tiff"))
    assert found.path is None
    assert "bytes differ" in found.note
    found = SlidePaths(tmp_path).find(scored_run.record("strong"), None)
    assert found.path is None
    assert "bytes differ" in found.note


@pytest.mark.parametrize("what", ["missing", "folder", "pipe", "pseudonym"])
def test_what_is_no_file_is_not_shown(scored_run: ScoredRun, tmp_path: Path, what: str) -> None:
    path = tmp_path / "strong.tiff"
    if what == "folder":
        path.mkdir()
    elif what == "pipe":
        os.mkfifo(path)
    found = SlidePaths(None).find(scored_run.record("strong"), None if what == "pseudonym" else str(path))
    assert found.path is None
    assert "--slides" in found.note
    assert str(tmp_path) not in found.note


def test_a_folder_is_searched_by_name_and_then_by_bytes(scored_run: ScoredRun, tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    shutil.copy(scored_run.slides / "strong.tiff", tmp_path / "below" / "strong.tiff")
    shutil.copy(scored_run.slides / "weak.tiff", tmp_path / "renamed.tiff")
    paths = SlidePaths(tmp_path)
    assert paths.find(scored_run.record("strong"), None).path == tmp_path / "below" / "strong.tiff"
    assert paths.find(scored_run.record("weak"), None).path == tmp_path / "renamed.tiff"
    lost = paths.find(scored_run.record("few"), str(scored_run.slides / "few.tiff"))
    assert (lost.path, "not in the folder" in lost.note) == (None, True)


def test_a_file_that_was_replaced_is_looked_at_again(scored_run: ScoredRun, tmp_path: Path) -> None:
    path, paths = tmp_path / "strong.tiff", SlidePaths(None)
    shutil.copy(scored_run.slides / "weak.tiff", path)
    assert paths.find(scored_run.record("strong"), str(path)).path is None
    write_bytes(path, (scored_run.slides / "strong.tiff").read_bytes())
    assert paths.find(scored_run.record("strong"), str(path)).path == path


def test_slides_that_are_brought_later_are_found(
    scored_run: ScoredRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now_s = 100.0
    monkeypatch.setattr("slidescore.review.slide_paths.time.monotonic", lambda: now_s)
    paths, record = SlidePaths(tmp_path), scored_run.record("strong")
    assert paths.find(record, None).path is None
    shutil.copy(scored_run.slides / "strong.tiff", tmp_path / "strong.tiff")
    now_s += 0.9 * LIST_AGAIN_SECONDS
    assert paths.find(record, None).path is None
    now_s += 0.2 * LIST_AGAIN_SECONDS
    assert paths.find(record, None).path == tmp_path / "strong.tiff"


def test_a_folder_without_slides_shows_none(scored_run: ScoredRun, tmp_path: Path) -> None:
    assert SlidePaths(tmp_path).find(scored_run.record("strong"), None).path is None
    with pytest.raises(InputError, match="is no folder"):
        SlidePaths(tmp_path / "nowhere")
