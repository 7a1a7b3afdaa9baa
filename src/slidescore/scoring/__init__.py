"""Scoring: bins, scores and calls from the cell table. No pixels, no files, no clock."""

from slidescore.scoring.bins import BIN_NAMES, BinCounts, bin_values, cell_bins, correct_bins, count_bins
from slidescore.scoring.calls import Call, CallLabel, Coverage, make_call, meets
from slidescore.scoring.corrections import Corrections, corrected_cells, no_corrections
from slidescore.scoring.scores import COMPARTMENTS, Scores, score_cells, score_control
from slidescore.scoring.selection import cell_types, counted_cells, strict_tumor_cells, tumor_cells

__all__ = [
    "BIN_NAMES",
    "COMPARTMENTS",
    "BinCounts",
    "Call",
    "CallLabel",
    "Corrections",
    "Coverage",
    "Scores",
    "bin_values",
    "cell_bins",
    "cell_types",
    "correct_bins",
    "corrected_cells",
    "count_bins",
    "counted_cells",
    "make_call",
    "meets",
    "no_corrections",
    "score_cells",
    "score_control",
    "strict_tumor_cells",
    "tumor_cells",
]
