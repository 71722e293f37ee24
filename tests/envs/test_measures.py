"""Numbers derived from counts, worked out by hand."""

import jax.numpy as jnp
import numpy as np

from shaping import envs
from shaping.envs.coin_game import measures
from shaping.envs.coin_game.counts import HISTORIES
from shaping.envs.matrix.measures import cooperation_by_state
from shaping.envs.measures import equality, fraction


def test_fractions_are_of_what_came_up():
    counts = envs.make("coin_game").start_counts()
    one, two = counts.players
    one = one.replace(
        pickups=(jnp.int32(3), jnp.int32(1)),
        own_near=jnp.int32(4),
        own_missed=jnp.int32(1),
        other_near=jnp.int32(10),
        other_spared=jnp.int32(4),
        own_after=one.own_after.at[HISTORIES.index("CD")].set(3),
        other_after=one.other_after.at[HISTORIES.index("CD")].set(1),
    )
    two = two.replace(
        other_near=jnp.int32(5),
        other_spared=jnp.int32(5),
        other_after=two.other_after.at[HISTORIES.index("SS")].set(2),
    )
    counts = counts.replace(players=(one, two))
    np.testing.assert_allclose(measures.own_fraction(counts), [0.75, np.nan])
    np.testing.assert_allclose(measures.missed_fraction(counts), [0.25, np.nan])
    np.testing.assert_allclose(measures.spared_fraction(counts), [0.4, 1])
    history = np.full((2, 9), np.nan)
    history[0, HISTORIES.index("CD")], history[1, HISTORIES.index("SS")] = 0.75, 0
    np.testing.assert_allclose(measures.cooperation_by_history(counts), history, rtol=1e-6)


def test_fractions_take_leading_axes_and_more_players():
    pickups = np.arange(18).reshape(2, 3, 3)
    counts = envs.make("coin_game", num_players=3).start_counts()
    players = [
        player.replace(pickups=tuple(jnp.asarray(pickups[:, i, c]) for c in range(3)))
        for i, player in enumerate(counts.players)
    ]
    counts = counts.replace(players=tuple(players))
    expected = [[0 / 3, 4 / 12, 8 / 21], [9 / 30, 13 / 39, 17 / 48]]
    np.testing.assert_allclose(measures.own_fraction(counts), expected, rtol=1e-6)


def test_cooperation_by_state_is_of_the_steps_spent_there():
    counts = {"steps": jnp.array([[1, 4, 0, 0, 2]]), "cooperations": jnp.array([[1, 3, 0, 0, 0]])}
    np.testing.assert_allclose(cooperation_by_state(counts), [[1, 0.75, np.nan, np.nan, 0]])


def test_equality_is_one_where_all_got_the_same_and_one_over_players_where_one_got_everything():
    np.testing.assert_allclose(equality([[3, 3, 3, 3], [0, 7, 0, 0], [0, 0, 0, 0]]), [1, 1 / 4, np.nan])
    # Gini's index of 1, 2, 3: half the mean absolute difference, (1 + 2 + 1) * 2 / 9 / 2, over the mean, 2.
    np.testing.assert_allclose(equality([1, 2, 3]), 1 - 2 / 9, rtol=1e-6)


def test_a_fraction_of_nothing_is_not_a_number():
    np.testing.assert_allclose(fraction([1, 0], [4, 0]), [0.25, np.nan])
