"""Seats played by a script, or by a learner that plays several: trained, recorded, resumed, read back."""

import dataclasses
import json

import jax.numpy as jnp
import numpy as np
import pytest

import shaping
from shaping import envs, plugins
from shaping.cli import main
from shaping.config.errors import ConfigError
from shaping.learners import Learner, LearnerState, frozen, gradient_learner
from shaping.objectives.exact_matrix import exact_matrix_game
from shaping.policies import fixed, strategy, tabular
from shaping.replayed_matches import lines, replay
from shaping.variables import Variable
from tests.interrupting import assert_same, stopped
from tests.runs import played, summary, unmet

SAMPLED = {"kind": "dice", "batch": 4, "horizon": 3, "evaluation": 4}
CLIMBS, STAYS = gradient_learner(shaping.naive(), 0.5), frozen()


@pytest.fixture
def clean(monkeypatch, tmp_path):
    """No plugins, before and after."""
    monkeypatch.setattr("shaping.runtime.devices.prepare_process", lambda: None)
    monkeypatch.setattr("shaping.runtime.devices.compile_for_scalars", lambda: None)
    monkeypatch.setattr(plugins, "_plugins", {kind: {} for kind in plugins.KINDS})
    return tmp_path


@pytest.fixture
def unpictured(monkeypatch):
    from shaping.analysis import report

    monkeypatch.setattr(report, "write_report", lambda directory, *arguments: directory / "report" / "index.html")


@pytest.fixture
def among_themselves():
    with unmet():
        yield


def always(logit):
    return fixed(tabular(1), jnp.full(1, logit))


def test_a_seat_without_parameters_trains_beside_one_that_learns_in_an_exact_game():
    env = envs.make("stag_hunt", horizon=1)
    game = exact_matrix_game(env, (tabular(1), always(-60.0)))
    found = shaping.train(game, [CLIMBS, STAYS], matches=2, updates=3, parameters=env.default_params)
    assert np.isnan(found.theta_final[:, 1]).all() and (found.theta_final[:, 0] < found.theta_initial[:, 0]).all()
    np.testing.assert_allclose(found.policy[:, 1], 0, atol=1e-20)
    nobody = exact_matrix_game(env, (always(60.0), always(60.0)))
    found = shaping.train(nobody, STAYS, matches=2, updates=3, parameters=env.default_params)
    assert found.theta_final.sizes["parameter"] == 0 and (found.diverged_at == -1).all()
    np.testing.assert_array_equal(
        found.value, np.broadcast_to(np.asarray(env.default_params.payoffs)[:, 0, 0], (2, 4, 2))
    )


