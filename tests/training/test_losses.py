from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from slidescore.training.loop import LOSS_PARTS
from slidescore.training.losses import network_loss
from slidescore.training.targets import IGNORED

SURE = 30.0
"""A logit whose probability is 0 or 1 in float32."""


def targets_of(seed: int = 0) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    foreground = (torch.rand(2, 16, 16, generator=generator) < 0.5).float()
    return {
        "center": foreground * (torch.rand(2, 16, 16, generator=generator) < 0.1),
        "foreground": foreground,
        "distance": foreground,
        "weight": torch.ones(2, 16, 16),
        "types": torch.randint(0, 4, (2, 4, 4), generator=generator),
    }


def right_answer(targets: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    shapes = torch.stack([targets["center"], targets["foreground"], targets["distance"]], dim=1)
    kinds = torch.nn.functional.one_hot(targets["types"].clamp(max=3), 4).permute(0, 3, 1, 2).float()
    return (2 * shapes - 1) * SURE, kinds * SURE


def test_the_right_answer_costs_nothing_but_smoothing_and_any_other_costs_more() -> None:
    targets = targets_of()
    shapes, types = right_answer(targets)
    right = network_loss(shapes, types, targets)
    assert tuple(sorted(right)) == tuple(sorted(LOSS_PARTS))
    for part in ("center", "foreground", "dice", "distance"):
        assert float(right[part]) == pytest.approx(0, abs=1e-3)
    for channel, parts in enumerate((("center",), ("foreground", "dice"), ("distance",))):
        wrong = shapes.clone()
        wrong[:, channel] *= -1
        worse = network_loss(wrong, types, targets)
        for part in parts:
            assert float(worse[part]) > float(right[part]) + 0.1
        assert float(worse["types"]) == float(right["types"])
    assert float(network_loss(shapes, -types, targets)["types"]) > float(right["types"]) + 1


def test_the_total_is_the_sum_of_its_parts() -> None:
    targets = targets_of()
    losses = network_loss(torch.randn(2, 3, 16, 16), torch.randn(2, 4, 4, 4), targets)
    assert float(losses["total"]) == pytest.approx(sum(float(v) for k, v in losses.items() if k != "total"), rel=1e-6)


def test_an_undecided_network_pays_what_the_formulas_say() -> None:
    targets = targets_of() | {"center": torch.zeros(2, 16, 16)}
    losses = network_loss(torch.zeros(2, 3, 16, 16), torch.zeros(2, 4, 4, 4), targets)
    share = float(targets["foreground"].mean())
    assert float(losses["center"]) == pytest.approx(2 * math.log(2), rel=1e-5)
    assert float(losses["foreground"]) == pytest.approx(math.log(2), rel=1e-5)
    n = 2 * 16 * 16
    dice = 1 - (2 * 0.5 * share * n + 1) / (n / 2 + share * n + 1)
    assert float(losses["dice"]) == pytest.approx(0.5 * dice, rel=1e-5)
    assert float(losses["distance"]) == pytest.approx(2 * 0.5, rel=1e-5)


def test_what_is_not_known_teaches_nothing() -> None:
    targets = targets_of()
    targets["weight"][:, :8] = 0
    targets["types"][0] = IGNORED
    shapes = torch.randn(2, 3, 16, 16, requires_grad=True)
    types = torch.randn(2, 4, 4, 4, requires_grad=True)
    network_loss(shapes, types, targets)["total"].backward()
    assert shapes.grad is not None
    assert types.grad is not None
    assert not shapes.grad[:, :, :8].any()
    assert (shapes.grad[:, :, 8:] != 0).any(dim=(0, 2, 3)).all()
    assert not types.grad[0].any()
    assert types.grad[1].any()


def test_unsure_edges_teach_the_foreground_less() -> None:
    targets = targets_of()
    shapes, types = torch.randn(2, 3, 16, 16), torch.randn(2, 4, 4, 4)
    sure = network_loss(shapes, types, targets)
    unsure = network_loss(shapes, types, targets | {"weight": torch.full((2, 16, 16), 0.25)})
    assert float(unsure["foreground"]) == pytest.approx(0.25 * float(sure["foreground"]), rel=1e-5)
    assert float(unsure["center"]) == pytest.approx(float(sure["center"]), rel=1e-5)


def test_a_batch_of_which_nothing_is_known_is_finite() -> None:
    targets = targets_of()
    targets |= {"weight": torch.zeros(2, 16, 16), "types": torch.full((2, 4, 4), IGNORED)}
    losses = network_loss(torch.randn(2, 3, 16, 16), torch.randn(2, 4, 4, 4), targets)
    assert float(losses["total"]) == 0.0


def test_a_lymphocyte_taken_for_tumor_costs_as_much_as_the_reverse() -> None:
    targets = targets_of()
    shapes = torch.zeros(2, 3, 16, 16)
    called = torch.zeros(2, 4, 4, 4)
    called[:, 0] = SURE
    swapped = called[:, [1, 0, 2, 3]]
    as_tumor = network_loss(shapes, called, targets | {"types": torch.ones(2, 4, 4, dtype=torch.long)})["types"]
    as_lymphocyte = network_loss(shapes, swapped, targets | {"types": torch.zeros(2, 4, 4, dtype=torch.long)})["types"]
    assert float(as_tumor) == pytest.approx(float(as_lymphocyte))
