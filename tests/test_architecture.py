"""The arrows of DESIGN.md section 3, held mechanically."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import slidescore

PACKAGE = Path(slidescore.__file__).parent
SOURCES = {
    ".".join(["slidescore", *path.relative_to(PACKAGE).with_suffix("").parts]).removesuffix(".__init__"): path
    for path in sorted(PACKAGE.rglob("*.py"))
}

# From the ground up. A room imports itself and the floors below it; rooms on one floor do not see one another.
FLOORS = (
    {"errors", "geometry", "kernels", "version"},
    {"assay", "stain"},
    {"slide", "execute"},
    {"tissue", "annotations"},
    {"tiles"},
    {"cells"},
    {"scoring", "nn"},
    {"qc"},
    {"report"},
    {"audit"},
    {"cohort"},
    {"pipeline", "review", "training", "monitor"},
    {"cli"},
    {"slidescore", "__main__"},
)
FLOOR = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
NAMELESS = {"utils", "util", "helpers", "common", "core", "base", "misc", "tools"}


def room_of(module: str) -> str:
    """The room a module lies in: `slidescore.cells.seam` is in `cells`, `slidescore` itself is the front door."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else "slidescore"


def imported(tree: ast.AST) -> Iterator[str]:
    """Every module that a source imports, wherever the statement stands; a relative import is yielded with its dots."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level:
            yield "." * node.level + (node.module or "")
        elif isinstance(node, ast.ImportFrom) and node.module == "slidescore":
            # `from slidescore import cells` is the room, `from slidescore import score_slide` the front door.
            yield from (f"slidescore.{alias.name}" if alias.name in FLOOR else "slidescore" for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield str(node.module)


def wrong_arrows(module: str, source: str) -> list[str]:
    """Imports that go up, sideways, nowhere or by dots."""
    room, wrong = room_of(module), []
    for target in imported(ast.parse(source)):
        if target.startswith("."):
            wrong.append(f"{module} imports {target} by dots")
        elif target.split(".")[0] == "slidescore":
            other = room_of(target)
            if other not in FLOOR:
                wrong.append(f"{module} imports {target}, which is in no room")
            elif other != room and FLOOR[other] >= FLOOR[room]:
                wrong.append(f"{module} imports {target}: {room} must not see {other}")
    return wrong


def outsiders(module: str, source: str, names: set[str]) -> list[str]:
    """Imports of packages that only some rooms may use."""
    return [f"{module} imports {t}" for t in imported(ast.parse(source)) if t.split(".")[0] in names]


def prints(module: str, source: str) -> list[str]:
    calls = (node.func for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call))
    return [f"{module} line {f.lineno} prints" for f in calls if isinstance(f, ast.Name) and f.id == "print"]


def test_every_room_has_a_floor():
    assert {room_of(module) for module in SOURCES} <= set(FLOOR)


@pytest.mark.parametrize("module", SOURCES)
def test_imports_go_down_only(module):
    assert wrong_arrows(module, SOURCES[module].read_text()) == []


@pytest.mark.parametrize("module", [m for m in SOURCES if room_of(m) not in {"nn", "training"}])
def test_only_nn_and_training_import_torch(module):
    assert outsiders(module, SOURCES[module].read_text(), {"torch", "torchvision"}) == []


@pytest.mark.parametrize("module", [m for m in SOURCES if room_of(m) not in {"cli", "__main__"}])
def test_only_cli_talks_to_a_terminal(module):
    source = SOURCES[module].read_text()
    assert outsiders(module, source, {"click", "rich"}) + prints(module, source) == []


def test_scoring_imports_nothing_that_reads_pixels_files_or_clocks():
    allowed = {"__future__", "dataclasses", "enum", "typing", "collections", "numpy", "pyarrow", "math"}
    allowed |= {"types", "hashlib", "scipy", "slidescore"}
    found = {t.split(".")[0] for m in SOURCES if room_of(m) == "scoring" for t in imported(_tree(m))}
    assert found <= allowed


def _tree(module: str) -> ast.AST:
    return ast.parse(SOURCES[module].read_text())


def test_no_module_is_named_for_nothing():
    parts = {part.strip("_") for module in SOURCES for part in module.split(".")}
    assert not parts & NAMELESS


def test_modules_form_no_circle():
    arrows = {m: {t for t in imported(_tree(m)) if t in SOURCES and t != m} for m in SOURCES}
    # The front door names its rooms for type checkers only; `from room import x` reaches x's module through the door.
    del arrows["slidescore"]
    closed: set[str] = set()

    def walk(module: str, path: tuple[str, ...]) -> None:
        assert module not in path, " -> ".join([*path[path.index(module) :], module])
        if module not in closed:
            for target in sorted(arrows.get(module, ())):
                walk(target, (*path, module))
            closed.add(module)

    for module in arrows:
        walk(module, ())


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("slidescore.stain.bad", "from slidescore.cells import measure_cells"),
        ("slidescore.scoring.bad", "def f():\n    import slidescore.pipeline.slide as s\n    return s"),
        ("slidescore.scoring.bad", "if True:\n    from slidescore import report"),
        ("slidescore.stain.bad", "from slidescore.assay import Assay"),
        ("slidescore.slide.bad", "from slidescore.execute import run_tasks"),
        ("slidescore.cells.bad", "from slidescore.nn.network import Network"),
        ("slidescore.review.bad", "from slidescore.pipeline.slide import score_slide"),
        ("slidescore.pipeline.bad", "from slidescore import score_slide"),
        ("slidescore.errors", "import slidescore.geometry"),
        ("slidescore.cells.bad", "from .table import floats"),
        ("slidescore.cells.bad", "from slidescore.cellar import wine"),
    ],
)
def test_a_wrong_arrow_is_seen(module, source):
    assert len(wrong_arrows(module, source)) == 1


def test_a_right_arrow_passes():
    source = "import numpy\nfrom slidescore.cells import floats\nfrom slidescore.scoring.bins import BinCounts"
    assert wrong_arrows("slidescore.scoring.good", source) == []


def test_a_stray_torch_and_a_stray_print_are_seen():
    assert outsiders("slidescore.cells.bad", "def f():\n    import torch.nn", {"torch"})
    assert outsiders("slidescore.cells.bad", "from torch import nn", {"torch"})
    assert not outsiders("slidescore.cells.good", "import torchlike", {"torch"})
    assert prints("slidescore.cells.bad", "def f():\n    print('x')")
    assert not prints("slidescore.cells.good", "out.print('x')")
