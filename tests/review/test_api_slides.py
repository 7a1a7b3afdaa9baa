from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pyarrow.parquet as pq
import pytest

from review.asgi import Client
from review.made_app import ScoredRun, served
from slidescore.report.digests import result_digest
from slidescore.report.files import write_bytes
from slidescore.review.pixel_store import PixelStore
from slidescore.review.run_store import RunStore
from slidescore.review.slide_cells import load_cells

close_beyond = PixelStore._close_beyond


def test_a_slide_says_what_was_found_on_it(client: Client, own_run: ScoredRun) -> None:
    slide_id, record = own_run.ids["strong"], own_run.record("strong")
    slide = client.get(f"/api/slides/{slide_id}").json()
    scores = record["scores"]
    assert (slide["id"], slide["file"], slide["status"]) == (slide_id, "strong.tiff", "scored")
    assert slide["result_digest"] == result_digest(record)
    # As computed, not as the table rounds it.
    assert slide["h_score"] == scores["h_score"] != float(own_run.rows()[slide_id]["h_score"])
    assert (slide["mpp"], slide["mpp_source"]) == (0.25, "file")
    assert (slide["width"], slide["height"]) == (1024, 1024)
    assert {name: slide["scores"][name] for name in ("nucleus", "cytoplasm", "membrane", "cell")} == {
        name: scores[f"h_{name}"] for name in ("nucleus", "cytoplasm", "membrane", "cell")
    }
    assert slide["scores"]["all_cells"] == scores["h_all_cells"]
    assert (slide["qc"], [flag["name"] for flag in slide["flags"]]) == (
        "warn",
        ["white_assumed", "tumor_not_identified"],
    )
    assert all(flag["text"] and flag["meaning"] for flag in slide["flags"])
    assert {"name": "Cells", "text": str(scores["n_cells"]), "note": "not excluded"} in slide["count_rows"]
    assert "Sharpness, 0.3 and more in focus" in [row["name"] for row in slide["measures"]]
    assert slide["neighbours"] == {"previous": own_run.ids["few"], "next": own_run.ids["weak"]}
    assert (slide["regions"], slide["notes"]) == ([], [])


def test_the_histogram_counts_the_cells_that_the_score_rests_on(client: Client, own_run: ScoredRun) -> None:
    slide_id = own_run.ids["strong"]
    found = client.get(f"/api/slides/{slide_id}").json()["histogram"]
    cells = pq.read_table(own_run.run / "slides" / slide_id / "cells.parquet")
    od = cells.column("dab_od_cytoplasm").to_numpy()
    od = np.where(np.isnan(od), cells.column("dab_od_cell").to_numpy(), od)[
        cells.column("excluded").is_null().to_numpy()
    ]
    assert found["compartment"] == "cytoplasm"
    assert found["thresholds"] == [0.2, 0.4, 0.6]
    assert len(found["edges"]) == len(found["counts"]) + 1
    assert sum(found["counts"]) == own_run.record("strong")["scores"]["n_tumor_cells"]
    edges = np.asarray(found["edges"])
    # A threshold is the edge of a bar, so bars add up to bins.
    record = own_run.record("strong")["scores"]
    for k, (low, high) in enumerate([(0, 0.2), (0.2, 0.4), (0.4, 0.6), (0.6, 9)]):
        inside = (edges[:-1] >= low - 1e-9) & (edges[:-1] < high - 1e-9)
        assert np.asarray(found["counts"])[inside].sum() == record[f"n{k}"]
    assert found["counts"][0] == np.sum(od < np.float32(0.02))


def test_the_pixels_say_where_they_come_from(client: Client, own_run: ScoredRun) -> None:
    pixels = client.get(f"/api/slides/{own_run.ids['strong']}").json()["pixels"]
    assert (pixels["source"], pixels["note"], pixels["tile"]) == ("slide", "", 256)
    assert (pixels["k_min"], pixels["k_max"]) == (0, 2)
    assert "/" not in pixels["revision"]


def test_an_absent_slide_shows_the_runs_own_picture_and_says_so(own_run: ScoredRun, tmp_path: Path) -> None:
    with served(own_run.run, tmp_path) as client:
        slide_id = own_run.ids["strong"]
        pixels = client.get(f"/api/slides/{slide_id}").json()["pixels"]
        assert pixels["source"] == "overlay"
        assert pixels["note"] == (
            "The slide is not in the folder given with --slides. Shown is the picture from the run, with its cells "
            "drawn in."
        )
        assert pixels["k_min"] == 2
        assert client.get(f"/tiles/{slide_id}/rgb/2/0_0").status == 200
        assert client.get(f"/tiles/{slide_id}/rgb/0/0_0").status == 404
        for stain in ("hematoxylin", "dab", "heat"):
            assert client.get(f"/tiles/{slide_id}/{stain}/2/0_0").status == 404, "outlines are no stain"
        # The slide is brought while the server runs.
        shutil.copy(own_run.slides / "strong.tiff", tmp_path / "strong.tiff")
    with served(own_run.run, tmp_path) as client:
        assert client.get(f"/api/slides/{slide_id}").json()["pixels"]["source"] == "slide"
        assert client.get(f"/tiles/{slide_id}/rgb/0/0_0").status == 200


