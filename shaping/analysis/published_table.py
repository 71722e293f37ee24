"""Published values next to ours, as a table for a report or for the scoreboard."""

from __future__ import annotations

from html import escape
from typing import Any

from shaping.analysis.axes import fixed_name
from shaping.analysis.markup import interval, number, table
from shaping.analysis.published import SHARES, SMALL, coordinates_among, divergence, not_distinguished_from


def published_table(entries: list[dict[str, Any]]) -> str:
    """Published values next to ours; entries are those of summary.json."""
    head = ["cell", "measure", "source", "published", "ours", "difference", "notices", "verdict"]
    among = coordinates_among(entries)
    rows = []
    for e in entries:
        fraction = e["metric"] in (*SHARES, "tft_match", "nash_match")
        small = e["metric"] in SMALL or bool(e.get("small"))
        theirs = number(e["value"], small=small)
        if e.get("sd") is not None:
            theirs += f" <small>sd {number(e['sd'])}</small>"
        if e.get("runs"):
            theirs += f"<br><small>{escape(str(e['runs']))} runs</small>"
        cell = ", ".join(fixed_name(k, v, among[k]) for k, v in (e.get("cell") or {}).items())
        metric = e["metric"].replace("_", " ") + (f", player {e['player']}" if e.get("player") is not None else "")
        verdict = e["verdict"]
        style = f' class="{verdict}"' if verdict in ("agrees", "differs") else ""
        basis = f"<br><small>{escape(e['basis'])}</small>" if e.get("basis") else ""
        gone = divergence(e.get("diverged"), e.get("diverged_at_median"))
        if gone:
            basis += f"<br><small>{escape(gone)}</small>"
        if apart := not_distinguished_from(e):
            basis += f"<br><small>{escape(apart)}</small>"
        if e.get("known") and verdict == "differs":
            basis += f"<br><small>known: {escape(e['known'])}</small>"
        rows.append(
            [
                escape(cell or "the only cell"),
                escape(metric + (" (fraction)" if fraction else "")),
                escape(str(e.get("source", ""))),
                theirs,
                number(e["ours"], small=small) + interval(e["ours_ci95"], small).replace(" <small>", "<br><small>"),
                number(e["difference"], small=small),
                "" if e.get("limit") is None else f"{e['limit']:.2g}",
                f'<span{style}>{escape(verdict)}</span><span class="w">{basis}</span>',
            ]
        )
    made = table(head, rows, left=3).replace("<td><span", '<td class="t w"><span')
    made = made.replace("<th>verdict</th>", '<th class="t">verdict</th>')
    return made + (
        '<p class="note">A value agrees if its distance from the published one is at most what the row can notice: '
        "the tolerance stated with it or, without one, the effect of rounding plus 3.5 standard errors of the "
        "difference. The published standard error is the standard deviation over runs divided by the square root of "
        "their number. If only the number of runs is known, their runs are assumed to vary as ours do, and the row "
        "says so. A row cannot be distinguished from another cell of the same configuration whose value would have "
        "agreed as well. The interval is the 95 % interval of our value.</p>"
    )
