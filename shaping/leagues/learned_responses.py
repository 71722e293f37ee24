"""Learned best responses: PPO or evolution strategies against one frozen player, from several starts. What they earn is
a lower bound.

The target is frozen, a best response is learned from several random starts, and the best one found is reported
(approximate best responses, Timbers et al. 2022, IJCAI). The best of several noisy estimates would be too high, so the
winner plays again, in episodes that did not choose it.
"""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from shaping.config.build import templates
from shaping.config.errors import ConfigError
from shaping.config.plan import plan
from shaping.envs import AutoReset
from shaping.in_memory_training import trained
from shaping.learners import Common, frozen, values
from shaping.objectives.played_league_values import PlayedGame, Seated, sampled_values
from shaping.objectives.sampled_game import SampledGame, SampledParams
from shaping.population.match import Match
from shaping.results import parameters_of
from shaping.runtime.devices import computing_in

_ROWS = 20
# Settings of evolution strategies: 32 policies around the mean, which narrow down.
_SEARCH = {"population": 32, "sigma": 0.3, "sigma_decay": 0.99, "sigma_limit": 0.03, "step_size": 0.1}


@dataclass(frozen=True)
class Budget:
    """How best responses are learned.

    Attributes:
      restarts: starts for each target, at least 1.
      updates: updates from each start, at least 1.
      batch: episodes of an update; of evolution strategies, those of each policy that is tried.
      step_size: of Adam, in PPO.
      learners: by which responses are learned, of `LEARNERS`; every start is made by each of them.
      error: the wanted standard error of the winner's value.
      seed: of everything that is random.
    """

    restarts: int = 4
    updates: int = 200
    batch: int = 64
    step_size: float = 0.01
    error: float = 0.01
    seed: int = 0
    learners: tuple[str, ...] = ("ppo",)


LEARNERS = ("ppo", "es")


@dataclass(frozen=True)
class LearnedResponses:
    """What was found against each target.

    Attributes:
      value, standard_error: [targets], of the best response found, in fresh play; normalised.
      target_value: [targets], what the target then gets.
      restarts: [targets, learners * restarts], the last value of each start, from the learner's own evaluation.
      curve: [targets, learners * restarts, rows], values along the updates.
      updates: [rows].
    """

    value: np.ndarray
    standard_error: np.ndarray
    target_value: np.ndarray
    restarts: np.ndarray
    curve: np.ndarray
    updates: np.ndarray


def check_episodes(game: PlayedGame) -> None:
    """Refuses a game whose best responses cannot be learned.

    Raises:
      ConfigError: one of several episodes, that of players who were trained on trials.
    """
    if isinstance(game.env, AutoReset):
        raise ConfigError(
            f"{game.env.name}: is played over {game.env.episodes} episodes, as its players were trained on trials; "
            "best responses are learned within one episode; allowed: a league without them"
        )


def learned_responses(
    normal: dict[str, Any], games: Sequence[PlayedGame], targets: Sequence[Seated], seat: int, budget: Budget
) -> LearnedResponses:
    """Learns best responses to targets that all sit in one seat.

    Args:
      normal: the normal form of the targets' configuration; the responses have the same kind of policy.
      games: of each target, alike in everything but numbers.
      targets: the frozen players.
      seat: where they sit.
      budget: see `Budget`.
    """
    parts = [_learned_by(name, normal, games, targets, seat, budget) for name in budget.learners]
    curve, ends = (np.concatenate(each, axis=1) for each in zip(*[part[:2] for part in parts], strict=True))
    policy, updates = parts[0][2:]
    best = np.nan_to_num(curve[..., -1], nan=-np.inf).argmax(axis=1)
    found = [parameters_of(policy, ends[i, best[i]]) for i in range(len(targets))]
    value, error, target_value = _fresh(games, targets, found, policy, seat, budget)
    return LearnedResponses(value, error, target_value, curve[..., -1], curve, updates)


