"""Representations of policies: what embeddings depend on, and what they do not."""

import jax
import numpy as np
import pytest

from shaping import envs, representations
from shaping.envs import Cournot
from shaping.envs.spaces import Box
from shaping.leagues.stepwise_players import matrix_as_played
from shaping.objectives.played_league_values import PlayedGame, Seated
from shaping.policies import automaton, network
from shaping.policies.automaton import from_table
from shaping.policies.random_player import random_player
from shaping.representations.steps import steps_of

GAME = matrix_as_played(envs.make("ipd"))


def tables(*rows):
    machines = [jax.tree.map(np.asarray, from_table(np.asarray(row, float))) for row in rows]
    return [Seated((automaton(5),) * 2, (machine, machine)) for machine in machines]


RANDOM = tables([0.5] * 5)
ROWS = np.random.default_rng(0).beta(0.5, 0.5, (12, 5))
"""P(C) of twelve players."""


@pytest.fixture(scope="module")
def episodes():
    return representations.play_episodes(GAME, tables(*ROWS), RANDOM, 8, seed=3, steps=30)


@pytest.fixture(scope="module")
def encoder(episodes):
    return representations.train(episodes, "both", dimension=8, updates=300, widths=(16,), head=(32,), decoder=(16,))


def frequencies(episodes):
    """P(C) after each state, a list of one number for each; NaN for a state that was never seen."""
    seen, done = np.asarray(episodes.observations), np.asarray(episodes.actions)
    return [(done[seen == state] == 0).mean() if (seen == state).any() else np.nan for state in range(5)]


def test_both_seats_see_and_do_what_the_player_would():
    """A player seen from either seat defects after the states in which it does; its own action comes first."""
    rows = [[1, 1, 0, 1, 0], [0.0, 1, 1, 0, 0]]
    for seat in (0, 1):
        found = representations.play_episodes(GAME, tables(*rows), RANDOM, 6, steps=40, seats=(seat,))
        for player, row in enumerate(rows):
            for state, played in enumerate(frequencies(found.only([player]))):
                assert np.isnan(played) or played == row[state]
    # TFT never earns more than its partner, and less by one temptation at most.
    gap = (found.rewards - found.partner_rewards)[0].sum(-1)
    assert np.all(gap <= 0) and np.all(gap >= -3)


def test_episodes_of_a_player_do_not_depend_on_who_else_plays(episodes):
    alone = representations.play_episodes(GAME, tables(ROWS[0]), RANDOM, 8, seed=3, steps=30)
    np.testing.assert_array_equal(alone.actions, episodes.actions[:1])


def test_embeddings_depend_neither_on_the_order_of_episodes_nor_on_steps_after_the_end(episodes, encoder):
    there = representations.encode(encoder, episodes)
    turned = representations.encode(encoder, episodes.only(episodes=slice(None, None, -1)))
    np.testing.assert_allclose(turned, there, atol=1e-4)
    longer = jax.tree.map(lambda x: np.concatenate([x, x], axis=2), episodes)
    cut = longer.replace(running=longer.running & (np.arange(60) < 30))
    np.testing.assert_allclose(representations.encode(encoder, cut), there, atol=1e-4)
    assert np.ptp(there, axis=0).max() > 0.5


def test_a_trained_encoder_names_who_played_new_episodes(episodes, encoder):
    new = representations.play_episodes(GAME, tables(*ROWS), RANDOM, 8, seed=4, steps=30)
    known, met = representations.encode(encoder, episodes), representations.encode(encoder, new)
    near = np.linalg.norm(met[:, None] - known, axis=-1).argmin(axis=1)
    # By chance one of twelve; 10 or more by chance has probability 1e-9.
    assert (near == np.arange(12)).sum() >= 10
    assert encoder.losses["identification"][-1] < encoder.losses["identification"][0]


def test_equal_steps_are_counted_and_a_window_sees_the_step_before(episodes):
    one, two = steps_of(episodes, 1), steps_of(episodes, 2)
    assert one.counted and one.contexts.shape == (10, 5) and two.contexts.shape[1] == 5 + 5 + 2
    np.testing.assert_array_equal(one.weights.sum(-1), 30)
    np.testing.assert_array_equal(two.weights.sum(-1), 30)
    # What is seen now begins with what was done before: both places agree wherever there was a step before.
    now, before = two.contexts[:, :5].argmax(1), two.contexts[:, 10:]
    later = before.any(1)
    assert later.sum() > 20
    np.testing.assert_array_equal((now[later] - 1) // 2, before[later].argmax(1))


def test_networks_and_recurrent_players_of_continuous_actions_have_embeddings():
    env = Cournot()
    game = PlayedGame(env, env.default_params, 0.9, 5, 5)
    policy = network(env.observation_space, env.action_space, recurrent="gru", units=4, hidden=())
    init = jax.jit(policy.init)
    thetas = [init(jax.random.key(k), np.float32(3)) for k in range(3)]
    players = [Seated((policy, policy), (theta, theta)) for theta in thetas]
    anyone = random_player(env.observation_space, env.action_space)
    found = representations.play_episodes(game, players, [Seated((anyone, anyone), ((), ()))], 4)
    made = representations.train(found, dimension=3, window=2, updates=2, widths=(8,), head=(), decoder=(8,))
    embeddings = representations.encode(made, found)
    assert embeddings.shape == (3, 3) and np.isfinite(embeddings).all() and np.ptp(embeddings, axis=0).max() > 0
    assert not steps_of(found, 1).counted and representations.encode_each(made, found).shape == (3, 4, 3)


def test_random_players_use_the_whole_box_evenly():
    space = Box((1,), 2.0, 6.0)
    policy = random_player(space, space)
    drawn = policy.apply((), np.zeros(1), ())[0].sample(seed=jax.random.key(0))
    assert drawn.shape == (1,)
    each = jax.vmap(lambda key: policy.apply((), np.zeros(1), ())[0].sample(seed=key))
    many = np.asarray(each(jax.random.split(jax.random.key(1), 4000)))
    share = np.histogram(many, 4, (2.0, 6.0))[0] / len(many)
    assert np.all(np.abs(share - 0.25) < 0.035)  # the density differs by a seventh, and four standard errors are 0.03


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"objective": "fame"}, "objective"),
        ({"contrast": "quadruplet"}, "contrast"),
        ({"dimension": 0}, "dimension"),
        ({"updates": 0}, "updates"),
        ({"batch": 1}, "batch"),
        ({"step_size": -1.0}, "step_size"),
    ],
)
def test_what_cannot_be_trained_is_refused(given, told, episodes):
    with pytest.raises(ValueError, match=f"^{told} is .*; allowed: "):
        representations.train(episodes, **given)


def test_episodes_of_another_game_are_refused(encoder, episodes):
    with pytest.raises(ValueError, match="allowed: those that the encoder was trained on"):
        representations.encode(encoder, episodes.replace(action_space=Box((1,))))


def test_play_that_cannot_be_is_refused():
    with pytest.raises(ValueError, match="players is"):
        representations.play_episodes(GAME, [], RANDOM, 2)
    with pytest.raises(ValueError, match="seats is"):
        representations.play_episodes(GAME, RANDOM, RANDOM, 2, seats=(2,))
