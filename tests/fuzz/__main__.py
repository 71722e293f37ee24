"""`python -m tests.fuzz [--cases N] [--first SEED]`: many cases; prints those that fail.

10,000 take about four minutes of processor time.
"""

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
parser.add_argument("--cases", type=int, default=10_000, help="how many (default: 10,000)")
parser.add_argument("--first", type=int, default=0, help="seed of the first (default: 0)")
arguments = parser.parse_args()
os.environ.setdefault("JAX_NUM_CPU_DEVICES", "2")

from tests.fuzz import command_lines, configurations, folders, library  # noqa: E402

failures, began = 0, time.monotonic()
with tempfile.TemporaryDirectory() as name:
    place = Path(name)
    (place / "scratch").mkdir()
    (place / "elsewhere").mkdir()
    runs, replayed = folders.make_runs(place)
    for seed in range(arguments.first, arguments.first + arguments.cases):
        try:
            match seed % 4:
                case 0:
                    folders.check_case(seed, runs, replayed, place / "scratch")
                case 1:
                    command_lines.check_case(seed, place / "elsewhere")
                case 2:
                    configurations.check_case(seed)
                case 3:
                    library.check_case(seed)
        except AssertionError as failure:
            failures += 1
            print(str(failure)[:600], flush=True)
        if (seed - arguments.first) % 500 == 499:
            done = seed - arguments.first + 1
            print(f"{done:,} cases, {failures} failed, {time.monotonic() - began:.0f} s", flush=True)
print(f"{arguments.cases:,} cases, {failures} failed")
sys.exit(1 if failures else 0)
