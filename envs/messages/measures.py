"""What is measured of messages: whether they tell something (positive signalling), and whether anybody listens
(positive listening), after Lowe et al. (2019), "On the Pitfalls of Measuring Emergent Communication".

Everything is computed from tables of expected counts: where a policy's probabilities are known, they are added up
instead of the words and actions that were drawn. A policy that does not look at something then has exactly no
information about it, at any number of samples. Information is in nats.
"""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from shaping.envs.declarations import Measure
from shaping.envs.measures import fraction

_LABELS = 64  # entries of a table that is shown as it is, at most


def measures(words: int, actions: tuple[str, ...], topics: bool, objects: bool, influence: bool) -> dict[str, Measure]:
    """The measures whose values `metrics` returns; none if there is only one word, which says nothing.

    Args:
        words: how many there are.
        actions: the names of the actions.
        topics: whether it is counted what messages are about.
        objects: whether what they are about has several attributes, and messages several words.
        influence: whether counterfactual messages are tried.
    """
    if words == 1:
        return {}
    found = {
        "message_action_information": Measure(
            "Mutual information of a player's word and its own next action, in nats: whether it says what it will do "
            "(the speaker consistency of Lowe et al. 2019).",
            "word and own action",
            0.0,
        ),
        "speaker_consistency": Measure(
            "How far a player's word determines its own next action and the action the word, from 0 to 1 (Jaques et "
            "al. 2019); also 1 for a player that always says and does the same.",
            "consistency",
            0.0,
            1.0,
        ),
    }
    if influence:
        found["causal_influence"] = Measure(
            "How much a player's next action would tell about a message that it hears from another, if messages were "
            "drawn at random instead of said: mutual information in nats, mean over steps (the causal influence of "
            "communication of Lowe et al. 2019, with every message equally likely).",
            "causal influence",
            0.0,
        )
    if topics:
        found["message_state_information"] = Measure(
            "Mutual information of a player's message and what it sees while it sends it, in nats.",
            "message and state",
            0.0,
        )
    if objects:
        found["topographic_similarity"] = Measure(
            "Correlation between the distance of two objects, the number of attributes in which they differ, and the "
            "distance of the messages about them, the number of words in which they differ (Brighton and Kirby 2006); "
            "0 if all messages are alike.",
            "topographic similarity",
            -1.0,
            1.0,
        )
    if words <= _LABELS:
        labels = tuple(str(word) for word in range(words))
        found["word_frequency"] = Measure("How often a player says each word.", "words", 0.0, 1.0, "word", labels)
    if words * len(actions) <= _LABELS:
        labels = tuple(f"{word} then {action}" for word in range(words) for action in actions)
        about = (("said", "it has said itself"), ("heard", "another player has said"))
        for name, who in about:
            found[f"action_after_{name}"] = Measure(
                f"P(a player's next action | the word that {who}).",
                f"action after word {name}",
                0.0,
                1.0,
                "word_then_action",
                labels,
            )
    return found


def metrics(counts: Mapping[str, Any], objects: Any, words: int, memory: int) -> dict[str, jax.Array]:
    """The values of `measures`, and those of tables that are too large to show.

    Args:
        counts: see `Messages.start_counts`.
        objects: [objects, attributes], or None.
        words: how many there are.
        memory: words of a message.
    """
    said, heard = jnp.asarray(counts["said"], float), jnp.asarray(counts["heard"], float)
    found = {
        "message_action_information": information(said),
        "speaker_consistency": consistency(said),
        "word_frequency": fraction(counts["words"], jnp.sum(jnp.asarray(counts["words"]), axis=-1, keepdims=True)),
    }
    for name, table in (("said", said), ("heard", heard)):
        conditional = fraction(table, jnp.sum(table, axis=-1, keepdims=True))
        found[f"action_after_{name}"] = conditional.reshape(*conditional.shape[:-2], -1)
    if "influence" in counts:
        found["causal_influence"] = fraction(counts["influence"], counts["listened"])
    if "topics" in counts:
        table = jnp.asarray(counts["topics"], float)
        found["message_state_information"] = information(table)
        if objects is not None:
            each = table.reshape(*table.shape[:-1], *(words,) * memory)
            first = each.ndim - memory
            places = range(memory)
            by_place = [jnp.sum(each, tuple(first + p for p in places if p != place)) for place in places]
            found["topographic_similarity"] = topographic_similarity(jnp.stack(by_place, axis=-2), objects)
    return found


