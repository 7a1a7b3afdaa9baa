"""What every HTML page of a run shares: one style, one way to write a number, one footer.

Pages are self-contained: styles, pictures and charts are inside them, and a content policy forbids anything else, so
that a page can be mailed, archived and printed. Everything that comes from a file (names above all) is escaped.
"""

from __future__ import annotations

import base64
import hashlib
import math
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

RESEARCH_USE: Final = "Research use only. Not for diagnostic procedures."
NOTHING: Final = "–"
"""What stands where a number was not computed; never zero."""

_TEMPLATES: Final = Path(__file__).parent / "templates"
_STYLES: Final = ("tokens.css", "page.css")
"""tokens.css is shared with the review app."""
_WHOLE_PERCENT: Final = 10.0
_ALL: Final = 100.0


def render_page(template: str, script: str = "", **context: Any) -> str:
    """Render a template of this package.

    Parameters
    ----------
    template
        File name in `templates`.
    script
        File name in `templates` of the page's one script; a page without it runs none.
    context
        What the template fills in.
    """
    code = (_TEMPLATES / script).read_text(encoding="utf-8") if script else ""
    # Only this very script may run, whatever a name smuggles in.
    digest = base64.b64encode(hashlib.sha256(code.encode()).digest()).decode()
    page_template = _environment().get_template(template)
    page = page_template.render(
        style=Markup("".join((_TEMPLATES / name).read_text(encoding="utf-8") for name in _STYLES)),
        script=Markup(code),
        script_policy=f"'sha256-{digest}'" if code else "'none'",
        research_use=RESEARCH_USE,
        **context,
    )
    # A file name that is no valid UTF-8 arrives as lone surrogates, which no encoder takes.
    return page.encode("utf-8", "backslashreplace").decode("utf-8")


def as_number(value: Any) -> float | None:
    """Read a number that may be missing, or still text from a table; None for missing, empty and not finite."""
    if value is None or value == "":
        return None
    number = float(value)
    return number if math.isfinite(number) else None


def show_number(value: Any, digits: int = 0) -> str:
    """Write a number with a fixed number of decimals and grouped thousands."""
    number = as_number(value)
    return NOTHING if number is None else f"{number:,.{digits}f}"


def show_score(value: Any, digits: int = 0) -> str:
    """Write an H-score; a true minus never occurs, so 0 to 300 needs no grouping."""
    number = as_number(value)
    return NOTHING if number is None else f"{number:.{digits}f}"


def show_percent(value: Any) -> str:
    """Write a percentage (0 to 100): no decimals above 10, one below, and never a 0 or 100 that is only rounded."""
    number = as_number(value)
    if number is None:
        return NOTHING
    if 0 < number < 0.1:  # noqa: PLR2004 - the least that one decimal shows
        return "<0.1 %"
    if _ALL > number > 99.5:  # noqa: PLR2004 - would round to 100
        return ">99 %"
    digits = 0 if number >= _WHOLE_PERCENT or number == 0 else 1
    return f"{number:.{digits}f} %"


def show_fraction(value: Any) -> str:
    """Write a fraction (0 to 1) as a percentage."""
    number = as_number(value)
    return NOTHING if number is None else show_percent(100 * number)


def show_cutoff(text: Any) -> str:
    """Write a cut-off as the tables state it (`h_score cytoplasm >= 150`) for readers (`H-score cytoplasm ≥ 150`)."""
    words = {"h_score": "H-score", "percent_positive": "percent positive", ">=": "≥"}
    return " ".join(words.get(word, word) for word in str(text or "").split())


def data_uri(content: bytes, mime: str) -> str:
    """Put a picture into an address."""
    return f"data:{mime};base64,{base64.b64encode(content).decode('ascii')}"


def show_call(row: Mapping[str, Any]) -> dict[str, str]:
    """Describe the badge of a row of scores.csv: its text, its CSS class, and what stands beside it."""
    status = row.get("status")
    call = "FAILED" if status == "failed" else str(row.get("call") or NOTHING)
    provisional = call not in ("FAILED", "NOT_EVALUABLE", NOTHING) and row.get("call_status") == "provisional"
    return {
        "text": call.replace("_", " "),
        "style": f"call-{call.lower().replace('_', '-')}" if call != NOTHING else "call-not-evaluable",
        "provisional": "PROVISIONAL" if provisional else "",
        "reason": str(row.get("reason") or ""),
    }


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "number": show_number,
        "score": show_score,
        "percent": show_percent,
        "fraction": show_fraction,
        "data_uri": data_uri,
    }
    return environment
