"""What a result may say about the machine that made a slide and the library that read it.

Everything else that a file says about itself stays in the file: descriptions, user and file names, patient tags. Even
the scanner is named by its model only; a serial number, or whatever else a laboratory typed into that field, becomes
eight digits, by which slides of one scanner are still told from those of another.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from importlib import metadata
from typing import Final

import openslide

from slidescore.slide.reader import SlideReader

SCANNER_KEYS: Final = (
    "aperio.ScanScope ID",
    "hamamatsu.Product",
    "mirax.GENERAL.SLIDE_TYPE",
    "dicom.ManufacturerModelName",
    "ventana.ScannerModel",
    "leica.device-model",
    "philips.DICOM_MANUFACTURERS_MODEL_NAME",
)
"""The only properties that are looked at to tell scanners apart."""

_MODEL_WORDS: Final = """
3dhistech aperio at at2 axioscan biosystems c10730 c12000 c13140 c13210 c13220 c13239 c9600 coreo cs cs2 digital dp dx
easyscan fast flash grundium gt gt450 hamamatsu ht ht2 huron ii iii imager intellisite iscan le120 leica midi motic
nanozoomer ocus ocus20 ocus40 olympus optrascan p1000 p250 p480 pannoramic pathology philips pro ptp rs rs2 rx s20
s210 s360 s360md s60 scan scanner scanscope scn400 sg20 sg300 sg60 slideview sq t2 tissuescope turbo uf ufs ultra v
ventana vs110 vs120 vs200 xr xt xt2 z1 zeiss
"""
SCANNER_WORDS: Final = frozenset(_MODEL_WORDS.split())
"""Words that the makers' names of their scanners are made of, in lower case."""

_MODEL_DIGITS: Final = 4
"""Digits beside the words of a model (2.0, 250, 450); more can be a date or a record number."""
_DIGITS: Final = 8
_LIBRARIES: Final[dict[str, Callable[[str], str]]] = {
    "openslide": lambda vendor: f"OpenSlide {openslide.__library_version__}",
    "tiles": lambda vendor: f"{_installed('simplejpeg')}, OpenSlide {openslide.__library_version__}",
    "image": lambda vendor: _installed("tifffile" if vendor == "tiff" else "pillow"),
}
"""By the reader's name: which library decodes, and its version."""


def name_scanner(reader: SlideReader) -> str | None:
    """Name the model of the scanner that made a slide.

    Returns
    -------
    str or None
        The model in the maker's words where it is made of `SCANNER_WORDS` alone; else `unlisted-` and 8 digits of a
        SHA-256 over what the file says; None when it says nothing.
    """
    for key in SCANNER_KEYS:
        if value := " ".join(reader.properties.get(key, "").split()):
            words = [word for word in re.split(r"[^a-z0-9]+", value.lower()) if word]
            numbers = "".join(word for word in words if word.isdecimal())
            known = all(word in SCANNER_WORDS or word.isdecimal() for word in words)
            if words and words[0] in SCANNER_WORDS and known and len(numbers) <= _MODEL_DIGITS:
                return re.sub(r"[^\w .+-]", " ", value)
            return f"unlisted-{hashlib.sha256(f'{key}={value}'.encode('utf-8', 'replace')).hexdigest()[:_DIGITS]}"
    return None


def name_library(reader: SlideReader) -> str:
    """Name the library that decodes a slide's pixels, with its version: `OpenSlide 4.0.1`."""
    describe = _LIBRARIES.get(reader.backend)
    return describe(reader.vendor) if describe else reader.backend


def _installed(name: str) -> str:
    return f"{name} {metadata.version(name)}"
