"""The text of a calibrated assay: valid YAML that keeps the base's words, whatever the base is like."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from classical_assay import classical_loaded
from slidescore.assay import LoadedAssay, left_digest, load_assay, parse_assay
from slidescore.assay.inline_model import set_values
from slidescore.pipeline.calibrate_assay import Provenance, blank_text, finish_assay, with_blank, with_vectors
from slidescore.scoring.blank import LimitOfBlank
from slidescore.scoring.threshold_fit import ThresholdFit
from slidescore.stain import StainVectors
from slidescore.stain.pooled import PooledStains

STAINS = PooledStains(StainVectors((0.62, 0.72, 0.31), (0.3, 0.55, 0.78), "controls"), "", "", 2, 3, 0.3, 0.4)
KEPT = replace(STAINS, hematoxylin_reason="no such control", dab_reason="no such control", n_hematoxylin=0, n_dab=0)
TRACE = Provenance(5, "0123456789abcdef")
FIT = ThresholdFit("shares", (0.21, 0.43, 0.66), (0.2, 0.42, 0.64), (0.22, 0.44, 0.68), 5000, 4, "cells within slides")


def based_on(text: str) -> LoadedAssay:
    return LoadedAssay(parse_assay(text, where="base.yaml"), text, "base.yaml")


def finished(base: LoadedAssay, stains: PooledStains = STAINS, fit: ThresholdFit | None = FIT) -> LoadedAssay:
    return finish_assay(with_vectors(base, "lab-vectors", stains, TRACE), base.assay, "lab", fit, stains, TRACE, Path())


@pytest.mark.parametrize("name", ["cxcr4", "cxcr4-any-positive", "generic-nuclear"])
def test_every_shipped_assay_can_be_calibrated(name: str) -> None:
    base = load_assay(name)
    new = finished(base).assay
    compartment = base.assay.score.compartment
    assert new.bins.of(compartment) == (0.21, 0.43, 0.66)
    assert new.stains.hematoxylin == pytest.approx(STAINS.vectors.matrix[0], abs=5e-5)
    assert new.call.cutoff is not None
    assert new.call.cutoff.status == "provisional"
    assert new.tumor == base.assay.tumor
    assert max(len(line) for line in finished(base).text.splitlines()) <= max(
        120, *(len(line) for line in base.text.splitlines())
    )


def test_the_finished_assay_measures_what_the_run_measured() -> None:
    base = classical_loaded()
    assert left_digest(with_vectors(base, "lab-vectors", STAINS, TRACE).assay) == left_digest(finished(base).assay)


def test_a_cut_off_that_was_validated_is_provisional_and_one_that_is_unverified_stays_so() -> None:
    text = classical_loaded().text
    for before, after in (("validated", "provisional"), ("unverified", "unverified")):
        base = based_on(set_values(text, ("call", "cutoff"), {"status": before}))
        cutoff = finished(base).assay.call.cutoff
        assert cutoff is not None
        assert cutoff.status == after
        assert cutoff.source.endswith("so it is not validated")


def test_an_assay_without_a_cut_off_stays_without() -> None:
    base = based_on(set_values(classical_loaded().text, ("call",), {"cutoff": "null"}))
    assert finished(base).assay.call.cutoff is None


def test_words_in_quotes_and_colons_survive() -> None:
    words = 'my "own": \\\\ bins # of 2024'
    base = based_on(set_values(classical_loaded().text, ("bins", "cell"), {"source": f"'{words}'"}))
    assert base.assay.bins.cell.source == words
    assert finished(base).assay.bins.cell.source == f"{words}; kept while the stain vectors changed"


def test_stains_that_were_kept_say_why_and_leave_the_other_sources_alone() -> None:
    base = classical_loaded()
    new = finished(base, KEPT).assay
    assert new.stains.source.startswith(
        "hematoxylin kept (no such control), DAB kept (no such control) from assay cxcr4"
    )
    assert new.bins.nucleus == base.assay.bins.nucleus
    assert new.call.cutoff is not None
    assert "value kept while the thresholds changed" in new.call.cutoff.source
    unchanged = finished(base, KEPT, None).assay
    assert unchanged.call == base.assay.call


def test_a_network_of_ones_own_is_named_relative_to_the_new_assay(tmp_path: Path) -> None:
    text = set_values(load_assay("cxcr4").text, ("cells", "network"), {"model": str(tmp_path / "models" / "mine")})
    base = based_on(text)
    interim = with_vectors(base, "lab-vectors", STAINS, TRACE)
    assert interim.assay.cells.network.model == str(tmp_path / "models" / "mine")
    for folder, shown in ((tmp_path, "./models/mine"), (tmp_path / "assays", "../models/mine")):
        final = finish_assay(interim, base.assay, "lab", FIT, STAINS, TRACE, folder)
        assert final.assay.cells.network.model == shown
        assert str(tmp_path) not in final.text


def test_the_blank_is_told_in_the_notes() -> None:
    blank = LimitOfBlank(24, 3.25, 1.0, 4.0, "")
    assert blank_text(blank) == (
        "Limit of blank: H 3.2 (95th percentile of 24 negative controls, CLSI EP17); it is not taken off any score."
    )
    base = classical_loaded()
    told = with_blank(finished(base), blank).assay.notes
    assert told == f"{base.assay.notes.rstrip()} {blank_text(blank)}"
