from __future__ import annotations

import tracemalloc
from pathlib import Path

import pytest

from review.asgi import ORIGIN, Client
from review.made_app import ScoredRun, served
from slidescore.errors import InputError, RunFolderError
from slidescore.review import api_pages
from slidescore.review.api_pages import WEB, static_files

GET_TARGETS = (
    "/", "/slides/{id}", "/static/app.css", "/api/run", "/api/slides", "/api/slides/{id}", "/api/slides/{id}/thumbnail",
    "/api/slides/{id}/review", "/api/slides/{id}/cell?cell_id=0", "/api/events?after=0", "/api/legend",
    "/tiles/{id}/rgb/0/0_0", "/overlay/{id}/0/0_0",
)  # fmt: skip
POST_TARGETS = ("/api/slides/{id}/counts", "/api/slides/{id}/preview", "/api/slides/{id}/events", "/api/assay")


@pytest.mark.parametrize("target", GET_TARGETS)
def test_every_address_answers_a_reader_with_the_token_alone(client: Client, own_run: ScoredRun, target: str) -> None:
    target = target.replace("{id}", own_run.ids["strong"])
    assert client.get(target).status == 200
    head = client.send("HEAD", target)
    assert head.status == 200
    assert client.get(target, token=None).status == 401
    assert client.get(target, host="evil.example").status == 400
    assert client.get(target, {"Origin": "http://evil.example"}).status == 403
    for method in ("POST", "PUT", "DELETE", "PATCH", "OPTIONS", "CONNECT", "BREW"):
        assert client.send(method, target, {"Origin": ORIGIN}).status == 405
        assert client.send(method, target).status == 403


@pytest.mark.parametrize("target", POST_TARGETS)
def test_what_is_sent_needs_token_origin_and_post(client: Client, own_run: ScoredRun, target: str) -> None:
    target = target.replace("{id}", own_run.ids["strong"])
    assert client.post(target, b"{").status == 400
    assert client.post(target, b"{", token=None).status == 401
    assert client.send("POST", target, body=b"{}").status == 403
    for method in ("GET", "HEAD"):
        assert client.send(method, target).status == 405


@pytest.mark.parametrize(
    "target",
    ["/nowhere", "/api", "/api/", "/api/slides/", "/static/", "/static/../app.py", "/static/%2e%2e/app.py",
     "/static/app.py", "/static/package.json", "/static/node_modules/x.js", "/static/vendor/openseadragon.min.js",
     "/static/cohort.html", "/static/%2fetc%2fpasswd", "/static//etc/passwd", "/run.json",
     "/reviews.sqlite", "/scores.csv", "//", "/slides/",
     "/slides/nowhere", "/read/nowhere", "/tiles", "/.git/config", "/%00", "/api/run/", "/favicon.ico"],
)  # fmt: skip
def test_other_addresses_do_not_exist(client: Client, target: str) -> None:
    answer = client.get(target)
    assert answer.status == 404
    assert "error" in answer.json()


def test_pages_are_html_and_load_files_that_are_there(client: Client, own_run: ScoredRun) -> None:
    import re

    for target in ("/", f"/slides/{own_run.ids['strong']}"):
        page = client.get(target)
        assert page.header("content-type") == "text/html; charset=utf-8"
        text = page.body.decode()
        assert "<script>" not in text
        assert " style=" not in text
        for name in re.findall(r'(?:src|href)="(/static/[^"]+)"', text):
            if "openseadragon" not in name:  # npm brings it
                assert client.get(name).status == 200, name
        assert not re.findall(r'(?:src|href)="(?:https?:)?//', text)


def test_static_files_are_those_of_the_app_and_no_other() -> None:
    files = static_files()
    assert {"app.css", "tokens.css"} <= set(files)
    assert {path.suffix for path in files.values()} <= {".css", ".js", ".svg"}
    assert not [name for name in files if "/" in name or name.startswith("package")]
    assert all(path.parent in (WEB, WEB / "vendor", api_pages.TOKENS.parent) for path in files.values())


@pytest.mark.parametrize(
    ("name", "kind"), [("app.css", "text/css"), ("cohort.js", "text/javascript"), ("icon.svg", "image/svg+xml")]
)
def test_static_files_say_what_they_are(client: Client, name: str, kind: str) -> None:
    answer = client.get(f"/static/{name}")
    assert (answer.header("content-type") or "").startswith(kind)
    assert answer.body == (WEB / name).read_bytes()
    assert client.get(f"/static/{name}").body == answer.body  # and again


def test_a_page_that_is_missing_from_the_installation_is_no_error_of_the_server(
    client: Client, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(api_pages, "WEB", tmp_path)
    answer = client.get("/")
    assert answer.status == 404
    assert str(tmp_path) not in answer.body.decode()


def test_blind_readers_are_led_to_their_page_and_others_away_from_it(
    client: Client, blind_client: Client, own_run: ScoredRun
) -> None:
    slide_id = own_run.ids["strong"]
    led = blind_client.get(f"/slides/{slide_id}")
    assert (led.status, led.header("location")) == (303, f"/read/{slide_id}")
    led = client.get(f"/read/{slide_id}")
    assert (led.status, led.header("location")) == (303, f"/slides/{slide_id}")
    assert blind_client.get("/").status == 200


def test_a_blind_server_says_nothing_that_the_machine_found(blind_client: Client, own_run: ScoredRun) -> None:
    scores = own_run.record("strong")["scores"]
    words = [f"{scores['h_score']:.3f}"[:6], "HIGH", "h_score_low", "n_tumor", "white_assumed", '"bins"', '"call"']
    said = b""
    for target in GET_TARGETS:
        answer = blind_client.get(target.replace("{id}", own_run.ids["strong"]))
        if target.startswith("/api") and answer.header("content-type") == "application/json":
            said += answer.body
    assert b"result_digest" in said
    for word in words:
        assert word.encode() not in said


def test_what_is_no_run_is_refused_at_start(tmp_path: Path, own_run: ScoredRun) -> None:
    with pytest.raises(RunFolderError), served(tmp_path):
        pass
    with pytest.raises(InputError), served(own_run.run, tmp_path / "nowhere"):
        pass


def test_memory_stays_bounded_over_many_requests(client: Client, own_run: ScoredRun) -> None:
    targets = [target.replace("{id}", own_run.ids[name]) for target in GET_TARGETS for name in ("strong", "weak")]

    def ask() -> None:
        for target in targets:
            client.get(target)
            client.get(f"{target}{'&' if '?' in target else '?'}x={'y' * 1000}")

    ask()
    tracemalloc.start()
    ask()
    before, _ = tracemalloc.get_traced_memory()
    for _ in range(15):
        ask()
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert after - before < 2_000_000
