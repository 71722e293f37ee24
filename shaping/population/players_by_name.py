"""Update rules and learners by name: those of `shaping.rules` and `shaping.learners`, and those that train on trials
before a match."""

from collections.abc import Callable
from functools import cache
from typing import Any

from shaping.learners import named_learners
from shaping.population import mfos
from shaping.rules import Rule, named_rules


@cache
def every_rule() -> dict[str, Callable[..., Rule]]:
    """Every update rule by its configuration name."""
    return dict(sorted((named_rules() | mfos.RULES).items()))


@cache
def every_player() -> dict[str, Callable[..., Any]]:
    """Factories of all rules and learners by name: the allowed values of `rule:` in a configuration."""
    return dict(sorted((every_rule() | named_learners()).items()))
