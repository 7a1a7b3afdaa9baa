"""`slidescore review` in a process of its own, as a user starts it."""

from __future__ import annotations

import csv
import json
import re
import subprocess
import sys
import threading
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

START_S, STOP_S = 60, 20


@dataclass
class Served:
    """A server, and what it serves.

    `address` is what the command printed, with its token; `origin` the same without path and token.
    """

    run: Path
    process: subprocess.Popen[str]
    address: str
    said: list[str] = field(default_factory=list)

    @property
    def origin(self) -> str:
        return re.match(r"http://[^/]+", self.address)[0]

    @property
    def token(self) -> str:
        return self.address.partition("token=")[2]

    def get(self, path: str) -> Any:
        """Ask the server for JSON, beside the browser."""
        request = urllib.request.Request(self.origin + path, headers={"Authorization": f"Bearer {self.token}"})
        with urllib.request.urlopen(request, timeout=START_S) as answer:
            return json.load(answer)

    def slide_id(self, name: str) -> str:
        """The id of the slide drawn as `name`."""
        with (self.run / "scores.csv").open(encoding="utf-8", newline="") as handle:
            [found] = [row["slide_id"] for row in csv.DictReader(handle) if row["file"] == f"{name}.tiff"]
        return found

    def cells(self, slide_id: str) -> pa.Table:
        return pq.read_table(self.run / "slides" / slide_id / "cells.parquet")

    def stop(self) -> int:
        """End it as Ctrl-C does, and give its exit code."""
        self.process.send_signal(2)
        try:
            return self.process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise


def serve(run: Path, *options: str | Path) -> Served:
    """Start a server and wait until it says where it is."""
    command = [sys.executable, "-m", "slidescore", "review", str(run), "--no-browser", *map(str, options)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, bufsize=1)
    served, told = Served(run, process, ""), threading.Event()

    def listen() -> None:
        assert process.stdout is not None
        with process.stdout:
            for line in process.stdout:
                served.said.append(line.rstrip())
                if (found := re.search(r"http://\S+token=[\w-]+", line)) and not served.address:
                    served.address = found[0]
                    told.set()
        told.set()

    threading.Thread(target=listen, daemon=True).start()
    told.wait(START_S)
    if not served.address:
        process.kill()
        process.wait()
        raise AssertionError("the server did not start: " + " | ".join(served.said))
    return served
