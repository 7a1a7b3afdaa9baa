"""Cells as GeoJSON that QuPath imports: classes, colours and measurements under QuPath's names.

Coordinates are level-0 px with the origin at the outer corner of the first pixel, which is QuPath's own frame. The file
is streamed, a few thousand cells at a time. What QuPath accepts was read from its QuPathTypeAdapters.java: a feature
without objectType would become an annotation, and a feature whose id is no UUID loses it.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import orjson
import pyarrow as pa
import shapely
from numpy.typing import NDArray

from slidescore.assay import Assay
from slidescore.cells.table import floats, unpack_outlines
from slidescore.qc.overlay import BIN_COLOURS, OTHER_COLOUR
from slidescore.report.export_csv import classify, open_output
from slidescore.scoring import BIN_NAMES, counted_cells

Outlines = Literal["cell", "nucleus", "both", "point"]
Ring = NDArray[np.float64]

CELL_NAMESPACE: Final = uuid.UUID("6d1c2f64-6f0e-5f7c-9a57-3c1b7a1f5e02")
"""Namespace of the cells' UUIDs; never changes, so that a cell keeps its id from export to export."""
IGNORE_CLASS: Final[dict[str, Any]] = {"names": ["Ignore*"], "color": [180, 180, 180]}
"""QuPath's class for what does not count."""

_CHUNK_CELLS: Final = 4096
_MIN_POINTS: Final = 3
_DECIMALS: Final = 2
_DIGITS: Final = 6
_DIAMOND: Final = np.array([(1, 0), (0, 1), (-1, 0), (0, -1)], np.int16)
_OPTIONS: Final = orjson.OPT_SERIALIZE_NUMPY


def export_geojson(
    cells: pa.Table,
    assay: Assay,
    path: Path,
    *,
    slide_id: str,
    gzip: bool = False,
    outlines: Outlines = "cell",
    include_excluded: bool = False,
) -> None:
    """Write a cell table as a GeoJSON FeatureCollection.

    Parameters
    ----------
    cells
        Rows of `slidescore.cells.table.CELL_SCHEMA`.
    assay
        Gives class and bin.
    path
        File to write.
    slide_id
        Goes into every cell's UUID, with its cell_id.
    gzip
        Whether to compress it; QuPath imports .geojson.gz.
    outlines
        "cell" or "nucleus" write detections with that outline, "both" QuPath cells with a nucleus, "point" centroids.
    include_excluded
        Whether to write cells that do not count, as class `Ignore*`; they are left out otherwise.
    """
    names = _measurement_names(assay)
    with open_output(path, gzip=gzip) as stream:
        stream.write(b'{"type":"FeatureCollection","features":[')
        separator = b"\n"
        for start in range(0, cells.num_rows, _CHUNK_CELLS):
            for feature in _features(cells.slice(start, _CHUNK_CELLS), assay, slide_id, outlines, names):
                if feature["properties"]["classification"] is IGNORE_CLASS and not include_excluded:
                    continue
                stream.write(separator + orjson.dumps(feature, option=_OPTIONS))
                separator = b",\n"
        stream.write(b"\n]}\n")


def _features(
    cells: pa.Table, assay: Assay, slide_id: str, outlines: Outlines, names: dict[str, str]
) -> Iterator[dict[str, Any]]:
    tumor, bins = classify(cells, assay)
    counted = counted_cells(cells)
    x, y = (_rounded(floats(cells, axis)) for axis in ("x", "y"))
    geometries = _geometries(cells, x, y, "nucleus" if outlines == "nucleus" else "cell", outlines == "point")
    nuclei = _geometries(cells, x, y, "nucleus", False) if outlines == "both" else None
    measured = {name: _significant(floats(cells, column)) for column, name in names.items()}
    ids = cells.column("cell_id").to_pylist()
    regions, reasons = cells.column("region").to_pylist(), cells.column("excluded").to_pylist()
    for k, cell_id in enumerate(ids):
        classification = cell_class(bool(tumor[k]), int(bins[k])) if counted[k] else IGNORE_CLASS
        metadata = {"cell_id": str(cell_id), "region": regions[k], "excluded": reasons[k]}
        feature: dict[str, Any] = {
            "type": "Feature",
            "id": cell_uuid(slide_id, cell_id),
            "geometry": geometries[k],
            "properties": {
                "objectType": "cell" if nuclei is not None else "detection",
                "classification": classification,
                "measurements": {
                    name: value
                    for name, column in measured.items()
                    if (value := column[k]) == value  # not NaN
                },
                "metadata": {key: value for key, value in metadata.items() if value is not None},
            },
        }
        if nuclei is not None:
            feature["nucleusGeometry"] = nuclei[k]
        yield feature


