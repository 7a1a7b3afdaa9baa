"""From slides to patients: every rule by hand, what must not change a score, and how sure it is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from classical_assay import classical_assay
from slidescore.assay import Assay
from slidescore.cohort.patient_table import PatientRow, PatientTable
from slidescore.cohort.roll_up import PatientScore, roll_up
from slidescore.cohort.scored_slide import ScoredSlide
from slidescore.scoring.intervals import seed_of, uncertainty
from slidescore.scoring.schemes import score_counts
from slidescore.scoring.squares import SquareCounts

Change = Callable[..., Any]
RULES = ("most_recent_metastatic", "pooled_cells", "mean", "max")
FEW = "only 4 squares of 512 um hold tumor cells (at least 10)"


def squares_of(counts: Sequence[float], n_squares: int, seed: int = 0) -> SquareCounts:
    """Spread counts over squares, unevenly but with the given total."""
    rng = np.random.default_rng(seed)
    share = rng.dirichlet(np.full(n_squares, 5.0), size=4).T
    places = np.array([(n % 8, n // 8) for n in range(n_squares)], np.int64)
    return SquareCounts(places, share * np.asarray(counts, np.float64))


def slide(
    slide_id: str, counts: Sequence[float], assay: Assay, *, n_squares: int = 16, fingerprint: str = ""
) -> ScoredSlide:
    """A scored slide with a share of cells in each bin; fewer than ten squares give no interval."""
    fingerprint = fingerprint or slide_id
    squares = squares_of(counts, n_squares, seed=sum(map(ord, fingerprint)))
    value = float(score_counts(assay.score.scheme, np.asarray(counts, np.float64), assay.score))
    reason = "" if n_squares >= assay.interval.min_squares else FEW
    return ScoredSlide(
        slide_id, f"{slide_id}.svs", "", "scored", "", value=value, squares=squares,
        seed=seed_of(fingerprint, "squares"), interval_reason=reason, fingerprint=fingerprint,
    )  # fmt: skip


def lost(slide_id: str, reason: str = "no tissue", status: str = "not_evaluable") -> ScoredSlide:
    return ScoredSlide(slide_id, f"{slide_id}.svs", "", status, reason)


def row(slide_id: str, patient_id: str = "P", **values: Any) -> PatientRow:
    plain = {"block": "", "time_point": None, "site": "", "use": True}
    return PatientRow(slide_id, patient_id, **(plain | values))


def score(slides: Sequence[ScoredSlide], rows: Sequence[PatientRow], assay: Assay) -> PatientScore:
    [patient] = roll_up(slides, PatientTable(tuple(rows)), assay)
    return patient


@pytest.fixture(scope="module")
def assays(assay: Assay, change: Change) -> dict[str, Assay]:
    """An assay of each rule: H-score of the cytoplasm, HIGH from 150 up, few replicates."""
    values = {"interval.replicates": 300, "call.cutoff.value": 150.0, "call.cutoff.operator": ">="}
    return {rule: change(assay, values | {"patients.rule": rule}) for rule in RULES}


# H-scores: a 0; b 300; c 100; d 50 of ten times as many cells.
A, B, C, D = (100, 0, 0, 0), (0, 0, 0, 100), (0, 100, 0, 0), (500, 500, 0, 0)


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        # (0 + 300 + 100) / 3
        ("mean", 400 / 3),
        ("max", 300.0),
        # 100 (100 + 3 * 100) / 300: as many cells on each, so the same as the mean.
        ("pooled_cells", 400 / 3),
        ("most_recent_metastatic", 400 / 3),
    ],
)
def test_three_blocks_of_as_many_cells(assays: dict[str, Assay], rule: str, expected: float) -> None:
    assay = assays[rule]
    slides = [slide(name, counts, assay) for name, counts in (("a", A), ("b", B), ("c", C))]
    found = score(slides, [row("a"), row("b"), row("c")], assay)
    assert found.score == pytest.approx(expected)
    assert (found.rule, found.n_slides, found.n_used, found.n_blocks) == (rule, 3, 3, 3)
    assert found.slides_used == ("a", "b", "c")


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        # Blocks of 300 and (0 + 100) / 2 = 50.
        ("mean", 175.0),
        ("max", 300.0),
        # Block one: 100 at 3+; block two: (100, 100) over two sections; 100 (50 + 3 * 100) / 200.
        ("pooled_cells", 175.0),
    ],
)
def test_sections_of_a_block_are_averaged_first(assays: dict[str, Assay], rule: str, expected: float) -> None:
    assay = assays[rule]
    slides = [slide(name, counts, assay) for name, counts in (("a", A), ("b", B), ("c", C))]
    rows = [row("a", block="two"), row("b", block="one"), row("c", block="two")]
    found = score(slides, rows, assay)
    assert found.score == pytest.approx(expected)
    assert (found.n_used, found.n_blocks) == (3, 2)


# Their means are 150, and below it once added up in binary.
@pytest.mark.parametrize("values", [(135.6, 155.2, 159.2), (85.1, 226.2, 138.7), (229.7, 224.7, 108.8, 36.8)])
def test_rounding_moves_no_mean_off_the_cutoff(assays: dict[str, Assay], values: tuple[float, ...]) -> None:
    assert np.mean(values) < 150
    slides = [replace(slide(f"s{k}", A, assays["mean"], n_squares=4), value=h) for k, h in enumerate(values)]
    for block in ("", "1"):
        rows = [row(each.slide_id, block=block) for each in slides]
        patient = score(slides, rows, assays["mean"])
        assert (patient.score, patient.call) == (150.0, "HIGH")


def test_pooled_sections_meet_the_edge_of_a_percent_class(assays: dict[str, Assay], change: Change) -> None:
    irs = change(assays["pooled_cells"], {"score.scheme": "irs", "call.cutoff": None})
    place = np.zeros((1, 2), np.int64)
    for k in range(1, 40):
        # A tenth of the cells of every section is positive: class 2, whatever a third of their sum rounds to.
        counts = [(9.0 * (k + n), k + n, 0.0, 0.0) for n in range(3)]
        slides = [
            replace(slide(f"s{n}", each, irs, n_squares=4), squares=SquareCounts(place, np.array([each])))
            for n, each in enumerate(counts)
        ]
        assert score(slides, [row(f"s{n}", block="1") for n in range(3)], irs).score == 2.0


def test_pooled_cells_weigh_by_cells_and_the_mean_by_blocks(assays: dict[str, Assay]) -> None:
    rows = [row("b"), row("d")]
    for rule, expected in (("mean", 175.0), ("pooled_cells", 100 * (500 + 300) / 1100)):
        slides = [slide("b", B, assays[rule]), slide("d", D, assays[rule])]
        assert score(slides, rows, assays[rule]).score == pytest.approx(expected)


@pytest.mark.parametrize(
    ("rows", "used", "expected", "reason"),
    [
        # The latest metastatic time point holds b and c: (300 + 100) / 2, whatever primary came later.
        (
            [
                row("a", site="primary", time_point=9),
                row("b", site="metastasis", time_point=5),
                row("c", site="metastasis", time_point=5),
                row("d", site="metastasis", time_point=1),
            ],
            ("b", "c"), 200.0, "",
        ),
        (
            [row("a", site="primary", time_point=1), row("b", time_point=3), row("c", site="primary", time_point=2)],
            ("b",), 300.0, "no metastatic specimen has a score: the most recent specimen was taken",
        ),
        (
            [row("b", site="metastasis"), row("c", site="metastasis"), row("a", site="primary")],
            ("b", "c"), 200.0, "no time point says which of 2 blocks is the most recent: the mean of all",
        ),
        (
            [row("b", site="metastasis"), row("c", site="metastasis", time_point=4)],
            ("c",), 100.0, "left out for want of a time point: b",
        ),
        # x, the most recent metastasis, has no score.
        (
            [row("c", site="metastasis", time_point=4), row("x", site="metastasis", time_point=8)],
            ("c",), 100.0, "the specimen of 8 has no score: that of 4 was taken; left out x: no tissue",
        ),
        # That a later primary has no score does not matter where there is a metastasis.
        (
            [row("c", site="metastasis", time_point=4), row("x", site="primary", time_point=8)],
            ("c",), 100.0, "left out x: no tissue",
        ),
    ],
)  # fmt: skip
def test_the_most_recent_metastatic_specimen(
    assays: dict[str, Assay], rows: list[PatientRow], used: tuple[str, ...], expected: float, reason: str
) -> None:
    assay = assays["most_recent_metastatic"]
    slides = [slide(name, counts, assay) for name, counts in (("a", A), ("b", B), ("c", C), ("d", D))]
    found = score([*slides, lost("x")], rows, assay)
    assert (found.slides_used, found.score, found.reason) == (used, pytest.approx(expected), reason)
    assert found.n_slides == len(rows)


def test_dates_are_compared_as_dates(assays: dict[str, Assay]) -> None:
    assay = assays["most_recent_metastatic"]
    rows = [
        row("a", site="metastasis", time_point="2023-12-31"),
        row("b", site="metastasis", time_point="2024-01-02"),
    ]
    found = score([slide("a", A, assay), slide("b", B, assay)], rows, assay)
    assert (found.slides_used, found.time_point, found.site) == (("b",), "2024-01-02", "metastasis")


def test_sites_and_time_points_of_several_blocks(assays: dict[str, Assay]) -> None:
    assay = assays["mean"]
    slides = [slide("a", A, assay), slide("b", B, assay)]
    found = score(slides, [row("a", site="primary", time_point=1), row("b", site="metastasis", time_point=1)], assay)
    assert (found.site, found.time_point) == ("mixed", "1")
    found = score(slides, [row("a", site="primary", time_point=1), row("b", site="primary", time_point=2)], assay)
    assert (found.site, found.time_point) == ("primary", "")


@pytest.mark.parametrize("rule", RULES)
def test_slides_without_a_score_are_dropped_and_named(assays: dict[str, Assay], rule: str) -> None:
    assay = assays[rule]
    slides = [slide("a", A, assay), lost("b", "too few tumor cells (3, at least 100)"), lost("c", "gone", "failed")]
    found = score([*slides, slide("d", B, assay)], [row("a"), row("b"), row("c"), row("d", use=False)], assay)
    assert (found.score, found.n_slides, found.n_used, found.slides_used) == (0.0, 4, 1, ("a",))
    for said in ("1 slide not for use", "left out b: too few tumor cells (3, at least 100)", "left out c: gone"):
        assert said in found.reason


@pytest.mark.parametrize("rule", RULES)
def test_a_patient_without_any_slide_left_is_not_evaluable(assays: dict[str, Assay], rule: str) -> None:
    assay = assays[rule]
    rows = [row("b"), row("c", use=False), row("d")]
    found = score([lost("b"), slide("c", B, assay)], rows, assay)
    assert (found.call, found.n_used, found.n_blocks, found.slides_used) == ("NOT_EVALUABLE", 0, 0, ())
    assert (found.score, found.low, found.high, found.p_high) == (None, None, None, None)
    assert found.reason == "no slide has a score; 1 slide not for use; left out b: no tissue; left out d: not reached"


def test_patients_come_by_their_ids(assays: dict[str, Assay]) -> None:
    assay = assays["mean"]
    slides = [slide("a", A, assay), slide("b", B, assay)]
    found = roll_up(slides, PatientTable((row("a", "Q"), row("b", "P"))), assay)
    assert [(patient.patient_id, patient.score) for patient in found] == [("P", 300.0), ("Q", 0.0)]


# --- intervals and calls ---


@pytest.mark.parametrize("scheme", ["h_score", "percent_positive", "irs", "allred", "pixel_h_score"])
@pytest.mark.parametrize("rule", RULES)
def test_a_patient_of_one_slide_is_as_sure_as_the_slide(
    assays: dict[str, Assay], change: Change, rule: str, scheme: str
) -> None:
    values = {"score.scheme": scheme, "call.cutoff.scale": scheme, "call.cutoff.value": 5.0}
    assay = change(assays[rule], values)
    one = slide("a", (300, 200, 150, 100), assay)
    assert one.squares is not None
    sure = uncertainty(one.squares, scheme, assay.score, assay.interval, one.seed, assay.call.cutoff)
    found = score([one], [row("a")], assay)
    assert (found.low, found.high, found.p_high) == (sure.low, sure.high, sure.p_high)
    assert (found.scale, found.compartment, found.score) == (scheme, assay.score.compartment, pytest.approx(one.value))


@pytest.mark.parametrize("rule", ["mean", "pooled_cells"])
def test_more_blocks_are_surer_and_more_sections_are_not(assays: dict[str, Assay], rule: str) -> None:
    assay = assays[rule]
    counts = (400, 300, 200, 100)
    slides = [slide(name, counts, assay) for name in "abcd"]
    widths = []
    for block in ("", "one"):
        found = score(slides, [row(name, block=block) for name in "abcd"], assay)
        assert found.low is not None
        assert found.high is not None
        widths.append(found.high - found.low)
    singles = [score([each], [row(each.slide_id)], assay) for each in slides]
    alone = float(np.mean([(one.high or 0) - (one.low or 0) for one in singles]))
    # Four independent blocks halve a standard error.
    assert widths[0] == pytest.approx(alone / 2, rel=0.15)
    assert widths[1] == pytest.approx(alone, rel=0.05)


@pytest.mark.parametrize("rule", ["mean", "pooled_cells", "max", "most_recent_metastatic"])
def test_a_copied_section_changes_nothing(assays: dict[str, Assay], rule: str) -> None:
    assay = assays[rule]
    one, other = slide("a", (400, 300, 200, 100), assay), slide("c", B, assay)
    copy = replace(one, slide_id="a-2")
    alone = score([one, other], [row("a"), row("c")], assay)
    twice = score([one, copy, other], [row("a"), row("a-2"), row("c")], assay)
    for name in ("score", "low", "high", "p_high"):
        assert getattr(twice, name) == pytest.approx(getattr(alone, name))
    assert (twice.n_used, twice.n_blocks) == (3, 2)


def test_the_highest_block_is_as_sure_as_it_is_alone(assays: dict[str, Assay]) -> None:
    assay = assays["max"]
    low, high = slide("a", (600, 200, 100, 100), assay), slide("b", (500, 200, 100, 200), assay)
    alone, found = score([high], [row("b")], assay), score([low, high], [row("a"), row("b")], assay)
    assert (found.score, found.low, found.high, found.p_high) == (alone.score, alone.low, alone.high, alone.p_high)


@pytest.mark.parametrize("rule", RULES)
def test_without_an_interval_of_each_slide_there_is_none(assays: dict[str, Assay], rule: str) -> None:
    assay = assays[rule]
    slides = [slide("a", A, assay), slide("b", B, assay, n_squares=4)]
    found = score(slides, [row("a"), row("b")], assay)
    assert (found.low, found.high, found.p_high) == (None, None, None)
    assert found.reason == f"no interval: b: {FEW}" or rule == "most_recent_metastatic"
    assert found.score is not None
    assert found.call == ("HIGH" if found.score >= 150 else "LOW")


def test_the_maximum_needs_only_the_interval_of_its_block(assays: dict[str, Assay]) -> None:
    assay = assays["max"]
    found = score([slide("a", A, assay, n_squares=4), slide("b", C, assay)], [row("a"), row("b")], assay)
    assert found.low is not None
    assert found.reason == ""


@pytest.mark.parametrize(
    ("counts", "cutoff", "margin", "call"),
    [
        ((0, 0, 0, 1000), 150.0, 0.0, "HIGH"),
        ((1000, 0, 0, 0), 150.0, 0.0, "LOW"),
        ((250, 250, 250, 250), 150.0, 0.0, "EQUIVOCAL"),
        # All alike: the interval is a point on the cut-off, which alone makes nothing equivocal.
        ((0, 0, 1000, 0), 200.0, 0.0, "HIGH"),
        ((0, 0, 1000, 0), 200.0, 5.0, "EQUIVOCAL"),
        ((0, 0, 1000, 0), 204.0, 5.0, "EQUIVOCAL"),
        ((0, 0, 1000, 0), 206.0, 5.0, "LOW"),
    ],
)
def test_calls(
    assays: dict[str, Assay], change: Change, counts: tuple[int, ...], cutoff: float, margin: float, call: str
) -> None:
    assay = change(assays["mean"], {"call.cutoff.value": cutoff, "call.equivocal_margin": margin})
    found = score([slide("a", counts, assay)], [row("a")], assay)
    assert assay.call.cutoff is not None
    assert (found.call, found.cutoff, found.call_status) == (call, assay.call.cutoff.text, assay.call.cutoff.status)


def test_without_a_cutoff_nothing_is_called(assays: dict[str, Assay], change: Change) -> None:
    assay = change(assays["mean"], {"call.cutoff": None})
    found = score([slide("a", B, assay)], [row("a")], assay)
    assert (found.call, found.cutoff, found.call_status, found.p_high) == ("", "", "", None)
    assert found.low is not None
    assert score([lost("a")], [row("a")], assay).call == "NOT_EVALUABLE"


# --- properties ---

COUNTS = st.tuples(*[st.integers(0, 400)] * 4).filter(any)
PLAIN = classical_assay()


def with_rule(rule: str) -> Assay:
    update = {"rule": rule}
    few = PLAIN.interval.model_copy(update={"replicates": 200})
    return PLAIN.model_copy(update={"patients": PLAIN.patients.model_copy(update=update), "interval": few})


@given(st.lists(st.tuples(COUNTS, st.sampled_from(["", "one", "two"])), min_size=1, max_size=5), st.randoms())
def test_rules_keep_their_order_and_do_not_see_that_of_the_rows(given_slides: list[Any], random: Any) -> None:
    found = {}
    for rule in RULES:
        assay = with_rule(rule)
        slides = [slide(f"s{n}", counts, assay) for n, (counts, _) in enumerate(given_slides)]
        rows = [row(f"s{n}", block=block) for n, (_, block) in enumerate(given_slides)]
        patient = score(slides, rows, assay)
        assert patient.score is not None
        assert patient.low is not None
        assert patient.high is not None
        assert 0 <= patient.low <= patient.score <= patient.high <= 300
        random.shuffle(slides)
        random.shuffle(rows)
        assert score(slides, rows, assay) == patient
        found[rule] = patient.score
    assert found["max"] >= found["mean"] - 1e-9
    assert found["most_recent_metastatic"] == found["mean"]


@given(COUNTS, st.integers(1, 6))
def test_more_sections_alike_change_no_mean(counts: tuple[int, ...], n: int) -> None:
    assay = with_rule("mean")
    slides = [slide(f"s{k}", counts, assay, fingerprint="same") for k in range(n)]
    many = score(slides, [row(each.slide_id, block="B") for each in slides], assay)
    one = score(slides[:1], [row("s0")], assay)
    assert (many.score, many.low, many.high) == pytest.approx((one.score, one.low, one.high))


def test_a_row_of_patients_csv_has_its_columns_in_order(assays: dict[str, Assay]) -> None:
    from slidescore.report.columns import PATIENT_COLUMNS

    found = score([slide("b", B, assays["mean"]), slide("a", A, assays["mean"])], [row("a"), row("b")], assays["mean"])
    assert tuple(found.row()) == PATIENT_COLUMNS
    assert found.row()["slides_used"] == "a;b"
