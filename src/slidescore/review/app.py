"""The review app: its addresses, behind the guard."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

from starlette.responses import JSONResponse
from starlette.routing import Route, Router
from starlette.types import ASGIApp, Receive, Scope, Send

from slidescore.review import api_assay, api_cells, api_pages, api_review, api_rows, api_slides, api_tiles
from slidescore.review.api_answers import Handler, Line, endpoint
from slidescore.review.desk import Desk, ReviewOptions
from slidescore.review.guard import Door, Guard

SLIDE: Final = "/api/slides/{id}"


def make_app(run: Path, slides_dir: Path | None, options: ReviewOptions) -> ASGIApp:
    """Make the app of one run.

    Parameters
    ----------
    run
        A run folder; only its review log is written to.
    slides_dir
        Where the slides are; None for the paths in run.json.
    options
        Token, names and mode.

    Raises
    ------
    RunFolderError
        If `run` is no run folder, or its review log is damaged.
    InputError
        If `slides_dir` is no folder.
    """
    desk, line = Desk(run, slides_dir, options), Line()

    def get(path: str, handler: Handler) -> Route:
        return Route(path, endpoint(handler, desk, line), methods=["GET"])

    def post(path: str, handler: Handler) -> Route:
        return Route(path, endpoint(handler, desk, line), methods=["POST"])

    def tile(path: str, make: api_tiles.Make, find: api_tiles.Find) -> Route:
        return Route(path, api_tiles.tile_endpoint(make, find, desk, line), methods=["GET"])

    routes = [
        get("/", api_pages.get_cohort),
        get("/slides/{id}", api_pages.get_slide_page),
        get("/read/{id}", api_pages.get_reading_page),
        get("/static/{name}", api_pages.StaticFiles(api_pages.static_files())),
        get("/api/run", api_rows.get_run),
        get("/api/slides", api_rows.get_slides),
        get(SLIDE, api_slides.get_slide),
        get(f"{SLIDE}/thumbnail", api_slides.get_small_picture),
        get(f"{SLIDE}/review", api_review.get_review),
        get(f"{SLIDE}/cell", api_cells.get_cell),
        post(f"{SLIDE}/counts", api_cells.post_counts),
        post(f"{SLIDE}/preview", api_cells.post_preview),
        post(f"{SLIDE}/events", api_review.post_event),
        get("/api/events", api_review.get_events),
        get("/api/legend", api_tiles.get_legend),
        post("/api/assay", api_assay.post_assay),
        tile("/tiles/{id}/{view}/{k}/{place}", api_tiles.make_tile, api_tiles.find_tile),
        tile("/overlay/{id}/{k}/{place}", api_tiles.make_overlay, api_tiles.find_overlay),
    ]

    @asynccontextmanager
    async def life(_: Any) -> AsyncIterator[None]:
        yield
        desk.close()

    router = Router(routes, redirect_slashes=False, default=_nowhere, lifespan=life)
    tickets = {options.ticket} if options.ticket else set()
    return Guard(router, Door(options.token, options.hosts, options.port, tickets))


async def _nowhere(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer an address that does not exist."""
    await JSONResponse({"error": "there is no such address"}, 404)(scope, receive, send)
