"""Corrections and verdicts: what is stored, what the page says, and what the scoring code says are one."""

from __future__ import annotations

import json

import pytest
from playwright.sync_api import Page, expect

from review.browser import acts
from review.browser.conftest import Visit
from review.browser.scoring import Truth, box_around
from review.browser.served import Served
from slidescore.audit.check import check_log
from slidescore.audit.events import Event
from slidescore.audit.log import ReviewLog

REVIEWER = "R. Viewer"
NEAR_PX = 420


@pytest.fixture(scope="module", params=["strong"])
def truth(served: Served, request: pytest.FixtureRequest) -> Truth:
    return Truth(served, served.slide_id(request.param))


def open_slide(visit: Visit, served: Served, slide_id: str, reviewer: str = REVIEWER) -> Page:
    page = visit(served, f"/slides/{slide_id}")
    acts.opened(page)
    acts.name_reviewer(page, reviewer)
    return page


def answered(page: Page, score: float) -> None:
    """Wait until the page shows a reviewed score, to the last digit."""
    expect(page.locator("#reviewed-score data")).to_have_attribute("value", written(score))


def written(score: float) -> str:
    """Write a number as JavaScript does."""
    return f"{score:.0f}" if score.is_integer() else repr(score)


def click_button(page: Page, selector: str) -> None:
    with page.expect_response(lambda response: response.request.method == "POST" and "/events" in response.url) as got:
        page.locator(selector).click()
    assert got.value.status == 201


def h_score(truth: Truth) -> float:
    score = truth.expected().counts.h_score
    assert score is not None
    return score


def test_a_review_from_the_first_cell_to_the_signature(visit: Visit, served: Served, truth: Truth) -> None:
    page = open_slide(visit, served, truth.slide_id)
    automatic = h_score(truth)
    x, y = truth.places[truth.is_tumor].mean(axis=0)

    # Three cells, one by one: two to other bins, one to no tumor cell.
    [strongest] = truth.nearest(x, y, 1, truth.is_tumor & (truth.automatic_bins == 3))
    [weakest] = truth.nearest(x, y, 1, truth.is_tumor & (truth.automatic_bins == 1))
    [other] = truth.nearest(x, y, 1, truth.is_tumor & (truth.automatic_bins == 2))
    for cell, button in (
        (strongest, "[data-set-bin='0']"),
        (weakest, "[data-set-bin='3']"),
        (other, "[data-set-tumor=false]"),
    ):
        acts.look_at(page, *truth.places[cell], NEAR_PX)
        acts.click_at(page, *truth.places[cell])
        expect(page.locator("#cell-panel")).to_contain_text(f"Cell {cell:,}")
        click_button(page, button)
        if "bin" in button:
            truth.bins[cell] = int(button[-3])
        else:
            truth.tumor[cell] = 0
        answered(page, h_score(truth))
        expect(page.locator("#cell-panel")).to_contain_text("Corrected")
    assert h_score(truth) != automatic
    assert acts.number(page, "#score") == pytest.approx(automatic, abs=1e-4)

    # Fifty and more with the lasso.
    near = truth.nearest(x, y, 60, truth.is_tumor)
    left, top, right, bottom = box_around(truth.places, near, 4)
    acts.look_at(page, (left + right) / 2, (top + bottom) / 2, 1.4 * max(right - left, bottom - top))
    page.locator("[data-tool=lasso]").click()
    acts.lasso(page, [(left, top), (right, top), (right, bottom), (left, bottom)])
    inside = truth.inside(left, top, right, bottom)
    assert len(inside) >= 50
    expect(page.locator("#cell-panel")).to_contain_text(f"{len(inside)} cells selected")
    click_button(page, "[data-set-bin='1']")
    kept = dict(truth.bins)
    truth.bins = kept | dict.fromkeys(inside, 1)
    after_lasso = h_score(truth)
    answered(page, after_lasso)

    # Undo and redo, by button and by key.
    click_button(page, "[data-action=undo]")
    truth.bins = kept
    answered(page, h_score(truth))
    expect(page.locator("#history")).to_contain_text("undone")
    click_button(page, "[data-action=redo]")
    truth.bins = kept | dict.fromkeys(inside, 1)
    answered(page, after_lasso)
    page.keyboard.press("z")
    truth.bins = kept
    answered(page, h_score(truth))
    page.keyboard.press("Shift+Z")
    truth.bins = kept | dict.fromkeys(inside, 1)
    answered(page, after_lasso)

    # A region that is taken out.
    [corner] = truth.nearest(left, top, 1, truth.is_tumor)
    across = [
        truth.places[corner][0] - 60,
        truth.places[corner][1] - 60,
        truth.places[corner][0] + 60,
        truth.places[corner][1] + 60,
    ]
    page.locator("[data-tool=region]").click()
    acts.lasso(page, [(across[0], across[1]), (across[2], across[1]), (across[2], across[3]), (across[0], across[3])])
    click_button(page, "[data-region-role=exclude]")
    truth.counted |= dict.fromkeys(truth.inside(*across), 0)
    answered(page, h_score(truth))

    # The signature; name and reason are mandatory.
    page.keyboard.press("y")
    dialog = page.locator("#verdict-dialog")
    dialog.locator("[name=reviewer]").fill("")
    dialog.locator("[type=submit]").click()
    expect(dialog.locator(".problem")).to_contain_text("name")
    dialog.locator("[name=reviewer]").fill(REVIEWER)
    dialog.locator("[type=submit]").click()
    expect(dialog.locator(".problem")).to_contain_text("reason")
    assert ReviewLog(served.run / "reviews.sqlite").read()[-1].kind == "region"
    dialog.locator("[name=reason]").fill("Agree after corrections")
    dialog.locator("[type=submit]").click()
    expect(page.locator("#review-state")).to_contain_text("accepted")
    expect(page.locator("#reviewed-score")).to_contain_text(REVIEWER)

    # An override after it, with its call; the score stays.
    acts.sign(page, "o", "Hot spot decides", call="EQUIVOCAL")
    expect(page.locator("#review-state")).to_contain_text("overridden")
    expect(page.locator("#reviewed-score")).to_contain_text("EQUIVOCAL")
    answered(page, h_score(truth))

    # One more correction, and it must be signed again.
    acts.click_at(page, *truth.places[corner])
    click_button(page, "[data-set-bin='2']")
    expect(page.locator("#review-state")).to_contain_text("changed")
    expect(page.locator("#reviewed-score")).not_to_contain_text("EQUIVOCAL")


