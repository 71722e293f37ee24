"""Replays one match of a run, alone and update by update, to see what happened to a match that failed."""

import math
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from shaping.config.errors import not_allowed
from shaping.config.plan import Experiment
from shaping.experiment import planned, prepare
from shaping.population import match as single
from shaping.population.compiled_programs import Timetable, segment_at
from shaping.population.match import Match, MatchState
from shaping.replayed_generations import generation_lines, generations_again
from shaping.results import open_whole
from shaping.runtime.chunks import Chunks, Group, dtype_of
from shaping.runtime.compilation import compile_programs
from shaping.runtime.damaged_records import check_metadata, explaining_damage
from shaping.runtime.devices import computing_in, population_mesh
from shaping.runtime.existing_run import check_settings
from shaping.runtime.processes import everywhere, spread_out
from shaping.runtime.record import UNFINISHED, Record
from shaping.runtime.record_schema import coordinates, layout
from shaping.runtime.storage import folder_at


@dataclass(frozen=True)
class Replay:
    """What a match did when it was replayed.

    Attributes:
      match: its number in the run.
      settings: its coordinates, by name: cell, number within the cell, seed, and everything that is swept or drawn.
      steps: `xarray.Dataset` over `update`, the last few updates: value [update, player] before the update, NaN where
        it was not measured; theta [update, player, parameter] after it; step [update, player], the length of the
        change. Of a population it is over `generation`, see `replayed_generations.generations_again`.
      diverged_at: the update at which the match stopped being finite; -1 if it never did.
      broken: names of the arrays that were not finite then.
      recorded: `diverged_at` in the record; None if the match is not finished there.
      difference: the largest difference between its final parameters and the recorded ones; 0.0 means the same bits.
    """

    match: int
    settings: dict[str, Any]
    steps: Any
    diverged_at: int
    broken: tuple[str, ...]
    recorded: int | None
    difference: float | None


def replay(folder: str | Path, match: int, last: int = 20, experiment: Experiment | None = None) -> Replay:
    """Replays one match, or one population, of a run by itself.

    On the same kind and number of devices the result is identical, bit for bit: copies of the match fill whole blocks,
    and the copy that is observed has the same position in its block as the match had in the run.

    Args:
      folder: the folder of the run.
      match: its number, from 0.
      last: how many updates to return, counted back from the last update or from the failure.
      experiment: the experiment in the folder, if it is already planned.

    Raises:
      ConfigError: if the folder holds no run or a damaged one, or if the run has no such match.
    """
    place = folder_at(folder)
    prepared = prepare(experiment or planned(place))
    experiment = prepared.experiment
    record = _opened(place, experiment)
    if not 0 <= match < experiment.matches:
        raise not_allowed("--match", match, f"0 to {experiment.matches - 1}")
    if last < 1:
        raise not_allowed("--last", last, "at least 1")
    # A number larger than that of all updates asks for all of them.
    last = min(last, max(experiment.length, 1))
    every = coordinates(experiment)
    settings = {
        name: (values[1] if isinstance(values, tuple) else np.asarray(values))[match] for name, values in every.items()
    }
    number = next(n for n, group in enumerate(prepared.groups) if match in group.indices)
    group, chunks, table = prepared.groups[number], prepared.chunks[number], prepared.timetables[number]
    with computing_in(experiment.top["precision"]):
        if experiment.of_populations:
            (steps, thetas, diverged_at), broken = generations_again(group, chunks, table, match, last), ()
        else:
            steps, thetas, diverged_at, broken = _again(group, chunks, table, match, last)
    with explaining_damage(place / "record.zarr"):
        recorded, difference = _compared(record, match, thetas)
    return Replay(match, settings, steps, diverged_at, broken, recorded, difference)


