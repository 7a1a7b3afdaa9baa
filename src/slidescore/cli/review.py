"""`slidescore review`: look at a run in the browser, check the log of its reviews, write reviews for other programs."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import click

from slidescore.cli.main import EXIT_SOME_FAILED

SERVE = "serve"
"""The command that is meant where none is named: `slidescore review RUN`."""


class ReviewGroup(click.Group):
    """A group whose first word may be a run folder: `review RUN` is `review serve RUN`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put `serve` before a first word that names no command, be it a folder or one of serve's options."""
        known = {*self.list_commands(ctx), *self.get_help_option_names(ctx)}
        return super().parse_args(ctx, args if not args or args[0] in known else [SERVE, *args])

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the commands, the one that is meant by default first."""
        return [SERVE, *super().list_commands(ctx)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command; serving has a file of its own, imported when it is used."""
        if cmd_name != SERVE:
            return super().get_command(ctx, cmd_name)
        command: click.Command = import_module("slidescore.cli.review_serve").serve
        return command


@click.group(cls=ReviewGroup)
def review() -> None:
    """Review the slides of a run in the browser: slidescore review RUN is slidescore review serve RUN.

    A run folder that is called like a command is written ./verify.
    """


@review.command()
@click.argument("run", type=click.Path(path_type=Path))
def verify(run: Path) -> int:
    """Check that no review of RUN was changed or lost.

    Looks at every byte of the log: each act as it was made, in its place, none missing. Lists what differs, one line
    each, on standard output; the exit code is then 3.
    """
    from slidescore.pipeline.verify_reviews import verify_reviews

    found = verify_reviews(run)
    for note in found.notes:
        click.echo(f"note: {note}", err=True)
    for difference in found.differences:
        click.echo(difference)
    if found.differences:
        click.echo(f"{found.n_events} reviews looked at: {len(found.differences)} differences.")
        return EXIT_SOME_FAILED
    click.echo(f"{found.n_events} reviews looked at: all are as they were made.\nSHA-256 of the last: {found.head}")
    return 0


@review.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--to", "kind", required=True, help="csv, geojson, labels or readings.")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="File to write; for geojson, a folder.")
def export(run: Path, kind: str, out: Path) -> None:
    """Write the reviews of RUN for other programs.

    csv: every act of the log. geojson: corrected cells and drawn regions, a file a slide, for QuPath. labels: cells
    whose tumor state was set, for 'slidescore train tumor'. readings: blind readings, one row each.
    """
    from slidescore.pipeline.review_export import export_reviews

    for path in export_reviews(run, kind, out):
        click.echo(str(path))
