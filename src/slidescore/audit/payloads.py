"""What an event may hold, looked at before it is stored and again whenever it is read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from slidescore.audit.events import KINDS, canonical_json
from slidescore.audit.requests import (
    MAX_H_SCORE,
    MAX_NUMBER,
    PARSERS,
    VERDICTS,
    parse_reason,
    parse_set,
)
from slidescore.audit.runs import parse_lengths, parse_runs
from slidescore.errors import InputError
from slidescore.scoring import CallLabel

STATES: Final = ("unreviewed", *VERDICTS, "changed")
"""Every state that a verdict may replace."""
Payload = dict[str, Any]


def check_payload(kind: str, payload: object) -> None:
    """Refuse what `drafts.draft_event` would not have made.

    Raises
    ------
    InputError
        Naming the key.
    """
    if kind not in KINDS:
        raise InputError("is no kind of review", where="kind")
    if not isinstance(payload, dict):
        raise InputError("is no object", where="payload")
    content = dict(payload)
    reason = _take(content, "reason", str)
    if kind == "cells":
        _check_cells(content)
        parsed = content
    else:
        STORED.get(kind, _nothing_more)(content)
        parsed = PARSERS[kind](content)
    # As text, for 1 and 1.0 and True are equal, and only one of them was written.
    if canonical_json(parsed) != canonical_json(content) or parse_reason(reason, kind, parsed) != reason:
        raise InputError("is not written in the one form that it has", where="payload")


def _take(content: Payload, name: str, kind: type) -> Any:
    value = content.pop(name, None)
    if type(value) is not kind:
        raise InputError("is missing or of another kind", where=name)
    return value


def _nothing_more(content: Payload) -> None:
    """Let an event pass that holds no more than was asked for."""


def _check_cells(content: Payload) -> None:
    rest = dict(content)
    n = len(parse_runs(_take(rest, "cells", str)))
    parse_lengths(_take(rest, "old", str), n)
    parse_set(_take(rest, "set", dict))
    if rest:
        raise InputError("holds a key that means nothing here", where="payload")


def _check_region(content: Payload) -> None:
    n_cells = _take(content, "n_cells", int)
    if not 0 < n_cells <= MAX_NUMBER:
        raise InputError("is no number of cells", where="n_cells")
    parse_lengths(_take(content, "old", str), n_cells)


def _check_verdict(content: Payload) -> None:
    old, reviewed = _take(content, "old", dict), _take(content, "reviewed", dict)
    if set(old) != {"state", "call"} or old["state"] not in STATES or old["call"] not in (None, *CallLabel):
        raise InputError("is no state and call", where="old")
    if set(reviewed) != {"h_score", "call"} or reviewed["call"] not in (None, *CallLabel):
        raise InputError("is no score and call", where="reviewed")
    h_score = reviewed["h_score"]
    if h_score is not None and not (type(h_score) is float and 0 <= h_score <= MAX_H_SCORE):
        raise InputError("is no H-score", where="reviewed")


STORED: Final[dict[str, Callable[[Payload], None]]] = {"region": _check_region, "verdict": _check_verdict}
"""By kind, what takes the values that an event replaced out of its payload, and looks at them."""
