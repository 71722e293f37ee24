"""Commons harvest: where apples grow and how often, against the rule written out by hand."""

import jax.numpy as jnp
import numpy as np
import pytest

from shaping import envs
from tests.compiling import quickly
from tests.envs.commons_harvest_states import (
    CELLS,
    ENV,
    FORWARD,
    MIDDLE,
    PARAMS,
    PATCH,
    RIGHT,
    STAY,
    UP,
    near,
    play,
    repeat,
    state_of,
    within,
)


@pytest.mark.parametrize("number", [0, 1, 2, 3, 5, 12])
def test_apples_grow_with_the_probability_of_the_number_of_apples_near(number):
    rates = np.array([0.0, 0.2, 0.5, 0.8])
    params = PARAMS.replace(regrowth=jnp.array(rates, jnp.float32))
    ripe = [CELLS.index(cell) for cell in near((2, 2), CELLS)[:number]]
    trials = 4000
    after = np.asarray(
        repeat(ENV, state_of([[5, 0], [5, 4]], apples=ripe), jnp.array([STAY, STAY]), params, trials).apples
    )
    for index, cell in enumerate(CELLS):
        if index in ripe:
            assert after[:, index].all()
        else:
            count = len(near(cell, [CELLS[i] for i in ripe]))
            assert within(after[:, index].sum(), trials, rates[min(count, 3)]), (cell, count)


def test_cells_of_a_patch_grow_independently():
    params = PARAMS.replace(regrowth=jnp.array([0.0, 0.5, 0.5, 0.5]))
    state = state_of([[5, 0], [5, 4]], apples=[MIDDLE])
    grown = np.asarray(repeat(ENV, state, jnp.array([STAY, STAY]), params, 4000).apples)[:, [0, 1, 2]]
    patterns = np.bincount(grown @ [1, 2, 4], minlength=8)
    assert within(patterns, 4000, 1 / 8)


def test_the_default_rates_are_met_to_the_letter():
    env = envs.make("commons_harvest", layout=PATCH)
    trials = 100_000
    for number, rate in ((1, 0.0025), (2, 0.005), (3, 0.025), (12, 0.025)):
        ripe = [CELLS.index(cell) for cell in near((2, 2), CELLS)[:number]]
        state = state_of([[5, 0], [5, 4]], apples=ripe)
        after = repeat(env, state, jnp.array([STAY, STAY]), env.default_params, trials)
        assert within(after.apples[:, MIDDLE].sum(), trials, rate)


def test_a_patch_that_is_empty_stays_empty_whatever_grows_elsewhere():
    env = envs.make("commons_harvest", layout=("AAA   AAA", "PPPPPPPPP"), regrowth=(0.0, 1.0))
    state = state_of([[1, 0], [1, 8]], apples=[4], env=env)
    after, *_ = play(state, *[[STAY, STAY]] * 4, params=env.default_params, step=quickly(env.step))
    assert after.apples.tolist() == [False] * 3 + [True] * 3


def test_apples_more_than_two_away_do_not_count():
    env = envs.make("commons_harvest", layout=("A A", "   ", "AAA", "PPP"), regrowth=(0.0, 1.0), num_players=1)
    cells, step = env.world.apples, quickly(env.step)
    for ripe in range(len(cells)):
        after, *_ = play(state_of([[3, 0]], apples=[ripe], env=env), [STAY], params=env.default_params, step=step)
        assert {cells[i] for i in np.flatnonzero(after.apples)} == {cells[ripe], *near(cells[ripe], cells)}
    assert (0, 0) not in near((2, 1), cells)  # a knight's move, the square root of 5


def test_what_is_eaten_does_not_grow_in_the_same_step_nor_feeds_its_neighbours():
    certain = PARAMS.replace(regrowth=jnp.ones(4, jnp.float32).at[0].set(0))
    state = state_of([[2, 1], [5, 4]], [RIGHT, UP])
    after, rewards, _ = play(state, [FORWARD, STAY], params=certain)
    assert rewards[0] == 1 and not after.apples[MIDDLE]
    alone = state_of([[2, 1], [5, 4]], [RIGHT, UP], apples=[MIDDLE])
    assert not play(alone, [FORWARD, STAY], params=certain)[0].apples.any()
