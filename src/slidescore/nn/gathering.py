"""Tiles of many threads in batches for a GPU, which computes several at once quicker than one after the other.

Every batch has the same number of places, filled or not, and a tile's maps depend on that tile alone: not on its place,
nor on what else was at hand when the batch was closed. On a CPU each thread computes its own tile instead.
"""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray

from slidescore.errors import DeviceError
from slidescore.nn.card import STRIDE
from slidescore.nn.device import BATCH_TILES, Device, memory_of
from slidescore.nn.network import FOLD, MIDDLE, SHAPE_MAPS, CellNetwork

WAIT_S = 0.003
"""A batch that is not full waits so long for more tiles: a few per cent of what a tile costs its thread."""
MAX_DESKS = 3
"""One is filled, one computed, one emptied; each holds 0.1 GB of page-locked memory for tiles of 1,280 x 1,280 px."""
GREY_LEVELS = 255.0
"""The network sees grey levels over this; nothing else is normalised."""
TYPES_PER_SIDE = 4
"""Pixels for one of the type maps, along each axis."""

Float = NDArray[np.float32]


class Desk:
    """Page-locked memory for one batch, so that copies to and from the GPU need no help of the CPU.

    Attributes
    ----------
    pixels
        uint8, (N, H, W, 3), RGB.
    shapes, types
        float32, (N, 3, H, W) and (N, 4, H / 4, W / 4): what comes out.
    finite
        bool, (N,): whether all that was computed of a tile is a finite number.
    """

    def __init__(self, places: int, height: int, width: int, n_types: int, *, locked: bool) -> None:
        def room(*shape: int, dtype: torch.dtype) -> torch.Tensor:
            return torch.empty(shape, dtype=dtype, pin_memory=locked)

        self.shape = (height, width)
        self.tensors = (
            room(places, height, width, 3, dtype=torch.uint8),
            room(places, len(SHAPE_MAPS), height, width, dtype=torch.float32),
            room(places, n_types, height // TYPES_PER_SIDE, width // TYPES_PER_SIDE, dtype=torch.float32),
            room(places, dtype=torch.bool),
        )
        self.pixels: NDArray[np.uint8] = self.tensors[0].numpy()
        self.shapes: Float = self.tensors[1].numpy()
        self.types: Float = self.tensors[2].numpy()
        self.finite: NDArray[np.bool_] = self.tensors[3].numpy()


@dataclass(frozen=True, slots=True)
class BatchRunner:
    """Computes one batch at a time on one device; the device may be a CPU, to test with.

    Attributes
    ----------
    network
        On the device, in its precision, its batch norms folded.
    calibrate
        Turns type logits, float32, (N, 4, h, w), into probabilities.
    places
        Tiles a batch.
    """

    network: CellNetwork
    device: Device
    calibrate: Callable[[torch.Tensor], torch.Tensor]
    places: int = BATCH_TILES
    _checked: set[tuple[int, int]] = field(default_factory=set)

    def desk(self, height: int, width: int) -> Desk:
        """Make room for batches of a size.

        Raises
        ------
        DeviceMemoryError
            If there is none.
        """
        n_types = self.network.type_head[-1].out_channels
        with memory_of(self.device):
            return Desk(self.places, height, width, int(n_types), locked=self.device.is_cuda)

    def run(self, desk: Desk) -> None:
        """Compute a batch; before the first one of a size, whether it matters where in a batch a tile is.

        Raises
        ------
        DeviceMemoryError
            If the device's memory does not suffice.
        DeviceError
            If a tile has other maps in another place.
        """
        if desk.shape not in self._checked:
            self._check_places(desk)
            self._checked.add(desk.shape)
        self._compute(desk)

    def _compute(self, desk: Desk) -> None:
        pixels, shapes_out, types_out, finite_out = desk.tensors
        with memory_of(self.device), torch.inference_mode(), self._always_the_same():
            # (N, H, W, 3) seen as (N, 3, H, W) is what torch calls channels last, the quick order.
            seen = pixels.to(self.device.name, non_blocking=True).permute(0, 3, 1, 2)
            shapes, types = self.network.folded(seen.to(self.device.dtype) / GREY_LEVELS - MIDDLE)
            # Asked before the sigmoid, which makes a harmless looking 1 of an overflow.
            finite = torch.isfinite(shapes).flatten(1).all(1) & torch.isfinite(types).flatten(1).all(1)
            # Probabilities in single precision: half of one has no steps fine enough near 1.
            probability = torch.nn.functional.pixel_shuffle(torch.sigmoid(shapes.float()), FOLD)
            shapes_out.copy_(probability, non_blocking=True)
            types_out.copy_(self.calibrate(types.float()), non_blocking=True)
            finite_out.copy_(finite, non_blocking=True)
            if self.device.is_cuda:
                torch.cuda.current_stream(self.device.name).synchronize()

    def _always_the_same(self) -> AbstractContextManager[None]:
        """Choose algorithms by shape, not by trying which is quicker, and only such as always sum in one order."""
        if not self.device.is_cuda:
            return nullcontext()
        flags: AbstractContextManager[None] = torch.backends.cudnn.flags(
            enabled=True, benchmark=False, deterministic=True, allow_tf32=False
        )
        return flags

    def _check_places(self, desk: Desk) -> None:
        """Compute variants of the first tile in one order and in the reverse one: libraries promise nothing here."""
        given = desk.pixels.copy()
        for place in range(self.places):
            desk.pixels[place] = np.roll(given[0], STRIDE * place, axis=1)
        self._compute(desk)
        shapes, types = desk.shapes.copy(), desk.types.copy()
        desk.pixels[:] = desk.pixels[::-1].copy()
        self._compute(desk)
        same = np.array_equal(shapes, desk.shapes[::-1], equal_nan=True)
        same &= np.array_equal(types, desk.types[::-1], equal_nan=True)
        desk.pixels[:] = given
        if not same:
            raise DeviceError(
                f"a tile has other maps in another place of a batch on {self.device.name} ({self.device.hardware})",
                remedy="use --device cpu, and report the GPU and the version of torch",
            )


@dataclass(slots=True)
class _Batch:
    desk: Desk
    n_taken: int = 0
    """Places that have a tile, or a thread that is about to put one there."""
    n_filled: int = 0
    n_emptied: int = 0
    closed: bool = False
    done: threading.Event = field(default_factory=threading.Event)
    error: BaseException | None = None


class Gatherer:
    """Lets threads compute their tiles together; each calls `compute` and gets the maps of its own tile.

    The thread that begins a batch computes it for all, so there is no thread that must be ended, and none waits for a
    tile that may never come: a batch waits a bounded time, or as long as the device is busy with another one.

    Parameters
    ----------
    runner
        Computes batches.
    wait_s
        How long a batch that is not full waits for more.
    """

    def __init__(self, runner: BatchRunner, wait_s: float = WAIT_S) -> None:
        self._runner, self._wait_s = runner, wait_s
        self._changed = threading.Condition()
        self._device = threading.Lock()
        self._open: dict[tuple[int, int], _Batch] = {}
        self._free: list[Desk] = []
        self._n_desks = 0

    def compute(self, tile: NDArray[np.uint8]) -> tuple[Float, Float]:
        """Compute a tile's maps.

        Parameters
        ----------
        tile
            uint8, (H, W, 3), RGB; H and W are multiples of STRIDE.

        Returns
        -------
        Probabilities of SHAPE_MAPS, float32, (3, H, W), and of the types, float32, (4, H / 4, W / 4).

        Raises
        ------
        DeviceMemoryError
            If the device's memory does not suffice for the batch: every tile in it hears so.
        DeviceError
            If what was computed of this tile is no finite number.
        """
        batch, place = self._take_place((tile.shape[0], tile.shape[1]))
        try:
            try:
                self._fill(batch, place, tile)
            finally:
                # Even without a tile of its own: others wait for this thread.
                if place == 0:
                    self._lead(batch)
            batch.done.wait()
            if batch.error is not None:
                # A copy: threads that raise one error object would write into each other's traceback.
                raise copy.copy(batch.error) from batch.error
            if not batch.desk.finite[place]:
                raise not_finite(self._runner.device)
            return batch.desk.shapes[place].copy(), batch.desk.types[place].copy()
        finally:
            self._leave(batch)

    def _take_place(self, shape: tuple[int, int]) -> tuple[_Batch, int]:
        with self._changed:
            while (batch := self._open.get(shape)) is None:
                desk = self._take_desk(shape)
                if desk is not None:
                    batch = self._open[shape] = _Batch(desk)
                    break
                self._changed.wait()
            place = batch.n_taken
            batch.n_taken += 1
            if batch.n_taken == self._runner.places:
                self._close(batch)
            return batch, place

    def _take_desk(self, shape: tuple[int, int]) -> Desk | None:
        """Take a desk that is free, or a new one if that is allowed; None if one must be waited for."""
        for desk in self._free:
            if desk.shape == shape:
                self._free.remove(desk)
                return desk
        if self._n_desks == MAX_DESKS:
            if not self._free:
                return None
            self._free.pop(0)
            self._n_desks -= 1
        desk = self._runner.desk(*shape)
        self._n_desks += 1
        return desk

    def _fill(self, batch: _Batch, place: int, tile: NDArray[np.uint8]) -> None:
        try:
            batch.desk.pixels[place] = tile
        finally:
            with self._changed:
                batch.n_filled += 1
                self._changed.notify_all()

    def _lead(self, batch: _Batch) -> None:
        """Compute a batch once it is full or has waited long enough; whatever happens, nobody is left waiting."""
        try:
            with self._changed:
                self._changed.wait_for(lambda: batch.closed, self._wait_s)
            # While another batch is computed this one goes on filling up.
            with self._device:
                with self._changed:
                    self._close(batch)
                    self._changed.wait_for(lambda: batch.n_filled == batch.n_taken)
                batch.desk.pixels[batch.n_taken :] = 0
                self._runner.run(batch.desk)
        except BaseException as error:  # noqa: BLE001 - every thread of the batch raises it
            batch.error = error
        finally:
            with self._changed:
                self._close(batch)
            batch.done.set()

    def _close(self, batch: _Batch) -> None:
        """Let no more tiles in; a second call does nothing."""
        if not batch.closed:
            batch.closed = True
            del self._open[batch.desk.shape]
            self._changed.notify_all()

    def _leave(self, batch: _Batch) -> None:
        with self._changed:
            batch.n_emptied += 1
            if batch.closed and batch.n_emptied == batch.n_taken:
                self._free.append(batch.desk)
                self._changed.notify_all()


def not_finite(device: Device) -> DeviceError:
    """Return the error of a tile whose maps are no finite numbers."""
    return DeviceError(
        f"the network's maps hold a value that is no finite number, in {device.precision} on {device.name}",
        remedy="use --device cpu; 'slidescore doctor' says whether the model is whole",
    )
