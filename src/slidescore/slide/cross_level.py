"""Whether two levels of a slide show the same tissue.

A flipped bit in a JPEG tile is valid code for other colours; no reader can know. But a pyramid holds every place at
least twice. Every tile that is scored is compared with the same place on a coarser level, a few per cent more pixels to
read: means over squares of 8 um may differ by what the levels of this slide ordinarily differ by, measured on a few
windows, and no more.

Measured on 93 bit flips of 256 px JPEG tiles of real tissue that libjpeg decodes without a warning and that changed
more than 2,000 pixels by more than 8 grey levels: a limit of 10 finds 92 of them, one of 15 finds 75. Levels averaged
and coded at JPEG quality 80 differ by 5 at most when the coarser one has 1 um a pixel, by 17 at 2 um, by 29 at 4 um;
the largest difference is up to 2.2 times the 99th percentile.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from slidescore.errors import SlideOpenError
from slidescore.slide.reader import SlideReader
from slidescore.slide.sampling import AnalysisGrid, read_analysis

Window = tuple[NDArray[np.uint8], NDArray[np.bool_]]
"""Colours, uint8, (H, W, 3), and which of them the slide holds, bool, (H, W)."""
ReadWindow = Callable[[AnalysisGrid, int, int, int, int], Window]
"""Reads x, y, width, height in pixels of a grid, see `read_analysis`."""
_Compared = tuple[NDArray[np.int16], NDArray[np.bool_], NDArray[np.uint8]]
Verdict = Literal["compared", "one level", "too different to compare"]

SQUARE_UM: Final = 8.0
"""Side of the squares whose mean colours are compared."""
GOOD_MPP: Final = 1.1
"""The coarsest level of at most so many um a pixel is the witness: 7 pixels a side of a square, and little to read."""
MOST_MPP: Final = 4.2
"""Where there is none, a coarser one will do; beyond this JPEG leaves too little of a square's colour."""
MIN_RATIO: Final = 1.9
"""A witness must be another picture, at least about half the size of the scored level."""
LEAST_LIMIT: Final = 10.0
"""Grey levels by which the mean colour of a square may differ between any two levels."""
NOISE_FACTOR: Final = 2.5
"""How many times what levels ordinarily differ by (99th percentile) is too much."""
MOST_LIMIT: Final = 60.0
"""Beyond this the comparison would see nothing; levels made by leaving pixels out can be so rough."""
LEAST_SQUARES: Final = 4
"""Squares of a tile that differ (256 um2) before the tile is refused; one may be a speck at a seam."""
LEAST_CORRELATION: Final = 0.5
"""Below this two levels do not show the same thing, however rough one of them is."""
MOST_BIAS: Final = 8.0
"""Grey levels by which a whole window may be brighter or darker on one level, in any channel; averaging light instead
of stored values makes textured tissue about 3 brighter."""
WINDOWS: Final = 16
"""Windows read on tissue, and again as many on glass."""
WINDOW_SQUARES: Final = 16
"""Their side in squares."""
LEVELS_DIFFER: Final = "the slide's levels show different things here"
"""Begins the reason of a tile that is refused."""

_PERCENTILE: Final = 99.0
_SMOOTH: Final = (3, 3)
_GLASS_MARGIN: Final = (7, 7)
_FULL: Final = 255


@dataclass(frozen=True, slots=True)
class LevelWitness:
    """Another level of the slide, and how closely what is scored must match it.

    Attributes
    ----------
    scored
        The grid that is scored.
    verdict
        Whether there is another level to compare with.
    grid
        Squares of `SQUARE_UM`, averaged from the other level; None where there is none.
    limit
        Largest difference of a square that is taken as ordinary, in grey levels.
    n_glass_differ
        Windows where no tissue was found that are not as they look from afar: tissue may be missed there.
    """

    scored: AnalysisGrid
    verdict: Verdict
    grid: AnalysisGrid | None = None
    limit: float = LEAST_LIMIT
    n_glass_differ: int = 0

    def refuse(self, reader: SlideReader, window: Window, x_px: int, y_px: int) -> None:
        """Refuse pixels of a tile that the other level contradicts.

        Parameters
        ----------
        reader
            The slide.
        window
            What was read for scoring, as `read_analysis` gives it.
        x_px, y_px
            Its top left corner, in analysis px.

        Raises
        ------
        SlideOpenError
            At least `LEAST_SQUARES` squares differ by more than `limit`, or the other level cannot be read.
        """
        if self.grid is None or self.verdict != "compared":
            return
        difference, known, _ = _compare(
            self.scored, self.grid, window, (x_px, y_px), lambda *area: read_analysis(reader, *area)
        )
        if (n := _n_beyond(difference, known, self.limit)) >= LEAST_SQUARES:
            message = f"{LEVELS_DIFFER}: level {self.scored.level} and level {self.grid.level} differ on"
            raise SlideOpenError(f"{message} {n * SQUARE_UM**2:,.0f} um2", remedy="copy it again from the scanner")


