from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from classical_assay import classical_assay
from review.asgi import HOST, ORIGIN, TOKEN, Answer, Client
from review.made_app import ScoredRun, served
from slidescore.audit.check import check_log
from slidescore.audit.events import Draft
from slidescore.audit.log import LOG_FILE
from slidescore.errors import RunFolderError
from slidescore.report.digests import seal
from slidescore.report.files import write_bytes
from slidescore.review import api_review
from slidescore.review.desk import Desk as ReviewDesk
from slidescore.review.desk import ReviewOptions
from slidescore.review.guard import LOOPBACK
from slidescore.scoring import cell_bins, no_corrections, score_cells
from slidescore.scoring.corrections import Corrections, corrected_cells

ASSAY = classical_assay()
ME = "A. Reader"


class Desk:
    """A reviewer's hands: sends acts on one slide of a run."""

    def __init__(self, client: Client, run: ScoredRun, name: str = "strong") -> None:
        self.client, self.run, self.slide_id = client, run, run.ids[name]
        self.digest = client.get(f"/api/slides/{self.slide_id}").json()["result_digest"]
        self.cells = pq.read_table(run.run / "slides" / self.slide_id / "cells.parquet")

    def review(self, reviewer: str = ME) -> dict[str, Any]:
        found: dict[str, Any] = self.client.get(f"/api/slides/{self.slide_id}/review?reviewer={reviewer}").json()
        return found

    def send(self, kind: str, *, reviewer: Any = ME, reason: Any = "as seen", **content: Any) -> Answer:
        said = {"kind": kind, "reviewer": reviewer, "reason": reason, "result_digest": self.digest, **content}
        if kind == "verdict":
            said.setdefault("revision", self.review().get("revision"))
        return self.client.post(f"/api/slides/{self.slide_id}/events", said)

    def act(self, kind: str, **content: Any) -> dict[str, Any]:
        answer = self.send(kind, **content)
        assert answer.status == 201, answer.body
        found: dict[str, Any] = answer.json()
        return found


@pytest.fixture
def run(scored_run: ScoredRun, tmp_path: Path) -> ScoredRun:
    return scored_run.copy(tmp_path)


@pytest.fixture
def desk(run: ScoredRun) -> Any:
    with served(run.run, reviewer=ME) as client:
        yield Desk(client, run)


def test_a_slide_that_nobody_reviewed(desk: Desk, run: ScoredRun) -> None:
    review, scores = desk.review(), run.record("strong")["scores"]
    assert (review["state"], review["call"], review["n_corrected"], review["history"]) == ("unreviewed", None, 0, [])
    assert (review["undo"], review["redo"], review["seq"], review["regions"]) == (None, None, 0, [])
    for which in ("automatic", "reviewed"):
        assert review[which]["h_score"] == scores["h_score"]
        assert review[which]["percent_positive"] == scores["percent_positive"]
        assert review[which]["bins"] == [scores[f"n{k}"] for k in range(4)]
        assert review[which]["n_tumor_cells"] == scores["n_tumor_cells"]
        assert review[which]["call"] == "HIGH"
    assert not (run.run / LOG_FILE).exists()


def test_a_corrected_bin_changes_the_score_at_once_as_the_scoring_code_has_it(desk: Desk, run: ScoredRun) -> None:
    bins, _ = cell_bins(desk.cells, ASSAY, "cytoplasm")
    ids = np.flatnonzero(bins == 3)[:5].tolist()
    before = desk.review()
    answer = desk.act("cells", cells=ids, bin=0)
    assert answer["event"]["seq"] == 1
    assert answer["event"]["reviewer"] == ME
    review = answer["review"]
    corrections = no_corrections(desk.cells.num_rows)
    corrections.bins[ids] = 0
    scores = score_cells(desk.cells, ASSAY, corrected_bins=corrections.bins)
    assert review["reviewed"]["h_score"] == scores.counts.h_score
    assert review["reviewed"]["bins"] == [getattr(scores.counts, f"n{k}") for k in range(4)]
    assert review["automatic"] == before["automatic"]
    assert (review["state"], review["n_corrected"], review["undo"], review["seq"]) == ("open", 5, 1, 1)
    assert review["revision"] != before["revision"]
    assert review == desk.review()
    found = desk.client.get(f"/api/slides/{desk.slide_id}/cell?cell_id={ids[0]}").json()["cell"]
    assert (found["bin"], found["automatic_bin"], found["edits"]) == (0, 3, [1])
    counts = desk.client.post(f"/api/slides/{desk.slide_id}/counts", {"box": [0, 0, 1024, 1024]}).json()
    assert counts["h_score"] == scores.counts.h_score
    # The run's own result stays what it was.
    assert run.record("strong")["scores"]["n3"] == int((bins == 3).sum())


