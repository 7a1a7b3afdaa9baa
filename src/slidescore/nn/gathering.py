"""Tiles of many threads in batches for a GPU, which computes several at once quicker than one after the other.

On a CPU each thread computes its own tile instead.
"""

from __future__ import annotations

import copy
import threading
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from slidescore.nn.batches import BatchRunner, Desk, Float, Frame, not_finite

WAIT_S = 0.003
"""A batch that is not full waits so long for more tiles: a few per cent of what a tile costs its thread."""
MAX_DESKS = 3
"""One is filled, one computed, one emptied; each holds 0.1 GB of page-locked memory for frames of 1,344 x 1,344 px."""


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
    frame
        Holds tiles of many sizes, so that they can be computed together; a tile that is higher or wider gets a frame
        of its own size, as each does where there is none.
    wait_s
        How long a batch that is not full waits for more.
    """

    def __init__(self, runner: BatchRunner, *, frame: Frame | None = None, wait_s: float = WAIT_S) -> None:
        self._runner, self._frame, self._wait_s = runner, frame, wait_s
        self._changed = threading.Condition()
        self._device = threading.Lock()
        self._open: dict[Frame, _Batch] = {}
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
        height, width = tile.shape[:2]
        batch, place = self._take_place(self._frame_of(height, width))
        try:
            try:
                self._fill(batch, place, tile)
            finally:
                # Even without a tile of its own: others wait for this thread.
                if place == 0:
                    self._lead(batch)
            batch.done.wait()
            if batch.error is not None:
                raise _copy_of(batch.error) from batch.error
            if not batch.desk.finite[place]:
                raise not_finite(self._runner.device)
            return batch.desk.take(place, height, width)
        finally:
            self._leave(batch)

    def _frame_of(self, height: int, width: int) -> Frame:
        """Return the frame of a tile; by its size alone, for what is beside a tile has its part in the maps."""
        if self._frame is not None and height <= self._frame[0] and width <= self._frame[1]:
            return self._frame
        return height, width

    def _take_place(self, frame: Frame) -> tuple[_Batch, int]:
        with self._changed:
            while (batch := self._open.get(frame)) is None:
                desk = self._take_desk(frame)
                if desk is not None:
                    batch = self._open[frame] = _Batch(desk)
                    break
                self._changed.wait()
            place = batch.n_taken
            batch.n_taken += 1
            if batch.n_taken == self._runner.places:
                self._close(batch)
            return batch, place

    def _take_desk(self, frame: Frame) -> Desk | None:
        """Take a desk that is free, or a new one if that is allowed; None if one must be waited for."""
        for desk in self._free:
            if desk.frame == frame:
                self._free.remove(desk)
                return desk
        if self._n_desks == MAX_DESKS:
            if not self._free:
                return None
            self._free.pop(0)
            self._n_desks -= 1
        desk = self._runner.desk(frame)
        self._n_desks += 1
        return desk

    def _fill(self, batch: _Batch, place: int, tile: NDArray[np.uint8]) -> None:
        try:
            batch.desk.put(place, tile)
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
                self._runner.run(batch.desk, batch.n_taken)
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
            del self._open[batch.desk.frame]
            self._changed.notify_all()

    def _leave(self, batch: _Batch) -> None:
        with self._changed:
            batch.n_emptied += 1
            if batch.closed and batch.n_emptied == batch.n_taken:
                self._free.append(batch.desk)
                self._changed.notify_all()


def _copy_of(error: BaseException) -> BaseException:
    """Copy an error: threads that raise one and the same would write into each other's traceback."""
    try:
        return copy.copy(error)
    except Exception:  # noqa: BLE001 - an error that cannot be made of its own words: it must be heard all the same
        return error
