"""Cournot's oligopoly: closed forms against numerical optimisers, the environment against the rules."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize, minimize_scalar

from shaping import envs
from shaping.envs.cournot import (
    best_responses,
    collusive_outcome,
    consumer_surplus,
    critical_discounts,
    nash_equilibrium,
    price,
    profits,
)
from tests.compiling import quickly

MARKETS = {
    "equal": (10.0, 1.0, [1.0, 1.0]),
    "unequal": (10.0, 0.5, [1.0, 2.5, 2.0]),
    "one_stays_out": (10.0, 2.0, [1.0, 5.4, 9.0, 2.0]),
    "all_stay_out": (3.0, 1.0, [4.0, 5.0]),
}


def market(intercept, slope, costs):
    return envs.CournotParams(
        jnp.asarray(intercept, dtype=float),
        jnp.asarray(slope, dtype=float),
        jnp.asarray(costs, dtype=float),
        jnp.int32(16),
    )


def profit(own, others, cost, intercept, slope):
    """One firm's profit, from the rules."""
    return (intercept - slope * (own + others) - cost) * own


@pytest.mark.parametrize("numbers", MARKETS.values(), ids=MARKETS)
def test_no_firm_gains_by_leaving_the_equilibrium_alone(numbers, x64):
    intercept, slope, costs = numbers
    equilibrium = np.asarray(nash_equilibrium(market(*numbers)))
    assert np.all(equilibrium >= 0)
    for firm, cost in enumerate(costs):
        others = equilibrium.sum() - equilibrium[firm]
        earned = profit(equilibrium[firm], others, cost, intercept, slope)
        anything_else = profit(np.linspace(0, intercept / slope, 2001), others, cost, intercept, slope)
        assert np.all(anything_else <= earned + 1e-12)


@pytest.mark.parametrize("numbers", MARKETS.values(), ids=MARKETS)
def test_the_equilibrium_is_where_nobody_s_profit_has_a_slope_inwards(numbers, x64):
    params = market(*numbers)
    equilibrium = nash_equilibrium(params)
    slopes = np.diagonal(quickly(jax.jacobian(profits))(equilibrium, params))
    sells = np.asarray(equilibrium) > 0
    np.testing.assert_allclose(np.asarray(slopes)[sells], 0, atol=1e-12)
    assert np.all(np.asarray(slopes)[~sells] <= 0)


def test_the_equilibrium_of_equal_firms_is_the_textbook_s(x64):
    for n in (2, 3, 5):
        found = nash_equilibrium(market(10.0, 2.0, [1.0] * n))
        np.testing.assert_allclose(found, 9 / (2 * (n + 1)), rtol=1e-14)
    # Two firms with costs 1 and 2: (a - 2 c_i + c_j) / (3 b).
    np.testing.assert_allclose(nash_equilibrium(market(10.0, 1.0, [1.0, 2.0])), [10 / 3, 7 / 3], rtol=1e-14)


@given(st.lists(st.floats(0, 12), min_size=2, max_size=5), st.floats(1, 12), st.floats(0.1, 4))
@settings(max_examples=30, deadline=None)
def test_the_equilibrium_is_a_fixed_point_of_best_responses_whatever_the_costs(costs, intercept, slope):
    with jax.enable_x64(True):
        params = market(intercept, slope, costs)
        equilibrium = nash_equilibrium(params)
        np.testing.assert_allclose(best_responses(equilibrium, params), equilibrium, atol=1e-9)


@pytest.mark.parametrize("numbers", MARKETS.values(), ids=MARKETS)
def test_best_responses_are_what_an_optimiser_finds(numbers, x64):
    intercept, slope, costs = numbers
    quantities = np.random.default_rng(0).uniform(0, 0.6 * intercept / slope, len(costs))
    found = best_responses(jnp.asarray(quantities), market(*numbers))
    for firm, cost in enumerate(costs):
        others = quantities.sum() - quantities[firm]
        best = minimize_scalar(
            lambda q, others=others, cost=cost: -profit(q, others, cost, intercept, slope),
            bounds=(0, intercept / slope),
            method="bounded",
            options={"xatol": 1e-10},
        )
        np.testing.assert_allclose(found[firm], best.x, atol=1e-6)


