from __future__ import annotations

import shutil
from pathlib import Path

import imagecodecs
import numpy as np
import pytest

from review.asgi import HOST, TOKEN, Client
from review.made_app import ScoredRun, served
from slidescore.slide import open_slide

HEAD = [("Host", HOST), ("Authorization", f"Bearer {TOKEN}")]


def slide(run: ScoredRun) -> str:
    return run.ids["strong"]


def test_a_tile_shows_the_slide(client: Client, own_run: ScoredRun) -> None:
    answer = client.get(f"/tiles/{slide(own_run)}/rgb/0/1_2")
    assert (answer.status, answer.header("content-type")) == (200, "image/jpeg")
    shown = imagecodecs.jpeg8_decode(answer.body).astype(int)
    with open_slide(own_run.slides / "strong.tiff") as reader:
        rgb = reader.read_region((256, 512), 0, (256, 256))[..., :3].astype(int)
    assert shown.shape == (256, 256, 3)
    assert np.abs(shown - rgb).mean() < 3


@pytest.mark.parametrize("view", ["rgb", "hematoxylin", "dab", "heat"])
def test_each_view_has_every_tile_of_the_grid(client: Client, own_run: ScoredRun, view: str) -> None:
    pixels = client.get(f"/api/slides/{slide(own_run)}").json()["pixels"]
    for k in range(pixels["k_min"], pixels["k_max"] + 1):
        n = 4 >> k
        for column, row in ((0, 0), (n - 1, n - 1)):
            assert client.get(f"/tiles/{slide(own_run)}/{view}/{k}/{column}_{row}").status == 200
        assert client.get(f"/tiles/{slide(own_run)}/{view}/{k}/{n}_0").status == 404
        assert client.get(f"/overlay/{slide(own_run)}/{k}/0_{n}").status == 404


@pytest.mark.parametrize(
    "rest",
    ["rgb/-1/0_0", "rgb/3/0_0", "rgb/x/0_0", "rgb/0/0", "rgb/0/0_0_0", "rgb/0/_", "rgb/0/0_", "rgb/0/1e1_0",
     "rgb/0/ 0_0", "rgb/0/99999999999999_0", f"rgb/{'9' * 5000}/0_0", f"rgb/0/{'9' * 5000}_0", "RGB/0/0_0",
     "label/0/0_0", "macro/0/0_0", "rgb/0/0_0.jpg", "rgb/0/0_0/x", "rgb/0/%30_%30%00", "../0/0_0", "rgb/%2e%2e/0_0"],
)  # fmt: skip
def test_other_tiles_do_not_exist(client: Client, own_run: ScoredRun, rest: str) -> None:
    assert client.get(f"/tiles/{slide(own_run)}/{rest}").status == 404
    view, _, place = rest.partition("/")
    if view == "rgb":
        assert client.get(f"/overlay/{slide(own_run)}/{place}?rev=x").status == 404


