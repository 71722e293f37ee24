"""What README.md and docs/ show works as shown: their Python and their commands are run, their tables are complete.

A document's blocks run in order in one folder: ```python blocks as they stand, and of ```bash blocks the lines that
start with `shaping`, with runs made small and a single configuration verified. The runs of README.md are carried out,
and of the runs in the other pages of TRAINS those whose folder the page uses later. All other runs are only planned;
the slow tests carry them out. They also run the Python of the pages in LEARN, which takes longest to compile. On every
page, calls of this package are checked against the signatures of what they call. A block that starts with `# name.yaml`
or `# name.py` is also written to that file, with smaller numbers if a slow test trains what it describes; the tests of
a `# test_name.py` are run. Blocks marked for continuous integration are left to it.
"""

import ast
import inspect
import json
import re
import shlex
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest
import yaml

import shaping
from shaping import envs, plugins, signatures
from shaping.analysis.published import METRICS
from shaping.cli import main
from shaping.config.cell import number_fields
from shaping.config.environments import environment_settings, environments
from shaping.config.initial_parameters import FILE, RUN
from shaping.config.plan import plan
from shaping.config.players import PLAYER_KEYS, build_learner, player_fields
from shaping.config.policy import policy_fields
from shaping.config.top_level import CHECKPOINT, OPTIONAL_PARTS, PUBLISHED, TOP
from shaping.envs.matrix.analytic import ANALYTIC_GAMES
from shaping.envs.matrix.games import GAMES
from shaping.exit_statuses import TABLE
from shaping.learners.schedule import SCHEDULES
from shaping.population.players_by_name import every_player
from shaping.runtime.signals import SIGNALS
from shaping.runtime.status import Status
from shaping.runtime.storage import STORES
from shaping.variables import VARIABLES
from tests.small_configurations import small

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
POLICIES = {
    "tabular": {"memory": 2},
    "preconditioned": {"kind": "preconditioned", "matrix": [[1] * 5] * 5},
    "mlp": {"kind": "mlp"},
}
NOT_OF_CONFIGURATIONS = {"view", "flat", "dtype"}
"""Settings of the Coin Game that say what players are shown."""
pytestmark = pytest.mark.usefixtures("without_pictures")
SMALL = {"run": ["--set", "matches=4", "--set", "updates=20"], "verify": ["parameterisation"]}
SMALL["atlas"] = ["--tables", "5", "--episodes", "4", "--updates", "2", "--map", "pca"]
TRAINS = ("README.md", "tutorial.md", "running.md", "atlas.md")
"""The documents some of whose runs the short suite carries out: those that a newcomer reads, and those about what
happens to a run."""


LEARN = (
    "atlas.md",
    "sampling.md",
    "advantages.md",
    "environments.md",
    "extending.md",
    "evolution.md",
    "populations.md",
    "record.md",
)
"""The pages whose Python the short suite does not run: it only checks the calls."""


