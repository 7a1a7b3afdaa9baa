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
    """Click a cell and its new bin; does not wait for the answer."""
    acts.look_at(page, *truth.places[cell], NEAR_PX)
    acts.click_at(page, *truth.places[cell])
    expect(page.locator("#cell-panel")).to_contain_text(f"Cell {cell:,}")
    page.locator(f"[data-set-bin='{bin_value}']").click()
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
    with pages[0].expect_response(lambda response: response.request.method == "POST"):
        pages[0].locator("[data-action=undo]").click()
    last = ReviewLog(served.run / "reviews.sqlite").read()[-1]
    assert (last.kind, last.reviewer) == ("undo", names[0])
    assert last.payload["of"] in {event.seq for event in events if event.reviewer == names[0]}
