"""The folder of a run, from configuration to record, with tiny settings; many tests share each run, which
makes this file longer than others.
"""

import shutil

import jax
import numpy as np
import pytest
import yaml

import shaping
from shaping import envs
from shaping.analysis.record import open_record
from shaping.config.errors import ConfigError
from shaping.config.files import read
from shaping.config.plan import plan
from shaping.experiment import prepare
from shaping.population.compiled_programs import population_sharding
from shaping.population.match import start
from shaping.runtime import checkpoints
from shaping.runtime.devices import population_mesh
from tests.runs import VARIABLES, cell, played, reference_values, summary, undrawn, unrendered

MAIN = {
    "title": "Two of four cells diverge",
    "game": {"name": "ipd", "discount": 0.96},
    "players": {"rule": "lola", "variant": "original"},
    "matches": 5,
    "updates": 6,
    "seed": 3,
    "sweep": {"players.*.lookahead_rate": [1.0, 1e38], "seed": [3, 11]},
}


@pytest.fixture(scope="module")
def main_run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("main") / "run"
    lines = []
    with unrendered():
        assert shaping.run(MAIN, folder, say=lines.append) == folder
    return folder, played(folder), lines


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """The first cell of MAIN without the others: more matches, small chunks, few records."""
    raw = {key: value for key, value in MAIN.items() if key != "sweep"}
    raw |= {"matches": 20, "memory_gib": 5e-6, "record_every": 4}
    folder = tmp_path_factory.mktemp("alone") / "run"
    with undrawn():
        shaping.run(raw, folder)
    return folder, played(folder), prepare(raw)


@pytest.fixture(scope="module")
def trained():
    """The same cell again, as objects in a program, recorded at its ends only."""
    game = envs.make("ipd", discount=0.96)
    return shaping.train(game, shaping.lola("original"), matches=5, updates=6, seed=3, record_every=9)


def test_a_run_leaves_configuration_record_summary_report_and_checkpoint(main_run):
    folder, _, lines = main_run
    assert {p.name for p in folder.iterdir()} == {
        "config.yaml",
        "record.zarr",
        "summary.json",
        "report",
        "checkpoint",
        "status.json",
        ".lock",
    }
    assert (folder / "report" / "index.html").is_file() and list((folder / "report").glob("*.png"))
    assert lines[0].startswith("plan: 4 cells x 5 matches = 20 matches, 6 updates each, float32")
    assert "group 1 of 1: 20 matches (lola original) in 1 chunk of 20" in lines[1]
    assert str(folder / "report" / "index.html") in lines[-1]


def test_the_record_has_the_dimensions_coordinates_and_variables_promised(main_run):
    _, record, _ = main_run
    assert dict(record.sizes) == {"match": 20, "update": 7, "player": 2, "state": 5, "joint_action": 4}
    for name, dims in VARIABLES.items():
        assert record[name].dims == dims, name
        assert record[name].dtype == ("int32" if name == "diverged_at" else "float32"), name
    assert set(record.data_vars) == set(VARIABLES)
    assert record["update"].values.tolist() == list(range(7))
    assert record["player"].values.tolist() == [0, 1]
    assert record["state"].values.tolist() == ["start", "CC", "CD", "DC", "DD"]
    assert record["joint_action"].values.tolist() == ["CC", "CD", "DC", "DD"]
    assert record.attrs["state_view"] == "own" and record.attrs["horizon"] == "infinite"
    assert record.attrs["updates"] == 6


def test_cells_are_contiguous_and_carry_every_swept_key_and_the_seed(main_run):
    _, record, _ = main_run
    assert record["cell"].values.tolist() == np.repeat(range(4), 5).tolist()
    assert record["match_in_cell"].values.tolist() == [*range(5)] * 4
    np.testing.assert_array_equal(record["players.all.lookahead_rate"], np.repeat([1.0, 1e38], 10))
    assert record["seed"].values.tolist() == [*[3] * 5, *[11] * 5] * 2
    for name in ("cell", "match_in_cell", "seed", "players.all.lookahead_rate"):
        assert record[name].dims == ("match",)


def test_the_written_configuration_is_resolved_and_runs_the_same_again(main_run):
    folder, record, _ = main_run
    text = (folder / "config.yaml").read_text()
    config = yaml.safe_load(text)
    assert record.attrs["config"] == text
    assert config["record_every"] == 1 and config["game"]["name"] == "ipd"
    assert config["chunk_matches"] == [20]
    assert plan(read(folder / "config.yaml")).resolved() == plan(MAIN).resolved() | {"chunk_matches": [20]}


