"""Thresholds and cut-off tried out: answered at once by the scoring code, stored nowhere, saved as an assay file."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from review.browser import acts
from review.browser.conftest import Visit
from review.browser.scoring import Truth
from review.browser.served import Served
from slidescore.assay import Assay, load_assay


@pytest.fixture(scope="module")
def truth(served: Served) -> Truth:
    return Truth(served, served.slide_id("strong"))


def with_thresholds(assay: Assay, thresholds: tuple[float, float, float]) -> Assay:
    block = assay.bins.cytoplasm.model_copy(update={"thresholds": thresholds})
    return assay.model_copy(update={"bins": assay.bins.model_copy(update={"cytoplasm": block})})


def opened(visit: Visit, served: Served, truth: Truth) -> Page:
    page = visit(served, f"/slides/{truth.slide_id}")
    acts.opened(page)
    return page


def test_sliders_preview_and_save_an_assay(visit: Visit, served: Served, truth: Truth, tmp_path: Path) -> None:
    page = opened(visit, served, truth)
    result = page.locator("#preview-result")
    expect(page.locator("[data-action=save-assay]")).to_be_disabled()

    # By key: 2+ begins 0.10 higher; 3+ dragged with the mouse.
    for _ in range(2):
        page.locator("#t2").press("Shift+ArrowRight")
    handle = page.locator("#t3")
    box = handle.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 2 + 30, box["y"] + box["height"] / 2, steps=5)
    page.mouse.up()
    values = [float(page.locator(f"#t{k}").get_attribute("aria-valuenow")) for k in (1, 2, 3)]
    assert values[:2] == [0.2, 0.5]
    assert values[2] > 0.61
    changed = with_thresholds(truth.assay, (values[0], values[1], values[2]))
    counts = truth.expected(changed).counts
    expect(result).to_contain_text(f"H {counts.h_score:.1f}")
    expect(result).to_contain_text(f"3+ {counts.n3:,}")
    expect(page.locator("#preview-note")).to_be_visible()
    expect(page.locator("#view-counts data").nth(1)).to_have_attribute("value", repr(counts.h_score))
    assert acts.number(page, "#reviewed-score") == truth.expected().counts.h_score

    # A cut-off above the score turns the call.
    assert counts.h_score is not None
    page.locator("#cutoff").focus()
    page.keyboard.press("End")
    expect(result).to_contain_text("LOW")

    assert not (served.run / "reviews.sqlite").exists()
    page.locator("[data-action=save-assay]").click()
    dialog = page.locator("#assay-dialog")
    dialog.locator("[name=name]").fill("cxcr4-tried")
    dialog.locator("[name=source]").fill('tried out: "by eye" on one slide')
    with page.expect_download() as download:
        dialog.locator("[type=submit]").click()
    assert download.value.suggested_filename == "cxcr4-tried.yaml"
    download.value.save_as(tmp_path / "cxcr4-tried.yaml")
    saved = load_assay(tmp_path / "cxcr4-tried.yaml").assay
    assert saved.name == "cxcr4-tried"
    assert saved.bins.cytoplasm.thresholds == tuple(values)
    assert saved.bins.cytoplasm.source == 'tried out: "by eye" on one slide'
    assert saved.call.cutoff.value == 300
    assert saved.call.cutoff.status == "provisional"
    assert truth.expected(saved).counts == counts

    page.locator("[data-action=reset-preview]").click()
    expect(page.locator("#preview-note")).to_be_hidden()
    expect(page.locator("#t2")).to_have_attribute("aria-valuenow", "0.4")
    assert list(served.run.glob("*.yaml")) == []