def _again(
    group: Group, chunks: Chunks, table: Timetable, match: int, last: int
) -> tuple[Any, list[np.ndarray], int, tuple[str, ...]]:
    """The steps, each player's final parameters, the update at which the match failed, and what was not finite then."""
    import xarray

    place = group.indices.place(match) % chunks.size
    lane = place % chunks.block
    mesh = population_mesh()
    # A single block on a device compiles to a different program than several; all numbers above one compile to the
    # same.
    blocks = min(2, chunks.padded // chunks.block // jax.device_count()) * jax.device_count()
    matches = spread_out(group.matches_of(np.full(blocks * chunks.block, match)), blocks * chunks.block, mesh)
    programs = compile_programs(mesh, dtype_of(group.template()), table, chunks.block, matches)
    states = programs.start(matches)
    kept: deque[tuple[int, np.ndarray, list[np.ndarray], list[float]]] = deque(maxlen=last)
    before, diverged_at, broken, interval = _thetas(matches, states, lane), -1, (), 0
    for update in range(table.updates):
        old = jax.tree.map(lambda leaf: np.asarray(leaf[lane]), states.learners)
        while table.begins(interval + 1) <= update:
            interval += 1
        first = interval // table.segment * table.segment
        segment = everywhere(segment_at(table, first, (update, update + 1)), mesh)
        states, rows = programs.segment(matches, states, segment)
        value = np.asarray(rows["value"])[lane, interval - first]
        if matches.game.sampled and update % table.record_every:
            value = np.full_like(value, np.nan)
        after = _thetas(matches, states, lane)
        moved = [float(np.linalg.norm(a - b)) for a, b in zip(after, before, strict=True)]
        kept.append((update, value, after, moved))
        before = after
        diverged_at = int(np.asarray(states.diverged_at)[lane])
        if diverged_at >= 0:
            broken = _broken(matches, old, lane, update)
            break
    else:
        # The value after the last update is computed by another program.
        diverged_at = int(np.asarray(programs.finish(matches, states)["diverged_at"])[lane])
        broken = ("value",) if diverged_at >= 0 else ()
    longest = max(theta.size for theta in before)
    padded = [[np.pad(t, (0, longest - t.size), constant_values=np.nan) for t in thetas] for _, _, thetas, _ in kept]
    players = len(before)
    steps = xarray.Dataset(
        {
            "value": (("update", "player"), np.array([value for _, value, _, _ in kept]).reshape(-1, players)),
            "step": (("update", "player"), np.array([moved for *_, moved in kept]).reshape(-1, players)),
            "theta": (("update", "player", "parameter"), np.array(padded).reshape(len(kept), players, longest)),
        },
        {"update": [update for update, *_ in kept]},
    )
    return steps, before, diverged_at, broken


def _thetas(matches: Match, states: MatchState, lane: int) -> list[np.ndarray]:
    """The parameters of each player, [parameters]."""
    found = []
    for learner in matches.by_seat(states.learners):
        leaves = [np.asarray(leaf)[lane].ravel().astype(np.float64) for leaf in jax.tree.leaves(learner.theta)]
        found.append(np.concatenate(leaves or [np.zeros(0)]))
    return found


def _broken(matches: Match, learners: Any, lane: int, update: int) -> tuple[str, ...]:
    """The arrays of the learners' states that are not finite after an update; "value" if all of them are."""
    alone = jax.tree.map(lambda leaf: jnp.asarray(np.asarray(leaf[lane])), matches)
    moved = jax.jit(lambda match, states: single.moved(match, states, jnp.int32(update)))(alone, learners)
    names = []
    for path, leaf in jax.tree_util.tree_leaves_with_path(moved):
        if jnp.issubdtype(leaf.dtype, jnp.floating) and not np.all(np.isfinite(leaf)):
            names.append(f"player {matches.played_by.index(path[0].idx)}{jax.tree_util.keystr(path[1:])}")
    return tuple(names) or ("value",)


def _opened(folder: Any, experiment: Experiment) -> Record | None:
    """The record of the run, or None if there is none yet."""
    path = folder / "record.zarr"
    if not path.exists():
        return None
    expected = layout(experiment)
    check_settings(folder, check_metadata(path, expected.dimensions(), expected.sizes()))
    open_whole(path)
    return Record(path)


def _compared(record: Record | None, match: int, thetas: list[np.ndarray]) -> tuple[int | None, float | None]:
    """The fields `recorded` and `difference` of a `Replay` with these final parameters."""
    if record is None:
        return None, None
    index = np.array([match])
    recorded = int(record.read("diverged_at", index)[0])
    if recorded == UNFINISHED:
        return None, None
    final = record.read("theta_final", index)[0]
    differences = [np.abs(row[: theta.size] - theta).max(initial=0) for row, theta in zip(final, thetas, strict=False)]
    return recorded, float(max(differences))


def lines(found: Replay) -> list[str]:
    """A replay as a few lines of text."""
    written = {name.replace("players.all.", "players.*."): value for name, value in found.settings.items()}
    settings = ", ".join(f"{name} {_shown(value)}" for name, value in written.items())
    of_population = "generation" in found.steps.dims
    text = [f"{'population' if of_population else 'match'} {found.match}: {settings}"]
    text += generation_lines(found.steps) if of_population else _update_lines(found.steps)
    if of_population and found.diverged_at >= 0:
        text.append(f"a learner stopped being finite in generation {found.diverged_at}")
    elif found.diverged_at >= 0:
        text.append(f"stopped being finite at update {found.diverged_at}: {', '.join(found.broken)}")
        text.append("the last row is its last finite state, where it is frozen")
    else:
        text.append("stayed finite to the end")
    if found.recorded is None:
        text.append("the record does not have the end of this match yet")
    else:
        same = "bit for bit" if found.difference == 0 else f"but for {found.difference:.3g} in the final parameters"
        agrees = found.recorded == found.diverged_at
        text.append(f"as recorded, {same}" if agrees else f"the record says diverged_at {found.recorded}")
    return text


def _update_lines(steps: Any) -> list[str]:
    players = steps.sizes["player"]
    head = ["update", *(f"value {p}" for p in range(players)), *(f"step {p}" for p in range(players))]
    head += [f"max |theta {p}|" for p in range(players)]
    text = ["  " + "".join(f"{name:>15}" for name in head)]
    for at, update in enumerate(steps["update"].values):
        one = steps.isel(update=at)
        numbers = [*one.value.values, *one.step.values, *(_largest(theta) for theta in one.theta.values)]
        text.append("  " + f"{update:>15}" + "".join(f"{number:>15.6g}" for number in numbers))
    return text


def _largest(theta: np.ndarray) -> float:
    """The largest of a player's parameters (padded with NaN); NaN if it has none."""
    known = np.abs(theta[~np.isnan(theta)])
    return float(known.max()) if known.size else math.nan


def _shown(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float | np.floating) else str(value)
