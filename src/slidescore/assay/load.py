"""Finding, reading and checking assay files; every mistake is one line that names the key and the remedy."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from slidescore.assay.inline_model import TUMOR, anchor_network_path, inline_model_file, model_text, set_values
from slidescore.assay.model import LEFT_OF_WALL, Assay
from slidescore.assay.refusals import refuse_western_blot
from slidescore.assay.strict import parse_strict
from slidescore.assay.tumor_model import TumorModel
from slidescore.errors import AssayError, UnknownNameError, nearest_names

DEFAULT_ASSAY = "cxcr4"
DIGEST_LENGTH = 16
"""Hex digits of SHA-256 that tables carry; 64 bits tell any two assays of a laboratory apart."""


@dataclass(frozen=True, slots=True)
class LoadedAssay:
    """An assay together with the text it was read from.

    Attributes
    ----------
    assay
        The checked values.
    text
        The YAML as read, with the tumor model's numbers where it names a file of them, and with the network's folder in
        full where it names one; it is stored in run.json.
    origin
        Shipped name or file name, without folders.
    """

    assay: Assay
    text: str
    origin: str


def configs_dir() -> Path:
    """Return the folder of shipped assays: inside the installed package, or at the top of a source checkout."""
    package = Path(__file__).resolve().parent.parent
    shipped = package / "configs"
    return shipped if shipped.is_dir() else package.parents[1] / "configs"


def list_assays() -> list[str]:
    """Return the names of the shipped assays, sorted."""
    return sorted(path.stem for path in configs_dir().glob("*.yaml"))


def load_assay(name_or_path: str | Path = DEFAULT_ASSAY) -> LoadedAssay:
    """Load a shipped assay by name, or any assay by its file.

    Raises
    ------
    UnknownNameError
        If the name is neither shipped nor a file, or is that of a Western blot's cut-off.
    AssayError
        If the file is not a valid assay.
    """
    path = Path(name_or_path)
    shipped = configs_dir() / f"{name_or_path}.yaml"
    if isinstance(name_or_path, str) and name_or_path in list_assays():
        path = shipped
    elif not path.is_file():
        refuse_western_blot(str(name_or_path))
        raise UnknownNameError(
            f"no assay of that name and no such file; {nearest_names(str(name_or_path), list_assays())}",
            where=f"assay '{name_or_path}'",
            remedy="see 'slidescore assay list'",
        )
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise AssayError(f"cannot be read: {error}", where=str(name_or_path)) from error
    text = anchor_network_path(inline_model_file(text, path.parent, where=path.name), path.parent)
    return LoadedAssay(parse_assay(text, where=path.name), text, path.name)


def parse_assay(text: str, *, where: str) -> Assay:
    """Parse the text of an assay file.

    Raises
    ------
    AssayError
        Naming the first offending key, what is wrong with it and, for an unknown key, the nearest known one.
    """
    assay = parse_strict(
        text, Assay, AssayError, where=where, noun="an assay", remedy="see 'slidescore assay show cxcr4'"
    )
    if assay.tumor.model is not None and assay.tumor.model.left_digest != left_digest(assay):
        raise AssayError(
            f"key 'tumor.model': was trained on cells measured as {assay.tumor.model.left_digest}, and this assay "
            f"measures {left_digest(assay)}",
            where=where,
            remedy="score the labelled slides with this assay and train again",
        )
    return assay


def with_tumor_model(loaded: LoadedAssay, model: TumorModel) -> LoadedAssay:
    """Return an assay whose tumor rule looks at a model's probability, and else is the same.

    Raises
    ------
    AssayError
        If the model was trained on cells that were measured otherwise.
    """
    text = set_values(loaded.text, TUMOR, {"model": model_text(model), "rule": "probability"})
    return LoadedAssay(parse_assay(text, where=loaded.origin), text, loaded.origin)


def assay_digest(assay: Assay) -> str:
    """Return the identity of an assay's values: 16 hex digits of SHA-256 over its canonical JSON.

    Of a network's folder only its name counts, not where it lies.
    """
    return _digest(_values(assay))


def left_digest(assay: Assay) -> str:
    """Return the identity of the values that decide measurements (the blocks left of the wall).

    The parameters of the segmenter that is not active are left out, and so is the name of the network: which network it
    is, says the model's digest, which stands beside this one wherever it matters.
    """
    values = _left_values(assay)
    values["cells"].get("network", {}).pop("model", None)
    return _digest(values)


def _values(assay: Assay) -> dict[str, Any]:
    values: dict[str, Any] = assay.model_dump(mode="json")
    network = values["cells"]["network"]
    network["model"] = Path(network["model"]).name
    return values


def _left_values(assay: Assay) -> dict[str, Any]:
    """Return what decides measurements: blocks left of the wall, without the segmenter that is not active."""
    values = _values(assay)
    del values["cells"]["classical" if assay.cells.segmenter == "network" else "network"]
    return {block: values[block] for block in LEFT_OF_WALL}


def _digest(values: dict[str, Any]) -> str:
    return hashlib.sha256(orjson.dumps(values, option=orjson.OPT_SORT_KEYS)).hexdigest()[:DIGEST_LENGTH]


def changed_left_keys(old: Assay, new: Assay) -> list[str]:
    """List the dotted keys left of the wall whose values differ; those of a segmenter that is not active never do."""
    return list(_differing(_left_values(old), _left_values(new), ""))


def _differing(old: Any, new: Any, key: str) -> Iterator[str]:
    if isinstance(old, dict) and isinstance(new, dict):
        # What only one of them has belongs to its segmenter, and cells.segmenter itself is named.
        for name in (name for name in old if name in new):
            yield from _differing(old[name], new[name], f"{key}.{name}" if key else name)
    elif old != new:
        yield key