def call_witness(
    reader: SlideReader,
    mpp: float,
    scored: AnalysisGrid,
    afar: tuple[AnalysisGrid, NDArray[np.uint8], NDArray[np.bool_]],
    tissue: NDArray[np.bool_],
    read: ReadWindow,
) -> LevelWitness:
    """Choose the level to compare with, and learn on a few windows how much the two ordinarily differ.

    Parameters
    ----------
    reader, mpp
        The slide and its resolution.
    scored
        The grid that will be scored.
    afar
        The coarse picture in which tissue was looked for: grid, colours, and which of them the slide holds.
    tissue
        bool, (H, W), where tissue was found on it.
    read
        Reads windows; where it raises SlideOpenError the window is left out.

    Returns
    -------
    LevelWitness
        With `limit` from the median window, so that damage in fewer than half of them does not raise it, nor much
        damage in fewer than three quarters.
    """
    grid = _square_grid(reader, mpp, scored)
    if grid is None:
        return LevelWitness(scored, "one level", n_glass_differ=_count_glass(scored, afar, tissue, read))
    coarse, _, valid = afar
    limit = _ordinary_limit(_look(scored, grid, _places(valid & tissue, coarse), read, read))
    n_glass = _count_glass(scored, afar, tissue, read)
    if limit is None:
        return LevelWitness(scored, "too different to compare", n_glass_differ=n_glass)
    return LevelWitness(scored, "compared", grid, limit, n_glass)


def _square_grid(reader: SlideReader, mpp: float, scored: AnalysisGrid) -> AnalysisGrid | None:
    """Lay squares of `SQUARE_UM` over the level that is the best witness; None where there is none."""
    finest = MIN_RATIO * reader.level_downsamples[scored.level]
    fit = [(mpp * d, level) for level, d in enumerate(reader.level_downsamples) if d >= finest and mpp * d <= MOST_MPP]
    if not fit:
        return None
    good = [each for each in fit if each[0] <= GOOD_MPP]
    level_mpp, level = max(good) if good else min(fit)
    width, height = reader.level_dimensions[level]
    factor = SQUARE_UM / level_mpp
    return replace(
        scored, level=level, level_downsample=reader.level_downsamples[level], factor=factor, analysis_mpp=SQUARE_UM,
        width_px=int(np.ceil(width / factor)), height_px=int(np.ceil(height / factor)), level_width_px=width,
        level_height_px=height, upsampled=False,
    )  # fmt: skip


def _compare(
    scored: AnalysisGrid, grid: AnalysisGrid, window: Window, corner: tuple[int, int], read: ReadWindow
) -> _Compared:
    """Subtract another level's squares from the means of what was read.

    Returns
    -------
    difference : numpy.ndarray
        int16, (h, w, 3), grey levels, for each square that lies within the window.
    known : numpy.ndarray
        bool, (h, w); whether both levels hold the square and all of its neighbours: a mean over an edge of what was
        scanned is no mean of tissue.
    picture : numpy.ndarray
        uint8, (h, w, 3), the other level's squares.
    """
    rgb, valid = window
    ratio, (x_px, y_px) = grid.px_to_l0 / scored.px_to_l0, corner
    x0, x1 = _whole(x_px, rgb.shape[1], ratio, grid.width_px)
    y0, y1 = _whole(y_px, rgb.shape[0], ratio, grid.height_px)
    if x0 >= x1 or y0 >= y1:
        return np.zeros((0, 0, 3), np.int16), np.zeros((0, 0), np.bool_), np.zeros((0, 0, 3), np.uint8)
    picture, there = read(grid, x0, y0, x1 - x0, y1 - y0)
    part = np.s_[round(y0 * ratio) - y_px : round(y1 * ratio) - y_px,
                 round(x0 * ratio) - x_px : round(x1 * ratio) - x_px]  # fmt: skip
    size = (x1 - x0, y1 - y0)
    means = cv2.resize(rgb[part], size, interpolation=cv2.INTER_AREA)
    held = cv2.resize(valid[part].astype(np.uint8) * _FULL, size, interpolation=cv2.INTER_AREA) == _FULL
    known = cv2.erode((held & there).astype(np.uint8), np.ones(_SMOOTH, np.uint8), borderType=cv2.BORDER_REPLICATE)
    return means.astype(np.int16) - picture, known > 0, picture


def _n_beyond(difference: NDArray[np.int16], known: NDArray[np.bool_], limit: float) -> int:
    return int((known & (np.abs(difference).max(axis=-1) > limit)).sum()) if known.any() else 0


