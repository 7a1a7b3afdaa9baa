"""Which other files belong to a slide that is more than one file."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from slidescore.slide.dicom_series import series_uid

_INI_BYTES: Final = 1 << 20
_INI_VALUE: Final = re.compile(r"^[^=\n]+=[ \t]*(\S.*?)[ \t\r]*$", re.MULTILINE)


def companion_files(path: Path) -> list[Path]:
    """List the files that make up a slide together with `path`, sorted by name.

    Parameters
    ----------
    path
        The file that names the slide: .mrxs (the directory of the same stem), .vms or .vmu (the images it
        lists) or .dcm (the other files of its series in its directory). Any other slide is one file.

    Raises
    ------
    OSError
        The files cannot be listed.
    """
    suffix = path.suffix.lower()
    if suffix == ".mrxs":
        folder = path.with_suffix("")
        return sorted(file for file in folder.iterdir() if file.is_file()) if folder.is_dir() else []
    if suffix in (".vms", ".vmu"):
        return _listed_files(path)
    if suffix == ".dcm":
        uid = series_uid(path)
        if uid is None:
            return []
        others = (file for file in path.parent.iterdir() if file.suffix.lower() == ".dcm" and file != path)
        return sorted(file for file in others if file.is_file() and series_uid(file) == uid)
    return []


def _listed_files(path: Path) -> list[Path]:
    """List the existing files that a Hamamatsu .vms or .vmu file names."""
    with path.open("rb") as file:
        text = file.read(_INI_BYTES).decode("utf-8", "replace")
    names = {value for value in _INI_VALUE.findall(text) if "/" not in value and "\\" not in value and "." in value}
    return sorted(path.parent / name for name in names if (path.parent / name).is_file() and name != path.name)
