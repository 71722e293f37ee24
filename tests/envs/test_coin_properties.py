"""Properties of every Coin Game: its rules as a plain program, identities, symmetries, transformations, and counts."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shaping import envs
from tests.compiling import quickly
from tests.envs.coin_rules import names, near, pairs, transition

BATCH = 128
STRUCTURES = {
    "pola": {"dialect": "pola"},
    "red first on 4 x 9": {"dialect": "lola2018", "grid": (4, 9)},
    "egocentric on 4 x 3": {"dialect": "pax", "grid": (4, 3)},
    "loqa of three": {"dialect": "loqa", "num_players": 3, "grid": (3, 4)},
    "reciprocator of three": {"dialect": "reciprocator", "num_players": 3},
    "three free coins": {"coins": "per_colour", "num_players": 3, "stay": True},
    "a thin torus": {"dialect": "pola", "grid": (1, 5), "num_players": 3},
}
ENVS = {name: envs.make("coin_game", **structure) for name, structure in STRUCTURES.items()}
RULES_ALONE = {"loqa of three", "reciprocator of three"}
"""Their penalties are other numbers than one of two a thief."""

structures = st.sampled_from(sorted(STRUCTURES))
seeds = st.integers(0, 2**31 - 1)
_steps = {}


def step_all(name, states, actions, keys):
    """One step of a batch, one program a structure."""
    env = ENVS[name]
    if name not in _steps:
        _steps[name] = quickly(jax.vmap(env.step, in_axes=(0, 0, 0, None)))
    obs, after, rewards, _, truncated, info = _steps[name](keys, states, actions, env.default_params)
    return jax.tree.map(np.asarray, (obs, after, rewards, truncated, info["pickups"]))


def random_states(name, seed):
    """States that obey the game's rules of where coins lie, random actions and keys."""
    env, random = ENVS[name], np.random.default_rng(seed)
    players = random.integers(0, env.num_cells, (BATCH, env.num_players))
    coins = random.integers(0, env.num_cells, (BATCH, env.num_coins))
    if env.respawn == "free":
        for row in range(BATCH):
            free = np.setdiff1d(np.arange(env.num_cells), players[row])
            coins[row] = random.choice(free, env.num_coins, replace=False)
    colour = random.integers(0, env.num_players if env.coins == "alternating" else 1, BATCH)
    state = envs.CoinGameState.of(*(jnp.asarray(x, jnp.int32) for x in (players, coins, colour, np.zeros(BATCH))))
    actions = jnp.asarray(random.integers(0, len(env.action_names), (BATCH, env.num_players)), jnp.int32)
    return state, actions, jax.random.split(jax.random.key(seed), BATCH)


@settings(max_examples=25, deadline=None)
@given(structures, seeds)
def test_a_step_follows_from_the_rules_written_as_a_plain_program(name, seed):
    env = ENVS[name]
    state, actions, keys = random_states(name, seed)
    _, after, rewards, truncated, pickups = step_all(name, state, actions, keys)
    called = np.array(names(env))[np.asarray(actions)].tolist()
    players, coins, colours = (np.asarray(x) for x in (state.players, state.coins, state.colour))
    for row in range(BATCH):
        before = pairs(env, players[row]), pairs(env, coins[row]), int(colours[row])
        expected_players, expected_rewards, expected_pickups, colour, taken = transition(env, *before, called[row])
        assert pairs(env, after.players[row]) == expected_players
        np.testing.assert_allclose(rewards[row], expected_rewards, rtol=1e-6)
        assert pickups[row].tolist() == expected_pickups and after.colour[row] == colour
        for c, drawn in enumerate(taken):
            assert drawn or after.coins[row, c] == coins[row, c]
    assert np.all(after.step == 1) and not truncated.any()


