"""The story of `slidescore monitor`: runs in, a report out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from slidescore.monitor.batches import Monitoring, look_at
from slidescore.monitor.monitor_report import write_monitor_report
from slidescore.monitor.read_slides import read_runs
from slidescore.report.analysis_page import check_report_folder


def monitor_runs(
    runs: Sequence[str | Path],
    out: str | Path,
    *,
    batches: str | Path | None = None,
    baseline: Sequence[str] = (),
    baseline_batches: int | None = None,
    overwrite: bool = False,
) -> tuple[Monitoring, Path]:
    """Chart the slides of runs over their batches, and write the report.

    Parameters
    ----------
    runs
        Run folders, in the order of their batches where each is one.
    out
        Folder of the report.
    batches
        Table that says which slide is of which batch; without it a run is a batch.
    baseline, baseline_batches
        Names of the batches that the others are compared with, or how many of the first; see `choose_baseline`.
    overwrite
        Whether an older report is replaced.

    Returns
    -------
    found, page
        What was found, and where its report is.

    Raises
    ------
    InputError
        If runs do not belong together, the table is wrong, or no measure has a baseline of 20 slides.
    RunFolderError
        If a run is not finished or was changed, or `out` holds something else.
    """
    check_report_folder(Path(out), overwrite=overwrite)
    found = look_at(read_runs([Path(run) for run in runs]), batches, baseline, baseline_batches)
    return found, write_monitor_report(Path(out), found, overwrite=overwrite)
