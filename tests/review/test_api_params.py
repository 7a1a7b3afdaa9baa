from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from slidescore.review.api_params import (
    ApiError,
    Asked,
    box_of,
    number_of,
    polygon_of,
    refuse_unknown,
    text_of,
    thresholds_of,
)

SQUARE = [[0, 0], [10, 0], [10, 10], [0, 10]]


def asked(query: dict[str, str] | None = None, path: dict[str, str] | None = None, body: bytes = b"") -> Asked:
    return Asked(path or {}, query or {}, body)


@pytest.mark.parametrize("text", ["0", "7", "123456789012345"])
def test_whole_numbers_are_read(text: str) -> None:
    assert asked(path={"k": text}).integer("k") == int(text)
    assert asked({"after": text}).query_integer("after", 3) == int(text)
    assert asked().query_integer("after", 3) == 3


@pytest.mark.parametrize(
    "text", ["", "-1", "1.0", "1e3", " 1", "1 ", "+1", "0x1", "٣", "1" * 16, "9" * 5000, "None", "1\n"]
)
def test_what_is_none_is_refused(text: str) -> None:
    with pytest.raises(ApiError) as caught:
        asked(path={"k": text}).integer("k")
    assert caught.value.status == 404
    with pytest.raises(ApiError) as caught:
        asked({"after": text}).query_integer("after", 0)
    assert caught.value.status == 400


@pytest.mark.parametrize(("text", "value"), [("1", 1.0), ("-2.5", -2.5), ("1e3", 1000.0), ("0.", 0.0), ("1E-2", 0.01)])
def test_coordinates_are_read(text: str, value: float) -> None:
    assert asked({"x": text}).query_number("x") == value


@pytest.mark.parametrize(
    "text", [None, "", "nan", "inf", "-Infinity", "1e999", "1e10", "abc", "1,5", "1_0", "٣", "--1", "1e"]
)
def test_what_is_no_coordinate_is_refused(text: str | None) -> None:
    with pytest.raises(ApiError):
        asked({} if text is None else {"x": text}).query_number("x")


def test_a_word_is_one_of_those_known_and_the_first_by_default() -> None:
    assert asked().query_choice("palette", ("a", "b")) == "a"
    assert asked({"palette": "b"}).query_choice("palette", ("a", "b")) == "b"
    with pytest.raises(ApiError):
        asked({"palette": "A"}).query_choice("palette", ("a", "b"))


def test_a_reviewers_name_is_read_as_the_log_writes_it() -> None:
    assert Asked({}, {"reviewer": " Ann \u00a0 Zoe\u0308 "}).query_reviewer("B.") == "Ann Zoë"
    assert Asked({}, {}).query_reviewer("B.") == "B."
    for name in ("", "a;b", "=1", "x" * 1000, "a\u202eb"):
        assert Asked({}, {"reviewer": name}).query_reviewer("B.") == ""


def test_thresholds_come_from_the_query() -> None:
    assert asked().query_thresholds() is None
    assert asked({"t": "0.1,0.2,0.3"}).query_thresholds() == (0.1, 0.2, 0.3)
    for text in ("", "0.1,0.2", "0.1,0.2,0.3,0.4", "0.3,0.2,0.1", "0,0.1,0.2", "a,b,c", "0.1,0.2,nan", "0.1,0.1,0.2"):
        with pytest.raises(ApiError):
            asked({"t": text}).query_thresholds()


@pytest.mark.parametrize(
    "value", [None, "0.1,0.2,0.3", [0.1, 0.2], [0.1, 0.2, "0.3"], [True, 2, 3], [-1, 2, 3], [1, 2, 1e12], {}]
)
def test_other_thresholds_are_refused(value: Any) -> None:
    with pytest.raises(ApiError):
        thresholds_of(value)


@pytest.mark.parametrize("value", [None, True, False, "1", [1], math.nan, math.inf, {}])
def test_numbers_are_numbers(value: Any) -> None:
    assert number_of(3, "x") == 3.0
    with pytest.raises(ApiError):
        number_of(value, "x")


@pytest.mark.parametrize("value", [None, 1, "", "   ", "a\nb", "a\x00b", "x" * 11, "\u202eabc", ["a"]])
def test_texts_are_printable_and_short(value: Any) -> None:
    assert text_of("  Ä b ", "name", 10) == "Ä b"
    with pytest.raises(ApiError):
        text_of(value, "name", 10)


def test_a_polygon_is_a_ring_of_points() -> None:
    ring = polygon_of(SQUARE)
    assert ring.dtype == np.float64
    assert ring.tolist() == SQUARE


@pytest.mark.parametrize(
    "value",
    [None, {}, "x", [], SQUARE[:2], [[0, 0], [1, 1], [2]], [[0, 0], [1, 1], [2, 3, 4]], [[0, 0], [1, 1], ["2", 3]],
     [[0, 0], [1, 1], [True, 3]], [[0, 0], [1, 1], [1e12, 3]], [[0, 0], [1, 1], None], SQUARE * 2000],
)  # fmt: skip
def test_what_is_no_polygon_is_refused(value: Any) -> None:
    with pytest.raises(ApiError) as caught:
        polygon_of(value)
    assert caught.value.status == 400


def test_a_tangle_is_refused() -> None:
    with pytest.raises(ApiError, match="crosses itself"):
        polygon_of(np.random.default_rng(0).uniform(0, 1000, (500, 2)).tolist())


def test_a_box_does_not_end_before_it_begins() -> None:
    assert box_of([0, 1, 2.5, 3]) == (0.0, 1.0, 2.5, 3.0)
    for value in (None, [0, 1, 2], [3, 0, 2, 1], [0, 3, 2, 1], [0, 1, 2, "3"], [0, 1, 2, 1e12], "0,1,2,3"):
        with pytest.raises(ApiError):
            box_of(value)


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"1", b"null", b'"a"', b"{", b'{"a": NaN}', b'{"a": 1e999}',
     b"\xff{}", b"[" * 3000, b'{"a": "\\ud800"}'],
)  # fmt: skip
def test_a_body_is_a_json_object(body: bytes) -> None:
    assert asked(body=b'{"a": [1, 2.5]}').json() == {"a": [1, 2.5]}
    with pytest.raises(ApiError) as caught:
        asked(body=body).json()
    assert caught.value.status == 400


def test_unknown_keys_are_refused_without_being_repeated() -> None:
    refuse_unknown({"a": 1}, ("a", "b"))
    with pytest.raises(ApiError) as caught:
        refuse_unknown({"secret": 1}, ("a", "b"))
    assert "secret" not in f"{caught.value.error} {caught.value.remedy}"
