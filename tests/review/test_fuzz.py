"""Ten thousand requests that nobody should send: no error of the server, no file from outside, no patient's name."""

from __future__ import annotations

import json
import logging
import random
import re
import shutil
import sys
import sysconfig
import urllib.parse
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import slidescore
from review.asgi import HOST, ORIGIN, TOKEN, Client
from review.made_app import PATIENT, ScoredRun, served
from slidescore.audit.check import check_log
from slidescore.audit.log import LOG_FILE

REQUESTS = 10_000
SEED = 20_261_123
METHODS = (
    ("GET",) * 40 + ("POST",) * 8 + ("HEAD", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "CONNECT", "get", "BREW", "")
)
NASTY = (
    "..", "../..", "../../../../etc/passwd", "..%2f..%2frun.json", "%2e%2e%2f", "....//", "..\\..\\", "%5c..%5c",
    "%00", "a%00b", "%ff%fe", "%c0%ae%c0%ae/", "%", "%zz", "%25%32%65", "", " ", "+", "/", "//", "?", "#", "~", ".",
    "*", "nan", "NaN", "inf", "-inf", "Infinity", "-0", "0x10", "1e309", "1e-400", "1_000", "١٢", "9" * 400,
    "-" + "9" * 30, "2147483648", "9223372036854775808", "-1", "0", "1", "1.5", "1,2,3", "0.1,0.2,0.3", "a,b,c",
    "null", "true", "None", "undefined", "<script>alert(1)</script>", "'; DROP TABLE events; --", "${jndi:ldap://x}",
    "{{7*7}}", "a" * 3000, "%F0%9F%92%A9", "\u202e", "run.json", "reviews.sqlite", "result.json", "/etc/passwd",
    "file:///etc/passwd", "strong", "strong.tiff", "broken", "CON", "label", "macro", "C:\\\\", "slides",
    PATIENT[:3],
)  # fmt: skip
VALUES: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 2, 3, 4, 1.5, -2.5, 1e30, -1e308, 2**31, 2**53, 2**63, 2**64, 10**25, 299, 301, "",
    "x", "a" * 5000, "\u0000", "\ud7ff", "<b>", "..", [], [[]], [[[]]], {}, {"a": 1}, [0], [0, 1], [0, 1, 2],
    [0, 1, 2, 3], [[0, 0], [9, 0], [9, 9]], [[0, 0], [900, 0], [900, 900], [0, 900]], [[0, 0], [1e9, 0], [0, 1e300]],
    [["a", 1]] * 3, [0.1, 0.2, 0.3], [0.3, 0.2, 0.1], ["0.1", 0.2, 0.3], [None] * 3, [True, True, True],
    list(range(300)), [0] * 5, [1e308] * 4, [25, 25, 25, 25], "include", "exclude", "accepted", "overridden", "HIGH",
    "cells",
)  # fmt: skip
KEYS = (
    "kind", "reviewer", "reason", "result_digest", "cells", "bin", "tumor", "role", "polygon", "of", "state", "call",
    "text", "h_score", "percent_positive", "bins", "intensity", "box", "t", "cutoff", "ids", "name", "source",
    "__proto__", "",
)  # fmt: skip
KINDS = ("cells", "region", "undo", "redo", "verdict", "comment", "reading", "delete", "")
HEADERS: tuple[tuple[str, str], ...] = (
    ("Accept", "*/*"), ("Accept-Encoding", "gzip, deflate, br"), ("Range", "bytes=0-99999999999"),
    ("Range", "bytes=x"), ("If-None-Match", '"x"'), ("If-None-Match", "*"), ("If-None-Match", "," * 500),
    ("Content-Type", "text/plain"), ("Content-Type", "multipart/form-data"),
    ("Content-Type", "application/json; charset=utf-7"), ("Cookie", "a=b; c"), ("Cookie", ";" * 300),
    ("Cookie", "slidescore_token_8765="), ("X-Forwarded-For", "1.2.3.4"), ("Expect", "100-continue"),
    ("X-Forwarded-Host", "evil.example"), ("X-HTTP-Method-Override", "DELETE"), ("Forwarded", "host=evil"),
    ("Via", "\xff"), ("Transfer-Encoding", "chunked"), ("Content-Length", "0"), ("Content-Length", "x"),
    ("Content-Length", "-1"), ("Connection", "upgrade"), ("Upgrade", "websocket"),
    ("Referer", "http://evil.example"), ("X-Long", "y" * 8000), ("If-Modified-Since", "yesterday"),
    ("Accept-Language", "\xe4" * 50), ("Sec-Fetch-Site", "cross-site"),
)  # fmt: skip


