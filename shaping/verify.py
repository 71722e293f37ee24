"""Recomputes all published results that shipped configurations name."""

import copy
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from shaping import __version__
from shaping.analysis import verify_report
from shaping.config.errors import ConfigError, not_allowed
from shaping.config.files import read, shipped
from shaping.config.top_level import check_top, replaced
from shaping.config.yaml_text import as_yaml
from shaping.runtime.storage import new_folder

QUICK_MATCHES = 200
"""The most matches per cell in the quick form of a configuration without a `quick:` of its own."""


def verify(
    names: Sequence[str] = (),
    out: str | Path | None = None,
    quick: bool = False,
    say: Callable[[str], None] = lambda line: None,
) -> dict[str, Any]:
    """Runs every shipped configuration that has published values, each in its own process.

    Own processes, because XLA's fastest way to compile suits only some of the configurations, and because a crash then
    costs one row of the scoreboard instead of all of it.

    Args:
      names: which configurations; by default all.
      out: the folder to write, new or empty; by default a new one, `runs/verify-N`.
      quick: whether to run the quick form of each.
      say: receives lines for a human reader, a table as soon as a configuration has run.

    Returns:
      {"quick", "versions", "configurations", "total"} as written to scoreboard.json; `shaping.analysis.verify_report`
      describes rows and totals. Beside it are scoreboard.html and the folder of each run.

    Raises:
      ConfigError: for an unknown name, or a folder that is not new or empty, before anything is computed.
    """
    known = {name: (path, raw) for name, path in shipped().items() if (raw := read(path)).get("published")}
    for name in names:
        if name not in known:
            raise not_allowed("verify", name, f"one of {', '.join(known)}", known)
    if not known:
        raise ConfigError("verify: no shipped configuration has published values")
    chosen = {name: known[name] for name in (names or known)}
    forms = {name: quick_form(raw) for name, (_, raw) in chosen.items()} if quick else {}
    folder = new_folder(out, "verify")
    rows = []
    for name, (path, raw) in chosen.items():
        title = str(raw.get("title", ""))
        say(verify_report.heading(name, title))
        began = time.perf_counter()
        row = {"name": name, "title": title} | _checked(path, raw, folder / name, forms.get(name, raw))
        rows.append(row | {"seconds": round(time.perf_counter() - began, 1)})
        for line in verify_report.lines(rows[-1]):
            say(line)
    board = {
        "quick": quick,
        "versions": {"shaping": __version__, "python": platform.python_version(), "jax": version("jax")},
        "configurations": rows,
        "total": verify_report.totals(rows),
    }
    (folder / "scoreboard.json").write_text(json.dumps(board, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    (folder / "scoreboard.html").write_text(verify_report.html(board), encoding="utf-8")
    say(f"total: {verify_report.total_line(board['total'])}")
    say(f"scoreboard: {folder / 'scoreboard.html'}")
    return board


def _checked(path: Path, raw: dict[str, Any], folder: Path, form: dict[str, Any] | None) -> dict[str, Any]:
    """One row of the scoreboard without its name and time, after running the configuration or its quick form."""
    row: dict[str, Any] = {"status": "ran", "reason": "", "left_out": 0, "published": []}
    if form is None:
        left_out = len(raw["published"])
        return row | {"status": "skipped", "reason": "takes too long for a quick check", "left_out": left_out}
    if form is raw:
        failure = run_apart(path, folder)
    else:
        row["left_out"] = len(raw["published"]) - len(form["published"])
        with tempfile.TemporaryDirectory() as place:
            file = Path(place) / path.name
            file.write_text(as_yaml(form), encoding="utf-8")
            failure = run_apart(file, folder)
    if failure:
        return row | {"status": "failed", "reason": failure}
    return row | {"published": json.loads((folder / "summary.json").read_text(encoding="utf-8"))["published"]}


def run_apart(config: Path, folder: Path) -> str:
    """Runs a configuration in its own process; returns why it failed, or "" if it did not."""
    # The package that runs here, wherever it was imported from, and not one in the working folder (-P).
    here = str(Path(__file__).resolve().parents[1])
    paths = [here, *filter(None, [os.environ.get("PYTHONPATH")])]
    done = subprocess.run(
        [sys.executable, "-P", "-m", "shaping.cli", "run", str(config), "--out", str(folder), "--quiet"],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        errors="replace",
    )
    if done.returncode == 0:
        return ""
    said = done.stderr.strip().splitlines()
    ended = f"ended by signal {-done.returncode}" if done.returncode < 0 else f"exit status {done.returncode}"
    return f"{ended}: {said[-1].removeprefix('shaping: ')}" if said else ended


def quick_form(raw: Mapping[str, Any]) -> dict[str, Any] | None:
    """What `shaping verify --quick` runs in the place of a configuration: its own `quick:` carried out.

    Variants that are left out take their published values with them. With fewer matches every published tolerance says
    how many it was chosen for, so that our sampling error is added to it, in this run and in any later report of it.

    Args:
      raw: a configuration as plain data; without `quick:` it runs with at most 200 matches a cell.

    Returns:
      a configuration without `quick:`, or None for `quick: false`.

    Raises:
      ConfigError: for a top level that is not allowed.
    """
    top = check_top(raw)
    quick = {"matches": min(QUICK_MATCHES, top["matches"])} if top["quick"] is None else top["quick"]
    if quick is False:
        return None
    small = copy.deepcopy({key: value for key, value in raw.items() if key != "quick"})
    entries = copy.deepcopy(top["published"])
    if "variants" in quick:
        kept = {name: variant for name, variant in top["variants"].items() if name in quick["variants"]}
        small["variants"] = copy.deepcopy(kept)
        for key in replaced(kept):
            small.pop(key, None)
        gone = {str(name) for name in top["variants"]} - {str(name) for name in kept}
        entries = [e for e in entries if str((e.get("cell") or {}).get("variant")) not in gone]
    small["matches"] = quick.get("matches", top["matches"])
    if small["matches"] < top["matches"]:
        for entry in entries:
            if entry.get("tolerance") is not None:
                entry.setdefault("matches", top["matches"])
    return small | {"published": entries}
