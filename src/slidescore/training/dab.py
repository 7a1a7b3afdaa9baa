"""Where DAB goes: which cells a stain picks out, in which compartments, and what lies beside them."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from slidescore.cells.types import LYMPHOCYTE, STROMAL, TUMOR
from slidescore.training.ranges import PATTERNS, RenderRanges
from slidescore.training.scene import UNKNOWN_TYPE, Scene
from slidescore.training.territory import Territories
from slidescore.training.texture import Plane, blur, draw, grain, pixel_grid, smooth_noise

HIGHEST_DAB_OD = 2.4
"""No compartment is drawn darker; scanners see black there."""

WEAKEST_SHARE = 0.15
"""The weakest stained cell of a field has this share of the field's level; below, it would not count as stained."""


@dataclass(frozen=True, slots=True)
class Staining:
    """DAB OD of every cell's compartments, and what shape they take.

    Attributes
    ----------
    pattern
        Entry of PATTERNS.
    nucleus, cytoplasm, membrane
        float32, (n + 1,); entry 0 is no cell and 0.
    columnar, vacuolated
        Whether cells have a luminal side; whether they have vacuoles.
    """

    pattern: str
    nucleus: NDArray[np.float32]
    cytoplasm: NDArray[np.float32]
    membrane: NDArray[np.float32]
    columnar: bool
    vacuolated: bool


def draw_pattern(ranges: RenderRanges, rng: np.random.Generator) -> str:
    """Return an entry of PATTERNS by the weights of `ranges`."""
    names, weights = zip(*ranges.pattern_weights, strict=True)
    share = np.asarray(weights, np.float64)
    return str(names[int(rng.choice(len(names), p=share / share.sum()))])


def draw_staining(pattern: str, scene: Scene, ranges: RenderRanges, rng: np.random.Generator) -> Staining:
    """Return the DAB of every cell under `pattern`."""
    if pattern == "mixture":
        # Of two stains at once a compartment shows the stronger.
        names = [name for name in PATTERNS if name not in ("negative", "mixture", "sheet")]
        first, second = (
            draw_staining(names[int(k)], scene, ranges, rng) for k in rng.choice(len(names), size=2, replace=False)
        )
        return Staining(
            pattern=pattern,
            nucleus=np.maximum(first.nucleus, second.nucleus),
            cytoplasm=np.maximum(first.cytoplasm, second.cytoplasm),
            membrane=np.maximum(first.membrane, second.membrane),
            columnar=first.columnar or second.columnar,
            vacuolated=first.vacuolated or second.vacuolated,
        )
    level = draw(rng, ranges.dab_level_od, ranges.dab_level_skew)
    od = _levels(scene, level, ranges, rng) * _stained(pattern, scene, ranges, rng)
    od = np.concatenate([np.zeros(1, np.float32), np.clip(od, 0.0, HIGHEST_DAB_OD).astype(np.float32)])
    none = np.zeros_like(od)
    nucleus, cytoplasm, membrane = none, none, none
    vacuolated = pattern in ("columnar", "cytoplasm", "cytoplasm_membrane")
    if pattern == "nuclear":
        nucleus = od
        if rng.random() < 0.3:  # noqa: PLR2004  # some antibodies leave a blush in the cytoplasm
            cytoplasm = od * np.float32(rng.uniform(0.05, 0.3))
    elif pattern == "cytoplasm":
        cytoplasm = od
    elif pattern == "membrane":
        membrane = od
        cytoplasm = od * np.float32(rng.uniform(0.0, 0.15))
    elif pattern in ("cytoplasm_membrane", "sheet", "columnar"):
        cytoplasm = od * np.float32(rng.uniform(0.25, 0.9))
        membrane = np.minimum(od * np.float32(rng.uniform(0.7, 1.5)), np.float32(HIGHEST_DAB_OD))
    elif pattern == "immune":
        membrane, cytoplasm = od, od * np.float32(rng.uniform(0.2, 1.0))
    return Staining(
        pattern=pattern,
        nucleus=nucleus,
        cytoplasm=cytoplasm,
        membrane=membrane,
        columnar=pattern == "columnar",
        vacuolated=vacuolated and rng.random() < ranges.vacuole_probability,
    )


