"""The key `objective` and what depends on it: its normal form, its sweeps, and what is refused."""

import pytest

from shaping.config import build
from shaping.config.errors import ConfigError
from shaping.config.plan import plan
from shaping.config.top_level import CELL

MATRIX, COIN, ANALYTIC = "ipd", "coin_game", "tandem"


def normal(**raw):
    (block,) = plan(raw).blocks
    return block.normal


def test_exact_returns_are_the_default_and_play_writes_every_setting_out():
    assert normal()["objective"] == {"kind": "exact"}
    found = normal(objective="dice")["objective"]
    assert found == {
        "kind": "dice",
        "batch": 64,
        "horizon": 150,
        "baseline": "leave_one_out",
        "gae_lambda": 1.0,
        "decay": None,
        "slices": 1,
        "rematerialise": False,
        "evaluation": 64,
        "critic_rate": 0.1,
        "critic_steps": 1,
        "critic_optimizer": "adam",
        "critic_kind": "value",
        "critic_sees": "own",
        "critic_target_rate": None,
        "critic_target_period": 1,
    }
    assert normal(objective="loaded_dice")["objective"]["baseline"] == "critic"


def test_a_rollout_is_as_long_as_the_game_where_it_has_an_end():
    objective = {"kind": "dice", "batch": 8}
    assert normal(objective=objective, game={"name": MATRIX, "horizon": 7})["objective"]["horizon"] == 7
    assert normal(objective=objective, game={"name": MATRIX, "horizon": 1})["objective"]["horizon"] == 1
    assert normal(objective=objective, game=COIN)["objective"]["horizon"] == 50
    shorter = normal(objective={**objective, "horizon": 3}, game={"name": MATRIX, "horizon": 7})
    assert shorter["objective"]["horizon"] == 3 and shorter["objective"]["evaluation"] == 8


@pytest.mark.parametrize(
    "raw",
    [
        {"objective": "dice"},
        {"objective": {"kind": "loaded_dice", "decay": 0.9, "slices": 4, "rematerialise": True, "critic_rate": 0.0}},
        {"objective": {"kind": "surrogate", "baseline": "none", "batch": 1, "evaluation": 5}},
        {"objective": "dice", "players": [{"rule": "ppo", "minibatches": 4}, {"rule": "lola", "opponent_model": True}]},
        {"objective": "dice", "game": COIN, "policy": {"kind": "gru", "critic": "shared"}},
        {"objective": "dice", "game": COIN, "policy": {"kind": "conv", "channels": [4], "hidden": []}},
        {"objective": {"kind": "dice", "critic_kind": "q", "critic_target_rate": 0.1}, "players": {"rule": "ppo"}},
        {"objective": "dice", "policy": {"kind": "lstm", "units": 3, "state_view": "shared"}},
        {
            "objective": "dice",
            "players": {"rule": "lola", "opponent_model": {"members": 3, "trust": 0.5, "window": 2}},
        },
    ],
)
def test_a_normal_form_is_its_own_normal_form(raw):
    once = normal(**raw)
    assert normal(**{key: once[key] for key in CELL if key in once}) == once


def test_numbers_of_an_estimator_sweep_within_a_program_and_its_structure_makes_programs():
    base = {"objective": {"kind": "loaded_dice", "decay": 1.0}, "players": {"rule": "lola", "opponent_model": {}}}
    numbers = plan(
        base
        | {
            "sweep": {
                "objective.gae_lambda": [0.9, 1.0],
                "objective.decay": [0.5, 1.0],
                "objective.critic_rate": [0.1, 0.2],
                "players.*.opponent_model.penalty": [0.0, 1.0],
                "players.0.opponent_model.rate": [0.1, 0.2],
            }
        }
    )
    assert numbers.cells == 32 and len(numbers.blocks) == len(build.groups(numbers)) == 1
    programs = plan(base | {"sweep": {"objective.batch": [8, 16], "objective.slices": [1, 2]}})
    assert programs.cells == 4 and len(build.groups(programs)) == 4
    models = plan(base | {"sweep": {"players.*.opponent_model.members": [1, 2], "objective.kind": ["loaded_dice"]}})
    assert models.cells == 2 and len(build.groups(models)) == 2
    assert [block.normal["players"][1]["opponent_model"]["members"] for block in models.blocks] == [1, 2]


