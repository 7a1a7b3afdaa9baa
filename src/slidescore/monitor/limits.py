"""When a chart alarms: limits and sums that hold a stated rate of false alarms although the baseline is small.

A new slide is compared with a baseline of n slides whose mean and standard deviation are themselves uncertain. Under
no change the standardised difference t = (x - mean) / (sd * sqrt(1 + 1/n)) has Student's distribution with n - 1
degrees of freedom; q, the normal deviate of the same probability, is then exactly standard normal for any n
(Quesenberry 1991, J. Qual. Technol. 23:213, "Q charts"). The Levey-Jennings limits bound q of a slide; the
tabular CUSUM (Page 1954, Biometrika 41:100; Montgomery, Introduction to Statistical Quality Control, 9.1) sums what
exceeds an allowance. A reference below 60 slides grows by the batches that no chart holds, as self-starting charts do
(Hawkins 1987, The Statistician 36:299).

False alarms are shared out beforehand: 1 % of the batches over all charts of a set of slides, evenly among the charts.
Of a chart's share three tenths go to the Levey-Jennings limits, by Bonferroni among the slides of a batch: they are for
single slides. The CUSUM's allowance and limit were chosen by simulation, so that all charts together stay below 1 % of
batches of 5 to 40 slides after baselines of 20, with room for an unlucky draw, and a shift of the control's optical
density by 15 %, at 4 % between slides, is found within a median of 3 slides (docs/monitor.md, made by
benchmarks/monitor.py).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from slidescore.monitor.measures import MEASURES

Floats = NDArray[np.float64]

FALSE_ALARM_A_BATCH: Final = 0.01
"""Share of batches that all charts together hold although nothing changed, at most."""
LEVEY_JENNINGS_SHARE: Final = 0.3
"""Of a chart's false alarms; the rest is the CUSUM's, which finds shifts sooner."""
SLIDES_A_BATCH: Final = 20
"""Limits hold for batches up to this size; a larger one widens them."""
MIN_BASELINE: Final = 20
"""Slides of the baseline that have a measure, at least: with fewer, limits lie so far out that they guard nothing."""
ENOUGH: Final = 60
"""Slides of a reference that is left as it is. A smaller one is joined by batches that no chart held: an unlucky draw
of 20 slides would otherwise hold every batch that follows. A larger one would follow a slow drift."""
CUSUM_ALLOWANCE: Final = 1.75
"""In SD of a slide: half of the shift to be found, 15 % at 4 % between slides, as the usual choice, less what the
uncertainty of a small baseline takes from it."""
CUSUM_LIMIT: Final = 3.4
"""In SD, for batches of up to 20; from simulation, see above."""
FARTHEST_Q: Final = 8.0
"""Deviates are cut here: beyond it probabilities are too small for floats, and one slide is no trend."""


@dataclass(frozen=True, slots=True)
class Baseline:
    """What a measure was when all was well: its mean, standard deviation and number of slides.

    Attributes
    ----------
    mean, sd
        In the measure's unit; sd is that between slides, and at least the measure's `least_sd`.
    n
        Slides that have the measure.
    """

    mean: float
    sd: float
    n: int


@dataclass(frozen=True, slots=True)
class Limits:
    """Where a chart alarms.

    Attributes
    ----------
    low, high
        Of a slide's value, in the measure's unit.
    cusum
        Of both sums, in SD.
    """

    low: float
    high: float
    cusum: float


def make_baseline(values: Floats, least_sd: float) -> Baseline | None:
    """Describe the values of a baseline; None where there are fewer than 20.

    Parameters
    ----------
    values
        float64, (n,), NaN where a slide was not measured.
    least_sd
        Smallest standard deviation that is believed.
    """
    known = values[np.isfinite(values)]
    if len(known) < MIN_BASELINE:
        return None
    return Baseline(float(known.mean()), max(float(known.std(ddof=1)), least_sd), len(known))


def deviates(values: Floats, baseline: Baseline) -> Floats:
    """Return q of new slides: standard normal where nothing changed, float64, (n,), NaN where there is no value."""
    t = (values - baseline.mean) / (baseline.sd * math.sqrt(1 + 1 / baseline.n))
    q = np.sign(t) * stats.norm.isf(stats.t.sf(np.abs(t), baseline.n - 1))
    cut: Floats = np.clip(q, -FARTHEST_Q, FARTHEST_Q)
    return cut


def place_limits(baseline: Baseline, largest_batch: int) -> Limits:
    """Place the limits of a chart.

    Parameters
    ----------
    baseline
        Of the measure.
    largest_batch
        Slides of the largest batch; counts where it is above 20.
    """
    slides = max(SLIDES_A_BATCH, largest_batch)
    alpha = FALSE_ALARM_A_BATCH * LEVEY_JENNINGS_SHARE / len(MEASURES) / slides
    reach = float(stats.t.isf(alpha / 2, baseline.n - 1)) * baseline.sd * math.sqrt(1 + 1 / baseline.n)
    # The time between false alarms grows as exp(2 * allowance * limit) (Siegmund 1985, Sequential Analysis, 2.6).
    cusum = CUSUM_LIMIT + math.log(slides / SLIDES_A_BATCH) / (2 * CUSUM_ALLOWANCE)
    return Limits(baseline.mean - reach, baseline.mean + reach, cusum)


def cusum(q: Floats, start: tuple[float, float] = (0.0, 0.0)) -> tuple[Floats, Floats]:
    """Sum what exceeds the allowance, upwards and downwards, over slides in their order.

    Parameters
    ----------
    q
        float64, (n,), NaN where a slide was not measured: it leaves the sums as they are.
    start
        Both sums before the first slide.

    Returns
    -------
    up, down
        float64, (n,): both sums after each slide.
    """
    up, down = np.empty(len(q)), np.empty(len(q))
    high, low = start
    for k, value in enumerate(q.tolist()):
        if not math.isnan(value):
            high, low = max(0.0, high + value - CUSUM_ALLOWANCE), max(0.0, low - value - CUSUM_ALLOWANCE)
        up[k], down[k] = high, low
    return up, down
