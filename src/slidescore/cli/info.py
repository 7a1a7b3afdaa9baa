"""`slidescore info`: what a slide is and how it would be read."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from slidescore.assay.load import DEFAULT_ASSAY

if TYPE_CHECKING:
    from slidescore.assay.left_of_wall import Reading


@click.command()
@click.argument("slide", type=click.Path(path_type=Path))
@click.option("--mpp", type=click.FloatRange(0.05, 2.0), help="um per pixel, if the file states none.")
@click.option("--assay", default=DEFAULT_ASSAY, show_default=True, help="Assay whose resolution is planned for.")
def info(slide: Path, mpp: float | None, assay: str) -> None:
    """Show what SLIDE is and how it would be read."""
    from slidescore.assay import load_assay
    from slidescore.errors import SlideOpenError

    reading = load_assay(assay).assay.reading
    try:
        lines = _describe(slide, mpp, reading)
    except SlideOpenError as error:
        # Named without its folders, as everywhere: they can name a patient.
        raise SlideOpenError(error.message, where=slide.name, remedy=error.remedy) from error
    for name, value in lines:
        click.echo(f"{name:<12} {value}")


def _describe(slide: Path, mpp: float | None, reading: Reading) -> list[tuple[str, str]]:
    """Say what a slide is, by a few of the things that its reader knows; none of its own words is among them."""
    from slidescore.errors import MissingResolutionError
    from slidescore.slide import decide_resolution, fingerprint, open_slide, plan_grid
    from slidescore.slide.identify import name_library, name_scanner

    with open_slide(slide) as reader:
        width, height = reader.dimensions
        stated = "none stated" if reader.mpp is None else f"{reader.mpp[0]:.4g} x {reader.mpp[1]:.4g} um/px stated"
        lines = [
            ("file", slide.name),
            ("fingerprint", fingerprint(slide)),
            ("reader", f"{reader.backend} ({reader.vendor})"),
            ("read with", name_library(reader)),
            ("scanner", name_scanner(reader) or "not stated"),
            ("size", f"{width} x {height} px"),
            ("resolution", stated),
            ("levels", ", ".join(f"{w} x {h}" for w, h in reader.level_dimensions)),
            ("ICC profile", "yes, not applied" if reader.icc_profile else "no"),
        ]
        try:
            resolution = decide_resolution(
                reader, mpp, min_mpp=reading.min_mpp, max_mpp=reading.max_mpp,
                max_axis_difference=reading.max_axis_difference,
            )  # fmt: skip
        except MissingResolutionError as error:
            lines.append(("scoring", f"refused: {error.message} ({error.remedy})"))
        else:
            grid = plan_grid(reader, resolution.mpp, reading.mpp, reading.snap_fraction)
            size_mm = f"{width * resolution.mpp_x / 1000:.2f} x {height * resolution.mpp_y / 1000:.2f} mm"
            plan = f"level {grid.level}, {grid.factor:g} px averaged to {grid.analysis_mpp:.4g} um/px"
            lines += [("area", f"{size_mm} ({resolution.source} resolution)"), ("analysis", plan)]
    return lines
