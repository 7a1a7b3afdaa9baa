"""From a path to pixels: find slides, open them, decide their resolution, read areas at the analysis resolution."""

from slidescore.slide.array_reader import ArrayReader
from slidescore.slide.discover import SlideInput, find_slides
from slidescore.slide.fingerprint import file_sha256, fingerprint, slide_ids
from slidescore.slide.open import open_slide
from slidescore.slide.reader import SlideReader
from slidescore.slide.resolution import Resolution, decide_resolution
from slidescore.slide.sampling import AnalysisGrid, plan_grid, read_analysis
from slidescore.slide.thumbnail import plan_thumbnail, read_thumbnail

__all__ = [
    "AnalysisGrid",
    "ArrayReader",
    "Resolution",
    "SlideInput",
    "SlideReader",
    "decide_resolution",
    "file_sha256",
    "find_slides",
    "fingerprint",
    "open_slide",
    "plan_grid",
    "plan_thumbnail",
    "read_analysis",
    "read_thumbnail",
    "slide_ids",
]
