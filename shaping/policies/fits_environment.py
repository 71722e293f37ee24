"""Checks that policies fit the environment they are to play."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from shaping.envs.spaces import Box, Discrete
from shaping.policies.policy import Policy


def check_policies(env: Any, policies: Sequence[Policy], thetas: Sequence[Any] | None = None) -> None:
    """Refuses policies whose observations or actions are not those of their environment.

    What a policy does not declare (`Policy.observation_space`, `action_space`) is not checked, except its actions,
    which are inferred from the shapes of one call.

    Args:
      env: an environment.
      policies: one per player.
      thetas: their parameters; None for parameters of the shapes that `init` draws.

    Raises:
      ValueError: for more or fewer policies than players, for a player whose observations or actions differ from the
        environment's, or for parameters that are not shaped like those of the policy.
    """
    if len(policies) != env.num_players:
        raise ValueError(f"policies has the length {len(policies)}; allowed: {env.num_players}, one per player")
    shown, taken = env.observation_space, env.action_space
    for seat, policy in enumerate(policies):
        reads, does = policy.observation_space, policy.action_space
        if reads is not None and not _reads(reads, shown):
            raise _misfit(seat, policy, "reads", _words(reads, "states"), _words(shown, "states"), env)
        if thetas is not None:
            _check_theta(seat, policy, thetas[seat])
        if does is None:
            theta = policy.shapes if thetas is None else thetas[seat]
            does = _called(policy, theta, shown, taken)
        if not (does == taken if isinstance(taken, Box) else _same_values(does, taken)):
            raise _misfit(seat, policy, "chooses among", _words(does, "actions"), _words(taken, "actions"), env)


def _reads(reads: Discrete | Box, shown: Discrete | Box) -> bool:
    """A game of one round shows only its start, which is the first state of every policy."""
    if isinstance(reads, Box) or isinstance(shown, Box):
        return isinstance(reads, Box) and isinstance(shown, Box) and reads.shape == shown.shape
    return shown.num_values in (1, reads.num_values)


def _same_values(does: Discrete | Box, taken: Discrete) -> bool:
    return isinstance(does, Discrete) and does.num_values == taken.num_values


def _check_theta(seat: int, policy: Policy, theta: Any) -> None:
    wanted = policy.shapes
    # The numbers that a script takes from its environment are not checked.
    if not jax.tree.leaves(wanted) or jax.tree.map(jnp.shape, theta) == jax.tree.map(lambda leaf: leaf.shape, wanted):
        return
    found, needed = ([list(jnp.shape(leaf)) for leaf in jax.tree.leaves(tree)] for tree in (theta, wanted))
    raise ValueError(f"thetas[{seat}] has arrays of the shapes {found}; allowed: {needed}, those of a {policy.kind}")


def _called(policy: Policy, theta: Any, shown: Discrete | Box, taken: Discrete | Box) -> Discrete | Box:
    """The actions of a policy that does not declare them; if its distribution does not tell, actions that fit."""

    def call(theta: Any) -> Any:
        observation = jnp.zeros(shown.shape, shown.dtype)
        distribution = policy.apply(theta, observation, policy.start(()))[0]
        logits = getattr(distribution, "logits", None)
        return logits if logits is not None else (distribution.sample(seed=jax.random.key(0)),)

    found = jax.eval_shape(call, theta)
    if isinstance(found, tuple):
        fits = isinstance(taken, Box) and found[0].shape == taken.shape
        return taken if fits else Box(found[0].shape, -jnp.inf, jnp.inf)
    return Discrete(found.shape[-1]) if found.shape else taken


def _words(space: Discrete | Box, what: str) -> str:
    if isinstance(space, Discrete):
        return f"{space.num_values} {what}"
    bounds = f" from {space.low:g} to {space.high:g}" if what == "actions" else ""
    return f"boxes of shape {list(space.shape)}{bounds}"


def _misfit(seat: int, policy: Policy, verb: str, given: str, allowed: str, env: Any) -> ValueError:
    return ValueError(f"policies[{seat}], {policy.kind}, {verb} {given}; allowed: {allowed}, those of {env.name}")
