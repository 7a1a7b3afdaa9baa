"""`slidescore monitor`: whether staining and scanning stay as they were, batch by batch."""

from __future__ import annotations

from pathlib import Path

import click

from slidescore.cli.main import EXIT_HELD


@click.command()
@click.argument("runs", metavar="RUN...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Folder of the report.")
@click.option(
    "--batches",
    type=click.Path(path_type=Path, dir_okay=False),
    help="CSV, one row a slide: slide_id or file, batch, and if wanted role (control_positive, control_negative, "
    "sample) and order.  [default: every RUN is a batch, in the order given]",
)
@click.option("--baseline", multiple=True, metavar="NAME", help="A batch of the baseline; give it once for each.")
@click.option(
    "--baseline-batches",
    type=click.IntRange(min=1),
    metavar="N",
    help="Take the first N batches as the baseline.  [default: the first ones that together have 20 slides]",
)
@click.option("--overwrite", is_flag=True, help="Write over an earlier report in --out.")
def monitor(
    runs: tuple[Path, ...],
    out: Path,
    batches: Path | None,
    baseline: tuple[str, ...],
    baseline_batches: int | None,
    overwrite: bool,
) -> int:
    """Chart controls, stain vectors, white point and counterstain of RUNs over batches, and hold what moved.

    Writes to --out: report.html, tables as CSV, figures as SVG and PNG. The exit code is 4 where a batch is on hold.
    """
    from slidescore.cli.console import print_table
    from slidescore.monitor.monitor_report import describe_batch
    from slidescore.monitor.monitoring import monitor_runs

    if baseline and baseline_batches:
        raise click.UsageError("--baseline and --baseline-batches say the same in two ways: give one of them")
    found, page = monitor_runs(
        runs, out, batches=batches, baseline=baseline, baseline_batches=baseline_batches, overwrite=overwrite
    )
    rows = [(each.name, str(each.n_slides), each.state, describe_batch(each, found.slides)) for each in found.batches]
    print_table(("batch", "slides", "state", "why"), rows, numbers=("slides",))
    for name, why in found.left_out.items():
        click.echo(f"not charted: {name} ({why})")
    if found.n_unlisted:
        click.echo(f"{found.n_unlisted} slides have no row in the table of batches and are left out")
    click.echo(f"Tables: {out / 'tables'}\nReport: {page}")
    return EXIT_HELD if found.held else 0
