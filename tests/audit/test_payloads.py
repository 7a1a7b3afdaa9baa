"""What an event may hold."""

from __future__ import annotations

from typing import Any

import pytest

from slidescore.audit.payloads import check_payload
from slidescore.errors import InputError

CELLS = {"cells": "1-2", "set": {"bin": 1}, "old": "0,2", "reason": ""}
BOX = [[0.0, 0.0], [4.0, 0.0], [4.0, 4.0]]
REGION = {"role": "include", "polygon": BOX, "n_cells": 3, "old": "0*3", "reason": ""}
VERDICT = {
    "state": "overridden", "call": "LOW", "reason": "pale", "old": {"state": "open", "call": None},
    "reviewed": {"h_score": 12.5, "call": "HIGH"},
}  # fmt: skip
READING = {"bins": [40.0, 30.0, 20.0, 10.0], "text": "", "reason": ""}
GOOD: list[tuple[str, dict[str, Any]]] = [
    ("cells", CELLS), ("cells", CELLS | {"set": {"tumor": False}}), ("region", REGION), ("verdict", VERDICT),
    ("undo", {"of": 1, "reason": ""}), ("redo", {"of": 1, "reason": ""}), ("comment", {"text": "x", "reason": ""}),
    ("reading", READING), ("verdict", VERDICT | {"reviewed": {"h_score": None, "call": "NOT_EVALUABLE"}}),
    ("verdict", VERDICT | {"reviewed": {"h_score": 1.0, "call": None}}),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "payload"), GOOD)
def test_what_a_review_makes_passes(kind, payload):
    before = repr(payload)
    check_payload(kind, payload)
    assert repr(payload) == before


@pytest.mark.parametrize(("kind", "payload"), GOOD)
def test_a_key_too_few_or_too_many_is_seen(kind, payload):
    for name in payload:
        with pytest.raises(InputError):
            check_payload(kind, {key: value for key, value in payload.items() if key != name})
    with pytest.raises(InputError):
        check_payload(kind, payload | {"more": 1})


@pytest.mark.parametrize(
    ("kind", "payload"),
    [
        ("cells", CELLS | {"old": "0,2,1"}), ("cells", CELLS | {"cells": "1,2"}), ("cells", CELLS | {"cells": [1, 2]}),
        ("cells", CELLS | {"set": {"bin": 4}}), ("cells", CELLS | {"set": {}}), ("cells", CELLS | {"reason": None}),
        ("region", REGION | {"n_cells": 0}), ("region", REGION | {"n_cells": True}), ("region", REGION | {"old": "0"}),
        ("region", REGION | {"polygon": [[0, 0], [4, 0], [4, 4]]}), ("region", REGION | {"polygon": BOX[:2]}),
        ("region", REGION | {"polygon": [[0.001, 0.0], *BOX]}),
        ("verdict", VERDICT | {"old": {"state": "fine", "call": None}}), ("verdict", VERDICT | {"reason": ""}),
        ("verdict", VERDICT | {"old": {"state": "open"}}), ("verdict", VERDICT | {"old": {"state": [], "call": None}}),
        ("verdict", VERDICT | {"reviewed": {"h_score": 12, "call": "HIGH"}}),
        ("verdict", VERDICT | {"reviewed": {"h_score": 301.0, "call": "HIGH"}}),
        ("verdict", VERDICT | {"reviewed": {"h_score": 1.0, "call": ""}}), ("comment", {"text": " x", "reason": ""}),
        ("comment", {"text": "x", "reason": " a"}), ("reading", READING | {"bins": [40, 30.0, 20.0, 10.0]}),
        ("deleted", {}), ("cells", None), ("cells", []),
    ],
)  # fmt: skip
def test_what_no_review_makes_is_refused(kind, payload):
    with pytest.raises(InputError):
        check_payload(kind, payload)