class Fuzzer:
    """Makes requests: right ones, right ones with something wrong in them, and nonsense."""

    def __init__(self, seed: int, run: ScoredRun, digests: dict[str, str]) -> None:
        self.random = random.Random(seed)
        self.ids, self.digests = list(run.ids.values()), digests
        self.revisions = {slide_id: f"{digest[:12]}-0" for slide_id, digest in digests.items()}

    def request(self) -> tuple[str, str, list[tuple[str, str]], list[bytes]]:
        pick = self.random
        target = self._target()
        for _ in range(pick.choice((0, 0, 0, 1, 1, 2))):
            target = self._spoil(target)
        posted = re.search(r"/(counts|preview|events|assay)$", target.partition("?")[0])
        method = "POST" if posted and pick.random() < 0.9 else pick.choice(METHODS)
        kind, slide = (posted[1], target.split("/")[-2]) if posted else ("", "")
        body = self._body(kind, slide) if method not in ("GET", "HEAD") or pick.random() < 0.02 else b""
        cut = pick.randrange(len(body)) if body and pick.random() < 0.2 else len(body)
        return method, target, self._headers(), [body[:cut], body[cut:]]

    def _target(self) -> str:
        pick, slide = self.random, self.random.choice(self.ids)
        k, column, row = pick.randrange(-1, 4), pick.randrange(-1, 5), pick.randrange(-1, 5)
        view = pick.choice(("rgb", "hematoxylin", "dab", "heat"))
        overlay = pick.choice(
            ("", "show=0123ox", "show=3&palette=colourblind", "part=nucleus", "t=0.1,0.3,0.5", "rev=x")
        )
        own = f"/api/slides/{slide}"
        static, after = pick.choice(("app.css", "api.js", "tokens.css")), pick.randrange(9)
        x, y = pick.uniform(-99, 1200), pick.uniform(-99, 1200)
        return pick.choice(
            (
                "/", f"/slides/{slide}", f"/read/{slide}", f"/static/{static}", "/api/run", "/api/slides",
                "/api/legend", f"/api/events?after={after}", own, f"{own}/thumbnail", f"{own}/review?reviewer=A",
                f"/tiles/{slide}/{view}/{k}/{column}_{row}", f"/overlay/{slide}/{k}/{column}_{row}?{overlay}",
                f"{own}/cell?x={x:.2f}&y={y:.2f}", f"{own}/cell?cell_id={pick.randrange(400)}", f"{own}/counts",
                f"{own}/preview", *[f"{own}/events"] * 6, "/api/assay",
            )
        )  # fmt: skip

    def _spoil(self, target: str) -> str:
        pick = self.random
        how, nasty = pick.randrange(9), pick.choice(NASTY)
        parts = target.split("/")
        at = pick.randrange(len(parts))
        if how == 0:
            parts[at] = nasty
        elif how == 1:
            parts.insert(at, nasty)
        elif how == 2:
            parts[at] += nasty
        elif how == 3:
            return (
                target
                + ("&" if "?" in target else "?")
                + f"{pick.choice(('x', 'y', 'rev', 't', 'show', 'token'))}={nasty}"
            )
        elif how == 4:
            return re.sub(r"=[^&]*", lambda _: f"={nasty}", target, count=1)
        elif how == 5:
            return urllib.parse.quote(target, safe=pick.choice(("", "/", "/?=&")))
        elif how == 6:
            cut = pick.randrange(len(target) + 1)
            return target[:cut] + pick.choice(NASTY) + target[cut:]
        elif how == 7:
            return "/" + "".join(chr(pick.randrange(33, 127)) for _ in range(pick.randrange(60)))
        else:
            return nasty if nasty.startswith("/") else f"/{nasty}"
        return "/".join(parts)

    def _body(self, kind: str, slide: str) -> bytes:
        pick = self.random
        shape = pick.random()
        if shape < 0.08:
            return bytes(pick.randrange(256) for _ in range(pick.randrange(200)))
        if shape < 0.12:
            return pick.choice(
                (b"", b"{", b"[" * 2000, b'{"a":NaN}', b"1e999", b'"\\ud800"', b"\xef\xbb\xbf{}", b"null", b"{}" * 50)
            )
        content = self._right(kind, slide)
        for _ in range(pick.choice((0, 0, 1, 1, 2, 3))):
            name = pick.choice(tuple(content) or KEYS) if pick.random() < 0.7 else pick.choice(KEYS)
            if pick.random() < 0.2:
                content.pop(name, None)
            else:
                content[name] = pick.choice(VALUES)
        packed: Any = content if pick.random() < 0.95 else pick.choice(VALUES)
        return json.dumps(packed, allow_nan=True).encode()

    def _right(self, kind: str, slide: str) -> dict[str, Any]:
        pick = self.random
        if kind == "counts":
            x, y = sorted(pick.uniform(0, 1024) for _ in range(2)), sorted(pick.uniform(0, 1024) for _ in range(2))
            ring = [[pick.uniform(0, 1024), pick.uniform(0, 1024)] for _ in range(pick.choice((3, 5, 12, 40)))]
            return pick.choice(({"box": [x[0], y[0], x[1], y[1]]}, {"polygon": ring, "ids": True}, {"polygon": ring}))
        if kind in ("preview", "assay"):
            t = sorted(pick.uniform(0.01, 1.5) for _ in range(3))
            named = {"name": f"assay-{pick.randrange(99)}", "source": "tried"} if kind == "assay" else {}
            return {"t": t, "cutoff": pick.uniform(0, 300), **named}
        said = pick.choice(KINDS)
        ring = [[pick.uniform(0, 1024), pick.uniform(0, 1024)] for _ in range(4)]
        more: dict[str, Any] = {
            "cells": {"cells": pick.sample(range(150), pick.randrange(1, 9)), "bin": pick.randrange(4)},
            "region": {"role": pick.choice(("include", "exclude")), "polygon": ring},
            "undo": {"of": pick.randrange(1, 60)}, "redo": {"of": pick.randrange(1, 60)},
            "verdict": {"state": pick.choice(("accepted", "rejected", "flagged", "open")),
                        "revision": self.revisions.get(slide)},
            "comment": {"text": "seen"}, "reading": {"h_score": pick.randrange(301)},
        }.get(said, {})  # fmt: skip
        digest = self.digests.get(slide, "0" * 64) if pick.random() < 0.95 else pick.choice(VALUES)
        return {
            "kind": said,
            "reviewer": f"Reader {pick.randrange(3)}",
            "reason": "why",
            "result_digest": digest,
            **more,
        }

    def _headers(self) -> list[tuple[str, str]]:
        pick = self.random
        token = TOKEN if pick.random() < 0.93 else pick.choice(("", "x", TOKEN[:-1], TOKEN * 2, "\xff"))
        host = (
            HOST
            if pick.random() < 0.95
            else pick.choice(("", "evil.example", f"{HOST}.evil", "[::1", "\xff", HOST * 50))
        )
        origin = (
            ORIGIN if pick.random() < 0.93 else pick.choice(("null", "http://evil.example", "", "\xff", f"{ORIGIN}/"))
        )
        headers = [("Host", host), ("Authorization", f"Bearer {token}")]
        headers += [("Origin", origin)] if pick.random() < 0.9 else []
        headers += pick.sample(HEADERS, pick.choice((0, 0, 0, 1, 3)))
        pick.shuffle(headers)
        return headers


