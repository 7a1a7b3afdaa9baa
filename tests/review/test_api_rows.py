from __future__ import annotations

from pathlib import Path

import pytest

from review.asgi import Client
from review.made_app import PATIENT, ScoredRun, served
from slidescore.report.cohort_page import sort_worst_first
from slidescore.review.row_facts import row_facts
from slidescore.review.summaries import NOT_REVIEWED


def test_the_run_says_what_it_is_and_how_it_was_scored(client: Client) -> None:
    answer = client.get("/api/run")
    assert answer.status == 200
    assert answer.header("cache-control") == "no-store"
    run = answer.json()
    assert (run["run"], run["blind"], run["reviewer"]) == ("run", False, "A. Reader")
    assert run["n_slides"] == 4
    assert run["summary"].startswith("4 slides: 2 scored, 1 not evaluable, 1 failed.")
    assay = run["assay"]
    assert (assay["name"], assay["compartment"]) == ("cxcr4", "cytoplasm")
    assert assay["thresholds"]["cytoplasm"] == [0.2, 0.4, 0.6]
    assert assay["cutoff"] == {
        "scale": "h_score", "compartment": "cytoplasm", "operator": ">=", "value": 150.0, "status": "provisional",
        "text": "h_score cytoplasm >= 150", "meaning": None,
    }  # fmt: skip
    assert "Research use only" in run["research_use"]


def test_slides_come_worst_first_as_in_the_report(client: Client, own_run: ScoredRun) -> None:
    content = client.get("/api/slides").json()
    rows = content["slides"]
    assert content["head"] == 0
    ordered = sort_worst_first(list(own_run.rows().values()))
    assert [row["id"] for row in rows] == [row["slide_id"] for row in ordered]
    assert [row["file"] for row in rows] == ["broken.tiff", "few.tiff", "strong.tiff", "weak.tiff"]


def test_a_row_holds_the_tables_numbers_and_null_where_there_is_none(client: Client, own_run: ScoredRun) -> None:
    broken, few, strong, weak = client.get("/api/slides").json()["slides"]
    table = own_run.rows()[strong["id"]]
    assert strong["h_score"] == float(table["h_score"])
    assert strong["percent_positive"] == float(table["percent_positive"])
    assert strong["bins"] == [int(table[f"n{k}"]) for k in range(4)]
    assert strong["n_tumor_cells"] == sum(strong["bins"])
    assert strong["cutoff_distance"] == pytest.approx(strong["h_score"] - 150, abs=1e-3)
    assert (strong["h_low"], strong["h_high"], strong["p_high"], strong["patient_id"]) == (None, None, None, None)
    assert (strong["qc"], strong["call"], strong["call_status"]) == ("warn", "HIGH", "provisional")
    assert strong["flags"] == [
        {"name": "white_assumed", "level": "warn"},
        {"name": "tumor_not_identified", "level": "info"},
    ]
    assert (strong["picture"], strong["source"], strong["review"]) == (True, "unknown", NOT_REVIEWED)
    assert (broken["status"], broken["h_score"], broken["bins"], broken["picture"]) == ("failed", None, None, False)
    assert broken["reason"].startswith("TIFF: directory 1 lies past the end")
    assert (few["status"], few["call"], few["h_score"]) == ("not_evaluable", "NOT_EVALUABLE", None)
    assert few["bins"] == [0, 0, 0, 0]
    assert weak["call"] == "LOW"


def test_the_source_is_known_once_a_slide_was_opened(client: Client, own_run: ScoredRun) -> None:
    client.get(f"/api/slides/{own_run.ids['weak']}")
    sources = {row["file"]: row["source"] for row in client.get("/api/slides").json()["slides"]}
    assert sources["weak.tiff"] == "slide"
    assert sources["strong.tiff"] == "unknown"


def test_intervals_are_told_where_there_are_any(own_run: ScoredRun) -> None:
    row = {**own_run.rows()[own_run.ids["strong"]], "h_score_low": "140.5", "h_score_high": "170", "p_high": "0.62"}
    facts = row_facts(row, pictured=False)
    assert (facts["h_low"], facts["h_high"], facts["p_high"]) == (140.5, 170.0, 0.62)


def test_a_blind_reader_sees_names_only_in_their_own_order(blind_client: Client, own_run: ScoredRun) -> None:
    run = blind_client.get("/api/run").json()
    assert run["blind"] is True
    assert run["summary"] == "3 slides to read."
    rows = blind_client.get("/api/slides").json()["slides"]
    assert [row["id"] for row in rows] == sorted(own_run.ids[name] for name in ("few", "strong", "weak"))
    assert {frozenset(row) for row in rows} == {frozenset({"id", "file", "patient_id", "read"})}
    assert not any(row["read"] for row in rows)


def test_a_reader_is_known_however_the_name_is_spaced(scored_run: ScoredRun, tmp_path: Path) -> None:
    run = scored_run.copy(tmp_path)
    slide_id = run.ids["strong"]
    with served(run.run, blind=True) as client:
        digest = client.get(f"/api/slides/{slide_id}").json()["result_digest"]
        act = {"kind": "reading", "reviewer": "Zoe\u0308  B.", "reason": "", "result_digest": digest, "h_score": 120}
        assert client.post(f"/api/slides/{slide_id}/events", act).status == 201
        for asked in ("Zoe%CC%88++B.", "+Zo%C3%AB+B."):
            assert client.get(f"/api/slides/{slide_id}?reviewer={asked}").json()["read"] is True
            rows = client.get(f"/api/slides?reviewer={asked}").json()["slides"]
            assert [row["id"] for row in rows if row["read"]] == [slide_id]
        assert client.get(f"/api/slides/{slide_id}?reviewer=a;b").json()["read"] is False
    with served(run.run) as client:
        act = {"kind": "cells", "cells": [1], "bin": 2, "reviewer": "Ann  B.", "reason": "", "result_digest": digest}
        assert client.post(f"/api/slides/{slide_id}/events", act).status == 201
        assert client.get(f"/api/slides/{slide_id}/review?reviewer=+Ann++B.").json()["undo"] == 2


def test_folders_and_commands_are_told_nobody(own_run: ScoredRun) -> None:
    for blind in (False, True):
        with served(own_run.run, blind=blind) as client:
            said = client.get("/api/run").body + client.get("/api/slides").body
        assert PATIENT.encode() not in said
        assert str(own_run.slides).encode() not in said
        assert b"score_directory" not in said
