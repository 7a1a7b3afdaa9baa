"""`slidescore train`: models from labels. One command a function here; a new one is added with `@train.command()`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from slidescore.training.tumor import TrainedTumor


@click.group()
def train() -> None:
    """Train models from labels."""


@train.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option(
    "--labels", required=True, type=click.Path(path_type=Path), help="QuPath points (.geojson, or a folder), or a CSV."
)
@click.option("--out", required=True, type=click.Path(path_type=Path), help="The model file to write, JSON.")
@click.option("--with-dab", is_flag=True, help="Let the model look at DAB; it then picks cells by what is scored.")
def tumor(run: Path, labels: Path, out: Path, with_dab: bool) -> None:
    """Adapt the tumor rule to the slides in RUN from cells labelled on a few of them.

    Reads the run's measurements and no pixel. Some dozens of cells of each kind, on two slides or more, are a start.
    """
    from slidescore.training.tumor import train_tumor

    if out.suffix.lower() != ".json":
        raise click.BadParameter("a model file ends in .json", param_hint="--out")
    trained = train_tumor(run, labels, out, with_dab=with_dab)
    _print_labels(trained)
    _print_accuracy(trained)
    click.echo(f"Model: {out} (digest {trained.model.short_digest})")
    click.echo(f"Next: slidescore rescore {run} --out {run}-tumor --tumor-model {out}")


def _print_labels(trained: TrainedTumor) -> None:
    """Print one line a slide: cells labelled by class, labels without a cell, cross-validated accuracy."""
    from slidescore.cli.console import print_table

    names = sorted({name for slide in trained.slides for name in slide.classes})
    numbers = (*names, "no cell", "accuracy")
    rows = []
    for slide in trained.slides:
        accuracy = "" if slide.accuracy is None else f"{slide.accuracy:.2f}"
        counts = [str(slide.classes.get(name, 0)) for name in names]
        rows.append((slide.file, *counts, str(slide.n_lost), accuracy))
    print_table(("slide", *numbers), rows, numbers=numbers)
    n_lost, n_settled = (sum(getattr(slide, key) for slide in trained.slides) for key in ("n_lost", "n_settled"))
    if n_lost and trained.first_lost is not None:
        lost = trained.first_lost
        click.echo(
            f"{n_lost} labels have no cell within 5 um; the first is {lost.place}, '{lost.class_name}' at "
            f"({lost.x_l0:g}, {lost.y_l0:g})."
        )
    if n_settled:
        click.echo(f"{n_settled} labels lie in areas whose annotation settles the type already; they were left out.")


def _print_accuracy(trained: TrainedTumor) -> None:
    """Print how well labels were foretold that the model had not seen, and how well without it."""
    report = trained.model.cross_validation
    if report.scheme == "slide":
        how = f"each of {report.n_folds} slides foretold from the others"
    else:
        how = f"{report.n_folds} parts, each foretold from the rest of the same slides; a new slide will do worse"
    click.echo(
        f"Cross-validated ({how}): accuracy {report.accuracy:.2f}, AUC {report.auc:.2f}; keeps "
        f"{100 * report.tumor_kept:.0f} % of {report.n_tumor} tumor cells, drops {100 * report.other_dropped:.0f} % of "
        f"{report.n_other} others."
    )
    if report.network_auc is None:
        click.echo("Without the model: the segmenter of this run tells no tumor cell from another.")
    else:
        verdict = "" if report.auc > report.network_auc else ": the model is no better, and need not be used"
        click.echo(f"Without the model: AUC {report.network_auc:.2f} of the network's own tumor_probability{verdict}.")
    if report.scheme == "stratified":
        click.echo("Label cells of both kinds on a second slide to learn how well it carries over.")


@train.command()
@click.option("--data", required=True, type=click.Path(path_type=Path), help="Folder of the training data sets.")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="The model's folder, models/NAME.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N.")
@click.option("--seed", default=1, show_default=True, help="Other seeds give other weights.")
@click.option("--rounds", type=click.IntRange(1), default=None, help="Rounds of fresh crops; the recipe's by default.")
@click.option("--crops", type=click.IntRange(8), default=None, help="Crops a round; the recipe's by default.")
def cells(data: Path, out: Path, device: str, seed: int, rounds: int | None, crops: int | None) -> None:
    """Train the network that finds cells, from labelled H&E rendered as IHC.

    The same command again goes on where it was stopped. See docs/training.md.
    """
    from dataclasses import replace

    from slidescore.training.cells import CellsRecipe, RoundReport, train_cells

    recipe = CellsRecipe()
    loop = replace(recipe.loop, seed=seed, rounds=rounds or recipe.loop.rounds, crops=crops or recipe.loop.crops)

    def tell(report: RoundReport) -> None:
        checked = ", ".join(f"{name} {score:.2f}" for name, score in report.f1.items())
        click.echo(
            f"round {report.number} of {report.n_rounds}: loss {report.losses['total']:.3f}"
            + (f"; detection F1 {checked}" if checked else "")
        )

    card = train_cells(data, out, replace(recipe, loop=loop), device=device, on_round=tell)
    click.echo(f"Model: {out} (digest {card.digest})")
    click.echo(f"Report: {out / 'training' / 'report.html'}")
