"""The readers' table: what each reader scored on each slide, checked row by row.

A reading is of one or more kinds, the same in every row of a table: an H-score, a percent positive, the percents in
the four bins, or one overall intensity. `slidescore review export --to readings` writes such tables.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Literal

import numpy as np

from slidescore.assay.model import SCALE_RANGE, Scale, Score
from slidescore.audit.requests import PERCENT_SLACK
from slidescore.report.user_percents import PERCENT_COLUMNS, Percents, read_percents
from slidescore.report.user_tables import UserRow, UserTable, match_slides, quoted, read_user_table
from slidescore.scoring.bins import BIN_NAMES
from slidescore.scoring.schemes import score_counts

Kind = Literal["h_score", "percent_positive", "shares", "intensity"]

NUMBER_COLUMNS: Final = ("h_score", "percent_positive", *PERCENT_COLUMNS, "intensity")
"""Columns that hold what was read."""
TABLE_COLUMNS: Final = ("slide_id", "file", *NUMBER_COLUMNS, "note", "utc")
"""All columns beside `reader`."""
MACHINE: Final = "machine"
MEAN: Final = "mean of readers"
ALL_READERS: Final = "all readers"
OWN_NAMES: Final = frozenset({MACHINE, MEAN, ALL_READERS})
"""Names that the report uses itself."""
H_SLACK: Final = 3.0
"""H that three percents rounded by 0.5 each can miss by: 0.5 + 2 x 0.5 + 3 x 0.5."""
STRONGEST: Final = len(BIN_NAMES) - 1
"""The highest bin, and how many H points a percent of it is worth."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What one reader scored on one slide; at least one of the four kinds is given.

    Attributes
    ----------
    slide_id, reader
        Whose it is.
    line
        Where it stands in the table.
    h_score, percent_positive
        0 to 300, 0 to 100; None where not given.
    shares
        Percent of the tumor cells in bin 0, 1+, 2+ and 3+, as given; None where not.
    intensity
        Overall intensity, 0 to 3; None where not given.
    """

    slide_id: str
    reader: str
    line: int
    h_score: float | None
    percent_positive: float | None
    shares: Percents | None
    intensity: int | None

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """What was read."""
        given: dict[Kind, object] = {
            "h_score": self.h_score,
            "percent_positive": self.percent_positive,
            "shares": self.shares,
            "intensity": self.intensity,
        }
        return tuple(kind for kind, value in given.items() if value is not None)

    def on_scale(self, scale: Scale, score: Score) -> float | None:
        """Return the score on a scale: the one given, else what the four shares come to; None where neither can say.

        Parameters
        ----------
        scale
            Name of a scheme. Nobody reads pixels, so `pixel_h_score` has no reading.
        score
            The assay's score block, for what a scheme leaves open.
        """
        given = {"h_score": self.h_score, "percent_positive": self.percent_positive}.get(scale)
        if given is not None or self.shares is None or scale == "pixel_h_score":
            return given
        return float(score_counts(scale, np.asarray(self.shares), score))

    @property
    def intensity_class(self) -> int | None:
        """The overall intensity given, else the bin with the most cells; None where neither was read."""
        if self.intensity is not None or self.shares is None:
            return self.intensity
        return modal_bin(self.shares)


@dataclass(frozen=True, slots=True)
class Readings:
    """A readers' table.

    Attributes
    ----------
    kinds
        What every row of the table gives.
    readers
        Those who gave a score, in alphabetical order.
    by_reader
        For each reader the readings that count, by slide_id.
    superseded
        Readings that the same reader replaced by a later one of the same slide.
    not_read
        (reader, slide_id) of the rows without a score, where no other row of the two has one.
    """

    kinds: tuple[Kind, ...]
    readers: tuple[str, ...]
    by_reader: Mapping[str, Mapping[str, Reading]]
    superseded: tuple[Reading, ...]
    not_read: tuple[tuple[str, str], ...]


def modal_bin(counts: Percents) -> int:
    """Return the bin, 0 to 3, that holds most; of equals the weaker one, as the immunoreactive score has it."""
    return int(np.argmax(np.asarray(counts)))


def read_readings(path: Path, slides: Mapping[str, str]) -> Readings:
    """Read a readers' table and join it to the slides of a run.

    Parameters
    ----------
    path
        CSV with the columns `reader`, `slide_id` or `file`, and at least one of `h_score`, `percent_positive`, `p0` to
        `p3` together, `intensity`; further `note` and `utc`.
    slides
        The slides' file names by slide_id.

    Raises
    ------
    InputError
        With file, row and column, if a row names no slide or two, gives an impossible score, gives other kinds of
        scores than the rows before it (mixed scales), or reads a slide again without a time to say which counts.
    """
    table = read_user_table(path, required=("reader",), optional=TABLE_COLUMNS)
    if not any(table.has(column) for column in NUMBER_COLUMNS):
        raise table.error("holds no readings", f"it needs a column of: {', '.join(NUMBER_COLUMNS)}")
    slide_ids = match_slides(table, slides)
    rows: dict[tuple[str, str], list[tuple[UserRow, Reading]]] = {}
    empty: list[tuple[str, str]] = []
    first: Reading | None = None
    for row, slide_id, reader in zip(table.rows, slide_ids, _read_names(table), strict=True):
        reading = _read_row(row, table, slide_id, reader)
        if not reading.kinds:
            empty.append((reading.reader, slide_id))
            continue
        first = first or reading
        _refuse_mixed(row, reading, first)
        rows.setdefault((reading.reader, slide_id), []).append((row, reading))
    if first is None:
        raise table.error("holds no readings", "no row has a score")
    readers = tuple(sorted({reader for reader, _ in rows}))
    by_reader: dict[str, dict[str, Reading]] = {reader: {} for reader in readers}
    superseded: list[Reading] = []
    for (reader, slide_id), found in sorted(rows.items()):
        *earlier, last = _by_time(found)
        by_reader[reader][slide_id] = last
        superseded += earlier
    not_read = sorted({(reader, slide_id) for reader, slide_id in empty if (reader, slide_id) not in rows})
    return Readings(first.kinds, readers, by_reader, tuple(superseded), tuple(not_read))


def _read_names(table: UserTable) -> list[str]:
    """Return the reader of each row; refuse a name that could be taken for another one."""
    names: list[str] = []
    first: dict[str, UserRow] = {}
    for row in table.rows:
        name = row.text("reader")
        key = " ".join(name.casefold().split())
        if key in OWN_NAMES:
            raise row.error("reader", f"{quoted(name)} is a name that the report itself uses", "give the reader's own")
        known = first.setdefault(key, row)
        if known.text("reader") != name:
            raise row.error(
                "reader",
                f"{quoted(name)} is spelt {quoted(known.text('reader'))} in row {known.line}",
                "spell each reader one way",
            )
        names.append(name)
    return names


def _read_row(row: UserRow, table: UserTable, slide_id: str, reader: str) -> Reading:
    h_score = row.optional_number("h_score", *SCALE_RANGE["h_score"])
    percent = row.optional_number("percent_positive", *SCALE_RANGE["percent_positive"])
    shares = read_percents(table, row, PERCENT_SLACK)
    intensity = row.optional_whole("intensity", 0, STRONGEST)
    reading = Reading(slide_id, reader, row.line, h_score, percent, shares, intensity)
    _refuse_contradiction(row, reading)
    return reading


def _refuse_contradiction(row: UserRow, reading: Reading) -> None:
    """Refuse a row whose numbers cannot all be true."""
    h_score, percent, shares = reading.h_score, reading.percent_positive, reading.shares
    if shares is not None:
        _, p1, p2, p3 = shares
        if percent is not None and abs(percent - (p1 + p2 + p3)) > 2 * PERCENT_SLACK:
            raise row.error("percent_positive", f"{percent:g} is not p1 + p2 + p3, {p1 + p2 + p3:g}")
        of_bins = p1 + 2 * p2 + 3 * p3
        if h_score is not None and abs(h_score - of_bins) > H_SLACK:
            raise row.error("h_score", f"{h_score:g} is not p1 + 2 p2 + 3 p3, {of_bins:g}")
    elif h_score is not None and percent is not None:
        low, high = percent - PERCENT_SLACK, STRONGEST * (percent + PERCENT_SLACK)
        if not low <= h_score <= high:
            raise row.error(
                "h_score",
                f"{h_score:g} is impossible with {percent:g} % positive cells",
                f"between {percent:g} and {STRONGEST * percent:g}",
            )


def _refuse_mixed(row: UserRow, reading: Reading, first: Reading) -> None:
    if reading.kinds == first.kinds:
        return
    other = next(kind for kind in (*reading.kinds, *first.kinds) if (kind in reading.kinds) != (kind in first.kinds))
    raise row.error(
        PERCENT_COLUMNS[0] if other == "shares" else other,
        f"mixed scales: this row gives {_words(reading.kinds)}, row {first.line} gives {_words(first.kinds)}",
        "one kind of reading a table; put the others into a table of their own",
    )


def _words(kinds: tuple[Kind, ...]) -> str:
    return " and ".join("p0 to p3" if kind == "shares" else kind for kind in kinds)


def _by_time(found: list[tuple[UserRow, Reading]]) -> list[Reading]:
    """Order one reader's readings of one slide by time; the last counts."""
    if len(found) == 1:
        return [found[0][1]]
    timed: dict[datetime, Reading] = {}
    for number, (row, reading) in enumerate(found):
        moment = _time(row)
        if number and (len(timed) < number or moment is None or moment in timed):
            raise row.error(
                "utc" if moment else "reader",
                f"{quoted(reading.reader)} reads this slide again, after row {found[0][1].line}",
                "keep one row, or give each its time in column utc: then the latest counts",
            )
        if moment is not None:
            timed[moment] = reading
    return [timed[moment] for moment in sorted(timed)]


def _time(row: UserRow) -> datetime | None:
    text = row.optional_text("utc")
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise row.error("utc", f"{quoted(text)} is no ISO time", "such as 2026-03-09T14:30:00Z") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
