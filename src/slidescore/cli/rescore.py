"""`slidescore rescore`: another assay on a run's measurements."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from slidescore.cli.main import EXIT_SOME_FAILED
from slidescore.report.lease import refuse_if_held


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--out", required=True, type=click.Path(path_type=Path), help="The new run folder.")
@click.option("--assay", help="Name of a shipped assay, or an assay file.  [default: the run's own]")
@click.option("--tumor-model", type=click.Path(path_type=Path), help="Model of 'slidescore train tumor'.")
@click.option("--key", type=click.Path(path_type=Path), help="Key file of a run of pseudonyms, to draw pictures.")
@click.option("--with-reviews", is_flag=True, help="Add the reviewed scores to scores.csv, and take the reviews along.")
@click.option("--patients", type=click.Path(path_type=Path), help="Slide-to-patient table.  [default: the run's own]")
@click.option("--accept-unverified", is_flag=True, help="Call by a cut-off whose status is unverified.")
@click.option("--overwrite", is_flag=True, help="Write over another assay's results.")
def rescore(
    run: Path,
    out: Path,
    assay: str | None,
    tumor_model: Path | None,
    key: Path | None,
    with_reviews: bool,
    patients: Path | None,
    accept_unverified: bool,
    overwrite: bool,
) -> int:
    """Score the measurements of RUN under another assay, with a tumor model or its reviews, without reading pixels.

    Thresholds, cut-offs, the score and the tumor rule may differ. What changes a measurement needs 'slidescore score'.
    """
    if assay is None and tumor_model is None and patients is None and not with_reviews:
        raise click.UsageError("nothing to change: give --assay, --tumor-model, --patients or --with-reviews")
    # Before anything heavy is loaded: who comes second is told at once.
    refuse_if_held(out)
    from slidescore.cli.tables import print_failures, print_patients, print_scores
    from slidescore.pipeline.rescore import rescore as rescore_run

    def say(number: int, total: int, file: str) -> None:
        click.echo(f"[{number + 1}/{total}] {file}", err=True)

    summary = rescore_run(
        run,
        out,
        assay,
        tumor_model=tumor_model,
        key_file=key,
        with_reviews=with_reviews,
        patients=patients,
        accept_unverified=accept_unverified,
        overwrite=overwrite,
        command=("slidescore", *sys.argv[1:]),
        on_slide=say,
    )
    for warning in summary.warnings:
        click.echo(f"warning: {warning}", err=True)
    print_scores(summary)
    print_patients(summary)
    if with_reviews:
        n = sum(row["review_state"] not in (None, "unreviewed") for row in summary.rows)
        click.echo(f"Reviews: of {n} of {len(summary.rows)} slides; scores.csv and report have the reviewed scores.")
    if summary.failed:
        print_failures(summary)
        return EXIT_SOME_FAILED
    return 0
