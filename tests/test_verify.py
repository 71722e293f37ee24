"""`shaping verify`: what it runs, what its scoreboard says, how it ends."""

import json
import os

import pytest
import yaml

import shaping
from shaping.cli import main
from shaping.config.files import read, shipped
from shaping.config.plan import plan
from shaping.experiment import prepare
from shaping.results import report
from shaping.verify import quick_form

pytestmark = pytest.mark.usefixtures("without_pictures")
# One-shot, because it compiles fastest; without a step every match stays at 2.5, the mean of stag hunt's payoffs.
STILL = {
    "title": "Nobody moves",
    "game": {"name": "stag_hunt", "horizon": 1},
    "players": {"rule": "naive", "step_size": 0.0},
    "policy": {"kind": "tabular", "init": {"zeros": True}},
    "matches": 3,
    "updates": 1,
}
AGREES = {"metric": "value_mean", "value": 2.5, "tolerance": 0.01, "source": "arithmetic"}
DIFFERS = AGREES | {"player": 1, "value": 3.0}
KNOWN = DIFFERS | {"known": "three is not the mean"}
SPREAD = STILL | {"policy": {"kind": "tabular", "init": {"normal": 1.0}}, "matches": 300}
EXACT = {"metric": "value_mean", "value": 2.5, "tolerance": 1e-12}


@pytest.fixture
def shelf(tmp_path, monkeypatch):
    """Puts configurations in the place of the shipped ones."""
    monkeypatch.chdir(tmp_path)

    def put(**configs):
        (tmp_path / "configs").mkdir()
        paths = {name: tmp_path / "configs" / f"{name}.yaml" for name in configs}
        for name, path in paths.items():
            path.write_text(yaml.safe_dump(configs[name]))
        monkeypatch.setattr("shaping.verify.shipped", lambda: paths)

    return put


@pytest.fixture
def here(monkeypatch):
    """Runs configurations in this process, which is quicker; one with the title "crash" crashes."""

    def run(config, folder):
        if read(config)["title"] == "crash":
            return "ended by signal 6"
        shaping.run(config, folder)
        return ""

    monkeypatch.setattr("shaping.verify.run_apart", run)


def board(folder):
    return json.loads((folder / "scoreboard.json").read_text())


def test_what_agrees_is_printed_counted_and_written(shelf, here, capsys, tmp_path):
    shelf(one=STILL | {"published": [AGREES]}, other=STILL)
    assert main(["verify", "--out", "out"]) == 0
    out = capsys.readouterr().out.splitlines()
    assert out[0] == "one: Nobody moves"
    assert out[1].split() == ["cell", "metric", "(player)", "published", "ours", "interval", "notices", "verdict"]
    assert out[2].split() == ["all", "matches", "value_mean", "2.5", "2.500", "[2.500,", "2.500]", "0.01", "agrees"]
    assert out[3] == "total: 1 agree, 0 differ, 0 without a published uncertainty, 0 not compared"
    assert out[4] == "scoreboard: out/scoreboard.html"
    (row,) = board(tmp_path / "out")["configurations"]
    assert row["status"] == "ran" and row["published"][0]["verdict"] == "agrees"
    assert (tmp_path / "out" / "one" / "report" / "index.html").is_file()
    page = (tmp_path / "out" / "scoreboard.html").read_text()
    assert "one/report/index.html" in page and "arithmetic" in page and "<style>" in page


def test_what_differs_ends_with_one_unless_the_reason_is_known(shelf, here, capsys, tmp_path):
    shelf(differs=STILL | {"published": [DIFFERS]}, known=STILL | {"published": [KNOWN]})
    assert main(["verify", "known", "--out", "out"]) == 0
    out = capsys.readouterr().out.splitlines()
    assert out[2].endswith("differs (known)") and out[3].strip() == "known: three is not the mean"
    assert out[4].startswith("total: 0 agree, 0 differ,") and out[4].endswith("1 differ for a known reason")
    for page in ("scoreboard.html", "known/report/index.html"):
        assert "known: three is not the mean" in (tmp_path / "out" / page).read_text()
    assert main(["verify"]) == 1
    assert "total: 0 agree, 1 differ," in capsys.readouterr().out
    assert board(tmp_path / "runs" / "verify-1")["total"]["known"] == 1


