"""Populations in a configuration: what a run of them records is what `evolve` returns, and it survives what runs of
matches survive."""

import json

import numpy as np
import pytest
import xarray

import shaping
from shaping import envs
from shaping.cli import main
from shaping.config.plan import plan
from shaping.runtime.run_store import RunStore
from tests.interrupting import assert_same, stopped
from tests.runs import undrawn, unrendered

TYPES = {
    "naive": {"share": 0.5, "rule": "naive"},
    "lola": {"share": 0.25, "rule": "lola", "variant": "taylor", "lookahead_rate": 0.5},
    "tft": {"share": "rest", "strategy": "tft"},
}
# One-shot, because it compiles fastest.
GAME = {"name": "ipd", "discount": 0.9, "horizon": 1}
CONFIG = {
    "game": GAME,
    "population": {
        "size": 8,
        "types": TYPES,
        "pairing": "lattice",
        "encounter": 2,
        "selection": {"kind": "fermi", "rate": 0.5, "intensity": 2.0, "mutation": {"rate": 0.2, "to": "uniform"}},
    },
    "generations": 6,
    "matches": 3,
    "precision": "float64",
    "record": ["types", "policies"],
    "sweep": {"population.types.naive.share": [0.25, 0.5], "game.noise": [0.0, 0.1]},
    "chunk_matches": 8,
    "checkpoint": {"every_updates": 2, "every_s": None},
}


@pytest.fixture
def pictureless():
    with undrawn():
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    with unrendered():
        return shaping.run(CONFIG, tmp_path_factory.mktemp("populations") / "run")


@pytest.fixture(scope="module")
def record(folder):
    return shaping.load(folder).record.load()


def test_intervals_stay_in_the_range_of_what_they_are_about(folder):
    # Three populations have Student's intervals, most of which would end beyond 0 or 1.
    cells = json.loads((folder / "summary.json").read_text())["cells"]
    rows = [row for cell in cells for row in (cell, *cell["types"].values())]
    names = ("share", "cooperation", "mutual_cooperation", "fixed", "cooperative")
    ends = [end for row in rows for name in names for end in row.get(f"{name}_ci95", []) if end is not None]
    assert min(ends) == 0 and max(ends) == 1
    assert max(row["assortment_ci95"][1] for row in cells if row["assortment_ci95"][1] is not None) <= 1
    low = [row["value_sd_ci95"][0] for cell in cells for row in cell["types"].values()]
    assert min(end for end in low if end is not None) >= 0


def test_cells_are_the_populations_that_evolve_makes_of_their_settings(record):
    game = envs.make(**GAME, noise=0.1)
    types = {"naive": shaping.naive(), "lola": shaping.lola("taylor", 0.5), "tft": "tft"}
    shares = {"naive": 0.25, "lola": 0.25, "tft": "rest"}
    selection = shaping.selection("fermi", rate=0.5, intensity=2.0, mutation=0.2)
    how = {"shares": shares, "pairing": "lattice", "encounter": 2, "selection": selection, "precision": "float64"}
    alone = shaping.evolve(game, types, 8, 6, matches=3, **how)
    cell = record.isel(match=slice(3, 6))
    assert (cell["population.types.naive.share"] == 0.25).all() and (cell["game.noise"] == 0.1).all()
    for name in alone.data_vars:
        np.testing.assert_allclose(cell[name], alone[name], rtol=1e-7, atol=1e-7, err_msg=name)


def test_types_and_a_sample_of_policies_are_recorded_along_generations(record):
    assert record.types.dims == ("match", "generation", "learner")
    assert np.array_equal(record.types.isel(generation=-1), record.type_final)
    assert record.policies.dims == ("match", "generation", "sample_learner", "parameter")
    sample = record.theta_final.isel(learner=record.sample_learner.values)
    assert np.array_equal(record.policies.isel(generation=-1), sample)


def test_learners_are_numbered_type_by_type_and_shares_are_counted(record):
    first = record.types.isel(match=0, generation=0).values
    assert first.tolist() == [0, 0, 1, 1, 2, 2, 2, 2]
    counted = np.stack([(record.types == kind).mean("learner") for kind in range(3)], axis=-1)
    np.testing.assert_array_equal(record.share, counted)


def test_an_interrupted_run_of_populations_continues_bit_for_bit(folder, tmp_path, pictureless):
    assert_same(folder, shaping.resume(stopped(CONFIG, tmp_path / "run", 2, 1)))


