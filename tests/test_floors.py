"""The direction of imports: a package imports only from layers below it (contracts in pyproject.toml)."""

import ast
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import grimp
import pytest

ROOT = Path(__file__).resolve().parents[1]
CONTRACTS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
LAYERS = next(contract["layers"] for contract in CONTRACTS if contract["id"] == "floors")


def rooms_with_a_floor() -> dict[str, bool]:
    """Module name -> whether it must exist, for every name in the layers."""
    names = [name.strip() for layer in LAYERS for name in layer.split("|")]
    return {name.strip("()"): not name.startswith("(") for name in names}


def exists(module: str) -> bool:
    path = ROOT.joinpath(*module.split("."))
    return (path / "__init__.py").is_file() or path.with_suffix(".py").is_file()


def check_contracts(root: Path) -> subprocess.CompletedProcess[str]:
    program = "from importlinter.cli import lint_imports_command; lint_imports_command()"
    return subprocess.run(
        [sys.executable, "-c", program, "--config", str(ROOT / "pyproject.toml"), "--no-cache", "--no-logo"],
        cwd=root,
        env=os.environ | {"COLUMNS": "120"},
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.mark.parametrize("module", [name for name, required in rooms_with_a_floor().items() if required])
def test_a_required_room_exists(module):
    assert exists(module), f"{module} is named in the floors; put it in parentheses if it may be missing"


def test_every_room_of_shaping_has_a_floor():
    entries = {path.stem for path in (ROOT / "shaping").glob("*.py")}
    entries |= {path.parent.name for path in (ROOT / "shaping").glob("*/__init__.py")}
    rooms = {f"shaping.{name}" for name in entries if not name.startswith("__")}
    assert rooms <= rooms_with_a_floor().keys()


def test_no_room_imports_from_its_own_floor_upwards():
    result = check_contracts(ROOT)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize(
    ("module", "line", "kept"),
    [
        ("shaping.population", "import shaping.rules", True),
        ("shaping.rules", "import shaping.population", False),
        ("shaping.population", "import shaping.config", False),
        ("shaping.analysis", "import shaping.runtime", False),
        ("shaping.analysis", "import shaping.policies", False),
        ("shaping.signatures", "import shaping.envs", False),
        ("shaping.envs", "import shaping.signatures", False),
        ("shaping.envs", "import optax", False),
    ],
)
def test_the_contracts_tell_an_import_downwards_from_a_forbidden_one(tmp_path, module, line, kept):
    for name in ["shaping", *rooms_with_a_floor()]:
        room = tmp_path.joinpath(*name.split("."))
        room.mkdir()
        (room / "__init__.py").write_text(line if name == module else "")
    result = check_contracts(tmp_path)
    assert (result.returncode == 0) == kept, result.stdout + result.stderr
    assert ("BROKEN" in result.stdout) != kept, result.stdout + result.stderr


@pytest.mark.parametrize("library", ["distrax", "orbax"])
def test_a_library_that_may_have_to_be_replaced_has_at_most_one_importer(library, monkeypatch):
    # distrax needs tensorflow-probability's nightly builds, and orbax still renames its interface.
    monkeypatch.syspath_prepend(str(ROOT))
    graph = grimp.build_graph("shaping", include_external_packages=True, cache_dir=None)
    importers = graph.find_modules_that_directly_import(library) if library in graph.modules else set()
    assert len(importers) <= 1, sorted(importers)


def kinds_of_game_asked_for(source: str) -> list[str]:
    """The classes of environments and of exact games that an `isinstance` names."""
    calls = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    asked = [node.args[1] for node in calls if isinstance(node.func, ast.Name) and node.func.id == "isinstance"]
    names = [name for kinds in asked for node in ast.walk(kinds) if (name := getattr(node, "id", None)) is not None]
    return [name for name in names if re.fullmatch(r"(Exact|Matrix|Coin|Sequential|Analytic|ManyAction).*Game", name)]


def test_only_scripted_policies_ask_which_game_they_play():
    assert kinds_of_game_asked_for("if isinstance(game, (int, CoinGame)): pass") == ["CoinGame"]
    files = [path for path in (ROOT / "shaping").rglob("*.py") if not {"policies", "envs"} & set(path.parts)]
    found = {str(path.relative_to(ROOT)): kinds_of_game_asked_for(path.read_text()) for path in files}
    assert not {place: names for place, names in found.items() if names}
