"""From bytes to flags: what a damaged or unlisted slide comes to, and that a changed one is never opened."""

from __future__ import annotations

import csv
import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

import phantom as ph
from slidescore.assay import Assay, LoadedAssay
from slidescore.errors import InputError, SlideOpenError
from slidescore.geometry import Region
from slidescore.pipeline import slide as story
from slidescore.pipeline.analysis import analyze_slide
from slidescore.pipeline.cohort import RunOptions, score_directory
from slidescore.pipeline.integrity import checked_notes, checked_status, gap_border_fraction
from slidescore.pipeline.judge import SlideIdentity, SlideResult, judge_slide
from slidescore.pipeline.segmenters import plan_segmenter
from slidescore.slide import ArrayReader, plan_grid
from slidescore.slide.checksums import Checked
from slidescore.slide.cross_level import EDGE_SHARE, LEAST_LIMIT
from slidescore.slide.reader import with_remarks

MPP = 0.5

Change = Callable[..., Any]


def small(assay: Assay, change: Change) -> Assay:
    """An assay of small tiles, so that a slide has many."""
    made: Assay = change(assay, {"tiles.core_px": 256})
    return made


def judged(assay: Assay, level0: np.ndarray, *levels: np.ndarray, **facts: Any) -> SlideResult:
    analysis = analyze_slide(lambda: ArrayReader(level0, mpp=MPP, levels=levels, **facts), assay)
    analysis.facts.update(annotations=None, notes=[])
    return judge_slide(analysis, assay, SlideIdentity("s", "s"))


