"""Rules, learners, environments and policies from other packages, installed or given for one command."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from shaping import plugins
from shaping.cli import main
from shaping.config.build import groups
from shaping.config.errors import ConfigError
from shaping.config.plan import plan

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.usefixtures("without_pictures")
CODE = '''
"""Half a gradient, a game of matching numbers, and a policy that looks at nothing."""
from dataclasses import dataclass
import jax
import jax.numpy as jnp
from flax import struct
from shaping.envs.spaces import Box, Discrete
from shaping.learners import Common, frozen
from shaping.policies import network
from shaping.rules import Rule
from shaping.rules.gradients import gradient
from shaping.signatures import NonNegative

@struct.dataclass
class Settings:
    part: object

def half(part: NonNegative = 0.5):
    """A share of the gradient of one's own return."""
    return Rule(Settings(part), direction)

def direction(objective, thetas, player, settings, key=None):
    ascent = gradient(objective, thetas, player, player, key)
    return jax.tree.map(lambda leaf: settings.part * leaf, ascent)

def statue(common: Common = Common()):
    """Never moves."""
    return frozen(common)

@struct.dataclass
class Numbers:
    prize: object

@dataclass(frozen=True)
class Match:
    """Two players get the prize where they choose alike."""
    prize: float = 1.0
    size: int = 2
    name: str = "match"
    num_players = 2
    @property
    def observation_space(self):
        return Box((1,))
    @property
    def action_space(self):
        return Discrete(self.size)
    @property
    def default_params(self):
        return Numbers(jnp.asarray(self.prize, dtype=float))
    def reset(self, key, params):
        return jnp.zeros((2, 1)), jnp.int32(0)
    def step(self, key, state, actions, params):
        reward = jnp.where(actions[0] == actions[1], params.prize, 0.0)
        return jnp.zeros((2, 1)), state + 1, jnp.stack([reward, reward]), jnp.bool_(False), jnp.bool_(False), {}

def wide(observation_space, action_space, width: int = 3, growth: NonNegative = 1.0):
    """A network of one layer."""
    return network(observation_space, action_space, hidden=(int(growth * width),))

