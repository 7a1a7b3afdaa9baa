"""Regions that a person drew: QuPath GeoJSON annotations and what each class means for scoring.

The assay says which classes include, exclude, mark control tissue, or settle the cell type. Coordinates are level-0
pixels, as QuPath writes them.
"""

from __future__ import annotations

import hashlib
import threading
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import orjson
import shapely
from numpy.typing import NDArray
from shapely.geometry import shape
from shapely.geometry.base import BaseGeometry

from slidescore.assay.left_of_wall import Annotations
from slidescore.errors import AnnotationError, nearest_names

Role = Literal["include", "exclude", "control", "tumor", "other"]
AREA_TYPES = ("annotation", "tmaCore", "root")
"""QuPath object types that are drawn areas; a feature without a type is an annotation to QuPath."""
UNNAMED_CONTROL = "Control"
"""What control tissue without a name is called in tables."""

_one_at_a_time = threading.Lock()
"""Held while a geometry is asked: shapely prepares it in place, and tiles are scored in threads that share it."""


@dataclass(frozen=True, slots=True)
class Area:
    """One drawn area in level-0 pixels, with its role and its name, if it has one."""

    role: Role
    name: str
    geometry: BaseGeometry

    def widened(self, by_l0: float) -> Area:
        """Return the area with a rim around it, `by_l0` level-0 px wide."""
        return replace(self, geometry=shapely.buffer(self.geometry, by_l0))


@dataclass(frozen=True, slots=True)
class AnnotationSet:
    """All areas drawn on one slide."""

    areas: tuple[Area, ...]
    digest: str

    def of(self, *roles: Role) -> list[Area]:
        """Return the areas with one of the roles."""
        return [area for area in self.areas if area.role in roles]

    @property
    def limits(self) -> list[Area]:
        """Areas that limit scoring to their inside; Tumor areas do so too. Empty means the whole slide."""
        return self.of("include", "tumor")

    @property
    def region_names(self) -> list[str]:
        """Names of the areas that get rows of their own, in the order of the file, each once."""
        return list(dict.fromkeys(area.name for area in self.of("include", "tumor") if area.name))

    @property
    def controls(self) -> list[Area]:
        """Areas of on-slide control tissue, which are scored apart; one without a name is called Control."""
        return [replace(area, name=area.name or UNNAMED_CONTROL) for area in self.of("control")]

    @property
    def control_names(self) -> list[str]:
        """Names of the control areas, in the order of the file, each once."""
        return list(dict.fromkeys(area.name for area in self.controls))

    def counts(self) -> dict[str, int]:
        """Count the areas by role."""
        roles = [area.role for area in self.areas]
        return {role: roles.count(role) for role in sorted(set(roles))}


NO_ANNOTATIONS = AnnotationSet((), "")


def load_annotations(path: Path, roles: Annotations, *, name: str = "") -> AnnotationSet:
    """Read a GeoJSON file of annotations; errors call it `name`, which is the file's own where none is given.

    Raises
    ------
    AnnotationError
        If the file is no GeoJSON, a class is unknown to the assay, an area is empty, or nothing is drawn.
    """
    where = name or path.name
    try:
        raw = path.read_bytes()
        document = orjson.loads(raw)
    except OSError as error:
        # Its text holds the whole path.
        raise AnnotationError(f"cannot be read: {error.strerror or type(error).__name__}", where=where) from error
    except orjson.JSONDecodeError as error:
        raise AnnotationError(f"cannot be read as GeoJSON: {error}", where=where) from error
    features = document.get("features") if isinstance(document, dict) else document
    if isinstance(document, dict) and document.get("type") == "Feature":
        features = [document]
    if not isinstance(features, list):
        raise AnnotationError("holds no features", where=where, remedy="export annotations from QuPath as GeoJSON")
    areas = tuple(
        _read_area(feature, number, roles, where)
        for number, feature in enumerate(features, start=1)
        if _is_area(feature)
    )
    if not areas:
        raise AnnotationError("holds no annotation", where=where, remedy="detections and cells are not regions")
    return AnnotationSet(areas, hashlib.sha256(raw).hexdigest())


def _properties(feature: Any) -> dict[str, Any]:
    properties = feature.get("properties") if isinstance(feature, dict) else None
    return properties if isinstance(properties, dict) else {}


def _is_area(feature: Any) -> bool:
    properties = _properties(feature)
    kind = properties.get("objectType", properties.get("object_type", "annotation"))
    return kind in AREA_TYPES and not properties.get("isMissing", False)


def _read_area(feature: Any, number: int, roles: Annotations, where: str) -> Area:
    place = f"{where} feature {number}"
    try:
        geometry = shape(feature["geometry"])
    except (TypeError, LookupError, AttributeError, ValueError, shapely.errors.ShapelyError) as error:
        # Not the library's words: they can quote the file.
        raise AnnotationError("has no usable geometry", where=place, remedy="draw it again") from error
    if not shapely.is_valid(geometry):
        geometry = shapely.make_valid(geometry)
    if not np.isfinite(geometry.area) or geometry.area <= 0:
        raise AnnotationError(f"{geometry.geom_type} has no area", where=place, remedy="draw a closed region")
    properties = _properties(feature)
    shapely.prepare(geometry)
    return Area(_role_of(properties, roles, place), str(properties.get("name") or ""), geometry)


