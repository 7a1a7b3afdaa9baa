"""What a calibration came to, on the terminal."""

from __future__ import annotations

import click

from slidescore.assay import assay_digest
from slidescore.pipeline.calibrate_assay import blank_text, turns_degrees
from slidescore.pipeline.calibrate_result import Calibration
from slidescore.scoring.threshold_fit import ThresholdFit


def print_calibration(result: Calibration) -> None:
    """Print the new assay's vectors, thresholds and blank on standard output, and warnings on standard error."""
    for warning in result.warnings:
        click.echo(f"warning: {warning}", err=True)
    assay, base = result.assay.assay, result.base.assay
    turns = turns_degrees(base, result.stains)
    for name, vector, turn, n in (
        ("Hematoxylin", assay.stains.hematoxylin, turns[0], result.stains.n_hematoxylin),
        ("DAB", assay.stains.dab, turns[1], result.stains.n_dab),
    ):
        numbers = ", ".join(f"{value:.3f}" for value in vector)
        click.echo(
            f"{name:<12} {numbers}   turned {turn:.1f} degrees, {n} control{'s' if n > 1 else ''}"
            if n
            else f"{name:<12} kept"
        )
    compartment = assay.score.compartment
    old = ", ".join(f"{value:g}" for value in base.bins.of(compartment))
    if isinstance(result.fit, ThresholdFit):
        fitted = zip(assay.bins.of(compartment), result.fit.low, result.fit.high, strict=True)
        new = ", ".join(f"{value:.3f} ({low:.3f} to {high:.3f})" for value, low, high in fitted)
        click.echo(f"{'Thresholds':<12} {new} OD, {compartment}; before: {old}")
    else:
        click.echo(f"{'Thresholds':<12} kept: {old} OD, {compartment}")
    click.echo(blank_text(result.blank))
    cutoff = assay.call.cutoff
    if cutoff is not None:
        click.echo(f"The cut-off ({cutoff.text}) is {cutoff.status.upper()}. Research use only.")
    click.echo(f"Assay: {result.out} (digest {assay_digest(assay)})\nReport: {result.report}")
