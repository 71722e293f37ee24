"""What rules accept, and that an infinite term with coefficient zero is masked."""

import dataclasses
import inspect

import jax
import jax.numpy as jnp
import pytest

from shaping.objectives import from_returns
from shaping.rules import Rule, first_order, lola, named_rules
from shaping.signatures import fields


def test_every_named_rule_builds_with_its_defaults():
    for name, factory in named_rules().items():
        assert isinstance(factory(), Rule), name
        assert set(fields(factory)) == set(inspect.signature(factory).parameters), name


def test_unknown_variants_and_lookaheads_outside_exact_are_refused():
    with pytest.raises(ValueError, match="variant is 'dice'.*original, taylor or exact"):
        lola("dice")
    with pytest.raises(ValueError, match="lookaheads is 2.*variant is taylor"):
        lola("taylor", lookaheads=2)


def test_a_coefficient_of_zero_masks_an_infinite_term():
    # At zero the second derivative of a power of 1.5 is infinite, its first derivative 0.
    objective = from_returns(lambda ts: [ts[0] - ts[1], ts[1] + (ts[0] + ts[1]) ** 1.5])
    zero = (jnp.float32(0), jnp.float32(0))
    direction = jax.jit(lambda rule: rule.direction(objective, zero, 0))
    assert direction(first_order(1.0, 0.0, 1.0)) == -jnp.inf
    assert direction(first_order(1.0, 0.0, 0.0)) == 1


def test_every_rule_has_settings_with_names_and_says_what_it_imagines():
    for name, factory in named_rules().items():
        rule = factory()
        assert dataclasses.is_dataclass(rule.settings), name
        assert rule.anticipates == ("lookahead_rate" in fields(factory)), name
        slower = rule.slowed(0.5)
        if rule.anticipates:
            assert slower.settings.lookahead_rate == 0.5 * rule.settings.lookahead_rate, name
        else:
            assert slower is rule, name
