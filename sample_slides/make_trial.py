"""Make a synthetic trial of the sample slides: `python sample_slides/make_trial.py --out FOLDER`.

Writes slides/*.tiff, patients.csv, readers.csv and clinical.csv for docs/trial.md. Nothing in it is a patient: each
slide is a lattice of fields cut from the three sample phantoms, the readers are the drawn H-score with an error, and
the outcomes are drawn from a rule that stands below. The seed is fixed.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "tests"))

from phantom_write import shrink, write_pyramid  # noqa: E402

Image = NDArray[np.uint8]

SEED = 20_260_401
MPP = 0.5
FIELD_PX, STEP_PX = 560, 1024
"""Side of a field, and from one to the next: 512 um, so that each square of the grid holds one."""
COLUMNS, ROWS = 4, 3
GLASS = (237, 236, 232)
"""Clear glass of the phantoms, RGB."""
DONORS = ("phantom_negative", "phantom_low", "phantom_high")
N_PATIENTS = 20
SECTIONS = {3: "second section", 12: "primary", 16: "primary only"}
"""Patients with more than one slide, or with the primary tumor alone."""
READERS = {"reader A": (4.0, 14.0), "reader B": (-6.0, 18.0)}
"""Bias and standard deviation of the readers, in H; those of a few trained pathologists are of this order."""
ARMS = ("chemotherapy", "chemotherapy + antagonist")
STRATA = ("line", "hormone_receptor", "prior_cdk46", "visceral")


@dataclass(frozen=True, slots=True)
class Specimen:
    """A slide, where it comes from, and the H-score that its fields were drawn with."""

    file: str
    patient_id: str
    block: str
    time_point: str
    site: str
    h_drawn: float


def main() -> None:
    """Write the slides and the three tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="folder to write to")
    out = parser.parse_args().out
    (out / "slides").mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(SEED)
    expression = rng.permutation(np.linspace(0.05, 1.0, N_PATIENTS))
    specimens = list(_write_slides(out / "slides", expression, rng))
    patients = [f"S-{number + 1:02d}" for number in range(N_PATIENTS)]
    _write(out / "patients.csv", [_patient_row(specimen) for specimen in specimens])
    _write(out / "readers.csv", [row for specimen in specimens for row in _readings(specimen, rng)])
    arms = rng.permutation(np.arange(N_PATIENTS) % len(ARMS)).tolist()
    outcomes = zip(patients, expression.tolist(), arms, strict=True)
    _write(out / "clinical.csv", [_outcome(*each, rng) for each in outcomes])
    print(f"{len(specimens)} synthetic slides of {N_PATIENTS} synthetic patients: {out}")


def _write_slides(folder: Path, expression: NDArray[np.float64], rng: np.random.Generator) -> Any:
    donors = [shrink(tifffile.imread(HERE / f"{name}.tiff", key=0), 2) for name in DONORS]
    expected = json.loads((HERE / "expected_scores.json").read_text(encoding="utf-8"))
    drawn = [expected[f"{name}.tiff"]["h_drawn"] for name in DONORS]
    for number, level in enumerate(expression):
        kind = SECTIONS.get(number, "")
        # Letter, block, time point, site, and how strongly this specimen is stained beside the patient's own level.
        made = [("a", "B1", "2025-06-01", "metastasis", level)]
        if kind == "second section":
            made.append(("b", "B1", "2025-06-01", "metastasis", level))
        if kind == "primary":
            made.insert(0, ("p", "B0", "2021-03-01", "primary", 0.6 * level))
        if kind == "primary only":
            made = [("p", "B0", "2023-09-01", "primary", level)]
        for letter, block, time_point, site, strength in made:
            file = f"synthetic_{number + 1:02d}{letter}.tiff"
            negative, high = np.clip([1 - 2.5 * strength, 2 * strength - 0.5], 0.0, 1.0)
            chosen = rng.choice(len(donors), size=(ROWS, COLUMNS), p=(negative, 1 - negative - high, high))
            write_pyramid(folder / file, _lattice(donors, chosen, rng), MPP, levels=(1, 4))
            h_drawn = float(np.mean([drawn[donor] for donor in chosen.ravel()]))
            yield Specimen(file, f"S-{number + 1:02d}", block, time_point, site, h_drawn)


def _lattice(donors: Sequence[Image], chosen: NDArray[np.int64], rng: np.random.Generator) -> Image:
    """Lay fields of the donors out on glass; uint8, (H, W, 3)."""
    slide = np.empty((ROWS * STEP_PX, COLUMNS * STEP_PX, 3), np.uint8)
    slide[:] = GLASS
    for (row, column), donor in np.ndenumerate(chosen):
        picture = donors[donor]
        y, x = (int(rng.integers(0, side - FIELD_PX + 1)) for side in picture.shape[:2])
        field = np.rot90(picture[y : y + FIELD_PX, x : x + FIELD_PX], int(rng.integers(4)))
        top, left = (number * STEP_PX + (STEP_PX - FIELD_PX) // 2 for number in (row, column))
        slide[top : top + FIELD_PX, left : left + FIELD_PX] = field
    return slide


def _patient_row(specimen: Specimen) -> dict[str, str]:
    names = ("file", "patient_id", "block", "time_point", "site")
    return {name: getattr(specimen, name) for name in names}


def _readings(specimen: Specimen, rng: np.random.Generator) -> list[dict[str, Any]]:
    """Give each reader's H-score, in steps of 5 as people give them."""
    rows = []
    for reader, (bias, spread) in READERS.items():
        read = np.clip(specimen.h_drawn + rng.normal(bias, spread), 0, 300)
        rows.append({"file": specimen.file, "reader": reader, "h_score": int(5 * round(read / 5))})
    return rows


def _outcome(patient_id: str, level: float, arm: int, rng: np.random.Generator) -> dict[str, Any]:
    """Draw an outcome: the second arm helps the more, the stronger the expression."""
    strata = {name: int(rng.integers(2)) for name in STRATA}
    logit = -1.0 + 2.5 * arm * (level - 0.4) - 0.4 * strata["line"]
    response = rng.random() < 1 / (1 + np.exp(-logit))
    pfs = (2.0 if response else 0.5) + rng.exponential(4.0 * np.exp(0.9 * arm * (level - 0.4)))
    survival = pfs + rng.exponential(8.0)
    return {
        "patient_id": patient_id,
        "arm": ARMS[arm],
        "response": rng.choice(["CR", "PR"], p=[0.2, 0.8]) if response else rng.choice(["SD", "PD"]),
        "pfs_months": f"{min(pfs, 18.0):.1f}",
        "pfs_event": int(pfs < 18.0),
        "os_months": f"{min(survival, 24.0):.1f}",
        "os_event": int(survival < 24.0),
        "line": "second" if strata["line"] == 0 else "third or later",
        "hormone_receptor": "positive" if strata["hormone_receptor"] else "negative",
        "prior_cdk46": "yes" if strata["prior_cdk46"] else "no",
        "visceral": "yes" if strata["visceral"] else "no",
    }


def _write(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as handle:
        writer = csv.DictWriter(handle, rows[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    main()
