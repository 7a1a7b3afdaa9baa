"""Scoring: bins, scores and calls from the cell table. No pixels, no files, no clock."""

from slidescore.scoring.bins import BIN_NAMES, BinCounts, bin_values, cell_bins, correct_bins, count_bins
from slidescore.scoring.calls import Call, CallLabel, Coverage, make_call, meets
from slidescore.scoring.corrections import Corrections, corrected_cells, no_corrections
from slidescore.scoring.schemes import SCHEMES, Scheme, score_counts
from slidescore.scoring.scores import COMPARTMENTS, Scores, control_table, score_cells
from slidescore.scoring.selection import cell_types, counted_cells, strict_tumor_cells, tumor_cells

__all__ = [
    "BIN_NAMES",
    "COMPARTMENTS",
    "SCHEMES",
    "BinCounts",
    "Call",
    "CallLabel",
    "Corrections",
    "Coverage",
    "Scheme",
    "Scores",
    "bin_values",
    "cell_bins",
    "cell_types",
    "control_table",
    "correct_bins",
    "corrected_cells",
    "count_bins",
    "counted_cells",
    "make_call",
    "meets",
    "no_corrections",
    "score_cells",
    "score_counts",
    "strict_tumor_cells",
    "tumor_cells",
]
