"""Statistics gathered while playing, against the trajectory of the same play and against exact values."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import shaping
from shaping import envs
from shaping.envs.coin_game import measures
from shaping.envs.matrix.measures import cooperation_by_state
from tests.compiling import quickly
from tests.runs import reference_values

# Exact values of the Markov chains, seat 0 red. Policies are those of Zhao et al. (2022, POLA, `coin_game_jax.py`).
PAIRS = (("random", "random"), ("greedy_any", "greedy_any"), ("cooperate", "cooperate"), ("cooperate", "greedy_any"))
REWARDS_PER_STEP = {
    "pola": ((0, 0), (0, 0), (0.332242, 0.332242), (-0.259509, 0.621775)),
    "lola_dice": ((0, 0), None, (0.332970, 0.332970), (-0.259627, 0.622905)),
    "lola2018": ((0.012548, -0.012548), (0.659577, -0.659577), None, None),
    "mfos": (None, None, None, None),
}
PICKUPS_PER_EPISODE = {  # red red, red blue, blue red, blue blue
    "pola": ((2.8281,) * 4, (16.4841,) * 4, (16.6121, 0, 0, 16.6121), (12.9754, 0, 12.9754, 18.1133)),
    "lola_dice": ((8.4732,) * 4, None, None, None),
    "lola2018": (None, None, None, None),
    "mfos": ((1.691142,) * 4, None, None, None),
}


def assert_close(left, right):
    np.testing.assert_allclose(left, right, rtol=2e-5)


@pytest.mark.parametrize("auto_reset", [False, True])
def test_statistics_are_those_of_the_trajectory_of_the_same_play(auto_reset):
    env = envs.make("ipd", horizon=4, discount=0.8, auto_reset=auto_reset)
    policies = (shaping.tabular(5),) * 2
    thetas = (jnp.array([0.1, 1.2, -0.8, 0.4, -1.5]), jnp.array([-0.5, 0.4, -0.3, 0.9, -0.1]))
    steps, batch = 10, 3
    both = quickly(lambda key: [f(env, policies, thetas, key, steps, batch) for f in (shaping.rollout, shaping.play)])
    played, found = both(jax.random.key(7))
    shown = steps if auto_reset else 4
    assert found.steps.tolist() == [shown] * batch
    assert found.episodes.tolist() == [3 if auto_reset else 1] * batch
    assert found.ended.tolist() == [2 if auto_reset else 1] * batch
    rewards, seen, actions = (np.asarray(x)[:shown] for x in (played.rewards, played.observations, played.actions))
    assert_close(found.rewards, rewards.sum(0))
    weights = 0.8 ** (np.arange(shown) % 4)
    assert_close(found.discounted, np.einsum("t,tbp->bp", weights, rewards))
    p = 1 / (1 + np.exp(-np.stack([np.asarray(thetas[i])[seen[..., i]] for i in (0, 1)], -1)))
    assert_close(found.entropies, -(p * np.log(p) + (1 - p) * np.log(1 - p)).sum(0))
    np.testing.assert_array_equal(found.actions, np.stack([(actions == a).sum(0) for a in (0, 1)], -1))
    visits = np.stack([(seen == s).sum(0) for s in range(5)], -1)
    np.testing.assert_array_equal(found.counts["steps"], visits)
    cooperated = np.stack([((seen == s) & (actions == 0)).sum(0) for s in range(5)], -1)
    with np.errstate(invalid="ignore"):
        np.testing.assert_allclose(cooperation_by_state(found.counts), cooperated / visits, rtol=1e-6)
    assert_close(found.rewards_per_step, rewards.mean(0))
    assert_close(found.returns, rewards.sum(0) / (3 if auto_reset else 1))
    pooled = found.pooled()
    frequencies = np.stack([(actions == a).mean((0, 1)) for a in (0, 1)], -1)
    assert_close(pooled.action_frequencies, frequencies)
    assert_close(pooled.action_entropy, -(frequencies * np.log(frequencies)).sum(-1))
    assert_close(pooled.rewards_per_step, rewards.mean((0, 1)))


@pytest.mark.slow
def test_discounted_returns_agree_with_the_exact_values_of_each_match_of_a_population():
    env = envs.make("ipd", noise=0.05)
    policies = (shaping.tabular(5),) * 2
    thetas = tuple(2 * jax.random.normal(jax.random.key(seat), (4, 5)) for seat in (1, 2))
    params = jax.tree.map(lambda leaf: jnp.stack([leaf] * 4), env.default_params)
    params = params.replace(discount=jnp.array([0.5, 0.8, 0.9, 0.93]))
    keys = jax.vmap(jax.random.fold_in, (None, 0))(jax.random.key(0), jnp.arange(4))
    batch = 1000
    many = quickly(jax.vmap(lambda ts, key, p: shaping.play(env, policies, ts, key, 150, batch, p)))
    found = many(thetas, keys, params)
    for match, discount in enumerate((0.5, 0.8, 0.9, 0.93)):
        own = np.stack([theta[match] for theta in thetas])
        payoffs, noise = np.reshape(env.default_params.payoffs, (2, 4)), np.full(2, 0.05)
        exact = reference_values(own, payoffs, discount, noise) / (1 - discount)
        returns = np.asarray(found.discounted_returns[match])
        assert np.all(np.abs(returns.mean(0) - exact) < 4 * returns.std(0) / batch**0.5 + 1e-4 * np.abs(exact))


def test_an_explicit_discount_replaces_the_game_s_own():
    env = envs.make("matrix_game", payoffs=np.ones((2, 2, 2)).tolist(), discount=0.5)
    policies, thetas = (shaping.tabular(5),) * 2, (jnp.zeros(5),) * 2

    @quickly
    def both(key):
        return [shaping.play(env, policies, thetas, key, 3, 1, discount=x).discounted_returns for x in (None, 0.1)]

    own, given = both(jax.random.key(0))
    assert own.tolist() == [[1.75, 1.75]] and given.tolist() == [[pytest.approx(1.11)] * 2]


def test_memory_does_not_grow_with_the_number_of_steps():
    env = envs.make("ipd", auto_reset=True, horizon=10)
    policies, thetas = (shaping.tabular(5),) * 2, (jnp.zeros(5),) * 2

    def temporary_bytes(steps):
        program = jax.jit(lambda key: shaping.play(env, policies, thetas, key, steps, 8))
        return program.lower(jax.random.key(0)).compile().memory_analysis().temp_size_in_bytes

    assert temporary_bytes(1_000_000) == temporary_bytes(100)


def test_sums_of_many_small_rewards_lose_no_digits():
    env = envs.make("matrix_game", payoffs=np.full((2, 2, 2), 0.1).tolist())
    policies, thetas = (shaping.tabular(5),) * 2, (jnp.zeros(5),) * 2
    steps = 100_000
    found = jax.jit(lambda key: shaping.play(env, policies, thetas, key, steps, 1, discount=1.0))(jax.random.key(0))
    plain = np.cumsum(np.full(steps, 0.1, np.float32), dtype=np.float32)[-1]
    assert abs(plain - 0.1 * steps) > 1e-4 * 0.1 * steps  # what is lost otherwise
    np.testing.assert_allclose(found.rewards, 0.1 * steps, rtol=2e-7)
    np.testing.assert_allclose(found.policy_entropy, np.log(2), rtol=2e-7)


def test_a_player_that_knows_what_it_does_has_entropy_in_its_frequencies_alone():
    env = envs.make("coin_game", horizon=50)
    policies = [shaping.coin_game_players.greedy_any(env, 0), shaping.coin_game_players.random(env, 1)]
    pooled = quickly(lambda key: shaping.play(env, policies, ((), ()), key, 50, 100).pooled())(jax.random.key(0))
    assert pooled.policy_entropy[0] == 0
    np.testing.assert_allclose(pooled.policy_entropy[1], np.log(4), rtol=1e-6)
    assert 1.3 < pooled.action_entropy[0] < np.log(4) and 1.38 < pooled.action_entropy[1] <= np.log(4) + 1e-6


def test_derived_numbers_are_undefined_where_nothing_came_up():
    empty = envs.make("coin_game").start_counts()
    for number in (measures.own_fraction, measures.missed_fraction, measures.spared_fraction):
        assert np.isnan(number(empty)).all()
    assert np.isnan(measures.cooperation_by_history(empty)).all()
    assert np.isnan(cooperation_by_state(envs.make("ipd").start_counts())).all()


def test_play_keeps_types_strong_and_promotes_nothing(x64):
    env = envs.make("ipd", auto_reset=True, horizon=5)
    policies, thetas = (shaping.tabular(5),) * 2, (jnp.zeros(5, jnp.float64),) * 2
    with jax.numpy_dtype_promotion("strict"), jax.numpy_rank_promotion("raise"), jax.debug_nans(True):
        found = quickly(lambda key: shaping.play(env, policies, thetas, key, 10, 2))(jax.random.key(0))
        board = envs.make("coin_game", auto_reset=True, horizon=5)
        players = [shaping.coin_game_players.by_number(board, seat) for seat in (0, 1)]
        theta = (jnp.int32(1), jnp.int32(2))
        jax.eval_shape(lambda key: shaping.play(board, players, theta, key, 10, 2), jax.random.key(0))
    assert found.rewards.dtype == found.discounted.dtype == found.entropies.dtype == jnp.float64
    integers = jax.tree.leaves((found.steps, found.episodes, found.ended, found.actions, found.counts))
    assert all(leaf.dtype == jnp.int32 for leaf in integers)


@pytest.mark.parametrize(
    # The exact game agrees with play in tests/objectives/test_exact_coin.py too.
    "dialect",
    [pytest.param(name, marks=pytest.mark.slow) for name in ("pola", "lola_dice", "lola2018", "mfos")],
)
def test_scripted_pairs_meet_the_exact_values_within_four_standard_errors(dialect):
    """All four pairs in one program."""
    env = envs.make("coin_game", dialect=dialect)
    steps, players = env.horizon, shaping.coin_game_players
    batch = (250_000 if dialect == "pola" else 1_000_000) // steps
    policies = [players.by_number(env, seat) for seat in (0, 1)]
    thetas = tuple(jnp.array([players.NAMES.index(pair[seat]) for pair in PAIRS]) for seat in (0, 1))
    keys = jax.vmap(jax.random.fold_in, (None, 0))(jax.random.key(0), jnp.arange(len(PAIRS)))
    many = jax.jit(jax.vmap(lambda thetas, key: shaping.play(env, policies, thetas, key, steps, batch)))
    found = many(thetas, keys)
    checked = 0
    for match in range(len(PAIRS)):
        for exact, got, rounding in (
            (REWARDS_PER_STEP[dialect][match], found.rewards_per_step[match], 5e-7),
            (PICKUPS_PER_EPISODE[dialect][match], found.counts.pickups[match].reshape(batch, 4), 5e-5),
        ):
            if exact is not None:
                got = np.asarray(got, np.float64)
                error = 4 * got.std(0) / batch**0.5 + rounding
                assert np.all(np.abs(got.mean(0) - exact) <= error), (PAIRS[match], exact, got.mean(0), error)
                checked += 1
    assert checked
