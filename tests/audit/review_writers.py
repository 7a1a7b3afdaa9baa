"""Processes that write reviews, run by the tests of the log: `python review_writers.py LOG kill|race ...`."""

from __future__ import annotations

import os
import random
import signal
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from audit.made_reviews import DIGEST, SLIDE, body_of, make_subject
from slidescore.audit.drafts import draft_event
from slidescore.audit.events import Draft, Event
from slidescore.audit.log import ReviewLog
from slidescore.audit.requests import parse_request

N_CELLS = 40
"""Cells of the slide that all race for; each edit takes a few of them."""


def comment(text: str) -> Draft:
    return Draft(SLIDE, DIGEST, "comment", "Ann", {"text": text, "reason": ""})


def write_until_killed(log: ReviewLog, pipe: int) -> None:
    """Say which event was stored after it was; a stopped writer has said no more than is there."""
    rng = random.Random(os.getpid())
    while True:
        event = log.append(lambda _: comment("x" * rng.choice((1, 300, 2000))), seen=0)
        os.write(pipe, f"{event.seq}\n".encode())


def kill_writers(log: ReviewLog, times: int) -> None:
    """Have writers killed at random moments, some before their first word; write which events each said were stored."""
    rng = random.Random(30)
    for number in range(times):
        back, pipe = os.pipe()
        child = os.fork()
        if not child:
            try:
                write_until_killed(log, pipe)
            finally:
                os._exit(1)
        os.close(pipe)
        said = os.read(back, 1) if number % 3 else b""
        time.sleep(rng.uniform(0, 0.1))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        while block := os.read(back, 65536):
            said += block
        os.close(back)
        sys.stdout.write(" ".join(said.decode().split()) + "\n")


def race(log: ReviewLog, n_threads: int, n_each: int, seed: int) -> None:
    """Edit the same few cells from several threads; every event stores what it replaces."""
    from classical_assay import classical_loaded
    from report.made_cells import make_cells

    cells = make_cells([(20 * i, 0) for i in range(N_CELLS)], [0.1] * N_CELLS)
    subject = make_subject(cells, classical_loaded("cxcr4").assay)

    def edit(number: int) -> None:
        rng, seen = random.Random(1000 * seed + number), []
        for _ in range(n_each):
            body = body_of(
                "cells", reviewer=f"{seed}-{number}", cells=rng.sample(range(N_CELLS), 5), bin=rng.randrange(4)
            )
            request = parse_request(body)

            def build(new: Sequence[Event]) -> Draft:
                seen.extend(new)
                return draft_event(request, seen, subject)  # noqa: B023

            seen.append(log.append(build, seen[-1].seq if seen else 0))

    threads = [threading.Thread(target=edit, args=(number,)) for number in range(n_threads)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    what, log = sys.argv[2], ReviewLog(Path(sys.argv[1]))
    if what == "kill":
        kill_writers(log, int(sys.argv[3]))
    else:
        race(log, *map(int, sys.argv[3:]))
