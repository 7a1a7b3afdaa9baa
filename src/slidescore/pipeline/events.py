"""What a run tells about itself: what happens to its slides while it goes on, and at its end what it came to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from slidescore.cohort.roll_up import PatientScore
from slidescore.errors import SlidescoreError


@dataclass(frozen=True, slots=True)
class SlideEvent:
    """Something happened to a slide.

    `kind` is `skipped` (done before), `progress` (with tiles done, tiles in all and cells), `scored` or `failed`.
    """

    kind: str
    number: int
    total: int
    file: str
    progress: tuple[int, int, int] = (0, 0, 0)
    row: dict[str, Any] = field(default_factory=dict)
    seconds: float = 0.0
    error: SlidescoreError | None = None


@dataclass(frozen=True, slots=True)
class RunSummary:
    """What a run came to: the rows of scores.csv, in the order of the files, and the patients by their ids."""

    folder: Path
    rows: tuple[dict[str, Any], ...]
    n_skipped: int
    warnings: tuple[str, ...] = ()
    patients: tuple[PatientScore, ...] = ()

    @property
    def failed(self) -> list[dict[str, Any]]:
        """The rows of slides without a result."""
        return [row for row in self.rows if row["status"] == "failed"]


Listener = Callable[[SlideEvent], None]
