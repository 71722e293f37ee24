"""DIR/report/index.html: one self-contained page, made from the record alone."""

from __future__ import annotations

import base64
import json
from html import escape
from typing import Any

from shaping.analysis import figures
from shaping.analysis.axes import key_name, sweep_axes, value_name
from shaping.analysis.diagnosis_figures import READING
from shaping.analysis.markup import each, interval, number, percent, table
from shaping.analysis.play_tables import against_table, play_table
from shaping.analysis.published import SMALL, divergence
from shaping.analysis.quarantine import failed_table
from shaping.analysis.record import Record, folder_of, open_record
from shaping.analysis.selection import sampled_cells
from shaping.analysis.strategies import STRATEGIES
from shaping.analysis.style import Picture
from shaping.analysis.summary import summarise

MOST_ROWS = 60

_CSS = """
:root { color-scheme: light; }
body { margin: 0 auto; max-width: 1000px; padding: 24px 20px 60px; background: #fff; color: #1a1a1a;
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; }
h1 { font-size: 26px; margin: 0 0 8px; } h2 { font-size: 19px; margin: 36px 0 8px; }
p { max-width: 820px; margin: 6px 0 12px; } .note { color: #555; font-size: 13px; }
.scroll { overflow-x: auto; } table { border-collapse: collapse; font-size: 13px; }
th, td { padding: 4px 10px 4px 0; text-align: right; white-space: nowrap; vertical-align: top; }
th { border-bottom: 1.5px solid #444; font-weight: 600; } td { border-bottom: 1px solid #e4e4e4; }
th.t, td.t { text-align: left; } td.w { white-space: normal; max-width: 220px; }
td small { color: #666; } .agrees { color: #00664b; font-weight: 600; } .differs { color: #a63d00;
font-weight: 600; } figure { margin: 8px 0 0; } figure img { max-width: 100%; height: auto; display: block; }
figcaption { color: #444; font-size: 13px; max-width: 820px; margin-top: 4px; }
pre { background: #f6f6f6; padding: 12px; overflow-x: auto; font-size: 12px; line-height: 1.4; }
summary { cursor: pointer; font-weight: 600; margin-top: 32px; }
"""

_MEASURES = (
    "Values are normalised: (1 - discount) times the discounted return, or unscaled for a one-shot "
    "game and for an analytic one, where they are the returns. "
    "Means are over the finite matches, those that did not diverge, with 95 % intervals over matches in "
    "brackets (percentile bootstrap up to 10,000 matches a cell, normal above). Cooperative: the players' "
    "mean value is at least V_CC - 0.2 (V_CC - V_DD), where V_CC and V_DD are the values of everybody "
    "always cooperating and always defecting. TFT match: the mean share of the five joint states in which "
    "both players are within 0.5 of tit-for-tat; a pair that always defects scores 0.2. Nash match: the "
    "same within 0.25 of the mixed equilibrium of the stage game, where it has no pure one. TFT found: the "
    "share of matches in which, at some recorded update, both players cooperated with less than 0.65 after "
    "the other's defection and their mean value was above V_DD + 0.8 (V_CC - V_DD). Consistency loss: the "
    "squared distance of the final directions from those that answer them. Own colour: the share of a "
    "player's pickups in the Coin Game that are coins of its own colour, in brackets as for values."
)

_EPISODE = "An episode of final policies: the match whose players take most coins of their own colour (episode.gif)."


def write_report(directory: Any) -> Any:
    """Write DIR/report/index.html and its figures as PNG beside it, from record.zarr, config.yaml and
    summary.json.

    A missing summary.json is made first.

    Returns:
        the path of index.html.

    Raises:
        FileNotFoundError: DIR holds no record.zarr.
    """
    directory = folder_of(directory)
    record = open_record(directory)
    path = directory / "summary.json"
    summary = json.loads(path.read_text()) if path.exists() else summarise(directory)
    pictures = figures.draw(record, summary)
    folder = directory / "report"
    folder.mkdir(exist_ok=True)
    for old in folder.glob("*.png"):
        old.unlink()
    figures.save(pictures, folder)
    page = folder / "index.html"
    page.write_text(render(record, summary, pictures), encoding="utf-8")
    return page