def text_of(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def blocks(text: str) -> list[tuple[str, str]]:
    """The fenced blocks of a document, in order: (language, content)."""
    found = re.findall(r"^(<!-- ci: \w+ -->\n)?```(\w+)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return [(language, content) for mark, language, content in found if not mark]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty one to work in, whose modules can be imported; they and what they add are forgotten afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(plugins, "_plugins", {kind: {} for kind in plugins.KINDS})
    yield tmp_path
    for path in tmp_path.glob("*.py"):
        sys.modules.pop(path.stem, None)


def made_small(arguments: list[str], in_full: bool) -> list[str]:
    """The arguments of a command made quick. Unless `in_full`, a run is planned and no more: its programs take longest
    to compile."""
    small = [*arguments, *SMALL.get(arguments[0], [])]
    if arguments[0] == "run" and not in_full and "--dry-run" not in small:
        small.append("--dry-run")
    return small


def goes_on(document: Path, line: str) -> bool:
    """Whether later lines of a document's programs use the folder of the run that this line makes."""
    folder = re.search(r"--out (\S+)", line)
    programs = "".join(content for _, content in blocks(document.read_text(encoding="utf-8")))
    return folder is not None and folder[1] in programs.partition(line)[2]


WITH_EXAMPLES = [path for path in DOCUMENTS if path.name not in ("index.md", "gallery.md", "ecology.md")]
EXAMPLES = [
    pytest.param(path, path.name == "README.md", id=path.name) for path in WITH_EXAMPLES if path.name not in LEARN
] + [
    pytest.param(path, True, id=f"{path.name}, trained too", marks=pytest.mark.slow)
    for path in WITH_EXAMPLES[1:]
    if path.name in LEARN or "\nshaping run " in path.read_text(encoding="utf-8")
]


@pytest.mark.parametrize(("document", "in_full"), EXAMPLES)
def test_every_command_and_every_python_block_runs(document, in_full, folder, monkeypatch):
    # The command then does not ask for devices, which this process has already.
    monkeypatch.setenv("JAX_NUM_CPU_DEVICES", "2")
    ran = 0
    for language, content in blocks(document.read_text(encoding="utf-8")):
        if name := re.match(r"# (\S+\.(?:py|yaml))\n", content):
            if language == "yaml" and in_full and document.name not in TRAINS:
                content = yaml.safe_dump(small(yaml.safe_load(content)))
            Path(name[1]).write_text(content)
        if language == "python":
            names = {"__name__": "example"}
            exec(compile(content, f"{document.name}: {content.splitlines()[0]}", "exec"), names)
            for test in [value for key, value in names.items() if key.startswith("test_")]:
                test()
            ran += 1
        elif language == "bash":
            for line in content.splitlines():
                if line.startswith("shaping "):
                    arguments = shlex.split(line, comments=True)[1:]
                    trains = in_full or document.name in TRAINS and goes_on(document, line)
                    assert main(made_small(arguments, trains)) == 0, line
                    ran += 1
    assert ran, "nothing in this document was run"


def named(node: ast.expr, names: dict) -> object:
    """What a dotted name stands for, None if it does not start with one of the names."""
    if isinstance(node, ast.Name):
        return names.get(node.id)
    if isinstance(node, ast.Attribute) and (owner := named(node.value, names)) is not None:
        return getattr(owner, node.attr)  # AttributeError: the document names something that does not exist
    return None


def imported(tree: ast.Module) -> dict:
    """What the block imports from this package, by name."""
    names: dict = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "shaping":
            exec(compile(ast.Module([node], []), "imports", "exec"), names)
        elif isinstance(node, ast.Import):
            own = [alias for alias in node.names if alias.name.split(".")[0] == "shaping"]
            if own:
                exec(compile(ast.fix_missing_locations(ast.Module([ast.Import(own)], [])), "imports", "exec"), names)
    return names


@pytest.mark.parametrize("document", WITH_EXAMPLES, ids=lambda path: path.name)
def test_every_call_of_this_package_in_a_python_block_fits_what_is_called(document):
    for language, content in blocks(document.read_text(encoding="utf-8")):
        if language != "python":
            continue
        tree = ast.parse(content)
        names = imported(tree)
        for node in ast.walk(tree):
            if not isinstance(node, ast.Call) or any(isinstance(argument, ast.Starred) for argument in node.args):
                continue
            called = named(node.func, names)
            keywords = {keyword.arg: None for keyword in node.keywords if keyword.arg}
            if callable(called) and len(keywords) == len(node.keywords):
                try:
                    inspect.signature(called).bind(*node.args, **keywords)
                except TypeError as error:
                    raise AssertionError(f"{ast.unparse(node)}: {error}") from None


def test_the_example_configuration_has_the_cells_the_readme_counts():
    (example,) = [content for language, content in blocks(text_of("README.md")) if language == "yaml"]
    assert plan(yaml.safe_load(example)).cells == 18


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_link_into_the_repository_leads_somewhere(document):
    for target in re.findall(r"\]\(([^)#]+)\)", document.read_text(encoding="utf-8")):
        if "://" not in target:
            assert (document.parent / target).exists(), target


def test_the_documentation_builds_into_a_site_without_a_warning(tmp_path):
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path / "site")]
    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert built.returncode == 0, built.stderr
    pages = {page.parent.name for page in (tmp_path / "site").glob("*/index.html")}
    assert pages >= {page.stem for page in (ROOT / "docs").glob("*.md")} - {"index"}


def test_the_readme_is_short():
    assert len(text_of("README.md").splitlines()) < 200


def test_the_tables_of_environments_md_name_every_game():
    first_columns = re.findall(r"^\| (`[^|]+`) \|", text_of("docs/environments.md"), re.MULTILINE)
    named = {name for column in first_columns for name in re.findall(r"`(\w+)`", column)}
    assert named >= {name for name in envs.registered() if name != "matrix_game"} | set(ANALYTIC_GAMES)