def test_a_replayed_population_is_the_recorded_one_bit_for_bit(folder, record):
    found = shaping.replay(folder, 4, last=2)
    assert found.difference == 0 and found.recorded == found.diverged_at == -1
    assert found.steps.generation.values.tolist() == [5, 6]
    np.testing.assert_array_equal(found.steps.share, record.share.isel(match=4, generation=slice(5, 7)))


def test_the_summary_has_shares_of_types_and_cooperation_with_intervals(folder, record):
    cells = json.loads((folder / "summary.json").read_text())["cells"]
    assert [cell["coordinates"]["game.noise"] for cell in cells] == [0.0, 0.1, 0.0, 0.1]
    last = record.isel(match=slice(0, 3), generation=-1)
    for place, name in enumerate(TYPES):
        low, high = cells[0]["types"][name]["share_ci95"]
        mean = float(last.share.isel(type=place).mean())
        assert cells[0]["types"][name]["share"] == pytest.approx(mean) and low <= mean <= high
    before = record.share.isel(match=slice(0, 3), generation=-2)
    weighted = (before * last.cooperation.fillna(0)).sum("type")
    np.testing.assert_allclose(last.mean_cooperation, weighted, rtol=1e-6)
    assert cells[0]["cooperation"] == pytest.approx(float(weighted.mean()))


def test_the_report_shows_composition_policies_and_the_lattice(folder):
    page = (folder / "report" / "index.html").read_text()
    for title in ("Composition over time", "Cooperation over time", "Final policies", "The lattice over time"):
        assert f">{title}</h2>" in page
    assert "12 populations of 8 learners met for 6 generations" in page
    assert (folder / "report" / "lattice.gif").read_bytes()[:4] == b"GIF8"


def test_a_fixed_pair_is_the_match_of_two_learners(tmp_path, pictureless):
    """Up to rounding: tests compile with less optimisation. See `test_encounters` for bit for bit."""
    common = {"game": {"name": "stag_hunt", "horizon": 1}, "matches": 5, "seed": 3, "precision": "float64"}
    rule = {"rule": "lola", "variant": "original", "step_size": 0.5}
    pairs = shaping.run(common | {"players": rule, "updates": 12}, tmp_path / "pairs")
    population = {"size": 2, "pairing": "fixed", "encounter": 4, "types": {"lola": rule}}
    met = shaping.run(common | {"population": population, "generations": 3}, tmp_path / "populations")
    expected, found = (shaping.load(run).record for run in (pairs, met))
    np.testing.assert_allclose(found.theta_final.values, expected.theta_final.values, rtol=1e-10, atol=1e-12)


def test_a_pairing_and_a_selection_by_their_bare_names_can_be_swept_into():
    bare = CONFIG["population"] | {"pairing": "lattice", "selection": "none"}
    sweep = {"population.pairing.width": [2, 4], "population.selection.kind": ["none"]}
    found = plan(CONFIG | {"population": bare, "sweep": sweep})
    assert [block.normal["population"]["pairing"]["width"] for block in found.blocks] == [2, 4]


def test_turnover_and_updates_of_an_encounter_are_the_same_swept_or_not(tmp_path, pictureless):
    """In one program: cells that differ in numbers alone share it."""
    types = {"naive": {"rule": "naive"}}
    raw = {"game": {"name": "stag_hunt", "horizon": 1}, "generations": 3, "matches": 2}
    raw |= {"population": {"size": 8, "types": types, "turnover": 1.0, "encounter": 3}}
    whole = shaping.load(shaping.run(raw, tmp_path / "whole")).record
    swept = raw | {"sweep": {"population.turnover": [0.5, 1.0], "population.encounter": [3, 1]}}
    assert len(plan(swept).blocks) == 1
    cells = shaping.load(shaping.run(swept, tmp_path / "swept")).record
    *others, found, once = cells.theta_final.values.reshape(4, 2, 8, 1)
    np.testing.assert_allclose(found, whole.theta_final.values, rtol=1e-5)
    assert all(abs(other - found).max() > 1e-3 for other in (*others, once))


def counting(found, repeat):
    """`RunStore.repeat`, which also notes from which row on a run repeats."""

    def noted(store, chunk, first, stop, row):
        found.append(first)
        repeat(store, chunk, first, stop, row)

    return noted


