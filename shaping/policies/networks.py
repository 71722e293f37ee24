"""Neural policies for any environment: from one observation and a memory to a distribution of actions."""

import math
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, NoReturn

import flax.linen as nn
import jax
import jax.numpy as jnp

from shaping.envs.environment import check_choice, check_integer
from shaping.envs.spaces import Box, Discrete
from shaping.policies.fan_in import fan_in_init
from shaping.policies.pickling import remakable
from shaping.policies.policy import Policy


@remakable
def network(
    observation_space: Discrete | Box,
    action_space: Discrete | Box,
    encoder: str | None = None,
    hidden: Sequence[int] = (16,),
    channels: Sequence[int] | None = None,
    recurrent: str | None = None,
    units: int = 16,
    critic: bool = False,
    layout: str | None = None,
) -> Policy:
    """A network of tanh layers, optionally convolutional and recurrent, from what a player sees to what it does.

    With discrete actions, pi(a | o, m) = softmax(network(o, m))[a]. With actions in a `Box`, a normal distribution with
    independent dimensions, whose mean and logarithm of the standard deviation are outputs of the network, is squashed
    to the box (`distributions`).

    Its layers are, in this order: the observation (integers one-hot; boxes of any type as floats, not scaled); with
    `encoder` "conv", 3 x 3 convolutions with ReLU, then flattened; dense layers with tanh; a recurrent layer; a linear
    layer to the logits [actions], or to mean and log_sd, and, with `critic`, a linear layer to a value []. It computes
    in the precision of theta. Observations may have any leading axes, which the memory then has too. Without any layer
    in between, a network on discrete observations is a table.

    Convolutions wrap around the edges of boards that are tori (`Box.torus`), such as those of the Coin Game. On any
    other board, and on a window of one, they see zeros beyond the edges.

    `init` draws the weights and biases of a layer in float32, uniformly from +-scale / sqrt(inputs); at scale 1 this is
    how PyTorch initialises linear layers. The inputs of a recurrent kernel are its units. With the same key, a policy
    with a critic has the same action weights as one without.

    Args:
      observation_space: what one player may observe, `env.observation_space`.
      action_space: what one player may do, `env.action_space`; a box must have finite bounds.
      encoder: "dense", or "conv" for boxes with three axes. None chooses "conv" for boxes with three axes and boards of
        at least 3 x 3 cells, or if there are `channels`, and otherwise "dense".
      hidden: widths of the dense layers, () for none.
      channels: channels of the convolutions, one or more; () without convolutions. None means (16,) with "conv",
        otherwise ().
      recurrent: None, "gru" (Cho et al. 2014) or "lstm" (Hochreiter and Schmidhuber 1997), as implemented by flax.
      units: units of the recurrent layer; the memory is [..., units], for an LSTM a pair (cell, output) of these.
      critic: whether it also has a value output, see `Policy.evaluate`.
      layout: which axis of a box with three is that of the channels, "channels_first" or "channels_last"; only for
        "conv". None for the one that leaves a square board, if only one does.

    Raises:
      ValueError: for a setting out of its range, for channels and an encoder that do not fit each other or the
        observations, or for a board whose shape does not determine its layout.
      TypeError: from `table`, because a network has none.
    """
    heads, distribution, details = _actions(action_space)
    heads = (*heads, ("value", 1)) if critic else heads
    structure, init, start, run = body(observation_space, heads, encoder, hidden, channels, recurrent, units, layout)

    def apply(theta: Any, observation: jax.Array, memory: Any) -> tuple[Any, Any]:
        outputs, memory = run(theta, observation, memory)
        return distribution(outputs), memory

    def evaluate(theta: Any, observation: jax.Array, memory: Any) -> tuple[Any, jax.Array, Any]:
        outputs, memory = run(theta, observation, memory)
        return distribution(outputs), outputs["value"][..., 0], memory

    return Policy(
        "network",
        structure + details,
        init,
        start,
        apply,
        _no_table,
        scalars=False,
        tabulated=False,
        evaluate=evaluate if critic else None,
        observation_space=observation_space,
        action_space=action_space,
    )