@settings(max_examples=15, deadline=None)
@given(structures.filter(lambda name: name not in RULES_ALONE), seeds)
def test_rewards_sum_to_pickups_less_twice_those_of_another_colour(name, seed):
    _, _, rewards, _, pickups = step_all(name, *random_states(name, seed))
    wrong = pickups.sum((1, 2)) - np.trace(pickups, axis1=1, axis2=2)
    np.testing.assert_array_equal(rewards.sum(1), pickups.sum((1, 2)) - 2 * wrong)
    assert wrong.any() or ENVS[name].num_cells > 20


@settings(max_examples=15, deadline=None)
@given(structures, seeds)
def test_coins_that_come_back_free_lie_alone_and_all_cells_are_on_the_board(name, seed):
    env = ENVS[name]
    _, after, _, _, _ = step_all(name, *random_states(name, seed))
    for cells in (after.players, after.coins):
        assert cells.min() >= 0 and cells.max() < env.num_cells and cells.dtype == np.int32
    if env.respawn == "free":
        assert not np.any(after.coins[:, :, None] == after.players[:, None, :])
        assert all(len(set(row)) == env.num_coins for row in after.coins.tolist())


@settings(max_examples=15, deadline=None)
@given(structures, seeds)
def test_planes_have_one_mark_each_and_none_for_a_colour_without_a_coin(name, seed):
    env = ENVS[name]
    obs, after, *_ = step_all(name, *random_states(name, seed))
    n, (rows, columns) = env.num_players, env.grid
    if env.layout == "channels_last":
        obs = np.moveaxis(obs.reshape(BATCH, n, rows, columns, 2 * n), -1, 2)
    obs = obs.reshape(BATCH, n, 2 * n, rows * columns)
    assert set(np.unique(obs)) <= {0, 1}
    marks = obs.sum(-1)
    expected = np.ones((BATCH, n, 2 * n))
    if env.coins == "alternating":
        for i in range(n):
            for c in range(n):
                place = (c - i) % n if env.view == "cyclic" else c
                expected[:, i, n + place] = after.colour == c
    np.testing.assert_array_equal(marks, expected)


