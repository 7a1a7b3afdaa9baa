"""Finished tiles of an unfinished slide: kept on disk in blocks, so that a slide that was stopped goes on inside.

Each block is a file, written whole, with its own digest and that of everything that decided its tiles: the bytes of the
slide, the left half of the assay, segmenter, versions, profile, annotations, grid, tissue, white and vectors. A block
that is damaged, or was made otherwise, is not used: its tiles are computed again.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from pydantic import BaseModel
from shapely.geometry.base import BaseGeometry

from slidescore.pipeline.segmenters import SegmenterPlan
from slidescore.pipeline.tile_codec import decode_tiles, encode_tiles
from slidescore.pipeline.tile_parts import TileContext, TileResult
from slidescore.report.files import write_bytes
from slidescore.version import library_versions

BLOCK_SECONDS = 5.0
"""Finished tiles are written this often: what a stop can cost, against the time that writing takes."""
BLOCK_TILES = 256
"""A block holds at most so many tiles, which bounds the memory for it."""
MAGIC = b"slidescore tiles 1\n"
DIGEST_BYTES = 32
NAME_DIGITS = 16
BLOCK_DIGITS = 6
SUFFIX = ".tiles"


class TileJournal:
    """Keeps the finished tiles of one slide.

    Parameters
    ----------
    folder
        Where the blocks lie; made when the first is written.
    key
        What decides the tiles beyond what the analysis itself knows: above all the slide's fingerprint.
    seconds
        How often finished tiles are written.
    """

    def __init__(self, folder: Path, key: Mapping[str, Any], *, seconds: float = BLOCK_SECONDS) -> None:
        self._folder, self._key, self._seconds = folder, dict(key), seconds
        self._binding = b""
        self._waiting: list[TileResult] = []
        self._written = time.monotonic()
        self._next = 0
        self.n_resumed = 0

    def open(self, plan: SegmenterPlan, context: TileContext) -> dict[int, TileResult]:
        """Return the tiles that are kept from before, by index, and begin to keep new ones made in the same way.

        A second call, with another plan, starts over: tiles of another profile are of no use.
        """
        self._binding = binding_of(self._key, plan, context)
        self._waiting, self._written = [], time.monotonic()
        wanted = {spec.index: spec for spec in context.plan.tiles}
        kept: dict[int, TileResult] = {}
        paths = sorted(self._folder.glob(f"{self._prefix}-{'[0-9]' * BLOCK_DIGITS}{SUFFIX}"))
        for path in paths:
            for result in read_block(path, self._binding):
                if wanted.get(result.spec.index) == result.spec:
                    kept.setdefault(result.spec.index, result)
        self._next = 1 + max((int(path.stem.rpartition("-")[2]) for path in paths), default=-1)
        self.n_resumed = len(kept)
        return kept

    def add(self, result: TileResult) -> None:
        """Keep a tile, now or with the next ones.

        A tile that could not be read is not kept: the next attempt may fare better.
        """
        if result.status != "failed":
            self._waiting.append(result)
        if len(self._waiting) >= BLOCK_TILES or time.monotonic() - self._written >= self._seconds:
            self.flush()

    def flush(self) -> None:
        """Write the tiles that wait.

        Raises
        ------
        RunFolderError
            If they cannot be written.
        """
        if self._waiting:
            path = self._folder / f"{self._prefix}-{self._next:0{BLOCK_DIGITS}d}{SUFFIX}"
            write_block(path, self._waiting, self._binding)
            self._next += 1
        self._waiting, self._written = [], time.monotonic()

    @property
    def _prefix(self) -> str:
        return self._binding.hex()[:NAME_DIGITS]


def write_block(path: Path, results: list[TileResult], binding: bytes) -> None:
    """Write a block whole: a first line, the digest of the rest, the binding, the tiles."""
    body = binding + encode_tiles(results)
    write_bytes(path, MAGIC + hashlib.sha256(body).digest() + body)


def read_block(path: Path, binding: bytes) -> list[TileResult]:
    """Read a block; nothing when it is damaged or was made otherwise."""
    with suppress(OSError, ValueError, KeyError, TypeError, pa.ArrowException):
        content = path.read_bytes()
        head, body = content[: len(MAGIC) + DIGEST_BYTES], content[len(MAGIC) + DIGEST_BYTES :]
        if head == MAGIC + hashlib.sha256(body).digest() and body[:DIGEST_BYTES] == binding:
            return decode_tiles(body[DIGEST_BYTES:])
    return []


def key_digest(key: Mapping[str, Any]) -> str:
    """Name the journal of all that is measured under a key; 16 hex digits."""
    return hashlib.sha256(_canonical(dict(key))).hexdigest()[:NAME_DIGITS]


def binding_of(key: Mapping[str, Any], plan: SegmenterPlan, context: TileContext) -> bytes:
    """Digest everything that decides the tiles of a slide; 32 bytes."""
    parts = {
        "key": dict(key),
        "segmenter": [plan.name, plan.digest, plan.profile, plan.hardware],
        "versions": library_versions(),
        "context": {
            field.name: [context.segmenter.name, context.segmenter.digest]
            if field.name == "segmenter"
            else getattr(context, field.name)
            for field in fields(context)
        },
    }
    return hashlib.sha256(_canonical(parts)).digest()


def _canonical(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, default=_describe).encode("utf-8", "surrogatepass")


def _describe(value: Any) -> Any:
    """Turn what JSON does not know into what it does, the same for the same content."""
    if isinstance(value, BaseGeometry):
        return hashlib.sha256(value.wkb).hexdigest()
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if isinstance(value, np.ndarray) and not value.dtype.hasobject:
        content = np.ascontiguousarray(value)
        return [content.dtype.str, list(content.shape), hashlib.sha256(content.tobytes()).hexdigest()]
    if isinstance(value, np.generic):
        return value.item()
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in fields(value)}
    message = f"nothing says how a {type(value).__name__} decides a tile"
    raise TypeError(message)
