"""Whole slides to be spoilt: one small phantom in each format, and what a reader must see of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

import phantom as ph
from dicom_write import write_series
from faults.mutators import MUTATORS, mutate
from slidescore.slide import open_slide

MPP = 0.5
SIDE_PX, TISSUE_FRACTION = 608, 0.6
DPI = 25_400 / MPP
FORMATS = tuple(MUTATORS)
SUFFIXES = {"svs": "svs", "tiff": "tiff", "dicom": "dcm", "png": "png", "jpeg": "jpg"}


@dataclass(frozen=True)
class Whole:
    """A slide that nothing is wrong with.

    Attributes
    ----------
    contents
        Its files: the one that names it first.
    rgba
        uint8, (H, W, 4): level 0 as the reader reads it.
    """

    format: str
    contents: tuple[bytes, ...]
    rgba: NDArray[np.uint8]


@cache
def _draw(seed: int) -> ph.Phantom:
    return ph.draw_phantom(ph.slide_spec(seed, mpp=MPP, side_px=SIDE_PX, tissue_fraction=TISSUE_FRACTION))


def write_whole(folder: Path, format_: str, seed: int) -> Whole:
    """Write a phantom in a format, and read it again."""
    field = _draw(seed)
    path = folder / f"whole.{SUFFIXES[format_]}"
    if format_ == "svs":
        paths = [ph.write_svs(path, field.rgb, MPP, levels=(1, 4), tile=128)]
    elif format_ == "tiff":
        paths = [ph.write_pyramid(path, field.rgb, MPP, levels=(1, 4), tile=128)]
    elif format_ == "dicom":
        paths = write_series(folder / "whole", field.rgb, MPP, levels=(1, 4), tile=128)
    else:
        Image.fromarray(field.rgb).save(path, dpi=(DPI, DPI), quality=85)
        paths = [path]
    with open_slide(paths[0]) as reader:
        rgba = np.array(reader.read_region((0, 0), 0, reader.dimensions))
    return Whole(format_, tuple(each.read_bytes() for each in paths), rgba)


@dataclass(frozen=True)
class Mutant:
    """A spoilt slide: of which whole, how, and where it lies.

    Attributes
    ----------
    name
        Its folder, in which it lies alone.
    number
        Which file of the slide was spoilt.
    """

    name: str
    whole: Whole
    kind: str
    number: int
    seed: tuple[int, ...]

    @property
    def file(self) -> str:
        """Its name in scores.csv."""
        return f"{self.name}/slide.{SUFFIXES[self.whole.format]}"

    def write(self, folder: Path) -> Path:
        """Write its files; return the one that names it."""
        rng = np.random.default_rng(self.seed)
        mutator = MUTATORS[self.whole.format][self.kind]
        place = folder / self.name
        place.mkdir(parents=True)
        names = [f"slide.{SUFFIXES[self.whole.format]}", "slide1.dcm"]
        for number, content in enumerate(self.whole.contents):
            spoilt = mutate(content, mutator, rng) if number == self.number else content
            (place / names[number]).write_bytes(spoilt)
        return place / names[0]


def plan_mutants(wholes: Sequence[Whole], count: int, seed: int) -> list[Mutant]:
    """Choose faults: formats and kinds in turn, one in four of a DICOM series' faults in its coarse level."""
    pairs = [(whole, kind) for whole in wholes for kind in MUTATORS[whole.format]]
    order = np.random.default_rng(seed).permutation(len(pairs))
    mutants = []
    for number in range(count):
        whole, kind = pairs[order[number % len(pairs)]]
        mutant = Mutant(f"m{number:05d}", whole, kind, 0, (seed, number))
        coarse = len(whole.contents) > 1 and np.random.default_rng((seed, number, 1)).random() < 1 / 4
        mutants.append(replace(mutant, number=1) if coarse else mutant)
    return mutants
