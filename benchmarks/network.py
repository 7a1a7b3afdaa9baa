"""Speed of the network alone, against what one plain convolution reaches on the same machine in the same process.

`python benchmarks/network.py [--device cuda]`. The ceiling is a 3 x 3 convolution of 64 channels; the peer is a plain
U-Net of the same kind (16 to 256 channels on half resolution, 23 GFLOP a megapixel), as a newcomer would write it.
"""

from __future__ import annotations

import argparse
import json
import time
from itertools import pairwise

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from slidescore.nn.device import resolve_device
from slidescore.nn.network import CellNetwork, fused

SIDE_PX, REPEATS = 1088, 10
CEILING_CHANNELS, CEILING_SIDE = 64, 272


class PlainUNet(nn.Module):
    """Two convolutions a level, skips by concatenation, pixel-unshuffle before and pixel-shuffle after."""

    def __init__(self, width: int = 16, levels: int = 5, maps: int = 8) -> None:
        super().__init__()
        widths = [width * 2**k for k in range(levels)]
        self.down = nn.ModuleList([self._pair(12, widths[0])])
        self.down += [self._pair(a, b) for a, b in pairwise(widths)]
        self.up = nn.ModuleList([self._pair(a + b, a) for a, b in pairwise(widths)])
        self.head = nn.Conv2d(widths[0], 4 * maps, 1)

    @staticmethod
    def _pair(inputs: int, outputs: int) -> nn.Sequential:
        first, second = nn.Conv2d(inputs, outputs, 3, padding=1), nn.Conv2d(outputs, outputs, 3, padding=1)
        return nn.Sequential(first, nn.ReLU(inplace=True), second, nn.ReLU(inplace=True))

    def forward(self, rgb: torch.Tensor) -> torch.Tensor:
        """Run it."""
        x, kept = nn.functional.pixel_unshuffle(rgb, 2), []
        for number, level in enumerate(self.down):
            x = level(nn.functional.max_pool2d(x, 2) if number else x)
            kept.append(x)
        x = kept.pop()
        for level in reversed(self.up):
            x = level(torch.cat([nn.functional.interpolate(x, scale_factor=2, mode="nearest"), kept.pop()], dim=1))
        return nn.functional.pixel_shuffle(self.head(x), 2)


def gflop(model: nn.Module, *shape: int) -> float:
    """Count the arithmetic of one call in GFLOP."""
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        model(torch.rand(*shape))
    return counter.get_total_flops() / 1e9


def best_seconds(model: nn.Module, image: torch.Tensor) -> float:
    """Time the best of some calls."""
    best = float("inf")
    with torch.inference_mode():
        for _ in range(REPEATS):
            start = time.perf_counter()
            model(image)
            if image.device.type == "cuda":
                torch.cuda.synchronize()
            best = min(best, time.perf_counter() - start)
    return best


def main() -> None:
    """Print one JSON line a precision."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args()
    settled = resolve_device(arguments.device)
    device = torch.device(settled.name)
    network, peer = fused(CellNetwork()), PlainUNet().eval()
    ceiling = nn.Conv2d(CEILING_CHANNELS, CEILING_CHANNELS, 3, padding=1)
    megapixels = SIDE_PX**2 / 1e6
    work = gflop(network, 1, 3, SIDE_PX, SIDE_PX)
    peak_work = gflop(ceiling, 1, CEILING_CHANNELS, CEILING_SIDE, CEILING_SIDE)
    for dtype in (torch.float32, torch.float16 if device.type == "cuda" else torch.bfloat16):
        placed = {"device": device, "dtype": dtype, "memory_format": torch.channels_last}
        image = torch.rand(1, 3, SIDE_PX, SIDE_PX).to(**placed)
        features = torch.rand(1, CEILING_CHANNELS, CEILING_SIDE, CEILING_SIDE).to(**placed)
        seconds = best_seconds(network.to(**placed), image)
        peer_seconds = best_seconds(peer.to(**placed), image)
        peak_rate = peak_work / best_seconds(ceiling.to(**placed), features)
        result = {
            "benchmark": "network",
            "hardware": settled.hardware,
            "precision": str(dtype).removeprefix("torch."),
            "default_precision": settled.precision,
            "threads": torch.get_num_threads(),
            "gflop_per_mpx": round(work / megapixels, 1),
            "mpx_per_s": round(megapixels / seconds, 1),
            "network_vs_plain_unet": round(peer_seconds / seconds, 2),
            "share_of_one_convolutions_rate": round(work / seconds / peak_rate, 2),
        }
        print(json.dumps(result), flush=True)


if __name__ == "__main__":
    main()
