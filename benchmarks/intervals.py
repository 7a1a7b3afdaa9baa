"""How often intervals hold what they claim: `python benchmarks/intervals.py --write docs/intervals.md`.

Thousands of slides are made as counts on squares by processes whose scores are known (`simulated_squares.py`), and
some hundred are drawn and measured (`rendered_intervals.py`; kept in --work, so the same command goes on). Tables are
written between the page's markers.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from page_tables import publish_tables
from rendered_intervals import render_slides
from scipy.stats import beta
from simulated_squares import Clusters, Process, draw_squares

from slidescore.assay import load_assay
from slidescore.assay.model import Cutoff, Score
from slidescore.scoring.intervals import Uncertainty, bootstrap, interval_of, seed_of, uncertainty, uncertainty_of
from slidescore.scoring.schemes import score_counts
from slidescore.scoring.squares import SquareCounts, squares_from_lists

ROOT = Path(__file__).resolve().parent.parent
ASSAY = load_assay("cxcr4").assay
SETTINGS, SCORE = ASSAY.interval, ASSAY.score
SCHEMES = ("h_score", "percent_positive", "irs", "allred")
KINDS: dict[str, tuple[tuple[float, str], ...]] = {
    "none: every cell for itself": (),
    "rough, 100 um": ((100.0, "rough"),),
    "rough, 250 um": ((250.0, "rough"),),
    "rough, 500 um": ((500.0, "rough"),),
    "rough, 1 mm": ((1000.0, "rough"),),
    "rough, 1.5 mm": ((1500.0, "rough"),),
    "rough, 100 um and 1 mm": ((100.0, "rough"), (1000.0, "rough")),
    "smooth, 500 um": ((500.0, "smooth"),),
    "smooth, 1.5 mm": ((1500.0, "smooth"),),
    "patches, 300 um": ((300.0, "patches"),),
    "patches, 1 mm": ((1000.0, "patches"),),
}
"""Fields that the staining follows: range and kind (`simulated_squares.Clusters`)."""
BEYOND = {"rough, 3 mm": ((3000.0, "rough"),), "rough, 6 mm": ((6000.0, "rough"),)}
"""Ranges about as long as the tissue, where no method can hold; shown apart."""
AREAS = (5.0, 260.0)
"""Tissue, in squares; with its ragged edge it touches 10 to about 430 of them."""
GROUPS = ((10, 19), (20, 49), (50, 149), (150, 1000))
LEVELS = {"H 10 to 60": (10.0, 60.0), "H 60 to 240": (60.0, 240.0), "H 240 to 290": (240.0, 290.0)}
CUTOFFS, AROUND = (60.0, 150.0, 240.0), 40.0


@dataclass(frozen=True)
class Trial:
    """One simulated slide: what made it, and by scheme the truth, the interval, and the plain percentile interval."""

    kind: str
    level: str
    n_squares: int
    truth: dict[str, float]
    found: dict[str, Uncertainty]
    plain: tuple[float, float]


def draw_process(rng: np.random.Generator, kind: tuple[tuple[float, str], ...], h_score: float) -> Process:
    """Draw everything about a process but its clusters and its H-score."""
    total = rng.uniform(0.1, 0.5)
    clusters = tuple(Clusters(range_um, total / len(kind), name) for range_um, name in kind)
    process = Process(
        mean_od=0.0,
        sd_od=rng.uniform(0.15, 0.3),
        clusters=clusters,
        nest_share=rng.uniform(0.4, 0.9),
        cells_per_mm2=rng.uniform(500, 3000),
        density_sd=rng.uniform(0.2, 0.8),
    )
    return process.with_h_score(h_score)


def draw_slide(rng: np.random.Generator, process: Process, areas: tuple[float, float] = AREAS) -> SquareCounts:
    """Draw a slide with enough squares for an interval; one with fewer is drawn again."""
    while True:
        squares = draw_squares(rng, process, float(np.exp(rng.uniform(*np.log(areas)))))
        if squares.n_squares >= SETTINGS.min_squares:
            return squares


def run_trial(kind: str, fields: tuple[tuple[float, str], ...], level: str, seed: Sequence[int]) -> Trial:
    """Draw one slide and give it intervals."""
    rng = np.random.default_rng(list(seed))
    process = draw_process(rng, fields, rng.uniform(*LEVELS[level]))
    squares = draw_slide(rng, process)
    drawn = bootstrap(squares, SETTINGS, seed_of(kind, *map(str, seed)))
    plain = score_counts("h_score", drawn.weights.astype(np.float64) @ squares.counts, SCORE)
    return Trial(
        kind,
        level,
        squares.n_squares,
        {scale: float(score_counts(scale, process.bin_shares, SCORE)) for scale in SCHEMES},
        {scale: uncertainty_of(drawn, squares.counts, scale, SCORE) for scale in SCHEMES},
        interval_of(plain),
    )


def run_trials(kinds: dict[str, tuple[tuple[float, str], ...]], count: int, seed: int) -> list[Trial]:
    """Run `count` slides of every kind and level of H."""
    trials = []
    for number, (kind, fields) in enumerate(kinds.items()):
        for index, level in enumerate(LEVELS):
            trials += [run_trial(kind, fields, level, (seed, number, index, each)) for each in range(count)]
        print(f"{kind}: {share(trials[-3 * count :], covers):.3f}", flush=True)
    return trials


def covers(trial: Trial, scale: str = "h_score") -> bool:
    """Whether the interval holds the truth."""
    found = trial.found[scale]
    return found.low <= trial.truth[scale] <= found.high


def misses(trial: Trial, scale: str, side: int) -> bool:
    """Whether the truth lies below (side -1) or above (side 1) the interval."""
    found, truth = trial.found[scale], trial.truth[scale]
    return truth < found.low if side < 0 else truth > found.high


def naive_covers(trial: Trial, scale: str = "h_score") -> bool:
    """Whether the naive interval holds the truth."""
    found = trial.found[scale]
    return found.naive_low <= trial.truth[scale] <= found.naive_high


def plain_covers(trial: Trial) -> bool:
    """Whether the percentile interval of squares drawn again, without a correction, holds the H of the process."""
    return trial.plain[0] <= trial.truth["h_score"] <= trial.plain[1]


def share(trials: Sequence[Trial], what: Callable[[Trial], bool]) -> float:
    """Share of trials of which something holds."""
    return float(np.mean([what(each) for each in trials])) if trials else float("nan")


def exact(held: int, of: int) -> str:
    """Write a share in percent with its Clopper-Pearson interval."""
    low = 0.0 if held == 0 else float(beta.ppf(0.025, held, of - held + 1))
    high = 1.0 if held == of else float(beta.ppf(0.975, held + 1, of - held))
    return f"{100 * held / of:.1f} % ({100 * low:.1f}-{100 * high:.1f})"


def _percent(value: float) -> str:
    return "" if np.isnan(value) else f"{100 * value:.1f}"


def coverage_tables(trials: Sequence[Trial], name: str) -> Iterator[tuple[str, list[str]]]:
    """Yield coverage by kind of cluster and number of squares."""
    heads = [f"{low} to {high}" if high < 1000 else f"{low} and more" for low, high in GROUPS]
    lines = [
        f"| clusters | slides | {' | '.join(heads)} | all | half-width | squares alone | cells alone |",
        "|---" * (len(heads) + 6) + "|",
    ]
    kinds = list(dict.fromkeys(each.kind for each in trials))
    for kind in [*kinds, "all"]:
        those = [each for each in trials if kind in ("all", each.kind)]
        groups = [[each for each in those if low <= each.n_squares <= high] for low, high in GROUPS]
        width = np.mean([each.found["h_score"].high - each.found["h_score"].low for each in those]) / 2
        cells = [
            *(_percent(share(group, covers)) for group in groups),
            f"**{_percent(share(those, covers))}**",
            f"{width:.1f}",
            _percent(share(those, plain_covers)),
            _percent(share(those, naive_covers)),
        ]
        lines.append(f"| {kind} | {len(those):,} | {' | '.join(cells)} |")
    yield name, lines


def scheme_table(trials: Sequence[Trial]) -> tuple[str, list[str]]:
    """Tabulate coverage by score and level."""
    lines = ["| score | " + " | ".join(LEVELS) + " | all | truth below / above | cells alone |", "|---" * 7 + "|"]
    for scale in SCHEMES:
        groups = [[each for each in trials if each.level == level] for level in LEVELS]
        held, naive = partial(covers, scale=scale), partial(naive_covers, scale=scale)
        levels = " | ".join(_percent(share(group, held)) for group in groups)
        below, above = (share(trials, partial(misses, scale=scale, side=side)) for side in (-1, 1))
        lines.append(
            f"| {scale} | {levels} | {_percent(share(trials, held))} | {_percent(below)} / {_percent(above)} | "
            f"{_percent(share(trials, naive))} |"
        )
    return "interval schemes", lines


def calibration_table(count: int, seed: int) -> tuple[str, list[str]]:
    """Tabulate how often a slide's process meets the cut-off, by decile of p_high."""
    found, met = [], []
    kinds = list(KINDS.values())
    for number in range(count):
        rng = np.random.default_rng([seed, 99, number])
        value = float(rng.choice(CUTOFFS))
        cutoff = Cutoff(
            scale="h_score", compartment="cell", operator=">=", value=value, status="provisional",
            meaning=None, source="simulation",
        )  # fmt: skip
        truth = value + rng.uniform(-AROUND, AROUND)
        process = draw_process(rng, kinds[number % len(kinds)], truth)
        squares = draw_slide(rng, process)
        known = uncertainty(squares, "h_score", SCORE, SETTINGS, seed_of("p_high", str(seed), str(number)), cutoff)
        found.append(known.p_high)
        met.append(truth >= value)
    p_high, meets = np.array(found), np.array(met)
    group = np.minimum((p_high * 10).astype(int), 9)
    lines = ["| p_high | slides | mean p_high | process meets the cut-off | difference |", "|---" * 5 + "|"]
    for each in range(10):
        those = group == each
        mean, observed = p_high[those].mean(), meets[those].mean()
        lines.append(
            f"| {each / 10:.1f} to {(each + 1) / 10:.1f} | {those.sum()} | {mean:.3f} | {observed:.3f} | "
            f"{observed - mean:+.3f} |"
        )
    return "interval p_high", lines