def coarse(rgb: np.ndarray) -> np.ndarray:
    return cv2.resize(rgb, (rgb.shape[1] // 4, rgb.shape[0] // 4), interpolation=cv2.INTER_AREA)


def flags(result: SlideResult) -> dict[str, dict[str, str]]:
    return {flag["name"]: flag for flag in result.record["qc"]["flags"]}


def test_a_whole_slide_says_what_was_compared(assay: Assay, island: ph.Phantom) -> None:
    result = judged(assay, island.rgb, coarse(island.rgb))
    integrity = result.record["integrity"]
    assert integrity["status"] == "unverified"
    assert integrity["remarks"] == []
    assert integrity["gap_border_fraction"] == 0.0
    levels = integrity["levels"]
    assert (levels["verdict"], levels["scored"], levels["against"]) == ("compared", 0, 1)
    assert (levels["n_tiles_differ"], levels["n_glass_differ"]) == (0, 0)
    assert levels["limit"] == LEAST_LIMIT
    assert levels["edge_share"] == pytest.approx(EDGE_SHARE * 4 * MPP)
    assert not {"levels_differ", "file_inconsistent", "cut_off_by_gap"} & set(flags(result))
    assert judged(assay, island.rgb).record["integrity"]["levels"]["verdict"] == "one level"


def test_a_damaged_tile_is_left_out_and_says_so(assay: Assay, change: Change, island: ph.Phantom) -> None:
    """Colours that another level contradicts are never measured, here or at the borders of the tiles around."""
    spoilt = island.rgb.copy()
    tissue = np.argwhere(island.truth.tissue).mean(axis=0).astype(int)
    y, x = (int(each) // 64 * 64 for each in tissue)
    spoilt[y : y + 64, x : x + 64] = spoilt[y : y + 64, x : x + 64] // 2
    result = judged(small(assay, change), spoilt, coarse(island.rgb))
    n_differ = result.record["integrity"]["levels"]["n_tiles_differ"]
    assert 1 <= n_differ < result.record["analysis"]["n_tiles"]
    assert result.record["ledger"]["failed"] == n_differ
    assert flags(result)["levels_differ"]["level"] == "fail"
    assert result.call == "NOT_EVALUABLE"
    assert "could not be processed" in result.row["reason"]
    assert result.row["h_score"] is None
    cells = result.cells
    inside = (np.abs(cells.column("x").to_numpy() - x - 32) < 32) & (np.abs(cells.column("y").to_numpy() - y - 32) < 32)
    assert not inside.any()


def test_lost_tissue_on_the_coarse_level_is_noticed(assay: Assay, island: ph.Phantom) -> None:
    """Where the coarse level shows glass, nothing would be scored, and nobody would know."""
    lost = coarse(island.rgb)
    lost[:, : lost.shape[1] // 2] = np.array(island.spec.white, np.uint8)
    result = judged(assay, island.rgb, lost)
    assert result.record["integrity"]["levels"]["n_glass_differ"] >= 1
    assert flags(result)["levels_differ"]["level"] == "fail"
    assert result.row["qc"] == "fail"


def test_remarks_and_doubts_become_a_flag(assay: Assay, island: ph.Phantom) -> None:
    properties = with_remarks({"openslide.objective-power": "200"}, ["page 2: it holds no pixels", "one more"])
    flag = flags(judged(assay, island.rgb, properties=properties))["file_inconsistent"]
    assert flag["level"] == "warn"
    assert flag["text"].startswith(
        "The file contradicts itself: page 2: it holds no pixels; one more; it states 0.5 um"
    )


def test_tissue_that_ends_at_a_gap_is_flagged(assay: Assay, island: ph.Phantom) -> None:
    """With one level nothing else knows what was there."""
    opaque = np.full(island.rgb.shape[:2], 255, np.uint8)
    opaque[:, : island.rgb.shape[1] // 2] = 0
    result = judged(assay, np.dstack([island.rgb, opaque]))
    assert result.record["integrity"]["gap_border_fraction"] > 0.05
    assert flags(result)["cut_off_by_gap"]["level"] == "warn"


def test_the_border_of_a_scan_is_no_gap() -> None:
    tissue = np.zeros((20, 20), bool)
    tissue[5:15, 10:] = True
    valid = np.ones((20, 20), bool)
    valid[:, -1] = False  # cut by the end of the slide
    grid = plan_grid(ArrayReader(np.zeros((320, 315, 3), np.uint8), mpp=MPP), MPP, 8.0, 0.03)
    assert gap_border_fraction(tissue, valid, grid, None) == 0.0
    valid[:, 14:] = False
    assert gap_border_fraction(tissue & valid, valid, grid, None) > 0.2
    assert gap_border_fraction(tissue & valid, valid, grid, Region(0, 0, 14 * 16, 320)) == 0.0
    assert gap_border_fraction(np.zeros((20, 20), bool), valid, grid, None) == 0.0


def test_words_about_a_manifest() -> None:
    assert checked_status(None) == checked_status(Checked("unlisted", 0, 1)) == "unverified"
    assert checked_status(Checked("verified", 3, 3)) == "verified"
    assert checked_notes(None) == checked_notes(Checked("verified", 1, 1)) == []
    [note] = checked_notes(Checked("unlisted", 2, 3))
    assert (note["name"], note["level"]) == ("not_in_manifest", "warn")
    assert "(2 of its 3 files are)" in note["text"]


# ---- through a run ----


@pytest.fixture(scope="module")
def slides(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three copies of one small slide under different bytes: listed, changed since it was listed, and not listed."""
    folder = tmp_path_factory.mktemp("integrity")
    field = ph.draw_phantom(ph.slide_spec(3, mpp=MPP, side_px=512, tissue_fraction=0.6))
    for name, quality in (("good.svs", 80), ("changed.svs", 81), ("new.svs", 82)):
        ph.write_svs(folder / name, field.rgb, MPP, levels=(1, 4), tile=128, quality=quality)
    sums = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in ("good.svs", "changed.svs")}
    sums["lost.svs"] = 64 * "0"
    (folder / "sums.txt").write_text("".join(f"{digest}  {name}\n" for name, digest in sums.items()))
    content = bytearray((folder / "changed.svs").read_bytes())
    content[len(content) // 3] ^= 1
    (folder / "changed.svs").write_bytes(content)
    return folder


def rows_of(run: Path) -> dict[str, dict[str, str]]:
    with (run / "scores.csv").open(encoding="utf-8", newline="") as file:
        return {row["file"]: row for row in csv.DictReader(file)}


def test_a_manifest_decides_what_is_opened(slides: Path, loaded_assay: LoadedAssay, tmp_path: Path) -> None:
    options = RunOptions(workers=1, overlay_mpp=None, checksums=slides / "sums.txt")
    summary = score_directory(slides, tmp_path / "run", loaded_assay, options=options)
    rows = rows_of(tmp_path / "run")
    assert [row["file"] for row in summary.failed] == ["changed.svs"]
    assert summary.warnings == ("1 file of the checksum manifest is not there: lost.svs",)
    assert rows["changed.svs"]["reason"].startswith("its SHA-256 is not the one in the checksum manifest")
    assert "not_in_manifest" not in rows["good.svs"]["qc_flags"]
    assert "not_in_manifest" in rows["new.svs"]["qc_flags"]
    states = {}
    for name in ("good.svs", "new.svs"):
        folder = tmp_path / "run" / "slides" / rows[name]["slide_id"]
        record = json.loads((folder / "result.json").read_text())
        states[name] = record["integrity"]["status"]
        assert ("integrity unverified" in (folder / "report.html").read_text()) == (name == "new.svs")
        assert bool(record["key"]["sha256"]) == (name == "good.svs")
    assert states == {"good.svs": "verified", "new.svs": "unverified"}
    assert not (tmp_path / "run" / "slides" / rows["changed.svs"]["slide_id"] / "result.json").exists()
    content = json.loads((tmp_path / "run" / "run.json").read_text())
    assert content["checksums"] == hashlib.sha256((slides / "sums.txt").read_bytes()).hexdigest()
    page = (tmp_path / "run" / "report.html").read_text()
    assert "1 of 2 slides verified by SHA-256; integrity unverified of 1 that it does not list" in page
    # The same command again keeps what is done; without the manifest nothing that it vouched for stands.
    assert score_directory(slides, tmp_path / "run", loaded_assay, options=options).n_skipped == 2
    plain = replace(options, checksums=None)
    assert score_directory(slides, tmp_path / "run", loaded_assay, options=plain).n_skipped == 1
    rows = rows_of(tmp_path / "run")
    assert {row["status"] for row in rows.values()} <= {"scored", "not_evaluable"}
    assert "integrity unverified: no manifest of checksums was given" in (tmp_path / "run" / "report.html").read_text()


def test_no_reader_opens_a_file_that_is_not_the_listed_one(
    slides: Path, assay: Assay, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path) -> None:
        raise AssertionError(path)

    monkeypatch.setattr(story, "open_slide", refuse)
    segmenter = plan_segmenter(assay, "cpu")
    identity = SlideIdentity("changed", "changed.svs")
    key = story.slide_key(assay, "", segmenter=segmenter, mpp=None, roi_digest="", identity=identity)
    job = story.SlideJob(
        slides / "changed.svs", identity, assay, segmenter, tmp_path / "changed", key, None, None, 1, None,
        checksums=slides / "sums.txt",
    )  # fmt: skip
    with pytest.raises(SlideOpenError, match="SHA-256"):
        story.score_job(job, lambda _: None)
    with pytest.raises(AssertionError):
        story.score_job(replace(job, checksums=None), lambda _: None)


def test_a_manifest_that_cannot_be_used_ends_the_run_before_any_work(
    slides: Path, loaded_assay: LoadedAssay, tmp_path: Path
) -> None:
    (tmp_path / "bad.txt").write_text("no sums\n")
    with pytest.raises(InputError, match="line 1"):
        score_directory(slides, tmp_path / "run", loaded_assay, options=RunOptions(checksums=tmp_path / "bad.txt"))
    twice = tmp_path / "in"
    for name in ("x", "y"):
        (twice / name).mkdir(parents=True)
        shutil.copy(slides / "good.svs", twice / name / "good.svs")
    (tmp_path / "sums.txt").write_text(f"{'0' * 64}  good.svs\n")
    options = RunOptions(checksums=tmp_path / "sums.txt")
    with pytest.raises(InputError, match=r"could be 'x/good\.svs' or 'y/good\.svs'"):
        score_directory(twice, tmp_path / "run", loaded_assay, options=options)
    hidden = replace(options, key_file=tmp_path / "key.csv")
    with pytest.raises(InputError) as caught:
        score_directory(twice, tmp_path / "run", loaded_assay, options=hidden)
    assert "good" not in str(caught.value)
    assert not (tmp_path / "run").exists()
