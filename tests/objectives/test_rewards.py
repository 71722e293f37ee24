"""What players climb in place of their rewards: by hand, in closed form, and as it is estimated from play."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import shaping
from shaping import envs
from shaping.objectives.exact_matrix import exact, exact_matrix_game
from shaping.objectives.rewards import maximised
from shaping.policies import tabular
from shaping.rules import gradients
from tests.compiling import quickly
from tests.objectives.enumeration import PROBE

IPD = np.array([[[-1.0, -3.0], [0.0, -2.0]], [[-1.0, 0.0], [-3.0, -2.0]]])
# What player 0 and player 1 climb in CC, CD, DC, DD, worked out by hand.
BY_HAND = {
    "weights": (shaping.weights(2.0, 0.5), [-2.5, -6.0, -1.5, -5.0], [-2.5, -1.5, -6.0, -5.0]),
    # The worse off by 3 loses 5 x 3, the better off .1 x 3.
    "inequity_aversion": (shaping.inequity_aversion(5.0, 0.1), [-1, -18, -0.3, -2], [-1, -0.3, -18, -2]),
    # (-3, 0) is 0 degrees from the axis, (0, -3) is -90: misses of 45 and 135.
    "svo": (shaping.svo(45.0, 0.1), [-1, -7.5, -13.5, -2], [-1, -13.5, -7.5, -2]),
}


@pytest.fixture(autouse=True)
def _x64(x64):
    pass


def ipd_form(horizon=None):
    return exact_matrix_game(envs.make("ipd", horizon=horizon), (tabular(5),) * 2)


def probe():
    return [jnp.asarray(theta) for theta in PROBE]


def payoffs_of(reward):
    return np.array([BY_HAND[reward][1], BY_HAND[reward][2]]).reshape(2, 2, 2)


@pytest.mark.parametrize("kind", BY_HAND)
def test_payoffs_of_the_prisoners_dilemma_are_those_worked_out_by_hand(kind):
    found = maximised([BY_HAND[kind][0]] * 2, [jnp.asarray(own) for own in IPD])
    np.testing.assert_allclose(found, payoffs_of(kind), rtol=0, atol=1e-12)


def test_three_players_are_compared_with_every_other_and_weighed_by_ascending_seat():
    given = [jnp.asarray(x) for x in (1.0, 4.0, -2.0)]
    found = maximised(
        [shaping.inequity_aversion(2.0, 0.5), shaping.weights(1.0, 10.0, 100.0), shaping.svo(0.0, 1.0)], given
    )
    assert float(found[0]) == 1 - 2 / 2 * 3 - 0.5 / 2 * 3
    assert float(found[1]) == 4 + 10 * 1 + 100 * -2
    np.testing.assert_allclose(found[2], -2 - np.degrees(np.arctan(2.5 / 2)), rtol=1e-12)


def test_a_step_that_pays_nobody_costs_no_social_value():
    assert float(maximised([shaping.svo(45.0, 1.0), None], [jnp.zeros(()), jnp.zeros(())])[0]) == 0


@pytest.mark.parametrize("kind", BY_HAND)
def test_what_everybody_climbs_is_the_return_of_the_game_with_these_payoffs(kind):
    other = exact(envs.MatrixGame(payoffs_of(kind).tolist(), discount=0.96, name="other"), (tabular(5),) * 2)
    ours = ipd_form().objective(envs.make("ipd").default_params, (BY_HAND[kind][0],) * 2)
    found, expected = quickly(lambda: [at(probe())[0] for at in (ours, other)])()
    np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_an_opponent_that_climbs_its_own_reward_is_imagined_to_do_so():
    """Player 0 shapes player 1, who cares for player 0 alone: the direction is that of the game that pays it so."""
    params, thetas = envs.make("ipd").default_params, probe()
    altruist = exact(envs.MatrixGame([IPD[0].tolist(), IPD[0].tolist()], discount=0.96, name="b"), (tabular(5),) * 2)
    ours = ipd_form().objective(params, (None, shaping.weights(0.0, 1.0)))
    rule, plain = shaping.lola("exact", 1.0), ipd_form().objective(params)
    wanted, found, selfish = quickly(lambda: [rule.direction(at, thetas, 0) for at in (altruist, ours, plain)])()
    np.testing.assert_allclose(found, wanted, rtol=1e-9, atol=1e-9)
    assert not np.allclose(wanted, selfish, rtol=0.01)


def test_naive_learners_that_care_for_each_other_cooperate_and_values_stay_the_games():
    plain, selfish, caring = (
        shaping.train(
            envs.make("ipd", horizon=1), shaping.naive(), matches=20, updates=200, record_every=200, rewards=reward
        )
        for reward in (None, shaping.weights(1.0, 0.0), shaping.weights(1.0, 1.0))
    )
    assert selfish.value.isel(update=-1).max() < -1.9  # -2 is defection by all
    assert caring.value.isel(update=-1).min() > -1.1  # -1 is cooperation by all, and -2 the sum that is maximised
    np.testing.assert_array_equal(caring.value.isel(update=0), plain.value.isel(update=0))
    for name in ("value", "theta_final"):
        np.testing.assert_array_equal(plain[name], selfish[name])


@pytest.mark.parametrize(
    "nothing", [shaping.weights(1.0, 0.0), shaping.inequity_aversion(0.0, 0.0), shaping.svo(30.0, 0.0)]
)
def test_a_transform_of_nothing_changes_no_bit(nothing):
    found = maximised([nothing] * 2, [jnp.asarray(own, jnp.float32) for own in np.pi * IPD])
    np.testing.assert_array_equal(found, (np.pi * IPD).astype(np.float32))
    assert found[0].dtype == jnp.float32


def test_gradients_estimated_from_play_are_those_of_the_closed_form():
    horizon, reward = 4, shaping.inequity_aversion(1.0, 0.5)
    env = envs.make("ipd", horizon=horizon)
    form = ipd_form(horizon)
    game, numbers = shaping.sampled(env, (tabular(5),) * 2, batch=512)
    thetas, both = probe(), (reward, None)

    def gradient(objective, key=None):
        return jnp.stack([gradients.gradient(objective, thetas, player, player, key) for player in (0, 1)])

    exactly = quickly(lambda: gradient(form.objective(env.default_params, both)))()
    keys = jax.random.split(jax.random.key(1), 40)
    each = jax.jit(jax.vmap(lambda key: gradient(game.objective(numbers, both), key)))(keys)
    error = each.std(0, ddof=1) / np.sqrt(len(keys))
    assert np.all(np.abs(each.mean(0) - exactly) < 4.5 * error)
    selfish = quickly(lambda: gradient(form.objective(env.default_params)))()
    assert np.any(np.abs(each.mean(0) - selfish)[0] > 20 * error[0])  # sharp enough to tell


def test_the_exact_coin_game_pays_for_every_move_what_is_climbed():
    env = envs.make("coin_game", grid=(1, 3), dialect="pola", horizon=None)
    game, numbers = shaping.exact_coin_game(env, [shaping.coin_table(env, seat) for seat in (0, 1)], infinite=True)
    thetas = [jax.random.normal(jax.random.key(seat), policy.shapes.shape) for seat, policy in enumerate(game.policies)]
    rewards = (None, (shaping.weights(0.0, 1.0),) * 2, (shaping.inequity_aversion(1.0, 1.0),) * 2)
    own, swapped, averse = (
        np.stack(each) for each in quickly(lambda: [game.objective(numbers, given)(thetas)[0] for given in rewards])()
    )
    np.testing.assert_allclose(swapped, own[::-1], rtol=1e-10)
    # Both lose by the same distance of their rewards.
    np.testing.assert_allclose(averse[0] - averse[1], own[0] - own[1], rtol=1e-9)
    assert averse[0] < own[0] - 0.1


def test_returns_of_an_analytic_game_take_the_place_of_rewards():
    game = shaping.analytic_game("tandem")
    thetas = [jnp.asarray([0.3]), jnp.asarray([-1.0])]
    own = game.objective({})(thetas)[0]
    both = game.objective({}, (shaping.weights(1.0, 1.0), None))(thetas)[0]
    np.testing.assert_allclose(both, [own[0] + own[1], own[1]])


def test_what_does_not_fit_the_game_is_told_in_one_line():
    game = envs.make("ipd")
    with pytest.raises(ValueError, match=r"3 weights given; allowed: 2"):
        shaping.train(game, shaping.naive(), rewards=shaping.weights(1.0, 1.0, 1.0))
    with pytest.raises(ValueError, match="rewards: 3 given; the game has 2 seats"):
        shaping.train(game, shaping.naive(), rewards=[None] * 3)
    with pytest.raises(ValueError, match=r"rewards\.0: 'svo' is not allowed"):
        shaping.train(game, shaping.naive(), rewards="svo")  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match="alpha is -1"):
        shaping.inequity_aversion(-1.0)
