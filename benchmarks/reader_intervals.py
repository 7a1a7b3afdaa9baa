"""How often the intervals of `slidescore validate` hold the truth, on drawn studies; the table of docs/validate.md.

A study is drawn from patients whose true scores are normal (mean 140, SD 60), slides that differ from their patient
(SD 20), a machine and a reader with errors of their own (SD 15 and 22, the reader 8 H higher), clipped to 0 to 300. The
truth is that of 400,000 patients. Run: `python benchmarks/reader_intervals.py`; minutes.
"""

from __future__ import annotations

import numpy as np

from slidescore.cohort.agreement import (
    Ratings,
    Statistic,
    bias,
    concordance,
    icc_2_1,
    lower_limit,
    mean_absolute_error,
    sensitivity,
    spearman,
)
from slidescore.cohort.bootstrap import bootstrap_estimates, patient_codes, patient_weights

CUTOFF = 150
STUDIES = 1000
REPLICATES = 1000
SIZES = ((10, 1), (20, 1), (20, 2), (40, 1), (40, 2), (100, 1))
"""Patients, and slides of each."""


def high(statistic: Statistic) -> Statistic:
    """Make a statistic of the side of the cut-off."""
    return lambda ratings, weights: statistic((ratings >= CUTOFF).astype(np.float64), weights)


STATISTICS: dict[str, Statistic] = {
    "ICC(2,1)": icc_2_1,
    "Lin's CCC": concordance,
    "Spearman": spearman,
    "bias": bias,
    "lower limit": lower_limit,
    "mean absolute error": mean_absolute_error,
    "sensitivity": high(sensitivity),
}


def draw(n_patients: int, per_patient: int, rng: np.random.Generator) -> Ratings:
    """Draw a study; float64, (slides, 2)."""
    truth = np.repeat(rng.normal(140, 60, n_patients), per_patient)
    truth = truth + rng.normal(0, 20, len(truth))
    machine, reader = truth + rng.normal(0, 15, len(truth)), truth + 8 + rng.normal(0, 22, len(truth))
    return np.clip(np.stack([machine, reader], axis=1), 0, 300)


def coverage(n_patients: int, per_patient: int, seed: int) -> dict[str, tuple[float, float]]:
    """Return the percent of intervals that hold the truth: as `validate` makes them, and plain percentiles."""
    rng = np.random.default_rng(seed)
    many = draw(400_000, 1, rng)
    truths = {name: float(each(many, np.ones((1, len(many))))[0]) for name, each in STATISTICS.items()}
    patients = [f"{number // per_patient:04d}" for number in range(n_patients * per_patient)]
    held = {name: [0, 0, 0] for name in STATISTICS}
    for study in range(STUDIES):
        ratings = draw(n_patients, per_patient, rng)
        weights = patient_weights(patient_codes(patients), REPLICATES, study)
        asked = [(statistic, "") for statistic in STATISTICS.values()]
        estimates = bootstrap_estimates(asked, ratings, patients, study, replicates=REPLICATES)
        for (name, statistic), found in zip(STATISTICS.items(), estimates, strict=True):
            if found.low is None or found.high is None:
                continue
            low, top = np.nanquantile(statistic(ratings, weights), [0.025, 0.975])
            held[name][0] += 1
            held[name][1] += found.low <= truths[name] <= found.high
            held[name][2] += low <= truths[name] <= top
    return {name: (100 * own / n, 100 * plain / n) for name, (n, own, plain) in held.items()}


def main() -> None:
    """Print the table."""
    print(f"| patients, slides of each | {' | '.join(STATISTICS)} |")
    print(f"|---|{'---|' * len(STATISTICS)}")
    for seed, (n_patients, per_patient) in enumerate(SIZES):
        cells = [f"{own:.1f} ({plain:.1f})" for own, plain in coverage(n_patients, per_patient, seed).values()]
        print(f"| {n_patients}, {per_patient} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
