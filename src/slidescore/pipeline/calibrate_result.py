"""What a calibration came to, and what its user should be told of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from slidescore.assay import LoadedAssay
from slidescore.pipeline.calibrate_assay import Provenance
from slidescore.pipeline.calibrate_cells import ControlCells, Labels
from slidescore.pipeline.calibrate_pixels import ControlStains
from slidescore.pipeline.events import RunSummary
from slidescore.scoring.blank import LimitOfBlank
from slidescore.scoring.threshold_fit import NoFit, ThresholdFit
from slidescore.stain.pooled import PooledStains


@dataclass(frozen=True, slots=True)
class Calibration:
    """What a calibration came to.

    Attributes
    ----------
    base, assay
        The assay it began with, and the new one.
    out, report
        The files written: the new assay, and the page of its report.
    run
        The run of the controls, under the base with the new vectors.
    provenance
        Number and digest of the controls.
    seen
        What each control's pixels said, in the order of `controls`.
    stains
        The pooled vectors.
    controls
        The cells of each control, in the order of their files and regions.
    labels
        The labelled cells; None without a table.
    fit
        The thresholds, or why there are none.
    blank
        What negative controls score under the new assay.
    warnings
        Lines for the user.
    """

    base: LoadedAssay
    assay: LoadedAssay
    out: Path
    report: Path
    run: RunSummary
    provenance: Provenance
    seen: tuple[ControlStains, ...]
    stains: PooledStains
    controls: tuple[ControlCells, ...]
    labels: Labels | None
    fit: ThresholdFit | NoFit
    blank: LimitOfBlank
    warnings: tuple[str, ...]


def list_warnings(
    seen: Sequence[ControlStains],
    controls: Sequence[ControlCells],
    labels: Labels | None,
    stains: PooledStains,
    fit: ThresholdFit | NoFit,
) -> list[str]:
    """Say what was left out and why, a line each; `seen` and `controls` are in the same order."""
    rows = [each.control for each in controls]
    said = []
    batches = sorted({row.batch for row in rows if row.batch})
    if len(batches) > 1:
        said.append(
            f"the controls are of {len(batches)} batches ({', '.join(batches)}) and give one assay; where batches "
            "differ, calibrate each by itself"
        )
    for stain, reason in (("hematoxylin", stains.hematoxylin_reason), ("DAB", stains.dab_reason)):
        if reason:
            said.append(f"{stain} keeps its vector: {reason}")
    for row, each in zip(rows, seen, strict=True):
        reason = each.stains.dab_reason if row.positive else each.stains.hematoxylin_reason
        if reason:
            said.append(f"{row.name}: its {'DAB' if row.positive else 'hematoxylin'} is not used: {reason}")
        if each.white.source != "glass":
            said.append(f"{row.name}: no clear glass was found, so 255 is taken for white")
    said += [f"{each.control.name}: its cells are not used: {each.unused}" for each in controls if each.unused]
    if labels is not None:
        for n, what in (
            (labels.n_lost, "hit no cell"),
            (labels.n_excluded, "are on cells that are left out"),
            (labels.n_without, "are on cells whose compartment is too small to measure"),
            (labels.n_repeated, "are on cells that have the same label already"),
            (labels.n_contradicted, "are on cells with different labels"),
        ):
            if n:
                said.append(f"{n} of {labels.n_rows} labels {what}")
    if isinstance(fit, NoFit):
        said.append(f"no thresholds were fitted: {fit.reason}")
    return said
