"""Four drawn slides scored by the real pipeline: one high, one low, one with too few cells, one damaged."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import phantom as ph
from slidescore.pipeline.cohort import score_directory
from slidescore.pipeline.options import RunOptions

SPECS = {
    "strong": ph.slide_spec(31, side_px=1280, tissue_fraction=0.85, dab_od_shares=(0.1, 0.2, 0.35, 0.35)),
    "weak": ph.slide_spec(32, side_px=1024, tissue_fraction=0.8, dab_od_shares=(0.6, 0.3, 0.08, 0.02)),
    "few": ph.slide_spec(33, side_px=512),
}


@dataclass(frozen=True)
class Scored:
    """A run folder that no test writes to, and the folder of its slides."""

    run: Path
    slides: Path


def make_run(folder: Path) -> Scored:
    """Draw the slides into a folder and score them beside; about ten seconds."""
    slides = folder / "slides"
    slides.mkdir()
    for name, spec in SPECS.items():
        field = ph.draw_phantom(spec)
        ph.write_pyramid(slides / f"{name}.tiff", field.rgb, field.mpp, levels=(1, 4))
    (slides / "broken.tiff").write_bytes(b"II*\0 is how a TIFF begins, and this is how it does not go on")
    score_directory(slides, folder / "run", options=RunOptions(workers=1))
    return Scored(folder / "run", slides)
