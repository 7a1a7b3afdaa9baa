"""`slidescore cohort`: options, what the terminal shows, and errors in one line."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from cohort.made_trial import made_run, made_trial, write_clinical
from slidescore.cli.cohort import cohort
from slidescore.cli.main import cli, main
from slidescore.cohort import association
from slidescore.errors import InputError, RunFolderError
from slidescore.report import analysis_page


@pytest.fixture
def clinical(tmp_path, monkeypatch) -> Path:
    """A clinical table of 60 patients in two arms, of a run that is made up; figures are not drawn."""
    scores, rows = made_trial(60)
    rows = [{name: row[name] for name in ("patient_id", "arm", "response", "line")} for row in rows]
    monkeypatch.setattr(association, "read_patients", lambda run: tuple(scores))
    monkeypatch.setattr(association, "read_run_scores", lambda run: made_run(scores))
    monkeypatch.setattr(analysis_page, "_write_figure", lambda folder, figure: "")
    return write_clinical(tmp_path / "clinical.csv", rows)


def run(clinical: Path, *options: str, out: str = "out"):
    command = ["run", "--clinical", str(clinical), "--out", str(clinical.parent / out), *options]
    return CliRunner().invoke(cohort, command, catch_exceptions=False)


def test_a_randomised_cohort(clinical):
    done = run(clinical, "--randomised", "--control", "eribulin", "--strata", "line")
    assert done.exit_code == 0
    assert "treatment x marker, per 50" in done.output
    assert "PROVISIONAL cut-off" in done.output
    assert "HIGH" in done.output
    assert (clinical.parent / "out" / "report.html").is_file()
    assert (clinical.parent / "out" / "tables" / "models.csv").is_file()


def test_a_single_arm_and_a_cutoff_of_the_cohort(clinical):
    done = run(clinical, "--cutoff", "median", "--search-cutoff")
    assert done.exit_code == 0
    assert "data-derived, exploratory" in done.output
    assert "predict" not in done.output.lower()
    assert (clinical.parent / "out" / "tables" / "cutoff_search.csv").is_file()


def test_a_report_is_not_written_over_unless_asked(clinical):
    assert run(clinical).exit_code == 0
    with pytest.raises(RunFolderError, match="--overwrite"):
        run(clinical)
    assert run(clinical, "--overwrite").exit_code == 0


def test_a_cutoff_that_is_no_cutoff(clinical):
    done = run(clinical, "--cutoff", "meadian")
    assert done.exit_code == 2
    assert "'meadian' is none of assay, median, tertile or a number" in done.output


def test_errors_are_one_line_with_file_row_and_column(clinical, monkeypatch, capsys):
    text = clinical.read_text().splitlines()
    clinical.write_text("\n".join([*text, text[4]]) + "\n")
    monkeypatch.setattr(
        sys, "argv", ["slidescore", "cohort", "run", "--clinical", str(clinical), "--out", str(clinical.parent / "out")]
    )
    with pytest.raises(SystemExit) as caught:
        main()
    assert caught.value.code == 2
    said = capsys.readouterr().err.strip()
    assert "\n" not in said
    assert "clinical.csv, row 62, column 'patient_id': 'P-0003' stands in row 5 already" in said


def test_missing_packages_are_named(clinical, monkeypatch):
    monkeypatch.setitem(sys.modules, "lifelines", None)
    with pytest.raises(InputError, match=r"pip install 'slidescore\[stats\]'"):
        run(clinical)


def test_the_verb_is_known_and_helps():
    done = CliRunner().invoke(cli, ["cohort", "--help"])
    assert done.exit_code == 0
    for option in ("--clinical", "--randomised", "--control", "--strata", "--cutoff", "--search-cutoff", "--overwrite"):
        assert option in done.output
