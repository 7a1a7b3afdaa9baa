"""The pictures of docs/review.md: there, small, shown; `make docs-pictures` draws them anew, for eyes to judge."""

from __future__ import annotations

import io
import os
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from review.browser import acts
from review.browser.conftest import Visit
from review.browser.made_run import Scored
from review.browser.scoring import Truth, box_around
from review.browser.served import Served, serve
from slidescore.pipeline.cohort import score_directory
from slidescore.pipeline.options import RunOptions

ROOT = Path(__file__).resolve().parents[3]
PICTURES = ROOT / "docs" / "pictures"
ASKED = "SLIDESCORE_DOCS_PICTURES"
NAMES = ("cohort", "slide", "cell", "preview", "correct", "signoff", "read")
MOST_BYTES = 400_000
QUALITY = 85
REVIEWER = "A. Reader"


@pytest.mark.parametrize("name", NAMES)
def test_a_picture_is_there_small_and_shown(name: str) -> None:
    path = PICTURES / f"review-{name}.jpg"
    assert path.stat().st_size < MOST_BYTES
    with Image.open(path) as picture:
        assert picture.size == (1280, 800)
    assert f"](pictures/{path.name})" in (ROOT / "docs/review.md").read_text(encoding="utf-8")


def test_no_other_picture_lies_there() -> None:
    assert {path.name for path in PICTURES.glob("review-*")} == {f"review-{name}.jpg" for name in NAMES}
    shown = re.findall(r"\]\(pictures/([\w.-]+)\)", (ROOT / "docs/review.md").read_text(encoding="utf-8"))
    assert sorted(shown) == sorted(f"review-{name}.jpg" for name in NAMES)


def keep(page: Page, name: str) -> None:
    """Write what the window shows; tissue is noise, of which a PNG that size would be three times as large."""
    page.wait_for_load_state("networkidle")
    page.wait_for_timeout(400)
    shot = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    PICTURES.mkdir(exist_ok=True)
    # Colours at full resolution, for letters and outlines are coloured.
    shot.save(PICTURES / f"review-{name}.jpg", quality=QUALITY, subsampling=0, optimize=True, progressive=True)


@pytest.mark.skipif(ASKED not in os.environ, reason="pictures are drawn anew by `make docs-pictures` only")
@pytest.mark.timeout(900)
def test_draw_the_pictures(visit: Visit, scored: Scored, tmp_path: Path) -> None:
    slides = tmp_path / "slides"
    slides.mkdir()
    chosen = [*(ROOT / "sample_slides").glob("phantom_*.tiff")]
    chosen += [scored.slides / f"{name}.tiff" for name in ("weak", "few", "broken")]
    for path in chosen:
        shutil.copy(path, slides / path.name)
    score_directory(slides, tmp_path / "cxcr4-pilot", options=RunOptions(workers=2))
    for options, draw in (([], draw_review), (["--blind"], draw_reading)):
        served = serve(tmp_path / "cxcr4-pilot", "--reviewer", REVIEWER, *options)
        try:
            draw(visit, served)
        finally:
            served.stop()


def draw_reading(visit: Visit, served: Served) -> None:
    page = visit(served, f"/read/{served.slide_id('phantom_high')}")
    page.wait_for_function("() => window.slidescore?.viewer?.world.getItemCount() > 0")
    acts.drawn(page)
    page.locator("[name=kind][value=bins]").check()
    for name, share in (("p0", 10), ("p1", 25), ("p2", 35), ("p3", 30)):
        page.locator(f"[name={name}]").fill(str(share))
    for _ in range(4):
        page.locator("[data-action=zoom-in]").click()
        page.wait_for_timeout(500)
    keep(page, "read")
    page.context.close()


def draw_review(visit: Visit, served: Served) -> None:
    page = visit(served)
    for name, key, reason in (("phantom_negative", "y", "Overlay and scores agree"), ("weak", "x", "Second reader")):
        page.goto(f"{served.origin}/slides/{served.slide_id(name)}")
        acts.opened(page)
        acts.sign(page, key, reason)
        expect(page.locator("#review-state")).to_contain_text("ed")
    page.goto(served.origin)
    page.locator("[data-slide-id]").first.wait_for()
    keep(page, "cohort")

    truth = Truth(served, served.slide_id("phantom_high"))
    page.goto(f"{served.origin}/slides/{truth.slide_id}")
    acts.opened(page)
    x, y = truth.places[truth.is_tumor].mean(axis=0)
    acts.look_at(page, x, y, 560)
    keep(page, "slide")

    [cell] = truth.nearest(x, y, 1, truth.is_tumor & (truth.automatic_bins == 2))
    acts.look_at(page, *truth.places[cell], 380)
    acts.click_at(page, *truth.places[cell])
    expect(page.locator("#cell-panel")).to_contain_text(f"Cell {cell:,}")
    keep(page, "cell")
    page.keyboard.press("Escape")

    acts.look_at(page, x, y, 500)
    for _ in range(2):
        page.locator("#t2").press("Shift+ArrowRight")
    page.locator("#preview").scroll_into_view_if_needed()
    keep(page, "preview")
    page.locator("[data-action=reset-preview]").click()

    left, top, right, bottom = box_around(truth.places, truth.nearest(x, y, 50, truth.is_tumor), 8)
    acts.look_at(page, (left + right) / 2, (top + bottom) / 2, 1.2 * max(right - left, bottom - top))
    page.keyboard.press("l")
    centre, reach = np.array([left + right, top + bottom]) / 2, np.array([right - left, bottom - top]) * 0.56
    turns = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    acts.lasso(page, centre + reach * np.stack([np.cos(turns), np.sin(turns)], axis=1))
    expect(page.locator("#cell-panel")).to_contain_text("cells selected")
    with acts.redrawn(page):
        page.locator("[data-set-bin='2']").click()
    page.locator("#score").scroll_into_view_if_needed()
    keep(page, "correct")
    page.keyboard.press("y")
    page.locator("#verdict-dialog [name=reason]").fill("Agree after corrections: rim of the nest read too strong")
    keep(page, "signoff")
    page.context.close()
