from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from monitor.made_runs import Made, make_run, make_template


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_template(tmp_path_factory.mktemp("monitor") / "template")


def made_slides(name: str, n: int, factor: float = 1.0, seed: int = 0) -> list[Made]:
    """Slides with both controls; `factor` multiplies the density of the positive one."""
    rng = np.random.default_rng(seed)
    return [
        Made(
            f"{name}_{k:02}.svs", control_od=0.5 * (1 + 0.04 * rng.normal()) * factor,
            negative_od=0.02 + 0.01 * rng.normal(), hue=float(rng.normal()),
            counterstain=float(0.3 + 0.02 * rng.normal()),
            white=tuple(np.round(np.array([238, 237, 233]) + rng.normal(size=3)).tolist()),
        )
        for k in range(n)
    ]  # fmt: skip


@pytest.fixture(scope="session")
def series(template: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Three runs: a baseline of 22 slides, six unchanged ones, six whose control is 20 % paler."""
    place = tmp_path_factory.mktemp("series")
    return [
        make_run(template, place / "2026-01", made_slides("jan", 22, seed=1)),
        make_run(template, place / "2026-02", made_slides("feb", 6, seed=2)),
        make_run(template, place / "2026-03", made_slides("mar", 6, factor=0.8, seed=3)),
    ]
