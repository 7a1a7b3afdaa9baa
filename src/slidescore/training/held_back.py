"""Held-back fields: what settings are chosen on while training, never the examination."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from slidescore.training.crops import whole_field
from slidescore.training.donors import Donor, cut_donors
from slidescore.training.glands import compose_glands
from slidescore.training.lattice import compose_lattice
from slidescore.training.ranges import HEAVY, SHEET, TRAINING, RenderRanges
from slidescore.training.render import picture_of, render_he, render_ihc
from slidescore.training.scene import Scene
from slidescore.training.scenes import BRECAHAD, DSB, M2C
from slidescore.training.visibility import without_unseen

HELD_BACK_SEED = 77
FIELD_MPP = 0.5
N_COMPOSED, COMPOSED_SIZE_PX = 12, 384
COLUMNAR = replace(TRAINING, pattern_weights=(("columnar", 0.5), ("sheet", 0.5)))


@dataclass(frozen=True, slots=True)
class HeldBackGroup:
    """Fields of one kind under one stain."""

    name: str
    scenes: tuple[Scene, ...]
    images: tuple[NDArray[np.uint8], ...]


def draw_held_back(scenes: Sequence[Scene]) -> list[HeldBackGroup]:
    """Render the held-back fields of `scenes`, those of split `val`, in every way that is judged while training.

    Glands and lattices are composed anew from held-back nuclei. The same fields come out every time.
    """
    held = [scene for scene in scenes if scene.split == "val"]
    donors = cut_donors([scene for scene in held if scene.exact_masks])
    glands = [
        replace(compose_glands(COMPOSED_SIZE_PX, FIELD_MPP, donors, _generator(k, 0)), name=f"glands-{k}")
        for k in range(N_COMPOSED)
    ]
    typed = [whole_field(scene, FIELD_MPP) for scene in held if scene.source == M2C]
    masked = [whole_field(scene, FIELD_MPP) for scene in held if scene.source == DSB]
    partly = [whole_field(scene, FIELD_MPP) for scene in held if scene.source == BRECAHAD]
    kinds: list[tuple[str, list[Scene], RenderRanges | None]] = [
        ("m2c_he", typed, None),
        ("m2c_ihc", typed, TRAINING),
        ("m2c_sheet", typed, SHEET),
        ("dsb_he", masked, None),
        ("dsb_ihc", masked, TRAINING),
        ("brecahad_ihc", partly, TRAINING),
        ("glands_he", glands, None),
        ("glands_ihc", glands, COLUMNAR),
        ("glands_heavy", glands, HEAVY),
    ]
    groups = [_render(number, name, group, ranges) for number, (name, group, ranges) in enumerate(kinds) if group]
    return [*groups, _lattices(donors, len(kinds))]


def _lattices(donors: Sequence[Donor], number: int) -> HeldBackGroup:
    scenes, images = [], []
    for k in range(N_COMPOSED):
        rng = _generator(k, number + 1)
        scene, maps = compose_lattice(COMPOSED_SIZE_PX, FIELD_MPP, donors, rng)
        images.append(picture_of(maps, FIELD_MPP, TRAINING, rng))
        scenes.append(replace(without_unseen(scene, images[-1]), name=f"lattice-{k}"))
    return HeldBackGroup("lattice", tuple(scenes), tuple(images))


def _render(number: int, name: str, scenes: list[Scene], ranges: RenderRanges | None) -> HeldBackGroup:
    images = tuple(
        render_he(scene, _generator(k, number + 1))
        if ranges is None
        else render_ihc(scene, ranges, _generator(k, number + 1))
        for k, scene in enumerate(scenes)
    )
    return HeldBackGroup(name, tuple(scenes), images)


def _generator(number: int, kind: int) -> np.random.Generator:
    return np.random.default_rng((HELD_BACK_SEED, kind, number))
