"""Advantage Alignment and LOQA in the Coin Game: updates per second for 1, 4, 16 and 64 pairs, memory, and PyTorch.

    python -m benchmarks.advantages                        # pairs of GRU policies, and the PyTorch reference
    python -m benchmarks.advantages --full                 # one update of LOQA at the sizes of its paper

A pair is two learners with GRUs of 32 units, each with its own critics of both players; a batch is 64 games of 32
steps. An update plays, estimates, and takes one step of both policies and of all critics. Ours are updates of the
segment program that a run executes, the measurement of values left out: one pair on one device, several on as many as
there are cores, as in a run. The references (`reference_advantages_torch`) are one pair at a time, because the public
programs train one pair a process, with one critic for each player. Processor seconds count what other processes on the
machine do not change; contenders take turns.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.machine import describe

PAIRS = (1, 4, 16, 64)
SIZES = {"batch": 64, "horizon": 32, "units": 32}
ALIGNED = {"rule": "advantage_alignment", "step_size": 0.003, "weight": 0.2}
FULL = {"batch": 512, "horizon": 50, "units": 128, "hidden": [128, 128]}
LOQA = {"rule": "loqa", "share": True, "step_size": 0.001, "entropy": 0.1, "stopped": False, "past_groups": 64}


def configuration(
    player: dict[str, Any], pairs: int, updates: int, batch: int, horizon: int, **network: Any
) -> dict[str, Any]:
    """What a user would run."""
    kind = "q" if player["rule"] == "loqa" else "value"
    return {
        "game": {"name": "coin_game", "dialect": "loqa", "egocentric": True, "horizon": horizon, "discount": 0.96},
        "optimizer": {"name": "adam", "clip_norm": 1.0},
        "policy": {"kind": "gru", **network},
        "objective": {
            "kind": "dice",
            "batch": batch,
            "horizon": horizon,
            "evaluation": 1,
            "critic_rate": 0.01,
            "critic_kind": kind,
        },
        "players": player | ({"past_of": 64} if kind == "q" else {}),
        "matches": pairs,
        "updates": updates,
    }


def ours(raw: dict[str, Any]) -> tuple[Callable[[], Any], dict[str, float]]:
    """A function that makes all updates of a configuration, and the bytes that its program allocates, a pair."""
    from shaping.runtime.devices import prepare_process

    prepare_process()
    import jax
    from jax.sharding import AxisType, Mesh

    from shaping.experiment import prepare
    from shaping.population import compiled_programs

    prepared = prepare(raw)
    (group,), (chunks,) = prepared.groups, prepared.chunks
    pairs = raw["matches"]
    # On two devices a single pair would be computed twice.
    mesh = Mesh(np.array(jax.devices()[:pairs]), (compiled_programs.AXIS,), axis_types=(AxisType.Auto,))
    matches = group.matches_of(np.arange(pairs))
    matches = jax.device_put(matches, compiled_programs.population_sharding(mesh))
    start = compiled_programs.start_program(mesh, np.float32)
    # Values are never measured: what is timed is updates.
    timetable = compiled_programs.Timetable(raw["updates"], raw["updates"], 1, measures=False)
    segment, window = (
        compiled_programs.segment_program(mesh, timetable, min(chunks.block, pairs)),
        compiled_programs.segment_at(timetable, 0),
    )
    compiled = segment.lower(matches, start(matches), window).compile()  # type: ignore[attr-defined]
    state = sum(leaf.nbytes for leaf in jax.tree.leaves(start(matches)))
    used = compiled.memory_analysis().temp_size_in_bytes
    call = lambda: jax.block_until_ready(compiled(matches, start(matches), window))  # noqa: E731
    return call, {"working_mib": used / pairs / 2**20, "state_mib": state / pairs / 2**20}


NAMES = {"torch": "PyTorch as released", "torch:lean": "PyTorch, whole sequences"}


def reference(name: str, updates: int) -> tuple[Callable[[], Any], int]:
    """A function that makes some updates of one pair in PyTorch, and how many."""
    from benchmarks.reference_advantages_torch import Pair, torch

    # More threads wait for each other longer than they compute, at these sizes.
    torch.set_num_threads(1)
    pair = Pair(**SIZES, lean=name == "torch:lean")
    return lambda: [pair.update() for _ in range(updates)], updates


def timed(call: Callable[[], Any]) -> tuple[float, float]:
    """(wall seconds, processor seconds) of a call."""
    began, busy = time.perf_counter(), time.process_time()
    call()
    return time.perf_counter() - began, time.process_time() - busy


def measured(pairs: list[int], updates: int, rounds: int, contenders: list[str]) -> dict[str, Any]:
    """Rates of ours for each number of pairs, and of the references."""
    calls: dict[str, tuple[Callable[[], Any], int]] = {}
    rows: dict[str, Any] = {}
    for count in pairs if "ours" in contenders else ():
        size = {key: SIZES[key] for key in ("batch", "horizon", "units")}
        number = max(2, updates // count)
        call, memory = ours(configuration(ALIGNED, count, number, **size))
        calls[f"{count} pairs"], rows[f"{count} pairs"] = (call, number * count), memory
    for name in contenders:
        if name != "ours":
            calls[NAMES[name]], rows[NAMES[name]] = reference(name, max(2, updates // 16)), {}
    for call, _ in calls.values():
        call()
    times = {name: [] for name in calls}
    for _ in range(rounds):
        for name, (call, _) in calls.items():
            times[name].append(timed(call))
    for name, (_, number) in calls.items():
        wall, busy = (statistics.median(column) for column in zip(*times[name], strict=True))
        rows[name] |= {"updates_per_s": number / wall, "updates_per_processor_s": number / busy}
    for name in [NAMES[one] for one in contenders if one != "ours"]:
        for own in rows.keys() - NAMES.values():
            # Of each round by itself, as contenders take turns.
            pairs_of_times = list(zip(times[own], times[name], strict=True))
            for column, what in enumerate(("", "processor_")):
                ratios = [theirs[column] / mine[column] for mine, theirs in pairs_of_times]
                scale = calls[own][1] / calls[name][1]
                rows[own][f"{what}ratio_to {name}"] = scale * statistics.median(ratios)
    return rows


def full() -> dict[str, Any]:
    """One update of LOQA with 512 games of 50 steps and 128 units, and what it costs."""
    raw = configuration(LOQA, 1, 1, **FULL)
    raw["objective"]["critic_target_rate"] = 0.01
    call, memory = ours(raw)
    wall, busy = timed(call)
    return {"LOQA, full size": {"seconds": wall, "processor_seconds": busy} | memory}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--updates", type=int, default=64, help="updates of all pairs together in a round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--pairs", nargs="+", type=int, default=list(PAIRS))
    parser.add_argument("--contenders", nargs="+", default=["ours", *NAMES], choices=["ours", *NAMES])
    parser.add_argument("--full", action="store_true", help="LOQA at full size instead")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    rows = (
        full()
        if arguments.full
        else measured(arguments.pairs, arguments.updates, arguments.rounds, arguments.contenders)
    )
    columns = list(dict.fromkeys(key for row in rows.values() for key in row))
    print("| |" + "|".join(column.replace("_", " ") for column in columns) + "|\n|" + "---|" * (1 + len(columns)))
    for name, row in rows.items():
        print(f"| {name} |" + "|".join(f" {row[c]:,.2f} " if c in row else " " for c in columns) + "|")
    if arguments.json:
        arguments.json.write_text(json.dumps({"machine": describe(), "rows": rows}, indent=1))


if __name__ == "__main__":
    main()
