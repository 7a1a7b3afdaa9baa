"""A file system that stops answering costs the slides on it their time, not the run."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from faults.interrupted import Stoppable, draw_stoppable, finish, rows_of, start

pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform == "win32", reason="pipes")]

TIMEOUT_S = 8
COMMANDS = 3
"""On a busy machine the good slide, too, can be silent for so long; then the next command tries it again."""


def test_stalled_slides_time_out_and_the_batch_goes_on(tmp_path: Path) -> None:
    drawn = draw_stoppable(tmp_path, n_slides=1, side_px=300)
    slides = Stoppable(drawn.slides, drawn.assay)
    [good] = drawn.slides.iterdir()
    for name in ("stalls when it is looked at.tiff", "stalls when it is read.tiff"):
        (drawn.slides / name).write_bytes(good.read_bytes())
    os.mkfifo(drawn.slides / "pipe.svs")
    os.mkfifo(drawn.slides / "pipe.dcm")
    (drawn.slides / "lost.svs").symlink_to(tmp_path / "nowhere.svs")
    os.mkfifo(tmp_path / "never")
    faults = {
        "pipe": str(tmp_path / "never"),
        "stall_look": "stalls when it is looked at.tiff",
        "stall_read": "stalls when it is read.tiff",
    }
    out = tmp_path / "run"
    timed_out = f"timeout: no progress for {TIMEOUT_S} s"
    for _ in range(COMMANDS):
        code, said = finish(start(slides.command(out, "--workers", "2", "--timeout", str(TIMEOUT_S)), faults))
        assert code == 3, said
        rows = {row["file"]: row for row in rows_of(out)}
        if rows[good.name]["reason"] != timed_out:
            break
    assert len(rows) == len(list(drawn.slides.iterdir())) == 6
    for name in ("stalls when it is looked at.tiff", "stalls when it is read.tiff"):
        assert rows[name]["status"] == "failed"
        assert rows[name]["reason"] == timed_out
    for name in ("pipe.svs", "pipe.dcm"):
        assert (rows[name]["status"], rows[name]["reason"]) == ("failed", "is not a regular file")
    assert (rows["lost.svs"]["status"], rows["lost.svs"]["reason"]) == ("failed", "no such file")
    assert rows[good.name]["status"] != "failed", rows[good.name]["reason"]
    assert not list(out.glob("slides/stalls*/result.json"))
