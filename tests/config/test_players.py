"""Who learns how: strategies in a seat, shared learners, step sizes that change, clipping."""

import jax
import numpy as np
import pytest
import yaml

from shaping.config.build import groups, matches_of
from shaping.config.errors import ConfigError
from shaping.config.plan import plan

DICE = {"kind": "dice", "batch": 4, "horizon": 3}
TFT = {"strategy": "tft"}
COSINE = {"schedule": "cosine", "start": 1.0, "steps": 10}


def matches(raw):
    experiment = plan({"matches": 2, **raw})
    (blocks,) = groups(experiment)
    return matches_of(experiment, blocks, np.arange(experiment.matches))


def test_a_strategy_sits_in_a_seat_and_its_table_is_data():
    sweep = {"players.1": [TFT, {"strategy": "alld"}]}
    found = matches({"matches": 1, "players": [{"rule": "lola"}, TFT], "sweep": sweep})
    np.testing.assert_array_equal(found.learners[1].settings.numbers, [[1, 1, 0, 1, 0], [0, 0, 0, 0, 0]])


def test_a_strategy_may_have_numbers():
    found = matches({"players": [{"rule": "lola"}, {"strategy": "generous_tft", "generosity": 0.25}]})
    assert 0.25 in np.asarray(found.learners[1].settings.numbers)


def test_machines_sit_in_a_seat_where_the_game_is_played():
    raw = {"players": [{"rule": "naive"}, {"strategy": "tf2t"}]}
    assert matches({**raw, "objective": DICE}).game.policies[1].num_parameters == 0
    with pytest.raises(ConfigError, match=r"^players.1.strategy: tf2t remembers more than a round; .*dice"):
        plan(raw)


def test_scripted_players_of_an_environment_sit_in_a_seat():
    found = matches({"game": "cournot", "objective": DICE, "players": [{"rule": "naive"}, {"strategy": "COLLUSIVE"}]})
    assert found.game.policies[1].kind == "COLLUSIVE"


def test_a_shared_learner_is_one_for_all_its_seats():
    found = matches({"players": {"rule": "naive", "share": True}})
    assert len(found.learners) == 1 and found.seats == (0, 0)
    three = {"game": {"name": "contribution", "num_players": 3}}
    shared = {"rule": "naive", "share": True}
    found = matches({**three, "players": [{"rule": "lola"}, shared, shared]})
    assert len(found.learners) == 2 and found.seats == (0, 1, 1)


def test_what_a_shared_learner_sets_is_swept_once():
    (block,) = plan({"players": {"rule": "naive", "share": True}, "sweep": {"players.*.step_size": [1, 2]}}).blocks
    assert list(block.numbers) == ["players.0.step_size"]


def test_a_step_size_may_follow_a_schedule_whose_numbers_are_data():
    raw = {"matches": 1, "players": {"rule": "naive", "step_size": COSINE}}
    found = matches(raw | {"sweep": {"players.*.step_size.start": [1.0, 2.0]}})
    step = jax.tree.map(lambda leaf: leaf, found.learners[0].settings.common.step_size)
    assert step.name == "cosine"
    np.testing.assert_array_equal(step.numbers["start"], [1, 2])


def test_directions_may_be_clipped():
    found = matches(
        {"matches": 1, "optimizer": {"name": "adam", "clip_norm": 1.0}, "sweep": {"optimizer.clip_norm": [1, 2]}}
    )
    np.testing.assert_array_equal(found.learners[0].settings.common.optimizer.clip_norm, [1, 2])