def test_initial_parameters_are_the_same_in_every_cell_of_a_seed(main_run):
    _, record, _ = main_run
    theta = record["theta_initial"].values.reshape(2, 2, 5, 2, 5)
    np.testing.assert_allclose(theta[0], theta[1], atol=1e-6)
    flat = theta[0].reshape(-1)
    assert len(np.unique(flat)) == flat.size
    assert abs(flat.mean()) < 0.4 and abs(flat.std() - 1) < 0.3


def test_values_are_those_of_the_recorded_parameters(main_run):
    _, record, _ = main_run
    for match in range(5):
        own = record.isel(match=match)
        arguments = (
            own["payoffs"].values.astype(float),
            float(own["discount"]),
            own["noise"].values.astype(float),
        )
        for update, theta in ((0, "theta_initial"), (-1, "theta_final")):
            expected = reference_values(own[theta].values.astype(float), *arguments)
            np.testing.assert_allclose(own["value"].values[update], expected, atol=1e-5)
    first = record.isel(match=slice(5))
    np.testing.assert_allclose(first["policy"], 1 / (1 + np.exp(-first["theta_final"])), atol=1e-6)
    np.testing.assert_array_equal(first["payoffs"].values[0], [[-1, -3, 0, -2], [-1, 0, -3, -2]])
    np.testing.assert_allclose(first["value_cooperation"], -1, atol=1e-5)
    np.testing.assert_allclose(first["value_defection"], -2, atol=1e-5)


def test_trajectory_means_leave_out_the_initial_value(main_run):
    _, record, _ = main_run
    finite = record.isel(match=slice(10))
    expected = finite["value"].isel(update=slice(1, None)).mean("update")
    np.testing.assert_allclose(finite["value_trajectory_mean"], expected, atol=1e-6)


def test_a_match_that_diverges_is_marked_and_frozen(main_run):
    _, record, _ = main_run
    at = record["diverged_at"].values
    assert np.all(at[:10] == -1)
    diverged = np.flatnonzero(at >= 0)
    assert len(diverged) >= 5 and np.all(diverged >= 10) and np.all(at[diverged] >= 1)
    for match in diverged:
        value = record["value"].values[match]
        assert np.all(np.isfinite(value[: at[match]])) and np.all(np.isnan(value[at[match] :]))
        if at[match] == 1:
            own = record.isel(match=match)
            np.testing.assert_array_equal(own["theta_final"], own["theta_initial"])
    assert np.all(np.isfinite(record["theta_final"])) and np.all(np.isfinite(record["policy"]))
    assert np.all(np.isnan(record["value_trajectory_mean"].values[diverged]))


def test_the_summary_counts_what_diverged_and_averages_the_rest(main_run):
    folder, record, _ = main_run
    cells = summary(folder)["cells"]
    assert len(cells) == 4
    at = record["diverged_at"].values.reshape(4, 5)
    for number, entry in enumerate(cells):
        assert entry["matches"] == 5 and entry["finite"] == np.sum(at[number] < 0)
        np.testing.assert_allclose(entry["diverged"], np.mean(at[number] >= 0))
        finite = record["value"].values[5 * number : 5 * number + 5, -1][at[number] < 0]
        if len(finite):
            np.testing.assert_allclose(entry["value_mean"], finite.mean(axis=0), atol=1e-6)
    assert cells[1]["coordinates"] == {"players.all.lookahead_rate": 1.0, "seed": 11}
    timing = summary(folder)["timing"]
    assert {"compile_s", "run_s", "match_updates_per_s", "devices"} <= set(timing)
    assert timing["compile_s"] > 0 and timing["match_updates_per_s"] > 0


def test_a_match_depends_neither_on_its_neighbours_nor_on_chunks_nor_on_what_is_recorded(main_run, alone):
    _, record, _ = main_run
    _, single, prepared = alone
    assert prepared.chunks[0].count > 2
    few, many = record.isel(match=slice(5)), single.isel(match=slice(5))
    for name in ("theta_initial", "theta_final", "value_trajectory_mean", "policy", "diverged_at"):
        np.testing.assert_allclose(few[name], many[name], atol=2e-6)
    np.testing.assert_allclose(few["value"].sel(update=[0, 4, 6]), many["value"], atol=2e-6)


def test_the_first_and_last_update_are_recorded_however_few(alone, trained):
    assert alone[1]["update"].values.tolist() == [0, 4, 6]
    assert trained["update"].values.tolist() == [0, 6]


def test_training_in_a_program_gives_the_numbers_of_a_run(main_run, trained):
    _, record, _ = main_run
    few = record.isel(match=slice(5))
    for name in ("theta_initial", "theta_final", "value_trajectory_mean", "policy", "payoffs", "diverged_at"):
        np.testing.assert_allclose(few[name], trained[name], atol=2e-6)
    np.testing.assert_allclose(few["value"].sel(update=[0, 6]), trained["value"], atol=2e-6)


