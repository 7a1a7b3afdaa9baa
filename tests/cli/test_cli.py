"""The command line as a user meets it: one line for every mistake, and the right exit code."""

from __future__ import annotations

import csv
import gzip
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import phantom as ph
from classical_assay import classical_text
from slidescore.cli.main import VERBS
from slidescore.cli.score import score
from slidescore.pipeline.cohort import RunOptions

SLIDESCORE = [sys.executable, "-m", "slidescore"]


def run(*arguments: str | Path, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*SLIDESCORE, *map(str, arguments)], capture_output=True, text=True, check=False, cwd=cwd)


@pytest.fixture(scope="module")
def slide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    field = ph.draw_phantom(ph.crowded_spec(40, n_cells=250, tissue="irregular", tissue_fraction=0.7))
    return ph.write_pyramid(tmp_path_factory.mktemp("cli") / "slide.tiff", field.rgb, field.mpp, levels=(1, 4))


@pytest.fixture(scope="module")
def scored(slide: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("cli_run") / "run"
    done = run("score", slide, "--out", out, "--workers", "1")
    assert done.returncode == 0, done.stderr
    return out


def test_help_lists_every_verb_and_imports_nothing_heavy() -> None:
    code = (
        "import sys\n"
        "from slidescore.cli.main import VERBS, main\n"
        "for arguments in ([], *([verb] for verb in VERBS)):\n"
        "    sys.argv = ['slidescore', *arguments, '--help']\n"
        "    try: main()\n"
        "    except SystemExit: pass\n"
        "heavy = {'torch', 'numpy', 'numba', 'cv2', 'pyarrow', 'openslide', 'matplotlib', 'pandas', 'lifelines'}\n"
        "print(sorted(heavy & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
    assert all(verb in done.stdout for verb in VERBS)


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help(verb: str) -> None:
    done = run(verb, "--help")
    assert done.returncode == 0
    assert "Usage" in done.stdout


def test_scoring_prints_a_table_and_where_the_report_is(slide: Path, tmp_path: Path) -> None:
    done = run("score", slide, "--out", tmp_path / "run", "--overlay-mpp", "none")
    assert done.returncode == 0
    assert "slide.tiff" in done.stdout
    assert "PROVISIONAL" in done.stdout
    assert str(tmp_path / "run" / "report.html") in done.stdout
    assert "[1/1] slide.tiff: H " in done.stderr
    assert not list((tmp_path / "run").rglob("overlay.tiff"))


def test_a_failed_slide_gives_exit_3_and_its_reason(slide: Path, tmp_path: Path) -> None:
    bad = tmp_path / "bad.svs"
    bad.write_bytes(b"nothing" * 100)
    done = run("score", slide, bad, "--out", tmp_path / "run")
    assert done.returncode == 3
    assert "1 of 2 slides failed:\n  bad.svs: " in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("score", "SLIDE"), "--out"),
        (("score", "SLIDE", "--out", "OUT", "--assay", "cxcr5"), "did you mean 'cxcr4'?"),
        (("score", "SLIDE", "--out", "OUT", "--mpp", "9"), "--mpp"),
        (("score", "SLIDE", "--out", "OUT", "--device", "gpu"), "use auto, cpu, cuda or cuda:N"),
        (("score", "SLIDE", "--out", "OUT", "--assay", "classical.yaml", "--device", "cuda:99"), "--device cuda:99"),
        (("score", "SLIDE", "--out", "OUT", "--device", "cpu,cpu"), "cpu is named twice"),
        (("score", "SLIDE", "--out", "OUT", "--overlay-mpp", "fine"), "um per pixel"),
        (("score", "SLIDE", "--out", "OUT", "--roi", "nowhere"), "nowhere"),
        (("score", "nowhere", "--out", "OUT"), "nowhere"),
        (("score", "SLIDE", "--out", "SLIDE"), "is a file"),
        (("rescore", "nowhere", "--out", "OUT", "--assay", "cxcr4"), "not a run folder"),
        (("export", "nowhere", "--to", "csv"), "not a run folder"),
        (("score", "SLIDE", "--out", "OUT", "--pseudonymize", "OUT/key.csv"), "lies in a run folder"),
        (("score", "SLIDE", "--out", "OUT", "--pseudonymize", "SLIDE"), "no key file"),
        (("verify", "nowhere"), "not a run folder"),
        (("assay", "check", "nope"), "known: cxcr4"),
        (("assay", "check", "parker2012"), "a fold change of a Western blot"),
        (("score", "SLIDE", "--out", "OUT", "--assay", "cxcr4-chu2010"), "a fold change of a Western blot"),
        (("score", "SLIDE", "--out", "OUT", "--assay", "cxcr4-shim2018"), "0 to 12, is inferred (take --accept-"),
        (("scroe",), "No such command"),
    ],
)
def test_a_wrong_command_is_one_line_and_exit_2(
    slide: Path, tmp_path: Path, arguments: tuple[str, ...], message: str
) -> None:
    places = {"SLIDE": str(slide), "OUT": str(tmp_path / "out")}
    (tmp_path / "classical.yaml").write_text(classical_text())
    words = [places.get(word, word.replace("OUT/", f"{places['OUT']}/")) for word in arguments]
    done = run(*words, cwd=tmp_path)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    own = [line for line in done.stderr.splitlines() if line.startswith(("slidescore:", "Error:"))]
    assert len(own) == 1