@pytest.mark.parametrize("numbers", MARKETS.values(), ids=MARKETS)
def test_collusion_earns_what_an_optimiser_of_joint_profit_finds(numbers, x64):
    intercept, slope, costs = numbers

    def loss(q):
        return -sum(profit(q[i], q.sum() - q[i], cost, intercept, slope) for i, cost in enumerate(costs))

    params = market(*numbers)
    most = intercept / slope
    starts = [np.full(len(costs), 0.1), np.linspace(0.2, 0.5, len(costs)) * most]
    best = min(minimize(loss, start, bounds=[(0, most)] * len(costs)).fun for start in starts)
    together = collusive_outcome(params)
    np.testing.assert_allclose(jnp.sum(profits(together, params)), -best, atol=1e-6)


def test_equal_firms_share_the_monopoly_quantity_and_only_the_cheapest_produces_otherwise(x64):
    np.testing.assert_allclose(collusive_outcome(market(10.0, 1.0, [1.0] * 3)), [1.5] * 3)
    np.testing.assert_allclose(collusive_outcome(market(10.0, 1.0, [2.0, 1.0, 1.0])), [0, 2.25, 2.25])


def test_grim_trigger_holds_collusion_from_the_textbook_s_discount_on(x64):
    for n in (2, 3, 8):
        params = market(10.0, 1.5, [1.0] * n)
        found = critical_discounts(collusive_outcome(params), params)
        np.testing.assert_allclose(found, (n + 1) ** 2 / ((n + 1) ** 2 + 4 * n), rtol=1e-12)
    # At the discount that is found, a breach and then the equilibrium for ever earn what keeping to it does.
    params = market(10.0, 1.0, [1.0, 1.6])
    agreed = jnp.asarray([2.6, 1.7])
    for firm, discount in enumerate(np.asarray(critical_discounts(agreed, params))):
        breach = agreed.at[firm].set(best_responses(agreed, params)[firm])
        kept = profits(agreed, params)[firm] / (1 - discount)
        nash = profits(nash_equilibrium(params), params)[firm]
        np.testing.assert_allclose(profits(breach, params)[firm] + discount / (1 - discount) * nash, kept, rtol=1e-12)


def test_the_environment_pays_the_closed_forms_and_counts_them(x64):
    env = envs.make("cournot", num_players=3, intercept=12, slope=0.5, costs=(1, 2, 3), horizon=4)
    params = env.default_params
    quantities = nash_equilibrium(params)
    step = jax.jit(env.step)
    _, state = env.reset(jax.random.key(0), params)
    counts = env.start_counts()
    for time in range(4):
        before = state
        actions = quantities[:, None]
        obs, state, rewards, terminated, truncated, info = step(jax.random.key(time), state, actions, params)
        counts = env.count(counts, before, actions, rewards, truncated, info)
        # By hand: the price is (12 + 1 + 2 + 3) / 4 = 4.5, quantities (4.5 - cost) / 0.5, profits 0.5 x quantity^2.
        np.testing.assert_allclose(rewards, [24.5, 12.5, 4.5], rtol=1e-12)
        np.testing.assert_allclose(info["price"], 4.5, rtol=1e-12)
        assert not terminated and bool(truncated) == (time == 3)
    np.testing.assert_allclose(obs[1], [1, 4.5, 5, 7, 3], rtol=1e-6)
    assert int(counts["steps"]) == 4
    np.testing.assert_allclose(counts["quantities"] / 4, [7, 5, 3], rtol=1e-6)
    np.testing.assert_allclose(counts["profits"] / 4, [24.5, 12.5, 4.5], rtol=1e-6)
    np.testing.assert_allclose(counts["welfare"] / 4, 41.5 + 0.5 * 15**2 / 2, rtol=1e-6)
    np.testing.assert_allclose(consumer_surplus(quantities, params), 0.5 * 15**2 / 2, rtol=1e-12)


