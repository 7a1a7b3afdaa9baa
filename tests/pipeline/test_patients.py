"""Patients of a run: their ids in the tables, patients.csv, resume, rescore, verify, and what stays private."""

from __future__ import annotations

import csv
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from classical_assay import classical_text
from slidescore.assay import LoadedAssay, parse_assay
from slidescore.cohort.run_scores import read_patients, read_run_scores
from slidescore.errors import InputError, RunFolderError
from slidescore.pipeline.rescore import rescore
from slidescore.pipeline.verify import verify_run
from slidescore.report.columns import PATIENT_COLUMNS
from slidescore.report.digests import DIGESTS_FILE, seal, write_digests
from slidescore.report.files import read_json, write_bytes, write_json
from training.made_run import MadeRun, make_run_folder
from training.made_tissue import make_field

FILES = ("a.svs", "sub/b.svs", "c.svs", "d.svs")
A, B, C, D = (f"{Path(file).stem}-{number:08x}" for number, file in enumerate(FILES))
TABLE = (
    "file,patient_id,block,time_point,site,use\n"
    "a.svs,P1,,2023-01-01,primary,\n"
    "b.svs,P1,H7,2024-05-01,metastasis,\n"
    "c.svs,P1,H7,2024-05-01,metastasis,\n"
    "d.svs,P2,,,,\n"
)
Rows = list[dict[str, str]]


def loaded(rule: str = "most_recent_metastatic") -> LoadedAssay:
    """Squares of 64 um, of which the made fields have a hundred."""
    text = re.sub(r"(?m)^  square_um: .*", "  square_um: 64.0", classical_text())
    text = re.sub(r"(?m)^  replicates: .*", "  replicates: 200", text)
    text = re.sub(r"(?m)^  rule: (mean|max|pooled_cells|most_recent_metastatic)", f"  rule: {rule}", text)
    return LoadedAssay(parse_assay(text, where="small.yaml"), text, "small.yaml")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> MadeRun:
    """A run as it was scored, without patients."""
    fields = {file: make_field(seed, n=225) for seed, file in enumerate(FILES)}
    # A slide that is not evaluable: too few cells.
    fields["d.svs"] = make_field(9, n=30)
    return make_run_folder(tmp_path_factory.mktemp("patients") / "run", loaded(), fields)


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("table") / "patients.csv"
    path.write_text(TABLE)
    return path


