"""`slidescore cohort`: whether the marker is associated with response and survival."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import click


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option(
    "--clinical",
    required=True,
    type=click.Path(path_type=Path, dir_okay=False),
    help="CSV, one row a patient: patient_id, and any of arm, response or responder, pfs_months and pfs_event, "
    "os_months and os_event, and the columns of --strata.",
)
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Folder of the report.")
@click.option(
    "--randomised/--single-arm",
    default=False,
    help="Whether the arms were assigned at random (needs --control). Without it nothing but association is "
    "reported, with one arm or several.  [default: --single-arm]",
)
@click.option("--control", default="", metavar="NAME", help="The control arm, as the clinical table names it.")
@click.option("--arm", default="", metavar="COLUMN", help="Column that holds the arm.  [default: arm, if it is there]")
@click.option("--strata", default="", metavar="A,B,...", help="Columns to stratify by, such as line,visceral.")
@click.option(
    "--cutoff",
    default="assay",
    show_default=True,
    metavar="assay|median|tertile|NUMBER",
    help="What HIGH means: the calls of the run, or a split of this cohort (data-derived, exploratory), or a number.",
)
@click.option("--search-cutoff", is_flag=True, help="Also search for a cut-off, corrected for the search; exploratory.")
@click.option("--overwrite", is_flag=True, help="Write over an earlier report in --out.")
def cohort(
    run: Path,
    clinical: Path,
    out: Path,
    randomised: bool,
    control: str,
    arm: str,
    strata: str,
    cutoff: str,
    search_cutoff: bool,
    overwrite: bool,
) -> None:
    """Relate the patients of RUN to their outcomes: response, survival, and the effect of treatment.

    RUN needs patients.csv (score or rescore with --patients). Everything is written to --out: report.html, tables
    as CSV, figures as SVG and PNG.
    """
    from slidescore.cohort.association import analyse_cohort
    from slidescore.cohort.trial_plan import TrialPlan

    plan = TrialPlan(
        randomised=randomised,
        arm=arm,
        control=control,
        strata=tuple(filter(None, map(str.strip, strata.split(",")))),
        cutoff=_cutoff(cutoff),
        search_cutoff=search_cutoff,
    )
    summary = analyse_cohort(run, clinical, out, plan, overwrite=overwrite)
    _print_rates(summary.rates)
    _print_models(summary.models)
    for note in summary.notes:
        click.echo(note)
    click.echo(f"Tables: {out / 'tables'}\nReport: {summary.report}")


def _cutoff(text: str) -> Literal["assay", "median", "tertile"] | float:
    """Read --cutoff."""
    words: tuple[Literal["assay", "median", "tertile"], ...] = ("assay", "median", "tertile")
    for word in words:
        if text == word:
            return word
    try:
        return float(text)
    except ValueError:
        raise click.BadParameter(
            f"'{text}' is none of assay, median, tertile or a number", param_hint="--cutoff"
        ) from None


def _print_rates(rows: Sequence[Mapping[str, Any]]) -> None:
    if not rows:
        return
    from slidescore.cli.console import print_table

    numbers = ("responders", "rate %", "95 % interval")
    lines = []
    for row in rows:
        rate = [_number(row[name], 1) for name in ("rate_percent", "low_percent", "high_percent")]
        interval = f"{rate[1]} to {rate[2]}" if rate[1] else ""
        lines.append((row["arm"], row["marker_status"], f"{row['responders']}/{row['known']}", rate[0], interval))
    print_table(("arm", "status", *numbers), lines, numbers=numbers)


def _print_models(rows: Sequence[Mapping[str, Any]]) -> None:
    from slidescore.cli.console import print_table
    from slidescore.report.analysis_page import show_p

    numbers = ("ratio", "95 % interval", "P")
    lines = []
    for row in rows:
        if "term" not in row:
            lines.append((row["endpoint"], f"none: {row['notes']}", "", "", ""))
            continue
        interval = f"{_number(row['low_ratio'], 2)} to {_number(row['high_ratio'], 2)}"
        lines.append((row["endpoint"], row["term"], _number(row["estimate_ratio"], 2), interval, show_p(row["p"])))
    print_table(("endpoint", "term", *numbers), lines, numbers=numbers)


def _number(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:.{digits}f}"
