"""An experiment before its first update: its groups, cut into chunks and segments."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from shaping.analysis.populations.measures import known_measures
from shaping.analysis.published import known_metrics
from shaping.config import build
from shaping.config.errors import not_allowed
from shaping.config.plan import Experiment, plan
from shaping.config.resolved import plain_data
from shaping.population.compiled_programs import Timetable
from shaping.runtime.chunks import Chunks, Group, cut, timetable
from shaping.runtime.devices import computing_in, describe_devices
from shaping.runtime.memory_limits import check_memory
from shaping.runtime.progress import size_of
from shaping.runtime.record_schema import layout, replicate_of
from shaping.runtime.storage import check_space, is_local


@dataclass(frozen=True)
class Prepared:
    """An experiment whose groups are cut into chunks and segments; nothing has been computed yet."""

    experiment: Experiment
    groups: tuple[Group, ...]
    chunks: tuple[Chunks, ...]
    timetables: tuple[Timetable, ...]

    def config(self) -> dict[str, Any]:
        """The resolved configuration, chunks included, as plain data."""
        sizes = [chunks.size for chunks in self.chunks]
        return plain_data(self.experiment.resolved() | {"chunk_matches": sizes})

    def bytes(self) -> dict[str, int]:
        """Bytes that each part of the run takes on disk if nothing can be compressed."""
        final = sum(len(group.indices) * c.state_bytes for group, c in zip(self.groups, self.chunks, strict=True))
        # One more than is kept: the oldest is deleted only when the newest is complete.
        rolling = (self.experiment.top["checkpoint"]["keep"] + 1) * max(c.padded * c.state_bytes for c in self.chunks)
        record = layout(self.experiment, self.templates()).bytes()
        return {"record": record, "final states": final, "checkpoints": rolling}

    def memory_bytes(self) -> dict[str, int]:
        """Bytes of this machine's memory that are needed at the same time, by what needs them."""
        # The coordinates of matches and recorded updates (cell, number, seed and each swept or drawn key) are built as
        # whole arrays before they are written, and the library that writes them makes a copy.
        columns = 3 + len(self.experiment.coordinates) + len(self.experiment.drawn)
        rows = len(layout(self.experiment, self.templates()).steps)
        found = {"coordinates of the record": 2 * 8 * (columns * self.experiment.matches + rows)}
        if jax.default_backend() == "cpu":
            found["a chunk"] = max(chunks.bytes for chunks in self.chunks)
        return found

    def check_fits(self, folder: Any) -> None:
        """Refuses a plan that does not fit in this machine's memory, or on the disk of its folder, which need not
        exist.

        Raises:
          ConfigError: one line.
        """
        check_memory(self.memory_bytes())
        if is_local(folder):
            folder = next(place for place in (folder, *folder.absolute().parents) if place.exists())
        check_space(folder, self.bytes())

    def templates(self) -> list[Any]:
        """The settings of one match of every group."""
        return [group.template() for group in self.groups]

    def lines(self) -> list[str]:
        """The plan in a few lines of text."""
        top = self.experiment.top
        cells, matches = self.experiment.cells, self.experiment.matches
        kind = "populations" if self.experiment.of_populations else "matches"
        text = [
            f"plan: {cells:,} cell{'s' * (cells != 1)} x {top['matches']:,} {kind} = {matches:,} {kind}, "
            f"{self.experiment.length:,} {replicate_of(self.experiment).step}s each, {top['precision']}, "
            f"{describe_devices()}"
        ]
        for number, (group, chunk) in enumerate(zip(self.groups, self.chunks, strict=True)):
            rules = ", ".join(self._rules(group))
            text.append(
                f"  group {number + 1} of {len(self.groups)}: {len(group.indices):,} {kind} ({rules}) "
                f"in {chunk.count} "
                f"chunk{'s' * (chunk.count != 1)} of {chunk.size:,}, about {chunk.bytes / 2**20:,.0f} MiB each, "
                f"{size_of(chunk.match_bytes)} per {'population' if self.experiment.of_populations else 'match'}"
            )
        memory, disk = sum(self.memory_bytes().values()), sum(self.bytes().values())
        return [*text, f"  at most {size_of(memory)} of memory and {size_of(disk)} on disk"]

    def _rules(self, group: Group) -> list[str]:
        per_cell = self.experiment.top["matches"]
        found = {}
        for block in self.experiment.blocks:
            if block.cells.start * per_cell in group.indices:
                population = block.normal.get("population")
                players = list(population["types"].values()) if population else block.normal["players"]
                each = [" ".join(p[k] for k in ("rule", "variant", "strategy") if k in p) or "pool" for p in players]
                joined = (" + " if population else " v ").join(each)
                found[each[0] if len(set(each)) == 1 else joined] = None
        return list(found)


def prepare(source: Mapping[str, Any] | Experiment) -> Prepared:
    """Cuts an experiment into groups and chunks; computes nothing.

    Args:
      source: a configuration, or an experiment that is already planned.

    Raises:
      ConfigError: in one line, the first thing that is not allowed.
    """
    experiment = source if isinstance(source, Experiment) else plan(source)
    top = experiment.top
    if top["published"]:
        metrics = _metrics(experiment)
        for place, entry in enumerate(top["published"]):
            if entry["metric"] not in metrics:
                raise not_allowed(f"published.{place}.metric", entry["metric"], f"one of {', '.join(metrics)}", metrics)
    with computing_in(top["precision"]):
        groups = []
        for blocks in build.groups(experiment):

            def matches_of(indices: np.ndarray, blocks: Any = blocks) -> Any:
                return build.matches_of(experiment, blocks, indices)

            # Where games of several kinds run in one experiment, the policies of the tabular ones are recorded.
            indices = build.group_indices(experiment, blocks)
            of_matches = "policies" in top["record"] and not experiment.of_populations
            tabular = not of_matches or matches_of(indices[:1]).game.tabular
            extras = tuple(extra for extra in top["record"] if tabular or extra != "policies")
            groups.append(Group(indices, matches_of, extras, replicate_of(experiment)))
        memory, devices = top["memory_gib"] * 2**30, jax.device_count()
        updates, record_every = experiment.length, top["record_every"]
        sizes = top["chunk_matches"]
        sizes = sizes if isinstance(sizes, list) else [sizes] * len(groups)
        if len(sizes) != len(groups):
            raise not_allowed(
                "chunk_matches", sizes, f"one number, or a list of {len(groups)}: one for each group of the plan"
            )
        chunks = [cut(g, updates, record_every, memory, devices, n) for g, n in zip(groups, sizes, strict=True)]
        every = top["checkpoint"]["every_updates"]
        tables = [timetable(g, c, updates, record_every, every) for g, c in zip(groups, chunks, strict=True)]
    return Prepared(experiment, tuple(groups), tuple(chunks), tuple(tables))


def _metrics(experiment: Experiment) -> tuple[str, ...]:
    """What a published value may be compared with."""
    variables = layout(experiment).variables
    if experiment.of_populations:
        return known_measures(list(experiment.blocks[0].normal["population"]["types"]), "cooperation" in variables)
    measured = [name for name, v in variables.items() if v.dims == ("match", "update", "player") and name != "value"]
    return known_metrics(measured)
