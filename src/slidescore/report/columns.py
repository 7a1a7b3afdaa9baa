"""The columns of the run folder's tables: a public contract, see docs/outputs.md."""

from __future__ import annotations

SCORE_COLUMNS: tuple[str, ...] = (
    "slide_id", "file", "patient_id", "status", "reason", "call", "call_status", "h_score", "h_score_low",
    "h_score_high", "p_high", "percent_positive", "n_cells", "n_tumor_cells", "n0", "n1", "n2", "n3", "n_fallback",
    "h_nucleus", "h_cytoplasm", "h_membrane", "h_cell", "pixel_h_score", "irs", "allred", "h_all_cells", "h_strict",
    "h_without_exclusions", "n_eff", "h_naive_low", "h_naive_high", "compartment", "cutoff", "qc", "qc_flags", "mpp",
    "mpp_source", "tissue_mm2", "scored_mm2", "excluded_fraction", "failed_fraction", "profile", "assay_digest",
    "model_digest", "slidescore_version",
)  # fmt: skip
"""Columns of scores.csv, in order. Empty means not computed, never zero."""

REGION_COLUMNS: tuple[str, ...] = (*SCORE_COLUMNS, "region", "role")
"""Columns of regions.csv: one row a named region, and one an area of control tissue."""

PATIENT_COLUMNS: tuple[str, ...] = (
    "patient_id", "rule", "n_slides", "n_used", "slides_used", "score", "low", "high", "p_high", "call", "reason",
    "scale", "compartment", "cutoff", "call_status", "n_blocks", "site", "time_point",
)  # fmt: skip
"""Columns of patients.csv: one row a patient of the slide-to-patient table."""

TIMING_COLUMNS: tuple[str, ...] = (
    "slide_id", "file", "seconds", "tissue_mpx_per_second", "cells_per_second", "peak_memory_mb",
    "tiles_resumed",
)  # fmt: skip
"""Columns of timings.csv; megapixels are analysis pixels of tiles read."""