def _ordinary_limit(looked: list[_Compared]) -> float | None:
    """Say how much a square may differ; None where levels are too rough for any difference to mean much."""
    if not looked:
        return LEAST_LIMIT
    noise = [float(np.percentile(np.abs(d).max(axis=-1)[known], _PERCENTILE)) for d, known, _ in looked]
    bias = np.median([np.abs(d[known].mean(axis=0)).max() for d, known, _ in looked])
    if bias > MOST_BIAS:
        return LEAST_LIMIT
    # Levels that are rough are so everywhere; where some windows agree well, damage makes the others differ.
    for share in (50, 25):
        limit = max(LEAST_LIMIT, NOISE_FACTOR * float(np.percentile(noise, share)))
        if limit <= MOST_LIMIT:
            return limit
    alike = np.median([_correlation(*each) for each in looked]) >= LEAST_CORRELATION
    return None if alike else LEAST_LIMIT


def _count_glass(
    scored: AnalysisGrid,
    afar: tuple[AnalysisGrid, NDArray[np.uint8], NDArray[np.bool_]],
    tissue: NDArray[np.bool_],
    read: ReadWindow,
) -> int:
    """Count windows well off the tissue that are not as they look from afar, where that is plain glass."""
    coarse, rgb, valid = afar
    if coarse.level == scored.level:
        return 0
    around = np.ones(_SMOOTH, np.uint8)
    plain = (cv2.dilate(rgb, around) - cv2.erode(rgb, around)).max(axis=-1) <= LEAST_LIMIT
    glass = plain & (cv2.dilate(tissue.astype(np.uint8), np.ones(_GLASS_MARGIN, np.uint8)) == 0)

    def from_afar(_: AnalysisGrid, x: int, y: int, width: int, height: int) -> Window:
        area = np.s_[y : y + height, x : x + width]
        return rgb[area], valid[area] & glass[area]

    looked = _look(scored, coarse, _places(valid & glass, coarse), read, from_afar)
    return sum(_n_beyond(difference, known, LEAST_LIMIT) >= LEAST_SQUARES for difference, known, _ in looked)


def _whole(start_px: int, count_px: int, ratio: float, limit: int) -> tuple[int, int]:
    """Find the squares that lie within a stretch of analysis pixels altogether, as a half-open range."""
    return max(0, int(np.ceil(start_px / ratio))), min(limit, int(np.floor((start_px + count_px) / ratio)))


def _places(mask: NDArray[np.bool_], coarse: AnalysisGrid) -> list[tuple[float, float]]:
    """Choose windows most of which is in a mask, spread evenly over it; x, y of their corners in level-0 px."""
    height, width = (-(-size // WINDOW_SQUARES) for size in mask.shape)
    padded = np.zeros((height * WINDOW_SQUARES, width * WINDOW_SQUARES), np.float32)
    padded[: mask.shape[0], : mask.shape[1]] = mask
    share = cv2.resize(padded, (width, height), interpolation=cv2.INTER_AREA)
    rows, columns = np.nonzero(share > min(1 / 2, float(share.max()) / 2))
    if not len(rows):
        return []
    chosen = np.unique(np.linspace(0, len(rows) - 1, WINDOWS).astype(int))
    side = WINDOW_SQUARES * coarse.px_to_l0
    return [(float(columns[at]) * side, float(rows[at]) * side) for at in chosen]


def _look(
    scored: AnalysisGrid,
    grid: AnalysisGrid,
    places: list[tuple[float, float]],
    read: ReadWindow,
    read_other: ReadWindow,
) -> list[_Compared]:
    """Read windows of the scored grid and compare them; those that cannot be read or compared are left out."""
    side = int(np.ceil(WINDOW_SQUARES * grid.px_to_l0 / scored.px_to_l0)) + 1
    found = []
    for x_l0, y_l0 in places:
        corner = (int(x_l0 / scored.px_to_l0), int(y_l0 / scored.px_to_l0))
        try:
            compared = _compare(scored, grid, read(scored, *corner, side, side), corner, read_other)
        except SlideOpenError:
            continue
        if compared[1].any():
            found.append(compared)
    return found


def _correlation(difference: NDArray[np.int16], known: NDArray[np.bool_], picture: NDArray[np.uint8]) -> float:
    """Correlate the brightness of two levels, smoothed, so that a rough one is not blamed for its roughness."""
    coarse = picture.astype(np.float64).mean(axis=-1)
    fine = coarse + difference.mean(axis=-1)
    fine, coarse = (cv2.blur(each, _SMOOTH)[known] for each in (fine, coarse))
    spread = float(fine.std() * coarse.std())
    return float(((fine - fine.mean()) * (coarse - coarse.mean())).mean()) / spread if spread > 0 else 0.0
