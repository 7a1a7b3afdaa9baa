"""`slidescore doctor`: whether this installation can score."""

from __future__ import annotations

import click

from slidescore.cli.main import EXIT_INTERNAL


@click.command()
def doctor() -> int:
    """Check libraries, assays and devices, and score a drawn slide."""
    from slidescore.pipeline.doctor import check_installation

    good = True
    for finding in check_installation():
        good &= finding.good
        click.echo(f"{'ok  ' if finding.good else 'BAD '} {finding.name:<14} {finding.text}")
    click.echo("This installation can score." if good else "This installation cannot score; see BAD above.")
    return 0 if good else EXIT_INTERNAL
