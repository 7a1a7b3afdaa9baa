"""What a slide's reviews come to: the fold of its events into corrections, a state and a history."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from slidescore.audit.events import EDITS, STEPS, Event
from slidescore.audit.region_cells import cells_inside
from slidescore.audit.runs import parse_runs
from slidescore.audit.story import tell
from slidescore.cells.table import floats
from slidescore.errors import RunFolderError
from slidescore.scoring.corrections import AS_MEASURED, Corrections, no_corrections
from slidescore.scoring.scores import CONTROL
from slidescore.scoring.selection import counted_cells

State = Literal["unreviewed", "open", "accepted", "rejected", "flagged", "overridden", "changed"]
SIGNED: Final = frozenset({"accepted", "rejected", "flagged", "overridden"})
"""States that a verdict made, and that an edit takes away."""
NOT_REVIEWING: Final = frozenset({"reading"})
"""Kinds whose author reviews nothing: a blind reader sees no result."""


@dataclass(frozen=True, slots=True, eq=False)
class CellPlaces:
    """Where cells are and whether they count, in the order of cell_id, which is a cell's row number.

    Attributes
    ----------
    x_l0, y_l0
        float64, (N,), centroids in level-0 px.
    counted
        bool, (N,), whether the machine counts the cell.
    control
        bool, (N,), whether it is of control tissue, which no region touches.
    """

    x_l0: NDArray[np.float64]
    y_l0: NDArray[np.float64]
    counted: NDArray[np.bool_]
    control: NDArray[np.bool_]

    def touched(self, polygon: Sequence[Sequence[float]]) -> NDArray[np.int64]:
        """Return the cells that a region touches, but for control tissue; int64, rising."""
        inside = cells_inside(np.asarray(polygon, dtype=np.float64), self.x_l0, self.y_l0)
        return np.flatnonzero(inside & ~self.control)


def cell_places(cells: pa.Table) -> CellPlaces:
    """Take the places from a cell table; needs its columns x, y and excluded."""
    # Also where its square is excluded: "annotation: control; qc: ink".
    control = pc.fill_null(pc.starts_with(cells.column("excluded"), CONTROL), False).to_numpy(zero_copy_only=False)
    x_l0, y_l0 = (floats(cells, axis).astype(np.float64) for axis in ("x", "y"))
    return CellPlaces(x_l0, y_l0, counted_cells(cells), control)


@dataclass(frozen=True, slots=True)
class ReviewRegion:
    """A drawn region that is in force: `seq` of its event, what it does, its corners [x, y] in level-0 px, by whom."""

    seq: int
    role: Literal["include", "exclude"]
    polygon: tuple[tuple[float, float], ...]
    reviewer: str
    reason: str


@dataclass(frozen=True, slots=True, eq=False)
class SlideReview:
    """The reviews of one result of a slide.

    Attributes
    ----------
    corrections
        What they changed about cells.
    state
        unreviewed: no edit and no verdict. open: edits without a verdict, or taken up again. changed: cells were
        edited after the verdict, which must be given again. Otherwise the last verdict.
    call
        What the call was overridden with while state is overridden; else None.
    reviewer, reason
        Whose act made the state, and the reason of the verdict that stands; empty where there is none.
    reviewers
        Everybody who edited, judged or commented, in order of appearance. Blind readers are not among them.
    regions
        Drawn regions in force, in the order they apply.
    history
        One dict an event about the slide, blind readings included: seq, utc, reviewer, kind, text (in plain words),
        reason, active (not undone; of verdicts: it stands), applies (false: of another result), undoable, redoable.
    head
        Digest of the last event about this result; empty without one.
    last_edit, last_undone
        By reviewer, what `can_undo` and `can_redo` return.
    """

    corrections: Corrections
    state: State
    call: str | None
    reviewer: str
    reason: str
    reviewers: tuple[str, ...]
    regions: tuple[ReviewRegion, ...]
    history: tuple[dict[str, Any], ...]
    head: str
    last_edit: Mapping[str, int]
    last_undone: Mapping[str, int]

    @property
    def n_corrected(self) -> int:
        """How many cells reviewers said anything of."""
        return self.corrections.n_corrected

    def can_undo(self, reviewer: str) -> int | None:
        """Return the reviewer's last edit that is in force, for one more undo; None without one."""
        return self.last_edit.get(reviewer)

    def can_redo(self, reviewer: str) -> int | None:
        """Return what the reviewer undid last, unless they edited since or somebody redid it; None without one."""
        return self.last_undone.get(reviewer)


def fold_review(events: Sequence[Event], slide_id: str, result_digest: str, cells: CellPlaces) -> SlideReview:
    """Fold the events of one slide; those of other slides are passed over, those of other results not applied.

    Edits in force apply in the order they were made, so a later one wins, and an edit that was undone and redone is
    back where it was.

    Raises
    ------
    RunFolderError
        If an event names a cell that the slide does not have, or its region holds other cells than it held.
    """
    own = [event for event in events if event.slide_id == slide_id]
    applied = [event for event in own if event.result_digest == result_digest]
    edits = edits_in_force(applied)
    regions = [event for event in edits if event.kind == "region"]
    signature = sign_off(applied)
    reviewers = dict.fromkeys(event.reviewer for event in applied if event.kind not in NOT_REVIEWING)
    return SlideReview(
        corrections=_apply(edits, cells),
        state=signature.state,
        call=signature.call,
        reviewer=signature.reviewer,
        reason=signature.reason,
        reviewers=tuple(reviewers),
        regions=tuple(_region(event) for event in regions),
        history=_history(own, result_digest, {event.seq for event in edits}, signature.seq),
        head=applied[-1].digest if applied else "",
        last_edit={event.reviewer: event.seq for event in edits},
        last_undone=_last_undone(applied),
    )


