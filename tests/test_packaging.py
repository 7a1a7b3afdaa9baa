"""What the wheel carries beside the code: model cards and weights, the pages of the review and their viewer."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

from slidescore.nn.card import CARD_FILE, WEIGHTS_FILE
from slidescore.review.viewer_file import VIEWER as VIEWER_AT

ROOT = Path(__file__).resolve().parent.parent
BUILD = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]
INCLUDED: dict[str, str] = BUILD["wheel"]["force-include"]


def test_the_wheel_lists_every_model_file_by_file():
    names = ["models/README.md"]
    for card in (ROOT / "models").glob(f"*/{CARD_FILE}"):
        names += [f"models/{card.parent.name}/{name}" for name in (CARD_FILE, WEIGHTS_FILE)]
    assert sorted(name for name in INCLUDED if name.startswith("models")) == sorted(names)


@pytest.mark.parametrize("source", INCLUDED)
def test_what_the_wheel_lists_is_there_and_keeps_its_name(source):
    assert INCLUDED[source] == f"slidescore/{source}"
    path = ROOT / source
    # A folder is taken whole, ignored files and all, so only one that holds nothing else may stand there.
    assert path.is_file() or {each.suffix for each in path.iterdir()} == {".yaml"}


def test_the_source_archive_takes_no_more_of_a_model():
    patterns = [name for name in BUILD["sdist"]["include"] if name.startswith("models")]
    assert patterns == ["models/README.md", f"models/*/{CARD_FILE}", f"models/*/{WEIGHTS_FILE}"]


# ---- the review app ----

WEB = "src/slidescore/review/web"
VIEWER = f"{WEB}/vendor/openseadragon.min.js"
VIEWER_LICENSE = f"{WEB}/vendor/openseadragon-LICENSE.txt"
NPM_FILES = {"package.json", "package-lock.json"}


@pytest.fixture(scope="module")
def wheel_names(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The files of a wheel built from a copy of the tree in which npm has just worked."""
    tree = tmp_path_factory.mktemp("tree")
    for name in ("pyproject.toml", ".gitignore", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tree / name)
    for source in INCLUDED:
        copy = shutil.copytree if (ROOT / source).is_dir() else shutil.copy
        (tree / source).parent.mkdir(parents=True, exist_ok=True)
        copy(ROOT / source, tree / source)
    shutil.copytree(ROOT / "src", tree / "src", ignore=shutil.ignore_patterns("node_modules", "vendor", "__pycache__"))
    left = f"{WEB}/node_modules/left"
    for name in (VIEWER, VIEWER_LICENSE, f"{left}/index.js", f"{left}/vendor/index.js"):
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_text("// not the real one")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tree / "dist")]
    built = subprocess.run(command, cwd=tree, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    [wheel] = (tree / "dist").glob("*.whl")
    return zipfile.ZipFile(wheel).namelist()


def test_a_wheel_holds_the_pages_and_their_viewer(wheel_names):
    tracked = [path for path in (ROOT / WEB).iterdir() if path.is_file()]
    assert {"cohort.html", "slide.html", "read.html", "app.css"} <= {path.name for path in tracked}
    pages = [f"{WEB}/{path.name}" for path in tracked if path.name not in NPM_FILES]
    # Its license is the condition under which the viewer may be handed on.
    for name in (*pages, VIEWER, VIEWER_LICENSE):
        assert name.removeprefix("src/") in wheel_names
    assert {"slidescore/configs/cxcr4.yaml", "slidescore/report/templates/tokens.css"} <= set(wheel_names)


def test_a_wheel_holds_nothing_that_npm_left(wheel_names):
    assert [name for name in wheel_names if "node_modules" in name or Path(name).name in NPM_FILES] == []


def test_the_lock_file_names_versions_and_digests_and_no_address():
    text = (ROOT / WEB / "package-lock.json").read_text()
    assert '"node_modules/openseadragon"' in text
    assert '"integrity": "sha512-' in text
    assert re.findall(r'"resolved"|https?://(?!opencollective|github)', text) == []


def test_make_puts_the_viewer_where_the_review_looks_for_it():
    makefile = (ROOT / "Makefile").read_text()
    assert f"WEB := {WEB}" in makefile
    assert "VIEWER := $(WEB)/vendor/openseadragon.min.js" in makefile
    assert f"openseadragon/LICENSE.txt $(@D)/{Path(VIEWER_LICENSE).name}" in makefile
    for target in ("demo", "test", "web"):
        assert re.search(rf"^{target}:.* \$\(VIEWER\)$", makefile, re.MULTILINE)
    assert ROOT / VIEWER == VIEWER_AT
