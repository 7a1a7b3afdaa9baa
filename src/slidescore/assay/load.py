"""Finding, reading and checking assay files; every mistake is one line that names the key and the remedy."""

from __future__ import annotations

import hashlib
from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import orjson
import yaml
from pydantic import BaseModel, ValidationError

from slidescore.assay.model import LEFT_OF_WALL, Assay
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
        The YAML as read; it is stored in run.json.
    origin
        Shipped name or file name, without folders.
    """

    assay: Assay
    text: str
    origin: str


class _UniqueKeyLoader(yaml.SafeLoader):
    """A safe loader that refuses a key given twice, which YAML readers otherwise drop silently."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, Hashable):
                raise AssayError("a key must be a word", where=f"line {key_node.start_mark.line + 1}")
            if key in seen:
                raise AssayError(f"key '{key}' stands twice", where=f"line {key_node.start_mark.line + 1}")
            seen.add(key)
        return super().construct_mapping(node, deep=deep)


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
        If the name is neither shipped nor a file.
    AssayError
        If the file is not a valid assay.
    """
    path = Path(name_or_path)
    shipped = configs_dir() / f"{name_or_path}.yaml"
    if isinstance(name_or_path, str) and name_or_path in list_assays():
        path = shipped
    elif not path.is_file():
        raise UnknownNameError(
            f"no assay of that name and no such file; {nearest_names(str(name_or_path), list_assays())}",
            where=f"assay '{name_or_path}'",
            remedy="see 'slidescore assay list'",
        )
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise AssayError(f"cannot be read: {error}", where=str(name_or_path)) from error
    return LoadedAssay(parse_assay(text, where=path.name), text, path.name)


def parse_assay(text: str, *, where: str) -> Assay:
    """Parse the text of an assay file.

    Raises
    ------
    AssayError
        Naming the first offending key, what is wrong with it and, for an unknown key, the nearest known one.
    """
    try:
        raw = yaml.load(text, Loader=_UniqueKeyLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f" line {mark.line + 1}" if mark else ""
        problem = " ".join(str(getattr(error, "problem", None) or error).split())
        raise AssayError(f"not valid YAML: {problem}", where=f"{where}{line}") from error
    except AssayError as error:
        raise AssayError(error.message, where=f"{where} {error.where}") from None
    if not isinstance(raw, dict):
        raise AssayError("an assay is a mapping of blocks", where=where, remedy="see 'slidescore assay show cxcr4'")
    _refuse_unknown_keys(raw, Assay, where, "")
    try:
        # Through JSON, so that strict types still take a YAML list where the model has a tuple.
        return Assay.model_validate_json(orjson.dumps(raw))
    except ValidationError as error:
        raise AssayError(_first_problem(error), where=where) from None
    except (orjson.JSONEncodeError, TypeError) as error:
        raise AssayError(f"holds a value that is no text, number or list: {error}", where=where) from None


def _refuse_unknown_keys(raw: Mapping[Any, Any], model: type[BaseModel], where: str, prefix: str) -> None:
    known = model.model_fields
    for key, value in raw.items():
        if key not in known:
            raise AssayError(f"unknown key '{prefix}{key}'", where=where, remedy=nearest_names(str(key), known))
        for inner in _models_in(known[key].annotation):
            if isinstance(value, dict):
                _refuse_unknown_keys(value, inner, where, f"{prefix}{key}.")
            for number, each in enumerate(value if isinstance(value, list) else []):
                if isinstance(each, dict):
                    _refuse_unknown_keys(each, inner, where, f"{prefix}{key}.{number}.")


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models_in(argument)


def _first_problem(error: ValidationError) -> str:
    problem = error.errors(include_url=False)[0]
    key = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "missing":
        return f"missing key '{key}'"
    message = problem["msg"].removeprefix("Value error, ")
    return f"key '{key}': {message}" if key else message


def assay_digest(assay: Assay) -> str:
    """Return the identity of an assay's values: 16 hex digits of SHA-256 over its canonical JSON."""
    return _digest(assay.model_dump(mode="json"))


def left_digest(assay: Assay) -> str:
    """Return the identity of the values that decide measurements (the blocks left of the wall)."""
    return _digest({block: getattr(assay, block).model_dump(mode="json") for block in LEFT_OF_WALL})


def _digest(values: dict[str, Any]) -> str:
    return hashlib.sha256(orjson.dumps(values, option=orjson.OPT_SORT_KEYS)).hexdigest()[:DIGEST_LENGTH]


def changed_left_keys(old: Assay, new: Assay) -> list[str]:
    """List the dotted keys left of the wall whose values differ."""
    return [key for block in LEFT_OF_WALL for key in _differing(getattr(old, block), getattr(new, block), block)]


def _differing(old: Any, new: Any, key: str) -> Iterator[str]:
    if isinstance(old, BaseModel) and type(old) is type(new):
        for name in type(old).model_fields:
            yield from _differing(getattr(old, name), getattr(new, name), f"{key}.{name}")
    elif old != new:
        yield key
