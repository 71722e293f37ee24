"""What an installation contains, and what its parts import."""

import importlib.metadata
import json
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
from hatchling.builders.wheel import WheelBuilder

import shaping

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def modules_after(program: str) -> set[str]:
    """Top-level names in sys.modules once a fresh interpreter has run `program` from the checkout."""
    report = "import json, sys; print(json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))"
    result = subprocess.run(
        [sys.executable, "-c", f"{program}\n{report}"],
        cwd=ROOT,
        env=os.environ | {"JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert result.returncode == 0, result.stderr
    return set(json.loads(result.stdout.splitlines()[-1]))


def test_the_version_is_the_same_in_package_metadata_and_project_file():
    assert shaping.__version__ == importlib.metadata.version("shaping") == PROJECT["version"]


def test_the_changelog_has_a_place_for_what_is_not_released():
    assert re.search(r"^## \[Unreleased\]", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)


def test_the_command_is_installed():
    (script,) = importlib.metadata.entry_points(group="console_scripts", name="shaping")
    assert script.value == "shaping.cli:main"
    assert callable(script.load())


def test_the_old_name_of_the_games_says_the_new_one():
    result = subprocess.run([sys.executable, "-c", "import envs"], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert result.returncode != 0
    assert "write `from shaping import envs`" in result.stderr.splitlines()[-1]


def test_an_editable_copy_puts_shaping_alone_on_the_path(tmp_path):
    (wheel,) = WheelBuilder(str(ROOT)).build(directory=str(tmp_path), versions=["editable"])
    with zipfile.ZipFile(wheel) as archive:
        lines = [
            line.strip()
            for name in archive.namelist()
            if name.endswith(".pth")
            for line in archive.read(name).decode().splitlines()
        ]
    assert lines
    assert str(ROOT) not in lines


@pytest.mark.parametrize("arguments", [["--help"], ["run", "--help"]])
def test_help_is_shown_without_the_numerical_libraries(arguments):
    program = f"""
from shaping.cli import main
try:
    status = main({arguments!r})
except SystemExit as end:
    status = end.code
assert not status, status
"""
    heavy = {
        "jax",
        "jaxlib",
        "flax",
        "optax",
        "distrax",
        "tensorflow_probability",
        "orbax",
        "scipy",
        "xarray",
        "zarr",
        "matplotlib",
    }
    assert not modules_after(program) & heavy


def test_games_import_neither_the_learning_side_nor_tensorflow_probability():
    loaded = modules_after("from shaping import envs")
    learning = {"optax", "distrax", "chex", "tensorflow_probability", "orbax"}
    reporting = {"xarray", "zarr", "matplotlib", "pandas"}
    assert not loaded & (learning | reporting)


def test_the_wheel_carries_the_package_its_games_and_every_shipped_configuration(tmp_path):
    (wheel,) = WheelBuilder(str(ROOT)).build(directory=str(tmp_path), versions=["standard"])
    carried = set(zipfile.ZipFile(wheel).namelist())
    modules = {path.relative_to(ROOT).as_posix() for path in (ROOT / "shaping").rglob("*.py")}
    modules |= {f"shaping/{path.relative_to(ROOT).as_posix()}" for path in (ROOT / "envs").rglob("*.py")}
    configurations = {path.name for path in (ROOT / "configs").glob("*.yaml")}
    assert configurations, "configs/ is empty"
    assert carried >= modules | {f"shaping/_configs/{name}" for name in configurations}
    assert {name.partition("/")[0] for name in carried} == {"shaping", f"shaping-{PROJECT['version']}.dist-info"}
