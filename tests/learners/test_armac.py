"""ARMAC: what it averages, its critics and its epochs, and where its average policy goes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from shaping import envs
from shaping.learners.armac import _mean, _place, advantages, armac, backed_up, matched, play
from shaping.objectives import exact_matrix
from shaping.objectives.exact_sequential import sequential_game
from shaping.policies.mlp import mlp
from shaping.policies.tabular import tabular
from tests.compiling import quickly

KUHN = envs.make("kuhn_poker")
POKER = sequential_game(KUHN, [tabular(7)] * 2)
SETS = POKER.information_sets(KUHN.default_params)
TREE = SETS.tree
UNIFORM = jnp.full((7, 2), 0.5)


def random_policies():
    return [jax.nn.softmax(jax.random.normal(jax.random.key(seat), (7, 2))) for seat in (0, 1)]


def values_of_histories(player, policies):
    """q(h, a) of a player at every decision, and v(h), by recursion over the tree."""
    values, actions = np.zeros(len(TREE.mover)), np.zeros((len(TREE.mover), 2))
    for node in reversed(range(len(TREE.mover))):
        mover = TREE.mover[node]
        if mover < 0:
            values[node] = np.asarray(SETS.rewards)[list(TREE.leaves).index(node), player]
        elif mover == 2:
            values[node] = TREE.probabilities[node] @ values[TREE.children[node]]
        else:
            actions[node] = values[TREE.children[node][:2]]
            values[node] = np.asarray(policies[mover])[TREE.information[node]] @ actions[node]
    return values, actions


def repeated(policies, games):
    return [jnp.broadcast_to(policy, (games, *policy.shape)) for policy in policies]


def test_games_end_at_leaves_as_often_as_chance_and_policies_say():
    games, policies = 20000, random_policies()
    played = quickly(lambda policies, key: play(TREE, repeated(policies, games), key))(policies, jax.random.key(0))
    ends = np.asarray(played.nodes[:, -1])
    found = np.array([np.mean(ends == leaf) for leaf in TREE.leaves])
    reach = TREE.chance.copy()
    for seat, policy in enumerate(np.asarray(policies)):
        for k in range(TREE.paths[seat].shape[1]):
            row, action = TREE.paths[seat][:, k].T
            reach *= np.where(row < 0, 1, policy[row, action])
    assert abs(found.sum() - 1) < 1e-9
    assert np.all(abs(found - reach) <= 4 * np.sqrt(reach * (1 - reach) / games))


def test_what_it_averages_are_counterfactual_regrets_times_a_number_for_each_information_set():
    """With the values of histories for a critic, the mean over games in which the player acts at random is its own
    reach, 1/2 for each of its moves so far, times its counterfactual regrets."""
    player, games, policies = 1, 40000, random_policies()
    critics = jnp.asarray(values_of_histories(player, policies)[1], jnp.float32)

    def found(policies, critics, key):
        played = play(TREE, repeated([policies[0], UNIFORM], games), key)
        amounts = advantages(
            TREE, repeated(policies, games)[player], jnp.broadcast_to(critics, (games, *critics.shape)), played
        )
        return _mean(TREE, player, played, amounts), _mean(TREE, player, played, amounts**2)

    mean, square = quickly(found)(policies, critics, jax.random.key(1))
    values = SETS.counterfactual_values(player, policies)
    regrets = values - jnp.sum(policies[player] * values, axis=1, keepdims=True)
    # In Kuhn poker player 1 moves once.
    error = np.sqrt(np.asarray(square - mean**2) / games)
    assert np.all(abs(np.asarray(mean - regrets))[:6] <= 4 * error[:6] + 1e-6)
    assert abs(regrets[:6]).max() > 10 * error[:6].max(), "the test can tell them from zero"


def test_critics_approach_the_values_of_histories_whoever_plays():
    player, policies = 0, random_policies()
    values = values_of_histories(player, policies)[1]
    decisions = (TREE.mover >= 0) & (TREE.mover < 2)

    def learn(critic, number):
        played = play(TREE, repeated([UNIFORM, UNIFORM], 256), jax.random.fold_in(jax.random.key(2), number))
        return backed_up(SETS, player, critic, policies, played, 0.5), None

    critic = quickly(lambda: jax.lax.scan(learn, jnp.zeros((len(TREE.mover), 2)), jnp.arange(60))[0])()
    # Nothing is drawn between a history and the leaves: the backups themselves have no noise.
    np.testing.assert_allclose(np.asarray(critic)[decisions], values[decisions], atol=1e-5)


def test_regret_matching_plays_in_proportion_to_positive_regrets():
    found = matched(jnp.array([[1.0, 3.0, -2.0], [-1.0, -1.0, -1.0]]))
    np.testing.assert_allclose(found, [[0.25, 0.75, 0], [1 / 3] * 3], rtol=1e-6)


def test_every_epoch_has_the_same_chance_to_be_kept():
    learner, trials, updates = armac(epochs=4), 3000, 10

    def kept(key):
        def add(held, number):
            place = _place(learner.settings, number, jax.random.fold_in(key, number))
            return held.at[place].set(number, mode="drop"), None

        return jax.lax.scan(add, jnp.full(4, -1), jnp.arange(updates))[0]

    held = np.asarray(quickly(jax.vmap(kept))(jax.random.split(jax.random.key(3), trials)))
    share = np.array([np.mean(np.any(held == number, axis=1)) for number in range(updates)])
    np.testing.assert_allclose(share, 4 / updates, atol=4 * np.sqrt(0.24 / trials))


def trained(game, learner, updates, seeds=4):
    """NashConv of the average policies before and after some updates, [seeds] each."""
    params = game.env.default_params
    objective = game.objective(params)

    def gain(states):
        return game.evaluate(params, [state.theta for state in states])["gain_from_best_response"].sum()

    def run(key):
        keys = [jax.random.fold_in(key, seat) for seat in (0, 1)]
        start = tuple(learner.init(keys[seat], key, game.policies, seat, objective, jnp.float32) for seat in (0, 1))

        def update(states, number):
            steps = [learner.step(jax.random.fold_in(keys[seat], number), states, seat, objective) for seat in (0, 1)]
            return tuple(state for state, _ in steps), None

        return gain(start), gain(jax.lax.scan(update, start, jnp.arange(updates))[0])

    return [np.asarray(x) for x in quickly(jax.vmap(run))(jax.random.split(jax.random.key(4), seeds))]


@pytest.mark.slow
def test_the_average_policy_approaches_an_equilibrium_of_kuhn_poker():
    before, after = trained(POKER, armac(games=256, epochs=300), 300)
    assert np.all(before > 0.4) and np.all(after < 0.15)


def test_the_average_policy_approaches_an_equilibrium_of_biased_rock_paper_scissors():
    env = envs.make("biased_rock_paper_scissors")
    game = sequential_game(env, [tabular(2, num_actions=3)] * 2)
    before, after = trained(game, armac(games=64, epochs=200), 200)
    assert np.all(after < before / 4)


def test_armac_refuses_other_games_and_policies_in_one_line():
    ipd = envs.make("ipd")
    game = exact_matrix.exact_matrix_game(ipd, (tabular(5),) * 2)
    given = jax.random.key(0), jax.random.key(1), game.policies, 0
    with pytest.raises(ValueError, match="^rule is armac; allowed: in a game in turns, as kuhn_poker$"):
        armac().init(*given, game.objective(ipd.default_params), jnp.float32)
    objective = POKER.objective(KUHN.default_params)
    with pytest.raises(ValueError, match="^policy is a mlp; allowed: tabular, as armac averages probabilities$"):
        armac().init(*given[:2], [mlp(2)] * 2, 0, objective, jnp.float32)
