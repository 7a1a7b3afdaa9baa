"""Where two JSON values differ, in words that fit on a line."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

MOST_CHARACTERS: Final = 80
"""Shown of a value."""
EMPTY: Final = "empty"
"""Stands for nothing at all: null in JSON, an empty cell in a table."""


def differing(old: Any, new: Any, key: str) -> Iterator[tuple[str, Any, Any]]:
    """Yield where two JSON values differ: dotted key, old and new value."""
    if isinstance(old, dict) and isinstance(new, dict):
        for name in dict.fromkeys([*old, *new]):
            yield from differing(old.get(name), new.get(name), f"{key}.{name}")
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for number, pair in enumerate(zip(old, new, strict=True)):
            yield from differing(*pair, f"{key}[{number}]")
    elif old != new:
        yield key, old, new


def brief(value: Any) -> str:
    """Show a value on one line: what somebody changed can hold anything, of any length."""
    text = "" if value is None else str(value)
    text = " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())
    return (text or EMPTY) if len(text) <= MOST_CHARACTERS else f"{text[: MOST_CHARACTERS - 1]}…"
