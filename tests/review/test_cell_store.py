"""The cells of the slides that were looked at last: what is let go first, and what stays."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from review.made_slide_cells import loaded, made_table
from slidescore.errors import RunFolderError
from slidescore.review.cell_store import CellStore
from slidescore.review.slide_cells import SlideCells


@pytest.fixture
def slides(tmp_path: Path) -> dict[str, SlideCells]:
    made = {}
    for name in "abcd":
        (tmp_path / name).mkdir()
        made[name] = loaded(tmp_path / name, made_table(400, side=1000))
    return made


def test_outlines_of_other_slides_go_first_and_then_the_slides(slides: dict[str, SlideCells]) -> None:
    bare = slides["a"].nbytes
    slides["a"].outlines("cell")
    whole = slides["a"].nbytes
    slides["a"].let_outlines_go()
    store = CellStore(limit=2 * whole + bare // 2)
    for name in "abc":
        store.get(name, lambda name=name: slides[name]).outlines("cell")
        store.trim()
    assert [slides[name].nbytes for name in "abc"] == [bare, bare, whole]
    asked = []
    for name in "abc":
        assert store.get(name, lambda name=name: asked.append(name) or slides[name]) is slides[name]
    assert asked == []


def test_where_outlines_are_not_enough_the_oldest_slides_go(slides: dict[str, SlideCells]) -> None:
    store, asked = CellStore(limit=int(3.5 * slides["a"].nbytes)), []

    def get(name: str) -> SlideCells:
        return store.get(name, lambda: asked.append(name) or slides[name])

    for name in "abcad":
        get(name)
    assert asked == ["a", "b", "c", "d"]
    get("a")
    get("b")
    assert asked == ["a", "b", "c", "d", "b"]


def test_the_one_asked_for_last_stays_whatever_it_takes(slides: dict[str, SlideCells]) -> None:
    store, asked = CellStore(limit=1), []
    for name in "aab":
        cells = store.get(name, lambda name=name: asked.append(name) or slides[name])
        outlines = cells.outlines("cell")
        store.trim()
        assert cells.outlines("cell") is outlines
    assert asked == ["a", "b"]


def test_many_who_ask_at_once_load_it_once_and_failures_are_not_kept(slides: dict[str, SlideCells]) -> None:
    store, loads, lock = CellStore(), [], threading.Lock()

    def fail() -> SlideCells:
        raise RunFolderError("cannot be read")

    with pytest.raises(RunFolderError):
        store.get("a", fail)

    def load() -> SlideCells:
        with lock:
            loads.append(1)
        return slides["a"]

    with ThreadPoolExecutor(6) as pool:
        assert {id(found) for found in pool.map(lambda _: store.get("a", load), range(30))} == {id(slides["a"])}
    assert loads == [1]
