"""The types of cell that a network tells apart."""

from __future__ import annotations

CELL_TYPES = ("tumor", "lymphocyte", "stromal", "other")
"""In the order of the network's outputs. `tumor` stands for all epithelium; `other` for what is none of the three."""
TUMOR, LYMPHOCYTE, STROMAL, OTHER = range(len(CELL_TYPES))