def rendered_table(slides: Sequence[dict[str, Any]]) -> tuple[str, list[str]]:
    """Tabulate the coverage on drawn slides, of what was drawn and of what was measured."""
    scored = [each for each in slides if each["status"] == "scored"]
    held = {"drawn": 0, "measured": 0, "naive": 0}
    off, above, n_squares, n_cells = [], [], [], []
    settings = SETTINGS.model_copy(update={"square_um": 128.0})
    for each in scored:
        truth = _h(np.array(each["shares"]))
        tables = {name: squares_from_lists(each[name]) for name in ("drawn", "measured")}
        for name, table in tables.items():
            known = uncertainty(table, "h_score", SCORE, settings, int(each["seed"], 16))
            held[name] += known.low <= truth <= known.high
            if name == "measured":
                held["naive"] += known.naive_low <= truth <= known.naive_high
        off.append(_h(tables["measured"].total) - _h(tables["drawn"].total))
        above.append(_h(tables["drawn"].total) - truth)
        n_squares.append(tables["measured"].n_squares)
        n_cells.append(tables["measured"].total.sum())
    n = len(scored)
    return "interval rendered", [
        "| | |",
        "|---|---|",
        f"| slides drawn; with a score | {len(slides)}; {n} |",
        f"| squares that hold tumor cells; cells | {min(n_squares)} to {max(n_squares)}; "
        f"{min(n_cells):.0f} to {max(n_cells):.0f} |",
        f"| H of the drawn cells less H of the process: mean, SD | {np.mean(above):+.1f}, {np.std(above):.1f} |",
        f"| H measured less H of the drawn cells: mean, SD | {np.mean(off):+.1f}, {np.std(off):.1f} |",
        f"| intervals of what was measured hold the H of the process | {exact(held['measured'], n)} |",
        f"| intervals of the drawn cells' own table do | {exact(held['drawn'], n)} |",
        f"| naive intervals of what was measured do | {exact(held['naive'], n)} |",
    ]


