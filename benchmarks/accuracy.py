"""Every figure of docs/accuracy.md: `python benchmarks/accuracy.py --data FOLDER --write docs/accuracy.md`.

Without `--data`, phantoms only. FOLDER holds train/ (BRCA-M2C's test list is examined) and validate/ (labelled Ki-67
fields; looked at for this page only). Tables are written between the page's markers, one a table; prose is not touched.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from pathlib import Path

from labelled_nuclei import NucleiCounts, add, interval, load_fields, score_field
from page_tables import publish_tables
from phantom_accuracy import FIELDS, draw_field, score_phantom

from slidescore.assay import Assay, load_assay
from slidescore.cells import Segmenter
from slidescore.cells.types import LYMPHOCYTE, STROMAL, TUMOR
from slidescore.pipeline.segmenters import build_segmenter
from slidescore.stain import StainVectors
from slidescore.training.examine import Examined, examine

SEGMENTERS = ("network", "classical")
KI67_MPP = 0.25


def variant(name: str, segmenter: str) -> Assay:
    """Return a shipped assay with one of the segmenters; the classical one cannot tell tumor cells."""
    assay = load_assay(name).assay
    if segmenter == assay.cells.segmenter:
        return assay
    cells = assay.cells.model_copy(update={"segmenter": segmenter})
    tumor = assay.tumor.model_copy(update={"rule": "all"})
    return assay.model_copy(update={"cells": cells, "tumor": tumor})


def build(assay: Assay) -> tuple[Segmenter, StainVectors]:
    """Load an assay's segmenter and its fixed vectors."""
    vectors = StainVectors(assay.stains.hematoxylin, assay.stains.dab, "fixed")
    return build_segmenter(assay), vectors


def phantom_tables(only: str, cells: int) -> Iterator[tuple[str, list[str]]]:
    """Yield the phantom tables of each segmenter."""
    for segmenter in SEGMENTERS:
        assay = variant("cxcr4", segmenter)
        rows = {name: score_phantom(draw_field(name, cells), assay) for name in FIELDS if only in name}
        lines = [
            "| field | precision | recall | counted | H drawn | H measured | share | OD all | OD strong |",
            "|---" * 9 + "|",
        ]
        others = ["| field | nucleus H | membrane H | cell H |", "|---" * 4 + "|"]
        for name, row in rows.items():
            c = row["cytoplasm"]
            strong = "" if c["od_bias_strong"] is None else f"{c['od_bias_strong']:+.3f}"
            lines.append(
                f"| {name} | {row['precision']:.3f} | {row['recall']:.3f} | {row['counted_share']:.3f} | "
                f"{c['h_drawn']} | {c['h_measured']} | {c['largest_share_error']} | {c['od_bias']:+.3f} | {strong} |"
            )
            pairs = [f"{row[k]['h_drawn']} to {row[k]['h_measured']}" for k in ("nucleus", "membrane", "cell")]
            others.append(f"| {name} | {' | '.join(pairs)} |")
        yield f"phantoms {segmenter}", lines
        yield f"phantom compartments {segmenter}", others


def examination_tables(data: Path) -> dict[str, list[str]]:
    """Examine both segmenters on the test list of BRCA-M2C; and the tumor rule of the network's assay."""
    lines = [
        "| picture | segmenter | cells | precision | recall | detection F1 (95 %) "
        "| tumor F1 | lymphocyte F1 | stromal F1 |",
        "|---" * 9 + "|",
    ]
    for segmenter in SEGMENTERS:
        examined = examine(*build(variant("cxcr4", segmenter)), data)
        lines += [_examined_row(segmenter, row) for row in examined]
        if segmenter == "network":
            rule = _rule_lines(examined)
    return {"examination": lines, "tumor rule": rule}


