"""Tables on the terminal show names as they are, and lose nothing where there is no terminal."""

from __future__ import annotations

import pytest

from slidescore.cli.console import FILE_WIDTH, print_table


def test_brackets_are_no_style_and_numbers_stand_on_the_right(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(("file", "cells"), [("[red]a[/red].svs", "7"), ("b.svs", "1,200")], numbers=("cells",))
    assert capsys.readouterr().out.splitlines() == [
        "file              cells",
        "[red]a[/red].svs      7",
        "b.svs             1,200",
    ]


def test_a_long_name_is_folded_and_not_cut(capsys: pytest.CaptureFixture[str]) -> None:
    name = "".join(chr(ord("a") + k % 26) for k in range(2 * FILE_WIDTH))
    print_table(("file",), [(name,)])
    assert "".join(capsys.readouterr().out.split()) == f"file{name}"
