"""What analyses read of a run: all that it says, and nothing of a run that was changed or is not whole."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from classical_assay import classical_loaded
from slidescore.cohort.run_scores import RunScores, read_patients, read_run_scores
from slidescore.errors import RunFolderBusyError, RunFolderError
from slidescore.pipeline.rescore import rescore
from slidescore.report.columns import SCORE_COLUMNS
from slidescore.report.digests import DIGESTS_FILE, seal, write_digests
from slidescore.report.files import read_json, sha256_of, write_bytes, write_csv
from slidescore.report.lease import leased
from slidescore.report.read_rows import read_rows
from training.made_run import make_run_folder
from training.made_tissue import make_field

FILES = ("a.svs", "sub/b.svs", "c.svs")
A, B, C = (f"{Path(file).stem}-{number:08x}" for number, file in enumerate(FILES))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of a scored slide, one with too few cells, and one that failed; two of them are of a patient."""
    place = tmp_path_factory.mktemp("scores")
    fields = {file: make_field(n, n=30 if file == "sub/b.svs" else 400) for n, file in enumerate(FILES)}
    made = make_run_folder(place / "made", classical_loaded(), fields)
    shutil.rmtree(made.path / "slides" / C)
    (place / "patients.csv").write_text("file,patient_id\na.svs,P1\nc.svs,P1\n")
    rescore(made.path, place / "run", patients=place / "patients.csv")
    return place / "run"


@pytest.fixture
def run(whole: Path, tmp_path: Path) -> Path:
    """A copy to spoil."""
    return Path(shutil.copytree(whole, tmp_path / "run"))


def test_every_slide_is_there_with_what_it_came_to(whole: Path) -> None:
    found = read_run_scores(whole)
    by_id = {slide.slide_id: slide for slide in found.slides}
    assert list(by_id) == [A, B, C]
    record = read_json(whole / "slides" / A / "result.json")
    scored = by_id[A]
    assert (scored.file, scored.patient_id, scored.status, scored.reason) == ("a.svs", "P1", "scored", "")
    assert (scored.value, scored.h_score) == (record["scores"]["h_score"],) * 2
    assert scored.counts is not None
    assert sum(scored.counts) == record["scores"]["n_tumor_cells"]
    assert scored.squares is not None
    np.testing.assert_array_equal(scored.squares.total, scored.counts)
    assert (scored.low, scored.high, scored.p_high) == (None, None, None)
    assert scored.interval_reason.startswith("only 4 squares of 512 um")
    assert scored.fingerprint == record["slide"]["fingerprint"]
    assert (scored.call, scored.call_status) in (("HIGH", "provisional"), ("LOW", "provisional"))
    few = by_id[B]
    assert (few.status, few.call, few.value, few.patient_id) == ("not_evaluable", "NOT_EVALUABLE", None, "")
    assert few.counts is not None
    assert sum(few.counts) == 30
    lost = by_id[C]
    assert (lost.status, lost.reason, lost.patient_id, lost.counts) == ("failed", "not reached", "P1", None)
    assert [slide.slide_id for slide in found.scored] == [A]
    assert [slide.slide_id for slide in found.failed] == [C]


def test_the_run_says_what_made_it(whole: Path) -> None:
    found = read_run_scores(whole)
    assert isinstance(found, RunScores)
    content = read_json(whole / "run.json")
    assert (found.assay.name, found.assay_digest) == ("cxcr4", content["assay"]["digest"])
    assert (found.model_digest, found.version) == (content["model"]["digest"], content["versions"]["slidescore"])
    assert found.digest == sha256_of(whole / DIGESTS_FILE)
    assert (found.pseudonymized, found.has_patients) == (False, True)
    assert found.files == {A: "a.svs", B: "sub/b.svs", C: "c.svs"}


def test_patients_are_read_as_they_were_scored(whole: Path) -> None:
    [patient] = read_patients(whole)
    slides = {slide.slide_id: slide for slide in read_run_scores(whole).slides}
    assert patient.score == pytest.approx(slides[A].value, rel=1e-6)
    expected = replace(patient, patient_id="P1", n_slides=2, n_used=1, slides_used=(A,), low=None, n_blocks=1)
    assert patient == expected
    assert f"left out {C}: not reached" in patient.reason


