"""A browser's half of HTTP, in the same process: sends requests to an ASGI app and collects what it answers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

TOKEN = "token-of-the-tests_0123"
HOST = "127.0.0.1:8765"
ORIGIN = f"http://{HOST}"


@dataclass(frozen=True)
class Answer:
    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def header(self, name: str) -> str | None:
        """The one header of that name, or None."""
        found = [value for key, value in self.headers if key == name.lower()]
        assert len(found) <= 1, (name, found)
        return found[0] if found else None

    def json(self) -> Any:
        assert self.header("content-type") == "application/json", (self.status, self.body[:200])
        return json.loads(self.body)


class Client:
    """Sends requests to an app, one after the other or several at once, on a loop of its own."""

    def __init__(self, app: Any, runner: asyncio.Runner) -> None:
        self._app, self._runner = app, runner

    def get(self, target: str, headers: Mapping[str, str] | None = None, **other: Any) -> Answer:
        return self.send("GET", target, headers, **other)

    def post(self, target: str, content: Any, headers: Mapping[str, str] | None = None, **other: Any) -> Answer:
        packed = content if isinstance(content, bytes) else json.dumps(content).encode()
        return self.send("POST", target, {"Origin": ORIGIN, **(headers or {})}, body=packed, **other)

    def send(
        self,
        method: str,
        target: str,
        headers: Mapping[str, str] | None = None,
        *,
        body: bytes = b"",
        token: str | None = TOKEN,
        host: str | None = HOST,
    ) -> Answer:
        """Send one request with the token, unless told otherwise."""
        pairs = [("Host", host)] if host is not None else []
        pairs += [("Authorization", f"Bearer {token}")] if token is not None else []
        return self.send_raw(method, target, [*pairs, *(headers or {}).items()], [body])

    def send_raw(
        self, method: str, target: str, headers: Sequence[tuple[str, str]], bodies: Sequence[bytes] = (b"",)
    ) -> Answer:
        """Send exactly these headers, the body in these pieces."""
        return self._runner.run(self._answer(method, target, headers, bodies))

    def together(self, *requests: tuple[str, str, Sequence[tuple[str, str]], Sequence[bytes]]) -> list[Answer]:
        """Send several requests at once, as `send_raw` takes them."""

        async def all_of_them() -> list[Answer]:
            return await asyncio.gather(*(self._answer(*request) for request in requests))

        return self._runner.run(all_of_them())

    async def _answer(
        self, method: str, target: str, headers: Sequence[tuple[str, str]], bodies: Sequence[bytes]
    ) -> Answer:
        path, _, query = target.partition("?")
        scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            # As uvicorn decodes it.
            "path": unquote(path),
            "raw_path": path.encode("ascii", "replace"),
            "root_path": "",
            "query_string": query.encode("ascii", "replace"),
            "headers": [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers],
            "client": ("127.0.0.1", 50_000),
            "server": ("127.0.0.1", 8765),
        }
        pieces = list(bodies)
        started: dict[str, Any] = {}
        parts: list[bytes] = []

        async def receive() -> dict[str, Any]:
            if not pieces:
                return {"type": "http.disconnect"}
            return {"type": "http.request", "body": pieces.pop(0), "more_body": bool(pieces)}

        async def send(message: dict[str, Any]) -> None:
            if message["type"] == "http.response.start":
                assert not started, "two answers to one request"
                started.update(message)
            else:
                assert started, "a body before its head"
                parts.append(bytes(message.get("body", b"")))

        await self._app(scope, receive, send)
        assert started, "no answer"
        found = tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in started["headers"])
        return Answer(started["status"], found, b"".join(parts))


@contextmanager
def client_of(app: Any) -> Iterator[Client]:
    """Start an app as a server does, and stop it at the end."""
    with asyncio.Runner() as runner:
        to_app: asyncio.Queue[dict[str, str]] = asyncio.Queue()
        from_app: asyncio.Queue[dict[str, str]] = asyncio.Queue()

        async def start() -> asyncio.Task[None]:
            task = asyncio.create_task(app({"type": "lifespan", "asgi": {"version": "3.0"}}, to_app.get, from_app.put))
            await to_app.put({"type": "lifespan.startup"})
            assert (await from_app.get())["type"] == "lifespan.startup.complete"
            return task

        async def stop(task: asyncio.Task[None]) -> None:
            await to_app.put({"type": "lifespan.shutdown"})
            assert (await from_app.get())["type"] == "lifespan.shutdown.complete"
            await task

        task = runner.run(start())
        try:
            yield Client(app, runner)
        finally:
            runner.run(stop(task))
