"""`--patients` as a user meets it: scored once, corrected without a pixel, and one line for every mistake."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import phantom as ph
from slidescore.cli.main import cli
from slidescore.errors import InputError, SlidescoreError
from slidescore.pipeline.verify import verify_run


def slidescore(*arguments: str | Path) -> Result:
    return CliRunner().invoke(cli, list(map(str, arguments)), standalone_mode=False)


def error_of(result: Result) -> str:
    assert isinstance(result.exception, SlidescoreError), result
    return str(result.exception)


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as handle:
        return list(csv.DictReader(handle))


@pytest.fixture(scope="module")
def slides(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two small slides."""
    folder = tmp_path_factory.mktemp("slides")
    for number, name in enumerate(("a.tiff", "b.tiff")):
        field = ph.draw_phantom(ph.crowded_spec(50 + number, n_cells=150, tissue="irregular", tissue_fraction=0.7))
        ph.write_pyramid(folder / name, field.rgb, field.mpp, levels=(1, 4))
    return folder


@pytest.fixture(scope="module")
def first(slides: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A run of both slides in which only one has a patient, and what the command printed."""
    place = tmp_path_factory.mktemp("runs")
    (place / "patients.csv").write_text("file,patient_id,site,time_point\na.tiff,P7,metastasis,2024-05-01\n")
    done = slidescore("score", slides, "--out", place / "run", "--workers", "1", "--patients", place / "patients.csv")
    assert done.exit_code == 0, done
    return place / "run", done.output


@pytest.fixture
def run(first: tuple[Path, str], tmp_path: Path) -> Path:
    """A copy of the run, files as old as they are."""
    return Path(shutil.copytree(first[0], tmp_path / "run"))


def times_of(run: Path) -> dict[str, int]:
    return {path.name + path.parent.name: path.stat().st_mtime_ns for path in run.glob("slides/*/*")}


def test_the_patients_are_told_and_written(first: tuple[Path, str]) -> None:
    run, output = first
    [patient] = rows_of(run / "patients.csv")
    assert (patient["patient_id"], patient["n_used"], patient["time_point"]) == ("P7", "1", "2024-05-01")
    [a, b] = rows_of(run / "scores.csv")
    assert (a["patient_id"], b["patient_id"]) == ("P7", "")
    assert patient["score"] == a["h_score"]
    call = patient["call"].replace("_", " ")
    assert f"Patients: 1 by most_recent_metastatic: 1 {call}; {run / 'patients.csv'}" in output
    assert "warning: 1 slide has no row in the patient table and no patient: b.tiff" in output
    assert "P7" in (run / "report.html").read_text()
    assert verify_run(run).differences == ()


def test_a_corrected_table_measures_nothing_again_and_without_one_there_are_no_patients(
    run: Path, slides: Path, tmp_path: Path
) -> None:
    before = times_of(run)
    (tmp_path / "patients.csv").write_text("file,patient_id\nb.tiff,P8\na.tiff,P8\n")
    done = slidescore("score", slides, "--out", run, "--patients", tmp_path / "patients.csv")
    assert done.exit_code == 0, done
    assert times_of(run) == before
    assert [row["patient_id"] for row in rows_of(run / "scores.csv")] == ["P8", "P8"]
    [patient] = rows_of(run / "patients.csv")
    assert (patient["patient_id"], patient["n_used"]) == ("P8", "2")
    assert verify_run(run).differences == ()
    assert slidescore("score", slides, "--out", run).exit_code == 0
    assert times_of(run) == before
    assert not (run / "patients.csv").exists()
    assert [row["patient_id"] for row in rows_of(run / "scores.csv")] == ["", ""]
    assert verify_run(run).differences == ()


def test_a_wrong_table_leaves_the_run_as_it_is(run: Path, slides: Path, tmp_path: Path) -> None:
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    table = tmp_path / "wrong.csv"
    for text, message in (
        ("file,patient_id\nc.tiff,P\n", f"{table}, row 2, column 'file': no slide 'c.tiff'"),
        ("file,patient\na.tiff,P\n", f"{table}, row 1: unknown column 'patient' (did you mean 'patient_id'?)"),
    ):
        table.write_text(text)
        assert error_of(slidescore("score", slides, "--out", run, "--patients", table)).startswith(message)
    assert "cannot be read" in error_of(slidescore("score", slides, "--out", run, "--patients", tmp_path / "no.csv"))
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before


def test_pseudonyms_and_patients_are_refused_before_anything_is_written(slides: Path, tmp_path: Path) -> None:
    (tmp_path / "patients.csv").write_text("file,patient_id\na.tiff,Jane Roe\n")
    options = ("--pseudonymize", tmp_path / "key.csv", "--patients", tmp_path / "patients.csv")
    done = slidescore("score", slides, "--out", tmp_path / "run", *options)
    assert isinstance(done.exception, InputError)
    assert "--patients: cannot go with --pseudonymize" in str(done.exception)
    assert "rescore RUN --key KEYFILE --patients CSV" in str(done.exception)
    assert not (tmp_path / "run").exists()
    assert not (tmp_path / "key.csv").exists()


def test_a_run_of_pseudonyms_gets_its_patients_by_the_key(slides: Path, tmp_path: Path) -> None:
    run, key = tmp_path / "run", tmp_path / "key.csv"
    assert slidescore("score", slides, "--out", run, "--pseudonymize", key, "--overlay-mpp", "none").exit_code == 0
    table = tmp_path / "patients.csv"
    table.write_text("file,patient_id,block,time_point\na.tiff,7,H24-118 A,2024-05-01\nb.tiff,7,H21-3 C,2021-05-01\n")
    done = slidescore("rescore", run, "--out", tmp_path / "named", "--key", key, "--patients", table)
    assert done.exit_code == 0, done
    [patient] = rows_of(tmp_path / "named/patients.csv")
    assert (patient["patient_id"], patient["time_point"], patient["n_slides"]) == ("7", "2", "2")
    assert verify_run(tmp_path / "named").differences == ()
    for path in (each for each in (tmp_path / "named").rglob("*") if each.is_file()):
        for token in (b"H24-118", b"H21-3", b"2024-05-01", b"a.tiff", bytes(tmp_path)):
            assert token not in path.read_bytes(), (path, token)


def test_rescore_with_nothing_to_change_names_the_option(run: Path, tmp_path: Path) -> None:
    done = slidescore("rescore", run, "--out", tmp_path / "out")
    assert "--patients" in str(done.exception)
    (tmp_path / "patients.csv").write_text("file,patient_id\nb.tiff,9\n")
    done = slidescore("rescore", run, "--out", tmp_path / "out", "--patients", tmp_path / "patients.csv")
    assert done.exit_code == 0, done
    assert "Patients: 1 by most_recent_metastatic" in done.output
