"""The page of a slide: from the section to the cell, views, layers, and why a cell got its bin."""

from __future__ import annotations

from dataclasses import astuple
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Page, expect

from review.browser import acts
from review.browser.conftest import Serve, Visit
from review.browser.scoring import Truth
from review.browser.served import Served

BIN_COLOURS = ((90, 90, 180), (255, 215, 0), (225, 150, 50), (200, 50, 50))
COLOURBLIND = ((44, 123, 182), (171, 217, 233), (253, 174, 97), (215, 25, 28))
NEAR_PX, MIDDLE_PX = 500, 1300
COMPARTMENTS = ("nucleus", "cytoplasm", "membrane", "cell")
ADDRESS_SAYS_PLACE = """() => {
    const asked = new URLSearchParams(location.search), {x, y, zoom} = window.slidescore.place();
    const place = {x: Math.round(x), y: Math.round(y), zoom: Number(zoom.toPrecision(4))};
    return Object.entries(place).every(([name, value]) => Number(asked.get(name)) === value);
}"""


@pytest.fixture(scope="module")
def truth(served: Served) -> Truth:
    return Truth(served, served.slide_id("strong"))


def open_strong(visit: Visit, served: Served, **options: Any) -> Page:
    page = visit(served, f"/slides/{served.slide_id('strong')}", **options)
    acts.opened(page)
    return page


def counts(page: Page, colours: tuple[tuple[int, int, int], ...] = BIN_COLOURS) -> list[int]:
    picture = acts.pixels(page)
    return [acts.n_coloured(picture, colour) for colour in colours]


def middle_of(truth: Truth) -> tuple[float, float]:
    x, y = np.median(truth.places[truth.is_tumor], axis=0)
    return float(x), float(y)


def test_the_panel_says_what_the_tables_say(visit: Visit, served: Served, truth: Truth) -> None:
    page = open_strong(visit, served)
    scores = truth.expected()
    assert acts.number(page, "#score") == pytest.approx(scores.counts.h_score, abs=1e-4)
    assert acts.number(page, "#reviewed-score") == pytest.approx(scores.counts.h_score, abs=1e-9)
    for count in astuple(scores.counts):
        expect(page.locator("#bins")).to_contain_text(f"{count:,}")
    expect(page.locator("#score")).to_contain_text("HIGH")
    expect(page.locator("#score")).to_contain_text("PROVISIONAL")
    expect(page.locator("#score")).to_contain_text("only 1 square of 512 µm holds tumor cells (at least 10)")
    expect(page.locator("#scale")).to_contain_text("µm")
    expect(page.locator("footer")).to_contain_text("Research use only")


def test_wheel_zooms_from_the_section_to_outlined_cells(visit: Visit, served: Served, truth: Truth) -> None:
    page = open_strong(visit, served, reduced_motion="no-preference")
    page.locator("#opacity").fill("100")
    acts.drawn(page)
    far = page.evaluate("() => window.slidescore.place().zoom")
    [(left, top)] = acts.on_screen(page, [middle_of(truth)])
    page.mouse.move(left, top)
    for _ in range(9):
        page.mouse.wheel(0, -240)
        page.wait_for_timeout(60)
    page.wait_for_load_state("networkidle")
    acts.drawn(page)
    assert page.evaluate("() => window.slidescore.place().zoom") > 3 * far
    with_cells = counts(page)
    page.keyboard.press("c")
    acts.drawn(page)
    without = counts(page)
    assert sum(with_cells) > sum(without) + 1000
    page.locator("[data-action=cells]").click()
    acts.drawn(page)
    assert counts(page) == pytest.approx(with_cells, rel=0.01)


