"""Runs under an unverified cut-off and under none: refused until accepted, judged the same way, and verified."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

import phantom as ph
from classical_assay import classical_loaded
from slidescore import score_slide
from slidescore.errors import AssayError
from slidescore.pipeline.cohort import score_directory
from slidescore.pipeline.options import RunOptions
from slidescore.pipeline.rescore import rescore
from slidescore.pipeline.verify import verify_run
from slidescore.report.files import read_json

SHIM, CONTINUOUS = classical_loaded("cxcr4-shim2018"), classical_loaded("cxcr4-continuous")
ACCEPTED = RunOptions(workers=1, overlay_mpp=None, accept_unverified=True)


def rows_of(run: Path) -> dict[str, dict[str, str]]:
    with (run / "scores.csv").open(encoding="utf-8", newline="") as handle:
        return {row["file"]: row for row in csv.DictReader(handle)}


@pytest.fixture(scope="module")
def slides(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small slide and a file that is none."""
    folder = tmp_path_factory.mktemp("slides")
    field = ph.draw_phantom(ph.crowded_spec(23, n_cells=250))
    ph.write_pyramid(folder / "field.tiff", field.rgb, field.mpp, levels=(1, 4))
    (folder / "none.svs").write_bytes(b"nothing" * 100)
    return folder


@pytest.fixture(scope="module")
def run(slides: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "run"
    summary = score_directory(slides, out, SHIM, options=ACCEPTED)
    assert any("high meant better recurrence-free survival" in warning for warning in summary.warnings)
    return out


def test_nothing_is_scored_before_an_unverified_cutoff_is_accepted(slides: Path, tmp_path: Path) -> None:
    with pytest.raises(AssayError, match="0 to 12, is inferred"):
        score_directory(slides, tmp_path / "run", SHIM)
    with pytest.raises(AssayError, match="--accept-unverified"):
        score_slide(slides / "field.tiff", SHIM.assay)
    assert not (tmp_path / "run").exists()


def test_an_accepted_cutoff_marks_its_calls(run: Path) -> None:
    rows = rows_of(run)
    scored, failed = rows["field.tiff"], rows["none.svs"]
    assert (scored["call_status"], scored["cutoff"]) == ("unverified", "irs cytoplasm > 7")
    assert scored["call"] == ("HIGH" if float(scored["irs"]) > 7 else "LOW")
    assert (failed["status"], failed["call"], failed["cutoff"]) == ("failed", "", "irs cytoplasm > 7")
    assert read_json(run / "run.json")["accept_unverified"] is True
    assert verify_run(run).differences == ()


def test_a_run_goes_on_only_where_it_is_accepted_again(slides: Path, run: Path, tmp_path: Path) -> None:
    with pytest.raises(AssayError, match="is unverified"):
        score_directory(slides, run, SHIM)
    with pytest.raises(AssayError, match="is unverified"):
        rescore(run, tmp_path / "again", SHIM)
    again = rescore(run, tmp_path / "again", SHIM, accept_unverified=True)
    assert any("high meant" in warning for warning in again.warnings)
    assert rows_of(tmp_path / "again") == rows_of(run)


def test_a_run_without_a_cutoff_calls_nothing_and_verifies(run: Path, tmp_path: Path) -> None:
    summary = rescore(run, tmp_path / "plain", CONTINUOUS)
    assert summary.warnings == ()
    rows, before = rows_of(tmp_path / "plain"), rows_of(run)
    for row in rows.values():
        assert {row[name] for name in ("call", "call_status", "cutoff", "p_high")} == {""}
    for name in ("h_score", "irs", "allred", "pixel_h_score", "n3"):
        assert rows["field.tiff"][name] == before["field.tiff"][name] != ""
    assert [row["status"] for row in rows.values()] == ["scored", "failed"]
    assert verify_run(tmp_path / "plain").differences == ()
