"""What the wheel carries beside the code: each model's card and weights, and nothing that training left."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from slidescore.nn.card import CARD_FILE, WEIGHTS_FILE

ROOT = Path(__file__).resolve().parent.parent
BUILD = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]
INCLUDED: dict[str, str] = BUILD["wheel"]["force-include"]


def test_the_wheel_lists_every_model_file_by_file():
    names = ["models/README.md"]
    for card in (ROOT / "models").glob(f"*/{CARD_FILE}"):
        names += [f"models/{card.parent.name}/{name}" for name in (CARD_FILE, WEIGHTS_FILE)]
    assert sorted(name for name in INCLUDED if name.startswith("models")) == sorted(names)


@pytest.mark.parametrize("source", INCLUDED)
def test_what_the_wheel_lists_is_there_and_keeps_its_name(source):
    assert INCLUDED[source] == f"slidescore/{source}"
    path = ROOT / source
    # A folder is taken whole, ignored files and all, so only one that holds nothing else may stand there.
    assert path.is_file() or {each.suffix for each in path.iterdir()} == {".yaml"}


def test_the_source_archive_takes_no_more_of_a_model():
    patterns = [name for name in BUILD["sdist"]["include"] if name.startswith("models")]
    assert patterns == ["models/README.md", f"models/*/{CARD_FILE}", f"models/*/{WEIGHTS_FILE}"]
