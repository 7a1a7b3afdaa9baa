"""Two people at one run: both edits survive, and each page comes to show the other's."""

from __future__ import annotations

from playwright.sync_api import Page, expect

from review.browser import acts
from review.browser.conftest import Visit
from review.browser.scoring import Truth
from review.browser.served import Served
from slidescore.audit.check import check_log
from slidescore.audit.log import ReviewLog

NEAR_PX = 420


def correct(page: Page, truth: Truth, cell: int, bin_value: int) -> None:
    """Click a cell and its new bin, and wait until that is stored."""
    acts.look_at(page, *truth.places[cell], NEAR_PX)
    acts.click_at(page, *truth.places[cell])
    expect(page.locator("#cell-panel")).to_contain_text(f"Cell {cell:,}")
    with page.expect_response(lambda response: response.url.endswith("/events")) as stored:
        page.locator(f"[data-set-bin='{bin_value}']").click()
    assert stored.value.status == 201
    truth.bins[cell] = bin_value


def test_two_reviewers_at_once(visit: Visit, served: Served) -> None:
    truth = Truth(served, served.slide_id("strong"))
    names = ("First Reviewer", "Second Reviewer")
    pages = [visit(served, f"/slides/{truth.slide_id}") for _ in names]
    for page, name in zip(pages, names, strict=True):
        acts.opened(page)
        acts.name_reviewer(page, name)
    x, y = truth.places[truth.is_tumor].mean(axis=0)
    *own, shared = truth.nearest(x, y, 3, truth.is_tumor & (truth.automatic_bins == 3))
    for page, cell in zip(pages, own, strict=True):
        correct(page, truth, cell, 0)
    correct(pages[0], truth, shared, 1)
    correct(pages[1], truth, shared, 2)

    h_score = truth.expected().counts.h_score
    assert h_score is not None
    for page in pages:
        expect(page.locator("#reviewed-score data")).to_have_attribute("value", repr(h_score), timeout=10_000)
        for name in names:
            expect(page.locator("#history")).to_contain_text(name)
    events = ReviewLog(served.run / "reviews.sqlite").read()
    assert len(events) == 4
    assert {event.reviewer for event in events} == set(names)
    assert [event.payload["old"] for event in events] == ["3"] * 3 + ["1"]
    assert check_log(served.run / "reviews.sqlite").differences == ()

    # Each undoes what is their own.
    with pages[0].expect_response(lambda response: response.url.endswith("/events")):
        pages[0].locator("[data-action=undo]").click()
    last = ReviewLog(served.run / "reviews.sqlite").read()[-1]
    assert (last.kind, last.reviewer) == ("undo", names[0])
    assert last.payload["of"] in {event.seq for event in events if event.reviewer == names[0]}


def test_a_verdict_waits_until_its_reviewer_has_seen_what_others_did(visit: Visit, served: Served) -> None:
    slide_id = served.slide_id("weak")
    page = visit(served, f"/slides/{slide_id}", allowed=(409,))
    acts.opened(page)
    acts.name_reviewer(page, "First Reviewer")
    page.keyboard.press("y")
    dialog = page.locator("#verdict-dialog")
    dialog.locator("[name=reason]").fill("as I saw it")
    expect(dialog.locator("#verdict-words")).to_contain_text("nothing corrected")
    body = {"kind": "cells", "cells": [1, 2], "bin": 3, "reviewer": "Second Reviewer", "reason": ""}
    status = page.evaluate(
        """async ([id, body]) => (await fetch(`/api/slides/${id}/events`, {method: 'POST',
            headers: {'Content-Type': 'application/json'},
            body: JSON.stringify({...body, result_digest: slidescore.state.slide.result_digest})})).status""",
        [slide_id, body],
    )
    assert status == 201
    dialog.locator("[type=submit]").click()
    expect(dialog.locator(".problem")).to_contain_text("changed by somebody else since you looked")
    expect(dialog.locator("#verdict-words")).to_contain_text("2 cells corrected")
    expect(dialog.locator("[name=reason]")).to_have_value("as I saw it")
    assert [event.kind for event in ReviewLog(served.run / "reviews.sqlite").read()][-1] == "cells"
    dialog.locator("[type=submit]").click()
    dialog.wait_for(state="hidden")
    expect(page.locator("#review-state")).to_contain_text("accepted")
