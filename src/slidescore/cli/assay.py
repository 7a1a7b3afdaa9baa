"""`slidescore assay`: list, show and check assays."""

from __future__ import annotations

import click


@click.group()
def assay() -> None:
    """List, show and check assays."""


@assay.command("list")
def list_() -> None:
    """List the shipped assays."""
    from slidescore.assay import assay_digest, list_assays, load_assay

    for name in list_assays():
        loaded = load_assay(name).assay
        click.echo(f"{name:<22} {loaded.title}; {loaded.call.cutoff.text} ({loaded.call.cutoff.status}), "
                   f"digest {assay_digest(loaded)}")  # fmt: skip


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
