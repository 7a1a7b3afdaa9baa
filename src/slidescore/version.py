"""Which slidescore this is, and which libraries decide its numbers."""

from __future__ import annotations

from importlib import metadata

NUMERIC_LIBRARIES = (
    "numpy", "scipy", "scikit-image", "opencv-python-headless", "numba", "torch",
    "openslide-bin", "simplejpeg", "tifffile", "imagecodecs", "pillow",
)  # fmt: skip
"""Libraries whose version can change a pixel or a number."""


def slidescore_version() -> str:
    """Return the installed version, or `0+unknown` when running from files that were never installed."""
    try:
        return metadata.version("slidescore")
    except metadata.PackageNotFoundError:
        return "0+unknown"


def library_versions() -> dict[str, str]:
    """Return the versions of slidescore and of the libraries that decide numbers."""
    versions = {"slidescore": slidescore_version()}
    for name in NUMERIC_LIBRARIES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = "missing"
    return versions
