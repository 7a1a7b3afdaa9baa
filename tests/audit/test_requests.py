"""What anybody may send, and what is made of it."""

from __future__ import annotations

import random
from contextlib import suppress
from typing import Any

import numpy as np
import pytest

from audit.made_reviews import DIGEST, body_of
from slidescore.audit.requests import (
    MAX_CELLS,
    MAX_CORNERS,
    MAX_REASON,
    MAX_REVIEWER,
    MAX_TEXT,
    parse_request,
    parse_reviewer,
)
from slidescore.errors import InputError

TRIANGLE = [[0, 0], [10, 0], [0, 10.006]]


def content(kind: str, **said: Any) -> dict[str, Any]:
    return dict(parse_request(body_of(kind, **said)).content)


def test_a_request_is_read_whole():
    request = parse_request(body_of("cells", cells=[7, 5, 6], bin=2, reason=" too  pale\n"))
    assert (request.kind, request.reviewer, request.reason, request.result_digest) == (
        "cells",
        "Ann",
        "too pale",
        DIGEST,
    )
    assert (request.content["cells"].tolist(), request.content["set"]) == ([5, 6, 7], {"bin": 2})
    assert request.content["cells"].dtype == np.int64


@pytest.mark.parametrize(
    ("kind", "said", "made"),
    [
        ("region", {"role": "exclude", "polygon": TRIANGLE},
         {"role": "exclude", "polygon": [[0.0, 0.0], [10.0, 0.0], [0.0, 10.01]]}),
        ("undo", {"of": 3}, {"of": 3}),
        ("redo", {"of": 3}, {"of": 3}),
        ("verdict", {"state": "flagged"}, {"state": "flagged"}),
        ("verdict", {"state": "overridden", "call": "LOW"}, {"state": "overridden", "call": "LOW"}),
        ("comment", {"text": " one\r\n\ttwo  three "}, {"text": "one\ntwo three"}),
        ("reading", {"h_score": 120}, {"h_score": 120.0, "text": ""}),
        ("reading", {"percent_positive": 0.5, "text": "faint"}, {"percent_positive": 0.5, "text": "faint"}),
        ("reading", {"bins": [33, 33, 33, 0.5]}, {"bins": [33.0, 33.0, 33.0, 0.5], "text": ""}),
        ("reading", {"intensity": 3}, {"intensity": 3, "text": ""}),
    ],
)  # fmt: skip
def test_each_kind_has_its_content(kind, said, made):
    found = content(kind, **said)
    assert found == made
    assert [type(value) for value in found.values()] == [type(value) for value in made.values()]


def test_a_zero_has_no_sign():
    assert str(content("region", role="include", polygon=[[-0.001, 0], [9, 0], [0, 9]])["polygon"][0]) == "[0.0, 0.0]"


@pytest.mark.parametrize("state", ["accepted", "rejected", "flagged", "open", "overridden"])
@pytest.mark.parametrize("reason", ["", " \n", None])
def test_a_verdict_needs_a_reason_unless_it_opens(state, reason):
    said = body_of("verdict", state=state, reason=reason, **({"call": "LOW"} if state == "overridden" else {}))
    if state == "open" and reason is not None:
        assert parse_request(said).reason == ""
    else:
        with pytest.raises(InputError, match="reason"):
            parse_request(said)


def test_only_a_verdict_needs_a_reason():
    said = body_of("undo", of=1)
    del said["reason"]
    assert parse_request(said).reason == ""


@pytest.mark.parametrize(
    ("name", "read"),
    [(" Ann  B. ", "Ann B."), ("Zoe\u0308", "Zoë"), ("李 雷", "李 雷"), ("a\u00a0b", "a b"), ("x" * MAX_REVIEWER,) * 2],
)
def test_names_are_read_in_one_form(name, read):
    assert parse_reviewer(name) == read


@pytest.mark.parametrize(
    "name", ["", "  ", None, 7, ["Ann"], "a;b", "a\x00b", "a\u202eb", "a\ud800", "x" * (MAX_REVIEWER + 1), "x" * 10**6,
     "=1+1", " +1", "-x", "@a"],
)  # fmt: skip
def test_other_names_are_refused(name):
    with pytest.raises(InputError, match="reviewer") as caught:
        parse_reviewer(name)
    assert len(str(caught.value)) < 120


