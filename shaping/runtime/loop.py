"""The one loop: a group of matches, in chunks that fit the memory, in segments that compile once."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from shaping.population.match import Match, MatchState
from shaping.population.match import start as start_match
from shaping.population.program import Timetable, population_sharding
from shaping.runtime.compilation import compile_programs
from shaping.runtime.devices import population_mesh
from shaping.runtime.progress import Progress
from shaping.runtime.record import MEASURED

# Match-updates of a two-player game in one call of a segment: a few seconds of work between two lines of progress.
_SEGMENT_WORK = 2**24
_LARGEST_CHUNK = 2**17
# Matches of a block, and numbers of its transition matrices: what stays in the second-level cache of a core.
_BLOCK = 128
_SAMPLED_BLOCK = 2
_BLOCK_NUMBERS = 2**16


@dataclass(frozen=True)
class Chunks:
    """How a group's matches are cut: `count` chunks of `size`, each padded to `devices * blocks * block`.

    `bytes` is about what a chunk needs, `match_bytes` what a match does while it is updated.
    """

    count: int
    size: int
    padded: int
    block: int
    bytes: int
    match_bytes: int


@dataclass
class Timing:
    """Seconds spent, for the summary."""

    compile_s: float = 0.0
    run_s: float = 0.0
    match_updates: int = 0
    groups: list[dict[str, float]] = field(default_factory=list)


@dataclass(frozen=True)
class Group:
    """Matches that share a compiled program.

    Attributes:
      indices: match indices, ascending.
      matches_of: settings of any of them, leaves [matches, ...].
      extras: what to record of them besides, see `Timetable`.
    """

    indices: np.ndarray
    matches_of: Callable[[np.ndarray], Match]
    extras: tuple[str, ...] = ()

    def template(self) -> Match:
        """The settings of its first match, leaves [1, ...]."""
        return self.matches_of(self.indices[:1])


def cut(group: Group, updates: int, record_every: int, memory_bytes: float, devices: int) -> Chunks:
    """Chunks of nearly equal size that fit the memory."""
    template = group.template()
    dtype = _dtype_of(template)
    start = jax.eval_shape(jax.vmap(lambda match: start_match(match, dtype)), template)
    leaves = jax.tree.leaves((template, start))
    own = sum(int(np.prod(leaf.shape, dtype=np.int64)) * leaf.dtype.itemsize for leaf in leaves)
    numbers = max(np.prod(leaf.shape) for leaf in jax.tree.leaves(start))
    players = len(template.learners)
    itemsize = jax.tree.leaves(start.value_sum)[0].dtype.itemsize
    recorded = (updates // record_every + 2) * players * itemsize
    if "policies" in group.extras:
        thetas = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape[1:], leaf.dtype), start.learners)
        policies = jax.eval_shape(template.form.cooperation, [state.theta for state in thetas])
        recorded += (updates // record_every + 2) * policies.size * itemsize
    # Settings and state on the host and on the device, donated and new; values on the device and in the buffer.
    per_match = 4 * own + 3 * recorded
    if template.form.sampled:
        return _cut_sampled(group, template, per_match, memory_bytes, devices)
    largest = int(max(devices, min(_LARGEST_CHUNK, memory_bytes // per_match)))
    total = len(group.indices)
    count = -(-total // largest)
    size = -(-total // count)
    local = -(-size // devices)
    on_cpu = jax.default_backend() == "cpu"
    block_limit = max(8, min(_BLOCK, _BLOCK_NUMBERS // int(numbers) ** 2)) if on_cpu else local
    blocks = -(-local // block_limit)
    block = -(-local // blocks)
    padded = devices * blocks * block
    return Chunks(count, size, padded, block, padded * per_match, per_match)


def _cut_sampled(group: Group, template: Match, kept: int, memory_bytes: float, devices: int) -> Chunks:
    """Chunks of matches whose returns are sampled: what they need most is room for the batches of an update."""
    working = working_bytes(template)
    per_match = kept + working
    total = len(group.indices)
    on_cpu = jax.default_backend() == "cpu"
    # On a CPU the matches of a block share the caches; elsewhere a chunk is one block.
    fitting = max(devices, int(memory_bytes // (kept if on_cpu else per_match)))
    count = -(-total // min(_LARGEST_CHUNK, fitting))
    size = -(-total // count)
    local = -(-size // devices)
    limit = max(1, min(_SAMPLED_BLOCK, int(memory_bytes // working // devices))) if on_cpu else local
    blocks = -(-local // limit)
    block = -(-local // blocks)
    padded = devices * blocks * block
    return Chunks(count, size, padded, block, padded * kept + devices * block * working, kept + working)


def working_bytes(template: Match) -> int:
    """About how many bytes one update of a match needs beside its state: the batches of play that are alive at once,
    and what derivatives keep of the networks that read them."""
    form: Any = template.form
    itemsize = np.dtype(_dtype_of(template)).itemsize
    space, players = form.env.observation_space, form.env.num_players
    seen = int(np.prod(space.shape, dtype=np.int64)) * np.dtype(space.dtype).itemsize
    steps = form.batch * form.horizon
    # A rollout: observations, actions, rewards, whether it runs, log-probabilities and a few arrays like them.
    rollout = steps * players * (seen + 10 * itemsize)
    rules = [getattr(learner.settings, "rule", None) for learner in template.learners]
    lookaheads = max(getattr(getattr(rule, "settings", None), "lookaheads", 1) for rule in rules)
    # A layer's output is kept for every derivative taken: twice where a step is differentiated through.
    outputs = sum(leaf.shape[-1] if leaf.shape else 1 for leaf in jax.tree.leaves(form.policies[0].shapes))
    share = form.estimator.slices if form.estimator.slices > 1 else 1
    kept = 0 if form.estimator.rematerialise else 1 + lookaheads
    return rollout * (1 + lookaheads) + 4 * itemsize * outputs * steps * players * max(kept, 1) // share


def _dtype_of(match: Match) -> Any:
    floats = [leaf.dtype for leaf in jax.tree.leaves(match) if jnp.issubdtype(leaf.dtype, jnp.floating)]
    return floats[0] if floats else jnp.float32


def run_group(
    group: Group,
    updates: int,
    record_every: int,
    chunks: Chunks,
    write: Callable[[np.ndarray, dict[str, np.ndarray]], None],
    keep: Callable[[np.ndarray, MatchState], None],
    progress: Progress,
    timing: Timing,
) -> None:
    """Trains all matches of a group, chunk after chunk.

    Args:
      group: the matches.
      updates: updates of every match.
      record_every: updates from one recorded value to the next.
      chunks: how to cut them.
      write: receives the match indices of a chunk and its record variables [matches, ...].
      keep: receives the match indices of a chunk and its final state (padded at the end), on the devices.
      progress: advanced by match-updates.
      timing: added to.
    """
    began = time.perf_counter()
    template = group.template()
    dtype = _dtype_of(template)
    mesh = population_mesh()
    sharding = population_sharding(mesh)
    per_update = max(1, _SEGMENT_WORK // chunks.padded // _cost(template))
    intervals = -(-updates // record_every)
    timetable = Timetable(updates, record_every, max(1, min(intervals, per_update // record_every)), group.extras)

    def load(indices: np.ndarray) -> Match:
        # Padding repeats the last match; what it computes is dropped.
        padding = np.full(chunks.padded - len(indices), indices[-1])
        return jax.device_put(group.matches_of(np.concatenate([indices, padding])), sharding)

    pieces = [group.indices[i : i + chunks.size] for i in range(0, len(group.indices), chunks.size)]
    matches = load(pieces[0])
    programs = compile_programs(mesh, dtype, timetable, chunks.block, matches)
    compiled = time.perf_counter() - began
    timing.compile_s += compiled
    progress.compiling += compiled

    began = time.perf_counter()
    for piece in pieces:
        if piece is not pieces[0]:
            matches = load(piece)
        states = programs.start(matches)
        initial = jax.tree.map(np.asarray, [learner.theta for learner in states.learners])
        recorded = []
        for number in range(timetable.segments):
            assert programs.segment is not None
            states, rows = programs.segment(matches, states, jnp.full(1, number * timetable.segment, jnp.int32))
            recorded.append({name: np.asarray(x)[: len(piece)] for name, x in rows.items()})
            done = min((number + 1) * timetable.segment * record_every, updates)
            progress.advance(len(piece) * (done - min(number * timetable.segment * record_every, updates)))
        variables = {name: np.asarray(x)[: len(piece)] for name, x in programs.finish(matches, states).items()}
        along = [name for name in ("value", *MEASURED) if name in variables]
        for name in along + (["policy_trajectory"] if "policies" in group.extras else []):
            last = variables["policy" if name == "policy_trajectory" else name][:, None]
            # Rows of the last segment beyond the last update are dropped; without updates there is none at all.
            rows = np.concatenate([last, *(part[name] for part in recorded)], axis=1)[:, 1 : 1 + intervals]
            variables[name] = np.concatenate([rows, last], axis=1)
        variables["theta_initial"] = _rows(initial)[: len(piece)]
        write(piece, variables)
        keep(piece, states)
    spent = time.perf_counter() - began
    timing.run_s += spent
    timing.match_updates += len(group.indices) * updates
    timing.groups.append({"matches": len(group.indices), "compile_s": compiled, "run_s": spent})


def _cost(template: Match) -> int:
    """How much more one update costs than that of a two-player game, roughly, as a power of the table's size."""
    form: Any = template.form
    if form.sampled:
        # A few rollouts for every player, some 10 ns a step and more for what networks compute in it.
        parameters = max(policy.num_parameters for policy in form.policies)
        return form.batch * form.horizon * len(form.policies) * (1 + parameters // 100)
    sizes = [int(np.prod(np.shape(leaf)[1:])) for leaf in jax.tree.leaves((template.game, template.number))]
    sizes += [policy.num_parameters for policy in template.form.policies]
    return max(1, (max(sizes) // 8) ** 2)


def _rows(thetas: Sequence[Any]) -> np.ndarray:
    """Parameters of all players as [matches, players, parameters], padded with NaN."""
    flat = [np.concatenate([x.reshape(len(x), -1) for x in jax.tree.leaves(theta)], axis=1) for theta in thetas]
    longest = max(theta.shape[1] for theta in flat)
    padded = [np.pad(t, ((0, 0), (0, longest - t.shape[1])), constant_values=np.nan) for t in flat]
    return np.stack(padded, axis=1)
