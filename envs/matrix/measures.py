"""What matrix games measure of their players, from their counts: fractions, NaN where nothing came up."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from shaping.envs.declarations import Measure
from shaping.envs.measures import fraction


def measures(state_labels: tuple[str, ...]) -> dict[str, Measure]:
    """What `metrics` gives, for players who tell these states apart."""
    return {
        "cooperation": Measure(
            "Of the steps, the fraction in which a player executed action 0.", "cooperation", low=0.0, high=1.0
        ),
        "cooperation_by_state": Measure(
            "Of the steps in which a player was in each of its states, the fraction in which it executed action 0.",
            "cooperation by state",
            low=0.0,
            high=1.0,
            axis="state",
            labels=state_labels,
        ),
    }


def metrics(counts: Mapping[str, Any]) -> dict[str, jax.Array]:
    """The values of `measures`."""
    return {"cooperation": cooperation(counts), "cooperation_by_state": cooperation_by_state(counts)}


def cooperation(counts: Mapping[str, Any]) -> jax.Array:
    """Of all steps, those in which a player cooperated, as executed, [..., players]."""
    return fraction(jnp.sum(counts["cooperations"], axis=-1), jnp.sum(counts["steps"], axis=-1))


def cooperation_by_state(counts: Mapping[str, Any]) -> jax.Array:
    """Of the steps in which a player was in each of its states, those in which it cooperated, as executed,
    [..., players, states]."""
    return fraction(counts["cooperations"], counts["steps"])


def action_measures(action_labels: tuple[str, ...]) -> dict[str, Measure]:
    """What `action_metrics` gives, for players with these actions."""
    meaning = "Of the steps, the fraction in which a player executed each action."
    return {
        "action_frequency": Measure(meaning, "frequency", low=0.0, high=1.0, axis="action", labels=action_labels),
    }


def action_metrics(counts: Mapping[str, Any]) -> dict[str, jax.Array]:
    """The values of `action_measures`, [..., players, actions]."""
    executed = counts["executed"]
    return {"action_frequency": fraction(executed, jnp.sum(executed, axis=-1, keepdims=True))}
