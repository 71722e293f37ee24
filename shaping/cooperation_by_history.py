"""P(C | history) of final policies of any kind, counted in play."""

from functools import partial
from typing import Any

import jax
import numpy as np

from shaping.analysis.cooperation.histories import cooperation_by_history
from shaping.config.errors import ConfigError
from shaping.envs.declarations import round_payoffs
from shaping.objectives.game import step_by_step
from shaping.objectives.rollout import rollout
from shaping.policies import Policy
from shaping.results import Run

_STEPS, _EPISODES, _MOST_MATCHES = 100, 32, 2000


def tables_of_play(run: Run, place: str, rounds: int, seed: int) -> tuple[tuple[str, ...], np.ndarray]:
    """What final policies do after each history of the last rounds, as executed.

    Returns:
      labels of the histories, and P(C | history) [match, player, histories], NaN for histories that did not occur.

    Raises:
      ConfigError: a game without two actions and two players, or too many matches to play.
    """
    matches = run.experiment.matches
    firsts = [run.match(b.cells.start * run.experiment.top["matches"]) for b in run.experiment.blocks]
    for match in firsts:
        played = step_by_step(match.game, match.params)
        payoffs = None if played is None else round_payoffs(played.env, played.params)
        # What was done shows in what the players of such a game see.
        if payoffs is None or payoffs.shape != (2, 2, 2):
            raise ConfigError(f"{place}: is no matrix game of two players with two actions, as --rounds needs")
    if matches > _MOST_MATCHES:
        raise ConfigError(f"{place}: has {matches} matches; allowed with --rounds: up to {_MOST_MATCHES}")
    labels: tuple[str, ...] = ()
    tables = []
    for m in range(matches):
        counted = cooperation_by_history(_actions(run, m, jax.random.fold_in(jax.random.key(seed), m)), rounds)
        labels = counted.labels
        tables.append(counted.probability)
    return labels, np.stack(tables)


def _actions(run: Run, m: int, key: jax.Array) -> np.ndarray:
    """Executed actions of one match, [time, batch, 2]."""
    match = run.match(m)
    game = step_by_step(match.game, match.params)
    assert game is not None
    policies, thetas = zip(*run.policies(m), strict=True)
    steps = game.horizon or _STEPS
    # One step more: what was executed shows in the next observation.
    played = _observations(
        game.env, tuple(policies), steps + 1, [jax.tree.map(np.asarray, one) for one in thetas], key, game.params
    )
    seen = np.asarray(played)[1:, :, 0] - 1  # the joint action as seat 0 sees it: 2 own + other
    return np.stack([seen // 2, seen % 2], axis=-1)


@partial(jax.jit, static_argnames=("env", "policies", "steps"))
def _observations(
    env: Any, policies: tuple[Policy, ...], steps: int, thetas: list[Any], key: jax.Array, numbers: Any
) -> jax.Array:
    """What players see, [time, batch, players]."""
    return rollout(env, policies, thetas, key, steps, _EPISODES, numbers).observations
