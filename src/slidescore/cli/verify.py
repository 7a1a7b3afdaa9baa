"""`slidescore verify`: whether a run is what was written, and whether its scores follow from its cells."""

from __future__ import annotations

from pathlib import Path

import click

from slidescore.cli.main import EXIT_SOME_FAILED


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
def verify(run: Path) -> int:
    """Compute every score of RUN again from its cells, and check every byte against its digest.

    Lists what differs, one line each, on standard output; the exit code is then 3. No slide is needed or read.
    """
    from slidescore.pipeline.verify import verify_run

    def say(number: int, total: int, file: str) -> None:
        click.echo(f"[{number + 1}/{total}] {file}", err=True)

    found = verify_run(run, on_slide=say)
    for note in found.notes:
        click.echo(f"note: {note}", err=True)
    for difference in found.differences:
        click.echo(difference)
    done = f"{found.n_slides} slides scored again, {found.n_files} files looked at"
    if found.differences:
        click.echo(f"{done}: {len(found.differences)} differences.")
        return EXIT_SOME_FAILED
    click.echo(f"{done}: all is as it was written.\nSHA-256 of digests.sha256: {found.digest}")
    return 0
