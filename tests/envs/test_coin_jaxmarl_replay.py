"""The dialects of JaxMARL and Pax, step by step against JaxMARL 0.2.0's own Coin Game from the same states.

Random draws of that program (new coins, starts of episodes) are copied; everything else has to agree. Its rows count
upwards: its action 2, "up", adds one to the row; ours does the same and calls it down.
"""

import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from shaping import envs
from tests.compiling import quickly

INNER, OUTER, GAMES, STEPS = 10, 3, 64, 66
HISTORIES = {(0, 0): 0, (1, 1): 1, (1, 2): 2, (2, 1): 3, (2, 2): 4, (0, 1): 5, (0, 2): 6, (2, 0): 7, (1, 0): 8}
"""The program's index of (red's, blue's) last pickups, by its code (`state2idx`)."""


@pytest.fixture(scope="module")
def peer():
    pytest.importorskip("jaxmarl", reason="JaxMARL is the reference here: pip install shaping[peers]")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from jaxmarl.environments.coin_game.coin_game import CoinGame
    return CoinGame


def cells(positions):
    return (positions[..., 0] * 3 + positions[..., 1]).astype(jnp.int32)


def ours_from(theirs, step):
    players = jnp.stack([cells(theirs.red_pos), cells(theirs.blue_pos)])
    coins = jnp.stack([cells(theirs.red_coin_pos), cells(theirs.blue_coin_pos)])
    return envs.CoinGameState.of(players, coins, jnp.int32(0), step.astype(jnp.int32))


def replay(peer, dialect, cnn, **settings):
    """Both games from the same states and actions: a dict of arrays [time, game, ...]."""
    egocentric = dialect == "pax"
    theirs = peer(INNER, OUTER, cnn=cnn, egocentric=egocentric, **settings)
    env = envs.make("coin_game", dialect=dialect, horizon=INNER, flat=not cnn)
    wrapped = envs.AutoReset(env, episodes=OUTER)
    params = env.default_params

    def step(carry, key):
        state, episode, counts = carry
        acts, draws, own = jax.random.split(key, 3)
        actions = jax.random.randint(acts, (2,), 0, 5)
        before = ours_from(state, state.step)
        # step_env, and a reset of our choosing where a trial ends, so that its last statistics can be read.
        obs, after, rewards, dones, info = theirs.step_env(draws, state, {"0": actions[0], "1": actions[1]})
        _, fresh = theirs.reset(jax.random.fold_in(draws, 1))
        mine = wrapped.step(own, envs.AutoResetState(before, episode), actions, params)
        _, ours, our_rewards, terminated, truncated, our_info = mine
        plain = env.step(own, before, actions, params)[1]
        taken = our_info["pickups"].sum(0) > 0
        copied = ours_from(after, after.step)
        out = {
            "their_rewards": jnp.stack([rewards["0"], rewards["1"]]),
            "rewards": our_rewards,
            "their_players": copied.players,
            "players": plain.players,
            "their_coins": copied.coins,
            "coins": plain.coins,
            "old_coins": before.coins,
            "taken": taken,
            "pickups": our_info["pickups"],
            "their_obs": jnp.stack([obs["0"], obs["1"]]),
            "obs": env.observe(copied, params),
            "inner": info["inner_episode_done"],
            "episode_ended": our_info["episode_ended"],
            "truncated": truncated,
            "terminated": terminated,
            "outer": dones["__all__"],
            "trial_ended": our_info["trial_ended"],
            "episode": ours.episode,
            "their_episode": jnp.where(dones["__all__"], 0, after.outer_t),
            "our_step": ours.env.step,
            "their_step": after.step,
            "last": counts.last,
            "their_last": state.last_state,
            "stats": jnp.stack([after.red_coop, after.red_defect, after.blue_coop, after.blue_defect]).sum(-1),
            "counter": after.counter,
            "coop1": after.coop1,
            "coop2": after.coop2,
        }
        counts = env.count(counts, before, actions, our_rewards, truncated, our_info)
        out["counts"] = counts
        state = jax.tree.map(lambda new, old: jnp.where(dones["__all__"], new, old), fresh, after)
        return (state, ours.episode, counts), out

    def game(key):
        _, state = theirs.reset(key)
        return jax.lax.scan(step, (state, jnp.int32(0), env.start_counts()), jax.random.split(key, STEPS))[1]

    return jax.tree.map(np.asarray, quickly(jax.vmap(game))(jax.random.split(jax.random.key(11), GAMES)))


@pytest.fixture(scope="module", params=[("jaxmarl", False), ("pax", True)], ids=["jaxmarl flat", "pax planes"])
def record(request, peer):
    return replay(peer, *request.param)