def cell_uuid(slide_id: str, cell_id: int) -> str:
    """Return the id of a cell that counts for QuPath; the same in every export."""
    return str(uuid.uuid5(CELL_NAMESPACE, f"{slide_id}/{cell_id}"))


def cell_polygons(cells: pa.Table) -> list[dict[str, Any]]:
    """Return the cells' outlines as GeoJSON polygons in level-0 px, each valid."""
    x, y = (_rounded(floats(cells, axis)) for axis in ("x", "y"))
    return _geometries(cells, x, y, "cell", False)


def cell_class(tumor: bool, number: int) -> dict[str, Any]:
    """Return QuPath's class of a cell that counts: its type and, of a tumor cell, its bin; -1 for no bin."""
    if not tumor:
        return {"names": ["Other"], "color": list(OTHER_COLOUR)}
    if number < 0:
        return {"names": ["Tumor"], "color": list(OTHER_COLOUR)}
    return {"names": ["Tumor", BIN_NAMES[number]], "color": list(BIN_COLOURS[number])}


def _measurement_names(assay: Assay) -> dict[str, str]:
    """Name the columns as QuPath names its measurements."""
    percentile = assay.cells.membrane_percentile
    suffix = "th"
    if percentile.is_integer() and int(percentile) % 100 not in (11, 12, 13):
        suffix = {1: "st", 2: "nd", 3: "rd"}.get(int(percentile) % 10, "th")
    return {
        "nucleus_area_um2": "Nucleus: Area µm^2",
        "cell_area_um2": "Cell: Area µm^2",
        "nucleus_eccentricity": "Nucleus: Eccentricity",
        "hematoxylin_od_nucleus": "Nucleus: Hematoxylin OD mean",
        "dab_od_nucleus": "Nucleus: DAB OD mean",
        "dab_od_cytoplasm": "Cytoplasm: DAB OD mean",
        "dab_od_membrane": f"Membrane: DAB OD {percentile:g}{suffix} percentile",
        "dab_od_cell": "Cell: DAB OD mean",
        "detection_probability": "Detection probability",
        "tumor_probability": "Tumor probability",
        "lymphocyte_probability": "Lymphocyte probability",
        "stromal_probability": "Stromal probability",
    }


def _geometries(
    cells: pa.Table, x: NDArray[np.float64], y: NDArray[np.float64], which: str, point: bool
) -> list[dict[str, Any]]:
    centers = np.stack([x, y], axis=1)
    if point:
        return [{"type": "Point", "coordinates": center} for center in centers]
    rings = _valid_rings(*unpack_outlines(cells.column(f"{which}_outline")))
    return [
        {"type": "Polygon", "coordinates": [np.round(center + ring, _DECIMALS)]}
        for center, ring in zip(centers, rings, strict=True)
    ]


def _valid_rings(starts: NDArray[np.int64], points: NDArray[np.int16]) -> list[Ring]:
    """Close each outline into a ring that QuPath and shapely take as valid; dx, dy in level-0 px.

    Rounding to whole pixels can make an outline touch or cross itself, or shrink it to a line. Of a crossed one the
    largest part is kept; what has no area becomes a diamond of 2 px.
    """
    offsets = [points[starts[k] : starts[k + 1]] for k in range(len(starts) - 1)]
    offsets = [ring if len(ring) >= _MIN_POINTS else _DIAMOND for ring in offsets]
    rings = [np.concatenate([ring, ring[:1]]).astype(np.float64) for ring in offsets]
    owner = np.repeat(np.arange(len(rings)), [len(ring) for ring in rings])
    polygons = shapely.polygons(shapely.linearrings(np.concatenate(rings), indices=owner)) if rings else np.empty(0)
    for k in np.flatnonzero(~shapely.is_valid(polygons)):
        rings[k] = _largest_part(polygons[k])
    return rings


def _largest_part(polygon: shapely.Polygon) -> Ring:
    parts = shapely.get_parts(shapely.get_parts(shapely.make_valid(polygon)))
    parts = parts[shapely.get_type_id(parts) == shapely.GeometryType.POLYGON]
    if not len(parts):
        return np.concatenate([_DIAMOND, _DIAMOND[:1]]).astype(np.float64)
    largest = parts[int(np.argmax(shapely.area(parts)))]
    ring: Ring = shapely.get_coordinates(shapely.get_exterior_ring(largest))
    return ring


def _significant(values: NDArray[np.float32]) -> list[float]:
    """Round to 6 significant digits, as numbers that print so."""
    return [float(f"{value:.{_DIGITS}g}") for value in values.tolist()]


def _rounded(values: NDArray[np.float32]) -> NDArray[np.float64]:
    return np.array([round(value, _DECIMALS) for value in values.tolist()], np.float64)
