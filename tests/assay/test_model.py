"""An assay never changes, has no defaults, and says its own rules."""

from __future__ import annotations

import pytest
from pydantic import BaseModel, ValidationError

from slidescore.assay import LEFT_OF_WALL, Assay
from slidescore.assay import model as models

BLOCKS = [
    kind
    for kind in vars(models).values()
    if isinstance(kind, type) and issubclass(kind, BaseModel) and kind is not BaseModel
]


@pytest.mark.parametrize("block", BLOCKS)
def test_policy_has_no_defaults_in_code(block):
    assert [name for name, field in block.model_fields.items() if not field.is_required()] == []


@pytest.mark.parametrize("block", BLOCKS)
def test_blocks_are_frozen_strict_and_closed(block):
    config = block.model_config
    assert (config["frozen"], config["strict"], config["extra"]) == (True, True, "forbid")


def test_an_assay_cannot_be_changed(assay):
    with pytest.raises(ValidationError, match="frozen"):
        assay.call.cutoff.value = 10.0


def test_the_blocks_left_of_the_wall_come_first():
    fields = list(Assay.model_fields)
    blocks = fields[fields.index("reading") :]
    assert tuple(blocks[: len(LEFT_OF_WALL)]) == LEFT_OF_WALL
    assert set(blocks[len(LEFT_OF_WALL) :]) == {"tumor", "bins", "score", "interval", "call", "patients", "qc"}


@pytest.mark.parametrize("compartment", ["nucleus", "cytoplasm", "membrane", "cell"])
def test_bins_are_found_by_compartment(assay, change, compartment):
    changed = change(assay, {f"bins.{compartment}.thresholds": (0.1, 0.3, 0.9)})
    assert changed.bins.of(compartment) == (0.1, 0.3, 0.9)
    assert assay.bins.of(compartment) == (0.2, 0.4, 0.6)


def test_a_cutoff_in_words(assay, change):
    cutoff = change(assay.call.cutoff, {"scale": "percent_positive", "operator": ">", "value": 1.5})
    assert cutoff.text == "percent_positive cytoplasm > 1.5"


def test_without_a_cutoff_there_are_no_words_for_it(assay, change):
    assert assay.call.cutoff_text == "h_score cytoplasm >= 150"
    assert change(assay, {"call.cutoff": None}).call.cutoff_text is None
