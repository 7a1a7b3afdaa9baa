"""An event in plain words, one line."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from slidescore.audit.events import Event
from slidescore.audit.runs import count_runs
from slidescore.scoring.bins import BIN_NAMES

_VERDICTS: Final = {
    "accepted": "Accepted",
    "rejected": "Rejected: no result",
    "flagged": "Flagged for another look",
    "overridden": "Call overridden",
    "open": "Taken up again",
}
_ROLES: Final = {"include": "Region counted in", "exclude": "Region taken out"}
_SHOWN: Final = 200
"""Characters of a comment that a history shows."""


def tell(event: Event) -> str:
    """Say what an event did, for people; its reason is not in it."""
    return _TELLERS[event.kind](event.payload)


def _cells(payload: Mapping[str, Any]) -> str:
    said = payload["set"]
    to = BIN_NAMES[said["bin"]] if "bin" in said else "tumor" if said["tumor"] else "not tumor"
    return f"{_number(count_runs(payload['cells']))} set to {to}"


def _region(payload: Mapping[str, Any]) -> str:
    return f"{_ROLES[payload['role']]}: {_number(payload['n_cells'])}"


def _verdict(payload: Mapping[str, Any]) -> str:
    call = f": {payload['call']}" if "call" in payload else ""
    return _VERDICTS[payload["state"]] + call


def _comment(payload: Mapping[str, Any]) -> str:
    text = " ".join(payload["text"].split())
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"


def _reading(payload: Mapping[str, Any]) -> str:
    if "bins" in payload:
        said = ", ".join(f"{name} {share:g} %" for name, share in zip(BIN_NAMES, payload["bins"], strict=True))
    elif "h_score" in payload:
        said = f"H-score {payload['h_score']:g}"
    elif "intensity" in payload:
        said = f"intensity {payload['intensity']}"
    else:
        said = f"{payload['percent_positive']:g} % positive"
    return f"Read blind: {said}"


def _number(n: int) -> str:
    return f"{n:,} cell{'' if n == 1 else 's'}"


_TELLERS: Final[dict[str, Callable[[Mapping[str, Any]], str]]] = {
    "cells": _cells,
    "region": _region,
    "undo": lambda payload: f"Undid {payload['of']}",
    "redo": lambda payload: f"Redid {payload['of']}",
    "verdict": _verdict,
    "comment": _comment,
    "reading": _reading,
}
