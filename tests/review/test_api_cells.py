from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from classical_assay import classical_assay
from review.asgi import Client
from review.made_app import ScoredRun
from slidescore.cells.table import floats
from slidescore.review.preview import preview_assay
from slidescore.scoring import BinCounts, cell_bins, score_cells

ASSAY = classical_assay()


@pytest.fixture(scope="module")
def cells(own_run: ScoredRun) -> pa.Table:
    return pq.read_table(own_run.run / "slides" / own_run.ids["strong"] / "cells.parquet")


def address(run: ScoredRun, rest: str) -> str:
    return f"/api/slides/{run.ids['strong']}/{rest}"


def counts_of(client: Client, run: ScoredRun, **content: Any) -> dict[str, Any]:
    answer = client.post(address(run, "counts"), content)
    assert answer.status == 200, answer.body
    found: dict[str, Any] = answer.json()
    return found


def test_the_cell_at_a_place_says_why_it_is_in_its_bin(client: Client, own_run: ScoredRun, cells: pa.Table) -> None:
    bins, fallback = cell_bins(cells, ASSAY, "cytoplasm")
    for cell_id in range(0, cells.num_rows, 17):
        row = cells.slice(cell_id, 1).to_pylist()[0]
        found = client.get(address(own_run, f"cell?cell_id={cell_id}")).json()["cell"]
        assert (found["cell_id"], found["x"], found["y"]) == (cell_id, row["x"], row["y"])
        assert (found["bin"], found["automatic_bin"]) == (bins[cell_id], bins[cell_id])
        assert found["dab_od"] == pytest.approx(
            {name: row[f"dab_od_{name}"] for name in ("nucleus", "cytoplasm", "membrane", "cell")}, rel=1e-6
        )
        between = found["between"]
        assert between["fallback"] == fallback[cell_id]
        assert between["thresholds"] == [0.2, 0.4, 0.6]
        assert between["lower"] == [None, 0.2, 0.4, 0.6][bins[cell_id]]
        assert between["upper"] == [0.2, 0.4, 0.6, None][bins[cell_id]]
        assert (between["lower"] or 0) <= between["value"] < (between["upper"] or 99)
        assert (found["class"], found["automatic_class"]) == ("Tumor", "Tumor")
        assert found["tumor_rule"] == "every cell, but those in areas of class Other"
        assert found["tumor_probability"] is None  # the classical segmenter tells no types apart
        assert found["edits"] == []
        assert len(found["outline"]) >= 3
        ring = np.asarray(found["outline"])
        assert ring[:, 0].min() < row["x"] < ring[:, 0].max()


def test_a_click_finds_the_cell_under_it(client: Client, own_run: ScoredRun, cells: pa.Table) -> None:
    row = cells.slice(20, 1).to_pylist()[0]
    found = client.get(address(own_run, f"cell?x={row['x']}&y={row['y']}")).json()["cell"]
    assert found["cell_id"] == 20
    assert client.get(address(own_run, "cell?x=-5000&y=2")).json() == {"cell": None}


@pytest.mark.parametrize(
    ("query", "status"),
    [("", 400), ("x=1", 400), ("x=nan&y=1", 400), ("x=1&y=1e99", 400), ("cell_id=-1", 400), ("cell_id=x", 400),
     ("cell_id=999999", 404), ("cell_id=99999999999999999999", 400), ("cell_id=1.5", 400), ("cell_id=", 400)],
)  # fmt: skip
def test_a_cell_that_cannot_be_is_refused(client: Client, own_run: ScoredRun, query: str, status: int) -> None:
    answer = client.get(address(own_run, f"cell?{query}"))
    assert answer.status == status
    assert answer.json()["error"]


def test_the_counts_of_the_whole_slide_are_those_of_the_scoring_code(
    client: Client, own_run: ScoredRun, cells: pa.Table
) -> None:
    scores = score_cells(cells, ASSAY)
    found = counts_of(client, own_run, box=[0, 0, 1024, 1024])
    assert found == {
        "n_cells": scores.n_cells,
        "n_tumor_cells": scores.n_tumor_cells,
        "n_excluded": cells.num_rows - scores.n_cells,
        "bins": [getattr(scores.counts, f"n{k}") for k in range(4)],
        "h_score": scores.counts.h_score,
        "percent_positive": scores.counts.percent_positive,
    }
    assert found["h_score"] == own_run.record("strong")["scores"]["h_score"]


def test_a_part_is_counted_by_its_cells_middles(client: Client, own_run: ScoredRun, cells: pa.Table) -> None:
    x, y = floats(cells, "x"), floats(cells, "y")
    box = [200, 300, 700, 650]
    inside = (x >= box[0]) & (x < box[2]) & (y >= box[1]) & (y < box[3])
    scores = score_cells(cells, ASSAY, only=inside)
    ring = [[200, 300], [700, 300], [700, 650], [200, 650]]
    for content in ({"box": box}, {"polygon": ring}, {"polygon": ring[::-1]}):
        found = counts_of(client, own_run, **content, ids=True)
        assert found["bins"] == [getattr(scores.counts, f"n{k}") for k in range(4)]
        assert found["h_score"] == scores.counts.h_score
        assert found["cell_ids"] == np.flatnonzero(inside).tolist()
    assert "cell_ids" not in counts_of(client, own_run, box=box)