@pytest.mark.parametrize("palette", ["qupath", "colourblind"])
def test_each_bin_is_drawn_in_its_colour_and_can_be_switched_off(
    visit: Visit, served: Served, truth: Truth, palette: str
) -> None:
    page = open_strong(visit, served)
    colours = BIN_COLOURS if palette == "qupath" else COLOURBLIND
    page.locator("#opacity").fill("100")
    if palette == "colourblind":
        with acts.redrawn(page, "palette=colourblind"):
            page.locator("#palette").select_option(palette)
    for span in (NEAR_PX, MIDDLE_PX):
        acts.look_at(page, *middle_of(truth), span)
        before = counts(page, colours)
        assert min(before[1:]) > 30, before
        with acts.redrawn(page, "show=012ox"):
            page.locator("[data-layer='3']").uncheck()
        after = counts(page, colours)
        assert after[3] < 0.3 * before[3]
        assert after[1] > 0.8 * before[1]
        # Tiles that the viewer has had are not asked for again.
        page.locator("[data-layer='3']").check()
        page.wait_for_timeout(300)
        acts.drawn(page)


def test_views_change_by_key_and_by_button(visit: Visit, served: Served, truth: Truth) -> None:
    page = open_strong(visit, served)
    acts.look_at(page, *middle_of(truth), NEAR_PX)
    page.keyboard.press("c")

    def seen(name: str) -> np.ndarray:
        expect(page.locator(f"[data-view={name}]")).to_have_attribute("aria-pressed", "true")
        page.wait_for_load_state("networkidle")
        acts.drawn(page)
        return acts.pixels(page).astype(int)

    def brown(picture: np.ndarray) -> float:
        return float(np.mean(picture[..., 0] - picture[..., 2] > 40))

    page.keyboard.press("2")
    hematoxylin = seen("hematoxylin")
    page.keyboard.press("3")
    dab = seen("dab")
    page.locator("[data-view=heat]").click()
    heat = seen("heat")
    expect(page.locator("#heat")).to_be_visible()
    assert page.locator("#heat-legend").evaluate("image => image.complete && image.naturalWidth > 0")
    page.keyboard.press("1")
    rgb = seen("rgb")
    expect(page.locator("#heat")).to_be_hidden()
    assert brown(hematoxylin) < 0.02 < 0.1 < brown(rgb)
    assert brown(dab) > 0.1
    assert np.abs(heat - rgb).mean() > 20
    assert (dab[..., 2] - dab[..., 0] > 25).mean() < 0.01 < (rgb[..., 2] - rgb[..., 0] > 25).mean()


def test_a_clicked_cell_shows_its_measurements(visit: Visit, served: Served, truth: Truth) -> None:
    page = open_strong(visit, served)
    cell = truth.nearest(*middle_of(truth), 1, truth.is_tumor & (truth.automatic_bins == 2))[0]
    row = truth.cells.slice(cell, 1).to_pylist()[0]
    acts.look_at(page, row["x"], row["y"], NEAR_PX)
    acts.click_at(page, row["x"], row["y"])
    panel = page.locator("#cell-panel")
    expect(panel).to_contain_text(f"Cell {cell:,}")
    shown = panel.locator("dl").first.evaluate(
        """list => Object.fromEntries([...list.querySelectorAll('dt')].map(
            name => [name.textContent, name.nextElementSibling.textContent]))"""
    )
    for name in COMPARTMENTS:
        od = row[f"dab_od_{name}"]
        assert shown[f"DAB {name}"] == ("not computed" if od is None else f"{od:.3f}")
    assert shown["tumor probability"] == f"{row['tumor_probability']:.2f}"
    low, high = truth.assay.bins.cytoplasm.thresholds[1:]
    assert f"{low:.2f} ≤ {row['dab_od_cytoplasm']:.3f} < {high:.2f}, so 2+" in panel.inner_text()
    expect(page.locator("#announce")).to_contain_text(f"cell {cell:,}: tumor cell, 2+")


def test_counts_follow_the_view(visit: Visit, served: Served, truth: Truth) -> None:
    page = open_strong(visit, served)
    view = page.locator("#view-counts data").first
    expect(view).to_have_attribute("value", str(truth.expected().n_tumor_cells))
    acts.look_at(page, *middle_of(truth), NEAR_PX)
    box = page.evaluate(
        """() => {
            const {width, height} = document.getElementById('viewer').getBoundingClientRect();
            const {x, y, zoom} = window.slidescore.place();
            return [x - width / zoom / 2, y - height / zoom / 2, x + width / zoom / 2, y + height / zoom / 2];
        }"""
    )
    within = sum(truth.is_tumor[cell] for cell in truth.inside(*box))
    assert 0 < within < truth.expected().n_tumor_cells
    expect(view).to_have_attribute("value", str(within))


