"""What is counted of messages, and what players would have observed had they heard another one."""

from collections.abc import Mapping
from itertools import product
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from shaping.envs import declarations
from shaping.envs.messages.measures import influence
from shaping.envs.spaces import Discrete

MOST_TRIED = 64
"""Counterfactual messages that are tried at each step, at most."""
_MOST_ENTRIES = 4096  # of a player's table of topics and messages


def num_topics(env: Any) -> int:
    """What messages may be about: the objects that the environment declares, or else its discrete observations; 0 if
    it has neither."""
    objects = declarations.objects(env)
    if objects is not None:
        return len(objects)
    space = env.observation_space
    return space.num_values if isinstance(space, Discrete) and declarations.observes(env) else 0


def has_topics(env: Any, messages: int) -> bool:
    """Whether the topics of messages are counted, if there are this many different messages."""
    topics = num_topics(env)
    return isinstance(env.action_space, Discrete) and topics > 1 and topics * messages <= _MOST_ENTRIES


def start(players: int, words: int, actions: int, topics: int, messages: int, tries: bool) -> dict[str, jax.Array]:
    """Zero for what `add` adds up, in float32 because probabilities are.

    Returns:
        `words` [players, words]: how often each word was said. `said` [players, words, actions]: the player's own last
        word, and its action. `heard` likewise: the last word of each other player, and its action. `topics` [players,
        topics, messages], if there are topics: what a message was about, and the message; of several words the first is
        the most significant digit. `influence` and `listened` [players], if counterfactual messages are tried: the
        sum of `measures.influence` over other players and steps, and their number.
    """
    found = {
        "words": jnp.zeros((players, words), jnp.float32),
        "said": jnp.zeros((players, words, actions), jnp.float32),
        "heard": jnp.zeros((players, words, actions), jnp.float32),
    }
    if topics:
        found["topics"] = jnp.zeros((players, topics, messages), jnp.float32)
    if tries:
        found |= {"influence": jnp.zeros((players,), jnp.float32), "listened": jnp.zeros((players,), jnp.float32)}
    return found


def add(
    counts: dict[str, jax.Array],
    heard: jax.Array,
    chosen: jax.Array,
    acts: jax.Array,
    ended: jax.Array,
    info: Mapping[str, Any],
) -> dict[str, jax.Array]:
    """The counts after one more step.

    Args:
        counts: those before.
        heard: [memory, players] int32, what the players heard, see `MessagesState`.
        chosen: [players, actions, words], the probability of each action and word.
        acts: [players] bool, whose action matters.
        ended: [] bool, whether the episode ended; nobody hears what was said in its last step.
        info: of the step, with `topics` if topics are counted, and `counterfactual_probabilities` if there are any.
    """
    memory, n = heard.shape
    words = chosen.shape[-1]
    says, does = jnp.sum(chosen, axis=1), jnp.sum(chosen, axis=2)
    goes_on = jnp.where(ended, 0.0, 1.0)
    # [players, words, actions]; nothing where nothing was said or the action does not matter.
    last = jax.nn.one_hot(heard[0] - 1, words, dtype=jnp.float32)
    matters = acts.astype(jnp.float32)[:, None, None] * does[:, None, :]
    of_others = jnp.sum(last, axis=0)[None] - last
    found = {
        "words": counts["words"] + goes_on * says,
        "said": counts["said"] + last[:, :, None] * matters,
        "heard": counts["heard"] + of_others[:, :, None] * matters,
    }
    if "topics" in counts:
        # The message that this word completes: the first of its words is the one said longest ago.
        message = says
        for place in range(memory - 1):
            earlier = jax.nn.one_hot(heard[place] - 1, words, dtype=jnp.float32)
            message = (earlier[:, :, None] * message[:, None, :]).reshape(n, -1)
        about = jax.nn.one_hot(info["topics"], counts["topics"].shape[1], dtype=jnp.float32)
        found["topics"] = counts["topics"] + goes_on * about[:, :, None] * message[:, None, :]
    if "influence" in counts:
        found |= {name: counts[name] for name in ("influence", "listened")}
        if "counterfactual_probabilities" in info:
            tried = info["counterfactual_probabilities"].astype(jnp.float32)
            given = jnp.sum(tried.reshape(n - 1, -1, n, *chosen.shape[1:]), axis=-1)
            each = jnp.mean(influence(jnp.moveaxis(given, 1, -2)), axis=0)
            listens = (acts & jnp.all(heard > 0)).astype(jnp.float32)
            found["influence"] += listens * each
            found["listened"] += listens
    return found


def place_values(players: int, memory: int, words: int) -> np.ndarray:
    """The weights of the digits of what is heard, [players x memory] int32, the first most significant."""
    digits = players * memory
    return np.array([(words + 1) ** (digits - 1 - place) for place in range(digits)], np.int32)


def _messages(memory: int, words: int) -> np.ndarray:
    """Every message of `memory` words, [messages, memory] int32, 1 + the word."""
    return np.array(list(product(range(1, words + 1), repeat=memory)), np.int32)


def replaced_digits(observations: jax.Array, players: int, memory: int, words: int) -> jax.Array:
    """Discrete observations [players] in which all words of one of the others are replaced by every message,
    [others x messages, players]."""
    places, messages = place_values(players, memory, words), _messages(memory, words)
    found = []
    for other in range(1, players):
        own = places[other * memory : (other + 1) * memory]
        digits = (observations[None] // own[:, None]) % (words + 1)
        without = observations - jnp.sum(digits * own[:, None], axis=0, dtype=jnp.int32)
        found.append(without[None] + (messages @ own)[:, None])
    return jnp.concatenate(found)


def replaced_vectors(observations: jax.Array, seen: int, players: int, memory: int, words: int) -> jax.Array:
    """The same of observations that are vectors, [players, seen + words] to [others x messages, players, ...]."""
    messages = (_messages(memory, words)[..., None] == np.arange(1, words + 1)).reshape(-1, memory * words)
    found = []
    for other in range(1, players):
        begin = seen + other * memory * words
        given = jnp.broadcast_to(observations, (len(messages), *observations.shape))
        said = jnp.asarray(messages, observations.dtype)[:, None]
        found.append(given.at[..., begin : begin + memory * words].set(said))
    return jnp.concatenate(found)
