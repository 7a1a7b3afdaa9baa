"""Every benchmark, one JSON line each: `make bench`."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent


def main() -> None:
    """Draw a slide, run each script in its own process."""
    with tempfile.TemporaryDirectory() as folder:
        slide, real = Path(folder) / "slide.tiff", Path(folder) / "real.tiff"
        for path, *options in ((slide, "--size", "12288"), (real, "--size", "8192", "--real", "--quality", "80")):
            drawing = [sys.executable, str(HERE / "draw_big_slide.py"), str(path), "--tissue", "0.3", *options]
            subprocess.run(drawing, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for command in (
            ["separation.py"],
            ["reader.py", str(slide)],
            ["reader.py", str(real)],
            ["postprocess.py", str(slide)],
            ["network.py"],
            ["end_to_end.py", str(slide)],
            ["section.py"],
            ["gpu.py"],
        ):
            subprocess.run([sys.executable, str(HERE / command[0]), *command[1:]], check=True)


if __name__ == "__main__":
    main()
