"""Any optax optimiser by name, with its numbers as data."""

import dataclasses
import inspect
from collections.abc import Callable
from functools import cache
from typing import Any

import optax
from flax import struct

from shaping.signatures import Field, Range, check_value, fields

# Selected by signature below, but not usable as theta + learning_rate * f(direction): these need the loss itself, a
# line search or the number of steps, or are deprecated.
_EXCLUDED = {"lbfgs", "polyak_sgd", "noisy_sgd", "dpsgd", "freeze", "optimistic_adam"}
# These use norms or factors over a whole parameter vector.
_WHOLE = {"adafactor", "fromage", "lamb", "lars", "novograd", "sm3"}
_AVERAGED, _NON_NEGATIVE = Range(0, 1, open_high=True), Range(0)
# Beyond these an optimiser computes something else than it is named for, or NaN; optax checks none of them. Momentum
# may be negative, as Gidel et al. (2019) have it in games.
_RANGES = {
    "b1": Range(-1, 1, open_low=True, open_high=True),
    **dict.fromkeys(("b2", "b3", "decay", "rho"), _AVERAGED),
    **dict.fromkeys(("eps", "eps_root", "weight_decay", "weight_decay_rate"), _NON_NEGATIVE),
}


@struct.dataclass
class Optimizer:
    """An optax optimiser: `getattr(optax, name)(learning_rate=step_size, **flags, **numbers)`.

    Attributes:
      numbers, name, flags: see above.
      clip_norm: a direction longer than this is shortened to this length, above 0; None for no limit.
    """

    numbers: dict[str, Any]
    name: str = struct.field(pytree_node=False)
    flags: tuple[tuple[str, Any], ...] = struct.field(pytree_node=False, default=())
    clip_norm: Any = None

    @property
    def elementwise(self) -> bool:
        """Whether it treats every number of a parameter vector separately, without norms, factors or means over
        them."""
        return self.name not in _WHOLE and self.clip_norm is None

    def build(self, step_size: Any) -> optax.GradientTransformation:
        """The optax transformation at one step size (which may be traced) or `schedule`."""
        own = getattr(optax, self.name)(learning_rate=step_size, **dict(self.flags), **self.numbers)
        return own if self.clip_norm is None else optax.chain(optax.clip_by_global_norm(self.clip_norm), own)


def optimizer(name: str = "sgd", clip_norm: Any = None, **settings: Any) -> Optimizer:
    """An optax optimiser by name, with its own settings except the learning rate, which is the learner's step size.

    Args:
      name: name of the optimiser.
      clip_norm: see `Optimizer`.
      **settings: arguments of the optimiser.

    Raises:
      ValueError: if optax has no such optimiser, if it has no such setting, or if `clip_norm` is not above 0.
    """
    if isinstance(clip_norm, int | float) and not clip_norm > 0:
        raise ValueError(f"clip_norm is {clip_norm}: must be above 0")
    known = optimizer_fields(name if isinstance(name, str) else repr(name))
    unknown = [key for key in settings if key not in known]
    if unknown:
        raise ValueError(f"optimizer {name} has no setting {unknown[0]!r}: allowed are {', '.join(known)}")
    for key, value in settings.items():
        check_value(key, value, dataclasses.replace(known[key], optional=True))
    flags = {key: value for key, value in settings.items() if known[key].kind != "number" or value is None}
    numbers = {key: value for key, value in settings.items() if key not in flags}
    return Optimizer(numbers, name, tuple(sorted(flags.items())), clip_norm)


@cache
def named_optimizers() -> dict[str, Callable[..., optax.GradientTransformation]]:
    """optax's optimisers by name: its public functions that take a learning rate and need nothing else."""
    found = {}
    for name in dir(optax):
        function = getattr(optax, name)
        if name.startswith(("_", "scale_by")) or name in _EXCLUDED or not inspect.isfunction(function):
            continue
        parameters = inspect.signature(function).parameters
        required = [p.name for p in parameters.values() if p.default is p.empty and p.kind is not p.VAR_KEYWORD]
        if "learning_rate" in parameters and set(required) <= {"learning_rate"}:
            found[name] = function
    return found


@cache
def optimizer_fields(name: str) -> dict[str, Field]:
    """The settings of an optimiser that a configuration may give."""
    if name not in named_optimizers():
        raise ValueError(f"unknown optimizer {name!r}: optax has {', '.join(named_optimizers())}")
    found = fields(named_optimizers()[name], skip=("learning_rate",))
    return {key: dataclasses.replace(field, range=_RANGES.get(key, field.range)) for key, field in found.items()}
