"""What a slide's page says of scores: the one at its head, all of them with intervals, and what they hang on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import pyarrow as pa

from slidescore.assay import Assay, Cutoff
from slidescore.cells.table import floats
from slidescore.report.page import (
    SCALE_WORDS,
    as_number,
    show_chance,
    show_cutoff,
    show_interval,
    show_number,
    show_score,
    show_value,
)
from slidescore.scoring import COMPARTMENTS, counted_cells, strict_tumor_cells
from slidescore.scoring.schemes import SCHEMES

Result = Mapping[str, Any]
RuleRow = Mapping[str, str]
_Choice = tuple[str, str, int | None, float | None]
"""Name, meaning, cells and H-score of a choice of cells."""

DIGITS: Final = 1
"""Decimals of an H-score on a slide's own page."""
STATUS_MEANINGS: Final = {
    "validated": "validated",
    "provisional": "provisional: not validated",
    "unverified": "unverified: what its source says leaves open whether it means this scale",
}
"""What the status of a cut-off means, for readers."""


def headline(result: Result, assay: Assay) -> dict[str, str]:
    """Say what the score is that the call is made on, how sure it is, and where not, why.

    Parameters
    ----------
    result
        Content of result.json.
    assay
        What the slide was scored under.
    """
    scheme, compartment = assay.score.scheme, assay.score.compartment
    own, known = result["schemes"][scheme][compartment], result["uncertainty"]
    between = show_interval(scheme, own["low"], own["high"], DIGITS)
    chance = as_number(known["p_high"])
    evaluable = result["status"] == "scored"
    wanted = "interval and no probability of HIGH" if assay.call.cutoff else "interval"
    return {
        "value": show_value(scheme, own["value"], DIGITS),
        "unit": "positive" if scheme == "percent_positive" else SCHEMES[scheme].title,
        "interval": f"95 % interval {between}" if between else "",
        "chance": f"P(HIGH) {show_chance(chance)}" if chance is not None else "",
        "no_interval": f"No {wanted}: {_with_micro_sign(known['reason'])}." if evaluable and known["reason"] else "",
        "compartment": compartment,
    }


def cutoff_words(cutoff: Cutoff | None) -> dict[str, str]:
    """Say what a cut-off is, how far it is to be trusted, what high stood for in its source, and which that is."""
    if cutoff is None:
        return {"text": "", "status": "", "meaning": "", "source": ""}
    return {
        "text": show_cutoff(cutoff.text),
        "status": STATUS_MEANINGS[cutoff.status],
        "meaning": cutoff.meaning or "",
        "source": cutoff.source,
    }


def scheme_rows(result: Result, assay: Assay) -> list[dict[str, Any]]:
    """List every scheme with its score and interval in each compartment, in the order of `COMPARTMENTS`."""
    rows = []
    for name, scheme in SCHEMES.items():
        cells = []
        for compartment in COMPARTMENTS:
            found = result["schemes"][name][compartment]
            cells.append(
                {
                    "value": show_value(name, found["value"], DIGITS),
                    "interval": show_interval(name, found["low"], found["high"], DIGITS),
                    "low": found["low"],
                    "high": found["high"],
                    "own": (name, compartment) == (assay.score.scheme, assay.score.compartment),
                }
            )
        rows.append(
            {"scheme": name, "name": scheme.title, "range": f"{scheme.low:g} to {scheme.high:g}", "cells": cells}
        )
    return rows


def uncertainty_words(result: Result, assay: Assay) -> str:
    """Explain in a line or two how sure the score is, and how sure it would look if cells were independent."""
    known, scheme = result["uncertainty"], assay.score.scheme
    if known["reason"]:
        return ""
    pixels = scheme == "pixel_h_score"
    what, one = ("pixels", "pixel") if pixels else ("cells", "cell")
    held = "stained pixels" if pixels else "tumor cells"
    naive = show_interval(scheme, known["naive_low"], known["naive_high"], DIGITS)
    n_eff = as_number(known["n_eff"])
    n = sum(sum(square[2:]) for square in known["squares"])
    # Without a difference between cells nothing can be said about how they hang together.
    worth = (
        f" The {show_number(n)} {what} tell as much as {show_number(n_eff)} independent ones: neighbors are alike."
        f" Had each {one} been drawn by itself, the interval would be {naive}, which is too narrow."
        if n_eff
        else f" All {what} are in one bin, so the interval has no width; it does not say that others would be, too."
    )
    chance = "; P(HIGH) is the share of the draws that meet the cut-off" if assay.call.cutoff else ""
    return (
        f"{show_number(known['n_squares'])} squares of {known['square_um']:g} µm hold {held}; the interval of the"
        f" {SCALE_WORDS[scheme]} comes from drawing them again {show_number(known['replicates'])} times{chance}.{worth}"
    )


