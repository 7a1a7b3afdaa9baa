"""Making the text of an assay stand alone, wherever it is read; everything else in it stays as written.

The numbers of a tumor model take the place of the file that `tumor.model` names, and a path in `cells.network.model`
becomes absolute: the weights are too large to be written into a text.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from slidescore.assay.tumor_model import TumorModel, load_tumor_model, model_values
from slidescore.errors import AssayError

TUMOR, NETWORK = ("tumor",), ("cells", "network")
"""Blocks of an assay that can name a file."""
TEXT_TAG = "tag:yaml.org,2002:str"
"""What YAML calls a text, and not a number or null."""


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
    node = _nodes(text, TUMOR).get("model")
    if not isinstance(node, yaml.ScalarNode) or node.tag != TEXT_TAG:
        return text
    try:
        model = load_tumor_model(folder / node.value)
    except AssayError as error:
        raise AssayError(error.message, where=f"{where} key 'tumor.model': {node.value}", remedy=error.remedy) from None
    return set_values(text, TUMOR, {"model": model_text(model)})


def anchor_network_path(text: str, folder: Path) -> str:
    """Return the text with a relative path in `cells.network.model` made absolute, or the text as it is.

    Parameters
    ----------
    text
        An assay.
    folder
        Where the assay file lies; the path is meant from there. A value without a slash is the name of a shipped model.
    """
    node = _nodes(text, NETWORK).get("model")
    if not isinstance(node, yaml.ScalarNode) or node.tag != TEXT_TAG or "/" not in node.value:
        return text
    path = Path(node.value)
    return text if path.is_absolute() else set_values(text, NETWORK, {"model": _flow(str((folder / path).resolve()))})


def set_values(text: str, block: tuple[str, ...], values: Mapping[str, str]) -> str:
    """Return the text with the values of some keys of a block replaced by other YAML.

    Parameters
    ----------
    text
        An assay.
    block
        The names that lead to the block, such as `TUMOR`.
    values
        YAML by key; what stands below the block or is not there stays away.
    """
    return set_blocks(text, {block: values})


def set_blocks(text: str, blocks: Mapping[tuple[str, ...], Mapping[str, str]]) -> str:
    """Do what `set_values` does in several blocks at once.

    Parameters
    ----------
    text
        An assay.
    blocks
        The values of each block by the names that lead to it; none of them may hold another one.
    """
    root = _root(text)
    places = []
    for block, values in blocks.items():
        nodes = _inside(root, block)
        places += [(nodes[key], value) for key, value in values.items() if key in nodes]
    # From the end, so that earlier places stay where they are.
    for node, value in sorted(places, key=lambda place: -int(place[0].start_mark.index)):
        start, stop = node.start_mark.index, _end(node, text)
        # A key without a value is null to YAML, and its place is right behind the colon.
        space = " " if start == stop else ""
        text = text[:start] + space + value + text[stop:]
    return text


def model_text(model: TumorModel) -> str:
    """Write a model as YAML in braces, a line a field, that reads back to the same numbers."""
    lines = []
    for name, value in model_values(model).items():
        lines.append(f"    {name}: {_flow(value)}")
    return "{\n" + ",\n".join(lines) + "}"


def _flow(value: Any) -> str:
    """Write a value as YAML in one line."""
    text: str = yaml.safe_dump([value], default_flow_style=True, width=float("inf"), sort_keys=False)
    return text.strip()[1:-1]


def _nodes(text: str, block: tuple[str, ...]) -> dict[str, yaml.Node]:
    """Return the value nodes of a block by key; none where the text is no such mapping."""
    return _inside(_root(text), block)


def _root(text: str) -> yaml.Node | None:
    try:
        return yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError:
        return None


def _inside(node: yaml.Node | None, block: tuple[str, ...]) -> dict[str, yaml.Node]:
    for name in block:
        node = _children(node).get(name)
    return _children(node)


def _end(node: yaml.Node, text: str) -> int:
    """Return where a value ends; to YAML a value in block style ends where the next key begins, comments and all."""
    if isinstance(node, yaml.CollectionNode) and not node.flow_style and node.value:
        last = node.value[-1]
        return _end(last[1] if isinstance(last, tuple) else last, text)
    stop: int = node.end_mark.index
    return len(text[:stop].rstrip()) if isinstance(node, yaml.ScalarNode) and node.style in ("|", ">") else stop


def _children(node: yaml.Node | None) -> dict[str, yaml.Node]:
    if not isinstance(node, yaml.MappingNode):
        return {}
    return {str(key.value): value for key, value in node.value if isinstance(key, yaml.ScalarNode)}
