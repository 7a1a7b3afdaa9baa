"""A model file that an assay names becomes part of the assay's text; the rest of the text stays as written."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from assay.made_model import made_model
from classical_assay import classical_loaded
from slidescore.assay import (
    LoadedAssay,
    assay_digest,
    changed_left_keys,
    left_digest,
    load_assay,
    parse_assay,
    with_tumor_model,
)
from slidescore.assay.inline_model import (
    NETWORK,
    TUMOR,
    anchor_network_path,
    inline_model_file,
    model_text,
    set_blocks,
    set_values,
)
from slidescore.assay.tumor_model import model_json
from slidescore.errors import AssayError

LOADED = classical_loaded()
MODEL = made_model(LOADED.assay)


def with_file(folder: Path, name: str, rule: str = "probability") -> Path:
    text = set_values(LOADED.text, TUMOR, {"model": name, "rule": rule})
    path = folder / "mine.yaml"
    path.write_text(text)
    return path


def test_a_named_file_is_read_from_beside_the_assay_and_written_into_its_text(tmp_path, monkeypatch):
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "study.json").write_bytes(model_json(MODEL))
    monkeypatch.chdir(tmp_path.parent)
    loaded = load_assay(with_file(tmp_path, "models/study.json"))
    assert loaded.assay.tumor.model == MODEL
    # The text alone is enough, wherever it is read.
    assert parse_assay(loaded.text, where="run.json") == loaded.assay
    assert "study.json" not in loaded.text
    assert loaded.assay == with_tumor_model(LOADED, MODEL).assay


@pytest.mark.parametrize("empty", ["", "   # none yet", " ~", " null"])
def test_a_model_takes_the_place_of_an_empty_value(empty):
    text = re.sub(r"(?m)^  model: null.*$", f"  model:{empty}", LOADED.text)
    assert text != LOADED.text
    loaded = LoadedAssay(parse_assay(text, where="x"), text, "x")
    assert loaded.assay == LOADED.assay
    assert with_tumor_model(loaded, MODEL).assay == with_tumor_model(LOADED, MODEL).assay


def test_only_the_two_values_of_the_text_change():
    text = with_tumor_model(LOADED, MODEL).text
    start = LOADED.text.index("tumor:\n  rule")
    assert text[:start] == LOADED.text[:start]
    tail = LOADED.text[LOADED.text.index("\nbins:") :]
    assert text.endswith(tail)
    assert set_values(text, TUMOR, {"model": "null", "rule": "all"}) == LOADED.text


def test_the_digest_follows_the_models_numbers_and_the_measurements_do_not():
    first = with_tumor_model(LOADED, MODEL).assay
    other = with_tumor_model(LOADED, made_model(LOADED.assay, coefficients=(2.0, -0.5000001))).assay
    digests = {assay_digest(each) for each in (LOADED.assay, first, other)}
    assert len(digests) == 3
    assert left_digest(first) == left_digest(LOADED.assay)


def test_a_missing_or_foreign_file_is_one_line_that_names_the_key(tmp_path):
    with pytest.raises(AssayError, match=r"mine.yaml key 'tumor.model': gone.json: cannot be read"):
        load_assay(with_file(tmp_path, "gone.json"))
    (tmp_path / "other.json").write_text("{}")
    with pytest.raises(AssayError, match=r"mine.yaml key 'tumor.model': other.json: is no tumor model"):
        load_assay(with_file(tmp_path, "other.json"))


def test_a_model_needs_the_rule_that_asks_it_and_cells_measured_alike(tmp_path):
    (tmp_path / "study.json").write_bytes(model_json(MODEL))
    with pytest.raises(AssayError, match="take rule probability"):
        load_assay(with_file(tmp_path, "study.json", rule="all"))
    path = with_file(tmp_path, "study.json")
    path.write_text(path.read_text().replace("expansion_um: 5.0", "expansion_um: 4.0"))
    with pytest.raises(AssayError, match=r"was trained on cells measured as .* train again"):
        load_assay(path)


def test_a_path_in_a_text_without_a_file_is_refused():
    with pytest.raises(AssayError, match=r"key 'tumor.model'"):
        parse_assay(set_values(LOADED.text, TUMOR, {"model": "study.json", "rule": "probability"}), where="run.json")


def network_text(model: str) -> str:
    return set_values(LOADED.text, NETWORK, {"model": model})


@pytest.mark.parametrize("name", ["models/mine", "./mine", "../mine", "a: b/#c é"])
def test_a_networks_folder_is_looked_for_beside_the_assay(tmp_path, monkeypatch, name):
    folder = tmp_path / "study"
    folder.mkdir()
    (folder / "mine.yaml").write_text(network_text(f"'{name}'"), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    loaded = load_assay("study/mine.yaml")
    assert loaded.assay.cells.network.model == str((folder / name).resolve())
    # What run.json holds means the same folder, wherever it is read.
    assert parse_assay(loaded.text, where="run.json") == loaded.assay


@pytest.mark.parametrize("model", ["cells-v1", "/models/mine", "", "3", "[a/b]"])
def test_a_name_and_a_full_path_stay_as_written(model, tmp_path):
    text = network_text(model)
    assert anchor_network_path(text, tmp_path) == text


def test_of_a_networks_folder_only_its_name_counts(change):
    here, there, other = (
        change(LOADED.assay, {"cells.segmenter": "network", "cells.network.model": path})
        for path in ("/here/mine", "/there/mine/", "/here/other")
    )
    assert assay_digest(here) == assay_digest(there) != assay_digest(other)
    assert changed_left_keys(here, there) == []
    assert changed_left_keys(here, other) == ["cells.network.model"]


@pytest.mark.parametrize("text", ["", "tumor: [", "a: b", "tumor: 3", "- tumor", "? [a]\n: b"])
def test_a_text_that_is_no_assay_is_left_to_the_parser(text, tmp_path):
    assert inline_model_file(text, tmp_path, where="x") == anchor_network_path(text, tmp_path) == text
    assert set_values(text, TUMOR, {"model": model_text(MODEL)}) == text


def test_values_in_block_style_leave_the_lines_behind_them_alone():
    text = """\
a: >-
  folded
  text
# about b
b:
  - 1
  - 2   # two
# about c
c:
  d: |
    kept
  e: 5  # five
"""
    new = set_blocks(text, {(): {"a": '"x"', "b": "[3]"}, ("c",): {"e": "6"}})
    assert (
        new
        == """\
a: "x"
# about b
b:
  [3]   # two
# about c
c:
  d: |
    kept
  e: 6  # five
"""
    )
    assert yaml.safe_load(new) == {"a": "x", "b": [3], "c": {"d": "kept\n", "e": 6}}
