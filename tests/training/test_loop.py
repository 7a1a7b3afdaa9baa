from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import safetensors
import torch

from nn.drawn_network import TINY
from slidescore.nn.device import one_thread_each
from slidescore.training.loop import (
    LOSS_PARTS,
    WARM_UP_STEPS,
    LoopRecipe,
    Trainee,
    begin,
    learning_rate,
    load_checkpoint,
    log_row,
    save_checkpoint,
    train_round,
)
from slidescore.training.pool import Pool

RECIPE = LoopRecipe(seed=3, rounds=2, crops=12, passes=2, batch=4)


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    with one_thread_each():
        yield


def made_pool(number: int, n: int = 12, side: int = 32) -> Pool:
    """Dark squares on a light ground: nuclei as plain as can be."""
    rng = np.random.default_rng((8, number))
    foreground = np.zeros((n, side, side), np.uint8)
    for k, (y, x) in enumerate(rng.integers(0, side - 8, (n, 2)).tolist()):
        foreground[k, y : y + 8, x : x + 8] = 1
    rgb = np.where(foreground[..., None] > 0, 60, 220) + rng.integers(-15, 15, (n, side, side, 3))
    center = foreground * np.uint8(200)
    types = np.where(foreground[:, 2::4, 2::4] > 0, 1, 255).astype(np.uint8)
    return Pool(rgb.astype(np.uint8), center, center, foreground, np.full_like(center, 255), types)


def state_of(trainee: Trainee) -> dict[str, torch.Tensor]:
    tensors = {f"network.{k}": v.clone() for k, v in trainee.network.state_dict().items()}
    tensors |= {f"average.{k}": v.clone() for k, v in trainee.average.state_dict().items()}
    for number, state in trainee.optimizer.state_dict()["state"].items():
        tensors |= {f"{number}.{name}": value.clone() for name, value in state.items()}
    return tensors


def same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def test_two_rounds_straight_are_one_a_checkpoint_and_another(tmp_path: Path) -> None:
    straight = begin(TINY, RECIPE, "cpu")
    losses = [train_round(straight, made_pool(number), RECIPE) for number in range(2)]
    first = begin(TINY, RECIPE, "cpu")
    assert train_round(first, made_pool(0), RECIPE) == losses[0]
    save_checkpoint(tmp_path / "checkpoint.safetensors", first)
    later = begin(TINY, replace(RECIPE, seed=99), "cpu")  # whatever it began with is replaced
    assert not same(state_of(first), state_of(later))
    load_checkpoint(tmp_path / "checkpoint.safetensors", later)
    assert same(state_of(first), state_of(later))
    assert later.done_rounds == 1
    assert train_round(later, made_pool(1), RECIPE) == losses[1]
    assert same(state_of(straight), state_of(later))
    assert straight.done_rounds == later.done_rounds == 2


def test_the_seed_decides_everything() -> None:
    def trained(seed: int) -> dict[str, torch.Tensor]:
        recipe = replace(RECIPE, seed=seed)
        trainee = begin(TINY, recipe, "cpu")
        train_round(trainee, made_pool(0), recipe)
        return state_of(trainee)

    assert same(trained(3), trained(3))
    assert not same(trained(3), trained(4))


def test_a_network_learns_and_its_average_follows() -> None:
    recipe = replace(RECIPE, rounds=12, passes=4, learning_rate=6e-3)
    trainee = begin(TINY, recipe, "cpu")
    losses = [train_round(trainee, made_pool(number), recipe) for number in range(12)]
    assert set(losses[0]) == set(LOSS_PARTS)
    assert losses[-1]["total"] < 0.7 * losses[0]["total"]
    pixels = torch.from_numpy(made_pool(50).rgb).permute(0, 3, 1, 2).float() / 255
    inside = torch.from_numpy(made_pool(50).foreground) > 0
    with torch.inference_mode():
        foreground = trainee.average.eval()(pixels)[0][:, 1]
    assert foreground[inside].mean() > foreground[~inside].mean() + 1


def test_a_checkpoint_holds_tensors_and_no_code(tmp_path: Path) -> None:
    trainee = begin(TINY, RECIPE, "cpu")
    train_round(trainee, made_pool(0), RECIPE)
    path = tmp_path / "checkpoint.safetensors"
    save_checkpoint(path, trainee)
    assert [each.name for each in tmp_path.iterdir()] == ["checkpoint.safetensors"]
    content = path.read_bytes()
    # A table in JSON, then the numbers it lists, and not a byte more in which a pickle could hide.
    n_header = int.from_bytes(content[:8], "little")
    table = json.loads(content[8 : 8 + n_header])
    del table["__metadata__"]
    assert 8 + n_header + max(each["data_offsets"][1] for each in table.values()) == len(content)
    with safetensors.safe_open(path, framework="pt") as file:
        assert file.metadata() == {"done_rounds": "1"}
        assert {name.split(".")[0] for name in file.keys()} == {"network", "average", "optimizer"}  # noqa: SIM118


def test_the_rate_warms_up_falls_and_ends_at_a_hundredth() -> None:
    recipe = LoopRecipe()
    rates = np.array([learning_rate(step, recipe) for step in range(recipe.steps + 1)])
    assert rates[0] == pytest.approx(recipe.learning_rate / WARM_UP_STEPS)
    assert rates[WARM_UP_STEPS - 1] == rates[WARM_UP_STEPS] == rates.max() == recipe.learning_rate
    assert (np.diff(rates[:WARM_UP_STEPS]) > 0).all()
    assert (np.diff(rates[WARM_UP_STEPS:]) < 0).all()
    middle = (WARM_UP_STEPS + recipe.steps) // 2
    assert rates[middle] == pytest.approx(recipe.learning_rate * (0.01 + 0.99 / 2), rel=1e-2)
    assert rates[-1] == pytest.approx(recipe.learning_rate / 100)


def test_a_run_shorter_than_the_warm_up_has_a_rate() -> None:
    short = replace(LoopRecipe(), rounds=1, crops=8, passes=1)
    assert short.steps == 1
    assert 0 < learning_rate(0, short) <= short.learning_rate
    assert learning_rate(WARM_UP_STEPS + 5, short) == pytest.approx(short.learning_rate / 100)


def test_crops_that_fill_no_batch_are_left_out() -> None:
    recipe = replace(RECIPE, crops=10)
    assert recipe.steps_per_round == 4
    trainee = begin(TINY, recipe, "cpu")
    train_round(trainee, made_pool(0, n=10), recipe)
    assert int(next(iter(trainee.optimizer.state_dict()["state"].values()))["step"]) == 4


def test_the_log_has_one_head_and_a_row_a_round(tmp_path: Path) -> None:
    for number in range(3):
        log_row(tmp_path / "log.csv", {"round": number, "total": 0.5 / (number + 1), "f1_a": float("nan")})
    with (tmp_path / "log.csv").open(newline="") as handle:
        rows = list(csv.DictReader(handle))
    assert [row["round"] for row in rows] == ["0", "1", "2"]
    assert [float(row["total"]) for row in rows] == [0.5, 0.25, 0.5 / 3]
    assert rows[0]["f1_a"] == "nan"