DICE = {"kind": "dice"}
TRUST = {"rule": "lola", "opponent_model": {"trust": 1.0}}
REFUSED = [
    ({"objective": {**DICE, "batch": 0}}, "objective.batch: 0 is not allowed; must be an integer, at least 1"),
    ({"objective": {**DICE, "batch": 1}}, "objective.batch: 1 is not allowed; must be 2 or more with baseline leave"),
    ({"objective": {**DICE, "batch": 2.5}}, "objective.batch: 2.5 is not allowed"),
    ({"objective": {**DICE, "slices": 3}}, "objective.slices: 3 is not allowed; must be a divisor of objective.batch"),
    ({"objective": {**DICE, "horizon": 0}}, "objective.horizon: 0 is not allowed"),
    ({"objective": {**DICE, "evaluation": 0}}, "objective.evaluation: 0 is not allowed"),
    ({"objective": {**DICE, "gae_lambda": 1.5}}, "objective.gae_lambda: 1.5 is not allowed"),
    ({"objective": {**DICE, "rematerialise": 1}}, "objective.rematerialise: 1 is not allowed; must be true or false"),
    ({"objective": {**DICE, "baseline": "mean"}}, "objective.baseline: 'mean' is not allowed; must be leave_one_out"),
    ({"objective": {**DICE, "critic_rate": -1}}, "objective.critic_rate: -1 is not allowed"),
    ({"objective": {**DICE, "critic_steps": 0}}, "objective.critic_steps: 0 is not allowed"),
    ({"objective": {**DICE, "critic_optimizer": "rms"}}, "objective.critic_optimizer: 'rms' is not allowed"),
    ({"objective": {"kind": "loaded_dice", "baseline": "none"}}, "objective.baseline is 'none'; allowed: critic"),
    ({"objective": {"kind": "surrogate", "baseline": "critic"}}, "objective.baseline is 'critic'; allowed: leave_one"),
    (
        {"objective": {**DICE, "decay": 0.9}},
        "objective.decay: 0.9 is not allowed; must be left out; it is a",
    ),
    ({"objective": {"kind": "loaded_dice", "decay": 2}}, "objective.decay: 2 is not allowed"),
    (
        {"objective": "dise"},
        "objective.kind: 'dise' is not allowed; must be one of exact, dice, loaded_dice",
    ),
    ({"objective": 3}, "objective: 3 is not allowed; must be a mapping of settings"),
    ({"objective": {**DICE, "bach": 8}}, "objective.bach: unknown key"),
    ({"objective": {"batch": 8}}, "objective.batch: returns are exact by default in this game; add objective.kind: "),
    ({"objective": {"kind": "exact", "batch": 8}}, "objective.batch: unknown key of an exact objective"),
    ({"objective": {**DICE, "horizon": 9}, "game": {"name": MATRIX, "horizon": 7}}, "objective.horizon: 9 is not"),
    ({"objective": {**DICE, "horizon": 60}, "game": COIN}, "objective.horizon: 60 is not allowed; must be at most"),
    ({"objective": "dice", "game": ANALYTIC}, "objective.kind: tandem has only exact returns"),
    ({"players": {"rule": "a2c"}}, "players.*.rule: a2c learns from play; objective.kind must be dice, not exact"),
    ({"players": [{"rule": "naive"}, {"rule": "ppo"}]}, "players.1.rule: ppo learns from play"),
    ({"players": {"rule": "lola", "opponent_model": True}}, "players.*.opponent_model: models are fitted to play"),
    ({"players": {"rule": "cola"}, "objective": "dice"}, "players.*.rule: it learns about the game beforehand"),
    ({"players": {"rule": "meva"}, "objective": "dice"}, "players.*.rule: it learns about the game beforehand"),
    ({"players": {"rule": "ppo", "minibatches": 3}, "objective": "dice"}, "players.*.minibatches: 3 is not allowed"),
    ({"players": {"rule": "ppo", "clip": 0}, "objective": "dice"}, "players.*.clip: 0 is not allowed"),
    ({"players": TRUST, "objective": "dice"}, "players.*.opponent_model.members: 1 is not allowed; must be 2 or more"),
    (
        {"players": {"rule": "lola", "opponent_model": {"members": 9}}, "objective": {**DICE, "batch": 8}},
        "players.*.opponent_model.members: 9 is not allowed; must be at most the number",
    ),
    (
        {"players": {"rule": "lola", "opponent_model": {"streams": 9}}, "objective": {**DICE, "batch": 8}},
        "players.*.opponent_model.streams: 9 is not allowed; must be at most objective.batch, 8",
    ),
    (
        {"players": {"rule": "lola", "opponent_model": {"windw": 2}}, "objective": "dice"},
        "players.*.opponent_model.windw: unknown key",
    ),
    ({"players": {"rule": "lola", "opponent_model": 3}, "objective": "dice"}, "players.*.opponent_model: 3 is not"),
    ({"policy": {"kind": "gru"}}, "policy.kind: 'gru' is not allowed; must be"),
    (
        {"policy": {"kind": "conv"}, "objective": "dice"},
        "policy.kind: 'conv' is not allowed; must be one of tabular",
    ),
    ({"policy": {"kind": "conv"}, "game": COIN}, "policy.kind: 'conv' is not allowed; must be coin_table"),
    ({"policy": {"kind": "gru", "critic": "both"}, "objective": "dice"}, "policy.critic: 'both' is not allowed"),
    ({"policy": {"kind": "gru", "units": 0}, "objective": "dice"}, "policy.units: 0 is not allowed"),
    ({"policy": {"kind": "gru", "channels": [3]}, "objective": "dice"}, "policy.channels: unknown key of gru"),
    (
        {"policy": {"kind": "gru"}, "objective": "dice", "game": {"name": MATRIX, "horizon": 1}},
        "policy.kind: gru has nothing to look at in a one-shot game",
    ),
    ({"record": ["shaping"]}, "record: shaping is the spread of an estimate; objective.kind must be dice, not exact"),
    ({"record": ["shaping"], "objective": "dice"}, "record: shaping needs a rule with a shaping term"),
    (
        {"record": ["consistency"], "objective": "dice", "players": {"rule": "lola"}},
        "record: consistency needs exact returns; objective.kind must be exact",
    ),
    (
        {"sweep": {"objective.decay": [0.5, 1.0]}, "objective": "dice"},
        "objective.decay: 0.5 is not allowed; must be",
    ),
    ({"sweep": {"objective.bach": [1, 2]}, "objective": "dice"}, "objective.bach: unknown key"),
    (
        {"sweep": {"objective.batch": {"uniform": [8, 16]}}, "objective": "dice"},
        "sweep.objective.batch: cannot be",
    ),
    (
        {"sweep": {"objective.batch": [8, 1]}, "objective": "dice"},
        "objective.batch: 1 is not allowed; must be 2 or more",
    ),
]