@contextmanager
def opened_files() -> Iterator[set[str]]:
    """The files and folders that are opened meanwhile, by Python's own account."""
    paths: set[str] = set()
    # A hook can never be taken out again, so it is told when it no longer listens.
    listening = [True]

    def note(event: str, arguments: tuple[Any, ...]) -> None:
        if listening[0] and event in ("open", "os.listdir", "os.scandir", "sqlite3.connect") and arguments:
            path = arguments[0]
            if isinstance(path, str | bytes):
                text = path if isinstance(path, str) else path.decode("utf-8", "replace")
                paths.add(
                    urllib.parse.unquote(urllib.parse.urlsplit(text).path) if event == "sqlite3.connect" else text
                )

    sys.addaudithook(note)
    try:
        yield paths
    finally:
        listening[0] = False


@pytest.fixture
def run(scored_run: ScoredRun, tmp_path: Path) -> ScoredRun:
    return scored_run.copy(tmp_path)


def digests_of(client: Client, run: ScoredRun) -> dict[str, str]:
    scored = [slide_id for name, slide_id in run.ids.items() if name != "broken"]
    return {slide_id: client.get(f"/api/slides/{slide_id}").json()["result_digest"] for slide_id in scored}


@pytest.mark.slow
@pytest.mark.parametrize(("blind", "share"), [(False, 0.8), (True, 0.2)])
def test_nothing_that_is_asked_breaks_the_server_or_gets_more_than_it_may(
    run: ScoredRun, caplog: pytest.LogCaptureFixture, blind: bool, share: float
) -> None:
    secrets = [PATIENT.lower().encode(), str(run.slides).lower().encode(), str(run.run).lower().encode()]
    statuses: Counter[int] = Counter()
    with served(run.run, blind=blind) as client, caplog.at_level(logging.WARNING, "slidescore"):
        fuzzer = Fuzzer(SEED + blind, run, digests_of(client, run))
        with opened_files() as paths:
            for number in range(int(REQUESTS * share)):
                request = fuzzer.request()
                answer = client.send_raw(*request)
                statuses[answer.status] += 1
                if answer.status == 201 and not blind:
                    told = answer.json()
                    fuzzer.revisions[told["event"]["slide_id"]] = told["review"]["revision"]
                assert answer.status < 500, (number, request, answer.body[:300], caplog.text)
                said = answer.body.lower() + repr(answer.headers).lower().encode()
                assert not [secret for secret in secrets if secret in said], (number, request)
                assert answer.header("content-security-policy")
                if blind and answer.status == 200 and answer.header("content-type") == "application/json":
                    assert b'"h_score":' not in answer.body, (number, request, answer.body[:300])
        assert len(digests_of(client, run)) == 3
    assert caplog.text == ""
    homes = [run.run, run.slides, Path(slidescore.__file__).parent, Path(sys.prefix), Path(sys.base_prefix)]
    homes += [Path(sysconfig.get_path("stdlib")), Path(sysconfig.get_path("purelib"))]
    outside = [path for path in paths if not any(Path(path).is_relative_to(home) for home in homes)]
    assert [path for path in outside if not path.startswith(("/dev/", "/proc/", "/sys/"))] == []
    # They were not all turned away at the door.
    assert statuses[200] > 0.1 * REQUESTS * share
    assert {400, 401, 403, 404, 405} <= set(statuses)
    if not blind:
        assert statuses[201] > 50
    assert check_log(run.run / LOG_FILE).differences == ()
    shutil.rmtree(run.run)
