"""The stated rates on a small, seeded part of the simulation of docs/monitor.md."""

from __future__ import annotations

import numpy as np
import pytest
from simulated_batches import delays, false_alarms

from slidescore.monitor.limits import FALSE_ALARM_A_BATCH


@pytest.mark.parametrize("size", [5, 20])
def test_all_charts_together_hold_at_most_one_unchanged_batch_in_a_hundred(size: int) -> None:
    held = false_alarms(range(100), 20, size, n_batches=10)
    assert held.sum() <= FALSE_ALARM_A_BATCH * 100 * 10


@pytest.mark.parametrize(("n_baseline", "lead"), [(20, 0), (20, 20), (60, 20)])
def test_a_shift_of_15_percent_is_found_within_three_slides(n_baseline: int, lead: int) -> None:
    found = np.concatenate([delays(range(40), n_baseline, shift, lead=lead) for shift in (0.15, -0.15)])
    assert np.median(found) <= 3
    assert np.mean(found <= 10) > 0.97
