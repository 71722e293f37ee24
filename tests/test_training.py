"""Rules, optimisers, games and shipped configurations train, each for a few updates."""

import numpy as np
import pytest

import shaping
from shaping import envs
from shaping.config.errors import ConfigError
from shaping.config.files import read, shipped
from shaping.config.plan import plan
from shaping.envs.matrix.games import GAMES
from tests.runs import VARIABLES, cell, played, summary, unmet
from tests.small_configurations import SHIPPED_GAMES, brief, new_combinations, small

pytestmark = pytest.mark.usefixtures("without_pictures")
TFT = [[60.0, 60.0, -60.0, 60.0, -60.0]] * 2
RUN_ELSEWHERE = ("lola_table", *SHIPPED_GAMES)
"""Shipped configurations that tests/test_docs.py (README's own) and tests/test_shipped_games.py run."""
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


# One-shot, because it compiles fastest; longer games are tests/rules'.
ALL = {
    "game": {"name": "ipd", "horizon": 1},
    "matches": 2,
    "updates": 3,
    "sweep": {"game.name": [*GAMES]},
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
    assert set(record["game.name"].values) == set(GAMES)
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
    from shaping.config.players import build_learner
    from shaping.population.players_by_name import every_player

    known = [name for name in every_player() if name != "frozen" and not build_learner({"rule": name}).needs_trials]
    # Some train networks before a match, which would take minutes under their defaults.
    variants = {name: {"players": small({"rule": name}) | {"step_size": 0.1}} for name in known}
    for name in variants:
        learner = build_learner({"rule": name})
        if learner.needs_sampler:
            kind = "q" if learner.needs_action_values else "value"
            objective = {"kind": "dice", "batch": 16, "horizon": 4, "critic_kind": kind}
            variants[name] |= {"objective": objective, "game": "ipd"}
        if learner.needs_chain:
            variants[name] |= {"game": "ipd"}
        if learner.needs_information_sets:
            variants[name] |= {"game": "kuhn_poker"}
    # One-shot, because it compiles fastest.
    raw = {"game": {"name": "ipd", "horizon": 1}, "matches": 2, "updates": 3, "variants": variants}
    with unmet():
        record = played(shaping.run(raw, tmp_path / "run"))
    for name in variants:
        own = cell(record, name)
        going = own["diverged_at"].values == -1
        assert going.any(), name
        assert np.all(np.isfinite(own["value"].values[going])), name
        # NaN stands where the parameters of other rules' policies are more numerous.
        first, last = own["theta_initial"].values, own["theta_final"].values
        assert np.array_equal(np.isfinite(first), np.isfinite(last)), name
        assert np.nanmax(np.abs(last - first)) > 0, name


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


def test_every_shipped_configuration_is_planned_and_makes_cells():
    assert all(plan(read(name)).cells > 0 for name in shipped())


def test_every_configuration_made_small_is_planned():
    assert all(plan(brief(name)).cells > 0 for name in new_combinations())


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", sorted({*new_combinations()} - {*RUN_ELSEWHERE}))
def test_a_shipped_configuration_runs_when_made_small(tmp_path, name):
    raw = brief(name)
    with unmet():
        folder = shaping.run(raw, tmp_path / "run")
    record = played(folder)
    experiment = plan(raw)
    assert record.sizes["match"] == experiment.matches
    assert record["update" if "updates" in raw else "generation"].values[-1] == 4
    assert np.all(np.isfinite(record["theta_final"][:, 0, 0]))
    assert len(summary(folder)["cells"]) == experiment.cells
