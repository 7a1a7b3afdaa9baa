"""A made-up cohort: scores of patients and a clinical table that belong together, without any slide."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from slidescore.assay import load_assay
from slidescore.cohort.roll_up import PatientScore
from slidescore.cohort.run_scores import RunScores, ScoredSlide

STRATA = ("line", "hormone_receptor", "prior_cdk46", "visceral")


def made_patient(patient_id: str, score: float | None, call: str = "", **changes: object) -> PatientScore:
    """One row of patients.csv; the call follows from a score and the cut-off 150 unless it is given."""
    low, high = (None, None) if score is None else (max(0.0, score - 20), min(300.0, score + 20))
    label = call or ("NOT_EVALUABLE" if score is None else "HIGH" if score >= 150 else "LOW")
    values = {
        "patient_id": patient_id,
        "rule": "most_recent_metastatic",
        "n_slides": 1,
        "n_used": int(score is not None),
        "slides_used": (f"slide-{patient_id}",) if score is not None else (),
        "score": score,
        "low": low,
        "high": high,
        "p_high": None if score is None else float(score >= 150),
        "call": label,
        "reason": "" if score is not None else "no slide is evaluable",
        "scale": "h_score",
        "compartment": "cytoplasm",
        "cutoff": "h_score cytoplasm >= 150",
        "call_status": "provisional",
        "n_blocks": 1,
        "site": "metastasis",
        "time_point": "",
    }
    return PatientScore(**(values | changes))


def made_run(scores: list[PatientScore]) -> RunScores:
    """The run that the patients come from, one slide each."""
    slides = [
        ScoredSlide(
            f"slide-{each.patient_id}", f"{each.patient_id}.tiff", each.patient_id,
            "scored" if each.score is not None else "not_evaluable", each.reason,
        )
        for each in scores
    ]  # fmt: skip
    assay = load_assay("cxcr4").assay
    return RunScores(Path("run"), assay, "a" * 64, tuple(slides), "m" * 64, "0.1.0", "d" * 64, False, True)


def made_trial(
    n: int = 432, seed: int = 1, *, arms: tuple[str, ...] = ("eribulin", "combination"), ratio: float = 1.5
) -> tuple[list[PatientScore], list[dict[str, object]]]:
    """Scores, and rows of a clinical table whose response and survival follow the score in the last arm."""
    draw = np.random.default_rng(seed)
    score = np.round(300 * draw.beta(1.2, 1.8, n), 2)
    marker = (score - 120) / 50
    last = np.arange(n) % len(arms) == len(arms) - 1
    gain = np.log(ratio) * last * marker
    responds = draw.random(n) < 1 / (1 + np.exp(1.2 - 0.1 * marker - gain))
    pfs = draw.exponential(5.0 * np.exp(0.5 * gain)).round(1)
    overall = (pfs + draw.exponential(8.0, n)).round(1)
    followed = draw.uniform(6, 24, n).round(1)
    scores, rows = [], []
    for k in range(n):
        name = f"P-{k:04d}"
        if k % 31 != 5:
            equivocal = "EQUIVOCAL" if abs(score[k] - 150) < 12 else ""
            scores.append(
                made_patient(name, None if k % 37 == 9 else float(score[k]), "" if k % 37 == 9 else equivocal)
            )
        row: dict[str, object] = {
            "patient_id": name,
            "response": draw.choice(["CR", "PR"], p=[0.1, 0.9]) if responds[k] else draw.choice(["SD", "PD", "NE"]),
            "pfs_months": min(pfs[k], followed[k]),
            "pfs_event": int(pfs[k] <= followed[k]),
            "os_months": min(overall[k], followed[k]),
            "os_event": int(overall[k] <= followed[k]),
            "line": "3rd or later" if draw.random() < 0.8 else "2nd",
            "hormone_receptor": "positive" if draw.random() < 0.64 else "negative",
            "prior_cdk46": "yes" if draw.random() < 0.5 else "no",
            "visceral": "yes" if draw.random() < 0.75 else "no",
        }
        if k % 53 == 7:
            row["response"] = ""
        if k % 71 == 11:
            row["line"] = ""
        if len(arms) > 1:
            row["arm"] = arms[k % len(arms)]
        rows.append(row)
    return scores, rows


def write_clinical(path: Path, rows: list[dict[str, object]]) -> Path:
    """Write a clinical table."""
    columns = list(rows[0])
    lines = [",".join(columns), *(",".join(str(row[name]) for name in columns) for row in rows)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path
