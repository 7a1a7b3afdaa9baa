"""Every benchmark, one JSON line each: `make bench`; `--write PAGE` puts the main figures into a page's table.

Takes some eight minutes on two cores. The drawn slide and the real field are made anew each time.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from page_tables import publish_tables

HERE = Path(__file__).resolve().parent
RATIOS = (
    ("separation", "separation_vs_skimage", "stains of 2,048 x 2,048 px", "scikit-image"),
    ("reader real", "reader_vs_ceiling", "reading, aligned", "simplejpeg alone on the same tiles"),
    ("reader real", "reader_halo_vs_ceiling", "reading windows with halo, averaged", "the same"),
    ("reader real", "reader_vs_openslide", "reading, aligned", "openslide-python"),
    ("postprocess", "postprocess_vs_skimage", "from the network's maps to cells", "scikit-image, without membranes"),
    (
        "end_to_end", "end_to_end_vs_plain", "tiles from file to cells, with the network",
        "openslide-python and scikit-image, without a network",
    ),
    (
        "section", "share_of_decode_ceiling", "a section from file to report",
        "simplejpeg alone on its tiles, on all cores",
    ),
)  # fmt: skip
"""Benchmark, key, what is measured, and against what."""
FIGURES = (
    ("postprocess", "cells_per_core_second", "cells segmented and measured, a second and core, without the network"),
    ("section", "tissue_mpx_per_second", "level-0 megapixels of tissue a second, from file to report"),
    ("section", "section_seconds", "seconds for a section of 15 x 15 mm at 0.25 µm/px, 30 % tissue"),
    ("section", "cpu_seconds_per_gpx_without_network", "CPU-seconds a gigapixel of tissue beside the network"),
    ("section", "peak_rss_mb", "peak memory of the process, MB"),
    ("section", "time_per_block_ratio", "time a block on 1.1 gigapixels of tissue over that on 28 megapixels"),
    ("section", "background_cost", "share of the time that glass costs"),
)
"""Benchmark, key, and what is measured."""


def main() -> None:
    """Draw the slides, run each script in its own process."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", type=Path, action="append", default=[], help="page with a table 'speed'")
    arguments = parser.parse_args()
    found: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as folder:
        slide, real = Path(folder) / "slide.tiff", Path(folder) / "real.tiff"
        for path, *options in ((slide, "--size", "12288"), (real, "--size", "8192", "--real", "--quality", "80")):
            drawing = [sys.executable, str(HERE / "draw_big_slide.py"), str(path), "--tissue", "0.3", *options]
            subprocess.run(drawing, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for name, *command in (
            ("separation", "separation.py"),
            ("reader", "reader.py", str(slide)),
            ("reader real", "reader.py", str(real)),
            ("postprocess", "postprocess.py", str(slide)),
            ("network", "network.py"),
            ("end_to_end", "end_to_end.py", str(slide)),
            ("section", "section.py"),
            ("gpu", "gpu.py"),
        ):
            done = subprocess.run(
                [sys.executable, str(HERE / command[0]), *command[1:]], check=True, stdout=subprocess.PIPE, text=True
            )
            print(done.stdout, end="", flush=True)
            found[name] = json.loads(done.stdout.splitlines()[0])
    for page in arguments.write:
        publish_tables({"speed": table_lines(found)}, page)


def table_lines(found: dict[str, dict[str, Any]]) -> list[str]:
    """Write the main figures as a table, by the names that the JSON lines give them."""
    section, gpu = found["section"], found["gpu"]
    device = f"{section['device']}, {section['profile']}"
    lines = ["| | against | ratio | key |", "|---|---|---|---|"]
    for benchmark, key, what, against in RATIOS:
        lines.append(f"| {what} | {against} | {found[benchmark][key]} | `{key}` |")
    for benchmark, key, what in FIGURES:
        lines.append(f"| {what} | | {found[benchmark][key]:,} | `{key}` |")
    lines.append(f"| on | | {device}; GPU: {gpu['device'] or 'not measured'} | `device` |")
    return lines


if __name__ == "__main__":
    main()
