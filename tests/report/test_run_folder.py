"""A slide is done when its result stands under the same key; a run folder belongs to one assay and one writer."""

from __future__ import annotations

import hashlib
import multiprocessing
from dataclasses import replace

import pytest

from slidescore.assay import LoadedAssay, assay_digest
from slidescore.errors import RunFolderBusyError, RunFolderError
from slidescore.report import run_folder
from slidescore.report.digests import is_sealed
from slidescore.report.files import read_json, write_json
from slidescore.report.run_folder import RunFolder, SlideFolder, held, list_results, open_run_folder

KEY = {"fingerprint": "f", "assay_digest": "a", "mpp": None}


def finished(folder: SlideFolder, *names: str, key: dict = KEY, **record: object) -> SlideFolder:
    """Finish a slide with files of the given names."""
    folder.begin()
    for name in names:
        (folder.work / name).write_text(f"content of {name}")
    folder.finish({"schema": 1, **record}, key)
    return folder


@pytest.fixture
def folder(tmp_path) -> SlideFolder:
    return SlideFolder(tmp_path / "slides" / "a-12345678")


@pytest.fixture
def other_assay(loaded_assay, change) -> LoadedAssay:
    return replace(loaded_assay, assay=change(loaded_assay.assay, {"name": "other"}))


def written(path, loaded: LoadedAssay) -> RunFolder:
    """Open a run folder and write its run.json."""
    run = open_run_folder(path, loaded, overwrite=False)
    content = {"name": loaded.assay.name, "digest": assay_digest(loaded.assay), "text": loaded.text}
    write_json(run.run_json, {"assay": content})
    return run


def test_a_finished_slide_is_done_under_its_key(folder):
    assert folder.done(KEY) is None
    finished(folder, "cells.parquet", "overlay.tiff", "report.html", file="a.svs")
    record = folder.done(KEY)
    assert record["file"] == "a.svs"
    assert record["key"] == KEY
    assert not folder.work.exists()
    content = hashlib.sha256(b"content of cells.parquet").hexdigest()
    assert record["digests"]["cells.parquet"] == content
    assert set(record["digests"]) == {"cells.parquet", "overlay.tiff", "report.html"}
    assert is_sealed(folder.result.read_bytes())


@pytest.mark.parametrize("changed", [{"fingerprint": "g"}, {"assay_digest": "b"}, {"mpp": 0.25}, {"new": 1}])
def test_under_another_key_it_is_not_done(folder, changed):
    finished(folder, "cells.parquet")
    assert folder.done(KEY | changed) is None


def test_an_edited_result_is_not_done(folder):
    finished(folder, "cells.parquet", file="a.svs")
    folder.result.write_bytes(folder.result.read_bytes().replace(b"a.svs", b"b.svs"))
    assert folder.done(KEY) is None


def test_without_its_tables_it_is_not_done(folder):
    finished(folder, "cells.parquet", "tiles.parquet")
    (folder.path / "tiles.parquet").unlink()
    assert folder.done(KEY) is None


@pytest.mark.parametrize("content", ["", "{", "[]"])
def test_a_damaged_result_is_not_done(folder, content):
    finished(folder, "cells.parquet")
    folder.result.write_text(content)
    assert folder.done(KEY) is None


def test_beginning_again_undoes_it_first(folder):
    finished(folder, "cells.parquet")
    (folder.path / ".work").mkdir()
    (folder.work / "half.parquet").write_text("half")
    folder.begin()
    assert folder.done(KEY) is None
    assert list(folder.work.iterdir()) == []


def test_an_undone_slide_is_not_done_and_undoing_twice_is_well(folder):
    folder.undo()
    finished(folder, "cells.parquet")
    folder.undo()
    folder.undo()
    assert folder.done(KEY) is None
    assert (folder.path / "cells.parquet").is_file()