def information(table: jax.Array) -> jax.Array:
    """Mutual information in nats of two things, from how often they come together, [..., x, y] -> [...]; NaN if
    nothing was counted."""
    total = jnp.sum(table, axis=(-2, -1))
    share = fraction(table, total[..., None, None])
    alone = jnp.sum(share, axis=-1, keepdims=True) * jnp.sum(share, axis=-2, keepdims=True)
    each = jnp.where(share > 0, share * jnp.log(jnp.where(share > 0, share / jnp.where(alone > 0, alone, 1), 1)), 0)
    # Rounding may take it below 0.
    return jnp.where(total > 0, jnp.maximum(jnp.sum(each, axis=(-2, -1)), 0), jnp.nan)


def consistency(table: jax.Array) -> jax.Array:
    """Speaker consistency, from how often words and actions come together, [..., words, actions] -> [...]: the mean of
    1 - H(action | word) / log(actions) and 1 - H(word | action) / log(words). It is the normalised score of Jaques et
    al. (2019, "Social Influence as Intrinsic Motivation"), but words and actions are weighted by how often they occur.
    A thing of which there is only one kind is certain."""
    total = jnp.sum(table, axis=(-2, -1))
    share = fraction(table, total[..., None, None])
    entropies = [entropy(jnp.sum(share, axis=axis)) for axis in (-1, -2)]
    both = entropy(share.reshape(*share.shape[:-2], -1))
    words, actions = table.shape[-2:]
    certain = [
        1 - (both - given) / (np.log(count) if count > 1 else 1.0)
        for given, count in zip(entropies, (actions, words), strict=True)
    ]
    return jnp.where(total > 0, jnp.clip((certain[0] + certain[1]) / 2, 0, 1), jnp.nan)


def entropy(shares: jax.Array) -> jax.Array:
    """The entropy of a distribution in nats, [..., x] -> [...]."""
    return -jnp.sum(jnp.where(shares > 0, shares * jnp.log(jnp.where(shares > 0, shares, 1)), 0), axis=-1)


def influence(given: jax.Array) -> jax.Array:
    """Mutual information in nats of a message, all equally likely, and an action of which P(action | message) is
    given, [..., messages, actions] -> [...]."""
    return jnp.maximum(entropy(jnp.mean(given, axis=-2)) - jnp.mean(entropy(given), axis=-1), 0)


def topographic_similarity(counted: jax.Array, objects: Any) -> jax.Array:
    """Pearson's correlation, over all pairs of objects, of the number of attributes and the expected number of words in
    which two objects and the messages about them differ (Brighton and Kirby 2006, here with Hamming distances).

    Args:
        counted: [..., objects, places, words], how often each word stood at each place of a message about an object.
        objects: [objects, attributes], their values.

    Returns:
        [...]; 0 if all messages are equally far from each other; NaN if all objects that were talked about are equally
        far from each other.
    """
    values = np.asarray(objects)
    first, second = np.triu_indices(len(values), 1)
    apart = jnp.asarray(np.sum(values[first] != values[second], axis=-1), float)
    often = jnp.sum(counted, axis=-1, keepdims=True)
    shares = counted / jnp.where(often > 0, often, 1)
    differ = 1 - jnp.sum(shares[..., first, :, :] * shares[..., second, :, :], axis=-1)
    told = jnp.sum(differ, axis=-1)
    spoken = jnp.all(often[..., 0] > 0, axis=-1)
    weights = (spoken[..., first] & spoken[..., second]).astype(told.dtype)
    weights = fraction(weights, jnp.sum(weights, axis=-1, keepdims=True))
    centred = [x - jnp.sum(weights * x, axis=-1, keepdims=True) for x in (jnp.broadcast_to(apart, told.shape), told)]
    spread = [jnp.sum(weights * x**2, axis=-1) for x in centred]
    together = jnp.sum(weights * centred[0] * centred[1], axis=-1)
    # Messages that differ by rounding only are alike.
    alike = spread[1] < 1e-9
    found = jnp.where(alike, 0, together / jnp.sqrt(jnp.where(alike, 1, spread[0] * spread[1])))
    return jnp.where(spread[0] > 0, found, jnp.nan)
