"""Tables of the report on sampled play: what it showed at the end, and against scripted opponents."""

from __future__ import annotations

from html import escape
from typing import Any

from shaping.analysis.axes import key_name, sweep_axes, value_name
from shaping.analysis.markup import each, interval, percent, table

_COLUMNS = {
    "reward_per_step": "reward per step",
    "value_exact": "value in closed form",
    "entropy": "entropy",
    "model_error": "model error",
    "model_trust": "trust",
    "shaping_norm": "shaping norm",
    "shaping_sd": "shaping sd",
}
_SMALL = ("model_error", "shaping_norm", "shaping_sd")
_PLAY = (
    "Play on a fresh batch after the last update, one line a player, with 95 % intervals over matches in brackets. "
    "Reward per step is not discounted. Entropy is that of a player's distribution over actions, in nats."
)
_OWN_COLOUR = (
    " Own colour found: the share of matches in which more than 0.6 of the coins that a player takes, in the mean over "
    "players, are of its own colour, with its Wilson interval."
)
_AGAINST = (
    "Each player's final policy with a scripted opponent in every other seat, one line a player: reward per "
    "step, and in the Coin Game the share of own colour among the coins it took there. ALLC always cooperates "
    "(takes coins of its own colour alone), ALLD always defects (takes coins of any colour), TFT does what was "
    "done to it."
)


def play_table(cells: list[dict[str, Any]], places: list[int], most: int) -> str:
    """What play showed in these cells of a summary; at most so many rows."""
    known = [name for name in _COLUMNS if any(_any(cells[i].get(name)) for i in places)]
    coins = any(cells[i].get("own_colour_found") is not None for i in places)
    heads, names = _names(cells)
    head = [*heads, *(_COLUMNS[name] for name in known), *["own colour found"] * coins]
    rows = []
    for i in places[:most]:
        c = cells[i]
        row = names(c) + [each(c[name], c[f"{name}_ci95"], small=name in _SMALL) for name in known]
        if coins:
            found = c["own_colour_found"]
            row.append(percent(found) + (interval(c["own_colour_found_ci95"]) if found is not None else ""))
        rows.append(row)
    note = _PLAY + _OWN_COLOUR * coins + _rest(places, most)
    return table(head, rows, left=len(heads)) + f'<p class="note">{escape(note)}</p>'


def against_table(cells: list[dict[str, Any]], places: list[int], most: int) -> str:
    """How players fare against scripted opponents; empty where none was met."""
    measures = {"reward_against": "reward against", "own_fraction_against": "own colour against"}
    columns = []
    for measure in measures:
        labels = dict.fromkeys(label for i in places for label in cells[i].get(measure, {}))
        columns += [(measure, label) for label in labels if any(_any(cells[i][measure][label]) for i in places)]
    if not columns:
        return ""
    heads, names = _names(cells)
    head = [*heads, *(f"{measures[measure]} {escape(label)}" for measure, label in columns)]
    rows = [
        names(cells[i]) + [each(cells[i][m][label], cells[i][f"{m}_ci95"][label]) for m, label in columns]
        for i in places[:most]
    ]
    return table(head, rows, left=len(heads)) + f'<p class="note">{escape(_AGAINST + _rest(places, most))}</p>'


def _any(values: list[Any] | None) -> bool:
    return any(v is not None for v in values or ())


def _names(cells: list[dict[str, Any]]) -> tuple[list[str], Any]:
    keys = [k for axis in sweep_axes(cells) for k in (axis.key, *axis.tied)]

    def names(cell: dict[str, Any]) -> list[str]:
        return [str(cell["cell"]), *(escape(value_name(cell["coordinates"].get(k))) for k in keys)]

    return ["cell", *(escape(key_name(k)) for k in keys)], names


def _rest(places: list[int], most: int) -> str:
    if len(places) <= most:
        return ""
    return f" The first {most} of {len(places):,} sampled cells are listed; summary.json has them all."
