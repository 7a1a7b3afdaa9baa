"""Whether the exports that lie in a run are what would be exported now; each is made once more and compared."""

from __future__ import annotations

import tempfile
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from slidescore.assay import Assay
from slidescore.pipeline.export import WRITERS, export_slide
from slidescore.pipeline.verify_files import EXPORTS
from slidescore.report.files import sha256_of
from slidescore.report.run_folder import TEMPORARY, RunFolder


@dataclass(slots=True)
class ExportCheck:
    """What looking at the exports of a run came to; one line each."""

    differences: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def check_exports(
    folder: RunFolder, judged: Mapping[str, Mapping[str, Any]], changed: Collection[str], assay: Assay
) -> ExportCheck:
    """Make the exports that lie in a run once more and compare them.

    Parameters
    ----------
    folder
        The run.
    judged
        What result.json should hold, by slide_id, of slides that were scored again.
    changed
        Files that are known to be changed, by path below the run: what is exported from them is not looked at.
    assay
        The run's assay.
    """
    check, exports = ExportCheck(), folder.path / EXPORTS
    kinds = {
        f"{slide_id}.{suffix}{packed}": (slide_id, kind, bool(packed))
        for slide_id in judged
        for kind, (suffix, _) in WRITERS.items()
        for packed in ("", ".gz")
    }
    for path in sorted(path for path in exports.rglob("*") if path.is_file()):
        name = path.relative_to(exports).as_posix()
        if any(path.match(pattern) for pattern in TEMPORARY):
            check.notes.append(f"{EXPORTS}/{name} was left half-written by a stopped export")
            continue
        if name not in kinds:
            check.differences.append(f"{EXPORTS}/{name}: is no export of a slide of this run")
            continue
        slide_id, kind, packed = kinds[name]
        if f"slides/{slide_id}/cells.parquet" in changed:
            continue
        with tempfile.TemporaryDirectory() as place:
            again = export_slide(folder, judged[slide_id], assay, kind, Path(place), compress=packed)
            if sha256_of(again) != sha256_of(path):
                check.differences.append(f"{EXPORTS}/{name}: is not what 'slidescore export' writes now")
    return check
