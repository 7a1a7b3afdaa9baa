"""A review without its viewer says what is missing and what to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from slidescore.errors import InputError
from slidescore.review.viewer_file import check_viewer


def test_a_viewer_that_is_there_is_enough(tmp_path: Path) -> None:
    (tmp_path / "viewer.js").write_text("// here")
    check_viewer(tmp_path / "viewer.js")


def test_a_missing_viewer_is_one_line_with_a_remedy(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        check_viewer(tmp_path / "viewer.js")
    assert "make web" in caught.value.remedy
    assert "\n" not in str(caught.value)
    assert str(tmp_path) not in str(caught.value)
