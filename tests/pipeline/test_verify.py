"""A run that nobody touched verifies; any changed byte, and any number that does not follow, is named."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import phantom as ph
from slidescore.assay import LoadedAssay
from slidescore.errors import ModelError, RunFolderBusyError, RunFolderError
from slidescore.pipeline import verify
from slidescore.pipeline.cohort import RunOptions, score_directory
from slidescore.pipeline.export import export_run
from slidescore.pipeline.rescore import rescore
from slidescore.pipeline.verify import Verification, verify_run
from slidescore.pipeline.verify_files import check_files
from slidescore.report.digests import DIGESTS_FILE, seal, write_digests
from slidescore.report.files import read_json, write_bytes, write_json
from slidescore.report.lease import leased


@pytest.fixture(scope="session")
def scored(tmp_path_factory: pytest.TempPathFactory, loaded_assay: LoadedAssay) -> Path:
    """A run of three slides: two cores of a TMA with regions, a field, and a file that is no slide."""
    place = tmp_path_factory.mktemp("verify")
    (place / "in").mkdir()
    (place / "roi").mkdir()
    tma = ph.draw_tma(3, rows=1, columns=2)
    ph.write_pyramid(place / "in/tma.tiff", tma.rgb, tma.mpp, levels=(1, 4))
    (place / "roi/tma.tiff.geojson").write_text(json.dumps(tma.geojson))
    field = ph.draw_phantom(ph.crowded_spec(31, n_cells=250, tissue="irregular", tissue_fraction=0.7))
    ph.write_svs(place / "in/field.svs", field.rgb, field.mpp, levels=(1, 4))
    (place / "in/broken.svs").write_bytes(b"no slide" * 100)
    score_directory(place / "in", place / "run", loaded_assay, options=RunOptions(roi=place / "roi", workers=1))
    return place / "run"


@pytest.fixture
def run(scored: Path, tmp_path: Path) -> Path:
    """A copy to spoil."""
    return Path(shutil.copytree(scored, tmp_path / "run"))


def files_of(run: Path) -> dict[str, bytes]:
    return {path.relative_to(run).as_posix(): path.read_bytes() for path in sorted(run.rglob("*")) if path.is_file()}


def folder_of(run: Path, stem: str) -> Path:
    [folder] = run.glob(f"slides/{stem}-*")
    return folder


def reseal(result: Path, content: dict[str, Any]) -> None:
    """Write a result.json and the list of digests as a forger would, who knows how."""
    write_bytes(result, seal({key: value for key, value in content.items() if key != "seal"}))
    write_digests(result.parents[2])


def replace_in(path: Path, old: bytes, new: bytes) -> None:
    content = path.read_bytes()
    assert old in content
    path.write_bytes(content.replace(old, new, 1))
    write_digests(path.parents[0] if path.parent.parent.name != "slides" else path.parents[2])


def test_an_untouched_run_verifies_and_nothing_is_written(run: Path) -> None:
    before = files_of(run)
    found = verify_run(run)
    assert (found.differences, found.notes, found.n_slides) == ((), (), 2)
    assert found.n_files == len(before) - 1
    assert found.digest == hashlib.sha256(before[DIGESTS_FILE]).hexdigest()
    assert files_of(run) == before


def test_a_copy_without_its_slides_verifies(scored: Path, tmp_path: Path) -> None:
    assert verify_run(shutil.copytree(scored, tmp_path / "archive")).differences == ()


def spoilt_bytes(content: bytes, rng: np.random.Generator) -> Iterator[bytes]:
    """Flip bits of the first, the last and some other byte; take a byte away and add one."""
    for at in (0, len(content) - 1, *rng.integers(0, len(content), 3)):
        changed = bytearray(content)
        changed[at] ^= int(rng.integers(1, 256))
        yield bytes(changed)
    yield content[:-1]
    yield content + b"\n"


def test_a_changed_byte_in_any_file_is_noticed(run: Path) -> None:
    rng = np.random.default_rng(7)
    names = list(files_of(run))
    assert len(names) == 6 + 2 * 6
    for name in names:
        whole = (run / name).read_bytes()
        for changed in spoilt_bytes(whole, rng):
            (run / name).write_bytes(changed)
            found = check_files(run)
            assert any(line.startswith(f"{name}: ") for line in found.differences), (name, found)
        said = verify_run(run).differences
        assert any(line.startswith(f"{name}: ") for line in said)
        assert not any("\n" in line for line in said)
        (run / name).write_bytes(whole)
    assert check_files(run).differences == []


def test_spoilt_tables_and_records_are_differences_and_never_errors(run: Path) -> None:
    """What is read after its bytes were found wrong can hold anything."""
    rng = np.random.default_rng(8)
    result = f"slides/{folder_of(run, 'field').name}/result.json"
    cells = result.replace("result.json", "cells.parquet")
    for name in ("run.json", "scores.csv", "regions.csv", result, cells):
        whole = (run / name).read_bytes()
        for changed in (b"", whole[: len(whole) // 2], b"{}", *list(spoilt_bytes(whole, rng))[2:4]):
            (run / name).write_bytes(changed)
            if name != "run.json":
                # Found by what they say, not by their digests; a path in run.json says nothing that can be checked.
                write_digests(run)
            assert verify_run(run).differences, (name, changed[:40])
        (run / name).write_bytes(whole)


def test_a_change_is_said_once(run: Path) -> None:
    for path in (run / "report.html", folder_of(run, "field") / "overlay.tiff", run / "timings.csv"):
        path.write_bytes(path.read_bytes() + b"\n")
    assert [line.partition(":")[0].rpartition("/")[2] for line in verify_run(run).differences] == [
        "report.html",
        "overlay.tiff",
        "timings.csv",
    ]


def test_a_table_edited_together_with_its_digests_does_not_follow(run: Path) -> None:
    row = read_json(folder_of(run, "field") / "result.json")["scores"]
    replace_in(run / "scores.csv", f"{row['h_score']:.7g}".encode(), b"299.5")
    [line] = verify_run(run).differences
    assert line.startswith(f"scores.csv: {row['slide_id']}: h_score is 299.5, and follows as {row['h_score']:.7g}")


def test_an_edited_result_does_not_follow_from_its_cells(run: Path) -> None:
    result = folder_of(run, "field") / "result.json"
    record = read_json(result)
    record["scores"]["n3"] += 5
    record["qc"]["flags"][0]["level"] = "info"
    record["schemes"]["irs"]["cell"]["value"] = 11.0
    record["uncertainty"]["squares"][0][2] += 1
    reseal(result, record)
    said = "\n".join(verify_run(run).differences)
    assert "scores.n3 is" in said
    assert "schemes.irs.cell.value is 11.0" in said
    assert "uncertainty.squares[0][2] is" in said
    assert "qc.flags[0].level is info" in said


def test_edited_cells_give_other_scores(run: Path) -> None:
    folder = folder_of(run, "field")
    table = pq.read_table(folder / "cells.parquet")
    at = table.schema.get_field_index("dab_od_cytoplasm")
    raised = pa.array(np.full(table.num_rows, 0.9, np.float32))
    pq.write_table(table.set_column(at, table.schema.field(at), raised), folder / "cells.parquet")
    record = read_json(folder / "result.json")
    record["digests"]["cells.parquet"] = hashlib.sha256((folder / "cells.parquet").read_bytes()).hexdigest()
    reseal(folder / "result.json", record)
    said = "\n".join(verify_run(run).differences)
    assert "scores.h_score is" in said
    assert "follows as 300" in said


def test_an_edited_assay_gives_other_scores(run: Path) -> None:
    replace_in(run / "run.json", b"thresholds: [0.2, 0.4, 0.6]", b"thresholds: [0.1, 0.4, 0.6]")
    said = "\n".join(verify_run(run).differences)
    assert "run.json: names the assay" in said
    assert "scores." in said


def test_an_edited_region_does_not_follow(run: Path) -> None:
    lines = (run / "regions.csv").read_text().splitlines(keepends=True)
    (run / "regions.csv").write_text("".join([*lines[:2], lines[2].replace("scored", "failed")]))
    write_digests(run)
    said = verify_run(run).differences
    assert len(said) == 1
    assert "status is failed, and follows as" in said[0]
    (run / "regions.csv").write_text("".join(lines[:2]))
    write_digests(run)
    assert ["has 1 regions, and 2 follow" in line for line in verify_run(run).differences] == [True]


def test_the_row_of_a_failed_slide_holds_no_score(run: Path) -> None:
    assert "broken.svs,,failed" in (run / "scores.csv").read_text()
    [line] = [line for line in (run / "scores.csv").read_text().splitlines() if "broken.svs" in line]
    cells = line.split(",")
    first_empty = cells.index("", cells.index("failed") + 1)
    cells[first_empty] = "HIGH"
    replace_in(run / "scores.csv", line.encode(), ",".join(cells).encode())
    said = verify_run(run).differences
    assert any("should be empty, for the slide failed" in each for each in said), said


def test_a_missing_and_a_doubled_row_are_noticed(run: Path) -> None:
    lines = (run / "scores.csv").read_text().splitlines(keepends=True)
    (run / "scores.csv").write_text("".join([*lines[:-1], lines[-2]]))
    write_digests(run)
    said = "\n".join(verify_run(run).differences)
    assert "has 0 rows of" in said
    assert "has 2 rows of" in said


def test_missing_and_foreign_files_are_named(run: Path) -> None:
    folder = folder_of(run, "field")
    (folder / "tiles.parquet").unlink()
    (run / "thesis.txt").write_text("mine")
    (folder / "notes.md").write_text("mine")
    (run / "exports").mkdir()
    (run / "exports" / "mine.csv").write_text("mine")
    said = sorted(verify_run(run).differences)
    assert [line.partition(": ")[2] for line in said if "mine" in line or "thesis" in line or "notes" in line] == [
        "is no export of a slide of this run",
        "does not belong to the run",
        "does not belong to the run",
    ]
    assert f"slides/{folder.name}/tiles.parquet: is missing" in said
    assert len(said) == 4


def test_an_export_of_earlier_results_is_noticed(run: Path) -> None:
    list(export_run(run, "geojson", run / "exports", compress=True))
    [path, _] = list(export_run(run, "csv", run / "exports"))
    (run / "exports" / f".{path.name}.12.tmp").write_bytes(b"half")
    found = verify_run(run)
    assert (found.differences, len(found.notes)) == ((), 1)
    path.write_bytes(path.read_bytes().replace(b",Tumor,1\n", b",Tumor,3\n", 1))
    [line] = verify_run(run).differences
    assert line == f"exports/{path.name}: is not what 'slidescore export' writes now"


def test_a_run_that_was_stopped_hard_says_so(run: Path) -> None:
    (run / DIGESTS_FILE).unlink()
    (run / ".lease").write_text("{}")
    (folder_of(run, "broken") / ".work").mkdir(exist_ok=True)
    (folder_of(run, "broken") / ".work" / "block").write_bytes(b"tiles")
    (run / ".scores.csv.123.tmp").write_bytes(b"half")
    found = verify_run(run)
    assert [line.partition(":")[0] for line in found.differences] == [DIGESTS_FILE]
    assert "stopped hard" in found.differences[0]
    assert len(found.notes) == 3
    assert found.n_slides == 2


def test_a_run_that_was_stopped_says_how_many_slides_it_lacks(scored: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(scored, tmp_path / "run"))
    old = next(line for line in (run / "scores.csv").read_text().splitlines() if "broken.svs" in line)
    reason = old[old.index("failed,") + 7 : old.index(",", old.index("failed,") + 7)]
    replace_in(run / "scores.csv", f"failed,{reason}".encode(), b"failed,not reached")
    assert any("is not finished: 1 slides were not reached" in line for line in verify_run(run).differences)


def test_a_result_of_another_run_is_noticed(scored: Path, run: Path) -> None:
    """A folder whose digests are right in themselves does not pass for another run's."""
    folder = folder_of(run, "field")
    record = read_json(folder / "result.json")
    record["versions"]["slidescore"] = "0.0.1"
    reseal(folder / "result.json", record)
    assert "made under another assay, model or version" in "\n".join(verify_run(run).differences)
    shutil.rmtree(folder)
    write_digests(run)
    said = verify_run(run).differences
    assert [line.partition(": ")[2] for line in said if "result.json" in line] == [
        "is missing, and scores.csv has a result of the slide"
    ]


