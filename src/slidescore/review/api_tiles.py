"""Tiles: GET /tiles, GET /overlay and GET /api/legend; what is in memory is answered without a thread."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Hashable
from typing import Final, cast

from starlette.requests import Request
from starlette.responses import Response

from slidescore.review.api_answers import Line, picture_answer, read_request, refusal
from slidescore.review.api_params import ApiError, Asked
from slidescore.review.cell_columns import Part
from slidescore.review.desk import Desk
from slidescore.review.opened_slide import OpenedSlide
from slidescore.review.overlay_tiles import PALETTES, SHOW_KEYS, OverlayStyle, Palette, overlay_tile
from slidescore.review.stain_views import VIEWS, View, heat_legend_png, view_tile

PARTS: Final[tuple[Part, ...]] = ("cell", "nucleus")
NO_TILE: Final = "there is no such tile"
NEEDS_SLIDE: Final = "start the review with --slides"

Find = Callable[[Desk, OpenedSlide, Asked], Response | None]
Make = Callable[[Desk, Asked], Response]


def tile_endpoint(make: Make, find: Find, desk: Desk, line: Line) -> Callable[[Request], Awaitable[Response]]:
    """Make an endpoint that answers from memory at once, and from the slide in a thread."""

    async def answer(request: Request) -> Response:
        asked = await read_request(request)
        opened = desk.recent(asked.path["id"])
        try:
            found = find(desk, opened, asked) if opened else None
        except ApiError as error:
            return refusal(error)
        return found or await line.run(lambda: make(desk, asked))

    return answer


def find_tile(desk: Desk, opened: OpenedSlide, asked: Asked) -> Response | None:
    """Answer with a tile of the slide that is in memory."""
    picture = desk.tiles.peek(_tile_key(opened, asked))
    return _tile_answer(opened, picture, asked) if picture is not None else None


def make_tile(desk: Desk, asked: Asked) -> Response:
    """Answer GET /tiles/{id}/{view}/{k}/{col}_{row}."""
    opened = desk.open(asked.path["id"])
    view = _view(asked)
    if view == "heat":
        # Colours that stand for numbers are a measurement.
        desk.refuse_blind()
    if view != "rgb" and opened.chosen_pixels().kind == "overlay":
        raise ApiError(404, "the picture from the run has cells drawn in, so no stain can be shown", NEEDS_SLIDE)
    k, column, row = _place(asked)

    def draw() -> bytes:
        with opened.source() as source:
            if source.grid.tile_size_px(k, column, row) is None:
                raise ApiError(404, NO_TILE)
            return view_tile(source, opened.stains, view, k, column, row)

    opened.chosen_pixels()
    return _tile_answer(opened, desk.tiles.get(_tile_key(opened, asked), draw), asked)


def find_overlay(desk: Desk, opened: OpenedSlide, asked: Asked) -> Response | None:
    """Answer with an overlay tile that is in memory, where its address says which state it shows."""
    desk.refuse_blind()
    revision = asked.query.get("rev")
    if revision is None:
        return None
    picture = desk.tiles.peek(_overlay_key(opened, asked, revision))
    return picture_answer(picture, "image/png", revision, asked) if picture is not None else None


def make_overlay(desk: Desk, asked: Asked) -> Response:
    """Answer GET /overlay/{id}/{k}/{col}_{row}: cells, excluded squares and drawn regions.

    With thresholds `t` cells are drawn as a new assay would bin them, without the corrections made under the old one.
    """
    desk.refuse_blind()
    opened = desk.open(asked.path["id"])
    style, t = overlay_style(asked), asked.query_thresholds()
    k, column, row = _place(asked)
    grid = opened.grid()
    if grid.tile_size_px(k, column, row) is None:
        raise ApiError(404, NO_TILE)
    cells, reviewed = opened.reviewed()
    if asked.query.get("rev", reviewed.revision) != reviewed.revision:
        # Somebody else may have changed cells meanwhile.
        desk.book.refresh()
        cells, reviewed = opened.reviewed()
    seen = cells.seen(None if t else reviewed.review.corrections, t)

    def draw() -> bytes:
        return overlay_tile(cells, seen, reviewed.areas, grid, style, k, column, row)

    picture = desk.tiles.get(_overlay_key(opened, asked, reviewed.revision), draw)
    opened.trim()
    return picture_answer(picture, "image/png", reviewed.revision, asked)


def get_legend(desk: Desk, asked: Asked) -> Response:
    """Answer GET /api/legend: the colours of the heat map."""
    return picture_answer(heat_legend_png(), "image/png", "legend", asked)


def overlay_style(asked: Asked) -> OverlayStyle:
    """Read what an overlay shows and how.

    Raises
    ------
    ApiError
        If a letter or word is not known.
    """
    show = asked.query.get("show", SHOW_KEYS)
    if not set(show) <= set(SHOW_KEYS) or len(show) > len(SHOW_KEYS):
        raise ApiError(400, f"show holds other letters than {SHOW_KEYS}")
    palette = cast(Palette, asked.query_choice("palette", PALETTES))
    part = cast(Part, asked.query_choice("part", PARTS))
    return OverlayStyle(frozenset(SHOW_KEYS.index(letter) for letter in show), palette, part)


def _tile_key(opened: OpenedSlide, asked: Asked) -> Hashable:
    return opened.name, opened.known_source, _view(asked), _place(asked)


def _overlay_key(opened: OpenedSlide, asked: Asked, revision: str) -> Hashable:
    return opened.name, "overlay", revision, overlay_style(asked), asked.query_thresholds(), _place(asked)


def _tile_answer(opened: OpenedSlide, picture: memoryview, asked: Asked) -> Response:
    return picture_answer(picture, "image/jpeg", opened.pixel_revision, asked)


def _view(asked: Asked) -> View:
    for view in VIEWS:
        if view == asked.path["view"]:
            return view
    raise ApiError(404, "there is no such view", f"known: {', '.join(VIEWS)}")


def _place(asked: Asked) -> tuple[int, int, int]:
    column, _, row = asked.path["place"].partition("_")
    whole = Asked({"k": asked.path["k"], "column": column, "row": row}, {})
    return whole.integer("k"), whole.integer("column"), whole.integer("row")
