"""README's Python runs, and names every verb and every option of `score`."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import click

from slidescore.cli.main import VERBS, cli

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_python_of_the_readme_runs() -> None:
    [code] = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert re.search(r"^H \d+, (HIGH|LOW): \d+ of \d+ cells are 3\+$", done.stdout, re.MULTILINE)


def test_every_verb_and_every_option_of_score_is_named() -> None:
    assert all(f"slidescore {verb} " in README or f"slidescore {verb}`" in README for verb in VERBS)
    score = cli.get_command(click.Context(cli), "score")
    assert score is not None
    options = [name for parameter in score.params if isinstance(parameter, click.Option) for name in parameter.opts]
    assert [name for name in options if name not in README] == []


def test_every_picture_and_link_of_the_readme_exists() -> None:
    targets = re.findall(r"\]\(([^)#]+)\)", README)
    assert targets
    assert [target for target in targets if not (ROOT / target).exists()] == []
