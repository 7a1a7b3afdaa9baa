"""Runs that are stopped, and what must hold of a run folder at every moment and in the end."""

from __future__ import annotations

import csv
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pyarrow.parquet as pq
import tifffile
from PIL import Image

import phantom as ph
from classical_assay import classical_text
from slidescore.pipeline.journal import DIGEST_BYTES, MAGIC
from slidescore.pipeline.tile_codec import decode_tiles
from slidescore.report.files import sha256_of

DRIVER = Path(__file__).with_name("score_with_faults.py")
OF_THE_MOMENT = frozenset({"run.json", "timings.csv", "report.html", "digests.sha256"})
"""Files at the top of a run that hold times or paths; everything else must not depend on what happened on the way."""
POLL_SECONDS = 0.005
PATIENCE_SECONDS = 300.0


@dataclass(frozen=True, slots=True)
class Stoppable:
    """Slides of many small tiles, and an assay of the classical segmenter that cuts them so."""

    slides: Path
    assay: Path

    def command(self, out: Path, *options: str) -> list[str]:
        """The command line that scores them."""
        return [sys.executable, str(DRIVER), *self.arguments(out, *options)]

    def plain_command(self, out: Path, *options: str) -> list[str]:
        """The same without the means to plant faults."""
        return [sys.executable, "-m", "slidescore", *self.arguments(out, *options)]

    def arguments(self, out: Path, *options: str) -> list[str]:
        """The verb and its options."""
        return [*map(str, ("score", self.slides, "--out", out, "--assay", self.assay)), *options]


def draw_stoppable(folder: Path, *, n_slides: int = 2, side_px: int = 520) -> Stoppable:
    """Draw the slides, and write the assay."""
    slides = folder / "slides"
    slides.mkdir()
    for number in range(n_slides):
        field = ph.draw_phantom(ph.slide_spec(40 + number, mpp=0.5, side_px=side_px, tissue_fraction=0.6))
        ph.write_pyramid(slides / f"slide {number} é.tiff", field.rgb, field.mpp, levels=(1, 4))
    text = re.sub(r"(?m)^  core_px: \d+", "  core_px: 128", classical_text())
    text = re.sub(r"(?m)^  halo_um: [\d.]+", "  halo_um: 16.0", text)
    assay = folder / "small-tiles.yaml"
    assay.write_text(text, encoding="utf-8")
    return Stoppable(slides, assay)


def start(command: list[str], faults: dict[str, Any] | None = None) -> subprocess.Popen[str]:
    """Start a run, with faults planted in it."""
    environment = os.environ | {"SLIDESCORE_PLANTED_FAULTS": json.dumps(faults or {})}
    return subprocess.Popen(
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, encoding="utf-8"
    )


def finish(run: subprocess.Popen[str]) -> tuple[int, list[str]]:
    """Wait for a run; its exit code and what it said."""
    _, said = run.communicate()
    return run.returncode, said.splitlines()


def stop_when(run: subprocess.Popen[str], moment: Callable[[], bool], number: int) -> tuple[int, list[str]]:
    """Send a signal at a moment, and wait until the run and its workers are gone; exit code and what it said.

    A run that ends before that moment is an error.
    """
    wait_until(run, moment)
    workers = psutil.Process(run.pid).children(recursive=True)
    run.send_signal(number)
    ended = finish(run)
    _, alive = psutil.wait_procs(workers, timeout=30)
    assert not alive, "workers outlived the run"
    return ended


def wait_until(run: subprocess.Popen[str], moment: Callable[[], bool]) -> None:
    """Wait for a moment of a run."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not moment():
        assert run.poll() is None, f"ended too early: {finish(run)}"
        assert time.monotonic() < deadline, "nothing happened"
        time.sleep(POLL_SECONDS)


def data_of(run: Path) -> dict[str, bytes]:
    """Every file of a finished run that must not depend on what happened on the way, by its path below the run."""
    files = {path.relative_to(run).as_posix(): path for path in run.rglob("*") if path.is_file()}
    return {name: path.read_bytes() for name, path in files.items() if name not in OF_THE_MOMENT}


def blocks_of(run: Path) -> list[Path]:
    """The blocks of finished tiles that a run keeps."""
    return sorted(run.glob("slides/*/.work/journal/*/*.tiles"))


def kept_tiles(run: Path) -> dict[str, int]:
    """Count the finished tiles that a stopped run keeps, by slide."""
    counts: dict[str, int] = {}
    for path in blocks_of(run):
        slide_id = path.relative_to(run / "slides").parts[0]
        tiles = decode_tiles(path.read_bytes()[len(MAGIC) + 2 * DIGEST_BYTES :])
        counts[slide_id] = counts.get(slide_id, 0) + len(tiles)
    return counts


def results_of(run: Path) -> list[Path]:
    """The result.json of every finished slide."""
    return sorted(run.glob("slides/*/result.json"))


def rows_of(run: Path, table: str = "scores.csv") -> list[dict[str, str]]:
    """The rows of a table."""
    with (run / table).open(encoding="utf-8", newline="") as handle:
        return list(csv.DictReader(handle))


def torn_files(run: Path) -> list[str]:
    """List what is not whole: files under their final name that cannot be read, and results that do not match them."""
    torn = []
    for path in run.rglob("*"):
        below = path.relative_to(run)
        if path.is_file() and not any(part.startswith(".") for part in below.parts):
            try:
                check_whole(path)
            except Exception as error:  # noqa: BLE001 - whatever a reader says of a torn file
                torn.append(f"{below}: {error!r}")
    return torn


def check_whole(path: Path) -> None:
    """Raise unless a file of a run folder is whole."""
    match path.suffix:
        case ".json":
            content = json.loads(path.read_bytes())
            for name, digest in content.get("digests", {}).items():
                assert sha256_of(path.parent / name) == digest, f"{name} is another"
        case ".csv":
            text = path.read_text(encoding="utf-8")
            assert text.endswith("\n")
            assert len({len(row) for row in csv.reader(text.splitlines())}) == 1
        case ".parquet":
            pq.read_table(path)
        case ".tiff":
            tifffile.imread(path)
        case ".png":
            with Image.open(path) as picture:
                picture.load()
        case ".html":
            assert path.read_text(encoding="utf-8").rstrip().endswith("</html>")
