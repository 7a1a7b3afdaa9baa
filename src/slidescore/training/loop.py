"""The training loop: rounds of a fresh pool, a few passes over each, checkpoints that a second call goes on from."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from slidescore.nn.network import CellNetwork, NetworkConfig
from slidescore.training.losses import network_loss
from slidescore.training.pool import Pool

MOMENTUM_OF_AVERAGE = 0.998
"""The network that is kept is a running average of the one that is trained; this much of it stays at each step."""
WARM_UP_STEPS = 100
COLOUR_JITTER = 0.06
"""Crops seen again differ by up to this in brightness and in each channel."""
POOL_PARTS = ("rgb", "center", "distance", "foreground", "weight", "types")
LOSS_PARTS = ("total", "center", "foreground", "dice", "distance", "types")


@dataclass(frozen=True, slots=True)
class LoopRecipe:
    """How long and how fast.

    Attributes
    ----------
    rounds, crops, passes
        In each round so many crops are drawn and seen so many times.
    batch
        Crops a step.
    learning_rate, weight_decay
        Of AdamW; the rate falls along a cosine after a short warm-up.
    """

    seed: int = 1
    rounds: int = 18
    crops: int = 1600
    passes: int = 2
    batch: int = 8
    learning_rate: float = 2e-3
    weight_decay: float = 1e-3

    @property
    def steps_per_round(self) -> int:
        """Optimiser steps a round."""
        return self.passes * (self.crops // self.batch)

    @property
    def steps(self) -> int:
        """Optimiser steps in all."""
        return self.rounds * self.steps_per_round


@dataclass
class Trainee:
    """The network in training, its running average, and the optimiser."""

    network: CellNetwork
    average: CellNetwork
    optimizer: torch.optim.AdamW
    done_rounds: int = 0

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        return next(self.network.parameters()).device


def begin(config: NetworkConfig, recipe: LoopRecipe, device: str) -> Trainee:
    """Make a network with weights drawn from the seed."""
    torch.manual_seed(recipe.seed)
    network = CellNetwork(config).to(device, memory_format=torch.channels_last)
    average = CellNetwork(config).to(device, memory_format=torch.channels_last)
    average.load_state_dict(network.state_dict())
    optimizer = torch.optim.AdamW(network.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay)
    return Trainee(network, average, optimizer)


def train_round(trainee: Trainee, pool: Pool, recipe: LoopRecipe) -> dict[str, float]:
    """Train on one pool; return the mean of each part of the loss."""
    network, average, optimizer = trainee.network.train(), trainee.average, trainee.optimizer
    rng = np.random.default_rng((recipe.seed, trainee.done_rounds, 2))
    sums = dict.fromkeys(LOSS_PARTS, 0.0)
    step = trainee.done_rounds * recipe.steps_per_round
    for rgb, targets in _batches(pool, recipe, rng, trainee.device):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, recipe)
        with torch.autocast("cuda", torch.bfloat16, enabled=trainee.device.type == "cuda"):
            shapes, types = network(rgb)
        losses = network_loss(shapes, types, targets)
        optimizer.zero_grad(set_to_none=True)
        losses["total"].backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 5.0)
        optimizer.step()
        _follow(average, network, step)
        for part in LOSS_PARTS:
            sums[part] += float(losses[part].detach())
        step += 1
    trainee.done_rounds += 1
    return {part: total / recipe.steps_per_round for part, total in sums.items()}


def learning_rate(step: int, recipe: LoopRecipe) -> float:
    """Warm-up, then a cosine down to a hundredth."""
    if step < WARM_UP_STEPS:
        return recipe.learning_rate * (step + 1) / WARM_UP_STEPS
    share = (step - WARM_UP_STEPS) / max(1, recipe.steps - WARM_UP_STEPS)
    return recipe.learning_rate * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(1.0, share))))


def _follow(average: CellNetwork, network: CellNetwork, step: int) -> None:
    # Early on the average follows closely, or it would remember the random start.
    keep = min(MOMENTUM_OF_AVERAGE, (1 + step) / (10 + step))
    with torch.no_grad():
        for kept, new in zip(average.state_dict().values(), network.state_dict().values(), strict=True):
            if kept.dtype.is_floating_point:
                kept.lerp_(new, 1 - keep)
            else:
                kept.copy_(new)


def _batches(
    pool: Pool, recipe: LoopRecipe, rng: np.random.Generator, device: torch.device
) -> Iterator[tuple[Tensor, dict[str, Tensor]]]:
    for _ in range(recipe.passes):
        order = rng.permutation(len(pool.rgb))[: recipe.crops // recipe.batch * recipe.batch]
        for chosen in order.reshape(-1, recipe.batch):
            turns, mirror = int(rng.integers(4)), bool(rng.integers(2))
            gain = 1 + rng.uniform(-COLOUR_JITTER, COLOUR_JITTER, (recipe.batch, 3, 1, 1)).astype(np.float32)
            taken = {name: _take(getattr(pool, name), chosen, turns, mirror=mirror).to(device) for name in POOL_PARTS}
            rgb = taken["rgb"].permute(0, 3, 1, 2).float() / 255
            rgb = (rgb * torch.from_numpy(gain).to(device)).clamp(0, 1).contiguous(memory_format=torch.channels_last)
            targets = {name: taken[name].float() / 255 for name in ("center", "distance", "weight")}
            yield rgb, targets | {"foreground": taken["foreground"].float(), "types": taken["types"].long()}


def _take(array: NDArray[np.uint8], chosen: NDArray[np.intp], turns: int, *, mirror: bool) -> Tensor:
    """Take crops, turned by quarters and mirrored."""
    turned = np.rot90(array[chosen], turns, axes=(1, 2))
    return torch.from_numpy(np.ascontiguousarray(turned[:, ::-1] if mirror else turned))


def save_checkpoint(path: Path, trainee: Trainee) -> None:
    """Write everything that the next round needs, atomically."""
    tensors = {f"network.{name}": value for name, value in trainee.network.state_dict().items()}
    tensors |= {f"average.{name}": value for name, value in trainee.average.state_dict().items()}
    for number, state in trainee.optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{number}.{name}": value for name, value in state.items()}
    contiguous = {name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}
    partial = path.with_suffix(".partial")
    save_file(contiguous, partial, {"done_rounds": str(trainee.done_rounds)})
    partial.replace(path)


def load_checkpoint(path: Path, trainee: Trainee) -> None:
    """Go on from a checkpoint."""
    with safe_open(path, framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
        trainee.done_rounds = int(file.metadata()["done_rounds"])
    _restore(trainee.network, tensors, "network.")
    _restore(trainee.average, tensors, "average.")
    state = trainee.optimizer.state_dict()
    states: dict[int, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        if name.startswith("optimizer."):
            _, number, key = name.split(".")
            states.setdefault(int(number), {})[key] = value
    trainee.optimizer.load_state_dict({"state": states, "param_groups": state["param_groups"]})


def _restore(network: CellNetwork, tensors: dict[str, Tensor], prefix: str) -> None:
    network.load_state_dict(
        {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
    )


def log_row(path: Path, row: dict[str, float | int]) -> None:
    """Append a row to a table, with a header if it is the first."""
    new = not path.exists() or path.stat().st_size == 0
    with path.open("a", encoding="utf-8", newline="") as handle:
        writer = csv.DictWriter(handle, list(row))
        if new:
            writer.writeheader()
        writer.writerow(row)


def keep_rows(path: Path, n: int) -> None:
    """Keep the first `n` rows of a log: a round that was logged but stopped before its checkpoint comes again."""
    if path.exists():
        lines = path.read_bytes().splitlines(keepends=True)
        # Without a row there is no header either; the first row brings its own.
        path.write_bytes(b"".join(lines[: n + 1]) if n else b"")
