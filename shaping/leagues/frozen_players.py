"""Frozen players of a league, with their names: from runs, from files, and named strategies."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from shaping.config.errors import ConfigError, not_allowed
from shaping.envs import MatrixGame
from shaping.policies.strategies import STRATEGIES, strategy
from shaping.policies.zero_determinant import extortionate
from shaping.recorded_tables import HISTORIES, are_tables, as_written, own_tables
from shaping.results import Run, load

CLASSIC = ("allc", "alld", "tft", "grim", "wsls", "generous_tft", "extortionate")
_MOST = 6000


@dataclass(frozen=True)
class Player:
    """One row and column of a league.

    Attributes:
      name: as shown in tables.
      source: the run or file that it is from, or "strategy".
      behaviour: a player as `shaping.league_values` takes it.
      match, seat: its match and seat in its run; -1 for other sources.
      cell: its cell in the run; -1 for other sources.
      rule: by which it learned; "" for other sources.
    """

    name: str
    source: str
    behaviour: Any
    match: int = -1
    seat: int = -1
    cell: int = -1
    rule: str = ""


def strategies_of_matrix(against: str, game: MatrixGame, key: str = "--against") -> list[Player]:
    """Strategies by name: "classic", "all", "none", or names separated by commas, in upper or lower case.

    In a prisoner's dilemma, the extortioner and generous tit-for-tat are those for the game's own payoffs. In other
    games an extortioner is refused, and `classic` and `all` leave it out. `key` is what gave the names, for errors.

    Raises:
      ConfigError: an unknown name.
    """
    if against == "none":
        return []
    listed = list(STRATEGIES) if against == "all" else list(CLASSIC) if against == "classic" else against.split(",")
    found = []
    for name in (each.strip() for each in listed):
        if name.lower() not in STRATEGIES:
            raise not_allowed(key, name, f"classic, all, none, or some of {', '.join(STRATEGIES)}", STRATEGIES)
        of_group = against in ("all", "classic")
        if name.lower() == "memory_one" and of_group:
            continue  # an arbitrary table, which by default is the random player
        try:
            found.append(Player(name, "strategy", _of_game(name.lower(), game)))
        except ValueError as error:
            if not of_group:
                raise ConfigError(f"{key} {name}: {error}") from None
    return found


def _of_game(name: str, game: MatrixGame) -> Any:
    (r, s), (t, p) = np.asarray(game.payoffs)[0].tolist()
    dilemma = t > r > p > s
    numbers = {"reward": r, "sucker": s, "temptation": t, "punishment": p}
    if name == "extortionate":
        return np.array(extortionate(**numbers))
    if name == "generous_zd":
        return strategy(name, **numbers)
    if name == "generous_tft" and dilemma:
        return strategy(name, generosity=float(np.clip(min(1 - (t - r) / (r - s), (r - p) / (t - p)), 0, 1)))
    return name


def of_matches(place: str) -> Run:
    """Opens a run of matches, as opposed to one of populations.

    Raises:
      ConfigError: no run, or one of populations.
    """
    run = load(place)
    if "player" not in run.record["value"].dims:
        raise ConfigError(f"{place}: holds populations; allowed: runs of matches")
    return run


def has_tables(place: str) -> bool:
    """Whether a run is of a matrix game of two players whose policies are tables of P(C).

    Raises:
      ConfigError: no run.
    """
    return are_tables(of_matches(place).record)


def learned(
    place: str, cells: Sequence[str] = (), per_cell: int | None = None, name: str = "", one_game: bool = True
) -> tuple[list[Player], dict[str, Any]]:
    """The final policies of the learners of a run, and the game they played.

    Args:
      place: the folder of a run of a matrix game of two players whose policies are tables.
      cells: numbers of cells, or KEY=VALUE of a swept key; all cells if empty.
      per_cell: how many matches of each cell, from the first on; None for all.
      name: name of the run in the league; its path if empty.
      one_game: whether all these matches must have played one game, which is then returned.

    Returns:
      players called NAME/MATCH/SEAT, without scripted players and diverged matches; and payoffs, discount, noise and
      horizon, or nothing.

    Raises:
      ConfigError: no run, a run of another kind, several games, or no such cell; one line.
    """
    run = load(place)
    record = run.record
    policy = record.get("policy")
    if policy is None or policy.sizes["player"] != 2 or "payoffs" not in record:
        raise ConfigError(f"{place}: holds no matrix game of two players; allowed: runs with tables of P(C)")
    chosen = chosen_matches(place, record, cells, per_cell)
    diverged = record["diverged_at"].values != -1
    exact = "reward_per_step" not in record
    played = None if exact or "value_exact" not in record else np.isfinite(record["value_exact"].values[:, -1]).all(-1)
    if not exact and (played is None or not played[chosen].all()):
        raise ConfigError(f"{place}: has policies that are no tables, measured in play; allowed: tabular policies")
    chosen = [m for m in chosen if not diverged[m]]
    tables = own_tables(record)
    assert tables is not None
    numbers = {name: record[name].values for name in ("payoffs", "discount", "noise")}
    cell = record["cell"].values
    found = []
    for m in chosen:
        for seat in (0, 1):
            if not run.learns(m, seat):
                continue
            table = tables[m, seat][np.isfinite(tables[m, seat])]
            if len(table) == 1:
                table = np.full(5, table[0])
            rule = rule_name(run.settings(m)["players"][seat])
            found.append(Player(f"{name or place}/{m}/{seat}", place, table, m, seat, int(cell[m]), rule))
    if not found:
        raise ConfigError(f"{place}: no learner is left; allowed: matches that did not diverge, of learners")
    if not one_game:
        return found, {}
    games = {tuple(as_written(value[m]).tobytes() for value in numbers.values()) for m in chosen}
    if len(games) > 1:
        raise ConfigError(f"{place}: its matches play {len(games)} games; allowed: one, chosen by --cell, or --game")
    first = {name: as_written(value[chosen[0]]) for name, value in numbers.items()}
    horizon = record.attrs.get("horizon", "infinite")
    return found, first | {"horizon": None if horizon == "infinite" else int(horizon)}


def rule_name(player: Mapping[str, Any]) -> str:
    """The name of a learner's rule, with its variant."""
    return " ".join(str(player[key]) for key in ("rule", "variant") if key in player)