def _learned_by(
    name: str,
    normal: dict[str, Any],
    games: Sequence[PlayedGame],
    targets: Sequence[Seated],
    seat: int,
    budget: Budget,
) -> tuple[np.ndarray, np.ndarray, Any, np.ndarray]:
    """Values along the updates of one kind of learner [targets, restarts, rows], its final parameters [targets,
    restarts, parameters], its policy, and the updates [rows]."""
    match = _template(name, normal, games[0], budget)
    other, restarts = 1 - seat, budget.restarts
    thetas = jax.tree.map(lambda *leaves: np.stack(leaves), *[target.thetas[seat] for target in targets])
    numbers = jax.tree.map(lambda *leaves: np.stack(leaves), *[game.numbers for game in games])
    discounts = np.array([game.discount for game in games], np.float32)

    def matches_of(indices: np.ndarray) -> Match:
        at = np.minimum(indices // restarts, len(targets) - 1)
        stacked = jax.tree.map(lambda leaf: np.repeat(np.asarray(leaf), len(at), axis=0), match)
        theta = jax.tree.map(lambda leaf: leaf[at], thetas)
        learners = list(stacked.learners)
        learners[seat] = frozen(Common(initial=values(theta)))
        params = SampledParams(
            jax.tree.map(lambda leaf: leaf[at], numbers), discounts[at], stacked.params.estimator, stacked.params.exact
        )
        return dataclasses.replace(
            stacked,
            learners=tuple(learners),
            params=params,
            number=indices.astype(np.int32),
            seed=np.full(len(at), budget.seed, np.int32),
        )

    count = len(targets) * restarts
    with computing_in("float32"):
        record, table = trained(matches_of, count, budget.updates, max(1, budget.updates // _ROWS))
    shape = (len(targets), restarts)
    curve = record["value"][..., other].reshape(*shape, -1)
    ends = record["theta_final"][:, other].reshape(*shape, -1)
    return curve, ends, match.game.policies[other], np.asarray(table.recorded)


def _template(name: str, normal: dict[str, Any], game: PlayedGame, budget: Budget) -> Match:
    """A match of two such learners with the game and the policies of a configuration, leaves [1, ...]."""
    ppo = name == "ppo"
    player = {"rule": "ppo", "step_size": budget.step_size} if ppo else {"rule": "es"} | _SEARCH
    critics = {"critic_rate": 0.01, "critic_steps": 4} if ppo else {}
    raw = {
        "game": normal["game"],
        "policy": {key: value for key, value in normal["policy"].items() if key != "init"},
        "players": player,
        "optimizer": "adam",
        "objective": {"kind": "dice", "batch": budget.batch, "horizon": game.steps, "evaluation": 4 * budget.batch}
        | critics,
        "matches": 1,
        "updates": budget.updates,
    }
    match = templates(plan(raw))[0]
    # The closed form and scripted opponents would only be measured, which takes longest to compile.
    assert isinstance(match.game, SampledGame)
    played = dataclasses.replace(match.game, exact=None, opponents=(), matrix=None)
    return dataclasses.replace(match, game=played, params=dataclasses.replace(match.params, exact=None))


def _fresh(
    games: Sequence[PlayedGame], targets: Sequence[Seated], found: Sequence[Any], policy: Any, seat: int, budget: Budget
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Values of the responses in play that did not choose them, their standard errors, and the targets' values."""
    rows = []
    for game, target, theta in zip(games, targets, found, strict=True):
        policies, thetas = [policy, policy], [theta, theta]
        policies[seat], thetas[seat] = target.policies[seat], target.thetas[seat]
        both = Seated((policies[0], policies[1]), (thetas[0], thetas[1]))
        met = sampled_values(game, [both], budget.error, seed=budget.seed + 1)
        rows.append([met.value[0, 0, 1 - seat], met.standard_error[0, 0, 1 - seat], met.value[0, 0, seat]])
    value, error, other = np.array(rows).T
    return value, error, other
