"""Score CXCR4 immunohistochemistry on whole-slide images. Research use only.

The names below are the whole public interface; each is imported when it is first used, so `import slidescore` is quick
and loads no torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from slidescore.assay import Assay, load_assay
    from slidescore.errors import SlidescoreError
    from slidescore.pipeline.cohort import score_directory
    from slidescore.pipeline.judge import SlideResult
    from slidescore.pipeline.rescore import rescore
    from slidescore.pipeline.slide import score_slide
    from slidescore.slide import open_slide

_HOMES = {
    "Assay": "slidescore.assay",
    "SlideResult": "slidescore.pipeline.judge",
    "SlidescoreError": "slidescore.errors",
    "load_assay": "slidescore.assay",
    "open_slide": "slidescore.slide",
    "rescore": "slidescore.pipeline.rescore",
    "score_directory": "slidescore.pipeline.cohort",
    "score_slide": "slidescore.pipeline.slide",
}

__all__ = [
    "Assay",
    "SlideResult",
    "SlidescoreError",
    "load_assay",
    "open_slide",
    "rescore",
    "score_directory",
    "score_slide",
]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        message = f"module 'slidescore' has no attribute '{name}'"
        raise AttributeError(message)
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
