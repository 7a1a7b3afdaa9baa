"""What every page must keep: whole, escaped, and in need of no other file."""

from __future__ import annotations

import re
from html.parser import HTMLParser

VOID = {"meta", "img", "br", "link", "input", "hr", "rect", "line"}


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.sources: list[str] = []
        self.links: list[str] = []
        self.scripts = 0
        self.words: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        if tag not in VOID:
            self.open.append(tag)
        self.scripts += tag == "script"
        assert tag not in ("link", "iframe", "object", "embed", "base")
        for name, value in attributes:
            assert not name.startswith("on"), f"{name}={value}"
            if name in ("src", "srcset", "data", "poster", "xlink:href"):
                self.sources.append(value or "")
            elif name == "href":
                self.links.append(value or "")

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        assert tag in VOID

    def handle_endtag(self, tag: str) -> None:
        if tag in ("line",):
            return
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open[-1:] not in (["style"], ["script"]):
            self.words.append(data)


def read_page(html: str) -> tuple[str, _Reader]:
    """Parse a page, check that it is whole and self-contained, and return its text."""
    reader = _Reader()
    reader.feed(html)
    reader.close()
    assert reader.open == []
    assert all(source.startswith("data:image/") for source in reader.sources)
    assert not any(re.match(r"[a-z]+:", link) for link in reader.links)
    assert not re.search(r"url\(|@import|https?://", html)
    assert "default-src 'none'" in html
    text = re.sub(r"\s+", " ", "".join(reader.words))
    assert "Research use only" in text
    return text, reader
