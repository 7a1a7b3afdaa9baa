"""Made-up reviews: a slide of cells in a row, and reviewers who act on it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from slidescore.assay import Assay
from slidescore.audit.drafts import draft_event
from slidescore.audit.events import NO_DIGEST, Draft, Event
from slidescore.audit.requests import parse_request
from slidescore.audit.reviewed import ReviewSubject
from slidescore.audit.state import SlideReview, cell_places, fold_review
from slidescore.scoring import Coverage, cell_bins, tumor_cells

SLIDE, DIGEST, OTHER_DIGEST = "a-01234567", "ab" * 32, "cd" * 32
FULL = Coverage(1e6, 1e6, 0.0, 0.0, 0.0)


def make_subject(cells: pa.Table, assay: Assay, **changes: Any) -> ReviewSubject:
    values = {
        "slide_id": SLIDE,
        "result_digest": DIGEST,
        "cells": cells,
        "places": cell_places(cells),
        "bins": cell_bins(cells, assay, assay.score.compartment)[0],
        "tumor": tumor_cells(cells, assay).astype(np.int8),
        "assay": assay,
        "coverage": FULL,
        "refusal": "",
        "mpp": 0.5,
        "seed": 7,
    }
    return ReviewSubject(**(values | changes))


def body_of(kind: str, *, reviewer: str = "Ann", reason: str = "seen", digest: str = DIGEST, **said: Any) -> Any:
    return {"kind": kind, "reviewer": reviewer, "reason": reason, "result_digest": digest, **said}


def stored(draft: Draft, seq: int) -> Event:
    """The event of a draft, without the log that makes its digests."""
    utc = f"2001-02-03T04:05:{seq % 60:02}.000+00:00"
    return Event(
        seq,
        utc,
        draft.reviewer,
        draft.slide_id,
        draft.result_digest,
        draft.kind,
        draft.payload,
        NO_DIGEST,
        f"{seq:064}",
    )


@dataclass
class Desk:
    """Reviewers at one slide; `act` returns the number of what was stored."""

    subject: ReviewSubject
    events: list[Event] = field(default_factory=list)

    def act(self, kind: str, **said: Any) -> int:
        draft = draft_event(parse_request(body_of(kind, **said)), self.events, self.subject)
        self.events.append(stored(draft, len(self.events) + 1))
        return len(self.events)

    @property
    def review(self) -> SlideReview:
        return self.fold(self.events)

    def fold(self, events: Sequence[Event]) -> SlideReview:
        return fold_review(events, SLIDE, DIGEST, self.subject.places)

    @property
    def last(self) -> dict[str, Any]:
        """The payload of the last event."""
        return dict(self.events[-1].payload)


def box(x0: float, x1: float, *, half: float = 5.0) -> list[list[float]]:
    """A region around the cells of `conftest.make_cells`, which stand on y = 0, 20 px apart."""
    return [[x0, -half], [x1, -half], [x1, half], [x0, half]]
