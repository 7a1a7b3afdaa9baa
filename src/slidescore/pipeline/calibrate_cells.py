"""The cells of scored controls: those that a control is about, and those that people labelled."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from slidescore.assay import Assay
from slidescore.cells.pointing import index_cells
from slidescore.cells.table import CELL_SCHEMA, floats
from slidescore.pipeline.calibrate_tables import ControlRow, LabelRow
from slidescore.pipeline.publish import TABLES
from slidescore.qc.stain_check import PREFIX
from slidescore.report.files import read_json, read_parquet
from slidescore.report.run_folder import RunFolder
from slidescore.scoring.bins import cell_bins, count_bins
from slidescore.scoring.scores import CONTROL, control_cells
from slidescore.scoring.selection import counted_cells, tumor_cells
from slidescore.scoring.threshold_fit import LabelledCells, ShareControl

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ControlCells:
    """The cells of one control that count.

    Attributes
    ----------
    control
        Its row of controls.csv.
    od
        Columns dab_od_* of its counted cells.
    unused
        Why nothing is learned from its cells, else empty.
    """

    control: ControlRow
    od: pa.Table
    unused: str

    def values(self, assay: Assay) -> NDArray[np.float64]:
        """DAB OD in the compartment of the assay's score, float64, (N,), without cells too small to have one."""
        od = floats(self.od, f"dab_od_{assay.score.compartment}").astype(np.float64)
        return od[~np.isnan(od)]

    def h_score(self, assay: Assay) -> float | None:
        """H-score of the cells in the compartment of the assay's score; None without cells."""
        return count_bins(cell_bins(self.od, assay, assay.score.compartment)[0]).h_score


@dataclass(frozen=True, slots=True)
class Labels:
    """What became of the labels.

    Attributes
    ----------
    cells
        Labelled cells with a density.
    n_rows
        Labels in the table.
    n_lost, n_excluded, n_without, n_repeated, n_contradicted
        Labels where there is no cell, on cells that QC or an annotation leaves out, on cells whose compartment is too
        small to measure, on cells that have the same label already, and on cells with different labels, such as two
        cells that were found as one.
    """

    cells: LabelledCells
    n_rows: int
    n_lost: int
    n_excluded: int
    n_without: int
    n_repeated: int
    n_contradicted: int


def gather_controls(
    folder: RunFolder, controls: Sequence[ControlRow], rows: Mapping[str, Row], assay: Assay
) -> tuple[ControlCells, ...]:
    """Read the cells of each control.

    Parameters
    ----------
    folder
        The run of the controls.
    rows
        Of scores.csv, by slide_id.
    assay
        That they were scored under.

    Raises
    ------
    InputError
        If a control's slide failed, or is not stained with DAB and hematoxylin.
    """
    found = []
    for control in controls:
        row = rows[control.slide_id]
        _refuse_unusable(control, row)
        cells = _read_cells(folder, control.slide_id)
        own = cells.filter(pa.array(_own_cells(cells, assay, control.region)))
        unused = f"not evaluable: {row['reason']}" if row["status"] == "not_evaluable" and not control.region else ""
        if own.num_rows < assay.qc.min_tumor_cells:
            unused = unused or f"{own.num_rows} cells, at least {assay.qc.min_tumor_cells}"
        names = [name for name in own.column_names if name.startswith("dab_od_")]
        found.append(ControlCells(control, own.select(names), unused))
    return tuple(found)


def gather_labels(folder: RunFolder, labels: Sequence[LabelRow], rows: Mapping[str, Row], assay: Assay) -> Labels:
    """Find the cells that labels mean.

    Raises
    ------
    InputError
        If a label's slide failed, or no label hits a cell.
    """
    od: list[float] = []
    bins: list[int] = []
    slides: list[int] = []
    lost = excluded = without = repeated = contradicted = 0
    by_slide: dict[str, list[LabelRow]] = {}
    for label in labels:
        by_slide.setdefault(label.slide_id, []).append(label)
    for number, (slide_id, own) in enumerate(sorted(by_slide.items())):
        if rows[slide_id]["status"] == "failed":
            raise own[0].row.error(own[0].row.slide_column, f"its slide failed: {rows[slide_id]['reason']}")
        cells = _read_cells(folder, slide_id)
        mpp = float(read_json(folder.slide(slide_id).result)["slide"]["mpp"])
        values = floats(cells, f"dab_od_{assay.score.compartment}")
        out = _left_out(cells)
        matched, n_lost = _match(own, cells, mpp)
        lost += n_lost
        for row, said in sorted(matched.items()):
            if len(set(said)) > 1:
                contradicted += len(said)
                continue
            repeated += len(said) - 1
            if out[row]:
                excluded += 1
            elif np.isnan(values[row]):
                without += 1
            else:
                od.append(float(values[row]))
                bins.append(said[0])
                slides.append(number)
    if lost == len(labels):
        raise labels[0].row.error(
            "x", f"no cell is there, nor at any other of the {len(labels)} labels", "x and y are level-0 pixels"
        )
    cells_ = LabelledCells(np.array(od), np.array(bins, np.int64), np.array(slides, np.int64))
    return Labels(cells_, len(labels), lost, excluded, without, repeated, contradicted)


def share_controls(controls: Iterable[ControlCells], assay: Assay) -> list[ShareControl]:
    """List the controls of known bin shares whose cells can be used."""
    return [
        ShareControl(each.control.name, each.values(assay), each.control.shares)
        for each in controls
        if each.control.shares is not None and not each.unused
    ]


def _match(labels: Sequence[LabelRow], cells: pa.Table, mpp: float) -> tuple[dict[int, list[int]], int]:
    """Return what is said of each cell that labels mean, by its row, and how many labels mean none."""
    index = index_cells(cells, mpp)
    said: dict[int, list[int]] = {}
    lost = 0
    for label in labels:
        cell = index.at(label.x_l0, label.y_l0)
        if cell is None:
            lost += 1
        else:
            said.setdefault(cell, []).append(label.bin)
    return said, lost


def _refuse_unusable(control: ControlRow, row: Row) -> None:
    column = control.row.slide_column
    if row["status"] == "failed":
        raise control.row.error(column, f"its slide failed: {row['reason']}", "take it out of the table")
    if str(row["reason"] or "").startswith(PREFIX):
        raise control.row.error(column, str(row["reason"]), "take it out of the table")


def _read_cells(folder: RunFolder, slide_id: str) -> pa.Table:
    return read_parquet(folder.slide(slide_id).path / TABLES[0], CELL_SCHEMA)


def _left_out(cells: pa.Table) -> NDArray[np.bool_]:
    """Whether cells are excluded, but for those of control tissue; bool, (N,)."""
    held = pc.fill_null(pc.equal(cells.column("excluded"), CONTROL), False)
    control: NDArray[np.bool_] = held.to_numpy(zero_copy_only=False)
    return ~counted_cells(cells) & ~control


def _own_cells(cells: pa.Table, assay: Assay, region: str | None) -> NDArray[np.bool_]:
    """Whether cells are those that a control is about: counted tumor cells, and all cells of control tissue."""
    counted = tumor_cells(cells, assay) & counted_cells(cells)
    if region is None:
        return counted
    held = pc.fill_null(pc.equal(cells.column("region"), region), False).to_numpy(zero_copy_only=False)
    own: NDArray[np.bool_] = (counted & held) | control_cells(cells, region)
    return own
