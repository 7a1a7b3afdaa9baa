"""The network as a segmenter: pixels in, nuclei with their types out."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from slidescore.cells.decode import DecodeSettings, decode_maps
from slidescore.cells.segmenter import Segmentation
from slidescore.cells.types import TUMOR
from slidescore.nn.batches import GREY_LEVELS, BatchRunner, Frame, not_finite
from slidescore.nn.card import Calibration, decode_settings
from slidescore.nn.device import Device, memory_of
from slidescore.nn.gathering import Gatherer
from slidescore.nn.network import FOLD, MIDDLE, SHAPE_MAPS, STRIDE, CellNetwork, fused
from slidescore.nn.unfolding import look_up, unfold, unfold_half
from slidescore.nn.weights import Model, load_model
from slidescore.stain import StainPlanes

N_LEVELS = 256
BITS = {2: torch.int16, 4: torch.int32}
"""Whole numbers as long as a precision's numbers, by bytes."""
ROWS_AT_ONCE = 32
"""Rows of the channels of maps that are turned into probabilities at once: 1 MB of a tile."""

Float = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Maps:
    """What the network says of N images, before nuclei are made of it; H and W are padded to multiples of STRIDE.

    Attributes
    ----------
    center, foreground, distance
        float32, (N, H, W), 0 to 1.
    type_probability
        float32, (N, 4, h, w), calibrated; coarser than the others by a whole number.
    """

    center: Float
    foreground: Float
    distance: Float
    type_probability: Float


@dataclass(frozen=True, slots=True)
class NetworkSegmenter:
    """Nuclei from the trained network; may be used by several threads at once.

    Attributes
    ----------
    digest
        Identity of weights, decoding and calibration.
    device
        Where it runs, and in which precision.
    network
        Ready for inference: batch norms folded, on the device, in its precision.
    decode, calibration
        From the model's card.
    gatherer
        Computes the tiles of several threads together, on a GPU; None where each thread computes its own.
    """

    digest: str
    device: Device
    network: CellNetwork
    decode: DecodeSettings
    calibration: Calibration
    name: str = "network"
    gatherer: Gatherer | None = None

    def segment(
        self, rgb: NDArray[np.uint8], planes: StainPlanes, usable: NDArray[np.bool_], mpp: float
    ) -> Segmentation:
        """Find the nuclei of a tile; see `slidescore.cells.segmenter.Segmenter.segment`. Stains are not looked at."""
        [found] = self.segment_batch(rgb[None], usable[None], mpp)
        return found

    def segment_batch(self, rgb: NDArray[np.uint8], usable: NDArray[np.bool_], mpp: float) -> list[Segmentation]:
        """Find the nuclei of several images of one size.

        Parameters
        ----------
        rgb
            uint8, (N, H, W, 3), RGB.
        usable
            bool, (N, H, W); False where there is no tissue or no pixel.
        mpp
            Resolution in um/px.

        Raises
        ------
        DeviceError
            If the device's memory does not suffice, or what it computes is no number.
        """
        maps = self.predict_maps(rgb)
        height, width = rgb.shape[1:3]
        inside = usable
        if maps.center.shape != usable.shape:
            # Nuclei are made on the padded maps, so that maps of every scale still lie on one another.
            inside = np.zeros(maps.center.shape, dtype=bool)
            inside[:, :height, :width] = usable
        return [
            _cropped(
                decode_maps(
                    maps.center[k], maps.foreground[k], maps.distance[k], maps.type_probability[k], inside[k], mpp,
                    self.decode,
                ),
                height,
                width,
            )
            for k in range(len(rgb))
        ]  # fmt: skip

    def predict_maps(self, rgb: NDArray[np.uint8]) -> Maps:
        """Run the network on images of one size; uint8, (N, H, W, 3), RGB, padded by reflection where need be.

        Raises
        ------
        DeviceMemoryError
            If the device's memory does not suffice.
        DeviceError
            If a map holds a value that is no number, or no finite one.
        """
        rgb = _padded(rgb)
        if self.gatherer is not None:
            maps, typed = _gathered(self.gatherer, rgb)
        else:
            maps, typed = self._computed(rgb)
        named = dict(zip(SHAPE_MAPS, maps, strict=True))
        return Maps(named["center"], named["foreground"], named["distance"], typed)

    def _computed(self, rgb: NDArray[np.uint8]) -> tuple[Float, Float]:
        """Compute padded images in this thread; float32, (3, N, H, W) in the order of SHAPE_MAPS and (N, 4, h, w)."""
        with memory_of(self.device), torch.inference_mode():
            shapes, types = self.network.folded(self._input(rgb))
            maps, finite = _unfolded(shapes)
            finite = finite and _is_finite(types)
            typed: Float = calibrated(types.float(), self.calibration).cpu().numpy()
        if not finite:
            raise not_finite(self.device)
        return maps, typed

    def _input(self, rgb: NDArray[np.uint8]) -> torch.Tensor:
        """Return what the network is given, (N, 3, H, W), in its precision."""
        # The same numbers from a table: there are only 256 grey levels. Numpy knows no bf16, so its bits are moved.
        table = torch.arange(N_LEVELS, dtype=torch.uint8).to(self.device.dtype) / GREY_LEVELS - MIDDLE
        # (N, H, W, 3) seen as (N, 3, H, W) is what torch calls channels last, the quick order.
        bits = BITS[table.element_size()]
        seen = look_up(rgb, table.view(bits).numpy())
        return torch.from_numpy(seen).view(self.device.dtype).permute(0, 3, 1, 2)


