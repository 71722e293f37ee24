"""The cells of a league: exact where the game has a closed form and both players have tables, otherwise played."""

from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass
from typing import Any

import numpy as np

from shaping.config.errors import ConfigError
from shaping.envs import MatrixGame
from shaping.leagues.frozen_players import Player
from shaping.leagues.games import LeagueGame
from shaping.leagues.learned_responses import Budget, learned_responses
from shaping.leagues.stepwise_players import as_machines, coin_players
from shaping.objectives.best_responses import best_responses
from shaping.objectives.coin_best_response import best_response
from shaping.objectives.coin_league_values import coin_league_values
from shaping.objectives.exact_coin import ExactCoinGame
from shaping.objectives.game import value_scale
from shaping.objectives.league_values import league_values
from shaping.objectives.played_league_values import PlayedGame, Seated, alike, sampled_values
from shaping.results import load
from shaping.resumable_parts import kept

_PART = 256
"""Pairs that are played before what they earned is written."""
_MEASURED = ("value", "standard_error", "cooperation", "reward_per_step", "episodes")


@dataclass(frozen=True)
class Cells:
    """What everyone earns against everyone.

    Attributes:
      value, standard_error, cooperation, reward_per_step: [row, column, seat]; errors of exact cells are 0, and their
        rewards per step NaN.
      episodes: int [row, column], 0 for exact cells.
      best_response, value_at_worst: [row], what a best response to the row's player in seat 1 earns and what that
        player then gets; NaN where it is not known.
      best_response_error: [row], 0 where the response is exact; otherwise its value is a lower bound with this standard
        error.
      measure: what `cooperation` is.
    """

    value: np.ndarray
    standard_error: np.ndarray
    cooperation: np.ndarray
    reward_per_step: np.ndarray
    episodes: np.ndarray
    best_response: np.ndarray
    value_at_worst: np.ndarray
    best_response_error: np.ndarray
    measure: str


@dataclass(frozen=True)
class Play:
    """How cells are played.

    Attributes:
      error: the wanted standard error of values.
      seed: of the play.
      sampled: whether everything is played, also what could be exact.
      parts: the folder in which finished parts are kept, see `resumable_parts`; None for none.
    """

    error: float = 0.01
    seed: int = 0
    sampled: bool = False
    parts: Any = None


def league_cells(game: LeagueGame, players: Sequence[Player], how: Play) -> Cells:
    """The cells of a league: those between two tables of a matrix game, and in the Coin Game those of players that act
    on its enumerated states, are exact, unless everything is played."""
    if game.matrix is None:
        return _environment_cells(game.played, players, how)
    return _matrix_cells(game.matrix, game.played, players, how)


def _matrix_cells(game: MatrixGame, played: PlayedGame, players: Sequence[Player], how: Play) -> Cells:
    behaviours = [player.behaviour for player in players]
    tables = [i for i, one in enumerate(behaviours) if not isinstance(one, Seated)]
    cells = _empty(len(players), "cooperation")
    if tables:
        known = [behaviours[i] for i in tables]
        best = best_responses(game, known)
        cells.best_response[tables], cells.value_at_worst[tables] = best.value, best.opponent_value
        cells.best_response_error[tables] = 0
        if not how.sampled:
            values = league_values(game, known)
            both = np.ix_(tables, tables)
            cells.value[both], cells.cooperation[both] = values.value, values.cooperation
            cells.standard_error[both] = 0
    if len(tables) == len(players) and not how.sampled:
        return cells
    machines: Any = iter(as_machines([behaviours[i] for i in tables]))
    seated = [one if isinstance(one, Seated) else next(machines) for one in behaviours]
    return _played(cells, played, players, seated, how)


def _environment_cells(game: PlayedGame, players: Sequence[Player], how: Play) -> Cells:
    cells = _empty(len(players), game.measure)
    seated = [player.behaviour for player in players]
    _check_seats(game, players, seated)
    exact, params, known, tables = coin_players(game, players)
    if exact is not None:
        if not how.sampled:
            pairs = np.array([[i, j] for i in range(len(known)) for j in range(len(known))])
            value, own = coin_league_values(exact, params, tables, pairs)
            rows, columns = np.array(known)[pairs].T
            for target, found in ((cells.value, value), (cells.cooperation, own)):
                target[rows, columns, 0], target[columns, rows, 1] = found[:, 0], found[:, 1]
            cells.standard_error[np.ix_(known, known)] = 0
        scale = float(value_scale(np.float64(params.discount), exact.horizon))
        for i, table in zip(known, tables, strict=True):
            best = best_response(exact, params, [table[0], table[1]], 0, probabilities=True)
            cells.best_response[i], cells.best_response_error[i] = best.value * scale, 0
            cells.value_at_worst[i] = np.nan if exact.horizon else _at_worst(exact, params, best.actions, table[1])
    return _played(cells, game, players, seated, how)