@pytest.mark.parametrize("alone", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_automata_train_and_play_in_any_seat_of_a_sampled_game(alone):
    """In both seats; the next test also has one beside a learner."""
    kind = fixed(*strategy("tf2t"))
    policies, learners = ((kind, kind), [STAYS, STAYS]) if alone else ((kind, tabular(5)), [STAYS, CLIMBS])
    game, params = shaping.sampled(envs.make("ipd"), policies, batch=4, horizon=3, evaluation=4)
    found = shaping.train(game, learners, matches=2, updates=2, parameters=params)
    assert (found.diverged_at == -1).all() and np.isfinite(found.value).all()
    if alone:
        assert found.theta_final.sizes["parameter"] == 0
        np.testing.assert_array_equal(found.reward_per_step, -1)
    else:
        assert np.isnan(found.theta_final[:, 0]).all()


@pytest.mark.parametrize(
    ("game", "players"),
    [
        ({"name": "ipd"}, [{"strategy": "tf2t"}, {"rule": "naive"}]),
        pytest.param({"name": "ipd"}, [{"strategy": "tf2t"}] * 2, marks=pytest.mark.slow),
        pytest.param(
            {"name": "coin_game", "grid": [2, 2]}, [{"strategy": "TFT"}, {"rule": "naive"}], marks=pytest.mark.slow
        ),
    ],
)
def test_scripts_are_recorded_reported_replayed_and_read_back(tmp_path, unpictured, among_themselves, game, players):
    config = {"game": game, "players": players, "objective": SAMPLED, "matches": 2, "updates": 2}
    folder = shaping.run(config, tmp_path / "run")
    run = shaping.load(folder)
    (script, none), (_, theta) = run.policies(1)
    assert script.num_parameters == 0 and none == ()
    if "rule" in players[1]:
        np.testing.assert_array_equal(np.ravel(theta), run.record.theta_final[1, 1])
    assert len(summary(folder)["cells"][0]["reward_per_step"]) == 2
    again = replay(folder, 1)
    assert again.difference == 0 and again.steps.sizes["player"] == 2 and len(lines(again)) > 3


SHARED = {
    "game": {"name": "contribution", "num_players": 3, "horizon": 1},
    "players": [
        {"rule": "naive", "share": True},
        {"rule": "lola", "lookahead_rate": 1.0},
        {"rule": "naive", "share": True},
    ],
    "optimizer": "adam",
    "matches": 3,
    "updates": 9,
    "checkpoint": {"every_updates": 4, "every_s": None},
}


def test_a_shared_learner_resumes_where_it_stood_is_replayed_and_read_back(tmp_path, unpictured):
    whole = shaping.run(SHARED, tmp_path / "whole")
    halved = stopped(SHARED, tmp_path / "halved", 2)
    shaping.resume(halved)
    assert_same(whole, halved)
    final = played(whole).theta_final.values
    np.testing.assert_array_equal(final[:, 0], final[:, 2])
    assert (final[:, 0] != final[:, 1]).all()
    for (_, theta), row in zip(shaping.load(whole).policies(1), final[1], strict=True):
        np.testing.assert_array_equal(theta, row)
    again = replay(whole, 2)
    assert again.difference == 0 and again.steps.sizes["player"] == 3


def test_a_configuration_and_train_share_alike(tmp_path, unpictured):
    config = {
        "game": {"name": "stag_hunt", "horizon": 1},
        "players": {"rule": "naive", "step_size": 0.5, "share": True},
    }
    record = played(shaping.run(config | {"matches": 3, "updates": 4}, tmp_path / "run"))
    found = shaping.train(envs.make("stag_hunt", horizon=1), CLIMBS, matches=3, updates=4, seats=[0, 0])
    np.testing.assert_array_equal(found.theta_final, record.theta_final)
    np.testing.assert_array_equal(found.theta_final[:, 0], found.theta_final[:, 1])


@pytest.mark.parametrize(
    ("seats", "players", "message"),
    [
        ([0, 2], CLIMBS, r"^seats: \[0, 2\] given; allowed: for each of 2 seats a player, from 0 on"),
        ([0], CLIMBS, "^seats: .* for each of 2 seats"),
        ([0, 0], [CLIMBS, CLIMBS], "^players: 2 given; seats names 1"),
        ([0, 0], dataclasses.replace(CLIMBS, shareable=False), "^seats: .* player 0 cannot play several seats at once"),
    ],
)
def test_seats_that_do_not_fit_are_refused(seats, players, message):
    with pytest.raises(ConfigError, match=message):
        shaping.train(envs.make("ipd"), players, seats=seats)


COUNTER = '''
"""A learner that does nothing but count its updates."""
from shaping.learners import Common, Learner, LearnerState, frozen
from shaping.variables import Variable
import jax.numpy as jnp

def counter(common: Common = Common()):
    """Counts."""
    stays = frozen(common)

    def init(settings, *args):
        return LearnerState(stays.initialise(settings, *args).theta, jnp.zeros(()))

    def step(settings, key, states, player, objective):
        own = states[player]
        return LearnerState(own.theta, own.memory + 1), {"updates_done": own.memory}

    seen = Variable(("match", "update", "player"), "how many updates there were")
    return Learner(stays.settings, init, step, variables={"updates_done": seen})

LEARNERS = {"counter": counter}
'''


def test_what_a_learner_of_ones_own_records_reaches_record_summary_and_report(clean):
    (clean / "counters.py").write_text(COUNTER)
    config = {"game": {"name": "stag_hunt", "horizon": 1}, "players": [{"rule": "counter"}, {"rule": "naive"}]}
    (clean / "run.yaml").write_text(json.dumps(config | {"matches": 2, "updates": 3}))
    folder = clean / "out"
    found = main(["run", str(clean / "run.yaml"), f"--out={folder}", "--plugin", str(clean / "counters.py")])
    assert found in (0, None)
    record = played(folder)
    np.testing.assert_array_equal(record.updates_done[:, :, 0], [[0, 1, 2, 3]] * 2)
    assert np.isnan(record.updates_done[:, :, 1]).all()
    assert summary(folder)["cells"][0]["updates_done"] == [3, None]
    assert "<th>updates done</th>" in (folder / "report" / "index.html").read_text()


def learner_with(**variables):
    nothing = {name: 0.0 for name in variables}
    return Learner(
        (), lambda *args: LearnerState(jnp.zeros(1), ()), lambda *args: (args[2][args[3]], nothing), variables=variables
    )


def test_what_a_learner_may_not_record_is_refused():
    with pytest.raises(ValueError, match="^variables.seen is over match, player; allowed: match, update, player$"):
        learner_with(seen=Variable(("match", "player"), "what was seen"))
    along = Variable(("match", "update", "player"), "another value")
    with pytest.raises(ValueError, match="^variable value of a learner is also one of its game"):
        shaping.train(envs.make("stag_hunt", horizon=1), learner_with(value=along), matches=1, updates=1)
