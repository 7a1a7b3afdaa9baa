"""Draw the sample slides again: `python sample_slides/make_samples.py` writes the four .tiff files beside this script.

Three are phantoms, drawn by tests/phantom.py from fixed seeds; the fourth is the immunohistochemistry picture that
ships with scikit-image, stored as a pyramid. What they hold is in README.md.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
from skimage.data import immunohistochemistry

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "tests"))

from phantom import bin_shares, draw_phantom, slide_spec, true_h_score, write_pyramid  # noqa: E402

FHL2_MPP = 0.5
QUALITY = 80
PHANTOMS = {
    "phantom_negative": slide_spec(11, staining="negative"),
    "phantom_low": slide_spec(12, dab_od_shares=(0.62, 0.28, 0.08, 0.02)),
    "phantom_high": slide_spec(13, dab_od_shares=(0.08, 0.20, 0.36, 0.36)),
}


def main() -> None:
    """Write every sample and print what was drawn."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=HERE, help="folder to write to (default: beside this script)")
    folder = parser.parse_args().out
    folder.mkdir(parents=True, exist_ok=True)
    for name, spec in PHANTOMS.items():
        phantom = draw_phantom(spec)
        path = write_pyramid(folder / f"{name}.tiff", phantom.rgb, phantom.mpp, quality=QUALITY)
        kinds, counts = np.unique(phantom.truth.class_name, return_counts=True)
        cells = ", ".join(f"{count} {kind}" for kind, count in zip(kinds, counts, strict=True))
        scores = f"H {true_h_score(phantom):.1f}, all cells {true_h_score(phantom, class_name=None):.1f}"
        print(f"{path.name}: {cells}; drawn {scores}; bins {np.round(bin_shares(phantom), 3)}; {_size(path)}")
    path = write_pyramid(folder / "real_fhl2.tiff", immunohistochemistry(), FHL2_MPP, levels=(1, 4), quality=90)
    print(f"{path.name}: {_size(path)}")


def _size(path: Path) -> str:
    return f"{path.stat().st_size / 1e6:.2f} MB"


if __name__ == "__main__":
    main()
