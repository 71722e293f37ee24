"""Replays one population of a run, generation by generation."""

from collections import deque
from typing import Any

import jax
import numpy as np

from shaping.population.compiled_programs import Timetable, segment_at
from shaping.runtime.chunks import Chunks, Group, dtype_of
from shaping.runtime.compilation import compile_programs
from shaping.runtime.devices import population_mesh
from shaping.runtime.processes import copied, everywhere, spread_out


def generations_again(
    group: Group, chunks: Chunks, table: Timetable, population: int, last: int
) -> tuple[Any, list[np.ndarray], int]:
    """Replays a population by itself, as `shaping.replay` does a match.

    Returns:
      `xarray.Dataset` over `generation`, the last few of them: what is recorded of each; the final parameters of every
      learner; and the generation in which a learner first stopped being finite, -1 if none did.
    """
    import xarray

    lane = group.indices.place(population) % chunks.size % chunks.block
    mesh = population_mesh()
    replicate = chunks.replicate
    if replicate.spread:
        count = min(2, chunks.padded // chunks.block // jax.device_count()) * jax.device_count() * chunks.block
        settings = spread_out(group.matches_of(np.full(count, population)), count, mesh)
    else:
        settings = copied(group.matches_of(np.full(chunks.padded, population)), mesh)
    programs = compile_programs(mesh, dtype_of(group.template()), table, chunks.block, settings, replicate)
    states = programs.start(settings)
    kept: deque[dict[str, np.ndarray]] = deque(maxlen=last)
    interval = 0
    for generation in range(table.updates):
        while table.begins(interval + 1) <= generation:
            interval += 1
        first = interval // table.segment * table.segment
        segment = everywhere(segment_at(table, first, (generation, generation + 1)), mesh)
        states, _ = programs.segment(settings, states, segment)
        kept.append({name: np.asarray(leaf[lane]) for name, leaf in states.row.items()})
    found = programs.finish(settings, states)
    template = group.template()
    variables, labels = group.replicate.variables(template, group.extras), group.replicate.labels(template)
    shown = [name for name in kept[0] if set(variables[name].dims) <= {"match", "generation", "type"}]
    steps = xarray.Dataset(
        {name: (variables[name].dims[1:], np.stack([row[name] for row in kept])) for name in shown},
        {"generation": np.arange(table.updates - len(kept) + 1, table.updates + 1), "type": list(labels["type"])},
    )
    thetas = list(np.asarray(found["theta_final"])[lane].astype(np.float64))
    return steps, thetas, int(np.asarray(found["diverged_at"])[lane])


def generation_lines(steps: Any) -> list[str]:
    """The generations of a replay as lines of text: the shares of types, and what a population has one value of."""
    types = [str(name) for name in steps["type"].values]
    whole = [str(name) for name in steps.data_vars if steps[name].dims == ("generation",)]
    head = ["generation", *(f"share {name}" for name in types), *(f"value {name}" for name in types), *whole]
    text = ["  " + "".join(f"{name:>18}" for name in head)]
    for place, generation in enumerate(steps["generation"].values):
        one = steps.isel(generation=place)
        numbers = [*one.share.values, *one.value.values, *(float(one[name]) for name in whole)]
        text.append("  " + f"{generation:>18}" + "".join(f"{number:>18.6g}" for number in numbers))
    return text
