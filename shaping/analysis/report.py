"""DIR/report/index.html: one self-contained page, made only from the record."""

from __future__ import annotations

from collections.abc import Callable
from html import escape
from typing import Any

from shaping.analysis import figures
from shaping.analysis.axes import Columns, key_name, sweep_axes
from shaping.analysis.charts import Chart
from shaping.analysis.damaged_files import naming_damage
from shaping.analysis.diagnosis_figures import READING
from shaping.analysis.failed_matches import failed_table
from shaping.analysis.markup import each, number, percent, table
from shaping.analysis.match_list import listed_matches
from shaping.analysis.page import figure, page
from shaping.analysis.play_tables import against_table, play_table, welfare_table
from shaping.analysis.populations import figures as of_populations
from shaping.analysis.populations.film import film
from shaping.analysis.populations.tables import cell_table, what_was_run
from shaping.analysis.published_table import published_table
from shaping.analysis.record import Record, folder_of, open_record, text_of
from shaping.analysis.shown_cells import measured_cells
from shaping.analysis.style import Picture
from shaping.analysis.summary import summarise, written_summary
from shaping.classic_strategies import STRATEGIES

MOST_ROWS = 60

_MEASURES = {
    "value": (
        "A value is a discounted return times (1 - discount), so that it is on the scale of one round; for one-shot "
        "and analytic games it is the return itself. Means are over the finite matches, that is, those that did not "
        "diverge. Brackets hold 95 % intervals over matches{method}."
    ),
    "cooperative": (
        "Cooperative: a match counts if the players' mean value is at least V_CC - 0.2 (V_CC - V_DD). V_CC is the "
        "value if everybody always cooperates, V_DD if everybody always defects. It is a measure of what the players "
        "get together, not of what they do. In dilemmas both are the same; but in a game such as Chicken, where one "
        "who gives way and one who does not get as much together as two who give way, half of the actions of a "
        "cooperative match may be defection."
    ),
    "tft_match": (
        "TFT match: the share of the five joint states in which both players are within 0.5 of tit-for-tat. A "
        "pair that always defects scores 0.2, because tit-for-tat defects after DD too."
    ),
    "tft_found": (
        "TFT found: a match counts if, after some recorded update, both players cooperated with probability below "
        "0.65 after the other's defection and their mean value was above V_DD + 0.8 (V_CC - V_DD)."
    ),
    "nash_match": (
        "Nash match: like TFT match, but within 0.25 of the stage game's mixed equilibrium, if it has no pure one."
    ),
    "consistency_loss": (
        "Consistency loss: the squared distance between the players' final directions and the directions that answer "
        "them."
    ),
}
_METHODS = {
    "bootstrap_t": "the bootstrap-t",
    "student_t": "Student's t",
    "normal": "1.96 standard errors",
}


_OWN_KEYS = {"cells", "variables", "published"}
"""What a summary of this version has; an older one is made again."""


def write_report(directory: Any, pdfs: bool = False) -> Any:
    """Write DIR/report/index.html and its figures as PNG files next to it, from record.zarr, config.yaml and
    summary.json; with `pdfs` also as PDF files.

    A missing summary.json is made first.

    Returns:
        the path of index.html.

    Raises:
        FileNotFoundError: if DIR holds no record.zarr.
        DamagedRecordError: if a file of the folder cannot be read.
    """
    directory = folder_of(directory)
    record = open_record(directory)
    summary = written_summary(directory / "summary.json")
    if not summary or not set(summary) >= _OWN_KEYS:
        summary = summarise(directory)
    with naming_damage(directory):
        pictures = (of_populations if record.of_populations else figures).draw(record, summary)
    folder = directory / "report"
    folder.mkdir(exist_ok=True)
    for old in [*folder.glob("*.png"), *folder.glob("*.pdf")]:
        old.unlink()
    figures.save(pictures, folder, pdfs)
    if record.of_populations and (moving := film(record)) is not None:
        (folder / "lattice.gif").write_bytes(moving.png)
        pictures = [*pictures, moving]
    page = folder / "index.html"
    page.write_text(render(record, summary, pictures), encoding="utf-8")
    return page


