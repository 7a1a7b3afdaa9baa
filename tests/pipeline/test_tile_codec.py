"""Tile results come back as they were, to the last bit, and only from bytes that were written here."""

from __future__ import annotations

import struct
from dataclasses import fields, is_dataclass, replace
from typing import Any, get_args, get_origin, get_type_hints

import numpy as np
import pyarrow as pa
import pytest

from slidescore.cells import build_cells
from slidescore.cells.table import pack_outlines
from slidescore.pipeline.tile_codec import LENGTH_BYTES, decode_tiles, encode_tiles, record_kinds
from slidescore.pipeline.tile_parts import TileResult


def same(one: Any, other: Any) -> bool:
    """Whether two values are of the same type and equal to the last bit, NaN and null told apart."""
    if type(one) is not type(other):
        return False
    if isinstance(one, pa.Table):
        return (
            one.schema.equals(other.schema) and one.equals(other) and repr(one.to_pylist()) == repr(other.to_pylist())
        )
    if isinstance(one, (np.ndarray, np.generic)):
        return one.dtype == other.dtype and one.shape == other.shape and one.tobytes() == other.tobytes()
    if is_dataclass(one):
        return all(same(getattr(one, field.name), getattr(other, field.name)) for field in fields(one))
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict):
        return list(one) == list(other) and all(map(same, one.values(), other.values()))
    if isinstance(one, float):
        return struct.pack("d", one) == struct.pack("d", other)
    return bool(one == other)


def cells(n: int) -> pa.Table:
    values = np.linspace(0.1, 1 / 3, n)
    outline = np.array([(-4, -4), (4, -4), (32767, -32768)], np.int16)
    columns = {
        "cell_id": np.zeros(n, np.int64),
        "x": values.astype(np.float32),
        "y": values.astype(np.float32),
        "tile": np.arange(n, dtype=np.int32),
        "dab_od_nucleus": np.where(np.arange(n) % 2, values, np.nan),
        "region": pa.array([None, "é", ""][:n] + [None] * max(0, n - 3), pa.string()),
        "nucleus_outline": pack_outlines([outline] * n),
    }
    return build_cells(columns, n)


def made(seed: int = 3, n: int = 5) -> TileResult:
    """A tile result with something in every field there is, now and later."""
    result = fill(TileResult, np.random.default_rng(seed), n)
    assert isinstance(result, TileResult)
    return result


def fill(hint: Any, rng: np.random.Generator, n: int) -> Any:
    """Make up a value of a type: no round numbers, and text that is not ASCII."""
    if is_dataclass(hint):
        return hint(**{name: fill(inner, rng, n) for name, inner in get_type_hints(hint).items()})
    if hint in (int, float, bool, str, pa.Table):
        made_up = {int: lambda: int(rng.integers(2**62)), float: rng.random, bool: lambda: True, str: lambda: "é\n",
                   pa.Table: lambda: cells(n)}  # fmt: skip
        return made_up[hint]()
    origin, parts = get_origin(hint), get_args(hint)
    if origin is np.ndarray:
        [kind] = get_args(parts[1])
        return (100 * rng.random((n, 3))).astype(kind if kind not in (np.floating, Any) else np.float64)
    if origin is dict:
        return {"inner é": fill(parts[1], rng, n), "outer": fill(parts[1], rng, n)}
    if origin is tuple:
        return tuple(fill(part, rng, n) for part in parts if part is not ...)
    return fill(parts[0], rng, n)


@pytest.mark.parametrize("results", [[], [made()], [made(1), made(2, n=0), made(7, n=40)]])
def test_tiles_come_back_exactly(results):
    assert same(decode_tiles(encode_tiles(results)), results)


@pytest.mark.parametrize(
    "value",
    [float("nan"), float("inf"), -0.0, 5e-324, np.float32(0.1), np.float64(0.1), np.int64(2**62), True, None, "a\nb", 7,
     np.zeros((0, 3), np.float16), np.asfortranarray(np.arange(6.0).reshape(2, 3)), np.array(["é", "bb"]),
     np.array(2.5), (1, [2, None], {"a": np.uint8(3)}), {4: "int key"}],
)  # fmt: skip
def test_any_value_of_a_field_comes_back_as_it_was(value):
    [back] = decode_tiles(encode_tiles([replace(made(), background_dab_od=value)]))
    if isinstance(value, np.ndarray):
        assert np.array_equal(back.background_dab_od, value)
        assert back.background_dab_od.dtype == value.dtype
    else:
        assert same(back.background_dab_od, value)


def test_arrays_that_come_back_can_be_written_to():
    [back] = decode_tiles(encode_tiles([made()]))
    back.blocks.histograms[0, 0] += 1


@pytest.mark.parametrize("value", [{1, 2}, object(), np.array([None]), b"bytes"])
def test_what_has_no_form_is_refused_when_it_is_written(value):
    with pytest.raises(TypeError, match="cannot be kept"):
        encode_tiles([replace(made(), background_dab_od=value)])


def test_every_record_inside_a_tile_is_known():
    assert {"TileResult", "TileSpec", "TileCells", "AreaSums"} <= set(record_kinds())


def block(text: bytes) -> bytes:
    return len(text).to_bytes(LENGTH_BYTES, "little") + text


@pytest.mark.parametrize(
    "content",
    [b"", b"\xff" * 50, block(b"{"), block(b"[1]"), block(b'[{"record":"Path","fields":{}}]'),
     block(b'[{"record":"TileSpec","fields":{"index":1,"x_px":0,"y_px":0,"width_px":1,"height_px":1}}]'),
     block(b'[{"array":8,"dtype":"<f8","shape":[1]}]'), block(b'[{"record":"TileResult","fields":{"spec":1}}]')],
)  # fmt: skip
def test_other_bytes_are_refused(content):
    with pytest.raises((ValueError, KeyError, TypeError)):
        decode_tiles(content)