def _at_worst(game: ExactCoinGame, params: Any, actions: np.ndarray, table: np.ndarray) -> float:
    """What a player in seat 1 gets against these actions in seat 0."""
    response = np.eye(table.shape[1])[actions]
    value, _ = coin_league_values(game, params, [[response, response], [table, table]], np.array([[0, 1]]))
    return float(value[0, 1])


def _empty(n: int, measure: str) -> Cells:
    value, error, cooperation, reward = np.full((4, n, n, 2), np.nan)
    best, worst, uncertain = np.full((3, n), np.nan)
    return Cells(value, error, cooperation, reward, np.zeros((n, n), int), best, worst, uncertain, measure)


def _check_seats(game: PlayedGame, players: Sequence[Player], seated: Sequence[Seated]) -> None:
    for player, one in zip(players, seated, strict=True):
        try:
            one.check(game.env)
        except ValueError as reason:
            raise ConfigError(f"{player.name}: cannot sit in this game: {reason}") from None


def _played(cells: Cells, game: PlayedGame, players: Sequence[Player], seated: Sequence[Seated], how: Play) -> Cells:
    """Plays the cells that are still unknown."""
    _check_seats(game, players, seated)
    unknown = np.isnan(cells.value[..., 0]) | np.isnan(cells.value[..., 1].T)
    for number, chosen in enumerate(_in_parts(unknown, alike(seated))):
        who = np.flatnonzero(chosen.any(axis=0) | chosen.any(axis=1))
        given = (game.env.name, game.numbers, game.discount, game.steps, how.error, how.seed, chosen)
        given = (*given, [(players[i].name, seated[i].thetas) for i in who.tolist()])

        def play(chosen: np.ndarray = chosen) -> dict[str, np.ndarray]:
            found = sampled_values(game, seated, how.error, chosen, how.seed)
            return {name: getattr(found, name) for name in _MEASURED}

        found = kept(how.parts, f"play-{number}", given, play)
        for name in _MEASURED[:-1]:
            target, new = getattr(cells, name), found[name]
            target[...] = np.where(np.isnan(target), new, target)
        cells.episodes[...] += found["episodes"]
    return cells


def _in_parts(unknown: np.ndarray, kinds: Sequence[Sequence[int]]) -> Iterator[np.ndarray]:
    """The unknown pairs, bool [row, column], in parts that are played one after the other, each by one program."""
    for rows in kinds:
        for columns in kinds:
            meet = [(i, j) for i in rows for j in columns if unknown[i, j]]
            for start in range(0, len(meet), _PART):
                chosen = np.zeros_like(unknown)
                chosen[tuple(np.transpose(meet[start : start + _PART]))] = True
                yield chosen


def learn_responses(
    cells: Cells, players: Sequence[Player], played: PlayedGame, budget: Budget, parts: Any = None
) -> None:
    """Learns best responses to the learners of runs that have no exact one, and puts them into the cells; `parts` as in
    `Play`."""
    groups: dict[Any, list[int]] = {}
    for i, player in enumerate(players):
        if player.match >= 0 and np.isnan(cells.best_response[i]):
            groups.setdefault((player.source, player.behaviour.policies), []).append(i)
    for number, ((source, _), members) in enumerate(groups.items()):
        targets = [players[i].behaviour for i in members]
        given = ([target.thetas for target in targets], played.numbers, played.discount, played.steps, astuple(budget))

        def learn(source: str = source, members: list[int] = members, targets: Any = targets) -> dict[str, np.ndarray]:
            normal = load(source).settings(players[members[0]].match)
            best = learned_responses(normal, [played] * len(members), targets, 1, budget)
            return {"best": best.value, "error": best.standard_error, "worst": best.target_value}

        found = kept(parts, f"responses-{number}", given, learn)
        cells.best_response[members], cells.best_response_error[members] = found["best"], found["error"]
        cells.value_at_worst[members] = found["worst"]