def last_change(events: Sequence[Event], slide_id: str, result_digest: str) -> Event | None:
    """Return the last event that changed cells or regions of a slide's result; None without one. Needs no cells."""
    for event in reversed(events):
        if (event.slide_id, event.result_digest) == (slide_id, result_digest) and event.kind in EDITS | STEPS:
            return event
    return None


def edits_in_force(applied: Sequence[Event]) -> list[Event]:
    """Return the edits of one result that are not undone, in order."""
    force: dict[int, bool] = {}
    for event in applied:
        if event.kind in EDITS:
            force[event.seq] = True
        elif event.kind in STEPS and event.payload["of"] in force:
            force[event.payload["of"]] = event.kind == "redo"
    return [event for event in applied if force.get(event.seq)]


def edits_of(
    events: Sequence[Event], slide_id: str, result_digest: str, cells: CellPlaces, cell_id: int
) -> tuple[int, ...]:
    """Return the numbers of the edits in force that touch a cell."""
    applied = [event for event in events if (event.slide_id, event.result_digest) == (slide_id, result_digest)]
    one = slice(cell_id, cell_id + 1)
    place = CellPlaces(cells.x_l0[one], cells.y_l0[one], cells.counted[one], cells.control[one])
    return tuple(
        event.seq
        for event in edits_in_force(applied)
        if (
            len(place.touched(event.payload["polygon"]))
            if event.kind == "region"
            else cell_id in parse_runs(event.payload["cells"])
        )
    )


def _apply(edits: Sequence[Event], cells: CellPlaces) -> Corrections:
    corrections = no_corrections(len(cells.x_l0))
    for event in edits:
        if event.kind == "region":
            touched = cells.touched(event.payload["polygon"])
            if len(touched) != event.payload["n_cells"]:
                raise RunFolderError(
                    f"event {event.seq} is a region of {event.payload['n_cells']} cells, and holds {len(touched)}",
                    where=event.slide_id,
                    remedy="see 'slidescore verify'",
                )
            # What the machine counts needs no one to put it back.
            back = np.where(cells.counted[touched], AS_MEASURED, 1)
            corrections.counted[touched] = back if event.payload["role"] == "include" else 0
            continue
        ids = parse_runs(event.payload["cells"])
        if ids[-1] >= len(corrections.bins):
            raise RunFolderError(
                f"event {event.seq} names cell {ids[-1]}, and there are {len(corrections.bins)}",
                where=event.slide_id,
                remedy="see 'slidescore verify'",
            )
        if "bin" in event.payload["set"]:
            corrections.bins[ids] = event.payload["set"]["bin"]
        else:
            corrections.tumor[ids] = event.payload["set"]["tumor"]
    return corrections


@dataclass(frozen=True, slots=True)
class Signature:
    """What the last verdict says, as far as it stands; `seq` of its event."""

    state: State = "unreviewed"
    call: str | None = None
    reviewer: str = ""
    reason: str = ""
    seq: int = 0


def sign_off(applied: Sequence[Event]) -> Signature:
    """Say what the verdicts among the events of one result come to; needs no cells."""
    signature = Signature()
    for event in applied:
        if event.kind == "verdict":
            said = event.payload
            signature = Signature(said["state"], said.get("call"), event.reviewer, said["reason"], event.seq)
        elif event.kind in EDITS | STEPS:
            if signature.state == "unreviewed":
                signature = Signature("open", reviewer=event.reviewer)
            elif signature.state in SIGNED:
                signature = Signature("changed", reviewer=event.reviewer)
    return signature


def _region(event: Event) -> ReviewRegion:
    said = event.payload
    corners = tuple((x, y) for x, y in said["polygon"])
    return ReviewRegion(event.seq, said["role"], corners, event.reviewer, said["reason"])


def _last_undone(applied: Sequence[Event]) -> dict[str, int]:
    """Return by reviewer what they undid last and is still undone, as long as they made no edit since."""
    undone: dict[str, list[int]] = {}
    for event in applied:
        if event.kind in EDITS:
            undone[event.reviewer] = []
        elif event.kind == "undo":
            undone.setdefault(event.reviewer, []).append(event.payload["of"])
        elif event.kind == "redo":
            undone = {who: [seq for seq in of if seq != event.payload["of"]] for who, of in undone.items()}
    return {who: of[-1] for who, of in undone.items() if of}


def _history(
    own: Sequence[Event], result_digest: str, in_force: set[int], verdict_seq: int
) -> tuple[dict[str, Any], ...]:
    rows = []
    for event in own:
        applies, is_edit = event.result_digest == result_digest, event.kind in EDITS
        stands = event.seq in in_force if is_edit else event.kind != "verdict" or event.seq == verdict_seq
        rows.append(
            {
                "seq": event.seq,
                "utc": event.utc,
                "reviewer": event.reviewer,
                "kind": event.kind,
                "text": tell(event),
                "reason": event.payload["reason"],
                "active": applies and stands,
                "applies": applies,
                "undoable": applies and is_edit and stands,
                "redoable": applies and is_edit and not stands,
            }
        )
    return tuple(rows)
