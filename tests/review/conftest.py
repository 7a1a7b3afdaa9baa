"""The scored run that the tests of the server share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from review.asgi import Client
from review.made_app import ScoredRun, score_drawn_slides, served


@pytest.fixture(scope="session")
def scored_run(tmp_path_factory: pytest.TempPathFactory) -> ScoredRun:
    """A run that no test writes to."""
    return score_drawn_slides(tmp_path_factory.mktemp("review"))


@pytest.fixture(scope="module")
def own_run(scored_run: ScoredRun, tmp_path_factory: pytest.TempPathFactory) -> ScoredRun:
    """A copy of the run that the tests of one module write to."""
    return scored_run.copy(tmp_path_factory.mktemp("own"))


@pytest.fixture
def client(own_run: ScoredRun) -> Iterator[Client]:
    """A client of the app over the module's own run."""
    with served(own_run.run, reviewer="A. Reader") as opened:
        yield opened


@pytest.fixture
def blind_client(own_run: ScoredRun) -> Iterator[Client]:
    """The same run for blind readers."""
    with served(own_run.run, reviewer="B. Reader", blind=True) as opened:
        yield opened
