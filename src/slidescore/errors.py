"""Every failure slidescore can name: value, place and remedy in one line.

A *result* that cannot be scored (too few tumor cells, too much excluded) is not an error: it is NOT_EVALUABLE, see
`slidescore.scoring.calls`.
"""

from __future__ import annotations

import traceback
from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path


class SlidescoreError(Exception):
    """Root of every error that slidescore raises on purpose.

    Parameters
    ----------
    message
        What is wrong, with the offending value.
    where
        File, key or argument the message is about.
    remedy
        What the user can do about it.
    """

    def __init__(self, message: str, *, where: str = "", remedy: str = "") -> None:
        self.message = message
        self.where = where
        self.remedy = remedy
        super().__init__(message, where, remedy)

    def __str__(self) -> str:
        return f"{self.where}: {self.reason}" if self.where else self.reason

    @property
    def reason(self) -> str:
        """What is wrong and what to do about it, without the place; it goes into tables, so it names no folder."""
        return f"{self.message} ({self.remedy})" if self.remedy else self.message

    def __reduce__(self) -> tuple[object, ...]:
        # Errors cross process borders; the default reduce would drop the keyword arguments.
        return (_rebuild, (type(self), self.message, self.where, self.remedy))


def _rebuild(kind: type[SlidescoreError], message: str, where: str, remedy: str) -> SlidescoreError:
    error = kind.__new__(kind)
    SlidescoreError.__init__(error, message, where=where, remedy=remedy)
    return error


class SlideOpenError(SlidescoreError, OSError):
    """A file could not be opened or read as a slide by any reader."""


class MissingResolutionError(SlidescoreError, ValueError):
    """A slide states no resolution, or one that cannot be true."""


class AssayError(SlidescoreError, ValueError):
    """An assay file says something that slidescore cannot follow."""


class ModelError(SlidescoreError, ValueError):
    """A model's card or weights cannot be used."""


class DeviceError(SlidescoreError, RuntimeError):
    """The device that a network runs on failed at its work."""


class DeviceMemoryError(DeviceError):
    """The device has too little memory for the network's work; another device may have enough."""


class AnnotationError(SlidescoreError, ValueError):
    """A GeoJSON annotation file cannot be used; its place is a file name and a feature, which a table may name."""

    @property
    def reason(self) -> str:
        """What is wrong, in which file and feature, and what to do about it."""
        return f"{self.where}: {super().reason}" if self.where else super().reason

    def __str__(self) -> str:
        return self.reason


class UnknownNameError(SlidescoreError, KeyError):
    """A name is not among the known ones."""

    __str__ = SlidescoreError.__str__


class RunFolderError(SlidescoreError, FileExistsError):
    """A run folder cannot be used for this run."""


class RunFolderBusyError(RunFolderError):
    """Another process is writing to the run folder."""


class DiskFullError(RunFolderError):
    """The disk of the run folder is full: no other slide would fare better, so the run stops."""


class InputError(SlidescoreError, ValueError):
    """The inputs of a command do not make sense together."""


def nearest_names(name: str, known: Iterable[str]) -> str:
    """Say which known names are closest to `name`, or list them all when none is close."""
    names = sorted(known)
    close = get_close_matches(name, names, n=1, cutoff=0.6)
    return f"did you mean '{close[0]}'?" if close else f"known: {', '.join(names)}"


def place_of(error: BaseException) -> str:
    """Say where in the code an error arose: `in tile.py, line 42`.

    Stands for the words of an error nobody foresaw: they can quote a slide's metadata, and they end up in a table.
    """
    frames = traceback.extract_tb(error.__traceback__)
    return f"in {Path(frames[-1].filename).name}, line {frames[-1].lineno}" if frames else "at an unknown place"


def trace_of(error: BaseException) -> str:
    """Write the traceback of an error and of what caused it, without the words of any of them.

    Python's own would print what each library said, and libraries quote files.
    """
    chain: list[BaseException] = []
    link: BaseException | None = error
    while link is not None and link not in chain:
        chain.append(link)
        link = link.__cause__ or (None if link.__suppress_context__ else link.__context__)
    parts = [
        "".join(traceback.format_list(traceback.extract_tb(each.__traceback__))) + type(each).__name__
        for each in reversed(chain)
    ]
    return "\n\nled to\n\n".join(parts)