def test_the_first_table_of_rules_md_names_every_rule():
    first_columns = set(re.findall(r"^\| `(\w+)` \|", text_of("docs/rules.md"), re.MULTILINE))
    assert first_columns >= set(every_player())


def test_configuration_md_names_every_key():
    named = set(re.findall(r"`(\w+)(?=[`:])", text_of("docs/configuration.md")))
    keys = {
        *TOP,
        *CHECKPOINT,
        *OPTIONAL_PARTS,
        *METRICS,
        *PUBLISHED,
        *ANALYTIC_GAMES,
        *POLICIES,
        *RUN,
        *FILE,
        *PLAYER_KEYS,
    }
    keys |= {"strategy", "clip_norm", *SCHEDULES, *environments()}
    for factory in SCHEDULES.values():
        keys |= {*signatures.fields(factory)}
    for settings in (*policy_fields().values(), *map(environment_settings, environments())):
        keys |= {*settings} - NOT_OF_CONFIGURATIONS
    for name in ANALYTIC_GAMES:
        keys |= set(plan({"game": name}).blocks[0].normal["game"])
    for policy in POLICIES.values():
        normal = plan({"policy": policy}).blocks[0].normal["policy"]
        keys |= {*normal, *normal["init"]}
    sampled = {"objective": {"kind": "loaded_dice"}, "players": {"rule": "lola", "opponent_model": True}}
    (block,) = plan(sampled | {"policy": {"kind": "gru"}}).blocks
    keys |= {*block.normal["objective"], *block.normal["players"][0]["opponent_model"], *block.normal["policy"]}
    for name in (*GAMES, "matrix_game"):
        game = {"name": name} if name != "matrix_game" else {"payoffs": [[[1, 0], [0, 1]]] * 2}
        for rule in every_player():
            learner = build_learner({"rule": rule})
            if learner.needs_trials:
                keys |= {*player_fields(rule)}
                continue
            objective = {"kind": "dice" if learner.needs_sampler else "exact"}
            objective |= {"critic_kind": "q"} if learner.needs_action_values else {}
            played = "kuhn_poker" if learner.needs_information_sets else "ipd" if learner.needs_tables else game
            (block,) = plan({"game": played, "players": {"rule": rule}, "objective": objective}).blocks
            keys |= {*block.normal["game"], *block.normal["players"][0], *block.normal["policy"]}
            keys |= {key.rsplit(".", 1)[-1] for key in number_fields(block.normal) if not key[-1].isdigit()}
    assert keys - named - {"normal"} == set()


def test_rules_md_names_every_rule():
    assert set(re.findall(r"`rule: (\w+)", text_of("docs/rules.md"))) == set(every_player())


def test_running_md_names_every_key_signal_exit_status_and_store():
    text = text_of("docs/running.md")
    first_columns = set(re.findall(r"^\| `?([\w, ]+)`? \|", text, re.MULTILINE))
    assert first_columns >= set(CHECKPOINT)
    for row in TABLE:
        assert f"| {row.status} | {row.meaning} |" in text
    assert [number.name for number in SIGNALS if number.name not in text] == []
    assert set(re.findall(r"`(\w+://)`", text)) == set(STORES)


def test_record_md_names_every_field_of_the_status():
    (table,) = re.findall(r"## status\.json\n(.*?)^## ", text_of("docs/record.md"), re.MULTILINE | re.DOTALL)
    named = set(re.findall(r"`(\w+)`", "".join(re.findall(r"^\|[^|]*\|", table, re.MULTILINE))))
    assert named == {field.name for field in fields(Status)}


def test_record_md_names_every_variable_and_every_entry_of_the_summary(tmp_path):
    named = set(re.findall(r"`(\w+)`", text_of("docs/record.md")))
    extras = {
        "game": {"name": "stag_hunt", "horizon": 1},
        "record": [name for name in OPTIONAL_PARTS if name not in ("shaping", "types")],
        "players": {"rule": "lola", "variant": "original"},
    }
    folder = shaping.run({"matches": 2, "updates": 1} | extras, out=tmp_path / "run")
    summary = json.loads((folder / "summary.json").read_text())
    (cell,) = summary["cells"]
    assert {*VARIABLES, *summary, *cell, *summary["failed"], *summary["timing"]} - named == set()
    record = shaping.load(folder).record
    # Policies that are no tables have parameters instead of states.
    names = {str(name) for name in (*record.dims, *record.coords, *record.data_vars, *record.attrs)} | {"parameter"}
    assert names - named - {"match"} == set()
