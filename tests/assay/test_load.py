"""Every mistake in an assay file is one line that names the key."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.made_model import made_model
from classical_assay import classical_text
from slidescore.assay import (
    LEFT_OF_WALL,
    Assay,
    assay_digest,
    changed_left_keys,
    left_digest,
    list_assays,
    load_assay,
    parse_assay,
)
from slidescore.assay.load import configs_dir
from slidescore.errors import AssayError, UnknownNameError

TEXT = classical_text()


def edited(old: str, new: str) -> str:
    """The default assay with one place changed."""
    assert old in TEXT, f"the default assay no longer holds {old!r}"
    return TEXT.replace(old, new, 1)


def without(line: str) -> str:
    lines = TEXT.splitlines(keepends=True)
    kept = [each for each in lines if not each.strip().startswith(line)]
    assert len(kept) == len(lines) - 1
    return "".join(kept)


def complaint(text: str) -> str:
    """The one line that refuses a text."""
    with pytest.raises(AssayError) as caught:
        parse_assay(text, where="mine.yaml")
    said = str(caught.value)
    assert "\n" not in said
    assert said.startswith("mine.yaml")
    return said


@pytest.mark.parametrize(
    ("text", "key", "nearest"),
    [
        (edited("schema_version: 1", "schema_version: 1\nnote: x"), "'note'", "'notes'"),
        (edited("  snap_fraction:", "  snap_fractoin:"), "'reading.snap_fractoin'", "'snap_fraction'"),
        (edited("    operator:", "    operater:"), "'call.cutoff.operater'", "'operator'"),
        (edited("    include:", "    includes:"), "'tissue.annotations.includes'", "'include'"),
        (edited("    thresholds:", "    treshold:"), "'bins.nucleus.treshold'", "'thresholds'"),
        (edited("{dab_weight: 0.0,", "{dab_wieght: 0.0,"), "'cells.classical.channels.0.dab_wieght'", "'dab_weight'"),
        (edited("  min_tumor_cells:", "  min_tumour_cells:"), "'qc.min_tumour_cells'", "'min_tumor_cells'"),
    ],
)
def test_an_unknown_key_is_named_with_the_nearest_known_one(text, key, nearest):
    said = complaint(text)
    assert f"unknown key {key}" in said
    assert f"did you mean {nearest}?" in said


def test_an_unknown_key_like_no_other_gets_the_list():
    said = complaint(edited("schema_version: 1", "schema_version: 1\n42: x"))
    assert "unknown key '42'" in said
    assert "known: artifacts, bins, call, cells" in said


@pytest.mark.parametrize(
    ("line", "key"),
    [
        ("halo_um:", "tiles.halo_um"),
        ("marker:", "marker"),
        ("status: provisional", "call.cutoff.status"),
        ("max_failed_fraction:", "qc.max_failed_fraction"),
    ],
)
def test_a_missing_key_is_named(line, key):
    assert f"missing key '{key}'" in complaint(without(line))


def test_a_threshold_needs_a_source():
    text = edited("    source: QuPath's defaults for DAB OD mean; not calibrated for CXCR4\n", "")
    assert "missing key 'bins.nucleus.source'" in complaint(text)


def test_a_cutoff_needs_a_source():
    assert "missing key 'call.cutoff.source'" in complaint(without("source: midpoint"))


def test_an_empty_source_is_no_source():
    said = complaint(re.sub("source: midpoint.*", 'source: ""', TEXT))
    assert "'call.cutoff.source'" in said


@pytest.mark.parametrize("values", ["[0.4, 0.2, 0.6]", "[0.2, 0.6, 0.4]", "[0.2, 0.2, 0.6]", "[0.2, 0.6, 0.6]"])
def test_thresholds_must_rise(values):
    said = complaint(edited("thresholds: [0.2, 0.4, 0.6]", f"thresholds: {values}"))
    assert "'bins.nucleus'" in said
    assert "rise" in said


@pytest.mark.parametrize("values", ["[0.2, 0.4]", "[0.2, 0.4, 0.6, 0.8]", "0.2", "[0.0, 0.4, 0.6]", "[-0.1, 0.4, 0.6]"])
def test_thresholds_are_three_positive_numbers(values):
    assert "bins.nucleus.thresholds" in complaint(edited("thresholds: [0.2, 0.4, 0.6]", f"thresholds: {values}"))


def test_a_cutoff_on_another_scale_is_refused():
    said = complaint(edited("    scale: h_score", "    scale: percent_positive").replace("value: 150", "value: 50"))
    assert "call.cutoff.scale is 'percent_positive'" in said
    assert "score.scheme is 'h_score'" in said


def test_a_cutoff_on_another_compartment_is_refused():
    said = complaint(edited("    compartment: cytoplasm", "    compartment: membrane"))
    assert "call.cutoff.compartment is 'membrane'" in said
    assert "score.compartment is 'cytoplasm'" in said


@pytest.mark.parametrize("value", ["301", "-1", "300.5"])
def test_a_cutoff_lies_on_its_scale(value):
    said = complaint(edited("value: 150", f"value: {value}"))
    assert "call.cutoff" in said


def test_percent_ends_at_100():
    text = edited("scheme: h_score", "scheme: percent_positive").replace("scale: h_score", "scale: percent_positive")
    assert "outside the percent_positive scale (0 to 100)" in complaint(text)


@pytest.mark.parametrize(
    ("old", "new", "key"),
    [
        ("value: 150", "value: '150'", "call.cutoff.value"),
        ("value: 150", "value: true", "call.cutoff.value"),
        ("value: 150", "value: .nan", "call.cutoff.value"),
        ("value: 150", "value: .inf", "call.cutoff.value"),
        ("value: 150", "value:", "call.cutoff.value"),
        ("core_px: 1024", "core_px: 1024.5", "tiles.core_px"),
        ("core_px: 1024", "core_px: yes", "tiles.core_px"),
        ("marker: CXCR4", "marker: 4", "marker"),
        ("decode: exact", "decode: quarter", "reading.decode"),
        ("rule: all", "rule: some", "tumor.rule"),
        ("segmenter: classical", "segmenter: stardist", "cells.segmenter"),
        ('operator: ">="', 'operator: "=>"', "call.cutoff.operator"),
        ("schema_version: 1", "schema_version: 2", "schema_version"),
        ("name: cxcr4", "name: CXCR4 of ours", "name"),
        ("max_missing_fraction: 0.01", "max_missing_fraction: 1.01", "qc.max_missing_fraction"),
        ("expansion_um: 5.0", "expansion_um: 0", "cells.expansion_um"),
        ("    tumor: [Tumor]", "    tumor: Tumor", "tissue.annotations.tumor"),
    ],
)
def test_a_value_of_the_wrong_kind_is_named(old, new, key):
    assert f"'{key}'" in complaint(edited(old, new))


def test_a_whole_number_is_a_number():
    assert parse_assay(edited("mpp: 0.5 ", "mpp: 1 "), where="x").reading.mpp == 1.0


def test_a_class_has_one_meaning():
    said = complaint(edited("    control: [Control]", "    control: [Control, Tumor]"))
    assert "class 'Tumor' is both control and tumor" in said


def test_a_key_given_twice_is_refused_with_its_line():
    said = complaint(edited("  halo_um: 64.0", "  halo_um: 64.0\n  halo_um: 60.0"))
    line = edited("  halo_um: 64.0", "  halo_um: 64.0\n  halo_um: 60.0").splitlines().index("  halo_um: 60.0") + 1
    assert "'halo_um' stands twice" in said
    assert re.search(rf"line {line}\b", said)


@pytest.mark.parametrize(
    ("text", "line"),
    [("a: [1\nb: 2", 2), ("a: b: c", 1), ("a: 1\n\tb: 2", 2), ("a: *unknown", 1), ("a: !!python/name:os.system x", 1)],
)
def test_broken_yaml_is_one_line_with_its_place(text, line):
    said = complaint(text)
    assert "not valid YAML" in said
    assert f"mine.yaml line {line}:" in said


@pytest.mark.parametrize("text", ["a: \x00", "a: \x07b", "{{ name }}: 1", "name: {{ name }}", "? [a, b]\n: 1"])
def test_what_no_person_would_type_is_still_one_line(text):
    complaint(text)


@pytest.mark.parametrize("text", ["", "# only a comment\n", "- 1\n- 2", "just words", "42"])
def test_a_file_without_blocks_is_refused(text):
    assert "an assay is a mapping of blocks" in complaint(text)


@given(st.data())
def test_any_lost_or_doubled_line_is_refused_in_one_line(data):
    lines = TEXT.splitlines()
    numbered = [n for n, line in enumerate(lines) if ":" in line and not line.lstrip().startswith(("#", "-"))]
    at = data.draw(st.sampled_from(numbered))
    double = data.draw(st.booleans())
    changed = lines[: at + 1] + lines[at:] if double else lines[:at] + lines[at + 1 :]
    complaint("\n".join(changed))


@given(st.text(max_size=60))
def test_any_text_is_refused_in_one_line(text):
    complaint(text)


def test_an_unknown_name_suggests_the_nearest():
    with pytest.raises(UnknownNameError) as caught:
        load_assay("cxcr5")
    assert "'cxcr5'" in str(caught.value)
    assert "did you mean 'cxcr4'?" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_assay_is_read_from_a_file_by_its_path(tmp_path):
    path = tmp_path / "our lab é.yaml"
    path.write_text(edited("name: cxcr4", "name: our-lab"), encoding="utf-8")
    loaded = load_assay(path)
    assert loaded.assay.name == "our-lab"
    assert loaded.origin == "our lab é.yaml"
    assert loaded.text == path.read_text(encoding="utf-8")
    assert load_assay(str(path)).assay == loaded.assay


def test_a_file_that_is_no_text_is_refused(tmp_path):
    path = tmp_path / "binary.yaml"
    path.write_bytes(b"\xff\xfe\x00\x80")
    with pytest.raises(AssayError, match="cannot be read"):
        load_assay(path)


def test_a_missing_file_is_an_unknown_name(tmp_path):
    with pytest.raises(UnknownNameError, match="no such file"):
        load_assay(tmp_path / "absent.yaml")


@pytest.mark.parametrize("name", list_assays())
def test_every_shipped_assay_loads_under_its_own_name(name):
    loaded = load_assay(name)
    assert loaded.assay.name == name == (configs_dir() / loaded.origin).stem


@pytest.mark.parametrize("name", list_assays())
def test_a_shipped_cutoff_without_validation_says_so(name):
    cutoff = load_assay(name).assay.call.cutoff
    if name == "cxcr4-continuous":
        assert cutoff is None
    else:
        assert cutoff.status == ("unverified" if name == "cxcr4-shim2018" else "provisional")
        assert cutoff.source


def test_the_shipped_presets_measure_the_same_and_differ_in_score_and_call_only():
    default = load_assay().assay
    rules = {}
    for name in list_assays():
        assay = load_assay(name).assay
        rules[name] = assay.call.cutoff_text
        if name.startswith("cxcr4"):
            assert changed_left_keys(default, assay) == []
            assert (assay.bins, assay.tumor, assay.qc) == (default.bins, default.tumor, default.qc)
    assert rules == {
        "cxcr4": "h_score cytoplasm >= 150",
        "cxcr4-any-positive": "percent_positive cytoplasm >= 1",
        "cxcr4-continuous": None,
        "cxcr4-irs-positive": "irs cytoplasm >= 3",
        "cxcr4-shim2018": "irs cytoplasm > 7",
        "generic-nuclear": "percent_positive nucleus >= 1",
    }


def test_the_default_assay_is_what_the_design_says():
    assay = load_assay().assay
    assert assay.name == "cxcr4"
    assert (assay.score.scheme, assay.score.compartment) == ("h_score", "cytoplasm")
    assert assay.bins.of("cytoplasm") == (0.2, 0.4, 0.6)
    assert assay.call.cutoff.text == "h_score cytoplasm >= 150"


def every_value(model: object, prefix: str = "") -> list[str]:
    """Dotted names of all plain values of an assay."""
    names = []
    for name in type(model).model_fields:
        value = getattr(model, name)
        inner = every_value(value, f"{prefix}{name}.") if hasattr(type(value), "model_fields") else [f"{prefix}{name}"]
        names.extend(inner)
    return names


ASSAY = parse_assay(TEXT, where="x")
VALUES = every_value(ASSAY)


def other(assay: Assay, dotted: str) -> object:
    """A value that differs from the one the assay has; never checked, only digested."""
    value: object = assay
    for name in dotted.split("."):
        value = getattr(value, name)
    if value is None:
        return {"tumor.model": made_model(assay), "call.cutoff.meaning": "x"}.get(dotted, 1.0)
    if isinstance(value, int | float):
        return value + 1
    return f"{value}x" if isinstance(value, str) else (value * 2 if len(value) == 1 else value[::-1])


@pytest.mark.parametrize("segmenter", ["classical", "network"])
@pytest.mark.parametrize("dotted", VALUES)
def test_the_digest_changes_with_every_value_and_the_left_one_with_what_measures(dotted, segmenter, change):
    before = change(ASSAY, {"cells.segmenter": segmenter})
    changed = change(before, {dotted: other(before, dotted)})
    if dotted == "cells.segmenter":
        changed = change(ASSAY, {dotted: "network" if segmenter == "classical" else "classical"})
    idle = "cells.network." if segmenter == "classical" else "cells.classical."
    left = dotted.split(".")[0] in LEFT_OF_WALL and not dotted.startswith(idle)
    assert assay_digest(changed) != assay_digest(before)
    # Which network it is, says the model's digest.
    assert (left_digest(changed) != left_digest(before)) == (left and dotted != "cells.network.model")
    assert changed_left_keys(before, changed) == ([dotted] if left else [])


def test_the_digest_ignores_comments_and_the_order_of_keys():
    head, tail = TEXT.split("\nbins:\n", 1)
    bins, score = tail.split("\nscore:\n", 1)
    reordered = f"score:\n{score}\nbins:\n{bins}\n{head}\n# the end\n"
    reordered = re.sub(r"  +# .*", "", reordered)
    assert reordered != TEXT
    assert assay_digest(parse_assay(reordered, where="x")) == assay_digest(ASSAY)


def test_the_digest_ignores_how_a_number_is_spelled():
    assert assay_digest(parse_assay(edited("value: 150", "value: 1.5e+2"), where="x")) == assay_digest(ASSAY)


def test_changed_keys_come_in_the_order_of_the_assay(change):
    values = {"cells.expansion_um": 4.0, "reading.mpp": 0.25, "stains.estimate.min_od": 0.2, "tumor.rule": "x"}
    changed = change(ASSAY, values)
    assert changed_left_keys(ASSAY, changed) == ["reading.mpp", "stains.estimate.min_od", "cells.expansion_um"]


@pytest.mark.parametrize("dab", ["[0, 0, 0]", "[0.65, 0.70, 0.29]", "[0.64, 0.71, 0.30]"])
def test_stains_that_cannot_be_told_apart_are_refused(dab: str) -> None:
    text = load_assay("cxcr4").text.replace("dab: [0.27, 0.57, 0.78]", f"dab: {dab}")
    with pytest.raises(AssayError, match="two different colours"):
        parse_assay(text, where="mine.yaml")
