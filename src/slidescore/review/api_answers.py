"""How handlers are called and what they answer: checked requests in, JSON and pictures out, no words of an error."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

import anyio
import anyio.to_thread
import orjson
from starlette.requests import Request
from starlette.responses import Response

from slidescore.errors import AssayError, DiskFullError, InputError, RunFolderBusyError, SlidescoreError
from slidescore.review.api_params import ApiError, Asked
from slidescore.review.desk import Desk

THREADS: Final = 8
"""Handlers that work at the same time; the others wait in line."""
CHECKED_EACH_TIME: Final = "private, no-cache"
"""Of pictures whose address does not say which state they show, so that they may change, as to a blind reading: the
browser asks each time whether their tag still holds."""
CACHED_FOR_GOOD: Final = "private, max-age=86400, immutable"
"""Of pictures whose address does: another state has another address. For good is a day, for they are of patients."""

Handler = Callable[[Desk, Asked], Response]


class Line:
    """The line in which work waits that must not hold up the event loop."""

    def __init__(self) -> None:
        self._limiter: anyio.CapacityLimiter | None = None

    async def run(self, work: Callable[[], Response]) -> Response:
        """Do work in a thread, and turn what it raises on purpose into an answer."""
        if self._limiter is None:
            self._limiter = anyio.CapacityLimiter(THREADS)
        try:
            return await anyio.to_thread.run_sync(work, limiter=self._limiter)
        except (ApiError, SlidescoreError) as error:
            return refusal(error)


def endpoint(handler: Handler, desk: Desk, line: Line) -> Callable[[Request], Awaitable[Response]]:
    """Make an endpoint of a handler, which then runs in a thread."""

    async def answer(request: Request) -> Response:
        asked = await read_request(request)
        return await line.run(lambda: handler(desk, asked))

    return answer


async def read_request(request: Request) -> Asked:
    """Take what handlers see from a request."""
    body = await request.body() if request.method == "POST" else b""
    return Asked(request.path_params, request.query_params, body, request.headers.get("if-none-match", ""))


def json_answer(content: Mapping[str, Any], status: int = 200) -> Response:
    """Answer with JSON; numbers that are not finite become null."""
    packed = orjson.dumps(content, option=orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS)
    return Response(packed, status, media_type="application/json")


def picture_answer(picture: bytes | memoryview, media_type: str, revision: str, asked: Asked) -> Response:
    """Answer with a picture, or say that the browser has it already.

    Parameters
    ----------
    picture, media_type
        The picture.
    revision
        Of what it shows. An address that holds it as `rev` is kept for long.
    asked
        The request.
    """
    tag = tag_of(revision)
    names_state = asked.query.get("rev") == revision
    headers = {"ETag": tag, "Cache-Control": CACHED_FOR_GOOD if names_state else CHECKED_EACH_TIME}
    if tag in (each.strip() for each in asked.if_none_match.split(",")):
        return Response(None, 304, headers)
    return Response(bytes(picture), 200, headers, media_type)


def tag_of(revision: str) -> str:
    """Return an entity tag for a state."""
    return f'"{hashlib.sha256(revision.encode()).hexdigest()[:16]}"'


def refusal(error: ApiError | SlidescoreError) -> Response:
    """Turn an error into an answer.

    Errors about what was typed say what they say. Those about files could quote paths, so they are told in words that
    stand here.
    """
    match error:
        case ApiError():
            status, text, remedy = error.status, error.error, error.remedy
        case InputError() | AssayError():
            status, remedy = 400, error.remedy
            text = f"{error.where}: {error.message}" if error.where else error.message
        case DiskFullError():
            status, text, remedy = 507, "the disk of the run is full: nothing was saved", "make room, then try again"
        case RunFolderBusyError():
            status, text, remedy = 409, "another program is writing to the review log", "try again"
        case _:
            status, text = 409, "the files of this run are damaged, or were changed"
            remedy = "see 'slidescore verify' and 'slidescore review verify'"
    return json_answer({"error": text, "remedy": remedy}, status)
