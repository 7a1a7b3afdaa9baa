"""What a reviewer does on the pages, in level-0 px of the slide where a place is meant."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from playwright.sync_api import Page

READY = """() => {
    const viewer = window.slidescore?.viewer;
    const count = viewer ? viewer.world.getItemCount() : 0;
    for (let i = 0; i < count; i++) if (!viewer.world.getItemAt(i).getFullyLoaded()) return false;
    return count > 0;
}"""
TWO_FRAMES = "() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"
TO_SCREEN = """places => {
    const viewer = window.slidescore.viewer, item = viewer.world.getItemAt(0);
    const corner = viewer.element.getBoundingClientRect();
    return places.map(([x, y]) => {
        const at = item.imageToViewerElementCoordinates(new OpenSeadragon.Point(x, y));
        return [corner.left + at.x, corner.top + at.y];
    });
}"""
LOOK_AT = """([x, y, span]) => {
    const viewer = window.slidescore.viewer, item = viewer.world.getItemAt(0);
    const half = span / 2;
    viewer.viewport.fitBounds(item.imageToViewportRectangle(x - half, y - half, span, span), true);
}"""


def drawn(page: Page) -> None:
    """Wait until the viewer has drawn every tile of what it shows."""
    # What is missing is noticed in the frame after a move, and the last tile is drawn in the frame after it is loaded.
    page.evaluate(TWO_FRAMES)
    page.wait_for_function(READY)
    page.evaluate(TWO_FRAMES)


def rested(page: Page) -> None:
    """Wait until the page has drawn what it knows."""
    page.evaluate(TWO_FRAMES)


def look_at(page: Page, x: float, y: float, span_px: float) -> None:
    """Show a square of the slide, at once."""
    page.wait_for_function(READY)
    page.evaluate(LOOK_AT, [x, y, span_px])
    drawn(page)


@contextmanager
def redrawn(page: Page, part: str = "/overlay/") -> Iterator[None]:
    """Do something after which the viewer asks for tiles whose address has this part, and wait until they are drawn."""
    with page.expect_response(lambda response: part in response.url):
        yield
    drawn(page)


def on_screen(page: Page, places: Sequence[Sequence[float]]) -> list[tuple[float, float]]:
    """Where places of the slide lie in the window, in CSS px."""
    return [(x, y) for x, y in page.evaluate(TO_SCREEN, [list(map(float, place)) for place in places])]


def click_at(page: Page, x: float, y: float) -> None:
    """Click a place of the slide, as one who means it: not as half of a double click."""
    [(left, top)] = on_screen(page, [(x, y)])
    page.mouse.click(left, top)


def lasso(page: Page, places: Sequence[Sequence[float]]) -> None:
    """Draw around places with the mouse held down."""
    points = on_screen(page, [*places, places[0]])
    page.mouse.move(*points[0])
    page.mouse.down()
    for point in points[1:]:
        page.mouse.move(*point, steps=4)
    page.mouse.up()


def pixels(page: Page, selector: str = "#viewer") -> NDArray[np.uint8]:
    """The part of the window that an element fills, uint8 (H, W, 3)."""
    shot = page.locator(selector).screenshot()
    return np.asarray(Image.open(io.BytesIO(shot)).convert("RGB"))


def n_coloured(picture: NDArray[np.uint8], colour: Sequence[int], within: int = 24) -> int:
    """How many pixels are of a colour, give or take what blending and JPEG do."""
    return int((np.abs(picture.astype(int) - np.asarray(colour)).max(axis=2) <= within).sum())


def focused(page: Page) -> Any:
    """What has the focus, and whether an outline says so: its own, or one that an ancestor draws in its stead."""
    return page.evaluate(
        """() => {
            const at = document.activeElement, lines = [];
            for (let each = at, n = 0; each && n < 6; each = each.parentElement, n++) {
                for (const part of [null, '::before', '::after']) {
                    const style = getComputedStyle(each, part);
                    const border = part && style.content !== 'none' && parseFloat(style.borderTopWidth) >= 2;
                    const outline = style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) > 0;
                    if (border || outline) lines.push(each.tagName);
                }
            }
            return {tag: at.tagName, id: at.id, words: at.textContent.trim().slice(0, 40), seen: lines.length > 0};
        }"""
    )


def opened(page: Page) -> None:
    """Wait until a slide's page has its picture, its cells and its review."""
    page.locator("#review-state").wait_for()
    page.wait_for_function("() => window.slidescore.viewer.world.getItemCount() > 1")
    page.wait_for_load_state("networkidle")
    drawn(page)


def number(page: Page, selector: str) -> float:
    """The exact number behind the first one that is shown in an element."""
    return float(page.locator(f"{selector} data").first.get_attribute("value"))


def name_reviewer(page: Page, name: str) -> None:
    """Say who is reviewing, as the page asks for it."""
    page.locator("#reviewer-button").click()
    page.locator("#reviewer-dialog input").fill(name)
    page.keyboard.press("Enter")
    page.locator("#reviewer-dialog").wait_for(state="hidden")


def sign(page: Page, act: str, reason: str, **fields: str) -> None:
    """Give a verdict by its key, or by a button's selector, with a reason."""
    if act.startswith("["):
        page.locator(act).click()
    else:
        page.keyboard.press(act)
    dialog = page.locator("#verdict-dialog")
    for name, value in fields.items():
        control = dialog.locator(f"[name={name}]")
        control.select_option(value) if name == "call" else control.fill(value)
    dialog.locator("[name=reason]").fill(reason)
    dialog.locator("[type=submit]").click()
    dialog.wait_for(state="hidden")