def test_a_stop_while_digests_are_taken_leaves_the_journal(folder, monkeypatch):
    """That takes seconds for a large overlay; only moving and writing come after the journal is gone."""

    def stop(path):
        raise KeyboardInterrupt

    folder.begin()
    (folder.work / "cells.parquet").write_text("cells")
    folder.journal("j").mkdir(parents=True)
    monkeypatch.setattr(run_folder, "sha256_of", stop)
    with pytest.raises(KeyboardInterrupt):
        folder.finish({}, KEY)
    folder.begin(keep="j")
    assert folder.journal("j").is_dir()


def test_beginning_goes_into_no_linked_folder(folder, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "thesis.txt").write_text("mine")
    folder.begin()
    (folder.work / "link").symlink_to(tmp_path / "elsewhere")
    folder.begin()
    assert list(folder.work.iterdir()) == []
    assert (tmp_path / "elsewhere" / "thesis.txt").is_file()


def test_an_interrupted_slide_is_not_done(folder):
    folder.begin()
    (folder.work / "cells.parquet").write_text("half")
    assert folder.done(KEY) is None
    assert not (folder.path / "cells.parquet").exists()


def test_nothing_of_an_outdated_result_is_passed_off_as_new(folder):
    """An overlay drawn under another assay must not stand beside the new tables, with a digest that vouches for it."""
    finished(folder, "cells.parquet", "overlay.tiff", "report.html")
    finished(folder, "cells.parquet", key=KEY | {"assay_digest": "b"})
    assert set(read_json(folder.result)["digests"]) == {"cells.parquet"}
    assert sorted(path.name for path in folder.path.iterdir()) == ["cells.parquet", "result.json"]


def test_a_new_folder_is_made_and_holds_slides(tmp_path, loaded_assay):
    run = open_run_folder(tmp_path / "runs" / "é 1", loaded_assay, overwrite=False)
    assert run.path.is_dir()
    assert run.slide("x-1").path == run.path / "slides" / "x-1"
    assert [path.name for path in run.path.iterdir()] == ["slides"]


def test_a_run_of_the_same_assay_is_taken_up(tmp_path, loaded_assay):
    written(tmp_path / "run", loaded_assay)
    run = open_run_folder(tmp_path / "run", loaded_assay, overwrite=False)
    assert run.read_assay() == loaded_assay.assay


def test_a_run_of_another_assay_is_refused_unless_overwritten(tmp_path, loaded_assay, other_assay):
    written(tmp_path / "run", loaded_assay)
    with pytest.raises(RunFolderError, match="another assay") as caught:
        open_run_folder(tmp_path / "run", other_assay, overwrite=False)
    assert "cxcr4" in str(caught.value)
    assert "rescore" in caught.value.remedy
    open_run_folder(tmp_path / "run", other_assay, overwrite=True)


def test_a_folder_of_something_else_is_never_written_to(tmp_path, loaded_assay):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.jpg").write_text("")
    for overwrite in (False, True):
        with pytest.raises(RunFolderError, match="not empty and is not a run folder"):
            open_run_folder(tmp_path / "photos", loaded_assay, overwrite=overwrite)
    assert [path.name for path in (tmp_path / "photos").iterdir()] == ["cat.jpg"]


def test_a_file_is_no_run_folder(tmp_path, loaded_assay):
    (tmp_path / "run").write_text("")
    with pytest.raises(RunFolderError, match="is a file"):
        open_run_folder(tmp_path / "run", loaded_assay, overwrite=False)


def test_a_place_that_cannot_be_written_is_refused_before_any_work(tmp_path, loaded_assay):
    (tmp_path / "file").write_text("")
    with pytest.raises(RunFolderError, match="cannot be written") as caught:
        open_run_folder(tmp_path / "file" / "run", loaded_assay, overwrite=False)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (None, "no run.json"),
        ({}, "holds no assay"),
        ({"assay": {"text": "name: old"}}, "assay of another version"),
        ({"assay": 5}, "holds no assay"),
    ],
)
def test_a_folder_without_a_readable_assay_is_no_run(tmp_path, content, complaint):
    if content is not None:
        write_json(tmp_path / "run.json", content)
    with pytest.raises(RunFolderError, match=complaint):
        RunFolder(tmp_path).read_assay()


