"""The page of `shaping analyze`, made from analysis.json alone."""

from __future__ import annotations

from html import escape
from typing import Any

from shaping.analysis.markup import interval, number, percent, table
from shaping.analysis.page import page

_MOST_ROWS = 200
_MOST_HISTORIES = 21
_NOTES = {
    "welfare": "Welfare: mean over players. Gap: the best player of a match minus the worst. Gini and price of anarchy "
    "count from the least payoff; a price of 1 means that nothing is lost to the best joint action.",
    "traits": "Niceness: cooperates while nobody has defected. Provocability: defects after the other player alone "
    "defected. Forgiveness: cooperates after a defection that was followed by cooperation. Contrition: cooperates "
    "after its own unprovoked defection.",
    "zero_determinant": "Zero-determinant: a line between both players' values fits the policy with a root mean square "
    "below 0.05. Extortionate and generous: such lines with chi above 1.05, from the punishment or from the reward. "
    "Chi and generosity: median, and quartiles in brackets, of the zero-determinant ones.",
    "relations": "Against every possible opponent, to a hundredth of the range of payoffs. Partner: whoever earns as "
    "much as under mutual cooperation leaves it with as much. Rival: never earns less than its opponent. Equaliser: "
    "the opponent earns the same whatever it does.",
    "history": "P(C) after each history, the player's own action first, means over players and matches.",
}


def write_analysis_report(folder: Any, found: dict[str, Any]) -> Any:
    """Writes report/index.html; returns its path."""
    place = folder / "report"
    place.mkdir(exist_ok=True)
    cells = found["cells"]
    parts = ["<h1>What cooperation is made of</h1>", f"<p>{escape(found['run'])}: {_told(found)}</p>"]
    parts += [_welfare(cells), _boundaries(found["boundaries"]), _histories(cells, "cooperation_by_history", "")]
    parts += [_histories(cells, "cooperation_in_play", ", in play"), _traits(cells), _zero_determinant(cells)]
    parts += [_relations(cells), _improvement(cells, found["improvement"])]
    path = place / "index.html"
    path.write_text(page("What cooperation is made of", [part for part in parts if part]), encoding="utf-8")
    return path


def _told(found: dict[str, Any]) -> str:
    cells = found["cells"]
    text = f"{sum(cell['finite'] for cell in cells):,} finite matches in {len(cells):,} cells. Brackets hold 95 % "
    text += "intervals over matches."
    overall = found.get("welfare_iqm")
    if overall:
        text += f" Interquartile mean of welfare over all cells: {_mean(overall)}."
    return text


def _mean(told: dict[str, Any] | None, show: Any = number) -> str:
    if not told or told["mean"] is None:
        return "&ndash;"
    return show(told["mean"]) + interval(told["ci95"])


def _section(title: str, head: list[str], rows: list[list[str]], note: str) -> str:
    if not rows:
        return ""
    left_out = len(rows) - _MOST_ROWS
    more = f" {left_out:,} more rows are in analysis.json." if left_out > 0 else ""
    shown = table(head, rows[:_MOST_ROWS], 1)
    return f'<h2>{title}</h2>{shown}<p class="note">{note}{more}</p>'


def _welfare(cells: list[dict[str, Any]]) -> str:
    names = ["welfare", "welfare_iqm", "gap", "gini", "price_of_anarchy"]
    known = [name for name in names if any(name in cell.get("welfare", {}) for cell in cells)]
    flags = any("cooperative" in cell for cell in cells)
    head = ["cell", "matches", *["cooperative"] * flags, *(name.replace("_", " ") for name in known)]
    rows = []
    for cell in cells:
        row = [escape(cell["name"]), f"{cell['finite']:,}"]
        row += [_mean(cell.get("cooperative"), percent)] * flags
        rows.append([*row, *(_mean(cell.get("welfare", {}).get(name)) for name in known)])
    return _section("Welfare", head, rows, _NOTES["welfare"])


def _boundaries(found: list[dict[str, Any]]) -> str:
    rows = []
    for one in found:
        fixed = ", ".join(f"{key} = {value}" for key, value in one["fixed"].items()) or "all"
        if one["position"] is None:
            place = "no boundary"
        else:
            ends = [number(e) for e in one["ci95"]]
            place = f"{number(one['position'])} <small>[{ends[0]}, {ends[1]}]</small>"
        rows.append([escape(one["axis"]), escape(fixed), place, "above" if one["rising"] else "below"])
    note = (
        "Where half of the matches cooperate, by isotonic regression. Intervals end at values of the axis, and are "
        "open where the boundary may lie beyond it."
    )
    return _section("Where cooperation begins", ["axis", "other axes", "boundary", "cooperation lies"], rows, note)


def _histories(cells: list[dict[str, Any]], key: str, how: str) -> str:
    known = [cell for cell in cells if key in cell]
    if not known:
        return ""
    labels = list(known[0][key])[:_MOST_HISTORIES]
    rows = [[escape(cell["name"]), *(_mean(cell[key].get(label)) for label in labels)] for cell in known]
    return _section(f"Cooperation by history{how}", ["cell", *labels], rows, _NOTES["history"])


def _traits(cells: list[dict[str, Any]]) -> str:
    known = [cell for cell in cells if "traits" in cell]
    rows = [[escape(cell["name"]), *(_mean(one) for one in cell["traits"].values())] for cell in known]
    return _section("Traits", ["cell", *(known[0]["traits"] if known else ())], rows, _NOTES["traits"])


def _zero_determinant(cells: list[dict[str, Any]]) -> str:
    rows = []
    for cell in cells:
        fit = cell.get("zero_determinant")
        if fit is None:
            continue
        shares = [_mean(fit[name], percent) for name in ("zero_determinant", "extortionate", "generous")]
        middle = [_quartiles(fit[f"{name}_quartiles"]) for name in ("chi", "generosity")]
        rows.append([escape(cell["name"]), *shares, _mean(fit["residual"]), *middle])
    head = ["cell", "zero-determinant", "extortionate", "generous", "residual", "chi", "generosity"]
    return _section("Zero-determinant policies", head, rows, _NOTES["zero_determinant"])


def _quartiles(found: Any) -> str:
    return "&ndash;" if found is None else number(found[1]) + interval([found[0], found[2]])


def _relations(cells: list[dict[str, Any]]) -> str:
    known = [cell for cell in cells if "relations" in cell]
    names = list(known[0]["relations"]) if known else []
    rows = [[escape(cell["name"]), *(_mean(cell["relations"][name], percent) for name in names)] for cell in known]
    head = ["cell", *(name.replace("_", " ") for name in names)]
    return _section("Relations to opponents", head, rows, _NOTES["relations"])


def _improvement(cells: list[dict[str, Any]], found: list[dict[str, Any]]) -> str:
    names = {cell["cell"]: cell["name"] for cell in cells}
    rows = []
    for one in sorted(found, key=lambda one: -abs(one["probability"] - 0.5)):
        pair = f"{escape(names[one['cell']])} over {escape(names[one['over']])}"
        rows.append([pair, percent(one["probability"]) + interval(one["ci95"])])
    note = (
        "The probability that a match of the first cell has more welfare than one of the second; ties count one half."
    )
    return _section("Probability of improvement", ["cells", "probability"], rows, note)
