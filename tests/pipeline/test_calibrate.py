"""A phantom laboratory's controls become an assay of its own: planted vectors and thresholds come back."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import phantom as ph
from classical_assay import classical_loaded
from made_controls import (
    MPP,
    TRUE_THRESHOLDS,
    Field,
    control_spec,
    draw_fields,
    scan_fields,
    write_controls,
    write_labels,
    write_table,
)
from phantom_scanner import Scanner
from slidescore.assay import LoadedAssay, load_assay, parse_assay
from slidescore.errors import InputError, RunFolderError, SlidescoreError
from slidescore.execute import Limits
from slidescore.pipeline import calibrate as story
from slidescore.pipeline.calibrate import calibrate, fit_thresholds
from slidescore.pipeline.calibrate_assay import finish_assay, trace_controls, with_vectors
from slidescore.pipeline.calibrate_cells import Labels, gather_labels
from slidescore.pipeline.calibrate_report import write_calibration_report
from slidescore.pipeline.calibrate_result import Calibration, list_warnings
from slidescore.pipeline.calibrate_tables import read_controls, read_labels
from slidescore.pipeline.options import RunOptions
from slidescore.pipeline.rescore import rescore
from slidescore.report.run_folder import RunFolder
from slidescore.scoring.threshold_fit import LabelledCells, NoFit, ThresholdFit
from slidescore.stain import angle_degrees

SCANNER = Scanner(
    "strong and turned", dab_gain=1.25, hematoxylin_turn_deg=-4.0, dab_turn_deg=5.0, turn_azimuth_deg=60.0,
    white=(235.0, 240.0, 244.0),
)  # fmt: skip
SIDE_PX = 704
SHARES = {"low": (0.55, 0.2, 0.15, 0.1), "middle": (0.25, 0.25, 0.25, 0.25), "high": (0.1, 0.2, 0.3, 0.4)}


class InProcess:
    """Does what `Workers` does, in this process and without waiting for others to start."""

    def __init__(self, limits: Limits) -> None:
        assert limits.total_s > 0

    def __enter__(self) -> InProcess:
        return self

    def __exit__(self, *error: object) -> None:
        return None

    def run(self, work: Any, tasks: Sequence[Any], *, n_workers: int, on_report: Any, on_end: Any) -> None:
        assert n_workers == 1
        for number, task in enumerate(tasks):
            try:
                on_end(number, work(task, lambda content: None))
            except SlidescoreError as error:
                on_end(number, error)


@pytest.fixture(autouse=True)
def _in_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(story, "Workers", InProcess)


@dataclass(frozen=True)
class Laboratory:
    """Slides and tables of a laboratory, and a run of its controls."""

    folder: Path
    fields: list[Field]

    @property
    def slides(self) -> Path:
        return self.folder / "slides"

    @property
    def controls(self) -> Path:
        return self.folder / "controls.csv"

    def calibrate(self, out: Path, **changes: Any) -> Calibration:
        """Calibrate; the fixtures do so in workers, for no test's own patch is there yet."""
        given: dict[str, Any] = {
            "controls": self.controls,
            "run": self.folder / "run",
            "assay": classical_loaded(),
            "name": "lab",
            "options": RunOptions(overlay_mpp=None, workers=1),
        } | changes
        return calibrate([self.slides], given.pop("controls"), out=out, **given)


@pytest.fixture(scope="session")
def laboratory(tmp_path_factory: pytest.TempPathFactory) -> Laboratory:
    folder = tmp_path_factory.mktemp("laboratory")
    fields = draw_fields({"negative": None, **SHARES}, side_px=SIDE_PX)
    scan_fields(folder / "slides", fields, SCANNER)
    write_controls(folder / "controls.csv", fields, with_shares=True)
    write_labels(folder / "labels.csv", fields[1:], 60, wrong=0.05)
    return Laboratory(folder, fields)


