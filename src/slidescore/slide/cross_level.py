"""Whether two levels of a slide show the same tissue.

A flipped bit in a JPEG tile is valid code for other colours; no reader can know. But a pyramid holds every place at
least twice. Every tile that is scored is compared with the same place on a coarser level, a few per cent more pixels to
read: means over squares of 8 um may differ by what the levels of this slide ordinarily differ by, measured on a few
windows, and by a share of what neighbouring squares differ by, learned where that is most, and no more.

That share is what keeps whole slides whole. Levels differ where tissue changes from one square to the next, the more
so the coarser the level, and most where a level was made by leaving pixels out: a slide of smooth tissue with one spot
of carbon or ink would teach a limit that the spot breaks. Damage has no such excuse: it does not keep to edges, it goes
on from block to block, and the neighbours that are asked are those of the other level, which it did not touch.

Measured on 500 bit flips of 256 px JPEG tiles of real tissue (five pyramids, levels of 1, 2 and 4 um a pixel) that
libjpeg decodes without a warning and that changed more than 2,000 pixels by more than 8 grey levels: 84 to 91 % are
found. Pyramids of the same tissue, of smooth tissue with a spot of carbon among it, averaged, averaged as light,
sharpened, made by Lanczos or of every n-th pixel, of JPEG quality 30 to 90: none is refused where the coarser level has
up to 2 um a pixel.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from slidescore.errors import SlideOpenError
from slidescore.slide.level_windows import WINDOW_SQUARES, Place, edges_of, places_in, tissue_places
from slidescore.slide.reader import SlideReader
from slidescore.slide.sampling import AnalysisGrid, read_analysis

Window = tuple[NDArray[np.uint8], NDArray[np.bool_]]
"""Colours, uint8, (H, W, 3), and which of them the slide holds, bool, (H, W)."""
ReadWindow = Callable[[AnalysisGrid, int, int, int, int], Window]
"""Reads x, y, width, height in pixels of a grid, see `read_analysis`."""
Verdict = Literal["compared", "one level", "too different to compare"]

SQUARE_UM: Final = 8.0
"""Side of the squares whose mean colours are compared."""
GOOD_MPP: Final = 1.1
"""The coarsest level of at most so many um a pixel is the witness: 7 pixels a side of a square, and little to read."""
MOST_MPP: Final = 4.2
"""Where there is none, a coarser one will do; beyond this JPEG leaves too little of a square's colour."""
MIN_RATIO: Final = 1.9
"""A witness must be another picture, at least about half the size of the scored level."""
LEAST_LIMIT: Final = 8.0
"""Grey levels by which the mean colour of a square may differ between any two levels, and `EDGE_SHARE` besides."""
EDGE_SHARE: Final = 0.1
"""For each um that a pixel of the other level measures: the least share of what a square and its neighbours on that
level differ by which is added to the limit."""
EDGE_FACTOR: Final = 1.5
"""How many times the share that the windows with the strongest edges ordinarily need (99th percentile) is given."""
MOST_EDGE_SHARE: Final = 1.0
"""No more than what neighbours differ by is ever excused."""
GLASS_LIMIT: Final = 10.0
"""The same limit for glass; and by how much neighbours may differ where glass is plain."""
NOISE_FACTOR: Final = 2.5
"""How many times what levels ordinarily differ by, edges apart (99th percentile), is too much."""
MOST_LIMIT: Final = 60.0
"""Beyond this the comparison would see nothing; levels made by leaving pixels out can be so rough."""
LEAST_SQUARES: Final = 4
"""Squares side by side that differ (256 um2) before a tile is refused: damage goes on from block to block, what is left
over of edges and specks does not."""
LEAST_CORRELATION: Final = 0.5
"""Below this two levels do not show the same thing, however rough one of them is."""
MOST_BIAS: Final = 8.0
"""Grey levels by which a whole window may be brighter or darker on one level, in any channel."""
BIAS_SHARE: Final = 0.25
"""Share of what edges excuse by which it may be so besides: averaging light instead of stored values makes textured
tissue brighter, by 3 where a pixel of the other level measures 1 um and by up to 16 at 4 um."""
LEVELS_DIFFER: Final = "the slide's levels show different things here"
"""Begins the reason of a tile that is refused."""

