"""Scripted extremes: every environment has those that make sense there, and they have the expected effect."""

import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import shaping
from shaping import envs
from shaping.envs.cournot import collusive_outcome, nash_equilibrium, profits
from shaping.policies import scripted_players
from shaping.policies.scripted import scripted
from tests.compiling import quickly

NAMES = {
    "ipd": ("ALLC", "ALLD", "TFT"),
    "contribution": ("ALLC", "ALLD"),
    "coin_game": ("ALLC", "ALLD", "TFT"),
    "cournot": ("NASH", "COLLUSIVE"),
    "fishery": ("NASH", "COOPERATIVE", "GREEDY"),
    "public_goods": ("ALL", "NONE"),
    "negotiation": ("GREEDY", "COOPERATIVE"),
    "clean_up": ("CLEANS", "EATS", "BOTH"),
    "commons_harvest": ("GREEDY", "SUSTAINABLE"),
    "in_the_matrix": ("ALLC", "ALLD"),
}


def played(env, policies, steps=None, batch=8):
    thetas = ((),) * env.num_players
    steps = env.horizon if steps is None else steps
    return quickly(lambda key: shaping.play(env, policies, thetas, key, steps, batch).pooled())(jax.random.key(0))


@pytest.mark.parametrize("name", NAMES)
def test_every_environment_has_its_scripted_players_on_every_seat(name):
    env = envs.make(name, num_players=3) if name == "contribution" else envs.make(name)
    found = scripted_players(env)
    assert tuple(found) == NAMES[name]
    assert scripted_players(envs.AutoReset(env)) == found if name not in ("ipd", "contribution") else True
    for players in found.values():
        assert len(players) == env.num_players
        for policy in players:
            assert jax.tree.leaves(policy.init(jax.random.key(0), jnp.float32(1))) == []
            assert pickle.loads(pickle.dumps(policy)) == policy


def test_an_environment_nobody_knows_has_no_scripted_players():
    assert scripted_players(envs.make("ipd", messages=2)) == {}
    with pytest.raises(ValueError, match="strategy is 'ALLC'; allowed: NASH, COLLUSIVE in cournot"):
        scripted(envs.make("cournot"), "ALLC", 0)


def test_cournot_players_earn_what_theory_says_for_any_numbers():
    env = envs.make("cournot", num_players=3, horizon=2)
    other = env.default_params.replace(intercept=jnp.float32(20.0))
    for name, closed_form in (("NASH", nash_equilibrium), ("COLLUSIVE", collusive_outcome)):
        players = scripted_players(env)[name]
        np.testing.assert_allclose(
            played(env, players).rewards_per_step,
            profits(closed_form(env.default_params), env.default_params),
            rtol=1e-5,
        )
        thetas = [policy.for_params(other) for policy in players]
        np.testing.assert_allclose(thetas, closed_form(other), rtol=1e-6)
        assert [policy.for_params(other) for policy in scripted_players(envs.make("ipd"))["ALLC"]] == [(), ()]


def test_extremes_of_shared_stocks_and_goods_stand_in_the_order_of_their_names():
    for settings in ({"model": "great_fish_war"}, {"model": "gordon_schaefer", "horizon": 200}):
        env = envs.make("fishery", **settings)
        welfare = {
            name: played(env, players).discounted_returns.sum() for name, players in scripted_players(env).items()
        }
        assert all(welfare["COOPERATIVE"] > welfare[name] for name in welfare if name != "COOPERATIVE")
    for settings in ({}, {"punishment": True}, {"contributions": "discrete", "levels": 3, "punishment": True}):
        env = envs.make("public_goods", horizon=4, **settings)
        welfare = {name: played(env, players).returns for name, players in scripted_players(env).items()}
        rounds = 2 if env.punishment else 4
        np.testing.assert_allclose(welfare["ALL"], rounds * env.endowment * env.factor, rtol=1e-5)
        np.testing.assert_allclose(welfare["NONE"], rounds * env.endowment, rtol=1e-5)


@pytest.mark.parametrize("view", ["public", "private"])
def test_negotiators_get_the_shares_their_proposals_are_known_for(view):
    """Two cooperators expect 1/2 each a round, two that ask for all 0.3 each."""
    env = envs.make("negotiation", view=view)
    found = {name: played(env, players, batch=64) for name, players in scripted_players(env).items()}
    np.testing.assert_allclose(found["GREEDY"].rewards_per_step, 0.3, atol=0.02)
    np.testing.assert_allclose(found["COOPERATIVE"].rewards_per_step, 0.5, atol=0.02)


@pytest.mark.parametrize("observation", ["planes", "vector"])
def test_nobody_eats_where_nobody_cleans_and_cleaners_feed_others(observation):
    env = envs.make("clean_up", observation=observation)
    cleans, eats, both = (scripted_players(env)[name] for name in ("CLEANS", "EATS", "BOTH"))
    assert np.all(played(env, eats).returns == 0)
    cleaner, eater = played(env, (cleans[0], eats[1]), batch=16).returns
    assert eater > 5 and cleaner < eater / 5
    assert (played(env, both, batch=16).returns > 5).all()


@pytest.mark.parametrize(
    "settings", [{}, {"view": "full"}, {"movement": "compass"}, {"movement": "compass", "view": "full"}]
)
def test_greedy_harvesters_eat_early_and_sustainable_ones_eat_more_in_the_end(settings):
    env = envs.make("commons_harvest", **settings)
    greedy, sustainable = (scripted_players(env)[name] for name in ("GREEDY", "SUSTAINABLE"))
    early = [played(env, players, 20, 16).returns.sum() for players in (greedy, sustainable)]
    late = [played(env, players, 1000, 4).returns.sum() for players in (greedy, sustainable)]
    assert early[0] > early[1] > 0 and late[1] > 1.5 * late[0]


@pytest.mark.parametrize("observation", ["planes", "flat"])
def test_gatherers_play_the_strategy_of_their_coins(observation):
    """Prisoner's dilemma payoffs 3, 0, 5, 1: nearly all of a meeting's rewards are the pure strategies'."""
    env = envs.make("in_the_matrix", observation=observation)
    both, neither = (scripted_players(env)[name] for name in ("ALLC", "ALLD"))
    welfare = [played(env, players, batch=16).returns for players in (both, (both[0], neither[1]), neither)]
    assert welfare[0].sum() > 1.5 * welfare[2].sum() > 0
    assert welfare[1][1] > 3 * welfare[1][0]
