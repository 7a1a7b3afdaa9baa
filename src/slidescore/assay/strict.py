"""Reading a YAML file strictly: every mistake is one line that names the key and, where it helps, the nearest one."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping
from typing import Any, TypeVar, get_args

import orjson
import yaml
from pydantic import BaseModel, ValidationError

from slidescore.errors import SlidescoreError, nearest_names

Values = TypeVar("Values", bound=BaseModel)


class _DoubledKeyError(Exception):
    """A key that cannot be one, or stands twice, and the line it stands in."""

    def __init__(self, problem: str, line: int) -> None:
        super().__init__(problem, line)
        self.problem, self.line = problem, line


class _UniqueKeyLoader(yaml.SafeLoader):
    """A safe loader that refuses a key given twice, which YAML readers otherwise drop silently."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, Hashable):
                raise _DoubledKeyError("a key must be a word", key_node.start_mark.line + 1)
            if key in seen:
                raise _DoubledKeyError(f"key '{key}' stands twice", key_node.start_mark.line + 1)
            seen.add(key)
        return super().construct_mapping(node, deep=deep)


def parse_strict(
    text: str, model: type[Values], error_type: type[SlidescoreError], *, where: str, noun: str, remedy: str
) -> Values:
    """Parse YAML into a strict pydantic model.

    Parameters
    ----------
    text
        The YAML.
    model
        What it must hold; unknown keys and loose types are errors.
    error_type
        What is raised.
    where
        Name of the file, for the message.
    noun, remedy
        What the file is, and where to see one, for a text that is no mapping at all.

    Raises
    ------
    SlidescoreError
        An `error_type` that names the first offending key, what is wrong with it and, for an unknown key, the nearest
        known one.
    """
    try:
        raw = yaml.load(text, Loader=_UniqueKeyLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f" line {mark.line + 1}" if mark else ""
        problem = " ".join(str(getattr(error, "problem", None) or error).split())
        raise error_type(f"not valid YAML: {problem}", where=f"{where}{line}") from error
    except _DoubledKeyError as error:
        raise error_type(error.problem, where=f"{where} line {error.line}") from None
    if not isinstance(raw, dict):
        raise error_type(f"{noun} is a mapping of blocks", where=where, remedy=remedy)
    _refuse_unknown_keys(raw, model, error_type, where, "")
    try:
        # Through JSON, so that strict types still take a YAML list where the model has a tuple.
        return model.model_validate_json(orjson.dumps(raw))
    except ValidationError as error:
        raise error_type(_first_problem(error), where=where) from None
    except (orjson.JSONEncodeError, TypeError) as error:
        raise error_type(f"holds a value that is no text, number or list: {error}", where=where) from None


def _refuse_unknown_keys(
    raw: Mapping[Any, Any], model: type[BaseModel], error_type: type[SlidescoreError], where: str, prefix: str
) -> None:
    known = model.model_fields
    for key, value in raw.items():
        if key not in known:
            raise error_type(f"unknown key '{prefix}{key}'", where=where, remedy=nearest_names(str(key), known))
        for inner in _models_in(known[key].annotation):
            if isinstance(value, dict):
                _refuse_unknown_keys(value, inner, error_type, where, f"{prefix}{key}.")
            for number, each in enumerate(value if isinstance(value, list) else []):
                if isinstance(each, dict):
                    _refuse_unknown_keys(each, inner, error_type, where, f"{prefix}{key}.{number}.")


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
