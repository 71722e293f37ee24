"""The key `league`: everyone against everyone, learners that go on learning, or players that are frozen.

`league: {learners: {NAME: PLAYER, ...}}` is a run with a cell for each row and column: `plan` puts `pairs` in the place
of `players`. A player that follows a strategy, or has step size 0, is frozen among them. `league: {players: [...]}` or
`league: {against: NAMES}` has frozen players only. Nothing is trained then, and `shaping.leagues` carries it out.
"""

from collections.abc import Mapping
from typing import Annotated, Any

from shaping.config.checks import settings
from shaping.config.errors import ConfigError, not_allowed, unknown_key
from shaping.config.top_level import SINGLE
from shaping.signatures import Positive, Range, fields

LEARNERS, AGAINST = "learners", "against"
_SEPARATOR = " v "
_TOP = ("title", "description", "game", "seed", "league")
"""Keys of a configuration whose league has frozen players only."""


def _frozen(
    against: str = "classic",
    per_cell: Annotated[int, Range(1)] | None = None,
    standard_error: Positive = 0.01,
    sampled: bool = False,
    restarts: Annotated[int, Range(0, 1000)] = 0,
    updates: Annotated[int, Range(1, 10**9)] = 200,
) -> None:
    """How frozen players meet.

    Args:
      against: strategies that join: classic, all, none, or names separated by commas.
      per_cell: how many matches of each cell of a run, from the first on; by default all.
      standard_error: that values measured in play should have.
      sampled: whether everything is played, also what could be exact.
      restarts: random starts of learned best responses where they are not exact; 0 for none.
      updates: of learned best responses, from each start.
    """


FROZEN = fields(_frozen)
_LISTS = {"players": "a list of folders of runs and files of policies", "cells": "a list of cells, N or KEY=VALUE"}


def is_frozen(raw: Any) -> bool:
    """Whether a configuration is a league of frozen players only."""
    found = raw.get("league") if isinstance(raw, Mapping) else None
    return isinstance(found, Mapping) and LEARNERS not in found


def learners_of(raw: Mapping[str, Any]) -> list[str]:
    """The names of the learners of a league, in order; none if the configuration has no learning league."""
    league = raw.get("league")
    learners = league.get(LEARNERS) if isinstance(league, Mapping) else None
    return [str(name) for name in learners] if isinstance(learners, Mapping) else []


def variant_of(row: str, column: str) -> str:
    """The variant in which row sits in seat 0 and column in seat 1."""
    return f"{row}{_SEPARATOR}{column}"


def pairs(raw: Mapping[str, Any]) -> dict[str, Any]:
    """The variants of a learning league: every learner against every other and itself.

    Raises:
      ConfigError: a league that is not one of learners, or keys that have no place beside it.
    """
    league = raw["league"]
    if not isinstance(league, Mapping):
        raise not_allowed("league", league, "a mapping with learners, or with players")
    if LEARNERS not in league:
        raise ConfigError(
            "league.players: frozen players have no updates; allowed: `shaping run`, `shaping resume` and "
            "`shaping report`"
        )
    for key in league:
        if key != LEARNERS:
            raise unknown_key(f"league.{key}", [LEARNERS], " beside learners")
    learners = league[LEARNERS]
    if not isinstance(learners, Mapping) or not learners:
        raise not_allowed("league.learners", learners, "a mapping of names to players, each with a rule or a strategy")
    for key in ("players", "variants", "population", "sweep"):
        if raw.get(key):
            instead = "whose cells are its pairs" if key == "sweep" else "in which league.learners says who plays"
            raise ConfigError(f"{key}: not in a learning league, {instead}; leave it out")
    for name, player in learners.items():
        if _SEPARATOR in str(name) or not str(name).strip():
            raise not_allowed("league.learners", name, f"names that can be seen, without {_SEPARATOR!r}")
        if not isinstance(player, Mapping | str):
            raise not_allowed(f"league.learners.{name}", player, "a rule, or a mapping with a rule or a strategy")
    return {
        variant_of(str(row), str(column)): {
            "players": [_against(learners, row, column), _against(learners, column, row)]
        }
        for row in learners
        for column in learners
    }


def _against(learners: Mapping[str, Any], name: str, other: str) -> Any:
    """A learner's entry against another: its key `against` maps names of others to settings that differ there."""
    player = learners[name]
    if not isinstance(player, Mapping) or player.get(AGAINST) is None:
        return player
    where, changes = f"league.learners.{name}.{AGAINST}", player[AGAINST]
    if not isinstance(changes, Mapping):
        raise not_allowed(where, changes, "a mapping of names of learners to settings")
    for key, change in changes.items():
        if key not in learners:
            raise unknown_key(f"{where}.{key}", [f"{where}.{known}" for known in learners])
        if not isinstance(change, Mapping):
            raise not_allowed(f"{where}.{key}", change, "a mapping of settings")
    return {key: value for key, value in player.items() if key != AGAINST} | dict(changes.get(other, {}))


def normal_frozen(raw: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration of a league of frozen players, with its defaults filled in.

    Raises:
      ConfigError: for the first thing that is not allowed.
    """
    for key in raw:
        if key not in _TOP:
            raise unknown_key(str(key), _TOP, " where a league has frozen players only")
    given = dict(raw["league"])
    lists = {key: given.pop(key, None) or [] for key in _LISTS}
    for key, wanted in _LISTS.items():
        lists[key] = [lists[key]] if isinstance(lists[key], str | int) else lists[key]
        if not isinstance(lists[key], list) or not all(isinstance(one, str | int) for one in lists[key]):
            raise not_allowed(f"league.{key}", lists[key], wanted)
    league = settings("league", given, FROZEN, (LEARNERS, *_LISTS))
    found = {key: raw[key] for key in ("title", "description", "game") if raw.get(key)}
    seed = settings("", {key: raw[key] for key in ("seed",) if key in raw}, {"seed": SINGLE["seed"]})
    return found | seed | {"league": {key: [str(one) for one in each] for key, each in lists.items()} | league}
