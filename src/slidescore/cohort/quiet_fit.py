"""Fits of statistics packages without their warnings: what matters in them becomes a reason, the rest nothing."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module

from slidescore.errors import InputError

_FAILURES = ("Convergence", "Separation", "Singular", "HessianInversion")
"""Parts of the names of warnings and errors that mean that a fit has no result."""


@contextmanager
def quiet() -> Iterator[list[str]]:
    """Collect the warnings of a block; gives the names of those that mean that a fit did not work out.

    Yields
    ------
    list of str
        Filled at the end of the block.
    """
    failures: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield failures
    failures += [each.category.__name__ for each in caught if is_failure(each.category)]


def is_failure(kind: type[BaseException]) -> bool:
    """Whether a warning or error is one of those that mean that a fit has no result."""
    return any(part in kind.__name__ for part in _FAILURES)


def require_stats(verb: str) -> None:
    """Check that the packages of the extra `stats` are there.

    Raises
    ------
    InputError
        Naming the package and how to install it.
    """
    for name in ("statsmodels", "lifelines"):
        try:
            with quiet():
                import_module(name)
        except ImportError as error:
            raise InputError(
                f"{verb} needs the package {name}, which is not installed",
                remedy="pip install 'slidescore[stats]'",
            ) from error
