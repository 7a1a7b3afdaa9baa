"""What a request asks for, read strictly: every value is checked before anything is done with it."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import orjson
from numpy.typing import NDArray

from slidescore.audit.requests import MAX_CORNERS, MIN_CORNERS, parse_reviewer
from slidescore.errors import InputError
from slidescore.review.preview import Thresholds3
from slidescore.review.rings import is_tangled

MAX_COORDINATE: Final = 2.0**31
"""Beyond any slide, in level-0 px."""

_INTEGER: Final = re.compile(r"-?[0-9]{1,15}")
_NUMBER: Final = re.compile(r"-?[0-9]{1,15}(\.[0-9]{0,20})?([eE][+-]?[0-9]{1,3})?")
_BOX_NUMBERS: Final = 4


class ApiError(Exception):
    """A request that is refused.

    Parameters
    ----------
    status
        HTTP status, 400 to 499, or 507 where the disk is full.
    error, remedy
        What is wrong and what to do about it; shown on the page.
    """

    def __init__(self, status: int, error: str, remedy: str = "") -> None:
        super().__init__(error)
        self.status, self.error, self.remedy = status, error, remedy


@dataclass(frozen=True, slots=True)
class Asked:
    """A request as handlers see it.

    Attributes
    ----------
    path, query
        Texts by name, decoded; of a name that comes twice the last.
    body
        What a POST brought; JSON is read by `json`.
    if_none_match
        The tag of what the browser has already.
    """

    path: Mapping[str, str]
    query: Mapping[str, str]
    body: bytes = b""
    if_none_match: str = ""

    def json(self) -> dict[str, Any]:
        """Read the body.

        Raises
        ------
        ApiError
            If it is no JSON object.
        """
        try:
            content = orjson.loads(self.body)
        except orjson.JSONDecodeError as error:
            raise ApiError(400, "the request is not valid JSON") from error
        if not isinstance(content, dict):
            raise ApiError(400, "the request is not a JSON object")
        return content

    def integer(self, name: str) -> int:
        """Read a whole number, 0 or more, from the path.

        Raises
        ------
        ApiError
            404: an address with anything else there does not exist.
        """
        text = self.path[name]
        if not _INTEGER.fullmatch(text) or int(text) < 0:
            raise ApiError(404, "there is no such address")
        return int(text)

    def query_integer(self, name: str, default: int) -> int:
        """Read a whole number, 0 or more, from the query.

        Raises
        ------
        ApiError
            If it is none.
        """
        text = self.query.get(name, str(default))
        if not _INTEGER.fullmatch(text) or int(text) < 0:
            raise ApiError(400, f"{name} is not a whole number")
        return int(text)

    def query_number(self, name: str) -> float:
        """Read a coordinate from the query.

        Raises
        ------
        ApiError
            If it is missing or no number.
        """
        text = self.query.get(name, "")
        if not _NUMBER.fullmatch(text):
            raise ApiError(400, f"{name} is not a number")
        return _coordinate(float(text), name)

    def query_choice(self, name: str, choices: Sequence[str]) -> str:
        """Read one of some words from the query; the first where it is not given.

        Raises
        ------
        ApiError
            If it is another word.
        """
        word = self.query.get(name, choices[0])
        if word not in choices:
            raise ApiError(400, f"{name} is none of {', '.join(choices)}")
        return word

    def query_reviewer(self, default: str) -> str:
        """Read a reviewer's name from the query as the log writes names; empty where it could be none in the log."""
        try:
            return parse_reviewer(self.query["reviewer"]) if "reviewer" in self.query else default
        except InputError:
            return ""

    def query_thresholds(self) -> Thresholds3 | None:
        """Read the thresholds of a preview, `t=0.2,0.4,0.6`; None where there are none.

        Raises
        ------
        ApiError
            If they are not three rising numbers above 0.
        """
        if "t" not in self.query:
            return None
        texts = self.query["t"].split(",")
        if not all(_NUMBER.fullmatch(text) for text in texts):
            raise ApiError(400, "t is not three numbers")
        return thresholds_of([float(text) for text in texts])


def refuse_unknown(content: Mapping[str, Any], known: Sequence[str]) -> None:
    """Refuse a JSON object with keys that mean nothing, which are mistakes.

    Raises
    ------
    ApiError
        Naming none of them: they may be anything.
    """
    if not set(content) <= set(known):
        raise ApiError(400, "the request has a key that is not known", f"known: {', '.join(known)}")


def number_of(value: Any, name: str) -> float:
    """Return a finite number from JSON.

    Raises
    ------
    ApiError
        If it is something else; true and false are.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ApiError(400, f"{name} is not a number")
    return float(value)


def text_of(value: Any, name: str, most: int) -> str:
    """Return a text of 1 to `most` printable characters, without the spaces around it.

    Raises
    ------
    ApiError
        If it is something else.
    """
    text = value.strip() if isinstance(value, str) else ""
    if not 0 < len(text) <= most or not text.isprintable():
        raise ApiError(400, f"{name} is not a text of 1 to {most} printable characters")
    return text


def thresholds_of(value: Any) -> Thresholds3:
    """Return the thresholds of a preview (DAB OD).

    Raises
    ------
    ApiError
        If they are not three rising numbers above 0.
    """
    numbers = [number_of(each, "t") for each in value] if isinstance(value, list) else []
    match numbers:
        case [low, middle, high] if 0 < low < middle < high < MAX_COORDINATE:
            return low, middle, high
    raise ApiError(400, "t is not three rising numbers above 0")


def polygon_of(value: Any) -> NDArray[np.float64]:
    """Return a drawn outline in level-0 px; float64, (K, 2), closed by itself.

    Raises
    ------
    ApiError
        If it is no ring of 3 to `MAX_CORNERS` corners, or a tangle.
    """
    if not isinstance(value, list) or not MIN_CORNERS <= len(value) <= MAX_CORNERS:
        raise ApiError(400, f"polygon is not a list of {MIN_CORNERS} to {MAX_CORNERS} points")
    if not all(isinstance(point, list) and len(point) == 2 for point in value):  # noqa: PLR2004 - x and y
        raise ApiError(400, "polygon is not a list of [x, y]")
    ring = np.array([[_coordinate(number_of(axis, "polygon"), "polygon") for axis in point] for point in value])
    if is_tangled(ring):
        raise ApiError(400, "the outline crosses itself too often", "draw it again")
    return ring


def box_of(value: Any) -> tuple[float, float, float, float]:
    """Return x0, y0, x1, y1 in level-0 px.

    Raises
    ------
    ApiError
        If they are not four numbers, the first two not above the others.
    """
    if not isinstance(value, list) or len(value) != _BOX_NUMBERS:
        raise ApiError(400, "box is not four numbers")
    x0, y0, x1, y1 = (_coordinate(number_of(each, "box"), "box") for each in value)
    if x0 > x1 or y0 > y1:
        raise ApiError(400, "box ends before it begins")
    return x0, y0, x1, y1


def _coordinate(value: float, name: str) -> float:
    if not math.isfinite(value) or abs(value) > MAX_COORDINATE:
        raise ApiError(400, f"{name} lies outside of any slide")
    return value