def test_a_population_stops_at_fixation_whatever_the_others_do(tmp_path, pictureless):
    types = {"allc": {"share": 0.5, "strategy": "allc"}, "alld": {"share": "rest", "strategy": "alld"}}
    selection = {"kind": "fermi", "events": 4, "intensity": 1.0, "payoff": "expected"}
    population = {"size": 4, "types": types, "selection": selection, "until": "fixation"}
    raw = {"game": GAME, "population": population, "generations": 80, "matches": 6}
    # Calls of at most eight generations, of which none follows once all have stopped.
    with pytest.MonkeyPatch.context() as patch:
        done = []
        patch.setattr("shaping.runtime.run_store.RunStore.repeat", counting(done, RunStore.repeat))
        record = shaping.load(shaping.run(raw | {"checkpoint": {"every_updates": 8}}, tmp_path / "run")).record
    at = record.fixed_at.values
    assert (at > 0).all() and len(set(at.tolist())) > 1 and done == [at.max() // 8 * 8 + 8]
    assert not record.imitations.values[:, at.max() + 1 :].any()
    for match, end in enumerate(at.tolist()):
        share = record.share.isel(match=match).values
        assert (share[:end].max(axis=1) < 1).all() and (share[end:] == share[-1]).all() and share[-1].max() == 1


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("population.size", 7, "population.size is 7; allowed: a multiple of 2"),
        ("population.types.naive.share", 0.9, "shares add up to 1.15"),
        ("population.types.naive.rule", "naiv", "population.types.naive.rule: 'naiv' is not allowed"),
        ("population.types.tft.strategy", "tit", "population.types.tft.strategy: 'tit' is not allowed"),
        ("population.pairing", {"kind": "ring", "turnover": 1}, "population.pairing.turnover: unknown key"),
        ("population.pairing", {"kind": "graph", "edges": [[0, 1]]}, "has no neighbour"),
        (
            "population.pairing.choice",
            "elsewhere",
            "population.pairing.choice is 'elsewhere'; allowed: with a turnover",
        ),
        ("population.selection.rate", 0, "selection: events 0 and rate 0"),
        ("population.selection.mutation.to", "lol", "population.selection.mutation.to: 'lol' is not allowed"),
        ("population.types", {}, "population.types"),
        ("players", {"rule": "naive"}, "players: not allowed where there is a population"),
        ("updates", 3, "updates: not allowed where there is a population"),
        ("record", ["consistency"], "record: consistency is not allowed here"),
        ("game", {"name": "public_goods"}, "population.types.tft.strategy"),
    ],
)
def test_what_cannot_meet_is_refused_in_one_line_before_anything_is_computed(key, value, said, tmp_path, capsys):
    plain = {name: part for name, part in CONFIG.items() if name not in ("sweep", "record")}
    plain["population"] = plain["population"] | {"pairing": {"kind": "well_mixed"}}
    (tmp_path / "config.yaml").write_text(json.dumps(plain))
    folder = tmp_path / "run"
    arguments = ["run", str(tmp_path / "config.yaml"), "--out", str(folder), "--set", f"{key}={json.dumps(value)}"]
    assert main(arguments) == 2
    line = capsys.readouterr().err
    assert said in line and line.count("\n") == 1 and not folder.exists()


@pytest.mark.parametrize(
    ("sweep", "said"),
    [
        ({"population.types.naive.share": [0.25, 0.9]}, "sweep.population.shares add up to 1.15"),
        ({"population.types.naive.share": {"uniform": [0.1, 0.9]}}, "sweep.population.shares add up to 1.15"),
        ({"population.turnover": [0.1, 0.2]}, "population.pairing.turnover is given; allowed: with kind well_mixed"),
        (
            {"population.selection.mutation.noise": [0.1, 0.2]},
            "population.selection.mutation.noise: 0.1 is not allowed",
        ),
    ],
)
def test_a_sweep_that_cannot_be_or_has_no_effect_is_refused(sweep, said):
    with pytest.raises(ValueError, match=said):
        shaping.run(CONFIG | {"sweep": sweep})


def test_generations_without_a_population_are_refused():
    with pytest.raises(ValueError, match="generations: there is no population"):
        shaping.run({"generations": 3})


def test_a_record_of_populations_can_be_copied(folder, tmp_path):
    with xarray.open_zarr(folder / "record.zarr") as found:
        found.load().to_zarr(tmp_path / "copy.zarr", consolidated=False)
    with xarray.open_zarr(tmp_path / "copy.zarr", consolidated=False) as copy:
        assert copy.sizes["learner"] == 8