@pytest.fixture(scope="session")
def by_labels(laboratory: Laboratory, tmp_path_factory: pytest.TempPathFactory) -> Calibration:
    out = tmp_path_factory.mktemp("assays") / "by-labels.yaml"
    return laboratory.calibrate(out, labels=laboratory.folder / "labels.csv")


@pytest.fixture(scope="session")
def by_shares(by_labels: Calibration, laboratory: Laboratory) -> Calibration:
    return laboratory.calibrate(by_labels.out.with_name("by-shares.yaml"))


def planted() -> np.ndarray:
    return np.array(TRUE_THRESHOLDS) * SCANNER.dab_scale


def fitted(result: Calibration) -> ThresholdFit:
    assert isinstance(result.fit, ThresholdFit), result.fit
    return result.fit


def test_planted_vectors_come_back(by_labels: Calibration) -> None:
    found = by_labels.stains.vectors.matrix
    for k in range(2):
        assert angle_degrees(found[k], SCANNER.vectors[k]) < 2
    written = load_assay(by_labels.out).assay.stains
    assert written.vectors == "fixed"
    assert angle_degrees(np.array(written.dab), found[1]) < 0.01


def test_planted_thresholds_come_back(by_labels: Calibration, by_shares: Calibration) -> None:
    assert np.abs(np.array(fitted(by_labels).thresholds) - planted()).max() < 0.03
    assert np.abs(np.array(fitted(by_shares).thresholds) - planted()).max() < 0.02
    assert fitted(by_labels).method == "labels"
    assert fitted(by_shares).method == "shares"
    assert load_assay(by_shares.out).assay.bins.of("cytoplasm") == pytest.approx(fitted(by_shares).thresholds, abs=6e-4)


def test_controls_reach_the_shares_that_were_expected(by_shares: Calibration, laboratory: Laboratory) -> None:
    fields = sorted(laboratory.fields, key=lambda field: field.name)
    for each, field in zip(by_shares.controls, fields, strict=True):
        found, before = each.h_score(by_shares.assay.assay), each.h_score(by_shares.base.assay)
        assert found is not None
        assert before is not None
        drawn = ph.true_h_score(field.phantom)
        assert found == pytest.approx(drawn, abs=8)
        if field.positive:
            # Nine tenths and more in benchmarks/calibrate.py; here the slides are small.
            assert before > drawn + 20
            assert abs(found - drawn) < 0.3 * (before - drawn)


def test_the_new_assay_is_the_base_with_its_comments_and_traceable_sources(by_labels: Calibration) -> None:
    text, base = by_labels.out.read_text(), by_labels.base.text
    assay = parse_assay(text, where="lab.yaml")
    assert assay.name == "lab"
    assert [line for line in base.splitlines() if "#" in line] == [line for line in text.splitlines() if "#" in line]
    digest = by_labels.provenance.digest
    fit = fitted(by_labels)
    source = assay.bins.cytoplasm.source
    for said in (digest, "4 controls", f"{fit.n_cells} labelled cells on 3 slides", f"{fit.low[0]:.3f} to", "0.1.0"):
        assert said in source
    assert digest in assay.stains.source
    assert "hematoxylin of 1 control, turned" in assay.stains.source
    assert assay.bins.nucleus.thresholds == (0.2, 0.4, 0.6)
    assert assay.bins.nucleus.source.endswith("kept while the stain vectors changed")
    assert assay.call.cutoff is not None
    assert assay.call.cutoff.status == "provisional"
    assert f"value kept while stain vectors and thresholds changed (4 controls, digest {digest}" in (
        assay.call.cutoff.source
    )
    assert "Limit of blank not determined: 1 negative control, at least 20." in assay.notes
    for secret in (str(by_labels.out.parent), str(by_labels.run.folder), "negative.tiff"):
        assert secret not in text


def test_the_digest_is_of_the_fingerprints_whatever_their_order() -> None:
    one, other = trace_controls(3, ["b" * 64, "a" * 64]), trace_controls(3, ["a" * 64, "b" * 64, "b" * 64])
    assert one == other
    assert len(one.digest) == 16


