"""Permutations place by place: bijections, evenly drawn, of a part of the places where asked."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from shaping.population import random_permutation
from shaping.population.random_permutation import below
from tests.compiling import quickly

permuted, permuted_among = quickly(random_permutation.permuted), quickly(random_permutation.permuted_among)


@pytest.mark.parametrize("count", [1, 3, 997, *(pytest.param(n, marks=pytest.mark.slow) for n in (2, 10))])
def test_every_place_goes_somewhere_else(count):
    found = permuted(jax.random.key(1), jnp.arange(count), count)
    np.testing.assert_array_equal(np.sort(found), np.arange(count))


def test_a_place_goes_where_it_goes_whichever_others_are_asked_for():
    key, places = jax.random.key(2), jnp.arange(1000)
    np.testing.assert_array_equal(permuted(key, places, 1000)[100:200], permuted(key, places[100:200], 1000))
    assert np.any(permuted(key, places, 1000) != permuted(jax.random.key(3), places, 1000))


def test_all_permutations_are_equally_frequent():
    """Chi-squared of 12,000 draws over the 24 permutations of four places; 23 degrees of freedom, mean 23, sd 6.8."""
    keys = jax.random.split(jax.random.key(0), 12_000)
    found = np.asarray(quickly(jax.vmap(lambda key: random_permutation.permuted(key, jnp.arange(4), 4)))(keys))
    counts = np.unique(found, axis=0, return_counts=True)[1]
    assert len(counts) == 24 and np.sum((counts - 500) ** 2 / 500) < 23 + 4 * 6.8


def test_only_chosen_places_change_their_occupants_and_only_among_them():
    chosen, occupants = jnp.arange(50) % 3 == 0, jnp.arange(50)[::-1].astype(jnp.int32)
    found = np.asarray(permuted_among(jax.random.key(0), chosen, occupants))
    np.testing.assert_array_equal(found[~chosen], occupants[~chosen])
    np.testing.assert_array_equal(np.sort(found[chosen]), np.sort(occupants[chosen]))
    assert np.any(found != occupants)
    np.testing.assert_array_equal(permuted_among(jax.random.key(0), chosen & False, occupants), occupants)


def test_words_below_a_count_are_those_of_long_multiplication():
    words = np.array([0, 1, 65535, 65536, 2**31, 2**32 - 1, 123456789], np.uint32)
    for count in (1, 2, 1000, 70000, 2**31 - 1):
        expected = (words.astype(np.uint64) * count) >> 32
        np.testing.assert_array_equal(below(jnp.asarray(words), count), expected)
