"""The options of a run, and how many slides it scores at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from slidescore.execute import available_cores
from slidescore.pipeline.journal import BLOCK_SECONDS
from slidescore.pipeline.segmenters import SegmenterPlan

MIN_WORKERS_A_GPU, MAX_WORKERS_A_GPU = 2, 4
"""Two, so that one slide is read while another one is joined and written; each process keeps some hundred MB of the
GPU's memory, and about a gigabyte of the host's, for itself."""
CORES_A_WORKER = 4
"""On a GPU: what is Python of a tile's work holds its process's lock, which more threads would only queue for."""
DEFAULT_TIMEOUT_S = 600.0
"""Ten minutes: a tile takes seconds, and a slow network share that answers at all answers sooner."""
DEFAULT_SLIDE_LIMIT_S = 86_400.0
"""A day: a hundred times what a large slide takes on two cores."""


@dataclass(frozen=True, slots=True)
class RunOptions:
    """Options of a run that change no number, or that the results record.

    Attributes
    ----------
    workers
        Slides scored at once, each in its own process; None for as many as there are cores and slides.
    mpp
        Resolution of all slides in um per level-0 pixel, whatever they state; None to take each file's own.
    roi
        Folder of annotations; those of a slide are in <file>.geojson.
    overlay_mpp
        Resolution of overlay.tiff; None writes none.
    overwrite
        Take up a folder that holds results of another assay and score everything anew.
    command
        The command line, for run.json.
    device
        Where a network runs: auto, cpu, cuda or cuda:N, or several with commas between them, among which slides are
        spread.
    float32
        Whether a network computes in single precision everywhere, to compare with.
    key_file
        Where the names of the slides are kept when pseudonyms take their place everywhere else; None to keep the names.
    timeout_s
        A slide on which nothing gets done for so many seconds fails, and its process is killed.
    slide_limit_s
        A slide that is not finished after so many seconds fails, whatever gets done.
    journal_s
        How often the finished tiles of a slide are kept, in seconds.
    checksums
        Manifest of SHA-256; a slide that is not what it lists fails before any reader opens it.
    patients
        Slide-to-patient table, whose patients are scored in patients.csv; None for slides alone.
    accept_unverified
        Whether the assay's cut-off may be one of status unverified.
    """

    workers: int | None = None
    mpp: float | None = None
    roi: Path | None = None
    overlay_mpp: float | None = 1.0
    overwrite: bool = False
    command: tuple[str, ...] = ()
    device: str = "auto"
    float32: bool = False
    key_file: Path | None = None
    timeout_s: float = DEFAULT_TIMEOUT_S
    slide_limit_s: float = DEFAULT_SLIDE_LIMIT_S
    journal_s: float = BLOCK_SECONDS
    checksums: Path | None = None
    patients: Path | None = None
    accept_unverified: bool = False


def count_workers(options: RunOptions, segmenters: Sequence[SegmenterPlan], n_slides: int) -> int:
    """Settle how many slides are scored at once: one a core, or a few a GPU."""
    if options.workers:
        return min(options.workers, n_slides)
    n_devices = len(segmenters)
    if segmenters[0].device == "cpu":
        return min(available_cores(), n_slides)
    a_gpu = available_cores() // CORES_A_WORKER // n_devices
    return min(max(MIN_WORKERS_A_GPU, min(MAX_WORKERS_A_GPU, a_gpu)) * n_devices, n_slides)
