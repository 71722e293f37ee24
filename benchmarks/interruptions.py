"""Whether a run that is killed again and again ends with exactly the same bits as one that was left alone.

    python -m benchmarks.interruptions                              # 50 kills of exact LOLA, 10 of recurrent networks
    python -m benchmarks.interruptions --kinds recurrent --kills 20 # more kills, only of the networks
    python -m benchmarks.interruptions --between 0 30               # on a slower machine

A configuration is run to its end. Then it is run again in another folder, by `shaping run` and then `shaping resume`,
each in its own process group that is sent SIGKILL some time after it took up the run: at random between LOW seconds,
and HIGH on top of the time to load and compile from a warm cache. A run that ends before enough kills have been made is
compared, and another is begun. The kinds are

    exact      exact LOLA on the iterated prisoner's dilemma, policies recorded, together with naive learners who
    diverge
               on a Hamiltonian game: two groups, several chunks each, a checkpoint about every second
    recurrent  the Coin Game from samples with GRUs: LOLA-DiCE, which knows its opponent from a model, against PPO;
               Adam, critics, the model and its memory are all part of the state

Compared are every variable and coordinate of record.zarr as bytes, summary.json without its timing, and the digests of
the final states; in addition, no checkpoint may have been damaged. The exit status is 1 if anything differs; the
folders are kept in that case, or at the place given by `--keep`.

The description above makes this file longer than others.
"""

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from benchmarks.machine import describe

ROOT = Path(__file__).parents[1]


