"""axe-core, the accessibility checker, run in the page; it comes with `npm ci` and is in no wheel."""

from __future__ import annotations

from functools import cache

import pytest
from playwright.sync_api import Page

from slidescore.review.viewer_file import VIEWER

AXE = VIEWER.parent.parent / "node_modules" / "axe-core" / "axe.min.js"
RUN = """async () => {
    const found = await axe.run(document, {runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa']});
    return found.violations.flatMap(rule =>
        rule.nodes.map(node => `${rule.id}: ${node.target.join(' ')}: ${node.failureSummary}`));
}"""


@cache
def source() -> str:
    if not AXE.is_file():
        pytest.skip("no axe-core: `npm ci` in src/slidescore/review/web brings it")
    return AXE.read_text(encoding="utf-8")


def violations(page: Page) -> list[str]:
    """Every breach of WCAG 2.0 and 2.1, levels A and AA, that axe-core can see in the page as it is now."""
    if not page.evaluate("() => 'axe' in window"):
        page.evaluate(source())
    return list(page.evaluate(RUN))
