"""The whole walk without a mouse: from the table to a signature; the focus is always seen, and comes back."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from review.browser import acts
from review.browser.conftest import Visit
from review.browser.scoring import Truth
from review.browser.served import Served
from slidescore.audit.log import ReviewLog

REVIEWER = "K. Board"
MOST_TABS = 120


def tab_to(page: Page, selector: str, *, back: bool = False) -> None:
    """Press Tab until an element has the focus; every stop on the way must be seen to have it."""
    for _ in range(MOST_TABS):
        page.keyboard.press("Shift+Tab" if back else "Tab")
        stop = acts.focused(page)
        if stop["tag"] != "BODY":
            assert stop["seen"], stop
        if page.evaluate("selector => document.activeElement.matches(selector)", selector):
            return
    raise AssertionError(f"{selector} cannot be reached with Tab")


def has_focus(page: Page, selector: str) -> bool:
    return bool(page.evaluate("selector => document.activeElement.matches(selector)", selector))


@pytest.fixture(scope="module")
def truth(served: Served) -> Truth:
    return Truth(served, served.slide_id("strong"))


def test_a_review_with_the_keyboard_alone(visit: Visit, served: Served, truth: Truth) -> None:
    page = visit(served)
    page.locator("[data-slide-id]").first.wait_for()

    # The table: sort, then walk to the slide and open it.
    tab_to(page, "[data-sort=h_score]")
    page.keyboard.press("Enter")
    expect(page.locator("th", has=page.locator("[data-sort=h_score]"))).to_have_attribute("aria-sort", "descending")
    assert has_focus(page, "[data-sort=h_score]")
    page.keyboard.press("j")
    assert acts.focused(page)["seen"]
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/slides/{truth.slide_id}*")
    acts.opened(page)

    # Who reviews.
    tab_to(page, "#reviewer-button")
    page.keyboard.press("Enter")
    page.keyboard.type(REVIEWER)
    page.keyboard.press("Enter")
    expect(page.locator("#reviewer-name")).to_have_text(REVIEWER)
    assert has_focus(page, "#reviewer-button")

    # To the slide, down to a cell, and its bin.
    [cell] = truth.nearest(*truth.places[truth.is_tumor].mean(axis=0), 1, truth.is_tumor & (truth.automatic_bins == 3))
    page.keyboard.press("v")
    for _ in range(8):
        page.keyboard.press("+")
        page.wait_for_timeout(120)
    walk_to(page, truth, cell)
    page.keyboard.press("Enter")
    expect(page.locator("#cell-panel")).to_contain_text(f"Cell {cell:,}")
    expect(page.locator("#announce")).to_contain_text(f"cell {cell:,}")
    page.keyboard.press("e")
    tab_to(page, "[data-set-bin='1']")
    page.keyboard.press("Enter")
    truth.bins[cell] = 1
    h_score = truth.expected().counts.h_score
    expect(page.locator("#reviewed-score data")).to_have_attribute("value", repr(h_score))
    assert has_focus(page, "[data-set-bin='1']"), "the focus stays where it was"

    # A lasso of four corners.
    page.keyboard.press("Escape")
    page.keyboard.press("v")
    page.keyboard.press("l")
    for way, steps in (("ArrowLeft", 3), ("ArrowUp", 6), ("ArrowRight", 6), ("ArrowDown", 6)):
        for _ in range(steps):
            page.keyboard.press(way)
        page.keyboard.press("Enter")
    page.keyboard.press("Enter")
    expect(page.locator("#cell-panel")).to_contain_text("selected")

    # The help, and back.
    page.keyboard.press("?")
    expect(page.locator("#help-dialog")).to_be_visible()
    expect(page.locator("#help-dialog")).to_contain_text("Override the call")
    before = page.evaluate("() => document.activeElement.closest('dialog') !== null")
    assert before
    page.keyboard.press("Escape")
    expect(page.locator("#help-dialog")).to_be_hidden()
    assert page.evaluate("() => document.activeElement !== document.body")

    # The signature.
    tab_to(page, "[data-action=accept]")
    page.keyboard.press("Enter")
    assert has_focus(page, "#verdict-dialog [name=reason]")
    page.keyboard.type("By keyboard")
    tab_to(page, "#verdict-submit")
    page.keyboard.press("Enter")
    expect(page.locator("#review-state")).to_contain_text("accepted")
    assert has_focus(page, "[data-action=accept]")
    expect(page.locator("#announce")).to_contain_text("accepted")
    kinds = [event.kind for event in ReviewLog(served.run / "reviews.sqlite").read()]
    assert kinds == ["cells", "verdict"]


def walk_to(page: Page, truth: Truth, cell: int) -> None:
    """Move the slide with the arrows until a cell lies under the crosshair in the middle."""
    x, y = truth.places[cell]
    for _ in range(200):
        place = page.evaluate("() => window.slidescore.place()")
        dx, dy = (x - place["x"]) * place["zoom"], (y - place["y"]) * place["zoom"]
        if max(abs(dx), abs(dy)) < 15:
            return
        sideways = abs(dx) > abs(dy)
        way = ("ArrowRight" if dx > 0 else "ArrowLeft") if sideways else ("ArrowDown" if dy > 0 else "ArrowUp")
        fine = max(abs(dx), abs(dy)) < 60
        page.keyboard.press(f"Shift+{way}" if fine else way)
        page.wait_for_timeout(350 if fine else 60)
    raise AssertionError("the arrows do not lead there")


def test_escape_gives_the_focus_back_from_every_dialog(visit: Visit, served: Served, truth: Truth) -> None:
    page = visit(served, f"/slides/{truth.slide_id}")
    acts.opened(page)
    for action, dialog in (("accept", "verdict"), ("override", "verdict"), ("comment", "comment"), ("help", "help")):
        page.locator(f"[data-action={action}]").focus()
        page.keyboard.press("Enter")
        expect(page.locator(f"#{dialog}-dialog")).to_be_visible()
        stops = set()
        for _ in range(12):
            page.keyboard.press("Tab")
            stops.add(
                page.evaluate("() => document.activeElement.closest('dialog')?.id ?? document.activeElement.tagName")
            )
        assert stops <= {f"{dialog}-dialog", "BODY"}, "the focus stays in the dialog"
        page.keyboard.press("Escape")
        expect(page.locator(f"#{dialog}-dialog")).to_be_hidden()
        assert has_focus(page, f"[data-action={action}]")


def test_letters_typed_into_a_field_are_text(visit: Visit, served: Served, truth: Truth) -> None:
    page = visit(served)
    page.locator("[data-slide-id]").first.wait_for()
    page.locator("#search").focus()
    page.keyboard.type("jk?")
    expect(page.locator("#search")).to_have_value("jk?")
    assert page.evaluate("() => document.querySelector('dialog[open]')") is None
