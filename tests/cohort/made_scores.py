"""Scores of a run that was never scored: drawn truths, a machine and readers with errors of their own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from slidescore.assay import Assay, load_assay
from slidescore.cohort.run_scores import RunScores, ScoredSlide

ASSAY = load_assay("cxcr4").assay


def scored(name: str, h_score: float, *, patient: str = "", half_width: float | None = None, **more) -> ScoredSlide:
    """A scored slide whose cells are all in the two bins next to its H-score."""
    low_bin = min(int(h_score // 100), 2)
    upper = round(1000 * (h_score / 100 - low_bin))
    counts = [0, 0, 0, 0]
    counts[low_bin], counts[low_bin + 1] = 1000 - upper, upper
    ends = (None, None) if half_width is None else (max(0.0, h_score - half_width), min(300.0, h_score + half_width))
    crossed = ends[0] is not None and ends[0] < 150 <= ends[1]
    values = {
        "slide_id": f"{name}-00", "file": f"{name}.svs", "patient_id": patient, "status": "scored", "reason": "",
        "call": "EQUIVOCAL" if crossed else "HIGH" if h_score >= 150 else "LOW", "call_status": "provisional",
        "value": float(h_score), "low": ends[0], "high": ends[1], "h_score": float(h_score),
        "percent_positive": 100 - counts[0] / 10, "counts": tuple(counts), "qc": "pass", "fingerprint": f"of {name}",
    }  # fmt: skip
    return ScoredSlide(**(values | more))


def not_evaluable(name: str, **more) -> ScoredSlide:
    return ScoredSlide(
        slide_id=f"{name}-00", file=f"{name}.svs", patient_id="", status="not_evaluable",
        reason="too few tumor cells (12, at least 100)", call="NOT_EVALUABLE", call_status="provisional",
        counts=(10, 2, 0, 0), fingerprint=f"of {name}", **more,
    )  # fmt: skip


def failed(name: str) -> ScoredSlide:
    return ScoredSlide(f"{name}-00", f"{name}.svs", "", "failed", "cannot be read")


def run_of(slides: Sequence[ScoredSlide], assay: Assay = ASSAY) -> RunScores:
    return RunScores(
        path=Path("run"), assay=assay, assay_digest="a" * 64, slides=tuple(slides), model_digest="m" * 64,
        version="0.1.0", digest="d" * 64, pseudonymized=False, has_patients=any(s.patient_id for s in slides),
    )  # fmt: skip


def drawn_study(n: int = 40, n_readers: int = 2, seed: int = 0) -> tuple[RunScores, dict[str, dict[str, float]]]:
    """A run of n slides of n / 2 patients, and what readers gave: H-scores by reader and file."""
    rng = np.random.default_rng(seed)
    truth = np.clip(np.repeat(rng.normal(140, 65, -(-n // 2)), 2)[:n] + rng.normal(0, 20, n), 0, 300)
    machine = np.clip(truth + rng.normal(0, 15, n), 0, 300)
    slides = [
        scored(f"s{number:02d}", float(h), patient=f"P{number // 2:02d}", half_width=12.0)
        for number, h in enumerate(machine)
    ]
    readings = {
        f"Reader {letter}": {
            slide.file: float(h)
            for slide, h in zip(slides, np.round(np.clip(truth + rng.normal(8, 22, n), 0, 300)), strict=True)
        }
        for letter in "ABCDEFG"[:n_readers]
    }
    return run_of(slides), readings


def write_readings(path: Path, readings: Mapping[str, Mapping[str, float]], column: str = "h_score") -> Path:
    lines = [f"{file},{reader},{value:g}" for reader, scores in readings.items() for file, value in scores.items()]
    path.write_text("\n".join([f"file,reader,{column}", *lines]) + "\n", encoding="utf-8")
    return path
