"""Series of slides drawn for every measure that monitoring charts, by laws whose changes are known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from slidescore.monitor.charts import MonitoredSlide, draw_up_charts
from slidescore.monitor.measures import CONTROL_DAB_OD, MEASURES, floor_degrees

CONTROL_OD, CONTROL_CV = 0.55, 0.04
CELLS, FLOOR_SHARE, FLOOR_CONCENTRATION = 2000, 0.01, 400.0
"""Cells of negative control tissue, and how their positive share spreads between slides: beta, by half of its mean."""
BASELINE_BATCH = 5
N_BATCHES = 40
"""Unchanged batches a series."""
LEAD = 20
"""Unchanged slides after the baseline and before a shift."""
WATCHED = 15
"""Slides after a shift."""


@dataclass(frozen=True)
class Law:
    """How slides spread: the share of the variance that is between batches, and the tails (normal, or Student's)."""

    name: str = "normal, slides independent"
    between_batches: float = 0.0
    degrees: float = np.inf


UNCHANGED = Law()


def draw_slides(
    rng: np.random.Generator, n_baseline: int, sizes: Sequence[int], law: Law, *, od_factors: np.ndarray | None = None
) -> list[MonitoredSlide]:
    """Draw a series: a baseline in batches of 5, then batches of `sizes`.

    `od_factors`: of each slide after the baseline, what the optical density of its control is multiplied by.
    """
    of_baseline = [f"base {k // BASELINE_BATCH}" for k in range(n_baseline)]
    names = of_baseline + [f"batch {k}" for k, size in enumerate(sizes) for _ in range(size)]
    n = len(names)
    z = {name: _deviates(rng, names, law) for name in ("od", "across", "along", "red", "blue", "counterstain")}
    factors = np.ones(n)
    if od_factors is not None:
        factors[n_baseline:] = od_factors
    share = rng.beta(FLOOR_SHARE * FLOOR_CONCENTRATION, (1 - FLOOR_SHARE) * FLOOR_CONCENTRATION, n)
    positive = rng.binomial(CELLS, share)
    red, blue = np.round(238 + 1.5 * z["red"]), np.round(233 + 1.5 * z["blue"])
    values = {
        "control_dab_od": CONTROL_OD * (1 + CONTROL_CV * z["od"]) * factors,
        "floor_degrees": np.array([floor_degrees(int(k), CELLS) for k in positive]),
        "dab_across_degrees": z["across"],
        "dab_along_degrees": 36 + 1.5 * z["along"],
        "white_level": (red + 237 + blue) / 3,
        "white_balance_od": np.log10(red / blue),
        "counterstain_od": 0.30 * (1 + 0.08 * z["counterstain"]),
    }
    assert set(values) == {measure.name for measure in MEASURES}
    return [
        MonitoredSlide(
            "run", f"s{k}", f"s{k}.svs", names[k], "control_positive", k < n_baseline,
            {name: float(own[k]) for name, own in values.items()}, {},
        )
        for k in range(n)
    ]  # fmt: skip


def false_alarms(
    seeds: range, n_baseline: int, size: int, law: Law = UNCHANGED, n_batches: int = N_BATCHES
) -> np.ndarray:
    """Unchanged batches that are held, of `n_batches`, for each seed; int, (seeds,)."""
    held = []
    for seed in seeds:
        rng = np.random.default_rng([seed, n_baseline, size])
        slides = draw_slides(rng, n_baseline, [size] * n_batches, law)
        charts, _ = draw_up_charts(slides)
        alarms = np.any([chart.alarms for chart in charts], axis=0)
        held.append(len({slides[k].batch for k in np.flatnonzero(alarms)}))
    return np.array(held)


def delays(seeds: range, n_baseline: int, shift: float, *, lead: int = LEAD, size: int = 20) -> np.ndarray:
    """Slides from a shift of the control's optical density to the alarm of its chart, for each seed.

    The shift sets in after `lead` unchanged slides; a series in which the chart alarmed before is drawn
    again. Beyond the slides watched it counts as one more than they are.
    """
    found = []
    factors = np.repeat([1.0, 1.0 + shift], [lead, WATCHED])
    sizes = [size] * -(-len(factors) // size)
    factors = np.concatenate([factors, np.full(sum(sizes) - len(factors), 1.0 + shift)])
    for seed in seeds:
        for attempt in range(100):
            rng = np.random.default_rng([seed, n_baseline, attempt])
            charts, _ = draw_up_charts(draw_slides(rng, n_baseline, sizes, UNCHANGED, od_factors=factors))
            chart = next(each for each in charts if each.measure is CONTROL_DAB_OD)
            alarms = chart.alarms[n_baseline : n_baseline + lead + WATCHED]
            if not alarms[:lead].any():
                break
        after = np.flatnonzero(alarms[lead:])
        found.append(int(after[0]) + 1 if len(after) else WATCHED + 1)
    return np.array(found)


def _deviates(rng: np.random.Generator, names: Sequence[str], law: Law) -> np.ndarray:
    """Deviates of mean 0 and variance 1 for each slide, alike within a batch as far as the law says."""
    _, batch = np.unique(names, return_inverse=True)
    own = rng.normal(size=len(names)) if np.isinf(law.degrees) else rng.standard_t(law.degrees, len(names))
    own = own if np.isinf(law.degrees) else own / np.sqrt(law.degrees / (law.degrees - 2))
    between = rng.normal(size=batch.max() + 1)[batch]
    return np.sqrt(1 - law.between_batches) * own + np.sqrt(law.between_batches) * between
