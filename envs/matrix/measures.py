"""What matrix games measure for each player, computed from their counts: fractions, NaN if there was no event."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from shaping.envs.declarations import Measure
from shaping.envs.measures import fraction


def measures(state_labels: tuple[str, ...]) -> dict[str, Measure]:
    """The measures whose values `metrics` returns, for players who distinguish these states."""
    return {
        "cooperation": Measure(
            "The fraction of steps in which a player executed action 0.", "cooperation", low=0.0, high=1.0
        ),
        "cooperation_by_state": Measure(
            "The fraction of a player's steps in each of its states in which it executed action 0.",
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
    """The fraction of all steps in which a player cooperated, as executed, [..., players]."""
    return fraction(jnp.sum(counts["cooperations"], axis=-1), jnp.sum(counts["steps"], axis=-1))


def cooperation_by_state(counts: Mapping[str, Any]) -> jax.Array:
    """The fraction of a player's steps in each of its states in which it cooperated, as executed, [..., players,
    states]."""
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