REFUSED = [
    ({"players": [TFT, {"strategy": "tftt"}]}, "players.1.strategy: 'tftt' is not allowed", "(nearest: tft)"),
    (
        {"players": [TFT, {"strategy": "tft", "step_size": 1}]},
        "players.1.step_size: unknown key of tft",
        "",
    ),
    ({"players": TFT, "policy": {"state_view": "shared"}}, "players.*.strategy: strategies need", ""),
    ({"players": TFT, "game": "coin_game"}, "players.*.strategy: in coin_game, strategies need sampled returns", ""),
    ({"players": {"rule": "naive", "share": 1}}, "players.*.share: 1 is not allowed", ""),
    ({"players": {"rule": "cola", "share": True}}, "players.*.share: cola cannot play several seats at once", ""),
    (
        {"players": [{"rule": "naive", "share": True}, {"rule": "naive", "share": True, "step_size": 2}]},
        "players.1.step_size: 2.0 is not allowed",
        "as of players.0",
    ),
    (
        {"players": {"rule": "naive", "step_size": {"schedule": "cosin", "start": 1}}},
        "players.*.step_size.schedule: 'cosin' is not allowed",
        "(nearest: cosine)",
    ),
    (
        {"players": {"rule": "naive", "step_size": {**COSINE, "stps": 1}}},
        "players.*.step_size.stps: unknown key of cosine",
        "(nearest: players.*.step_size.steps)",
    ),
    ({"players": {"rule": "naive", "step_size": {"schedule": "cosine", "start": 1}}}, "players.*.step_size.steps", ""),
    ({"optimizer": {"name": "adam", "clip_norm": 0}}, "optimizer.clip_norm: 0 is not allowed", "above 0"),
    ({"players": {"rule": "naive", "lookahead_rate": 1}}, "players.*.lookahead_rate: unknown key of naive", "lola"),
]


@pytest.mark.parametrize(("raw", "start", "part"), REFUSED, ids=[start for _, start, _ in REFUSED])
def test_what_does_not_fit_is_refused_in_one_line(raw, start, part):
    with pytest.raises(ConfigError) as error:
        plan(raw)
    assert str(error.value).startswith(start) and part in str(error.value) and "\n" not in str(error.value)


def test_a_player_may_start_where_another_run_ended(tmp_path):
    import shaping

    first = shaping.run({"matches": 3, "updates": 1, "game": {"name": "ipd", "horizon": 1}}, tmp_path / "first")
    ended = shaping.load(first).record["theta_final"].values
    raw = {"game": {"name": "ipd", "horizon": 1}, "policy": {"init": {"run": str(first), "match": 2}}}
    found = matches(raw)
    for seat, learner in enumerate(found.learners):
        np.testing.assert_array_equal(learner.settings.common.initial.numbers[0], ended[2, seat])
    with pytest.raises(
        ConfigError, match=r"^policy.init.run: player 0 of .* has a policy tabular of 1 numbers; allowed: "
    ):
        matches({"policy": raw["policy"]})
    (first / "config.yaml").unlink()
    with pytest.raises(ConfigError, match=r"^policy.init.run: .*holds 1 parameters; this policy has 5 \(player 0\)"):
        matches({"policy": raw["policy"]})


@pytest.mark.parametrize(
    ("there", "what"),
    [
        # Five probabilities, and five numbers from which logits are computed: as logits they would mean something else.
        ({"players": [{"rule": "naive"}, {"strategy": "tft"}]}, "a policy memory_one of 5 numbers"),
        (
            {"policy": {"kind": "preconditioned", "matrix": np.eye(5).tolist()}},
            "a policy preconditioned of 5 numbers",
        ),
        ({"players": [{"rule": "of a plugin"}, {"strategy": "tft"}]}, "a strategy"),
    ],
)
def test_parameters_of_another_kind_of_policy_are_refused(tmp_path, there, what):
    (tmp_path / "config.yaml").write_text(yaml.safe_dump({"game": "ipd", **there}))
    player = {"rule": "naive", "init": {"run": str(tmp_path), "match": 0}}
    with pytest.raises(ConfigError) as error:
        matches({"players": [{"rule": "naive"}, player]})
    told = f"players.1.init.run: player 1 of {tmp_path} has {what}; allowed: a policy tabular of 5 numbers, as player 1"
    assert str(error.value).startswith(told)


def test_a_player_may_start_from_a_file(tmp_path):
    np.save(tmp_path / "start.npy", np.arange(10.0).reshape(2, 5))
    init = {"file": str(tmp_path / "start.npy")}
    found = matches({"players": [{"rule": "naive"}, {"rule": "naive", "init": {**init, "player": 0}}]})
    np.testing.assert_array_equal(found.learners[1].settings.common.initial.numbers[0], np.arange(5.0))
    with pytest.raises(ConfigError, match=r"^policy.init.file: .*holds no such parameters.* \(player 0\)"):
        matches({"policy": {"init": {"file": str(tmp_path / "nothing.npy")}}})
    with pytest.raises(ConfigError, match=r"^players.1.init.run: nowhere holds no such parameters"):
        matches({"players": [{"rule": "naive"}, {"rule": "naive", "init": {"run": "nowhere", "match": 0}}]})
