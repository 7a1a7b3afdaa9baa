"""Nothing that a file says about a patient comes out: not in a table, a page, a picture, a log or an error."""

from __future__ import annotations

import ast
import base64
import contextlib
import gzip
import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

import imagecodecs
import numpy as np
import openslide
import pyarrow.parquet as pq
import pytest
import tifffile
from click.testing import CliRunner
from PIL import Image

import slidescore
from classical_assay import classical_text
from identity_slides import (
    GOOD,
    IN_NAMES,
    LABEL_COLOUR,
    MACRO_COLOUR,
    TOKENS,
    check_traps,
    write_slides,
    write_svs,
)
from slidescore.annotations import NO_ANNOTATIONS
from slidescore.assay import Assay
from slidescore.cli.info import info
from slidescore.cli.main import main
from slidescore.errors import SlideOpenError
from slidescore.pipeline.publish import write_slide_pictures
from slidescore.pipeline.readers import PictureReader
from slidescore.pipeline.slide import score_slide
from slidescore.report.files import read_json
from slidescore.slide import open_slide

PACKAGE = Path(slidescore.__file__).parent
ROI = {
    "type": "FeatureCollection",
    "features": [
        {
            "type": "Feature",
            "geometry": {"type": "Polygon", "coordinates": [[[0, 0], [4000, 0], [4000, 4000], [0, 4000], [0, 0]]]},
            "properties": {"objectType": "annotation", "name": "whole"},
        }
    ],
}


@dataclass
class Trial:
    """A laboratory with slides, and everything that slidescore wrote and said there."""

    place: Path
    said: dict[str, str] = field(default_factory=dict)

    @property
    def slides(self) -> Path:
        return self.place / TOKENS["folder above"] / "in"

    def start(self, *arguments: str | Path, code: int = 0) -> None:
        """Run a command in a process of its own, as a user does."""
        command = [sys.executable, "-m", "slidescore", "--debug", *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=self.place)
        self._note(arguments, done.returncode, code, done.stdout, done.stderr)

    def run(self, *arguments: str | Path, code: int = 0) -> None:
        """Run a command in this process, which is quicker, and catch what C code writes too."""
        with (self.place / "stdout").open("w+") as out, (self.place / "stderr").open("w+") as err:
            found = main_into(out.fileno(), err.fileno(), self.place, arguments)
            out.seek(0)
            err.seek(0)
            self._note(arguments, found, code, out.read(), err.read())

    def _note(self, arguments: tuple[str | Path, ...], found: int, code: int, out: str, err: str) -> None:
        assert found == code, err
        name = " ".join(Path(str(argument)).name for argument in arguments)
        self.said[f"stdout of {name}"], self.said[f"stderr of {name}"] = out, err


def main_into(out: int, err: int, place: Path, arguments: tuple[str | Path, ...]) -> int:
    """Call the program's main function with its standard output and error, as descriptors, led elsewhere."""
    kept, handler = (os.dup(1), os.dup(2)), signal.getsignal(signal.SIGTERM)
    os.dup2(out, 1)
    os.dup2(err, 2)
    try:
        with (
            open(1, "w", closefd=False) as stdout,
            open(2, "w", closefd=False) as stderr,
            contextlib.redirect_stdout(stdout),
            contextlib.redirect_stderr(stderr),
            contextlib.chdir(place),
            pytest.MonkeyPatch.context() as patch,
        ):
            patch.setattr(sys, "argv", ["slidescore", "--debug", *map(str, arguments)])
            main()
    except SystemExit as ended:
        return int(ended.code or 0)
    finally:
        signal.signal(signal.SIGTERM, handler)
        for number, old in enumerate(kept, start=1):
            os.dup2(old, number)
            os.close(old)
    return 0


