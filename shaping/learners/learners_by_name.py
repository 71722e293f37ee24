"""Learners and update rules by name: the allowed values of `rule:` in a configuration."""

import importlib
import pkgutil
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from shaping import learners
from shaping.learners.gradient import learner_of
from shaping.learners.learner import Common, Learner
from shaping.rules import named_rules


@cache
def named_learners() -> dict[str, Callable[..., Learner]]:
    """Every learner by its configuration name, collected from the `LEARNERS` of this package's modules."""
    names: dict[str, Callable[..., Learner]] = {}
    for module in pkgutil.iter_modules(learners.__path__):
        names |= getattr(importlib.import_module(f"{learners.__name__}.{module.name}"), "LEARNERS", {})
    return dict(sorted(names.items()))


@cache
def named_players() -> dict[str, Callable[..., Any]]:
    """Factories of rules and learners by name; the annotated numeric parameters of each are its settings."""
    return dict(sorted((named_rules() | named_learners()).items()))


def named_learner(
    name: str,
    settings: Mapping[str, Any],
    common: Common = Common(),  # noqa: B008 - frozen, and the default a reader expects to see
) -> Learner:
    """The learner called `name`: a learner of that kind, or the gradient learner of an update rule.

    Args:
      name: one of `named_players`.
      settings: arguments of the factory.
      common: settings that every learner has.

    Raises:
      ValueError: for an unknown name, or settings that do not fit together.
    """
    if name in named_rules():
        return learner_of(named_rules()[name](**settings), common)
    if name not in named_learners():
        raise ValueError(f"unknown rule {name!r}; allowed: {', '.join(named_players())}")
    return named_learners()[name](**settings, common=common)