def test_noise_moves_the_price_by_its_standard_deviation_and_no_more(x64):
    env = envs.make("cournot", noise=0.7)
    params = env.default_params
    _, state = env.reset(jax.random.key(0), params)
    actions = jnp.asarray([[2.0], [3.0]])
    keys = jax.random.split(jax.random.key(1), 4000)
    _, _, rewards, _, _, info = jax.jit(jax.vmap(lambda key: env.step(key, state, actions, params)))(keys)
    shock = np.asarray(info["price"]) - 5.0
    assert abs(shock.mean()) < 4 * 0.7 / np.sqrt(4000) and abs(shock.std() - 0.7) < 0.04
    np.testing.assert_allclose(rewards, (4 + shock)[:, None] * np.array([2.0, 3.0]), atol=1e-9)


def test_a_floor_keeps_the_price_from_becoming_negative():
    actions = jnp.asarray([[10.0], [10.0]])
    for floor, expected in ((True, 0.0), (False, -10.0)):
        env = envs.make("cournot", floor=floor)
        _, state = env.reset(jax.random.key(0), env.default_params)
        _, _, rewards, *_, info = env.step(jax.random.key(0), state, actions, env.default_params)
        assert float(info["price"]) == expected
        np.testing.assert_allclose(rewards, (expected - 1) * 10)


def test_with_the_view_of_the_price_a_firm_does_not_see_the_others():
    env = envs.make("cournot", view="price", num_players=3)
    _, state = env.reset(jax.random.key(0), env.default_params)
    actions = jnp.asarray([[1.0], [2.0], [3.0]])
    obs, *_ = env.step(jax.random.key(0), state, actions, env.default_params)
    np.testing.assert_allclose(obs, [[1, 4, 1], [1, 4, 2], [1, 4, 3]])
    assert env.observation_space.shape == (3,)


def test_markets_are_mapped_over():
    env = envs.make("cournot")
    base = env.default_params
    many = jax.vmap(lambda intercept, costs: base.replace(intercept=intercept, costs=costs))(
        jnp.asarray([10.0, 8.0]), jnp.asarray([[1.0, 1.0], [1.0, 2.0]])
    )

    def one(params):
        _, state = env.reset(jax.random.key(0), params)
        return env.step(jax.random.key(0), state, nash_equilibrium(params)[:, None], params)[2]

    np.testing.assert_allclose(jax.jit(jax.vmap(one))(many), [[9, 9], [64 / 9, 25 / 9]], rtol=1e-5)


def test_price_is_linear_in_the_sum_of_quantities():
    np.testing.assert_allclose(price(jnp.asarray([1.0, 2.0, 3.0]), market(10.0, 0.5, [1.0] * 3)), 7.0)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"num_players": 1}, "num_players is 1; allowed: an integer from 2 to 8"),
        ({"slope": 0}, "slope is 0; allowed: a finite number of 1e-06 or more"),
        ({"intercept": "a"}, "intercept is 'a'; allowed: a finite number"),
        ({"costs": (1, 2, 3)}, "costs is (1, 2, 3); allowed: a number, or one for each of 2 players"),
        ({"costs": -1}, "costs is -1; allowed: a finite number of 0 or more"),
        ({"costs": 10}, "costs is 10; allowed: at least one below the intercept, 10"),
        ({"capacity": 0}, "capacity is 0; allowed: a finite number of 1e-06 or more"),
        ({"noise": -0.1}, "noise is -0.1; allowed: a finite number of 0 or more"),
        ({"floor": 1}, "floor is 1; allowed: False, True"),
        ({"view": "all"}, "view is 'all'; allowed: quantities, price"),
        ({"horizon": 0}, "horizon is 0; allowed: an integer from 1 to 2147483646"),
    ],
    ids=str,
)
def test_a_wrong_setting_is_refused_with_what_is_allowed(wrong, message):
    with pytest.raises(ValueError) as refused:
        envs.make("cournot", **wrong)
    assert str(refused.value) == message


def test_noise_is_what_the_numbers_say_whatever_the_description():
    noisy, plain = envs.make("cournot", noise=0.1), envs.make("cournot")
    _, state = plain.reset(jax.random.key(0), plain.default_params)
    actions = jnp.full((2, 1), 3.0)
    for params, certain in ((plain.default_params, True), (noisy.default_params, False)):
        one, other = (float(env.step(jax.random.key(1), state, actions, params)[1].price) for env in (noisy, plain))
        assert one == other and (one == 4.0) == certain
