from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from monitor.conftest import made_slides
from monitor.made_runs import make_run, make_template
from slidescore.cli import main as command_line
from slidescore.errors import InputError


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    place = tmp_path_factory.mktemp("monitored")
    template = make_template(place / "template")
    return [
        str(make_run(template, place / "one", made_slides("a", 20, seed=1))),
        str(make_run(template, place / "two", made_slides("b", 4, factor=0.7, seed=2))),
    ]


def _run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(command_line.cli, ["monitor", *arguments], standalone_mode=False)
    if result.exception:
        raise result.exception
    return result.return_value or 0, result.output


@pytest.fixture(autouse=True)
def no_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """The report is tested where it is written; drawing it takes longer than all else."""
    monkeypatch.setattr("slidescore.monitor.monitor_report._figure", lambda chart, found: None)
    monkeypatch.setattr("slidescore.monitor.monitor_report.write_report", _write_page)


def _write_page(out: Path, **_: object) -> Path:
    out.mkdir(exist_ok=True)
    (out / "report.html").write_text("")
    return out / "report.html"


def test_a_held_batch_is_exit_code_4(runs: list[str], tmp_path: Path) -> None:
    code, said = _run(*runs, "--out", str(tmp_path / "out"))
    assert code == 4
    assert "HOLD" in said
    assert "DAB optical density of the positive control: CUSUM down" in " ".join(said.split())
    assert "not charted: dab_along_degrees" in said
    code, said = _run(runs[0], "--out", str(tmp_path / "out"), "--overwrite")
    assert code == 0
    assert "HOLD" not in said


def test_errors_of_the_table_name_file_row_and_column(runs: list[str], tmp_path: Path) -> None:
    table = tmp_path / "batches.csv"
    table.write_text("file,batch\na_00.svs,x\na_00.svs,y\n")
    with pytest.raises(InputError, match=r"batches\.csv, row 3, column 'file': its slide is in row 2 already"):
        _run(*runs, "--batches", str(table), "--out", str(tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_two_ways_to_say_the_baseline_are_one_too_many(runs: list[str], tmp_path: Path) -> None:
    import click

    with pytest.raises(click.UsageError, match="give one of them"):
        _run(*runs, "--out", str(tmp_path), "--baseline", "one", "--baseline-batches", "1")
