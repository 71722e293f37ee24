"""In-the-matrix games against JaxMARL's storm_2p, action by action from its own states."""

import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from shaping import envs
from tests.compiling import quickly

BATCH, STEPS = 64, 140


@pytest.fixture(scope="module")
def peer():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pytest.importorskip("jaxmarl", reason="jaxmarl is not installed; the extra is called peers")
        from jaxmarl.environments.storm.storm_2p import InTheGrid_2p
    return InTheGrid_2p()


def translated(env, theirs):
    """One of their states as ours; a beam shows where a cell of it is marked."""
    sites = jnp.concatenate([theirs.red_coins, theirs.blue_coins]).astype(jnp.int32)
    bodies = jnp.stack([theirs.red_pos, theirs.blue_pos]).astype(jnp.int32)
    kinds = jnp.repeat(jnp.array([3, 4]), 6)
    return envs.InTheMatrixState(
        rows=bodies[:, 0],
        columns=bodies[:, 1],
        directions=bodies[:, 2],
        inventories=jnp.stack([theirs.red_inventory, theirs.blue_inventory]).astype(jnp.int32),
        frozen=jnp.full((2,), jnp.maximum(theirs.freeze, 0), jnp.int32),
        fired=jnp.zeros((2,), bool),
        sites=sites[:, 0] * 8 + sites[:, 1],
        present=theirs.grid[sites[:, 0], sites[:, 1]] == kinds,
        step=jnp.asarray(theirs.step, jnp.int32),
    )


@pytest.fixture(scope="module")
def replay(peer):
    """Their states before and after every step, what ours makes of the same state and actions, and observations of
    their states by both."""
    env = envs.make("in_the_matrix", dialect="storm_2p", horizon=10**6, observation="flat")
    params = env.default_params

    def one(key):
        def step(theirs, key):
            now, theirs_now = jax.random.split(key)
            drawn = jax.random.choice(now, 5, (2,), p=jnp.array([0.15, 0.15, 0.4, 0.25, 0.05]))
            seen, after, rewards, _, _ = peer.step_env(theirs_now, theirs, (drawn[0], drawn[1]))
            before = translated(env, theirs)
            obs, ours, our_rewards, _, _, info = env.step(key, before, drawn, params)
            flat = [jnp.concatenate([s["observation"].reshape(-1), s["inventory"]]) for s in seen]
            rows = {
                "before": before,
                "after": translated(env, after),
                "ours": ours,
                "rewards": (jnp.stack(rewards), our_rewards),
                "obs": (jnp.stack(flat), obs),
                "actions": drawn,
                "returned": (theirs.freeze == 1),
            }
            return after, rows

        _, start = peer.reset(key)
        return jax.lax.scan(step, start, jax.random.split(key, STEPS))[1]

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        rows = quickly(jax.vmap(one))(jax.random.split(jax.random.key(1), BATCH))
    # Not the first step: a coin dealt onto a player's cell at the start is a stated difference.
    return jax.tree.map(lambda x: np.asarray(x)[:, 1:].reshape(-1, *x.shape[2:]), rows)


def drawn_by_chance(replay):
    """Steps whose outcome is a draw: both enter one cell, or both return to new places."""
    before = replay["before"]
    step = np.array([(0, 1), (1, 0), (0, -1), (-1, 0)])[before.directions]
    forward = (replay["actions"] == 2) & (before.frozen == 0)
    here = np.stack([before.rows, before.columns], -1)
    there = np.clip(here + step * forward[..., None], 0, 7)
    both = (here != there).any(-1).all(-1) & (there[:, 0] == there[:, 1]).all(-1)
    return both | replay["returned"]


@pytest.mark.parametrize("field", ["rows", "columns", "directions", "inventories", "frozen", "present", "step"])
def test_a_step_from_the_same_state_leads_to_the_same_state(replay, field):
    same = ~drawn_by_chance(replay)
    assert same.sum() > 5000
    np.testing.assert_array_equal(getattr(replay["ours"], field)[same], getattr(replay["after"], field)[same])


def test_rewards_are_the_same(replay):
    theirs, ours = replay["rewards"]
    same = ~drawn_by_chance(replay)
    assert (theirs[same] != 0).any(1).sum() > 30
    np.testing.assert_allclose(ours[same], theirs[same], rtol=1e-5, atol=1e-6)


def test_observations_are_the_same_plane_by_plane_and_number_by_number(replay):
    theirs, ours = replay["obs"]
    same = ~drawn_by_chance(replay)
    assert all(theirs[same][..., plane:250:10].any() for plane in range(10))
    np.testing.assert_array_equal(ours[same], theirs[same])


def test_a_return_empties_the_inventories_and_brings_all_coins_back_but_those_under_players(replay):
    returned = replay["returned"]
    assert returned.sum() > 30
    for side in ("ours", "after"):
        state = jax.tree.map(lambda x: x[returned], replay[side])
        assert not state.inventories.any() and not state.frozen.any()
        cells = state.rows * 8 + state.columns
        np.testing.assert_array_equal(state.present, ~(state.sites[:, :, None] == cells[:, None]).any(-1))


def test_new_places_and_directions_come_from_the_same_set(peer, replay):
    returned = replay["returned"]
    ours, theirs = (
        {tuple(row) for row in np.concatenate([s.rows, s.columns], 1)[returned].tolist()}
        for s in (replay["ours"], replay["after"])
    )
    env = envs.make("in_the_matrix", dialect="storm_2p")
    keys = jax.random.split(jax.random.key(3), 2000)
    _, starts = quickly(jax.vmap(env.reset, (0, None)))(keys, env.default_params)
    _, their_starts = quickly(jax.vmap(peer.reset))(keys)
    bodies = np.concatenate([starts.rows, starts.columns], 1)
    red, blue = np.asarray(their_starts.red_pos), np.asarray(their_starts.blue_pos)
    assert {tuple(x) for x in bodies.tolist()} == {
        (int(r[0]), int(b[0]), int(r[1]), int(b[1])) for r, b in zip(red, blue, strict=True)
    }
    assert ours <= {tuple(x) for x in bodies.tolist()} and theirs <= {tuple(x) for x in bodies.tolist()}
    assert set(np.unique(starts.directions)) == set(np.unique([red[:, 2], blue[:, 2]])) == {0, 1, 2}
    sites = np.concatenate([their_starts.red_coins, their_starts.blue_coins], 1)
    np.testing.assert_array_equal(starts.sites, sites[..., 0] * 8 + sites[..., 1])