def test_the_run_can_be_rescored_under_the_new_assay(by_shares: Calibration, tmp_path: Path) -> None:
    summary = rescore(by_shares.run.folder, tmp_path / "again", by_shares.out)
    for row, each in zip(summary.rows, sorted(by_shares.controls, key=lambda c: c.control.file), strict=True):
        assert row["h_score"] == pytest.approx(each.h_score(by_shares.assay.assay))


def test_a_second_calibration_takes_up_the_run(by_labels: Calibration, by_shares: Calibration) -> None:
    assert (by_labels.run.n_skipped, by_shares.run.n_skipped) == (0, 4)
    assert by_shares.stains == by_labels.stains


def test_a_report_is_written_with_the_same_bytes(by_labels: Calibration, tmp_path: Path) -> None:
    folder = by_labels.report.parent
    write_calibration_report(tmp_path / "again", by_labels, overwrite=False)
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        assert path.read_bytes() == (tmp_path / "again" / path.relative_to(folder)).read_bytes(), path


def test_the_report_shows_what_was_done(by_labels: Calibration, by_shares: Calibration) -> None:
    folder = by_shares.report.parent
    assert folder.name == "by-shares-report"
    with (folder / "tables" / "controls.csv").open(encoding="utf-8") as handle:
        rows = list(csv.DictReader(handle))
    assert [row["control"] for row in rows] == ["high.tiff", "low.tiff", "middle.tiff", "negative.tiff"]
    assert all(abs(float(row["h_off"])) < 8 for row in rows)
    page = by_shares.report.read_text()
    assert by_shares.provenance.digest in page
    assert "Limit of blank not determined" in page
    assert (folder / "figures" / "threshold_fit.svg").is_file()
    labels = by_labels.report.parent / "tables" / "labels.csv"
    assert len(labels.read_text().splitlines()) == 5


def test_without_labels_or_shares_only_vectors_and_blank_change(by_labels: Calibration) -> None:
    assay = finish_assay(
        _interim(by_labels), by_labels.base.assay, "lab", None, by_labels.stains, by_labels.provenance, Path()
    ).assay
    assert assay.bins.of("cytoplasm") == (0.2, 0.4, 0.6)
    assert assay.bins.cytoplasm.source.endswith("kept while the stain vectors changed")
    assert assay.stains.dab != by_labels.base.assay.stains.dab
    assert assay.call.cutoff is not None
    assert "value kept while the stain vectors changed (4 controls" in assay.call.cutoff.source
    result = replace(by_labels, fit=NoFit("no labels"), labels=None)
    assert "no thresholds were fitted: no labels" in list_warnings(
        result.seen, result.controls, None, result.stains, result.fit
    )


def test_a_report_without_thresholds_says_why(by_labels: Calibration, tmp_path: Path) -> None:
    result = replace(by_labels, fit=NoFit("there were no labels"), labels=None, assay=_interim(by_labels))
    page = write_calibration_report(tmp_path / "report", result, overwrite=False).read_text()
    assert "No thresholds were fitted, and those of the base stay: there were no labels." in page


def _interim(result: Calibration) -> LoadedAssay:
    return with_vectors(result.base, "lab-vectors", result.stains, result.provenance)


def test_labels_that_are_too_few_leave_it_to_the_shares(by_labels: Calibration) -> None:
    assert by_labels.labels is not None
    cells = by_labels.labels.cells
    few = replace(by_labels.labels, cells=LabelledCells(cells.od[:40], cells.bins[:40], cells.slides[:40]))
    fit = fit_thresholds(by_labels.controls, few, by_labels.base.assay, 1, "controls.csv", "labels.csv")
    assert isinstance(fit, ThresholdFit)
    assert fit.method == "shares"
    fit = fit_thresholds(by_labels.controls[:2], few, by_labels.base.assay, 1, "controls.csv", "labels.csv")
    assert isinstance(fit, NoFit)
    assert "each needs at least 30; 2 controls have expected percents" in fit.reason