def _actions(space: Discrete | Box) -> tuple[tuple[tuple[str, int], ...], Callable[[dict[str, jax.Array]], Any], tuple]:
    """(heads, function from their outputs to the distribution, other structure of the program) for a space of
    actions."""
    if isinstance(space, Discrete):

        def choose(outputs: dict[str, jax.Array]) -> Any:
            from shaping.policies.distributions import categorical

            return categorical(outputs["logits"])

        return (("logits", space.num_values),), choose, ()
    check_bounded(space)
    size = math.prod(space.shape)

    def squash(outputs: dict[str, jax.Array]) -> Any:
        from shaping.policies.distributions import squashed_normal

        mean, log_sd = (outputs[name].reshape(*outputs[name].shape[:-1], *space.shape) for name in ("mean", "log_sd"))
        return squashed_normal(mean, log_sd, space)

    return (("log_sd", size), ("mean", size)), squash, (space,)


def body(
    observation_space: Discrete | Box,
    heads: tuple[tuple[str, int], ...],
    encoder: str | None,
    hidden: Sequence[int],
    channels: Sequence[int] | None,
    recurrent: str | None,
    units: int,
    layout: str | None,
) -> tuple[tuple[Any, ...], Callable, Callable, Callable]:
    """What policies and critics share: (structure, init, start, run) of a network with linear heads (name, width).

    `run(parameters, observation, memory) -> ({name: [..., width]}, memory)`; the others as in `Policy`. See `network`.
    """
    encoder, channels, layout = _encoder(observation_space, encoder, channels, layout)
    check_choice("recurrent", recurrent, (None, "gru", "lstm"))
    hidden = tuple(check_integer("hidden", width, 1) for width in hidden)
    check_integer("units", units, 1)
    wraps = getattr(observation_space, "torus", False)
    layers = (heads, hidden, channels, recurrent, units, wraps)
    module = _Network(*layers)

    def features(observation: Any, dtype: Any) -> jax.Array:
        if isinstance(observation_space, Discrete):
            return jax.nn.one_hot(observation, observation_space.num_values, dtype=dtype)
        x = jnp.asarray(observation).astype(dtype)
        if encoder == "conv":
            return jnp.moveaxis(x, -3, -1) if layout == "channels_first" else x
        return x.reshape(*x.shape[: x.ndim - len(observation_space.shape)], -1)

    def start(batch_shape: tuple[int, ...]) -> Any:
        # float32, or float64 if that is enabled: the carry of a scan must keep its dtype, whatever that of theta is.
        zeros = None if recurrent is None else jnp.zeros((*batch_shape, units))
        return (zeros, zeros) if recurrent == "lstm" else zeros

    def init(key: jax.Array, scale: jax.Array) -> Any:
        seen = jax.ShapeDtypeStruct(observation_space.shape, observation_space.dtype)
        like = _shapes(layers, jax.eval_shape(lambda x: features(x, jnp.float32), seen).shape)
        return fan_in_init(like, key, jnp.asarray(scale, jnp.float32))

    def run(parameters: Any, observation: jax.Array, memory: Any) -> tuple[dict[str, jax.Array], Any]:
        dtype = jnp.result_type(*jax.tree.leaves(parameters))
        carried = jax.tree.map(lambda leaf: leaf.astype(dtype), memory)
        outputs, after = module.apply({"params": parameters}, features(observation, dtype), carried)
        return outputs, jax.tree.map(lambda new, old: new.astype(old.dtype), after, memory)

    return (observation_space, wraps, heads, encoder, hidden, channels, recurrent, units, layout), init, start, run


