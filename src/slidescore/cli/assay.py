"""`slidescore assay`: list, show and check assays."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from slidescore.assay import Assay


@click.group()
def assay() -> None:
    """List, show and check assays."""


@assay.command("list")
def list_() -> None:
    """List the shipped assays."""
    from slidescore.assay import assay_digest, list_assays, load_assay

    for name in list_assays():
        loaded = load_assay(name).assay
        click.echo(f"{name:<22} {loaded.title}; {_cutoff(loaded)}, digest {assay_digest(loaded)}")
    click.echo(
        "\nA cut-off that is unverified needs --accept-unverified; what high stood for tells 'assay check NAME'."
    )


@assay.command()
@click.argument("name")
def show(name: str) -> None:
    """Print the assay NAME (or file) as YAML."""
    from slidescore.assay import load_assay

    click.echo(load_assay(name).text, nl=False)


@assay.command()
@click.argument("name")
def check(name: str) -> None:
    """Check the assay NAME (or file); exits 2 with the first mistake."""
    from slidescore.assay import assay_digest, left_digest, load_assay

    loaded = load_assay(name).assay
    click.echo(f"{name}: valid, assay {loaded.name}, digest {assay_digest(loaded)}, measures {left_digest(loaded)}")
    click.echo(f"{name}: {_cutoff(loaded)}")
    cutoff = loaded.call.cutoff
    if cutoff is not None:
        click.echo(f"{name}: source of the cut-off: {cutoff.source}")
        if cutoff.meaning is not None:
            click.echo(f"{name}: meaning of HIGH: {cutoff.meaning}")


def _cutoff(loaded: Assay) -> str:
    cutoff = loaded.call.cutoff
    return "no cut-off, nothing is called" if cutoff is None else f"{cutoff.text} ({cutoff.status})"
