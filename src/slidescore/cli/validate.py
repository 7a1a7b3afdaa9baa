"""`slidescore validate`: how far the machine agrees with readers, and readers with one another."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option(
    "--readers",
    required=True,
    type=click.Path(path_type=Path, dir_okay=False),
    help="CSV, one row a reading: reader, slide_id or file, and h_score, percent_positive, p0 to p3, or intensity; as "
    "'slidescore review export --to readings' writes it.",
)
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Folder of the report.")
@click.option("--cutoff", type=float, help="Another cut-off, on the assay's scale.  [default: the assay's]")
@click.option("--overwrite", is_flag=True, help="Write over an earlier report in --out.")
def validate(run: Path, readers: Path, out: Path, cutoff: float | None, overwrite: bool) -> None:
    """Compare the scores of RUN with those of one or more readers.

    Writes to --out: report.html, tables as CSV, figures as SVG and PNG. Agreement of scores (ICC, Lin's CCC, Spearman,
    Bland-Altman), of intensity classes (kappa), and at the cut-off, with intervals by patient.
    """
    from slidescore.cli.console import print_table
    from slidescore.cohort.validation import validate_run

    summary = validate_run(run, readers, out, cutoff=cutoff, overwrite=overwrite)
    print_table(summary.head, summary.rows, numbers=summary.head[1:])
    for line in summary.lines:
        click.echo(line)
    click.echo(f"Tables: {out / 'tables'}\nReport: {summary.report}")
