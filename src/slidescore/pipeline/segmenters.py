"""Which segmenter an assay runs, and where. Torch is imported only for the network, and only here by name."""

from __future__ import annotations

import gc
import math
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace

from slidescore.assay import Assay
from slidescore.cells import ClassicalSegmenter, Segmenter
from slidescore.errors import AssayError, InputError, ModelError
from slidescore.nn.card import MPP_TOLERANCE, Card, decode_settings, find_model, read_card, read_weights

CPU_NAMES = ("auto", "cpu")
"""What --device may be without a network."""
FRAME_STEP_PX = 64
"""A GPU's frames are multiples of this: a multiple of the network's stride, and few sizes for many assays."""


@dataclass(frozen=True, slots=True)
class SegmenterPlan:
    """Which segmenter runs where: all that names a result, without anything loaded.

    Attributes
    ----------
    name, digest
        Identity of the segmenter.
    profile
        Numeric profile: device class, precision, segmenter and decoding of pixels.
    device
        As torch calls it, settled: `cpu` or `cuda:0`.
    hardware
        The device for people.
    float32
        Whether single precision was asked for.
    """

    name: str
    digest: str
    profile: str
    device: str
    hardware: str
    float32: bool


def plan_segmenter(assay: Assay, device: str = "auto", *, float32: bool = False) -> SegmenterPlan:
    """Settle which segmenter runs where, and check that it can.

    Parameters
    ----------
    assay
        Names the segmenter.
    device
        `auto`, `cpu`, `cuda` or `cuda:N`.
    float32
        Whether a network computes in single precision everywhere, to compare with.

    Raises
    ------
    InputError
        If there is no such device, or the segmenter cannot run there; or several devices are named: a slide has one.
    UnknownNameError, ModelError, AssayError
        If the assay's model is unknown, damaged, or was trained at another resolution, or the tiles do not suit it.
    """
    plans = plan_segmenters(assay, device, float32=float32)
    if len(plans) > 1:
        raise InputError("one slide runs on one device", where=f"--device {device}", remedy=f"use {plans[0].device}")
    return plans[0]


def plan_segmenters(assay: Assay, devices: str = "auto", *, float32: bool = False) -> tuple[SegmenterPlan, ...]:
    """Settle the devices of a run: a plan for each, the same but for the device.

    Parameters
    ----------
    assay
        Names the segmenter.
    devices
        `auto`, or devices with commas between them: `cuda:0,cuda:1`.
    float32
        Whether a network computes in single precision everywhere, to compare with.

    Raises
    ------
    InputError
        If there is no such device, one is named twice, the segmenter cannot run there, or numbers would depend on which
        of the devices a slide gets.
    UnknownNameError, ModelError, AssayError
        As `plan_segmenter`.
    """
    name, decode = assay.cells.segmenter, assay.reading.decode
    if name == "classical":
        if devices not in CPU_NAMES:
            raise InputError(
                "the classical segmenter runs on the CPU only", where=f"--device {devices}", remedy="use auto or cpu"
            )
        segmenter = ClassicalSegmenter(assay.cells.classical)
        profile = f"cpu-float32-{name}-{decode}"
        return (SegmenterPlan(segmenter.name, segmenter.digest, profile, "cpu", "CPU", float32),)
    from slidescore.nn.device import resolve_devices

    first, *others = resolve_devices(devices, float32=float32)
    card = check_model(assay)
    profile = f"{first.profile}-{name}-{decode}"
    plan = SegmenterPlan(name, card.digest, profile, first.name, first.hardware, float32)
    return (plan, *(replace(plan, device=other.name) for other in others))


def name_profile(plan: SegmenterPlan, *, halved: bool) -> str:
    """Name the profile in which a slide was measured: where it cannot be decoded at half its resolution, exactly."""
    planned = plan.profile.removesuffix("-half")
    return plan.profile if halved or planned == plan.profile else f"{planned}-exact"