def filed(place: str) -> list[Player]:
    """Players of a file: NAME.json, a mapping of names to lists of P(C) after each history; or NAME.npy, an array
    [players, histories].

    Raises:
      ConfigError: it cannot be read, or contains no policies.
    """
    path = Path(place)
    try:
        if path.suffix == ".npy":
            table = np.load(path, allow_pickle=False)
            tables = {str(number): row for number, row in enumerate(table)}
        else:
            tables = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{place}: cannot be read: {str(error).splitlines()[0]}") from None
    if not isinstance(tables, dict) or not tables:
        raise ConfigError(f"{place}: holds no policies; allowed: a mapping of names to lists of P(C)")
    found = []
    for name, table in tables.items():
        try:
            row = np.asarray(table, np.float64)
            good = row.ndim == 1 and len(row) in HISTORIES and bool(np.all((row >= 0) & (row <= 1)))
        except (TypeError, ValueError):
            good, row = False, np.zeros(0)
        if not good:
            raise ConfigError(f"{place}: {name!r} is no policy; allowed: 5, 21 or 85 numbers from 0 to 1")
        found.append(Player(str(name), place, row))
    return found


def check_names(players: Sequence[Player], of: str = "league", most: int = _MOST) -> None:
    """Checks that there are players, at most so many, and that all names are different; `of` says whose they are.

    Raises:
      ConfigError: they are not.
    """
    if not players:
        raise ConfigError(f"{of}: no players; give a run, a file, or names with --against")
    if len(players) > most:
        raise ConfigError(f"{of}: {len(players)} players; allowed: up to {most}, fewer with --per-cell")
    names = [player.name for player in players]
    known: set[str] = set()
    for name in names:
        if name in known:
            raise ConfigError(f"{of}: two players are called {name!r}; allowed: each name once")
        known.add(name)


def chosen_matches(place: str, record: Any, cells: Sequence[str], per_cell: int | None) -> list[int]:
    """The numbers of the matches of some cells of a run; see `learned`.

    Raises:
      ConfigError: no such cell.
    """
    keep = np.ones(record.sizes["match"], bool)
    if per_cell is not None:
        keep &= record["match_in_cell"].values < per_cell
    numbers = [int(each) for each in cells if each.isdigit()]
    if numbers:
        cell = record["cell"].values
        missing = set(numbers) - set(cell.tolist())
        if missing:
            raise ConfigError(f"--cell {min(missing)}: {place} has the cells {cell.min()} to {cell.max()}")
        keep &= np.isin(cell, numbers)
    for each in cells:
        if each.isdigit():
            continue
        key, separator, text = each.partition("=")
        known = [str(name) for name, value in record.coords.items() if value.dims == ("match",)]
        if not separator or key not in known:
            raise ConfigError(
                f"--cell {each}: allowed: the number of a cell, or KEY=VALUE with KEY of {', '.join(known)}"
            )
        keep &= np.array([_same(value, text) for value in record[key].values])
    if not keep.any():
        raise ConfigError(f"--cell {' '.join(cells)}: no match of {place} is in it")
    return np.flatnonzero(keep).tolist()


def _same(value: Any, text: str) -> bool:
    try:
        return bool(np.isclose(float(value), float(text), rtol=1e-6, atol=0))
    except (TypeError, ValueError):
        return str(value) == text