@pytest.mark.parametrize("name", ["run.json", "scores.csv", "patients.csv", f"slides/{A}/result.json", DIGESTS_FILE])
def test_a_changed_run_is_refused(run: Path, name: str) -> None:
    path = run / name
    path.write_bytes(path.read_bytes().replace(b"1", b"2", 1))
    with pytest.raises(RunFolderError, match=r"was changed since it was written|not as it was written"):
        read_run_scores(run)
    if not name.startswith("slides"):
        with pytest.raises(RunFolderError):
            read_patients(run)


def test_a_resealed_result_is_refused(run: Path) -> None:
    result = run / "slides" / A / "result.json"
    content = read_json(result)
    content["scores"]["h_score"] = 299.0
    write_bytes(result, seal({key: value for key, value in content.items() if key != "seal"}))
    with pytest.raises(RunFolderError, match=r"was changed since it was written"):
        read_run_scores(run)


@pytest.mark.parametrize("name", ["scores.csv", "patients.csv", f"slides/{A}/result.json"])
def test_a_missing_file_is_refused(run: Path, name: str) -> None:
    (run / name).unlink()
    with pytest.raises(RunFolderError, match=r"was changed|cannot be read"):
        read_run_scores(run)


def test_a_strange_patients_table_is_refused(run: Path) -> None:
    listed = (run / DIGESTS_FILE).read_bytes()
    (run / "patients.csv").unlink()
    write_digests(run)
    assert (run / DIGESTS_FILE).read_bytes() != listed
    (run / "patients.csv").write_text("patient_id\nP1\n")
    with pytest.raises(RunFolderError, match=r"patients.csv: was changed"):
        read_run_scores(run)


def test_what_is_no_finished_run_is_refused(run: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for path in (tmp_path / "empty", tmp_path / "nowhere"):
        with pytest.raises(RunFolderError, match="is not a run folder"):
            read_run_scores(path)
    (run / DIGESTS_FILE).unlink()
    with pytest.raises(RunFolderError, match="is not finished"):
        read_run_scores(run)


def test_a_run_that_is_being_written_is_refused(run: Path) -> None:
    with leased(run), pytest.raises(RunFolderBusyError):
        read_run_scores(run)


@pytest.mark.parametrize("part", ["schemes", "uncertainty", "slide"])
def test_a_run_of_an_older_version_says_what_to_do(run: Path, part: str) -> None:
    result = run / "slides" / A / "result.json"
    content = read_json(result)
    content[part] = {}
    write_bytes(result, seal({key: value for key, value in content.items() if key != "seal"}))
    write_digests(run)
    with pytest.raises(RunFolderError, match=r"lacks a part that this version writes.*rescore"):
        read_run_scores(run)


def test_a_result_of_another_assay_is_refused(run: Path) -> None:
    result = run / "slides" / A / "result.json"
    content = read_json(result)
    content["assay"]["digest"] = "0" * 16
    write_bytes(result, seal({key: value for key, value in content.items() if key != "seal"}))
    write_digests(run)
    with pytest.raises(RunFolderError, match="was made under another assay"):
        read_run_scores(run)


def test_numbers_of_patients_must_be_numbers(run: Path) -> None:
    path = run / "patients.csv"
    path.write_text(path.read_text().replace("P1,most_recent_metastatic,2,", "P1,most_recent_metastatic,two,"))
    write_digests(run)
    with pytest.raises(RunFolderError, match="something else than a number"):
        read_patients(run)


def test_reviewed_columns_do_not_matter(run: Path) -> None:
    from slidescore.audit.reviewed import REVIEWED_COLUMNS

    rows = read_rows(run / "scores.csv", SCORE_COLUMNS)
    write_csv(run / "scores.csv", (*SCORE_COLUMNS, *REVIEWED_COLUMNS), rows)
    write_digests(run)
    assert len(read_run_scores(run).slides) == len(FILES)
