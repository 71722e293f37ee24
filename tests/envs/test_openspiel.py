"""OpenSpiel's games as ours, ours as OpenSpiel's, and the same exploitability by both."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from shaping import envs
from shaping.envs import adapters
from shaping.objectives.information_sets import InformationSets

pyspiel = pytest.importorskip("pyspiel", reason="needs OpenSpiel: pip install 'shaping[peers]'")


def both_nash_convs(env, game=None, seed=0):
    from open_spiel.python.algorithms import exploitability

    draw = np.random.default_rng(seed)
    policies = [draw.dirichlet(np.ones(env.num_actions), env.num_information_sets) for _ in range(env.num_players)]
    theirs = adapters.to_openspiel_policy(env, policies, game)
    with jax.enable_x64(True):
        sets = InformationSets(env.tree, jnp.asarray(env.tree.rewards[env.tree.leaves]))
        ours = float(sets.gains([jnp.asarray(own) for own in policies]).sum())
    return ours, exploitability.nash_conv(theirs.game, theirs)


def test_openspiels_kuhn_poker_is_as_exploitable_by_both():
    env = adapters.from_openspiel("kuhn_poker")
    ours, theirs = both_nash_convs(env, pyspiel.load_game("kuhn_poker"))
    np.testing.assert_allclose(ours, theirs, atol=1e-9)


@pytest.mark.parametrize("name", ["kuhn_poker", "biased_rock_paper_scissors"])
def test_our_games_in_turns_are_as_exploitable_by_both(name):
    ours, theirs = both_nash_convs(envs.make(name))
    np.testing.assert_allclose(ours, theirs, atol=1e-9)


def test_matrix_games_go_there_and_back_with_their_payoffs():
    ours = adapters.from_openspiel("matrix_pd")
    assert ours.horizon == 1
    np.testing.assert_array_equal(ours.payoffs, [[[5, 0], [10, 1]], [[5, 10], [0, 1]]])
    back = adapters.to_openspiel(ours)
    np.testing.assert_array_equal(back.row_utilities(), ours.payoffs[0])
    np.testing.assert_array_equal(back.col_utilities(), ours.payoffs[1])


def test_biased_rock_paper_scissors_has_a_hundredth_of_openspiels_payoffs():
    theirs = pyspiel.load_matrix_game("matrix_brps")
    ours = envs.make("biased_rock_paper_scissors").tree
    np.testing.assert_allclose(100 * ours.rewards[ours.leaves][:, 0].reshape(3, 3), theirs.row_utilities())


def test_games_that_cannot_be_ours_are_refused_in_one_line():
    with pytest.raises(ValueError, match="OpenSpiel has no game 'nope'"):
        adapters.from_openspiel("nope")
    with pytest.raises(ValueError, match="actions; allowed: 3, as at the game's other decisions"):
        adapters.from_openspiel("leduc_poker")
    with pytest.raises(ValueError, match="env is no one-shot matrix game of two players, nor a game in turns"):
        adapters.to_openspiel(envs.make("ipd"))
