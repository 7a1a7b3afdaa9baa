"""Text that people typed, in tables that other people open in a spreadsheet."""

from __future__ import annotations

from typing import Final

FORMULA_SIGNS: Final = ("=", "+", "-", "@", "\t", "\r")
"""What makes a text a formula in a spreadsheet, where it begins with one."""


def as_text(value: str | None) -> str | None:
    """Put an apostrophe before what a spreadsheet would take for a formula."""
    return f"'{value}" if value and value.startswith(FORMULA_SIGNS) else value


def from_text(value: str) -> str:
    """Undo `as_text`: tables that slidescore wrote come back as tables that users bring."""
    return value[1:] if value.startswith("'") and value[1:].startswith(FORMULA_SIGNS) else value
