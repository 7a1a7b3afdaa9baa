"""Phantom slides whose staining comes from a process of known H-score, drawn, measured and given an interval."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri
from simulated_squares import PIECE_UM, SQUARE_UM, draw_field

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

import phantom as ph
from classical_assay import classical_assay
from phantom_write import write_pyramid
from slidescore.assay import Assay
from slidescore.pipeline.slide import score_slide
from slidescore.scoring.squares import count_squares, squares_to_lists

SIDE_PX, MPP = 1152, 0.5
RENDERED_SQUARE_UM = 128.0
"""A quarter of the assay's: 16 to 25 squares then fit on a slide that is drawn in seconds; ranges shrink with it."""
LEVELS_OD, JITTER_OD = (0.02, 0.28, 0.46, 0.80), 0.03
"""Far enough from the thresholds that what is measured falls into the bin that was drawn."""
ROW = ("h_score", "h_score_low", "h_score_high", "h_naive_low", "h_naive_high")
RANGES_UM = (25.0, 60.0, 125.0, 250.0)
"""Of the field that the staining follows: a fifth of a square to two squares."""


def square_assay() -> Assay:
    """Return the default assay with the classical segmenter and the smaller squares."""
    assay = classical_assay()
    return assay.model_copy(update={"interval": assay.interval.model_copy(update={"square_um": RENDERED_SQUARE_UM})})


def render_slide(number: int, folder: Path, assay: Assay) -> dict[str, Any]:
    """Draw slide `number`, score it as a user would, and return the process and both tables of squares."""
    rng = np.random.default_rng([number, 11])
    shares = rng.dirichlet([1.0, 1.0, 1.0, 1.0])
    ends = ndtri(np.cumsum(shares)[:-1])
    own_share, range_um = rng.uniform(0.5, 0.9), float(rng.choice(RANGES_UM))

    def od_at(draws: np.random.Generator, x_um: NDArray[np.float64], y_um: NDArray[np.float64]) -> NDArray[np.float64]:
        shrink = SQUARE_UM / RENDERED_SQUARE_UM
        field = draw_field(draws, int(SIDE_PX * MPP * shrink / PIECE_UM) + 1, range_um * shrink)
        rows, columns = ((values * shrink / PIECE_UM).astype(np.intp) for values in (y_um, x_um))
        drive = np.sqrt(1 - own_share) * field[rows, columns] + np.sqrt(own_share) * draws.standard_normal(len(x_um))
        level = np.searchsorted(ends, drive)
        return np.asarray(LEVELS_OD)[level] + JITTER_OD * draws.uniform(-1, 1, len(x_um))

    spec = ph.apart_spec(
        number, mpp=MPP, density_per_mm2=1600.0, width_px=SIDE_PX, height_px=SIDE_PX, tissue="irregular",
        tissue_fraction=0.8, antialias=False, jpeg_quality=None, dab_od_at=od_at,
    )  # fmt: skip
    field = ph.draw_phantom(spec)
    path = write_pyramid(folder / f"interval_{number}.tiff", field.rgb, MPP, quality=85)
    result = score_slide(path, assay)
    path.unlink()
    truth = field.truth
    drawn = count_squares(truth.x, truth.y, ph.true_bins(field), mpp=MPP, square_um=RENDERED_SQUARE_UM)
    known = result.record["uncertainty"]
    return {
        "number": number,
        "range_um": range_um,
        "shares": shares.tolist(),
        "status": result.record["status"],
        "drawn": squares_to_lists(drawn),
        "measured": known["squares"],
        "seed": known["seed"],
        "row": {name: result.row[name] for name in ROW},
    }


def render_slides(count: int, keep: Path) -> list[dict[str, Any]]:
    """Render the slides that are not kept yet; return all of them."""
    keep.mkdir(parents=True, exist_ok=True)
    assay = square_assay()
    slides = []
    for number in range(count):
        path = keep / f"rendered-{number:04d}.json"
        if not path.is_file():
            unfinished = path.with_suffix(".tmp")
            unfinished.write_text(json.dumps(render_slide(number, keep, assay)), encoding="utf-8")
            unfinished.replace(path)
        slides.append(json.loads(path.read_text(encoding="utf-8")))
    return slides
