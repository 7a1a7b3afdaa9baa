"""Show measured tables, and put them between their markers in a page; prose is not touched."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path


def publish_tables(tables: Mapping[str, Sequence[str]], page: Path | None) -> None:
    """Print tables, and put them between their markers in a page if one is given.

    Raises
    ------
    SystemExit
        If the page has no `<!-- table: NAME -->` for one of them.
    """
    for name, lines in tables.items():
        print(f"\n{name}\n", *lines, sep="\n")
    if page is None:
        return
    text = page.read_text(encoding="utf-8")
    for name, lines in tables.items():
        pattern = re.compile(rf"(<!-- table: {re.escape(name)} -->\n).*?(<!-- end -->)", re.DOTALL)
        if not pattern.search(text):
            raise SystemExit(f"{page} has no place for the table '{name}'")
        block = "\n".join(lines)
        text = pattern.sub(lambda found, block=block: f"{found[1]}{block}\n{found[2]}", text)
    page.write_text(text, encoding="utf-8")
