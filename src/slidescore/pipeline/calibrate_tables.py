"""The tables of a calibration: which slides are controls and what is known of them, and cells that people labelled."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from slidescore.report.user_percents import PERCENT_COLUMNS, read_percents
from slidescore.report.user_row import UserRow
from slidescore.report.user_tables import UserTable, match_slides, read_user_table

CONTROL_COLUMNS: Final = ("slide_id", "file", "region", *PERCENT_COLUMNS, "batch")
LABEL_COLUMNS: Final = ("slide_id", "file")
ROLES: Final = ("negative", "positive")
SUM_TOLERANCE = 1.0
"""Four percents that were rounded to whole ones add to 100 within this."""
HIGHEST_BIN = 3


@dataclass(frozen=True, slots=True)
class ControlRow:
    """A row of controls.csv.

    Attributes
    ----------
    row
        Where it stands, for errors.
    slide_id, file
        Of its slide.
    region
        Name of the annotation that it is about; None for the slide.
    positive
        Whether it is to hold DAB.
    shares
        Expected share of cells in each bin, adding to 1; None where they are not known.
    batch
        As the table has it; empty without.
    """

    row: UserRow
    slide_id: str
    file: str
    region: str | None
    positive: bool
    shares: tuple[float, float, float, float] | None
    batch: str

    @property
    def name(self) -> str:
        """The slide's file, and the region."""
        return self.file if self.region is None else f"{self.file} [{self.region}]"


@dataclass(frozen=True, slots=True)
class LabelRow:
    """A row of labels.csv: the slide, the place in level-0 px, and the bin (0 to 3) that a person gave."""

    row: UserRow
    slide_id: str
    x_l0: float
    y_l0: float
    bin: int


def read_controls(path: Path, slides: Mapping[str, str]) -> tuple[ControlRow, ...]:
    """Read controls.csv; its rows are returned in the order of their files and regions.

    Parameters
    ----------
    path
        Columns slide_id or file, role, and as far as known region, p0, p1, p2, p3 (percent of cells), batch.
    slides
        File by slide_id of the inputs.

    Raises
    ------
    InputError
        Naming file, row and column: a slide that is not among the inputs, an unknown role, percents that do not add to
        100 or are only some of the four, a control twice.
    """
    table = read_user_table(path, required=("role",), optional=CONTROL_COLUMNS)
    ids = match_slides(table, slides)
    rows: list[ControlRow] = []
    for row, slide_id in zip(table.rows, ids, strict=True):
        region = row.optional_text("region")
        twin = next((each for each in rows if (each.slide_id, each.region) == (slide_id, region)), None)
        if twin is not None:
            what = f"region '{region}' of {slides[slide_id]}" if region else slides[slide_id]
            raise row.error(row.slide_column, f"{what} is in row {twin.row.line} already", "a control has one row")
        positive = row.choice("role", ROLES) == "positive"
        batch = row.optional_text("batch") or ""
        rows.append(ControlRow(row, slide_id, slides[slide_id], region, positive, _shares(table, row), batch))
    # Whatever the order of the table, the bootstrap draws the same.
    return tuple(sorted(rows, key=lambda each: (each.file, each.region or "")))


def read_labels(path: Path, slides: Mapping[str, str]) -> tuple[LabelRow, ...]:
    """Read labels.csv: columns slide_id or file, x, y (level-0 px), bin (0 to 3).

    Raises
    ------
    InputError
        Naming file, row and column; or the table, where all labels are of one bin.
    """
    table = read_user_table(path, required=("x", "y", "bin"), optional=LABEL_COLUMNS)
    ids = match_slides(table, slides)
    rows = tuple(
        LabelRow(row, slide_id, row.number("x"), row.number("y"), row.whole("bin", 0, HIGHEST_BIN))
        for row, slide_id in zip(table.rows, ids, strict=True)
    )
    bins = {each.bin for each in rows}
    if len(bins) == 1:
        message = f"all {len(rows)} labels are {bins.pop()}: they tell no threshold"
        raise table.error(message, "label cells of all four bins", column="bin")
    return rows


def _shares(table: UserTable, row: UserRow) -> tuple[float, float, float, float] | None:
    """Return the expected shares, adding to 1 whatever rounding left of them."""
    percents = read_percents(table, row, SUM_TOLERANCE)
    if percents is None:
        return None
    p0, p1, p2, p3 = (value / sum(percents) for value in percents)
    return p0, p1, p2, p3
