"""Frozen players that play step by step: policies of runs without tables, and scripted players of environments."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from shaping.config.build import matches_of
from shaping.config.errors import ConfigError, not_allowed
from shaping.config.plan import Experiment, plan
from shaping.config.policy import build_policy
from shaping.config.trial_build import shaper
from shaping.envs import AutoReset, MatrixGame
from shaping.envs.declarations import round_payoffs
from shaping.leagues.frozen_players import Player, chosen_matches, rule_name
from shaping.objectives.behaviour_tables import each_behaviour, machine_of
from shaping.objectives.coin_league_values import coin_game_of, coin_probabilities, has_coin_chain, has_coin_table
from shaping.objectives.exact_coin import ExactCoinParams
from shaping.objectives.game import Game, step_by_step
from shaping.objectives.played_league_values import PlayedGame, Seated
from shaping.policies import scripted_players
from shaping.policies.automaton import Machine, automaton
from shaping.policies.one_of import one_of
from shaping.population.match import Match
from shaping.population.trial_game import TrialGame
from shaping.recorded_tables import as_written
from shaping.results import load


def game_as_played(game: Game, params: Any) -> PlayedGame:
    """A game of two players with these numbers, as it is played step by step.

    Raises:
      ConfigError: its players never play, or there are not two.
    """
    played = step_by_step(game, params)
    if played is None:
        raise ConfigError(f"{type(game).__name__}: is not played in steps; allowed: games with actions")
    discount = float(as_written(played.discount))
    found = PlayedGame(played.env, played.params, discount, played.horizon or endless_steps(discount), played.horizon)
    if found.env.num_players != 2:
        raise ConfigError(f"{found.env.name}: has {found.env.num_players} players; allowed: 2")
    return found


def trial_as_played(match: Match) -> PlayedGame:
    """A sampled trial between two players of whom none learns: its inner episodes, one after the other. Whoever was
    trained to remember from one to the next does; there is one stream, so there is nothing to average memories over.
    Values are means per round.

    Raises:
      ConfigError: a trial whose players cannot play without those who learn.
    """
    game: Any = match.game
    meta, inner = game.meta, game.meta.game
    if not meta.sampled:
        wanted = "sampled ones (trial.rounds); for exact ones, rule: mfos in a learning league"
        raise ConfigError(f"trial: its shapers choose policies and play no rounds; allowed: {wanted}")
    if meta.observes != "play":
        raise ConfigError(
            f"trial.observes: {meta.observes} shows policies of learners, but frozen players show none; allowed: play"
        )
    if meta.num_players != 2:
        raise ConfigError(f"{inner.env.name}: has {meta.num_players} players; allowed: 2")
    if "horizon" not in {field.name for field in dataclasses.fields(inner.env)}:
        raise ConfigError(
            f"{inner.env.name}: its episodes cannot be cut after {meta.rounds} rounds; allowed: games with a horizon"
        )
    episode = dataclasses.replace(inner.env, horizon=meta.rounds)
    env = AutoReset(episode, meta.updates, remembers=game.memory != "reset")
    return PlayedGame(env, match.params.meta.game.env, 1.0, meta.horizon, meta.rounds)


def endless_steps(discount: float) -> int:
    """Steps after which a game without end has paid all but a ten-thousandth of its value."""
    return 1 if discount == 0 else max(1, int(np.ceil(np.log(1e-4) / np.log(discount))))


def matrix_as_played(game: MatrixGame) -> PlayedGame:
    """A matrix game as it is played step by step."""
    steps = game.horizon or endless_steps(game.discount)
    return PlayedGame(game, game.default_params, game.discount, steps, game.horizon)


def as_machines(behaviours: Sequence[Any]) -> list[Seated]:
    """Tables, names, pairs of policy and parameters, and machines as machines of one size, so that one program plays
    them all in either seat."""
    machines = [one if isinstance(one, Machine) else machine_of(one) for one in each_behaviour(behaviours)]
    size = max((len(machine.cooperation) for machine in machines), default=1)
    policy, found = automaton(size), []
    for machine in machines:
        more = size - len(machine.cooperation)
        # In NumPy, as there may be ten thousand.
        moves = np.pad(np.asarray(machine.transition), ((0, more), (0, 0)))
        chances = np.pad(np.asarray(machine.cooperation, np.float32), (0, more))
        padded = Machine(moves, chances)  # pyright: ignore[reportArgumentType]
        found.append(Seated((policy, policy), (padded, padded)))
    return found


def environment_as_played(raw: Any) -> tuple[str, PlayedGame]:
    """The name of an environment, and how it is played with the numbers of its configuration.

    Raises:
      ConfigError: as a configuration with this game.
    """
    given = {"game": raw, "players": {"rule": "ppo"}, "objective": {"kind": "dice"}, "matches": 1, "updates": 0}
    experiment = plan(given)
    first = _first_match(experiment)
    return experiment.blocks[0].normal["game"]["name"], game_as_played(first.game, first.params)


def learned_to_play(
    place: str, cells: Sequence[str] = (), per_cell: int | None = None, name: str = "", one_game: bool = True
) -> tuple[list[Player], dict[str, Any]]:
    """The final policies of the learners of a run that have no tables of P(C), and the game they played; the arguments
    are those of `frozen_players.learned`.

    Returns:
      players whose behaviour is a `Seated`; and for a matrix game payoffs, discount, noise and horizon, for others
      `game` (a name) and `played` (a `PlayedGame`). Nothing unless `one_game`.

    Raises:
      ConfigError: no run, a run of another kind, a policy that cannot sit in both seats, several games, or no such
        cell.
    """
    found, games = [], {}
    run = load(place)
    for player, game in learners_in_play(place, chosen_matches(place, run.record, cells, per_cell), name):
        found.append(player)
        games.setdefault(identity(game), (game, player.match))
    if not one_game:
        return found, {}
    if len(games) > 1:
        raise ConfigError(f"{place}: its matches play {len(games)} games; allowed: one, chosen by --cell, or --game")
    (game, m), *_ = games.values()
    payoffs = round_payoffs(game.env, game.numbers)
    if payoffs is not None and payoffs.shape == (2, 2, 2):
        noise = game.numbers.noise
        noise = np.zeros(2) if noise is None else noise
        numbers = {"payoffs": payoffs, "noise": noise, "discount": game.discount}
        plain = {key: as_written(value) for key, value in numbers.items()}
        return found, {key: plain[key] for key in ("payoffs", "discount", "noise")} | {"horizon": game.horizon}
    return found, {"game": run.settings(m)["game"]["name"], "played": game}


def learners_in_play(place: str, chosen: Sequence[int], name: str = "") -> list[tuple[Player, PlayedGame]]:
    """The learners of some matches of a run, except those that diverged, each with the game of its match.

    Raises:
      ConfigError: as `learned_to_play`; also if no learner is left.
    """
    run = load(place)
    diverged, cell = run.record["diverged_at"].values != -1, run.record["cell"].values
    found = []
    for m in (m for m in chosen if not diverged[m]):
        try:
            match = run.match(m)
            trial = isinstance(match.game, TrialGame)
            game = trial_as_played(match) if trial else game_as_played(match.game, match.params)
        except ConfigError as error:
            raise ConfigError(f"{place}: {error}") from None
        for seat, (_, theta) in enumerate(run.policies(m)):
            if run.learns(m, seat):
                settings = run.settings(m)
                player = _seated(place, settings, game.env, seat, theta)
                rule, shown = rule_name(settings["players"][seat]), f"{name or place}/{m}/{seat}"
                found.append((Player(shown, place, player, m, seat, int(cell[m]), rule), game))
    if not found:
        raise ConfigError(f"{place}: no learner is left; allowed: matches that did not diverge, of learners")
    return found


def identity(game: PlayedGame) -> tuple[Any, ...]:
    """What two equal games have in common."""
    numbers = [np.asarray(leaf) for leaf in jax.tree.leaves((game.numbers, game.discount))]
    return (*(x.tobytes() for x in numbers), game.env, game.steps, game.horizon)


def strategies_in_play(against: str, game: PlayedGame, key: str = "--against") -> list[Player]:
    """Scripted players of an environment (see `shaping.scripted_players`), by name in upper or lower case; "classic"
    and "all" are all that it has. `key` is what gave the names, for errors.

    Raises:
      ConfigError: an unknown name.
    """
    known = scripted_players(game.env)
    by_name = {name.lower(): name for name in known}
    if against == "none":
        return []
    names = list(known) if against in ("classic", "all") else [each.strip() for each in against.split(",")]
    for name in names:
        if name.lower() not in by_name:
            raise not_allowed(key, name, f"classic, all, none, or some of {', '.join(known)}", known)
    if not known:
        return []
    # All of them as one policy with a parameter that chooses: one program plays them all.
    both = tuple(one_of([known[name][seat] for name in known]) for seat in (0, 1))
    numbers = [tuple(known[name][seat].for_params(game.numbers) for name in known) for seat in (0, 1)]
    found = []
    for name in names:
        number = np.int32(list(known).index(by_name[name.lower()]))
        found.append(Player(name, "strategy", Seated((both[0], both[1]), ((number, numbers[0]), (number, numbers[1])))))
    return found


def coin_players(game: PlayedGame, players: Sequence[Player]) -> tuple[Any, Any, list[int], list[list[np.ndarray]]]:
    """Those of the players of an enumerable Coin Game whose values can be exact.

    Returns:
      The exact game and its numbers; the players' numbers, and the tables of each; (None, None, [], []) if there are
      none.
    """
    tabled: dict[int, Seated] = {}
    scripts = scripted_players(game.env)
    for number, player in enumerate(players if has_coin_chain(game.env) else ()):
        one = player.behaviour
        if one.policies[0].kind == "one_of":
            name = next(key for key in scripts if key.lower() == player.name.lower())
            one = Seated((scripts[name][0], scripts[name][1]), ((), ()))
        if all(has_coin_table(policy) for policy in one.policies):
            tabled[number] = one
    if not tabled:
        return None, None, [], []
    try:
        exact = coin_game_of(game.env, game.horizon, list(tabled.values()))
        tables = [coin_probabilities(exact, one) for one in tabled.values()]
    except ValueError:  # too large to enumerate
        return None, None, [], []
    noise = np.zeros(2) if game.numbers.noise is None else game.numbers.noise
    params = ExactCoinParams(*(np.asarray(x) for x in (game.numbers.rewards, game.discount, noise)))  # pyright: ignore[reportArgumentType]
    return exact, params, list(tabled), tables


def _first_match(experiment: Experiment) -> Match:
    return jax.tree.map(lambda leaf: leaf[0], matches_of(experiment, [experiment.blocks[0]], np.array([0])))


def _seated(place: str, normal: dict[str, Any], env: Any, seat: int, theta: Any) -> Seated:
    """A learner that can sit in either seat."""
    policy = normal["policy"]
    view = normal["trial"]["policy"] if "trial" in normal else policy
    if view.get("state_view", "own") != "own":
        raise ConfigError(f"{place}: its policies see what seat 0 sees; a league needs policy.state_view own")
    if "trial" in normal:
        first, second = (shaper(policy, env, place) for place in (0, 1))
    else:
        first, second = (build_policy(normal["game"], policy, env, place) for place in (0, 1))
    sizes = [[leaf.shape for leaf in jax.tree.leaves(one.shapes)] for one in (first, second)]
    if sizes[0] != sizes[1]:
        raise ConfigError(
            f"{place}: the policy of seat {seat} cannot sit in seat {1 - seat}; allowed: games in which "
            "both seats see and do the same"
        )
    return Seated((first, second), (theta, theta), env)
