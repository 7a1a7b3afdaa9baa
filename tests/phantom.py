"""Phantoms: IHC fields drawn through the forward model, so that every number about them is known.

`draw_phantom(spec)` lays out tissue, places cells, gives each compartment an optical density, turns that into light by
Beer-Lambert's law and photographs it (blur, illumination, noise, JPEG). The truth comes from the drawn, noiseless map.
Nothing here imports slidescore: this is its examiner. What it is not: a renderer of glands, necrosis or artefacts.

Coordinates are level-0 pixels from the top left corner; the centre of pixel (row 0, column 0) is at x = y = 0.5.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field, replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from phantom_cells import GLASS, STROMA, TUMOR, CellPlan, Layout, Outlines, plan_cells, plan_layout, smooth_noise
from phantom_raster import Raster, rasterise
from phantom_score import Matches, bin_shares, match_points, true_bins, true_h_score
from phantom_spec import PhantomSpec, Staining, apart_spec, crowded_spec, negative_spec, plain_spec, slide_spec
from phantom_stain import draw_dab, draw_hematoxylin, label_means, photograph, stain_vectors
from phantom_write import write_pyramid, write_svs

__all__ = [
    "COMPARTMENTS",
    "Matches",
    "Phantom",
    "PhantomSpec",
    "TmaCore",
    "TmaPhantom",
    "Truth",
    "apart_spec",
    "bin_shares",
    "crowded_spec",
    "draw_phantom",
    "draw_tma",
    "match_points",
    "negative_spec",
    "plain_spec",
    "slide_spec",
    "stain_vectors",
    "true_bins",
    "true_h_score",
    "write_pyramid",
    "write_svs",
]

COMPARTMENTS = ("nucleus", "cytoplasm", "membrane", "cell")


@dataclass(frozen=True)
class Truth:
    """What was drawn. N cells; label = index + 1; null compartments are NaN.

    Attributes
    ----------
    x, y
        float64, (N,): centroid of the nucleus in px.
    class_name
        str, (N,): 'tumor', 'lymphocyte' or 'stroma'.
    nucleus_labels, cell_labels
        int32, (H, W).
    membrane
        bool, (H, W): outer band of each cell, nuclei left out.
    dab_od_nucleus, dab_od_cytoplasm, dab_od_membrane, dab_od_cell
        float64, (N,): mean drawn DAB OD; cytoplasm is the cell without its nucleus, membrane included.
    hematoxylin_od_nucleus, nucleus_area_um2, cell_area_um2
        float64, (N,).
    dab_od, hematoxylin_od
        float32, (H, W): the drawn maps.
    tissue, tumor_region
        bool, (H, W).
    """

    x: NDArray[np.float64]
    y: NDArray[np.float64]
    class_name: NDArray[np.str_]
    nucleus_labels: NDArray[np.int32]
    cell_labels: NDArray[np.int32]
    membrane: NDArray[np.bool_]
    dab_od_nucleus: NDArray[np.float64]
    dab_od_cytoplasm: NDArray[np.float64]
    dab_od_membrane: NDArray[np.float64]
    dab_od_cell: NDArray[np.float64]
    hematoxylin_od_nucleus: NDArray[np.float64]
    nucleus_area_um2: NDArray[np.float64]
    cell_area_um2: NDArray[np.float64]
    dab_od: NDArray[np.float32]
    hematoxylin_od: NDArray[np.float32]
    tissue: NDArray[np.bool_]
    tumor_region: NDArray[np.bool_]

    @property
    def xy(self) -> NDArray[np.float64]:
        """Centroids in px, (N, 2)."""
        return np.column_stack([self.x, self.y])


@dataclass(frozen=True)
class Phantom:
    """A drawn field: `rgb` uint8 (H, W, 3), RGB, its resolution, its truth, and the (2, 3) unit vectors H, DAB used."""

    rgb: NDArray[np.uint8]
    mpp: float
    truth: Truth
    spec: PhantomSpec
    vectors: NDArray[np.float64] = field(repr=False)


def draw_phantom(spec: PhantomSpec) -> Phantom:
    """Draw one field; the same spec gives the same pixels."""
    rng = np.random.default_rng(spec.seed)
    width_um, height_um = spec.width_px * spec.mpp, spec.height_px * spec.mpp
    layout = plan_layout(
        rng,
        width_um=width_um,
        height_um=height_um,
        tissue=spec.tissue,
        tissue_fraction=spec.tissue_fraction,
        stroma_fraction=spec.stroma_fraction,
        nest_um=spec.nest_um,
    )
    outlines = plan_cells(rng, layout, _cell_plans(spec), width_um=width_um, height_um=height_um)
    finer = 2 if spec.antialias and (spec.mpp > 0.3 or spec.blur_um < spec.mpp) else 1
    raster = _raster(spec, outlines, 1)
    fine = raster if finer == 1 else _raster(spec, outlines, finer)
    tissue, tumor = _regions(rng, layout, fine, spec.mpp / finer)
    hematoxylin = draw_hematoxylin(rng, spec, layout, outlines, fine, tissue, spec.mpp / finer)
    dab = draw_dab(rng, spec, outlines, fine, tissue, spec.mpp / finer)
    vectors = stain_vectors(spec)
    rgb = photograph(rng, spec, hematoxylin, dab, vectors, finer)
    truth = _tell_truth(spec, outlines, raster, fine, hematoxylin, dab, tissue, tumor, finer)
    return Phantom(rgb, spec.mpp, truth, spec, vectors)


def _cell_plans(spec: PhantomSpec) -> list[CellPlan]:
    lymphocyte = CellPlan(
        kind="lymphocyte",
        region=STROMA,
        density_per_mm2=spec.lymphocytes_per_mm2,
        nucleus_diameter_um=(5.0, 6.5),
        axis_ratio=(1.0, 1.2),
        margin_um=(0.6, 1.2),
        nucleus_gap_um=0.6,
        outline_irregularity=0.03,
        touching_fraction=0.1,
        clustering=1.0,
    )
    tumor = CellPlan(
        kind="tumor",
        region=TUMOR,
        density_per_mm2=spec.density_per_mm2,
        nucleus_diameter_um=spec.nucleus_diameter_um,
        axis_ratio=spec.nucleus_axis_ratio,
        margin_um=spec.cell_margin_um,
        nucleus_gap_um=spec.nucleus_gap_um,
        outline_irregularity=spec.nucleus_irregularity,
        touching_fraction=spec.touching_fraction,
    )
    stroma = CellPlan(
        kind="stroma",
        region=STROMA,
        density_per_mm2=spec.stroma_cells_per_mm2,
        nucleus_diameter_um=(4.5, 7.0),
        axis_ratio=(2.4, 5.0),
        margin_um=(0.5, 1.2),
        nucleus_gap_um=1.0,
        outline_irregularity=0.04,
        along_fibres=True,
    )
    infiltrating = replace(
        lymphocyte, region=TUMOR, density_per_mm2=spec.tumor_lymphocytes_per_mm2, nucleus_gap_um=spec.nucleus_gap_um
    )
    return [plan for plan in (tumor, stroma, lymphocyte, infiltrating) if plan.density_per_mm2 > 0]


def _raster(spec: PhantomSpec, outlines: Outlines, finer: int) -> Raster:
    return rasterise(
        outlines,
        height_px=spec.height_px * finer,
        width_px=spec.width_px * finer,
        mpp=spec.mpp / finer,
        membrane_um=spec.membrane_um,
        cell_gap_um=spec.cell_gap_um,
    )


def _regions(
    rng: np.random.Generator, layout: Layout, raster: Raster, mpp: float
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Tissue and tumour masks at full resolution; the outline of tissue is ragged."""
    height, width = raster.cell_labels.shape
    tumor = cv2.resize((layout.region == TUMOR).astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR)
    tissue = np.ones((height, width), bool)
    if np.any(layout.region == GLASS):
        inside = (layout.region != GLASS).astype(np.float32)
        inside = cv2.resize(cv2.GaussianBlur(inside, (0, 0), 2), (width, height), interpolation=cv2.INTER_LINEAR)
        tissue = inside + 0.2 * np.clip(smooth_noise(rng, height, width, 6 / mpp, octaves=3), -2, 2) > 0.5
    return tissue | (raster.cell_labels > 0), tumor > 0.5


