"""Training from a program: `train` keeps its record in memory."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from shaping.config.checks import check_number
from shaping.config.errors import ConfigError, not_allowed
from shaping.config.top_level import LIMITS
from shaping.envs import MatrixGameParams
from shaping.in_memory_training import trained
from shaping.learners import Learner, gradient_learner
from shaping.objectives.exact_many_actions import many_action_game
from shaping.objectives.exact_matrix import exact_matrix_game
from shaping.objectives.game import Game
from shaping.objectives.rewards import Reward
from shaping.policies import Policy, tabular
from shaping.population.match import Match
from shaping.rules import Rule
from shaping.runtime.devices import computing_in
from shaping.runtime.record import Layout
from shaping.runtime.record_schema import layout_of
from shaping.signatures import Range


def train(
    game: Any,
    players: Sequence[Learner | Rule] | Learner | Rule,
    matches: int = 100,
    updates: int = 100,
    seed: int = 0,
    record_every: int = 1,
    precision: str = "float32",
    parameters: Any = None,
    policy: Policy | None = None,
    seats: Sequence[int] | None = None,
    rewards: Sequence[Reward | None] | Reward | None = None,
) -> Any:
    """Trains a population of independent matches and returns its record, in memory.

    Args:
      game: a matrix game (`envs.MatrixGame`) or any other `objectives.game.Game`: an analytic game of your own, an
        exact Coin Game (`shaping.exact_coin_game`), a game whose returns are estimated from play (`shaping.sampled`),
        or your own implementation of that protocol.
      players: one learner per seat, or one learner that every seat gets a copy of. An update rule stands for a learner
        with step size 1 that starts from N(0, 1). With `seats`, one learner per player named there.
      matches: how many matches, at least 1.
      updates: updates of each match, at least 0.
      seed: determines the initial parameters, as in a configuration.
      record_every: updates from one recorded value to the next.
      precision: "float32" or "float64".
      parameters: the numbers of the game, any pytree; None uses those of a matrix game, or the game's own
        `default_parameters`.
      policy: the policy of every seat of a matrix game; None means `shaping.tabular` with one logit per state.
      seats: for each seat, the number of the player that plays it. A player with several seats plays all of them with
        the same parameters: [0, 0] is one player in both seats. None gives each seat a player of its own.
      rewards: what players maximise in place of the game's rewards, as returned by `shaping.weights`,
        `inequity_aversion` and `svo`: one for every seat, or a list with None where a seat maximises its own. Values
        remain the game's own.

    Returns:
      An `xarray.Dataset` with the variables, coordinates and attributes of a record.

    Raises:
      ConfigError: for a number out of its range, for more or fewer players than the game has seats, or for a policy
        that does not fit the game.
    """
    for key, value in (("matches", matches), ("updates", updates), ("seed", seed), ("record_every", record_every)):
        check_number(key, value, LIMITS[key], integer=True)
    if precision not in ("float32", "float64"):
        raise not_allowed("precision", precision, "float32 or float64", ("float32", "float64"))
    if policy is not None and not isinstance(policy, Policy):
        raise not_allowed("policy", policy, "a policy, for example shaping.mlp(5)")
    game, numbers = game_of(game, policy, parameters)
    learners = _learners(players, len(game.policies), seats)
    played_by = None if seats is None else tuple(seats)
    own = _rewards(rewards, game)

    with computing_in(precision):
        numbers = numbers()

        def matches_of(indices: np.ndarray) -> Match:
            def spread_over(leaf: Any) -> np.ndarray:
                array = np.asarray(leaf)
                array = array if array.dtype.kind in "iub" and isinstance(leaf, jax.Array) else array.astype(precision)
                return np.broadcast_to(array, (len(indices), *array.shape))

            settings = jax.tree.map(spread_over, Match((), (), numbers, learners, game, played_by, None, own))
            return settings.replace(seed=np.full(len(indices), seed, np.int32), number=indices.astype(np.int32))

        variables, table = trained(matches_of, matches, updates, record_every)
        found = layout_of([matches_of(np.arange(1))], matches, table.recorded, np.dtype(precision))
    return _dataset(found, game.about, variables)


def _learners(players: Any, number: int, seats: Sequence[int] | None) -> tuple[Learner, ...]:
    """One learner for each player; see `train`."""
    wanted = number
    if seats is not None:
        wanted = len(set(seats))
        if len(seats) != number or sorted(set(seats)) != list(range(wanted)):
            raise ConfigError(f"seats: {list(seats)} given; allowed: for each of {number} seats a player, from 0 on")
    if isinstance(players, str) or not isinstance(players, Learner | Rule | Sequence):
        raise not_allowed("players", players, "learners or rules, for example shaping.lola()")
    each = [players] * wanted if isinstance(players, Learner | Rule) else list(players)
    for place, player in enumerate(each):
        if not isinstance(player, Learner | Rule):
            raise not_allowed(f"players.{place}", player, "a learner or a rule, for example shaping.lola()")
    if len(each) != wanted:
        told = f"the game has {number} seats" if seats is None else f"seats names {wanted}"
        raise ConfigError(f"players: {len(each)} given; {told}")
    learners = tuple(player if isinstance(player, Learner) else gradient_learner(player) for player in each)
    for place, learner in enumerate(learners):
        if seats is not None and not learner.shareable and list(seats).count(place) > 1:
            raise ConfigError(f"seats: {list(seats)} given; player {place} cannot play several seats at once")
    return learners


def _rewards(given: Any, game: Any) -> tuple[Reward | None, ...] | None:
    """What each seat maximises; None if all seats maximise the game's rewards."""
    seats = len(game.policies)
    each: tuple[Any, ...] = tuple(given) if isinstance(given, list | tuple) else (given,) * seats
    for place, one in enumerate(each):
        if one is not None and not isinstance(one, Reward):
            raise not_allowed(
                f"rewards.{place}", one, "what shaping.weights, inequity_aversion or svo returns, or None"
            )
    if len(each) != seats:
        raise ConfigError(f"rewards: {len(each)} given; the game has {seats} seats")
    for one in each:
        if one is not None and one.kind == "weights" and len(one.numbers) != seats:
            raise ConfigError(
                f"rewards: {len(one.numbers)} weights given; allowed: {seats}, one per player, its own first"
            )
    if all(one is None for one in each):
        return None
    if "rewards" not in inspect.signature(game.objective).parameters:
        raise ConfigError("rewards: leave them out; this game's objective takes none")
    return each


