"""The fishery: closed forms of the great fish war against value iteration, the logistic one's against simulation."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from shaping import envs
from shaping.envs.cournot import best_responses, collusive_outcome, nash_equilibrium
from shaping.envs.fishery import gordon_schaefer as logistic
from shaping.envs.fishery import great_fish_war as war


def war_params(**numbers):
    return envs.make("fishery", **numbers).default_params


def value_iteration(growth, discount, part_of_others):
    """A single player's best part of the stock at each stock, and its value, where the others catch a constant part.

    Independent of the closed forms: the Bellman equation on a grid of log stocks, maximised over a grid of parts.
    """
    x = np.linspace(-7, 0.5, 60)
    parts = np.linspace(0.002, 1 - part_of_others - 0.02, 1500)
    following = growth * (x[:, None] + np.log(1 - part_of_others - parts)[None])
    value = np.zeros_like(x)
    for _ in range(250):
        choices = np.log(parts)[None] + x[:, None] + discount * np.interp(following, x, value)
        value = choices.max(1)
    return x, parts[choices.argmax(1)], value


@pytest.mark.parametrize(("growth", "discount", "n"), [(0.5, 0.9, 2), (0.3, 0.8, 3)])
def test_the_equilibrium_of_the_fish_war_is_the_best_among_all_strategies_by_value_iteration(growth, discount, n, x64):
    params = war_params(growth=growth, discount=discount)
    parts = np.asarray(war.nash_parts(params, n))
    x, best, value = value_iteration(growth, discount, parts[1:].sum())
    np.testing.assert_allclose(best, parts[0], atol=1e-3)
    closed = [war.values(jnp.exp(log_stock), jnp.asarray(parts), params)[0] for log_stock in x[::20]]
    np.testing.assert_allclose(value[::20], closed, atol=1e-4)


def test_the_best_response_to_any_parts_is_value_iteration_s(x64):
    params = war_params()
    found = war.best_responses(jnp.asarray([0.6, 0.15]), params)
    for part_of_other, answer in ((0.15, found[0]), (0.6, found[1])):
        np.testing.assert_allclose(value_iteration(0.5, 0.9, part_of_other)[1], answer, atol=1e-3)


def test_the_equilibrium_of_the_fish_war_is_levhari_and_mirman_s(x64):
    # With growth 1/2 and discount 0.9, b = 0.45: two players catch 0.55 / 1.55 each, a single owner 0.55 of the stock.
    params = war_params()
    np.testing.assert_allclose(war.nash_parts(params, 2), [0.55 / 1.55] * 2, rtol=1e-14)
    np.testing.assert_allclose(war.cooperative_parts(params, 2), [0.275] * 2, rtol=1e-14)
    np.testing.assert_allclose(war.nash_parts(params, 1), [0.55], rtol=1e-14)


def test_no_constant_deviation_from_either_outcome_pays_whom_it_should_not(x64):
    params = war_params()
    stock = jnp.asarray(0.37)
    nash, together = war.nash_parts(params, 3), war.cooperative_parts(params, 3)
    slopes = jax.jacobian(lambda parts: war.values(stock, parts, params))
    np.testing.assert_allclose(jnp.diagonal(slopes(nash)), 0, atol=1e-10)
    np.testing.assert_allclose(jnp.sum(slopes(together), axis=0), 0, atol=1e-10)
    np.testing.assert_allclose(war.best_responses(nash, params), nash, rtol=1e-12)
    own = np.linspace(0.01, 1 - float(nash[1:].sum()) - 0.01, 200)
    alone = jax.vmap(lambda part: war.values(stock, nash.at[0].set(part), params)[0])(jnp.asarray(own))
    assert np.all(alone <= war.values(stock, nash, params)[0] + 1e-12)
    assert np.all(war.values(stock, together, params) > war.values(stock, nash, params))


@pytest.mark.parametrize("outcome", [war.nash_parts, war.cooperative_parts], ids=["nash", "together"])
def test_playing_the_closed_form_path_earns_its_value_and_ends_at_its_stock(outcome, x64):
    env = envs.make("fishery", num_players=3, initial=0.8, horizon=400)
    params = env.default_params
    parts = outcome(params, 3)
    _, state = env.reset(jax.random.key(0), params)

    def step(state, _):
        _, state, rewards, terminated, truncated, _ = env.step(jax.random.key(0), state, parts[:, None], params)
        return state, (state.stock, rewards, terminated, truncated)

    _, (stocks, rewards, terminated, truncated) = jax.lax.scan(step, state, length=400)
    discounts = 0.9 ** np.arange(400)
    np.testing.assert_allclose(discounts @ rewards, war.values(jnp.asarray(0.8), parts, params), rtol=1e-10)
    np.testing.assert_allclose(stocks[-1], war.steady_stock(parts, params), rtol=1e-12)
    expected = np.sqrt(0.8 * (1 - float(parts.sum())))
    np.testing.assert_allclose(stocks[0], expected, rtol=1e-12)
    assert not np.any(terminated) and np.asarray(truncated).tolist() == [False] * 399 + [True]


def test_parts_that_sum_to_more_than_all_are_scaled_and_deplete_the_stock_for_ever(x64):
    env = envs.make("fishery", smallest_catch=0.01)
    params = env.default_params
    _, state = env.reset(jax.random.key(0), params)
    actions = jnp.asarray([[1.0], [0.6]])
    obs, after, rewards, terminated, truncated, info = env.step(jax.random.key(0), state, actions, params)
    np.testing.assert_allclose(info["catches"], [0.5 / 1.6, 0.5 * 0.6 / 1.6], rtol=1e-12)
    for_ever = sum(0.9**t * np.log(0.01) for t in range(1, 500))
    np.testing.assert_allclose(rewards, np.log(np.asarray(info["catches"])) + for_ever, rtol=1e-9)
    assert terminated and not truncated and float(after.stock) == 0 and bool(info["depleted"])
    np.testing.assert_allclose(obs, [[1, 0, 1, 0.6], [1, 0, 0.6, 1]], rtol=1e-6)


def test_a_catch_of_nothing_has_the_utility_of_the_smallest():
    env = envs.make("fishery", smallest_catch=0.001)
    _, state = env.reset(jax.random.key(0), env.default_params)
    actions = jnp.asarray([[0.0], [0.5]])
    _, after, rewards, *_ = env.step(jax.random.key(0), state, actions, env.default_params)
    np.testing.assert_allclose(rewards, np.log([0.001, 0.25]), rtol=1e-6)
    np.testing.assert_allclose(after.stock, 0.5, rtol=1e-6)


def test_gradients_are_finite_at_depletion_too():
    env = envs.make("fishery")
    _, state = env.reset(jax.random.key(0), env.default_params)

    def earned(actions):
        _, after, rewards, *_ = env.step(jax.random.key(0), state, actions, env.default_params)
        return jnp.sum(rewards) + after.stock

    for actions in ([[1.0], [1.0]], [[1.0], [0.0]], [[0.0], [0.0]]):
        assert np.all(np.isfinite(jax.jit(jax.grad(earned))(jnp.asarray(actions))))


def numpy_step(stock, efforts, growth, capacity, efficiency, price, costs):
    """The logistic fishery from its rules."""
    grown = stock + growth * stock * (1 - stock / capacity)
    wanted = efficiency * efforts * stock
    catches = wanted * min(1.0, grown / wanted.sum()) if wanted.sum() else wanted
    return grown - catches.sum(), catches, price * catches - costs * efforts


def test_the_logistic_fishery_plays_its_rules(x64):
    numbers = {"growth": 0.4, "capacity": 3.0, "efficiency": 0.7, "price": 2.0, "costs": (0.3, 0.5, 0.1)}
    env = envs.make("fishery", model="gordon_schaefer", num_players=3, initial=1.5, **numbers)
    params = env.default_params
    _, state = env.reset(jax.random.key(0), params)
    random = np.random.default_rng(0)
    stock, step = 1.5, jax.jit(env.step)
    rule = numbers | {"costs": np.array(numbers["costs"])}
    for _ in range(12):
        efforts = random.uniform(0, 0.25, 3)
        stock, catches, rewards = numpy_step(stock, efforts, **rule)
        _, state, paid, terminated, _, info = step(jax.random.key(0), state, jnp.asarray(efforts[:, None]), params)
        np.testing.assert_allclose(state.stock, stock, rtol=1e-12)
        np.testing.assert_allclose(info["catches"], catches, rtol=1e-12)
        np.testing.assert_allclose(paid, rewards, rtol=1e-12)
        assert not terminated


def test_efforts_that_want_more_fish_than_there_are_take_all_of_it_and_end_the_game(x64):
    env = envs.make("fishery", model="gordon_schaefer", efficiency=2.0, growth=0.5)
    params = env.default_params
    _, state = env.reset(jax.random.key(0), params)
    _, after, rewards, terminated, _, info = env.step(jax.random.key(0), state, jnp.asarray([[1.0], [0.5]]), params)
    np.testing.assert_allclose(info["catches"], [2 / 3, 1 / 3], rtol=1e-12)
    np.testing.assert_allclose(rewards, [2 / 3 - 0.1, 1 / 3 - 0.05], rtol=1e-12)
    assert terminated and float(after.stock) == 0


def test_the_steady_state_is_where_constant_efforts_lead_and_pays_the_cournot_profits(x64):
    env = envs.make("fishery", model="gordon_schaefer", costs=(0.1, 0.15), horizon=500)
    params = env.default_params
    efforts = nash_equilibrium(logistic.steady_state_game(params))
    _, state = env.reset(jax.random.key(0), params)

    def step(state, _):
        _, state, rewards, *_ = env.step(jax.random.key(0), state, efforts[:, None], params)
        return state, rewards

    state, rewards = jax.lax.scan(step, state, length=500)
    np.testing.assert_allclose(state.stock, logistic.steady_stock(efforts, params), rtol=1e-10)
    game = logistic.steady_state_game(params)
    np.testing.assert_allclose(rewards[-1], efforts**2 * game.slope, rtol=1e-9)


def long_run_profit(own, other, cost, steps=3000):
    """The profit of a step after many, from the rules; growth 0.8, efficiency 0.5, capacity and price 1."""
    stock, efforts = 1.0, np.array([own, other])
    for _ in range(steps):
        stock, _, rewards = numpy_step(stock, efforts, 0.8, 1.0, 0.5, 1.0, np.array([cost, 0.1]))
    return rewards[0]


def test_no_constant_effort_earns_more_in_the_long_run_than_the_equilibrium_and_best_responses(x64):
    params = envs.make("fishery", model="gordon_schaefer").default_params
    game = logistic.steady_state_game(params)
    nash = np.asarray(nash_equilibrium(game))
    # (growth / efficiency) (1 - cost / (price efficiency capacity)) / (n + 1), by hand
    np.testing.assert_allclose(nash, 1.6 * 0.8 / 3, rtol=1e-12)
    answer = float(best_responses(jnp.asarray([0.3, 0.9]), game)[0])
    for effort, other in ((nash[0], nash[1]), (answer, 0.9)):
        best = long_run_profit(effort, other, 0.1, 300)
        others = [long_run_profit(x, other, 0.1, 300) for x in np.linspace(0, 1, 41)]
        assert max(others) <= best + 1e-9
    together = np.asarray(collusive_outcome(game))
    np.testing.assert_allclose(together.sum(), 1.6 * 0.8 / 2, rtol=1e-12)
    np.testing.assert_allclose(logistic.open_access_effort(params), 1.6 * 0.8, rtol=1e-12)
    np.testing.assert_allclose(long_run_profit(0.64, 0.64, 0.1, 300), 0, atol=1e-9)


def test_counts_are_sums_of_what_happened():
    env = envs.make("fishery", threshold=0.01)
    params = env.default_params
    _, state = env.reset(jax.random.key(0), params)
    counts = env.start_counts()
    stocks = []
    for actions in ([[0.1], [0.4]], [[0.5], [0.5]]):
        before, actions = state, jnp.asarray(actions)
        stocks.append(float(state.stock))
        _, state, rewards, ended, _, info = env.step(jax.random.key(0), state, actions, params)
        counts = env.count(counts, before, actions, rewards, ended, info)
    assert int(counts["steps"]) == 2 and int(counts["depletions"]) == 1
    np.testing.assert_allclose(counts["stock"], sum(stocks), rtol=1e-6)
    np.testing.assert_allclose(counts["catches"], [0.05 + 0.25, 0.2 + 0.25], rtol=1e-5)
    np.testing.assert_allclose(counts["efforts"], [0.6, 0.9], rtol=1e-6)


@pytest.mark.parametrize("model", ["great_fish_war", "gordon_schaefer"])
def test_numbers_are_mapped_over(model):
    env = envs.make("fishery", model=model)
    base = env.default_params
    many = jax.vmap(lambda growth: base.replace(growth=growth))(jnp.asarray([0.25, 0.5]))
    actions = jnp.asarray([[0.2], [0.3]])

    def one(params):
        _, state = env.reset(jax.random.key(0), params)
        return env.step(jax.random.key(0), state, actions, params)[1].stock

    # 0.25 is left and grows to a power; or of a stock of 1 (no growth) a quarter is caught.
    expected = [0.25**0.25, 0.25**0.5] if model == "great_fish_war" else [0.75, 0.75]
    np.testing.assert_allclose(jax.jit(jax.vmap(one))(many), expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"num_players": 0}, "num_players is 0; allowed: an integer from 2 to 8"),
        ({"model": "pond"}, "model is 'pond'; allowed: great_fish_war, gordon_schaefer"),
        (
            {"price": 2.0},
            "price is 2.0; allowed: with model great_fish_war only initial, growth, discount, smallest_catch, "
            "threshold",
        ),
        (
            {"model": "gordon_schaefer", "discount": 0.5},
            "discount is 0.5; allowed: with model gordon_schaefer only initial, growth, capacity, efficiency, price, "
            "costs, threshold",
        ),
        ({"growth": 1.5}, "growth is 1.5; allowed: a finite number from 1e-06 to 0.999999"),
        ({"discount": 1}, "discount is 1; allowed: a finite number from 1e-06 to 0.999999"),
        ({"initial": 1e-4}, "initial is 0.0001; allowed: a number above the threshold, 0.0001"),
        ({"smallest_catch": 0}, "smallest_catch is 0; allowed: a finite number from 1e-30 to 1"),
        (
            {"model": "gordon_schaefer", "costs": (1, 2, 3)},
            "costs is (1, 2, 3); allowed: a number, or one for each of 2 players",
        ),
        ({"model": "gordon_schaefer", "efficiency": -1}, "efficiency is -1; allowed: a finite number of 1e-06 or more"),
        ({"horizon": 0}, "horizon is 0; allowed: an integer from 1 to 2147483646"),
    ],
    ids=str,
)
def test_a_wrong_setting_is_refused_with_what_is_allowed(wrong, message):
    with pytest.raises(ValueError) as refused:
        envs.make("fishery", **wrong)
    assert str(refused.value) == message