@pytest.fixture(scope="module")
def with_patients(made: MadeRun, table: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("rescored") / "run"
    assert rescore(made.path, out, patients=table).warnings == ()
    return out


@pytest.fixture
def run(with_patients: Path, tmp_path: Path) -> Path:
    """A copy to spoil."""
    return Path(shutil.copytree(with_patients, tmp_path / "spoilt"))


def rows_of(path: Path) -> Rows:
    with path.open(encoding="utf-8", newline="") as handle:
        return list(csv.DictReader(handle))


def differences(run: Path) -> tuple[str, ...]:
    return verify_run(run).differences


def test_patients_csv_has_one_row_a_patient_that_follows_from_the_slides(with_patients: Path) -> None:
    slides = {slide.slide_id: slide for slide in read_run_scores(with_patients).slides}
    first, second = rows_of(with_patients / "patients.csv")
    assert tuple(first) == PATIENT_COLUMNS
    assert slides[B].value is not None
    assert slides[C].value is not None
    assert float(first["score"]) == pytest.approx(np.mean([slides[B].value, slides[C].value]), rel=1e-6)
    said = (first["patient_id"], first["n_slides"], first["n_used"], first["slides_used"])
    assert said == ("P1", "3", "2", f"{B};{C}")
    assert (first["site"], first["time_point"], first["n_blocks"]) == ("metastasis", "2024-05-01", "1")
    assert float(first["low"]) < float(first["score"]) < float(first["high"])
    assert (second["call"], second["score"]) == ("NOT_EVALUABLE", "")
    assert second["reason"].startswith(f"no slide has a score; left out {D}: too few tumor cells")


def test_patient_ids_stand_in_the_tables_of_the_run_and_in_no_folder_of_a_slide(with_patients: Path) -> None:
    assert [row["patient_id"] for row in rows_of(with_patients / "scores.csv")] == ["P1", "P1", "P1", "P2"]
    assert all(read_json(path)["scores"]["patient_id"] is None for path in with_patients.glob("slides/*/result.json"))
    content = read_json(with_patients / "run.json")["patients"]
    assert [row["patient_id"] for row in content["rows"]] == ["P1", "P1", "P1", "P2"]
    assert "patients.csv" in (with_patients / DIGESTS_FILE).read_text()


def test_a_run_with_patients_verifies_also_in_another_place(run: Path) -> None:
    found = verify_run(run)
    assert (found.differences, found.n_slides) == ((), 4)


def test_the_same_table_in_another_order_gives_the_same_bytes(
    made: MadeRun, with_patients: Path, tmp_path: Path
) -> None:
    head, *lines = TABLE.splitlines()
    (tmp_path / "other.csv").write_text("\n".join([head, *reversed(lines)]).replace(",", ";"))
    rescore(made.path, tmp_path / "out", patients=tmp_path / "other.csv")
    for name in ("patients.csv", "scores.csv", "regions.csv"):
        assert (tmp_path / "out" / name).read_bytes() == (with_patients / name).read_bytes()


def test_rescore_keeps_the_patients_and_takes_the_rule_of_the_new_assay(with_patients: Path, tmp_path: Path) -> None:
    rescore(with_patients, tmp_path / "same")
    assert (tmp_path / "same/patients.csv").read_bytes() == (with_patients / "patients.csv").read_bytes()
    rescore(with_patients, tmp_path / "mean", loaded("mean"))
    [first, _] = rows_of(tmp_path / "mean/patients.csv")
    values = {slide.slide_id: slide.value or 0.0 for slide in read_run_scores(tmp_path / "mean").slides}
    assert first["rule"] == "mean"
    assert float(first["score"]) == pytest.approx((values[A] + (values[B] + values[C]) / 2) / 2, rel=1e-6)
    assert differences(tmp_path / "mean") == ()


def test_another_table_replaces_the_patients(with_patients: Path, tmp_path: Path) -> None:
    (tmp_path / "new.csv").write_text("slide_id,patient_id\n" + f"{A},X\n")
    summary = rescore(with_patients, tmp_path / "out", patients=tmp_path / "new.csv")
    assert [patient.patient_id for patient in summary.patients] == ["X"]
    assert [row["patient_id"] for row in rows_of(tmp_path / "out/scores.csv")] == ["X", "", "", ""]
    [warning] = summary.warnings
    assert warning.startswith("3 slides have no row in the patient table")
    for slide in ("b.svs", "c.svs", "d.svs"):
        assert slide in warning
    assert differences(tmp_path / "out") == ()


def test_a_wrong_table_makes_no_run(made: MadeRun, tmp_path: Path) -> None:
    (tmp_path / "wrong.csv").write_text("file,patient_id\nz.svs,P\n")
    with pytest.raises(InputError, match=r"wrong.csv, row 2, column 'file': no slide 'z.svs'"):
        rescore(made.path, tmp_path / "out", patients=tmp_path / "wrong.csv")
    assert not (tmp_path / "out").exists()


def test_without_patients_there_is_no_table_of_them(made: MadeRun, with_patients: Path, tmp_path: Path) -> None:
    rescore(made.path, tmp_path / "out")
    assert not (tmp_path / "out/patients.csv").exists()
    assert not read_run_scores(tmp_path / "out").has_patients
    with pytest.raises(RunFolderError, match="has no patients"):
        read_patients(tmp_path / "out")
    assert len(read_patients(with_patients)) == 2


def test_a_rescore_over_a_run_with_patients_leaves_no_old_table(made: MadeRun, run: Path) -> None:
    rescore(made.path, run)
    assert not (run / "patients.csv").exists()
    assert differences(run) == ()


# --- verify ---


@pytest.mark.parametrize("column", ["score", "low", "high", "n_used", "slides_used", "call", "reason", "rule", "site"])
def test_a_forged_number_is_found_also_with_new_digests(run: Path, column: str) -> None:
    rows = rows_of(run / "patients.csv")
    old, rows[0][column] = rows[0][column], "9"
    with (run / "patients.csv").open("w", newline="") as handle:
        writer = csv.DictWriter(handle, PATIENT_COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    assert "patients.csv: was changed since it was written" in differences(run)
    write_digests(run)
    [line] = differences(run)
    assert line.startswith(f"patients.csv: P1: {column} is 9, and follows as {old[:10]}")


def test_missing_and_strange_patients_are_found(run: Path) -> None:
    path = run / "patients.csv"
    head, first, second = path.read_text().splitlines()
    path.write_text("\n".join([head, first, first, second.replace("P2", "P3")]) + "\n")
    write_digests(run)
    assert differences(run) == (
        "patients.csv: has 2 rows of patient P1, and 1 follow",
        "patients.csv: has 0 rows of patient P2, and 1 follow",
        "patients.csv: has 1 rows of patient P3, and 0 follow",
    )
    path.write_text("nothing\n")
    write_digests(run)
    assert differences(run) == ("patients.csv: has other columns than this version writes",)
    path.unlink()
    write_digests(run)
    assert differences(run) == ("patients.csv: is missing, and run.json has patients",)


def test_a_patient_id_elsewhere_is_found(run: Path) -> None:
    path = run / "scores.csv"
    path.write_text(path.read_text().replace("a.svs,P1,", "a.svs,P2,"))
    write_digests(run)
    assert differences(run) == (f"scores.csv: {A}: patient_id is P2, and run.json says P1",)


def test_changed_patients_in_run_json_are_found(run: Path) -> None:
    content = read_json(run / "run.json")
    content["patients"]["rows"][0]["patient_id"] = "P9"
    write_json(run / "run.json", content)
    write_digests(run)
    assert differences(run) == ("run.json: holds patients that are not as they were written",)
    with pytest.raises(RunFolderError, match="not as they were written"):
        read_run_scores(run)


def test_a_table_of_patients_that_nobody_gave_is_found(run: Path) -> None:
    content = read_json(run / "run.json")
    content["patients"] = None
    write_json(run / "run.json", content)
    scores = run / "scores.csv"
    scores.write_text(re.sub(",P[12],", ",,", scores.read_text()))
    write_digests(run)
    assert differences(run) == ("patients.csv: is there, and run.json has no patients",)


def test_forged_squares_do_not_pass_as_the_source_of_a_forged_score(run: Path) -> None:
    """Patients are computed from the cells, through slides that are scored again, not from what result.json says."""
    result = run / "slides" / B / "result.json"
    content = read_json(result)
    for square in content["uncertainty"]["squares"]:
        square[2:] = [0, 0, 0, 9]
    write_bytes(result, seal({key: value for key, value in content.items() if key != "seal"}))
    write_digests(run)
    found = differences(run)
    assert found
    assert all(line.startswith(f"slides/{B}/result.json: uncertainty") for line in found)


def test_the_patient_of_a_damaged_slide_is_noted(run: Path) -> None:
    (run / "slides" / B / "result.json").write_text("{}")
    found = verify_run(run)
    assert "patients.csv: patients of slides that cannot be scored again were not checked" in found.notes
    assert not any(line.startswith("patients.csv") for line in found.differences)


# --- pseudonyms ---


@pytest.fixture
def pseudonymous(made: MadeRun, tmp_path: Path) -> Path:
    """A run as `score --pseudonymize` leaves it: what stands for a slide's name is not its name."""
    run = Path(shutil.copytree(made.path, tmp_path / "pseudonymous"))
    content = read_json(run / "run.json")
    content |= {"pseudonymized": True, "slides": dict.fromkeys(content["slides"])}
    write_json(run / "run.json", content)
    return run


def test_pseudonyms_and_a_patient_table_are_refused_together(tmp_path: Path, table: Path) -> None:
    from slidescore.pipeline.patients import open_patients

    with pytest.raises(InputError, match="--patients: cannot go with --pseudonymize"):
        open_patients(table, tmp_path / "key.csv")


def test_a_rescore_of_pseudonyms_keeps_neither_dates_nor_names_of_blocks(
    pseudonymous: Path, table: Path, tmp_path: Path
) -> None:
    rescore(pseudonymous, tmp_path / "out", patients=table)
    written = b"".join(path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file())
    assert b"2024-05-01" not in written
    assert b"H7" not in written
    [first, _] = rows_of(tmp_path / "out/patients.csv")
    assert (first["slides_used"], first["time_point"]) == (f"{B};{C}", "2")
    assert differences(tmp_path / "out") == ()


def test_a_table_of_own_names_needs_the_key_and_is_not_repeated(
    pseudonymous: Path, made: MadeRun, tmp_path: Path
) -> None:
    own = tmp_path / "own.csv"
    own.write_text("file,patient_id\nRoe Jane.svs,7\n")
    with pytest.raises(InputError, match=r"own\.csv, row 2, column 'file'") as caught:
        rescore(pseudonymous, tmp_path / "out", patients=own)
    assert "Roe" not in str(caught.value)
    key = tmp_path / "key.csv"
    key.write_text("pseudonym,file,path,fingerprint,annotations\nslide-0001,Roe Jane.svs,/x/Roe Jane.svs,,\n")
    key.chmod(0o600)
    # The made run calls its slides a.svs ...; give the first its pseudonym.
    for name in ("scores.csv", f"slides/{A}/result.json"):
        path = pseudonymous / name
        path.write_text(path.read_text().replace("a.svs", "slide-0001"))
    result = pseudonymous / f"slides/{A}/result.json"
    content = json.loads(result.read_text())
    write_bytes(result, seal({name: value for name, value in content.items() if name != "seal"}))
    summary = rescore(pseudonymous, tmp_path / "out", patients=own, key_file=key)
    assert [patient.slides_used for patient in summary.patients] == [(A,)]
    written = b"".join(path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file())
    assert b"Roe" not in written
