"""Tables and numbers as HTML."""

from __future__ import annotations

import re
from collections.abc import Sequence
from html import escape
from typing import Any

SORTED, SEARCHED = "sorted", 10
"""The class of tables that can be sorted, and the number of rows from which on they can be searched."""


def table(head: list[str], rows: list[list[str]], left: int, anchors: Sequence[str] = ()) -> str:
    """A table of ready HTML cells whose first `left` columns are text; `anchors` are ids of its rows. On a page it can
    be sorted by any column and, if it is long, searched, see `page`."""
    opening = [f'<th class="t">{h}</th>' if i < left else f"<th>{h}</th>" for i, h in enumerate(head)]
    body = []
    for place, row in enumerate(rows):
        cells = [f'<td class="t w">{c}</td>' if i < left else f"<td{_sorted_by(c)}>{c}</td>" for i, c in enumerate(row)]
        own = f' id="{escape(anchors[place])}"' if anchors else ""
        body.append(f"<tr{own}>{''.join(cells)}</tr>")
    searched = str(len(rows) >= SEARCHED).lower()
    return (
        f'<div class="scroll"><table class="{SORTED}" data-paging="false" data-info="false" data-order="[]" '
        f'data-searching="{searched}"><thead><tr>{"".join(opening)}</tr></thead>'
        f"<tbody>{''.join(body)}</tbody></table></div>"
    )


def _sorted_by(cell: str) -> str:
    """The attribute that says by which number a cell is sorted: the first in it; infinite and unknown ones are last."""
    text = re.sub(r"<small>.*?</small>", "", cell).replace("&minus;", "-").replace("&infin;", "1e999").replace(",", "")
    found = re.match(r"\s*(-?\d+(?:\.\d+)?(?:e[+-]?\d+)?)(?=\s|&nbsp;|<|$)", text)
    return f' data-order="{found[1]}"' if found else ""


def number(x: Any, digits: int = 3, small: bool = False) -> str:
    """A number for a cell; `small` also shows the digits of numbers near zero."""
    if x is None:
        return "&ndash;"
    if x in ("inf", "-inf"):
        # As JSON has them, which knows no infinite numbers.
        return x.replace("-", "&minus;").replace("inf", "&infin;")
    if small and 0 < abs(x) < 1e-2:
        return f"{x:.{digits}g}".replace("-", "&minus;")
    text = f"{x:.{digits}f}" if abs(x) < 1e4 else f"{x:.4g}"
    text = text.removeprefix("-") if float(text) == 0 else text
    return text.replace("-", "&minus;")


def interval(ends: Any, small: bool = False) -> str:
    """A 95 % interval in small brackets; nothing if there is none."""
    if not ends or ends[0] is None:
        return ""
    return f" <small>[{number(ends[0], small=small)}, {number(ends[1], small=small)}]</small>"


def percent(x: Any) -> str:
    """A fraction as a percentage."""
    return "&ndash;" if x is None else f"{100 * x:.1f}&nbsp;%"


def each(values: list[Any], intervals: list[Any] | None = None, small: bool = False) -> str:
    """One line per player, each with its interval."""
    return "<br>".join(
        number(v, small=small) + (interval(intervals[i], small) if intervals else "") for i, v in enumerate(values)
    )
