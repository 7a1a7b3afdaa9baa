"""The text of a calibrated assay: the base's own, with other vectors and thresholds and where they come from.

Sources name no file, folder or date: how many controls, a digest of their fingerprints, and what was done.
"""

from __future__ import annotations

import hashlib
import os
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from slidescore.assay import Assay, LoadedAssay, assay_digest, parse_assay
from slidescore.assay.inline_model import NETWORK, set_blocks, set_values
from slidescore.assay.load import DIGEST_LENGTH
from slidescore.pipeline.survey import fixed_vectors
from slidescore.scoring.blank import LimitOfBlank
from slidescore.scoring.scores import COMPARTMENTS
from slidescore.scoring.threshold_fit import ThresholdFit
from slidescore.stain import angle_degrees
from slidescore.stain.pooled import PooledStains
from slidescore.version import slidescore_version

Blocks = dict[tuple[str, ...], dict[str, str]]
"""Values as YAML, by the names that lead to their block."""

LINE_WIDTH = 110
"""Of sources and notes, so that with the key before the first line none passes 120."""
VECTOR_DIGITS = 4
"""A unit vector written so turns by less than 0.01 degrees."""
THRESHOLD_DIGITS = 3
"""Thresholds in steps of 0.001 OD, far below their intervals."""
INTERIM = "-vectors"
"""Ends the name of the assay that the controls are scored under: the new vectors with the base's thresholds."""


@dataclass(frozen=True, slots=True)
class Provenance:
    """What a calibrated value rests on: the number of controls, and the digest of their fingerprints."""

    n_controls: int
    digest: str

    @property
    def text(self) -> str:
        """In words, for sources."""
        return f"{_controls(self.n_controls)}, digest {self.digest}; slidescore {slidescore_version()}"


def trace_controls(n_controls: int, fingerprints: Sequence[str]) -> Provenance:
    """Return the provenance of controls: SHA-256 over the sorted fingerprints of their slides, one a line."""
    lines = "\n".join(sorted(set(fingerprints)))
    return Provenance(n_controls, hashlib.sha256(lines.encode("ascii")).hexdigest()[:DIGEST_LENGTH])


def vectors_changed(stains: PooledStains) -> bool:
    """Whether the controls changed a stain vector."""
    return not (stains.hematoxylin_reason and stains.dab_reason)


def turns_degrees(base: Assay, stains: PooledStains) -> tuple[float, float]:
    """Return how far hematoxylin and DAB turned from the base's vectors."""
    old = fixed_vectors(base).matrix
    new = stains.vectors.matrix
    return angle_degrees(old[0], new[0]), angle_degrees(old[1], new[1])


def with_vectors(base: LoadedAssay, name: str, stains: PooledStains, provenance: Provenance) -> LoadedAssay:
    """Return the base with pooled vectors and a cut-off that is no longer validated, under another name."""
    blocks: Blocks = {(): {"name": name}}
    blocks["stains",] = {
        "vectors": "fixed",
        "hematoxylin": _numbers(stains.vectors.matrix[0], VECTOR_DIGITS),
        "dab": _numbers(stains.vectors.matrix[1], VECTOR_DIGITS),
        "source": _quoted(_stain_source(base.assay, stains, provenance), 4),
    }
    if vectors_changed(stains):
        for compartment in COMPARTMENTS:
            kept = f"{getattr(base.assay.bins, compartment).source}; kept while the stain vectors changed"
            blocks["bins", compartment] = {"source": _quoted(kept, 6)}
        blocks |= _unvalidated(base.assay, "the stain vectors changed", provenance)
    return _parsed(set_blocks(base.text, blocks), name)


def finish_assay(
    interim: LoadedAssay,
    base: Assay,
    name: str,
    fit: ThresholdFit | None,
    stains: PooledStains,
    provenance: Provenance,
    folder: Path,
) -> LoadedAssay:
    """Return an assay of `with_vectors` under its own name, with fitted thresholds in the compartment of its score.

    Parameters
    ----------
    folder
        Where it will lie: a path to a network of one's own is written relative to it.

    Raises
    ------
    AssayError
        If thresholds come out equal when they are rounded.
    """
    blocks: Blocks = {(): {"name": name}, **_network(base, folder)}
    if fit is not None:
        blocks["bins", interim.assay.score.compartment] = {
            "thresholds": _numbers(fit.thresholds, THRESHOLD_DIGITS),
            "source": _quoted(_threshold_source(fit, provenance), 6),
        }
        what = "stain vectors and thresholds changed" if vectors_changed(stains) else "the thresholds changed"
        blocks |= _unvalidated(base, what, provenance)
    return _parsed(set_blocks(interim.text, blocks), name)


