"""Neural policies for any environment: from one observation, and what is remembered, to logits of the actions."""

from collections.abc import Callable, Sequence
from typing import Any, NoReturn

import flax.linen as nn
import jax
import jax.numpy as jnp

from shaping.envs.environment import check_choice, check_integer
from shaping.envs.spaces import Box, Discrete
from shaping.policies.fan_in import fan_in_init
from shaping.policies.policy import Policy


def network(
    observations: Discrete | Box,
    actions: int,
    encoder: str = "dense",
    hidden: Sequence[int] = (16,),
    channels: Sequence[int] = (),
    recurrent: str | None = None,
    units: int = 16,
    critic: bool = False,
    layout: str = "channels_first",
) -> Policy:
    """pi(a | o, m) = softmax(network(o, m))[a], a network of tanh layers, convolutional and recurrent if asked for.

    In this order: the observation, integers one-hot and boxes as floats; with `encoder` "conv" 3 x 3 convolutions with
    ReLU, then flattened; dense layers with tanh; a recurrent layer; a linear layer to the logits [actions] and, with
    `critic`, one to a value []. It computes in the precision of theta and takes observations with any leading axes,
    which memory then has too.

    Convolutions wrap around the edges, as the boards of the Coin Game do: they are tori.

    `init` draws the weights and biases of a layer in float32 and uniformly from +-scale / sqrt(inputs), at scale 1 what
    PyTorch's linear layers start from; the inputs of a recurrent kernel are its units. The same key gives a policy
    with a critic the same logits as one without.

    Args:
      observations: what one player may observe, `env.observation_space`.
      actions: number of actions, at least 1.
      encoder: "dense" or "conv", the latter for boxes of three axes.
      hidden: widths of the dense layers, () for none.
      channels: of the convolutions, one or more; () without them.
      recurrent: None, "gru" (Cho et al. 2014) or "lstm" (Hochreiter and Schmidhuber 1997), both as flax has them.
      units: of the recurrent layer; memory is [..., units], for an LSTM (cell, output) of these.
      critic: whether there is a value beside the logits, see `Policy.evaluate`.
      layout: which axis of a box of three is the channels', "channels_first" or "channels_last"; only for "conv".

    Raises:
      ValueError: a setting out of its range, or channels and encoder that do not fit each other or the observations.
      TypeError: from `table`, as there is none.
    """
    check_integer("actions", actions, 1)
    heads = (("logits", actions), ("value", 1)) if critic else (("logits", actions),)
    structure, init, start, run = body(observations, heads, encoder, hidden, channels, recurrent, units, layout)

    def apply(theta: Any, observation: jax.Array, memory: Any) -> tuple[Any, Any]:
        from shaping.policies.distributions import categorical

        outputs, memory = run(theta, observation, memory)
        return categorical(outputs["logits"]), memory

    def evaluate(theta: Any, observation: jax.Array, memory: Any) -> tuple[Any, jax.Array, Any]:
        from shaping.policies.distributions import categorical

        outputs, memory = run(theta, observation, memory)
        return categorical(outputs["logits"]), outputs["value"][..., 0], memory

    return Policy(
        "network",
        structure,
        init,
        start,
        apply,
        _no_table,
        scalars=False,
        tabulated=False,
        evaluate=evaluate if critic else None,
    )


def body(
    observations: Discrete | Box,
    heads: tuple[tuple[str, int], ...],
    encoder: str,
    hidden: Sequence[int],
    channels: Sequence[int],
    recurrent: str | None,
    units: int,
    layout: str,
) -> tuple[tuple[Any, ...], Callable, Callable, Callable]:
    """What policies and critics share: (structure, init, start, run) of a network with linear heads (name, width).

    `run(parameters, observation, memory) -> ({name: [..., width]}, memory)`; the rest as in `Policy`. See `network`.
    """
    check_choice("encoder", encoder, ("dense", "conv"))
    check_choice("recurrent", recurrent, (None, "gru", "lstm"))
    check_choice("layout", layout, ("channels_first", "channels_last"))
    hidden = tuple(check_integer("hidden", width, 1) for width in hidden)
    channels = tuple(check_integer("channels", width, 1) for width in channels)
    check_integer("units", units, 1)
    if encoder == "conv" and len(observations.shape) != 3:
        raise ValueError(f"encoder is 'conv'; allowed: with boxes of 3 axes, not {list(observations.shape)}")
    if bool(channels) != (encoder == "conv"):
        allowed = "one or more with encoder conv" if encoder == "conv" else "() with encoder dense"
        raise ValueError(f"channels is {channels!r}; allowed: {allowed}")
    module = _Network(heads, hidden, channels, recurrent, units)

    def features(observation: Any, dtype: Any) -> jax.Array:
        if isinstance(observations, Discrete):
            return jax.nn.one_hot(observation, observations.num_values, dtype=dtype)
        x = jnp.asarray(observation).astype(dtype)
        if encoder == "conv":
            return jnp.moveaxis(x, -3, -1) if layout == "channels_first" else x
        return x.reshape(*x.shape[: x.ndim - len(observations.shape)], -1)

    def start(batch_shape: tuple[int, ...]) -> Any:
        # float32, or float64 where that is enabled: the carry of a scan has to keep its dtype, whatever theta's is.
        zeros = None if recurrent is None else jnp.zeros((*batch_shape, units))
        return (zeros, zeros) if recurrent == "lstm" else zeros

    def init(key: jax.Array, scale: jax.Array) -> Any:
        def fresh() -> Any:
            x = features(jnp.zeros(observations.shape, observations.dtype), jnp.float32)
            return module.init(jax.random.key(0), x, start(()))["params"]

        # Only shapes come from flax.
        return fan_in_init(jax.eval_shape(fresh), key, jnp.asarray(scale, jnp.float32))

    def run(parameters: Any, observation: jax.Array, memory: Any) -> tuple[dict[str, jax.Array], Any]:
        dtype = jnp.result_type(*jax.tree.leaves(parameters))
        carried = jax.tree.map(lambda leaf: leaf.astype(dtype), memory)
        outputs, after = module.apply({"params": parameters}, features(observation, dtype), carried)
        return outputs, jax.tree.map(lambda new, old: new.astype(old.dtype), after, memory)

    return (observations, heads, encoder, hidden, channels, recurrent, units, layout), init, start, run


class _Network(nn.Module):
    heads: tuple[tuple[str, int], ...]
    hidden: tuple[int, ...]
    channels: tuple[int, ...]
    recurrent: str | None
    units: int

    @nn.compact
    def __call__(self, x: jax.Array, memory: Any) -> tuple[dict[str, jax.Array], Any]:
        for i, width in enumerate(self.channels):
            x = nn.relu(nn.Conv(width, (3, 3), padding="CIRCULAR", name=f"conv_{i}")(x))
        if self.channels:
            x = x.reshape(*x.shape[:-3], -1)
        for i, width in enumerate(self.hidden):
            x = jnp.tanh(nn.Dense(width, name=f"hidden_{i}")(x))
        if self.recurrent is not None:
            cell = nn.GRUCell if self.recurrent == "gru" else nn.OptimizedLSTMCell
            # Not flax's orthogonal start: even its shapes would be worked out through a QR at every call.
            memory, x = cell(self.units, recurrent_kernel_init=nn.initializers.zeros, name="recurrent")(memory, x)
        return {name: nn.Dense(width, name=name)(x) for name, width in self.heads}, memory


def _no_table(theta: Any) -> NoReturn:
    raise TypeError("a network has no table of logits: it answers observations, one at a time")
