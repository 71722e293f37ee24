"""A small network from the state of a matrix game to a logit, a parameterisation with which LOLA and POLA differ."""

from collections.abc import Sequence
from itertools import product
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from shaping.envs.environment import check_integer
from shaping.envs.spaces import Discrete
from shaping.policies.fan_in import fan_in_init
from shaping.policies.pickling import remakable
from shaping.policies.policy import Policy


@remakable
def mlp(num_players: int, hidden: Sequence[int] = (16,)) -> Policy:
    """P(cooperate | s) = sigmoid(network(features of s)): tanh layers of the widths `hidden`, then one linear unit.

    The features [3 num_players] encode for each player, its own first, whether it defected, cooperated or has not acted
    yet, one-hot (Zhao et al. 2022, POLA, whose network for two players has one hidden layer of 16).

    `init` draws the weights and biases of a layer uniformly from +-scale / sqrt(inputs); at scale 1 this is how PyTorch
    initialises linear layers.

    Args:
      num_players: players of the game, 2 to 6; states are memory-one, in the player's view.
      hidden: widths of the hidden layers.

    Raises:
      ValueError: for a number out of its range.
    """
    check_integer("num_players", num_players, 2, 6)
    if isinstance(hidden, str) or not isinstance(hidden, Sequence):
        raise ValueError(f"hidden is {hidden!r}; allowed: a list of widths, each an integer of 1 or more")
    for width in hidden:
        check_integer("hidden", width, 1)
    network = _Network(tuple(hidden))
    states = _features(num_players)

    def init(key: jax.Array, scale: jax.Array) -> Any:
        like = jax.eval_shape(network.init, key, states)["params"]
        # The scale is applied in the precision of the run; the uniform numbers themselves are float32.
        return fan_in_init(like, key, jnp.asarray(scale, float))

    def table(theta: Any) -> jax.Array:
        dtype = jax.tree.leaves(theta)[0].dtype
        return _apply(network, theta, states.astype(dtype))[:, 0]

    def apply(theta: Any, observation: jax.Array, memory: Any) -> tuple[Any, Any]:
        from shaping.policies.distributions import categorical

        logit = _apply(network, theta, jnp.asarray(states)[observation])[..., 0]
        return categorical(jnp.stack([logit, jnp.zeros_like(logit)], axis=-1)), memory

    return Policy(
        "mlp",
        (num_players, tuple(hidden)),
        init,
        lambda batch_shape: None,
        apply,
        table,
        scalars=False,
        observation_space=Discrete(1 + 2**num_players),
        action_space=Discrete(2),
    )


class _Network(nn.Module):
    hidden: tuple[int, ...]

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        for width in self.hidden:
            x = jnp.tanh(nn.Dense(width)(x))
        return nn.Dense(1)(x)


def _apply(network: nn.Module, theta: Any, features: Any) -> jax.Array:
    return jnp.asarray(network.apply({"params": theta}, features))


def _features(num_players: int) -> np.ndarray:
    """Features of the states start, CC..C, ..., DD..D, [1 + 2**num_players, 3 num_players]."""
    rows = [[2] * num_players, *([1 - a for a in actions] for actions in product((0, 1), repeat=num_players))]
    return np.eye(3, dtype=np.float32)[np.array(rows)].reshape(len(rows), -1)