def render(record: Record, summary: dict[str, Any], pictures: list[Picture]) -> str:
    """The page as one HTML text with its figures inside."""
    config = record.config
    title = str(config.get("title") or record.directory.resolve().name)
    parts = [f"<h1>{escape(title)}</h1>"]
    if config.get("description"):
        parts.append(f"<p>{escape(str(config['description']))}</p>")
    parts.append(f"<p>{escape(_what_was_run(record, summary))}</p>")
    if summary["published"]:
        parts.append("<h2>Beside the published values</h2>" + published_table(summary["published"]))
    if summary["cells"]:
        parts.append("<h2>Cells</h2>" + _cell_table(summary["cells"]))
    if sampled := sampled_cells(summary["cells"]):
        parts.append("<h2>Play</h2>" + play_table(summary["cells"], sampled, MOST_ROWS))
        against = against_table(summary["cells"], sampled, MOST_ROWS)
        parts += ["<h2>Against scripted opponents</h2>" + against] if against else []
    explained = next((p.name for p in reversed(pictures) if p.name in ("model_errors", "shaping_terms")), None)
    if failed := failed_table(summary.get("failed") or {"listed": []}, str(record.directory)):
        parts.append("<h2>Matches that failed</h2>" + failed)
    for picture in pictures:
        parts.append(_figure(picture))
        if picture.name == explained:
            parts.append(f"<p>{escape(READING)}</p>")
    if (episode := record.directory / "episode.gif").exists():
        parts.append(_figure(Picture("episode", "An episode", _EPISODE, episode.read_bytes(), "gif")))
    if summary.get("timing"):
        parts.append("<h2>Timing and versions</h2>" + _timing_table(summary["timing"]))
    if text := _config_text(record):
        parts.append(f"<details><summary>Resolved configuration</summary><pre>{escape(text)}</pre></details>")
    return page(title, parts)


def _figure(shown: Picture) -> str:
    title, data = escape(shown.title), f"data:image/{shown.kind};base64,{base64.b64encode(shown.png).decode()}"
    return (
        f'<h2 id="{escape(shown.name)}">{title}</h2><figure><img alt="{title}" src="{data}">'
        f"<figcaption>{escape(shown.caption)}</figcaption></figure>"
    )


def page(title: str, parts: list[str]) -> str:
    """A self-contained page of ready HTML parts."""
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_CSS}</style></head>\n<body>\n"
        + "\n".join(parts)
        + "\n</body></html>\n"
    )


def _config_text(record: Record) -> str:
    path = record.directory / "config.yaml"
    return path.read_text() if path.exists() else str(record.dataset.attrs.get("config", ""))


def _what_was_run(record: Record, summary: dict[str, Any]) -> str:
    config, cells = record.config, summary["cells"]
    matches, finite = sum(c["matches"] for c in cells), sum(c["finite"] for c in cells)
    players = sorted({s.players for s in record.shapes})
    count = " or ".join(str(p) for p in players)
    noun = "player" if players == [1] else "players"
    updates = record.dataset.attrs.get("updates", config.get("updates"))
    text = [f"{matches:,} matches of {count} {noun} were trained for {updates} updates"]
    games = _games(config)
    if games:
        text.append(f" on {' and '.join(games)}")
    seats = config.get("players")
    if isinstance(seats, list) and seats and not config.get("variants"):
        rules = [_rule(s) for s in seats if isinstance(s, dict)]
        same = len(set(rules)) == 1 and len(rules) > 1
        text.append(f": {'all ' + rules[0] if same else ', '.join(rules)}")
    text.append(". ")
    if len(cells) > 1:
        axes = [f"{key_name(a.key)} ({len(a.values)} values)" for a in sweep_axes(cells)]
        text.append(f"They fill {len(cells):,} cells of {cells[0]['matches']:,} matches")
        text.append(f", which differ in {', '.join(axes)}. " if axes else ". ")
    drawn = sorted({k for c in cells for k in c.get("drawn", {})})
    if drawn:
        text.append(f"Drawn anew for each match: {', '.join(key_name(k) for k in drawn)}. ")
    waiting = sum(c.get("unfinished", 0) for c in cells)
    gone = matches - finite - waiting
    text.append(f"{gone:,} matches diverged." if gone else "No match diverged.")
    if waiting:
        text.append(f" {waiting:,} have not come to their end yet, and are left out.")
    return "".join(text)


def _games(config: dict[str, Any]) -> list[str]:
    """Names of the games played, in words; a variant may replace the game of the rest."""
    variants = [v for v in (config.get("variants") or {}).values() if isinstance(v, dict)]
    games = [v.get("game", config.get("game")) for v in variants] or [config.get("game")]
    names = []
    for game in games:
        game = {"name": game} if isinstance(game, str) else game
        if not isinstance(game, dict) or not game.get("name"):
            continue
        details = [f"{k} {game[k]}" for k in ("discount", "horizon", "noise") if game.get(k) not in (None, 0)]
        name = str(game["name"]).replace("_", " ").replace("ipd", "the iterated prisoner's dilemma")
        name = name.replace("coin game", f"the Coin Game in the dialect {game.get('dialect', 'pola')}")
        names.append(f"{name} ({', '.join(details)})" if details else name)
    return list(dict.fromkeys(names))


def _rule(seat: dict[str, Any]) -> str:
    rule = str(seat.get("rule", "?"))
    return f"{rule} ({seat['variant']})" if seat.get("variant") else rule


