"""One batch of tiles on a GPU: its memory, and what is computed of it.

Every batch has the same number of places, filled or not, and each place is a frame of the same size, into whose top
left corner a tile is put; clear glass fills the rest. So a tile's maps depend on that tile alone: neither on its place
nor on what is beside it, which is checked before the first batch of a frame.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from threading import Lock

import numpy as np
import torch
from numpy.typing import NDArray

from slidescore.errors import DeviceError
from slidescore.nn.card import STRIDE
from slidescore.nn.device import BATCH_TILES, Device, memory_of
from slidescore.nn.network import FOLD, MIDDLE, SHAPE_MAPS, CellNetwork

GREY_LEVELS = 255.0
"""The network sees grey levels over this; nothing else is normalised."""
TYPES_PER_SIDE = 4
"""Pixels for one of the type maps, along each axis."""
GLASS = 255
"""Fills a frame where its tile has no pixel: nothing is found in white."""

Float = NDArray[np.float32]
Frame = tuple[int, int]
"""Height and width in pixels, multiples of STRIDE."""

_LAUNCHING = Lock()
"""Torch keeps its rules for choosing algorithms for the whole process, so one batch is launched at a time."""


class Desk:
    """Page-locked memory for one batch, so that copies to and from the GPU need no help of the CPU.

    Attributes
    ----------
    frame
        H and W.
    pixels
        uint8, (N, H, W, 3), RGB.
    shapes, types
        float32, (N, 3, H, W) and (N, 4, H / 4, W / 4): what comes out.
    finite
        bool, (N,): whether all that was computed of a tile is a finite number.
    """

    def __init__(self, places: int, frame: Frame, n_types: int, *, locked: bool) -> None:
        def room(*shape: int, dtype: torch.dtype) -> torch.Tensor:
            return torch.empty(shape, dtype=dtype, pin_memory=locked)

        self.frame = height, width = frame
        self.tensors = (
            room(places, height, width, 3, dtype=torch.uint8),
            room(places, len(SHAPE_MAPS), height, width, dtype=torch.float32),
            room(places, n_types, height // TYPES_PER_SIDE, width // TYPES_PER_SIDE, dtype=torch.float32),
            room(places, dtype=torch.bool),
        )
        self.pixels: NDArray[np.uint8] = self.tensors[0].numpy()
        self.pixels[:] = GLASS
        self.shapes: Float = self.tensors[1].numpy()
        self.types: Float = self.tensors[2].numpy()
        self.finite: NDArray[np.bool_] = self.tensors[3].numpy()

    def put(self, place: int, tile: NDArray[np.uint8]) -> None:
        """Put a tile, uint8, (h, w, 3), into a frame that is as large or larger."""
        height, width = tile.shape[:2]
        self.pixels[place, :height, :width] = tile
        self.pixels[place, :height, width:] = GLASS
        self.pixels[place, height:] = GLASS

    def take(self, place: int, height: int, width: int) -> tuple[Float, Float]:
        """Copy what was computed of a tile of that size."""
        shapes = self.shapes[place, :, :height, :width]
        types = self.types[place, :, : height // TYPES_PER_SIDE, : width // TYPES_PER_SIDE]
        return shapes.copy(), types.copy()


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
    _checked: set[Frame] = field(default_factory=set)

    def desk(self, frame: Frame) -> Desk:
        """Make room for batches of a frame.

        Raises
        ------
        DeviceMemoryError
            If there is none.
        """
        n_types = self.network.type_head[-1].out_channels
        with memory_of(self.device):
            return Desk(self.places, frame, int(n_types), locked=self.device.is_cuda)

    def run(self, desk: Desk, n_tiles: int) -> None:
        """Compute a batch; before the first one of a frame, whether it matters where in a batch a tile is.

        Parameters
        ----------
        desk
            Holds the tiles, and then what was computed of them.
        n_tiles
            Places that are filled, the first ones; only they are copied to the device and back.

        Raises
        ------
        DeviceMemoryError
            If the device's memory does not suffice.
        DeviceError
            If a tile has other maps in another place.
        """
        if desk.frame not in self._checked:
            self._check_places(desk)
            self._checked.add(desk.frame)
        self._compute(desk, n_tiles)

    def _compute(self, desk: Desk, n_tiles: int) -> None:
        with memory_of(self.device):
            with _LAUNCHING, torch.inference_mode(), self._always_the_same():
                self._launch(desk, n_tiles)
            if self.device.is_cuda:
                # Blocking: a thread that spins would keep a core from the tiles of others.
                done = torch.cuda.Event(blocking=True)
                done.record(torch.cuda.current_stream(self.device.name))
                done.synchronize()

    def _launch(self, desk: Desk, n_tiles: int) -> None:
        """Have a batch computed, all places of it; a GPU may still be at work afterwards."""
        pixels, shapes_out, types_out, finite_out = (tensor[:n_tiles] for tensor in desk.tensors)
        seen = torch.zeros(desk.pixels.shape, dtype=torch.uint8, device=self.device.name)
        seen[:n_tiles].copy_(pixels, non_blocking=True)
        # (N, H, W, 3) seen as (N, 3, H, W) is what torch calls channels last, the quick order.
        centered = seen.permute(0, 3, 1, 2).to(self.device.dtype) / GREY_LEVELS - MIDDLE
        shapes, types = (maps[:n_tiles] for maps in self.network.folded(centered))
        # Asked before the sigmoid, which makes a harmless looking 1 of an overflow.
        finite = torch.isfinite(shapes).flatten(1).all(1) & torch.isfinite(types).flatten(1).all(1)
        # Probabilities in single precision: half of one has no steps fine enough near 1.
        probability = torch.nn.functional.pixel_shuffle(torch.sigmoid(shapes.float()), FOLD)
        shapes_out.copy_(probability, non_blocking=True)
        types_out.copy_(self.calibrate(types.float()), non_blocking=True)
        finite_out.copy_(finite, non_blocking=True)

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
        self._compute(desk, self.places)
        shapes, types = desk.shapes.copy(), desk.types.copy()
        desk.pixels[:] = desk.pixels[::-1].copy()
        self._compute(desk, self.places)
        same = np.array_equal(shapes, desk.shapes[::-1], equal_nan=True)
        same &= np.array_equal(types, desk.types[::-1], equal_nan=True)
        desk.pixels[:] = given
        if not same:
            raise DeviceError(
                f"a tile has other maps in another place of a batch on {self.device.name} ({self.device.hardware})",
                remedy="use --device cpu, and report the GPU and the version of torch",
            )


def not_finite(device: Device) -> DeviceError:
    """Return the error of a tile whose maps are no finite numbers."""
    return DeviceError(
        f"the network's maps hold a value that is no finite number, in {device.precision} on {device.name}",
        remedy="use --device cpu; 'slidescore doctor' says whether the model is whole",
    )