RULES = {"half": half}
LEARNERS = {"statue": statue}
ENVIRONMENTS = {"match": Match}
POLICIES = {"wide": wide}
'''
RUN = {
    "game": {"name": "match", "prize": 2.0},
    "players": [{"rule": "half", "part": 0.25}, {"rule": "statue"}],
    "policy": {"kind": "wide", "width": 2, "init": {"normal": 1.0}},
    "objective": {"kind": "dice", "batch": 4, "horizon": 2},
    "matches": 1,
    "updates": 1,
    "sweep": {"game.prize": [1.0, 2.0]},
}


@pytest.fixture
def clean(monkeypatch, tmp_path):
    """Nothing added, before and after; an empty folder to work in."""
    monkeypatch.setattr("shaping.runtime.devices.prepare_process", lambda: None)
    monkeypatch.setattr("shaping.runtime.devices.compile_for_scalars", lambda: None)
    monkeypatch.setattr(plugins, "_plugins", {kind: {} for kind in plugins.KINDS})
    monkeypatch.chdir(tmp_path)
    plugins._points.cache_clear()
    plugins._load.cache_clear()
    yield tmp_path
    plugins._points.cache_clear()
    plugins._load.cache_clear()
    sys.modules.pop("half_package", None)


def install(folder):
    """A package as pip would leave it."""
    (folder / "half_package.py").write_text(CODE)
    about = folder / "half_package-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: half-package\nVersion: 1.0\n")
    groups = {"rules": "half", "learners": "statue", "environments": "match", "policies": "wide"}
    objects = {"match": "Match"}
    lines = [f"[shaping.{kind}]\n{name} = half_package:{objects.get(name, name)}\n" for kind, name in groups.items()]
    (about / "entry_points.txt").write_text("\n".join(lines))


def test_an_installed_package_is_named_like_our_own_and_trains(clean, monkeypatch, capsys):
    site = clean / "site"
    site.mkdir()
    install(site)
    monkeypatch.syspath_prepend(site)
    (clean / "run.yaml").write_text(yaml.safe_dump(RUN))
    assert main(["run", "run.yaml", "--out", "out", "--quiet"]) == 0
    assert (clean / "out" / "report" / "index.html").exists()
    assert main(["list"]) == 0
    listed = capsys.readouterr().out
    for line in (
        "half                        A share of",
        "match                       Two players",
        "wide                        A network",
    ):
        assert line in listed


def test_numbers_of_a_policy_are_part_of_its_program(clean, monkeypatch):
    """A policy is built from them, so that values side by side in one program would all be the first."""
    site = clean / "site"
    site.mkdir()
    install(site)
    monkeypatch.syspath_prepend(site)
    found = groups(plan(RUN | {"sweep": {"policy.growth": [1.0, 2.0]}}))
    widths = [block.normal["policy"]["growth"] for blocks in found for block in blocks]
    assert len(found) == 2 and widths == [1.0, 2.0]
    with pytest.raises(ConfigError, match="^sweep.policy.growth"):
        plan(RUN | {"sweep": {"policy.growth": {"uniform": [1.0, 2.0]}}})


def test_a_plugin_adds_for_one_command_and_its_settings_are_in_the_schema(clean, capsys):
    (clean / "mine.py").write_text(CODE)
    (clean / "run.yaml").write_text(yaml.safe_dump(RUN))
    assert main(["run", "run.yaml", "--dry-run"]) == 2
    assert "game.name: 'match' is not allowed" in capsys.readouterr().err
    assert main(["run", "run.yaml", "--dry-run", "--plugin", "mine.py"]) == 0
    assert main(["schema", "--plugin", "mine.py"]) == 0
    schema = capsys.readouterr().out
    for part in ('"prize"', '"part"', '"width"', '"statue"'):
        assert part in schema


def test_a_setting_of_a_plugin_is_checked_as_our_own(clean, capsys):
    (clean / "mine.py").write_text(CODE)
    (clean / "run.yaml").write_text(yaml.safe_dump(RUN))
    for override, line in (
        ("players.0.part=-1", "players.0.part: -1 is not allowed; must be a number, at least 0"),
        ("players.0.prt=1", "(nearest: players.0.part)"),
        ("game.prise=1", "(nearest: game.prize)"),
        ("policy.widht=1", "(nearest: policy.width)"),
    ):
        assert main(["run", "run.yaml", "--plugin", "mine.py", "--set", override]) == 2
        assert line in capsys.readouterr().err


@pytest.mark.parametrize(
    ("content", "part"),
    [
        (None, "no such file"),
        ("1 / 0", "ZeroDivisionError"),
        ("x = 1", "adds nothing"),
        ("RULES = {'mine': 3}", "must be a factory"),
    ],
)
def test_a_plugin_that_cannot_be_used_is_refused_in_one_line(clean, capsys, content, part):
    if content is not None:
        (clean / "mine.py").write_text(content)
    assert main(["list", "--plugin", "mine.py"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("shaping: --plugin mine.py: ") and part in error and error.count("\n") == 1


def test_a_configuration_cannot_name_code(clean, capsys):
    (clean / "mine.py").write_text("raise SystemExit('ran')")
    for keys in ({"plugin": "mine.py"}, {"players": {"rule": "mine.py"}}, {"game": {"name": "mine:Game"}}):
        (clean / "run.yaml").write_text(yaml.safe_dump(keys))
        assert main(["run", "run.yaml"]) == 2


def test_a_plugin_may_make_arrays_while_it_is_imported(tmp_path):
    code = "import jax.numpy as jnp\nRULES = {'ones': lambda: jnp.ones(2)}\nSCALE = jnp.ones(2)\n"
    (tmp_path / "early.py").write_text(code)
    command = [sys.executable, "-m", "shaping", "run", "lola_table", "--dry-run", "--plugin", "early.py"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    found = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment, timeout=120)
    assert found.returncode == 0, found.stderr
    assert found.stdout.startswith("plan: 8 cells")
