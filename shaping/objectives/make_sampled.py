"""Makes a sampled game from an environment and policies, and checks each argument."""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from shaping.envs.environment import check_integer
from shaping.objectives.sampled_game import SampledGame, SampledParams
from shaping.objectives.sampled_objective import Estimator, EstimatorNumbers
from shaping.policies.critics import Critic
from shaping.policies.policy import Policy
from shaping.signatures import Field, Range, check_value


def _within(numbers: Any, most: float) -> bool:
    return bool(np.all((numbers >= 0) & (numbers <= most)))


def resets_itself(env: Any) -> bool:
    """Whether a step at the end of an episode begins the next one, and reports so."""
    params, shape = env.default_params, (env.num_players, *env.action_space.shape)
    actions = jax.ShapeDtypeStruct(shape, env.action_space.dtype)

    def step(key: jax.Array, actions: jax.Array) -> dict[str, Any]:
        _, state = env.reset(key, params)
        return env.step(key, state, actions, params)[-1]

    return "episode_ended" in jax.eval_shape(step, jax.random.key(0), actions)


def sampled(
    env: Any,
    policies: Sequence[Policy],
    batch: int = 64,
    horizon: int | None = None,
    discount: float | None = None,
    kind: str = "dice",
    baseline: str = "leave_one_out",
    gae_lambda: float = 1.0,
    decay: float | None = None,
    slices: int = 1,
    rematerialise: bool = False,
    evaluation: int | None = None,
    critics: Sequence[Critic] = (),
    opponents: Mapping[str, Sequence[Policy]] | None = None,
    params: Any = None,
) -> tuple[SampledGame, SampledParams]:
    """A game whose returns are estimated from play, and its numbers, for `shaping.train`; any environment and policies.

    `game.objective(numbers)` is its objective, for `rule.direction` in a training loop of your own.

    Args:
      env: an environment (`envs.Environment`); a stream of play is one episode from a reset, cut at the horizon.
      policies: one per player, see `Policy`; your own or those of `shaping.policies`.
      batch: streams per estimate, at least 1.
      horizon: steps of a stream; None for the environment's own.
      discount: gamma in [0, 1]; None for the environment's own.
      kind, baseline, slices, rematerialise: see `Estimator`.
      gae_lambda, decay: see `EstimatorNumbers`.
      evaluation: streams per measurement; None for as many as `batch`.
      critics: one per player, for baseline `critic` and for rules that use critics.
      opponents: scripted players that the final policies meet: by name, one policy per seat; their parameters are ().
      params: the environment's numbers; None for its defaults.

    Raises:
      ValueError: for a setting out of its range, an unknown horizon or discount, more or fewer policies than players,
        or an environment that resets itself.
    """
    if resets_itself(env):
        raise ValueError(
            f"env is {env.name}, which resets itself; allowed: one whose episodes end, a stream is one of them"
        )
    numbers = env.default_params if params is None else params
    steps = getattr(env, "horizon", None) if horizon is None else horizon
    if steps is None:
        raise ValueError("horizon is None; allowed: an integer of 1 or more, as the environment has none of its own")
    gamma = getattr(numbers, "discount", None) if discount is None else discount
    if gamma is None or isinstance(gamma, str) or (not isinstance(gamma, Tracer) and not _within(gamma, 1)):
        raise ValueError(f"discount is {gamma!r}; allowed: a number from 0 to 1")
    check_value("gae_lambda", gae_lambda, Field("gae_lambda", "number", 1.0, Range(0, 1)))
    check_value("decay", decay, Field("decay", "number", None, Range(0, 1), optional=True))
    measured = batch if evaluation is None else evaluation
    for what, count in (("batch", batch), ("horizon", steps), ("evaluation", measured)):
        check_integer(what, count, 1)
    if len(policies) != env.num_players:
        raise ValueError(f"policies has the length {len(policies)}; allowed: {env.num_players}, one per player")
    for policy in policies:
        if not isinstance(policy, Policy):
            raise ValueError(f"policies holds {policy!r}; allowed: policies, for example shaping.tabular(5)")
    game = SampledGame(
        env,
        tuple(policies),
        batch,
        steps,
        Estimator(kind, baseline, slices, rematerialise),
        tuple(critics),
        measured,
        None,
        tuple((name, tuple(players)) for name, players in (opponents or {}).items()),
    )
    dtype = jnp.result_type(float)
    rates = EstimatorNumbers(jnp.asarray(gae_lambda, dtype), None if decay is None else jnp.asarray(decay, dtype))
    found = SampledParams(numbers, jnp.asarray(gamma, dtype), rates)
    game.objective(found)  # Raises an error for arguments that do not fit together.
    return game, found
