"""Reading labels that a person gave to cells: QuPath points or a table. Every mistake is one line."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Final

import orjson
import shapely
from shapely.geometry import shape

from slidescore.assay.left_of_wall import Annotations
from slidescore.errors import InputError, nearest_names

TUMOR_NAMES: Final = ("Tumor", "Tumour")
OTHER_NAMES: Final = (
    "Lymphocyte", "Lymphocytes", "Stroma", "Stromal", "Immune cell", "Immune cells", "Macrophage", "Endothelium",
    "Other",
)  # fmt: skip
"""Classes of labels besides those of the assay (`tissue.annotations.tumor` and `.other`); case does not matter."""

MAX_MARK_UM2 = 1500.0
"""A drawn area up to this size marks the cell in its middle; a larger one is a region, not a cell."""
SUFFIX = ".geojson"
AREAS: Final = ("annotation", None)
"""QuPath object types that are labels; detections and cells are what is labelled."""


@dataclass(frozen=True, slots=True)
class LabelledSlide:
    """A slide of the run: how it is named, and its size in level-0 px."""

    slide_id: str
    file: str
    width: int
    height: int
    mpp: float


@dataclass(frozen=True, slots=True)
class Label:
    """A label: the slide, the place in level-0 px, the class as written, and whether it means tumor."""

    slide_id: str
    x_l0: float
    y_l0: float
    class_name: str
    is_tumor: bool
    place: str


def known_classes(annotations: Annotations) -> dict[str, bool]:
    """Return for each class of labels, as it is spelt, whether it means tumor."""
    other = dict.fromkeys((*annotations.other, *OTHER_NAMES), False)
    return {**other, **dict.fromkeys((*annotations.tumor, *TUMOR_NAMES), True)}


def read_labels(path: Path, slides: Sequence[LabelledSlide], classes: Mapping[str, bool]) -> list[Label]:
    """Read labels from a GeoJSON file, a folder of them, or a CSV table.

    Parameters
    ----------
    path
        `<file>.geojson` of one slide, a folder of such, or a table with columns slide_id or file, x, y (level-0 px),
        class.
    slides
        The slides of the run.
    classes
        As `known_classes` gives them.

    Raises
    ------
    InputError
        One line: a file that names no slide or several, an unknown class, a label outside its slide.
    """
    if path.is_dir():
        files = sorted(path.rglob(f"*{SUFFIX}"))
        if not files:
            raise InputError(f"holds no {SUFFIX} file", where=str(path), remedy="name them <file>.geojson")
        named = {file: _slide_named(file.relative_to(path).as_posix(), slides, file.name) for file in files}
        for file, slide in named.items():
            twins = [other.name for other, same in named.items() if same is slide and other is not file]
            if twins:
                raise InputError(f"and {twins[0]} are labels of the same slide", where=file.name, remedy="keep one")
        labels = [label for file, slide in named.items() for label in _read_geojson(file, slide, classes)]
    elif not path.is_file():
        raise InputError("no such file or folder", where=f"--labels {path}")
    elif path.suffix.lower() == ".csv":
        labels = _read_csv(path, slides, classes)
    elif path.name.lower().endswith((SUFFIX, ".json")):
        labels = _read_geojson(path, _slide_of_file(path, slides), classes)
    else:
        raise InputError("is neither .geojson nor .csv", where=path.name, remedy="see docs/tumor-model.md")
    by_id = {slide.slide_id: slide for slide in slides}
    for label in labels:
        _refuse_outside(label, by_id[label.slide_id])
    return labels


def _slide_of_file(path: Path, slides: Sequence[LabelledSlide]) -> LabelledSlide:
    # With one slide there is no doubt which one is meant, whatever the file is called.
    return slides[0] if len(slides) == 1 else _slide_named(path.name, slides, path.name)


def _slide_named(relative: str, slides: Sequence[LabelledSlide], where: str) -> LabelledSlide:
    """Find the slide that `<name>.geojson` stands for."""
    name = relative[: -len(SUFFIX)] if relative.lower().endswith(SUFFIX) else PurePosixPath(relative).stem
    return _find_slide(name, slides, where)


def _find_slide(name: str, slides: Sequence[LabelledSlide], where: str) -> LabelledSlide:
    """Find a slide by slide_id or file; else by the last part of its file, with or without its suffix."""
    exact = [slide for slide in slides if name in (slide.slide_id, slide.file)]
    if len(exact) == 1:
        return exact[0]
    short = PurePosixPath(name).name
    found = exact or [
        slide
        for slide in slides
        if short in (slide.slide_id, PurePosixPath(slide.file).name, PurePosixPath(slide.file).stem)
    ]
    if len(found) > 1:
        both = " and ".join(slide.file for slide in found[:2])
        raise InputError(f"'{name}' may mean {both}", where=where, remedy="use the slide_id of scores.csv")
    if not found:
        near = nearest_names(name, (slide.file for slide in slides))
        raise InputError(f"the run has no slide '{name}'; {near}", where=where, remedy="use file or slide_id")
    return found[0]


def _read_csv(path: Path, slides: Sequence[LabelledSlide], classes: Mapping[str, bool]) -> list[Label]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as handle:
            reader = csv.DictReader(handle)
            columns = [name.strip() for name in reader.fieldnames or ()]
            reader.fieldnames = columns
            rows = list(reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"cannot be read: {error}", where=path.name) from error
    missing = [name for name in ("x", "y", "class") if name not in columns]
    if missing or not {"slide_id", "file"} & set(columns):
        lacks = f"'{missing[0]}'" if missing else "'slide_id' or 'file'"
        raise InputError(f"has no column {lacks}", where=path.name, remedy="columns are slide_id or file, x, y, class")
    labels = []
    for number, row in enumerate(rows, start=2):
        place = f"{path.name} line {number}"
        name = (row.get("slide_id") or row.get("file") or "").strip()
        slide = _find_slide(name, slides, place)
        if row.get("file") and _find_slide(row["file"].strip(), slides, place) is not slide:
            raise InputError(f"slide_id '{name}' and file '{row['file']}' are two slides", where=place)
        try:
            x, y = float(row["x"]), float(row["y"])
        except (TypeError, ValueError):
            raise InputError(f"x '{row['x']}', y '{row['y']}' are no numbers", where=place) from None
        said = (row["class"] or "").strip()
        labels.append(Label(slide.slide_id, x, y, said, _is_tumor(said, classes, place), place))
    return labels


def _read_geojson(path: Path, slide: LabelledSlide, classes: Mapping[str, bool]) -> list[Label]:
    try:
        document = orjson.loads(path.read_bytes())
    except (OSError, orjson.JSONDecodeError) as error:
        raise InputError(f"cannot be read as GeoJSON: {error}", where=path.name) from error
    features = document.get("features", [document]) if isinstance(document, dict) else document
    labels: list[Label] = []
    for number, feature in enumerate(features if isinstance(features, list) else [], start=1):
        place = f"{path.name} feature {number}"
        properties = feature.get("properties") if isinstance(feature, dict) else None
        properties = properties if isinstance(properties, dict) else {}
        if properties.get("objectType", properties.get("object_type")) not in AREAS or properties.get("isMissing"):
            continue
        said = _class_of(properties)
        is_tumor = _is_tumor(said, classes, place)
        for x, y in _marks(feature, slide, place):
            labels.append(Label(slide.slide_id, x, y, said, is_tumor, place))
    if not labels:
        raise InputError(
            "holds no labels", where=path.name, remedy="set points of a class in QuPath; detections are no labels"
        )
    return labels


def _class_of(properties: Mapping[str, Any]) -> str:
    """Return the class of a feature; of a derived one such as Tumor: Positive the base class."""
    classification = properties.get("classification")
    if isinstance(classification, dict):
        names = classification.get("names")
        classification = names[0] if isinstance(names, list) and names else classification.get("name")
    return str(classification or "").split(":")[0].strip()


def _marks(feature: Mapping[str, Any], slide: LabelledSlide, place: str) -> list[tuple[float, float]]:
    """Return the points that a feature marks: its points, or the middle of a small area."""
    try:
        geometry = shape(feature["geometry"])
    except (TypeError, LookupError, AttributeError, ValueError, shapely.errors.ShapelyError) as error:
        raise InputError(f"has no usable geometry: {error}", where=place) from error
    if geometry.geom_type in ("Point", "MultiPoint"):
        coordinates = shapely.get_coordinates(geometry)
        if not len(coordinates):
            raise InputError("has no points", where=place)
        return [(float(x), float(y)) for x, y in coordinates]
    area_um2 = float(geometry.area) * slide.mpp**2
    if not 0 < area_um2 <= MAX_MARK_UM2:
        raise InputError(
            f"{geometry.geom_type} of {area_um2:.0f} um2 marks no single cell", where=place,
            remedy="label cells with points; a region is drawn for --roi",
        )  # fmt: skip
    return [(float(geometry.centroid.x), float(geometry.centroid.y))]


def _is_tumor(said: str, classes: Mapping[str, bool], place: str) -> bool:
    by_lower = {name.lower(): is_tumor for name, is_tumor in classes.items()}
    if not said:
        raise InputError("has no class", where=place, remedy=f"known: {', '.join(sorted(classes))}")
    if said.lower() not in by_lower:
        raise InputError(f"unknown class '{said}'", where=place, remedy=nearest_names(said, classes))
    return by_lower[said.lower()]


def _refuse_outside(label: Label, slide: LabelledSlide) -> None:
    inside = 0 <= label.x_l0 <= slide.width and 0 <= label.y_l0 <= slide.height
    # A NaN compares as outside, infinities too.
    if not inside or not math.isfinite(label.x_l0 + label.y_l0):
        raise InputError(
            f"({label.x_l0:g}, {label.y_l0:g}) is outside the slide {slide.file} ({slide.width} x {slide.height} px)",
            where=label.place,
            remedy="x and y are level-0 pixels",
        )