def render(record: Record, summary: dict[str, Any], pictures: list[Picture]) -> str:
    """The page as one HTML text that includes its figures."""
    config = record.config
    title = str(config.get("title") or record.directory.resolve().name)
    parts: list[str | Chart] = [f"<h1>{escape(title)}</h1>"]
    if config.get("description"):
        parts.append(f"<p>{escape(str(config['description']))}</p>")
    told = what_was_run(record, summary, _games(config)) if record.of_populations else _what_was_run(record, summary)
    parts.append(f"<p>{escape(told)}</p>")
    if (record.config.get("league") or {}).get("learners"):
        parts.append('<p>Who shapes whom: <a href="../league/index.html">the league</a>.</p>')
    if summary["published"]:
        parts.append("<h2>Compared with published values</h2>" + published_table(summary["published"]))
    if cells := summary["cells"]:
        made = cell_table(cells, MOST_ROWS) if record.of_populations else _cell_table(cells)
        parts.append("<h2>Cells</h2>" + made)
    if measured := measured_cells(summary):
        parts.append("<h2>Play</h2>" + play_table(summary, measured, MOST_ROWS))
        for heading, made in (
            ("Welfare compared with scripted extremes", welfare_table(summary, measured, MOST_ROWS)),
            ("Against scripted opponents", against_table(summary, measured, MOST_ROWS)),
            ("Against learners never met in training", against_table(summary, measured, MOST_ROWS, "stranger")),
        ):
            parts += [f"<h2>{heading}</h2>{made}"] if made else []
    explained = next((p.name for p in reversed(pictures) if p.name in ("model_errors", "shaping_terms")), None)
    if failed := failed_table(summary.get("failed") or {"listed": []}, str(record.directory)):
        parts.append("<h2>Matches that failed</h2>" + failed)
    for picture in pictures:
        parts.append(figure(picture))
        if picture.name == explained:
            parts.append(f"<p>{escape(READING)}</p>")
    if (episode := record.directory / "episode.gif").exists():
        parts.append(figure(Picture("episode", "An episode", _episode(record), episode.read_bytes(), "gif")))
    parts += listed_matches(record, summary)
    if summary.get("timing"):
        parts.append("<h2>Timing and versions</h2>" + _timing_table(summary["timing"]))
    if text := _config_text(record):
        parts.append(f"<details><summary>Resolved configuration</summary><pre>{escape(text)}</pre></details>")
    return page(title, parts)


def _episode(record: Record) -> str:
    """Says which match's episode is drawn."""
    shown = next((v.label or v.name for v in record.variables.values() if v.showcase), "")
    best = f" of the match with the highest {shown}, mean over its players" if shown else ""
    return f"One episode with the final policies{best} (episode.gif)."


def _config_text(record: Record) -> str:
    path = record.directory / "config.yaml"
    return text_of(path) if path.exists() else str(record.dataset.attrs.get("config", ""))


def _what_was_run(record: Record, summary: dict[str, Any]) -> str:
    config, cells = record.config, summary["cells"]
    matches = sum(c["matches"] for c in cells)
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
        text.append(f"There are {len(cells):,} cells of {cells[0]['matches']:,} matches each")
        text.append(f"; they differ in {', '.join(axes)}. " if axes else ". ")
    drawn = sorted({k for c in cells for k in c.get("drawn", {})})
    if drawn:
        text.append(f"Each match draws its own {', '.join(key_name(k) for k in drawn)}. ")
    text.append(_ended(cells))
    return "".join(text)


def _ended(cells: list[dict[str, Any]]) -> str:
    """How many matches have no value, and why."""
    gone = sum(round(c["diverged"] * c["matches"]) for c in cells)
    waiting = sum(c.get("unfinished", 0) for c in cells)
    absent = sum(c["matches"] - c["finite"] for c in cells) - gone - waiting
    verb = "match diverged and is" if gone == 1 else "matches diverged and are"
    text = f"{gone:,} {verb} left out of the means." if gone else "No match diverged."
    if waiting:
        text += f" {waiting:,} {_matches(waiting)} not finished yet and also left out."
    if absent > 0:
        text += f" {absent:,} {_matches(absent)} without a value in the record, although none of them diverged."
    return text


