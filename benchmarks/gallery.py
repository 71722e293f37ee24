"""The gallery, docs/gallery.md: what each shipped configuration asks, how it came out and how long it took.

python -m benchmarks.gallery run RUNS [NAME ...]   runs the configurations that RUNS does not hold yet, one at a time
python -m benchmarks.gallery write RUNS            writes docs/gallery.md and docs/images/gallery/ from those runs

`run` starts every configuration in its own process with an empty compilation cache, and notes the processor time it
used in RUNS/NAME.json. With `--small`, configurations that take long on two cores run in the small form that `SMALL`
gives them, and the page says so.
"""

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]

_ONE_BATCH = {"batch": 16, "slices": 1, "evaluation": 16}
SMALL: dict[str, dict[str, Any]] = {
    "coin_exact_pola": {"matches": 4, "updates": 20},
    "coin_lola": {"matches": 4, "updates": 60},
    "coin_lola_full": {
        "updates": 20,
        "record_every": 1,
        "variants": {
            "Foerster et al. 2018": {"objective": _ONE_BATCH},
            "LOLA-DiCE, Zhao et al. 2022": {"objective": _ONE_BATCH},
        },
    },
    "coin_pola": {"matches": 4, "updates": 10, "record_every": 1},
    "coin_pola_full": {"matches": 1, "updates": 4, "players": {"max_iterations": 10}, "objective": _ONE_BATCH},
    "coin_ppo": {"matches": 4, "updates": 60},
    "cola_consistency": {"matches": 8},
    "fishery": {"matches": 4, "updates": 100, "record_every": 10},
    "ipd_dice": {"matches": 4, "updates": 100},
    "lola_pg": {"matches": 4, "updates": 30, "record_every": 3, "objective": {"batch": 400}},
    "m_maml": {"matches": 4},
    "meva_head_to_head": {"matches": 2, "updates": 100},
    "opponent_models": {"matches": 4, "updates": 60, "record_every": 6},
}
"""What `run --small` changes in configurations that take long on two cores."""


def merged(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """A copy of `base` with `changes` made in it, mapping by mapping."""
    nested = {key: merged(base[key], change) for key, change in changes.items() if isinstance(change, dict)}
    return base | changes | nested


def run(runs: Path, names: list[str], small: bool, limit: float) -> None:
    """Runs what `runs` does not hold yet, one configuration at a time, each for `limit` seconds at most."""
    from shaping.config.files import read, shipped
    from shaping.config.yaml_text import as_yaml

    runs.mkdir(parents=True, exist_ok=True)
    for name in names or shipped():
        if (runs / name / "summary.json").exists():
            continue
        shutil.rmtree(runs / name, ignore_errors=True)
        changes = SMALL.get(name, {}) if small else {}
        with tempfile.TemporaryDirectory() as place:
            file = Path(place) / f"{name}.yaml"
            file.write_text(as_yaml(merged(read(name), changes)), encoding="utf-8")
            before = _processor_seconds()
            try:
                done = subprocess.run(
                    [sys.executable, "-m", "shaping", "run", str(file), "--out", str(runs / name), "--quiet"],
                    env=os.environ | {"JAX_COMPILATION_CACHE_DIR": str(Path(place) / "cache")},
                    timeout=limit,
                )
                outcome = f"exit status {done.returncode}"
            except subprocess.TimeoutExpired:
                outcome = f"stopped after {limit:.0f} s"
        used = round(_processor_seconds() - before, 1)
        print(f"{name}: {outcome}, {used} s of processor time", flush=True)
        (runs / f"{name}.json").write_text(json.dumps({"processor_seconds": used, "changes": changes}) + "\n")


def _processor_seconds() -> float:
    """Processor time that finished child processes have used."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", choices=("run", "write"))
    parser.add_argument("runs", type=Path, metavar="RUNS")
    parser.add_argument("names", nargs="*", metavar="NAME", help="configurations to run; all by default")
    parser.add_argument("--small", action="store_true", help="run long configurations in a small form")
    parser.add_argument("--limit", type=float, default=3600, help="seconds for each configuration (default: 3600)")
    arguments = parser.parse_args()
    if arguments.action == "run":
        run(arguments.runs, arguments.names, arguments.small, arguments.limit)


if __name__ == "__main__":
    main()
