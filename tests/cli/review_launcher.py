"""Starts servers one after another, each a child of a process that has imported what they need: many can be killed.

Run by a test: `python review_launcher.py RUN`. Each line on standard input starts the next server once the last one is
gone; it writes its process id, and then what `slidescore review RUN` writes.
"""

from __future__ import annotations

import os
import sys

from slidescore.cli.review_serve import serve
from slidescore.review import app, server

IMPORTED = (app, server)
"""Otherwise each child would import them anew."""


def launch(run: str) -> None:
    for _ in sys.stdin:
        child = os.fork()
        if child == 0:
            sys.stdout.write(f"{os.getpid()}\n")
            sys.stdout.flush()
            serve.main([run, "--no-browser"], standalone_mode=False)
            os._exit(0)
        os.waitpid(child, 0)


if __name__ == "__main__":
    launch(sys.argv[1])
