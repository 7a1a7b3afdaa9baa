"""Intervals, equivocal calls, other scales and no cut-off: what the pages are told of them."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from review.asgi import Client
from review.made_app import ScoredRun, served
from slidescore.assay import parse_assay
from slidescore.pipeline.rescore import rescore
from slidescore.report.files import read_json


def rescored(run: ScoredRun, folder: Path, change: Callable[[str], str]) -> ScoredRun:
    """Score a run again under its assay with another text."""
    text = change(str(read_json(run.run / "run.json")["assay"]["text"]))
    parse_assay(text, where="test")
    (folder / "assay.yaml").write_text(text, encoding="utf-8")
    rescore(run.run, folder / "run", folder / "assay.yaml")
    return ScoredRun(folder / "run", run.slides, run.ids)


@pytest.fixture(scope="module")
def in_small_squares(scored_run: ScoredRun, tmp_path_factory: pytest.TempPathFactory) -> ScoredRun:
    """The run with intervals: its slides are a quarter of a millimetre wide, so squares must be as small as can be."""
    folder = tmp_path_factory.mktemp("squares")
    return rescored(scored_run, folder, lambda text: text.replace("square_um: 512.0", "square_um: 64.0"))


def get(client: Client, run: ScoredRun, rest: str = "") -> Any:
    answer = client.get(f"/api/slides/{run.ids['strong']}{rest}")
    assert answer.status == 200, answer.body
    return answer.json()


def test_a_slide_has_the_interval_that_its_result_has(in_small_squares: ScoredRun) -> None:
    record = in_small_squares.record("strong")
    own = record["schemes"]["h_score"]["cytoplasm"]
    with served(in_small_squares.run) as client:
        slide, listed = get(client, in_small_squares), client.get("/api/slides").json()["slides"]
    assert own["low"] < own["value"] < own["high"]
    assert (slide["interval"]["low"], slide["interval"]["high"]) == (own["low"], own["high"])
    assert (slide["h_low"], slide["h_high"]) == (own["low"], own["high"])
    assert slide["p_high"] == record["uncertainty"]["p_high"]
    assert slide["interval"]["text"] == f"95 % interval {own['low']:.1f} to {own['high']:.1f}"
    assert slide["interval"]["none"] == ""
    assert "squares of 64 µm hold tumor cells" in slide["interval"]["words"][0]
    assert [row["name"] for row in slide["schemes"]][-1] == "Pixel H-score"
    assert sum(cell["own"] for row in slide["schemes"] for cell in row["cells"]) == 1
    [row] = [row for row in listed if row["id"] == in_small_squares.ids["strong"]]
    assert row["p_high"] == pytest.approx(slide["p_high"], rel=1e-6)
    assert row["pixel_h_score"] == pytest.approx(record["scores"]["pixel_h_score"], rel=1e-6)


def test_without_an_interval_the_page_is_told_why(scored_run: ScoredRun) -> None:
    with served(scored_run.run) as client:
        slide = get(client, scored_run)
    assert slide["interval"]["low"] is slide["interval"]["high"] is slide["p_high"] is None
    assert re.search(r"only 1 square of 512 µm holds tumor cells", slide["interval"]["none"])
    assert slide["rules"] == []


def test_a_cutoff_inside_the_interval_is_equivocal_before_and_after_a_review(
    in_small_squares: ScoredRun, tmp_path: Path
) -> None:
    run = in_small_squares.copy(tmp_path)
    own = run.record("strong")["schemes"]["h_score"]["cytoplasm"]
    inside, outside = (own["value"] + own["high"]) / 2, own["high"] + 1
    with served(run.run, reviewer="A") as client:
        found = [
            client.post(f"/api/slides/{run.ids['strong']}/preview", {"cutoff": cutoff}).json()
            for cutoff in (inside, outside)
        ]
        review = get(client, run, "/review")
    assert [each["call"] for each in found] == ["EQUIVOCAL", "LOW"]
    assert (found[0]["low"], found[0]["high"]) == (own["low"], own["high"])
    assert 0 < found[0]["p_high"] < 0.5
    assert review["automatic"]["call"] == review["reviewed"]["call"] == run.record("strong")["scores"]["call"]
    assert (review["reviewed"]["low"], review["reviewed"]["high"]) == (own["low"], own["high"])


def test_a_preview_of_thresholds_is_what_a_rescore_finds(in_small_squares: ScoredRun, tmp_path: Path) -> None:
    t = (0.3, 0.5, 0.8)
    with served(in_small_squares.run) as client:
        address = f"/api/slides/{in_small_squares.ids['strong']}/preview"
        first, again = (client.post(address, {"t": list(t)}).json() for _ in range(2))
    changed = f"thresholds: [{', '.join(map(str, t))}]"
    run = rescored(in_small_squares, tmp_path, lambda text: re.sub(r"thresholds: \[.*\]", changed, text))
    row = run.record("strong")["scores"]
    assert first == again
    assert (first["h_score"], first["low"], first["high"]) == (row["h_score"], row["h_score_low"], row["h_score_high"])
    assert (first["p_high"], first["call"]) == (row["p_high"], row["call"])


def without_cutoff(text: str, scheme: str) -> str:
    start, end = text.index("  cutoff:"), text.index("patients:")
    return (text[:start] + "  cutoff: null\n\n" + text[end:]).replace("scheme: h_score", f"scheme: {scheme}")


def test_without_a_cutoff_nothing_is_called(in_small_squares: ScoredRun, tmp_path: Path) -> None:
    scheme = "pixel_h_score"
    run = rescored(in_small_squares, tmp_path, lambda text: without_cutoff(text, scheme))
    value = run.record("strong")["schemes"][scheme]["cytoplasm"]["value"]
    address = f"/api/slides/{run.ids['strong']}"
    with served(run.run, reviewer="A") as client:
        assay = client.get("/api/run").json()["assay"]
        slide, review = get(client, run), get(client, run, "/review")
        preview = client.post(f"{address}/preview", {"t": [0.2, 0.4, 0.6]}).json()
        refused = client.post(f"{address}/preview", {"cutoff": 3})
        new = {"t": [0.1, 0.4, 0.6], "name": "other", "source": "made up"}
        saved = client.post("/api/assay", new)
    assert (assay["scheme"], assay["cutoff"]) == (scheme, None)
    assert (slide["call"], slide["cutoff_distance"], slide[scheme]) == (None, None, value)
    assert review["automatic"][scheme] == review["reviewed"][scheme] == preview[scheme] == value
    assert review["automatic"]["call"] is review["reviewed"]["call"] is preview["call"] is None
    assert refused.status == 400
    assert "the assay has none" in refused.json()["error"]
    assert parse_assay(saved.body.decode(), where="saved").call.cutoff is None
