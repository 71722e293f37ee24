"""The command as users see it: its output, the files it writes, its exit status."""

import json
import re
import subprocess
import sys

import numpy as np
import pytest
import yaml

from shaping.cli import main
from shaping.cli.summary_lines import summary_lines
from shaping.config.build import unrolled
from shaping.config.plan import plan
from shaping.rules import named_rules
from tests.interrupting import command

pytestmark = pytest.mark.usefixtures("without_pictures")
# One-shot, because it compiles fastest.
TINY = {
    "title": "Tiny",
    "game": {"name": "stag_hunt", "horizon": 1},
    "players": {"rule": "naive"},
    "matches": 2,
    "updates": 2,
}


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty working folder with tiny.yaml in it; what a command decides for its process is left out."""
    monkeypatch.setattr("shaping.runtime.devices.prepare_process", lambda: None)
    monkeypatch.setattr("shaping.runtime.devices.compile_for_scalars", lambda: None)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(TINY))
    return tmp_path


def imported(code):
    """The top-level packages that a fresh process has imported after running `code`, and what it printed."""
    tail = "; import json; print(json.dumps(sorted({name.split('.')[0] for name in sys.modules})))"
    command = [sys.executable, "-W", "ignore", "-c", f"import sys; {code}{tail}"]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    return set(json.loads(lines[-1])), lines[:-1]


def test_listing_names_games_rules_and_configurations_each_with_a_line(capsys):
    from shaping.config.files import shipped
    from shaping.envs import ENVIRONMENTS
    from shaping.envs.matrix.analytic import ANALYTIC_GAMES
    from shaping.envs.matrix.games import GAMES
    from shaping.population.players_by_name import every_rule

    assert main(["list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if line.endswith(":") and not line.startswith(" ")] == [
        "games:",
        "environments:",
        "analytic games:",
        "games in turns:",
        "rules:",
        "learners:",
        "policies:",
        "strategies:",
        "schedules:",
        "configurations:",
    ]
    for name in (*GAMES, *ENVIRONMENTS, *ANALYTIC_GAMES, *every_rule(), "ppo", "gru", *shipped()):
        # A configuration may be called as the game that it is about.
        found = [line for line in lines if re.match(rf"  {name} ", line)]
        assert found
        assert all(len(line.split(maxsplit=1)[1]) > 10 for line in found)


def test_listing_imports_nothing_heavy():
    modules, lines = imported("from shaping.cli import main; main(['list'])")
    assert "games:" in lines
    heavy = {
        "xarray",
        "zarr",
        "matplotlib",
        "orbax",
        "distrax",
        "tensorflow_probability",
        "pandas",
        "scipy.stats",
    }
    assert not heavy & modules


def test_help_version_and_import_do_without_jax():
    for code in (
        "import shaping",
        "from shaping.cli import main\ntry: main(['--version'])\nexcept SystemExit: pass\nprint()",
        "from shaping.cli import main\ntry: main(['run', '--help'])\nexcept SystemExit: pass\nprint()",
    ):
        modules, _ = imported(f"exec({code!r})")
        assert not {"jax", "flax", "optax", "numpy", "yaml"} & modules


def test_the_version_is_printed(capsys):
    from shaping import __version__

    with pytest.raises(SystemExit) as end:
        main(["--version"])
    assert end.value.code == 0
    assert capsys.readouterr().out == f"shaping {__version__}\n"


@pytest.mark.parametrize("arguments", [[], ["rum"], ["run"], ["run", "tiny.yaml", "--outt", "x"], ["report"]])
def test_a_command_that_does_not_exist_ends_with_two(arguments, capsys):
    with pytest.raises(SystemExit) as end:
        main(arguments)
    assert end.value.code == 2
    assert "usage: shaping" in capsys.readouterr().err


def test_a_dry_run_shows_the_plan_and_writes_nothing(here, capsys):
    overrides = [
        "--set",
        "sweep.players.*.step_size=[0.1, 1.0]",
        "--set",
        "matches=1000",
        "--set",
        "updates=50",
    ]
    assert main(["run", "tiny.yaml", "--dry-run", *overrides]) == 0
    written = capsys.readouterr()
    assert written.err == ""
    first, second, third = written.out.splitlines()
    assert first.startswith("plan: 2 cells x 1,000 matches = 2,000 matches, 50 updates each, float32")
    assert re.match(r"  group 1 of 1: 2,000 matches \(naive\) in 1 chunk of 2,000, about \d+ MiB each", second)
    assert re.match(r"  at most [\d.]+ MiB of memory and [\d.]+ MiB on disk", third)
    assert [path.name for path in here.iterdir()] == ["tiny.yaml"]


def test_a_shipped_configuration_is_planned_by_bare_name(here, capsys):
    assert main(["run", "lola_table", "--dry-run"]) == 0
    out = capsys.readouterr().out
    assert "8 cells x 2,000 matches" in out and "group 3 of 3" in out


def test_a_run_prints_its_plan_its_cells_and_its_speed_and_reports_again(here, capsys):
    assert main(["run", "tiny.yaml", "--out", "there/run", "--set", "matches=3", "--set", "sweep.seed=[0, 1]"]) == 0
    out = capsys.readouterr().out.splitlines()
    assert out[0].startswith("plan: 2 cells x 3 matches = 6 matches")
    assert [line for line in out if line.startswith("report: ")] == ["report: there/run/report/index.html"]
    for seed in (0, 1):
        (line,) = [line for line in out if line.startswith(f"  seed={seed} ")]
        assert re.search(r"value -?\d\.\d{3} -?\d\.\d{3}  cooperative \d+%", line)
    assert re.match(r"compiled in .* s, ran in .* match-updates/s on \d+ x", out[-1])
    config = yaml.safe_load((here / "there/run/config.yaml").read_text())
    assert config["matches"] == 3 and config["sweep"] == {"seed": [0, 1]} and config["title"] == "Tiny"

    before = {path: path.read_bytes() for path in (here / "there").rglob("*") if path.is_file()}
    assert main(["run", "tiny.yaml", "--out", "there/run"]) == 2
    refused = capsys.readouterr()
    assert refused.out == "" and refused.err.count("\n") == 1 and "there/run" in refused.err
    assert {path: path.read_bytes() for path in (here / "there").rglob("*") if path.is_file()} == before

    cells = json.loads((here / "there/run/summary.json").read_text())["cells"]
    (here / "there/run/summary.json").unlink()
    (here / "there/run/report/index.html").unlink()
    assert main(["report", "there/run"]) == 0
    assert capsys.readouterr().out == "there/run/report/index.html\n"
    assert (here / "there/run/report/index.html").is_file()
    assert json.loads((here / "there/run/summary.json").read_text())["cells"] == cells


def test_cells_are_named_by_keys_as_a_configuration_writes_them(tmp_path):
    cell = {"coordinates": {"players.all.step_size": 0.5}, "value_mean": [-1.0, None], "diverged": 0.0}
    (tmp_path / "summary.json").write_text(json.dumps({"cells": [cell], "timing": None}))
    (line,) = summary_lines(tmp_path)
    assert line.split() == ["players.*.step_size=0.5", "value", "-1.000", "-"]


def test_without_a_folder_runs_are_numbered_under_runs(here, capsys):
    for number in (1, 2):
        assert main(["run", "tiny.yaml", "--quiet"]) == 0
        written = capsys.readouterr()
        assert written.out == "" and written.err == ""
        assert (here / "runs" / f"tiny-{number}" / "summary.json").is_file()
    assert sorted(path.name for path in (here / "runs").iterdir()) == ["tiny-1", "tiny-2"]


@pytest.mark.parametrize("folder", ["nowhere", "tiny.yaml", "."])
def test_a_report_of_what_is_no_run_is_refused(here, capsys, folder):
    assert main(["report", folder]) == 2
    written = capsys.readouterr()
    assert written.out == "" and written.err.count("\n") == 1
    assert written.err.startswith("shaping: ") and folder in written.err
    assert [path.name for path in here.iterdir()] == ["tiny.yaml"]


def test_a_fresh_process_takes_every_core_keeps_its_cache_where_told_and_refuses_with_two(tmp_path):
    code = (
        "from shaping.runtime.devices import _usable_cores as cores, prepare_process; prepare_process(); import jax; "
        "print(jax.device_count() == cores(), jax.config.jax_compilation_cache_dir); "
        "from shaping.cli import main; raise SystemExit(main())"
    )
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    arguments = ["run", "lola_table", "--set", "matches=none", "--out", str(tmp_path / "out")]
    process = [sys.executable, "-W", "ignore", "-c", code, *arguments]
    done = subprocess.run(process, capture_output=True, text=True, env=environment)
    assert done.stdout.split() == ["True", str(tmp_path / "cache" / "shaping" / "jax")]
    assert done.returncode == 2
    assert done.stderr.startswith("shaping: matches: 'none' is not allowed") and done.stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()


FEW = ("sos", "exact")


@pytest.mark.parametrize(
    ("horizon", "few"),
    [(1, FEW), pytest.param(1, (), marks=pytest.mark.slow), pytest.param(None, (), marks=pytest.mark.slow)],
    ids=["a few", "one-shot", "infinite"],
)
def test_every_rule_compiles_as_the_command_compiles_it(tmp_path, monkeypatch, horizon, few):
    """In a process of its own, where XLA takes pains and shares results between fusions."""
    exact = {name: rule() for name, rule in named_rules().items() if name != "lola"}
    rules = [name for name, rule in exact.items() if rule.prepare is None and not rule.needs_information_sets]
    variants = {name: {"players": {"rule": name}} for name in rules}
    variants |= {name: {"players": {"rule": "lola", "variant": name}} for name in ("original", "taylor", "exact")}
    variants["five lookaheads"] = {"players": {"rule": "lola", "variant": "exact", "lookaheads": 5}}
    variants["second order"] = {"players": {"rule": "hola", "order": 2}}
    variants["lola opponents"] = {"players": {"rule": "lola", "opponents": "lola"}}
    variants = {name: variants[name] for name in few or variants}
    path, counts = tmp_path / "rules.yaml", {"matches": 4, "updates": 2}
    path.write_text(yaml.safe_dump({"game": {"name": "ipd", "horizon": horizon}} | counts | {"variants": variants}))
    monkeypatch.delenv("XLA_FLAGS", raising=False)
    done = command("run", path, "--out", tmp_path / "run", "--quiet")
    _, said = done.communicate(timeout=280)
    assert done.returncode == 0, said[-2000:]
    cells = json.loads((tmp_path / "run" / "summary.json").read_text())["cells"]
    assert len(cells) == len(variants) and all(np.all(np.isfinite(cell["value_mean"])) for cell in cells)


def test_only_a_run_over_scalars_alone_compiles_so():
    def scalars(**keys):
        return unrolled(plan(keys))

    assert scalars(game="ipd") and scalars(game={"name": "ipd", "horizon": 1}, optimizer="adam")
    assert not scalars(game={"name": "ipd", "horizon": 7}) and not scalars(optimizer="lamb")
    assert not scalars(variants={"a": {}, "b": {"game": {"name": "contribution", "num_players": 3}}})
    assert not scalars(policy="mlp") and not scalars(game="tandem")
    assert not scalars(players=[{"rule": "naive"}, {"rule": "meva"}]) and not scalars(policy={"init": {"m_maml": {}}})


def test_help_prints_the_table_of_exit_statuses(capsys):
    from shaping.exit_statuses import TABLE

    with pytest.raises(SystemExit):
        main(["--help"])
    out = capsys.readouterr().out
    assert all(re.search(rf"^ +{row.status}  {re.escape(row.meaning)}", out, re.M) for row in TABLE)
    assert len({row.status for row in TABLE}) == len(TABLE)


def test_a_home_folder_is_expanded_once_and_the_same_for_every_command(here, capsys, monkeypatch):
    import shaping

    home = here / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    assert main(["run", "tiny.yaml", "--out=~/x", "--quiet"]) == 0
    assert {"config.yaml", "record.zarr", "summary.json"} <= {path.name for path in (home / "x").iterdir()}
    assert sorted(path.name for path in here.iterdir()) == ["home", "tiny.yaml"]
    for words in (["resume", "~/x"], ["report", "~/x"], ["status", "~/x"], ["replay", "~/x", "--match", "0"]):
        assert main(words) == 0, words
    assert shaping.load("~/x").folder == home / "x"
    assert main(["status", "~nobody-of-this-name/x"]) == 2
    assert "'~nobody-of-this-name/x': cannot be used as a folder" in capsys.readouterr().err


def test_a_second_run_in_a_folder_is_told_that_one_is_running_there(here, capsys):
    from shaping.runtime.storage import locked

    (here / "live").mkdir()
    (here / "live" / "config.yaml").write_text("")
    with locked(here / "live"):
        assert main(["run", "tiny.yaml", "--out", "live"]) == 2
    assert "--out live: another process is running in it; `shaping status live`" in capsys.readouterr().err


def test_what_ran_out_asks_a_scheduler_to_try_again(here, capsys, monkeypatch):
    from shaping.exit_statuses import STOPPED
    from shaping.runtime.record import Record

    def write(self, *arguments, **named):
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(Record, "write", write)
    assert main(["run", "tiny.yaml", "--out", "run", "--quiet"]) == STOPPED
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "Too many open files" in error and "`shaping resume run` continues" in error
    monkeypatch.undo()
    monkeypatch.chdir(here)
    assert main(["resume", "run", "--quiet"]) == 0


def test_a_run_is_planned_once(here, monkeypatch):
    from shaping.config import plan as planning

    calls = []
    genuine = planning.check_top
    monkeypatch.setattr(planning, "check_top", lambda raw: calls.append(raw) or genuine(raw))
    assert main(["run", "tiny.yaml", "--dry-run"]) == 0 and len(calls) == 1
    assert main(["run", "tiny.yaml", "--out", "run", "--quiet"]) == 0 and len(calls) == 2
