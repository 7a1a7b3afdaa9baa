"""The report of a calibration: vectors, thresholds, controls and blank, before and after."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from slidescore.assay import Assay, assay_digest
from slidescore.pipeline.calibrate_assay import blank_text, turns_degrees
from slidescore.pipeline.calibrate_cells import ControlCells
from slidescore.pipeline.calibrate_result import Calibration
from slidescore.pipeline.survey import fixed_vectors
from slidescore.report.analysis_page import ReportFigure, ReportSection, ReportTable, write_report
from slidescore.report.page import show_number
from slidescore.report.plots.threshold_fit import draw_threshold_fit
from slidescore.report.user_percents import PERCENT_COLUMNS
from slidescore.scoring.bins import BIN_SIGNS, N_BINS
from slidescore.scoring.threshold_fit import NoFit, ThresholdFit, shares_of
from slidescore.stain import angle_degrees

Rows = list[Mapping[str, Any]]

STEP_OD = 0.02
"""Width of the bars of the histograms."""
VECTOR_HEADS = {"turn_degrees": "turn (degrees)", "n_controls": "controls", "spread_degrees": "spread (degrees)"}
STAIN_HEADS = {
    "n_stained": "stained", "n_dab": "DAB", "hematoxylin_degrees": "hematoxylin off", "dab_degrees": "DAB off",
    "residual_od": "residual", "white_r": "white R", "white_g": "G", "white_b": "B",
}  # fmt: skip


def write_calibration_report(out: Path, result: Calibration, *, overwrite: bool) -> Path:
    """Write the report of a calibration into a folder; returns its page.

    Raises
    ------
    RunFolderError
        If the folder cannot be written.
    """
    base, assay = result.base.assay, result.assay.assay
    cutoff = assay.call.cutoff
    facts = [
        ("Assay", f"{assay.name}, digest {assay_digest(assay)}"),
        ("Base", f"{base.name}, digest {assay_digest(base)}"),
        ("Controls", f"{result.provenance.n_controls}, digest {result.provenance.digest}"),
        ("Thresholds of", f"DAB OD, {assay.score.compartment}"),
        ("Cut-off", "none" if cutoff is None else f"{cutoff.text} ({cutoff.status})"),
    ]
    sections = [_stain_section(result), _threshold_section(result), _control_section(result), _blank_section(result)]
    if result.warnings:
        sections.append(ReportSection("Left out, and why", [f"{line}." for line in result.warnings]))
    return write_report(
        out,
        title=f"Calibration of {assay.name}",
        subtitle="Stain vectors, thresholds and limit of blank from control slides",
        sections=sections,
        facts=facts,
        overwrite=overwrite,
    )


def _stain_section(result: Calibration) -> ReportSection:
    stains, turns = result.stains, turns_degrees(result.base.assay, result.stains)
    old, new = fixed_vectors(result.base.assay).matrix, stains.vectors.matrix
    rows: Rows = [
        {
            "stain": name,
            **{f"old_{c}": float(old[k, n]) for n, c in enumerate("rgb")},
            **{f"new_{c}": float(new[k, n]) for n, c in enumerate("rgb")},
            "turn_degrees": turns[k],
            "n_controls": count,
            "spread_degrees": spread,
            "kept_because": reason,
        }
        for k, (name, count, spread, reason) in enumerate(
            (
                ("hematoxylin", stains.n_hematoxylin, stains.hematoxylin_spread_degrees, stains.hematoxylin_reason),
                ("DAB", stains.n_dab, stains.dab_spread_degrees, stains.dab_reason),
            )
        )
    ]
    vectors = ReportTable(
        "vectors", "Stain vectors before and after", tuple(rows[0]), rows, heads=VECTOR_HEADS,
        note="Unit vectors of optical density in R, G, B. Spread: median angle between the controls' own vectors and "
        "the pooled one.",
    )  # fmt: skip
    own = ReportTable(
        "controls_stains", "What each control says about the stains", tuple(_stain_rows(result)[0]),
        _stain_rows(result),
        heads=STAIN_HEADS,
        note="Blocks are 1 um wide. Angles are between the control's own vector and the pooled one; residual: root "
        "mean square optical density that neither stain explains.",
    )  # fmt: skip
    text = (
        "Hematoxylin is solved on negative controls where there are any, and DAB on positive ones; each control has "
        "the same weight, and the pooled vector is the median of theirs."
    )
    return ReportSection("Stain vectors", [text], (vectors, own))


def _stain_rows(result: Calibration) -> Rows:
    matrix = result.stains.vectors.matrix
    rows: Rows = []
    for cells, seen in zip(result.controls, result.seen, strict=True):
        stains, control = seen.stains, cells.control
        off = [
            None if vector is None else angle_degrees(np.asarray(vector), matrix[k])
            for k, vector in enumerate((stains.hematoxylin, stains.dab))
        ]
        rows.append(
            {
                "control": control.name,
                "role": _role(cells),
                "batch": control.batch,
                "n_stained": stains.n_stained,
                "n_dab": stains.n_dab,
                "hematoxylin_degrees": off[0],
                "dab_degrees": off[1],
                "residual_od": stains.residual_od,
                **{f"white_{c}": float(v) for c, v in zip("rgb", seen.white.rgb, strict=True)},
                "not_used": stains.dab_reason if control.positive else stains.hematoxylin_reason,
            }
        )
    return rows


def _threshold_section(result: Calibration) -> ReportSection:
    base, assay, fit = result.base.assay, result.assay.assay, result.fit
    compartment = assay.score.compartment
    old, new = base.bins.of(compartment), assay.bins.of(compartment)
    low = fit.low if isinstance(fit, ThresholdFit) else (None, None, None)
    high = fit.high if isinstance(fit, ThresholdFit) else (None, None, None)
    rows: Rows = [
        {"bin": BIN_SIGNS[k + 1], "before": old[k], "after": new[k], "low": low[k], "high": high[k]} for k in range(3)
    ]
    table = ReportTable(
        "thresholds", f"DAB OD at which each bin begins ({compartment})", tuple(rows[0]), rows,
        note="low and high: 95 % bootstrap interval.",
    )  # fmt: skip
    if isinstance(fit, NoFit):
        text = [f"No thresholds were fitted, and those of the base stay: {fit.reason}."]
        return ReportSection("Thresholds", text, (table,), (_histogram(result),))
    resampled = f"The bootstrap drew {fit.resampled} again."
    if fit.method == "shares":
        text = [
            f"Least squares of the expected bin shares over {fit.n_slides} controls with {fit.n_cells:,} cells, every "
            f"control with the same weight. {resampled}"
        ]
        return ReportSection("Thresholds", text, (table,), (_histogram(result),))
    text = [
        f"From {fit.n_cells:,} labelled cells on {fit.n_slides} slides: as many cells lie above each threshold as were "
        f"labelled above it. {resampled}"
    ]
    return ReportSection("Thresholds", text, (table, _label_table(result)), (_histogram(result),))


def _label_table(result: Calibration) -> ReportTable:
    """Count labelled cells by label and by bin under the new thresholds."""
    if result.labels is None:
        raise ValueError("there are no labels")
    assay, cells = result.assay.assay, result.labels.cells
    bins = np.searchsorted(assay.bins.of(assay.score.compartment), cells.od, side="right")
    counts = np.zeros((N_BINS, N_BINS), np.int64)
    np.add.at(counts, (cells.bins, bins), 1)
    rows: Rows = [
        {"label": label, **{f"bin {sign}": int(n) for sign, n in zip(BIN_SIGNS, own, strict=True)}}
        for label, own in zip(BIN_SIGNS, counts, strict=True)
    ]
    agree = 100.0 * np.trace(counts) / counts.sum()
    note = f"{agree:.1f} % of the {counts.sum():,} cells are in the bin of their label."
    return ReportTable("labels", "Labels and bins under the new thresholds", tuple(rows[0]), rows, note=note)


def _histogram(result: Calibration) -> ReportFigure:
    base, assay, fit = result.base.assay, result.assay.assay, result.fit
    compartment = assay.score.compartment
    groups: dict[str, np.ndarray[Any, np.dtype[np.float64]]]
    if isinstance(fit, ThresholdFit) and fit.method == "labels" and result.labels is not None:
        cells = result.labels.cells
        groups = {BIN_SIGNS[k]: cells.od[cells.bins == k] for k in range(N_BINS)}
        what = "labelled cells by their label"
    else:
        of_role = {
            role: [each.values(assay) for each in result.controls if _role(each) == role]
            for role in ("negative", "positive")
        }
        groups = {role: np.concatenate(values) for role, values in of_role.items() if values}
        what = "cells of the controls by their role"
    everything = np.concatenate(list(groups.values()))
    top = max(float(everything.max(initial=0.0)), assay.bins.of(compartment)[2])
    edges = np.arange(np.floor(everything.min(initial=0.0) / STEP_OD), np.ceil(top / STEP_OD) + 2) * STEP_OD
    counts = np.stack([np.histogram(values, edges)[0] for values in groups.values()])
    fitted = isinstance(fit, ThresholdFit)
    nothing = np.full(3, np.nan)
    low = np.array(fit.low) if isinstance(fit, ThresholdFit) else nothing
    high = np.array(fit.high) if isinstance(fit, ThresholdFit) else nothing
    figure = draw_threshold_fit(
        edges,
        counts,
        thresholds=np.array(assay.bins.of(compartment)),
        low=low,
        high=high,
        old_thresholds=np.array(base.bins.of(compartment)) if fitted else None,
        labels=tuple(groups),
        axis=f"DAB OD of the {compartment}",
    )
    rows: Rows = [
        {"from_od": float(edges[n]), "to_od": float(edges[n + 1]), **dict(zip(groups, column.tolist(), strict=True))}
        for n, column in enumerate(counts.T)
    ]
    data = ReportTable("threshold_fit", "Cells by DAB OD", tuple(rows[0]), rows)
    caption = (
        f"DAB OD of the {compartment}, n = {len(everything):,} {what}; lines are the thresholds of {assay.name}, "
        f"dotted those of {base.name}. Cells too small to have that compartment are missing."
    )
    return ReportFigure("threshold_fit", "Cells and thresholds", caption, figure, data)


def _control_section(result: Calibration) -> ReportSection:
    base, assay = result.base.assay, result.assay.assay
    rows: Rows = [_control_row(each, base, assay) for each in result.controls]
    controls = ReportTable(
        "controls", "H-scores of the controls", tuple(rows[0]), rows,
        note="Before: new vectors, old thresholds. Off: after less expected.",
        heads={"h_before": "H before", "h_after": "H after", "h_expected": "H expected", "h_off": "off"},
        formats=dict.fromkeys(("h_before", "h_after", "h_expected", "h_off"), _one_decimal),
    )  # fmt: skip
    expected = [each for each in result.controls if each.control.shares is not None and len(each.values(assay))]
    if not expected:
        return ReportSection("Controls", ["No control has expected shares."], (controls,))
    share_rows: Rows = [_share_row(each, assay) for each in expected]
    names = tuple(name for name in share_rows[0] if name != "control")
    shares = ReportTable(
        "shares", "Percent of cells in each bin, expected and reached", ("control", *names), share_rows,
        heads={f"{what}_p{k}": f"{what} {BIN_SIGNS[k]}" for what in ("expected", "reached") for k in range(N_BINS)},
        formats=dict.fromkeys(names, _one_decimal),
    )  # fmt: skip
    off = [abs(row["h_off"]) for row in rows if row["h_off"] is not None]
    text = f"{len(off)} controls have expected shares; their H is off by {np.mean(off):.1f} on average."
    return ReportSection("Controls", [text], (controls, shares))


def _control_row(each: ControlCells, base: Assay, assay: Assay) -> Mapping[str, Any]:
    before, after, shares = each.h_score(base), each.h_score(assay), each.control.shares
    expected = None if shares is None else 100.0 * sum(k * share for k, share in enumerate(shares))
    return {
        "control": each.control.name,
        "role": _role(each),
        "batch": each.control.batch,
        "n_cells": each.od.num_rows,
        "h_before": before,
        "h_after": after,
        "h_expected": expected,
        "h_off": None if expected is None or after is None else after - expected,
        "not_used": each.unused,
    }


def _share_row(each: ControlCells, assay: Assay) -> Mapping[str, Any]:
    reached = shares_of(each.values(assay), assay.bins.of(assay.score.compartment))
    row: dict[str, Any] = {"control": each.control.name}
    for what, shares in (("expected", each.control.shares or ()), ("reached", reached.tolist())):
        row |= {f"{what}_{name}": 100.0 * share for name, share in zip(PERCENT_COLUMNS, shares, strict=True)}
    return row


def _one_decimal(value: Any) -> str:
    return show_number(value, 1)


def _blank_section(result: Calibration) -> ReportSection:
    blank = result.blank
    rows: Rows = [{"n": blank.n, "mean": blank.mean, "highest": blank.highest, "limit_of_blank": blank.value}]
    formats = dict.fromkeys(("mean", "highest", "limit_of_blank"), _one_decimal)
    table = ReportTable("blank", "H-score of the negative controls", tuple(rows[0]), rows, formats=formats)
    return ReportSection("Limit of blank", [blank_text(blank)], (table,))


def _role(each: ControlCells) -> str:
    return "positive" if each.control.positive else "negative"