def paint(
    staining: Staining,
    areas: Territories,
    chromatin: Plane,
    mpp: float,
    ranges: RenderRanges,
    rng: np.random.Generator,
) -> tuple[Plane, Plane]:
    """Return DAB OD of the cells, and how much of all other stain is left where vacuoles are; float32, (H, W).

    Parameters
    ----------
    chromatin
        float32, (H, W); hematoxylin relative to the mean of the nuclei.
    """
    shape = areas.cell.shape
    clear = np.ones(shape, np.float32)
    if not (staining.nucleus.any() or staining.cytoplasm.any() or staining.membrane.any()):
        return np.zeros(shape, np.float32), clear
    cell = areas.cell
    texture = grain(shape, mpp, draw(rng, ranges.granularity), rng)
    cytoplasm_od = staining.cytoplasm[cell] * texture
    membrane_od = staining.membrane[cell]
    if cytoplasm_od.any():
        cytoplasm_od *= _profile(staining, areas, rng)
        uneven = np.float32(draw(rng, ranges.cytoplasm_unevenness))
        cytoplasm_od *= cv2.exp(uneven * smooth_noise(shape, draw(rng, ranges.unevenness_um) / mpp, rng))
    if staining.vacuolated:
        clear = _vacuoles(areas, mpp, ranges, rng)
        cytoplasm_od *= clear
    cytoplasm_od = blur(cytoplasm_od, 0.35 / mpp)
    over_nucleus = np.float32(draw(rng, ranges.nuclear_haze))
    dab = cytoplasm_od * (areas.cytoplasm + over_nucleus * areas.nucleus * (0.6 + 0.4 * texture))
    if membrane_od.any():
        dab = np.maximum(dab, _membrane(membrane_od, staining, areas, mpp, ranges, rng))
    if staining.nucleus.any():
        mottle = grain(shape, mpp, 0.6 * draw(rng, ranges.granularity), rng)
        follows = np.float32(draw(rng, ranges.chromatin_share))
        mottle *= 1.0 - follows + follows * np.minimum(chromatin, np.float32(2.0))
        dab += staining.nucleus[cell] * areas.nucleus * mottle
    return np.minimum(dab, np.float32(HIGHEST_DAB_OD)), clear


def surroundings(
    dab: Plane,
    tissue: Plane,
    backdrop: Plane,
    stroma: Plane,
    mpp: float,
    ranges: RenderRanges,
    rng: np.random.Generator,
) -> Plane:
    """Add what is on real slides besides the wanted stain; float32, (H, W).

    Parameters
    ----------
    dab
        DAB OD of the cells.
    tissue, stroma
        float32, (H, W), 0-1; where tissue is, and how much fibre is there.
    backdrop
        float32, (H, W); OD of what lies between nuclei, whose texture the background takes.
    """
    shape = dab.shape
    if rng.random() >= ranges.clean_background_probability:
        patches = np.clip(1.0 + 0.35 * smooth_noise(shape, 40.0 / mpp, rng), 0.0, 2.0)
        own = blur(backdrop, 0.4 / mpp)
        fine = np.clip(0.35 + 0.65 * own / max(float(own.mean()), 1e-3), 0.2, 2.0)
        dab = dab + np.float32(draw(rng, ranges.background_dab_od)) * tissue * patches * fine
    if rng.random() < ranges.artefact_probability:  # stroma takes up the antibody
        patches = np.clip(0.3 + 0.7 * smooth_noise(shape, 30.0 / mpp, rng), 0.0, 1.5)
        dab = dab + np.float32(rng.uniform(0.05, 0.6)) * stroma * patches
    if rng.random() < ranges.artefact_probability:  # edge effect: stain runs up towards one side
        rows, columns = pixel_grid((shape[0], shape[1]))
        angle = rng.uniform(0.0, 2 * np.pi)
        along = columns * np.float32(np.cos(angle)) + rows * np.float32(np.sin(angle))
        along = (along - along.min()) / max(float(np.ptp(along)), 1.0)
        ramp = np.clip((along - rng.uniform(0.2, 0.8)) * 2.0, 0.0, 1.0)
        dab = dab * (1.0 + 0.6 * ramp) + np.float32(rng.uniform(0.05, 0.3)) * ramp * tissue
    if rng.random() < ranges.artefact_probability:
        dab = dab + _blobs(shape, mpp, (0.4, 1.6), int(rng.integers(1, 25)), (0.3, 2.0), rng)
    if rng.random() < ranges.artefact_probability * 0.5:  # red cells: endogenous peroxidase
        dab = dab + _blobs(shape, mpp, (2.4, 3.4), int(rng.integers(1, 20)), (0.15, 0.6), rng)
    return np.asarray(np.minimum(dab, np.float32(HIGHEST_DAB_OD)), np.float32)