def test_another_slide_of_that_name_is_not_shown(own_run: ScoredRun, tmp_path: Path) -> None:
    shutil.copy(own_run.slides / "weak.tiff", tmp_path / "strong.tiff")
    with served(own_run.run, tmp_path) as client:
        pixels = client.get(f"/api/slides/{own_run.ids['strong']}").json()["pixels"]
    assert pixels["source"] == "overlay"
    assert "its bytes differ" in pixels["note"]


def test_without_any_picture_there_are_cells_all_the_same(scored_run: ScoredRun, tmp_path: Path) -> None:
    run = scored_run.copy(tmp_path)
    slide_id = run.ids["strong"]
    (run.run / "slides" / slide_id / "overlay.tiff").unlink()
    (tmp_path / "empty").mkdir()
    with served(run.run, tmp_path / "empty") as client:
        slide = client.get(f"/api/slides/{slide_id}").json()
        assert slide["pixels"] == {
            "source": "none", "note": "The slide is not in the folder given with --slides.", "tile": 256,
            "k_min": None, "k_max": None, "revision": slide["pixels"]["revision"],
        }  # fmt: skip
        assert client.get(f"/tiles/{slide_id}/rgb/0/0_0").status == 404
        assert client.get(f"/overlay/{slide_id}/0/0_0").status == 200
        assert client.get(f"/api/slides/{slide_id}/review").status == 200


def test_a_slide_that_could_not_be_scored_says_why(client: Client, own_run: ScoredRun) -> None:
    answer = client.get(f"/api/slides/{own_run.ids['broken']}")
    assert answer.status == 404
    assert answer.json()["error"].startswith("this slide could not be scored: TIFF: directory 1")


def test_a_slide_without_tissue_has_a_page_too(client: Client, own_run: ScoredRun) -> None:
    slide = client.get(f"/api/slides/{own_run.ids['few']}").json()
    assert (slide["status"], slide["reason"], slide["h_score"]) == ("not_evaluable", "no tissue", None)
    assert sum(slide["histogram"]["counts"]) == 0
    assert slide["neighbours"]["previous"] is None


@pytest.mark.parametrize("path", ["", "/thumbnail", "/review", "/cell?x=1&y=1"])
def test_other_slides_do_not_exist(client: Client, path: str) -> None:
    for slide_id in ("nowhere", "..", "%2e%2e", "a%00b", "%2e%2e%2frun.json", "x" * 5000, "%ff", "%F0%9F%92%A9"):
        assert client.get(f"/api/slides/{slide_id}{path}").status == 404


def test_a_thumbnail_is_a_small_picture(client: Client, own_run: ScoredRun) -> None:
    answer = client.get(f"/api/slides/{own_run.ids['strong']}/thumbnail")
    assert (answer.status, answer.header("content-type")) == (200, "image/jpeg")
    assert imagecodecs.jpeg8_decode(answer.body).shape == (320, 320, 3)
    assert len(answer.body) < 40_000
    again = client.get(f"/api/slides/{own_run.ids['strong']}/thumbnail", {"If-None-Match": answer.header("etag") or ""})
    assert (again.status, again.body) == (304, b"")


def test_a_lost_thumbnail_is_no_error_of_the_server(scored_run: ScoredRun, tmp_path: Path) -> None:
    run = scored_run.copy(tmp_path)
    folder = run.run / "slides" / run.ids["strong"]
    with served(run.run) as client:
        (folder / "thumbnail.png").write_bytes(b"\x89PNG is how it began")
        assert client.get(f"/api/slides/{run.ids['strong']}/thumbnail").status == 404
        (folder / "thumbnail.png").unlink()
        assert client.get(f"/api/slides/{run.ids['strong']}/thumbnail").status == 404


def test_a_blind_reader_sees_the_slide_and_nothing_of_its_cells(blind_client: Client, own_run: ScoredRun) -> None:
    slide_id = own_run.ids["strong"]
    slide = blind_client.get(f"/api/slides/{slide_id}").json()
    assert set(slide) == {
        "id", "file", "patient_id", "read", "result_digest", "mpp", "mpp_source", "width", "height", "pixels",
        "neighbours",
    }  # fmt: skip
    assert slide["neighbours"] == {"previous": own_run.ids["few"], "next": own_run.ids["weak"]}
    drawn = blind_client.get(f"/api/slides/{slide_id}/thumbnail")
    plain = blind_client.get(f"/tiles/{slide_id}/rgb/2/0_0")
    assert drawn.body == plain.body


def test_a_blind_reader_does_not_see_the_picture_with_cells(own_run: ScoredRun, tmp_path: Path) -> None:
    slide_id = own_run.ids["strong"]
    with served(own_run.run, tmp_path, blind=True) as client:
        pixels = client.get(f"/api/slides/{slide_id}").json()["pixels"]
        assert pixels["source"] == "none"
        assert "blind reader" in pixels["note"]
        assert client.get(f"/tiles/{slide_id}/rgb/2/0_0").status == 404
        assert client.get(f"/api/slides/{slide_id}/thumbnail").status == 404


