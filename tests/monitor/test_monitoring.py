from __future__ import annotations

import csv
import math
from pathlib import Path

import numpy as np
import pytest

from monitor.conftest import made_slides
from monitor.made_runs import Made, change_result, make_run
from slidescore.errors import InputError, RunFolderError
from slidescore.monitor.batches import HOLD, IN_CONTROL, Monitoring, look_at
from slidescore.monitor.monitoring import monitor_runs
from slidescore.monitor.read_slides import read_measures, read_runs

CONTROL, FLOOR = "control_dab_od", "floor_degrees"


def _look(series: list[Path], **how: object) -> Monitoring:
    return look_at(read_runs(series), how.pop("batches", None), **how)  # type: ignore[arg-type]


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as handle:
        return list(csv.DictReader(handle))


def _states(found: Monitoring) -> dict[str, str]:
    return {batch.name: batch.state for batch in found.batches}


def test_a_batch_whose_control_is_paler_is_held(series: list[Path]) -> None:
    found = _look(series)
    assert _states(found) == {"2026-01": "baseline", "2026-02": IN_CONTROL, "2026-03": HOLD}
    (held,) = found.held
    assert {alarm.measure.name for alarm in held.alarms} == {CONTROL}
    assert all(alarm.direction == "down" for alarm in held.alarms)
    (chart,) = [chart for chart in found.charts if chart.measure.name == CONTROL]
    assert chart.baseline.n == 22
    assert np.isnan(chart.up[:22]).all()
    assert set(found.left_out) == {"dab_along_degrees"}
    assert "the assay's vectors are fixed" in found.left_out["dab_along_degrees"]


def test_measures_are_those_of_the_files(series: list[Path]) -> None:
    (run,) = read_runs(series[:1])
    made = made_slides("jan", 22, seed=1)[0]
    assert made.control_od is not None
    assert made.white is not None
    found = read_measures(run, made.slide_id, "sample", with_controls=False)
    assert found.values[CONTROL] == pytest.approx(made.control_od, abs=1e-6)
    assert found.values["white_level"] == pytest.approx(np.mean(made.white))
    assert found.values["white_balance_od"] == pytest.approx(math.log10(made.white[0] / made.white[2]))
    assert found.values["dab_across_degrees"] == made.hue
    assert found.values["counterstain_od"] == made.counterstain
    assert found.values["dab_along_degrees"] is None
    assert (found.n_positive_control, found.n_negative_control, found.floor_percent) == (120, 120, 0.0)
    # Thresholds 0.2, 0.4, 0.6 on densities evenly spread over 0.2 around the control's.
    assert found.control_h == pytest.approx(200, abs=50)


def test_an_estimated_vector_is_placed_along_and_across_the_arc(template: Path, tmp_path: Path) -> None:
    slides = [Made("a.svs"), Made("b.svs")]
    path = make_run(template, tmp_path / "run", slides)
    change_result(path, slides[0], "stains", {"vectors_source": "estimated", "dab": [0.27, 0.57, 0.78]})
    change_result(path, slides[1], "stains", {"vectors_source": "fallback", "estimate": {"reason": "only 3 pixels"}})
    (run,) = read_runs([path])
    stains = run.assay.stains.model_copy(update={"vectors": "estimated"})
    object.__setattr__(run, "assay", run.assay.model_copy(update={"stains": stains}))
    found = read_measures(run, slides[0].slide_id, "sample", with_controls=False)
    assert found.values["dab_across_degrees"] == pytest.approx(0, abs=0.1)
    assert found.values["dab_along_degrees"] == pytest.approx(37, abs=1)
    other = read_measures(run, slides[1].slide_id, "sample", with_controls=False)
    assert other.values["dab_across_degrees"] is other.values["dab_along_degrees"] is None
    assert other.why["dab_along_degrees"] == "the estimate was not believed: only 3 pixels"


def test_what_a_slide_does_not_have_is_said(template: Path, tmp_path: Path) -> None:
    slides = [Made("bare.svs", white=None, hue=None, counterstain=None), Made("lost.svs", failed=True)]
    (run,) = read_runs([make_run(template, tmp_path / "run", slides)])
    bare = read_measures(run, slides[0].slide_id, "sample", with_controls=False)
    assert set(bare.values.values()) == {None}
    assert set(bare.why) == set(bare.values)
    assert bare.why[CONTROL] == "no positive control tissue"
    lost = read_measures(run, slides[1].slide_id, "sample", with_controls=True)
    assert set(lost.why.values()) == {"the slide failed: not reached"}


def test_slides_of_a_control_role_are_control_tissue_themselves(series: list[Path]) -> None:
    (run,) = read_runs(series[:1])
    slide_id = run.slides[0].slide_id
    positive = read_measures(run, slide_id, "control_positive", with_controls=True)
    assert positive.n_positive_control == 120, "cells of on-slide control tissue, for all of this slide's are"
    assert positive.values["counterstain_od"] is not None
    sample = read_measures(run, slide_id, "sample", with_controls=True)
    assert sample.values["counterstain_od"] is None
    assert "charted for slides of role control_positive" in sample.why["counterstain_od"]


