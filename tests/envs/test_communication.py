"""Measures of communication find planted protocols exactly, and nothing in babble."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

import shaping
from shaping import envs
from shaping.envs.messages.measures import consistency, influence, information, topographic_similarity
from shaping.envs.messages.state import join

OBJECTS = np.array([[0, 0], [0, 1], [1, 0], [1, 1]])
SURE = 40.0  # a logit against 0: its probability is 1 in float32


def test_information_is_that_of_the_entropies():
    table = np.random.default_rng(0).random((3, 5, 4))
    entropy = scipy.stats.entropy
    expected = [entropy(t.sum(0)) + entropy(t.sum(1)) - entropy(t.reshape(-1)) for t in table]
    np.testing.assert_allclose(information(jnp.asarray(table)), expected, rtol=1e-4)
    assert np.isnan(information(jnp.zeros((2, 2))))


@pytest.mark.parametrize(
    ("table", "told", "consistent"),
    [
        (np.eye(4) * 3, np.log(4), 1),
        ([[2, 0], [2, 0], [0, 2], [0, 2]], np.log(2), 0.75),  # four words for two actions: half of a word is idle
        ([[5, 0], [0, 0]], 0, 1),  # always the same
        (np.ones((4, 2)), 0, 0),
    ],
)
def test_planted_protocols_are_recovered_exactly(table, told, consistent):
    table = jnp.asarray(table, float)
    np.testing.assert_allclose([information(table), consistency(table)], [told, consistent], atol=1e-6)


def test_influence_is_what_an_action_tells_of_a_message():
    listens, deaf = jnp.eye(2), jnp.full((2, 2), 0.3)
    assert np.isclose(influence(listens), np.log(2)) and np.isclose(influence(deaf), 0, atol=1e-6)
    half = np.array([[0.9, 0.1], [0.4, 0.6]])
    expected = scipy.stats.entropy(half.mean(0)) - np.mean([scipy.stats.entropy(row) for row in half])
    np.testing.assert_allclose(influence(jnp.asarray(half)), expected, rtol=1e-5)


def counted(messages, words):
    """How often each word stood at each place, [objects, places, words], if each object has one message."""
    return jnp.asarray(np.eye(words)[np.asarray(messages)])


def test_topographic_similarity_is_the_correlation_of_distances():
    assert np.isclose(topographic_similarity(counted(OBJECTS, 2), OBJECTS), 1)
    assert topographic_similarity(counted(OBJECTS * 0, 2), OBJECTS) == 0
    holistic = OBJECTS[[0, 3, 2, 1]]
    first, second = np.triu_indices(4, 1)
    distances = [(x[first] != x[second]).sum(1) for x in (OBJECTS, holistic)]
    expected = np.corrcoef(*distances)[0, 1]
    np.testing.assert_allclose(topographic_similarity(counted(holistic, 2), OBJECTS), expected, atol=1e-6)
    assert expected < 0.9
    # An object that nobody spoke about is left out.
    few = counted(OBJECTS, 2).at[3].set(0)
    np.testing.assert_allclose(topographic_similarity(few, OBJECTS), 1, rtol=1e-6)


def tables(env, says, picks):
    """Parameters of tables that say a word for each object and what was said so far, and pick an object for each
    message; both [.., words or objects] logits."""
    states, digits = env.observation_space.num_values, (env.symbols + 1) ** (2 * env.memory)
    logits = np.zeros((2, states, env.env.num_objects, env.symbols))
    for state in range(states):
        seen, heard = divmod(state, digits)
        own, other = divmod(heard, (env.symbols + 1) ** env.memory)
        words = [x // (env.symbols + 1) ** k % (env.symbols + 1) for x in (own, other) for k in range(env.memory)]
        own, other = words[: env.memory], words[env.memory :]  # of each the earliest first
        if seen < env.env.num_objects:
            logits[0, state] = says(seen, [w - 1 for w in own if w])[None]
        if all(other):
            logits[1, state] = picks([w - 1 for w in other])[:, None]
    return jnp.asarray(logits.reshape(2, states, -1), jnp.float32)


@cache
def player(env):
    """Plays 512 episodes; compiled once for each game."""
    policies = [shaping.tabular(env.observation_space.num_values, num_actions=env.action_space.num_values)] * 2
    return jax.jit(lambda thetas: shaping.play(env, policies, thetas, jax.random.key(0), env.env.horizon, 512).pooled())


def measured(env, says, picks):
    total = player(env)(list(tables(env, says, picks)))
    return {name: np.asarray(value) for name, value in env.metrics(total.counts).items()}, total.counts


def sure(number, count):
    return SURE * np.eye(count)[number]


def test_a_planted_code_is_found_in_play_and_babble_is_nothing():
    env = envs.make("referential", messages=4)
    code = [2, 0, 3, 1]
    found, counts = measured(env, lambda seen, _: sure(code[seen], 4), lambda told: sure(code.index(told[0]), 4))
    shares = np.asarray(counts["messages"]["topics"])[0].sum(1)
    np.testing.assert_array_equal(found["success"], [1, 1])
    # Exactly the entropy of the objects that happened to be drawn.
    np.testing.assert_allclose(found["message_state_information"][0], scipy.stats.entropy(shares), rtol=1e-5)
    assert scipy.stats.entropy(shares) > 0.99 * np.log(4)
    np.testing.assert_allclose(found["causal_influence"][1], np.log(4), rtol=1e-5)
    # The listener has nothing to talk about, and what the speaker does means nothing.
    assert np.isnan(found["message_state_information"][1]) and np.isnan(found["causal_influence"][0])

    babble = np.array([1.0, 0, 0.5, 0])
    found, _ = measured(env, lambda seen, _: babble, lambda told: babble[::-1])
    for name in ("message_state_information", "causal_influence"):
        assert np.nanmax(np.abs(found[name])) < 1e-5
    assert abs(found["success"][0] - 0.25) < 4 * np.sqrt(0.25 * 0.75 / 512)


def test_a_speaker_whom_nobody_hears_signals_without_influence():
    env = envs.make("referential", messages=4)
    found, _ = measured(env, lambda seen, _: sure(seen, 4), lambda told: np.zeros(4))
    assert found["message_state_information"][0] > 1.3 and found["causal_influence"][1] < 1e-5


def test_a_code_of_two_words_is_found_as_compositional():
    env = envs.make("referential", horizon=3, messages={"symbols": 2, "memory": 2})
    found, _ = measured(
        env,
        lambda seen, own: sure(OBJECTS[seen][len(own) % 2], 2),
        lambda told: sure(2 * told[0] + told[1], 4),
    )
    np.testing.assert_array_equal(found["success"], [1, 1])
    np.testing.assert_allclose(found["topographic_similarity"][0], 1, atol=1e-5)
    np.testing.assert_allclose(found["causal_influence"][1], np.log(4), rtol=1e-5)
    assert found["message_state_information"][0] > 0.99 * np.log(4)


def promises(action_when_said, action_when_heard):
    """Tables of the prisoner's dilemma with two words before it: 0 and 1 are said equally often."""
    logits = np.zeros((9, 2, 2))
    for own in (1, 2):
        for other in (1, 2):
            wanted = action_when_said[own - 1] if action_when_said else action_when_heard[other - 1]
            logits[3 * own + other] = sure(wanted, 2)[:, None]
    return jnp.asarray(logits.reshape(9, 4), jnp.float32)


