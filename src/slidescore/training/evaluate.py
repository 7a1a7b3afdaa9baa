"""The network on held-back fields: maps once, then decoded and counted under any settings."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from slidescore.cells.decode import DecodeSettings, decode_maps
from slidescore.cells.segmenter import Segmentation
from slidescore.cells.types import CELL_TYPES
from slidescore.nn.card import Calibration
from slidescore.nn.device import Device
from slidescore.nn.network import CellNetwork, fused
from slidescore.nn.segmenter import Maps, NetworkSegmenter
from slidescore.training.metrics import NO_COUNTS, Counts, detection_counts, mask_counts, type_counts
from slidescore.training.scene import Scene
from slidescore.training.scenes import centroids

UNCALIBRATED = Calibration(type_temperature=1.0, tumor_shift=0.0)


@dataclass(frozen=True, slots=True)
class Field:
    """An image with its truth, and what the network says about it; types are not calibrated yet."""

    scene: Scene
    rgb: NDArray[np.uint8]
    maps: Maps


@dataclass(frozen=True, slots=True)
class FieldCounts:
    """What was found in fields: cells, masks, and cells of each type in the order of CELL_TYPES."""

    cells: Counts
    masks: Counts
    types: tuple[Counts, ...]

    def __add__(self, other: FieldCounts) -> FieldCounts:
        types = tuple(a + b for a, b in zip(self.types, other.types, strict=True))
        return FieldCounts(self.cells + other.cells, self.masks + other.masks, types)


NOTHING = FieldCounts(NO_COUNTS, NO_COUNTS, (NO_COUNTS,) * len(CELL_TYPES))


def predict_fields(
    network: CellNetwork, device: Device, scenes: Sequence[Scene], images: Sequence[NDArray[np.uint8]]
) -> list[Field]:
    """Run a network on rendered scenes, one at a time; they may differ in size."""
    ready = fused(network).to(device=device.name, dtype=device.dtype, memory_format=torch.channels_last)
    segmenter = NetworkSegmenter("", device, ready, DecodeSettings(), UNCALIBRATED)
    return [Field(scene, rgb, segmenter.predict_maps(rgb[None])) for scene, rgb in zip(scenes, images, strict=True)]


def calibrate_types(probability: NDArray[np.float32], calibration: Calibration, axis: int = 0) -> NDArray[np.float32]:
    """Calibrate probabilities that are not yet; types lie along `axis`."""
    logits = np.log(np.maximum(np.moveaxis(probability, axis, 0).astype(np.float64), np.finfo(np.float32).tiny))
    logits[0] += calibration.tumor_shift
    raised = np.exp((logits - logits.max(axis=0)) / calibration.type_temperature)
    calibrated: NDArray[np.float32] = np.moveaxis(raised / raised.sum(axis=0), 0, axis).astype(np.float32)
    return calibrated


def decode_field(field: Field, settings: DecodeSettings, calibration: Calibration = UNCALIBRATED) -> Segmentation:
    """Decode the maps of a field; labels int32, (H, W) of the image."""
    maps = field.maps
    height, width = field.rgb.shape[:2]
    usable = np.zeros(maps.center.shape[1:], bool)
    usable[:height, :width] = True
    found = decode_maps(
        maps.center[0], maps.foreground[0], maps.distance[0], calibrate_types(maps.type_probability[0], calibration),
        usable, field.scene.mpp, settings,
    )  # fmt: skip
    return Segmentation(found.nuclei[:height, :width], found.detection_probability, found.type_probability)


def count_field(
    field: Field, settings: DecodeSettings, calibration: Calibration = UNCALIBRATED, *, strict: bool = False
) -> FieldCounts:
    """Count what was found in one field; where nothing is known it does not count, unless `strict`."""
    scene = field.scene
    found = decode_field(field, settings, calibration)
    centers = centroids(found.nuclei)
    at = np.rint(centers).astype(int)
    known = np.full(len(at), True) if strict else scene.known[at[:, 1], at[:, 0]]
    assert found.type_probability is not None
    kinds = found.type_probability.argmax(axis=1).astype(np.int8)
    true_um = scene.centers_px.astype(np.float64) * scene.mpp
    found_um = centers.astype(np.float64)[known] * scene.mpp
    typed = len(scene.types) > 0 and not (scene.types < 0).any()
    per_type = tuple(
        type_counts(true_um, scene.types, found_um, kinds[known], kind) if typed else NO_COUNTS
        for kind in range(len(CELL_TYPES))
    )
    masks = mask_counts(scene.nuclei, found.nuclei) if scene.exact_masks else NO_COUNTS
    return FieldCounts(detection_counts(true_um, found_um), masks, per_type)


def count_fields(
    fields: Iterable[Field], settings: DecodeSettings, calibration: Calibration = UNCALIBRATED, *, strict: bool = False
) -> FieldCounts:
    """Add up the counts of fields, each as `count_field` has them."""
    total = NOTHING
    for field in fields:
        total = total + count_field(field, settings, calibration, strict=strict)
    return total
