"""One browser for all tests here, one server a module, one run a session; every page is watched for faults."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from review.browser.made_run import Scored, make_run
from review.browser.served import Served, serve
from review.browser.watched import Watch
from slidescore.review.viewer_file import VIEWER

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
DESKTOP = {"width": 1280, "height": 800}
PATIENCE_MS = 15_000

Serve = Callable[..., Served]
Visit = Callable[..., Page]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Every test here takes seconds."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="session")
def chromium() -> str:
    """The system's Chromium; without one, and without the viewer, there is nothing to drive."""
    named = os.environ.get("SLIDESCORE_CHROMIUM")
    found = named or next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        pytest.skip("no Chromium on this machine; SLIDESCORE_CHROMIUM names one")
    if not VIEWER.is_file():
        pytest.skip("no OpenSeadragon: `make web` brings it, and needs npm")
    return found


@pytest.fixture(scope="package")
def browser(chromium: str) -> Iterator[Browser]:
    arguments = ["--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"]
    # Chromium's sandbox refuses to run as root, which is what containers are.
    arguments += ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=chromium, args=arguments)
        yield opened
        opened.close()


@pytest.fixture(scope="session")
def scored(chromium: str, tmp_path_factory: pytest.TempPathFactory) -> Scored:
    return make_run(tmp_path_factory.mktemp("review"))


@pytest.fixture(scope="module")
def serve_run(scored: Scored, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serve]:
    """Serve a copy of the run with options of `slidescore review`; stopped at the end of the module."""
    running: list[Served] = []

    def start(*options: str | Path, slides: Path = scored.slides) -> Served:
        run = tmp_path_factory.mktemp("served") / "run"
        shutil.copytree(scored.run, run)
        running.append(serve(run, "--slides", slides, *options))
        return running[-1]

    yield start
    for served in running:
        code = served.stop()
        assert code == 0, served.said
        assert not [line for line in served.said if "Traceback" in line or "ERROR" in line], served.said


@pytest.fixture(scope="module")
def served(serve_run: Serve) -> Served:
    """A server of a run that the tests of one module share."""
    return serve_run()


@pytest.fixture
def visit(browser: Browser) -> Iterator[Visit]:
    """Open a page of a server in a fresh browser context, as a new reviewer would; watched until the test ends."""
    contexts = []

    def open_page(served: Served, path: str = "/", *, allowed: tuple[int, ...] = (), **options: Any) -> Page:
        # Moves without animation: nothing to wait for, and half of the work for the browser.
        context = browser.new_context(**({"viewport": DESKTOP, "reduced_motion": "reduce"} | options))
        context.set_default_timeout(PATIENCE_MS)
        watch = Watch(served.origin, allowed=set(allowed))
        contexts.append((context, watch))
        watch.follow(context)
        page = context.new_page()
        page.goto(f"{served.origin}{path}?token={served.token}")
        page.watch = watch
        return page

    yield open_page
    for context, _ in contexts:
        context.close()
    assert [fault for _, watch in contexts for fault in watch.wrong] == []
