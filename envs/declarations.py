"""What an environment may declare in addition to its rules: measures, statistics, pictures, and which settings are
numbers.

Every one of these members is optional. Use the function of the same name here to reach it: it supplies the default. A
minimal environment therefore has `reset`, `step`, its two spaces, `num_players`, `name` and `default_params` (see
`envs.Environment`).
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
    """One thing that an environment measures for each of its players; `metrics` returns the values.

    Attributes:
        meaning: one sentence.
        label: a short heading of a column or an axis.
        low, high: its range.
        axis: "" for one value per player, [players]; otherwise the name of an additional dimension, [players, labels].
        labels: the labels of that dimension; () if there is none.
        per_episode: whether `metrics` returns a total over the episodes counted, to be divided by their number.

    Raises:
        ValueError: for an axis without labels, labels without an axis, or low not below high.
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
    """The environment's measures by name: its property `measures`; none by default."""
    return getattr(env, "measures", {})


def metrics(env: Any, counts: Any) -> dict[str, jax.Array]:
    """The values of its measures: its method `metrics(counts)`; none by default.

    Pure arithmetic on counts as made by `start_counts` and `count`, in integers or floats. If the counts of several
    streams of play are added up first, the result is that of all of them together.

    Returns:
        arrays [players] or [players, labels], as `measures` declares; NaN if nothing was counted.
    """
    return env.metrics(counts) if hasattr(env, "metrics") else {}


