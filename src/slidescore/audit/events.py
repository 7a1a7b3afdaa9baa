"""One act of a reviewer: what is stored of it, and the digest that chains it to the one before.

An event is never changed. What a person asked for comes in through `requests.parse_request`, what is stored is
made by `drafts.draft_event`, and `log.ReviewLog` keeps it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

Kind = Literal["cells", "region", "undo", "redo", "verdict", "comment", "reading"]
KINDS: Final[tuple[Kind, ...]] = ("cells", "region", "undo", "redo", "verdict", "comment", "reading")
EDITS: Final[frozenset[str]] = frozenset({"cells", "region"})
"""Kinds that change cells and can be undone."""
STEPS: Final[frozenset[str]] = frozenset({"undo", "redo"})
"""Kinds that say whether an edit is in force."""
NO_DIGEST: Final = "0" * 64
"""Stands for the digest of the event before the first."""


@dataclass(frozen=True, slots=True)
class Draft:
    """An event before it has its place in the log.

    Attributes
    ----------
    slide_id, result_digest
        What it is about, see `slidescore.report.digests.result_digest`.
    kind
        One of `KINDS`.
    reviewer
        Who acted.
    payload
        What was done, see docs/outputs.md; `reason` is always a key, maybe empty.
    """

    slide_id: str
    result_digest: str
    kind: Kind
    reviewer: str
    payload: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Event:
    """An act as the log holds it.

    Attributes
    ----------
    seq
        Its number, 1 for the first of the run.
    utc
        When it was stored, ISO 8601 in UTC.
    reviewer, slide_id, result_digest, kind, payload
        As in `Draft`.
    previous, digest
        SHA-256 in hex of the event before and of this one.
    """

    seq: int
    utc: str
    reviewer: str
    slide_id: str
    result_digest: str
    kind: Kind
    payload: Mapping[str, Any]
    previous: str
    digest: str


def canonical_json(content: object) -> str:
    """Write JSON in the one form that digests are taken of: keys sorted, no spaces, characters as they are.

    Raises
    ------
    ValueError
        If a number is not finite.
    """
    return json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def event_digest(columns: Mapping[str, Any]) -> str:
    """Return the SHA-256 in hex of an event's columns, the payload as its text, all but `digest` itself."""
    content = {name: value for name, value in columns.items() if name != "digest"}
    return hashlib.sha256(canonical_json(content).encode("utf-8")).hexdigest()
