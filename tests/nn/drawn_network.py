"""A network whose weights are set by hand: dark is nucleus, brown is tumor. Small, quick, and right on phantoms."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import nn

from slidescore.cells.decode import DecodeSettings
from slidescore.nn.card import NO_DIGEST, Calibration, Card, CardInput, DataSource, Training
from slidescore.nn.network import STRIDE, CellNetwork, NetworkConfig
from slidescore.nn.weights import save_model

TINY = NetworkConfig(channels=(4, 4, 4, 4), dilations=(1,))
DARK, SMOOTH, BROWN = 0, 1, 2
STEEP = 40.0
"""Logits per unit of darkness."""
DECODE = asdict(
    DecodeSettings(
        min_center=0.5,
        min_foreground=0.5,
        min_distance_um=3.0,
        min_area_um2=8.0,
        min_mean_foreground=0.0,
        min_solidity=0.0,
    )
)


def drawn_network(*, dark_from: float = 0.3, brown_from: float = 0.1) -> CellNetwork:
    """Channel DARK carries 1 - grey, SMOOTH the same but blurred, BROWN red minus blue; everything else is nought."""
    network = CellNetwork(TINY)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.zero_()
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.weight.fill_(1.0)
        stem, norm = network.stem[0][0], network.stem[0][1]
        n = stem.kernel_size[0] ** 2
        stem.weight[[DARK, SMOOTH]] = -1.0 / (3 * n)
        stem.weight[BROWN, 0], stem.weight[BROWN, 2] = 1.0 / n, -1.0 / n
        norm.bias[[DARK, SMOOTH]] = 0.5
        for block in (network.stem[1], network.down4[0], network.down4[1], network.up4.look, network.up2.look):
            for channel in (DARK, BROWN):
                block[0].weight[channel, channel, 1, 1] = 1.0
            block[0].weight[SMOOTH, SMOOTH] = 1.0 / 9
        shape = network.shape_head
        for first, channel in ((0, SMOOTH), (4, DARK), (8, SMOOTH)):
            shape.weight[first : first + 4, channel] = STEEP
            shape.bias[first : first + 4] = -STEEP * dark_from
        network.type_head[0][0].weight[BROWN, BROWN] = 1.0
        network.type_head[1].weight[0, BROWN] = STEEP
        network.type_head[1].bias[0] = -STEEP * brown_from
    return network.eval()


def random_network(seed: int = 0) -> CellNetwork:
    """A network with random weights and batch norms that are not neutral."""
    torch.manual_seed(seed)
    network = CellNetwork(NetworkConfig(channels=(8, 8, 16, 16)))
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
    return network.eval()


def make_card(**changes: Any) -> Card:
    values: dict[str, Any] = {
        "schema_version": 1,
        "name": "drawn",
        "version": "1",
        "sha256": NO_DIGEST,
        "architecture": {},
        "input": CardInput(mpp=0.5, normalisation="RGB / 255", stride=STRIDE, halo_um=64.0),
        "types": ("tumor", "lymphocyte", "stromal", "other"),
        "decode": DECODE,
        "calibration": Calibration(type_temperature=1.0, tumor_shift=0.0),
        "training": Training(
            data=(DataSource(name="none", licence="CC0-1.0", use="none"),), seed=0, steps=0, recipe={}
        ),
        "accuracy": {"phantoms": {"f1": 0.9}},
        "limits": ("Drawn slides only.",),
    }
    return Card(**(values | changes))


def save_drawn(folder: Path, network: CellNetwork | None = None, **changes: Any) -> Path:
    """Write a model folder and return it."""
    save_model(folder, network or drawn_network(), make_card(**changes))
    return folder
