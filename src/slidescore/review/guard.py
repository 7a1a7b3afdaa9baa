"""The door of the review server: who may come in, from where, and what every answer carries.

Slides are patients' data, and any page that a browser shows can send requests to 127.0.0.1. So nothing is answered
without the token; a Host header that this server does not have is refused, which defeats DNS rebinding; and what
changes something must come from the server's own pages, by its Origin header.
"""

from __future__ import annotations

import hmac
import ipaddress
import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import parse_qsl, urlencode

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from slidescore.errors import place_of

MAX_BODY_BYTES: Final = 4 * 1024 * 1024
"""Largest body of a request: 200,000 cell ids of seven digits are 1.6 MB."""
HEADERS: Final[Mapping[str, str]] = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}
"""On every answer: no script, style or picture from elsewhere, none inside a page, no frame around it."""
LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "::1"})
"""Names of this machine for itself."""

_HTTP_PORT: Final = 80
_READING: Final = ("GET", "HEAD")
_PAGE: Final = re.compile(r"/|/(slides|read)/[A-Za-z0-9._-]{1,200}")
_LOG: Final = logging.getLogger("slidescore.review")


@dataclass(frozen=True, slots=True)
class Door:
    """What the guard compares requests with.

    Attributes
    ----------
    token
        Who has it may come in.
    hosts
        Names and addresses that the server goes by, without port.
    port
        The port that it is bound to.
    tickets
        What lets one browser in once, in place of the token: a command line shows it to all users of the machine.
    """

    token: str
    hosts: frozenset[str]
    port: int
    tickets: set[str] = field(default_factory=set)

    @property
    def cookie(self) -> str:
        """Name of the cookie: cookies are shared by all ports of a host, and each server has its own token."""
        return f"slidescore_token_{self.port}"

    def knows(self, authority: str, own_address: str) -> bool:
        """Whether a Host header names this server; `own_address` is where the connection came in."""
        names = {*self.hosts, _unmapped(own_address)}
        known = {f"{_bracketed(name)}:{self.port}" for name in names}
        if self.port == _HTTP_PORT:
            known |= {_bracketed(name) for name in names}
        return authority.lower() in known

    def admits(self, headers: Headers) -> bool:
        """Whether the request carries the token, as a cookie or as a bearer."""
        offered = []
        for line in headers.getlist("cookie"):
            pairs = (part.strip().partition("=") for part in line.split(";"))
            offered += [value for name, _, value in pairs if name == self.cookie]
        for line in headers.getlist("authorization"):
            scheme, _, value = line.partition(" ")
            offered += [value.strip()] if scheme.lower() == "bearer" else []
        return any(self.fits(value) for value in offered)

    def fits(self, offered: str) -> bool:
        """Whether this is the token; takes the same time for any wrong one."""
        return hmac.compare_digest(offered.encode(), self.token.encode())

    def redeem(self, offered: str) -> bool:
        """Whether this is a ticket that nobody came in with yet; afterwards somebody has."""
        found = {ticket for ticket in self.tickets if hmac.compare_digest(offered.encode(), ticket.encode())}
        self.tickets.difference_update(found)
        return bool(found)


