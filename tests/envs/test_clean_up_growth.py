"""CleanUp-lite: river and orchard against an exact chain, any step against a replay of the rules."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shaping import envs
from tests.compiling import quickly
from tests.envs.clean_up_states import (
    DOWN,
    ENV,
    LEFT,
    QUIET,
    RIGHT,
    STAY,
    STEP,
    UP,
    ZAP,
    play,
    repeat,
    state_of,
    within,
)


@pytest.mark.parametrize("dirty", range(6))
def test_an_apple_grows_with_one_minus_a_third_of_the_dirt(dirty):
    after = repeat(ENV, state_of([[2, 1], [2, 2]], dirt=range(dirty)), jnp.array([STAY, STAY]), QUIET, 6000)
    assert within((after.apples.sum(1) == 1).sum(), 6000, [1, 2 / 3, 1 / 3, 0, 0, 0][dirty])
    assert np.all(after.apples.sum(1) <= 1)


def test_dirt_counts_after_the_cleaning_and_before_the_new_dirt_of_the_same_step():
    params = QUIET.replace(pollution=jnp.float32(1), barren_dirt=jnp.float32(1))
    cleaned, *_ = play(state_of([[2, 2], [4, 1]], dirt=(2,)), [RIGHT, STAY], params=params)
    assert cleaned.apples.sum() == 1 and cleaned.dirt.sum() == 1
    left, *_ = play(state_of([[2, 2], [4, 1]], dirt=(2,)), [STAY, STAY], params=params)
    assert left.apples.sum() == 0 and left.dirt.sum() == 2


def test_apples_and_dirt_appear_on_any_free_cell_alike():
    params = QUIET.replace(pollution=jnp.float32(1))
    after = repeat(ENV, state_of([[2, 1], [2, 2]], dirt=(1,), apples=(0, 4)), jnp.array([STAY, STAY]), params, 6000)
    dirt, apples = np.asarray(after.dirt).sum(0), np.asarray(after.apples).sum(0)
    assert dirt[1] == 6000 and within(dirt[[0, 2, 3, 4]], 6000, 1 / 4)
    assert np.all(apples[[0, 4]] == 6000) and within(apples[[1, 2, 3]], 6000, 2 / 3 / 3)


def test_growth_on_each_cell_is_independent():
    each = envs.make("clean_up", growth="each")
    after = repeat(each, state_of([[2, 1], [2, 2]], dirt=(0,), apples=(3,)), jnp.array([STAY, STAY]), QUIET, 6000)
    p = 2 / 3
    binomial = [(1 - p) ** 4, 4 * p * (1 - p) ** 3, 6 * p**2 * (1 - p) ** 2, 4 * p**3 * (1 - p), p**4]
    assert within(np.bincount(after.apples.sum(1) - 1, minlength=5), 6000, np.array(binomial))


def test_river_and_orchard_left_alone_follow_their_exact_chain():
    """States (dirty cells, apples), from none of either; both draws of a step look at the dirt it begins with."""
    chain = np.zeros((6, 6, 6, 6))
    for dirt in range(6):
        for apples in range(6):
            p, q = 0.35 * (dirt < 5), (1 - min(1, dirt / 3)) * (apples < 5)
            for more_dirt, weight in ((0, 1 - p), (1, p)):
                for more_apples, other in ((0, 1 - q), (1, q)):
                    if weight * other:
                        chain[dirt, apples, dirt + more_dirt, apples + more_apples] += weight * other
    steps, trials = 7, 20_000
    exact = np.linalg.matrix_power(chain.reshape(36, 36), steps)[0]

    def alone(key):
        start = state_of([[2, 1], [2, 2]], dirt=())
        keys = jax.random.split(key, steps)
        after, _ = jax.lax.scan(
            lambda s, k: (ENV.step(k, s, jnp.array([STAY, STAY]), ENV.default_params)[1], None), start, keys
        )
        return after.dirt.sum() * 6 + after.apples.sum()

    ends = quickly(jax.vmap(alone))(jax.random.split(jax.random.key(3), trials))
    counts = np.bincount(ends, minlength=36)
    assert counts[exact == 0].sum() == 0
    likely = exact > 1e-3
    assert likely.sum() > 10 and within(counts[likely], trials, exact[likely])


@settings(max_examples=80, deadline=None)
@given(seed=st.integers(0, 10_000), params_seed=st.booleans())
def test_any_step_is_what_the_rules_say(seed, params_seed):
    """The rules again, in plain loops; where the game draws, what it drew is only asked to be possible."""
    random = np.random.default_rng(seed)
    cells = random.choice(20, 2, replace=False)
    state = state_of(
        np.stack([cells // 4, cells % 4], 1).tolist(),
        dirt=np.flatnonzero(random.random(5) < 0.5).tolist(),
        apples=np.flatnonzero(random.random(5) < 0.5).tolist(),
        frozen=(random.integers(0, 6, 2) * (random.random(2) < 0.3)).tolist(),
    )
    actions = random.integers(0, 6, 2)
    params = QUIET.replace(zap_success=jnp.float32(params_seed), pollution=jnp.float32(random.integers(0, 2)))
    _, after, rewards, *_ = STEP(jax.random.key(seed), state, jnp.array(actions), params)
    places = [tuple(p) for p in state.places.tolist()]
    acts = [f == 0 for f in state.frozen.tolist()]
    moves = {UP: (-1, 0), RIGHT: (0, 1), DOWN: (1, 0), LEFT: (0, -1)}
    wanted = []
    for i in range(2):
        down, right = moves.get(actions[i], (0, 0)) if acts[i] else (0, 0)
        target = (places[i][0] + down, places[i][1] + right)
        free = 0 <= target[0] < 5 and 0 <= target[1] < 4 and target != places[1 - i]
        wanted.append(target if free else places[i])
    new = [tuple(p) for p in after.places.tolist()]
    if wanted[0] == wanted[1]:
        assert new in ([wanted[0], places[1]], [places[0], wanted[1]])
    else:
        assert new == wanted
    dirt, apples, earned, frozen = set(np.flatnonzero(state.dirt)), set(np.flatnonzero(state.apples)), [0, 0], [0, 0]
    for i in range(2):
        row, column = new[i]
        if acts[i] and column == 3:
            dirt.discard(row)
        if acts[i] and column == 0 and row in apples:
            apples.discard(row)
            earned[i] = 1
        near = abs(new[0][0] - new[1][0]) + abs(new[0][1] - new[1][1]) <= 2
        hit = acts[1 - i] and actions[1 - i] == ZAP and near and acts[i] and params_seed
        frozen[i] = 5 if hit else max(int(state.frozen[i]) - 1, 0)
    assert rewards.tolist() == earned and after.frozen.tolist() == frozen
    dirt_after, apples_after = set(np.flatnonzero(after.dirt)), set(np.flatnonzero(after.apples))
    assert dirt <= dirt_after and len(dirt_after - dirt) == (params.pollution == 1 and len(dirt) < 5)
    assert apples <= apples_after
    assert len(apples_after - apples) in {0: {int(len(apples) < 5)}, 1: {0, 1}, 2: {0, 1}}.get(len(dirt), {0})
