"""The contents of an experiment's record, known before its first match: what its games and learners declare."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from shaping.config import build
from shaping.config.errors import ConfigError
from shaping.config.plan import Experiment
from shaping.population.independent_matches import MATCHES
from shaping.population.index_ranges import RecordedUpdates
from shaping.population.population_replicates import POPULATIONS
from shaping.population.replicates import Replicate
from shaping.runtime.record import Layout, spread
from shaping.variables import Variable


def replicate_of(experiment: Experiment) -> Replicate:
    """What a match of the experiment is."""
    return POPULATIONS if experiment.of_populations else MATCHES


def layout(experiment: Experiment, matches: Sequence[Any] | None = None) -> Layout:
    """The contents of an experiment's record.

    Args:
      experiment: the experiment.
      matches: one or more matches of every group; made here if None.
    """
    matches = build.templates(experiment) if matches is None else matches
    top = experiment.top
    steps = RecordedUpdates(experiment.length, top["record_every"])
    dtype = np.dtype(top["precision"])
    return layout_of(matches, experiment.matches, steps, dtype, top["record"], replicate_of(experiment))


def layout_of(
    matches: Sequence[Any],
    count: int,
    steps: Sequence[int],
    dtype: np.dtype,
    extras: Sequence[str] = (),
    replicate: Replicate = MATCHES,
) -> Layout:
    """The contents of a record of `count` matches like these, see `Layout`; `extras` are as in a `Timetable`.

    Raises:
      ConfigError: if two games or learners declare a variable of the same name over different dimensions, or a learner
        one that its game declares too.
    """
    try:
        variables = _union([replicate.variables(match, extras) for match in matches])
    except ValueError as error:
        raise ConfigError(str(error)) from None
    labels: dict[str, Sequence[Any]] = {}
    for match in matches:
        for name, own in replicate.labels(match).items():
            labels[name] = max(labels.get(name, ()), own, key=len)
    parameters = max(replicate.parameters(match) for match in matches)
    return Layout(count, steps, dtype, variables, labels, parameters, replicate.step)


def _union(each: Sequence[Mapping[str, Variable]]) -> dict[str, Variable]:
    """All of them by name. If parameters are one per state in one game and not in another, those of the former get a
    dimension of their own."""
    found: dict[str, Variable] = {}
    for variables in each:
        for name, variable in variables.items():
            known = found.setdefault(name, variable)
            if known.dims == variable.dims:
                continue
            if "parameter" in variable.dims:
                found[name] = variable
            elif "parameter" not in known.dims:
                raise ConfigError(
                    f"variable {name} is declared over {', '.join(known.dims)} and over {', '.join(variable.dims)}; "
                    "allowed: one of the two in a run"
                )
    return found


def coordinates(experiment: Experiment) -> dict[str, Any]:
    """Coordinates on `match`: cell, number within it, seed, and every swept or drawn key."""
    per_cell = experiment.top["matches"]
    cells, every = np.arange(experiment.cells), np.arange(experiment.matches)
    seeds = np.concatenate([block.seeds for block in experiment.blocks])
    found: dict[str, Any] = {
        "cell": spread(cells, per_cell),
        "match_in_cell": np.tile(np.arange(per_cell), experiment.cells),
        "seed": spread(seeds, per_cell),
    }
    found |= {name: spread(column, per_cell) for name, column in experiment.coordinates.items() if name != "seed"}
    for spec in experiment.drawn:
        parts = []
        for block in experiment.blocks:
            own = every[block.cells.start * per_cell : block.cells.stop * per_cell]
            parts.append(build.drawn_values(experiment, block, own)[spec.key])
        array = np.concatenate(parts)
        dims = ("match", *(f"{spec.coordinate}.{axis}" for axis in range(array.ndim - 1)))
        found[spec.coordinate] = (dims, array)
    return found


def attributes(experiment: Experiment, matches: Sequence[Any], config: str) -> dict[str, Any]:
    """Attributes of the Dataset: what the games say about themselves (the first that says anything counts), and
    `config`, the resolved configuration as text.

    Args:
      experiment, matches: see `memory_layout`.
      config: the resolved configuration as text.
    """
    replicate = replicate_of(experiment)
    about = next((replicate.about(match) for match in matches if replicate.about(match)), {})
    return {**about, f"{replicate.step}s": experiment.length, "config": config}