def test_a_report_is_made_again_from_the_record_alone(main_run, tmp_path):
    folder, _, _ = main_run
    shutil.copytree(folder / "record.zarr", tmp_path / "record.zarr")
    with unrendered():
        page = shaping.report(tmp_path)
    assert page == tmp_path / "report" / "index.html" and page.is_file()
    assert summary(tmp_path)["cells"] == summary(folder)["cells"]
    assert {p.name for p in page.parent.iterdir()} == {p.name for p in (folder / "report").iterdir()}


def test_a_report_of_nothing_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="holds no record"):
        shaping.report(tmp_path)
    with pytest.raises(ConfigError, match="holds no run"):
        shaping.load(tmp_path)


def test_a_finished_run_loads_with_its_policies(main_run):
    folder, record, _ = main_run
    run = shaping.load(folder)
    assert run.config["matches"] == 5 and run.record.sizes["match"] == 20
    policies = run.policies(7)
    assert len(policies) == 2
    for seat, (policy, theta) in enumerate(policies):
        np.testing.assert_array_equal(theta, record["theta_final"].values[7, seat])
        distribution, _ = policy.apply(theta, 3, None)
        np.testing.assert_allclose(distribution.probs[0], record["policy"].values[7, seat, 3], rtol=1e-5)


def test_a_checkpoint_restores_to_the_final_parameters(main_run, alone):
    sharding = population_sharding(population_mesh())

    def described(leaf):
        return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding)

    for folder, record, prepared in ((main_run[0], main_run[1], prepare(MAIN)), alone):
        (group,), (chunks,) = prepared.groups, prepared.chunks
        padded = group.matches_of(np.zeros(chunks.padded, int))
        shapes = jax.eval_shape(jax.vmap(lambda match: start(match, "float32")), padded)
        like = jax.tree.map(described, shapes)
        saved = sorted((folder / "checkpoint" / "group-0").iterdir())
        assert len(saved) == chunks.count
        for path in saved:
            first, last = map(int, path.name.split("-")[1:])
            states = checkpoints.restore(path, like)
            for seat, learner in enumerate(states.learners):
                final = record["theta_final"].values[first : last + 1, seat]
                np.testing.assert_array_equal(np.asarray(learner.theta)[: len(final)], final)


def test_a_second_run_into_the_same_folder_is_refused_and_changes_nothing(main_run):
    folder, _, _ = main_run
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    with pytest.raises(ConfigError, match="not an empty folder"):
        shaping.run(MAIN, folder)
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before


TFT = [[60.0, 60.0, -60.0, 60.0, -60.0]] * 2
UNLIKE = [[0.5, -1.0, 1.5, 0.2, -0.3], [-0.7, 0.4, 1.1, -1.3, 0.9]]
MIXED = {
    "precision": "float64",
    "matches": 2,
    "updates": 3,
    "record_every": 7,
    "players": {"rule": "naive", "step_size": 0.5},
    "variants": {
        "noisy": {"game": {"name": "ipd", "noise": 0.05}, "policy": {"init": {"values": TFT}}},
        # In the program of the cell above.
        "unequal noise": {
            "game": {"name": "stag_hunt", "discount": 0.7, "noise": [0.0, 0.2]},
            "policy": {"init": {"values": UNLIKE}},
        },
        "finite": {"game": {"name": "ipd", "discount": 0.9, "horizon": 4}},
        "undiscounted": {"game": {"name": "ipd", "discount": 1.0, "horizon": 4}},
        "one-shot": {"game": {"name": "chicken", "horizon": 1}},
        "shared": {"game": {"name": "battle_of_the_sexes"}, "policy": {"state_view": "shared"}},
        "three": {"game": {"name": "contribution", "num_players": 3, "contribution_factor": 1.8, "discount": 0.8}},
    },
}


@pytest.fixture(scope="module")
def mixed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mixed") / "run"
    with undrawn():
        shaping.run(MIXED, folder)
    return folder, played(folder)


@pytest.mark.parametrize("variant", MIXED["variants"])
def test_cells_of_different_shapes_stand_beside_each_other_padded_with_nan(mixed, variant):
    _, record = mixed
    assert dict(record.sizes) == {"match": 14, "update": 2, "player": 3, "state": 9, "joint_action": 8}
    own = cell(record, variant)
    players = 3 if variant == "three" else 2
    states = 1 if variant == "one-shot" else 1 + 2**players
    for name, dims in VARIABLES.items():
        sizes = {"player": players, "state": states, "joint_action": 2**players}
        inside = {dim: slice(size) for dim, size in sizes.items() if dim in dims}
        values = own[name].values
        assert np.isfinite(own[name].isel(inside).values).all(), name
        assert np.isfinite(values).sum() == own[name].isel(inside).size, name