def _stained(pattern: str, scene: Scene, ranges: RenderRanges, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Return which cells are stained; bool, (n,)."""
    count = int(scene.types.shape[0])
    if pattern == "sheet":
        return np.ones(count, bool)
    if pattern == "negative" or not count:
        return np.zeros(count, bool)
    wanted = (LYMPHOCYTE, STROMAL) if pattern == "immune" else (TUMOR,)
    if pattern == "immune" and rng.random() < 0.6:  # noqa: PLR2004  # a marker of one of the two
        wanted = (wanted[int(rng.integers(2))],)
    unlabelled_are = rng.random() < (0.3 if pattern == "immune" else 0.7)
    eligible = np.isin(scene.types, wanted) | ((scene.types == UNKNOWN_TYPE) & unlabelled_are)
    bystanders = draw(rng, ranges.bystander_fraction, 2.0)
    if pattern == "nuclear" and rng.random() < 0.35:  # noqa: PLR2004  # proliferation markers know no type
        bystanders = rng.uniform(0.1, 0.9)
    eligible |= rng.random(count) < bystanders
    nuclear = pattern == "nuclear"
    if rng.random() < (ranges.all_cells_probability if nuclear else ranges.whole_tumor_probability):
        return np.asarray(eligible, bool)
    together = draw(rng, ranges.clustering)
    score = together * _at_centers(scene, draw(rng, ranges.patch_um), rng)
    score = score + (1.0 - together) * rng.standard_normal(count)
    if not eligible.any():
        return np.zeros(count, bool)
    bar = np.quantile(score[eligible], 1.0 - draw(rng, ranges.stained_fraction))
    return np.asarray(eligible & (score >= bar), bool)


def _levels(scene: Scene, level_od: float, ranges: RenderRanges, rng: np.random.Generator) -> NDArray[np.float32]:
    """Return DAB OD of every cell if it is stained; float32, (n,)."""
    count = int(scene.types.shape[0])
    logarithm = draw(rng, ranges.cell_spread) * rng.standard_normal(count)
    logarithm += draw(rng, ranges.patch_spread) * _at_centers(scene, draw(rng, ranges.patch_um), rng)
    return np.asarray(level_od * np.maximum(np.exp(logarithm), WEAKEST_SHARE), np.float32)


def _at_centers(scene: Scene, size_um: float, rng: np.random.Generator) -> NDArray[np.float64]:
    height, width = scene.nuclei.shape
    field = smooth_noise((height, width), size_um / scene.mpp, rng)
    columns = np.clip(np.rint(scene.centers_px[:, 0]).astype(int), 0, width - 1)
    rows = np.clip(np.rint(scene.centers_px[:, 1]).astype(int), 0, height - 1)
    return np.asarray(field[rows, columns], np.float64)


def _profile(staining: Staining, areas: Territories, rng: np.random.Generator) -> Plane:
    """Return how DAB is spread over the cytoplasm: to the rim, to the nucleus, or to the lumen; mean about 1."""
    if staining.columnar:
        slope = np.float32(rng.uniform(-0.08, 0.25))
        along = areas.along_um - np.float32(rng.uniform(0.0, 6.0))
        return np.asarray(np.clip(1.0 + slope * along, 0.05, 2.0), np.float32)
    reach = np.maximum(areas.radius_um[areas.cell], 1.0)
    outward = np.minimum(areas.to_nucleus_um / reach, 1.0)
    lean = np.float32(rng.uniform(-0.8, 0.7))
    tilt = np.float32(rng.choice([0.0, 0.03, 0.08]))
    return np.asarray(np.clip(1.0 + lean * (outward - 0.5) + tilt * areas.along_um, 0.05, 2.0), np.float32)


def _membrane(
    membrane_od: Plane,
    staining: Staining,
    areas: Territories,
    mpp: float,
    ranges: RenderRanges,
    rng: np.random.Generator,
) -> Plane:
    """Return DAB OD of membranes: lines along borders, uneven in width and strength."""
    shape = areas.cell.shape
    width_um = draw(rng, ranges.membrane_width_um)
    uneven = 1.0 + 0.3 * smooth_noise(shape, 3.0 / mpp, rng)
    sigma_um = np.maximum(0.425 * width_um * uneven, 0.3 * width_um)  # full width at half maximum / 2.355
    # The outer half of a free membrane lies outside its cell.
    reach_px = 2 * max(1, round(width_um / mpp)) + 1
    grown = cv2.dilate(membrane_od, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach_px, reach_px)))
    membrane_od = np.where(areas.cell == 0, grown, membrane_od)
    line = cv2.exp(-0.5 * (areas.to_border_um / sigma_um.astype(np.float32)) ** 2)
    gaps = np.clip(1.0 + rng.uniform(0.1, 0.8) * smooth_noise(shape, 4.0 / mpp, rng), 0.0, 1.6)
    od = membrane_od * line * gaps
    if staining.columnar:  # lateral and luminal membranes, rarely basal
        luminal = np.float32(rng.uniform(0.0, 0.2))
        od = od * np.clip(1.0 + luminal * areas.along_um, 0.1, 1.8)
    # Over a nucleus a membrane is out of the focal plane, or not in the section at all.
    hidden = np.float32(rng.uniform(0.3, 0.9))
    inside = np.clip(areas.inside_um / np.float32(1.0), 0.0, 1.0)
    return np.asarray(blur(od, 0.32 / mpp) * (1.0 - hidden * inside), np.float32)


def _vacuoles(areas: Territories, mpp: float, ranges: RenderRanges, rng: np.random.Generator) -> Plane:
    """Return 1 minus round holes beside nuclei on their luminal side; float32, (H, W), 0-1."""
    shape = areas.cell.shape
    holes = np.zeros(shape, np.uint8)
    count = areas.radius_um.shape[0] - 1
    chosen = np.flatnonzero(rng.random(count) < rng.uniform(0.1, 0.9)) + 1
    biggest_um = draw(rng, ranges.vacuole_radius_um)
    for label in chosen:
        where = areas.towards_lumen[label]
        radius_um = float(rng.uniform(0.5, 1.0)) * biggest_um
        offset_um = float(rng.uniform(2.5, 5.0)) + radius_um
        center = areas.centers_px[label] + where * np.float32(offset_um / mpp)
        cv2.circle(holes, (int(center[0]), int(center[1])), max(1, round(radius_um / mpp)), 255, -1, cv2.LINE_AA)
    holes[areas.nucleus > 0.5] = 0  # noqa: PLR2004
    inside = blur(holes.astype(np.float32) * np.float32(1 / 255), 0.4 / mpp) * (areas.cell > 0)
    return np.asarray(1.0 - np.float32(rng.uniform(0.6, 1.0)) * inside, np.float32)


def _blobs(
    shape: tuple[int, ...],
    mpp: float,
    radius_um: tuple[float, float],
    count: int,
    od: tuple[float, float],
    rng: np.random.Generator,
) -> Plane:
    """Return `count` lumps anywhere in the field, of even OD each; float32, (H, W)."""
    field = np.zeros(shape, np.float32)
    height, width = shape
    for _ in range(count):
        center = (int(rng.integers(width)), int(rng.integers(height)))
        major = rng.uniform(*radius_um) / mpp
        axes = (max(1, round(major)), max(1, round(major * rng.uniform(0.6, 1.0))))
        cv2.ellipse(field, center, axes, rng.uniform(0.0, 180.0), 0.0, 360.0, rng.uniform(*od), -1)
    uneven = np.clip(1.0 + 0.4 * smooth_noise((height, width), 1.5 / mpp, rng), 0.1, 2.0)
    return blur(field * uneven, 0.4 / mpp)
