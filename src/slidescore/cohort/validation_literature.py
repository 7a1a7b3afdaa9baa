"""What other studies found, as a reference beside a validation; see the sources for what they measured."""

from __future__ import annotations

from typing import Final

from slidescore.report.analysis_page import ReportTable

COLUMNS: Final = ("statistic", "value", "between", "study")
LITERATURE: Final = (
    ("ICC, H-score", "ER 0.85 (0.79-0.90), PR 0.87 (0.82-0.92)", "4 pathologists, 74 breast cancers",
     "Cohen 2012, 10.1309/AJCP6DKRND5CKVDD"),
    ("Spearman, H-score", "0.84 (0.77-0.89)", "machine and pathologist, 100 slides",
     "Yin 2025, 10.1177/15330338251407734"),
    ("Spearman, H-score", "0.84 (0.63-0.94)", "two pathologists", "Yin 2025, 10.1177/15330338251407734"),
    ("mean absolute error, H-score", "21 ± 10 (range 5-46)", "machine, slides whose true H is 0",
     "Yin 2025, 10.1177/15330338251407734"),
    ("same class of 4 (HER2)", "86 %", "machine and pathologist", "Yin 2025, 10.1177/15330338251407734"),
    ("correlation, H-score of a membrane marker", "cells 0.39 and 0.50, pixels 0.77 and 0.88",
     "machines and pathologist, 30 slides", "Ram 2021, 10.1371/journal.pone.0245638"),
    ("Lin's CCC, percent positive (PD-L1)", "0.925", "machine and pathologists, 69 cases",
     "Naso 2021, 10.3389/pore.2021.609717"),
    ("kappa at three cuts", "0.64, 0.59, 0.62", "7 readers, 36 images", "Ali 2017, 10.1097/PAI.0000000000000357"),
)  # fmt: skip
"""Statistic, its value as published, between whom, and where; of abstracts and open texts that were read."""


def literature_table() -> ReportTable:
    """Make the table of what other studies found."""
    return ReportTable(
        name="literature",
        title="What other studies found",
        columns=COLUMNS,
        rows=[dict(zip(COLUMNS, each, strict=True)) for each in LITERATURE],
        note="Literature: other markers, slides and readers. For orientation, not limits of acceptance.",
    )
