"""The server's socket and its life: bound before anything is said, stopped by a signal, silent in between."""

from __future__ import annotations

import logging
import secrets
import socket
from collections.abc import Callable
from typing import Final

import uvicorn
from starlette.types import ASGIApp

from slidescore.errors import InputError
from slidescore.execute import return_freed_memory
from slidescore.review.guard import LOOPBACK

TOKEN_BYTES: Final = 32
"""Of a token that is made; 256 bits."""
LEAST_TOKEN: Final = 16
"""Characters of a token that is given."""
BACKLOG: Final = 128
STOP_SECONDS: Final = 5
"""How long requests under way are waited for when the server is stopped."""
_TOKEN_LETTERS: Final = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")


def choose_token(given: str | None, host: str) -> str:
    """Return the token that was given, or make one.

    Parameters
    ----------
    given
        None to make one.
    host
        Where the server will listen; beyond this machine nobody should rely on a token that scrolls away.

    Raises
    ------
    InputError
        If it is too short, holds a character that an address cannot, or is missing for a `host` beyond this machine.
    """
    if given is None:
        if host not in LOOPBACK:
            raise InputError(
                "others can reach the server there, so they need a token that you choose",
                where=f"--host {host}",
                remedy=f"give --token with at least {LEAST_TOKEN} letters and digits",
            )
        return secrets.token_urlsafe(TOKEN_BYTES)
    if len(given) < LEAST_TOKEN or not set(given) <= _TOKEN_LETTERS:
        # The token itself is not repeated: terminals are logged.
        raise InputError(
            f"takes at least {LEAST_TOKEN} letters, digits, - and _", where="--token", remedy="leave it out to have one"
        )
    return given


def bind(host: str, port: int) -> socket.socket:
    """Bind the server's socket; with port 0 to a free one.

    Raises
    ------
    InputError
        If the address is not this machine's, or taken.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        bound = socket.socket(family, kind, protocol)
        try:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            bound.bind(address)
            bound.listen(BACKLOG)
        except OSError:
            bound.close()
            raise
    except (OSError, UnicodeError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else "no such address"
        raise InputError(
            f"cannot listen: {reason}", where=f"{host} port {port}", remedy="give another --host or --port"
        ) from error
    return bound


def host_names(host: str) -> frozenset[str]:
    """Return the names that a server bound to `host` goes by, besides the address that a connection came in on."""
    if host in LOOPBACK:
        return LOOPBACK
    if host in ("0.0.0.0", "::"):
        return LOOPBACK | {socket.gethostname().lower(), socket.getfqdn().lower()}
    return frozenset({host.lower()})


def address_of(host: str, port: int) -> str:
    """Return the address for a browser on this machine, without the token."""
    name = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"http://[{name}]:{port}" if ":" in name else f"http://{name}:{port}"


class _Announced(uvicorn.Server):
    """A server that says when it is there: from then on a signal stops it in good order."""

    def __init__(self, config: uvicorn.Config, when_there: Callable[[], None]) -> None:
        super().__init__(config)
        self._when_there = when_there

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._when_there()


def serve(app: ASGIApp, bound: socket.socket, when_there: Callable[[], None]) -> None:
    """Serve until SIGINT or SIGTERM; requests under way end first, and the signal is raised again afterwards.

    Parameters
    ----------
    app
        What answers.
    bound
        Where; closed at the end.
    when_there
        Called once the server answers.

    Raises
    ------
    KeyboardInterrupt
        After SIGINT, as without a server.
    """
    return_freed_memory()
    # Whatever the server's own logger says could quote a request or an error; the guard tells what must be told.
    logging.getLogger("uvicorn.error").disabled = True
    config = uvicorn.Config(
        app,
        http="h11",
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=STOP_SECONDS,
    )
    with bound:
        _Announced(config, when_there).run(sockets=[bound])
