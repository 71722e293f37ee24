"""Update rules, one file per family; the `RULES` of each file maps configuration names to factories."""

import importlib
import pkgutil
from collections.abc import Callable
from functools import cache

from shaping.rules.first_order import first_order, lookahead
from shaping.rules.gradients import computed_once
from shaping.rules.lola import lola
from shaping.rules.naive import naive
from shaping.rules.rule import Rule

__all__ = ["Rule", "computed_once", "first_order", "lola", "lookahead", "naive", "named_rules"]


@cache
def named_rules() -> dict[str, Callable[..., Rule]]:
    """Every rule by its configuration name, collected from the `RULES` of this package's modules."""
    names: dict[str, Callable[..., Rule]] = {}
    for module in pkgutil.iter_modules(__path__):
        names |= getattr(importlib.import_module(f"{__name__}.{module.name}"), "RULES", {})
    return dict(sorted(names.items()))
