"""The server as a process of its own, as a user starts and stops it."""

from __future__ import annotations

import http.client
import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest
from click.testing import CliRunner

from cli import review_launcher
from review.made_app import ScoredRun, score_drawn_slides
from slidescore.audit.check import check_log
from slidescore.audit.log import LOG_FILE, ReviewLog
from slidescore.cli.review_serve import TOKEN_VARIABLE, serve
from slidescore.errors import InputError
from slidescore.report.digests import result_digest
from slidescore.review.viewer_file import VIEWER

KILLS = 30
TOKEN = "given-by-the-user_42"
pytestmark = pytest.mark.skipif(not VIEWER.is_file(), reason="no OpenSeadragon: `make web` brings it, and needs npm")


@pytest.fixture(scope="module")
def scored(tmp_path_factory: pytest.TempPathFactory) -> ScoredRun:
    return score_drawn_slides(tmp_path_factory.mktemp("serve"))


class Server:
    """A server by what it printed first: its address."""

    def __init__(self, lines: list[str]) -> None:
        self.lines = lines
        found = re.fullmatch(r"http://127\.0\.0\.1:(\d+)/\?token=([\w-]+)\n", lines[1])
        assert found, lines
        self.port, self.token = int(found[1]), found[2]

    def ask(self, path: str, method: str = "GET", body: str | None = None, **headers: str) -> tuple[int, bytes]:
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        # Closed as well when the server is killed meanwhile, or a later test is told of the open socket.
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)) as connection:
            connection.request(method, path, body, {"Authorization": f"Bearer {self.token}", **given})
            with connection.getresponse() as answer:
                return answer.status, answer.read()

    def act(self, slide_id: str, **act: object) -> dict[str, int]:
        """Make one act, and return its event."""
        said, origin = json.dumps({"reason": "", **act}), f"http://127.0.0.1:{self.port}"
        status, content = self.ask(f"/api/slides/{slide_id}/events", "POST", said, Origin=origin)
        assert status == 201, content
        event: dict[str, int] = json.loads(content)["event"]
        return event


class Process(Server):
    """`slidescore review RUN`, started."""

    def __init__(
        self, run: Path, *options: str, environment: dict[str, str] | None = None, no_browser: bool = True
    ) -> None:
        options += ("--no-browser",) if no_browser else ()
        command = [sys.executable, "-m", "slidescore", "review", str(run), *options]
        pipe, environment = subprocess.PIPE, {**os.environ, **(environment or {})}
        self.process = subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, env=environment)
        assert self.process.stdout is not None
        super().__init__([self.process.stdout.readline() for _ in range(3)])

    def stop(self, number: int) -> tuple[int, str, str]:
        self.process.send_signal(number)
        out, err = self.process.communicate(timeout=30)
        return self.process.returncode, out, err

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()


@pytest.fixture
def started() -> Iterator[list[Process]]:
    """Processes that are ended with the test."""
    processes: list[Process] = []
    yield processes
    for process in processes:
        process.end()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 0), (signal.SIGTERM, 143)])
def test_it_serves_until_a_signal_and_leaves_nothing_behind(
    scored: ScoredRun, tmp_path: Path, started: list[Process], number: int, code: int
) -> None:
    run = scored.copy(tmp_path).run
    before = sorted(path.name for path in run.iterdir())
    process = Process(run)
    started.append(process)
    assert process.lines[0] == "Review of run at\n"
    assert process.lines[2] == "Ctrl-C stops it.\n"
    status, content = process.ask("/api/run")
    assert (status, json.loads(content)["n_slides"]) == (200, 4)
    slide_id = scored.ids["strong"]
    assert process.ask(f"/tiles/{slide_id}/rgb/0/0_0")[0] == 200
    assert process.ask("/api/run", Authorization="Bearer wrong")[0] == 401
    assert process.ask("/api/run", Host="evil.example")[0] == 400
    assert process.ask("/api/run", Origin="http://evil.example")[0] == 403
    assert process.ask("/../../etc/passwd")[0] == 404
    # A connection that is left open must not hold the server up.
    with socket.create_connection(("127.0.0.1", process.port), timeout=10):
        found, out, err = process.stop(number)
    assert found == code
    assert out == ""
    assert err.splitlines() == (
        ["stopped"] if code == 0 else ["slidescore: terminated; run the same command again to go on"]
    )
    assert sorted(path.name for path in run.iterdir()) == before
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.1", process.port), timeout=5)


def test_bytes_that_are_no_http_stop_nothing(scored: ScoredRun, tmp_path: Path, started: list[Process]) -> None:
    process = Process(scored.copy(tmp_path).run)
    started.append(process)
    pick = random.Random(7)
    whole = f"GET /api/run HTTP/1.1\r\nHost: 127.0.0.1:{process.port}\r\nAuthorization: Bearer {process.token}\r\n\r\n"
    for _ in range(200):
        sent = bytearray(whole.encode())
        for _ in range(pick.randrange(1, 6)):
            at = pick.randrange(len(sent))
            sent[at : at + pick.randrange(3)] = bytes(pick.randrange(256) for _ in range(pick.randrange(4)))
        with socket.create_connection(("127.0.0.1", process.port), timeout=30) as raw, suppress(ConnectionError):
            raw.sendall(bytes(sent[: pick.randrange(len(sent) + 1)] if pick.random() < 0.3 else sent))
            raw.shutdown(socket.SHUT_WR)
            head = raw.recv(100)
            assert not head.startswith(b"HTTP/1.1 5"), (sent, head)
    assert process.ask("/api/run")[0] == 200
    code, out, err = process.stop(signal.SIGINT)
    assert (code, out, err) == (0, "", "stopped\n")


