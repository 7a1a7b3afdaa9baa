"""Which slides are refused for their stain: `python benchmarks/wrong_stain.py --data FOLDER --write docs/trust.md`.

Small drawn slides of every wrong and every valid kind (`tests/phantom_wrong.py`) are scored as a user would score them,
with the classical segmenter and every cell counting, so that a call is made wherever one can be. With `--data` the
real H&E pictures of FOLDER/train and the real IHC of FOLDER/demo are scored too.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from imagecodecs import imread
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from accuracy import variant
from page_tables import publish_tables

import phantom_wrong as drawn
from slidescore.assay import Assay
from slidescore.pipeline.analysis import analyze_slide
from slidescore.pipeline.judge import SlideIdentity, judge_slide
from slidescore.qc.stain_check import PREFIX
from slidescore.slide import ArrayReader

Picture = tuple[str, NDArray[np.uint8], float]
NAMES = {
    "h&e": "H&E", "fluorescence": "fluorescence", "empty": "empty", "unstained": "unstained", "aec": "AEC",
    "negative": "no DAB", "weak": "weak DAB and counterstain", "ordinary": "ordinary", "strong": "DAB twice as strong",
    "turned": "any of these, vectors turned by up to 8°",
}  # fmt: skip


@dataclass(frozen=True)
class Verdict:
    """What became of one slide: its call, its reason, and its colours."""

    name: str
    call: str
    reason: str
    colours: dict[str, float | None]

    @property
    def by_colour(self) -> bool:
        """Whether its stain was the reason."""
        return self.reason.startswith(PREFIX)

    @property
    def called(self) -> bool:
        """Whether it is HIGH or LOW."""
        return self.call in ("HIGH", "LOW")


def score(pictures: Iterable[Picture], assay: Assay) -> list[Verdict]:
    """Score pictures, each as a slide of its own."""
    verdicts = []
    for name, rgb, mpp in pictures:
        analysis = analyze_slide(lambda rgb=rgb, mpp=mpp: ArrayReader(rgb, mpp=mpp), assay)
        analysis.facts.update(annotations=None, notes=[])
        row = judge_slide(analysis, assay, SlideIdentity("x", name)).row
        verdicts.append(Verdict(name, row["call"], row["reason"] or "", analysis.facts["colours"]))
    return verdicts


def draw(kind: drawn.Wrong | drawn.Valid, fields: list[drawn.Field], n: int) -> Iterator[Picture]:
    """Draw `n` slides of one kind."""
    for number in range(n):
        yield f"{kind} {number}", drawn.draw_slide(kind, fields[number % len(fields)], 10_000 + number), 0.5


def real_pictures(data: Path) -> dict[str, list[Picture]]:
    """Find the real pictures: what they are, and their resolution in um/px."""
    from skimage.data import immunohistochemistry

    sets = {
        "H&E, BRCA-M2C crops": ("train/brca_m2c/images/*", 0.5),
        "H&E, BreCaHAD fields": ("train/brecahad_30/images/*", 0.24),
        "H&E-like, Data Science Bowl 2018 crops": ("train/dsb2018_hist/*[0-9a-f].png", 0.5),
        "IHC, CLDN18.2 tiles": ("demo/cldn18/*.png", 0.23),
        "IHC, HoverFast field": ("demo/hoverfast/*.png", 0.5),
    }
    found = {
        name: [(path.name, np.ascontiguousarray(imread(path)[..., :3]), mpp) for path in sorted(data.glob(pattern))]
        for name, (pattern, mpp) in sets.items()
    }
    return {**found, "IHC, FHL2 (scikit-image)": [("fhl2", immunohistochemistry(), 0.5)]}


def wrong_row(name: str, verdicts: list[Verdict]) -> str:
    """Write a row: how many are refused for their colours, have no score for another reason, or have a call."""
    by_colour, called = sum(v.by_colour for v in verdicts), sum(v.called for v in verdicts)
    return f"| {name} | {len(verdicts)} | {by_colour} | {len(verdicts) - by_colour - called} | {called} |"


def valid_row(name: str, verdicts: list[Verdict]) -> str:
    """Write a row: how many are refused for their colours, and how near the others come to the limits."""
    refused = sum(v.by_colour for v in verdicts)
    kept = [v for v in verdicts if not v.by_colour]

    def greatest(key: str) -> float:
        return max((float(v.colours[key] or 0.0) for v in kept), default=0.0)

    density = min((v.colours["density_od"] for v in kept if v.colours["density_od"] is not None), default=np.nan)
    red = min((v.colours["chromogen_across_degrees"] or 0.0 for v in kept), default=0.0)
    pink = min((v.colours["across_low_degrees"] or 0.0 for v in kept), default=0.0)
    return (
        f"| {name} | {len(verdicts)} | {refused} ({100 * refused / max(len(verdicts), 1):.1f} %) | {density:.2f} | "
        f"{greatest('red_fraction'):.3f} | {pink:+.1f}° | {red:+.1f}° | {greatest('other_fraction'):.3f} |"
    )


def main() -> None:
    """Print the tables, and write them into the page if asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="folder with train/ and demo/")
    parser.add_argument("--write", type=Path, help="page to write the tables into")
    parser.add_argument("--slides", type=int, default=60, help="slides of each kind (default 60)")
    arguments = parser.parse_args()
    assay, fields = variant("cxcr4", "classical"), drawn.draw_fields(12, seed=7)
    wrong = ["| kind | slides | refused for colour | no score otherwise | HIGH or LOW |", "|---" * 5 + "|"]
    head = "| kind | slides | refused | least density, OD | most red | pinkest hue | reddest chromogen | most other |"
    valid, refused, scored = [head, "|---" * 8 + "|"], 0, 0
    for kind in drawn.WRONG_KINDS:
        wrong.append(wrong_row(NAMES[kind], score(draw(kind, fields, arguments.slides), assay)))
        print(wrong[-1], flush=True)
    for kind in drawn.VALID_KINDS:
        verdicts = score(draw(kind, fields, arguments.slides), assay)
        refused, scored = refused + sum(v.by_colour for v in verdicts), scored + len(verdicts)
        valid.append(valid_row(NAMES[kind], verdicts))
        print(valid[-1], flush=True)
    valid.append(f"| all | {scored} | {refused} ({100 * refused / scored:.1f} %) | | | | | |")
    if arguments.data:
        for name, pictures in real_pictures(arguments.data).items():
            verdicts = score(pictures, assay)
            row = valid_row(name, verdicts) if name.startswith("IHC") else wrong_row(name, verdicts)
            (valid if name.startswith("IHC") else wrong).append(row)
            print(row, flush=True)
    tables = {"wrong stain": wrong, "valid stain": valid}
    publish_tables(tables, arguments.write)


if __name__ == "__main__":
    main()
