"""The assay: every policy that can change a number, read from one YAML file."""

from slidescore.assay.load import (
    DEFAULT_ASSAY,
    LoadedAssay,
    assay_digest,
    changed_left_keys,
    left_digest,
    list_assays,
    load_assay,
    parse_assay,
    with_tumor_model,
)
from slidescore.assay.model import LEFT_OF_WALL, Assay, Compartment, Cutoff, Operator, Scale, Score
from slidescore.assay.refusals import refuse_unverified, unverified_note
from slidescore.assay.tumor_model import TumorModel, load_tumor_model

__all__ = [
    "DEFAULT_ASSAY",
    "LEFT_OF_WALL",
    "Assay",
    "Compartment",
    "Cutoff",
    "LoadedAssay",
    "Operator",
    "Scale",
    "Score",
    "TumorModel",
    "assay_digest",
    "changed_left_keys",
    "left_digest",
    "list_assays",
    "load_assay",
    "load_tumor_model",
    "parse_assay",
    "refuse_unverified",
    "unverified_note",
    "with_tumor_model",
]
