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
MINUS: Final = "\N{MINUS SIGN}"
"""Stands before numbers below zero: a hyphen may end a line, and begins a formula in a spreadsheet."""

NO_CALL: Final = "no call"
"""What stands where an assay without a cut-off scored."""
STATUS_WORDS: Final = {"provisional": "PROVISIONAL", "unverified": "UNVERIFIED"}
"""What always stands beside a call whose cut-off is not validated, by the cut-off's status."""
SCALE_WORDS: Final = {
    "h_score": "H-score",
    "percent_positive": "percent positive",
    "irs": "immunoreactive score",
    "allred": "Allred score",
    "pixel_h_score": "pixel H-score",
}
"""Names of scales within a sentence."""
STEP_SCALES: Final = frozenset({"irs", "allred"})
"""Scales that hold whole numbers only."""

_TEMPLATES: Final = Path(__file__).parent / "templates"
_STYLES: Final = ("tokens.css", "page.css")
"""tokens.css is shared with the review app."""
_WHOLE_PERCENT: Final = 10.0
_ALL: Final = 100.0
_LEAST_CHANCE: Final = 0.01


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


def show_value(scale: str, value: Any, digits: int = 0) -> str:
    """Write a score on a scale; `digits` decimals where the scale has any and is not percent."""
    if scale == "percent_positive":
        return show_percent(value)
    return show_score(value, 0 if scale in STEP_SCALES else digits)


def show_interval(scale: str, low: Any, high: Any, digits: int = 0) -> str:
    """Write an interval of a score, for example `121 to 166`; empty where there is none."""
    if as_number(low) is None or as_number(high) is None:
        return ""
    return f"{show_value(scale, low, digits)} to {show_value(scale, high, digits)}"


def show_estimate(value: Any, low: Any, high: Any, digits: int) -> str:
    """Write an estimate with its interval, `143 (121 to 166)`; without an interval the estimate alone."""
    if as_number(value) is None:
        return NOTHING
    ends = f" ({show_score(low, digits)} to {show_score(high, digits)})"
    known = as_number(low) is not None and as_number(high) is not None
    return f"{show_score(value, digits)}{ends if known else ''}".replace("-", MINUS)


def show_chance(value: Any) -> str:
    """Write a probability with two decimals, never a 0 or 1 that is only rounded."""
    number = as_number(value)
    if number is None:
        return NOTHING
    if 0 < number < _LEAST_CHANCE:
        return f"<{_LEAST_CHANCE}"
    return f">{1 - _LEAST_CHANCE}" if 1 - _LEAST_CHANCE < number < 1 else f"{number:.2f}"


def show_cutoff(text: Any) -> str:
    """Write a cut-off as the tables state it (`h_score cytoplasm >= 150`) for readers (`H-score cytoplasm ≥ 150`)."""
    words = {**SCALE_WORDS, ">=": "≥"}
    return " ".join(words.get(word, word) for word in str(text or "").split())


def data_uri(content: bytes, mime: str) -> str:
    """Put a picture into an address."""
    return f"data:{mime};base64,{base64.b64encode(content).decode('ascii')}"


def show_call(row: Mapping[str, Any]) -> dict[str, str]:
    """Describe the badge of a row of scores.csv: its text, its CSS class, and what stands beside it."""
    call = row.get("call") or {"failed": "FAILED", "not_evaluable": "NOT_EVALUABLE"}.get(str(row.get("status")), "")
    decided = call not in ("", "FAILED", "NOT_EVALUABLE")
    return {
        "text": str(call).replace("_", " ") or NO_CALL,
        "style": f"call-{str(call).lower().replace('_', '-') or 'none'}",
        "status": STATUS_WORDS.get(str(row.get("call_status")), "") if decided else "",
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
        "chance": show_chance,
        "data_uri": data_uri,
    }
    return environment