def test_players_and_coins_go_where_theirs_go(record):
    going_on = ~record["inner"]
    assert going_on.sum() > 3000
    np.testing.assert_array_equal(record["players"][going_on], record["their_players"][going_on])
    resting = going_on[..., None] & ~record["taken"]
    np.testing.assert_array_equal(record["coins"][resting], record["their_coins"][resting])
    np.testing.assert_array_equal(record["coins"][~record["taken"]], record["old_coins"][~record["taken"]])


def test_rewards_are_theirs_and_those_of_an_episodes_last_step_are_zero(record):
    np.testing.assert_array_equal(record["rewards"], record["their_rewards"])
    last = record["inner"]
    assert not record["rewards"][last].any() and record["pickups"][last].any()
    # Every reward that two coins can give occurs.
    assert set(np.unique(record["rewards"])) == {-2, -1, 0, 1, 2}


def test_both_see_the_same(record):
    np.testing.assert_array_equal(record["obs"], record["their_obs"])
    assert record["obs"].dtype == record["their_obs"].dtype == np.int8


def test_episodes_and_trials_end_together(record):
    np.testing.assert_array_equal(record["episode_ended"], record["inner"])
    np.testing.assert_array_equal(record["truncated"], record["inner"])
    np.testing.assert_array_equal(record["trial_ended"], record["outer"])
    np.testing.assert_array_equal(record["episode"], record["their_episode"])
    np.testing.assert_array_equal(record["our_step"], record["their_step"])
    assert not record["terminated"].any() and record["outer"].sum() == GAMES * (STEPS // (INNER * OUTER))


def test_pickups_are_those_their_statistics_count(record):
    """Per trial; also those of last steps, which pay nothing."""
    red_coop, red_defect, blue_coop, blue_defect = np.moveaxis(record["stats"], -1, 0)
    pickups, ends = record["pickups"], np.flatnonzero(record["outer"][0])
    for start, end in zip([0, *(ends[:-1] + 1)], ends, strict=True):
        total = pickups[:, start : end + 1].sum(1)
        np.testing.assert_array_equal(total[:, 0, 0], red_coop[:, end])
        np.testing.assert_array_equal(total[:, 0, 1], red_defect[:, end])
        np.testing.assert_array_equal(total[:, 1, 1], blue_coop[:, end])
        np.testing.assert_array_equal(total[:, 1, 0], blue_defect[:, end])
    np.testing.assert_array_equal(record["counts"].pickups, pickups.cumsum(1))


def test_histories_are_theirs(record):
    np.testing.assert_array_equal(record["last"][:, :, 0], record["their_last"])
    np.testing.assert_array_equal(record["last"][:, :, 1], record["their_last"][:, :, ::-1])


def test_pickups_of_own_coins_by_history_are_theirs(record):
    """Their statistics are of a trial and ours go on; both are compared at the end of the first. Histories are (own,
    other) here, and (red, blue) there for both."""
    end = INNER * OUTER - 1
    own = record["counts"].own_after[:, end].reshape(-1, 2, 3, 3)
    steps = np.zeros((GAMES, 3, 3), int)
    for time in range(end + 1):
        red, blue = record["last"][:, time, 0].T
        steps[np.arange(GAMES), red, blue] += 1
    for (red, blue), index in HISTORIES.items():
        np.testing.assert_array_equal(own[:, 0, red, blue], record["coop1"][:, end, index])
        np.testing.assert_array_equal(own[:, 1, blue, red], record["coop2"][:, end, index])
        np.testing.assert_array_equal(steps[:, red, blue], record["counter"][:, end, index])
    assert own.sum() > 300


def test_other_payoffs_of_theirs_are_our_numbers(peer):
    """Their matrix [[rr, rb, penalty], [br, bb, penalty]] in our order: own colour, another's, taken."""
    theirs = peer(payoff_matrix=[[3, 0.5, -1.5], [0.25, 5, -7]])
    env = envs.make("coin_game", dialect="jaxmarl")
    params = envs.CoinGameParams(jnp.array([[3, 0.5, -1.5], [5, 0.25, -7.0]]), jnp.int32(10))

    def both(key):
        _, state = theirs.reset(key)
        actions = jax.random.randint(key, (2,), 0, 5)
        rewards = theirs.step_env(key, state, {"0": actions[0], "1": actions[1]})[2]
        return jnp.stack([rewards["0"], rewards["1"]]), env.step(key, ours_from(state, state.step), actions, params)[2]

    left, right = quickly(jax.vmap(both))(jax.random.split(jax.random.key(2), 4000))
    np.testing.assert_array_equal(left, right)
    assert len(np.unique(np.asarray(left), axis=0)) > 10
