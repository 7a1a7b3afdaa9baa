"""A run rescored with its reviews: both scores side by side, nothing else moved, and `verify` sees what was changed."""

from __future__ import annotations

import csv
import shutil
import sqlite3
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from classical_assay import classical_loaded, classical_text
from pipeline.made_reviews import act, subject_of
from slidescore.assay import LoadedAssay, parse_assay
from slidescore.audit.events import Draft
from slidescore.audit.log import LOG_FILE, ReviewLog, copy_log
from slidescore.audit.reviewed import REVIEWED_COLUMNS
from slidescore.errors import AssayError, RunFolderError
from slidescore.pipeline import reviews
from slidescore.pipeline.differences import brief
from slidescore.pipeline.export import export_run
from slidescore.pipeline.rescore import rescore
from slidescore.pipeline.verify import verify_run
from slidescore.pipeline.verify_reviews import verify_reviews
from slidescore.report.columns import SCORE_COLUMNS
from slidescore.report.digests import write_digests
from slidescore.report.files import cell_text, read_json, write_json
from training.made_run import MadeRun, make_run_folder
from training.made_tissue import make_field

FILES = ("a.svs", "sub/b.svs", "c.svs")
A, B, C = (f"{Path(file).stem}-{number:08x}" for number, file in enumerate(FILES))
Rows = dict[str, dict[str, str]]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> MadeRun:
    fields = {file: make_field(seed, n=400) for seed, file in enumerate(FILES)}
    return make_run_folder(tmp_path_factory.mktemp("reviews") / "run", classical_loaded(), fields)


@pytest.fixture
def run(made: MadeRun, tmp_path: Path) -> Path:
    """A copy that nobody reviewed yet."""
    return Path(shutil.copytree(made.path, tmp_path / "run"))


