"""`slidescore calibrate`: control slides in, an assay with their stain vectors and thresholds out."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from slidescore.assay.load import DEFAULT_ASSAY
from slidescore.cli.main import EXIT_SOME_FAILED
from slidescore.report.lease import refuse_if_held


@click.command()
@click.argument("inputs", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--controls", required=True, type=click.Path(path_type=Path),
    help="CSV: slide_id or file, role (negative, positive); optional region, p0 to p3 (percent of cells), batch.",
)  # fmt: skip
@click.option(
    "--labels", type=click.Path(path_type=Path), help="CSV: slide_id or file, x, y (level-0 px), bin (0 to 3)."
)
@click.option(
    "--assay", default=DEFAULT_ASSAY, show_default=True, help="Shipped assay, or an assay file, to begin with."
)
@click.option("--run", required=True, type=click.Path(path_type=Path), help="Run folder of the controls.")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="The new assay, a YAML file.")
@click.option("--name", help="Of the new assay.  [default: that of its file]")
@click.option("--roi", type=click.Path(path_type=Path), help="Folder of QuPath annotations: <file>.geojson.")
@click.option("--mpp", type=click.FloatRange(0.05, 2.0), help="um per pixel of all these slides, whatever they state.")
@click.option("--workers", type=click.IntRange(1, 256), help="Slides at work at once.  [default: one a core]")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:N, or several.")
@click.option("--accept-unverified", is_flag=True, help="Begin with an assay whose cut-off is unverified.")
@click.option("--overwrite", is_flag=True, help="Write over another calibration, its run and its report.")
def calibrate(
    inputs: tuple[Path, ...],
    controls: Path,
    labels: Path | None,
    assay: str,
    run: Path,
    out: Path,
    name: str | None,
    roi: Path | None,
    mpp: float | None,
    workers: int | None,
    device: str,
    accept_unverified: bool,
    overwrite: bool,
) -> int:
    """Solve stain vectors, thresholds and the limit of blank from the control slides INPUTS; write a new assay.

    Thresholds need labelled cells of all four bins, or three controls whose bin shares are known; without, those of the
    base stay. docs/calibrate.md tells what makes a good control.
    """
    # Before anything heavy is loaded: who comes second is told at once.
    refuse_if_held(run)
    from slidescore.cli.calibrate_text import print_calibration
    from slidescore.cli.progress import show_progress
    from slidescore.cli.tables import print_failures
    from slidescore.pipeline.calibrate import calibrate as calibrate_controls
    from slidescore.pipeline.options import RunOptions

    options = RunOptions(
        workers, mpp, roi, overwrite=overwrite, command=("slidescore", *sys.argv[1:]), device=device,
        accept_unverified=accept_unverified,
    )  # fmt: skip
    with show_progress() as listener:
        result = calibrate_controls(
            inputs, controls, run=run, out=out, assay=assay, labels=labels, name=name, options=options,
            overwrite=overwrite, on_event=listener,
        )  # fmt: skip
    print_calibration(result)
    if result.run.failed:
        print_failures(result.run)
        return EXIT_SOME_FAILED
    return 0
