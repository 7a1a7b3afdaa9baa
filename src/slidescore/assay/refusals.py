"""Cut-offs that are not used without a word: published ones of another kind of assay, and ones nobody could verify."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from slidescore.assay.model import Assay
from slidescore.errors import AssayError, UnknownNameError

WESTERN_BLOTS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "chu2010": "Chu 2010 (J Surg Res; 151 triple-negative tumors) calls 6 times the CXCR4 of 1 ug HeLa lysate high",
        "parker2012": "Parker 2012 (DOI 10.1002/jso.23113; 185 node-positive tumors) calls 7.5 times a reference high",
    }
)
"""Published meanings of CXCR4-high that are fold changes of a Western blot, by the names people look for them under."""
PREFIX: Final = "cxcr4-"
"""May stand before such a name, as before those of the shipped assays."""


def refuse_western_blot(name: str) -> None:
    """Refuse the name of a cut-off that is none of immunohistochemistry; any other name passes.

    Raises
    ------
    UnknownNameError
        Saying what the cut-off is.
    """
    said = WESTERN_BLOTS.get(name.lower().removesuffix(".yaml").removeprefix(PREFIX))
    if said is not None:
        raise UnknownNameError(
            f"{said}: a fold change of a Western blot, which is no cut-off for immunohistochemistry",
            where=f"assay '{name}'",
            remedy="see 'slidescore assay list' for those that are",
        )


def refuse_unverified(assay: Assay, *, accepted: bool) -> None:
    """Refuse an assay whose cut-off has the status unverified, unless the caller accepts it.

    Raises
    ------
    AssayError
        Saying what nobody could verify.
    """
    cutoff = assay.call.cutoff
    if cutoff is not None and cutoff.status == "unverified" and not accepted:
        raise AssayError(
            f"the cut-off {cutoff.text} is unverified: {cutoff.source.rstrip('.')}",
            where=f"assay '{assay.name}'",
            remedy="take --accept-unverified (accept_unverified=True) to call by it all the same",
        )


def unverified_note(assay: Assay) -> str | None:
    """Return what users of an unverified cut-off must read beside its calls; None where the cut-off is another one."""
    cutoff = assay.call.cutoff
    if cutoff is None or cutoff.status != "unverified":
        return None
    meaning = f"; {cutoff.meaning.rstrip('.')}" if cutoff.meaning else ""
    return f"calls rest on an unverified cut-off, {cutoff.text}{meaning}"
