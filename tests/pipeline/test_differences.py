"""A difference names the key and shows both values on one line."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slidescore.pipeline.differences import MOST_CHARACTERS, brief, differing

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
)


def test_each_difference_is_named_by_its_key() -> None:
    old = {"a": 1, "b": {"c": [1, 2], "gone": 0}, "same": "x"}
    new = {"a": 2, "b": {"c": [1, 3], "new": 4}, "same": "x"}
    assert list(differing(old, new, "top")) == [
        ("top.a", 1, 2),
        ("top.b.c[1]", 2, 3),
        ("top.b.gone", 0, None),
        ("top.b.new", None, 4),
    ]
    assert list(differing([1], [1, 2], "k")) == [("k", [1], [1, 2])]


@given(JSON)
def test_what_is_the_same_does_not_differ(value: object) -> None:
    assert list(differing(value, value, "k")) == []


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "empty"),
        ("", "empty"),
        ("\n", "empty"),
        (0, "0"),
        (False, "False"),
        (1.5, "1.5"),
        ("a\n\x1b[2Jb", "a [2Jb"),
    ],
)
def test_values_are_shown_as_they_are(value: object, shown: str) -> None:
    assert brief(value) == shown


@given(JSON)
def test_a_value_is_one_short_line(value: object) -> None:
    assert 0 < len(brief(value)) <= MOST_CHARACTERS
    assert brief(value).isprintable()