@pytest.mark.parametrize("variant", MIXED["variants"])
def test_values_of_every_kind_of_game_are_those_of_the_recorded_parameters(mixed, variant):
    _, record = mixed
    game = MIXED["variants"][variant]["game"]
    view = MIXED["variants"][variant].get("policy", {}).get("state_view", "own")
    players = 3 if variant == "three" else 2
    for _, own in cell(record, variant).groupby("match_in_cell"):
        own = own.isel(match=0, player=slice(players))
        payoffs = own["payoffs"].values[:, : 2**players]
        arguments = (payoffs, float(own["discount"]), own["noise"].values, game.get("horizon"), view)
        for update, theta in ((0, "theta_initial"), (-1, "theta_final")):
            expected = reference_values(own[theta].values, *arguments)
            np.testing.assert_allclose(own["value"].values[update], expected, atol=1e-12)
        for name, logit in (("value_cooperation", 800.0), ("value_defection", -800.0)):
            with np.errstate(over="ignore"):
                pure = reference_values(np.full_like(own["theta_final"].values, logit), *arguments)
            np.testing.assert_allclose(own[name].values, pure, atol=1e-12)


def test_tit_for_tat_against_itself_with_trembling_hands(mixed):
    # (1 - 0.96) V on the prisoner's dilemma with noise 0.05, from the stationary chain of the executed actions.
    own = cell(mixed[1], "noisy").isel(player=slice(2))
    np.testing.assert_allclose(own["value"].values[:, 0], -1.3676, atol=5e-5)
    np.testing.assert_allclose(own["policy"].values[0, 0, 1:5] > 0.5, [True, False, True, False])


def test_double_precision_reaches_the_record(mixed):
    _, record = mixed
    assert all(record[name].dtype == "float64" for name in VARIABLES if name != "diverged_at")
    assert record["diverged_at"].dtype == "int32"
    assert float(cell(record, "finite")["discount"][0]) == 0.9
    # Initial draws are float32 whatever the precision of the run, so that runs of both can be compared.
    theta = cell(record, "finite")["theta_initial"].values[:, :2, :5]
    np.testing.assert_array_equal(theta, theta.astype(np.float32))


def test_finite_and_infinite_games_start_from_the_same_parameters(mixed):
    _, record = mixed
    first = cell(record, "finite")["theta_initial"].values
    np.testing.assert_allclose(first, cell(record, "undiscounted")["theta_initial"].values, atol=1e-6)
    np.testing.assert_allclose(first[:, :2, :5], cell(record, "shared")["theta_initial"].values[:, :2, :5], atol=1e-6)


def test_the_policies_of_a_cell_have_its_own_shape(mixed):
    folder, record = mixed
    run = shaping.load(folder)
    sizes = {"three": (3, 9), "one-shot": (2, 1), "finite": (2, 5)}
    for variant, (players, states) in sizes.items():
        match = int(np.flatnonzero(record["variant"].values == variant)[0])
        assert [theta.shape for _, theta in run.policies(match)] == [(states,)] * players


def test_the_summary_of_a_cell_has_its_own_players(mixed):
    folder, _ = mixed
    cells = {entry["coordinates"]["variant"]: entry for entry in summary(folder)["cells"]}
    assert {name: len(entry["value_mean"]) for name, entry in cells.items()} == {
        name: 3 if name == "three" else 2 for name in MIXED["variants"]
    }


def test_without_updates_the_initial_policies_are_recorded(tmp_path):
    raw = {"game": {"name": "chicken", "horizon": 1}, "matches": 3, "updates": 0}
    with undrawn():
        folder = shaping.run(raw, tmp_path / "new" / "run")
    record = played(folder)
    assert record["update"].values.tolist() == [0]
    assert dict(record.sizes) == {"match": 3, "update": 1, "player": 2, "state": 1, "joint_action": 4}
    np.testing.assert_array_equal(record["theta_final"], record["theta_initial"])
    np.testing.assert_array_equal(record["value"].isel(update=0), record["value_trajectory_mean"])
    assert np.all(record["diverged_at"] == -1)
    assert record.attrs["horizon"] == 1
    assert open_record(folder).shapes[0].states == 1


def test_what_a_learner_refuses_of_its_game_is_one_line_before_anything_runs():
    raw = read("ad_align_ipd", ["variants.GRU.players.past_groups=2", "variants.GRU.players.past_of=3", "updates=1"])
    with pytest.raises(ConfigError, match=r"^past_of is 3; allowed: a divisor of batch, 128$"):
        prepare(raw)
