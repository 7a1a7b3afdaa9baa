"""Stain separation against scikit-image in one process: `python benchmarks/separation.py` prints one JSON line."""

from __future__ import annotations

import json
import time

import numpy as np
from skimage.color import hdx_from_rgb, separate_stains

from slidescore.stain import StainVectors, separate

SIDE, ROUNDS = 2048, 5
VECTORS = StainVectors((0.65, 0.70, 0.29), (0.27, 0.57, 0.78), "fixed")


def main() -> None:
    """Time both, turn and turn about; the best round of each counts."""
    rgb = np.random.default_rng(0).integers(20, 250, (SIDE, SIDE, 3), dtype=np.uint8)
    separate(rgb, (240.0, 240.0, 240.0), VECTORS)
    ours, theirs = [], []
    for _ in range(ROUNDS):
        start = time.process_time()
        separate(rgb, (240.0, 240.0, 240.0), VECTORS)
        middle = time.process_time()
        separate_stains(rgb, hdx_from_rgb)
        ours.append(middle - start)
        theirs.append(time.process_time() - middle)
    ratio = min(theirs) / min(ours)
    print(
        json.dumps({"benchmark": "separation", "separation_vs_skimage": round(ratio, 1), "device": "cpu, one thread"})
    )


if __name__ == "__main__":
    main()
