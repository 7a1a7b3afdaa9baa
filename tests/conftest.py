"""Fixtures that several rooms share; phantoms are drawn once a session and never changed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import settings

import phantom as ph
from classical_assay import classical_loaded
from slidescore.assay import Assay, LoadedAssay
from slidescore.cells import build_cells
from slidescore.cells.table import pack_outlines
from slidescore.slide.openslide_reader import OpenSlideReader
from slidescore.stain import StainVectors

# Examples are the same in every run, and a slow, shared core fails no test.
settings.register_profile("slidescore", deadline=None, derandomize=True, max_examples=40)
# For a long look at new code: pytest --hypothesis-profile soak.
settings.register_profile("soak", deadline=None, max_examples=1000)
settings.load_profile("slidescore")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run what is slow last: who broke something small hears of it soon."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is not None)


@pytest.fixture(autouse=True)
def no_slide_left_open(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Fail a test that leaves an OpenSlide handle open: handles are files, and a cohort has thousands."""
    opened: list[OpenSlideReader] = []
    original = OpenSlideReader.__init__

    def open_and_note(self: OpenSlideReader, path: Path, remarks: Sequence[str] = ()) -> None:
        original(self, path, remarks)
        opened.append(self)

    monkeypatch.setattr(OpenSlideReader, "__init__", open_and_note)
    yield
    left = [reader._path.name for reader in opened if not reader._closed]
    assert not left, f"left open: {left}"


@pytest.fixture(scope="session")
def loaded_assay() -> LoadedAssay:
    """The default assay with its text; classical, see `classical_assay`."""
    return classical_loaded("cxcr4")


@pytest.fixture(scope="session")
def assay(loaded_assay: LoadedAssay) -> Assay:
    """The default assay; classical, see `classical_assay`."""
    return loaded_assay.assay


@pytest.fixture(scope="session")
def vectors(assay: Assay) -> StainVectors:
    """The fixed stain vectors of the default assay."""
    return StainVectors(assay.stains.hematoxylin, assay.stains.dab, "fixed")


@pytest.fixture(scope="session")
def change() -> Callable[..., Any]:
    """Copy a frozen model with some values changed: `change(assay, {"call.cutoff.value": 200.0})`."""

    def changed(model: Any, values: dict[str, Any]) -> Any:
        for dotted, value in values.items():
            name, _, rest = dotted.partition(".")
            inner = changed(getattr(model, name), {rest: value}) if rest else value
            model = model.model_copy(update={name: inner})
        return model

    return changed


@pytest.fixture(scope="session")
def crowded() -> ph.Phantom:
    """A field as hard as tissue: about 1,500 crowded and touching cells with all four bins, no glass."""
    return ph.draw_phantom(ph.crowded_spec(11, n_cells=1500))


@pytest.fixture(scope="session")
def apart() -> ph.Phantom:
    """About 200 cells apart, OD away from the thresholds."""
    return ph.draw_phantom(ph.apart_spec(5, n_cells=200))


@pytest.fixture(scope="session")
def island() -> ph.Phantom:
    """An island of tumour and stroma on glass, about 300 cells, at 0.5 um/px; half of it glass, enough for white."""
    return ph.draw_phantom(ph.slide_spec(4, mpp=0.5, side_px=760, tissue_fraction=0.5))


MakeCells = Callable[..., pa.Table]


@pytest.fixture(scope="session")
def make_cells() -> MakeCells:
    """Make a cell table from DAB optical densities: `make_cells([0.1, 0.5], dab_od_membrane=[None, 0.4])`."""

    def make(dab_od: Sequence[float | None], **columns: Sequence[Any]) -> pa.Table:
        n = len(dab_od)
        od = pa.array(dab_od, pa.float32())
        outline = np.array([(-4, -4), (4, -4), (4, 4), (-4, 4)], np.int16)
        given: dict[str, Any] = {
            "cell_id": np.arange(n, dtype=np.int64),
            "x": np.arange(n, dtype=np.float32) * 20,
            "y": np.zeros(n, np.float32),
            "tile": np.zeros(n, np.int32),
            "nucleus_area_um2": np.full(n, 40.0),
            "cell_area_um2": np.full(n, 160.0),
            "nucleus_eccentricity": np.full(n, 0.5),
            "hematoxylin_od_nucleus": np.full(n, 0.25),
            "nucleus_outline": pack_outlines([outline] * n),
            "cell_outline": pack_outlines([2 * outline] * n),
        }
        given |= dict.fromkeys(("dab_od_nucleus", "dab_od_cytoplasm", "dab_od_membrane", "dab_od_cell"), od)
        given |= {name: pa.array(values) if isinstance(values, list) else values for name, values in columns.items()}
        return build_cells(given, n)

    return make
