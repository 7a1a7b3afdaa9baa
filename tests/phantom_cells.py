"""Geometry of a phantom: where tissue lies, where cells lie, and how they are outlined.

Everything is in micrometres from the top left corner of the field; pixels come in `phantom_raster.py`, stain and light
in `phantom_stain.py`.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

N_ANGLES = 64
GLASS, TUMOR, STROMA = 0, 1, 2
LAYOUT_UM = 2.0


def smooth_noise(
    rng: np.random.Generator, height_px: int, width_px: int, scale_px: float, octaves: int = 1
) -> NDArray[np.float32]:
    """Draw noise of mean 0 and SD about 1 that varies over `scale_px` pixels.

    Parameters
    ----------
    scale_px
        Distance in pixels over which the noise loses its memory, at least 1.
    octaves
        Number of halvings of the scale that are added, each with 0.6 of the amplitude of the one before.

    Returns
    -------
    ndarray
        float32, (height_px, width_px), without unit.
    """
    total = np.zeros((height_px, width_px), np.float32)
    for octave in range(octaves):
        scale = max(scale_px / 2**octave, 1.0)
        rows, columns = int(np.ceil(height_px / scale)) + 1, int(np.ceil(width_px / scale)) + 1
        coarse = rng.standard_normal((rows, columns), dtype=np.float32)
        if scale > 1:
            coarse = cv2.resize(coarse, (width_px, height_px), interpolation=cv2.INTER_CUBIC) / np.float32(0.72)
        total += 0.6**octave * coarse[:height_px, :width_px]
    return total / np.float32(np.sqrt(sum(0.36**octave for octave in range(octaves))))


@dataclass(frozen=True)
class Layout:
    """Which part of the field is glass, tumour or stroma, on a grid of `LAYOUT_UM`.

    Attributes
    ----------
    region
        uint8, (rows, columns): GLASS, TUMOR or STROMA.
    fibre_x, fibre_y
        float32, (rows, columns): coordinates in um along and across the stromal fibres.
    """

    region: NDArray[np.uint8]
    fibre_x: NDArray[np.float32]
    fibre_y: NDArray[np.float32]

    def fibre_angle(self, x_um: NDArray[np.float64], y_um: NDArray[np.float64]) -> NDArray[np.float64]:
        """Direction of the fibres in radians at points in um."""
        grad_y, grad_x = np.gradient(self.fibre_y)
        rows, columns = _grid_index(x_um, y_um, self.region.shape)
        return np.arctan2(-grad_x[rows, columns], grad_y[rows, columns]).astype(np.float64)

    def region_at(self, x_um: NDArray[np.float64], y_um: NDArray[np.float64]) -> NDArray[np.uint8]:
        """Region code at points in um."""
        return self.region[_grid_index(x_um, y_um, self.region.shape)]

    def area_um2(self, code: int) -> float:
        """Area of one region in um2."""
        return float(np.count_nonzero(self.region == code)) * LAYOUT_UM**2


def _grid_index(
    x_um: NDArray[np.float64], y_um: NDArray[np.float64], shape: tuple[int, ...]
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    rows = np.clip((y_um / LAYOUT_UM).astype(np.intp), 0, shape[0] - 1)
    columns = np.clip((x_um / LAYOUT_UM).astype(np.intp), 0, shape[1] - 1)
    return rows, columns


def plan_layout(
    rng: np.random.Generator,
    *,
    width_um: float,
    height_um: float,
    tissue: str,
    tissue_fraction: float,
    stroma_fraction: float,
    nest_um: float,
) -> Layout:
    """Lay out glass, tumour nests and stroma.

    `tissue` is 'full' (no glass), 'round' (a disc, as a TMA core) or 'irregular' (one island with a ragged outline).
    """
    rows, columns = max(int(np.ceil(height_um / LAYOUT_UM)), 2), max(int(np.ceil(width_um / LAYOUT_UM)), 2)
    y, x = np.mgrid[:rows, :columns].astype(np.float32)
    v, u = (y + 0.5) / rows * 2 - 1, (x + 0.5) / columns * 2 - 1
    region = np.full((rows, columns), TUMOR, np.uint8)
    nests = smooth_noise(rng, rows, columns, nest_um / LAYOUT_UM, octaves=3)
    if stroma_fraction > 0:
        region[nests < np.quantile(nests, stroma_fraction)] = STROMA
    if tissue == "round":
        region[np.hypot(u, v) > np.sqrt(tissue_fraction * 4 / np.pi)] = GLASS
    elif tissue == "irregular":
        shape = np.hypot(u, v) + 0.18 * smooth_noise(rng, rows, columns, min(rows, columns) / 4, octaves=4)
        edge = np.maximum(np.abs(u), np.abs(v))
        shape += 3 * np.maximum(edge - 0.8, 0) + 10 * (edge > 0.985)
        region[shape > np.quantile(shape, tissue_fraction)] = GLASS
    elif tissue != "full":
        raise ValueError(f"tissue is 'full', 'round' or 'irregular', not {tissue!r}")
    angle = rng.uniform(0, np.pi)
    along = (x * np.cos(angle) + y * np.sin(angle)) * LAYOUT_UM
    across = (-x * np.sin(angle) + y * np.cos(angle)) * LAYOUT_UM
    across = across + 22 * smooth_noise(rng, rows, columns, 90 / LAYOUT_UM) + 4 * nests
    along = along + 15 * smooth_noise(rng, rows, columns, 110 / LAYOUT_UM)
    return Layout(region, along.astype(np.float32), across.astype(np.float32))


@dataclass(frozen=True)
class Outlines:
    """Every cell of a field as star-shaped outlines about the centre of its nucleus.

    Attributes
    ----------
    x_um, y_um
        float64, (N,): centre of the nucleus.
    kind
        str, (N,): 'tumor', 'lymphocyte' or 'stroma'.
    nucleus_um, cell_um
        float32, (N, N_ANGLES): distance from the centre to the outline of nucleus and of cell, from angle 0 on.
    """

    x_um: NDArray[np.float64]
    y_um: NDArray[np.float64]
    kind: NDArray[np.str_]
    nucleus_um: NDArray[np.float32]
    cell_um: NDArray[np.float32]


@dataclass(frozen=True)
class CellPlan:
    """How many cells of one kind lie in one region, and what they look like.

    Diameters are of the circle of equal area. `even_um` is the spacing that cells strive for before gaps are enforced;
    `touching_fraction` is the share of cells that are given a partner whose nucleus they touch.
    """

    kind: str
    region: int
    density_per_mm2: float
    nucleus_diameter_um: tuple[float, float]
    axis_ratio: tuple[float, float]
    margin_um: tuple[float, float]
    nucleus_gap_um: float
    outline_irregularity: float
    touching_fraction: float = 0.0
    touching_overlap: float = 0.08
    along_fibres: bool = False
    clustering: float = 0.0


def plan_cells(
    rng: np.random.Generator, layout: Layout, plans: list[CellPlan], *, width_um: float, height_um: float
) -> Outlines:
    """Place every cell so that nuclei keep their gaps, and give it an outline.

    Cells start at random points of their region and push each other apart; the few that cannot keep their gap are
    left out. No nucleus reaches over the border of the field.
    """
    parts = [_draw_shapes(rng, layout, plan, width_um, height_um) for plan in plans]
    columns = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]} if parts else {}
    if not parts or not len(columns["x"]):
        empty = np.zeros(0)
        table = np.zeros((0, N_ANGLES), np.float32)
        return Outlines(empty, empty, np.zeros(0, "<U10"), table, table)
    partner = np.full(len(columns["x"]), -1)
    start = 0
    for plan, part in zip(plans, parts, strict=True):
        partner[start : start + len(part["x"])] = _pair_up(rng, part, plan.touching_fraction, start)
        start += len(part["x"])
    keep = _push_apart(layout, columns, partner, width_um, height_um)
    columns = {name: values[keep] for name, values in columns.items()}
    return _outlines(rng, columns)


def _draw_shapes(
    rng: np.random.Generator, layout: Layout, plan: CellPlan, width_um: float, height_um: float
) -> dict[str, NDArray]:
    count = round(plan.density_per_mm2 * layout.area_um2(plan.region) / 1e6)
    low, high = plan.nucleus_diameter_um
    radius = (low + (high - low) * rng.beta(2.2, 2.4, count)) / 2
    ratio = rng.uniform(*plan.axis_ratio, count)
    rows, columns = np.nonzero(layout.region == plan.region)
    if not len(rows):
        count = 0
        radius, ratio = radius[:0], ratio[:0]
        pick = np.zeros(0, np.intp)
    else:
        pick = rng.permutation(
            ((np.arange(count) + rng.uniform(0, 1, count)) * len(rows) / max(count, 1)).astype(np.intp)
        )
        if plan.clustering > 0:
            crowd = np.exp(plan.clustering * smooth_noise(rng, *layout.region.shape, 40 / LAYOUT_UM, octaves=2))
            weight = crowd[rows, columns].astype(np.float64)
            pick = rng.choice(len(rows), count, p=weight / weight.sum())
    x = (columns[pick] + rng.uniform(0, 1, count)) * LAYOUT_UM if count else np.zeros(0)
    y = (rows[pick] + rng.uniform(0, 1, count)) * LAYOUT_UM if count else np.zeros(0)
    long_axis = radius * np.sqrt(ratio)
    x = np.clip(x, long_axis * 1.12 + 0.5, width_um - long_axis * 1.12 - 0.5)
    y = np.clip(y, long_axis * 1.12 + 0.5, height_um - long_axis * 1.12 - 0.5)
    turn = layout.fibre_angle(x, y) + rng.normal(0, 0.2, count) if plan.along_fibres else rng.uniform(0, np.pi, count)
    return {
        "x": x,
        "y": y,
        "a": long_axis,
        "b": radius / np.sqrt(ratio),
        "turn": turn,
        "margin": rng.uniform(*plan.margin_um, count),
        "gap": np.full(count, plan.nucleus_gap_um),
        "even": rng.uniform(0.36, 0.48, count) * 1e3 / np.sqrt(max(plan.density_per_mm2, 1.0)),
        "overlap": plan.touching_overlap * rng.uniform(0, 1, count),
        "rough": np.full(count, plan.outline_irregularity),
        "region": np.full(count, plan.region),
        "kind": np.full(count, plan.kind, "<U10"),
    }


def _pair_up(
    rng: np.random.Generator, part: dict[str, NDArray], touching_fraction: float, start: int
) -> NDArray[np.int64]:
    """Give `touching_fraction` of the cells a near neighbour as partner; -1 means none."""
    count = len(part["x"])
    partner = np.full(count, -1)
    wanted = round(touching_fraction * count / 2)
    if wanted == 0 or count < 2:
        return partner
    points = np.column_stack([part["x"], part["y"]])
    _, near = cKDTree(points).query(points, k=min(9, count))
    for cell in rng.permutation(count):
        if wanted == 0:
            break
        free = [other for other in near[cell][1:] if partner[other] < 0]
        if partner[cell] < 0 and free:
            partner[cell], partner[free[0]] = free[0] + start, cell + start
            wanted -= 1
    return partner


def _push_apart(
    layout: Layout,
    cells: dict[str, NDArray],
    partner: NDArray[np.int64],
    width_um: float,
    height_um: float,
    even_steps: int = 16,
    steps: int = 260,
) -> NDArray[np.bool_]:
    """Move the cells in place until their gaps hold; return which of them keep their gap."""
    points = np.column_stack([cells["x"], cells["y"]])
    border = cells["a"] * 1.12 + 0.5
    low = np.column_stack([border, border])
    high = np.array([width_um, height_um]) - low
    reach = 2 * cells["a"].max() * 1.1 + cells["gap"].max() + 3
    pairs = np.zeros((0, 2), np.intp)
    short = np.zeros(0)
    for step in range(steps + 1):
        if step % 4 == 0:
            pairs = cKDTree(points).query_pairs(reach, output_type="ndarray")
        first, second = pairs[:, 0], pairs[:, 1]
        offset = points[second] - points[first]
        distance = np.hypot(offset[:, 0], offset[:, 1]) + 1e-9
        wanted, joined = _wanted_distance(cells, partner, first, second, offset)
        if step < even_steps:
            even = np.minimum(cells["even"][first] + cells["even"][second], reach)
            same = (cells["region"][first] == cells["region"][second]) & ~joined
            wanted = np.where(same, np.maximum(wanted, even), wanted)
        short = wanted - distance
        if step == steps or (step >= even_steps and step % 4 == 0 and short.max(initial=0) < 0.05):
            break
        push = np.where(joined | (short > 0), short, 0.0) * 0.45
        move = offset / distance[:, None] * push[:, None]
        total = np.zeros_like(points)
        for axis in (0, 1):
            total[:, axis] = np.bincount(second, move[:, axis], len(points)) - np.bincount(
                first, move[:, axis], len(points)
            )
        moved = np.clip(points + np.clip(total, -2.5, 2.5), low, high)
        home = layout.region_at(moved[:, 0], moved[:, 1]) == cells["region"]
        points = np.where(home[:, None], moved, points)
    cells["x"], cells["y"] = points[:, 0], points[:, 1]
    keep = np.ones(len(points), bool)
    for index in np.argsort(-short):
        if short[index] < 0.3:
            break
        one, two = pairs[index]
        if keep[one] and keep[two]:
            keep[two] = False
    home = layout.region_at(points[:, 0], points[:, 1]) == cells["region"]
    return keep & home


def _wanted_distance(
    cells: dict[str, NDArray],
    partner: NDArray[np.int64],
    first: NDArray[np.intp],
    second: NDArray[np.intp],
    offset: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Distance in um that two centres should have, and whether the two are partners that touch."""
    angle = np.arctan2(offset[:, 1], offset[:, 0])
    support, radial = np.zeros(len(first)), np.zeros(len(first))
    for side in (first, second):
        a, b = cells["a"][side], cells["b"][side]
        cosine, sine = np.cos(angle - cells["turn"][side]), np.sin(angle - cells["turn"][side])
        support += np.hypot(a * cosine, b * sine) * (1 + 0.5 * cells["rough"][side])
        radial += a * b / np.hypot(b * cosine, a * sine)
    joined = partner[first] == second
    gap = np.maximum(cells["gap"][first], cells["gap"][second])
    contact = radial * (1 - cells["overlap"][first])
    return np.where(joined, contact, support + gap), joined