_PERCENTILE: Final = 99.0
_MOST_WINDOWS: Final = 75.0
_SMOOTH: Final = (3, 3)
_GLASS_MARGIN: Final = (7, 7)
_FULL: Final = 255


@dataclass(frozen=True, slots=True)
class _Compared:
    """Squares of two levels.

    Attributes
    ----------
    difference
        int16, (h, w, 3), grey levels: the mean of what was read less the other level's square.
    known
        bool, (h, w); whether both levels hold the square and all of its neighbours: a mean over an edge of what was
        scanned is no mean of tissue, and neighbours outside of the window are not known.
    picture
        uint8, (h, w, 3), the other level's squares.
    """

    difference: NDArray[np.int16]
    known: NDArray[np.bool_]
    picture: NDArray[np.uint8]

    @property
    def worst(self) -> NDArray[np.int16]:
        """Difference of each square in its worst channel, int16, (h, w)."""
        worst: NDArray[np.int16] = np.abs(self.difference).max(axis=-1)
        return worst

    @property
    def bias(self) -> float:
        """Difference of all known squares together, in the worst channel."""
        return float(np.abs(self.difference[self.known].mean(axis=0)).max())

    @property
    def edges(self) -> NDArray[np.uint8]:
        """What each square and its neighbours differ by on the other level, uint8, (h, w)."""
        return edges_of(self.picture)

    def n_beyond(self, limit: float, edge_share: float) -> int:
        """Count the squares beyond a limit and a share of their edges that lie side by side, in the largest patch."""
        if not self.known.any():
            return 0
        beyond = (self.known & (self.worst > limit + edge_share * self.edges)).astype(np.uint8)
        _, _, patches, _ = cv2.connectedComponentsWithStats(beyond, connectivity=8)
        return int(patches[1:, cv2.CC_STAT_AREA].max(initial=0))


_NOTHING: Final = _Compared(np.zeros((0, 0, 3), np.int16), np.zeros((0, 0), np.bool_), np.zeros((0, 0, 3), np.uint8))


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
        Largest difference of a square, beyond what edges excuse, that is taken as ordinary; in grey levels.
    edge_share
        The share of edges that is excused.
    n_glass_differ
        Windows where no tissue was found that are not as they look from afar: tissue may be missed there.
    """

    scored: AnalysisGrid
    verdict: Verdict
    grid: AnalysisGrid | None = None
    limit: float = LEAST_LIMIT
    edge_share: float = 0.0
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
            At least `LEAST_SQUARES` squares side by side differ by more than `limit`, or the other level cannot be
            read.
        """
        if self.grid is None or self.verdict != "compared":
            return
        compared = _compare(self.scored, self.grid, window, (x_px, y_px), lambda *area: read_analysis(reader, *area))
        if (n := compared.n_beyond(self.limit, self.edge_share)) >= LEAST_SQUARES:
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
        damage in fewer than three quarters; `edge_share` from the windows with the strongest edges.
    """
    grid = _square_grid(reader, mpp, scored)
    if grid is None:
        return LevelWitness(scored, "one level", n_glass_differ=_count_glass(scored, afar, tissue, read))
    coarse, rgb, valid = afar
    spread, edgy = (_look(scored, grid, places, read, read) for places in tissue_places(valid & tissue, rgb, coarse))
    ordinary = _ordinary(spread, edgy, EDGE_SHARE * SQUARE_UM / grid.factor)
    n_glass = _count_glass(scored, afar, tissue, read)
    if ordinary is None:
        return LevelWitness(scored, "too different to compare", n_glass_differ=n_glass)
    return LevelWitness(scored, "compared", grid, *ordinary, n_glass)


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
        halved=False,
    )  # fmt: skip


def _compare(
    scored: AnalysisGrid, grid: AnalysisGrid, window: Window, corner: tuple[int, int], read: ReadWindow
) -> _Compared:
    """Subtract another level's squares from the means of what was read, for each that lies within the window."""
    rgb, valid = window
    ratio, (x_px, y_px) = grid.px_to_l0 / scored.px_to_l0, corner
    x0, x1 = _whole(x_px, rgb.shape[1], ratio, grid.width_px)
    y0, y1 = _whole(y_px, rgb.shape[0], ratio, grid.height_px)
    if x0 >= x1 or y0 >= y1:
        return _NOTHING
    picture, there = read(grid, x0, y0, x1 - x0, y1 - y0)
    part = np.s_[round(y0 * ratio) - y_px : round(y1 * ratio) - y_px,
                 round(x0 * ratio) - x_px : round(x1 * ratio) - x_px]  # fmt: skip
    size = (x1 - x0, y1 - y0)
    means = cv2.resize(rgb[part], size, interpolation=cv2.INTER_AREA)
    held = cv2.resize(valid[part].astype(np.uint8) * _FULL, size, interpolation=cv2.INTER_AREA) == _FULL
    around = np.ones(_SMOOTH, np.uint8)
    known = cv2.erode((held & there).astype(np.uint8), around, borderType=cv2.BORDER_CONSTANT, borderValue=0) > 0
    return _Compared(means.astype(np.int16) - picture, known, picture)


