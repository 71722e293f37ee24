"""Populations of learners that meet, as the loop, the planner and the record know them: each on one device, or divided
among all."""

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from shaping.classic_strategies import STRATEGIES
from shaping.population.compiled_programs import AXIS, Timetable, sharded_over
from shaping.population.generations import recorded, sampled_numbers
from shaping.population.independent_matches import without_learned_starts
from shaping.population.meeting_population import MeetingState
from shaping.population.population_programs import Population, PopulationState, finish, segment_function, start
from shaping.population.replicates import Cost, Replicate
from shaping.variables import POPULATION, Variable, by_type

# What is of single learners at the end of a run.
_OF_LEARNERS = ("theta_final", "type_final", "ancestor")


def _shares_learners(settings: Population, devices: int) -> bool:
    """Whether learners of a population can be divided among devices: whoever meets has to lie on one device, and nobody
    may become a copy of somebody elsewhere."""
    pairing, rules = settings.pairing, settings.rules
    if not pairing.in_place or settings.selection.kind != "none":
        return False
    return (pairing.blocks if pairing.blocks > 1 else rules.size // rules.seats) % devices == 0


def _divided(settings: Population, devices: int) -> Population:
    """The populations, each of them divided among devices: learners where that is possible, else encounters alone."""
    name = "sharded" if _shares_learners(settings, devices) else "split"
    return dataclasses.replace(settings, rules=dataclasses.replace(settings.rules, **{name: devices}))


def _state_specs(settings: Population, devices: int) -> Any:
    """Which axis of a state is divided among devices, if every population is."""
    same = PartitionSpec()
    if not _shares_learners(settings, devices):
        return same
    own: Any = PartitionSpec(None, AXIS)
    state = MeetingState(own, own, own, own, own, own, same, own, own)  # pyright: ignore[reportArgumentType]
    return PopulationState(state, same, same, same)  # pyright: ignore[reportArgumentType]


def _start_program(mesh: Mesh, dtype: Any) -> Callable[..., Any]:
    return jax.jit(sharded_over(lambda settings: start(settings, dtype), mesh, 1))


def _segment_program(mesh: Mesh, timetable: Timetable, block: int) -> Callable[..., Any]:
    del block  # Encounters have blocks of their own.
    return jax.jit(sharded_over(segment_function(timetable), mesh, 2, replicated=1), donate_argnums=1)


def _finish_program(mesh: Mesh, timetable: Timetable, block: int) -> Callable[..., Any]:
    del timetable, block
    return jax.jit(sharded_over(finish, mesh, 2))


def _over_all(mesh: Mesh, function: Callable[..., Any], given: Sequence[Any], made: Any) -> Any:
    """The function as run on every device of the mesh; `given` and `made` say how arguments and results are divided."""
    return jax.shard_map(function, mesh=mesh, in_specs=tuple(given), out_specs=made, check_vma=False)


def _start_divided(mesh: Mesh, dtype: Any) -> Callable[..., Any]:
    def function(settings: Population) -> PopulationState:
        specs, same = _state_specs(settings, mesh.size), PartitionSpec()
        begun = _over_all(mesh, lambda own: start(_divided(own, mesh.size), dtype), [same], specs)
        return begun(settings)

    return jax.jit(function)


def _segment_divided(mesh: Mesh, timetable: Timetable, block: int) -> Callable[..., Any]:
    del block

    def function(settings: Population, states: PopulationState, segment: jax.Array) -> Any:
        specs, same, moved = _state_specs(settings, mesh.size), PartitionSpec(), segment_function(timetable)
        after = _over_all(
            mesh, lambda own, *given: moved(_divided(own, mesh.size), *given), [same, specs, same], (specs, same)
        )
        return after(settings, states, segment)

    return jax.jit(function, donate_argnums=1)


def _finish_divided(mesh: Mesh, timetable: Timetable, block: int) -> Callable[..., Any]:
    del timetable, block

    def function(settings: Population, states: PopulationState) -> dict[str, jax.Array]:
        specs, same = _state_specs(settings, mesh.size), PartitionSpec()
        of_learners = PartitionSpec(None, AXIS) if _shares_learners(settings, mesh.size) else same
        names = _variables(settings)
        made = {name: of_learners if name in _OF_LEARNERS else same for name in names}
        return _over_all(mesh, lambda own, given: finish(_divided(own, mesh.size), given), [same, specs], made)(
            settings, states
        )

    return jax.jit(function)


def _sharding(mesh: Mesh, settings: Population) -> Any:
    specs = _state_specs(settings, mesh.size)
    return jax.tree.map(
        lambda spec: NamedSharding(mesh, spec), specs, is_leaf=lambda node: isinstance(node, PartitionSpec)
    )


def _is_over(settings: Population, states: PopulationState, generations: int) -> bool:
    """Whether all populations have stopped, before the last of so many generations."""
    if not settings.stops:
        return False
    fixed_at = states.meeting.fixed_at
    return bool(jnp.all((fixed_at >= 0) & (fixed_at < generations)))


def _shapes(settings: Population, dtype: Any) -> PopulationState:
    return jax.eval_shape(lambda own: start(own, dtype), without_learned_starts(settings))


def _cost(settings: Population, states: PopulationState, extras: Sequence[str]) -> Cost:
    del extras
    rules = settings.rules
    itemsize = states.payoffs.dtype.itemsize
    lookaheads = max(learner.lookaheads for learner in settings.types)
    gradients = max(learner.gradients for learner in settings.types)
    encounters = -(-rules.size // rules.seats)
    # What is gathered, updated and put back, and the work of the encounters of one block.
    plays = max(learner.plays for learner in settings.types)
    gathered = 2 * sum(math.prod(leaf.shape) * leaf.dtype.itemsize for leaf in jax.tree.leaves(states.meeting.learners))
    working = gathered + rules.game.working_bytes(itemsize, lookaheads) * plays * min(encounters, 128)
    row = sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(states.row))
    work = rules.game.work(settings.params) * gradients
    updates = rules.encounter if settings.encounter is None else int(np.max(settings.encounter))
    return Cost(row, working, None, max(1, encounters * (updates or 1) * work))


def _variables(settings: Population, extras: Sequence[str] = ()) -> dict[str, Variable]:
    del extras
    rows = [*recorded(settings.rules, settings.params, settings.selection), *settings.extras]
    ends = ("theta_final", "type_final", "ancestor", "fixed_at", "diverged_at")
    of_game = settings.rules.game.variables
    known = POPULATION | {name: by_type(of_game[name]) for name in rows if name not in POPULATION and name in of_game}
    return {name: known[name] for name in known if name in rows or name in ends}


def _labels(settings: Population) -> Mapping[str, Sequence[Any]]:
    found: dict[str, Sequence[Any]] = {"type": settings.names, "learner": range(settings.rules.size)}
    if settings.rules.nearest:
        found["strategy"] = STRATEGIES
    if "policies" in settings.extras:
        found["sample_learner"] = [str(number) for number in sampled_numbers(settings.rules)]
    return found


_DIVIDED = Replicate(
    step="generation",
    counted="generations",
    start=_start_divided,
    segment=_segment_divided,
    finish=_finish_divided,
    initial=lambda settings, states, fetched: {},
    shapes=_shapes,
    cost=_cost,
    variables=_variables,
    labels=_labels,
    parameters=lambda settings: max(
        policy.num_parameters for game in settings.rules.games or (settings.rules.game,) for policy in game.policies
    ),
    about=lambda settings: {**settings.rules.game.about, "tabular": int(settings.rules.game.tabular)},
    prepares=lambda settings: any(learner.prepares for learner in settings.types),
    over=_is_over,
    sharding=_sharding,
    spread=False,
)

POPULATIONS = dataclasses.replace(
    _DIVIDED,
    start=_start_program,
    segment=_segment_program,
    finish=_finish_program,
    sharding=Replicate.sharding,
    spread=True,
    split=_DIVIDED,
)
"""Populations of learners that meet; a match is one population."""
