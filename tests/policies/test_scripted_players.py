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
from shaping.policies.one_of import one_of
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
    "fruit_market": ("TRADES", "SELF_SUFFICIENT"),
}


def played(env, policies, steps=None, batch=8):
    return played_by(env, [policies], steps, batch)[0]


def played_by(env, groups, steps=None, batch=8):
    """What several groups of players, a policy a seat each, get in an environment: one program plays them all."""
    steps = env.horizon if steps is None else steps
    seats = [tuple(dict.fromkeys(column)) for column in zip(*groups, strict=True)]
    policies = tuple(one_of(members) for members in seats)

    @quickly
    def play(chosen, key):
        thetas = tuple((number, ((),) * len(members)) for number, members in zip(chosen, seats, strict=True))
        return shaping.play(env, policies, thetas, key, steps, batch).pooled()

    numbers = [[members.index(policy) for policy, members in zip(group, seats, strict=True)] for group in groups]
    return [play(jnp.asarray(chosen, jnp.int32), jax.random.key(0)) for chosen in numbers]


def eaten(env, groups, steps, batch):
    """The rewards of all players together at every step, a mean over streams, of each group: [groups, steps]."""
    policies = tuple(one_of(column) for column in zip(*groups, strict=True))

    @quickly
    def play(number, key):
        thetas = ((number, ((),) * len(groups)),) * env.num_players
        return shaping.rollout(env, policies, thetas, key, steps, batch).rewards.sum(-1).mean(-1)

    found = [play(jnp.int32(number), jax.random.key(0)) for number in range(len(groups))]
    assert found[0].shape == (steps,)
    return np.stack(found)


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
    for name in ("ipd", "gift"):
        assert scripted_players(envs.make(name, messages=2)) == {}
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
        found = scripted_players(env)
        games = played_by(env, found.values())
        welfare = {name: game.discounted_returns.sum() for name, game in zip(found, games, strict=True)}
        assert all(welfare["COOPERATIVE"] > welfare[name] for name in welfare if name != "COOPERATIVE")
    for settings in ({}, {"contributions": "discrete", "levels": 3, "punishment": True}):
        env = envs.make("public_goods", horizon=4, **settings)
        found = scripted_players(env)
        welfare = dict(zip(found, [game.returns for game in played_by(env, found.values())], strict=True))
        rounds = 2 if env.punishment else 4
        np.testing.assert_allclose(welfare["ALL"], rounds * env.endowment * env.factor, rtol=1e-5)
        np.testing.assert_allclose(welfare["NONE"], rounds * env.endowment, rtol=1e-5)


@pytest.mark.parametrize("view", ["private", pytest.param("public", marks=pytest.mark.slow)])
def test_negotiators_get_the_shares_their_proposals_are_known_for(view):
    """Two cooperators expect 1/2 each a round, two that ask for all 0.3 each."""
    env = envs.make("negotiation", view=view)
    found = scripted_players(env)
    found = dict(zip(found, played_by(env, found.values(), batch=64), strict=True))
    np.testing.assert_allclose(found["GREEDY"].rewards_per_step, 0.3, atol=0.02)
    np.testing.assert_allclose(found["COOPERATIVE"].rewards_per_step, 0.5, atol=0.02)


@pytest.mark.parametrize("observation", ["vector", pytest.param("planes", marks=pytest.mark.slow)])
def test_nobody_eats_where_nobody_cleans_and_cleaners_feed_others(observation):
    env = envs.make("clean_up", observation=observation)
    cleans, eats, both = (scripted_players(env)[name] for name in ("CLEANS", "EATS", "BOTH"))
    greedy, mixed, shared = played_by(env, [eats, (cleans[0], eats[1]), both], batch=16)
    assert np.all(greedy.returns == 0)
    cleaner, eater = mixed.returns
    assert eater > 5 and cleaner < eater / 5
    assert (shared.returns > 5).all()


@pytest.mark.parametrize(
    "settings",
    [{"movement": "compass", "view": "full"}]
    + [pytest.param(one, marks=pytest.mark.slow) for one in ({}, {"view": "full"}, {"movement": "compass"})],
)
def test_greedy_harvesters_eat_early_and_sustainable_ones_eat_more_in_the_end(settings):
    env = envs.make("commons_harvest", **settings)
    greedy, sustainable = (scripted_players(env)[name] for name in ("GREEDY", "SUSTAINABLE"))
    along = eaten(env, (greedy, sustainable), 1000, 8)
    early, late = along[:, :20].sum(1), along.sum(1)
    assert early[0] > early[1] > 0 and late[1] > 1.5 * late[0]


def test_farmers_who_trade_earn_more_than_those_who_eat_what_they_grow():
    """Half of what traders harvest is worth 8 instead of 1 once it has changed hands. One trader gains nothing."""
    env = envs.make("fruit_market")
    trades, alone = (scripted_players(env)[name] for name in ("TRADES", "SELF_SUFFICIENT"))
    market, farms, mixed = played_by(env, [trades, alone, (trades[0], *alone[1:])], steps=200, batch=16)
    found = env.metrics(farms.counts)
    assert np.all(found["trades"] == 0)
    np.testing.assert_allclose(
        farms.rewards_per_step, env.own_fruit_reward * found["consumption"] / 16 / 200, rtol=1e-5
    )
    assert np.all(env.metrics(market.counts)["price"] == 1)
    assert market.rewards_per_step.mean() > 3 * farms.rewards_per_step.mean()
    assert not np.any(env.metrics(mixed.counts)["trades"])


@pytest.mark.parametrize("observation", ["flat", pytest.param("planes", marks=pytest.mark.slow)])
def test_gatherers_play_the_strategy_of_their_coins(observation):
    """Prisoner's dilemma payoffs 3, 0, 5, 1: nearly all of a meeting's rewards are the pure strategies'."""
    env = envs.make("in_the_matrix", observation=observation)
    both, neither = (scripted_players(env)[name] for name in ("ALLC", "ALLD"))
    groups = (both, (both[0], neither[1]), neither)
    welfare = [found.returns for found in played_by(env, groups, batch=16)]
    assert welfare[0].sum() > 1.5 * welfare[2].sum() > 0
    assert welfare[1][1] > 3 * welfare[1][0]
