"""A run that the review app serves in tests: three drawn slides and a damaged one, with names that nobody may read."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import tifffile

import phantom as ph
from classical_assay import classical_loaded
from review.asgi import TOKEN, Client, client_of
from slidescore.pipeline.cohort import score_directory
from slidescore.pipeline.options import RunOptions
from slidescore.review.app import make_app
from slidescore.review.desk import ReviewOptions
from slidescore.review.guard import LOOPBACK

PATIENT = "Zebediah-Quartermain"
"""Planted where a patient's name can stand: metadata, the folder of the slides, the command line."""
SPECS = {
    "strong": ph.slide_spec(31, side_px=1024, tissue_fraction=0.85, dab_od_shares=(0.1, 0.2, 0.35, 0.35)),
    "weak": ph.slide_spec(32, side_px=896, tissue_fraction=0.85, dab_od_shares=(0.6, 0.3, 0.08, 0.02)),
    "few": ph.slide_spec(33, side_px=384),
}


@dataclass(frozen=True)
class ScoredRun:
    """A run folder, the folder of its slides, and the slide_ids by name."""

    run: Path
    slides: Path
    ids: dict[str, str]

    def copy(self, folder: Path) -> ScoredRun:
        """A copy of the run that a test may write to; the slides stay where they are."""
        shutil.copytree(self.run, folder / "run")
        return ScoredRun(folder / "run", self.slides, self.ids)

    def record(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = orjson.loads((self.run / "slides" / self.ids[name] / "result.json").read_bytes())
        return found

    def rows(self) -> dict[str, dict[str, str]]:
        with (self.run / "scores.csv").open(encoding="utf-8", newline="") as handle:
            return {row["slide_id"]: row for row in csv.DictReader(handle)}


def score_drawn_slides(folder: Path) -> ScoredRun:
    """Draw the slides and score them; about five seconds."""
    slides = folder / PATIENT / "slides"
    slides.mkdir(parents=True)
    for name, spec in SPECS.items():
        field = ph.draw_phantom(spec)
        text = f"label of {PATIENT}" if name == "strong" else None
        ph.write_pyramid(slides / f"{name}.tiff", field.rgb, field.mpp, levels=(1, 4), description=text)
    with tifffile.TiffFile(slides / "strong.tiff") as tiff:
        assert PATIENT in tiff.pages.first.description
    (slides / "broken.tiff").write_bytes(b"II*\0 is how a TIFF begins, and this is how it does not go on")
    command = ("slidescore", "score", str(slides), "--out", "run")
    score_directory([slides], folder / "run", classical_loaded(), options=RunOptions(workers=1, command=command))
    run = ScoredRun(folder / "run", slides, {})
    assert PATIENT in (folder / "run" / "run.json").read_text()
    run.ids.update({Path(row["file"]).stem: slide_id for slide_id, row in run.rows().items()})
    return run


@contextmanager
def served(run: Path, slides: Path | None = None, **options: Any) -> Iterator[Client]:
    """A client of the app over a run."""
    with client_of(make_app(run, slides, ReviewOptions(TOKEN, LOOPBACK, 8765, **options))) as client:
        yield client