def pixel_words(result: Result, assay: Assay) -> str:
    """Put the pixel H-score beside the H-score of all cells; empty without either."""
    found = result["schemes"]["pixel_h_score"][assay.score.compartment]
    all_cells = as_number(result["scores"]["h_all_cells"])
    if as_number(found["value"]) is None or all_cells is None:
        return ""
    between = show_interval("pixel_h_score", found["low"], found["high"], DIGITS)
    interval = f" ({between})" if between else ""
    return (
        f"Pixel H-score {show_score(found['value'], DIGITS)}{interval}, beside {show_score(all_cells, DIGITS)} of all"
        " cells: pixels are not told tumor from stroma, and count each part of a cell by itself."
    )


def rule_rows(result: Result, cells: pa.Table, assay: Assay) -> list[RuleRow]:
    """Put H-scores of other choices of cells under that of the assay's rule; nothing where no type was told.

    Parameters
    ----------
    result
        Content of result.json.
    cells
        Cells as the tumor rule saw them.
    assay
        What the slide was scored under.
    """
    counted, scores, tumor = counted_cells(cells), result["scores"], assay.tumor
    if np.isnan(floats(cells, "tumor_probability")[counted]).all():
        return []
    own = as_number(scores["h_score"])
    rule = "all but cells in areas of class Other" if tumor.rule == "all" else _at_least(tumor.min_probability)
    choices: list[_Choice] = [
        ("This assay's rule", rule, scores["n_tumor_cells"], scores["h_score"]),
        ("All cells", "tumor or not", scores["n_cells"], scores["h_all_cells"]),
        *_by_limit(result["sensitivity"], int((strict_tumor_cells(cells, assay) & counted).sum()), scores, assay),
        *_with_lymphocytes(result["sensitivity"]),
    ]
    return [
        {
            "name": name,
            "meaning": meaning,
            "n": "" if n is None else show_number(n),
            "h": show_score(h, DIGITS),
            "apart": f"{h - own:+.{DIGITS}f}" if number and h is not None and own is not None else "",
        }
        for number, (name, meaning, n, h) in enumerate(choices)
    ]


def _by_limit(
    sensitivity: Mapping[str, Any] | None, n_strict: int, scores: Mapping[str, Any], assay: Assay
) -> list[_Choice]:
    """List the limits of the tumor probability from loose to strict, the assay's strict one among them."""
    strict = assay.tumor.strict_probability
    found = [] if sensitivity is None else sensitivity["limits"]
    choices: dict[float, _Choice] = {
        each["probability"]: ("Other limit", _at_least(each["probability"]), each["n"], each["h"]) for each in found
    }
    choices[strict] = ("Strict", _at_least(strict), n_strict, scores["h_strict"])
    return [choices[limit] for limit in sorted(choices)]


def _with_lymphocytes(sensitivity: Mapping[str, Any] | None) -> list[_Choice]:
    if sensitivity is None or not sensitivity["n_lymphocytes"]:
        return []
    mixed = [
        (
            "Lymphocytes mixed in",
            f"{100 * each['fraction']:g} % of the cells",
            None,
            each["h"],
        )
        for each in sensitivity["contaminated"]
    ]
    alone = ("Lymphocytes", "these alone", sensitivity["n_lymphocytes"], sensitivity["h_lymphocytes"])
    return [alone, *mixed]


def _at_least(probability: float) -> str:
    return f"tumor probability ≥ {probability:g}"


def _with_micro_sign(text: str) -> str:
    """Write the unit of a reason as readers do."""
    return text.replace(" um ", " µm ")