def test_a_run_folder_of_another_assay_is_exit_2(scored: Path, slide: Path) -> None:
    done = run("score", slide, "--out", scored, "--assay", "cxcr4-any-positive")
    assert done.returncode == 2
    assert "another assay" in done.stderr


def test_a_busy_run_folder_is_exit_75(scored: Path, slide: Path) -> None:
    import fcntl

    lock = scored / ".lock"
    with lock.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        done = run("score", slide, "--out", scored)
    lock.unlink()
    assert done.returncode == 75
    assert "in use" in done.stderr


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_stopped_run_says_so_and_goes_on_later(slide: Path, tmp_path: Path, sent: signal.Signals, code: int) -> None:
    out = tmp_path / "run"
    command = [*SLIDESCORE, "score", str(slide), "--out", str(out)]
    # A shell starts background jobs with Ctrl-C ignored, and a program must leave that so; the test wants it heard.
    process = subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)
    )
    deadline = time.monotonic() + 60
    while not (out / "run.json").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(sent)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == code, stderr
    assert "run the same command again" in stderr
    assert "Traceback" not in stderr
    with (out / "scores.csv").open(newline="") as handle:
        [row] = csv.DictReader(handle)
    assert (row["status"], row["reason"]) == ("failed", "not reached")
    again = run("score", slide, "--out", out)
    assert again.returncode == 0, again.stderr


def test_info_shows_how_a_slide_would_be_read(slide: Path, tmp_path: Path) -> None:
    done = run("info", slide)
    assert done.returncode == 0
    assert "0.5 x 0.5 um/px stated" in done.stdout
    assert "averaged to 0.5 um/px" in done.stdout
    missing = run("info", tmp_path / "gone.svs")
    assert missing.returncode != 0
    assert len(missing.stderr.strip().splitlines()) == 1
    assert str(tmp_path) not in missing.stderr


def test_assays_are_listed_shown_and_checked(tmp_path: Path) -> None:
    assert "cxcr4-any-positive" in run("assay", "list").stdout
    shown = run("assay", "show", "cxcr4").stdout
    copy = tmp_path / "mine.yaml"
    copy.write_text(shown)
    checked = run("assay", "check", copy)
    assert checked.returncode == 0
    assert "h_score cytoplasm >= 150 (provisional)" in checked.stdout
    assert "meaning of HIGH" in run("assay", "check", "cxcr4-shim2018").stdout
    assert "no cut-off, nothing is called" in run("assay", "list").stdout
    copy.write_text(shown.replace("  halo_um:", "  hallo_um:"))
    wrong = run("assay", "check", copy)
    assert wrong.returncode == 2
    assert wrong.stderr == ("slidescore: error: mine.yaml: unknown key 'tiles.hallo_um' (did you mean 'halo_um'?)\n")


def test_rescore_and_export_work_from_a_run(scored: Path, tmp_path: Path) -> None:
    done = run("rescore", scored, "--out", tmp_path / "any", "--assay", "cxcr4-any-positive")
    assert done.returncode == 0
    assert "percent_positive cytoplasm >= 1" in done.stdout
    table = Path(run("export", scored, "--to", "csv", "--out", tmp_path / "csv").stdout.strip())
    with table.open(newline="") as handle:
        rows = list(csv.DictReader(handle))
    packed = Path(run("export", scored, "--to", "geojson", "--gzip", "--out", tmp_path / "geo").stdout.strip())
    features = json.loads(gzip.decompress(packed.read_bytes()))["features"]
    assert len(rows) == len(features) > 100
    with (scored / "scores.csv").open(newline="") as handle:
        [score] = csv.DictReader(handle)
    for k in range(4):
        assert sum(row["bin"] == str(k) and row["class"] == "Tumor" for row in rows) == int(score[f"n{k}"])