def test_every_kind_of_correction_is_scored_by_the_scoring_code(desk: Desk) -> None:
    n = desk.cells.num_rows
    desk.act("cells", cells=[1, 2, 3], tumor=False)
    desk.act("cells", cells=[3, 4], bin=2)
    ring = [[0, 0], [400, 0], [400, 400], [0, 400]]
    review = desk.act("region", role="exclude", polygon=ring)["review"]
    x, y = (desk.cells.column(axis).to_numpy() for axis in ("x", "y"))
    inside = (x < 400) & (y < 400)
    corrections = no_corrections(n)
    corrections.tumor[[1, 2, 3]] = 0
    corrections.bins[[3, 4]] = 2
    corrections.counted[inside] = 0
    expected = score_cells(corrected_cells(desk.cells, corrections), ASSAY, corrected_bins=corrections.bins)
    assert review["reviewed"]["h_score"] == expected.counts.h_score
    assert review["reviewed"]["n_tumor_cells"] == expected.n_tumor_cells
    assert review["reviewed"]["n_other"] == expected.n_cells - expected.n_tumor_cells
    assert review["reviewed"]["n_excluded"] == n - expected.n_cells
    assert isinstance(corrections, Corrections)
    assert review["regions"] == [
        {"seq": 3, "role": "exclude", "polygon": [[float(x), float(y)] for x, y in ring], "reviewer": ME,
         "reason": "as seen"}
    ]  # fmt: skip
    found = desk.client.get(f"/api/slides/{desk.slide_id}/cell?cell_id=3").json()["cell"]
    assert (found["class"], found["automatic_class"], found["bin"]) == ("Other", "Tumor", 2)


def test_too_few_cells_left_is_not_evaluable(desk: Desk) -> None:
    whole = [[-10, -10], [2000, -10], [2000, 2000], [-10, 2000]]
    review = desk.act("region", role="exclude", polygon=whole)["review"]
    assert (review["reviewed"]["call"], review["reviewed"]["h_score"]) == ("NOT_EVALUABLE", None)
    assert review["reviewed"]["reason"].startswith("too few tumor cells (0")
    assert (review["automatic"]["call"], review["automatic"]["reason"]) == ("HIGH", None)


def test_undo_and_redo(desk: Desk) -> None:
    start = desk.review()
    desk.act("cells", cells=[0], bin=3)
    done = desk.review()
    undone = desk.act("undo", of=1)["review"]
    assert undone["reviewed"] == start["reviewed"]
    assert (undone["undo"], undone["redo"], undone["n_corrected"]) == (None, 1, 0)
    assert desk.review("B. Reader")["redo"] is None
    assert desk.send("undo", of=1).status == 400
    redone = desk.act("redo", of=1)["review"]
    assert redone["reviewed"] == done["reviewed"]
    assert (redone["undo"], redone["redo"]) == (1, None)
    assert len({start["revision"], done["revision"], undone["revision"], redone["revision"]}) == 4


