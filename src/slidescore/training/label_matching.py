"""Which cell a label means: the one that a person pointed at."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from slidescore.cells.pointing import index_cells
from slidescore.errors import InputError
from slidescore.training.labels import Label


@dataclass(frozen=True, slots=True)
class MatchedLabels:
    """The cells of one slide that labels mean.

    Attributes
    ----------
    rows
        Rows of the cell table, int64, (N,), ascending, each once.
    is_tumor
        bool, (N,).
    labels
        The label of each row.
    lost
        Labels without a cell.
    """

    rows: NDArray[np.int64]
    is_tumor: NDArray[np.bool_]
    labels: tuple[Label, ...]
    lost: tuple[Label, ...]


def match_labels(labels: Iterable[Label], cells: pa.Table, mpp: float) -> MatchedLabels:
    """Find the cell that each label means.

    Which cell a place means, `slidescore.cells.pointing.CellIndex` decides.

    Raises
    ------
    InputError
        If a cell is labelled both tumor and not.
    """
    labels = list(labels)
    index = index_cells(cells, mpp)
    chosen: dict[int, Label] = {}
    lost = []
    for label in labels:
        row = index.at(label.x_l0, label.y_l0)
        if row is None:
            lost.append(label)
        elif row in chosen and chosen[row].is_tumor != label.is_tumor:
            raise InputError(
                f"is on the same cell as the label '{chosen[row].class_name}' ({chosen[row].place})",
                where=f"{label.place}: label '{label.class_name}'",
                remedy="a cell has one class: remove one of the two",
            )
        else:
            chosen.setdefault(row, label)
    rows = sorted(chosen)
    found = tuple(chosen[row] for row in rows)
    is_tumor = np.array([label.is_tumor for label in found], dtype=np.bool_)
    return MatchedLabels(np.array(rows, dtype=np.int64), is_tumor, found, tuple(lost))