def test_two_servers_serve_one_run(scored: ScoredRun, tmp_path: Path, started: list[Process]) -> None:
    run = scored.copy(tmp_path).run
    started += [Process(run), Process(run, "--reviewer", "A. Reader")]
    first, second = started
    slide_id = scored.ids["strong"]
    digest = json.loads(first.ask(f"/api/slides/{slide_id}")[1])["result_digest"]
    for number, process in enumerate(started):
        process.act(slide_id, kind="comment", reviewer=f"Reader {number}", result_digest=digest, text="seen")
    for process in started:
        events = json.loads(process.ask("/api/events?after=0")[1])
        assert [(event["seq"], event["reviewer"]) for event in events["events"]] == [(1, "Reader 0"), (2, "Reader 1")]
    assert first.token != second.token


@pytest.mark.slow
def test_a_server_that_is_killed_has_stored_all_that_it_acknowledged(scored: ScoredRun, tmp_path: Path) -> None:
    run, pick = scored.copy(tmp_path).run, random.Random(11)
    slide_id, digest, acknowledged = scored.ids["strong"], result_digest(scored.record("strong")), []
    command, pipe = [sys.executable, review_launcher.__file__, str(run)], subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, text=True) as launcher:
        assert launcher.stdin
        assert launcher.stdout
        for _ in range(KILLS):
            launcher.stdin.write("\n")
            launcher.stdin.flush()
            number = int(launcher.stdout.readline())
            last = threading.Timer(pick.uniform(0, 0.3), os.kill, (number, signal.SIGKILL))
            try:
                server = Server([launcher.stdout.readline() for _ in range(3)])
                with suppress(OSError, http.client.HTTPException):
                    while True:
                        act = {"kind": "cells", "cells": [pick.randrange(150)], "bin": pick.randrange(4)}
                        event = server.act(slide_id, **act, reviewer="A. Reader", result_digest=digest)
                        acknowledged.append((event["seq"], act))
                        # Only now, so that the slowest machine acknowledges something each time.
                        if not last.ident:
                            last.start()
            finally:
                if not last.ident:
                    last.start()
                last.join()
    assert launcher.returncode == 0
    assert len(acknowledged) >= KILLS
    stored = {event.seq: event.payload for event in ReviewLog(run / LOG_FILE).read()}
    for seq, act in acknowledged:
        assert (stored[seq]["cells"], stored[seq]["set"]) == (str(act["cells"][0]), {"bin": act["bin"]})
    # One more may have been stored each time, and not been acknowledged any more.
    assert len(stored) <= len(acknowledged) + KILLS
    check = check_log(run / LOG_FILE)
    assert (check.differences, check.n_events) == ((), len(stored))


def test_a_token_can_be_given_where_no_command_line_shows_it(
    scored: ScoredRun, tmp_path: Path, started: list[Process]
) -> None:
    run = scored.copy(tmp_path).run
    started.append(Process(run, environment={TOKEN_VARIABLE: TOKEN}))
    assert started[0].token == TOKEN


@pytest.mark.skipif(sys.platform in ("darwin", "win32"), reason="other systems have other ways to name the browser")
def test_the_browsers_command_line_does_not_show_the_token(
    scored: ScoredRun, tmp_path: Path, started: list[Process]
) -> None:
    browser, shown = tmp_path / "browser", tmp_path / "shown"
    browser.write_text(f'#!/bin/sh\necho "$@" > {shown}.part && mv {shown}.part {shown}\n')
    browser.chmod(0o755)
    environment = {"BROWSER": f"{browser} %s", "DISPLAY": ":0"}
    process = Process(scored.copy(tmp_path).run, environment=environment, no_browser=False)
    started.append(process)
    limit_s = time.monotonic() + 30
    while not shown.exists() and time.monotonic() < limit_s:
        time.sleep(0.02)
    address = shown.read_text().strip()
    assert address.startswith(f"http://127.0.0.1:{process.port}/?ticket=")
    assert process.token not in address
    path = address.removeprefix(f"http://127.0.0.1:{process.port}")
    assert [process.ask(path, Authorization="")[0] for _ in range(2)] == [303, 401]


def test_others_are_warned_of_and_need_a_token(scored: ScoredRun, tmp_path: Path, started: list[Process]) -> None:
    run = scored.copy(tmp_path).run
    with pytest.raises(InputError, match="give --token"):
        CliRunner().invoke(serve, [str(run), "--host", "0.0.0.0"], catch_exceptions=False)
    with pytest.raises(InputError, match="at least 16"):
        CliRunner().invoke(serve, [str(run), "--token", "short"], catch_exceptions=False)
    process = Process(run, "--host", "0.0.0.0", "--token", TOKEN)
    started.append(process)
    assert process.ask("/api/run")[0] == 200
    assert process.ask("/api/run", Host="evil.example")[0] == 400
    _, _, err = process.stop(signal.SIGINT)
    assert "this is HTTP, which nothing encrypts" in err


def test_what_cannot_be_served_is_one_line(scored: ScoredRun, tmp_path: Path) -> None:
    def said(*arguments: str) -> tuple[int, str]:
        command = [sys.executable, "-m", "slidescore", "review", *arguments, "--no-browser"]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        assert done.stdout == ""
        return done.returncode, done.stderr

    code, err = said(str(tmp_path))
    assert (code, err.count("\n")) == (2, 1)
    assert "is not a run folder" in err
    code, err = said(str(scored.run), "--slides", str(tmp_path / "nowhere"))
    assert (code, err.count("\n")) == (2, 1)
    assert "is no folder" in err
    run = scored.copy(tmp_path).run
    (run / "reviews.sqlite").write_text("this is no database at all, and long enough to be seen as none" * 20)
    code, err = said(str(run))
    assert (code, err.count("\n")) == (2, 1)
    assert "reviews.sqlite" in err
    shutil.rmtree(run)
