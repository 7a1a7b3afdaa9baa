from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest
from starlette.responses import PlainTextResponse, Response
from starlette.types import Receive, Scope, Send

from review.asgi import HOST, ORIGIN, TOKEN, Client, client_of
from slidescore.review.guard import HEADERS, LOOPBACK, MAX_BODY_BYTES, Door, Guard

DOOR = Door(TOKEN, LOOPBACK, 8765)


class Echo:
    """Answers with the size of the body; /fail fails with words that nobody may read."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._live(receive, send)
            return
        if scope["path"] == "/fail":
            raise ValueError("patient Jane Doe in /secret/folder")
        n_bytes, more = 0, True
        while more:
            message = await receive()
            n_bytes += len(message.get("body", b""))
            more = message.get("more_body", False)
        answer: Response = PlainTextResponse(str(n_bytes))
        if scope["path"] == "/tile":
            answer.headers["Cache-Control"] = "private, max-age=60"
        await answer(scope, receive, send)
        if scope["path"] == "/fail-late":
            raise ValueError("too late")

    async def _live(self, receive: Receive, send: Send) -> None:
        for name in ("startup", "shutdown"):
            await receive()
            await send({"type": f"lifespan.{name}.complete"})


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    with client_of(Guard(Echo(), DOOR)) as opened:
        yield opened


def test_who_has_the_token_comes_in(client: Client) -> None:
    assert client.get("/api/run").status == 200
    cookie = {"Cookie": f"other=1; {DOOR.cookie}={TOKEN}"}
    assert client.get("/api/run", cookie, token=None).status == 200


@pytest.mark.parametrize("path", ["/", "/slides/a", "/api/run", "/static/app.css", "/tiles/a/rgb/0/0_0", "/nowhere"])
@pytest.mark.parametrize("token", [None, "", "wrong", TOKEN[:-1], TOKEN + "x", TOKEN.upper()])
def test_nobody_else_does(client: Client, path: str, token: str | None) -> None:
    assert client.get(path, token=token).status == 401
    assert client.get(path, {"Cookie": f"{DOOR.cookie}={token or ''}"}, token=None).status == 401
    assert client.send("POST", path, {"Origin": ORIGIN}, token=token).status == 401


@pytest.mark.parametrize(
    "offered",
    [
        {"Authorization": f"Basic {TOKEN}"},
        {"Authorization": TOKEN},
        {"Cookie": f"slidescore_token={TOKEN}"},
        {"Cookie": f"x{DOOR.cookie}={TOKEN}"},
        {"X-Token": TOKEN},
    ],
)
def test_the_token_counts_only_where_it_belongs(client: Client, offered: dict[str, str]) -> None:
    assert client.get("/", offered, token=None).status == 401


def test_the_token_in_a_pages_address_becomes_a_cookie_and_leaves_the_address(client: Client) -> None:
    for path in ("/", "/slides/a-01.b_c", "/read/a"):
        answer = client.get(f"{path}?x=1&token={TOKEN}&zoom=2.5&q=a%20b", token=None)
        assert answer.status == 303
        assert answer.header("location") == f"{path}?x=1&zoom=2.5&q=a+b"
        cookie = answer.header("set-cookie")
        assert cookie == f"{DOOR.cookie}={TOKEN}; HttpOnly; Path=/; SameSite=lax"
        assert answer.header("clear-site-data") == '"cache"'
        assert answer.body == b""
    assert client.get(f"/?token={TOKEN}", token=None).header("location") == "/"
    assert "secure" not in (cookie or "").lower()  # it is HTTP


def test_a_ticket_lets_one_browser_in_once() -> None:
    door = Door(TOKEN, LOOPBACK, 8765, {"ticket-of-the-tests"})
    with client_of(Guard(Echo(), door)) as client:
        for target in (
            "/?ticket=",
            "/?ticket=wrong",
            "/?token=ticket-of-the-tests",
            "/api/run?ticket=ticket-of-the-tests",
        ):
            assert client.get(target, token=None).status == 401
        assert client.get("/api/run", token="ticket-of-the-tests").status == 401
        answer = client.get("/?x=1&ticket=ticket-of-the-tests", token=None)
        assert (answer.status, answer.header("location")) == (303, "/?x=1")
        assert (answer.header("set-cookie") or "").startswith(f"{door.cookie}={TOKEN}; ")
        again = client.get("/?ticket=ticket-of-the-tests", token=None)
        assert (again.status, again.header("set-cookie")) == (401, None)


@pytest.mark.parametrize("target", ["/?token=wrong", "/?token=", f"/?tokens={TOKEN}", f"/?Token={TOKEN}"])
def test_a_wrong_token_in_the_address_sets_nothing(client: Client, target: str) -> None:
    answer = client.get(target, token=None)
    assert (answer.status, answer.header("set-cookie")) == (401, None)


@pytest.mark.parametrize(
    "path", ["//evil.example", "/api/run", "/static/app.css", "/slides/a/b", "/\\evil", "/slides/"]
)
def test_the_token_in_another_address_is_no_redirect(client: Client, path: str) -> None:
    answer = client.get(f"{path}?token={TOKEN}", token=None)
    assert (answer.status, answer.header("location")) == (401, None)


def test_an_old_token_in_a_bookmark_does_no_harm_to_who_is_in(client: Client) -> None:
    assert client.get("/?token=old", {"Cookie": f"{DOOR.cookie}={TOKEN}"}, token=None).status == 200


@pytest.mark.parametrize(
    "host",
    [
        None, "", "evil.example", "evil.example:8765", "127.0.0.1", "127.0.0.1:8766", "localhost.evil.example:8765",
        "127.0.0.1:8765@evil.example", "[::1]", "::1:8765", "0.0.0.0:8765", "127.0.0.1:08765", "127.0.0.2:8765",
    ],
)  # fmt: skip
def test_a_foreign_host_is_refused(client: Client, host: str | None) -> None:
    assert client.get("/api/run", host=host).status == 400
    assert client.get(f"/?token={TOKEN}", host=host, token=None).status == 400


def test_two_hosts_are_refused(client: Client) -> None:
    headers = [("Host", HOST), ("Host", HOST), ("Authorization", f"Bearer {TOKEN}")]
    assert client.send_raw("GET", "/", headers).status == 400


@pytest.mark.parametrize("host", [HOST, "localhost:8765", "LOCALHOST:8765", "[::1]:8765"])
def test_its_own_names_are_let_in(client: Client, host: str) -> None:
    assert client.get("/", host=host).status == 200


def test_on_the_port_of_http_browsers_leave_it_out() -> None:
    door = Door(TOKEN, LOOPBACK, 80)
    assert door.knows("localhost", "127.0.0.1")
    assert door.knows("localhost:80", "127.0.0.1")
    assert not DOOR.knows("localhost", "127.0.0.1")


def test_the_address_that_a_connection_came_in_on_is_a_name_too() -> None:
    assert Door(TOKEN, LOOPBACK, 8765).knows("192.0.2.7:8765", "192.0.2.7")
    assert not Door(TOKEN, LOOPBACK, 8765).knows("192.0.2.7:8765", "192.0.2.8")
    # As a socket for both families tells it.
    assert DOOR.knows("192.0.2.7:8765", "::ffff:192.0.2.7")
    assert DOOR.knows("[2001:db8::7]:8765", "2001:db8::7")


@pytest.mark.parametrize(
    "origin",
    ["http://evil.example", "null", "", f"https://{HOST}", "http://127.0.0.1:9999", f"http://evil.example, {ORIGIN}",
     f"{ORIGIN}/", f"{ORIGIN}.evil.example", "http://localhost:8765"],
)  # fmt: skip
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "OPTIONS"])
def test_a_foreign_origin_is_refused(client: Client, origin: str, method: str) -> None:
    assert client.send(method, "/api/run", {"Origin": origin}).status == 403


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "BREW"])
def test_what_changes_something_needs_an_origin(client: Client, method: str) -> None:
    assert client.send(method, "/api/run").status == 403
    assert client.send(method, "/api/run", {"Origin": ORIGIN}).status == 200


def test_two_origins_are_refused(client: Client) -> None:
    headers = [("Host", HOST), ("Authorization", f"Bearer {TOKEN}"), ("Origin", ORIGIN), ("Origin", "http://evil")]
    assert client.send_raw("POST", "/", headers).status == 403


def test_its_own_origin_may_read_too(client: Client) -> None:
    assert client.get("/", {"Origin": ORIGIN}).status == 200


def test_every_answer_has_the_headers(client: Client, caplog: pytest.LogCaptureFixture) -> None:
    answers = [
        client.get("/"), client.get("/", token=None), client.get("/", host="evil"), client.get(f"/?token={TOKEN}"),
        client.get("/", {"Origin": "http://evil"}), client.get("/fail"), client.send("POST", "/", {"Origin": ORIGIN}),
    ]  # fmt: skip
    assert {answer.status for answer in answers} == {200, 401, 400, 303, 403, 500}
    for answer in answers:
        for name, value in HEADERS.items():
            assert answer.header(name) == value
        assert answer.header("cache-control") == "no-store"
    policy = HEADERS["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'")
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert client.get("/tile").header("cache-control") == "private, max-age=60"


def test_the_words_of_an_error_go_nowhere(client: Client, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        answer = client.get("/fail")
    assert answer.status == 500
    assert b"Jane" not in answer.body
    assert b"secret" not in answer.body
    assert "internal error: ValueError in test_guard.py, line" in caplog.text
    assert "Jane" not in caplog.text


def test_an_error_after_the_answer_began_is_noted_too(client: Client, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR):
        assert client.get("/fail-late").status == 200
    assert "internal error: ValueError" in caplog.text


def test_too_large_a_body_is_refused_whether_it_says_so_or_not(client: Client) -> None:
    head = [("Host", HOST), ("Authorization", f"Bearer {TOKEN}"), ("Origin", ORIGIN)]
    half = b"x" * (MAX_BODY_BYTES // 2)
    assert client.send_raw("POST", "/", head, [half, half]).body == str(MAX_BODY_BYTES).encode()
    assert client.send_raw("POST", "/", head, [half, half, b"x"]).status == 413
    for length in (str(MAX_BODY_BYTES + 1), "9" * 400, "-1", "1e3", "x"):
        assert client.send_raw("POST", "/", [*head, ("Content-Length", length)], [b""]).status == 413
    answer = client.send_raw("POST", "/api/x", [*head, ("Content-Length", "99999999")], [b""])
    assert answer.json() == {"error": "the request is too large", "remedy": "select fewer cells at once"}


def test_refusals_say_what_to_do(client: Client) -> None:
    assert client.get("/api/run", token=None).json()["remedy"] == "open the address that the server printed"
    page = client.get("/", token=None)
    assert page.header("content-type") == "text/plain; charset=utf-8"
    assert b"open the address that the server printed" in page.body


def test_a_web_socket_is_closed() -> None:
    import asyncio

    sent: list[dict[str, object]] = []

    async def run() -> None:
        async def send(message: dict[str, object]) -> None:
            sent.append(message)

        await Guard(Echo(), DOOR)({"type": "websocket", "path": "/"}, send, send)  # type: ignore[arg-type]

    asyncio.run(run())
    assert sent == [{"type": "websocket.close", "code": 1000}]


def test_tokens_are_compared_in_constant_time() -> None:
    """By hmac.compare_digest, which takes text of any kind."""
    assert DOOR.fits(TOKEN)
    assert not DOOR.fits("é" * len(TOKEN))
    assert not DOOR.fits("")