def test_a_blind_reader_is_not_told_why_a_slide_could_not_be_scored(blind_client: Client, own_run: ScoredRun) -> None:
    slide_id = own_run.ids["broken"]
    for target in (f"/api/slides/{slide_id}", f"/api/slides/{slide_id}/thumbnail", f"/tiles/{slide_id}/rgb/0/0_0"):
        answer = blind_client.get(target)
        assert (answer.status, answer.json()["error"]) == (404, "there is no such slide to read")


def test_no_browser_shows_a_blind_reader_what_it_kept_of_an_open_review(
    client: Client, blind_client: Client, own_run: ScoredRun
) -> None:
    slide_id = own_run.ids["strong"]
    for target in (f"/api/slides/{slide_id}/thumbnail", f"/tiles/{slide_id}/rgb/2/0_0"):
        seen = client.get(target)
        assert seen.header("cache-control") == "private, no-cache"
        again = blind_client.get(target, {"If-None-Match": seen.header("etag") or ""})
        assert again.status == 200
        assert again.header("etag") != seen.header("etag")
    open_pixels, blind_pixels = (
        each.get(f"/api/slides/{slide_id}").json()["pixels"]["revision"] for each in (client, blind_client)
    )
    assert open_pixels != blind_pixels


def test_a_slide_that_is_replaced_after_it_was_checked_is_not_shown_as_it(own_run: ScoredRun, tmp_path: Path) -> None:
    slide_id = own_run.ids["strong"]
    shutil.copy(own_run.slides / "strong.tiff", tmp_path / "strong.tiff")
    with served(own_run.run, tmp_path) as client, pytest.MonkeyPatch.context() as patch:
        # Closed whenever nobody looks at it, as when other slides were opened meanwhile.
        patch.setattr(PixelStore, "_close_beyond", lambda store, most: close_beyond(store, 0))
        assert client.get(f"/api/slides/{slide_id}").json()["pixels"]["source"] == "slide"
        assert client.get(f"/tiles/{slide_id}/rgb/2/0_0").status == 200
        write_bytes(tmp_path / "strong.tiff", (own_run.slides / "weak.tiff").read_bytes())
        assert client.get(f"/tiles/{slide_id}/rgb/1/0_0").status == 409
        pixels = client.get(f"/api/slides/{slide_id}").json()["pixels"]
        assert pixels["source"] == "overlay"
        assert "its bytes differ" in pixels["note"]


def test_a_run_that_is_scored_again_between_two_looks_is_in_between(
    scored_run: ScoredRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = scored_run.copy(tmp_path)
    slide_id = run.ids["strong"]
    original = RunStore.row

    def row_then_gone(store: RunStore, wanted: str) -> Any:
        found = original(store, wanted)
        table = run.run / "scores.csv"
        lines = [line for line in table.read_text().splitlines() if slide_id not in line]
        write_bytes(table, "".join(f"{line}\n" for line in lines).encode())
        return found

    with served(run.run) as client:
        monkeypatch.setattr(RunStore, "row", row_then_gone)
        answer = client.get(f"/api/slides/{slide_id}")
        assert (answer.status, answer.json()["error"]) == (409, "the run is being scored again")


def test_cells_that_were_changed_are_not_shown(scored_run: ScoredRun, tmp_path: Path) -> None:
    run = scored_run.copy(tmp_path)
    slide_id = run.ids["strong"]
    path = run.run / "slides" / slide_id / "cells.parquet"
    write_bytes(path, (run.run / "slides" / run.ids["weak"] / "cells.parquet").read_bytes())
    with served(run.run) as client:
        for target in (f"/api/slides/{slide_id}", f"/api/slides/{slide_id}/review", f"/overlay/{slide_id}/0/0_0"):
            answer = client.get(target)
            assert answer.status == 409
            assert answer.json() == {
                "error": "the files of this run are damaged, or were changed",
                "remedy": "see 'slidescore verify' and 'slidescore review verify'",
            }
        assert client.get(f"/tiles/{slide_id}/rgb/0/0_0").status == 200


def test_cells_that_are_replaced_while_they_are_read_are_not_shown(
    scored_run: ScoredRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = scored_run.copy(tmp_path)
    slide_id = run.ids["strong"]
    folder = run.run / "slides" / slide_id
    packed = (folder / "result.json").read_bytes()

    def replaced(*arguments: Any) -> Any:
        found = load_cells(*arguments)
        (folder / "result.json").unlink()
        return found

    with served(run.run) as client:
        monkeypatch.setattr("slidescore.review.opened_slide.load_cells", replaced)
        answer = client.get(f"/api/slides/{slide_id}")
        assert (answer.status, answer.json()["error"]) == (409, "the slide is being scored again")
        monkeypatch.undo()
        write_bytes(folder / "result.json", packed)
        assert client.get(f"/api/slides/{slide_id}").status == 200
