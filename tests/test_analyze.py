"""`shaping analyze`: planted policies are recognised, cells are compared, and bad input is refused in one line."""

import json

import pytest

import shaping
from shaping.cli import main

pytestmark = pytest.mark.usefixtures("without_pictures")
TIT_FOR_TAT = [20, 20, -20, 20, -20]
CONFIG = {
    "game": {"name": "ipd", "discount": 0.999},
    "players": {"rule": "naive"},
    "policy": {"init": {"values": [TIT_FOR_TAT] * 2}},
    "variants": {"reciprocal": {}, "defecting": {"policy": {"init": {"values": [[-20] * 5] * 2}}}},
    "matches": 5,
    "updates": 0,
}
SWEPT = {"game": "ipd", "players": {"rule": "naive"}, "matches": 6, "updates": 3} | {
    "sweep": {"players.*.step_size": [0.1, 1.0, 10.0]}
}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return shaping.run(CONFIG, out=tmp_path_factory.mktemp("analyze") / "planted", show_progress=False)


def analysed(folder):
    return json.loads((folder / "analysis.json").read_text())


def test_planted_tit_for_tat_and_defection_are_told_apart(run, tmp_path, capsys):
    assert main(["analyze", str(run), "--out", str(tmp_path / "out")]) == 0
    assert capsys.readouterr().out.strip().endswith("index.html")
    reciprocal, defecting = analysed(tmp_path / "out")["cells"]
    for trait in ("niceness", "provocability", "forgiveness", "contrition"):
        assert reciprocal["traits"][trait]["mean"] == pytest.approx(1, abs=1e-3)
    assert defecting["traits"]["niceness"]["mean"] < 1e-3
    assert reciprocal["cooperation_by_history"]["CD"]["mean"] < 1e-3
    assert reciprocal["zero_determinant"]["zero_determinant"]["mean"] == 1
    assert reciprocal["zero_determinant"]["chi_quartiles"] == pytest.approx([1, 1, 1], abs=0.01)
    assert reciprocal["relations"]["partner"]["mean"] == 1 and reciprocal["relations"]["rival"]["mean"] == 1
    assert defecting["relations"]["partner"]["mean"] == 0 and defecting["relations"]["rival"]["mean"] == 1
    # Rewards are -1 for all together and -2 apart, counted from the least payoff, -3.
    assert reciprocal["welfare"]["price_of_anarchy"]["mean"] == pytest.approx(1, abs=0.02)
    assert defecting["welfare"]["price_of_anarchy"]["mean"] == pytest.approx(2, abs=0.02)
    assert reciprocal["cooperative"]["mean"] == 1 and defecting["cooperative"]["mean"] == 0
    page = (tmp_path / "out" / "report" / "index.html").read_text()
    assert "Relations to opponents" in page and "reciprocal" in page


def test_cells_are_compared_and_play_shows_the_same_histories(run, tmp_path):
    found = analysed(shaping.analyze(run, out=tmp_path / "out", rounds=1))
    (one,) = found["improvement"]
    assert (one["cell"], one["over"], one["probability"]) == (0, 1, 1.0)
    assert found["cells"][0]["cooperation_in_play"]["CC"]["mean"] == pytest.approx(1, abs=0.01)
    # In play tit-for-tat never meets a defection, so nothing is known of what it does then.
    assert found["cells"][1]["cooperation_in_play"]["DD"]["mean"] == pytest.approx(0, abs=0.01)
    assert found["welfare_iqm"]["mean"] == pytest.approx(-1.5, abs=0.01)


def test_a_swept_number_has_a_boundary_or_none(tmp_path):
    run = shaping.run(SWEPT, out=tmp_path / "swept", show_progress=False)
    found = analysed(shaping.analyze(run, out=tmp_path / "out"))
    assert [row["axis"] for row in found["boundaries"]] == ["players.all.step_size"]
    assert len(found["improvement"]) == 3


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["FOLDER"], "holds no run"),
        (["RUN", "--rounds", "9"], "--rounds 9: allowed: 0 to 5"),
    ],
)
def test_bad_input_is_refused_in_one_line(run, tmp_path, capsys, arguments, says):
    given = [each.replace("RUN", str(run)).replace("FOLDER", str(tmp_path)) for each in arguments]
    status = main(["analyze", *given, "--out", str(tmp_path / "out")])
    error = capsys.readouterr().err
    assert status == 2 and says in error and error.count("\n") == 1
    assert not (tmp_path / "out").exists()
