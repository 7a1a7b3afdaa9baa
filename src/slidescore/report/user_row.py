"""One row of a table that a user brings: its values read as what they must be, every error naming the cell."""

from __future__ import annotations

import datetime
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

from slidescore.errors import InputError

SHOWN_CHARACTERS: Final = 40
"""Of a value that an error quotes."""
FLAGS: Final = {"1": True, "yes": True, "true": True, "0": False, "no": False, "false": False}
MISSING_WORDS: Final = ("nan", "na", "n/a", "none", "null", "-")
"""What people write where there is no value; refused, for `none` may as well be a value."""

_NUMBER: Final = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_WHOLE: Final = re.compile(r"[+-]?\d{1,15}(\.0*)?", re.ASCII)
"""Up to 15 digits, which a float holds exactly; `3.0` is how some programs write 3."""
_DECIMAL_COMMA: Final = re.compile(r"[+-]?\d[\d.]*,\d+", re.ASCII)
_ISO_DATE: Final = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_NAME_BREAKS: Final = re.compile(r"[\s_-]+")

_Value = TypeVar("_Value")


@dataclass(frozen=True, slots=True)
class UserRow:
    """One row of a user's table; `line` is where it begins in the file (the header is line 1)."""

    path: Path
    line: int
    values: Mapping[str, str]
    """Stripped text by column; "" where the cell is empty."""

    def error(self, column: str, message: str, remedy: str = "") -> InputError:
        """Make (not raise) the error of a cell: `<file>, row 7, column 'h_score': <message> (<remedy>)`."""
        return InputError(message, where=f"{self.path}, row {self.line}, column '{column}'", remedy=remedy)

    @property
    def slide_column(self) -> str:
        """The column that says which slide the row is about: slide_id where it is filled, else file."""
        return "slide_id" if self.optional_text("slide_id") else "file"

    def text(self, column: str) -> str:
        """Return a cell that must hold something.

        Raises
        ------
        InputError
            If it is empty; like every error of a row, it names file, row and column.
        """
        value = self.optional_text(column)
        if value is None:
            raise self.error(column, "is empty")
        return value

    def optional_text(self, column: str) -> str | None:
        """Return a cell; None where it is empty or the table has no such column."""
        return self.values.get(column) or None

    def number(self, column: str, low: float | None = None, high: float | None = None) -> float:
        """Read a finite number within [low, high]; a bound that is None does not bind.

        Raises
        ------
        InputError
            If the cell is empty, no number (`nan`, `inf` and what overflows are none), or out of bounds.
        """
        text = self.text(column)
        if not _NUMBER.fullmatch(text) or not math.isfinite(float(text)):
            raise self.error(column, f"{quoted(text)} is not a number", _number_remedy(text))
        return self._bounded(column, float(text), low, high)

    def optional_number(self, column: str, low: float | None = None, high: float | None = None) -> float | None:
        """Read a number that may be missing: None where the cell is empty or the table has no such column."""
        return self._optional(column, lambda: self.number(column, low, high))

    def whole(self, column: str, low: int | None = None, high: int | None = None) -> int:
        """Read a whole number within [low, high]; errors as for `number`."""
        text = self.text(column)
        if not _WHOLE.fullmatch(text):
            raise self.error(column, f"{quoted(text)} is not a whole number", _number_remedy(text))
        return int(self._bounded(column, int(float(text)), low, high))

    def optional_whole(self, column: str, low: int | None = None, high: int | None = None) -> int | None:
        """Read a whole number that may be missing."""
        return self._optional(column, lambda: self.whole(column, low, high))

    def choice(self, column: str, allowed: Sequence[str]) -> str:
        """Read one of the allowed words, whatever its case, blanks or hyphens; returned as it stands in `allowed`.

        Raises
        ------
        InputError
            If it is empty or another word.
        """
        text = self.text(column)
        known = {name_key(word): word for word in allowed}
        if name_key(text) not in known:
            raise self.error(column, f"{quoted(text)} is none of {', '.join(allowed)}")
        return known[name_key(text)]

    def optional_choice(self, column: str, allowed: Sequence[str]) -> str | None:
        """Read a word that may be missing."""
        return self._optional(column, lambda: self.choice(column, allowed))

    def flag(self, column: str) -> bool:
        """Read 1, yes or true, or 0, no or false, whatever their case.

        Raises
        ------
        InputError
            If it is empty or another word.
        """
        text = self.text(column)
        if text.lower() not in FLAGS:
            raise self.error(column, f"{quoted(text)} is neither yes nor no", "write yes or no, or 1 or 0")
        return FLAGS[text.lower()]

    def optional_flag(self, column: str) -> bool | None:
        """Read a flag that may be missing."""
        return self._optional(column, lambda: self.flag(column))

    def date(self, column: str) -> datetime.date:
        """Read an ISO date, such as 2024-03-09.

        Raises
        ------
        InputError
            If it is empty, written another way, or no day of the calendar.
        """
        text = self.text(column)
        try:
            if _ISO_DATE.fullmatch(text):
                return datetime.date.fromisoformat(text)
        except ValueError as error:
            raise self.error(column, f"{quoted(text)} is no day of the calendar") from error
        raise self.error(column, f"{quoted(text)} is not a date", "write year-month-day, such as 2024-03-09")

    def _optional(self, column: str, read: Callable[[], _Value]) -> _Value | None:
        return read() if self.optional_text(column) is not None else None

    def _bounded(self, column: str, value: float, low: float | None, high: float | None) -> float:
        if low is not None and high is not None and not low <= value <= high:
            raise self.error(column, f"{value:.10g} is not between {low:g} and {high:g}")
        if low is not None and value < low:
            raise self.error(column, f"{value:.10g} is below {low:g}")
        if high is not None and value > high:
            raise self.error(column, f"{value:.10g} is above {high:g}")
        return value


def name_key(name: str) -> str:
    """Spell a name so that case, blanks, hyphens and underscores do not matter: `Slide ID` and `slide_id` are one."""
    return _NAME_BREAKS.sub("_", name.strip().casefold())


def quoted(text: str) -> str:
    """Quote a value in an error: in one line, no longer than fits, nothing that a terminal would obey."""
    shown = "".join(letter if letter.isprintable() else "·" for letter in text)
    return f"'{shown[:SHOWN_CHARACTERS]}…'" if len(shown) > SHOWN_CHARACTERS else f"'{shown}'"


def _number_remedy(text: str) -> str:
    if _DECIMAL_COMMA.fullmatch(text):
        return "write a decimal point, not a comma, and nothing between thousands"
    return "leave the cell empty where there is no value" if text.casefold() in MISSING_WORDS else ""
