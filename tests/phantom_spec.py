"""What a phantom looks like: `PhantomSpec`, and the presets that tests and samples start from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

Staining = Literal["cytoplasm", "membrane", "membrane_cytoplasm", "nucleus", "all", "negative"]


@dataclass(frozen=True)
class PhantomSpec:
    """Everything that decides how a phantom looks. Lengths in um, optical densities (od) in base 10.

    Pairs are ranges from which each cell draws. `*_texture` is a relative SD.

    Attributes
    ----------
    tissue, tissue_fraction
        'full' (no glass), 'round' (a TMA core) or 'irregular' (an island), and its share of the field.
    stroma_fraction, nest_um
        Share of the field given to stroma, and the size of tumour nests.
    nucleus_gap_um, touching_fraction
        Least distance between two nuclei, except that this share of tumour cells touches a partner.
    cell_margin_um, cell_gap_um
        Distance from the nuclear outline to the cell's; neighbours meet halfway, this far apart.
    staining
        Which compartments of tumour cells hold DAB. The cell's own OD is that of the nucleus ('nucleus'), of the
        membrane ('membrane'), of everything ('all') or the mean over cytoplasm with membrane ('cytoplasm',
        'membrane_cytoplasm': the membrane `membrane_contrast` times as strong as the rest).
    nucleus_dab_share, cytoplasm_dab_share
        What a nucleus shows of the OD around it, and, with 'membrane', the cytoplasm of the membrane's.
    dab_od_law
        'continuous': share `dab_od_shares[k]` of the cells uniform between `dab_od_edges[k]` and `[k + 1]`.
        'levels': that share at `dab_od_levels[k]` +- `dab_od_jitter`.
    patchiness
        0: each cell draws its own OD; 1: the OD follows a smooth field. The shares hold for both.
    dab_od_at
        Gives tumor cells their OD in place of the law: from (rng, x_um, y_um), arrays of one length, an array.
    hematoxylin_turn_deg, dab_turn_deg, turn_azimuth_deg
        Rotation of the stain vectors; azimuth 0 turns them towards each other, 90 out of their plane.
    white, illumination
        RGB of clear glass where brightest, and the largest relative loss of light over the field.
    noise_gray
        SD of the camera noise at white, in grey levels.
    antialias
        Draw on a finer grid and average; False gives hard edges on the grid of the masks.
    """

    seed: int = 0
    width_px: int = 1024
    height_px: int = 1024
    mpp: float = 0.5

    tissue: Literal["full", "round", "irregular"] = "full"
    tissue_fraction: float = 1.0
    stroma_fraction: float = 0.0
    nest_um: float = 160.0

    density_per_mm2: float = 4500.0
    nucleus_diameter_um: tuple[float, float] = (6.0, 12.0)
    nucleus_axis_ratio: tuple[float, float] = (1.0, 1.6)
    nucleus_irregularity: float = 0.04
    nucleus_gap_um: float = 0.8
    touching_fraction: float = 0.0
    cell_margin_um: tuple[float, float] = (3.0, 8.0)
    cell_gap_um: float = 0.0
    membrane_um: float = 1.25

    stroma_cells_per_mm2: float = 0.0
    lymphocytes_per_mm2: float = 0.0
    tumor_lymphocytes_per_mm2: float = 0.0
    lymphocyte_dab_od: tuple[float, float] = (0.0, 0.0)

    staining: Staining = "cytoplasm"
    dab_od_law: Literal["continuous", "levels"] = "continuous"
    dab_od_edges: tuple[float, ...] = (0.0, 0.2, 0.4, 0.6, 0.9)
    dab_od_levels: tuple[float, ...] = (0.02, 0.30, 0.50, 0.75)
    dab_od_jitter: float = 0.03
    dab_od_shares: tuple[float, ...] = (0.25, 0.25, 0.25, 0.25)
    nucleus_dab_share: tuple[float, float] = (0.0, 0.3)
    cytoplasm_dab_share: float = 0.1
    membrane_contrast: float = 2.0
    patchiness: float = 0.5
    dab_od_at: Callable[[np.random.Generator, np.ndarray, np.ndarray], np.ndarray] | None = None
    dab_texture: float = 0.2
    dab_background_od: float = 0.03

    nucleus_hematoxylin_od: tuple[float, float] = (0.1, 0.5)
    cytoplasm_hematoxylin_od: tuple[float, float] = (0.02, 0.06)
    stroma_hematoxylin_od: tuple[float, float] = (0.02, 0.08)
    chromatin_texture: float = 0.22

    hematoxylin_turn_deg: float = 0.0
    dab_turn_deg: float = 0.0
    turn_azimuth_deg: float = 0.0
    white: tuple[float, float, float] = (242.0, 240.0, 236.0)
    illumination: float = 0.03
    blur_um: float = 0.5
    noise_gray: float = 1.5
    jpeg_quality: int | None = 80
    antialias: bool = True


def _side_px(n_cells: int, density_per_mm2: float, mpp: float) -> int:
    return int(np.ceil(np.sqrt(n_cells / density_per_mm2) * 1000 / mpp / 16) * 16)


def _turns(seed: int) -> dict[str, float]:
    rng = np.random.default_rng([seed, 77])
    names = ("hematoxylin_turn_deg", "dab_turn_deg")
    return {name: float(rng.uniform(-3, 3)) for name in names} | {"turn_azimuth_deg": float(rng.uniform(0, 180))}


def crowded_spec(seed: int = 0, *, mpp: float = 0.5, n_cells: int = 2400, **changes: Any) -> PhantomSpec:
    """Return the field as hard as tissue: crowded, touching, continuous OD, blurred, stains turned up to 3 deg."""
    density = changes.get("density_per_mm2", 4500.0)
    side = _side_px(n_cells, density, mpp)
    spec = PhantomSpec(seed=seed, mpp=mpp, width_px=side, height_px=side, touching_fraction=0.3, **_turns(seed))
    return replace(spec, **changes)


def apart_spec(seed: int = 0, *, mpp: float = 0.5, n_cells: int = 2400, **changes: Any) -> PhantomSpec:
    """Return a field with cells apart (nuclei by 3 um, cytoplasm by 0.8 um) and OD away from the thresholds."""
    density = changes.get("density_per_mm2", 3000.0)
    side = _side_px(n_cells, density, mpp)
    spec = PhantomSpec(
        seed=seed,
        mpp=mpp,
        width_px=side,
        height_px=side,
        density_per_mm2=density,
        nucleus_gap_um=3.0,
        cell_gap_um=0.8,
        cell_margin_um=(3.5, 7.0),
        dab_od_law="levels",
        **_turns(seed),
    )
    return replace(spec, **changes)


def negative_spec(seed: int = 0, *, mpp: float = 0.5, n_cells: int = 2400, **changes: Any) -> PhantomSpec:
    """Return the crowded field without DAB but for a background of at most 0.03 OD."""
    return crowded_spec(seed, mpp=mpp, n_cells=n_cells, **({"staining": "negative"} | changes))


def plain_spec(
    seed: int = 0, *, mpp: float = 0.5, n_cells: int = 200, dab_od: float = 0.6, **changes: Any
) -> PhantomSpec:
    """Return a field that can be inverted: hard edges, one DAB OD, no texture, background, blur, noise or JPEG."""
    spec = apart_spec(seed, mpp=mpp, n_cells=n_cells)
    plain = replace(
        spec,
        dab_od_levels=(dab_od,),
        dab_od_shares=(1.0,),
        dab_od_jitter=0.0,
        nucleus_dab_share=(0.0, 0.0),
        cytoplasm_dab_share=0.0,
        dab_texture=0.0,
        dab_background_od=0.0,
        chromatin_texture=0.0,
        cytoplasm_hematoxylin_od=(0.04, 0.04),
        stroma_hematoxylin_od=(0.0, 0.0),
        hematoxylin_turn_deg=0.0,
        dab_turn_deg=0.0,
        white=(255.0, 255.0, 255.0),
        illumination=0.0,
        blur_um=0.0,
        noise_gray=0.0,
        jpeg_quality=None,
        antialias=False,
    )
    return replace(plain, **changes)


def slide_spec(seed: int = 0, *, mpp: float = 0.25, side_px: int = 3072, **changes: Any) -> PhantomSpec:
    """Return a small slide: tumour nests in stroma with lymphocytes, an island on glass. JPEG is left to the writer."""
    spec = PhantomSpec(
        seed=seed,
        mpp=mpp,
        width_px=side_px,
        height_px=side_px,
        tissue="irregular",
        tissue_fraction=0.7,
        stroma_fraction=0.35,
        touching_fraction=0.2,
        stroma_cells_per_mm2=1400.0,
        lymphocytes_per_mm2=1000.0,
        tumor_lymphocytes_per_mm2=60.0,
        staining="membrane_cytoplasm",
        nucleus_hematoxylin_od=(0.15, 0.5),
        jpeg_quality=None,
    )
    return replace(spec, **changes)