def test_a_tile_that_was_drawn_is_answered_without_drawing_it_again(
    client: Client, own_run: ScoredRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = f"/tiles/{slide(own_run)}/dab/0/0_0"
    first = client.get(target)
    monkeypatch.setattr("slidescore.review.api_tiles.view_tile", lambda *_: pytest.fail("drawn again"))
    monkeypatch.setattr("slidescore.review.api_tiles.make_tile", lambda *_: pytest.fail("went to a thread"))
    assert client.get(target).body == first.body


def test_a_browser_that_has_a_tile_is_not_sent_it_again(client: Client, own_run: ScoredRun) -> None:
    for target in (f"/tiles/{slide(own_run)}/rgb/0/0_0", f"/overlay/{slide(own_run)}/0/0_0", "/api/legend"):
        first = client.get(target)
        assert first.header("cache-control") == "private, no-cache"
        again = client.get(target, {"If-None-Match": f'"other", {first.header("etag")}'})
        assert (again.status, again.body) == (304, b"")
        assert client.get(target, {"If-None-Match": '"other"'}).status == 200


def test_a_tile_whose_address_says_which_state_it_shows_is_kept_for_long(client: Client, own_run: ScoredRun) -> None:
    pixels = client.get(f"/api/slides/{slide(own_run)}").json()["pixels"]
    for view in ("rgb", "hematoxylin", "dab", "heat"):
        target = f"/tiles/{slide(own_run)}/{view}/0/0_0"
        answer = client.get(f"{target}?rev={pixels['revision']}")
        assert answer.header("cache-control") == "private, max-age=86400, immutable"
        for other in ("older", pixels["revision"].replace("slide", "overlay")):
            assert client.get(f"{target}?rev={other}").header("cache-control") == "private, no-cache"
    revision = client.get(f"/api/slides/{slide(own_run)}/review").json()["revision"]
    answer = client.get(f"/overlay/{slide(own_run)}/0/0_0?rev={revision}")
    assert answer.header("cache-control") == "private, max-age=86400, immutable"
    assert client.get(f"/overlay/{slide(own_run)}/0/0_0?rev=older").header("cache-control") == "private, no-cache"


def test_an_overlay_is_transparent_where_nothing_is_drawn(client: Client, own_run: ScoredRun) -> None:
    answer = client.get(f"/overlay/{slide(own_run)}/1/0_0")
    assert (answer.status, answer.header("content-type")) == (200, "image/png")
    drawn = imagecodecs.png_decode(answer.body)
    assert drawn.shape[2] == 4
    assert (drawn[..., 3] == 0).any()
    assert (drawn[..., 3] > 0).any()
    nothing = imagecodecs.png_decode(client.get(f"/overlay/{slide(own_run)}/1/0_0?show=").body)
    assert not nothing[..., 3].any()


@pytest.mark.parametrize(
    "query", ["show=3", "palette=colourblind", "part=nucleus", "t=0.05,0.06,0.07", "show=0123ox&t=0.5,0.7,0.9"]
)
def test_an_overlay_shows_what_it_is_asked_for(client: Client, own_run: ScoredRun, query: str) -> None:
    plain = client.get(f"/overlay/{slide(own_run)}/0/1_1")
    other = client.get(f"/overlay/{slide(own_run)}/0/1_1?{query}")
    assert other.status == 200
    assert other.body != plain.body
    assert client.get(f"/overlay/{slide(own_run)}/0/1_1?{query}").body == other.body


@pytest.mark.parametrize(
    "query",
    ["show=4", "show=0123ox0", "show=%00", "palette=QuPath", "palette=", "part=cells", "t=1", "t=a,b,c", "t=3,2,1",
     "t=0.1,0.2,nan", "show=" + "0" * 5000],
)  # fmt: skip
def test_an_overlay_of_nothing_sensible_is_refused(client: Client, own_run: ScoredRun, query: str) -> None:
    for more in ("", "&rev=x"):
        answer = client.get(f"/overlay/{slide(own_run)}/0/0_0?{query}{more}")
        assert answer.status == 400
        assert answer.json()["error"]


def test_the_legend_is_a_picture(client: Client) -> None:
    answer = client.get("/api/legend")
    assert answer.header("content-type") == "image/png"
    assert imagecodecs.png_decode(answer.body).shape[:2] == (16, 256)


def test_many_tiles_asked_for_at_once_are_all_answered(client: Client, own_run: ScoredRun) -> None:
    targets = [f"/tiles/{slide(own_run)}/heat/0/{c}_{r}" for c in range(4) for r in range(4)]
    targets += [f"/overlay/{slide(own_run)}/0/{c}_{r}" for c in range(4) for r in range(4)]
    answers = client.together(*(("GET", target, HEAD, [b""]) for target in [*targets, *targets]))
    assert {answer.status for answer in answers} == {200}
    half = len(targets)
    assert [answer.body for answer in answers[:half]] == [answer.body for answer in answers[half:]]


def test_blind_readers_see_tiles_and_no_overlay(blind_client: Client, own_run: ScoredRun) -> None:
    for view, status in (("rgb", 200), ("hematoxylin", 200), ("dab", 200), ("heat", 403)):
        assert blind_client.get(f"/tiles/{slide(own_run)}/{view}/0/0_0").status == status
    for query in ("", "?rev=x", "?show="):
        assert blind_client.get(f"/overlay/{slide(own_run)}/0/0_0{query}").status == 403


def test_slides_of_another_run_cannot_be_reached(client: Client, own_run: ScoredRun, tmp_path: Path) -> None:
    for slide_id in (
        f"..%2f{own_run.run.name}",
        str(own_run.slides / "strong.tiff").replace("/", "%2f"),
        "strong.tiff",
    ):
        assert client.get(f"/tiles/{slide_id}/rgb/0/0_0").status == 404


def test_a_slide_that_goes_away_leaves_no_error(scored_run: ScoredRun, tmp_path: Path) -> None:
    run = scored_run.copy(tmp_path)
    slides = tmp_path / "slides"
    shutil.copytree(scored_run.slides, slides)
    with served(run.run, slides) as client:
        assert client.get(f"/tiles/{run.ids['strong']}/rgb/0/0_0").status == 200
        shutil.rmtree(slides)
        for target in (f"/tiles/{run.ids['strong']}/rgb/0/1_0", f"/tiles/{run.ids['weak']}/rgb/0/0_0"):
            assert client.get(target).status < 500
