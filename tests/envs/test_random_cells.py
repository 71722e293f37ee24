"""Uniform draws from short random words: over all words, every value occurs exactly as often as it should."""

import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from shaping.envs.grid.random_cells import nth_free_cell, num_words, random_free_cell, split_word


@pytest.mark.parametrize("ranges", [[9], [2, 9, 8], [1, 5, 1, 3], [4, 4, 4, 4]])
def test_every_combination_comes_from_exactly_one_word_of_a_period(ranges):
    words = jnp.arange(math.prod(ranges), dtype=jnp.uint32)
    drawn = jax.jit(jax.vmap(lambda word: jnp.stack(split_word(word[None], ranges))))(words)
    assert drawn.dtype == jnp.int32
    assert sorted(map(tuple, np.asarray(drawn).tolist())) == list(itertools.product(*map(range, ranges)))


def test_integers_that_do_not_fit_into_one_word_come_from_several_and_do_not_share_them():
    ranges = [9] * 8  # 9**5 is the largest power of 9 below 2**16
    assert num_words(ranges) == 2 and num_words([9] * 5) == 1 and num_words([256, 256]) == 1
    assert num_words([]) == 1 and num_words([1] * 50) == 1
    words = jnp.array([123456789, 987654321], jnp.uint32)
    drawn = [int(x) for x in split_word(words, ranges)]
    assert drawn == [123456789 // 9**k % 9 for k in range(5)] + [987654321 // 9**k % 9 for k in range(3)]


def test_the_largest_words_give_values_in_range():
    drawn = split_word(jnp.full(1, 2**32 - 1, jnp.uint32), [7, 9, 11])
    top = 2**32 - 1
    assert [int(x) for x in drawn] == [top % 7, top // 7 % 9, top // 63 % 11]


@pytest.mark.parametrize("count", [0, 1, 2, 3, 4])
def test_the_nth_free_cell_is_that_of_a_list_without_the_occupied_ones(count):
    cells = 5
    cases = list(itertools.product(range(cells), repeat=count))
    free = [[cell for cell in range(cells) if cell not in case] for case in cases]
    ranks = [(i, rank) for i, left in enumerate(free) for rank in range(len(left))]
    occupied = jnp.array([cases[i] for i, _ in ranks], jnp.int32).reshape(len(ranks), count)
    found = jax.jit(jax.vmap(lambda rank, taken: nth_free_cell(rank, [taken[k] for k in range(count)])))(
        jnp.array([rank for _, rank in ranks], jnp.int32), occupied
    )
    assert np.asarray(found).tolist() == [free[i][rank] for i, rank in ranks]


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_a_random_free_cell_is_each_of_them_equally_often(count):
    cells = 5
    period = math.lcm(*range(1, cells))
    cases = np.array(list(itertools.product(range(cells), repeat=count)), np.int32)
    draw = jax.vmap(
        lambda taken: jax.vmap(lambda word: random_free_cell(word, [taken[k] for k in range(count)], cells))(
            jnp.arange(period, dtype=jnp.uint32)
        )
    )
    drawn = np.asarray(jax.jit(draw)(jnp.asarray(cases)))
    assert drawn.dtype == np.int32
    for case, row in zip(cases.tolist(), drawn, strict=True):
        free = [cell for cell in range(cells) if cell not in case]
        expected = [period // len(free) if cell in free else 0 for cell in range(cells)]
        assert np.bincount(row, minlength=cells).tolist() == expected