def test_an_unverified_cutoff_is_accepted_each_time_and_says_what_high_meant(scored: Path, tmp_path: Path) -> None:
    refused = run("rescore", scored, "--out", tmp_path / "shim", "--assay", "cxcr4-shim2018")
    assert (refused.returncode, (tmp_path / "shim").exists()) == (2, False)
    assert "the cut-off irs cytoplasm > 7 is unverified" in refused.stderr
    command = ("rescore", scored, "--out", tmp_path / "shim", "--assay", "cxcr4-shim2018", "--accept-unverified")
    done = run(*command)
    assert done.returncode == 0
    assert "high meant better recurrence-free survival in Shim 2018" in done.stderr
    assert "Calls are UNVERIFIED" in done.stdout
    with (tmp_path / "shim" / "scores.csv").open(newline="") as handle:
        [row] = csv.DictReader(handle)
    assert (row["call_status"], row["cutoff"]) == ("unverified", "irs cytoplasm > 7")
    assert json.loads((tmp_path / "shim" / "run.json").read_text())["accept_unverified"] is True
    assert run("rescore", tmp_path / "shim", "--out", tmp_path / "again", "--tumor-model", "x").returncode == 2
    assert run("verify", tmp_path / "shim").returncode == 0


def test_without_a_cutoff_the_table_calls_nothing(scored: Path, tmp_path: Path) -> None:
    done = run("rescore", scored, "--out", tmp_path / "plain", "--assay", "cxcr4-continuous")
    assert done.returncode == 0
    assert "no cut-off" in done.stdout
    assert "PROVISIONAL" not in done.stdout
    with (tmp_path / "plain" / "scores.csv").open(newline="") as handle:
        [row] = csv.DictReader(handle)
    assert (row["status"], row["call"], row["call_status"], row["cutoff"], row["p_high"]) == ("scored", "", "", "", "")
    assert run("verify", tmp_path / "plain").returncode == 0


def test_verify_passes_a_run_and_lists_what_was_changed(scored: Path, tmp_path: Path) -> None:
    done = run("verify", scored)
    assert done.returncode == 0, done.stdout
    assert "1 slides scored again" in done.stdout
    assert "all is as it was written" in done.stdout
    copy = Path(shutil.copytree(scored, tmp_path / "run"))
    table = copy / "scores.csv"
    table.write_text(table.read_text().replace(",HIGH,", ",LOW,"))
    (copy / "notes.txt").write_text("mine")
    done = run("verify", copy)
    assert done.returncode == 3
    lines = done.stdout.splitlines()
    assert "notes.txt: does not belong to the run" in lines
    assert "scores.csv: was changed since it was written" in lines
    assert any("call is LOW, and follows as HIGH" in line for line in lines)
    assert lines[-1].endswith(f"{len(lines) - 1} differences.")


def test_a_run_of_pseudonyms_takes_no_names(slide: Path, tmp_path: Path) -> None:
    (tmp_path / "classical.yaml").write_text(classical_text())
    score = ("score", slide, "--assay", tmp_path / "classical.yaml", "--overlay-mpp", "none")
    key, out = tmp_path / "key.csv", tmp_path / "run"
    done = run(*score, "--out", out, "--pseudonymize", key)
    assert done.returncode == 0, done.stderr
    assert "[1/1] slide-0001: H " in done.stderr
    assert "slide.tiff" not in done.stdout + done.stderr
    named = run(*score, "--out", out)
    assert named.returncode == 2
    assert "holds results under pseudonyms" in named.stderr
    assert "slide.tiff" in key.read_text()
    run(*score, "--out", tmp_path / "named")
    for arguments, said in (
        ((*score, "--out", tmp_path / "named", "--pseudonymize", key, "--overwrite"), "holds results under names"),
        (("rescore", tmp_path / "named", "--out", tmp_path / "r", *score[2:4], "--key", key), "--key"),
    ):
        done = run(*arguments)
        assert done.returncode == 2
        assert said in done.stderr


def test_doctor_scores_a_drawn_slide() -> None:
    done = run("doctor")
    assert done.returncode == 0, done.stdout
    assert "144 of 144 cells, H 100.0 of 100" in done.stdout
    assert "BAD" not in done.stdout
    for name in ("torch", "CPU", "GPU", "assay cxcr4"):
        assert f"ok   {name}" in done.stdout


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no pseudo-terminal here")
def test_a_terminal_gets_bars(slide: Path, tmp_path: Path) -> None:
    import pty

    control, terminal = pty.openpty()
    command = [*SLIDESCORE, "score", str(slide), "--out", str(tmp_path / "run")]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=terminal)
    os.close(terminal)
    seen = b""
    try:
        while chunk := os.read(control, 65536):
            seen += chunk
    except OSError:
        pass
    finally:
        os.close(control)
    assert process.wait() == 0
    assert b"slides" in seen
    assert b"slide.tiff: H " in seen


def test_what_is_not_said_is_the_same_on_the_command_line_and_in_python() -> None:
    """The command line repeats these numbers, so that it need not load what computes."""
    defaults = {parameter.name: parameter.default for parameter in score.params}
    options = RunOptions()
    assert (defaults["timeout"], defaults["slide_limit"]) == (options.timeout_s, options.slide_limit_s)
    assert (float(defaults["overlay_mpp"]), defaults["device"]) == (options.overlay_mpp, options.device)
