"""Trials of the repeated prisoner's dilemma as Pax's evolutionary runner plays them (Khan et al. 2024), written plainly
in JAX: a generation is two nested scans, over inner episodes and over rounds, of functions mapped over the population,
opponents and environments. The shaper is a GRU with a policy and a value; opponents are tables with a value that learn
by PPO, two epochs of four minibatches, and every step keeps observations, log-probabilities, values and memories."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

PAYOFFS = jnp.array([[-1.0, -1.0], [-3.0, 0.0], [0.0, -3.0], [-2.0, -2.0]])  # after CC, CD, DC, DD
STATES, START = 5, 4
CLIP = 0.2
DISCOUNT, LAMBDA = 0.96, 0.95
ADAM = optax.adam(1.0)


def shaper(units: int, key: jax.Array) -> dict[str, jax.Array]:
    """Parameters of a GRU with two heads."""
    keys = jax.random.split(key, 4)
    return {
        "in": jax.random.normal(keys[0], (STATES, 3 * units)) * 0.3,
        "memory": jax.random.normal(keys[1], (units, 3 * units)) * 0.3,
        "bias": jnp.zeros(3 * units),
        "policy": jax.random.normal(keys[2], (units, 2)) * 0.3,
        "value": jax.random.normal(keys[3], (units, 1)) * 0.3,
    }


def think(own: dict[str, jax.Array], seen: jax.Array, memory: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Logits, value and next memory, of one environment."""
    inward, back = jnp.split(seen @ own["in"] + own["bias"], 3), jnp.split(memory @ own["memory"], 3)
    reset, update = jax.nn.sigmoid(inward[0] + back[0]), jax.nn.sigmoid(inward[1] + back[1])
    memory = (1 - update) * jnp.tanh(inward[2] + reset * back[2]) + update * memory
    return memory @ own["policy"], (memory @ own["value"])[0], memory


def table(own: dict[str, jax.Array], seen: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Logits and value of an opponent, of one environment."""
    return seen @ own["policy"], (seen @ own["value"])[0]


def acted(key: jax.Array, logits: jax.Array) -> tuple[jax.Array, jax.Array]:
    """An action and its log-probability."""
    action = jax.random.categorical(key, logits)
    return action, jax.nn.log_softmax(logits)[action]


def learned(
    key: jax.Array, own: Any, moments: Any, rows: dict[str, jax.Array], epochs: int, minibatches: int
) -> tuple[Any, Any]:
    """An opponent after an inner episode, by PPO; rows [rounds, environments, ...]."""
    values = jnp.concatenate([rows["value"], jnp.zeros_like(rows["value"][:1])])
    errors = rows["reward"] + DISCOUNT * values[1:] - values[:-1]

    def back(later: jax.Array, error: jax.Array) -> tuple[jax.Array, jax.Array]:
        later = error + DISCOUNT * LAMBDA * later
        return later, later

    _, advantages = jax.lax.scan(back, jnp.zeros_like(errors[0]), errors, reverse=True)
    data = {**rows, "advantage": advantages, "target": advantages + rows["value"]}
    flat = jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), data)

    def loss(own: Any, part: dict[str, jax.Array]) -> jax.Array:
        logits, value = jax.vmap(table, (None, 0))(own, part["seen"])
        log = jax.nn.log_softmax(logits)
        chance = jnp.take_along_axis(log, part["action"][:, None], axis=1)[:, 0]
        ratio = jnp.exp(chance - part["chance"])
        wanted = (part["advantage"] - part["advantage"].mean()) / (part["advantage"].std() + 1e-8)
        gained = jnp.minimum(ratio * wanted, jnp.clip(ratio, 1 - CLIP, 1 + CLIP) * wanted)
        entropy = -jnp.sum(jnp.exp(log) * log, axis=1)
        return jnp.mean(-gained + 0.5 * (value - part["target"]) ** 2 - 0.01 * entropy)

    def minibatch(carry: tuple[Any, Any], part: dict[str, jax.Array]) -> tuple[tuple[Any, Any], None]:
        own, moments = carry
        change, moments = ADAM.update(jax.grad(loss)(own, part), moments)
        return (optax.apply_updates(own, change), moments), None

    def epoch(carry: tuple[Any, Any], key: jax.Array) -> tuple[tuple[Any, Any], None]:
        order = jax.random.permutation(key, flat["reward"].shape[0])
        parts = jax.tree.map(lambda leaf: leaf[order].reshape(minibatches, -1, *leaf.shape[1:]), flat)
        return jax.lax.scan(minibatch, carry, parts)[0], None

    return jax.lax.scan(epoch, (own, moments), jax.random.split(key, epochs))[0]


def generation(
    opponents: int, environments: int, episodes: int, rounds: int, units: int, epochs: int = 2, minibatches: int = 4
) -> Callable[..., jax.Array]:
    """`(population of shapers [population, ...], key) -> fitness [population]`."""

    def trial(own: Any, key: jax.Array) -> jax.Array:
        """One member of the population against one opponent, in all environments; the mean reward."""
        start = jax.random.split(jax.random.fold_in(key, 0), 2)
        theirs = {
            "policy": jax.random.normal(start[0], (STATES, 2)),
            "value": jax.random.normal(start[1], (STATES, 1)),
        }
        fresh = jnp.broadcast_to(jax.nn.one_hot(START, STATES), (environments, STATES))

        def round_(carry: Any, key: jax.Array) -> tuple[Any, Any]:
            memory, seen, their_seen, theirs = carry
            keys = jax.random.split(key, (2, environments))
            logits, value, after = jax.vmap(think, (None, 0, 0))(own, seen, memory)
            their_logits, their_value = jax.vmap(table, (None, 0))(theirs, their_seen)
            action, chance = jax.vmap(acted)(keys[0], logits)
            their_action, their_chance = jax.vmap(acted)(keys[1], their_logits)
            rewards = PAYOFFS[2 * action + their_action]
            mine = {"seen": seen, "action": action, "chance": chance, "value": value, "memory": memory}
            other = {"seen": their_seen, "action": their_action, "chance": their_chance, "value": their_value}
            seen = jax.nn.one_hot(2 * action + their_action, STATES)
            their_seen = jax.nn.one_hot(2 * their_action + action, STATES)
            rows = (mine | {"reward": rewards[:, 0]}, other | {"reward": rewards[:, 1]})
            return (after, seen, their_seen, theirs), rows

        def episode(carry: Any, key: jax.Array) -> tuple[Any, jax.Array]:
            memory, theirs, moments = carry
            keys = jax.random.split(key, rounds + 1)
            (memory, *_), (mine, other) = jax.lax.scan(round_, (memory, fresh, fresh, theirs), keys[1:])
            theirs, moments = learned(keys[0], theirs, moments, other, epochs, minibatches)
            return (memory, theirs, moments), jnp.mean(mine["reward"])

        begin = (jnp.zeros((environments, units)), theirs, ADAM.init(theirs))
        return jnp.mean(jax.lax.scan(episode, begin, jax.random.split(key, episodes))[1])

    def fitness(population: Any, key: jax.Array) -> jax.Array:
        keys = jax.random.split(key, opponents)
        each = jax.vmap(jax.vmap(trial, (None, 0)), (0, None))(population, keys)
        return jnp.mean(each, axis=1)

    return fitness