def test_a_control_of_few_cells_is_not_measured(template: Path, tmp_path: Path) -> None:
    slide = Made("a.svs", control_od=0.5)
    (run,) = read_runs([make_run(template, tmp_path / "run", [slide])])
    qc = run.assay.qc.model_copy(update={"min_tumor_cells": 121})
    object.__setattr__(run, "assay", run.assay.model_copy(update={"qc": qc}))
    found = read_measures(run, slide.slide_id, "sample", with_controls=False)
    assert found.why[CONTROL] == "fewer than 121 cells of positive control tissue"


def test_a_table_says_which_slide_is_of_which_batch(series: list[Path], tmp_path: Path) -> None:
    table = tmp_path / "batches.csv"
    names = [f"jan_{k:02}.svs" for k in range(22)] + [f"mar_{k:02}.svs" for k in range(6)]
    rows = [f"{name},{'lot 1' if name.startswith('jan') else 'lot 2'}" for name in names]
    table.write_text("\n".join(["file,batch", *rows]) + "\n")
    found = _look(series, batches=table)
    assert _states(found) == {"lot 1": "baseline", "lot 2": HOLD}
    assert found.n_unlisted == 6
    table.write_text("\n".join(["file,batch", *rows[::-1]]) + "\n")
    again = _look(series, batches=table)
    assert [slide.slide_id for slide in again.slides] == [slide.slide_id for slide in found.slides]


def test_too_small_a_baseline_is_said(series: list[Path]) -> None:
    with pytest.raises(InputError, match=r"--baseline: the baseline has 6 slides, and no measure that 20 of them have"):
        _look(series, baseline=["2026-02"])
    found = _look(series[:1])
    assert _states(found) == {"2026-01": "baseline"}


def test_runs_that_do_not_belong_together_are_refused(series: list[Path], template: Path, tmp_path: Path) -> None:
    slide = Made("other.svs")
    other = make_run(template, tmp_path / "assay", [slide], assay="f" * 16)
    with pytest.raises(
        InputError, match=r"was scored under assay cxcr4 ffffffffffffffff, run '2026-01' under assay|under"
    ):
        read_runs([series[0], other])
    other = make_run(template, tmp_path / "model", [slide], model="another-1")
    with pytest.raises(InputError, match="was scored under model another-1"):
        read_runs([series[0], other])
    twin = make_run(template, tmp_path / "deep" / "2026-01", [slide])
    with pytest.raises(InputError, match="two runs are called '2026-01'"):
        read_runs([series[0], twin])
    same = make_run(template, tmp_path / "same", made_slides("jan", 1, seed=1))
    with pytest.raises(InputError, match=r"slide jan_00-00000000 is in run '2026-01' as well"):
        read_runs([series[0], same])


def test_changed_cells_are_refused(template: Path, tmp_path: Path) -> None:
    slide = Made("a.svs", control_od=0.5)
    path = make_run(template, tmp_path / "run", [slide])
    cells = path / "slides" / slide.slide_id / "cells.parquet"
    cells.write_bytes(cells.read_bytes()[:-1] + b"x")
    (run,) = read_runs([path])
    with pytest.raises(RunFolderError, match="was changed since it was written"):
        read_measures(run, slide.slide_id, "sample", with_controls=False)


def test_the_report(series: list[Path], tmp_path: Path) -> None:
    _, page = monitor_runs(series, tmp_path / "out")
    out = page.parent
    text = page.read_text()
    assert "34 slides in 3 batches: 1 of 2 batches on hold" in text
    assert "On hold: 2026-03." in text
    assert "Not charted: DAB vector, along the arc of the stains" in text
    assert "Research use only" in text
    assert str(tmp_path) not in text
    tables = {path.name: _rows(path) for path in (out / "tables").glob("*.csv")}
    assert set(tables) == {"batches.csv", "alarms.csv", "charts.csv", "not_charted.csv", "slides.csv"}
    assert [row["state"] for row in tables["batches.csv"]] == ["baseline", "in control", "HOLD"]
    assert {row["measure"] for row in tables["alarms.csv"]} == {CONTROL}
    assert len(tables["slides.csv"]) == 34
    assert len(tables["charts.csv"]) == len(list((out / "figures").glob("*.svg"))) == 6
    figure = _rows(out / "figures" / f"{CONTROL}.csv")
    assert [row["batch"] for row in figure] == ["2026-01"] * 22 + ["2026-02"] * 6 + ["2026-03"] * 6
    with pytest.raises(RunFolderError, match="holds a report already"):
        monitor_runs(series, out)