def test_the_log_holds_who_what_and_why(served: Served, truth: Truth) -> None:
    events = ReviewLog(served.run / "reviews.sqlite").read()
    kinds = [event.kind for event in events]
    assert kinds == [*["cells"] * 4, "undo", "redo", "undo", "redo", "region", "verdict", "verdict", "cells"]
    assert {event.reviewer for event in events} == {REVIEWER}
    assert {event.slide_id for event in events} == {truth.slide_id}
    accepted, overridden = events[9:11]
    assert accepted.payload["reason"] == "Agree after corrections"
    assert overridden.payload["call"] == "EQUIVOCAL"
    assert overridden.payload["old"]["state"] == "accepted"
    assert events[0].payload["old"] == "3"
    assert events[0].payload["set"] == {"bin": 0}
    found = check_log(served.run / "reviews.sqlite")
    assert found.differences == ()
    assert found.n_events == len(events)


def test_the_automatic_result_is_as_it_was(served: Served, truth: Truth, scored) -> None:
    for path in sorted(scored.run.rglob("*")):
        if path.is_file():
            assert (served.run / path.relative_to(scored.run)).read_bytes() == path.read_bytes()
    written = {path.relative_to(served.run).as_posix() for path in served.run.rglob("*") if path.is_file()}
    known = {path.relative_to(scored.run).as_posix() for path in scored.run.rglob("*") if path.is_file()}
    assert written - known == {"reviews.sqlite"}


def test_the_cohort_page_shows_the_review(visit: Visit, served: Served, truth: Truth) -> None:
    page = visit(served)
    row = page.locator(f"[data-slide-id='{truth.slide_id}']")
    expect(row).to_contain_text("changed")
    expect(row).to_contain_text(REVIEWER)


def test_verdicts_by_key_and_button_and_a_comment(visit: Visit, served: Served) -> None:
    page = open_slide(visit, served, served.slide_id("weak"))
    for act, word in (("x", "flagged"), ("[data-action=reject]", "rejected"), ("y", "accepted")):
        acts.sign(page, act, f"because of {word}")
        expect(page.locator("#review-state")).to_contain_text(word)
        expect(page.locator("#reviewed-score")).to_contain_text("NOT EVALUABLE" if word == "rejected" else "LOW")
        expect(page.locator("#history")).to_contain_text(f"because of {word}")
        expect(page.locator("#announce")).to_contain_text(word)
    page.keyboard.press("m")
    page.locator("#comment-dialog [name=text]").fill("Look at the <b>upper left</b> edge")
    page.locator("#comment-dialog [type=submit]").click()
    expect(page.locator("#history")).to_contain_text("Look at the <b>upper left</b> edge")
    expect(page.locator("#review-state")).to_contain_text("accepted")
    page.locator("[data-action=reopen]").click()
    expect(page.locator("#review-state")).not_to_contain_text("accepted")
    assert [event.payload["state"] for event in verdicts(served)] == ["flagged", "rejected", "accepted", "open"]


def verdicts(served: Served) -> list[Event]:
    weak = served.slide_id("weak")
    events = ReviewLog(served.run / "reviews.sqlite").read()
    return [event for event in events if event.kind == "verdict" and event.slide_id == weak]


def test_an_edit_of_another_result_is_refused_and_said(visit: Visit, served: Served) -> None:
    slide_id = served.slide_id("weak")
    page = open_slide(visit, served, slide_id)
    before = len(ReviewLog(served.run / "reviews.sqlite").read())
    body = {"kind": "cells", "cells": [1], "bin": 0, "reviewer": REVIEWER, "reason": "", "result_digest": "0" * 64}
    page.watch.allowed.add(409)
    status = page.evaluate(
        """async ([id, body]) => (await fetch(`/api/slides/${id}/events`,
            {method: 'POST', headers: {'Content-Type': 'application/json'}, body})).status""",
        [slide_id, json.dumps(body)],
    )
    assert status == 409
    assert len(ReviewLog(served.run / "reviews.sqlite").read()) == before
