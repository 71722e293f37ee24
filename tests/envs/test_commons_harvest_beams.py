"""Commons harvest: beams, time-outs and the way back, against the rules written out by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from shaping import envs
from tests.compiling import quickly
from tests.envs.commons_harvest_states import (
    DOWN,
    ENV,
    FORWARD,
    HALL,
    HALL_STEP,
    LEFT,
    MIDDLE,
    PARAMS,
    RIGHT,
    STAY,
    UP,
    ZAP,
    play,
    repeat,
    state_of,
    within,
)


@pytest.mark.parametrize("facing", [UP, RIGHT, DOWN, LEFT])
def test_a_beam_covers_three_cells_ahead_and_one_to_either_side(facing):
    env = envs.make("commons_harvest", layout=(" " * 9,) * 8 + ("PPPPPPPPA",))
    step = quickly(jax.vmap(env.step, in_axes=(None, 0, None, None)))
    targets = [(row, column) for row in range(9) for column in range(9) if (row, column) != (4, 4)]
    states = [state_of([(4, 4), target], [facing, UP], env=env) for target in targets]
    together = jax.tree.map(lambda *leaves: jnp.stack(leaves), *states)
    info = step(jax.random.key(0), together, jnp.array([ZAP, STAY]), env.default_params)[-1]
    hit = {target for target, zapped in zip(targets, np.asarray(info["zapped"][:, 1]), strict=True) if zapped}
    rows, columns = {
        UP: (range(1, 4), range(3, 6)),
        RIGHT: (range(3, 6), range(5, 8)),
        DOWN: (range(5, 8), range(3, 6)),
        LEFT: (range(3, 6), range(1, 4)),
    }[facing]
    assert hit == {(row, column) for row in rows for column in columns}
    assert info["zapped"][:, 0].sum() == 0 and np.array_equal(info["hits"][:, 0], info["zapped"][:, 1])


def hall_hits(places, facing, **numbers):
    state = state_of(places, [facing, UP, UP], env=HALL)
    params = HALL.default_params.replace(**{k: jnp.int32(v) for k, v in numbers.items()})
    return play(state, [ZAP, STAY, STAY], params=params, step=HALL_STEP)[2]["zapped"].tolist()


def test_walls_stop_a_beam_and_players_do_not():
    # The pillar is at (2, 3): it stops its lane for who stands beyond, not the lanes beside it.
    assert hall_hits([(2, 2), (2, 4), (1, 4)], RIGHT) == [0, 0, 1]
    assert hall_hits([(4, 3), (1, 3), (1, 4)], UP) == [0, 0, 1]
    assert hall_hits([(4, 1), (4, 2), (4, 3)], RIGHT) == [0, 1, 1]
    # A lane that would start in the pillar does not start, nor do those beyond.
    assert hall_hits([(2, 2), (1, 3), (1, 1)], UP) == [0, 0, 1]
    assert hall_hits([(2, 2), (1, 4), (1, 0)], UP, beam_radius=2) == [0, 0, 1]
    assert hall_hits([(2, 2), (1, 3), (1, 1)], UP, beam_length=0) == [0, 0, 0]


def test_a_hit_player_is_off_the_map_for_four_steps_and_comes_back_on_a_start():
    state, _, info = play(state_of([[4, 2], [2, 2]]), [ZAP, FORWARD])  # it goes to (1, 2), and is hit there
    assert info["zapped"].tolist() == [0, 1] and state.away.tolist() == [0, 4] and info["apples_eaten"][1] == 1
    for left in (3, 2, 1):
        state, rewards, info = play(state, [STAY, FORWARD])
        assert state.away[1] == left and info["away"].tolist() == [0, 1] and rewards[1] == 0
    last = state
    state, _, info = play(state, [STAY, FORWARD])
    assert state.away[1] == 0 and info["away"][1] == 1 and tuple(state.places[1].tolist()) in ENV.world.starts
    after = repeat(ENV, last, jnp.array([STAY, ZAP]), PARAMS, 4000)
    columns = np.bincount(after.places[:, 1, 1], minlength=5)
    assert within(columns, 4000, 1 / 5) and within(np.bincount(after.facing[:, 1], minlength=4), 4000, 1 / 4)


def test_who_is_off_the_map_is_not_in_the_way_not_hit_and_eats_nothing():
    state = state_of([[3, 2], [2, 2]], away=[0, 3])
    after, rewards, info = play(state, [ZAP, STAY])
    assert info["zapped"].tolist() == [0, 0] and after.apples[MIDDLE] and rewards == [1, 0]
    assert play(state, [FORWARD, STAY])[0].places[0].tolist() == [2, 2]


def test_who_cannot_come_back_tries_again():
    env = envs.make("commons_harvest", layout=("A Q", "P Q"), num_players=2)
    step = quickly(env.step)
    state = state_of([[1, 0], [0, 1]], away=[0, 1], env=env)
    after, _, info = play(state, [STAY, STAY], params=env.default_params, step=step)
    assert after.away.tolist() == [0, 1] and info["away"].tolist() == [0, 1]
    after = after.replace(places=after.places.at[0].set(jnp.array([1, 1])))
    after, *_ = play(after, [STAY, STAY], params=env.default_params, step=step)
    assert after.away.tolist() == [0, 0] and after.places[1].tolist() == [1, 0]


def test_a_player_may_zap_every_third_step():
    state, fired = state_of([[3, 2], [5, 0]]), []
    for _ in range(7):
        state, _, info = play(state, [ZAP, STAY])
        fired.append(int(info["zaps"][0]))
    assert fired == [1, 0, 0, 1, 0, 0, 1]


def test_two_players_may_hit_each_other_and_zaps_may_cost():
    state = state_of([[2, 1], [2, 3]], [RIGHT, LEFT], apples=[])
    params = PARAMS.replace(zap_reward=jnp.float32(-0.5), zapped_reward=jnp.float32(-3))
    after, rewards, _ = play(state, [ZAP, ZAP], params=params)
    assert after.away.tolist() == [4, 4] and rewards == [-3.5, -3.5]
