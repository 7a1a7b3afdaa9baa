"""What `import slidescore` gives, and what it does not load."""

from __future__ import annotations

import subprocess
import sys

import pytest

import slidescore

NAMES = {
    "open_slide", "load_assay", "score_slide", "score_directory", "rescore", "Assay", "SlideResult", "SlidescoreError",
}  # fmt: skip
HEAVY = {"torch", "numba", "cv2", "skimage", "scipy", "numpy", "pyarrow", "openslide", "click", "rich", "matplotlib"}


def loaded_after(statement: str) -> set[str]:
    """Which heavy packages a fresh interpreter holds after a statement."""
    code = f"import sys\n{statement}\nsys.stdout.write(' '.join({{name.split('.')[0] for name in sys.modules}}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return HEAVY & set(done.stdout.split())


def test_the_public_names_are_these_eight():
    assert set(slidescore.__all__) == NAMES
    assert len(slidescore.__all__) == len(NAMES)
    assert set(dir(slidescore)) == NAMES


@pytest.mark.parametrize("name", sorted(NAMES))
def test_each_public_name_resolves_to_what_it_is_called(name):
    assert getattr(slidescore, name).__name__ == name


def test_another_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'score_slides'"):
        slidescore.score_slides  # noqa: B018


def test_importing_slidescore_loads_nothing_heavy():
    assert loaded_after("import slidescore") == set()


def test_no_public_name_loads_torch():
    every = f"import slidescore\nfor name in {sorted(NAMES)}: getattr(slidescore, name)"
    assert "torch" not in loaded_after(every)


def test_reading_an_assay_loads_no_image_library():
    assert not loaded_after("import slidescore; slidescore.load_assay()") & {"torch", "numba", "cv2", "openslide"}
