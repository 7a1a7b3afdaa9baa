"""Cells: finding nuclei, cutting compartments, measuring them, and the table they end in."""

from slidescore.cells.classical import ClassicalSegmenter
from slidescore.cells.compartments import Compartments, CompartmentSizes, cut_compartments
from slidescore.cells.measure import CellMeasurements, measure_cells
from slidescore.cells.outline import trace_outlines
from slidescore.cells.seam import Joined, TileCells, join_tiles
from slidescore.cells.segmenter import Segmentation, Segmenter
from slidescore.cells.table import CELL_SCHEMA, build_cells, empty_cells, join_cells

__all__ = [
    "CELL_SCHEMA",
    "CellMeasurements",
    "ClassicalSegmenter",
    "CompartmentSizes",
    "Compartments",
    "Joined",
    "Segmentation",
    "Segmenter",
    "TileCells",
    "build_cells",
    "cut_compartments",
    "empty_cells",
    "join_cells",
    "join_tiles",
    "measure_cells",
    "trace_outlines",
]