def test_results_of_an_earlier_command_are_left_alone_and_said(run: Path) -> None:
    earlier = folder_of(run, "field")
    shutil.copytree(earlier, earlier.parent / "earlier-01234567")
    write_digests(run)
    found = verify_run(run)
    assert found.differences == ()
    assert found.notes == ("slides/earlier-01234567 is of an earlier command, and no slide of this run",)


def test_other_libraries_and_another_model_are_notes(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An archive outlives the installation that wrote it."""
    monkeypatch.setattr(verify, "library_versions", lambda: {"slidescore": "9", "numpy": "9.9"})
    found = verify_run(run)
    assert (found.differences, found.n_slides) == ((), 2)
    assert "numpy" in found.notes[0]
    assert "(here 9.9)" in found.notes[0]
    monkeypatch.setattr(verify, "_segmenter_digest", lambda assay: "classical-2")
    found = verify_run(run)
    assert found.differences == ()
    assert found.notes[0] == "the run was made with model classical-1, and the one installed here is classical-2"

    def gone(assay: object) -> str:
        raise ModelError("is missing")

    monkeypatch.setattr(verify, "_segmenter_digest", gone)
    found = verify_run(run)
    assert found.differences == ()
    assert "classical-1 is not installed here" in found.notes[0]


def test_a_result_of_a_slide_that_is_said_to_have_failed_is_noticed(run: Path) -> None:
    """A score must not be lost, nor come back in a rescore, because its row was made a failed one."""
    lines = (run / "scores.csv").read_text().splitlines(keepends=True)
    failed = next(line for line in lines if "broken.svs" in line).split(",")
    folder = folder_of(run, "field")
    at = next(number for number, line in enumerate(lines) if line.startswith(folder.name))
    lines[at] = ",".join([folder.name, "field.svs", *failed[2:]])
    (run / "scores.csv").write_text("".join(lines))
    write_digests(run)
    assert verify_run(run).differences == (
        f"slides/{folder.name}/result.json: is there, and scores.csv says that the slide failed",
    )
    (folder / "result.json").unlink()
    write_digests(run)
    found = verify_run(run)
    assert found.differences == ()
    assert found.notes == (f"slides/{folder.name} holds files of an earlier result, and no result",)


def test_a_region_of_a_failed_slide_does_not_follow(run: Path) -> None:
    lines = (run / "regions.csv").read_text().splitlines(keepends=True)
    broken = next(line for line in (run / "scores.csv").read_text().splitlines() if "broken.svs" in line).split(",")[0]
    (run / "regions.csv").write_text("".join([*lines, broken + lines[1][lines[1].index(",") :]]))
    write_digests(run)
    assert verify_run(run).differences == (f"regions.csv: {broken}: has 1 regions, and 0 follow",)


def test_a_result_of_an_older_version_is_told_from_a_changed_one(run: Path) -> None:
    result = folder_of(run, "field") / "result.json"
    write_json(result, {key: value for key, value in read_json(result).items() if key != "seal"})
    (run / DIGESTS_FILE).unlink()
    said = verify_run(run).differences
    assert [line.partition(": ")[2] for line in said] == [
        "is missing: the run was stopped hard, or is of an older version",
        "has no seal: it is of an older version, or was changed since it was written",
    ]


def test_a_rescored_run_verifies(scored: Path, tmp_path: Path) -> None:
    text = read_json(scored / "run.json")["assay"]["text"].replace("[0.2, 0.4, 0.6]", "[0.15, 0.4, 0.6]")
    (tmp_path / "other.yaml").write_text(text)
    rescore(scored, tmp_path / "rescored", tmp_path / "other.yaml")
    found = verify_run(tmp_path / "rescored")
    assert (found.differences, found.n_slides) == ((), 2)
    assert not (tmp_path / "rescored" / "timings.csv").exists()


def test_changed_measurements_are_neither_rescored_nor_exported(run: Path, tmp_path: Path) -> None:
    path = folder_of(run, "field") / "cells.parquet"
    path.write_bytes(path.read_bytes() + b"\n")
    with pytest.raises(RunFolderError, match="was changed since it was written"):
        list(export_run(run, "csv", tmp_path / "csv"))
    with pytest.raises(RunFolderError, match="was changed since it was written"):
        rescore(run, tmp_path / "rescored")


def test_a_changed_result_is_scored_again_by_the_same_command(
    run: Path, scored: Path, loaded_assay: LoadedAssay
) -> None:
    result = folder_of(run, "field") / "result.json"
    result.write_bytes(result.read_bytes().replace(b'"status": "scored"', b'"status": "gained"'))
    options = RunOptions(roi=scored.parent / "roi", workers=1)
    summary = score_directory(scored.parent / "in", run, loaded_assay, options=options)
    assert summary.n_skipped == 1
    assert verify_run(run).differences == ()
    assert result.read_bytes() == (folder_of(scored, "field") / "result.json").read_bytes()


def test_what_is_no_run_and_what_is_in_use_is_refused(run: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for place in (tmp_path / "empty", tmp_path / "nowhere"):
        with pytest.raises(RunFolderError, match="not a run folder"):
            verify_run(place)
    with leased(run), pytest.raises(RunFolderBusyError, match=f"pid {os.getpid()}"):
        verify_run(run)


def test_a_run_json_of_odd_parts_is_a_difference_and_no_error(run: Path) -> None:
    content = read_json(run / "run.json")
    for part in ("model", "versions", "slides"):
        write_json(run / "run.json", content | {part: 5})
        write_digests(run)
        assert verify_run(run).differences, part


@pytest.mark.parametrize(
    ("part", "value"),
    [
        ("slide", {"mpp": 0.0}),
        ("slide", 5),
        ("region_areas", {"a": "b"}),
        ("colours", {}),
        ("scores", None),
        ("versions", "\x1b[2J\n" * 99),
        ("ledger", {"scored": "x" * 9999}),
    ],
)
def test_a_sealed_result_that_holds_anything_is_a_difference_and_no_error(run: Path, part: str, value: Any) -> None:
    result = folder_of(run, "field") / "result.json"
    record = read_json(result)
    merged = record[part] | value if isinstance(record[part], dict) and isinstance(value, dict) and value else value
    reseal(result, record | {part: merged})
    said = [line for line in verify_run(run).differences if "result.json: " in line]
    assert said
    assert all(len(line) < 400 and line.isprintable() for line in said)


def test_a_slide_without_tissue_verifies(tmp_path: Path, loaded_assay: LoadedAssay) -> None:
    (tmp_path / "in").mkdir()
    ph.write_pyramid(tmp_path / "in/empty.tiff", np.full((600, 600, 3), 240, np.uint8), 0.5, levels=(1, 4))
    score_directory(tmp_path / "in", tmp_path / "run", loaded_assay, options=RunOptions(workers=1))
    assert "not_evaluable,no tissue" in (tmp_path / "run/scores.csv").read_text()
    found = verify_run(tmp_path / "run")
    assert (found.differences, found.notes, found.n_slides) == ((), (), 1)


@pytest.mark.parametrize("content", [{}, {"assay": {"text": "name: old"}}, {"assay": 5}])
def test_a_run_json_of_something_else_is_a_difference(run: Path, content: dict[str, Any]) -> None:
    write_json(run / "run.json", content)
    write_digests(run)
    found: Verification = verify_run(run)
    assert [line.partition(":")[0] for line in found.differences] == ["run.json"]
    assert found.n_slides == 0
