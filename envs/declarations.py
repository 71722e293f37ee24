"""What an environment may declare besides its rules: measures, statistics, pictures, and which settings are numbers.

Every one of these members is optional, and everybody reaches it through the function of the same name here, which has
the default. A minimal environment is therefore `reset`, `step`, its two spaces, `num_players`, `name` and
`default_params` (see `envs.Environment`).
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from shaping.envs.drawing import array_lines, text_image


@dataclass(frozen=True)
class Measure:
    """One thing an environment measures of its players; `metrics` gives its values.

    Attributes:
        meaning: a sentence.
        label: a short heading of a column or an axis.
        low, high: its range.
        axis: "" for one value per player, [players]; else the name of one more dimension, [players, labels].
        labels: of that dimension; () without one.
        per_episode: whether `metrics` gives a total over the episodes counted, to be divided by their number.

    Raises:
        ValueError: an axis without labels or labels without an axis, or low not below high.
    """

    meaning: str
    label: str
    low: float = -np.inf
    high: float = np.inf
    axis: str = ""
    labels: tuple[str, ...] = ()
    per_episode: bool = False

    def __post_init__(self):
        if bool(self.axis) != bool(self.labels):
            raise ValueError(f"labels is {self.labels!r} with axis {self.axis!r}; allowed: both or neither")
        if not self.low < self.high:
            raise ValueError(f"low is {self.low!r}; allowed: a number below high, {self.high!r}")


def measures(env: Any) -> Mapping[str, Measure]:
    """What the environment measures, by name: its property `measures`; none by default."""
    return getattr(env, "measures", {})


def metrics(env: Any, counts: Any) -> dict[str, jax.Array]:
    """The values of its measures: its method `metrics(counts)`; none by default.

    Pure arithmetic on counts as `start_counts` and `count` make them, in integers or floats. Where counts of several
    streams of play are added up first, the result is that of all of them together.

    Returns:
        arrays [players] or [players, labels], as `measures` declares; NaN where nothing was counted.
    """
    return env.metrics(counts) if hasattr(env, "metrics") else {}


def showcase(env: Any) -> str:
    """By which measure, or recorded variable of play, the match is chosen whose episode is worth showing: that with
    the highest mean over its players. Its property `showcase`; "reward_per_step" by default."""
    return getattr(env, "showcase", "reward_per_step")


def start_counts(env: Any) -> Any:
    """Statistics of play before the first step, a pytree of int32 or float32 arrays: its method `start_counts()`; {}
    by default."""
    return env.start_counts() if hasattr(env, "start_counts") else {}


def count(
    env: Any,
    counts: Any,
    state: Any,
    actions: jax.Array,
    rewards: jax.Array,
    ended: jax.Array,
    info: Mapping[str, Any],
) -> Any:
    """Statistics after one more step: its method `count(counts, state, actions, rewards, ended, info)`; unchanged by
    default.

    Args:
        env: the environment.
        counts: so far.
        state: before the step.
        actions, rewards, info: chosen, and what the step returned.
        ended: [] bool, whether the step ended an episode.
    """
    return env.count(counts, state, actions, rewards, ended, info) if hasattr(env, "count") else counts


def observes(env: Any) -> bool:
    """Whether the environment can tell what players see from a state alone, by a method `observe(state, params)`. A
    wrapper says so of what it wraps by a property `observes`."""
    return getattr(env, "observes", hasattr(env, "observe"))


def observe(env: Any, state: Any, params: Any) -> jax.Array:
    """What players see in a state, [players, ...], as `reset` and `step` return it.

    Raises:
        AttributeError: the environment cannot tell, see `observes`.
    """
    return env.observe(state, params)


def text(env: Any, state: Any, params: Any) -> str:
    """One state in a few lines, on the host: its method `text(state, params)`; by default the name, and a line for each
    array of the state."""
    if hasattr(env, "text"):
        return env.text(state, params)
    return "\n".join([env.name, *array_lines(state)])


def image(env: Any, state: Any, params: Any) -> np.ndarray:
    """A picture of one state, [height, width, 3] uint8, on the host: its method `image(state, params)`; by default its
    text, drawn."""
    return env.image(state, params) if hasattr(env, "image") else text_image(text(env, state, params))


def number_names(env: Any) -> tuple[str, ...]:
    """Which settings of the environment's factory are numbers.

    They live in its parameters, so that a population may have one for each match, and a sweep over them needs no new
    program; all other settings are structure. Its property `number_names`; by default the float fields of
    `default_params` that are called as an attribute of the environment.
    """
    if hasattr(env, "number_names"):
        return env.number_names
    fields = _fields(env.default_params)
    return tuple(name for name, value in fields.items() if hasattr(env, name) and _is_float(value))


def default_numbers(env: Any) -> dict[str, Any]:
    """What its numbers are in `default_params`, by name: numbers, or one per player; None where the program leaves it
    out. Its property `default_numbers`; by default the attributes of the environment of these names."""
    if hasattr(env, "default_numbers"):
        return env.default_numbers
    return {name: getattr(env, name) for name in number_names(env)}


def with_numbers(env: Any, params: Any, numbers: Mapping[str, Any]) -> Any:
    """Parameters with some of the numbers replaced.

    Its method `with_numbers(params, numbers)`; by default the fields of the same names are replaced, see `replaced`.

    Args:
        env: the environment.
        params: its parameters, any leading axes in front of all leaves.
        numbers: by name, see `number_names`; arrays with the leading axes of params. A number that is there for each
            player may have the axis of players behind them. None stands for a number that the program leaves out,
            where the environment has such a one (a noise that never comes).

    Raises:
        ValueError: a name that is no number of the environment, or a shape that does not fit. One line.
    """
    known = number_names(env)
    for name in numbers:
        if name not in known:
            raise ValueError(f"number {name!r} is not one of {env.name}; allowed: {', '.join(known) or 'none'}")
    if not numbers:
        return params
    if hasattr(env, "with_numbers"):
        return env.with_numbers(params, numbers)
    return replaced(params, env.default_params, numbers)


def replaced(params: Any, defaults: Any, numbers: Mapping[str, Any]) -> Any:
    """Parameters whose fields of these names are replaced, in the dtypes they had.

    Args:
        params: a dataclass or a dictionary of arrays, any leading axes in front of all of them.
        defaults: the same without leading axes.
        numbers: see `with_numbers`.

    Raises:
        ValueError: a shape that does not fit.
    """
    own, given = _fields(defaults), _fields(params)
    lead = leading_rank(params, defaults)
    new = {name: placed(name, value, given[name], own[name], lead) for name, value in numbers.items()}
    return params | new if isinstance(params, dict) else dataclasses.replace(params, **new)


def leading_rank(params: Any, defaults: Any) -> int:
    """How many leading axes parameters have in front of what `default_params` has."""
    given, own = _fields(params), _fields(defaults)
    for name, leaf in given.items():
        if leaf is not None and own[name] is not None:
            return np.ndim(leaf) - np.ndim(own[name])
    return 0


def placed(name: str, number: Any, leaf: Any, default: Any, lead: int) -> Any:
    """A number in the place of a leaf of the parameters, in its dtype; the same value for all of its own axes where it
    has only the leading ones.

    Args:
        name: for messages.
        number: [*leading], or [*leading, *own axes of the leaf]; None for None.
        leaf: what it replaces; None for a leaf that is not there yet, whose dtype is then jax's default float.
        default: the leaf without leading axes, or None.
        lead: how many leading axes there are. Where 0, a number may bring its own in front of the axes of the leaf.

    Raises:
        ValueError: a shape that does not fit.
    """
    if number is None:
        return None
    dtype = jnp.result_type(float) if leaf is None else leaf.dtype
    arrays = jnp if isinstance(number, jax.Array) or isinstance(leaf, jax.Array) else np
    value = arrays.asarray(number, dtype=dtype)
    shape = np.shape(default)
    if value.ndim == lead and shape:
        return arrays.broadcast_to(value.reshape(value.shape + (1,) * len(shape)), value.shape + shape)
    if value.ndim < lead + len(shape) or value.shape[value.ndim - len(shape) :] != shape:
        raise ValueError(
            f"{name} has the shape {list(value.shape)}; allowed: {lead} leading axes, as the parameters have, and "
            f"then {list(shape) if shape else 'none'}"
        )
    return value


def _fields(params: Any) -> dict[str, Any]:
    """Fields of a dataclass or a dictionary by name; {} of anything else."""
    if isinstance(params, dict):
        return params
    if dataclasses.is_dataclass(params):
        return {field.name: getattr(params, field.name) for field in dataclasses.fields(params)}
    return {}


def _is_float(value: Any) -> bool:
    return hasattr(value, "dtype") and jnp.issubdtype(value.dtype, jnp.floating)