def test_promises_and_answers_are_told_apart():
    env = envs.make("ipd", horizon=1, discount=1.0, messages={"symbols": 2, "before": 1})
    policies = [shaping.tabular(9, num_actions=4)] * 2
    thetas = [promises([0, 1], None), promises(None, [0, 1])]  # one does what it says, one does what it hears
    played = jax.jit(lambda key: shaping.play(env, policies, thetas, key, 2, 4096))(jax.random.key(1))
    found = env.metrics(played.pooled().counts)
    error = 5 / 4096  # of a table of four entries, in which independent things look dependent by 1 / (2 n)
    np.testing.assert_allclose(found["message_action_information"], [np.log(2), 0], atol=2 * error)
    np.testing.assert_allclose(found["causal_influence"], [0, np.log(2)], atol=1e-5)
    np.testing.assert_allclose(found["speaker_consistency"], [1, 0], atol=2 * error)
    np.testing.assert_allclose(found["action_after_said"][0], [1, 0, 0, 1], atol=1e-6)
    np.testing.assert_allclose(found["action_after_heard"][1], [1, 0, 0, 1], atol=1e-6)
    np.testing.assert_allclose(found["cooperation"], [0.5, 0.5], atol=0.04)


@pytest.mark.parametrize("name", ["contribution", "gift"])
def test_counterfactual_observations_are_those_of_other_messages(name):
    env = envs.make(name, num_players=3, horizon=5, messages={"symbols": 2, "memory": 2})
    params, n = env.default_params, 3
    rng = np.random.default_rng(0)
    plays = [jnp.asarray(rng.integers(0, 2, n)) for _ in range(2)]
    said = rng.integers(0, 2, (2, n))

    @jax.jit
    def play(said):
        obs, state = env.reset(jax.random.key(0), params)
        for time in range(2):
            obs, state, *_ = env.step(jax.random.key(1), state, join(plays[time], said[time], 2), params)
        return obs

    def heard(said):
        return np.asarray(play(jnp.asarray(said)))

    found = env.counterfactuals(jnp.asarray(heard(said)))
    assert found is not None
    found = np.asarray(found)
    assert found.shape[0] == 2 * 4
    for player in range(n):
        others = [seat for seat in range(n) if seat != player]
        for number, row in enumerate(found[:, player]):
            other, message = others[number // 4], number % 4
            changed = said.copy()
            # The last word first.
            changed[1, other], changed[0, other] = divmod(message, 2)
            np.testing.assert_array_equal(row, heard(changed)[player])


def test_talk_before_a_game_does_nothing_but_talk():
    silent = envs.make("ipd", horizon=2)
    env = envs.make("ipd", horizon=2, messages={"symbols": 3, "before": 2, "cost": 0.25})
    params = env.default_params
    _, state = env.reset(jax.random.key(0), params)
    counts = env.start_counts()
    step, silent_step, count = (jax.jit(each) for each in (env.step, silent.step, env.count))
    plays = [[1, 1], [0, 1], [0, 1], [1, 0]]
    words = [[0, 2], [1, 0], [0, 0], [2, 0]]
    _, own = silent.reset(jax.random.key(0), params.env)
    for time, (play, word) in enumerate(zip(plays, words, strict=True)):
        key, actions = jax.random.key(time), join(jnp.asarray(play), jnp.asarray(word), 3)
        _, after, rewards, terminated, _, info = step(key, state, actions, params)
        counts = count(counts, state, actions, rewards, terminated, info)
        state = after
        paid, ends = jnp.zeros(2), False
        if time >= 2:
            _, own, paid, ends, *_ = silent_step(key, own, jnp.asarray(play), params.env)
        jax.tree.map(np.testing.assert_array_equal, state.env, own)
        np.testing.assert_allclose(rewards, paid - 0.25 * (np.asarray(word) > 0))
        assert bool(terminated) == bool(ends) == (time == 3)
    # Only what was played counts as played, and nobody hears the last words.
    np.testing.assert_allclose(env.metrics(counts)["cooperation"], [0.5, 0.5])
    np.testing.assert_allclose(np.asarray(counts["messages"]["words"]).sum(1), [3, 3])