def _tell_truth(
    spec: PhantomSpec,
    outlines: Outlines,
    raster: Raster,
    fine: Raster,
    hematoxylin: NDArray[np.float32],
    dab: NDArray[np.float32],
    tissue: NDArray[np.bool_],
    tumor: NDArray[np.bool_],
    finer: int,
) -> Truth:
    count = len(outlines.x_um)
    cytoplasm = np.where(fine.nucleus_labels > 0, 0, fine.cell_labels)
    rows, columns = np.indices(fine.nucleus_labels.shape, np.float32, sparse=True)
    shape, size = fine.nucleus_labels.shape, (spec.width_px, spec.height_px)
    pixel_um2 = (spec.mpp / finer) ** 2
    return Truth(
        x=(label_means(fine.nucleus_labels, np.broadcast_to(columns, shape), count) + 0.5) / finer,
        y=(label_means(fine.nucleus_labels, np.broadcast_to(rows, shape), count) + 0.5) / finer,
        class_name=outlines.kind,
        nucleus_labels=raster.nucleus_labels,
        cell_labels=raster.cell_labels,
        membrane=raster.membrane,
        dab_od_nucleus=label_means(fine.nucleus_labels, dab, count),
        dab_od_cytoplasm=label_means(cytoplasm, dab, count),
        dab_od_membrane=label_means(np.where(fine.membrane, fine.cell_labels, 0), dab, count),
        dab_od_cell=label_means(fine.cell_labels, dab, count),
        hematoxylin_od_nucleus=label_means(fine.nucleus_labels, hematoxylin, count),
        nucleus_area_um2=np.bincount(fine.nucleus_labels.ravel(), minlength=count + 1)[1:] * pixel_um2,
        cell_area_um2=np.bincount(fine.cell_labels.ravel(), minlength=count + 1)[1:] * pixel_um2,
        dab_od=cv2.resize(dab, size, interpolation=cv2.INTER_AREA),
        hematoxylin_od=cv2.resize(hematoxylin, size, interpolation=cv2.INTER_AREA),
        tissue=cv2.resize(tissue.astype(np.float32), size, interpolation=cv2.INTER_AREA) > 0,
        tumor_region=cv2.resize(tumor.astype(np.float32), size, interpolation=cv2.INTER_AREA) > 0.5,
    )


