"""A game declares what it records, how its values are scaled and what it needs; no code asks which game it is."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import shaping
from shaping import envs
from shaping.analysis.strategies import nash_match
from shaping.envs.cournot import nash_equilibrium, profits
from shaping.envs.declarations import measures
from shaping.envs.spaces import Box
from shaping.objectives import Analytic
from shaping.objectives.coin_best_response import exploitability
from shaping.objectives.exact_coin import exact_coin_game
from shaping.objectives.exact_matrix import chosen, exact_matrix_game
from shaping.objectives.game import value_scale
from shaping.objectives.make_sampled import resets_itself, sampled
from shaping.policies import coin_table, fixed, scripted_players, tabular
from shaping.variables import CORE, VARIABLES
from tests.compiling import quickly

KEY = jax.random.key(0)


def coin(horizon=1, **settings):
    env = envs.make("coin_game", dialect="pola", horizon=horizon, **settings)
    policies = tuple(coin_table(env, seat) for seat in range(env.num_players))
    thetas = [policy.init(jax.random.fold_in(KEY, seat), jnp.float32(1)) for seat, policy in enumerate(policies)]
    return env, policies, thetas


def scalar_loss(thetas, numbers):
    return jnp.stack([-jnp.sum(theta**2) for theta in thetas])


def exact_ipd():
    env, tables = envs.make("ipd"), (tabular(5),) * 2
    return exact_matrix_game(env, tables), env.default_params, [jnp.zeros(5)] * 2


def sampled_ipd():
    return (*sampled(envs.make("ipd"), (tabular(5),) * 2, batch=4, horizon=3, evaluation=2), [jnp.zeros(5)] * 2)


def exact_coin():
    board, policies, thetas = coin(3)
    return (*exact_coin_game(board, policies), thetas)


def sampled_coin():
    board, policies, thetas = coin(3)
    opponents = {"same": tuple(fixed(policy, theta) for policy, theta in zip(policies, thetas, strict=True))}
    return (*sampled(board, policies, batch=4, discount=0.9, evaluation=2, opponents=opponents), thetas)


def analytic():
    return Analytic(scalar_loss, (2, 2)), (), [jnp.ones(2)] * 2


@pytest.mark.parametrize("make", [exact_ipd, sampled_ipd, exact_coin, sampled_coin, analytic])
def test_a_game_records_what_it_declares_in_the_shapes_it_declares(make):
    game, params, thetas = make()
    params = jax.tree.map(jnp.asarray, params)

    def told(params, thetas):
        described = game.describe(params, thetas, KEY)
        return game.evaluate(params, thetas, KEY), described

    along, end = jax.eval_shape(told, params, thetas)
    sizes = {"player": len(thetas)} | {name: len(labels) for name, labels in game.labels.items()}
    assert set(along | end) - set(CORE) == set(game.variables) - set(CORE)
    assert "value" in along and not set(end) & set(CORE)
    for name, found in (along | end).items():
        variable = (VARIABLES | dict(game.variables))[name]
        inner = [dim for dim in variable.dims if dim not in ("match", "update")]
        assert found.shape == tuple(sizes[dim] for dim in inner), name
        assert variable.along_updates or name not in along, name
    assert hash(game) is not None and game.tabular == (game.cooperation(thetas) is not None)


@pytest.mark.parametrize("discount", [0.0, 0.9, 1.0])
def test_values_of_a_one_shot_game_are_unscaled_and_others_are_means_per_step(discount):
    assert value_scale(discount, 1) == 1
    assert value_scale(discount, 4) == pytest.approx(0.25 if discount == 1 else 1 - discount)
    if discount < 1:
        assert value_scale(discount, None) == pytest.approx(1 - discount)


def test_exact_and_sampled_one_shot_coin_games_agree_on_values():
    env, policies, thetas = coin(1, own=1.0, other=1.0, taken=0.0)
    exact, numbers = exact_coin_game(env, policies, discount=0.9)
    played, params = sampled(env, policies, batch=2, horizon=1, discount=0.9, evaluation=20_000)
    value = np.asarray(exact.evaluate(numbers, thetas)["value"])
    returns = np.asarray(exact.objective(numbers)(thetas)[0])
    np.testing.assert_array_equal(value, returns)
    found = np.asarray(jax.jit(played.evaluate)(params, thetas, KEY)["value"])
    # A step's reward is 0 or 1; a tenth of the value would be far off.
    np.testing.assert_allclose(found, value, atol=5 * 0.5 / np.sqrt(20_000))
    assert value.min() > 0.08
    np.testing.assert_allclose(exploitability(exact, numbers, thetas).values, returns, atol=1e-6)


def test_the_own_fraction_of_an_exact_coin_game_is_that_of_its_pickups():
    env, policies, thetas = coin(5)
    game, params = exact_coin_game(env, policies)
    describe = quickly(game.describe)
    found = describe(params, thetas)
    pickups = np.asarray(found["pickups"])
    np.testing.assert_allclose(found["own_fraction"], np.diagonal(pickups) / pickups.sum(1), rtol=1e-5)
    nobody = [jnp.full_like(theta, -60).at[:, -1].set(60) for theta in thetas]
    assert game.env.action_space.num_values == 5 or np.isfinite(describe(params, nobody)["own_fraction"]).all()


def test_measures_of_an_episode_are_divided_by_the_episodes_that_were_counted():
    env, policies, thetas = coin(4)
    game, params = sampled(env, policies, batch=2, discount=0.9, evaluation=3)

    @quickly
    def run():
        played = game._played(params, policies, thetas, KEY)
        return game._measured(played)["pickups"], played.counts.pickups

    found, counted = run()
    assert measures(env)["pickups"].per_episode
    np.testing.assert_allclose(found, counted / 3, rtol=1e-6)


def test_scripted_players_among_themselves_earn_what_the_game_pays_for_what_they_do():
    env, tables = envs.make("ipd"), (tabular(5),) * 2
    opponents = scripted_players(env)
    game, params = sampled(env, tables, batch=2, horizon=3, evaluation=4, opponents=opponents)
    found = jax.jit(game.describe)(params, [jnp.full(5, -60.0)] * 2, KEY)
    assert list(opponents) == ["ALLC", "ALLD", "TFT"]
    np.testing.assert_allclose(found["scripted_reward_per_step"], [[-1, -2, -1]] * 2, rtol=1e-6)
    # Somebody who always defects: exploits ALLC, is one of ALLD, and gets one exploitation in three out of TFT.
    np.testing.assert_allclose(found["reward_against"], [[0, -2, -4 / 3]] * 2, rtol=1e-6)


def test_scripts_play_by_the_numbers_of_their_match():
    env = envs.make("cournot", horizon=2)
    other = env.default_params.replace(intercept=jnp.float32(20.0))
    policies = (shaping.network(env.observation_space, env.action_space, hidden=(2,)),) * 2
    opponents = {"NASH": scripted_players(env)["NASH"]}
    game, params = sampled(env, policies, batch=2, discount=0.9, evaluation=2, opponents=opponents, params=other)
    thetas = [policy.init(KEY, 1.0) for policy in policies]
    found = jax.jit(game.describe)(params, thetas, KEY)["scripted_reward_per_step"][:, 0]
    np.testing.assert_allclose(found, profits(nash_equilibrium(other), other), rtol=1e-5)


def test_the_same_play_is_as_near_to_nash_as_a_table_and_as_measured_under_noise():
    env = envs.make("matching_pennies", noise=0.3)
    tables = (tabular(env.num_states),) * 2
    matrix = exact_matrix_game(env, tables)
    game, params = sampled(env, tables, batch=2, horizon=40, discount=0.96, evaluation=600)
    params = dataclasses.replace(params, exact=env.default_params)
    # After CD player 0 chooses C nine times in ten, and is seen to do so two times in three.
    thetas = [jnp.zeros(5).at[2].set(np.log(9)), jnp.zeros(5).at[3].set(np.log(9))]
    scores = []
    for form in ({"exact": matrix}, {"matrix": matrix}):
        told = jax.jit(dataclasses.replace(game, **form).describe)(params, thetas, KEY)
        policy, payoffs, noise = (np.asarray(told[name])[None] for name in ("policy", "payoffs", "noise"))
        np.testing.assert_allclose(policy[0], 1 / (1 + np.exp(-np.stack(thetas))), atol=0.12)
        scores.append(nash_match(policy, payoffs, noise, "own"))
    assert scores[0] == pytest.approx([0.8]) and scores[0] == scores[1]


def test_a_choice_is_told_from_what_was_executed_unless_noise_hides_it():
    executed = jnp.array([0.1, 0.3, 0.5, 0.9, jnp.nan])
    np.testing.assert_allclose(chosen(executed, jnp.float32(0.3)), [0, 0, 0.5, 1, np.nan], atol=1e-6)
    np.testing.assert_allclose(chosen(executed, jnp.float32(0.9)), [1, 0.75, 0.5, 0, np.nan], atol=1e-6)
    np.testing.assert_array_equal(chosen(executed, jnp.float32(0)), executed)
    assert np.isnan(chosen(executed, jnp.float32(0.5))).all()


def test_an_environment_of_ones_own_with_continuous_actions_is_measured_by_what_it_declares():
    policies = (shaping.network(Push.observation_space, Push.action_space, hidden=(4,)),) * 2
    game, params = sampled(Push(), policies, batch=4, discount=0.9)
    thetas = [policy.init(jax.random.fold_in(KEY, seat), 1.0) for seat, policy in enumerate(game.policies)]
    assert set(game.variables) == {"reward_per_step", "entropy", "discount", "force", "sides"}
    assert game.variables["force"].showcase and game.labels == {"side": ("left", "right")}
    seen = jax.jit(game.evaluate)(params, thetas, KEY)
    told = jax.jit(game.describe)(params, thetas, KEY)
    assert seen["force"].shape == (2,) and np.all(np.asarray(seen["force"]) > 0)
    np.testing.assert_allclose(np.asarray(told["sides"]).sum(1), Push.horizon, rtol=1e-6)


@dataclasses.dataclass(frozen=True)
class Push:
    """Everybody pushes by a number from -1 to 1 and is paid what the others push; nothing but what is asked for."""

    name = "push"
    num_players = 2
    horizon = 3
    observation_space = Box((1,), -1.0, 1.0)
    action_space = Box((), -1.0, 1.0)
    showcase = "force"

    @property
    def default_params(self):
        return {"discount": jnp.asarray(0.9)}

    @property
    def measures(self):
        sides = envs.Measure("Pushes to either side in an episode.", "sides", 0, axis="side", labels=("left", "right"),
                             per_episode=True)  # fmt: skip
        return {
            "force": envs.Measure("Mean of what a player pushes, whatever the side.", "force", 0, 1),
            "sides": sides,
        }

    def reset(self, key, params):
        return jnp.zeros((2, 1)), jnp.int32(0)

    def step(self, key, state, actions, params):
        return jnp.zeros((2, 1)), state + 1, actions[::-1], jnp.asarray(False), state + 1 >= self.horizon, {}

    def start_counts(self):
        return {"force": jnp.zeros(2), "right": jnp.zeros(2, jnp.int32), "steps": jnp.int32(0)}

    def count(self, counts, state, actions, rewards, ended, info):
        new = {"force": jnp.abs(actions), "right": (actions > 0).astype(jnp.int32), "steps": 1}
        return jax.tree.map(jnp.add, counts, new)

    def metrics(self, counts):
        left = counts["steps"] - counts["right"]
        return {"force": counts["force"] / counts["steps"], "sides": jnp.stack([left, counts["right"]], -1)}


def test_an_environment_that_resets_itself_is_told_from_one_that_does_not():
    assert resets_itself(envs.make("ipd", auto_reset=True, horizon=3))
    assert not resets_itself(envs.make("ipd", horizon=3)) and not resets_itself(Push())
