"""The story of a calibration: controls in, an assay with their stain vectors and thresholds out."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from slidescore.assay import DEFAULT_ASSAY, Assay, LoadedAssay, load_assay
from slidescore.errors import InputError, RunFolderError
from slidescore.execute import Limits, Workers
from slidescore.pipeline.calibrate_assay import (
    INTERIM,
    finish_assay,
    trace_controls,
    with_blank,
    with_vectors,
)
from slidescore.pipeline.calibrate_cells import ControlCells, Labels, gather_controls, gather_labels, share_controls
from slidescore.pipeline.calibrate_intake import find_slides, look_at_controls
from slidescore.pipeline.calibrate_result import Calibration, list_warnings
from slidescore.pipeline.calibrate_tables import read_controls, read_labels
from slidescore.pipeline.cohort import score_directory
from slidescore.pipeline.events import Listener, RunSummary
from slidescore.pipeline.options import RunOptions
from slidescore.pipeline.survey import fixed_vectors
from slidescore.report.analysis_page import check_report_folder
from slidescore.report.files import write_bytes
from slidescore.report.run_folder import RunFolder
from slidescore.scoring.blank import limit_of_blank
from slidescore.scoring.intervals import seed_of
from slidescore.scoring.threshold_fit import NoFit, ThresholdFit, fit_labels, fit_shares
from slidescore.stain.pooled import pool_controls

NAME_PATTERN = re.compile(r"[a-z0-9][a-z0-9._-]*")
"""As in `slidescore.assay.model.Assay.name`."""
REPORT_SUFFIX = "-report"
SEED_NAME = "thresholds"


def calibrate(
    inputs: Sequence[str | Path],
    controls: str | Path,
    *,
    run: str | Path,
    out: str | Path,
    assay: str | Path | LoadedAssay = DEFAULT_ASSAY,
    labels: str | Path | None = None,
    name: str | None = None,
    options: RunOptions | None = None,
    overwrite: bool = False,
    on_event: Listener | None = None,
) -> Calibration:
    """Solve stain vectors, thresholds and the limit of blank from control slides, and write a new assay.

    Parameters
    ----------
    inputs
        Files and directories of the controls, and of other slides that labels are on.
    controls
        Table of the controls; see `read_controls`.
    run
        Run folder of the controls; a second call goes on where one stopped.
    out
        File of the new assay. Its report goes into a folder beside it, of its name with `-report`.
    assay
        The assay to begin with.
    labels
        Table of labelled cells; see `read_labels`.
    name
        Of the new assay; None for the name of its file.
    options
        Of the run.
    overwrite
        Whether `out` and its report may be there already.
    on_event
        Told what happens to each slide.

    Raises
    ------
    InputError, AssayError, UnknownNameError, RunFolderError
        If a table, a slide or a folder cannot be used. No assay is written then.
    """
    out, options = Path(out), options or RunOptions()
    base = assay if isinstance(assay, LoadedAssay) else load_assay(assay)
    new_name = _settle_name(out, name, base.assay)
    report = out.with_name(f"{out.stem}{REPORT_SUFFIX}")
    _refuse_targets(out, report, overwrite=overwrite)
    given = [Path(each) for each in inputs]
    if options.roi is not None and not options.roi.is_dir():
        raise InputError("is no directory", where=f"--roi {options.roi}")
    with Workers(Limits(options.timeout_s, options.slide_limit_s)) as workers:
        slides = find_slides(given, workers, options)
        files = {each.identity.slide_id: each.identity.file for each in slides.values()}
        rows = read_controls(Path(controls), files)
        label_rows = read_labels(Path(labels), files) if labels else ()
        seen = look_at_controls(rows, slides, base.assay, workers, options)
    stains = pool_controls([each.stains for each in seen], fixed_vectors(base.assay))
    provenance = trace_controls(len(rows), [slides[row.slide_id].fingerprint for row in rows])
    interim = with_vectors(base, new_name + INTERIM, stains, provenance)
    summary = _score(given, Path(run), interim, options, on_event)
    scored = {row["slide_id"]: row for row in summary.rows}
    cells = gather_controls(RunFolder(summary.folder), rows, scored, interim.assay)
    labelled = gather_labels(RunFolder(summary.folder), label_rows, scored, interim.assay) if label_rows else None
    seed = seed_of(*sorted({slides[row.slide_id].fingerprint for row in rows}), SEED_NAME)
    fit = fit_thresholds(cells, labelled, interim.assay, seed, controls, labels)
    fitted = fit if isinstance(fit, ThresholdFit) else None
    final = finish_assay(interim, base.assay, new_name, fitted, stains, provenance, out.parent)
    blank = limit_of_blank(_blank_scores(cells, final.assay))
    final = with_blank(final, blank)
    warnings = (*summary.warnings, *list_warnings(seen, cells, labelled, stains, fit))
    result = Calibration(
        base, final, out, report / "report.html", summary, provenance, seen, stains, cells, labelled, fit, blank,
        warnings,
    )  # fmt: skip
    from slidescore.pipeline.calibrate_report import write_calibration_report  # loads matplotlib

    write_calibration_report(report, result, overwrite=overwrite)
    # Last: where it is, its report is whole.
    write_bytes(out, final.text.encode("utf-8"))
    return result


def _settle_name(out: Path, name: str | None, base: Assay) -> str:
    chosen = name or out.stem
    if not NAME_PATTERN.fullmatch(chosen):
        raise InputError(
            f"'{chosen}' is no name for an assay",
            where="--name" if name else "--out",
            remedy="give --name of lower case letters, digits, '.', '_' and '-'",
        )
    if chosen == base.name:
        raise InputError(f"'{chosen}' is the name of the base assay", where="--name", remedy="give another --name")
    if base.tumor.model is not None:
        raise InputError(
            "key 'tumor.model': a tumor model holds for the stain vectors that it was trained with",
            where=f"--assay {base.name}",
            remedy="calibrate without it, and train it again under the new assay",
        )
    return chosen


def _refuse_targets(out: Path, report: Path, *, overwrite: bool) -> None:
    if out.is_dir() or (out.exists() and not overwrite):
        what = "is a folder" if out.is_dir() else "is there already"
        raise InputError(what, where=f"--out {out}", remedy="give another --out, or --overwrite")
    if not out.parent.is_dir():
        raise InputError("its folder is not there", where=f"--out {out}", remedy="make it first")
    check_report_folder(report, overwrite=overwrite)


def _score(
    given: Sequence[Path], run: Path, interim: LoadedAssay, options: RunOptions, on_event: Listener | None
) -> RunSummary:
    """Score the inputs into the run folder."""
    try:
        return score_directory(given, run, interim, options=options, on_event=on_event)
    except RunFolderError as error:
        if "--out" not in error.remedy:
            raise
        # What is --out to a score is --run here.
        raise type(error)(error.message, where=error.where, remedy="give another --run, or --overwrite") from error


def fit_thresholds(
    controls: Sequence[ControlCells],
    labels: Labels | None,
    assay: Assay,
    seed: int,
    controls_path: str | Path,
    labels_path: str | Path | None,
) -> ThresholdFit | NoFit:
    """Fit thresholds to labels where they suffice, else to expected shares.

    Raises
    ------
    InputError
        If either contradicts itself.
    """
    reasons = []
    if labels is not None:
        fit = fit_labels(labels.cells, seed=seed)
        if isinstance(fit, ThresholdFit):
            return fit
        if fit.contradicts:
            raise InputError(fit.reason, where=f"{labels_path}, column 'bin'", remedy="see docs/calibrate.md")
        reasons.append(fit.reason)
    fit = fit_shares(share_controls(controls, assay), seed=seed)
    if isinstance(fit, NoFit) and fit.contradicts:
        raise InputError(fit.reason, where=f"{controls_path}, columns 'p0' to 'p3'", remedy="see docs/calibrate.md")
    if isinstance(fit, NoFit):
        return NoFit("; ".join([*reasons, fit.reason]))
    return fit


def _blank_scores(controls: Sequence[ControlCells], assay: Assay) -> list[float]:
    """List the H-scores of the negative controls that have one."""
    scores = [each.h_score(assay) for each in controls if not each.control.positive and not each.unused]
    return [score for score in scores if score is not None]