def _ordinary(spread: list[_Compared], edgy: list[_Compared], edge_share: float) -> tuple[float, float] | None:
    """Say how much a square may differ, and by which share of its edges; None where levels are too rough to tell.

    Levels that show different things are excused nothing.
    """
    if not spread:
        return LEAST_LIMIT, edge_share
    if np.median([each.bias - edge_share * BIAS_SHARE * each.edges[each.known].mean() for each in spread]) > MOST_BIAS:
        return LEAST_LIMIT, 0.0
    noise = [float(np.percentile((each.worst - edge_share * each.edges)[each.known], _PERCENTILE)) for each in spread]
    # Levels that are rough are so everywhere; where some windows agree well, damage makes the others differ.
    for share in (50, 25):
        limit = max(LEAST_LIMIT, NOISE_FACTOR * float(np.percentile(noise, share)))
        if limit <= MOST_LIMIT:
            return limit, _ordinary_share(edgy, limit, edge_share)
    alike = np.median([_correlation(each) for each in spread]) >= LEAST_CORRELATION
    return None if alike else (LEAST_LIMIT, 0.0)


def _ordinary_share(edgy: list[_Compared], limit: float, least: float) -> float:
    """Say which share of edges windows with strong ones need to stay within the limit: that of most of them."""
    needed = [np.percentile(((e.worst - limit) / np.maximum(e.edges, 1))[e.known], _PERCENTILE) for e in edgy]
    return (
        float(np.clip(EDGE_FACTOR * np.percentile(needed, _MOST_WINDOWS), least, MOST_EDGE_SHARE)) if needed else least
    )


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
    plain = edges_of(rgb) <= GLASS_LIMIT
    glass = plain & (cv2.dilate(tissue.astype(np.uint8), np.ones(_GLASS_MARGIN, np.uint8)) == 0)

    def from_afar(_: AnalysisGrid, x: int, y: int, width: int, height: int) -> Window:
        area = np.s_[y : y + height, x : x + width]
        return rgb[area], valid[area] & glass[area]

    looked = _look(scored, coarse, places_in(valid & glass, coarse), read, from_afar)
    return sum(each.n_beyond(GLASS_LIMIT, 0.0) >= LEAST_SQUARES for each in looked)


def _whole(start_px: int, count_px: int, ratio: float, limit: int) -> tuple[int, int]:
    """Find the squares that lie within a stretch of analysis pixels altogether, as a half-open range."""
    return max(0, int(np.ceil(start_px / ratio))), min(limit, int(np.floor((start_px + count_px) / ratio)))


def _look(
    scored: AnalysisGrid,
    grid: AnalysisGrid,
    places: list[Place],
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
        if compared.known.any():
            found.append(compared)
    return found


def _correlation(compared: _Compared) -> float:
    """Correlate the brightness of two levels, smoothed, so that a rough one is not blamed for its roughness."""
    coarse = compared.picture.astype(np.float64).mean(axis=-1)
    fine = coarse + compared.difference.mean(axis=-1)
    fine, coarse = (cv2.blur(each, _SMOOTH)[compared.known] for each in (fine, coarse))
    spread = float(fine.std() * coarse.std())
    return float(((fine - fine.mean()) * (coarse - coarse.mean())).mean()) / spread if spread > 0 else 0.0
