"""`slidescore score`: a directory of slides in, a run folder out."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from slidescore.assay.load import DEFAULT_ASSAY
from slidescore.cli.main import EXIT_SOME_FAILED
from slidescore.report.lease import refuse_if_held


def _overlay_mpp(context: click.Context, parameter: click.Parameter, value: str) -> float | None:
    if value.lower() == "none":
        return None
    try:
        mpp = float(value)
    except ValueError:
        mpp = -1.0
    if not 0.1 <= mpp <= 100:  # noqa: PLR2004 - finer than any scanner, coarser than a thumbnail
        raise click.BadParameter("give um per pixel between 0.1 and 100, or none")
    return mpp


@click.command()
@click.argument("inputs", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Run folder; made, or taken up again.")
@click.option("--assay", default=DEFAULT_ASSAY, show_default=True, help="Name of a shipped assay, or an assay file.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:N, or several: cuda:0,cuda:1.")
@click.option(
    "--workers", type=click.IntRange(1, 256), help="Slides scored at once.  [default: one a core, or 2 to 4 a GPU]"
)
@click.option("--mpp", type=click.FloatRange(0.05, 2.0), help="um per pixel of all these slides, whatever they state.")
@click.option("--roi", type=click.Path(path_type=Path), help="Folder of QuPath annotations: <file>.geojson.")
@click.option(
    "--overlay-mpp", default="1.0", show_default=True, callback=_overlay_mpp, help="um per overlay pixel, or none."
)
@click.option(
    "--timeout", default=600.0, show_default=True, type=click.FloatRange(min=5.0),
    help="Seconds after which a slide on which nothing gets done is given up.",
)  # fmt: skip
@click.option(
    "--slide-limit", default=86_400.0, show_default=True, type=click.FloatRange(min=1.0),
    help="Seconds after which a slide is given up in any case.",
)  # fmt: skip
@click.option(
    "--pseudonymize", "key_file", type=click.Path(path_type=Path), metavar="KEYFILE",
    help="Put pseudonyms in place of file names everywhere; only KEYFILE, outside of --out, leads back.",
)  # fmt: skip
@click.option(
    "--checksums", type=click.Path(path_type=Path),
    help="Manifest of SHA-256 as sha256sum writes it; a slide that is not what it lists is not opened.",
)  # fmt: skip
@click.option(
    "--patients", type=click.Path(path_type=Path),
    help="CSV of patient_id and slide_id or file; may have block, time_point, site, use. Makes patients.csv.",
)  # fmt: skip
@click.option("--accept-unverified", is_flag=True, help="Call by a cut-off whose status is unverified.")
@click.option("--overwrite", is_flag=True, help="Score everything again, even over another assay's results.")
def score(
    inputs: tuple[Path, ...],
    out: Path,
    assay: str,
    device: str,
    workers: int | None,
    mpp: float | None,
    roi: Path | None,
    overlay_mpp: float | None,
    timeout: float,
    slide_limit: float,
    key_file: Path | None,
    checksums: Path | None,
    patients: Path | None,
    accept_unverified: bool,
    overwrite: bool,
) -> int:
    """Score every slide in INPUTS: files, and directories searched recursively.

    The same command again goes on where it stopped: finished slides are kept, failed ones tried again.
    """
    # Before anything heavy is loaded: who comes second is told at once.
    refuse_if_held(out)
    from slidescore.cli.progress import show_progress
    from slidescore.cli.tables import print_failures, print_patients, print_scores
    from slidescore.pipeline.cohort import RunOptions, score_directory

    options = RunOptions(
        workers, mpp, roi, overlay_mpp, overwrite, ("slidescore", *sys.argv[1:]), device, timeout_s=timeout,
        slide_limit_s=slide_limit, key_file=key_file, checksums=checksums, patients=patients,
        accept_unverified=accept_unverified,
    )  # fmt: skip
    with show_progress() as listener:
        summary = score_directory(inputs, out, assay, options=options, on_event=listener)
    for warning in summary.warnings:
        click.echo(f"warning: {warning}", err=True)
    print_scores(summary)
    print_patients(summary)
    if summary.failed:
        print_failures(summary)
        return EXIT_SOME_FAILED
    return 0
