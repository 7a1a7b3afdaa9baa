"""The pages themselves, and the files that they load: a fixed list, made when the server starts."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from starlette.responses import RedirectResponse, Response

from slidescore.review.api_params import ApiError, Asked
from slidescore.review.desk import Desk
from slidescore.review.viewer_file import VIEWER

WEB: Final = Path(__file__).resolve().parent / "web"
TOKENS: Final = Path(__file__).resolve().parent.parent / "report" / "templates" / "tokens.css"
"""Colours, type and spacing, which reports and review share."""
MEDIA_TYPES: Final[Mapping[str, str]] = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
HTML: Final = "text/html; charset=utf-8"


def static_files() -> dict[str, Path]:
    """List what /static serves, by name."""
    found = {path.name: path for path in WEB.iterdir() if path.suffix in MEDIA_TYPES and path.is_file()}
    return found | {path.name: path for path in (VIEWER, TOKENS) if path.is_file()}


class StaticFiles:
    """Serves the files of a list, which no address can add to.

    Parameters
    ----------
    files
        Paths by name.
    """

    def __init__(self, files: Mapping[str, Path]) -> None:
        self._files = dict(files)

    def __call__(self, desk: Desk, asked: Asked) -> Response:
        """Answer GET /static/{name}."""
        path = self._files.get(asked.path["name"])
        if path is None:
            raise ApiError(404, "there is no such file")
        return _file(path, MEDIA_TYPES[path.suffix])


def get_cohort(desk: Desk, asked: Asked) -> Response:
    """Answer GET /."""
    return _file(WEB / "cohort.html", HTML)


def get_slide_page(desk: Desk, asked: Asked) -> Response:
    """Answer GET /slides/{id}; blind readers are led to their own page."""
    slide_id = str(desk.run.row(asked.path["id"])["slide_id"])
    return RedirectResponse(f"/read/{slide_id}", 303) if desk.options.blind else _file(WEB / "slide.html", HTML)


def get_reading_page(desk: Desk, asked: Asked) -> Response:
    """Answer GET /read/{id}; who is not blind is led to the slide's own page."""
    slide_id = str(desk.run.row(asked.path["id"])["slide_id"])
    return _file(WEB / "read.html", HTML) if desk.options.blind else RedirectResponse(f"/slides/{slide_id}", 303)


def _file(path: Path, media_type: str) -> Response:
    try:
        return Response(path.read_bytes(), media_type=media_type)
    except OSError as error:
        raise ApiError(404, "this page is missing from the installation", "install slidescore again") from error