def exact(scale: float) -> dict[str, Any]:
    """The configuration `exact`; at scale 1 it takes a minute or more on two cores."""
    chunk, updates = max(4, int(4096 * scale)), max(20, int(20_000 * scale))
    lola = {"rule": "lola", "variant": "exact", "step_size": 1.0, "lookahead_rate": 1.0}
    return {
        "matches": 5 * chunk - 1,
        "updates": updates,
        "record_every": max(1, updates // 200),
        "record": ["policies"],
        "chunk_matches": chunk,
        "checkpoint": {"every_s": None, "every_updates": max(10, updates // 20)},
        "variants": {
            "LOLA": {"game": {"name": "ipd", "discount": 0.96}, "players": lola},
            "diverging": {"game": {"name": "hamiltonian"}, "players": {"rule": "naive", "step_size": 0.1}},
        },
    }


def recurrent(scale: float) -> dict[str, Any]:
    """The configuration `recurrent`; at scale 1 it takes some tens of seconds on two cores."""
    updates = max(4, int(200 * scale))
    model = {"streams": 2, "steps": 2, "window": 2}
    lola = {"rule": "lola", "variant": "exact", "step_size": 0.01, "lookahead_rate": 0.3, "opponent_model": model}
    return {
        "game": {"name": "coin_game", "dialect": "pola"},
        "players": [lola, {"rule": "ppo", "step_size": 0.01, "minibatches": 2}],
        "policy": {"kind": "gru", "units": 8},
        "objective": {"kind": "dice", "baseline": "critic", "batch": 8, "horizon": 16, "critic_rate": 0.01},
        "optimizer": "adam",
        "matches": 11,
        "updates": updates,
        "record_every": max(1, updates // 40),
        "chunk_matches": 4,
        "checkpoint": {"every_s": None, "every_updates": max(1, updates // 20)},
    }


KINDS = {"exact": (exact, 50), "recurrent": (recurrent, 10)}
"""For every kind its configuration and its default number of kills."""


@dataclass
class Found:
    """What happened to the runs of a kind.

    Attributes:
      alone_s: wall time of the run that was left alone.
      ready_s: from a process taking up a run to its first update, programs compiled before.
      kills: processes killed, each at one of three times:
      preparing: before it had written anything,
      computing: after that,
      concluding: when all matches were final.
      saving: kills while a checkpoint was being written.
      recording: kills while a piece of the record was being written.
      unsaved: kills before the run had its first checkpoint.
      resumes: processes that continued a run.
      runs: interrupted runs that were compared.
      seconds: wall time of these.
      differences: what differs, in words.
    """

    alone_s: float = 0.0
    ready_s: float = 0.0
    kills: int = 0
    preparing: int = 0
    computing: int = 0
    concluding: int = 0
    saving: int = 0
    recording: int = 0
    unsaved: int = 0
    resumes: int = 0
    runs: int = 0
    seconds: float = 0.0
    differences: list[str] = field(default_factory=list)


def start(arguments: list[str], cache: Path) -> subprocess.Popen[str]:
    """A `shaping` command in its own process group; its errors can be read from it when it has ended."""
    environment = os.environ | {
        "JAX_COMPILATION_CACHE_DIR": str(cache),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    }
    command = [sys.executable, "-m", "shaping.cli", *arguments, "--quiet"]
    errors = subprocess.PIPE
    return subprocess.Popen(command, env=environment, cwd=ROOT, stderr=errors, text=True, start_new_session=True)


def finish(process: subprocess.Popen[str]) -> None:
    """Waits for a process.

    Raises:
      SystemExit: if it failed.
    """
    errors = "" if process.stderr is None or process.stderr.closed else process.communicate()[1]
    if process.returncode:
        raise SystemExit(f"{process.args} ended with status {process.returncode}:\n{errors}")


def status_of(folder: Path) -> dict[str, Any]:
    """What a run says about itself; empty before it has said anything."""
    path = folder / "status.json"
    return json.loads(path.read_text()) if path.exists() else {}


def taken_up(process: subprocess.Popen[str], folder: Path) -> float:
    """Waits until a process has taken up the run in a folder, or ended; returns the time, as in file timestamps."""
    while process.poll() is None and status_of(folder).get("pid") != process.pid:
        time.sleep(0.01)
    return time.time()


def kill(process: subprocess.Popen[str]) -> None:
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def ready_after(path: Path, folder: Path, cache: Path) -> float:
    """Seconds from a process taking up a run to its first update; the process is then killed."""
    process = start(["run", str(path), "--out", str(folder)], cache)
    began = taken_up(process, folder)
    while process.poll() is None and not any((folder / "record.zarr" / "theta_initial").glob("[0-9]*")):
        time.sleep(0.01)
    ready = time.time() - began
    if process.poll() is not None:
        finish(process)
    else:
        kill(process)
    shutil.rmtree(folder)
    return ready


def count(found: Found, folder: Path, began: float) -> None:
    """Counts the kill of a process that took up its run at the given time, by what it left behind."""
    states = [path.name for path in (folder / "checkpoint").glob("*/*") if path.is_dir()]
    unfinished = [name for name in states if "orbax-checkpoint-tmp" in name]
    written = (path for place in ("checkpoint", "record.zarr") for path in (folder / place).rglob("*"))
    found.kills += 1
    found.saving += bool(unfinished)
    found.recording += any((folder / "record.zarr").rglob("*.partial"))
    found.unsaved += len(unfinished) == len(states)
    final = [name for name in states if name.startswith("matches-") and name not in unfinished]
    if len(final) == status_of(folder)["chunks"]:
        found.concluding += 1
    elif max(path.stat().st_mtime for path in written if path.is_file()) > began:
        found.computing += 1
    else:
        found.preparing += 1


def interrupted(path: Path, folder: Path, cache: Path, found: Found, kills: int, seconds: Callable[[], float]) -> None:
    """Runs a configuration to its end in a new folder, killing it on the way until `kills` were counted in all."""
    process = start(["run", str(path), "--out", str(folder)], cache)
    while found.kills < kills:
        began = taken_up(process, folder)
        try:
            process.wait(seconds())
            break
        except subprocess.TimeoutExpired:
            kill(process)
        if process.returncode != -signal.SIGKILL:
            break  # It had just ended by itself.
        count(found, folder, began)
        process = start(["resume", str(folder)], cache)
        found.resumes += 1
    finish(process)
    found.runs += 1


def differences(alone: Path, other: Path) -> list[str]:
    """Everything in which two finished runs of one configuration differ, in words, and any damaged checkpoints of the
    other, because no kill may cause one."""
    damaged = [f"checkpoint: {path.name} was not whole" for path in (other / "checkpoint" / "damaged").glob("*")]
    found = [*_record_differences(alone, other), *_summary_differences(alone, other), *_state_differences(alone, other)]
    return damaged + found


def _record_differences(alone: Path, other: Path) -> list[str]:
    import xarray

    # Nothing is decoded: a number that stands for a missing value is compared as a number.
    ours, theirs = (xarray.open_zarr(f / "record.zarr", decode_cf=False).load() for f in (alone, other))
    names = {**ours.attrs, **theirs.attrs}
    found = [f"record: attribute {name}" for name in names if ours.attrs.get(name) != theirs.attrs.get(name)]
    for name in sorted({*map(str, ours.variables), *map(str, theirs.variables)}):
        if name not in ours.variables or name not in theirs.variables:
            found.append(f"record: {name} is missing in one")
            continue
        a, b = ours.variables[name], theirs.variables[name]
        # Attributes are compared as text, so that two NaN are equal.
        if (a.dims, a.shape, a.dtype, repr(a.attrs)) != (b.dims, b.shape, b.dtype, repr(b.attrs)):
            found.append(f"record: {name} has another form")
        elif a.dtype == object:
            if a.values.tolist() != b.values.tolist():
                found.append(f"record: {name}")
        elif a.values.tobytes() != b.values.tobytes():
            found.append(f"record: {name} {_where(a.values, b.values)}")
    return found


def _where(a: np.ndarray, b: np.ndarray) -> str:
    """How many numbers differ in their bits, and the position of the first."""
    bits = [np.ascontiguousarray(x).view(np.uint8).reshape(*x.shape, x.itemsize) for x in (a, b)]
    places = np.argwhere((bits[0] != bits[1]).any(-1))
    first = tuple(places[0].tolist())
    return f"differs in {len(places):,} of {a.size:,} numbers, first at {first}: {a[first]!r}, {b[first]!r}"


def _summary_differences(alone: Path, other: Path) -> list[str]:
    ours, theirs = (json.loads((folder / "summary.json").read_text()) for folder in (alone, other))
    # Compared as text, so that two NaN are equal.
    pairs = {key: [json.dumps(x.get(key), sort_keys=True) for x in (ours, theirs)] for key in {**ours, **theirs}}
    return [f"summary: {key}" for key, (a, b) in pairs.items() if key != "timing" and a != b]


def _state_differences(alone: Path, other: Path) -> list[str]:
    from shaping.runtime.digests import differing

    ours, theirs = (_final_states(folder) for folder in (alone, other))
    if ours.keys() != theirs.keys():
        return [f"final states: {sorted(ours)} and {sorted(theirs)}"]
    found = {name: differing(ours[name], theirs[name]) for name in ours}
    return [f"final states: {name}: {difference}" for name, difference in found.items() if difference]


def _final_states(folder: Path) -> dict[str, dict[str, list[int]]]:
    """Digests of the final states, by group and matches.

    Raises:
      SystemExit: if there are none, or one that was not written completely.
    """
    from orbax.checkpoint import v1

    from shaping.runtime.checkpoints import is_saved

    paths = sorted((folder / "checkpoint").glob("group-*/matches-*"))
    if not paths or not all(is_saved(path) for path in paths):
        raise SystemExit(f"{folder}: finished without all of its final states")
    about: dict[str, Any] = {
        f"{path.parent.name}/{path.name}": v1.metadata(str(path)).custom_metadata for path in paths
    }
    return {name: each["content"]["digests"] for name, each in about.items()}


def measure(kind: str, kills: int, setup: argparse.Namespace, base: Path) -> Found:
    """One kind: the run that is left alone, the interrupted ones, and their differences."""
    path, alone, found = base / f"{kind}.yaml", base / f"{kind}-alone", Found()
    cache = (setup.cache or base / "cache").absolute()
    path.write_text(yaml.safe_dump(KINDS[kind][0](setup.scale)))
    chance = random.Random(f"{setup.seed} {kind}")
    began = time.perf_counter()
    finish(start(["run", str(path), "--out", str(alone)], cache))
    found.alone_s = time.perf_counter() - began
    found.ready_s = ready_after(path, base / f"{kind}-ready", cache)
    low, high = setup.between[0], setup.between[1] + found.ready_s
    began = time.perf_counter()
    while found.kills < kills and not found.differences:
        folder = base / f"{kind}-{found.runs}"
        interrupted(path, folder, cache, found, kills, lambda: chance.uniform(low, high))
        found.differences = [f"{folder}: {line}" for line in differences(alone, folder)]
        print(f"  {kind}: {found.kills} kills, {found.runs} runs", file=sys.stderr, flush=True)
    found.seconds = time.perf_counter() - began
    return found


def table(results: dict[str, Found]) -> str:
    """What was found as Markdown."""
    names = (
        "kind", "kills", "preparing", "computing", "concluding", "while saving", "while recording",
        "before a checkpoint", "resumes", "runs", "alone s", "ready s", "interrupted s", "identical",
    )  # fmt: skip
    lines = [f"| {' | '.join(names)} |", "|" + "---|" * len(names)]
    for kind, found in results.items():
        cells = [kind, found.kills, found.preparing, found.computing, found.concluding, found.saving, found.recording]
        cells += [found.unsaved, found.resumes, found.runs, f"{found.alone_s:.0f}", f"{found.ready_s:.1f}"]
        cells += [f"{found.seconds:.0f}", "no" if found.differences else "yes"]
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kinds", nargs="+", choices=tuple(KINDS), default=list(KINDS))
    parser.add_argument("--kills", type=int, help="of every kind (default: 50 exact, 10 recurrent)")
    parser.add_argument("--between", type=float, nargs=2, default=[0.0, 8.0], metavar=("LOW", "HIGH"),
                        help="seconds from taking up the run to the kill, HIGH on top of loading")  # fmt: skip
    parser.add_argument("--scale", type=float, default=1.0, help="of the sizes of the configurations")
    parser.add_argument("--seed", type=int, default=0, help="of the waits")
    parser.add_argument("--cache", type=Path, help="keep compiled programs here")
    parser.add_argument("--keep", type=Path, help="a new folder for the runs, kept")
    parser.add_argument("--json", type=Path, help="also write everything measured to this file")
    setup = parser.parse_args()
    result = {"command": f"python -m benchmarks.interruptions {' '.join(sys.argv[1:])}".strip(), "machine": describe()}
    print(json.dumps(result, indent=2), flush=True)
    if setup.keep:
        setup.keep.mkdir(parents=True)
    base = (setup.keep or Path(tempfile.mkdtemp(prefix="interruptions-"))).absolute()
    results = {kind: measure(kind, setup.kills or KINDS[kind][1], setup, base) for kind in setup.kinds}
    print(f"\n{table(results)}")
    wrong = [line for found in results.values() for line in found.differences]
    for line in wrong:
        print(line)
    if setup.json:
        setup.json.write_text(json.dumps(result | {k: asdict(v) for k, v in results.items()}, indent=2) + "\n")
    if not wrong and not setup.keep:
        shutil.rmtree(base)
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