def _h(counts: np.ndarray) -> float:
    return float(score_counts("h_score", counts, Score(scheme="h_score", compartment="cell", irs_intensity="modal")))


def main() -> None:
    """Run the simulations, print their tables, and write them into the page if asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=70, help="simulated slides of each kind and level of H")
    parser.add_argument("--calibration", type=int, default=5500, help="simulated slides for p_high")
    parser.add_argument("--rendered", type=int, default=300, help="drawn slides")
    parser.add_argument("--seed", type=int, default=2026)
    parser.add_argument("--work", type=Path, default=ROOT / "runs" / "intervals", help="where drawn slides are kept")
    parser.add_argument("--write", type=Path, help="page to write the tables into")
    arguments = parser.parse_args()
    tables: dict[str, list[str]] = {}
    if arguments.count:
        trials = run_trials(KINDS, arguments.count, arguments.seed)
        tables |= dict(coverage_tables(trials, "interval coverage"))
        tables |= dict([scheme_table(trials)])
        beyond = run_trials(BEYOND, arguments.count, arguments.seed + 1)
        tables |= dict(coverage_tables(beyond, "interval beyond"))
    if arguments.calibration:
        tables |= dict([calibration_table(arguments.calibration, arguments.seed)])
    if arguments.rendered:
        tables |= dict([rendered_table(render_slides(arguments.rendered, arguments.work))])
    publish_tables(tables, arguments.write)


if __name__ == "__main__":
    main()
