"""Compiles the three programs of a group side by side, and keeps those of the last few groups.

Numbers are data: another seed, another sweep over the same structure or the same run resumed needs the same programs. A
process that trains several times, as a notebook does, then traces and compiles them once.
"""

import os
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import jax
from jax.sharding import Mesh

from shaping.population.compiled_programs import Timetable, segment_at
from shaping.population.independent_matches import MATCHES
from shaping.population.replicates import Replicate
from shaping.runtime.processes import everywhere

# Start and finish run once per chunk: they are not worth the last optimisation level, which only the CPU's compiler
# has, unless learners learn something before they start.
_RUN_ONCE = {"xla_backend_optimization_level": 1}
# Groups whose programs are kept: they hold memory.
_KEPT = 8


@dataclass(frozen=True)
class Programs:
    """The compiled programs of a group, see `population.replicates`; a segment exists only if there are updates.

    `like` has the shapes and shardings of the group's states.
    """

    start: Callable[..., Any]
    segment: Callable[..., Any]
    finish: Callable[..., Any]
    like: Any


_programs: OrderedDict[Any, Programs] = OrderedDict()


def compile_programs(
    mesh: Mesh, dtype: Any, timetable: Timetable, block: int, matches: Any, replicate: Replicate = MATCHES
) -> Programs:
    """Compiles start, segment and finish for `matches`, leaves [population, ...] on the mesh, unless programs for the
    same structure, shapes and settings of jax are kept from before.

    They are traced one after the other and compiled at the same time: a compilation mostly uses one thread.
    """
    leaves, structure = jax.tree.flatten(matches)
    described = tuple((leaf.shape, leaf.dtype, leaf.sharding, leaf.weak_type) for leaf in leaves)
    # An attribute has the value in force, also within `with jax.enable_x64(True):`; some settings have no attribute.
    settings = tuple((name, str(getattr(jax.config, name, value))) for name, value in sorted(jax.config.values.items()))
    wanted = (mesh, jax.numpy.dtype(dtype), timetable, block, replicate, structure, described, settings)
    if wanted not in _programs:
        _programs[wanted] = _compiled(mesh, dtype, timetable, block, matches, replicate)
        if len(_programs) > _KEPT:
            _programs.popitem(last=False)
    _programs.move_to_end(wanted)
    return _programs[wanted]


def _compiled(mesh: Mesh, dtype: Any, timetable: Timetable, block: int, matches: Any, replicate: Replicate) -> Programs:
    start = replicate.start(mesh, dtype)
    shapes = jax.eval_shape(start, matches)
    states = jax.tree.map(
        lambda leaf, sharding: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding),
        shapes,
        jax.tree.broadcast(replicate.sharding(mesh, matches), shapes),
    )
    first = everywhere(segment_at(timetable, 0), mesh)
    segment = replicate.segment(mesh, timetable, block)
    finish = replicate.finish(mesh, timetable, block)
    quick = _RUN_ONCE if jax.default_backend() == "cpu" and not _optimises_less() else None
    prepares = replicate.prepares(matches)
    with ThreadPoolExecutor() as threads:
        updating = threads.submit(segment.lower(matches, states, first).compile) if timetable.segments else None
        starting = threads.submit(start.lower(matches).compile, None if prepares else quick)
        finishing = threads.submit(finish.lower(matches, states).compile, quick)
        return Programs(starting.result(), updating.result() if updating else _no_updates, finishing.result(), states)


def _optimises_less() -> bool:
    """Whether the process sets its own level of optimisation, which may be even lower than ours."""
    return "xla_backend_optimization_level" in os.environ.get("XLA_FLAGS", "") or jax.config.read(
        "jax_disable_most_optimizations"
    )


def _no_updates(*_: Any) -> Any:
    raise AssertionError("a run without updates has no segments")