@dataclass(frozen=True)
class TmaCore:
    """One core: its name, its own phantom (coordinates from its own corner) and where that corner lies in the slide."""

    name: str
    phantom: Phantom
    left_px: int
    top_px: int

    @property
    def xy(self) -> NDArray[np.float64]:
        """Centroids of the core's cells in px of the slide, (N, 2)."""
        return self.phantom.truth.xy + np.array([self.left_px, self.top_px])


@dataclass(frozen=True)
class TmaPhantom:
    """A slide of round cores; `geojson` is a QuPath FeatureCollection with one named annotation a core."""

    rgb: NDArray[np.uint8]
    mpp: float
    cores: tuple[TmaCore, ...]
    geojson: dict[str, Any]


def draw_tma(
    seed: int = 0,
    *,
    rows: int = 3,
    columns: int = 4,
    core_um: float = 350.0,
    pitch_um: float = 480.0,
    mpp: float = 0.5,
    **changes: Any,
) -> TmaPhantom:
    """Draw a grid of round cores A-1, A-2, ... whose staining rises from none to strong; `changes` go to every core."""
    side, pitch = round(core_um * 1.12 / mpp), round(pitch_um / mpp)
    rng = np.random.default_rng([seed, 5])
    base = PhantomSpec(
        mpp=mpp, width_px=side, height_px=side, illumination=0.0, jpeg_quality=None, touching_fraction=0.2
    )
    base = replace(base, tissue="round", tissue_fraction=np.pi / 4 / 1.12**2, stroma_fraction=0.15, nest_um=90.0)
    base = replace(base, stroma_cells_per_mm2=900.0, lymphocytes_per_mm2=500.0)
    base = replace(base, **changes)
    glass = np.array(base.white) + base.noise_gray * rng.standard_normal((rows * pitch, columns * pitch, 3))
    rgb = np.clip(np.rint(glass), 0, 255).astype(np.uint8)
    cores, features = [], []
    for index in range(rows * columns):
        row, column = divmod(index, columns)
        level = 3 * index / max(rows * columns - 1, 1)
        weights = np.exp(-0.5 * ((np.arange(4) - level) / 0.6) ** 2)
        staining: Staining = "negative" if index == 0 else "cytoplasm"
        spec = replace(base, seed=seed * 1000 + index, staining=staining, dab_od_shares=tuple(weights / weights.sum()))
        phantom = draw_phantom(spec)
        left, top = column * pitch + (pitch - side) // 2, row * pitch + (pitch - side) // 2
        rgb[top : top + side, left : left + side] = phantom.rgb
        name = f"{chr(ord('A') + row)}-{column + 1}"
        cores.append(TmaCore(name, phantom, left, top))
        features.append(_circle_feature(name, seed, left + side / 2, top + side / 2, (core_um / 2 + 12) / mpp))
    return TmaPhantom(rgb, mpp, tuple(cores), {"type": "FeatureCollection", "features": features})


def _circle_feature(name: str, seed: int, x: float, y: float, radius: float) -> dict[str, Any]:
    angle = np.linspace(0, 2 * np.pi, 65)
    ring = np.column_stack([x + radius * np.cos(angle), y + radius * np.sin(angle)]).round(2).tolist()
    ring[-1] = ring[0]
    return {
        "type": "Feature",
        "id": str(uuid.uuid5(uuid.NAMESPACE_OID, f"phantom tma {seed} {name}")),
        "geometry": {"type": "Polygon", "coordinates": [ring]},
        "properties": {
            "objectType": "annotation",
            "name": name,
            "classification": {"name": "Include", "color": [0, 150, 80]},
        },
    }
