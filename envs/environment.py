"""The interface of all environments: pure functions, parameters as data, and an axis for the players."""

import math
from collections.abc import Sequence
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from shaping.envs.spaces import Box, Discrete


class Environment(Protocol):
    """An environment.

    The object is the static, hashable description, which shapes the program. `default_params` holds its numbers as a
    pytree of arrays, and `reset` and `step` use only the numbers they are given, so that one compiled program can play
    many games: any leaf may have leading axes that a vmap maps over. All functions are pure and for one environment.

    Nothing more is required. `envs.declarations` describes optional members, each with a default: `measures`,
    `metrics`, `start_counts` and `count` (what is measured during play), `showcase`, `image` and `text` (what is
    shown), `number_names` and `with_numbers` (which settings are numbers), `draw` and `step_drawn` (a step in two
    parts, what is random and what follows from it), and `observe`, which computes the observations [players, ...] of
    `reset` and `step` from `(state, params)` alone.

    Attributes:
        name: for records and messages.
        num_players: seats 0 .. num_players - 1, in this order everywhere.
        observation_space, action_space: for one player; arrays have a player axis in front of these shapes.
    """

    @property
    def name(self) -> str: ...
    @property
    def num_players(self) -> int: ...
    @property
    def observation_space(self) -> Discrete | Box: ...
    @property
    def action_space(self) -> Discrete | Box: ...
    @property
    def default_params(self) -> Any: ...

    def reset(self, key: jax.Array, params: Any) -> tuple[jax.Array, Any]:
        """The start of an episode: observations [players, ...] and the state. `key` is a typed PRNG key, consumed."""
        ...

    def step(
        self, key: jax.Array, state: Any, actions: jax.Array, params: Any
    ) -> tuple[jax.Array, Any, jax.Array, jax.Array, jax.Array, dict[str, Any]]:
        """Plays one joint action; never resets itself (see `envs.AutoReset`), never stops a gradient.

        Returns:
            obs: [players, ...], for the state after the step, including the last one.
            state: the state after.
            rewards: [players] float, not discounted.
            terminated: [] bool, whether the game itself is over, so that nothing is to come.
            truncated: [] bool, whether a time limit that players do not see has cut the episode.
            info: what happened, arrays by name, with the same names and shapes at every step.
        """
        ...


def check_actions(actions: Any, num_players: int, space: Discrete | Box) -> jax.Array:
    """`actions` as an array [players, ...] of the space's dtype.

    Raises:
        ValueError: for a wrong shape (usually a missing vmap) or a dtype of another kind; and, if values are known
            (outside of jit), for a value out of range.
    """
    array = jnp.asarray(actions)
    shape = (num_players, *space.shape)
    if array.shape != shape:
        raise ValueError(
            f"actions has the shape {list(array.shape)}; allowed: {list(shape)} (vmap step over any further axes)"
        )
    discrete = isinstance(space, Discrete)
    if not jnp.issubdtype(array.dtype, jnp.integer if discrete else jnp.floating):
        raise ValueError(f"actions has the dtype {array.dtype}; allowed: {'integers' if discrete else 'floats'}")
    if not isinstance(array, Tracer):
        values = np.asarray(array)
        low, high = (0, space.num_values - 1) if isinstance(space, Discrete) else (space.low, space.high)
        if values.size and not (np.all(values >= low) and np.all(values <= high)):
            raise ValueError(f"actions is {values.tolist()}; allowed: {low} to {high}")
    return array.astype(jnp.int32) if discrete else array


def check_choice(what: str, value: Any, allowed: Sequence[Any]) -> None:
    """Refuses a value that is not one of a few.

    Raises:
        ValueError: one line: what, its value, what is allowed.
    """
    if value not in allowed or isinstance(value, bool) != isinstance(allowed[0], bool):
        raise ValueError(f"{what} is {value!r}; allowed: {', '.join(map(str, allowed))}")


def check_integer(what: str, value: Any, low: int, high: int | None = None) -> int:
    """`value` as an int within low .. high.

    Raises:
        ValueError: one line: what, its value, what is allowed.
    """
    integer = isinstance(value, int | np.integer) and not isinstance(value, bool)
    if not integer or value < low or (high is not None and value > high):
        limits = f"of {low} or more" if high is None else f"from {low} to {high}"
        raise ValueError(f"{what} is {value!r}; allowed: an integer {limits}")
    return int(value)


def check_number(what: str, value: Any, low: float = -np.inf, high: float = np.inf) -> float:
    """`value` as a finite float within low .. high.

    Raises:
        ValueError: one line: what, its value, what is allowed.
    """
    number = isinstance(value, int | float | np.number) and not isinstance(value, bool)
    if not number or not math.isfinite(value) or not low <= value <= high:
        limits = f" from {low:g} to {high:g}" if high < np.inf else f" of {low:g} or more" if low > -np.inf else ""
        raise ValueError(f"{what} is {value!r}; allowed: a finite number{limits}")
    return float(value)
