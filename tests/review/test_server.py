from __future__ import annotations

import http.client
import socket
import threading

import pytest
import uvicorn
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send

from slidescore.errors import InputError
from slidescore.review.guard import LOOPBACK
from slidescore.review.server import LEAST_TOKEN, address_of, bind, choose_token, host_names, serve


def test_a_token_is_made_anew_each_time() -> None:
    tokens = {choose_token(None, "127.0.0.1") for _ in range(50)}
    assert len(tokens) == 50
    assert all(len(token) >= 43 for token in tokens)  # 256 bits


def test_a_given_token_is_taken_if_it_is_long_and_plain() -> None:
    assert choose_token("a-B_" * 4, "0.0.0.0") == "a-B_" * 4
    for token in ("a" * (LEAST_TOKEN - 1), "", "a b" * 10, "ä" * 20, "a;b=" * 5, "abc/" * 5):
        with pytest.raises(InputError) as caught:
            choose_token(token, "127.0.0.1")
        assert not token or token not in str(caught.value)


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "::", "reader.example"])
def test_beyond_this_machine_a_token_must_be_given(host: str) -> None:
    with pytest.raises(InputError, match="give --token"):
        choose_token(None, host)


def test_a_free_port_is_found_and_a_taken_one_refused() -> None:
    with bind("127.0.0.1", 0) as first:
        port = first.getsockname()[1]
        assert port > 0
        with pytest.raises(InputError, match="cannot listen"):
            bind("127.0.0.1", port)


@pytest.mark.parametrize("host", ["192.0.2.1", "no such host", "x" * 300, "\udcff"])
def test_an_address_of_another_machine_is_refused_in_one_line(host: str) -> None:
    with pytest.raises(InputError) as caught:
        bind(host, 0)
    assert "\n" not in str(caught.value)


def test_a_server_knows_its_names() -> None:
    assert host_names("127.0.0.1") == LOOPBACK == host_names("localhost")
    assert host_names("Reader.example") == {"reader.example"}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket, "gethostname", lambda: "Reader")
        patch.setattr(socket, "getfqdn", lambda: "Reader.example")
        for host in ("0.0.0.0", "::"):
            assert host_names(host) == LOOPBACK | {"reader", "reader.example"}


@pytest.mark.parametrize(
    ("host", "address"),
    [("127.0.0.1", "http://127.0.0.1:8765"), ("::1", "http://[::1]:8765"), ("localhost", "http://localhost:8765"),
     ("0.0.0.0", "http://127.0.0.1:8765"), ("::", "http://[::1]:8765")],
)  # fmt: skip
def test_the_address_is_one_that_a_browser_here_can_open(host: str, address: str) -> None:
    assert address_of(host, 8765) == address


class Greeting:
    """Answers, and stops its server on /stop as a signal would."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            for name in ("startup", "shutdown"):
                await receive()
                await send({"type": f"lifespan.{name}.complete"})
            return
        if scope["path"] == "/fail":
            raise ValueError("patient Jane Doe")
        await PlainTextResponse("here")(scope, receive, send)


def test_it_serves_on_the_socket_and_says_nothing_of_itself(capfd: pytest.CaptureFixture[str]) -> None:
    bound = bind("127.0.0.1", 0)
    port = bound.getsockname()[1]
    # In a thread signals are not touched; the process that really serves is in tests/cli/test_review_serve.py.
    running: list[uvicorn.Server] = []
    original, there = uvicorn.Server.__init__, threading.Event()

    def note(server: uvicorn.Server, config: uvicorn.Config) -> None:
        running.append(server)
        original(server, config)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(uvicorn.Server, "__init__", note)
        thread = threading.Thread(target=serve, args=(Greeting(), bound, there.set))
        thread.start()
        try:
            assert there.wait(20)
            for path, status in (("/", 200), ("/fail", 500)):
                connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
                connection.request("GET", path)
                answer = connection.getresponse()
                assert answer.status == status
                assert answer.getheader("server") is None
                assert b"Jane" not in answer.read()
                connection.close()
            with socket.create_connection(("127.0.0.1", port), timeout=20) as raw:
                raw.sendall(b"\x00\x01\x02 not http\r\n\r\n")
                assert raw.recv(1000).startswith(b"HTTP/1.1 400")
        finally:
            running[0].should_exit = True
            thread.join(20)
    assert not thread.is_alive()
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.1", port), timeout=5)
    said = capfd.readouterr()
    assert (said.out, said.err) == ("", "")