class Guard:
    """The outermost part of the server: refuses, admits, adds headers, and lets no error's words out.

    Parameters
    ----------
    app
        What is guarded.
    door
        Token and names.
    """

    def __init__(self, app: ASGIApp, door: Door) -> None:
        self._app, self._door = app, door

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1000})
            return
        answer = _Answer(send)
        refusal = self._refuse(scope)
        if refusal is not None:
            await refusal(scope, receive, answer.send)
            return
        try:
            await self._app(scope, _limited(receive), answer.send)
        except _TooLargeError:
            if not answer.started:
                await _refusal(scope, 413, "the request is too large", "select fewer cells at once")(
                    scope, receive, answer.send
                )
        except ClientDisconnect:
            pass
        except Exception as error:  # noqa: BLE001 - the last line of defence
            # Not its words: they can quote a slide's metadata or a path.
            _LOG.error("internal error: %s %s", type(error).__name__, place_of(error))
            if not answer.started:
                refusal = _refusal(scope, 500, "internal error", "reload the page; if it stays, report it")
                await refusal(scope, receive, answer.send)

    def _refuse(self, scope: Scope) -> Response | None:
        """Return the answer to a request that is not let through, which may be the one that sets the cookie."""
        headers, door = Headers(scope=scope), self._door
        own = scope.get("server") or ("", None)
        hosts = headers.getlist("host")
        if len(hosts) != 1 or not door.knows(hosts[0], str(own[0])):
            return _refusal(scope, 400, "this server has another name", "open the address that it printed")
        origins = headers.getlist("origin")
        needs_origin = scope["method"] not in _READING
        if (origins or needs_origin) and [each.lower() for each in origins] != [f"http://{hosts[0].lower()}"]:
            return _refusal(scope, 403, "the request comes from another page", "use the pages of this server")
        if scope["method"] == "GET" and (redirect := self._admitted_by_address(scope)):
            return redirect
        if not door.admits(headers):
            return _refusal(scope, 401, "the token is missing or wrong", "open the address that the server printed")
        if _declared_bytes(headers) > MAX_BODY_BYTES:
            return _refusal(scope, 413, "the request is too large", "select fewer cells at once")
        return None

    def _admitted_by_address(self, scope: Scope) -> Response | None:
        """Turn token or ticket in a page's address into a cookie, and the address into one without them."""
        path = scope["path"]
        query = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        checks = {"token": self._door.fits, "ticket": self._door.redeem}
        if not _PAGE.fullmatch(path) or not any(checks[name](value) for name, value in query if name in checks):
            return None
        rest = urlencode([(name, value) for name, value in query if name not in checks])
        response = RedirectResponse(f"{path}?{rest}" if rest else path, status_code=303)
        # Not "strict": a browser that followed a link from elsewhere, such as a mail, would not send that one after
        # the redirect. Lax suffices, for no GET changes anything, and whatever does needs an Origin of this server.
        response.set_cookie(self._door.cookie, self._door.token, path="/", httponly=True, samesite="lax")
        # An earlier server at this port may have shown what this one does not, as in a blind reading.
        response.headers["Clear-Site-Data"] = '"cache"'
        return response


class _TooLargeError(Exception):
    """More bytes came than a request may have."""


class _Answer:
    """Sends an answer on with the headers that all have."""

    def __init__(self, send: Send) -> None:
        self._send, self.started = send, False

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.started = True
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers[name] = value
            # Answers are of one moment, but for tiles, which say so themselves.
            headers.setdefault("Cache-Control", "no-store")
        await self._send(message)


def _limited(receive: Receive) -> Receive:
    """Count the bytes of a body that did not say how long it would be."""
    n_bytes = 0

    async def counted() -> Message:
        nonlocal n_bytes
        message = await receive()
        n_bytes += len(message.get("body", b""))
        if n_bytes > MAX_BODY_BYTES:
            raise _TooLargeError
        return message

    return counted


def _declared_bytes(headers: Headers) -> int:
    text = headers.get("content-length", "0")
    # What is no number the server below has refused already; a number of many digits is too large in any case.
    return int(text) if re.fullmatch(r"[0-9]{1,15}", text) else MAX_BODY_BYTES + 1


def _unmapped(address: str) -> str:
    """Return an address as browsers name it: sockets for both families give 127.0.0.1 as ::ffff:127.0.0.1."""
    try:
        mapped = ipaddress.IPv6Address(address).ipv4_mapped
    except ValueError:
        return address
    return str(mapped) if mapped else address


def _bracketed(name: str) -> str:
    return f"[{name.lower()}]" if ":" in name else name.lower()


def _refusal(scope: Scope, status: int, error: str, remedy: str) -> Response:
    if scope["path"].startswith("/api/"):
        return JSONResponse({"error": error, "remedy": remedy}, status)
    return PlainTextResponse(f"slidescore: {error} ({remedy})\n", status)