def _matches(number: int) -> str:
    return "match is" if number == 1 else "matches are"


def _games(config: dict[str, Any]) -> list[str]:
    """Names of the games played, in words; a variant may have another game than the rest."""
    variants = [v for v in (config.get("variants") or {}).values() if isinstance(v, dict)]
    games = [v.get("game", config.get("game")) for v in variants] or [config.get("game")]
    names = []
    for game in games:
        game = {"name": game} if isinstance(game, str) else game
        if not isinstance(game, dict) or not game.get("name"):
            continue
        # Text settings identify a version of the game; of its numbers, those that every game has are shown.
        told = [k for k, v in game.items() if k != "name" and isinstance(v, str)]
        told += [k for k in ("discount", "horizon", "noise") if game.get(k) not in (None, 0) and k not in told]
        details = [f"{k.replace('_', ' ')} {game[k]}" for k in told]
        name = str(game["name"]).replace("_", " ").replace("ipd", "the iterated prisoner's dilemma")
        name = f"the {name}" if name.endswith("game") else name
        names.append(f"{name} ({', '.join(details)})" if details else name)
    return list(dict.fromkeys(names))


def _rule(seat: dict[str, Any]) -> str:
    rule = str(seat.get("rule", "?"))
    return f"{rule} ({seat['variant']})" if seat.get("variant") else rule


def _cell_table(cells: list[dict[str, Any]]) -> str:
    found = Columns.of(cells)
    known = [k for k in _MEASURES if k != "value" and any(c[k] is not None for c in cells)]
    nearest = any(c["nearest_strategy"] for c in cells)
    heads = [escape(h) for h in found.heads()]
    head = [*heads, "matches", "value", "sd", *(_HEADS[k][0] for k in known)]
    head += ["most frequent strategy"] * nearest + ["diverged"]
    rows = []
    for c in cells[:MOST_ROWS]:
        row = [escape(n) for n in found.names(c)]
        row += [f"{c['matches']:,}", each(c["value_mean"], c["value_ci95"]), each(c["value_sd"])]
        row += [_HEADS[k][1](c[k]) for k in known]
        # As in the figure: the names refer to cooperation, and would mislead where cooperation does not pay.
        row += [_most_frequent(c["nearest_strategy"] if c["cooperative"] is not None else None)] * nearest
        when = f"<br><small>median update {c['diverged_at_median']:g}</small>" if c["diverged"] else ""
        row += [percent(c["diverged"]) + when if c["diverged"] else "0"]
        rows.append(row)
    methods = dict.fromkeys(_METHODS[m] for c in cells if (m := c.get("ci_method")) in _METHODS)
    text = [_MEASURES["value"].format(method=f", by {' or '.join(methods)}" if methods else "")]
    text += [_MEASURES[k] for k in known]
    if {c["players"] for c in cells} != {1}:
        text.append("Values are shown one line per player, player 0 first.")
    if len(cells) > MOST_ROWS:
        text.append(f"The first {MOST_ROWS} of {len(cells):,} cells are listed; summary.json has them all.")
    return f'{table(head, rows, left=len(heads))}<p class="note">{escape(" ".join(text))}</p>'


_HEADS: dict[str, tuple[str, Callable[[Any], str]]] = {
    "cooperative": ("cooperative", percent),
    "tft_match": ("TFT match", number),
    "tft_found": ("TFT found", percent),
    "nash_match": ("Nash match", number),
    "consistency_loss": ("consistency loss", lambda x: number(x, small=True)),
}
"""Headings of measures that only some cells have, and how they are shown."""


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
            listed = ", ".join(map(str, value)) if isinstance(value, list) else value
            shown = f"{value:,.4g}" if isinstance(value, float) else listed
            rows.append([escape(prefix.replace("_", " ")), escape(str(shown))])

    add("", timing)
    return table(["", ""], rows, left=1)
