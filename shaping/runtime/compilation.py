"""Compiles the three programs of a group side by side."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import jax
from jax.sharding import Mesh

from shaping.population.independent import MATCHES
from shaping.population.program import Timetable, population_sharding, segment_at
from shaping.population.unit import Unit
from shaping.runtime.processes import everywhere

# Start and finish run once per chunk: they are not worth the last optimisation level, which only the CPU's compiler
# has, unless learners learn something before they start.
_RUN_ONCE = {"xla_backend_optimization_level": 1}


@dataclass(frozen=True)
class Programs:
    """The compiled programs of a group, described in `population.unit`; a segment exists only if there are updates.

    `like` has the shapes and shardings of the group's states.
    """

    start: Callable[..., Any]
    segment: Callable[..., Any]
    finish: Callable[..., Any]
    like: Any


def compile_programs(
    mesh: Mesh, dtype: Any, timetable: Timetable, block: int, matches: Any, unit: Unit = MATCHES
) -> Programs:
    """Compiles start, segment and finish for `matches`, leaves [population, ...] on the mesh.

    They are traced one after the other and compiled at the same time: a compilation mostly uses one thread.
    """
    start = unit.start(mesh, dtype)
    sharding = population_sharding(mesh)
    states = jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding), jax.eval_shape(start, matches)
    )
    first = everywhere(segment_at(timetable, 0), mesh)
    segment = unit.segment(mesh, timetable, block)
    finish = unit.finish(mesh, timetable, block)
    quick = _RUN_ONCE if jax.default_backend() == "cpu" else None
    prepares = unit.prepares(matches)
    with ThreadPoolExecutor() as threads:
        updating = threads.submit(segment.lower(matches, states, first).compile) if timetable.segments else None
        starting = threads.submit(start.lower(matches).compile, None if prepares else quick)
        finishing = threads.submit(finish.lower(matches, states).compile, quick)
        return Programs(starting.result(), updating.result() if updating else _no_updates, finishing.result(), states)


def _no_updates(*_: Any) -> Any:
    raise AssertionError("a run without updates has no segments")
