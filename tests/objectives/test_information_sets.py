"""Exact returns, counterfactual values and best responses of games in turns, against enumeration."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from shaping import envs
from shaping.objectives.exact_sequential import sequential_game
from shaping.objectives.information_sets import InformationSets
from shaping.policies.tabular import tabular
from tests.compiling import quickly

KUHN = envs.make("kuhn_poker")


def random_policies(env, seed=0):
    draw = np.random.default_rng(seed)
    return [draw.dirichlet(np.ones(env.num_actions), env.num_information_sets) for _ in range(env.num_players)]


def sets_of(env):
    return InformationSets(env.tree, jnp.asarray(env.tree.rewards[env.tree.leaves]))


def enumerated(env, policies):
    """Returns [players], by walking the tree."""
    tree = env.tree

    def walk(node):
        mover = tree.mover[node]
        if mover < 0:
            return tree.rewards[node]
        odds = tree.probabilities[node] if mover == env.num_players else policies[mover][tree.information[node]]
        return sum(odd * walk(tree.children[node, branch]) for branch, odd in enumerate(odds) if odd)

    return walk(0)


def test_returns_are_those_of_a_walk_through_the_tree(x64):
    policies = random_policies(KUHN)
    found = sets_of(KUHN).returns([jnp.asarray(own) for own in policies])
    np.testing.assert_allclose(found, enumerated(KUHN, policies), rtol=1e-13)


def test_a_best_response_earns_what_the_best_of_all_pure_policies_earns(x64):
    policies = random_policies(KUHN, 1)
    sets, given = sets_of(KUHN), [jnp.asarray(own) for own in policies]
    for player in (0, 1):
        best = -np.inf
        for moves in itertools.product((0, 1), repeat=KUHN.num_information_sets):
            trial = list(policies)
            trial[player] = np.eye(2)[list(moves)]
            best = max(best, enumerated(KUHN, trial)[player])
        played = list(given)
        played[player] = sets.best_response(player, given)
        np.testing.assert_allclose(sets.returns(played)[player], best, rtol=1e-13)
        np.testing.assert_allclose(
            sets.gains(given)[player], best - enumerated(KUHN, policies)[player], rtol=1e-12, atol=1e-15
        )


def test_counterfactual_values_are_what_an_action_earns_once_a_player_plays_to_reach_it(x64):
    policies = random_policies(KUHN, 2)
    sets = sets_of(KUHN)
    found = sets.counterfactual_values(0, [jnp.asarray(own) for own in policies])
    names = KUHN.tree.names[0]
    for row, name in enumerate(names):
        for action in (0, 1):
            trial = [own.copy() for own in policies]
            # Plays to reach the information set, then the action; what is earned with other cards does not count.
            if name.endswith("pb"):
                trial[0][names.index(name[0])] = [1, 0]
            trial[0][row] = np.eye(2)[action]
            other = [own.copy() for own in trial]
            other[0][row] = np.eye(2)[1 - action]
            difference = enumerated(KUHN, trial)[0] - enumerated(KUHN, other)[0]
            np.testing.assert_allclose(found[row, action] - found[row, 1 - action], difference, atol=1e-14)


def test_the_gradient_of_the_return_is_the_counterfactual_values_times_the_own_reach(x64):
    game = sequential_game(KUHN, [tabular(KUHN.num_information_sets + 1)] * 2)
    thetas = list(np.random.default_rng(0).normal(size=(2, 7)))
    objective = game.objective(KUHN.default_params)

    @quickly
    def run(thetas):
        played = game.probabilities(thetas)
        values = objective.information_sets.counterfactual_values(0, played)
        return jax.grad(lambda theta: objective.of(0, [theta, thetas[1]]))(thetas[0]), played, values

    gradient, played, values = jax.tree.map(np.asarray, run(thetas))
    for row, (earlier, action) in enumerate(KUHN.tree.before[0]):
        reach = 1.0 if earlier < 0 else played[0][earlier, action]
        slope = played[0][row, 0] * played[0][row, 1] * (values[row, 0] - values[row, 1])
        np.testing.assert_allclose(gradient[row], reach * slope, rtol=1e-10)


def test_best_responses_of_the_equilibrium_of_kuhn_poker_gain_nothing(x64):
    # Kuhn (1950), with player 0's free number alpha = 0.2: it bets J with alpha, K with 3 alpha, never Q, and calls
    # with Q with alpha + 1/3.
    alpha = 0.2
    bets = {"J": alpha, "Jpb": 0, "Q": 0, "Qpb": alpha + 1 / 3, "K": 3 * alpha, "Kpb": 1}
    replies = {"Jp": 1 / 3, "Jb": 0, "Qp": 0, "Qb": 1 / 3, "Kp": 1, "Kb": 1}
    rows = [
        jnp.asarray([[1 - own[name], own[name]] for name in names])
        for own, names in zip((bets, replies), KUHN.tree.names, strict=True)
    ]
    np.testing.assert_allclose(sets_of(KUHN).gains(rows), 0, atol=1e-15)
    np.testing.assert_allclose(sets_of(KUHN).returns(rows), [-1 / 18, 1 / 18], rtol=1e-13)


def test_a_game_in_turns_without_knowledge_is_the_matrix_game(x64):
    payoffs = np.random.default_rng(0).normal(size=(2, 3, 3))
    env = envs.make("one_shot_game", payoffs=payoffs.tolist())
    first, second = np.random.default_rng(1).dirichlet(np.ones(3), 2)
    found = sets_of(env).returns([jnp.asarray([first]), jnp.asarray([second])])
    np.testing.assert_allclose(found, [first @ own @ second for own in payoffs], rtol=1e-12)


def test_policies_that_do_not_fit_are_refused_in_one_line():
    with pytest.raises(ValueError, match=r"a policy has logits of shape \[5\]; allowed: \[7, 2\]"):
        sequential_game(KUHN, [tabular(5)] * 2)
    with pytest.raises(ValueError, match="1 policies given; the game has 2 seats"):
        sequential_game(KUHN, [tabular(7)])
