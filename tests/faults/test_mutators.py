from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile

from faults.layout import dicom_layout, jpeg_layout, png_layout, tiff_layout
from faults.mutators import MUTATORS, mutate
from faults.outcomes import FLAGGED, GROSS_PIXELS, NO_SCORE, REFUSED, SAME, SILENT, Change, judge, read_change
from faults.slides import FORMATS, SUFFIXES, Mutant, Whole, plan_mutants, write_whole
from slidescore.slide import open_slide

LAYOUTS = {"svs": tiff_layout, "tiff": tiff_layout, "dicom": dicom_layout, "png": png_layout, "jpeg": jpeg_layout}
PAIRS = [(form, kind) for form in FORMATS for kind in MUTATORS[form]]


@pytest.fixture(scope="module")
def wholes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Whole]:
    folder = tmp_path_factory.mktemp("wholes")
    return {form: write_whole(folder, form, seed=1) for form in FORMATS}


def put(whole: Whole, first: bytes, folder: Path) -> Path:
    """Write a slide whose first file is another."""
    path = folder / f"slide.{SUFFIXES[whole.format]}"
    path.write_bytes(first)
    for number, content in enumerate(whole.contents[1:], 1):
        (folder / f"slide{number}.dcm").write_bytes(content)
    return path


@pytest.mark.parametrize("form", FORMATS)
def test_a_layout_covers_a_file_once(wholes: dict[str, Whole], form: str) -> None:
    content = wholes[form].contents[0]
    layout = LAYOUTS[form](content)
    ranges = sorted([*layout.structure, *layout.data])
    assert [0, *(stop for _, stop in ranges)] == [*(start for start, _ in ranges), len(content)]
    assert sum(stop - start for start, stop in layout.data) > len(content) / 2


@pytest.mark.parametrize(("form", "kind"), PAIRS)
def test_a_mutator_changes_the_file_the_same_way_every_time(wholes: dict[str, Whole], form: str, kind: str) -> None:
    content, mutator = wholes[form].contents[0], MUTATORS[form][kind]
    spoilt = [mutate(content, mutator, np.random.default_rng(seed)) for seed in (5, 5, 6)]
    assert spoilt[0] == spoilt[1] != content
    assert kind in ("huge claim", "no mpp", "zeroed table", "other mpp", "missing tiles") or spoilt[2] != spoilt[0]
    if kind.startswith("bit in"):
        differ = np.flatnonzero(np.frombuffer(content, np.uint8) != np.frombuffer(spoilt[0], np.uint8))
        assert len(differ) == 1
        layout = LAYOUTS[form](content)
        ranges = layout.data if kind == "bit in data" else layout.structure
        assert any(start <= differ[0] < stop for start, stop in ranges)


@pytest.mark.parametrize("form", FORMATS)
def test_other_resolutions_are_really_stated(wholes: dict[str, Whole], form: str, tmp_path: Path) -> None:
    spoilt = mutate(wholes[form].contents[0], MUTATORS[form]["other mpp"], np.random.default_rng(0))
    path = put(wholes[form], spoilt, tmp_path)
    with open_slide(path) as reader:
        assert reader.mpp is not None
        assert abs(reader.mpp[0] - 0.5) > 0.05
    change = read_change(path, wholes[form])
    assert change == Change(0, True)


@pytest.mark.parametrize("form", ["svs", "tiff"])
def test_missing_tiles_are_really_missing(wholes: dict[str, Whole], form: str, tmp_path: Path) -> None:
    """Nobody sees pixels there: alpha is 0, and what is read elsewhere is right."""
    whole = wholes[form]
    spoilt = mutate(whole.contents[0], MUTATORS[form]["missing tiles"], np.random.default_rng(0))
    path = put(whole, spoilt, tmp_path)
    with tifffile.TiffFile(path) as tiff:
        n_missing = sum(count == 0 for count in tiff.pages[0].aspage().databytecounts)
    with open_slide(path) as reader:
        rgba = reader.read_region((0, 0), 0, reader.dimensions)
    assert 0 < (rgba[..., 3] == 0).sum() <= n_missing * 128 * 128
    assert set(np.unique(rgba[..., 3])) == {0, 255}
    seen = rgba[..., 3] == 255
    np.testing.assert_array_equal(rgba[seen], whole.rgba[seen])
    assert read_change(path, whole) == Change(0, False)


def test_a_change_is_measured(wholes: dict[str, Whole], tmp_path: Path) -> None:
    whole = wholes["png"]
    assert read_change(put(whole, whole.contents[0], tmp_path), whole) == Change(0, False)
    other = Whole("png", whole.contents, whole.rgba.copy())
    other.rgba[:50, :50, 1] += 20
    change = read_change(tmp_path / "slide.png", other)
    assert change == Change(2_500, True)
    assert change.gross
    assert not Change(GROSS_PIXELS, True).gross
    (tmp_path / "slide.png").write_bytes(whole.contents[0][:500])
    assert read_change(tmp_path / "slide.png", whole) is None


@pytest.mark.parametrize(
    ("status", "flags", "change", "outcome"),
    [
        ("failed", "", None, REFUSED),
        ("not_evaluable", "not_evaluable", Change(9, True), NO_SCORE),
        ("scored", "white_assumed;levels_differ", Change(9, True), FLAGGED),
        ("scored", "white_assumed", Change(0, True), SILENT),
        ("scored", "white_assumed", Change(0, False), SAME),
        ("scored", "white_assumed", None, SAME),
    ],
)
def test_outcomes(status: str, flags: str, change: Change | None, outcome: str) -> None:
    whole = {"status": "scored", "qc_flags": "white_assumed"}
    assert judge({"status": status, "qc_flags": flags}, whole, change) == outcome


def test_a_plan_takes_formats_and_kinds_in_turn(wholes: dict[str, Whole], tmp_path: Path) -> None:
    mutants = plan_mutants(list(wholes.values()), 3 * len(PAIRS), seed=4)
    found = [(mutant.whole.format, mutant.kind) for mutant in mutants]
    assert all(found.count(pair) == 3 for pair in PAIRS)
    assert len({mutant.name for mutant in mutants}) == len(mutants)
    coarse = [mutant for mutant in mutants if mutant.number]
    assert coarse
    assert {mutant.whole.format for mutant in coarse} == {"dicom"}
    assert mutants == plan_mutants(list(wholes.values()), 3 * len(PAIRS), seed=4)
    path = coarse[0].write(tmp_path)
    assert path == tmp_path / coarse[0].file
    assert path.read_bytes() == wholes["dicom"].contents[0]
    assert (path.parent / "slide1.dcm").read_bytes() != wholes["dicom"].contents[1]
    assert Mutant("x", wholes["jpeg"], "no mpp", 0, (0,)).file == "x/slide.jpg"