@settings(max_examples=15, deadline=None)
@given(structures, seeds, st.integers(0, 5), st.integers(0, 5))
def test_shifting_everything_on_the_torus_shifts_what_is_not_drawn(name, seed, down, right):
    env = ENVS[name]
    (rows, columns), (state, actions, keys) = env.grid, random_states(name, seed)

    def shift(cells):
        cells = np.asarray(cells)
        return jnp.asarray(
            ((cells // columns + down) % rows) * columns + (cells % columns + right) % columns, jnp.int32
        )

    _, after, rewards, _, pickups = step_all(name, state, actions, keys)
    moved = envs.CoinGameState.of(shift(state.players), shift(state.coins), state.colour, state.step)
    obs, after_moved, rewards_moved, _, pickups_moved = step_all(name, moved, actions, keys)
    np.testing.assert_array_equal(rewards_moved, rewards)
    np.testing.assert_array_equal(pickups_moved, pickups)
    np.testing.assert_array_equal(after_moved.players, shift(after.players))
    np.testing.assert_array_equal(after_moved.colour, after.colour)
    rests = after.coins == np.asarray(state.coins)
    rests &= ~pickups.any((1, 2))[:, None]
    np.testing.assert_array_equal(after_moved.coins[rests], np.asarray(shift(after.coins))[rests])


@settings(max_examples=15, deadline=None)
@given(structures.filter(lambda name: ENVS[name].tie == "all"), seeds)
def test_turning_seats_and_colours_round_turns_the_rewards_round(name, seed):
    env = ENVS[name]
    n = env.num_players
    state, actions, keys = random_states(name, seed)
    _, after, rewards, _, pickups = step_all(name, state, actions, keys)
    turned = envs.CoinGameState.of(
        jnp.roll(state.players, 1, axis=1),
        state.coins if env.num_coins == 1 else jnp.roll(state.coins, 1, axis=1),
        (state.colour + 1) % n if env.num_coins == 1 else state.colour,
        state.step,
    )
    _, after_turned, rewards_turned, _, pickups_turned = step_all(name, turned, jnp.roll(actions, 1, axis=1), keys)
    np.testing.assert_array_equal(rewards_turned, np.roll(rewards, 1, axis=1))
    np.testing.assert_array_equal(after_turned.players, np.roll(after.players, 1, axis=1))
    np.testing.assert_array_equal(pickups_turned, np.roll(pickups, (1, 1), axis=(1, 2)))
    if env.num_coins == 1:
        np.testing.assert_array_equal(after_turned.colour, (after.colour + 1) % n)


@pytest.mark.parametrize("name", ["three free coins"])
def test_neither_jit_nor_vmap_changes_a_step_and_a_key_gives_the_same(name):
    env = ENVS[name]
    state, actions, keys = random_states(name, 5)
    together = step_all(name, state, actions, keys)
    jax.tree.map(np.testing.assert_array_equal, step_all(name, state, actions, keys), together)
    one = jax.jit(env.step)
    for row in range(20):
        here = jax.tree.map(lambda x, row=row: x[row], (state, actions))
        obs, after, rewards, _, truncated, info = one(keys[row], *here, env.default_params)
        alone = (obs, after, rewards, truncated, info["pickups"])
        jax.tree.map(lambda a, b, row=row: np.testing.assert_array_equal(a, b[row]), alone, together)
        if row == 0:
            plain = env.step(keys[row], *here, env.default_params)
            jax.tree.map(np.testing.assert_array_equal, plain[:3], (obs, after, rewards))


# Counts


def episode(env, steps, seed):
    """A long game of random actions: every state before a step, pickups, ends, and counts after it, stacked."""
    params, wrapped = env.default_params, envs.AutoReset(env)

    def step(carry, now):
        state, counts = carry
        actions = env.action_space.sample(jax.random.fold_in(now, 1), (env.num_players,))
        _, after, rewards, _, truncated, info = wrapped.step(now, state, actions, params)
        counts = wrapped.count(counts, state, actions, rewards, truncated, info)
        return (after, counts), (state.env, info["pickups"], truncated, counts)

    key = jax.random.key(seed)
    start = wrapped.reset(key, params)[1], wrapped.start_counts()
    keys = jax.random.split(jax.random.fold_in(key, 3), steps)
    return jax.tree.map(np.asarray, quickly(lambda: jax.lax.scan(step, start, keys)[1])())


def recount(env, states, pickups, ended):
    """The counts after every step, from their definitions alone."""
    n, steps = env.num_players, len(ended)
    total = {key: np.zeros(n, int) for key in ("own_near", "own_missed", "other_near", "other_spared")}
    total |= {"own_after": np.zeros((n, 9), int), "other_after": np.zeros((n, 9), int)}
    own_last, others_last = [0] * n, [0] * n
    recorded = {key: [] for key in [*total, "last"]}
    for t in range(steps):
        cells, coins = pairs(env, states.players[t]), pairs(env, states.coins[t])
        colours = [int(states.colour[t])] if env.coins == "alternating" else range(n)
        played = not (env.last_step == "restart" and ended[t])
        did = []
        for i in range(n):
            own = bool(pickups[t, i, i])
            other = bool(pickups[t, i].sum() - pickups[t, i, i])
            own_near = played and any(near(env, cells[i], at) for c, at in zip(colours, coins, strict=True) if c == i)
            other_near = played and any(near(env, cells[i], at) for c, at in zip(colours, coins, strict=True) if c != i)
            total["own_near"][i] += own_near
            total["own_missed"][i] += own_near and not own
            total["other_near"][i] += other_near
            total["other_spared"][i] += other_near and not other
            history = 3 * own_last[i] + others_last[i]
            total["own_after"][i, history] += own
            total["other_after"][i, history] += other
            did.append(2 if other else 1 if own else 0)
        for i in range(n):
            by_others = max(did[:i] + did[i + 1 :])
            own_last[i] = 0 if ended[t] else did[i] or own_last[i]
            others_last[i] = 0 if ended[t] else by_others or others_last[i]
        for key, value in total.items():
            recorded[key].append(value.copy())
        recorded["last"].append(np.stack([own_last, others_last], axis=1))
    return {key: np.stack(value) for key, value in recorded.items()}


COUNTED = {
    "jaxmarl, which zeroes the last step": {"dialect": "jaxmarl"},
    "mfos, whose last step is no move": {"dialect": "mfos", "horizon": 5},
    "loqa of three": {"dialect": "loqa", "num_players": 3, "grid": (2, 3), "horizon": 40},
    "a thin torus": {"coins": "per_colour", "stay": True, "grid": (1, 5), "horizon": 30},
}


@pytest.mark.parametrize(
    "case", [pytest.param(case, marks=[pytest.mark.slow] * (case == "a thin torus")) for case in COUNTED]
)
def test_counts_are_those_of_their_definitions(case):
    env = envs.make("coin_game", **COUNTED[case])
    states, pickups, ended, counts = episode(env, 800, 4)
    assert ended.sum() == 800 // env.horizon
    for key, value in recount(env, states, pickups, ended).items():
        np.testing.assert_array_equal(getattr(counts, key), value, err_msg=key)
    np.testing.assert_array_equal(counts.pickups, pickups.cumsum(0))
    np.testing.assert_array_equal(counts.steps, np.arange(1, 801))


def test_counts_of_two_players_are_those_of_loqas_statistics():
    """Aghajohari et al. 2024, `coin_game.py:episode_stats`, from observations alone: planes rolled by one cell reach a
    coin; a pickup is a player's next plane on a coin's previous one."""
    env = envs.make("coin_game", dialect="loqa", horizon=4000)
    states, _, _, counts = episode(env, 1000, 8)
    seen = np.asarray(jax.vmap(lambda state: env.observe(state, env.default_params)[0])(states)).astype(bool)
    before, after = seen[:-1], seen[1:]
    reach = np.zeros_like(before[:, :2])
    for axis in (2, 3):
        for sign in (-1, 1):
            reach |= np.roll(before[:, :2], sign, axis=axis)
    for coins, close, missed in [
        (before[:, 2:], counts.own_near, counts.own_missed),
        (before[:, 2:][:, ::-1], counts.other_near, counts.other_spared),
    ]:
        adjacent, took = (reach & coins).any((2, 3)), (after[:, :2] & coins).any((2, 3))
        np.testing.assert_array_equal(adjacent.cumsum(0), close[:-1])
        np.testing.assert_array_equal((adjacent & ~took).cumsum(0), missed[:-1])


def test_a_very_long_episode_neither_ends_early_nor_overflows():
    env = envs.make("coin_game", dialect="reciprocator", horizon=200_000)
    states, pickups, ended, counts = episode(env, 70_000, 2)
    assert not ended.any() and states.step.tolist() == list(range(70_000))
    assert counts.steps[-1] == 70_000 > 2**16 and counts.pickups.dtype == np.int32
    np.testing.assert_array_equal(counts.pickups, pickups.cumsum(0))
    assert counts.pickups[-1].min() > 2000 and np.all(counts.own_near[-1] > 10_000)
    after = recount(env, jax.tree.map(lambda x: x[:1000], states), pickups[:1000], ended[:1000])
    for key, value in after.items():
        np.testing.assert_array_equal(getattr(counts, key)[:1000], value, err_msg=key)
    # Of two coins at once each is counted in its own table.
    total = counts.own_after[-1].sum(1) + counts.other_after[-1].sum(1)
    np.testing.assert_array_equal(total, counts.pickups[-1].sum(1))
    assert (pickups.sum(2) == 2).any()