def check_model(assay: Assay) -> Card:
    """Read the card of the assay's model and check that its weights are whole and that the assay suits it.

    Raises
    ------
    UnknownNameError, ModelError
        If they are not, or the model was trained at another resolution.
    AssayError
        If tiles are not cut as the model needs them.
    """
    folder = find_model(assay.cells.network.model)
    card = read_card(folder)
    read_weights(folder, card)
    decode_settings(card)
    if abs(assay.reading.mpp / card.input.mpp - 1.0) > MPP_TOLERANCE:
        raise ModelError(
            f"was trained at {card.input.mpp:g} um/px, the assay reads {assay.reading.mpp:g}",
            where=f"model '{card.name}'",
            remedy=f"set reading.mpp to {card.input.mpp:g} or take another model",
        )
    # The network halves the resolution; tiles agree at their seams only where they begin on the same coarse grid.
    if assay.tiles.core_px % card.input.stride:
        raise AssayError(
            f"{assay.tiles.core_px} is no multiple of {card.input.stride}, as model '{card.name}' needs",
            where="tiles.core_px",
            remedy=f"set it to {assay.tiles.core_px // card.input.stride * card.input.stride}",
        )
    if assay.tiles.halo_um < card.input.halo_um:
        raise AssayError(
            f"{assay.tiles.halo_um:g} um are less than the {card.input.halo_um:g} that model '{card.name}' needs",
            where="tiles.halo_um",
            remedy=f"set it to {card.input.halo_um:g}",
        )
    return card


def build_segmenter(assay: Assay, device: str = "auto", *, float32: bool = False) -> Segmenter:
    """Build the segmenter that the assay names; parameters and errors as in `plan_segmenter`."""
    return build_planned(assay, plan_segmenter(assay, device, float32=float32))


def build_planned(assay: Assay, plan: SegmenterPlan) -> Segmenter:
    """Build the segmenter of a plan; the weights are read once, and must be those that were planned.

    Raises
    ------
    UnknownNameError, ModelError
        If the model cannot be loaded, or is another one than was planned.
    InputError, DeviceError
        If the device is not there any more, or its memory does not suffice.
    """
    if assay.cells.segmenter == "classical":
        return ClassicalSegmenter(assay.cells.classical)
    from slidescore.nn.device import resolve_device
    from slidescore.nn.segmenter import load_segmenter

    device = resolve_device(plan.device, float32=plan.float32)
    segmenter = load_segmenter(assay.cells.network.model, device, tile_frame(assay))
    if segmenter.digest != plan.digest:
        raise ModelError(
            f"was replaced while the run was going on: it is {segmenter.digest}, and {plan.digest} was planned",
            where="cells.network.model",
            remedy="run the same command again",
        )
    return segmenter


def tile_frame(assay: Assay) -> tuple[int, int]:
    """Return a height and width that hold every tile of an assay, in analysis pixels; a GPU's frames are this large.

    The halo is a length, so it has more pixels on a slide that is analysed at pixels a little smaller than the assay
    names, see `slidescore.slide.plan_grid`.
    """
    least_mpp = assay.reading.mpp / (1.0 + assay.reading.snap_fraction)
    side_px = assay.tiles.core_px + 2 * math.ceil(assay.tiles.halo_um / least_mpp)
    side_px = math.ceil(side_px / FRAME_STEP_PX) * FRAME_STEP_PX
    return side_px, side_px


def release_memory(plan: SegmenterPlan) -> None:
    """Let go of what an attempt that failed has left in a device's memory: other processes may be waiting for it."""
    # Tracebacks hold on to what was computed, and errors that threads hand over to their tracebacks.
    gc.collect()
    if plan.device != "cpu":
        from slidescore.nn.device import release_cached

        release_cached()


def extra_threads(plan: SegmenterPlan) -> int:
    """Return how many threads a slide needs besides its cores: those that wait for a GPU's batch keep no core busy."""
    if plan.device == "cpu":
        return 0
    from slidescore.nn.device import BATCH_TILES

    return BATCH_TILES


def tile_threads(assay: Assay) -> AbstractContextManager[None]:
    """Return a context in which each tile's thread computes alone, so that threads do not crowd the cores."""
    if assay.cells.segmenter == "classical":
        return nullcontext()
    from slidescore.nn.device import one_thread_each

    return one_thread_each()
