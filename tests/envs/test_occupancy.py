"""Distinct places, and who enters where, against counting and against the rule written out player by player."""

from itertools import permutations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shaping.envs.grid.occupancy import draw_below, draw_distinct, enters, happens, uniform
from shaping.envs.grid.player_order import own_first

enter = jax.jit(enters)


def test_uniform_numbers_are_below_1_whatever_the_word():
    words = jnp.array([0, 1, 2**31, 2**32 - 1], jnp.uint32)
    np.testing.assert_array_equal(uniform(words), np.float32([0, 0, 0.5, 1 - 2**-24]))
    assert happens(words, jnp.float32(1.0)).all() and not happens(words, jnp.float32(0.0)).any()
    for count in (1, 3, 5, 20, 77):
        assert np.asarray(draw_below(words, count)).tolist() == [0, 0, count // 2, count - 1]


def test_every_ordered_choice_of_distinct_numbers_is_as_probable_as_any_other():
    draws = 60_000
    words = jax.random.bits(jax.random.key(0), (draws, 3), jnp.uint32)
    drawn = np.asarray(jax.jit(jax.vmap(lambda words: draw_distinct(words, 4)))(words))
    choices = list(permutations(range(4), 3))
    counts = np.array([np.sum(np.all(drawn == choice, axis=1)) for choice in choices])
    assert counts.sum() == draws  # distinct and in range, all of them
    p = 1 / len(choices)
    assert np.all(abs(counts / draws - p) < 4 * np.sqrt(p * (1 - p) / draws))


def test_as_many_distinct_numbers_as_there_are_come_all():
    words = jax.random.bits(jax.random.key(1), (50, 9), jnp.uint32)
    drawn = jax.jit(jax.vmap(lambda words: draw_distinct(words, 9)))(words)
    np.testing.assert_array_equal(np.sort(drawn, axis=1), np.tile(np.arange(9), (50, 1)))


cell = st.tuples(st.integers(0, 2), st.integers(0, 2))


@settings(max_examples=150, deadline=None)
@given(
    places=st.lists(cell, min_size=4, max_size=4, unique=True),
    targets=st.lists(cell, min_size=4, max_size=4),
    standing=st.lists(st.booleans(), min_size=4, max_size=4),
    moving=st.lists(st.booleans(), min_size=4, max_size=4),
    equal_words=st.booleans(),
    seed=st.integers(0, 999),
)
def test_one_of_those_who_want_a_free_cell_enters_and_nobody_a_taken_one(
    places, targets, standing, moving, equal_words, seed
):
    moving = [moves and target != place for moves, target, place in zip(moving, targets, places, strict=True)]
    words = jnp.zeros(4, jnp.uint32) if equal_words else jax.random.bits(jax.random.key(seed), (4,), jnp.uint32)
    entered = np.asarray(enter(jnp.array(places), jnp.array(targets), jnp.array(standing), jnp.array(moving), words))
    for target in set(targets):
        wanting = [i for i in range(4) if moving[i] and targets[i] == target]
        taken = [i for i in range(4) if standing[i] and places[i] == target]
        assert entered[wanting].sum() == (1 if wanting and not taken else 0)
    assert not entered[~np.array(moving)].any()


@pytest.mark.parametrize("contenders", [2, 3])
def test_those_who_want_the_same_cell_have_equal_chances(contenders):
    trials = 20_000
    places = jnp.stack([jnp.arange(contenders), jnp.zeros(contenders, int)], axis=1).astype(jnp.int32)
    targets = jnp.full((contenders, 2), 7, jnp.int32)
    everybody = jnp.ones(contenders, bool)
    words = jax.random.bits(jax.random.key(2), (trials, contenders), jnp.uint32)
    shares = np.mean(
        jax.jit(jax.vmap(lambda words: enters(places, targets, everybody, everybody, words)))(words), axis=0
    )
    p = 1 / contenders
    assert np.all(abs(shares - p) < 4 * np.sqrt(p * (1 - p) / trials))


def test_own_things_come_first_and_the_others_by_ascending_seat():
    assert np.asarray(own_first(jnp.arange(3))).tolist() == [[0, 1, 2], [1, 0, 2], [2, 0, 1]]
