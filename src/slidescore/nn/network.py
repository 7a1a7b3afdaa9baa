"""The network: a small U-Net on half resolution that says where nuclei are and of which type.

The first convolution halves the resolution, so that none runs at full resolution; shape maps are unfolded from channels
at the end (pixel-shuffle by 2). Types get context from dilated convolutions on the coarsest level.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from slidescore.cells.types import CELL_TYPES
from slidescore.nn.card import STRIDE as STRIDE

SHAPE_MAPS = ("center", "foreground", "distance")
FOLD = 2
"""Pixels unfolded from channels along each axis."""
MIDDLE = 0.5
"""Taken off RGB in 0..1, so that the network's input lies around 0."""


@dataclass(frozen=True, slots=True)
class NetworkConfig:
    """Width of the four levels (1/2, 1/4, 1/8 and 1/16 of the resolution) and the dilations of the coarsest one."""

    channels: tuple[int, int, int, int] = (16, 48, 96, 160)
    dilations: tuple[int, ...] = (1, 2, 4)


class CellNetwork(nn.Module):
    """Maps an RGB image to shape maps and type maps; see `forward`."""

    def __init__(self, config: NetworkConfig | None = None) -> None:
        super().__init__()
        self.config = config or NetworkConfig()
        c2, c4, c8, c16 = self.config.channels
        self.stem = nn.Sequential(_block(3, c2, kernel=4, stride=2), _block(c2, c2))
        self.down4 = nn.Sequential(_block(c2, c4, stride=2), _block(c4, c4))
        self.down8 = nn.Sequential(_block(c4, c8, stride=2), _block(c8, c8))
        self.down16 = nn.Sequential(
            _block(c8, c16, stride=2), *(_block(c16, c16, dilation=dilation) for dilation in self.config.dilations)
        )
        self.up8 = _Up(c16, c8, c8)
        self.up4 = _Up(c8, c4, c4)
        self.up2 = _Up(c4, c2, c2)
        self.shape_head = nn.Conv2d(c2, len(SHAPE_MAPS) * FOLD**2, 1)
        self.type_head = nn.Sequential(_block(c4, c4, kernel=1), nn.Conv2d(c4, len(CELL_TYPES), 1))

    def forward(self, rgb: Tensor) -> tuple[Tensor, Tensor]:
        """Run the network.

        Parameters
        ----------
        rgb
            float, (N, 3, H, W), RGB in 0..1; H and W are multiples of STRIDE.

        Returns
        -------
        Logits of SHAPE_MAPS, (N, 3, H, W), and of CELL_TYPES, (N, 4, H / 4, W / 4).
        """
        shapes, types = self.folded(rgb - MIDDLE)
        return nn.functional.pixel_shuffle(shapes, FOLD), types

    def folded(self, centered: Tensor) -> tuple[Tensor, Tensor]:
        """Run the network on RGB less `MIDDLE`; as `forward`, but maps are channels yet, (N, 12, H / 2, W / 2)."""
        x2 = self.stem(centered)
        x4 = self.down4(x2)
        x8 = self.down8(x4)
        y8 = self.up8(self.down16(x8), x8)
        y4 = self.up4(y8, x4)
        y2 = self.up2(y4, x2)
        return self.shape_head(y2), self.type_head(y4)


class _Up(nn.Module):
    """Double the resolution, add what the way down knew, and look again."""

    def __init__(self, below: int, beside: int, out: int) -> None:
        super().__init__()
        self.below = nn.Conv2d(below, out, 1)
        self.look = _block(out, out)
        self.beside = nn.Identity() if beside == out else nn.Conv2d(beside, out, 1)

    def forward(self, below: Tensor, beside: Tensor) -> Tensor:
        out: Tensor = self.look(_add_doubled(self.beside(beside), self.below(below)))
        return out


def _add_doubled(beside: Tensor, below: Tensor) -> Tensor:
    """Add what is known at half the resolution, pixel by pixel to four; `beside` itself where gradients are not asked.

    Nearest, not bilinear: four times faster on a CPU, and the convolution after it smooths.
    """
    if torch.is_grad_enabled() or not beside.is_contiguous(memory_format=torch.channels_last):
        return nn.functional.interpolate(below, scale_factor=2, mode="nearest") + beside
    # Nobody looks at the way down again, so it takes the sum. Doubled along rows only: that takes half of the memory of
    # the whole, and a row of it is added to two.
    n, channels, height, width = below.shape
    pixels = below.permute(0, 2, 3, 1)
    rows = torch.cat([pixels, pixels], dim=-1).reshape(n, height, 1, 2 * width * channels)
    beside.permute(0, 2, 3, 1).view(n, height, 2, 2 * width * channels).add_(rows)
    return beside


def _block(inputs: int, outputs: int, *, kernel: int = 3, stride: int = 1, dilation: int = 1) -> nn.Sequential:
    padding = dilation * ((kernel - 1) // 2)
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride=stride, padding=padding, dilation=dilation, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


def fused(network: CellNetwork) -> CellNetwork:
    """Return a copy for inference, with every batch norm folded into the convolution before it."""
    network = copy.deepcopy(network).eval()
    for parent in list(network.modules()):
        if isinstance(parent, nn.Sequential) and len(parent) > 1 and isinstance(parent[1], nn.BatchNorm2d):
            parent[0] = torch.nn.utils.fusion.fuse_conv_bn_eval(parent[0], parent[1])
            parent[1] = nn.Identity()
    return network