def try_to_hold(path, answer) -> None:
    """Run in another process: say what holding the folder comes to."""
    try:
        with held(RunFolder(path)):
            answer.send("held")
    except RunFolderBusyError as error:
        answer.send(str(error))


def ask_another_process(path) -> str:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=try_to_hold, args=(path, theirs))
    process.start()
    said = ours.recv()
    process.join()
    ours.close()
    theirs.close()
    return said


def test_a_second_process_is_told_who_holds_the_folder_and_may_have_it_afterwards(tmp_path):
    run = RunFolder(tmp_path)
    with held(run):
        said = ask_another_process(tmp_path)
        assert "is in use by pid" in said
        assert "\n" not in said
    assert list(tmp_path.iterdir()) == []
    assert ask_another_process(tmp_path) == "held"


def test_the_folder_is_let_go_when_the_work_fails(tmp_path):
    with pytest.raises(ZeroDivisionError), held(RunFolder(tmp_path)):
        raise ZeroDivisionError
    with held(RunFolder(tmp_path)):
        pass


def listing(run: RunFolder, *slide_ids: str) -> RunFolder:
    write_json(run.run_json, {"slides": {slide_id: f"/slides/{slide_id}.svs" for slide_id in slide_ids}})
    return run


def test_results_are_listed_by_file_and_unfinished_or_foreign_slides_are_not(tmp_path):
    run = listing(RunFolder(tmp_path), "z-1", "a-2", "m-3")
    finished(run.slide("z-1"), file="a/1.svs")
    finished(run.slide("a-2"), file="b/2.svs")
    finished(run.slide("left-over"), file="a/0.svs")
    run.slide("m-3").begin()
    assert [record["file"] for record in list_results(run)] == ["a/1.svs", "b/2.svs"]


@pytest.mark.parametrize("part", ["assay.digest", "model.digest", "versions.slidescore"])
def test_a_result_that_an_earlier_command_left_is_not_listed(tmp_path, part):
    made_by = {"assay": {"digest": "a"}, "model": {"digest": "m"}, "versions": {"slidescore": "1", "numpy": "2"}}
    run = RunFolder(tmp_path)
    write_json(run.run_json, {"slides": {"a-1": "/a", "b-2": "/b"}, **made_by})
    block, name = part.split(".")
    finished(run.slide("a-1"), file="a", **made_by)
    finished(run.slide("b-2"), file="b", **made_by | {block: made_by[block] | {name: "older"}})
    assert [record["file"] for record in list_results(run)] == ["a"]


def test_a_rescored_result_counts_though_its_key_names_the_version_that_measured(tmp_path):
    made_by = {"assay": {"digest": "a"}, "model": {"digest": "m"}, "versions": {"slidescore": "2"}}
    run = RunFolder(tmp_path)
    write_json(run.run_json, {"slides": {"a-1": "/a"}, **made_by})
    finished(run.slide("a-1"), key=KEY | {"slidescore_version": "1"}, file="a", **made_by)
    assert len(list_results(run)) == 1


def test_a_result_of_a_slide_that_the_table_calls_failed_is_not_listed(tmp_path):
    """As when a second command, with other annotations, was stopped before it came to that slide."""
    run = listing(RunFolder(tmp_path), "a-1", "b-2", "c-3")
    for slide_id in ("a-1", "b-2", "c-3"):
        finished(run.slide(slide_id), file=slide_id)
    table = "slide_id,status,reason\na-1,scored,\nb-2,failed,not reached\nc-3,not_evaluable,empty\n"
    (tmp_path / "scores.csv").write_text(table)
    assert [record["file"] for record in list_results(run)] == ["a-1", "c-3"]


def test_without_a_list_of_slides_there_is_no_run(tmp_path):
    with pytest.raises(RunFolderError, match="cannot be read"):
        list_results(RunFolder(tmp_path))


def test_a_damaged_result_is_an_error_when_results_are_listed(tmp_path):
    run = listing(RunFolder(tmp_path), "a-1")
    finished(run.slide("a-1"))
    run.slide("a-1").result.write_text("{")
    with pytest.raises(RunFolderError, match="a-1"):
        list_results(run)
