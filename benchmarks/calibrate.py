"""What `slidescore calibrate` recovers: five simulated scanners, and the rule by which thresholds are cut.

    .venv/bin/python benchmarks/calibrate.py --write docs/calibrate.md

Each scanner photographs the same drawn tissue with its own stain vectors, densities, light, gamma and noise. Its
controls are calibrated by labels and by expected shares; then other tissue is scored before and after.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from page_tables import publish_tables

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

import phantom as ph
from classical_assay import classical_loaded
from made_controls import TRUE_THRESHOLDS, Field, draw_fields, scan_fields, write_controls, write_labels
from phantom_scanner import SCANNERS, Scanner
from slidescore.assay import Assay, LoadedAssay
from slidescore.pipeline.calibrate import calibrate
from slidescore.pipeline.calibrate_result import Calibration
from slidescore.pipeline.options import RunOptions
from slidescore.pipeline.slide import SlideResult, score_slide
from slidescore.scoring.bins import cell_bins, count_bins
from slidescore.scoring.threshold_fit import LabelledCells, ThresholdFit, fit_labels
from slidescore.stain import angle_degrees

CONTROLS = {
    "negative-1": None,
    "negative-2": None,
    "low": (0.6, 0.2, 0.15, 0.05),
    "middle": (0.25, 0.25, 0.25, 0.25),
    "high": (0.1, 0.2, 0.3, 0.4),
}
TISSUE = {"weak": (0.7, 0.2, 0.07, 0.03), "mixed": (0.35, 0.3, 0.2, 0.15), "strong": (0.1, 0.3, 0.35, 0.25)}
LABELS_A_BIN, WRONG_LABELS = 150, 0.05
COUNTS = (40, 60, 100, 200)
"""Of labels a bin; of 30, wrong ones would leave a bin short of the least number in most studies."""

Floats = np.ndarray
Rule = Callable[[Floats, Floats], float]


def h_score(result: SlideResult, assay: Assay) -> float:
    """H-score of a measured slide under an assay of the same vectors."""
    found = count_bins(cell_bins(result.cells, assay, assay.score.compartment)[0]).h_score
    return float("nan") if found is None else found


def run_scanner(
    folder: Path, number: int, controls: list[Field], tissue: list[Field], base: LoadedAssay
) -> tuple[dict[str, Calibration], dict[str, list[float]]]:
    """Calibrate one scanner both ways, and score tissue before and after; H by way, in the order of the tissue."""
    scanner = SCANNERS[number]
    scan_fields(folder / "controls", controls, scanner)
    positive = [field for field in controls if field.positive]
    labels = write_labels(folder / "labels.csv", positive, LABELS_A_BIN, wrong=WRONG_LABELS, seed=number)
    table = write_controls(folder / "controls.csv", controls, with_shares=True)
    found = {
        way: calibrate(
            [folder / "controls"], table, run=folder / "run", out=folder / f"{way}.yaml", assay=base, name="batch",
            labels=labels if way == "labels" else None, options=RunOptions(overlay_mpp=None, workers=1),
        )
        for way in ("labels", "shares")
    }  # fmt: skip
    scores: dict[str, list[float]] = {"before": [], "vectors": [], "labels": [], "shares": []}
    for path in scan_fields(folder / "tissue", tissue, scanner):
        scores["before"].append(h_score(score_slide(path, base.assay), base.assay))
        measured = score_slide(path, found["labels"].assay.assay)
        scores["vectors"].append(h_score(measured, base.assay))
        for way in ("labels", "shares"):
            scores[way].append(h_score(measured, found[way].assay.assay))
    print(scanner.name, {way: np.round(h, 1).tolist() for way, h in scores.items()}, flush=True)
    return found, scores


def scanner_tables(n_scanners: int, side_px: int) -> dict[str, list[str]]:
    """Run all scanners; the tables of recovery and of spread."""
    controls = draw_fields(CONTROLS, seed=1, side_px=side_px)
    tissue = draw_fields(TISSUE, seed=2, side_px=side_px)
    base, recovery, scores = classical_loaded(), [], []
    with tempfile.TemporaryDirectory() as scratch:
        for number, scanner in enumerate(SCANNERS[:n_scanners]):
            found, h = run_scanner(Path(scratch) / str(number), number, controls, tissue, base)
            recovery.append(recovery_row(scanner, found, base.assay))
            scores.append(h)
    head = "| scanner | DAB | vectors off before | after | thresholds | off by labels | off by shares |"
    spread_head = "| tissue | H drawn | SD before | vectors only | labels | shares | SD falls by (labels, shares) |"
    spread = []
    for number, field in enumerate(tissue):
        sd = {way: float(np.std([h[way][number] for h in scores], ddof=1)) for way in scores[0]}
        falls = " and ".join(f"{100 * (1 - sd[way] / sd['before']):.0f} %" for way in ("labels", "shares"))
        drawn = ph.true_h_score(field.phantom)
        values = " | ".join(f"{sd[way]:.1f}" for way in ("before", "vectors", "labels", "shares"))
        spread.append(f"| {field.name} | {drawn:.0f} | {values} | {falls} |")
    return {
        "recovery": [head, "|---|---|---|---|---|---|---|", *recovery],
        "spread": [spread_head, "|---|---|---|---|---|---|---|", *spread],
    }


def recovery_row(scanner: Scanner, found: dict[str, Calibration], base: Assay) -> str:
    """Compare what was planted with what came back."""
    old = ph.stain_vectors(ph.PhantomSpec())
    new = found["labels"].stains.vectors.matrix
    before, after = (
        " and ".join(f"{angle_degrees(vectors[k], scanner.vectors[k]):.1f}" for k in range(2)) for vectors in (old, new)
    )
    planted = np.array(TRUE_THRESHOLDS) * scanner.dab_scale
    off = []
    for way in ("labels", "shares"):
        fit = found[way].fit
        assert isinstance(fit, ThresholdFit), fit
        off.append(", ".join(f"{value:+.3f}" for value in np.array(fit.thresholds) - planted))
    shown = ", ".join(f"{value:.3f}" for value in planted)
    return f"| {scanner.name} | x {scanner.dab_scale:.2f} | {before} | {after} | {shown} | {off[0]} | {off[1]} |"


def by_counts(od: Floats, above: Floats) -> float:
    """Cut where as many cells lie above as are labelled above."""
    ranked, n = np.sort(od), int((~above).sum())
    return float(ranked[n - 1] + ranked[n]) / 2


def by_logistic(od: Floats, above: Floats) -> float:
    """Cut where a logistic fit gives even odds; the slope is held by a weak prior, for labels may not overlap."""
    mean, spread, prior = od.mean(), od.std(), 0.05
    columns = np.column_stack([np.ones_like(od), (od - mean) / spread])
    beta = np.zeros(2)
    for _ in range(30):
        p = 1 / (1 + np.exp(-np.clip(columns @ beta, -30, 30)))
        slope = columns.T @ (above - p) - np.array([0, prior * beta[1]])
        curve = (columns * (p * (1 - p) + 1e-9)[:, None]).T @ columns + np.diag([1e-6, prior])
        beta += np.linalg.solve(curve, slope)
    return float(mean - spread * beta[0] / beta[1])


def by_least_errors(od: Floats, above: Floats) -> float:
    """Cut where fewest labels are contradicted."""
    order = np.argsort(od)
    ranked, said = od[order], above[order].astype(int)
    errors = np.concatenate([[0], np.cumsum(said)]) + (~above).sum() - np.concatenate([[0], np.cumsum(1 - said)])
    cuts = np.concatenate([[ranked[0]], (ranked[1:] + ranked[:-1]) / 2, [ranked[-1]]])
    return float(cuts[errors == errors.min()].mean())


def by_equal_rates(od: Floats, above: Floats) -> float:
    """Cut where the same share of either side is contradicted."""
    low, high = np.sort(od[~above]), np.sort(od[above])
    ranked = np.sort(od)
    cuts = (ranked[1:] + ranked[:-1]) / 2
    gap = np.abs(1 - np.searchsorted(low, cuts) / len(low) - np.searchsorted(high, cuts) / len(high))
    return float(cuts[gap == gap.min()].mean())


RULES: dict[str, Rule] = {
    "counts kept (used)": by_counts,
    "logistic fit": by_logistic,
    "least errors": by_least_errors,
    "equal rates of error": by_equal_rates,
}


def labelled(seed: int, kind: str, drawn: str, noise_od: float, wrong: float, n: int) -> tuple[Floats, Floats]:
    """Densities and labels of a study: how its cells stain, and how those to be labelled are drawn."""
    rng = np.random.default_rng([seed, 7])
    true = {
        "even": lambda: rng.uniform(0, 0.9, 20_000),
        "mostly weak": lambda: rng.exponential(0.3, 20_000),
        "two humps": lambda: np.abs(np.where(rng.random(20_000) < 0.5, rng.normal(0.05, 0.1, 20_000),
                                             rng.normal(0.55, 0.2, 20_000))),
    }[kind]()  # fmt: skip
    od = true + rng.normal(0, noise_od, len(true))
    bins = np.searchsorted(TRUE_THRESHOLDS, true + rng.normal(0, 0.02, len(true)), side="right")
    groups = [np.arange(len(true))] if drawn == "at random" else [np.flatnonzero(bins == k) for k in range(4)]
    rows = np.concatenate([rng.choice(group, n // len(groups), replace=False) for group in groups])
    said = np.where(rng.random(n) < wrong, np.clip(bins[rows] + rng.choice([-1, 1], n), 0, 3), bins[rows])
    return od[rows], said


def settings() -> Iterator[tuple[str, str, float, float]]:
    """Kinds of staining, ways of drawing, noise of the measurement, share of wrong labels."""
    for kind in ("even", "mostly weak", "two humps"):
        for drawn in ("at random", "as many of each bin"):
            for noise_od in (0.02, 0.05):
                for wrong in (0.0, 0.08):
                    yield kind, drawn, noise_od, wrong


def rule_table(replicates: int) -> list[str]:
    """Root mean square error of each rule over the settings, 200 labels."""
    errors: dict[str, list[float]] = {name: [] for name in RULES}
    for kind, drawn, noise_od, wrong in settings():
        for name, rule in RULES.items():
            off = []
            for seed in range(replicates):
                od, bins = labelled(seed, kind, drawn, noise_od, wrong, 200)
                off.append([rule(od, bins >= k) - true for k, true in enumerate(TRUE_THRESHOLDS, start=1)])
            errors[name].append(float(np.sqrt(np.mean(np.square(off), axis=0)).max()))
    head = ["| rule | mean error (OD) | largest |", "|---|---|---|"]
    return [*head, *(f"| {name} | {np.mean(each):.3f} | {np.max(each):.3f} |" for name, each in errors.items())]


def count_table(replicates: int) -> list[str]:
    """Error and coverage by the number of labels of each bin: even staining, 8 % wrong labels."""
    rows = ["| labels a bin | error (OD) | 95 % interval holds the truth |", "|---|---|---|"]
    for a_bin in COUNTS:
        off, held = [], []
        for seed in range(replicates):
            od, bins = labelled(seed, "even", "as many of each bin", 0.03, 0.08, 4 * a_bin)
            cells = LabelledCells(od, bins.astype(np.int64), np.zeros(len(od), np.int64))
            fit = fit_labels(cells, seed=seed, replicates=200)
            if isinstance(fit, ThresholdFit):
                off.append(np.array(fit.thresholds) - TRUE_THRESHOLDS)
                held.append([low <= t <= high for low, t, high in zip(fit.low, TRUE_THRESHOLDS, fit.high, strict=True)])
        rows.append(f"| {a_bin} | {np.sqrt(np.mean(np.square(off))):.3f} | {100 * np.mean(held):.0f} % |")
    return rows


def main() -> None:
    """Measure, print, and write the tables into a page where one is given."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scanners", type=int, default=len(SCANNERS))
    parser.add_argument("--side-px", type=int, default=1024)
    parser.add_argument("--replicates", type=int, default=200)
    parser.add_argument("--write", type=Path, help="page whose tables are replaced")
    given = parser.parse_args()
    tables = {"rules": rule_table(given.replicates), "counts": count_table(given.replicates)}
    publish_tables({**tables, **scanner_tables(given.scanners, given.side_px)}, given.write)


if __name__ == "__main__":
    main()