@pytest.mark.parametrize(("raw", "message"), REFUSED, ids=[message[:48] for _, message in REFUSED])
def test_a_wrong_setting_is_refused_in_one_line_that_says_what_is_allowed(raw, message):
    with pytest.raises(ConfigError) as error:
        plan(raw)
    assert str(error.value).startswith(message) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("raw", "nearest"),
    [
        ({"objective": {**DICE, "bach": 8}}, "objective.batch"),
        ({"objective": {**DICE, "base_line": "none"}}, "objective.baseline"),
        ({"objective": "dise"}, "dice"),
        ({"objective": {**DICE, "baseline": "leave_one"}}, "leave_one_out"),
        (
            {"objective": "dice", "players": {"rule": "lola", "opponent_model": {"windw": 2}}},
            "players.*.opponent_model.window",
        ),
        ({"objective": "dice", "players": {"rule": "lola", "oponent_model": True}}, "players.*.opponent_model"),
        ({"record": ["shape"]}, "shaping"),
    ],
)
def test_what_is_not_known_comes_with_the_nearest_that_is(raw, nearest):
    with pytest.raises(ConfigError) as error:
        plan(raw)
    assert f"(nearest: {nearest})" in str(error.value)


def test_a_model_is_left_out_by_false_and_null_and_true_takes_its_defaults():
    for given, there in ((True, True), (False, False), (None, False), ({}, True)):
        players = normal(objective="dice", players={"rule": "lola", "opponent_model": given})["players"]
        assert all(("opponent_model" in player) == there for player in players)
    own = normal(objective="dice", players={"rule": "lola", "opponent_model": {"members": 2}})["players"][1]
    assert own["opponent_model"]["members"] == 2 and own["opponent_model"]["trust"] is None