def _rule_lines(examined: list[Examined]) -> list[str]:
    """Tabulate which labelled cells that were found the rule keeps, at the assay's two probabilities."""
    tumor = load_assay("cxcr4").assay.tumor
    lines = [
        "| picture | rule | tumor cells kept | lymphocytes dropped | stromal cells dropped "
        "| tumor share, labelled | kept |",
        "|---" * 7 + "|",
    ]
    for row in examined:
        for rule, least in (("rule", tumor.min_probability), ("strict", tumor.strict_probability)):
            kept = row.tumor_probability >= least
            shares = [float(kept[row.true_types == kind].mean()) for kind in (TUMOR, LYMPHOCYTE, STROMAL)]
            labelled, counted = float((row.true_types == TUMOR).mean()), float(kept.mean())
            lines.append(
                f"| {row.kind} | {rule}, {least:g} | {100 * shares[0]:.0f} % | {100 - 100 * shares[1]:.0f} % | "
                f"{100 - 100 * shares[2]:.0f} % | {100 * labelled:.0f} % | {100 * counted:.0f} % |"
            )
    return lines


def _examined_row(segmenter: str, row: Examined) -> str:
    types = [f"{each.f1:.3f}" for each in row.types[:3]] or [""] * 3
    return (
        f"| {row.kind} | {segmenter} | {row.cells.n_true:,} | {row.cells.precision:.3f} | {row.cells.recall:.3f} | "
        f"{row.cells.f1:.3f} ({row.f1_low:.3f}-{row.f1_high:.3f}) | {' | '.join(types)} |"
    )


def nuclei_table(folder: Path) -> tuple[str, list[str]]:
    """Score both segmenters on the labelled Ki-67 fields."""
    figures: dict[str, Callable[[NucleiCounts], float]] = {
        "detection": lambda c: c.cells.f1,
        "positive": lambda c: c.positive.f1,
        "negative": lambda c: c.negative.f1,
        "nucleus": lambda c: c.masks.f1,
        "foreground": lambda c: c.foreground_iou,
    }
    lines = [
        "| field | segmenter | detection F1 | positive F1 | negative F1 | nucleus F1, IoU 0.5 | foreground IoU "
        "| % positive, labelled | measured |",
        "|---" * 9 + "|",
    ]
    fields = load_fields(folder)
    for segmenter in SEGMENTERS:
        assay = variant("generic-nuclear", segmenter)
        built = build(assay)
        counts = [score_field(field, assay, *built, KI67_MPP) for field in fields]
        for field, each in zip(fields, counts, strict=True):
            values = " | ".join(f"{figure(each):.3f}" for figure in figures.values())
            shares = f"{100 * each.share_labelled:.1f} | {100 * each.share_measured:.1f}"
            lines.append(f"| {field.name} | {segmenter} | {values} | {shares} |")
        total = add(counts)
        values = [
            f"{figure(total):.3f} ({low:.2f}-{high:.2f})"
            for figure in figures.values()
            for low, high in [interval(counts, figure)]
        ]
        lines.append(f"| all | {segmenter} | {' | '.join(values)} | | |")
    return "labelled nuclei", lines


def main() -> None:
    """Print the tables, and write them into the page if asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="folder with train/ and validate/")
    parser.add_argument("--write", type=Path, help="page to write the tables into")
    parser.add_argument("--only", default="", help="phantoms whose name holds this text")
    parser.add_argument("--cells", type=int, default=2400, help="cells a phantom")
    parser.add_argument("--skip-phantoms", action="store_true")
    parser.add_argument("--skip-validate", action="store_true", help="leave the validation fields alone")
    arguments = parser.parse_args()
    tables: dict[str, list[str]] = {}
    if not arguments.skip_phantoms:
        tables |= dict(phantom_tables(arguments.only, arguments.cells))
    if arguments.data:
        tables |= examination_tables(arguments.data / "train")
        if not arguments.skip_validate:
            tables |= dict([nuclei_table(arguments.data / "validate" / "deepliif_ki67")])
    publish_tables(tables, arguments.write)


if __name__ == "__main__":
    main()