def showcase(env: Any) -> str:
    """The measure, or recorded variable of play, that selects the match whose episode is drawn: the one with the
    highest mean over its players. Its property `showcase`; "reward_per_step" by default."""
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
        counts: the counts so far.
        state: the state before the step.
        actions, rewards, info: the chosen actions, and what the step returned.
        ended: [] bool, whether the step ended an episode.
    """
    return env.count(counts, state, actions, rewards, ended, info) if hasattr(env, "count") else counts


def observes(env: Any) -> bool:
    """Whether the environment can compute observations from a state alone, by a method `observe(state, params)`. A
    wrapper answers for the environment it wraps by a property `observes`."""
    return getattr(env, "observes", hasattr(env, "observe"))


def observe(env: Any, state: Any, params: Any) -> jax.Array:
    """What players see in a state, [players, ...], as returned by `reset` and `step`.

    Raises:
        AttributeError: if the environment cannot compute it, see `observes`.
    """
    return env.observe(state, params)


def draw(env: Any, key: jax.Array, params: Any) -> Any:
    """All that is random in a step, drawn with its key: its method `draw(key, params)`; by default the key itself.

    An environment that has it also has `step_drawn(drawn, state, actions, params)`, and its `step(key, ...)` is
    `step_drawn(draw(key, params), ...)`. What a stream of play needs is then drawn before its first step, all at once.
    """
    return env.draw(key, params) if hasattr(env, "draw") else key


def step_drawn(env: Any, drawn: Any, state: Any, actions: jax.Array, params: Any) -> tuple[Any, ...]:
    """What `step` returns, with what was drawn beforehand, see `draw`."""
    play = env.step_drawn if hasattr(env, "draw") else env.step
    return play(drawn, state, actions, params)


def counterfactuals(env: Any, observations: jax.Array) -> jax.Array | None:
    """What players would see if something had been different that they would react to, [alternatives, players, ...]:
    its method `counterfactuals(observations)`; None by default.

    If there are any, `play` adds to the `info` that `count` receives `probabilities` [players, actions], those of each
    player's actions, and `counterfactual_probabilities` [alternatives, players, actions], those of its actions if it
    saw an alternative instead. Actions have to be discrete.
    """
    return env.counterfactuals(observations) if hasattr(env, "counterfactuals") else None


def objects(env: Any) -> Any:
    """The attributes of what players may talk about, an array of integers [objects, attributes]; None by default.

    An environment with a property `objects` also tells in the `info` of each step, as `object` [players] int32, which
    object each player saw before the step and should talk about; -1 for none.
    """
    return getattr(env, "objects", None)


def round_payoffs(env: Any, params: Any) -> Any:
    """What a round pays, [players, actions of player 0, ..., actions of the last player], if all that players see is
    the last joint action: its method `round_payoffs(params)`; None by default.

    What its players did can then be read from what they saw next, and policies that remember one round are tables."""
    return env.round_payoffs(params) if hasattr(env, "round_payoffs") else None


def conventions(env: Any) -> tuple[Any, ...]:
    """What observations and actions mean beyond their shapes: its property `conventions`, hashable; that of the
    environment inside for a wrapper, and () by default. A policy plays what it has learned only under the same ones."""
    if hasattr(env, "conventions"):
        return env.conventions
    return conventions(env.env) if hasattr(env, "env") else ()


def acting(env: Any, state: Any) -> jax.Array:
    """Whose action matters in a state, [players] bool: its method `acting(state)`; by default everybody's. Measures of
    how actions come about leave out those that do not."""
    return env.acting(state) if hasattr(env, "acting") else jnp.ones((env.num_players,), bool)


def egocentric(env: Any) -> bool:
    """Whether every player sees the game from its own point of view (itself first), so that a policy that was learned
    in one seat means the same in another: its property `egocentric`; True by default."""
    return getattr(env, "egocentric", True)


def text(env: Any, state: Any, params: Any) -> str:
    """One state as a few lines of text, on the host: its method `text(state, params)`; by default the name, and one
    line for each array of the state."""
    if hasattr(env, "text"):
        return env.text(state, params)
    return "\n".join([env.name, *array_lines(state)])


def image(env: Any, state: Any, params: Any) -> np.ndarray:
    """A picture of one state, [height, width, 3] uint8, on the host: its method `image(state, params)`; by default a
    picture of its text."""
    return env.image(state, params) if hasattr(env, "image") else text_image(text(env, state, params))


def number_names(env: Any) -> tuple[str, ...]:
    """Which settings of the environment's factory are numbers.

    Numbers are part of its parameters, so that a population may have one for each match, and a sweep over them needs no
    new program; all other settings are structure. Its property `number_names`; by default the float fields of
    `default_params` that have the name of an attribute of the environment.
    """
    if hasattr(env, "number_names"):
        return env.number_names
    fields = _fields(env.default_params)
    return tuple(name for name, value in fields.items() if hasattr(env, name) and _is_float(value))


def default_numbers(env: Any) -> dict[str, Any]:
    """The values of its numbers in `default_params`, by name: numbers, or one per player; None if the program leaves a
    number out. Its property `default_numbers`; by default the attributes of the environment with these names."""
    if hasattr(env, "default_numbers"):
        return env.default_numbers
    return {name: getattr(env, name) for name in number_names(env)}


def with_numbers(env: Any, params: Any, numbers: Mapping[str, Any]) -> Any:
    """Parameters with some of the numbers replaced.

    Its method `with_numbers(params, numbers)`; by default the fields of the same names are replaced, see `replaced`.

    Args:
        env: the environment.
        params: its parameters, with any leading axes in front of all leaves.
        numbers: by name, see `number_names`; arrays with the leading axes of params. A number that exists per player
            may be followed by the axis of players. None stands for a number that the program leaves out, if the
            environment has such a number (for example a noise that never occurs).

    Raises:
        ValueError: for a name that is not a number of the environment, or a shape that does not fit. One line.
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
    """Parameters in which the fields with these names are replaced, with their dtypes kept.

    Args:
        params: a dataclass or a dictionary of arrays, with any leading axes in front of all of them.
        defaults: the same without leading axes.
        numbers: see `with_numbers`.

    Raises:
        ValueError: for a shape that does not fit.
    """
    own, given = _fields(defaults), _fields(params)
    lead = leading_rank(params, defaults)
    new = {name: placed(name, value, given[name], own[name], lead) for name, value in numbers.items()}
    return params | new if isinstance(params, dict) else dataclasses.replace(params, **new)


def leading_rank(params: Any, defaults: Any) -> int:
    """How many leading axes parameters have in front of those of `default_params`."""
    given, own = _fields(params), _fields(defaults)
    for name, leaf in given.items():
        if leaf is not None and own[name] is not None:
            return np.ndim(leaf) - np.ndim(own[name])
    return 0


def placed(name: str, number: Any, leaf: Any, default: Any, lead: int) -> Any:
    """A number in the shape of the parameter leaf it replaces, in the leaf's dtype; a number that has only the leading
    axes is repeated over the leaf's own axes.

    Args:
        name: for messages.
        number: [*leading], or [*leading, *own axes of the leaf]; None for None.
        leaf: the leaf to replace; None if it does not exist yet, in which case the dtype is jax's default float.
        default: the leaf without leading axes, or None.
        lead: how many leading axes there are. If 0, a number may have its own axes in front of those of the leaf.

    Raises:
        ValueError: for a shape that does not fit.
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
    """The fields of a dataclass or a dictionary by name; {} for anything else."""
    if isinstance(params, dict):
        return params
    if dataclasses.is_dataclass(params):
        return {field.name: getattr(params, field.name) for field in dataclasses.fields(params)}
    return {}


def _is_float(value: Any) -> bool:
    return hasattr(value, "dtype") and jnp.issubdtype(value.dtype, jnp.floating)
