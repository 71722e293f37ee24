"""Experiments from configuration to record, on tiny settings; each run serves many tests."""

import json
import shutil
from itertools import product

import jax
import numpy as np
import pytest
import xarray
import yaml

import envs
import shaping
from shaping.analysis.record import open_record
from shaping.config.errors import ConfigError
from shaping.config.files import read, shipped
from shaping.config.plan import plan
from shaping.experiment import prepare
from shaping.population.match import start
from shaping.population.program import population_sharding
from shaping.runtime import checkpoints
from shaping.runtime.devices import population_mesh

VARIABLES = {
    "value": ("match", "update", "player"),
    "value_trajectory_mean": ("match", "player"),
    "policy": ("match", "player", "state"),
    "theta_initial": ("match", "player", "state"),
    "theta_final": ("match", "player", "state"),
    "diverged_at": ("match",),
    "payoffs": ("match", "player", "joint_action"),
    "discount": ("match",),
    "noise": ("match", "player"),
    "value_cooperation": ("match", "player"),
    "value_defection": ("match", "player"),
}


def played(folder):
    """The record of a run, in memory."""
    with xarray.open_zarr(folder / "record.zarr") as record:
        return record.load()


def summary(folder):
    return json.loads((folder / "summary.json").read_text())


def reference_values(theta, payoffs, discount, noise, horizon=None, view="own"):
    """Reported values of one match, written down independently.

    theta is [players, states], payoffs [players, joint actions], noise [players].
    """
    n = len(theta)
    joint = list(product((0, 1), repeat=n))

    def place(actions):
        return 1 + sum(a << (n - 1 - i) for i, a in enumerate(actions))

    def cooperation(player, state):
        actions = () if state == 0 else joint[state - 1]
        if view == "own" and state:
            actions = (actions[player], *(a for i, a in enumerate(actions) if i != player))
        logit = theta[player][0 if state == 0 else place(actions)] if horizon != 1 else theta[player][0]
        chosen = 1 / (1 + np.exp(-logit))
        return chosen * (1 - noise[player]) + (1 - chosen) * noise[player]

    steps = np.zeros((1 + 2**n, 2**n))
    for state in range(1 if horizon == 1 else 1 + 2**n):
        c = [cooperation(player, state) for player in range(n)]
        steps[state] = [np.prod([c[i] if a == 0 else 1 - c[i] for i, a in enumerate(actions)]) for actions in joint]
    if horizon is None:
        visits = np.linalg.solve(np.eye(2**n) - discount * steps[1:].T, steps[0])
        return (1 - discount) * payoffs @ visits
    now, total = steps[0], 0
    for step in range(horizon):
        total = total + discount**step * payoffs @ now
        now = now @ steps[1:]
    return total if horizon == 1 else total * (1 / horizon if discount == 1 else 1 - discount)


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
    assert shaping.run(MAIN, folder, say=lines.append) == folder
    return folder, played(folder), lines


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """The first cell of MAIN without the others: more matches, small chunks, few records."""
    raw = {key: value for key, value in MAIN.items() if key != "sweep"}
    raw |= {"matches": 20, "memory_gib": 5e-6, "record_every": 4}
    folder = tmp_path_factory.mktemp("alone") / "run"
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
    assert plan(read(folder / "config.yaml")).resolved() == plan(MAIN).resolved()


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
    for cell, entry in enumerate(cells):
        assert entry["matches"] == 5 and entry["finite"] == np.sum(at[cell] < 0)
        np.testing.assert_allclose(entry["diverged"], np.mean(at[cell] >= 0))
        finite = record["value"].values[5 * cell : 5 * cell + 5, -1][at[cell] < 0]
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
MIXED = {
    "precision": "float64",
    "matches": 2,
    "updates": 3,
    "record_every": 7,
    "players": {"rule": "naive", "step_size": 0.5},
    "variants": {
        "noisy": {"game": {"name": "ipd", "noise": 0.05}, "policy": {"init": {"values": TFT}}},
        "unequal noise": {"game": {"name": "stag_hunt", "discount": 0.7, "noise": [0.0, 0.2]}},
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
    shaping.run(MIXED, folder)
    return folder, played(folder)


def cell(record, variant):
    return record.isel(match=np.flatnonzero(record["variant"].values == variant))


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


ZERO, SAME = np.zeros((2, 2, 2)).tolist(), np.full((2, 2, 2), 7.0).tolist()
IPD = [[[-1, -3], [0, -2]], [[-1, 0], [-3, -2]]]
EXTREME = {
    "game": {"payoffs": IPD, "discount": 0.9999},
    "policy": {"init": {"values": [[60.0] * 5, [-60.0] * 5]}},
    "matches": 1,
    "updates": 5,
    "sweep": {
        "game.payoffs": [ZERO, SAME, IPD],
        "policy.init.values": [
            [[60.0] * 5, [60.0] * 5],
            [[60.0] * 5, [-60.0] * 5],
            TFT,
            [[0.0, 60.0, -60.0, -60.0, 60.0], [-60.0, 0.0, 60.0, 60.0, 0.0]],
        ],
        "game.discount": [0.9999, 0.0],
    },
    "variants": {
        "exact": {"players": {"rule": "lola", "variant": "exact"}},
        "taylor": {"players": {"rule": "lola", "variant": "taylor"}},
    },
}


def test_saturated_policies_long_games_and_empty_payoffs_give_no_nan(tmp_path):
    folder = shaping.run(EXTREME, tmp_path / "run")
    record = played(folder)
    assert record.sizes["match"] == 2 * 2 * 3 * 4
    assert np.all(record["diverged_at"] == -1)
    for name in VARIABLES:
        assert np.all(np.isfinite(record[name])), name
    idle = record.isel(match=np.flatnonzero(record["game.payoffs"].values == 0))
    np.testing.assert_array_equal(idle["theta_final"], idle["theta_initial"])
    np.testing.assert_array_equal(idle["value"], 0)
    same = record.isel(match=np.flatnonzero(record["game.payoffs"].values == 1))
    np.testing.assert_allclose(same["value"], 7, rtol=2e-3)
    for entry in summary(folder)["cells"]:
        assert entry["finite"] == 1 and None not in entry["value_mean"]


ALL = {
    "matches": 2,
    "updates": 3,
    "sweep": {"game.name": list(envs.registered()[:-1])},
    "variants": {
        "naive": {"players": {"rule": "naive"}},
        "lookahead": {"players": {"rule": "lookahead", "lookahead_rate": 0.5}},
        "first order": {"players": {"rule": "first_order", "middle": 0.5, "shaping": 0.25}},
        "original": {"players": {"rule": "lola"}},
        "exact": {"players": {"rule": "lola", "variant": "exact", "lookaheads": 2}},
    },
}


def test_the_lola_family_runs_on_every_game(tmp_path):
    folder = shaping.run(ALL, tmp_path / "run")
    record = played(folder)
    assert np.all(record["diverged_at"] == -1)
    assert set(record["game.name"].values) == set(envs.matrix_games.GAMES)
    moved = np.abs(record["theta_final"] - record["theta_initial"]).sum(["player", "state"])
    assert np.all(moved > 0)
    final = record["theta_final"].values.reshape(5, -1)
    for one in range(5):
        for other in range(one):
            assert not np.allclose(final[one], final[other])
    assert len(summary(folder)["cells"]) == 5 * 6


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_every_rule_runs_under_its_defaults(tmp_path):
    from shaping.rules import named_rules

    variants = {name: {"players": {"rule": name, "step_size": 0.1}} for name in named_rules()}
    record = played(shaping.run({"matches": 2, "updates": 3, "variants": variants}, tmp_path / "run"))
    for name in variants:
        own = cell(record, name)
        going = own["diverged_at"].values == -1
        assert going.any(), name
        assert np.all(np.isfinite(own["value"].values[going])), name
        assert np.all(np.isfinite(own["theta_final"])), name
        assert np.any(own["theta_final"] != own["theta_initial"]), name


def optimizers_run(names, folder):
    # One-shot, because it compiles fastest: what is tried is the optimiser.
    raw = {
        "game": {"name": "stag_hunt", "horizon": 1},
        "matches": 2,
        "updates": 3,
        "sweep": {"optimizer": names},
    }
    record = played(shaping.run(raw, folder, ["players={rule: naive, step_size: 0.01}"]))
    assert np.all(record["diverged_at"] == -1)
    moved = np.abs(record["theta_final"] - record["theta_initial"]).values.reshape(len(names), -1)
    assert np.all(np.isfinite(moved)) and np.all(moved.max(axis=1) > 0)
    return record


def test_optimisers_with_and_without_memory_run(tmp_path):
    names = ["adam", {"name": "sgd", "momentum": 0.9, "nesterov": True}, "rmsprop"]
    record = optimizers_run(names, tmp_path / "run")
    # Adam's first step has the size of the learning rate, whatever the gradient.
    step = np.abs(record["theta_final"] - record["theta_initial"]).values[:2]
    np.testing.assert_allclose(step, 0.03, rtol=0.1)


@pytest.mark.slow
def test_every_optimiser_runs(tmp_path):
    from shaping.learners.optimizer import named_optimizers

    optimizers_run(list(named_optimizers()), tmp_path / "run")


def test_without_updates_the_initial_policies_are_recorded(tmp_path):
    raw = {"game": {"name": "chicken", "horizon": 1}, "matches": 3, "updates": 0}
    folder = shaping.run(raw, tmp_path / "new" / "run")
    record = played(folder)
    assert record["update"].values.tolist() == [0]
    assert dict(record.sizes) == {"match": 3, "update": 1, "player": 2, "state": 1, "joint_action": 4}
    np.testing.assert_array_equal(record["theta_final"], record["theta_initial"])
    np.testing.assert_array_equal(record["value"].isel(update=0), record["value_trajectory_mean"])
    assert np.all(record["diverged_at"] == -1)
    assert record.attrs["horizon"] == 1
    assert open_record(folder).shapes[0].states == 1


def tandem(thetas, parameters):
    """Returns of the tandem game (Letcher et al. 2019): each wants (x + y)^2 small and its own number large."""
    (x,), (y,) = thetas
    together = -((x + y) ** 2)
    return together + parameters * x, together + parameters * y


def test_a_game_of_the_users_own_trains_like_any_other():
    game = shaping.Analytic(tandem, (1, 1))
    learner = shaping.gradient_learner(shaping.naive(), 0.05, initial=shaping.normal(0.1))
    result = shaping.train(game, learner, matches=3, updates=200, record_every=50, precision="float64", parameters=2.0)
    assert result["value"].dims == ("match", "update", "player")
    assert result["update"].values.tolist() == [0, 50, 100, 150, 200]
    assert result["theta_final"].dims == ("match", "player", "parameter")
    # Naive learning comes to rest where 2 (x + y) = 2.
    np.testing.assert_allclose(result["theta_final"].sum(["player", "parameter"]), 1, atol=1e-6)
    np.testing.assert_allclose(result["theta_initial"].std(), 0.1, rtol=1)
    np.testing.assert_allclose(result["value"].isel(update=-1).sum("player"), -2 + 2, atol=1e-6)


def test_training_refuses_players_that_do_not_fill_the_seats():
    with pytest.raises(ConfigError, match="3 given; the game has 2 seats"):
        shaping.train(envs.make("ipd"), [shaping.naive()] * 3)


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=() if name == "phase_diagram" else pytest.mark.slow) for name in shipped()],
)
def test_every_shipped_configuration_runs_when_made_small(tmp_path, name):
    folder = shaping.run(name, tmp_path / "run", ["matches=4", "updates=4"])
    record = played(folder)
    experiment = plan(read(name, ["matches=4", "updates=4"]))
    assert record.sizes["match"] == experiment.matches and record["update"].values[-1] == 4
    assert np.all(np.isfinite(record["theta_final"].isel(player=0, state=0)))
    assert len(summary(folder)["cells"]) == experiment.cells
