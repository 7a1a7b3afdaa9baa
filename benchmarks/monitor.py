"""False alarms and delays of the control charts: `python benchmarks/monitor.py --write docs/monitor.md`.

Series of slides are drawn for every measure (`simulated_batches.py`), charted by the very code that charts runs, and
two things are counted: batches that are held although nothing changed, and slides from a shift of the control's optical
density to its alarm.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from page_tables import publish_tables
from scipy.stats import beta
from simulated_batches import LEAD, N_BATCHES, UNCHANGED, Law, delays, false_alarms

BATCH_SIZES, BASELINES, SHIFTS = (5, 10, 20, 40), (20, 30, 60), (0.15, -0.15, 0.10, -0.10)
LAWS = (
    UNCHANGED,
    Law("Student's, 5 degrees of freedom", degrees=5.0),
    Law("a tenth of the variance between batches", 0.1),
    Law("a third of the variance between batches", 1 / 3),
)


def _false_alarm_table(n_seeds: int) -> Iterator[str]:
    yield "| spread of slides | baseline | a batch | batches | held | rate, % (95 % interval) | worst series, % |"
    yield "|---|---:|---:|---:|---:|---:|---:|"
    cases = [(law, 20, size) for law in LAWS[:1] for size in BATCH_SIZES]
    cases += [(LAWS[0], n, 20) for n in BASELINES[1:]] + [(law, n, 20) for law in LAWS[1:] for n in (20, 60)]
    for law, n_baseline, size in cases:
        held = false_alarms(range(n_seeds), n_baseline, size, law)
        total, k = n_seeds * N_BATCHES, int(held.sum())
        low = beta.ppf(0.025, k, total - k + 1) if k else 0.0
        high = beta.ppf(0.975, k + 1, total - k)
        yield (
            f"| {law.name} | {n_baseline} | {size} | {total:,} | {k} | {100 * k / total:.2f} ({100 * low:.2f} to "
            f"{100 * high:.2f}) | {100 * held.max() / N_BATCHES:.0f} |"
        )


def _delay_table(n_seeds: int) -> Iterator[str]:
    yield "| baseline | then unchanged | shift of control OD | median delay | within 3 | within 5 | 90th percentile |"
    yield "|---:|---:|---:|---:|---:|---:|---:|"
    for n_baseline, lead in ((20, 0), (20, LEAD), (30, LEAD), (60, LEAD)):
        for shift in SHIFTS:
            found = delays(range(n_seeds), n_baseline, shift, lead=lead)
            within = " | ".join(f"{100 * np.mean(found <= limit):.0f} %" for limit in (3, 5))
            said = f"{100 * shift:+.0f} %".replace("-", "−")
            median, late = np.median(found), np.percentile(found, 90)
            yield f"| {n_baseline} | {lead} | {said} | {median:.0f} | {within} | {late:.0f} |"


def main() -> None:
    """Simulate, print, and write the tables into a page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=400)
    parser.add_argument("--write", type=Path)
    options = parser.parse_args()
    tables = {
        "false alarms": list(_false_alarm_table(options.seeds)),
        "delays": list(_delay_table(options.seeds)),
    }
    publish_tables(tables, options.write)


if __name__ == "__main__":
    main()
