"""axe-core finds nothing on any page, in any state, light and dark; on tablets no page scrolls sideways."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from review.browser import acts, axe
from review.browser.conftest import Serve, Visit
from review.browser.scoring import Truth
from review.browser.served import Served

SCHEMES = ("light", "dark")
TABLETS = ({"width": 1024, "height": 768}, {"width": 820, "height": 1180})
SIZES = ({"width": 1280, "height": 800}, *TABLETS)


@pytest.fixture(scope="module")
def blind(serve_run: Serve) -> Served:
    return serve_run("--blind")


def found_in(page: Page, states: dict[str, Callable[[], object]]) -> list[str]:
    """Go through states of a page; what axe finds in each, light and dark."""
    found = []
    for name, reach in states.items():
        reach()
        for scheme in SCHEMES:
            page.emulate_media(color_scheme=scheme)
            found += [f"{name}, {scheme}: {wrong}" for wrong in axe.violations(page)]
    return found


def test_the_checker_sees_what_is_wrong(visit: Visit, served: Served) -> None:
    page = visit(served)
    page.evaluate("() => document.querySelector('main').append(document.createElement('button'))")
    assert [line for line in axe.violations(page) if line.startswith("button-name")]


def test_the_cohort_page(visit: Visit, served: Served) -> None:
    page = visit(served)
    page.locator("[data-slide-id]").first.wait_for()
    page.wait_for_load_state("networkidle")
    states = {
        "table": lambda: None,
        "filtered": lambda: page.locator("[data-filter=low]").click(),
        "nothing found": lambda: page.locator("#search").fill("none"),
        "help": lambda: page.locator("[data-action=help]").click(),
    }
    assert found_in(page, states) == []


def test_the_slide_page(visit: Visit, served: Served) -> None:
    truth = Truth(served, served.slide_id("strong"))
    page = visit(served, f"/slides/{truth.slide_id}")
    acts.opened(page)
    acts.name_reviewer(page, "A. Xe")
    [cell] = truth.nearest(*truth.places[truth.is_tumor].mean(axis=0), 1, truth.is_tumor)

    def chosen() -> None:
        acts.look_at(page, *truth.places[cell], 420)
        acts.click_at(page, *truth.places[cell])
        expect(page.locator("#cell-panel")).to_contain_text(f"Cell {cell:,}")

    def corrected() -> None:
        bin_value = 1 + truth.automatic_bins[cell] % 3
        page.locator(f"[data-set-bin='{bin_value}']").click()
        expect(page.locator("#history")).to_contain_text("A. Xe")

    def region() -> None:
        page.keyboard.press("r")
        x, y = truth.places[cell]
        acts.lasso(page, [(x - 80, y - 80), (x + 80, y - 80), (x + 80, y + 80), (x - 80, y + 80)])
        expect(page.locator("#region-buttons")).to_be_visible()

    def preview() -> None:
        page.locator("#t2").press("ArrowRight")
        expect(page.locator("#preview-note")).to_be_visible()

    def signed() -> None:
        acts.sign(page, "x", "look again")
        expect(page.locator("#review-state")).to_contain_text("flagged")

    states = {
        "cell": chosen,
        "corrected": corrected,
        "region": region,
        "preview": preview,
        "heat": lambda: page.keyboard.press("4"),
        "colour-blind": lambda: page.locator("#palette").select_option("colourblind"),
        "verdict": lambda: page.locator("[data-action=override]").click(),
        "refused": lambda: page.locator("#verdict-submit").click(),
        "comment": lambda: (page.keyboard.press("Escape"), page.locator("[data-action=comment]").click()),
        "assay": lambda: (page.keyboard.press("Escape"), page.locator("[data-action=save-assay]").click()),
        "help": lambda: (page.keyboard.press("Escape"), page.locator("[data-action=help]").click()),
        "signed": lambda: (page.keyboard.press("Escape"), signed()),
    }
    assert found_in(page, states) == []


def test_the_blind_pages(visit: Visit, blind: Served) -> None:
    page = visit(blind)
    page.locator("[data-slide-id]").first.wait_for()
    assert found_in(page, {"table": lambda: None}) == []
    page.goto(f"{blind.origin}/read/{blind.slide_id('strong')}")
    page.wait_for_function("() => window.slidescore?.viewer?.world.getItemCount() > 0")
    states = {
        kind: (lambda kind=kind: page.locator(f"[name=kind][value={kind}]").check())
        for kind in ("h_score", "percent_positive", "bins", "intensity")
    }
    states["refused"] = lambda: page.locator("[data-action=save]").click()
    assert found_in(page, states) == []


def test_no_page_scrolls_sideways(visit: Visit, served: Served, blind: Served) -> None:
    cohort = visit(served)
    cohort.locator("[data-slide-id]").first.wait_for()
    slide = visit(served, f"/slides/{served.slide_id('strong')}")
    acts.opened(slide)
    reading = visit(blind, f"/read/{blind.slide_id('strong')}")
    reading.wait_for_function("() => window.slidescore?.viewer?.world.getItemCount() > 0")
    for size in SIZES:
        for page in (cohort, slide, reading):
            page.set_viewport_size(size)
            acts.rested(page)
            wide = page.evaluate("() => document.scrollingElement.scrollWidth")
            assert wide <= size["width"], page.url
        for selector in ("#viewer", "#score", "[data-action=accept]", "[data-tool=lasso]", "#palette"):
            box = slide.locator(selector).bounding_box()
            assert box is not None
            assert box["x"] >= 0
            assert box["x"] + box["width"] <= size["width"] + 0.5, selector
        viewer = slide.locator("#viewer").bounding_box()
        assert viewer is not None
        assert viewer["width"] > 0.45 * size["width"]
        assert viewer["height"] > 300
