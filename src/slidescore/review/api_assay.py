"""POST /api/assay: a preview as an assay file of its own. Nothing is written here; the browser saves it."""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import Any, Final

import yaml
from starlette.responses import Response

from slidescore.assay import parse_assay
from slidescore.assay.inline_model import NETWORK, set_values
from slidescore.review.api_cells import previewed_assay
from slidescore.review.api_params import ApiError, Asked, refuse_unknown, text_of
from slidescore.review.desk import Desk

KEYS: Final = ("t", "cutoff", "name", "source")
MAX_NAME, MAX_SOURCE = 60, 300
"""Characters of an assay's name and of where its thresholds are from."""
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9._-]*")


def post_assay(desk: Desk, asked: Asked) -> Response:
    """Answer with the run's assay under a new name, with other thresholds, another cut-off, or both, as YAML."""
    desk.refuse_blind()
    content = asked.json()
    refuse_unknown(content, KEYS)
    name, source = text_of(content.get("name"), "name", MAX_NAME), text_of(content.get("source"), "source", MAX_SOURCE)
    if not _NAME.fullmatch(name):
        raise ApiError(400, "the name is not of small letters, digits, '.', '_' and '-'", "such as cxcr4-clone2")
    view = desk.run.view()
    if name == view.assay.name:
        raise ApiError(400, "that is the name of the run's own assay", "give the new one a name of its own")
    assay, t = previewed_assay(view.assay, content)
    if assay == view.assay:
        raise ApiError(400, "neither thresholds nor cut-off differ from the run's assay", "move a slider first")
    text = set_values(str(view.content["assay"]["text"]), (), {"name": _flow(name)})
    if t is not None:
        block = ("bins", assay.score.compartment)
        text = set_values(text, block, {"thresholds": _flow(list(t)), "source": _flow(source)})
    old = view.assay.call.cutoff
    # An unverified cut-off stays unverified, whatever thresholds are moved under it.
    kept = old is not None and old.status == "unverified" and assay.call.cutoff == old
    if assay.call.cutoff is not None and not kept:
        # What high stood for in the source of another cut-off says nothing of this one.
        cutoff = {"value": _flow(assay.call.cutoff.value), "status": "provisional", "meaning": "null"}
        text = set_values(text, ("call", "cutoff"), cutoff | {"source": _flow(source)})
    network = assay.cells.network.model
    if "/" in network:
        # Where a folder of weights lies on this machine is nobody's business; it is looked for beside the file.
        text = set_values(text, NETWORK, {"model": _flow(f"./{PurePosixPath(network).name}")})
    parse_assay(text, where="assay")
    headers = {"Content-Disposition": f'attachment; filename="{name}.yaml"'}
    return Response(text.encode("utf-8"), 200, headers, "application/yaml")


def _flow(value: Any) -> str:
    """Write a value as YAML in one line."""
    packed: str = yaml.safe_dump([value], default_flow_style=True, width=float("inf"), allow_unicode=True)
    return packed.strip()[1:-1]
