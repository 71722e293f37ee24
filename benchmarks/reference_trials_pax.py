"""Trials of the repeated prisoner's dilemma as Pax's evolutionary runner plays them (Khan et al. 2024), written plainly
in JAX: a generation is two nested scans, over inner episodes and over rounds, of functions mapped over the population,
opponents and environments. The shaper is a GRU with a policy and a value; opponents are tables with a value that learn
by PPO, two epochs of four minibatches, and every step keeps observations, log-probabilities, values and memories.

As there (ucl-dark/pax, `runners/runner_evo.py`, `agents/ppo/ppo.py`), every member of the population and every opponent
has a key of its own, split at every step; gradients are clipped to norm 1/2 and their norms are reported; and how often
each state was visited is counted from all observations of a generation. Left out is what compiling removes anyway: the
environments' keys, which this game does not use, and memories, which nobody reads.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

PAYOFFS = jnp.array([[-1.0, -1.0], [-3.0, 0.0], [0.0, -3.0], [-2.0, -2.0]])  # after CC, CD, DC, DD
STATES, START = 5, 4
CLIP = 0.2
DISCOUNT, LAMBDA = 0.96, 0.95
ADAM = optax.chain(optax.clip_by_global_norm(0.5), optax.adam(1.0))


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
    """Actions of all environments and their log-probabilities."""
    action = jax.random.categorical(key, logits)
    return action, jnp.take_along_axis(jax.nn.log_softmax(logits), action[:, None], axis=1)[:, 0]


def learned(
    key: jax.Array, own: Any, moments: Any, rows: dict[str, jax.Array], epochs: int, minibatches: int
) -> tuple[Any, Any, jax.Array]:
    """An opponent after an inner episode, by PPO, and the mean norm of its gradients; rows [rounds, environments,
    ...]."""
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

    def minibatch(carry: tuple[Any, Any], part: dict[str, jax.Array]) -> tuple[tuple[Any, Any], jax.Array]:
        own, moments = carry
        slope = jax.grad(loss)(own, part)
        change, moments = ADAM.update(slope, moments)
        return (optax.apply_updates(own, change), moments), optax.global_norm(slope)

    def epoch(carry: tuple[Any, Any], key: jax.Array) -> tuple[tuple[Any, Any], jax.Array]:
        order = jax.random.permutation(key, flat["reward"].shape[0])
        parts = jax.tree.map(lambda leaf: leaf[order].reshape(minibatches, -1, *leaf.shape[1:]), flat)
        return jax.lax.scan(minibatch, carry, parts)

    (own, moments), norms = jax.lax.scan(epoch, (own, moments), jax.random.split(key, epochs))
    return own, moments, jnp.mean(norms)


def generation(
    opponents: int, environments: int, episodes: int, rounds: int, units: int, epochs: int = 2, minibatches: int = 4
) -> Callable[..., dict[str, jax.Array]]:
    """`(population of shapers [population, ...], key) -> fitness [population]`, and what else a generation reports."""

    def trial(own: Any, key: jax.Array, their_key: jax.Array) -> dict[str, jax.Array]:
        """One member of the population against one opponent, in all environments."""
        start = jax.random.split(jax.random.fold_in(their_key, 0), 2)
        theirs = {
            "policy": jax.random.normal(start[0], (STATES, 2)),
            "value": jax.random.normal(start[1], (STATES, 1)),
        }
        fresh = jnp.broadcast_to(jax.nn.one_hot(START, STATES), (environments, STATES))

        def round_(carry: Any, _: None) -> tuple[Any, Any]:
            keys, memory, seen, their_seen, theirs = carry
            (key, now), (their_key, their_now) = (jax.random.split(one) for one in keys)
            logits, value, after = jax.vmap(think, (None, 0, 0))(own, seen, memory)
            their_logits, their_value = jax.vmap(table, (None, 0))(theirs, their_seen)
            action, chance = acted(now, logits)
            their_action, their_chance = acted(their_now, their_logits)
            rewards = PAYOFFS[2 * action + their_action]
            mine = {"seen": seen, "action": action, "chance": chance, "value": value}
            other = {"seen": their_seen, "action": their_action, "chance": their_chance, "value": their_value}
            seen = jax.nn.one_hot(2 * action + their_action, STATES)
            their_seen = jax.nn.one_hot(2 * their_action + action, STATES)
            rows = (mine | {"reward": rewards[:, 0]}, other | {"reward": rewards[:, 1]})
            return ((key, their_key), after, seen, their_seen, theirs), rows

        def episode(carry: Any, _: None) -> tuple[Any, Any]:
            keys, memory, theirs, moments = carry
            begin = (keys, memory, fresh, fresh, theirs)
            after, (mine, other) = jax.lax.scan(round_, begin, None, length=rounds)
            keys, memory = after[:2]
            key, now = jax.random.split(keys[1])
            theirs, moments, norm = learned(now, theirs, moments, other, epochs, minibatches)
            told = {name: mine[name] for name in ("seen", "action", "reward")}
            return ((keys[0], key), memory, theirs, moments), told | {"their_reward": other["reward"], "norm": norm}

        begin = ((key, their_key), jnp.zeros((environments, units)), theirs, ADAM.init(theirs))
        return jax.lax.scan(episode, begin, None, length=episodes)[1]

    def fitness(population: Any, key: jax.Array) -> dict[str, jax.Array]:
        members = len(jax.tree.leaves(population)[0])
        keys = jax.random.split(jax.random.fold_in(key, 0), members)
        # The same opponents for everybody, each computed for itself.
        their_keys = jnp.broadcast_to(jax.random.split(jax.random.fold_in(key, 1), opponents), (members, opponents))
        told = jax.vmap(jax.vmap(trial, (None, None, 0)))(population, keys, their_keys)
        visits = jnp.bincount((2 * jnp.argmax(told["seen"], axis=-1) + told["action"]).ravel(), length=2 * STATES)
        return {
            "fitness": jnp.mean(told["reward"], axis=(1, 2, 3, 4)),
            "their_fitness": jnp.mean(told["their_reward"], axis=(1, 2, 3, 4)),
            "visits": visits,
            "norm": jnp.mean(told["norm"]),
        }

    return fitness