@pytest.fixture(scope="module")
def trial(tmp_path_factory: pytest.TempPathFactory) -> Trial:
    """Score, rescore, export, verify and inspect the slides, under their names and under pseudonyms."""
    trial = Trial(tmp_path_factory.mktemp("trial"))
    write_slides(trial.slides)
    check_traps(trial.slides)
    text = classical_text()
    (trial.place / "first.yaml").write_text(text)
    (trial.place / "second.yaml").write_text(text.replace("[0.2, 0.4, 0.6]", "[0.15, 0.4, 0.6]"))
    roi = trial.slides.parent / "roi"
    for name in (*GOOD[:1], f"{TOKENS['folder below']}/{TOKENS['file name']} 1950.svs", f"{TOKENS['file name']}.svs"):
        (roi / name).parent.mkdir(parents=True, exist_ok=True)
        (roi / f"{name}.geojson").write_text(json.dumps(ROI))
    broken = roi / "dicom" / "level0.dcm.geojson"
    broken.parent.mkdir()
    broken.write_text('{"features": [{"geometry": null}]}')
    # One file is said to be another than it is.
    sums = {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(trial.slides.rglob("*.svs"))}
    lines = [f"{'0' * 64 if 'cut' in path.name else digest}  {path}\n" for path, digest in sums.items()]
    manifest = trial.slides.parent / "manifest.sha256"
    manifest.write_text("".join(lines))
    score = ("score", trial.slides, "--assay", "first.yaml")
    trial.start(*score, "--workers", "1", "--out", "named", code=3)
    trial.run("rescore", "named", "--out", "rescored", "--assay", "second.yaml", code=3)
    trial.run("export", "named", "--to", "csv")
    trial.run("export", "named", "--to", "geojson", "--gzip", "--out", "geojson")
    trial.run("verify", "named")
    key = trial.slides.parent / "key.csv"
    hidden = (*score, "--roi", roi, "--checksums", manifest, "--pseudonymize", key, "--out", "hidden")
    trial.start(*hidden, "--workers", "2", code=3)
    trial.start(*hidden, "--workers", "1", code=3)
    trial.run("rescore", "hidden", "--out", "hidden2", "--assay", "second.yaml", "--key", key, code=3)
    trial.run("rescore", "hidden", "--out", "hidden3", "--assay", "second.yaml", code=3)
    trial.run("export", "hidden", "--to", "geojson")
    trial.run("verify", "hidden")
    trial.run("verify", "hidden2")
    for name in (*GOOD, "mirax.mrxs", "leica.scn", "no resolution.svs"):
        trial.run("info", trial.slides / name, code=0 if name in GOOD or "resolution" in name else 3)
    trial.start("info", trial.slides / "photo.jpg")
    return trial


def unpacked(name: str, content: bytes) -> Iterator[bytes]:
    """A file's bytes, and what is packed inside them."""
    yield content
    if name.endswith(".gz"):
        yield gzip.decompress(content)
    if name.endswith(".html"):
        for packed in re.findall(rb"base64,([A-Za-z0-9+/=]+)", content):
            yield base64.b64decode(packed)
    if content.startswith(b"\x89PNG"):
        for start in (found.end() for found in re.finditer(rb"zTXt|iTXt", content)):
            yield zlib.decompressobj().decompress(content[start : start + 10_000].split(b"\0", 2)[-1])


def texts_of(path: Path) -> Iterator[str]:
    """What a reader of tables and pictures gets out of a file."""
    if path.suffix == ".parquet":
        table = pq.read_table(path)
        yield str(table.schema)
        yield str(pq.read_metadata(path).metadata)
        yield " ".join({str(value) for column in table.columns for value in column.to_pylist() if type(value) is str})
    if path.suffix in (".tiff", ".tif"):
        with tifffile.TiffFile(path) as tiff:
            yield str([[(tag.name, tag.value) for tag in page.aspage().tags] for page in tiff.pages])
    if path.suffix == ".png":
        with Image.open(path) as picture:
            yield str(picture.info)


def hits(content: bytes, tokens: list[str]) -> list[str]:
    lower = content.lower()
    coded = {token: [token.lower().encode(form) for form in ("utf-8", "utf-16-le", "utf-16-be")] for token in tokens}
    return [token for token, forms in coded.items() if any(form in lower for form in forms)]


def found_in(trial: Trial, folder: Path, tokens: list[str], *, but: str = "") -> list[tuple[str, list[str]]]:
    """Names and contents of all files of a folder in which a token occurs."""
    found = []
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(trial.place).as_posix()
        if but and path.name == but:
            continue
        parts = [name.encode()]
        if path.is_file():
            parts += [*unpacked(name, path.read_bytes()), *(text.encode() for text in texts_of(path))]
        seen = sorted({token for part in parts for token in hits(part, tokens)})
        found += [(name, seen)] if seen else []
    return found


