"""Matches through the compiled population programs, and one at a time without them."""

from dataclasses import dataclass
from functools import cache
from typing import Any

import jax
import numpy as np
import pytest

from shaping.objectives.exact_matrix import ExactMatrixGame
from shaping.policies import tabular
from shaping.population.compiled_programs import (
    AXIS,
    Timetable,
    finish_program,
    population_sharding,
    segment_at,
    segment_program,
    start_program,
)
from shaping.population.match import Match


@dataclass(frozen=True)
class Outcome:
    """What a population of N matches did.

    Attributes:
      values: [N, recorded updates, players], the first before any update, the last after the last.
      initial, final: one array [N, parameters] per player.
      diverged_at: [N], -1 where not.
      trajectory_mean: [N, players].
    """

    values: np.ndarray
    initial: list[np.ndarray]
    final: list[np.ndarray]
    diverged_at: np.ndarray
    trajectory_mean: np.ndarray


# Equal programs are compiled once a process.
_start, _segment, _finish = cache(start_program), cache(segment_program), cache(finish_program)


@cache
def mesh_of(devices: int) -> jax.sharding.Mesh:
    """The first devices of the machine on the population axis."""
    types = (jax.sharding.AxisType.Auto,)
    return jax.make_mesh((devices,), (AXIS,), axis_types=types, devices=jax.devices()[:devices])


def stack(matches: list[Match], dtype: Any, mesh: jax.sharding.Mesh) -> Match:
    """Matches of one structure with their numbers stacked, floats in `dtype`, sharded over the mesh."""

    def leaf(*values):
        array = np.stack([np.asarray(value) for value in values])
        return array.astype(dtype if array.dtype.kind == "f" else np.int32)

    return jax.device_put(jax.tree.map(leaf, *matches), population_sharding(mesh))


def play(matches, updates, record_every=1, segment=None, block=None, devices=1, dtype=np.float64) -> Outcome:
    """All matches through start, as many segments as needed, and finish."""
    timetable = Timetable(updates, record_every, segment or -(-updates // record_every))
    mesh, block = mesh_of(devices), block or len(matches) // devices
    stacked = stack(matches, dtype, mesh)
    states = _start(mesh, dtype)(stacked)
    # Copies: the buffers are donated to the first segment.
    initial = [np.array(learner.theta) for learner in states.learners]
    program, values = _segment(mesh, timetable, block), []
    for number in range(timetable.segments):
        states, found = program(stacked, states, segment_at(timetable, number * timetable.segment))
        values.append(np.array(found["value"]))
    last = _finish(mesh, timetable, block)(stacked, states)
    recorded = np.concatenate(values, axis=1)[:, : timetable.rows]
    recorded = np.concatenate([recorded, np.array(last["value"])[:, None]], axis=1)
    assert recorded.shape[1] == len(timetable.recorded)
    final = [np.array(learner.theta) for learner in states.learners]
    return Outcome(
        recorded,
        initial,
        final,
        np.where(np.array(states.diverged_at) >= 0, states.diverged_at, last["diverged_at"]),
        np.array(last["value_trajectory_mean"]),
    )


def initial(matches, devices=1, dtype=np.float64) -> list[np.ndarray]:
    """Everybody's first parameters, [N, parameters] for each player."""
    mesh = mesh_of(devices)
    return [np.array(learner.theta) for learner in _start(mesh, dtype)(stack(matches, dtype, mesh)).learners]


def match_of(game, learners, number=0, seed=0) -> Match:
    """A match of tabular policies in a matrix game, at the game's own numbers."""
    policies = (tabular(game.num_states),) * game.num_players
    form = ExactMatrixGame(game.num_players, game.horizon, game.state_view, policies)
    return Match(np.int32(seed), np.int32(number), game.default_params, tuple(learners), form)


@pytest.fixture
def population():
    """The helpers of this file: `play(matches, ...)`, `initial(matches, ...)`, `match(game, learners, ...)`, `stack`
    and `mesh`."""

    class Helpers:
        play = staticmethod(play)
        initial = staticmethod(initial)
        match = staticmethod(match_of)
        stack = staticmethod(stack)
        mesh = staticmethod(mesh_of)

    return Helpers