def test_labels_upside_down_would_cross(by_labels: Calibration) -> None:
    assert by_labels.labels is not None
    cells = by_labels.labels.cells
    odd = replace(by_labels.labels, cells=LabelledCells(cells.od, 3 - cells.bins, cells.slides))
    with pytest.raises(InputError, match=r"labels.csv, column 'bin': thresholds would cross"):
        fit_thresholds(by_labels.controls, odd, by_labels.base.assay, 1, "controls.csv", "labels.csv")


def gathered(result: Calibration, labels: Path) -> Labels:
    files = {row["slide_id"]: row["file"] for row in result.run.rows}
    rows = read_labels(labels, files)
    scored = {row["slide_id"]: row for row in result.run.rows}
    return gather_labels(RunFolder(result.run.folder), rows, scored, result.base.assay)


def test_the_order_of_the_table_changes_nothing(by_labels: Calibration, laboratory: Laboratory, tmp_path: Path) -> None:
    head, *rows = laboratory.controls.read_text().splitlines()
    turned = tmp_path / "controls.csv"
    turned.write_text("\n".join([head, *reversed(rows)]))
    files = {row["slide_id"]: row["file"] for row in by_labels.run.rows}
    names = [[each.name for each in read_controls(path, files)] for path in (laboratory.controls, turned)]
    assert names[0] == names[1] == sorted(names[0])


def test_labels_that_mean_no_cell_or_contradict_each_other_are_counted(
    by_labels: Calibration, laboratory: Laboratory, tmp_path: Path
) -> None:
    lines = (laboratory.folder / "labels.csv").read_text().splitlines()
    before = gathered(by_labels, laboratory.folder / "labels.csv")
    file, x, y, said = lines[-1].split(",")
    twins = [f"{file},{x},{y},{said}", "low.tiff,3,3,1", "high.tiff,4,4,2"]
    labels = tmp_path / "labels.csv"
    labels.write_text("\n".join([*lines, *twins]))
    found = gathered(by_labels, labels)
    assert found.n_rows == before.n_rows + 3
    assert found.n_lost == before.n_lost + 2
    assert found.n_repeated == before.n_repeated + 1
    assert len(found.cells.od) == len(before.cells.od)
    labels.write_text("\n".join([*lines, f"{file},{x},{y},{3 - int(said)}"]))
    found = gathered(by_labels, labels)
    assert found.n_contradicted == before.n_contradicted + 2
    warnings = list_warnings(by_labels.seen, by_labels.controls, found, by_labels.stains, by_labels.fit)
    assert f"{found.n_contradicted} of {found.n_rows} labels are on cells with different labels" in warnings


def test_labels_that_all_miss_are_refused(by_labels: Calibration, tmp_path: Path) -> None:
    rows = [("low.tiff", 1, 2, 3), ("low.tiff", 2, 2, 1)]
    labels = write_table(tmp_path / "labels.csv", ("file", "x", "y", "bin"), rows)
    with pytest.raises(InputError, match="row 2, column 'x': no cell is there, nor at any other of the 2 labels"):
        gathered(by_labels, labels)


def refused(laboratory: Laboratory, tmp_path: Path, **changes: Any) -> str:
    out = tmp_path / "never.yaml"
    with pytest.raises(InputError) as caught:
        laboratory.calibrate(out, **changes)
    assert not out.exists()
    return str(caught.value)


def controls_table(tmp_path: Path, rows: Sequence[Sequence[object]], columns: Sequence[str] = ("file", "role")) -> Path:
    return write_table(tmp_path / "controls.csv", columns, rows)


def test_a_control_that_is_not_among_the_inputs(laboratory: Laboratory, tmp_path: Path) -> None:
    controls = controls_table(tmp_path, [("negative.tiff", "negative"), ("hihg.tiff", "positive")])
    said = refused(laboratory, tmp_path, controls=controls)
    assert "controls.csv, row 3, column 'file'" in said
    assert "high.tiff" in said


FILE, SHARE = ("file", "role"), ("file", "role", "p0", "p1", "p2", "p3")
REGION = ("file", "role", "region")


