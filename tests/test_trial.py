"""Every command of docs/trial.md, in its order, and what each is said to do."""

from __future__ import annotations

import csv
import re
import subprocess
import sys
from pathlib import Path

import pytest
from scipy.stats import beta

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "docs" / "trial.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^    \.venv/bin/(.+)$", PAGE, re.MULTILINE)
PROGRAMS = {"slidescore": [sys.executable, "-m", "slidescore"], "python": [sys.executable]}

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("trial")


@pytest.fixture(scope="module")
def said(folder: Path) -> dict[str, str]:
    """What each command prints; they run where the folder `runs` of the page is not there yet."""
    printed = {}
    for command in COMMANDS:
        program, *arguments = command.split()
        given = [str(ROOT / each) if each.startswith("sample_slides/") else each for each in arguments]
        done = subprocess.run(
            [*PROGRAMS[program], *given], cwd=folder, capture_output=True, text=True, check=False, timeout=500
        )
        assert done.returncode == 0, f"{command}\n{done.stderr}"
        printed[command] = done.stdout
    return printed


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as handle:
        return list(csv.DictReader(handle))


def test_there_are_fewer_than_ten_commands() -> None:
    assert 5 <= len(COMMANDS) < 10
    assert {command.split()[1] for command in COMMANDS if command.startswith("slidescore")} == {
        "score", "verify", "validate", "cohort", "rescore", "monitor",
    }  # fmt: skip


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_runs_and_says_where_its_report_is(command: str, said: dict[str, str]) -> None:
    _, verb, *_ = command.split()
    words = {"verify": "all is as it was written", "sample_slides/make_trial.py": "22 synthetic slides of 20"}
    assert words.get(verb, "Report: runs/trial") in said[command]


def test_slides_have_intervals_and_every_kind_of_call(folder: Path, said: dict[str, str]) -> None:
    scores = rows(folder / "runs/trial/scores.csv")
    assert len(scores) == 22
    assert {row["call"] for row in scores} == {"HIGH", "LOW", "EQUIVOCAL"}
    for row in scores:
        low, value, high = (float(row[name]) for name in ("h_score_low", "h_score", "h_score_high"))
        assert low <= value <= high
        assert (row["call"] == "EQUIVOCAL") == (low < 150 <= high)
    named = re.findall(r"^    (synthetic_\w+\.tiff) +(\d+) ", PAGE, re.MULTILINE)
    measured = {row["file"]: float(row["h_score"]) for row in scores}
    # Another processor may move an H-score by 1, as the README says.
    assert [name for name, h in named if abs(measured[name] - int(h)) > 2] == []


def test_patients_are_rolled_up_as_the_page_says(folder: Path, said: dict[str, str]) -> None:
    patients = {row["patient_id"]: row for row in rows(folder / "runs/trial/patients.csv")}
    assert len(patients) == 20
    assert (patients["S-04"]["n_slides"], patients["S-04"]["n_used"], patients["S-04"]["n_blocks"]) == ("2", "2", "1")
    assert patients["S-13"]["slides_used"].startswith("synthetic_13a")
    assert patients["S-13"]["n_used"] == "1"
    assert patients["S-17"]["site"] == "primary"
    assert patients["S-17"]["reason"]


def test_readers_agree_with_the_machine_and_with_one_another(folder: Path, said: dict[str, str]) -> None:
    agreement = rows(folder / "runs/trial-readers/tables/agreement.csv")
    icc = {row["comparison"]: float(row["value"]) for row in agreement if row["statistic"] == "icc_2_1"}
    assert set(icc) >= {"machine / reader A", "machine / mean of readers", "reader A / reader B"}
    assert min(icc.values()) > 0.85


def test_the_response_table_has_exact_intervals(folder: Path, said: dict[str, str]) -> None:
    rates = rows(folder / "runs/trial-response/tables/response_rates.csv")
    assert {row["marker_status"] for row in rates} >= {"all", "HIGH", "LOW", "EQUIVOCAL"}
    for row in rates:
        k, n = int(row["responders"]), int(row["known"])
        if n == 0:
            assert row["rate_percent"] == ""
            continue
        low = 0.0 if k == 0 else float(beta.ppf(0.025, k, n - k + 1))
        high = 1.0 if k == n else float(beta.ppf(0.975, k + 1, n - k))
        found = tuple(float(row[name]) for name in ("rate_percent", "low_percent", "high_percent"))
        assert found == pytest.approx((100 * k / n, 100 * low, 100 * high), abs=1e-3)


def test_nothing_is_called_predictive_without_randomisation(folder: Path, said: dict[str, str]) -> None:
    single = (folder / "runs/trial-median/report.html").read_text(encoding="utf-8").lower()
    assert "predictive" not in single
    assert "exploratory" in single
    assert {row["call"] for row in rows(folder / "runs/trial-continuous/scores.csv")} == {""}