def _encoder(
    space: Discrete | Box, encoder: str | None, channels: Sequence[int] | None, layout: str | None
) -> tuple[str, tuple[int, ...], str]:
    """Encoder, channels and layout; those that are None are chosen to suit the space."""
    check_choice("encoder", encoder, ("dense", "conv", None))
    check_choice("layout", layout, ("channels_first", "channels_last", None))
    if encoder is None:
        encoder = "conv" if (is_board(space) if channels is None else channels) else "dense"
    if channels is None:
        channels = (16,) if encoder == "conv" else ()
    channels = tuple(check_integer("channels", width, 1) for width in channels)
    if encoder == "conv" and len(space.shape) != 3:
        raise ValueError(f"encoder is 'conv'; allowed: only with boxes of 3 axes, not {list(space.shape)}")
    if bool(channels) != (encoder == "conv"):
        allowed = "one or more with encoder conv" if encoder == "conv" else "() with encoder dense"
        raise ValueError(f"channels is {channels!r}; allowed: {allowed}")
    if encoder == "dense":
        return encoder, channels, layout or "channels_first"
    first, last = space.shape[1] == space.shape[2], space.shape[0] == space.shape[1]
    if layout is None and first == last:
        raise ValueError(
            f"layout is None; allowed: channels_first or channels_last, as boxes of {list(space.shape)} may be either"
        )
    return encoder, channels, layout or ("channels_first" if first else "channels_last")


def board_layout(env: Any) -> str | None:
    """Which axis of an environment's boards is that of the channels: the environment's `layout`, otherwise the last;
    None if it shows no boards."""
    said = getattr(env, "layout", None)
    if len(env.observation_space.shape) != 3:
        return None
    return said if said in ("channels_first", "channels_last") else "channels_last"


def is_board(space: Discrete | Box) -> bool:
    """Whether observations are planes of a board: three axes, at least two of which have length 3 or more."""
    return len(space.shape) == 3 and sorted(space.shape)[1] >= 3


def check_bounded(space: Discrete | Box) -> None:
    """Refuses a space of actions to which no normal distribution can be squashed.

    Raises:
      ValueError: if it is not a box of floats with finite bounds, low below high.
    """
    if not isinstance(space, Box):
        raise ValueError(f"action_space is {space!r}; allowed: Discrete, or a Box of floats with finite bounds")
    floats = jnp.issubdtype(space.dtype, jnp.floating)
    if not (floats and math.isfinite(space.low) and math.isfinite(space.high) and space.low < space.high):
        raise ValueError(f"action_space is {space!r}; allowed: a Box of floats with finite bounds, low below high")


class _Network(nn.Module):
    heads: tuple[tuple[str, int], ...]
    hidden: tuple[int, ...]
    channels: tuple[int, ...]
    recurrent: str | None
    units: int
    wraps: bool

    @nn.compact
    def __call__(self, x: jax.Array, memory: Any) -> tuple[dict[str, jax.Array], Any]:
        padding = "CIRCULAR" if self.wraps else "SAME"
        for i, width in enumerate(self.channels):
            x = nn.relu(nn.Conv(width, (3, 3), padding=padding, name=f"conv_{i}")(x))
        if self.channels:
            x = x.reshape(*x.shape[:-3], -1)
        for i, width in enumerate(self.hidden):
            x = jnp.tanh(nn.Dense(width, name=f"hidden_{i}")(x))
        if self.recurrent is not None:
            cell = nn.GRUCell if self.recurrent == "gru" else nn.OptimizedLSTMCell
            # flax's orthogonal initialisation would trace a QR decomposition at every call, even to find the shapes.
            memory, x = cell(self.units, recurrent_kernel_init=nn.initializers.zeros, name="recurrent")(memory, x)
        return {name: nn.Dense(width, name=name)(x) for name, width in self.heads}, memory


@lru_cache(maxsize=512)
def _shapes(layers: tuple[Any, ...], inputs: tuple[int, ...]) -> Any:
    """Shapes of a network's parameters, from flax; a plan asks for those of the same few networks again and again."""
    module = _Network(*layers)

    def fresh() -> Any:
        cell = jnp.zeros(module.units)
        memory = (cell, cell) if module.recurrent == "lstm" else cell
        return module.init(jax.random.key(0), jnp.zeros(inputs, jnp.float32), memory)["params"]

    return jax.eval_shape(fresh)


def _no_table(theta: Any) -> NoReturn:
    raise TypeError("a network has no table of logits: it maps observations to actions one at a time")