def _outlines(rng: np.random.Generator, cells: dict[str, NDArray]) -> Outlines:
    """Turn ellipses into slightly irregular outlines of the same area, and put a cell around each."""
    count = len(cells["x"])
    theta = np.linspace(0, 2 * np.pi, N_ANGLES, endpoint=False)
    local = theta[None, :] - cells["turn"][:, None]
    a, b = cells["a"][:, None], cells["b"][:, None]
    ellipse = a * b / np.hypot(b * np.cos(local), a * np.sin(local))
    nucleus = ellipse * (1 + cells["rough"][:, None] * _ripple(rng, count, theta, (2, 3, 4, 5)))
    nucleus *= np.sqrt(np.mean(ellipse**2, axis=1, keepdims=True) / np.mean(nucleus**2, axis=1, keepdims=True))
    margin = cells["margin"][:, None] * (1 + 0.22 * np.clip(_ripple(rng, count, theta, (1, 2, 3)), -2.5, 2.5))
    return Outlines(
        cells["x"], cells["y"], cells["kind"], nucleus.astype(np.float32), (nucleus + margin).astype(np.float32)
    )


def _ripple(
    rng: np.random.Generator, count: int, theta: NDArray[np.float64], orders: tuple[int, ...]
) -> NDArray[np.float64]:
    """Low-order Fourier ripple of SD about 1 for each cell, (count, angles)."""
    total = np.zeros((count, len(theta)))
    power = 0.0
    for order in orders:
        weight = 1.0 / order
        phase = rng.uniform(0, 2 * np.pi, (count, 1))
        total += weight * rng.normal(0, 1, (count, 1)) * np.sqrt(2) * np.cos(order * theta[None, :] + phase)
        power += weight**2
    return total / np.sqrt(power)
