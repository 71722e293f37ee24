"""The policies of an atlas: of runs, also as they were earlier, of files, named strategies, and random tables."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from shaping.config.errors import ConfigError
from shaping.envs.spaces import Discrete
from shaping.leagues.frozen_players import Player, chosen_matches, filed, has_tables, learned
from shaping.leagues.games import common_game
from shaping.leagues.stepwise_players import as_machines, game_as_played, learned_to_play
from shaping.objectives.behaviour_tables import each_behaviour
from shaping.objectives.played_league_values import Seated
from shaping.population.population_programs import Population
from shaping.recorded_tables import as_written, own_tables
from shaping.results import Run, load, parameters_of

NAMED = ("allc", "alld", "tft", "grim", "wsls", "generous_tft", "extortionate", "random", "alternator", "anti_tft")
NAMED += ("bully", "suspicious_tft", "tf2t", "win_shift_lose_stay")
"""Strategies that a reader recognises, which are on every map of a matrix game."""
MOST = 50_000
"""Policies on one map."""


@dataclass(frozen=True)
class Mapped:
    """A policy on the map.

    Attributes:
      player: who it is.
      when: the update or generation that it is of; -1 for strategies and files.
      track: a number that the same learner has at all times; -1 for strategies and files.
      last: whether it is the learner's final policy.
    """

    player: Player
    when: int = -1
    track: int = -1
    last: bool = True


def of_sources(
    sources: Sequence[str], cells: Sequence[str], per_cell: int | None, snapshots: int, one_game: bool = True
) -> tuple[list[Mapped], list[tuple[str, dict[str, Any]]]]:
    """The policies of runs and files, and the game of each run, as `leagues.games.common_game` takes it.

    Args:
      sources: folders of runs of two players or of populations, and files of policies (see `frozen_players.filed`).
      cells, per_cell: of runs, see `frozen_players.learned`.
      one_game: whether the matches of a run must have played one game; if not, no games are returned.
      snapshots: at how many times a learner is on the map, the last one included, where its run recorded them.

    Raises:
      ConfigError: no run, one of another kind, or too many policies.
    """
    found: list[Mapped] = []
    games: list[tuple[str, dict[str, Any]]] = []
    short = [Path(source).name for source in sources]
    for source, last in zip(sources, short, strict=True):
        if source.endswith((".json", ".npy")):
            found += [Mapped(player) for player in filed(source)]
            continue
        name, run = last if short.count(last) == 1 else source, load(source)
        populations = "player" not in run.record["value"].dims
        of_run = _of_populations if populations else _of_matches
        here, game = of_run(source, run, cells, per_cell, name, snapshots, one_game)
        first = 1 + max((one.track for one in found), default=-1)
        found += [replace(one, track=first + one.track) for one in here]
        games += [(source, game)] * one_game
        if len(found) > MOST:
            raise ConfigError(
                f"atlas: {len(found)} policies or more; allowed: up to {MOST}, fewer with --per-cell or --snapshots"
            )
    return found, games


def _times(recorded: Sequence[int], snapshots: int) -> list[int]:
    """Places of some recorded times, evenly spaced, the first included, the last left out."""
    if snapshots < 2 or len(recorded) < 2:
        return []
    places = np.unique(np.linspace(0, len(recorded) - 1, min(snapshots, len(recorded))).round().astype(int))
    return places[:-1].tolist()


def _of_matches(
    source: str, run: Run, cells: Sequence[str], per_cell: int | None, name: str, snapshots: int, one_game: bool
) -> tuple[list[Mapped], dict[str, Any]]:
    """Learners of matches: tables along the updates that were recorded, other policies at first and last."""
    record = run.record
    end = int(record["update"].values[-1])
    tables = has_tables(source)
    players, game = (learned if tables else learned_to_play)(source, cells, per_cell, name, one_game)
    found = [Mapped(player, end, track) for track, player in enumerate(players)]
    if tables and "policy_trajectory" in record:
        times = record["update"].values
        for place in _times(times, snapshots):
            then = own_tables(record.assign(policy=record["policy_trajectory"].isel(update=place)))
            assert then is not None
            for track, player in enumerate(players):
                row = then[player.match, player.seat]
                found.append(_earlier(player, row[np.isfinite(row)], int(times[place]), track))
    elif not tables and snapshots > 1 and end > 0:
        rows = record["theta_initial"].values
        for track, player in enumerate(players):
            theta = parameters_of(player.behaviour.policies[0], rows[player.match, player.seat])
            found.append(_earlier(player, replace(player.behaviour, thetas=(theta, theta)), 0, track))
    return found, game


def _earlier(player: Player, behaviour: Any, when: int, track: int) -> Mapped:
    return Mapped(replace(player, name=f"{player.name}@{when}", behaviour=behaviour), when, track, False)


def _of_populations(
    source: str, run: Run, cells: Sequence[str], per_cell: int | None, name: str, snapshots: int, one_game: bool
) -> tuple[list[Mapped], dict[str, Any]]:
    """All learners at the end, and some of them along the generations if the run recorded policies."""
    record = run.record
    if record.attrs.get("state_view", "own") != "own":
        raise ConfigError(f"{source}: its policies see what seat 0 sees; an atlas needs policy.state_view own")
    types = [str(each) for each in record["type"].values]
    end, found, game = int(record["generation"].values[-1]), [], {}
    for number, m in enumerate(chosen_matches(source, record, cells, per_cell)):
        population = run.match(m)
        own_game = _game_of(source, run, m, population)
        if one_game and game:
            common_game([(f"{source}, other populations", game), (f"{source}, population {m}", own_game)])
        game = own_game
        policies = population.rules.game.policies
        size = population.rules.size
        final, kinds, cell = record["theta_final"].values[m], record["type_final"].values[m], int(record["cell"][m])
        for learner in range(size):
            if np.isfinite(final[learner][: policies[0].num_parameters]).all():
                kind, own = types[int(kinds[learner])], _behaviour(policies, final[learner])
                player = Player(f"{name}/{m}/{learner}", source, own, m, learner, cell, kind)
                found.append(Mapped(player, end, number * size + learner))
        if "policies" not in record:
            continue
        fixed = run.config["population"]["selection"]["kind"] == "none"
        for place in _times(record["generation"].values, snapshots):
            rows = record["policies"].isel(match=m, generation=place).values
            for sampled, learner in enumerate(record["sample_learner"].values.tolist()):
                if np.isfinite(rows[sampled][: policies[0].num_parameters]).all():
                    # Selection changes types, which are known at other times only if the run recorded them.
                    label = kinds[learner] if fixed else _type_then(record, m, place, learner)
                    kind = types[int(label)] if np.isfinite(label) else "type not recorded"
                    when, own = int(record["generation"].values[place]), _behaviour(policies, rows[sampled])
                    player = Player(f"{name}/{m}/{learner}", source, own, m, learner, cell, kind)
                    found.append(_earlier(player, own, when, number * size + learner))
    return found, game


def _type_then(record: Any, match: int, place: int, learner: int) -> float:
    return float(record["types"].values[match, place, learner]) if "types" in record else np.nan


def _game_of(source: str, run: Run, m: int, population: Population) -> dict[str, Any]:
    """The game of a population, as `frozen_players.learned` and `stepwise_players.learned_to_play` tell it."""
    game, params = population.rules.game, population.params
    settings = run.settings(m)["game"]
    if game.round_payoffs(params) is not None and len(game.policies) == 2:
        numbers = {key: as_written(getattr(params, key)) for key in ("payoffs", "discount", "noise")}
        return numbers | {"payoffs": numbers["payoffs"].reshape(2, 4), "horizon": settings.get("horizon")}
    try:
        played = game_as_played(game, params)
    except ConfigError as error:
        raise ConfigError(f"{source}: {error}") from None
    return {"game": settings["name"], "played": played}


def _behaviour(policies: Sequence[Any], row: np.ndarray) -> Any:
    theta = parameters_of(policies[0], row)
    if policies[0].tabulated and policies[0].action_space == Discrete(2):
        return each_behaviour([(policies[0], theta)])[0]
    return Seated((policies[0], policies[1]), (theta, theta))


def random_tables(number: int, seed: int) -> list[Mapped]:
    """Memory-one tables whose probabilities are arcsine-distributed, so that many are nearly certain (Nowak and Sigmund
    1992)."""
    drawn = np.random.default_rng([seed, 7]).beta(0.5, 0.5, (number, 5))
    return [Mapped(Player(f"table/{i}", "random table", row)) for i, row in enumerate(drawn)]


def seated(behaviours: Sequence[Any]) -> list[Seated]:
    """Players that can sit in either seat; tables and machines are of one size, so that one program plays them all.

    Args:
      behaviours: `Seated`; for a matrix game of two actions also tables, machines, names of strategies, and pairs of
        policy and parameters.
    """
    plain = [i for i, one in enumerate(behaviours) if not isinstance(one, Seated)]
    found: list[Any] = list(behaviours)
    if plain:
        for i, one in zip(plain, as_machines([_longer(found[i]) for i in plain]), strict=True):
            found[i] = one
    return found


def _longer(behaviour: Any) -> Any:
    """A table of a one-shot game as one that is the same after everything."""
    one_shot = isinstance(behaviour, np.ndarray) and behaviour.shape == (1,)
    return np.full(5, behaviour[0]) if one_shot else behaviour