def test_verdicts(desk: Desk) -> None:
    review = desk.act("verdict", state="accepted")["review"]
    assert (review["state"], review["reviewer"], review["reason"]) == ("accepted", ME, "as seen")
    review = desk.act("verdict", state="overridden", call="LOW", reason="hot spot is stroma")["review"]
    assert (review["state"], review["call"], review["reviewed"]["call"]) == ("overridden", "LOW", "LOW")
    assert review["automatic"]["call"] == "HIGH"
    review = desk.act("cells", cells=[0], bin=0)["review"]
    assert (review["state"], review["call"], review["reviewed"]["call"]) == ("changed", None, "HIGH")
    review = desk.act("verdict", state="rejected", reason="out of focus")["review"]
    assert (review["reviewed"]["call"], review["reviewed"]["h_score"]) == ("NOT_EVALUABLE", None)
    assert desk.send("verdict", state="accepted", reason="").status == 400
    assert desk.send("verdict", state="overridden", reason="x").status == 400


def test_a_verdict_is_on_what_the_reviewer_saw(desk: Desk) -> None:
    seen = desk.review()["revision"]
    with served(desk.run.run) as client:
        Desk(client, desk.run).act("cells", cells=[5], bin=3, reviewer="B. Reader")
    for state in ("accepted", "open"):
        answer = desk.send("verdict", state=state, revision=seen)
        assert (answer.status, answer.json()) == (
            409,
            {
                "error": "the slide was changed by somebody else since you looked",
                "remedy": "look at it again, then sign",
            },
        )
    for missing in (None, 7, ["x"]):
        answer = desk.send("verdict", state="accepted", revision=missing)
        assert (answer.status, answer.json()["remedy"]) == (400, "reload the page")
    # Only verdicts sign something, and nobody else's remark changes what is signed.
    assert desk.send("comment", text="x", revision=seen).status == 400
    review = desk.review()
    desk.act("comment", text="pale", reviewer="B. Reader")
    assert (review["state"], len(review["history"])) == ("open", 1)
    assert desk.act("verdict", state="accepted", revision=review["revision"])["review"]["state"] == "accepted"


