"""What a reader alone makes of spoilt slides: `python benchmarks/bare_readers.py PLAN.json`, one JSON line a slide.

Meant to be run as a child: a spoilt file can end the process. OpenSlide reads SVS, TIFF and DICOM, Pillow PNG and JPEG,
each in one call and with nothing looked at before, as a script of five lines would.
"""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path

import numpy as np
import openslide
from numpy.typing import NDArray
from PIL import Image

GROSS_PIXELS, GROSS_GREY = 2_000, 8
LIMIT_S = 20


def read_plainly(path: Path, form: str) -> NDArray[np.uint8]:
    """Read level 0; uint8, (H, W, 3)."""
    if form in ("png", "jpeg"):
        with Image.open(path) as image:
            return np.array(image.convert("RGB"))
    with openslide.OpenSlide(path) as slide:
        return np.array(slide.read_region((0, 0), 0, slide.dimensions).convert("RGB"))


def compare(path: Path, form: str, truth: NDArray[np.uint8]) -> str:
    """Name what came of it: raised, same, or how much is wrong."""
    try:
        got = read_plainly(path, form)
    except (Exception, MemoryError):  # noqa: BLE001 - whatever it is, it was said
        return "raises"
    if got.shape != truth.shape:
        return "grossly wrong"
    off = np.abs(got.astype(int) - truth).max(axis=-1)
    return "grossly wrong" if (off > GROSS_GREY).sum() > GROSS_PIXELS else "wrong" if off.any() else "same"


def main() -> None:
    """Read the slides of a plan in turn."""
    # Without a handler the alarm ends the process, which is what a hang deserves.
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    for job in json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")):
        signal.alarm(LIMIT_S)
        outcome = compare(Path(job["path"]), job["format"], np.load(job["truth"])[..., :3])
        signal.alarm(0)
        print(json.dumps({"path": job["path"], "outcome": outcome}), flush=True)


if __name__ == "__main__":
    main()
