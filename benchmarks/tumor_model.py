"""What 40 labelled cells on two fields are worth: `python benchmarks/tumor_model.py --data FOLDER/train`.

The test fields of BRCA-M2C in the examination's `synthetic` IHC rendering are measured by the whole pipeline. Some
times over, two fields of two patients are drawn, 20 tumor cells and 20 lymphocytes on them are labelled, and the
tumor model fitted to them is compared with the network alone on all fields of the other patients: the area under the
ROC curve of tumor cells against lymphocytes.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from accuracy import variant
from sklearn.metrics import roc_auc_score

from slidescore.cells.table import floats
from slidescore.cells.types import LYMPHOCYTE, TUMOR
from slidescore.errors import InputError
from slidescore.pipeline.analysis import analyze_slide
from slidescore.scoring.cell_features import DAB_FEATURES, FEATURES, cell_features
from slidescore.scoring.tumor_model import model_probability
from slidescore.slide import ArrayReader
from slidescore.training.examination import EXAMINATION_MPP, EXAMINATIONS, render_examination
from slidescore.training.metrics import match_centers
from slidescore.training.scene import Scene
from slidescore.training.scenes import M2C, load_scenes
from slidescore.training.tumor_fit import LabelledCells, fit_tumor_model

NAMES = tuple(name for name in FEATURES if name not in DAB_FEATURES)
LABELS_OF_A_KIND, DRAWS, SEED = 20, 20, 3
DIGEST = "0" * 16


@dataclass(frozen=True)
class MeasuredField:
    """Cells of one field as measured, and which rows are labelled tumor cells or lymphocytes."""

    patient: str
    cells: object
    rows: np.ndarray
    is_tumor: np.ndarray


def measure(scene: Scene, kind: str) -> MeasuredField:
    """Measure a rendered field and find its labelled cells."""
    rgb = render_examination(scene, kind)
    cells = analyze_slide(lambda: ArrayReader(rgb, mpp=EXAMINATION_MPP), variant("cxcr4", "network"), threads=2).cells
    found_um = np.stack([floats(cells, "x"), floats(cells, "y")], axis=1).astype(float) * EXAMINATION_MPP
    pairs = match_centers((scene.centers_px + 0.5).astype(float) * EXAMINATION_MPP, found_um)
    kinds = scene.types[pairs[:, 0]]
    wanted = (kinds == TUMOR) | (kinds == LYMPHOCYTE)
    return MeasuredField(scene.patient, cells, pairs[wanted, 1], kinds[wanted] == TUMOR)


def label_cells(fields: list[MeasuredField], rng: np.random.Generator) -> LabelledCells:
    """Label cells on two fields, half of each kind on each where it has them."""
    parts = []
    for number, field in enumerate(fields):
        values = cell_features(field.cells, EXAMINATION_MPP, NAMES)
        network = floats(field.cells, "tumor_probability").astype(float)
        chosen = np.concatenate(
            [
                rng.choice(np.flatnonzero(field.is_tumor == kind), LABELS_OF_A_KIND // 2, replace=False)
                for kind in (True, False)
            ]
        )
        rows = field.rows[chosen]
        parts.append((values[rows], field.is_tumor[chosen], np.full(len(rows), number), network[rows]))
    return LabelledCells(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def main() -> None:
    """Print one line a draw, and the mean."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--kind", default="sheet", choices=sorted(EXAMINATIONS), help="rendering")
    arguments = parser.parse_args()
    fields = [measure(scene, arguments.kind) for scene in load_scenes(arguments.data, ("test",)) if scene.source == M2C]
    fit_for = [f for f in fields if min(f.is_tumor.sum(), (~f.is_tumor).sum()) >= LABELS_OF_A_KIND // 2]
    rng, results, n_refused = np.random.default_rng(SEED), [], 0
    while len(results) < DRAWS:
        first, second = rng.choice(len(fit_for), 2, replace=False)
        if fit_for[first].patient == fit_for[second].patient:
            continue
        labelled = [fit_for[first], fit_for[second]]
        try:
            model, _ = fit_tumor_model(label_cells(labelled, rng), NAMES, left_digest=DIGEST, segmenter_digest=DIGEST)
        except InputError:
            n_refused += 1
            continue
        others = [f for f in fields if f.patient not in {each.patient for each in labelled}]
        truth = np.concatenate([f.is_tumor for f in others])
        network = np.concatenate([floats(f.cells, "tumor_probability")[f.rows] for f in others])
        fitted = np.concatenate([model_probability(f.cells, model, EXAMINATION_MPP)[f.rows] for f in others])
        results.append((roc_auc_score(truth, network), roc_auc_score(truth, fitted)))
        print(f"network {results[-1][0]:.3f}, with the model {results[-1][1]:.3f}", flush=True)
    before, after = np.array(results).T
    print(
        f"{len(fields)} fields, {len(truth):,} cells of other patients: network {before.mean():.3f}, with the model "
        f"{after.mean():.3f} (mean of {DRAWS} draws); better in {int((after > before).sum())} of {DRAWS}, "
        f"worst change {np.min(after - before):+.3f}; "
        f"{n_refused} more draws refused: their labels could not be told apart across the two fields"
    )


if __name__ == "__main__":
    main()
