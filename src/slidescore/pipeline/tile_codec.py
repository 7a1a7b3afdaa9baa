"""Tile results as bytes and back, exactly: floats, tables and arrays to the last bit, and nothing that can run code.

A block is a JSON skeleton and the buffers that it points at: arrays as they lie in memory, tables in Arrow's stream
format. The kinds of record are those that a TileResult is made of, found by its type hints, so that a field added to
one of them needs nothing here.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import fields, is_dataclass
from functools import cache
from typing import Any, get_args, get_type_hints

import numpy as np
import pyarrow as pa

from slidescore.pipeline.tile_parts import TileResult

LENGTH_BYTES = 8
"""A block begins with the length of its skeleton."""
COMPRESSION = "lz4"
"""Of tables; costs next to nothing and halves them."""
RECORD, TABLE, ARRAY, SCALAR, TUPLE, DICT = "record", "table", "array", "scalar", "tuple", "dict"


def encode_tiles(results: Sequence[TileResult]) -> bytes:
    """Write tile results as one block of bytes.

    Raises
    ------
    TypeError
        If a field holds what this format has no form for.
    """
    buffers: list[bytes] = []
    skeleton = json.dumps([_encode(result, buffers) for result in results], separators=(",", ":")).encode()
    return b"".join([len(skeleton).to_bytes(LENGTH_BYTES, "little"), skeleton, *buffers])


def decode_tiles(block: bytes) -> list[TileResult]:
    """Read tile results back.

    Raises
    ------
    ValueError, KeyError, TypeError, pyarrow.ArrowException
        If the bytes are none that `encode_tiles` of this version made.
    """
    start = LENGTH_BYTES + int.from_bytes(block[:LENGTH_BYTES], "little")
    reader = _Buffers(block, start)
    results = [_decode(part, reader) for part in json.loads(block[LENGTH_BYTES:start])]
    if not all(isinstance(result, TileResult) for result in results):
        raise ValueError("a block of something else than tiles")
    return results


class _Buffers:
    """Hands out the buffers of a block in the order in which they were written."""

    def __init__(self, block: bytes, start: int) -> None:
        self._block, self._at = block, start

    def take(self, n_bytes: int) -> bytes:
        taken = self._block[self._at : self._at + n_bytes]
        if len(taken) != n_bytes:
            raise ValueError("the block ends early")
        self._at += n_bytes
        return taken


@cache
def record_kinds() -> dict[str, type]:
    """List the dataclasses that a TileResult is made of, by name."""
    kinds: dict[str, type] = {}

    def visit(hint: Any) -> None:
        for part in get_args(hint):
            visit(part)
        if isinstance(hint, type) and is_dataclass(hint) and hint.__name__ not in kinds:
            kinds[hint.__name__] = hint
            for inner in get_type_hints(hint).values():
                visit(inner)

    visit(TileResult)
    return kinds


def _encode(value: Any, buffers: list[bytes]) -> Any:
    kind = type(value)
    if value is None or kind in (bool, int, float, str):
        # Python writes a float so that it reads back as the same one.
        return value
    if record_kinds().get(kind.__name__) is kind:
        content = {field.name: _encode(getattr(value, field.name), buffers) for field in fields(value)}
        return {RECORD: kind.__name__, "fields": content}
    if isinstance(value, pa.Table):
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, value.schema, options=pa.ipc.IpcWriteOptions(compression=COMPRESSION)) as writer:
            writer.write_table(value)
        buffers.append(sink.getvalue().to_pybytes())
        return {TABLE: len(buffers[-1])}
    if isinstance(value, (np.ndarray, np.generic)):
        return _encode_array(value, buffers)
    if kind in (tuple, list):
        return {TUPLE: [_encode(part, buffers) for part in value], "list": kind is list}
    if kind is dict:
        return {DICT: [[_encode(key, buffers), _encode(part, buffers)] for key, part in value.items()]}
    message = f"a tile holds a {kind.__name__}, which cannot be kept"
    raise TypeError(message)


def _encode_array(value: np.ndarray[Any, Any] | np.generic, buffers: list[bytes]) -> Any:
    if value.dtype.hasobject:
        raise TypeError("a tile holds an array of objects, which cannot be kept")
    array = np.ascontiguousarray(value)
    buffers.append(array.tobytes())
    form = SCALAR if isinstance(value, np.generic) else ARRAY
    return {form: len(buffers[-1]), "dtype": array.dtype.str, "shape": list(value.shape)}


def _decode(part: Any, buffers: _Buffers) -> Any:
    if not isinstance(part, dict):
        return part
    if RECORD in part:
        kind = record_kinds()[part[RECORD]]
        return kind(**{name: _decode(inner, buffers) for name, inner in part["fields"].items()})
    if TABLE in part:
        with pa.ipc.open_stream(buffers.take(part[TABLE])) as stream:
            return stream.read_all()
    if TUPLE in part:
        items = [_decode(inner, buffers) for inner in part[TUPLE]]
        return items if part["list"] else tuple(items)
    if DICT in part:
        return {_decode(key, buffers): _decode(inner, buffers) for key, inner in part[DICT]}
    form = ARRAY if ARRAY in part else SCALAR
    array = np.frombuffer(buffers.take(part[form]), np.dtype(part["dtype"])).reshape(part["shape"])
    # A copy, for what comes from a buffer cannot be written to.
    return array.copy() if form == ARRAY else array[()]