def test_a_row_says_what_it_could_notice_and_which_other_rules_it_cannot_tell_from_its_own(
    shelf, here, capsys, tmp_path
):
    variants = {name: {"players": {"rule": name, "step_size": 0.0}} for name in ("naive", "extragradient")}
    some = {key: value for key, value in STILL.items() if key != "players"} | {"variants": variants}
    wide = {"metric": "value_mean", "cell": {"variant": "naive"}, "value": 2.45, "rounding": 0.05}
    shelf(one=some | {"published": [wide, wide | {"value": 2.3}]})
    assert main(["verify", "--out", "out"]) == 1
    out = capsys.readouterr().out.splitlines()
    assert "0.05" in out[2] and out[2].endswith("agrees") and out[4].endswith("differs")
    assert out[3].strip() == "cannot be distinguished from: extragradient"
    page = (tmp_path / "out" / "scoreboard.html").read_text()
    assert "cannot be distinguished from: extragradient" in page and "<th>notices</th>" in page


ORIGINAL = {"rule": "first_order", "middle": 0.0, "shaping": 1.0, "lookahead_rate": 1.0, "step_size": 1.0}
RULES = {
    "as it is": ORIGINAL,
    "the sign of the shaping term turned": ORIGINAL | {"shaping": -1.0},
    "returns normalised before they are differentiated": ORIGINAL | {"lookahead_rate": 0.04, "step_size": 0.04},
}


def verdicts_of(folder):
    """Of each variant of a run its verdicts by metric."""
    found = {}
    for entry in json.loads((folder / "summary.json").read_text())["published"]:
        found.setdefault(entry["cell"]["variant"], {})[entry["metric"]] = entry["verdict"]
    return found


@pytest.mark.slow
def test_rules_made_wrong_are_caught_by_a_row_of_a_shipped_configuration_at_its_quick_size(tmp_path):
    form = quick_form(read(shipped()["lola_table"]))
    rows = [e for e in form["published"] if e["cell"]["variant"] == "IPD LOLA-Ex original"]
    entries = [row | {"cell": {"variant": name}} for name in RULES for row in rows]
    variants = {name: {"players": players} for name, players in RULES.items()}
    shaping.run(form | {"variants": variants, "published": entries}, tmp_path / "run")
    found = verdicts_of(tmp_path / "run")
    assert set(found.pop("as it is").values()) == {"agrees"}
    for name, verdicts in found.items():
        assert "differs" in verdicts.values(), name
    # Policies in their own view, read as if they shared player 0's.
    metadata = tmp_path / "run" / "record.zarr" / "zarr.json"
    described = json.loads(metadata.read_text())
    described["attributes"]["state_view"] = "shared"
    metadata.write_text(json.dumps(described))
    report(tmp_path / "run")
    assert verdicts_of(tmp_path / "run")["as it is"] == {"value_mean": "agrees", "tft_match": "differs"}


def test_every_published_value_rests_on_something_that_a_reader_can_check():
    for name, path in shipped().items():
        for entry in read(path).get("published") or []:
            assert entry.get("source"), f"{name}: {entry}"
            if entry.get("tolerance") is None:
                continue
            # A tolerance is for what can be computed: results of runs have a spread and a number of them.
            computed = (
                entry["source"].startswith("closed form") or entry["metric"] == "tft_match" and entry["value"] in (0, 1)
            )
            assert computed and entry["tolerance"] <= 0.01 * max(1, abs(entry["value"])), f"{name}: {entry}"


def test_a_configuration_that_fails_is_a_row_and_the_others_go_on(shelf, here, capsys):
    shelf(bad=STILL | {"title": "crash", "published": [AGREES]}, good=STILL | {"published": [AGREES]})
    assert main(["verify"]) == 1
    out = capsys.readouterr().out.splitlines()
    assert out[:2] == ["bad: crash", "  failed: ended by signal 6"]
    assert out[-2].startswith("total: 1 agree") and out[-2].endswith("1 configuration failed")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [(["--out", "full"], "not an empty folder"), (["onne"], "must be one of one (nearest: one)")],
)
def test_an_unknown_name_or_a_full_folder_is_refused_in_a_line(shelf, here, capsys, tmp_path, arguments, said):
    shelf(one=STILL | {"published": [AGREES]}, other=STILL)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").write_text("kept")
    assert main(["verify", *arguments]) == 2
    written = capsys.readouterr()
    assert written.out == "" and written.err.count("\n") == 1 and said in written.err
    assert sorted(p.name for p in tmp_path.iterdir()) == ["configs", "full"]


