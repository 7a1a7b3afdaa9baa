"""`slidescore export`: the cells of a run for other programs."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--to", "kind", required=True, help="csv or geojson.")
@click.option("--out", type=click.Path(path_type=Path), help="Folder to write to.  [default: RUN/exports]")
@click.option("--slide", "slides", multiple=True, help="Only these slide_ids or files; may be repeated.")
@click.option("--gzip", "compress", is_flag=True, help="Compress; QuPath opens .geojson.gz.")
def export(run: Path, kind: str, out: Path | None, slides: tuple[str, ...], compress: bool) -> None:
    """Write the cells of every slide in RUN: CSV tables, or GeoJSON detections for QuPath."""
    from slidescore.pipeline.export import export_run

    for path in export_run(run, kind, out or run / "exports", only=slides, compress=compress):
        click.echo(str(path))
