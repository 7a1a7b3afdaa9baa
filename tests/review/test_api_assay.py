from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from classical_assay import classical_assay
from review.asgi import Answer, Client
from review.made_app import ScoredRun, served
from slidescore.assay import LoadedAssay, assay_digest, load_assay, parse_assay
from slidescore.assay.inline_model import NETWORK, set_values
from slidescore.cli.assay import assay as assay_command
from slidescore.pipeline.rescore import rescore
from slidescore.report.files import read_json, write_json

ASKED = {
    "t": [0.15, 0.3, 0.55],
    "cutoff": 120,
    "name": "cxcr4-clone2",
    "source": "12 control slides, read by A: mean, 2 SD",
}


def post(client: Client, **changes: Any) -> Answer:
    content = {**ASKED, **changes}
    return client.post("/api/assay", {name: value for name, value in content.items() if value is not ...})


def test_a_preview_becomes_an_assay_file_that_assay_check_accepts(client: Client, tmp_path: Path) -> None:
    answer = post(client)
    assert (answer.status, answer.header("content-type")) == (200, "application/yaml")
    assert answer.header("content-disposition") == 'attachment; filename="cxcr4-clone2.yaml"'
    assert answer.header("cache-control") == "no-store"
    path = tmp_path / "cxcr4-clone2.yaml"
    path.write_bytes(answer.body)
    checked = CliRunner().invoke(assay_command, ["check", str(path)])
    assert checked.exit_code == 0, checked.output
    new, old = load_assay(path).assay, classical_assay()
    assert new.name == "cxcr4-clone2"
    assert new.bins.cytoplasm.thresholds == (0.15, 0.3, 0.55)
    assert new.bins.cytoplasm.source == ASKED["source"] == new.call.cutoff.source
    assert (new.call.cutoff.value, new.call.cutoff.status) == (120.0, "provisional")
    # All else is as it was, comments too.
    assert new.bins.membrane == old.bins.membrane
    assert (new.cells, new.reading, new.qc, new.tumor) == (old.cells, old.reading, old.qc, old.tumor)
    assert b"# um per analysis pixel" in answer.body


def test_a_rescore_under_that_file_says_what_the_preview_said(
    client: Client, own_run: ScoredRun, tmp_path: Path
) -> None:
    slide_id = own_run.ids["strong"]
    preview = client.post(f"/api/slides/{slide_id}/preview", {"t": ASKED["t"], "cutoff": 120}).json()
    (tmp_path / "new.yaml").write_bytes(post(client).body)
    summary = rescore(own_run.run, tmp_path / "out", tmp_path / "new.yaml")
    [row] = [row for row in summary.rows if row["slide_id"] == slide_id]
    assert row["h_score"] == preview["h_score"]
    assert [row[f"n{k}"] for k in range(4)] == preview["bins"]
    assert row["call"] == preview["call"]


def test_one_of_the_two_is_enough(client: Client) -> None:
    thresholds = parse_assay(post(client, cutoff=...).body.decode(), where="x")
    assert (thresholds.bins.cytoplasm.thresholds, thresholds.call.cutoff.value) == ((0.15, 0.3, 0.55), 150.0)
    cutoff = parse_assay(post(client, t=...).body.decode(), where="x")
    assert (cutoff.bins.cytoplasm.thresholds, cutoff.call.cutoff.value) == ((0.2, 0.4, 0.6), 120.0)


@pytest.mark.parametrize(
    "source", ["'quoted' \"twice\": [x] {y} # z", "Ä β 中 – …", "yes", "null", "1.5", "- a", "%x @y `z`", "a: b"]
)
def test_a_source_of_any_kind_comes_through(client: Client, source: str) -> None:
    text = post(client, source=source).body.decode()
    assert parse_assay(text, where="x").call.cutoff.source == source


@pytest.mark.parametrize(
    "changes",
    [
        {"name": ...}, {"name": ""}, {"name": "Upper"}, {"name": "../../etc"}, {"name": "a b"}, {"name": "x" * 61},
        {"name": 'a"; filename="b'}, {"name": "a\r\nSet-Cookie: b"}, {"name": "cxcr4"},
        {"name": 3}, {"name": ".hidden"},
        {"source": ...}, {"source": ""}, {"source": "x" * 301}, {"source": "two\nlines"}, {"source": None},
        {"t": [3, 2, 1]}, {"t": "x"}, {"cutoff": 301}, {"cutoff": "x"}, {"cutoff": -1}, {"more": 1},
        {"t": ..., "cutoff": ...}, {"t": [0.2, 0.4, 0.6], "cutoff": 150}, {"t": [1, 2, 1e300]},
    ],
)  # fmt: skip
def test_what_makes_no_assay_is_refused(client: Client, changes: Any) -> None:
    answer = post(client, **changes)
    assert answer.status == 400
    assert answer.json()["error"]


def with_assay(run: ScoredRun, text: str) -> Path:
    """The run as if it had been scored under another text of its assay."""
    content = read_json(run.run / "run.json")
    content["assay"]["text"] = text
    loaded = LoadedAssay(parse_assay(text, where="x"), text, "x")
    content["assay"]["digest"] = assay_digest(loaded.assay)
    write_json(run.run / "run.json", content)
    table = run.run / "scores.csv"
    old = run.record("strong")["scores"]["assay_digest"]
    table.write_text(table.read_text().replace(old, content["assay"]["digest"]))
    return run.run


def test_where_a_network_lies_is_not_told(scored_run: ScoredRun, tmp_path: Path) -> None:
    run = scored_run.copy(tmp_path)
    text = read_json(run.run / "run.json")["assay"]["text"]
    with served(with_assay(run, set_values(text, NETWORK, {"model": "/home/zebediah/nets/own-v2"}))) as client:
        answer = post(client)
    assert answer.status == 200
    assert b"zebediah" not in answer.body
    assert parse_assay(answer.body.decode(), where="x").cells.network.model == "./own-v2"


def test_an_unverified_cutoff_stays_so_under_other_thresholds(scored_run: ScoredRun, tmp_path: Path) -> None:
    run = scored_run.copy(tmp_path)
    text = read_json(run.run / "run.json")["assay"]["text"]
    text = set_values(text, ("call", "cutoff"), {"status": "unverified", "meaning": "better", "source": "hearsay"})
    with served(with_assay(run, text)) as client:
        thresholds, cutoff = (
            parse_assay(post(client, **{name: ...}).body.decode(), where="x").call.cutoff for name in ("cutoff", "t")
        )
    assert (thresholds.value, thresholds.status, thresholds.meaning) == (150.0, "unverified", "better")
    assert thresholds.source == "hearsay"
    assert (cutoff.value, cutoff.status, cutoff.meaning) == (120.0, "provisional", None)


def test_blind_readers_get_none(blind_client: Client) -> None:
    assert post(blind_client).status == 403
