"""Writing a tumor model into the text of an assay, in place of the file it names; everything else stays as written."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import yaml

from slidescore.assay.tumor_model import TumorModel, load_tumor_model, model_values
from slidescore.errors import AssayError


def inline_model_file(text: str, folder: Path, *, where: str) -> str:
    """Return the text with the numbers of the model file that `tumor.model` names, or the text as it is.

    Parameters
    ----------
    text
        An assay; one that is no valid YAML is returned as it is, for the parser to complain about.
    folder
        Where the assay file lies; a relative path is looked for there.
    where
        Name of the assay file, for messages.

    Raises
    ------
    AssayError
        If the named file is no tumor model.
    """
    node = _tumor_nodes(text).get("model")
    if not isinstance(node, yaml.ScalarNode) or node.tag != "tag:yaml.org,2002:str":
        return text
    try:
        model = load_tumor_model(folder / node.value)
    except AssayError as error:
        raise AssayError(error.message, where=f"{where} key 'tumor.model': {node.value}", remedy=error.remedy) from None
    return set_tumor_values(text, {"model": model_text(model)})


def set_tumor_values(text: str, values: Mapping[str, str]) -> str:
    """Return the text with the values of some keys of its `tumor` block replaced by other YAML."""
    nodes = _tumor_nodes(text)
    # From the end, so that earlier places stay where they are.
    for key in sorted((key for key in values if key in nodes), key=lambda key: -nodes[key].start_mark.index):
        start, stop = nodes[key].start_mark.index, nodes[key].end_mark.index
        text = text[:start] + values[key] + text[stop:]
    return text


def model_text(model: TumorModel) -> str:
    """Write a model as YAML in braces, a line a field, that reads back to the same numbers."""
    lines = []
    for name, value in model_values(model).items():
        flow = yaml.safe_dump([value], default_flow_style=True, width=float("inf"), sort_keys=False)
        lines.append(f"    {name}: {flow.strip()[1:-1]}")
    return "{\n" + ",\n".join(lines) + "}"


def _tumor_nodes(text: str) -> dict[str, yaml.Node]:
    """Return the value nodes of the `tumor` block by key; none where the text is no such mapping."""
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError:
        return {}
    inner = _children(node).get("tumor")
    return _children(inner)


def _children(node: yaml.Node | None) -> dict[str, yaml.Node]:
    if not isinstance(node, yaml.MappingNode):
        return {}
    return {str(key.value): value for key, value in node.value if isinstance(key, yaml.ScalarNode)}
