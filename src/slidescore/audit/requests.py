"""What a reviewer asks for, read strictly from JSON that anybody may have sent."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from slidescore.audit.events import KINDS, Kind
from slidescore.audit.runs import MAX_CELLS
from slidescore.errors import InputError
from slidescore.report.spreadsheet import FORMULA_SIGNS
from slidescore.scoring import CallLabel
from slidescore.scoring.bins import N_BINS

MAX_NUMBER: Final = 10**9
"""Of a cell or an event."""
MIN_CORNERS, MAX_CORNERS = 3, 5_000
AXES: Final = ("x", "y")
MAX_L0: Final = 1e7
"""No slide is that wide in level-0 px."""
CORNER_DECIMALS: Final = 2
"""Corners are kept to a hundredth of a level-0 px."""
MAX_REVIEWER, MAX_REASON, MAX_TEXT = 80, 500, 2_000
"""Characters of a name, of a reason and of a comment."""
VERDICTS: Final = ("accepted", "rejected", "flagged", "overridden", "open")
MAX_H_SCORE, MAX_PERCENT = 300, 100
PERCENT_SLACK: Final = 0.5
"""Percent by which the bins of a reading may miss 100: readers round."""
READINGS: Final = ("h_score", "percent_positive", "bins", "intensity")
COMMON: Final = ("kind", "reviewer", "reason", "result_digest")
_HEX: Final = frozenset("0123456789abcdef")
_DIGEST_LENGTH: Final = 64

Content = dict[str, Any]


@dataclass(frozen=True, slots=True, eq=False)
class ReviewRequest:
    """An act that is well formed; whether its cells or events exist is seen by `drafts.draft_event`.

    Attributes
    ----------
    kind, reviewer, reason
        Who wants what and why; `reason` may be empty where none is needed.
    result_digest
        The result that the reviewer looked at.
    content
        By kind. cells: `cells` (int64, rising) and `set` ({"bin": 0..3} or {"tumor": bool}). region: `role` and
        `polygon` (list of [x, y] in level-0 px). undo, redo: `of`. verdict: `state`, and `call` where overridden.
        comment: `text`. reading: one of `h_score`, `percent_positive`, `bins`, `intensity`; and `text`.
    """

    kind: Kind
    reviewer: str
    reason: str
    result_digest: str
    content: Mapping[str, Any]


def parse_request(body: object) -> ReviewRequest:
    """Read {kind, reviewer, reason, result_digest, ...}; unknown keys are refused, `reason` may be missing.

    The other keys are those of `ReviewRequest.content`, but that an edit of cells comes as `cells` (list of numbers)
    with `bin` or `tumor` beside it.

    Raises
    ------
    InputError
        In one line, naming the key.
    """
    if not isinstance(body, dict):
        raise InputError("is no object", where="review")
    kind = next((each for each in KINDS if each == body.get("kind")), None)
    if kind is None:
        raise InputError("is no kind of review", where="kind", remedy=f"known: {', '.join(KINDS)}")
    content = {name: value for name, value in body.items() if name not in COMMON}
    parsed = PARSERS[kind](content)
    reviewer, reason = parse_reviewer(body.get("reviewer")), parse_reason(body.get("reason", ""), kind, parsed)
    return ReviewRequest(kind, reviewer, reason, parse_digest(body.get("result_digest")), parsed)


def parse_reviewer(value: object) -> str:
    """Read a name: one line of 1 to 80 printable characters, without what tables and spreadsheets take for another.

    A semicolon parts names in tables; a cell that begins with one of `FORMULA_SIGNS` is a formula to spreadsheets.
    """
    name = _line(value, "reviewer", MAX_REVIEWER)
    if not name:
        raise InputError("is missing", where="reviewer", remedy="say who you are")
    if ";" in name:
        raise InputError("holds a semicolon", where="reviewer", remedy="leave it out")
    if name.startswith(FORMULA_SIGNS):
        raise InputError("begins as a formula of a spreadsheet", where="reviewer", remedy="begin with a letter")
    return name


def parse_reason(value: object, kind: Kind, content: Mapping[str, Any]) -> str:
    """Read a reason: one line of up to 500 printable characters, which a verdict other than `open` must have."""
    reason = _line(value, "reason", MAX_REASON)
    if not reason and kind == "verdict" and content["state"] != "open":
        raise InputError("is missing", where="reason", remedy="say why, in a few words")
    return reason


def parse_digest(value: object) -> str:
    """Read a SHA-256 in hex."""
    if not isinstance(value, str) or len(value) != _DIGEST_LENGTH or not _HEX.issuperset(value):
        raise InputError("is no SHA-256 in hex", where="result_digest")
    return value


def _parse_cells(content: Content) -> Content:
    name = _one_of(content, ("bin", "tumor"), ("cells",))
    ids = content["cells"]
    if not isinstance(ids, list) or not 1 <= len(ids) <= MAX_CELLS:
        raise InputError(f"are not 1 to {MAX_CELLS:,} cell numbers", where="cells")
    if not all(type(each) is int and 0 <= each <= MAX_NUMBER for each in ids):
        raise InputError("are not all cell numbers", where="cells")
    cells = np.unique(np.array(ids, dtype=np.int64))
    if len(cells) < len(ids):
        raise InputError("are named twice", where="cells")
    return {"cells": cells, "set": parse_set({name: content[name]})}


def parse_set(content: object) -> Content:
    """Read what cells are set to: {"bin": 0..3} or {"tumor": true or false}."""
    if isinstance(content, dict) and len(content) == 1:
        value = content.get("bin", content.get("tumor"))
        if "bin" in content and type(value) is int and 0 <= value < N_BINS:
            return {"bin": value}
        if "tumor" in content and isinstance(value, bool):
            return {"tumor": value}
    raise InputError("is neither a bin, 0 to 3, nor a tumor state, true or false", where="set")


def _parse_region(content: Content) -> Content:
    _only(content, ("role", "polygon"))
    role, corners = content["role"], content["polygon"]
    if role not in ("include", "exclude"):
        raise InputError("is neither include nor exclude", where="role")
    if not isinstance(corners, list) or not MIN_CORNERS <= len(corners) <= MAX_CORNERS:
        raise InputError(f"has not {MIN_CORNERS} to {MAX_CORNERS:,} corners", where="polygon")
    polygon = [[_coordinate(each) for each in corner] if _is_pair(corner) else [] for corner in corners]
    if not all(polygon):
        raise InputError("has a corner that is no pair of numbers", where="polygon")
    points = np.array(polygon)
    from_first = points - points[0]
    # Seen from one corner, all others lie in one direction where they lie on a line.
    farthest = from_first[np.argmax((from_first**2).sum(axis=1))]
    if not (from_first @ np.array([-farthest[1], farthest[0]])).any():
        raise InputError("has no area", where="polygon", remedy="draw it again")
    return {"role": role, "polygon": polygon}


def _is_pair(corner: object) -> bool:
    return isinstance(corner, list) and len(corner) == len(AXES)


def _coordinate(value: object) -> float:
    # Adding 0 turns a negative zero into a plain one.
    return round(_number(value, "polygon", -MAX_L0, MAX_L0), CORNER_DECIMALS) + 0.0


def _parse_step(content: Content) -> Content:
    _only(content, ("of",))
    if type(content["of"]) is not int or not 0 < content["of"] <= MAX_NUMBER:
        raise InputError("is no number of a review", where="of")
    return {"of": content["of"]}


def _parse_verdict(content: Content) -> Content:
    overridden = content.get("state") == "overridden"
    _only(content, ("state", "call") if overridden else ("state",))
    if content["state"] not in VERDICTS:
        raise InputError("is no verdict", where="state", remedy=f"known: {', '.join(VERDICTS)}")
    if overridden and content["call"] not in list(CallLabel):
        raise InputError("is no call", where="call", remedy=f"known: {', '.join(CallLabel)}")
    return dict(content)


def _parse_comment(content: Content) -> Content:
    _only(content, ("text",))
    text = _text(content["text"])
    if not text:
        raise InputError("is empty", where="text")
    return {"text": text}


def _parse_reading(content: Content) -> Content:
    text = _text(content.get("text", ""))
    name = _one_of({key: value for key, value in content.items() if key != "text"}, READINGS, ())
    return {name: _reading(name, content[name]), "text": text}


def _reading(name: str, value: object) -> float | int | list[float]:
    if name == "h_score":
        return _number(value, name, 0, MAX_H_SCORE)
    if name == "percent_positive":
        return _number(value, name, 0, MAX_PERCENT)
    if name == "intensity":
        if type(value) is int and 0 <= value < N_BINS:
            return value
        raise InputError("is no intensity, 0 to 3", where=name)
    if not isinstance(value, list) or len(value) != N_BINS:
        raise InputError(f"are not {N_BINS} percentages", where=name)
    bins = [_number(each, name, 0, MAX_PERCENT) for each in value]
    if abs(sum(bins) - MAX_PERCENT) > PERCENT_SLACK:
        raise InputError(f"add up to {sum(bins):g}, not to {MAX_PERCENT}", where=name)
    return bins


PARSERS: Final[dict[Kind, Callable[[Content], Content]]] = {
    "cells": _parse_cells,
    "region": _parse_region,
    "undo": _parse_step,
    "redo": _parse_step,
    "verdict": _parse_verdict,
    "comment": _parse_comment,
    "reading": _parse_reading,
}


def _only(content: Content, names: tuple[str, ...]) -> None:
    """Refuse keys that are missing, and keys that nobody knows."""
    missing = [name for name in names if name not in content]
    if missing:
        raise InputError("is missing", where=missing[0])
    unknown = [str(name) for name in content if name not in names]
    if unknown:
        # Not the key itself: it may be long, and it may hold anything.
        raise InputError("holds a key that means nothing here", where="review", remedy=f"known: {', '.join(names)}")


def _one_of(content: Content, choices: tuple[str, ...], others: tuple[str, ...]) -> str:
    """Say which of the choices is there, and refuse none, several, and what is not asked for."""
    there = [name for name in choices if name in content]
    if len(there) != 1:
        raise InputError(f"needs exactly one of {', '.join(choices)}", where="review")
    _only(content, (*others, *there))
    return there[0]


def _number(value: object, where: str, low: float, high: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise InputError(f"is no number from {low:g} to {high:g}", where=where)
    return float(value)


def _line(value: object, where: str, longest: int) -> str:
    """Read one line: spaces of every kind become single ones, and accented letters one character."""
    if not isinstance(value, str):
        raise InputError("is no text", where=where)
    # Before anything is made of it: a long text is not looked through.
    line = "" if len(value) > 2 * longest else " ".join(unicodedata.normalize("NFC", value).split())
    if len(value) > 2 * longest or len(line) > longest:
        raise InputError(f"is longer than {longest:,} characters", where=where)
    if not line.isprintable():
        raise InputError("holds characters that cannot be shown", where=where)
    return line


def _text(value: object) -> str:
    """Read a text of several lines."""
    if not isinstance(value, str):
        raise InputError("is no text", where="text")
    if len(value) > 2 * MAX_TEXT:
        raise InputError(f"is longer than {MAX_TEXT:,} characters", where="text")
    text = "\n".join(_line(line, "text", MAX_TEXT) for line in value.splitlines()).strip()
    if len(text) > MAX_TEXT:
        raise InputError(f"is longer than {MAX_TEXT:,} characters", where="text")
    return text
