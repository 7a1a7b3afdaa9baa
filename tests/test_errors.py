"""Errors say what, where and what to do, in one line, and survive the border between processes."""

from __future__ import annotations

import inspect
import pickle
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slidescore import errors, execute
from slidescore.errors import SlideOpenError, SlidescoreError, UnknownNameError, nearest_names, place_of, trace_of

KINDS = [
    kind
    for room in (errors, execute)
    for _, kind in inspect.getmembers(room, inspect.isclass)
    if issubclass(kind, SlidescoreError) and kind is not execute.UnforeseenError
]


@pytest.mark.parametrize("kind", KINDS)
def test_text_is_where_what_and_remedy(kind):
    assert str(kind("is broken", where="a.svs", remedy="copy it again")) == "a.svs: is broken (copy it again)"
    assert str(kind("is broken", where="a.svs")) == "a.svs: is broken"
    assert str(kind("is broken", remedy="copy it again")) == "is broken (copy it again)"
    assert str(kind("is broken")) == "is broken"


@pytest.mark.parametrize("kind", KINDS)
def test_the_reason_for_a_table_names_no_place(kind):
    error = kind("is broken", where="/home/a person/slides/a.svs", remedy="copy it again")
    if kind is errors.AnnotationError:
        # Its place is a file name and a feature, never a folder.
        assert error.reason == str(error)
    else:
        assert error.reason == "is broken (copy it again)"
    assert kind("is broken").reason == "is broken"


@pytest.mark.parametrize("kind", KINDS)
@given(message=st.text(), where=st.text(), remedy=st.text())
def test_errors_survive_pickling(kind, message, where, remedy):
    error = kind(message, where=where, remedy=remedy)
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is kind
    assert (copy.message, copy.where, copy.remedy) == (message, where, remedy)
    assert str(copy) == str(error)


def test_an_unforeseen_error_keeps_its_trace():
    error = execute.UnforeseenError("internal error: ZeroDivisionError")
    error.trace = "line 1\nline 2"
    copy = pickle.loads(pickle.dumps(error))
    assert (str(copy), copy.trace) == ("internal error: ZeroDivisionError", "line 1\nline 2")


@pytest.mark.parametrize(
    ("kind", "parent"),
    [
        (errors.SlideOpenError, OSError),
        (errors.MissingResolutionError, ValueError),
        (errors.AssayError, ValueError),
        (errors.AnnotationError, ValueError),
        (errors.UnknownNameError, KeyError),
        (errors.RunFolderError, FileExistsError),
        (errors.RunFolderBusyError, errors.RunFolderError),
        (errors.InputError, ValueError),
    ],
)
def test_a_caller_who_knows_only_python_can_catch_them(kind, parent):
    assert issubclass(kind, parent)
    with pytest.raises(parent):
        raise kind("x")


def test_an_unknown_name_is_not_quoted_as_key_errors_are():
    assert str(UnknownNameError("no such assay")) == "no such assay"


def test_the_nearest_name_is_suggested_and_far_ones_are_listed():
    known = ["thresholds", "source", "value"]
    assert nearest_names("treshold", known) == "did you mean 'thresholds'?"
    assert nearest_names("zzz", known) == "known: source, thresholds, value"


@given(st.sampled_from(["expansion_um", "membrane_um", "guard_um"]), st.integers(0, 7))
def test_one_lost_letter_is_found_again(name, at):
    assert nearest_names(name[:at] + name[at + 1 :], ["expansion_um", "membrane_um", "guard_um"]).endswith(f"'{name}'?")


def quote_the_file() -> None:
    try:
        raise ValueError("Mueller")
    except ValueError as error:
        raise SlideOpenError("cannot be read") from error


def test_a_trace_has_places_and_kinds_but_no_words():
    with pytest.raises(SlideOpenError) as caught:
        quote_the_file()
    text = trace_of(caught.value)
    assert text.index("ValueError") < text.index("led to") < text.rindex("SlideOpenError")
    assert "in quote_the_file" in text
    assert text.count("Mueller") == text.count('raise ValueError("Mueller")') == 1
    assert re.fullmatch(r"in test_errors\.py, line \d+", place_of(caught.value))


def test_an_error_that_was_never_raised_has_no_place():
    assert place_of(ValueError("x")) == "at an unknown place"
    assert trace_of(ValueError("x")) == "ValueError"


def test_a_trace_of_errors_in_a_circle_ends():
    one, two = ValueError("1"), KeyError("2")
    one.__cause__, two.__cause__ = two, one
    assert trace_of(one).splitlines()[::4] == ["KeyError", "ValueError"]
