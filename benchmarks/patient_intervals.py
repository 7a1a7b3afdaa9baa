"""How often the interval of a patient holds the truth: simulated patients of three blocks, by each rule.

    python benchmarks/patient_intervals.py [--patients 800]

A block is a table of counts as `simulated_squares` draws it, with a process of its own: a mean density between negative
and strong, and clusters of 200, 500 or 1500 um. The truth of a patient is the rule applied to the H-scores of the
processes (under `pooled_cells` weighted by the cells that the blocks have).
"""

from __future__ import annotations

import argparse
from collections import defaultdict

import numpy as np
from simulated_squares import Clusters, Process, draw_squares

from slidescore.assay import Assay, load_assay
from slidescore.cohort.patient_table import PatientRow, PatientTable
from slidescore.cohort.roll_up import roll_up
from slidescore.cohort.scored_slide import ScoredSlide
from slidescore.scoring.intervals import seed_of
from slidescore.scoring.schemes import score_counts

N_BLOCKS = 3
RANGES_UM = (200, 500, 1500)
N_SQUARES = (15, 40, 80)
REPLICATES = 400
RULES = ("mean", "pooled_cells", "max")


def assay_of(rule: str) -> Assay:
    """Return the default assay with another rule and fewer replicates."""
    assay = load_assay().assay
    patients = assay.patients.model_copy(update={"rule": rule})
    interval = assay.interval.model_copy(update={"replicates": REPLICATES})
    return assay.model_copy(update={"patients": patients, "interval": interval})


def draw_block(rng: np.random.Generator, name: str, assay: Assay) -> tuple[ScoredSlide, float]:
    """Draw a slide and say what the H-score of its process is."""
    clusters = (Clusters(range_um=float(rng.choice(RANGES_UM)), share=0.3, kind="rough"),)
    process = Process(mean_od=float(rng.uniform(0.15, 0.55)), sd_od=0.2, clusters=clusters)
    squares = draw_squares(rng, process, float(rng.choice(N_SQUARES)))
    value = float(score_counts("h_score", squares.total, assay.score))
    few = "few squares" if squares.n_squares < assay.interval.min_squares else ""
    slide = ScoredSlide(
        name, name, "", "scored", "", value=value, squares=squares, seed=seed_of(name, "squares"),
        interval_reason=few, fingerprint=name,
    )  # fmt: skip
    return slide, process.h_score


def truth_of(rule: str, truths: list[float], slides: list[ScoredSlide]) -> float:
    """Apply a rule to the H-scores of the processes."""
    if rule == "max":
        return max(truths)
    cells = [slide.squares.total.sum() for slide in slides if slide.squares]
    return float(np.average(truths, weights=cells if rule == "pooled_cells" else None))


def main() -> None:
    """Draw the patients and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--patients", type=int, default=800)
    asked = parser.parse_args()
    rng = np.random.default_rng(5)
    assays = {rule: assay_of(rule) for rule in RULES}
    held, widths = defaultdict(list), defaultdict(list)
    for number in range(asked.patients):
        drawn = [draw_block(rng, f"{number}-{block}", assays["mean"]) for block in range(N_BLOCKS)]
        slides, truths = [slide for slide, _ in drawn], [truth for _, truth in drawn]
        table = PatientTable(tuple(PatientRow(slide.slide_id, "P", "", None, "", use=True) for slide in slides))
        for rule, assay in assays.items():
            [patient] = roll_up(slides, table, assay)
            if patient.low is not None and patient.high is not None:
                held[rule].append(patient.low <= truth_of(rule, truths, slides) <= patient.high)
                widths[rule].append(patient.high - patient.low)
    print("| rule | patients | hold the truth | mean width, H |\n|---|---|---|---|")
    for rule in RULES:
        print(f"| `{rule}` | {len(held[rule]):,} | {100 * np.mean(held[rule]):.1f} % | {np.mean(widths[rule]):.1f} |")


if __name__ == "__main__":
    main()
