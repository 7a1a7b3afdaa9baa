"""How far the network's answer is from the targets."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from slidescore.training.targets import IGNORED

PEAK_WEIGHT = 6.0
"""Pixels of a peak count up to this much more: they are few."""
DISTANCE_SHARE, TYPE_SHARE, DICE_SHARE, CENTER_SHARE = 2.0, 0.8, 0.5, 2.0
LABEL_SMOOTHING = 0.05


def network_loss(shapes: Tensor, types: Tensor, targets: dict[str, Tensor]) -> dict[str, Tensor]:
    """Compute the parts of the loss and their sum, `total`.

    Parameters
    ----------
    shapes
        Logits of center, foreground, distance; float, (N, 3, H, W).
    types
        Logits, float, (N, 4, h, w).
    targets
        `center`, `foreground`, `distance`, `weight` float (N, H, W) in 0..1, `types` int64 (N, h, w).
    """
    center, foreground, distance = shapes.float().unbind(1)
    weight = targets["weight"]
    known = (weight > 0).float()
    n_known = known.sum().clamp(min=1)
    bce = functional.binary_cross_entropy_with_logits
    peaks = bce(center, targets["center"], reduction="none") * (1 + PEAK_WEIGHT * targets["center"])
    probability = foreground.sigmoid()
    overlap = (weight * probability * targets["foreground"]).sum()
    dice = 1 - (2 * overlap + 1) / ((weight * (probability + targets["foreground"])).sum() + 1)
    inside = weight * (targets["foreground"] + 0.1)
    away = (distance.sigmoid() - targets["distance"]).abs()
    kinds = functional.cross_entropy(
        types.float(), targets["types"], ignore_index=IGNORED, label_smoothing=LABEL_SMOOTHING,
        reduction="sum",
    ) / (targets["types"] != IGNORED).sum().clamp(min=1)  # fmt: skip
    parts = {
        "center": CENTER_SHARE * (peaks * known).sum() / n_known,
        "foreground": (bce(foreground, targets["foreground"], reduction="none") * weight).sum() / n_known,
        "dice": DICE_SHARE * dice,
        "distance": DISTANCE_SHARE * (away * inside).sum() / inside.sum().clamp(min=1),
        "types": TYPE_SHARE * kinds,
    }
    return parts | {"total": torch.stack(list(parts.values())).sum()}