def test_the_answer_names_the_last_event_that_is_in_it(run: ScoredRun, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody else's act arrives while an answer is made; the page must ask for it once more."""
    desk = ReviewDesk(run.run, None, ReviewOptions(TOKEN, LOOPBACK, 1))
    opened, score = desk.open(run.ids["strong"]), api_review.automatic_score

    def remark(text: str) -> None:
        draft = Draft(opened.slide_id, opened.result.digest, "comment", ME, {"text": text, "reason": ""})
        desk.book.append(opened.slide_id, lambda _: draft)

    def score_late(*arguments: Any) -> Any:
        remark("two")
        return score(*arguments)

    remark("one")
    with monkeypatch.context() as patch:
        patch.setattr(api_review, "automatic_score", score_late)
        facts = api_review.review_facts(desk, opened, ME)
    assert (facts["seq"], [row["seq"] for row in facts["history"]]) == (1, [1])
    assert api_review.review_facts(desk, opened, ME)["seq"] == 2
    desk.close()


def test_other_reviews_are_another_revision_also_after_as_many_events(scored_run: ScoredRun, tmp_path: Path) -> None:
    revisions = set()
    for name, cell in (("one", 1), ("two", 2)):
        with served(scored_run.copy(tmp_path / name).run) as client:
            desk = Desk(client, scored_run)
            revisions |= {desk.review()["revision"], desk.act("cells", cells=[cell], bin=3)["review"]["revision"]}
    assert len(revisions) == 3


def test_a_log_that_is_put_back_in_place_changes_what_is_shown(desk: Desk, tmp_path: Path) -> None:
    other = desk.run.copy(tmp_path / "other")
    with served(other.run) as client:
        theirs = Desk(client, other).act("cells", cells=[1, 2, 3], bin=3)["review"]
    desk.act("cells", cells=[0], bin=3)
    assert desk.client.get("/api/slides").status == 200
    (desk.run.run / LOG_FILE).write_bytes((other.run / LOG_FILE).read_bytes())
    assert desk.review() == theirs
    [row] = [row for row in desk.client.get("/api/slides").json()["slides"] if row["id"] == desk.slide_id]
    assert row["review"]["n_corrected"] == 3


def test_the_list_of_slides_follows(desk: Desk) -> None:
    def row() -> dict[str, Any]:
        content = desk.client.get("/api/slides").json()
        [found] = [row["review"] for row in content["slides"] if row["id"] == desk.slide_id]
        return {**found, "head": content["head"]}

    assert row()["state"] == "unreviewed"
    review = desk.act("cells", cells=[0, 1], bin=3)["review"]
    assert row() == {
        "state": "open", "reviewer": ME, "h_score": review["reviewed"]["h_score"], "call": "HIGH", "n_corrected": 2,
        "head": 1,
    }  # fmt: skip
    desk.act("verdict", state="overridden", call="EQUIVOCAL", reviewer="B. Reader")
    assert (row()["state"], row()["call"], row()["reviewer"]) == ("overridden", "EQUIVOCAL", "B. Reader")
    # A server that has not opened the slide says the same, from the log alone.
    with served(desk.run.run) as other:
        [found] = [row for row in other.get("/api/slides").json()["slides"] if row["id"] == desk.slide_id]
    assert {**found["review"], "head": 2} == row()


def test_two_servers_see_each_others_acts(desk: Desk) -> None:
    with served(desk.run.run) as client:
        other = Desk(client, desk.run)
        desk.act("cells", cells=[5], bin=3)
        theirs = other.act("cells", cells=[6], bin=3, reviewer="B. Reader")["review"]
        assert theirs["n_corrected"] == 2
        assert theirs == desk.review("B. Reader")
        # The old value that is stored is the one that the other reviewer left.
        other.act("cells", cells=[5], bin=1, reviewer="B. Reader")
        texts = [event["text"] for event in desk.review()["history"]]
        assert len(texts) == 3
        old = desk.client.get(f"/overlay/{desk.slide_id}/0/0_0?rev={theirs['revision']}")
        new = client.get(f"/overlay/{desk.slide_id}/0/0_0?rev={other.review()['revision']}")
        assert (old.status, new.status) == (200, 200)


def test_what_others_did_is_told_to_who_asks(desk: Desk) -> None:
    assert desk.client.get("/api/events?after=0").json() == {"events": [], "head": 0}
    desk.act("comment", text="a note")
    desk.act("cells", cells=[5], bin=3)
    found = desk.client.get("/api/events?after=1").json()
    assert found["head"] == 2
    [event] = found["events"]
    assert {name: event[name] for name in ("seq", "slide_id", "kind", "reviewer")} == {
        "seq": 2, "slide_id": desk.slide_id, "kind": "cells", "reviewer": ME,
    }  # fmt: skip
    assert desk.client.get("/api/events?after=99").json()["events"] == []
    assert len(desk.client.get("/api/events").json()["events"]) == 2
    for query in ("after=-1", "after=x", "after=1.5", "after=" + "9" * 400):
        assert desk.client.get(f"/api/events?{query}").status == 400


@pytest.mark.parametrize(
    "said",
    [
        {"kind": "cells", "cells": [], "bin": 1}, {"kind": "cells", "cells": [1, 1], "bin": 1},
        {"kind": "cells", "cells": [10**6], "bin": 1}, {"kind": "cells", "cells": [-1], "bin": 1},
        {"kind": "cells", "cells": [1], "bin": 4}, {"kind": "cells", "cells": [1]}, {"kind": "cells", "cells": "1-5"},
        {"kind": "cells", "cells": [1], "bin": 1, "tumor": True}, {"kind": "cells", "cells": [1.5], "bin": 1},
        {"kind": "cells", "cells": [True], "bin": 1}, {"kind": "cells", "cells": [10**30], "bin": 1},
        {"kind": "region", "role": "include", "polygon": [[0, 0], [1, 1]]},
        {"kind": "region", "role": "paint", "polygon": [[0, 0], [9, 0], [9, 9]]},
        {"kind": "region", "role": "exclude", "polygon": [[-9, -9], [-8, -9], [-8, -8]]},
        {"kind": "region", "role": "exclude", "polygon": [[0, 0], [9, 0], [5, 0]]},
        {"kind": "undo", "of": 77}, {"kind": "undo"}, {"kind": "redo", "of": "1"}, {"kind": "verdict", "state": "fine"},
        {"kind": "verdict", "state": "overridden", "call": "MAYBE"},
        {"kind": "verdict", "state": "accepted", "call": "LOW"},
        {"kind": "comment", "text": ""}, {"kind": "comment", "text": "x" * 2001}, {"kind": "comment"},
        {"kind": "delete"}, {"kind": None}, {}, {"kind": "comment", "text": "x", "reviewer": ""},
        {"kind": "comment", "text": "x", "reviewer": None}, {"kind": "comment", "text": "x", "reviewer": "y" * 81},
        {"kind": "comment", "text": "x", "reason": "y" * 501}, {"kind": "comment", "text": "x", "more": 1},
        {"kind": "comment", "text": "x", "result_digest": "short"},
        {"kind": "comment", "text": "x", "result_digest": None},
    ],
)  # fmt: skip
def test_acts_that_make_no_sense_are_refused_and_nothing_is_written(
    client: Client, own_run: ScoredRun, said: Any
) -> None:
    desk = Desk(client, own_run)
    content = {"reviewer": ME, "reason": "as seen", "result_digest": desk.digest, **said}
    answer = client.post(f"/api/slides/{desk.slide_id}/events", content)
    assert answer.status == 400
    assert set(answer.json()) == {"error", "remedy"}
    assert not (own_run.run / LOG_FILE).exists()


def test_a_tangled_region_is_refused(client: Client, own_run: ScoredRun) -> None:
    tangle = np.random.default_rng(3).uniform(0, 1000, (400, 2)).tolist()
    answer = Desk(client, own_run).send("region", role="exclude", polygon=tangle)
    assert (answer.status, answer.json()["remedy"]) == (400, "draw it again")


def test_an_act_on_another_result_is_refused(client: Client, own_run: ScoredRun) -> None:
    desk = Desk(client, own_run)
    desk.digest = "0" * 64
    assert desk.send("comment", text="seen").status == 409
    weak = Desk(client, own_run, "weak")
    weak.slide_id = own_run.ids["strong"]
    assert weak.send("comment", text="seen").status == 409


def test_a_slide_that_is_scored_again_takes_no_acts_on_the_old_result(desk: Desk, run: ScoredRun) -> None:
    desk.act("cells", cells=[0], bin=3)
    path = run.run / "slides" / desk.slide_id / "result.json"
    packed = path.read_bytes()
    path.unlink()
    assert desk.send("cells", cells=[1], bin=3).status == 409
    assert desk.client.get(f"/api/slides/{desk.slide_id}/review").status == 409
    assert desk.client.get(f"/api/slides/{desk.slide_id}").status == 409
    record = json.loads(packed)
    del record["seal"]
    record["device"] = "another"
    write_bytes(path, seal(record))
    assert desk.send("cells", cells=[1], bin=3).status == 409
    fresh = Desk(desk.client, run)
    assert fresh.digest != desk.digest
    review = fresh.review()
    assert (review["state"], review["n_corrected"]) == ("unreviewed", 0)
    assert [event["applies"] for event in review["history"]] == [False]
    assert review["automatic"]["h_score"] == review["reviewed"]["h_score"]
    [row] = [row for row in desk.client.get("/api/slides").json()["slides"] if row["id"] == desk.slide_id]
    assert row["review"]["state"] == "unreviewed"


def test_a_table_that_is_written_meanwhile_takes_no_review_away(desk: Desk, run: ScoredRun) -> None:
    desk.act("cells", cells=[0], bin=3)
    # As `score` does every few seconds while other slides are under way.
    write_bytes(run.run / "scores.csv", (run.run / "scores.csv").read_bytes())
    review = desk.act("cells", cells=[1], bin=3)["review"]
    assert review["n_corrected"] == 2
    assert [event["applies"] for event in review["history"]] == [True, True]


def test_a_log_that_was_changed_is_not_written_to(desk: Desk, run: ScoredRun) -> None:
    desk.act("comment", text="first")
    database = sqlite3.connect(run.run / LOG_FILE)
    for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
        database.execute(f'DROP TRIGGER "{name}"')
    database.execute("UPDATE events SET reviewer = 'C. Reader'")
    database.commit()
    database.close()
    with pytest.raises(RunFolderError), served(run.run):
        pass
    # A server that knows the event already cannot be told another one.
    answer = desk.send("comment", text="second")
    assert answer.status == 409
    assert str(run.run) not in answer.body.decode()


def test_posting_needs_the_servers_own_page(desk: Desk) -> None:
    said = {"kind": "comment", "text": "x", "reviewer": ME, "reason": "", "result_digest": desk.digest}
    target = f"/api/slides/{desk.slide_id}/events"
    for headers in ({}, {"Origin": "http://evil.example"}, {"Origin": "null"}):
        assert desk.client.send("POST", target, headers, body=json.dumps(said).encode()).status == 403
    assert not (desk.run.run / LOG_FILE).exists()


def test_many_acts_at_once_are_all_kept(desk: Desk, run: ScoredRun) -> None:
    head = [("Host", HOST), ("Authorization", f"Bearer {TOKEN}"), ("Origin", ORIGIN)]

    def request(number: int) -> tuple[str, str, list[tuple[str, str]], list[bytes]]:
        said = {"kind": "cells", "cells": [number], "bin": number % 4, "reviewer": f"Reader {number % 3}",
                "reason": "", "result_digest": desk.digest}  # fmt: skip
        return "POST", f"/api/slides/{desk.slide_id}/events", head, [json.dumps(said).encode()]

    answers = desk.client.together(*(request(number) for number in range(20)))
    assert {answer.status for answer in answers} == {201}
    assert sorted(answer.json()["event"]["seq"] for answer in answers) == list(range(1, 21))
    assert desk.review()["n_corrected"] == 20
    check = check_log(run.run / LOG_FILE)
    assert (check.differences, check.n_events) == ((), 20)


# ---- blind readers ----


def test_a_blind_reader_writes_readings_and_comments(run: ScoredRun) -> None:
    with served(run.run, reviewer="B. Reader", blind=True) as client:
        desk = Desk(client, run)
        answer = desk.act("reading", reviewer="B. Reader", h_score=140)
        assert answer["review"] is None
        assert answer["event"]["kind"] == "reading"
        desk.act("comment", reviewer="B. Reader", text="much stroma")
        rows = {row["id"]: row["read"] for row in client.get("/api/slides").json()["slides"]}
        assert rows == {run.ids["few"]: False, run.ids["strong"]: True, run.ids["weak"]: False}
        others = client.get("/api/slides?reviewer=C.%20Reader").json()["slides"]
        assert not any(row["read"] for row in others)
        assert client.get(f"/api/slides/{desk.slide_id}").json()["read"] is True
        assert [event["kind"] for event in client.get("/api/events?after=0").json()["events"]] == ["reading"]
        for said in ({"bins": [10, 20, 30, 40]}, {"percent_positive": 55}, {"intensity": 2}):
            desk.act("reading", reviewer="B. Reader", **said)
        for wrong in ({"h_score": 301}, {"bins": [10, 20, 30]}, {"h_score": 10, "intensity": 1}, {}):
            assert desk.send("reading", **wrong).status == 400


def test_a_blind_reader_writes_and_reads_nothing_else(run: ScoredRun) -> None:
    with served(run.run) as client:
        Desk(client, run).act("cells", cells=[0], bin=3)
        assert Desk(client, run).send("reading", h_score=100).status == 403
    with served(run.run, blind=True) as client:
        desk = Desk(client, run)
        for kind, content in (
            ("cells", {"cells": [1], "bin": 0}), ("verdict", {"state": "accepted"}), ("undo", {"of": 1}),
            ("redo", {"of": 1}), ("region", {"role": "exclude", "polygon": [[0, 0], [900, 0], [900, 900]]}),
        ):  # fmt: skip
            assert desk.send(kind, **content).status == 403
        assert client.get(f"/api/slides/{desk.slide_id}/review").status == 403
        assert client.get("/api/events?after=0").json() == {"events": [], "head": 1}
