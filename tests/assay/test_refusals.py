"""Cut-offs that are refused: those of Western blots always, unverified ones until they are accepted."""

from __future__ import annotations

import pytest

from slidescore.assay import load_assay, refuse_unverified, unverified_note
from slidescore.assay.refusals import WESTERN_BLOTS
from slidescore.errors import AssayError, UnknownNameError


@pytest.mark.parametrize("name", [*WESTERN_BLOTS, *(f"cxcr4-{name}" for name in WESTERN_BLOTS), "Parker2012.yaml"])
def test_a_western_blots_cutoff_is_refused_by_its_name(name):
    with pytest.raises(UnknownNameError) as caught:
        load_assay(name)
    said = str(caught.value)
    assert said.startswith(f"assay '{name}': ")
    assert "a fold change of a Western blot, which is no cut-off for immunohistochemistry" in said
    assert "\n" not in said


def test_an_assay_file_of_that_name_is_an_assay(tmp_path):
    path = tmp_path / "chu2010"
    path.write_text(load_assay("cxcr4").text, encoding="utf-8")
    assert load_assay(path).assay.name == "cxcr4"


def test_an_unverified_cutoff_is_refused_with_what_is_not_known_of_it():
    assay = load_assay("cxcr4-shim2018").assay
    with pytest.raises(AssayError) as caught:
        refuse_unverified(assay, accepted=False)
    said = str(caught.value)
    assert "irs cytoplasm > 7 is unverified" in said
    assert "0 to 12, is inferred" in said
    assert "--accept-unverified" in said
    assert "\n" not in said
    refuse_unverified(assay, accepted=True)
    note = unverified_note(assay)
    assert note is not None
    assert "high meant better recurrence-free survival in Shim 2018" in note


@pytest.mark.parametrize("name", ["cxcr4", "cxcr4-continuous", "cxcr4-irs-positive"])
def test_other_cutoffs_and_none_need_no_word(name):
    assay = load_assay(name).assay
    refuse_unverified(assay, accepted=False)
    assert unverified_note(assay) is None
