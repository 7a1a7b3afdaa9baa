from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from slidescore.cells.segmenter import Segmentation
from slidescore.cells.types import CELL_TYPES
from slidescore.stain import StainPlanes, StainVectors
from slidescore.training.examination import EXAMINATION_MPP, EXAMINATIONS
from slidescore.training.examine import (
    REAL,
    ExaminedField,
    add_up,
    examine,
    examine_field,
    f1_interval,
    summarize,
)
from slidescore.training.metrics import NO_COUNTS, Counts
from slidescore.training.scene import Scene
from training.made_data import made_field, write_data


@dataclass
class Knowing:
    """A segmenter that knows the answer, and remembers what it was shown."""

    scene: Scene
    typed: bool = True
    name: str = "knowing"
    digest: str = "knowing-1"

    def __post_init__(self) -> None:
        self.seen: list[NDArray[np.uint8]] = []

    def segment(
        self, rgb: NDArray[np.uint8], planes: StainPlanes, usable: NDArray[np.bool_], mpp: float
    ) -> Segmentation:
        self.seen.append(rgb)
        assert usable.all()
        assert usable.shape == rgb.shape[:2]
        assert mpp == EXAMINATION_MPP
        types = np.eye(len(CELL_TYPES), dtype=np.float32)[self.scene.types] if self.typed else None
        return Segmentation(self.scene.nuclei, None, types)


@pytest.fixture(scope="module")
def known() -> tuple[Scene, NDArray[np.uint8]]:
    return made_field(104)


def test_who_knows_the_answer_passes(known: tuple[Scene, NDArray[np.uint8]], vectors: StainVectors) -> None:
    scene, rgb = known
    examined = examine_field(Knowing(scene), vectors, scene, rgb)
    n = len(scene.types)
    assert (examined.name, examined.patient, examined.cells) == (scene.name, scene.patient, Counts(n, n, n))
    assert [each.n_true for each in examined.types] == np.bincount(scene.types, minlength=4).tolist()
    assert all(each.f1 == 1.0 for each in examined.types)
    assert examine_field(Knowing(scene, typed=False), vectors, scene, rgb).types == ()


def test_the_test_list_is_examined_as_it_is_and_in_every_fixed_rendering(
    known: tuple[Scene, NDArray[np.uint8]], vectors: StainVectors, tmp_path: Path
) -> None:
    scene, rgb = known
    segmenter = Knowing(scene)
    results = examine(segmenter, vectors, write_data(tmp_path))
    assert [each.kind for each in results] == [REAL, *EXAMINATIONS]
    assert all((each.n_fields, each.n_patients) == (1, 1) for each in results)
    assert len(segmenter.seen) == 1 + len(EXAMINATIONS)
    np.testing.assert_array_equal(segmenter.seen[0], rgb)  # the picture itself, not a rendering of it
    assert all(not np.array_equal(segmenter.seen[0], image) for image in segmenter.seen[1:])
    assert all(each.cells.f1 > 0.95 for each in results)  # points are rounded to pixels
    assert results[0].f1_low == results[0].f1_high == results[0].cells.f1  # one patient, no spread


UNTYPED = (np.empty(0, np.float32), np.empty(0, np.int8))


def test_fields_of_a_patient_stay_together_in_the_interval() -> None:
    good, bad = Counts(90, 100, 100), Counts(30, 100, 100)
    fields = [ExaminedField(str(k), "p" if k < 2 else "q", good if k < 2 else bad, (), *UNTYPED) for k in range(4)]
    summary = summarize("h", fields)
    assert (summary.n_fields, summary.n_patients, summary.cells) == (4, 2, Counts(240, 400, 400))
    assert (summary.f1_low, summary.f1_high) == (0.3, 0.9)  # both draws may be of one patient
    assert summary.types == ()


def test_types_are_added_up_only_where_every_field_has_them() -> None:
    types = (Counts(1, 2, 2), Counts(0, 1, 0), NO_COUNTS, NO_COUNTS)
    typed = [ExaminedField(str(k), str(k), Counts(1, 3, 2), types, *UNTYPED) for k in range(2)]
    assert summarize("h", typed).types == (Counts(2, 4, 4), Counts(0, 2, 0), NO_COUNTS, NO_COUNTS)
    assert summarize("h", [*typed, ExaminedField("c", "c", NO_COUNTS, (), *UNTYPED)]).types == ()


def test_the_interval_is_that_of_the_bootstrap_and_always_the_same() -> None:
    rng = np.random.default_rng(0)
    counts = [Counts(int(rng.binomial(200, 0.8)), 200, 200) for _ in range(40)]
    low, high = f1_interval(counts)
    assert (low, high) == f1_interval(counts)
    pooled = add_up(counts).f1
    spread = np.std([each.f1 for each in counts], ddof=1) / np.sqrt(40)
    assert low == pytest.approx(pooled - 1.96 * spread, abs=0.3 * spread)
    assert high == pytest.approx(pooled + 1.96 * spread, abs=0.3 * spread)
