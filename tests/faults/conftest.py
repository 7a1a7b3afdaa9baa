"""What all tests of stopped runs begin with; scored once, and never changed."""

from __future__ import annotations

import pytest

from faults.interrupted import Stoppable, data_of, draw_stoppable, torn_files
from slidescore.pipeline.cohort import RunOptions, score_directory


@pytest.fixture(scope="session")
def stoppable(tmp_path_factory: pytest.TempPathFactory) -> Stoppable:
    return draw_stoppable(tmp_path_factory.mktemp("stoppable"))


@pytest.fixture(scope="session")
def undisturbed(stoppable: Stoppable, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The data files of a run that nothing happened to."""
    out = tmp_path_factory.mktemp("runs") / "run"
    summary = score_directory(stoppable.slides, out, stoppable.assay, options=RunOptions(workers=1))
    assert not summary.failed
    assert torn_files(out) == []
    return data_of(out)
