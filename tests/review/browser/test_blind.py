"""Blind reading: nothing that the machine found is in any page or answer, and the reading is stored."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from review.browser import acts
from review.browser.conftest import Serve, Visit
from review.browser.scoring import Truth
from review.browser.served import Served
from slidescore.audit.log import ReviewLog

READER = "B. Lind"
TELLING = ("HIGH", "LOW", "EQUIVOCAL", "too few tumor cells", "white_assumed", "white assumed", "damaged")


@pytest.fixture(scope="module")
def blind(serve_run: Serve) -> Served:
    return serve_run("--blind", "--reviewer", READER)


def machine_numbers(served: Served) -> list[str]:
    """What would tell: scores and counts of every slide, as the tables and the app write them."""
    numbers = []
    for name in ("strong", "weak"):
        scores = Truth(served, served.slide_id(name)).expected()
        h_score, percent = scores.counts.h_score, scores.counts.percent_positive
        assert h_score is not None
        assert percent is not None
        numbers += [f"{h_score:.1f}", f"{h_score:.4f}"[:7], f"{percent:.3f}", f"{h_score:.0f} "]
        numbers += [f'"n_tumor_cells":{scores.n_tumor_cells}', f">{scores.n_tumor_cells}<"]
    return numbers


def told(page: Page) -> str:
    """Everything that the browser was sent as text, and the page as it stands."""
    texts = [page.content()]
    for response in page.watch.responses:
        kind = response.headers.get("content-type", "")
        if "json" in kind or "html" in kind:
            texts.append(response.text())
    return "\n".join(texts)


def test_the_list_is_in_no_telling_order_and_tells_nothing(visit: Visit, blind: Served) -> None:
    page = visit(blind)
    rows = page.locator("[data-testid=cohort-table] tbody tr[data-slide-id]")
    # The damaged slide has no picture to read.
    expect(rows).to_have_count(3)
    ids = rows.evaluate_all("rows => rows.map(row => row.dataset.slideId)")
    assert ids == sorted(ids)
    page.wait_for_load_state("networkidle")
    text = told(page)
    found = [number for number in (*machine_numbers(blind), *TELLING[3:]) if number in text]
    assert found == []
    assert [word for word in TELLING if word in page.locator("main").inner_text()] == []


def test_a_name_from_the_command_line_wins_over_one_from_before(visit: Visit, blind: Served) -> None:
    page = visit(blind)
    name = page.locator("#reviewer-name")
    expect(name).to_have_text(READER)
    # Changed here, it stays.
    page.evaluate("() => localStorage.setItem('slidescore.reviewer', 'C. Other')")
    page.reload()
    expect(name).to_have_text("C. Other")
    # Changed at an earlier server of another name, it does not.
    page.evaluate("() => localStorage.setItem('slidescore.reviewer.servers', 'An Earlier One')")
    page.reload()
    expect(name).to_have_text(READER)


def test_a_reading_is_given_without_seeing_a_number(visit: Visit, blind: Served, tmp_path: Path) -> None:
    slide_id = blind.slide_id("strong")
    page = visit(blind, f"/read/{slide_id}")
    page.wait_for_function("() => window.slidescore?.viewer?.world.getItemCount() > 0")
    page.wait_for_load_state("networkidle")
    page.locator("[name=h_score]").fill("400")
    page.locator("[data-action=save]").click()
    expect(page.locator("#problem")).to_contain_text("0 to 300")
    page.locator("[name=kind][value=bins]").check()
    for name, share in (("p0", 20), ("p1", 30), ("p2", 30), ("p3", 20)):
        page.locator(f"[name={name}]").fill(str(share))
    expect(page.locator("#bins-sum")).to_contain_text("H-score 150.0")
    page.locator("[name=text]").fill("pale centre")
    page.locator("[data-action=save]").click()
    expect(page.locator("#saved")).to_contain_text(READER)
    text = told(page)
    assert [number for number in (*machine_numbers(blind), *TELLING) if number in text] == []
    assert not [r.url for r in page.watch.responses if "/overlay/" in r.url]

    [event] = ReviewLog(blind.run / "reviews.sqlite").read()
    assert (event.kind, event.reviewer, event.slide_id) == ("reading", READER, slide_id)
    assert event.payload["bins"] == [20, 30, 30, 20]
    out = tmp_path / "readings.csv"
    command = [sys.executable, "-m", "slidescore", "review", "export", blind.run, "--to", "readings", "--out", out]
    subprocess.run(command, check=True, capture_output=True)
    head, row = out.read_text().splitlines()
    assert head == "slide_id,file,reader,h_score,percent_positive,p0,p1,p2,p3,intensity,note,utc"
    assert row.startswith(f"{slide_id},strong.tiff,{READER},")


def test_what_would_tell_is_refused(visit: Visit, blind: Served) -> None:
    slide_id = blind.slide_id("strong")
    page = visit(blind, allowed=(403, 404))
    asked = [f"/overlay/{slide_id}/0/0_0?show=0123ox&palette=qupath&part=cell"]
    asked += [f"/api/slides/{slide_id}/{part}" for part in ("cell?cell_id=1", "review?reviewer=x")]
    for path in asked:
        status, body = page.evaluate(
            "async path => { const got = await fetch(path); return [got.status, await got.text()]; }", path
        )
        assert status == 403, path
        assert json.dumps(READER) not in body
    for path in (f"/api/slides/{slide_id}/counts", f"/api/slides/{slide_id}/preview"):
        status = page.evaluate(
            "async path => (await fetch(path, {method: 'POST', body: '{\"box\": [0, 0, 9, 9]}'})).status", path
        )
        assert status == 403, path
    page.goto(f"{blind.origin}/slides/{slide_id}")
    assert page.url.endswith(f"/read/{slide_id}")


def test_the_picture_shows_no_cells(visit: Visit, blind: Served) -> None:
    page = visit(blind, f"/read/{blind.slide_id('strong')}")
    page.wait_for_function("() => window.slidescore?.viewer?.world.getItemCount() > 0")
    page.wait_for_load_state("networkidle")
    acts.drawn(page)
    picture = acts.pixels(page)
    assert sum(acts.n_coloured(picture, colour, 8) for colour in ((255, 215, 0), (200, 50, 50))) < 20
