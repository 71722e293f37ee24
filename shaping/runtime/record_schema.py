"""The contents of an experiment's record, known before its first match: what its games and learners declare."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from shaping.config import build
from shaping.config.errors import ConfigError
from shaping.config.plan import Experiment
from shaping.population.match import Match
from shaping.population.spans import RecordedUpdates
from shaping.runtime.record import Layout, spread
from shaping.variables import CORE, Variable, declared


def layout(experiment: Experiment, matches: Sequence[Match] | None = None) -> Layout:
    """The contents of an experiment's record.

    Args:
      experiment: the experiment.
      matches: one or more matches of every group; made here if None.
    """
    matches = build.templates(experiment) if matches is None else matches
    top = experiment.top
    updates = RecordedUpdates(top["updates"], top["record_every"])
    return layout_of(matches, experiment.matches, updates, np.dtype(top["precision"]), top["record"])


def layout_of(
    matches: Sequence[Match], count: int, updates: Sequence[int], dtype: np.dtype, extras: Sequence[str] = ()
) -> Layout:
    """The contents of a record of `count` matches like these, see `Layout`; `extras` are as in a `Timetable`.

    Raises:
      ConfigError: if two games or learners declare a variable of the same name over different dimensions.
    """
    variables = _union([variables_of(match, extras) for match in matches])
    labels: dict[str, tuple[str, ...]] = {}
    for match in matches:
        for name, own in match.game.labels.items():
            labels[name] = max(labels.get(name, ()), own, key=len)
    policies = [policy for match in matches for policy in match.game.policies]
    return Layout(
        matches=count,
        updates=updates,
        players=max(len(match.game.policies) for match in matches),
        dtype=dtype,
        variables=variables,
        labels=labels,
        parameters=max(policy.num_parameters for policy in policies),
    )


def variables_of(match: Match, extras: Sequence[str] = ()) -> dict[str, Variable]:
    """Every variable that is recorded for a match, as its game and its learners declare them.

    Raises:
      ConfigError: if a learner declares a variable that its game declares too.
    """
    found = {**declared(*CORE), **match.game.variables}
    for name in match.variables:
        if name in found:
            raise ConfigError(f"variable {name} of a learner is also one of its game; allowed: another name")
    found |= match.variables
    if "policies" in extras and match.game.tabular:
        found |= declared("policy_trajectory")
    return found | (declared("consistency_loss") if "consistency" in extras else {})


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


def attributes(experiment: Experiment, matches: Sequence[Match], config: str) -> dict[str, Any]:
    """Attributes of the Dataset: what the games say about themselves (the first that says anything counts), and
    `config`, the resolved configuration as text.

    Args:
      experiment, matches: see `layout`.
      config: the resolved configuration as text.
    """
    about = next((match.game.about for match in matches if match.game.about), {})
    return {**about, "updates": experiment.top["updates"], "config": config}