def test_a_line_that_crosses_itself_holds_what_lies_in_its_loops(client: Client, own_run: ScoredRun) -> None:
    loops = [[100, 100], [900, 900], [900, 100], [100, 900]]
    left = counts_of(client, own_run, polygon=[[100, 100], [500, 500], [100, 900]], ids=True)["cell_ids"]
    right = counts_of(client, own_run, polygon=[[900, 100], [500, 500], [900, 900]], ids=True)["cell_ids"]
    assert counts_of(client, own_run, polygon=loops, ids=True)["cell_ids"] == sorted(left + right)


def test_an_empty_part_has_no_score(client: Client, own_run: ScoredRun) -> None:
    found = counts_of(client, own_run, box=[-9, -9, -8, -8])
    assert (found["bins"], found["h_score"], found["percent_positive"]) == ([0, 0, 0, 0], None, None)


def test_counts_under_other_thresholds(client: Client, own_run: ScoredRun, cells: pa.Table) -> None:
    t = (0.1, 0.25, 0.5)
    scores = score_cells(cells, preview_assay(ASSAY, t))
    found = counts_of(client, own_run, box=[0, 0, 1024, 1024], t=list(t), cutoff=100)
    assert found["h_score"] == scores.counts.h_score


@pytest.mark.parametrize(
    "content",
    [
        {}, {"box": [0, 0, 1, 1], "polygon": [[0, 0], [1, 0], [1, 1]]}, {"box": [1, 0, 0, 1]}, {"box": None},
        {"polygon": [[0, 0], [1, 1]]}, {"polygon": None}, {"box": [0, 0, 1, 1], "t": [0.3, 0.2, 0.1]},
        {"box": [0, 0, 1, 1], "ids": "yes"}, {"box": [0, 0, 1, 1], "more": 1}, [], "x", 7, None, b"", b"{", b"\xff",
    ],
)  # fmt: skip
def test_counts_of_nothing_sensible_are_refused(client: Client, own_run: ScoredRun, content: Any) -> None:
    answer = client.post(address(own_run, "counts"), content)
    assert answer.status == 400
    assert set(answer.json()) == {"error", "remedy"}


def test_a_preview_is_what_a_rescore_would_say(client: Client, own_run: ScoredRun, cells: pa.Table) -> None:
    t, cutoff = (0.15, 0.3, 0.7), 120.0
    scores = score_cells(cells, preview_assay(ASSAY, t, cutoff))
    counts: BinCounts = scores.counts
    found = client.post(address(own_run, "preview"), {"t": list(t), "cutoff": cutoff}).json()
    assert counts.h_score is not None
    assert found == {
        "bins": [counts.n0, counts.n1, counts.n2, counts.n3],
        "h_score": counts.h_score,
        "percent_positive": counts.percent_positive,
        "irs": scores.value("irs"),
        "allred": scores.value("allred"),
        "pixel_h_score": None,
        "call": "HIGH" if counts.h_score >= cutoff else "LOW",
        "reason": None,
        "low": None,
        "high": None,
        "p_high": None,
        "no_interval": "only 1 square of 512 um holds tumor cells (at least 10)",
    }
    same = client.post(address(own_run, "preview"), {}).json()
    assert same["h_score"] == own_run.record("strong")["scores"]["h_score"]


def test_a_preview_of_a_slide_that_cannot_be_called_says_why(client: Client, own_run: ScoredRun) -> None:
    found = client.post(f"/api/slides/{own_run.ids['few']}/preview", {"cutoff": 1}).json()
    assert (found["call"], found["reason"], found["h_score"]) == ("NOT_EVALUABLE", "no tissue", None)


@pytest.mark.parametrize(
    "content",
    [
        {"t": [1, 2]},
        {"t": "x"},
        {"cutoff": "high"},
        {"cutoff": 301},
        {"cutoff": -1},
        {"t": [0.2, 0.2, 0.3]},
        {"x": 1},
        [],
    ],
)
def test_a_preview_of_nothing_sensible_is_refused(client: Client, own_run: ScoredRun, content: Any) -> None:
    assert client.post(address(own_run, "preview"), content).status == 400


def test_blind_readers_get_none_of_it(blind_client: Client, own_run: ScoredRun) -> None:
    assert blind_client.get(address(own_run, "cell?cell_id=0")).status == 403
    assert blind_client.post(address(own_run, "counts"), {"box": [0, 0, 9, 9]}).status == 403
    assert blind_client.post(address(own_run, "preview"), {}).status == 403