def test_the_address_brings_the_place_back(visit: Visit, served: Served, truth: Truth) -> None:
    page = open_strong(visit, served)
    acts.look_at(page, *middle_of(truth), NEAR_PX)
    page.keyboard.press("3")
    page.wait_for_url("**view=dab*")
    before = page.evaluate("() => window.slidescore.place()")
    page.wait_for_function(ADDRESS_SAYS_PLACE)
    page.reload()
    page.locator("#review-state").wait_for()
    acts.drawn(page)
    after = page.evaluate("() => window.slidescore.place()")
    assert after["x"] == pytest.approx(before["x"], abs=1)
    assert after["y"] == pytest.approx(before["y"], abs=1)
    assert after["zoom"] == pytest.approx(before["zoom"], rel=0.01)
    expect(page.locator("[data-view=dab]")).to_have_attribute("aria-pressed", "true")


def test_j_and_k_turn_to_the_neighbours(visit: Visit, served: Served) -> None:
    order = [row["id"] for row in served.get("/api/slides")["slides"]]
    page = open_strong(visit, served)
    place = order.index(served.slide_id("strong"))
    page.keyboard.press("k")
    page.wait_for_url(f"**/slides/{order[place - 1]}*")
    page.locator("#next-slide[href]").wait_for()
    page.keyboard.press("j")
    page.wait_for_url(f"**/slides/{order[place]}*")


def test_keys_of_qupath_do_nothing(visit: Visit, served: Served) -> None:
    page = open_strong(visit, served)
    now = "() => JSON.stringify([window.slidescore.place(), window.slidescore.state])"
    page.locator("#viewer canvas").first.focus()
    page.keyboard.press("Escape")
    before = page.evaluate(now)
    for key in ("a", "d", "f", "g", "n"):
        page.keyboard.press(key)
    page.wait_for_timeout(300)
    assert page.evaluate("() => document.querySelector('dialog[open]')") is None
    assert page.evaluate(now) == before


def test_a_failed_slide_says_why(visit: Visit, served: Served) -> None:
    page = visit(served, f"/slides/{served.slide_id('broken')}", allowed=(404, 409))
    expect(page.locator("body")).to_contain_text("damaged or incomplete")


def test_a_slide_that_has_moved_is_shown_by_its_overlay(visit: Visit, serve_run: Serve, tmp_path_factory) -> None:
    served = serve_run(slides=tmp_path_factory.mktemp("elsewhere"))
    page = visit(served, f"/slides/{served.slide_id('strong')}")
    acts.opened(page)
    expect(page.locator("#pixel-note")).to_be_visible()
    page.wait_for_load_state("networkidle")
    picture = acts.pixels(page)
    assert (np.ptp(picture.astype(int), axis=2) > 40).mean() > 0.05, "tissue and cells are there"
    # Outlines that are drawn in are no stain.
    for view in ("hematoxylin", "dab", "heat"):
        expect(page.locator(f"[data-view={view}]")).to_be_disabled()
    page.keyboard.press("2")
    expect(page.locator("[data-view=rgb]")).to_have_attribute("aria-pressed", "true")


def test_a_tap_selects_a_cell_on_a_tablet(visit: Visit, served: Served, truth: Truth) -> None:
    page = visit(
        served, f"/slides/{truth.slide_id}", viewport={"width": 820, "height": 1180}, has_touch=True, is_mobile=True
    )
    acts.opened(page)
    [cell] = truth.nearest(*middle_of(truth), 1, truth.is_tumor)
    acts.look_at(page, *truth.places[cell], NEAR_PX)
    [(left, top)] = acts.on_screen(page, [truth.places[cell]])
    page.touchscreen.tap(left, top)
    expect(page.locator("#cell-panel")).to_contain_text(f"Cell {cell:,}")
    page.locator("[data-set-bin='0']").scroll_into_view_if_needed()
    expect(page.locator("[data-set-bin='0']")).to_be_in_viewport()
