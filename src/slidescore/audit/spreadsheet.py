"""Text that people typed, for tables that other people open in a spreadsheet."""

from __future__ import annotations

from typing import Final

FORMULA_SIGNS: Final = ("=", "+", "-", "@", "\t", "\r")
"""What makes a text a formula in a spreadsheet, where it begins with one."""


def as_text(value: str | None) -> str | None:
    """Put an apostrophe before what a spreadsheet would take for a formula."""
    return f"'{value}" if value and value.startswith(FORMULA_SIGNS) else value