@pytest.fixture(scope="module")
def reviewed(made: MadeRun, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run with reviews of two of its slides: a is corrected and called otherwise, of b only a remark was made."""
    run = Path(shutil.copytree(made.path, tmp_path_factory.mktemp("reviewed") / "run"))
    act(run, A, "cells", cells=list(range(30)), bin=3)
    act(run, A, "cells", reviewer="B. Reader", cells=[5, 6, 7], tumor=False)
    act(run, A, "region", role="exclude", polygon=[[0, 0], [500, 0], [500, 500], [0, 500]], reason="a fold")
    act(run, A, "verdict", state="overridden", call="EQUIVOCAL", reason='pale, "odd", and\u00e9')
    act(run, B, "comment", text="look again", reason="")
    return run


@pytest.fixture(scope="module")
def rescored(reviewed: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("rescored") / "run"
    assert rescore(reviewed, out, with_reviews=True).warnings == ()
    return out


@pytest.fixture
def spoilt(rescored: Path, tmp_path: Path) -> Path:
    """A copy to spoil."""
    return Path(shutil.copytree(rescored, tmp_path / "spoilt"))


def table(run: Path) -> Rows:
    with (run / "scores.csv").open(encoding="utf-8", newline="") as handle:
        return {row["slide_id"]: row for row in csv.DictReader(handle)}


def header(run: Path) -> tuple[str, ...]:
    return tuple((run / "scores.csv").read_text().splitlines()[0].split(","))


def files_of(run: Path, *apart: str) -> dict[str, bytes]:
    found = {path.relative_to(run).as_posix(): path for path in sorted(run.rglob("*")) if path.is_file()}
    return {name: path.read_bytes() for name, path in found.items() if name not in apart}


def test_the_reviewed_columns_follow_the_public_ones(reviewed: Path, rescored: Path) -> None:
    assert header(rescored) == (*SCORE_COLUMNS, *REVIEWED_COLUMNS)
    rows, events = table(rescored), ReviewLog(reviewed / LOG_FILE).read()
    row = rows[A]
    assert (row["review_state"], row["reviewed_call"]) == ("overridden", "EQUIVOCAL")
    assert row["reviewers"] == "A. Reader;B. Reader"
    assert row["review_reason"] == 'pale, "odd", and\u00e9'
    assert row["review_head"] == events[3].digest
    assert rows[C]["review_state"] == "unreviewed"
    assert {rows[C][name] for name in REVIEWED_COLUMNS} <= {"", "0", "unreviewed"}


def test_the_reviewed_score_is_what_the_corrected_cells_come_to(reviewed: Path, rescored: Path) -> None:
    """Counted here by hand: rule `all`, every cell counts but what reviewers said."""
    subject, row = subject_of(reviewed, A), table(rescored)[A]
    bins = subject.bins.copy()
    bins[:30] = 3
    x, y = subject.places.x_l0, subject.places.y_l0
    counted = ~((x < 500) & (y < 500))
    tumor = np.ones(len(bins), np.bool_)
    tumor[[5, 6, 7]] = False
    n = np.bincount(bins[counted & tumor], minlength=4)
    assert 0 < (~counted).sum() < len(counted)
    assert [int(row[f"reviewed_n{k}"]) for k in range(4)] == n.tolist()
    assert row["reviewed_h_score"] == cell_text(100 * float(n[1] + 2 * n[2] + 3 * n[3]) / float(n.sum()))
    assert row["reviewed_percent_positive"] == cell_text(100 * float(n[1:].sum()) / float(n.sum()))
    assert int(row["reviewed_n_cells"]) == counted.sum()
    assert int(row["reviewed_n_tumor_cells"]) == n.sum()
    said = ~counted
    said[:30] = True
    assert int(row["n_corrected"]) == said.sum()
    assert row["reviewed_h_score"] != row["h_score"]


def test_everything_else_is_what_it_would_be_without_reviews(reviewed: Path, rescored: Path, tmp_path: Path) -> None:
    rescore(reviewed, tmp_path / "plain")
    assert header(tmp_path / "plain") == SCORE_COLUMNS
    assert not (tmp_path / "plain" / LOG_FILE).exists()
    others = ("run.json", "scores.csv", "report.html", "digests.sha256", LOG_FILE)
    assert files_of(tmp_path / "plain", *others) == files_of(rescored, *others)
    plain, both = table(tmp_path / "plain"), table(rescored)
    assert plain == {name: {column: row[column] for column in SCORE_COLUMNS} for name, row in both.items()}
    old, new = (read_json(path / "run.json") for path in (tmp_path / "plain", rescored))
    assert {**old, "created": ""} == {**new, "created": ""}


def test_the_run_itself_is_not_changed(made: MadeRun, reviewed: Path, rescored: Path) -> None:
    assert files_of(reviewed, LOG_FILE) == files_of(made.path)
    assert rescored != reviewed


def test_the_log_goes_along_whole_and_reviewing_goes_on(reviewed: Path, spoilt: Path) -> None:
    events = ReviewLog(reviewed / LOG_FILE).read()
    assert ReviewLog(spoilt / LOG_FILE).read() == events
    event = act(spoilt, A, "undo", of=1)
    assert (event.seq, event.previous) == (6, events[-1].digest)
    found = verify_run(spoilt)
    assert found.differences == ()
    assert "1 reviews are newer than scores.csv; 'slidescore rescore --with-reviews' adds them" in found.notes


def test_the_page_shows_both_scores(rescored: Path) -> None:
    page = (rescored / "report.html").read_text()
    assert "Review: 1 " in page
    assert "overridden (A. Reader, B. Reader): pale, " in page


def test_a_rejected_slide_has_no_reviewed_score_and_an_accepted_one_keeps_its_own(run: Path, tmp_path: Path) -> None:
    act(run, A, "verdict", state="rejected", reason="wrong block")
    act(run, B, "verdict", state="accepted", reason="looks right")
    act(run, C, "verdict", state="flagged", reason="odd")
    act(run, C, "cells", cells=[1], bin=2, reason="")
    rescore(run, tmp_path / "out", with_reviews=True)
    rows = table(tmp_path / "out")
    assert (rows[A]["reviewed_call"], rows[A]["reviewed_h_score"]) == ("NOT_EVALUABLE", "")
    assert (rows[B]["reviewed_call"], rows[B]["reviewed_h_score"]) == (rows[B]["call"], rows[B]["h_score"])
    assert [rows[name]["review_state"] for name in (A, B, C)] == ["rejected", "accepted", "changed"]


def test_a_slide_that_failed_has_empty_reviewed_columns(reviewed: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(reviewed, tmp_path / "run"))
    shutil.rmtree(run / "slides" / A)
    summary = rescore(run, tmp_path / "out", with_reviews=True)
    assert summary.warnings == ("4 reviews are about other results than those of this run: not applied",)
    row = table(tmp_path / "out")[A]
    assert (row["status"], row["reason"]) == ("failed", "not reached")
    assert {row[name] for name in REVIEWED_COLUMNS} == {""}


# ---- what is refused, before anything is made ----


def other_assay() -> LoadedAssay:
    text = classical_text().replace("[0.2, 0.4, 0.6]", "[0.15, 0.4, 0.6]", 1)
    return LoadedAssay(parse_assay(text, where="other.yaml"), text, "other.yaml")


def test_another_assay_is_refused(reviewed: Path, tmp_path: Path) -> None:
    with pytest.raises(AssayError, match="--with-reviews: needs the run's own assay"):
        rescore(reviewed, tmp_path / "out", other_assay(), with_reviews=True)
    assert not (tmp_path / "out").exists()
    rescore(reviewed, tmp_path / "out", classical_loaded(), with_reviews=True)


def test_a_run_that_nobody_reviewed_is_refused(run: Path, tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match=r"holds no reviews\.sqlite"):
        rescore(run, tmp_path / "out", with_reviews=True)
    assert not (tmp_path / "out").exists()


def spoil_log(path: Path, *statements: str) -> None:
    """Change a log as somebody would who knows SQLite: without its triggers, which are then put back."""
    with sqlite3.connect(path) as connection:
        triggers = connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'").fetchall()
        for name, _ in triggers:
            connection.execute(f"DROP TRIGGER {name}")
        for statement in (*statements, *(sql for _, sql in triggers)):
            connection.execute(statement)
    connection.close()


CHANGES = (
    "UPDATE events SET reviewer = 'C. Reader' WHERE seq = 2",
    "UPDATE events SET payload = replace(payload, '\"bin\":3', '\"bin\":2') WHERE seq = 1",
    "DELETE FROM events WHERE seq = 5",
    "DELETE FROM events WHERE seq = 2",
)


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_log_is_refused_and_found(reviewed: Path, tmp_path: Path, change: str) -> None:
    run = Path(shutil.copytree(reviewed, tmp_path / "run"))
    spoil_log(run / LOG_FILE, change)
    with pytest.raises(RunFolderError):
        rescore(run, tmp_path / "out", with_reviews=True)
    assert not (tmp_path / "out").exists()
    assert verify_reviews(run).differences
    assert all(line.startswith(f"{LOG_FILE}: ") for line in verify_reviews(run).differences)


def test_reviews_that_only_the_new_run_has_are_never_written_over(
    reviewed: Path, rescored: Path, spoilt: Path, tmp_path: Path
) -> None:
    # The same again is no loss, nor is a log that the run's own goes on from.
    before = table(spoilt)
    rescore(reviewed, spoilt, with_reviews=True)
    assert table(spoilt) == before
    act(spoilt, B, "verdict", state="accepted", reason="made here")
    for overwrite in (False, True):
        with pytest.raises(RunFolderError, match="holds reviews that the run does not have"):
            rescore(reviewed, spoilt, with_reviews=True, overwrite=overwrite)
    assert len(ReviewLog(spoilt / LOG_FILE).read()) == 6
    # Without reviews they stay where they are.
    rescore(reviewed, spoilt)
    assert len(ReviewLog(spoilt / LOG_FILE).read()) == 6
    assert header(spoilt) == SCORE_COLUMNS


def test_reviews_of_another_result_are_counted_and_not_applied(reviewed: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    rescore(reviewed, other, other_assay())
    copy_log(reviewed / LOG_FILE, other / LOG_FILE)
    summary = rescore(other, tmp_path / "out", with_reviews=True)
    assert summary.warnings == ("4 reviews are about other results than those of this run: not applied",)
    rows = table(tmp_path / "out")
    assert {row["review_state"] for row in rows.values()} == {"unreviewed"}
    assert verify_reviews(tmp_path / "out").notes == list(summary.warnings)
    assert verify_run(tmp_path / "out").differences == ()


def test_a_run_of_pseudonyms_is_reviewed_like_any_other(reviewed: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(reviewed, tmp_path / "run"))
    content = read_json(run / "run.json")
    places = dict.fromkeys(content["slides"], "")
    write_json(run / "run.json", content | {"pseudonymized": True, "slides": places, "command": []})
    rescore(run, tmp_path / "out", with_reviews=True, command=("slidescore", "rescore", "/nowhere/SMITH"))
    assert table(tmp_path / "out")[A]["review_state"] == "overridden"
    assert b"SMITH" not in b"".join(files_of(tmp_path / "out").values())


# ---- verify ----


def test_a_run_with_reviews_verifies(rescored: Path) -> None:
    found, head = verify_run(rescored), ReviewLog(rescored / LOG_FILE).read()[-1].digest
    assert (found.differences, found.n_slides) == ((), 3)
    assert f"{LOG_FILE} holds 5 reviews; SHA-256 of the last: {head}" in found.notes
    assert not any("newer than scores.csv" in note for note in found.notes)


def test_a_reviewed_run_without_the_columns_verifies(reviewed: Path, tmp_path: Path) -> None:
    rescore(reviewed, tmp_path / "out")
    act(tmp_path / "out", C, "verdict", state="accepted", reason="fine")
    assert verify_run(tmp_path / "out").differences == ()


@pytest.mark.parametrize("column", [name for name in REVIEWED_COLUMNS if name != "review_head"])
def test_a_reviewed_column_that_does_not_follow_is_named(spoilt: Path, column: str) -> None:
    rows = list(table(spoilt).values())
    [row] = [row for row in rows if row["slide_id"] == A]
    old, row[column] = row[column], "1" if row[column] != "1" else "2"
    write_table(spoilt, rows)
    [line] = verify_run(spoilt).differences
    assert line == f"scores.csv: {A}: {column} is {row[column]}, and follows as {old or brief(old)}"


def write_table(run: Path, rows: list[dict[str, str]]) -> None:
    """Write scores.csv as a forger would, who knows how."""
    with (run / "scores.csv").open("w", encoding="utf-8", newline="") as handle:
        writer = csv.DictWriter(handle, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    write_digests(run)


def test_a_head_that_the_log_does_not_hold_is_named(spoilt: Path) -> None:
    rows = list(table(spoilt).values())
    for row in rows:
        row["review_head"] = "f" * 64 if row["review_head"] else ""
    write_table(spoilt, rows)
    said = verify_run(spoilt).differences
    assert any(f"review_head is {'f' * 64}, which {LOG_FILE} does not hold" in line for line in said)


def test_reviews_taken_back_from_the_table_are_noticed(spoilt: Path) -> None:
    """A row as it was before the reviews, in a table that knows of later ones."""
    rows = list(table(spoilt).values())
    for row in rows:
        if row["slide_id"] == A:
            row |= dict.fromkeys(REVIEWED_COLUMNS, "") | {"review_state": "unreviewed", "n_corrected": "0"}
    write_table(spoilt, rows)
    assert any(f"{A}: review_state is unreviewed" in line for line in verify_run(spoilt).differences)


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_log_is_a_difference_of_the_run(spoilt: Path, change: str) -> None:
    spoil_log(spoilt / LOG_FILE, change)
    said = verify_run(spoilt).differences
    assert said
    assert all(line.startswith(f"{LOG_FILE}: ") for line in said)


def test_a_log_of_bytes_or_none_at_all_is_a_difference(spoilt: Path) -> None:
    (spoilt / LOG_FILE).write_bytes(b"no log" * 1000)
    assert any(line.startswith(f"{LOG_FILE}: ") for line in verify_run(spoilt).differences)
    (spoilt / LOG_FILE).unlink()
    assert verify_run(spoilt).differences == (f"{LOG_FILE}: is missing, and scores.csv has reviewed columns",)


def test_what_a_stopped_review_leaves_is_a_note(spoilt: Path) -> None:
    (spoilt / f"{LOG_FILE}-journal").write_bytes(b"")
    found = verify_run(spoilt)
    assert found.differences == ()
    assert any("stopped hard" in note for note in found.notes)


def test_reviews_of_a_slide_that_the_run_does_not_have_are_named(reviewed: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(reviewed, tmp_path / "run"))
    content = read_json(run / "run.json")
    del content["slides"][B]
    write_json(run / "run.json", content)
    assert verify_reviews(run).differences == [f"{LOG_FILE}: is about {B}, which is no slide of this run"]


# ---- who reads the table afterwards ----


def test_a_table_with_reviewed_columns_is_read_by_the_other_verbs(rescored: Path, tmp_path: Path) -> None:
    assert len(list(export_run(rescored, "csv", tmp_path / "csv"))) == len(FILES)
    rescore(rescored, tmp_path / "again", other_assay())
    assert header(tmp_path / "again") == SCORE_COLUMNS
    assert "Review:" not in (tmp_path / "again" / "report.html").read_text()
    rescore(rescored, tmp_path / "both", with_reviews=True)
    assert table(tmp_path / "both") == table(rescored)


def test_a_failed_slide_keeps_no_reviewed_columns_in_a_run_without(rescored: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(rescored, tmp_path / "run"))
    rows: list[Any] = list(table(run).values())
    rows[0] |= dict.fromkeys(rows[0], "") | {"slide_id": rows[0]["slide_id"], "file": "a.svs", "status": "failed"}
    write_table(run, rows)
    rescore(run, tmp_path / "out")
    assert "Review:" not in (tmp_path / "out" / "report.html").read_text()


def test_reviews_outlive_a_version_that_comes_to_the_same_numbers(
    reviewed: Path, rescored: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("slidescore.pipeline.score_row.slidescore_version", lambda: "9.9.9")
    assert rescore(reviewed, tmp_path / "out", with_reviews=True).warnings == ()
    new, old = table(tmp_path / "out"), table(rescored)
    assert {row["slidescore_version"] for row in new.values()} == {"9.9.9"}
    assert all(new[name][column] == old[name][column] for name in new for column in REVIEWED_COLUMNS)


def test_an_event_that_a_server_stores_meanwhile_is_not_lost(
    reviewed: Path, spoilt: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log, stored = ReviewLog(spoilt / LOG_FILE), []
    draft = Draft(B, subject_of(spoilt, B).result_digest, "comment", "C. Reader", {"text": "made here", "reason": ""})
    server = threading.Thread(target=lambda: stored.append(log.append(lambda _: draft)))

    def copy_late(source: Path, target: Path) -> None:
        server.start()
        # Time enough to be acknowledged, if nothing keeps it from that.
        server.join(0.5)
        copy_log(source, target)

    monkeypatch.setattr(reviews, "copy_log", copy_late)
    rescore(reviewed, spoilt, with_reviews=True)
    server.join()
    [event] = stored
    assert log.read()[-1] == event
