"""What a slide's events come to."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit.made_reviews import DIGEST, OTHER_DIGEST, SLIDE, Desk, box, make_subject
from report.made_cells import make_cells
from slidescore.assay import Assay
from slidescore.audit.state import SlideReview, edits_of, fold_review, last_change
from slidescore.errors import InputError, RunFolderError
from slidescore.scoring import Corrections

N = 10
OD = [0.1, 0.3, 0.5, 0.9] * 3
EXCLUDED = [None] * 7 + ["blur", "annotation: control", None]
"""Of the ten cells in a row, 20 px apart."""


@pytest.fixture
def desk(assay: Assay) -> Desk:
    return make_desk(assay)


def make_desk(assay: Assay) -> Desk:
    return Desk(make_subject(make_cells([(20 * i, 0) for i in range(N)], OD[:N], excluded=EXCLUDED), assay))


def said(corrections: Corrections) -> list[list[int]]:
    return [part.tolist() for part in (corrections.bins, corrections.tumor, corrections.counted)]


def outcome(review: SlideReview) -> tuple[Any, ...]:
    return said(review.corrections), review.regions


def test_a_slide_without_events_is_unreviewed(desk):
    review = desk.review
    assert (review.state, review.call, review.reviewer, review.reason) == ("unreviewed", None, "", "")
    assert (review.reviewers, review.regions, review.history) == ((), (), ())
    assert (review.n_corrected, review.head) == (0, "")
    assert (review.can_undo("Ann"), review.can_redo("Ann")) == (None, None)


def test_cells_are_set_and_the_old_values_are_stored(desk):
    desk.act("cells", cells=[3, 0, 1, 2], bin=2)
    assert (desk.last["cells"], desk.last["set"], desk.last["old"]) == ("0-3", {"bin": 2}, "0,1,2,3")
    desk.act("cells", cells=[1, 4], bin=3)
    assert desk.last["old"] == "2,0"
    desk.act("cells", cells=[4, 5], tumor=False)
    assert desk.last["old"] == "1*2"
    desk.act("cells", cells=[5], tumor=True)
    assert desk.last["old"] == "0"
    bins, tumor, counted = said(desk.review.corrections)
    assert bins == [2, 3, 2, 2, 3, -1, -1, -1, -1, -1]
    assert tumor == [-1, -1, -1, -1, 0, 1, -1, -1, -1, -1]
    assert counted == [-1] * N
    assert desk.review.n_corrected == 6


def test_regions_take_cells_out_and_put_them_back_but_control_tissue(desk):
    desk.act("region", role="exclude", polygon=box(-5, 65))
    assert (desk.last["n_cells"], desk.last["old"]) == (4, "1*4")
    desk.act("region", role="include", polygon=box(50, 185))
    assert (desk.last["n_cells"], desk.last["old"]) == (6, "0,1*3,0,1")
    # Cells 4 to 6 and 9 counted anyhow, 7 was blurred, and 8 is control tissue.
    assert desk.review.corrections.counted.tolist() == [0, 0, 0, -1, -1, -1, -1, 1, -1, -1]
    first, second = desk.review.regions
    assert (first.seq, first.role, second.seq, second.role) == (1, "exclude", 2, "include")
    assert first.polygon[0] == (-5.0, -5.0)


def test_a_later_edit_wins_cell_by_cell(desk):
    desk.act("region", role="include", polygon=box(-5, 200))
    desk.act("region", role="exclude", polygon=box(-5, 25))
    desk.act("cells", cells=[0, 5], bin=3)
    desk.act("cells", cells=[5, 6], bin=1)
    assert desk.review.corrections.counted.tolist()[:3] == [0, 0, -1]
    assert desk.review.corrections.bins.tolist()[:7] == [3, -1, -1, -1, -1, 1, 1]


def test_undo_and_redo_go_back_and_forth(desk):
    first = desk.act("cells", cells=[1], bin=0)
    second = desk.act("cells", cells=[1], bin=3)
    assert desk.review.can_undo("Ann") == second
    desk.act("undo", of=second)
    assert (desk.review.can_undo("Ann"), desk.review.can_redo("Ann")) == (first, second)
    assert desk.review.corrections.bins[1] == 0
    desk.act("undo", of=first)
    assert (desk.review.can_undo("Ann"), desk.review.can_redo("Ann")) == (None, first)
    assert desk.review.n_corrected == 0
    desk.act("redo", of=first)
    assert (desk.review.can_undo("Ann"), desk.review.can_redo("Ann")) == (first, second)
    desk.act("redo", of=second)
    assert (desk.review.can_undo("Ann"), desk.review.can_redo("Ann")) == (second, None)
    assert desk.review.corrections.bins[1] == 3


def test_what_is_redone_is_back_in_its_place(desk):
    first = desk.act("cells", cells=[1], bin=0)
    desk.act("undo", of=first)
    desk.act("cells", cells=[1], bin=3)
    desk.act("redo", of=first)
    assert desk.review.corrections.bins[1] == 3


def test_after_a_new_edit_the_old_one_is_redone_by_its_number_only(desk):
    first = desk.act("cells", cells=[1], bin=0)
    desk.act("undo", of=first)
    desk.act("cells", cells=[2], bin=0)
    assert desk.review.can_redo("Ann") is None
    desk.act("redo", of=first)
    assert desk.review.n_corrected == 2


def test_each_reviewer_undoes_their_own_and_may_name_anothers(desk):
    anns = desk.act("cells", cells=[1], bin=0)
    bobs = desk.act("cells", cells=[2], bin=0, reviewer="Bob")
    assert (desk.review.can_undo("Ann"), desk.review.can_undo("Bob")) == (anns, bobs)
    desk.act("undo", of=anns, reviewer="Bob")
    assert (desk.review.can_undo("Ann"), desk.review.can_redo("Ann"), desk.review.can_redo("Bob")) == (None, None, anns)
    desk.act("redo", of=anns)
    assert (desk.review.can_redo("Bob"), desk.review.reviewers) == (None, ("Ann", "Bob"))


@pytest.mark.parametrize("kind", ["undo", "redo"])
def test_only_what_can_be_undone_is(desk, kind):
    edit = desk.act("cells", cells=[1], bin=0)
    if kind == "redo":
        with pytest.raises(InputError, match="of: 1 is in force"):
            desk.act("redo", of=edit)
    desk.act("undo", of=edit)
    if kind == "undo":
        with pytest.raises(InputError, match="of: 1 is undone already"):
            desk.act("undo", of=edit)
    comment = desk.act("comment", text="pale")
    for of in (2, comment, 99):
        with pytest.raises(InputError, match="is no edit of this slide"):
            desk.act(kind, of=of)


@pytest.mark.parametrize("elsewhere", [{"slide_id": "b-7"}, {"result_digest": OTHER_DIGEST}])
def test_an_edit_of_another_slide_or_result_is_not_undone(desk, elsewhere):
    edit = desk.act("cells", cells=[1], bin=0)
    desk.events[0] = replace(desk.events[0], **elsewhere)
    with pytest.raises(InputError, match="is no edit of this slide"):
        desk.act("undo", of=edit)


def verdict(desk: Desk, state: str, **more: Any) -> int:
    return desk.act("verdict", state=state, **more)


@pytest.mark.parametrize("state", ["accepted", "rejected", "flagged", "overridden"])
@pytest.mark.parametrize("kind", ["cells", "region", "undo", "redo"])
def test_an_edit_after_a_verdict_takes_it_away(desk, state, kind):
    first, second = desk.act("cells", cells=[1], bin=0), desk.act("cells", cells=[2], bin=0)
    desk.act("undo", of=first)
    assert (desk.review.state, desk.review.reviewer) == ("open", "Ann")
    verdict(desk, state, reviewer="Bob", reason="seen twice", **({"call": "LOW"} if state == "overridden" else {}))
    signed = desk.review
    assert (signed.state, signed.reviewer, signed.reason) == (state, "Bob", "seen twice")
    assert signed.call == ("LOW" if state == "overridden" else None)
    edits: dict[str, dict[str, Any]] = {
        "cells": {"cells": [3], "bin": 1},
        "region": {"role": "exclude", "polygon": box(-5, 25)},
        "undo": {"of": second},
        "redo": {"of": first},
    }
    desk.act(kind, **edits[kind], reviewer="Cy")
    changed = desk.review
    assert (changed.state, changed.call, changed.reviewer, changed.reason) == ("changed", None, "Cy", "")
    assert [row["active"] for row in changed.history if row["kind"] == "verdict"] == [False]
    verdict(desk, "accepted")
    assert desk.last["old"] == {"state": "changed", "call": None}
    assert desk.review.state == "accepted"


def test_comments_and_readings_change_no_state(desk):
    desk.act("comment", text="pale", reviewer="Cy")
    desk.act("reading", h_score=120, reviewer="Dee")
    assert (desk.review.state, desk.review.reviewers) == ("unreviewed", ("Cy",))
    verdict(desk, "accepted")
    desk.act("comment", text="still pale")
    assert desk.review.state == "accepted"


def test_a_slide_is_taken_up_again_without_a_reason(desk):
    verdict(desk, "overridden", call="EQUIVOCAL")
    verdict(desk, "open", reason="")
    assert desk.last["old"] == {"state": "overridden", "call": "EQUIVOCAL"}
    assert (desk.review.state, desk.review.call) == ("open", None)
    desk.act("cells", cells=[1], bin=0)
    assert desk.review.state == "open"


def test_edits_of_another_result_are_listed_and_not_applied(desk):
    desk.act("cells", cells=[1], bin=0)
    verdict(desk, "accepted")
    desk.events = [replace(event, result_digest=OTHER_DIGEST) for event in desk.events]
    review = desk.review
    assert (review.state, review.n_corrected, review.reviewers) == ("unreviewed", 0, ())
    assert [(row["applies"], row["active"], row["undoable"]) for row in review.history] == [(False, False, False)] * 2
    assert review.head == ""


def test_events_of_other_slides_are_passed_over(desk):
    desk.act("cells", cells=[1], bin=0)
    desk.events[0] = replace(desk.events[0], slide_id="b-7")
    assert (desk.review.history, desk.review.n_corrected) == ((), 0)


def test_head_and_last_change_follow_the_events(desk):
    def changed(slide_id: str = SLIDE, digest: str = DIGEST) -> int | None:
        event = last_change(desk.events, slide_id, digest)
        return event and event.seq

    assert changed() is None
    desk.act("cells", cells=[1], bin=0)
    assert (desk.review.head, changed()) == (desk.events[0].digest, 1)
    desk.act("comment", text="pale")
    assert (desk.review.head, changed()) == (desk.events[1].digest, 1)
    desk.act("undo", of=1)
    assert (changed(), changed("b-7"), changed(digest=OTHER_DIGEST)) == (3, None, None)


def test_the_history_tells_in_plain_words(desk):
    desk.act("cells", cells=[1], bin=2, reason="pale")
    desk.act("cells", cells=[1, 2, 3], bin=0)
    desk.act("cells", cells=[1], tumor=True)
    desk.act("cells", cells=[1], tumor=False)
    desk.act("region", role="exclude", polygon=box(-5, 25))
    desk.act("region", role="include", polygon=box(-5, 25))
    desk.act("undo", of=1)
    desk.act("redo", of=1)
    desk.act("undo", of=2)
    for state in ("accepted", "rejected", "flagged", "open"):
        verdict(desk, state)
    verdict(desk, "overridden", call="LOW")
    desk.act("comment", text="a\nb")
    for reading in ({"h_score": 12.5}, {"percent_positive": 7}, {"bins": [40, 30, 20, 10]}, {"intensity": 2}):
        desk.act("reading", **reading)
    assert [row["text"] for row in desk.review.history] == [
        "1 cell set to 2+", "3 cells set to Negative", "1 cell set to tumor", "1 cell set to not tumor",
        "Region taken out: 2 cells", "Region counted in: 2 cells", "Undid 1", "Redid 1", "Undid 2", "Accepted",
        "Rejected: no result", "Flagged for another look", "Taken up again", "Call overridden: LOW", "a b",
        "Read blind: H-score 12.5", "Read blind: 7 % positive",
        "Read blind: Negative 40 %, 1+ 30 %, 2+ 20 %, 3+ 10 %", "Read blind: intensity 2",
    ]  # fmt: skip
    first, second = desk.review.history[:2]
    assert (first["reason"], first["active"], first["undoable"], first["redoable"]) == ("pale", True, True, False)
    assert (second["active"], second["undoable"], second["redoable"]) == (False, False, True)
    verdicts = [(row["text"], row["active"]) for row in desk.review.history if row["kind"] == "verdict"]
    assert [text for text, active in verdicts if active] == ["Call overridden: LOW"]


def test_what_touches_a_cell_is_known(desk):
    places = desk.subject.places
    desk.act("cells", cells=[1, 2], bin=0)
    desk.act("region", role="exclude", polygon=box(30, 65))
    desk.act("cells", cells=[2], tumor=False)
    desk.act("undo", of=3)
    by_cell = [edits_of(desk.events, SLIDE, DIGEST, places, cell) for cell in (0, 1, 2, 3, 8)]
    assert by_cell == [(), (1,), (1, 2), (2,), ()]


def test_events_that_do_not_fit_the_slide_stop_the_fold(desk):
    desk.act("cells", cells=[9], bin=0)
    few = make_subject(make_cells([(0, 0)], [0.1]), desk.subject.assay).places
    with pytest.raises(RunFolderError, match="event 1 names cell 9, and there are 1"):
        fold_review(desk.events, SLIDE, DIGEST, few)
    desk.events.clear()
    desk.act("region", role="exclude", polygon=box(-5, 65))
    with pytest.raises(RunFolderError, match="event 1 is a region of 4 cells, and holds 1"):
        fold_review(desk.events, SLIDE, DIGEST, few)


CELLS = st.sets(st.integers(0, N - 1), min_size=1)
EDIT = st.one_of(
    st.builds(lambda cells, value: ("cells", {"cells": list(cells), "bin": value}), CELLS, st.integers(0, 3)),
    st.builds(lambda cells, value: ("cells", {"cells": list(cells), "tumor": value}), CELLS, st.booleans()),
    st.builds(
        lambda role, x, width: ("region", {"role": role, "polygon": box(x - 5, x + width)}),
        st.sampled_from(["include", "exclude"]), st.sampled_from([0, 40, 100]), st.integers(5, 150),
    ),
)  # fmt: skip
ACTS = st.lists(st.tuples(EDIT, st.sampled_from(["Ann", "Bob"])), min_size=1, max_size=8)


def act_all(desk: Desk, acts: list[Any]) -> None:
    for (kind, content), reviewer in acts:
        desk.act(kind, **content, reviewer=reviewer)


@given(ACTS, st.data())
def test_an_edit_undone_is_as_if_it_had_never_been(assay, acts, data):
    desk, without = make_desk(assay), make_desk(assay)
    act_all(desk, acts)
    undone = data.draw(st.sets(st.integers(1, len(acts))))
    for seq in data.draw(st.permutations(sorted(undone))):
        desk.act("undo", of=seq, reviewer=data.draw(st.sampled_from(["Ann", "Bob"])))
    without.events = [event for event in desk.events if event.seq not in undone and event.kind != "undo"]
    assert outcome(desk.review) == outcome(without.review)
    before = desk.review
    assert {row["seq"] for row in before.history if row["redoable"]} == undone
    for seq in data.draw(st.permutations(sorted(undone))):
        desk.act("redo", of=seq)
    assert outcome(desk.review) == outcome(desk.fold(desk.events[: len(acts)]))


@given(ACTS)
def test_old_values_are_those_before_and_the_last_edit_of_a_cell_holds(assay, acts):
    desk = make_desk(assay)
    machine = {
        "bin": desk.subject.bins,
        "tumor": desk.subject.tumor,
        "counted": desk.subject.places.counted.astype(np.int8),
    }
    now = {name: values.copy() for name, values in machine.items()}
    for act in acts:
        act_all(desk, [act])
        payload = desk.last
        if "set" in payload:
            [(name, value)] = payload["set"].items()
            ids = sorted(act[0][1]["cells"])
        else:
            name, value = "counted", payload["role"] == "include"
            ids = [i for i in range(N) if act[0][1]["polygon"][0][0] < 20 * i < act[0][1]["polygon"][1][0] and i != 8]
        old = [part.split("*") for part in payload["old"].split(",")]
        assert [int(v) for v, *times in old for _ in range(int(*times or "1"))] == now[name][ids].tolist()
        now[name][ids] = value
    corrections = desk.review.corrections
    for name, set_to in (("bin", corrections.bins), ("tumor", corrections.tumor), ("counted", corrections.counted)):
        assert np.where(set_to >= 0, set_to, machine[name]).tolist() == now[name].tolist()


@given(ACTS, ACTS)
def test_the_later_reviewer_wins_where_both_edit_and_nothing_else_is_lost(assay, anns, bobs):
    for first, second in ((anns, bobs), (bobs, anns)):
        both, early, late = make_desk(assay), make_desk(assay), make_desk(assay)
        act_all(both, [*first, *second])
        act_all(early, first)
        act_all(late, second)
        for found, before, after in zip(
            *(said(desk.review.corrections)[:2] for desk in (both, early, late)), strict=True
        ):
            assert found == [b if b >= 0 else a for a, b in zip(before, after, strict=True)]