def test_there_are_at_least_twenty_tokens_and_each_is_found_where_it_was_planted(trial: Trial) -> None:
    assert len(TOKENS) >= 20
    planted = found_in(trial, trial.slides, list(TOKENS.values()))
    # What is drawn in pixels is no text; of zTXt chunks and tags the search looks inside.
    in_pixels = {TOKENS["svs label pixels"], TOKENS["svs macro"]}
    assert {token for _, seen in planted for token in seen} | in_pixels == set(TOKENS.values())


def test_good_slides_are_scored_and_the_others_fail_with_a_reason(trial: Trial) -> None:
    table = (trial.place / "named" / "scores.csv").read_text().splitlines()
    assert len(table) == 1 + len(GOOD) + 1 + 8
    assert sum(",scored," in line for line in table) == len(GOOD) + 1
    assert sum(",failed," in line for line in table) == 8


def test_under_their_names_slides_give_no_identity_away(trial: Trial) -> None:
    tokens = [token for place, token in TOKENS.items() if place not in IN_NAMES]
    inside = [token for token in tokens if token != TOKENS["folder above"]]
    for run in ("named", "rescored"):
        assert found_in(trial, trial.place / run, tokens, but="run.json") == []
        assert hits((trial.place / run / "run.json").read_bytes(), inside) == []
    assert found_in(trial, trial.place / "geojson", tokens) == []


def test_under_pseudonyms_not_even_their_names(trial: Trial) -> None:
    tokens = list(TOKENS.values())
    for run in ("hidden", "hidden2", "hidden3"):
        assert found_in(trial, trial.place / run, tokens) == []
    content = read_json(trial.place / "hidden" / "run.json")
    assert content["pseudonymized"] is True
    assert (content["command"], content["inputs"], content["roi"]) == ([], [], None)
    assert set(content["slides"].values()) == {None}
    assert str(trial.place) not in (trial.place / "hidden" / "run.json").read_text()


def test_what_is_said_on_the_terminal_gives_nothing_away(trial: Trial) -> None:
    assert len(trial.said) > 20
    for name, text in trial.said.items():
        places = IN_NAMES if "named" in name else ()
        tokens = [token for place, token in TOKENS.items() if place not in places]
        assert hits(text.encode(), tokens) == [], name
    assert "stderr of score in --assay first.yaml --workers 1 --out named" in trial.said
    [resumed] = [text for name, text in trial.said.items() if "hidden --workers 1" in name and "stderr" in name]
    assert resumed.count("already done") == len(GOOD)


def test_libraries_warn_of_nothing_where_a_user_reads(trial: Trial) -> None:
    """A warning is printed with its words and with the folder that the library is installed in."""
    for name, text in trial.said.items():
        assert "Warning" not in text, name
        assert "site-packages" not in text or "info" in name, name


def test_a_trace_was_shown_and_quotes_nothing(trial: Trial) -> None:
    assert "SlideOpenError" in trial.said["stderr of info mirax.mrxs"]
    assert "led to" in trial.said["stderr of info mirax.mrxs"]


def test_the_key_file_alone_leads_back(trial: Trial) -> None:
    key = (trial.slides.parent / "key.csv").read_text()
    assert key.count("\n") == 1 + len(GOOD) + 1 + 8
    assert TOKENS["file name"] in key
    table = (trial.place / "hidden" / "scores.csv").read_text().splitlines()[1:]
    assert [line.split(",")[1] for line in table] == [f"slide-{n:04d}" for n in range(1, len(GOOD) + 10)]


def test_a_key_file_draws_the_pictures_again_and_its_lack_leaves_them_out(trial: Trial) -> None:
    assert len(list(trial.place.glob("hidden2/slides/*/thumbnail.png"))) == len(GOOD)
    assert not list(trial.place.glob("hidden3/slides/*/thumbnail.png"))
    for name in ("scores.csv", "regions.csv"):
        assert (trial.place / "hidden2" / name).read_bytes() == (trial.place / "hidden3" / name).read_bytes()