def published_table(entries: list[dict[str, Any]]) -> str:
    """Published values beside ours: entries as in summary.json."""
    head = ["cell", "measure", "source", "published", "ours", "difference", "verdict"]
    rows = []
    for e in entries:
        fraction = e["metric"] in ("tft_match", "tft_found", "nash_match", "cooperative", "own_colour_found")
        small = e["metric"] in SMALL
        theirs = number(e["value"], small=small)
        if e.get("sd") is not None:
            theirs += f" <small>sd {number(e['sd'])}</small>"
        if e.get("runs"):
            theirs += f"<br><small>{escape(str(e['runs']))} runs</small>"
        cell = ", ".join(
            value_name(v) if isinstance(v, str) else f"{key_name(k)} {value_name(v)}"
            for k, v in (e.get("cell") or {}).items()
        )
        metric = e["metric"].replace("_", " ") + (f", player {e['player']}" if e.get("player") is not None else "")
        verdict = e["verdict"]
        style = f' class="{verdict}"' if verdict in ("agrees", "differs") else ""
        basis = f"<br><small>{escape(e['basis'])}</small>" if e.get("basis") else ""
        gone = divergence(e.get("diverged"), e.get("diverged_at_median"))
        if gone:
            basis += f"<br><small>{escape(gone)}</small>"
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
                f'<span{style}>{escape(verdict)}</span><span class="w">{basis}</span>',
            ]
        )
    made = table(head, rows, left=3).replace("<td><span", '<td class="t w"><span')
    made = made.replace("<th>verdict</th>", '<th class="t">verdict</th>')
    return made + (
        '<p class="note">Two values agree when they lie within the tolerance stated with the published one '
        "or, without one, within 3.5 standard errors of their difference: the published standard error is "
        "its standard deviation over runs divided by the square root of their number. Where only the number "
        "of runs is known, they are taken to spread as ours do, and the row says so. The interval is the "
        "95 % interval of ours.</p>"
    )


def _cell_table(cells: list[dict[str, Any]]) -> str:
    axes = sweep_axes(cells)
    keys = [k for a in axes for k in (a.key, *a.tied)]
    nash = any(c["nash_match"] is not None for c in cells)
    tft = any(c["tft_match"] is not None for c in cells)
    found = any(c["tft_found"] is not None for c in cells)
    consistency = any(c["consistency_loss"] is not None for c in cells)
    nearest = any(c["nearest_strategy"] for c in cells)
    own = any(share is not None for c in cells for share in c["own_fraction"])
    cooperative = any(c["cooperative"] is not None for c in cells) or not own
    head = ["cell", *(escape(key_name(k)) for k in keys), "matches", "value", "sd"]
    head += (
        ["own colour"] * own
        + ["cooperative"] * cooperative
        + ["TFT match"] * tft
        + ["TFT found"] * found
        + ["Nash match"] * nash
    )
    head += ["consistency loss"] * consistency + ["most frequent strategy"] * nearest + ["diverged"]
    rows = []
    for c in cells[:MOST_ROWS]:
        row = [str(c["cell"])]
        row += [escape(value_name(c["coordinates"].get(k))) for k in keys]
        row += [f"{c['matches']:,}", each(c["value_mean"], c["value_ci95"]), each(c["value_sd"])]
        row += [each(c["own_fraction"], c["own_fraction_ci95"])] * own + [percent(c["cooperative"])] * cooperative
        row += [number(c["tft_match"])] * tft + [percent(c["tft_found"])] * found
        row += [number(c["nash_match"])] * nash + [number(c["consistency_loss"], small=True)] * consistency
        # As in the figure: the names speak of cooperation and would mislead where it does not pay.
        row += [_most_frequent(c["nearest_strategy"] if c["cooperative"] is not None else None)] * nearest
        when = f"<br><small>median update {c['diverged_at_median']:g}</small>" if c["diverged"] else ""
        row += [percent(c["diverged"]) + when if c["diverged"] else "0"]
        rows.append(row)
    players = {c["players"] for c in cells}
    per_player = "" if players == {1} else " Values stand one line a player, player 0 first."
    rest = ""
    if len(cells) > MOST_ROWS:
        rest = f" The first {MOST_ROWS} of {len(cells):,} cells are listed; summary.json has them all."
    made = table(head, rows, left=1 + len(keys))
    return f'{made}<p class="note">{escape(_MEASURES + per_player + rest)}</p>'


def _most_frequent(shares: dict[str, Any] | None) -> str:
    if not shares:
        return "&ndash;"
    name = max(STRATEGIES, key=lambda s: shares[s])
    return f"{escape(name)} {percent(shares[name])}"


def _timing_table(timing: dict[str, Any]) -> str:
    rows = []

    def add(prefix: str, value: Any) -> None:
        if isinstance(value, dict):
            for k, v in value.items():
                add(f"{prefix} {k}".strip(), v)
        else:
            shown = f"{value:,.4g}" if isinstance(value, float) else value
            rows.append([escape(prefix.replace("_", " ")), escape(str(shown))])

    add("", timing)
    return table(["", ""], rows, left=1)
