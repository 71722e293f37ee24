"""`shaping compare`: cells side by side, differences of pairs where seeds are shared, and bad input in one line."""

import json

import numpy as np
import pytest

import shaping
from shaping.analysis.paired_differences import difference
from shaping.cli import main

pytestmark = pytest.mark.usefixtures("without_pictures")
CONFIG = {
    "game": {"name": "ipd", "horizon": 1},
    "players": {"rule": "naive"},
    "sweep": {"game.noise": [0.0, 0.1]},
    "matches": 4,
    "updates": 2,
}
OTHERS = {
    "faster": {"players": {"rule": "naive", "step_size": 5.0}},
    "seeded": {"seed": 7},
    "chicken": {"game": {"name": "chicken", "horizon": 1}},
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    place = tmp_path_factory.mktemp("compare")
    made = {"slow": {}} | OTHERS
    return {name: shaping.run(CONFIG | keys, out=place / name, show_progress=False) for name, keys in made.items()}


def test_runs_of_one_seed_are_compared_in_pairs(runs, tmp_path, capsys):
    assert main(["compare", str(runs["slow"]), str(runs["faster"]), "--out", str(tmp_path / "out")]) == 0
    assert capsys.readouterr().out.strip().endswith("index.html")
    found = json.loads((tmp_path / "out" / "comparison.json").read_text())
    assert [cell["name"] for cell in found["cells"]] == ["noise = 0", "noise = 0.1"]
    values = [shaping.load(runs[name]).record["value"].values[4:, -1].mean(1) for name in ("slow", "faster")]
    told = found["cells"][1]["measures"]["value"]
    assert told["means"]["slow"]["mean"] == pytest.approx(values[0].mean())
    apart = told["differences"]["faster"]
    assert apart["difference"] == pytest.approx((values[1] - values[0]).mean()) and apart["pairs"] == 4
    page = (tmp_path / "out" / "report" / "index.html").read_text()
    assert "faster &minus; slow" in page and "began alike" in page


def test_runs_of_other_seeds_are_independent(runs, tmp_path):
    folder = shaping.compare([runs["slow"], runs["seeded"]], out=tmp_path / "out")
    found = json.loads((folder / "comparison.json").read_text())
    assert found["cells"][0]["measures"]["value"]["differences"]["seeded"]["pairs"] is None


@pytest.mark.parametrize("paired", [True, False])
def test_intervals_of_differences_cover_at_their_rate_and_pairs_are_narrower(paired):
    generator = np.random.default_rng(3)
    covered, widths = 0, []
    for _ in range(400):
        shared = generator.normal(size=12)
        x, y = shared + 0.3 * generator.normal(size=12), 0.5 + shared + 0.3 * generator.normal(size=12)
        if not paired:
            y = 0.5 + 2 * generator.normal(size=12)
        low, high = difference(x, y, paired)["ci95"]
        covered += low <= 0.5 <= high
        widths.append(high - low)
    # 3 standard errors of a share of 400.
    assert abs(covered / 400 - 0.95) < 3 * np.sqrt(0.95 * 0.05 / 400)
    assert (np.mean(widths) < 0.8) == paired


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["slow"], "1 run given; allowed: two or more"),
        (["slow", "slow"], "is given twice"),
        (["slow", "chicken"], "play different games (game.name: ipd and chicken)"),
        (["slow", "FOLDER"], "holds no run"),
    ],
)
def test_bad_input_is_refused_in_one_line(runs, tmp_path, capsys, arguments, says):
    given = [str(runs.get(each, tmp_path)) for each in arguments]
    status = main(["compare", *given, "--out", str(tmp_path / "out")])
    error = capsys.readouterr().err
    assert status == 2 and says in error and error.count("\n") == 1
    assert not (tmp_path / "out").exists()
