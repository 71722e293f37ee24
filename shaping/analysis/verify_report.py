"""The scoreboard of many runs: published values next to ours for each configuration, as text and as a page.

A row is a configuration: {name, title, status ("ran", "failed" or "skipped"), reason, seconds, left_out, published}.
`published` holds the entries of its summary.json; `left_out` is how many of them a quick check does not recompute. The
column "notices" is the smallest difference that a row could have noticed.
"""

from __future__ import annotations

import textwrap
from html import escape
from typing import Any

from shaping.analysis.axes import value_name
from shaping.analysis.published import (
    AGREES,
    DIFFERS,
    NO_UNCERTAINTY,
    NOT_COMPARED,
    SMALL,
    coordinates_among,
    divergence,
    not_distinguished_from,
)

_HEAD = ("cell", "metric (player)", "published", "ours", "interval", "notices", "verdict")
_RIGHT = ("published", "ours", "notices")


def totals(rows: list[dict[str, Any]]) -> dict[str, int]:
    """How many values have each verdict, and how many were left out; how many configurations failed or were skipped."""
    entries = [entry for row in rows for entry in row["published"]]
    verdicts = [entry["verdict"] for entry in entries]
    known = sum(_is_known(entry) for entry in entries)
    return {
        "agrees": verdicts.count(AGREES),
        "differs": verdicts.count(DIFFERS) - known,
        "known": known,
        "no_uncertainty": verdicts.count(NO_UNCERTAINTY),
        "not_compared": verdicts.count(NOT_COMPARED),
        "left_out": sum(row["left_out"] for row in rows),
        "failed": sum(row["status"] == "failed" for row in rows),
        "skipped": sum(row["status"] == "skipped" for row in rows),
    }


def total_line(counts: dict[str, int]) -> str:
    """The totals in words; counts of zero are mostly left out."""
    text = (
        f"{counts['agrees']} agree, {counts['differs']} differ, "
        f"{counts['no_uncertainty']} without a published uncertainty, {counts['not_compared']} not compared"
    )
    for key, words in (
        ("known", "differ for a known reason"),
        ("left_out", "left out of a quick check"),
        ("skipped", f"configuration{'s' * (counts['skipped'] != 1)} skipped"),
        ("failed", f"configuration{'s' * (counts['failed'] != 1)} failed"),
    ):
        text += f", {counts[key]} {words}" if counts[key] else ""
    return text


def heading(name: str, title: str) -> str:
    """The line above a configuration's table."""
    return f"{name}: {title}" if title else name


def lines(row: dict[str, Any]) -> list[str]:
    """One configuration as a table for a terminal."""
    if row["status"] != "ran":
        return [f"  {row['status']}: {row['reason']}"]
    table = [_HEAD, *(_columns(entry, coordinates_among(row["published"])) for entry in row["published"])]
    widths = [max(len(line[i]) for line in table) for i in range(len(_HEAD))]
    text = []
    for place, line in enumerate(table):
        cells = [c.rjust(w) if h in _RIGHT else c.ljust(w) for c, w, h in zip(line, widths, _HEAD, strict=True)]
        text.append("  " + "  ".join(cells).rstrip())
        entry = row["published"][place - 1] if place else {}
        said = [f"known: {entry['known']}"] if entry and _is_known(entry) else []
        said += [apart] if (apart := not_distinguished_from(entry)) else []
        for line in said:
            text += textwrap.wrap(line, 110, initial_indent="    ", subsequent_indent="    ")
    if row["left_out"]:
        text.append(f"  left out of a quick check: {row['left_out']} more")
    return text


def html(board: dict[str, Any]) -> str:
    """The scoreboard as one self-contained page; its links lead to the reports in the same folder."""
    from shaping.analysis.page import page
    from shaping.analysis.published_table import published_table

    title = "Published results, recomputed" + (" (quick check)" if board["quick"] else "")
    versions = ", ".join(f"{name} {version}" for name, version in board["versions"].items())
    parts = [f"<h1>{title}</h1>", f"<p>{escape(total_line(board['total']))}.</p>", f"<p>{escape(versions)}.</p>"]
    for row in board["configurations"]:
        parts.append(f"<h2>{escape(heading(row['name'], row['title']))}</h2>")
        if row["status"] != "ran":
            parts.append(f"<p>{escape(row['status'])}: {escape(row['reason'])}</p>")
            continue
        report = f"{row['name']}/report/index.html"
        left_out = f" Left out of a quick check: {row['left_out']} more." if row["left_out"] else ""
        parts.append(f'<p>{row["seconds"]:.0f} s; <a href="{escape(report)}">report</a>.{left_out}</p>')
        parts.append(published_table(row["published"]))
    return page(title, parts)


def _is_known(entry: dict[str, Any]) -> bool:
    return entry["verdict"] == DIFFERS and bool(entry.get("known"))


def _columns(entry: dict[str, Any], among: dict[str, list[Any]]) -> tuple[str, ...]:
    cell = entry.get("cell") or {}
    parts = [str(v) if k == "variant" else f"{k}={value_name(v, among[k])}" for k, v in cell.items()]
    name = ", ".join(parts) or "all matches"
    player = entry.get("player")
    low, high = entry["ours_ci95"]
    small = entry["metric"] in SMALL or bool(entry.get("small"))
    verdict = entry["verdict"]
    if _is_known(entry):
        verdict += " (known)"
    elif verdict == NOT_COMPARED:
        verdict += f": {entry['basis']}"
    gone = divergence(entry.get("diverged"), entry.get("diverged_at_median"))
    verdict += f" ({gone})" if gone else ""
    return (
        name,
        entry["metric"] + (f" ({player})" if player is not None else ""),
        f"{entry['value']:g}",
        _number(entry["ours"], small),
        "" if low is None else f"[{_number(low, small)}, {_number(high, small)}]",
        "" if entry.get("limit") is None else f"{entry['limit']:.2g}",
        verdict,
    )


def _number(x: float | None, small: bool = False) -> str:
    if x is None:
        return "-"
    if small and 0 < abs(x) < 1e-2:
        return f"{x:.3g}"
    text = f"{x:.3f}" if abs(x) < 1000 else f"{x:.4g}"
    return text.removeprefix("-") if float(text) == 0 else text
