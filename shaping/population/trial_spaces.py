"""What players of trials see and do, and policies as observations and actions; `meta_game.MetaGame` says which."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from shaping.envs.spaces import Box, Discrete, vector_length
from shaping.population.trial_state import MetaState

# Probabilities nearer to 0 or 1 count as this near: a logit of 12, which float32 still resolves.
_LEAST = 6e-6


def stream_observations(meta: Any) -> Discrete | Box:
    """What one player sees in one stream."""
    if not meta.sampled:
        shown = sum(shown_policy(meta, seat).size for seat in range(meta.num_players))
        edge = 1.0 if meta.game.tabular else meta.bound
        return Box((shown,), 0.0 if meta.game.tabular else -edge, edge)
    space = meta.game.env.observation_space
    if meta.observes == "play":
        return space
    seen = vector_length(space)
    policies = sum(shown_policy(meta, seat).size for seat in meta.learners)
    return Box((policies + seen * (meta.observes == "both"),))


def stream_actions(meta: Any) -> Discrete | Box:
    """What one player does in one stream."""
    if meta.sampled:
        return meta.game.env.action_space
    length = meta.game.policies[meta.shapers[0]].num_parameters
    return Box((length,)) if _of_tables(meta) else Box((length,), -meta.bound, meta.bound)


def shown(meta: Any, state: MetaState) -> jax.Array:
    """Observations [players, ...], or [players, streams, ...] of a sampled game, in the order of the seats."""
    if not meta.sampled:
        each = [shown_as(meta, seat, theta) for seat, theta in enumerate(meta.thetas(state))]
        return jnp.stack([own_first(each, seat) for seat in range(meta.num_players)])
    assert state.rounds is not None
    seen = jnp.moveaxis(state.rounds.observations, 1, 0)
    if meta.observes == "play":
        return seen
    thetas = meta.thetas(state)
    known = jnp.concatenate([shown_as(meta, seat, thetas[seat]) for seat in meta.learners])
    found = jnp.broadcast_to(known, (*seen.shape[:2], known.size))
    if meta.observes == "policies":
        return found
    space = meta.game.env.observation_space
    if isinstance(space, Discrete):
        play = jax.nn.one_hot(seen, space.num_values, dtype=jnp.float32)
    else:
        play = seen.reshape(*seen.shape[:2], -1).astype(jnp.float32)
    return jnp.concatenate([play, found], axis=-1)


def own_first(each: Sequence[jax.Array], seat: int) -> jax.Array:
    """What is shown of all players, one after the other, as the player of a seat sees it."""
    return jnp.concatenate([each[seat], *each[:seat], *each[seat + 1 :]])


def _of_tables(meta: Any) -> bool:
    """Whether shapers' parameters are logits of P(cooperate | state)."""
    return meta.game.tabular and all(meta.game.policies[seat].kind == "tabular" for seat in meta.shapers)


def as_action(meta: Any, seat: int, theta: Any) -> jax.Array:
    """Parameters as the action that plays them, [parameters]."""
    flat = jnp.concatenate([jnp.ravel(leaf) for leaf in jax.tree.leaves(theta)])
    return jax.nn.sigmoid(flat) if _of_tables(meta) else flat


def parameters(meta: Any, seat: int, action: jax.Array) -> Any:
    """The parameters that an action says."""
    if _of_tables(meta):
        inside = jnp.clip(action, _LEAST, 1 - _LEAST)
        action = jnp.log(inside) - jnp.log1p(-inside)
    return _unflattened(meta.game.policies[seat], action)


def over_streams(meta: Any, space: Discrete | Box) -> Discrete | Box:
    """The space of one stream, extended to all streams if the game is sampled."""
    if not meta.sampled:
        return space
    if isinstance(space, Discrete):
        return Box((meta.streams,), 0, space.num_values - 1, "int32")
    return dataclasses.replace(space, shape=(meta.streams, *space.shape))


def shown_policy(meta: Any, seat: int) -> Any:
    """The shape of a policy as it is shown."""
    return jax.eval_shape(lambda theta: shown_as(meta, seat, theta), meta.game.policies[seat].shapes)


def shown_as(meta: Any, seat: int, theta: Any) -> jax.Array:
    """A policy as it is shown: P(cooperate | state), or else its parameters, one after the other."""
    policy = meta.game.policies[seat]
    if policy.tabulated and (meta.sampled or meta.game.tabular):
        table = policy.table(theta)
        return jax.nn.sigmoid(jnp.ravel(table if hasattr(table, "shape") else jnp.stack(table)).astype(jnp.float32))
    flat = [jnp.ravel(leaf).astype(jnp.float32) for leaf in jax.tree.leaves(theta)]
    return jnp.clip(jnp.concatenate(flat), -meta.bound, meta.bound)


def _unflattened(policy: Any, flat: jax.Array) -> Any:
    leaves, structure = jax.tree.flatten(policy.shapes)
    ends = np.cumsum([leaf.size for leaf in leaves])[:-1]
    parts = jnp.split(flat, ends) if len(leaves) > 1 else [flat]
    return structure.unflatten([part.reshape(leaf.shape) for part, leaf in zip(parts, leaves, strict=True)])
