"""The page of all slides: worst first, sorted, filtered, searched, and walked through with J, K and Enter."""

from __future__ import annotations

from playwright.sync_api import Page, expect

from review.browser.conftest import Visit
from review.browser.served import Served

ROWS = "[data-testid=cohort-table] tbody tr[data-slide-id]"
WORST_FIRST = ["broken.tiff", "few.tiff"]


def open_cohort(visit: Visit, served: Served, path: str = "/") -> Page:
    page = visit(served, path)
    expect(page.locator(ROWS).first).to_be_visible()
    return page


def files(page: Page) -> list[str]:
    """File names in the order of the rows; each row's link names its file."""
    return page.locator(f"{ROWS} a").evaluate_all("links => links.map(link => link.textContent.trim())")


def test_every_slide_has_a_row_and_the_worst_stands_on_top(visit: Visit, served: Served) -> None:
    page = open_cohort(visit, served)
    told = served.get("/api/slides")["slides"]
    assert files(page) == [row["file"] for row in told]
    assert files(page)[:2] == WORST_FIRST
    assert sorted(files(page)) == ["broken.tiff", "few.tiff", "strong.tiff", "weak.tiff"]
    strong = page.locator(ROWS, has_text="strong.tiff")
    [row] = [row for row in told if row["file"] == "strong.tiff"]
    expect(strong).to_contain_text(f"{row['h_score']:.0f}")
    expect(strong).to_contain_text("HIGH")
    expect(page.locator("main")).to_contain_text("PROVISIONAL")
    expect(page.locator("footer")).to_contain_text("Research use only")


def test_the_address_holds_no_token(visit: Visit, served: Served) -> None:
    page = open_cohort(visit, served)
    assert served.token not in page.url
    assert served.token not in page.content()
    assert "slidescore_token" not in page.evaluate("() => document.cookie")


def test_each_column_sorts_up_and_down(visit: Visit, served: Served) -> None:
    page = open_cohort(visit, served)
    keys = page.locator("[data-sort]").evaluate_all("heads => heads.map(head => head.dataset.sort)")
    assert {"file", "h_score", "call", "qc", "review"} <= set(keys)
    by_file = {row["file"]: row for row in served.get("/api/slides")["slides"]}
    for key in keys:
        button = page.locator(f"[data-sort={key}]")
        for _ in range(2):
            button.click()
            shown = files(page)
            assert sorted(shown) == sorted(by_file), key
            direction = page.locator("th", has=button).get_attribute("aria-sort")
            if key in ("file", "h_score", "percent_positive"):
                values = [by_file[file][key] for file in shown]
                known = [value for value in values if value is not None]
                assert values[: len(known)] == known, "what is not computed comes last, up or down"
                assert known == sorted(known, reverse=direction == "descending"), key


def test_chips_and_search_narrow_the_table(visit: Visit, served: Served) -> None:
    page = open_cohort(visit, served)
    for key, expected in (("failed", ["broken.tiff"]), ("high", ["strong.tiff"]), ("low", ["weak.tiff"])):
        chip = page.locator(f"[data-filter={key}]")
        chip.click()
        expect(page.locator(ROWS)).to_have_count(len(expected))
        assert files(page) == expected
        expect(chip).to_have_attribute("aria-pressed", "true")
        chip.click()
        expect(page.locator(ROWS)).to_have_count(4)
    page.locator("#search").fill("stro")
    expect(page.locator(ROWS)).to_have_count(1)
    assert files(page) == ["strong.tiff"]
    page.locator("#search").fill("nothing is called so")
    expect(page.locator(ROWS)).to_have_count(0)


def test_j_and_k_walk_and_enter_opens(visit: Visit, served: Served) -> None:
    page = open_cohort(visit, served)
    order = files(page)

    def current() -> str:
        return str(page.evaluate("() => document.activeElement.closest('tr')?.querySelector('a')?.textContent.trim()"))

    for key, expected in (("j", order[0]), ("j", order[1]), ("j", order[2]), ("k", order[1]), ("j", order[2])):
        page.keyboard.press(key)
        assert current() == expected
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/slides/{served.slide_id(order[2].removesuffix('.tiff'))}*")


def test_what_the_table_shows_survives_a_look_at_a_slide(visit: Visit, served: Served) -> None:
    page = open_cohort(visit, served)
    page.locator("[data-filter=low]").click()
    expect(page.locator(ROWS)).to_have_count(1)
    page.locator(f"{ROWS} a").click()
    page.wait_for_url("**/slides/*")
    page.go_back()
    expect(page.locator(ROWS)).to_have_count(1)
    assert files(page) == ["weak.tiff"]


def test_a_slide_that_does_not_exist_is_a_sentence(visit: Visit, served: Served) -> None:
    page = visit(served, "/slides/none-00000000", allowed=(404,))
    expect(page.locator("body")).to_contain_text("slide")
    assert "Traceback" not in page.content()
