"""The slide viewer, OpenSeadragon: not in the repository, but brought by `make web`, and in every wheel."""

from __future__ import annotations

from pathlib import Path

from slidescore.errors import InputError

VIEWER = Path(__file__).resolve().parent / "web" / "vendor" / "openseadragon.min.js"
"""Where `make web` puts it."""


def check_viewer(path: Path = VIEWER) -> None:
    """Refuse to serve pages that could show no slide.

    Parameters
    ----------
    path
        The viewer's file.

    Raises
    ------
    InputError
        If it is not there.
    """
    if not path.is_file():
        raise InputError(
            "the slide viewer, OpenSeadragon, is missing from this installation",
            remedy="run `make web` in the source folder, which needs npm; a wheel built after that holds it",
        )