WITHOUT_REPORTS = """
import sys, types
sys.modules["shaping.analysis.report"] = types.SimpleNamespace(write_report=lambda folder, pdfs: folder / "report")
"""


def test_configurations_run_in_processes_of_their_own(shelf, tmp_path, capsys, monkeypatch):
    # Python imports this as it starts, because drawing a report would take as long as starting a process.
    (tmp_path / "early").mkdir()
    (tmp_path / "early" / "sitecustomize.py").write_text(WITHOUT_REPORTS)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "early"), prepend=os.pathsep)
    shelf(wrong=STILL | {"published": [AGREES | {"metric": "valve"}]}, right=STILL | {"published": [AGREES]})
    assert main(["verify", "--quick", "--out", "out"]) == 1
    capsys.readouterr()
    wrong, right = board(tmp_path / "out")["configurations"]
    assert wrong["status"] == "failed" and wrong["reason"].startswith("exit status 2: published.0.metric: 'valve'")
    assert right["status"] == "ran" and right["published"][0]["verdict"] == "agrees"


def test_a_quick_check_of_fewer_matches_adds_their_error_to_the_tolerance_then_and_in_every_report(
    shelf, here, tmp_path, capsys
):
    shelf(spread=SPREAD | {"published": [EXACT]})
    assert main(["verify", "--out", "full"]) == 1
    assert main(["verify", "--quick", "--out", "quick"]) == 0
    capsys.readouterr()
    (entry,) = board(tmp_path / "quick")["configurations"][0]["published"]
    assert entry["basis"].startswith("stated tolerance 1e-12 for 300 matches, widened to ")
    assert entry["basis"].endswith(" by 3.5 standard errors of our 200")
    folder = tmp_path / "quick" / "spread"
    resolved = yaml.safe_load((folder / "config.yaml").read_text())
    assert resolved["matches"] == 200 and "quick" not in resolved and resolved["published"][0]["matches"] == 300
    (folder / "summary.json").unlink()
    report(folder)
    assert json.loads((folder / "summary.json").read_text())["published"] == [entry]


def test_a_quick_check_skips_and_leaves_out_what_the_configuration_says(shelf, here, tmp_path, capsys):
    variants = {name: {"players": {"rule": "naive", "step_size": 0.0}} for name in ("a", "b")}
    entries = [AGREES | {"cell": {"variant": name}} for name in ("a", "b")]
    some = {key: value for key, value in STILL.items() if key != "players"} | {"variants": variants}
    shelf(
        some=some | {"published": entries, "quick": {"variants": ["b"]}},
        long=STILL | {"published": [AGREES], "quick": False},
    )
    assert main(["verify", "--quick", "--out", "out"]) == 0
    out = capsys.readouterr().out.splitlines()
    assert "  left out of a quick check: 1 more" in out
    assert "  skipped: takes too long for a quick check" in out
    assert out[-2].endswith("2 left out of a quick check, 1 configuration skipped")
    some, long = board(tmp_path / "out")["configurations"]
    assert [entry["cell"]["variant"] for entry in some["published"]] == ["b"]
    assert long["status"] == "skipped"


def test_the_quick_form_of_every_shipped_configuration_can_be_run_and_still_finds_its_published_cells():
    for name, path in shipped().items():
        raw = read(path)
        form = quick_form(raw)
        if form is None or not raw.get("published"):
            continue
        prepare(form)
        variants = {str(v) for v in plan(form).coordinates.get("variant", [])}
        assert form["published"], name
        for entry in form["published"]:
            wanted = (entry.get("cell") or {}).get("variant")
            assert wanted is None or str(wanted) in variants, f"{name}: {entry}"


def test_without_a_key_of_its_own_a_quick_form_has_at_most_two_hundred_matches():
    assert quick_form({"matches": 5000})["matches"] == 200
    assert quick_form({"matches": 50})["matches"] == 50
    assert quick_form({"matches": 5000, "quick": {}})["matches"] == 5000
    assert quick_form({"matches": 5000, "quick": {"matches": 7}})["matches"] == 7
