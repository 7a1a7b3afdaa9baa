"""A shipped assay with the classical segmenter, every cell counting and plain limits, whatever its own choice is.

Most tests are about drawn slides and made-up cells, on which the classical segmenter is right and nothing tells types.
"""

from __future__ import annotations

import re

from slidescore.assay import Assay, LoadedAssay, load_assay, parse_assay


def classical_text(name: str = "cxcr4") -> str:
    text = re.sub(r"(?m)^  segmenter: \w+", "  segmenter: classical", load_assay(name).text)
    for key, value in (("rule", "all"), ("min_probability", "0.5"), ("strict_probability", "0.8")):
        text = re.sub(rf"(?m)^  {key}: [\w.]+", f"  {key}: {value}", text, count=1)
    return text


def classical_loaded(name: str = "cxcr4") -> LoadedAssay:
    text = classical_text(name)
    return LoadedAssay(parse_assay(text, where=f"{name}.yaml"), text, f"{name}.yaml")


def classical_assay(name: str = "cxcr4") -> Assay:
    return classical_loaded(name).assay