def load_segmenter(name_or_path: str | Path, device: Device, frame: Frame | None = None) -> NetworkSegmenter:
    """Load a model and make it ready for a device; parameters as in `make_segmenter`.

    Raises
    ------
    UnknownNameError, ModelError
        If the model cannot be loaded.
    DeviceMemoryError
        If the device's memory does not suffice.
    """
    return make_segmenter(load_model(name_or_path), device, frame)


def make_segmenter(model: Model, device: Device, frame: Frame | None = None) -> NetworkSegmenter:
    """Make a loaded model ready for a device; the model itself stays as it is.

    Parameters
    ----------
    model
        As it was loaded.
    device
        Where it shall run.
    frame
        Height and width of the room for a tile on a GPU; None gives each size of tiles a room of its own.

    Raises
    ------
    ModelError
        If the card's decode settings cannot be used.
    DeviceMemoryError
        If the device's memory does not suffice.
    """
    decode = decode_settings(model.card)
    with memory_of(device):
        network = fused(model.network).to(device=device.name, dtype=device.dtype, memory_format=torch.channels_last)
    for parameter in network.parameters():
        parameter.requires_grad_(False)
    calibration = model.card.calibration
    gatherer = None
    if device.is_cuda:
        runner = BatchRunner(network, device, partial(calibrated, calibration=calibration))
        gatherer = Gatherer(runner, frame=frame)
    return NetworkSegmenter(model.digest, device, network, decode, calibration, gatherer=gatherer)


def _gathered(gatherer: Gatherer, rgb: NDArray[np.uint8]) -> tuple[Float, Float]:
    """Compute padded images with those of other threads; float32, (3, N, H, W) and (N, 4, h, w)."""
    found = [gatherer.compute(image) for image in rgb]
    if len(found) == 1:
        # Nearly always; what the gatherer gives is this thread's own.
        [(shapes, types)] = found
        return shapes[:, None], types[None]
    return np.stack([shapes for shapes, _ in found], axis=1), np.stack([types for _, types in found])


def _is_finite(values: torch.Tensor) -> bool:
    """Whether every value is a finite number; their sum is asked first, which is quick and seldom wrong."""
    return bool(torch.isfinite(values.sum(dtype=torch.float32))) or bool(torch.isfinite(values).all())


def _unfolded(shapes: torch.Tensor) -> tuple[Float, bool]:
    """Turn logits, (N, 12, H / 2, W / 2), which may be overwritten, into probabilities in the order of SHAPE_MAPS.

    Returns
    -------
    float32, (3, N, H, W), and whether every logit is a finite number: a sigmoid makes a harmless looking 1 of an
    overflow. Probabilities are in single precision, since half of one has no steps fine enough near 1.
    """
    channels = shapes.permute(0, 2, 3, 1).contiguous()
    if channels.dtype == torch.float32:
        n, height, width, _ = channels.shape
        lines: Float = np.empty((len(SHAPE_MAPS), n * height * FOLD, width * FOLD), np.float32)
        finite = True
        # Some rows at a time, which stay in the cache through all three steps.
        for number, part in enumerate(channels.flatten(0, 1).split(ROWS_AT_ONCE)):
            finite = finite and _is_finite(part)
            unfold(part.sigmoid_().numpy(), lines[:, number * ROWS_AT_ONCE * FOLD :])
        return lines.reshape(len(SHAPE_MAPS), n, height * FOLD, width * FOLD), finite
    maps, largest = unfold_half(channels.view(torch.int16).numpy().view(np.uint16), _sigmoids(channels.dtype))
    return maps, _is_finite(torch.tensor(largest, dtype=torch.int16).view(channels.dtype))


@cache
def _sigmoids(dtype: torch.dtype) -> Float:
    """Tabulate the sigmoid of every number of 16 bits, by its bits; float32, (65536,)."""
    bits = torch.arange(1 << 16, dtype=torch.int32).to(torch.int16)
    table: Float = torch.sigmoid(bits.view(dtype).float()).numpy()
    return table


def calibrated(logits: torch.Tensor, calibration: Calibration) -> torch.Tensor:
    """Turn type logits, float, (N, 4, h, w), into probabilities; see `slidescore.nn.card.Calibration`."""
    shift = torch.zeros(logits.shape[1], device=logits.device, dtype=logits.dtype)
    shift[TUMOR] = calibration.tumor_shift
    return torch.softmax((logits + shift[:, None, None]) / calibration.type_temperature, dim=1)


def _padded(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Continue images, (N, H, W, 3), by reflection to the right and below, up to multiples of STRIDE."""
    down, right = (-rgb.shape[1]) % STRIDE, (-rgb.shape[2]) % STRIDE
    if not (down or right):
        return rgb
    return np.pad(rgb, ((0, 0), (0, down), (0, right), (0, 0)), mode="reflect")


def _cropped(found: Segmentation, height: int, width: int) -> Segmentation:
    nuclei = np.ascontiguousarray(found.nuclei[:height, :width])
    # What is cut off was not usable, so no nucleus reaches into it.
    return Segmentation(nuclei, found.detection_probability, found.type_probability, found.boxes)
