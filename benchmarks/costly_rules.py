"""The cost of POLA, COLA and MeVa relative to naive learning: rules with an inner optimisation or a network.

    python -m benchmarks.costly_rules --matches 256 --rounds 3

The iterated prisoner's dilemma, two players with the same rule, in the programs that a run compiles; contenders take
turns. Rounds of cheap rules have more updates (see `RULES`). The learning that COLA and MeVa do before the first update
is shortened, and reported per match and training step: the defaults are 8,000 and 10,000 steps.
"""

import argparse
import json
import statistics
import time
from pathlib import Path
from typing import Any

import jax
import numpy as np

from benchmarks.machine import describe
from shaping.experiment import prepare
from shaping.population.compiled_programs import Timetable, population_sharding, segment_at
from shaping.runtime.compilation import compile_programs
from shaping.runtime.devices import population_mesh, prepare_process

RULES: dict[str, tuple[dict[str, Any], int, int]] = {
    "naive": ({}, 1000, 0),
    "exact LOLA": ({"rule": "lola", "variant": "exact"}, 1000, 0),
    "outer POLA": ({"rule": "pola", "lookahead_rate": 1.0, "proximal_rate": 0.05}, 2, 0),
    "ideal POLA": ({"rule": "pola", "variant": "ideal", "lookahead_rate": 0.05, "proximal_rate": 0.05}, 1, 0),
    "COLA": ({"rule": "cola", "training_steps": 100}, 200, 100),
    "MeVa": ({"rule": "meva", "episodes": 2}, 10, 20),
}
"""Contenders: a player's entry, the updates of a round, and the training steps before the first update."""


class Contender:
    """One rule's compiled programs and matches."""

    def __init__(self, player: dict[str, Any], updates: int, matches: int):
        prepared = prepare({"players": {"rule": "naive", **player}, "matches": matches, "updates": updates})
        (group,), (chunks,) = prepared.groups, prepared.chunks
        mesh = population_mesh()
        numbers = group.indices[:]
        padded = np.pad(numbers, (0, chunks.padded - len(numbers)), mode="edge")
        self.matches = jax.device_put(group.matches_of(padded), population_sharding(mesh))
        began = time.perf_counter()
        timetable = Timetable(updates, updates, 1)
        self.window = segment_at(timetable, 0)
        self.programs = compile_programs(mesh, np.float32, timetable, chunks.block, self.matches)
        self.compile_s = time.perf_counter() - began

    def round(self) -> tuple[float, float]:
        """Seconds of the start, and of all updates."""
        began = time.perf_counter()
        states = jax.block_until_ready(self.programs.start(self.matches))
        started = time.perf_counter()
        jax.block_until_ready(self.programs.segment(self.matches, states, self.window))
        return started - began, time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--matches", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rules", nargs="+", default=list(RULES), choices=list(RULES))
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    prepare_process()
    found: dict[str, list[tuple[float, float]]] = {}
    contenders = {name: Contender(*RULES[name][:2], arguments.matches) for name in arguments.rules}
    for _ in range(arguments.rounds):
        for name, contender in contenders.items():
            found.setdefault(name, []).append(contender.round())
    rows = {}
    for name, rounds in found.items():
        start, run = (statistics.median(column) for column in zip(*rounds, strict=True))
        _, updates, steps = RULES[name]
        training = start / arguments.matches / steps * 1e3 if steps else None
        rate = arguments.matches * updates / run
        rows[name] = {"updates_per_s": rate, "training_ms": training, "compile_s": contenders[name].compile_s}
    reference = rows.get("naive", next(iter(rows.values())))["updates_per_s"]
    print("| rule | match-updates/s | naive / it | training, ms per match and step | compilation, s |")
    print("|---|---|---|---|---|")
    for name, row in rows.items():
        training = "" if row["training_ms"] is None else f"{row['training_ms']:.3g}"
        ratio = reference / row["updates_per_s"]
        print(f"| {name} | {row['updates_per_s']:,.0f} | {ratio:,.1f} | {training} | {row['compile_s']:.1f} |")
    if arguments.json:
        arguments.json.write_text(json.dumps({"machine": describe(), "rows": rows}, indent=1))


if __name__ == "__main__":
    main()