def test_no_picture_shows_a_label_or_macro_image(trial: Trial) -> None:
    pictures = [path for kind in ("overlay.tiff", "thumbnail.png") for path in trial.place.rglob(kind)]
    shown = [
        imagecodecs.imread(path.read_bytes()) if path.suffix == ".png" else tifffile.imread(path) for path in pictures
    ]
    for page in trial.place.rglob("report.html"):
        shown += [
            imagecodecs.jpeg8_decode(packed)
            for packed in unpacked(page.name, page.read_bytes())
            if packed[:2] == b"\xff\xd8"
        ]
    assert len(shown) > 50
    for picture in shown:
        for colour in (LABEL_COLOUR, MACRO_COLOUR):
            near = np.abs(picture[..., :3].astype(int) - colour).max(axis=-1) < 60
            assert not near.any()


def test_associated_images_are_never_touched(tmp_path: Path, assay: Assay, monkeypatch: pytest.MonkeyPatch) -> None:
    """Scoring, drawing and inspecting a slide that has a label and a macro image."""

    def refuse(*_: object) -> None:
        raise AssertionError("an associated image was read")

    touching = [name for name in vars(openslide.lowlevel) if "associated_image" in name and not name.startswith("_")]
    assert len(touching) >= 3
    for name in touching:
        monkeypatch.setattr(openslide.lowlevel, name, refuse)
    monkeypatch.setattr(openslide.OpenSlide, "associated_images", property(refuse))
    # The thumbnail of OpenSlide is drawn from the pyramid too, but ours follows the rules of the overlay.
    monkeypatch.setattr(openslide.OpenSlide, "get_thumbnail", refuse)
    monkeypatch.setattr(tifffile.TiffPage, "asarray", refuse)
    field = np.full((300, 300, 3), 235, np.uint8)
    write_svs(tmp_path / "a.svs", field, 0.5)
    result = score_slide(tmp_path / "a.svs", assay)
    with PictureReader(lambda: open_slide(tmp_path / "a.svs")) as reader:
        write_slide_pictures(tmp_path, result, reader, NO_ANNOTATIONS, overlay_mpp=1.0)
    assert (tmp_path / "thumbnail.png").is_file()
    shown = CliRunner().invoke(info, [str(tmp_path / "a.svs")])
    assert "unlisted-" in shown.output
    assert hits(shown.output.encode(), list(TOKENS.values())) == []


def test_no_source_names_associated_images_or_prints_metadata_whole() -> None:
    for path in sorted(PACKAGE.rglob("*.py")):
        tree = ast.parse(path.read_text())
        names = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
        assert not names & {"associated_images", "get_thumbnail", "color_profile", "ome_metadata", "pages_metadata"}, (
            path
        )
        assert "print_exc" not in names, path
        assert "format_exc" not in names, path


def test_annotations_and_checksums_are_found_by_the_slides_own_names(trial: Trial) -> None:
    results = [read_json(path) for path in trial.place.glob("hidden/slides/*/result.json")]
    drawn = [record["annotations"]["file"] for record in results if record["annotations"]]
    assert sorted(drawn) == sorted(f"{r['file']}.geojson" for r in results if r["annotations"])
    assert len(drawn) == 2
    assert all(name.startswith("slide-") for name in drawn)
    assert sorted(r["integrity"]["status"] for r in results) == ["unverified", "verified", "verified"]
    assert "its SHA-256 is not the one in the checksum manifest" in (trial.place / "hidden" / "scores.csv").read_text()


def test_a_slide_that_is_lost_while_it_is_drawn_is_not_named(trial: Trial, monkeypatch: pytest.MonkeyPatch) -> None:
    def lost(reader: PictureReader, *_: object, **__: object) -> NoReturn:
        raise SlideOpenError("no such file", where=str(trial.slides / "patient.svs"))

    monkeypatch.setattr(PictureReader, "read_region", lost)
    monkeypatch.setattr(PictureReader, "read_means", lost)
    key = trial.slides.parent / "key.csv"
    trial.run("rescore", "hidden", "--out", "hidden4", "--assay", "second.yaml", "--key", key, code=3)
    assert found_in(trial, trial.place / "hidden4", list(TOKENS.values())) == []
    said = "".join(text for name, text in trial.said.items() if "hidden4" in name)
    assert "slide-0001" in said
    assert hits(said.encode(), list(TOKENS.values())) == []
    assert not list(trial.place.glob("hidden4/slides/*/thumbnail.png"))
    assert len(list(trial.place.glob("hidden4/slides/*/report.html"))) == len(GOOD)