@pytest.mark.parametrize(
    ("columns", "rows", "said"),
    [
        (FILE, [("low.tiff", "strong")], "row 2, column 'role'"),
        (FILE, [("low.tiff", "positive")] * 2, "row 3, column 'file': low.tiff is in row 2 already"),
        (SHARE, [("low.tiff", "positive", 50, 20, 20, 20)], "row 2, column 'p0': p0 to p3 add up to 110, not to 100"),
        (SHARE, [("low.tiff", "positive", 50, 50, "", 0)], "row 2, column 'p2': is empty while other bins"),
        (SHARE, [("low.tiff", "positive", 150, -50, 0, 0)], "row 2, column 'p0'"),
        (REGION, [("low.tiff", "positive", "A")], "row 2, column 'region': low.tiff has no annotation named 'A'"),
        (FILE, [("negative.tiff", "positive")], "row 2, column 'role': positive, but negative.tiff holds no DAB"),
    ],
)
def test_mistakes_in_the_table_of_controls(
    laboratory: Laboratory, tmp_path: Path, columns: tuple[str, ...], rows: list[tuple[object, ...]], said: str
) -> None:
    assert said in refused(laboratory, tmp_path, controls=controls_table(tmp_path, rows, columns))


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([("low.tiff", 1, 2, 4)], "labels.csv, row 2, column 'bin'"),
        ([("low.tiff", "x", 2, 3)], "labels.csv, row 2, column 'x'"),
        ([("other.tiff", 1, 2, 3)], "labels.csv, row 2, column 'file'"),
        ([("low.tiff", 1, 2, 3), ("low.tiff", 9, 9, 3)], "labels.csv, column 'bin': all 2 labels are 3"),
    ],
)
def test_mistakes_in_the_table_of_labels(
    laboratory: Laboratory, tmp_path: Path, rows: list[tuple[object, ...]], said: str
) -> None:
    labels = write_table(tmp_path / "labels.csv", ("file", "x", "y", "bin"), rows)
    assert said in refused(laboratory, tmp_path, labels=labels)


def test_another_stain_is_no_control(laboratory: Laboratory, tmp_path: Path) -> None:
    slides = tmp_path / "slides"
    slides.mkdir()
    shutil.copy(laboratory.slides / "low.tiff", slides)
    truth = laboratory.fields[1].phantom.truth
    eosin = np.array([0.09, 0.95, 0.28])
    hematoxylin = np.array([0.65, 0.70, 0.29])
    od = truth.hematoxylin_od[..., None] * hematoxylin + (0.25 * truth.tissue)[..., None] * eosin
    rgb = np.rint(240 * 10**-od).astype(np.uint8)
    ph.write_pyramid(slides / "eosin.tiff", rgb, MPP, levels=(1, 4))
    controls = controls_table(tmp_path, [("low.tiff", "positive"), ("eosin.tiff", "negative")])
    with pytest.raises(InputError, match=r"row 3, column 'file': stain is not DAB with hematoxylin: looks like H&E"):
        calibrate(
            [slides], controls, run=tmp_path / "run", out=tmp_path / "a.yaml", assay=classical_loaded(), name="lab",
            options=RunOptions(workers=1),
        )  # fmt: skip


def test_a_broken_slide_is_named_with_its_row(laboratory: Laboratory, tmp_path: Path) -> None:
    slides = tmp_path / "slides"
    slides.mkdir()
    (slides / "broken.tiff").write_bytes(b"II*\x00nothing")
    controls = controls_table(tmp_path, [("broken.tiff", "positive")])
    with pytest.raises(InputError, match=r"controls.csv, row 2, column 'file': broken.tiff cannot be used"):
        calibrate(
            [slides], controls, run=tmp_path / "run", out=tmp_path / "a.yaml", name="lab", options=RunOptions(workers=1)
        )