ONE_LINE = 200
BAD: list[tuple[str, dict[str, Any]]] = [
    *(("cells", {"cells": cells, "bin": 1}) for cells in (
        [], None, 5, "5", {}, [1, 1], [-1], [1.0], [True], ["1"], [None], [[1]], [10**30], [10**10],
        list(range(MAX_CELLS + 1)))),
    *(("cells", {"cells": [1], "bin": value}) for value in (-1, 4, 1.0, True, "1", None, [1], float("nan"))),
    *(("cells", {"cells": [1], "tumor": value}) for value in (0, 1, "true", None)),
    ("cells", {"cells": [1]}), ("cells", {"bin": 1}), ("cells", {"cells": [1], "bin": 1, "tumor": True}),
    ("cells", {"cells": [1], "bin": 1, "extra": 1}),
    *(("region", {"role": "exclude", "polygon": corners}) for corners in (
        None, [], TRIANGLE[:2], [[0, 0], [1, 1], [2, 2]], [[0, 0]] * 9, [[0, 0], [5, 0], [9, 0], [2, 0]],
        [[0, 0], [1, 0], [1]], [[0, 0], [1, 0], [0, 1, 2]], [[0, 0], [1, 0], "ab"], [[0, 0], [1, 0], ["0", 1]],
        [[0, 0], [1, 0], [0, float("nan")]], [[0, 0], [1, 0], [0, float("inf")]], [[0, 0], [1, 0], [0, 10**400]],
        [[0, 0], [1, 0], [0, True]], [[0, 0], [1, 0], [0, 1e9]], [[i, i % 7] for i in range(MAX_CORNERS + 1)])),
    ("region", {"role": "control", "polygon": TRIANGLE}), ("region", {"role": ["include"], "polygon": TRIANGLE}),
    ("region", {"polygon": TRIANGLE}), ("region", {"role": "include", "polygon": TRIANGLE, "n_cells": 3}),
    *(("undo", {"of": of}) for of in (0, -1, 1.0, True, "1", None, 10**30)), ("redo", {}), ("undo", {"of": 1, "x": 1}),
    *(("verdict", {"state": state}) for state in ("", "fine", None, 1, ["open"], {}, "unreviewed", "changed")),
    ("verdict", {"state": "overridden"}), ("verdict", {"state": "overridden", "call": "high"}),
    ("verdict", {"state": "overridden", "call": ["LOW"]}), ("verdict", {"state": "accepted", "call": "LOW"}),
    *(("comment", {"text": text}) for text in ("", " \n ", None, 1, "x" * (MAX_TEXT + 1), "a\x07", "y" * 10**6)),
    *(("reading", {"h_score": value}) for value in (-1, 300.5, True, "1", None, float("nan"))),
    ("reading", {}), ("reading", {"h_score": 1, "intensity": 1}), ("reading", {"h_score": 1, "text": 5}),
    ("reading", {"percent_positive": 101}), ("reading", {"intensity": 1.0}), ("reading", {"intensity": 4}),
    *(("reading", {"bins": bins}) for bins in ([25] * 3, [25] * 5, [50, 50, 1, 0], [0] * 4, [-10, 110, 0, 0], "abcd")),
    *((kind, {}) for kind in ("", None, 5, "cell", ["cells"], {}, "DELETE")),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "said"), BAD)
def test_what_is_not_well_formed_is_refused_in_one_line(kind, said):
    with pytest.raises(InputError) as caught:
        parse_request(body_of(kind, **said))
    assert len(str(caught.value)) < ONE_LINE
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("body", [None, [], 5, "x", {}])
def test_what_is_no_request_is_refused(body):
    with pytest.raises(InputError):
        parse_request(body)


@pytest.mark.parametrize("digest", [None, "", "ab", "g" * 64, "AB" * 32, 64, ["ab" * 32]])
def test_a_result_must_be_named(digest):
    with pytest.raises(InputError, match="result_digest"):
        parse_request(body_of("undo", of=1, digest=digest))


def test_a_long_reason_is_refused():
    with pytest.raises(InputError, match="reason"):
        parse_request(body_of("undo", of=1, reason="x" * (MAX_REASON + 1)))


def test_anything_is_read_or_refused_and_nothing_else_happens():
    rng = random.Random(6)
    kinds = ["cells", "region", "undo", "redo", "verdict", "comment", "reading", "x", None, 3]
    keys = ["cells", "bin", "tumor", "role", "polygon", "of", "state", "call", "text", "h_score", "bins", "intensity",
            "percent_positive", "reason", "reviewer", "kind", "result_digest", "", "\ud800"]  # fmt: skip

    def anything(depth: int = 0) -> Any:
        plain = [None, True, 0, -1, 3, 10**40, 1.5, float("nan"), float("-inf"), "", "LOW", "open", "\ud800", "include"]
        pick = rng.randrange(len(plain) + (4 if depth < 3 else 0))
        if pick < len(plain):
            return plain[pick]
        if pick % 2:
            return [anything(depth + 1) for _ in range(rng.randrange(5))]
        return {rng.choice(keys): anything(depth + 1) for _ in range(rng.randrange(4))}

    n_read = 0
    for _ in range(4000):
        body = body_of(rng.choice(kinds), **{"reviewer": "Ann"})
        body |= {rng.choice(keys): anything() for _ in range(rng.randrange(4))}
        with suppress(InputError):
            parse_request(body)
            n_read += 1
    assert 0 < n_read < 4000