def _role_of(properties: dict[str, Any], roles: Annotations, place: str) -> Role:
    classification = properties.get("classification")
    if isinstance(classification, dict):
        names = classification.get("names") or []
        said = classification.get("name") or ": ".join(map(str, names if isinstance(names, list) else [names]))
    else:
        said = classification
    if not said:
        return "include"
    name = str(said)
    by_role: dict[Role, tuple[str, ...]] = {
        "include": roles.include,
        "exclude": roles.exclude,
        "control": roles.control,
        "tumor": roles.tumor,
        "other": roles.other,
    }
    known = {name: role for role, names in by_role.items() for name in names}
    if name not in known:
        raise AnnotationError(
            f"class '{name}' means nothing to the assay", where=place,
            remedy=f"{nearest_names(name, known)}; see tissue.annotations",
        )  # fmt: skip
    return known[name]


def inside(areas: list[Area], x_l0: NDArray[np.float64], y_l0: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Whether points lie inside any of the areas; bool, (N,)."""
    within = np.zeros(len(x_l0), dtype=bool)
    for area in areas:
        within |= _holds(area, x_l0, y_l0)
    return within


def name_regions(areas: list[Area], x_l0: NDArray[np.float64], y_l0: NDArray[np.float64]) -> list[str | None]:
    """Return for each point the name of the smallest named area that holds it, or None."""
    names: NDArray[np.object_] = np.full(len(x_l0), None, dtype=object)
    # Large ones first, so that a region drawn inside another one wins; the order of the file breaks ties.
    for area in sorted((area for area in areas if area.name), key=lambda area: -area.geometry.area):
        names[_holds(area, x_l0, y_l0)] = area.name
    return list(names)


def _holds(area: Area, x_l0: NDArray[np.float64], y_l0: NDArray[np.float64]) -> NDArray[np.bool_]:
    with _one_at_a_time:
        held: NDArray[np.bool_] = shapely.contains_xy(area.geometry, x_l0, y_l0)
    return held


def paint_areas(
    areas: list[Area], x_l0: float, y_l0: float, shape_px: tuple[int, int], l0_per_px: float
) -> NDArray[np.bool_]:
    """Paint areas into a mask whose first pixel begins at (x_l0, y_l0); bool, `shape_px` (H, W).

    A pixel belongs to an area when its middle lies inside.
    """
    mask = np.zeros(shape_px, dtype=np.bool_)
    box = shapely.box(x_l0, y_l0, x_l0 + shape_px[1] * l0_per_px, y_l0 + shape_px[0] * l0_per_px)
    for area in areas:
        for edges in _edges_near(area, box):
            # In pixels, with whole numbers in the middles of pixels.
            edges_px = (edges - (x_l0, y_l0, x_l0, y_l0)) / l0_per_px - 0.5
            rows = (edges_px[:, [1, 3]].max(axis=1) >= 0) & (edges_px[:, [1, 3]].min(axis=1) <= shape_px[0])
            _paint(edges_px[rows], mask)
    return mask


def _edges_near(area: Area, box: BaseGeometry) -> list[NDArray[np.float64]]:
    """Return the edges of each polygon as x, y, x, y, float64 (N, 4) in level-0 px; none for an area out of the box."""
    with _one_at_a_time:
        if not shapely.intersects(area.geometry, box):
            return []
        parts = [part for part in shapely.get_parts(area.geometry) if part.geom_type == "Polygon"]
        rings = [[np.asarray(ring.coords)[:, :2] for ring in (part.exterior, *part.interiors)] for part in parts]
    return [np.concatenate([np.hstack([ring[:-1], ring[1:]]) for ring in of_one]) for of_one in rings]


def _paint(edges: NDArray[np.float64], mask: NDArray[np.bool_]) -> None:
    """Fill by the even-odd rule, row by row: float64, (N, 4), edges as x, y, x, y in pixels of the mask."""
    low, high = edges[:, [1, 3]].min(axis=1), edges[:, [1, 3]].max(axis=1)
    columns = mask.shape[1]
    for row in range(mask.shape[0]):
        # Half open, so that a corner on the row is crossed once.
        crossed = edges[(low <= row) & (row < high)]
        if len(crossed) == 0:
            continue
        x0, y0, x1, y1 = crossed.T
        crossings = np.sort(x0 + (row - y0) / (y1 - y0) * (x1 - x0))
        for start, stop in zip(crossings[::2], crossings[1::2], strict=True):
            mask[row, max(0, int(np.ceil(start))) : max(0, min(columns, int(np.ceil(stop))))] = True