def game_of(game: Any, policy: Policy | None, parameters: Any) -> tuple[Game, Callable[[], Any]]:
    """The game to train on, and a function that returns its numbers in the precision of the run."""
    if not hasattr(game, "objective"):
        if not hasattr(game, "num_states"):
            wanted = "a matrix game (envs.make), or what exact_coin_game, sampled or analytic_game returns"
            raise not_allowed("game", game, wanted)
        if parameters is not None and not isinstance(parameters, MatrixGameParams):
            raise not_allowed("parameters", parameters, "the parameters of a matrix game (envs.MatrixGameParams)")
        if parameters is not None:
            _check_parameters(game, parameters)
        policies = (policy or tabular(game.num_states, num_actions=game.num_actions),) * game.num_players
        form = exact_matrix_game if game.num_actions == 2 else many_action_game
        try:
            return form(game, policies), lambda: game.default_params if parameters is None else parameters
        except ValueError as error:
            raise ConfigError(f"policy: {error}") from None
    if policy is not None:
        raise ConfigError("policy: leave it out; only matrix games take one, every other game comes with its own")
    if parameters is None and not hasattr(game, "default_parameters"):
        raise ConfigError("parameters: needed; exact_coin_game and sampled return them together with the game")
    return game, lambda: game.default_parameters if parameters is None else parameters


def _check_parameters(game: Any, given: MatrixGameParams) -> None:
    """Refuses numbers that are not those of one such game."""
    top = Range(0, 1, open_high=game.horizon is None)
    ranges = {"payoffs": Range(), "discount": top, "noise": Range(0, 1)}
    for name, allowed in ranges.items():
        value, default = getattr(given, name), getattr(game.default_params, name)
        if value is None:
            continue
        if np.shape(value) != np.shape(default):
            raise ConfigError(
                f"parameters.{name}: has the shape {list(np.shape(value))}; must be {list(np.shape(default))}"
            )
        check_number(f"parameters.{name}", np.asarray(value), allowed)


def _dataset(layout: Layout, about: Mapping[str, Any], variables: Mapping[str, np.ndarray]) -> Any:
    import xarray

    used = {dim for name in variables for dim in layout.variables[name].dims}
    coords = {name: values for name, values in layout.coordinates().items() if name in {*used, "update"}}
    arrays = {
        name: (layout.variables[name].dims, array, layout.variables[name].attributes())
        for name, array in variables.items()
    }
    return xarray.Dataset(arrays, coords, dict(about))