def with_blank(loaded: LoadedAssay, blank: LimitOfBlank) -> LoadedAssay:
    """Return an assay whose notes tell the limit of blank."""
    notes = f"{loaded.assay.notes.rstrip()} {blank_text(blank)}"
    return _parsed(set_values(loaded.text, (), {"notes": _quoted(notes, 2)}), loaded.assay.name)


def blank_text(blank: LimitOfBlank) -> str:
    """Say what negative controls score, in a sentence."""
    if blank.value is None:
        return f"Limit of blank {blank.reason}."
    return (
        f"Limit of blank: H {blank.value:.1f} (95th percentile of {blank.n} negative controls, CLSI EP17); it is not "
        "taken off any score."
    )


def _unvalidated(base: Assay, what: str, provenance: Provenance) -> Blocks:
    """Make a cut-off provisional; one that is not even verified stays so."""
    cutoff = base.call.cutoff
    if cutoff is None:
        return {}
    status = "unverified" if cutoff.status == "unverified" else "provisional"
    source = f"{cutoff.source}; value kept while {what} ({provenance.text}), so it is not validated"
    return {("call", "cutoff"): {"status": status, "source": _quoted(source, 6)}}


def _network(assay: Assay, folder: Path) -> Blocks:
    """Make a path to a network's folder relative to where the assay will lie."""
    path = Path(assay.cells.network.model)
    if not path.is_absolute():
        return {}
    relative = Path(os.path.relpath(path, folder)).as_posix()
    return {NETWORK: {"model": relative if relative.startswith(".") else f"./{relative}"}}


def _stain_source(base: Assay, stains: PooledStains, provenance: Provenance) -> str:
    turns = turns_degrees(base, stains)
    parts = []
    for stain, n, turn, reason in (
        ("hematoxylin", stains.n_hematoxylin, turns[0], stains.hematoxylin_reason),
        ("DAB", stains.n_dab, turns[1], stains.dab_reason),
    ):
        parts.append(f"{stain} kept ({reason})" if reason else f"{stain} of {_controls(n)}, turned {turn:.1f} degrees")
    return f"{', '.join(parts)} from assay {base.name} {assay_digest(base)} ({provenance.text})"


def _threshold_source(fit: ThresholdFit, provenance: Provenance) -> str:
    ways = {
        "labels": f"cut so that as many of {fit.n_cells} labelled cells on {fit.n_slides} slides lie above each as "
        "were labelled above",
        "shares": f"least squares of the bin shares expected of {fit.n_slides} controls with {fit.n_cells} cells",
    }
    intervals = ", ".join(f"{low:.3f} to {high:.3f}" for low, high in zip(fit.low, fit.high, strict=True))
    return f"{ways[fit.method]}; 95 % bootstrap intervals ({fit.resampled}) {intervals} OD ({provenance.text})"


def _controls(n: int) -> str:
    return "1 control" if n == 1 else f"{n} controls"


def _numbers(values: Sequence[float] | NDArray[np.float64], digits: int) -> str:
    return f"[{', '.join(f'{value:.{digits}f}' for value in values)}]"


def _quoted(text: str, indent: int) -> str:
    """Write a text in double quotes over several lines, indented so far, that YAML folds into one again."""
    quoted = " ".join(text.split()).replace("\\", "\\\\").replace('"', '\\"')
    lines = textwrap.wrap(quoted, LINE_WIDTH - indent, break_long_words=False, break_on_hyphens=False)
    return '"' + ("\n" + " " * indent).join(lines) + '"'


def _parsed(text: str, name: str) -> LoadedAssay:
    where = f"{name}.yaml"
    return LoadedAssay(parse_assay(text, where=where), text, where)
