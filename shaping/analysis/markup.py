"""Tables and numbers as HTML."""

from __future__ import annotations

from typing import Any


def table(head: list[str], rows: list[list[str]], left: int) -> str:
    """A table of ready HTML cells whose first `left` columns are text."""
    opening = [f'<th class="t">{h}</th>' if i < left else f"<th>{h}</th>" for i, h in enumerate(head)]
    body = []
    for row in rows:
        cells = [f'<td class="t w">{c}</td>' if i < left else f"<td>{c}</td>" for i, c in enumerate(row)]
        body.append(f"<tr>{''.join(cells)}</tr>")
    return (
        f'<div class="scroll"><table><thead><tr>{"".join(opening)}</tr></thead>'
        f"<tbody>{''.join(body)}</tbody></table></div>"
    )


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
