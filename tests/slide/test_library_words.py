"""Of a library's message only the library's own words come through."""

from __future__ import annotations

import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slidescore.slide.library_words import LEFT_OUT, LIBRARY_WORDS, NOTHING_LEFT, library_words


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        ("Corrupt JPEG data: 2 extraneous bytes before marker 0xd9", None),
        ("Premature end of JPEG file", None),
        ("Couldn't open /in/MUELLER/a.svs: No such file", "could not open … No such file"),
        (
            "Can't load Slidedat.ini file: Key file contains line “PATIENT=MUELLER” which is not a key-value pair",
            "cannot load … file Key file contains line … which is not a key-value pair",
        ),
        ('Invalid integer attribute "12 Mueller"', "Invalid integer attribute …"),
        ("not a TIFF file header=b'MUELLER'", "not a TIFF file header …"),
        ("cannot identify image file '/in/Müller, Anna.png'", "cannot identify image file …"),
        ("could not parse TIFF tag 'Anna O'Neil 1950'", "could not parse TIFF tag …"),
        ("could not parse value 12 05 1950", "could not parse value 12 …"),
        ("could not parse value Mueller 1950", "could not parse value …"),
        ("failed to allocate 137439215616 bytes", "failed to allocate … bytes"),
        ("two\nrows of  data", "… rows of data"),
    ],
)
def test_messages(message: str, shown: str | None) -> None:
    expected = message.replace(":", "") if shown is None else shown
    assert library_words(ValueError(message)) == expected


@pytest.mark.parametrize(
    "message", ["", "Mueller^Anna 19500512", "<tifffile.TiffTag 270 ImageDescription> Mueller", "x"]
)
def test_a_message_of_the_file_alone_is_not_repeated(message: str) -> None:
    assert library_words(message) == NOTHING_LEFT


def test_a_name_of_no_valid_unicode_and_a_long_message_are_one_short_line() -> None:
    assert library_words("cannot read file \udc80") == "cannot read file …"
    line = library_words("cannot read tile " * 100)
    assert len(line) <= 160
    assert line.endswith(LEFT_OUT)


@given(st.text(), st.sampled_from(["cannot read tag {} of file", "{}: invalid value", "no file '{}' found", "{}"]))
def test_no_foreign_word_comes_through(name: str, message: str) -> None:
    words = library_words(message.format(name)).replace(LEFT_OUT, " ").split()
    small = {word for word in words if len(word) <= 9 and any(sign.isdigit() for sign in word)}
    assert {word.lower() for word in words} - small <= LIBRARY_WORDS | set(NOTHING_LEFT.split())


def test_the_vocabulary_holds_no_name() -> None:
    names = "smith jones brown miller davis king young white black long grant may mark frank page will rose field lee"
    allowed = {"mark", "page", "field", "long", "may", "will"}
    assert set(names.split()) & LIBRARY_WORDS <= allowed
    assert all(word == word.lower() for word in LIBRARY_WORDS)


def test_tifffile_logs_no_tag() -> None:
    assert not logging.getLogger("tifffile").isEnabledFor(logging.ERROR)
