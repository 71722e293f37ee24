"""Step sizes that change during a run: optax's schedules by name, with their numbers as data.

Schedules count the optimiser's steps: one per update for most learners, `epochs` times `minibatches` for PPO. Numbers
of steps are structure; everything else may differ from match to match in one program. Where optax would inspect a
number (is the peak zero, does it decay or grow), the schedule is composed of schedules that do not.
"""

import inspect
from collections.abc import Callable, Mapping
from typing import Annotated, Any

import jax.numpy as jnp
import optax
from flax import struct

from shaping.signatures import NonNegative, Positive, Probability, Range, check_value, fields

_REQUIRED = inspect.Parameter.empty
Steps = Annotated[int, Range(1, 10**9)]


@struct.dataclass
class Schedule:
    """A step size as a function of the optimiser's steps: `SCHEDULES[name](**numbers, **flags)`; see `schedule`."""

    numbers: dict[str, Any]
    name: str = struct.field(pytree_node=False)
    flags: tuple[tuple[str, Any], ...] = struct.field(pytree_node=False, default=())

    def __call__(self, count: Any) -> Any:
        """The step size of the optimiser's step number `count`, from 0."""
        return SCHEDULES[self.name](**self.numbers, **dict(self.flags))(count)


def schedule(name: str, **settings: Any) -> Schedule:
    """A schedule by name, to be used as a step size; the settings are the arguments of this file's functions.

    Raises:
      ValueError: for an unknown name, an unknown setting, or a missing one.
    """
    if not isinstance(name, str) or name not in SCHEDULES:
        raise ValueError(f"unknown schedule {name!r}; allowed: {', '.join(SCHEDULES)}")
    known = fields(SCHEDULES[name])
    for key in settings:
        if key not in known:
            raise ValueError(f"schedule {name} has no setting {key!r}: allowed are {', '.join(known)}")
    values = {key: settings.get(key, field.default) for key, field in known.items()}
    missing = [key for key, field in known.items() if key not in settings and field.default is _REQUIRED]
    if missing:
        raise ValueError(f"schedule {name} needs {missing[0]!r}")
    for key, field in known.items():
        check_value(key, values[key], field)
    flags = {key: value for key, value in values.items() if known[key].kind != "number"}
    numbers = {key: value for key, value in values.items() if key not in flags}
    return Schedule(numbers, name, tuple(sorted(flags.items())))


def constant(value: NonNegative) -> optax.Schedule:
    """The same step size throughout."""
    return optax.constant_schedule(value)


def linear(start: NonNegative, steps: Steps, end: NonNegative = 0.0) -> optax.Schedule:
    """From `start` to `end` linearly over `steps` steps, then constant."""
    return optax.linear_schedule(start, end, steps)


def polynomial(start: NonNegative, steps: Steps, power: Positive = 1.0, end: NonNegative = 0.0) -> optax.Schedule:
    """end + (start - end) (1 - t / steps)^power, then constant at `end`."""
    return optax.polynomial_schedule(start, end, power, steps)


def cosine(start: NonNegative, steps: Steps, end_share: Probability = 0.0) -> optax.Schedule:
    """From `start` to `end_share` times `start` along half a cosine over `steps` steps, then constant."""
    return optax.cosine_decay_schedule(start, steps, end_share)


def exponential(start: NonNegative, steps: Steps, rate: Positive = 0.5) -> optax.Schedule:
    """start * rate^(t / steps): multiplied by `rate` every `steps` steps."""
    return lambda count: start * jnp.power(rate, count / steps)


def warmup_cosine(
    peak: NonNegative, warmup: Steps, steps: Steps, start: NonNegative = 0.0, end_share: Probability = 0.0
) -> optax.Schedule:
    """From `start` to `peak` linearly over `warmup` steps, then along half a cosine over `steps` to `end_share` of
    it."""
    return optax.join_schedules([linear(start, warmup, peak), cosine(peak, steps, end_share)], [warmup])


SCHEDULES: Mapping[str, Callable[..., optax.Schedule]] = {
    "constant": constant,
    "cosine": cosine,
    "exponential": exponential,
    "linear": linear,
    "polynomial": polynomial,
    "warmup_cosine": warmup_cosine,
}