def test_targets_that_are_there_are_not_written_over(by_labels: Calibration, laboratory: Laboratory) -> None:
    with pytest.raises(InputError, match="is there already"):
        laboratory.calibrate(by_labels.out)
    with pytest.raises(InputError, match="its folder is not there"):
        laboratory.calibrate(by_labels.out.parent / "no" / "a.yaml")


def test_a_run_of_another_assay_is_not_taken_up(by_labels: Calibration, laboratory: Laboratory, tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match="give another --run, or --overwrite"):
        laboratory.calibrate(tmp_path / "a.yaml", name="other")


@pytest.mark.parametrize(("name", "said"), [("Lab A", "is no name for an assay"), ("cxcr4", "name of the base assay")])
def test_a_name_must_be_the_assays_own(laboratory: Laboratory, tmp_path: Path, name: str, said: str) -> None:
    assert said in refused(laboratory, tmp_path, name=name)


def test_controls_of_several_batches_are_remarked_on(by_labels: Calibration) -> None:
    controls = [
        replace(each, control=replace(each.control, batch=batch))
        for each, batch in zip(by_labels.controls, ("May", "June", "May", "June"), strict=True)
    ]
    said = list_warnings(by_labels.seen, controls, None, by_labels.stains, by_labels.fit)
    assert any("of 2 batches (June, May)" in line for line in said)


def test_control_regions_of_one_slide(tmp_path: Path) -> None:
    """Four cores on one slide, negative and of rising staining: each is a control of its own."""
    spec = replace(control_spec(7, None, side_px=448), tissue="round", tissue_fraction=0.62)
    cores = [
        ph.draw_phantom(replace(spec, seed=70 + n, staining="cytoplasm" if n else "negative", dab_od_shares=shares))
        for n, shares in enumerate([(1, 0, 0, 0), *SHARES.values()])
    ]
    scanned = [SCANNER.scan(core, n) for n, core in enumerate(cores)]
    rgb = np.vstack([np.hstack(scanned[:2]), np.hstack(scanned[2:])])
    (tmp_path / "slides").mkdir()
    ph.write_pyramid(tmp_path / "slides" / "array.tiff", rgb, MPP, levels=(1, 4), quality=90)
    features = [
        {
            "type": "Feature",
            "geometry": {"type": "Polygon", "coordinates": [_square(448 * (n % 2), 448 * (n // 2), 448)]},
            "properties": {"objectType": "annotation", "name": f"core {n}", "classification": {"name": "Control"}},
        }
        for n in range(4)
    ]
    (tmp_path / "roi").mkdir()

    (tmp_path / "roi" / "array.tiff.geojson").write_text(
        json.dumps({"type": "FeatureCollection", "features": features})
    )
    rows = [
        ("array.tiff", f"core {n}", "positive" if n else "negative", *(100 * ph.bin_shares(core, "cytoplasm")))
        for n, core in enumerate(cores)
    ]
    controls = controls_table(tmp_path, rows, ("file", "region", "role", "p0", "p1", "p2", "p3"))
    assay = _with_few_cells(classical_loaded())
    result = calibrate(
        [tmp_path / "slides"], controls, run=tmp_path / "run", out=tmp_path / "a.yaml", assay=assay, name="lab",
        options=RunOptions(roi=tmp_path / "roi", overlay_mpp=None, workers=1),
    )  # fmt: skip
    assert result.controls[0].control.name == "array.tiff [core 0]"
    assert np.abs(np.array(fitted(result).thresholds) - planted()).max() < 0.04
    assert result.stains.n_dab == 3
    assert angle_degrees(result.stains.vectors.matrix[1], SCANNER.vectors[1]) < 2


def _square(x: int, y: int, side: int) -> list[list[int]]:
    return [[x, y], [x + side, y], [x + side, y + side], [x, y + side], [x, y]]


def _with_few_cells(loaded: LoadedAssay) -> LoadedAssay:
    text = loaded.text.replace("min_tumor_cells: 100", "min_tumor_cells: 40")
    return LoadedAssay(parse_assay(text, where="few.yaml"), text, "few.yaml")
