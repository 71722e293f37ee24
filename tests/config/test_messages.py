"""Messages in a configuration: which games may have them, what is data, and what is refused."""

import jax
import numpy as np
import pytest

from shaping import envs
from shaping.config.build import groups, matches_of
from shaping.config.errors import ConfigError
from shaping.config.plan import plan
from shaping.config.top_level import CELL

GAMES = [
    {"name": "ipd", "horizon": 5},
    {"payoffs": [[[1, 0], [3, 2]], [[1, 3], [0, 2]]], "horizon": 2},
    {"name": "coin_game"},
    {"name": "gift"},
    {"name": "cournot"},
    {"name": "referential"},
]


def config(game, **messages):
    told = {"messages": {"symbols": 2, **messages}}
    return {"game": game | told, "objective": {"batch": 4, "horizon": 2}, "matches": 2}


def matches(raw):
    experiment = plan(raw)
    (blocks,) = groups(experiment)
    return matches_of(experiment, blocks, np.arange(experiment.matches))


@pytest.mark.parametrize("game", GAMES, ids=lambda game: game.get("name", "payoffs"))
def test_every_sampled_game_may_have_messages(game):
    found = matches(config(game, cost=0.5))
    assert isinstance(found.game.env, envs.Messages) and found.game.env.symbols == 2
    np.testing.assert_array_equal(found.params.env.cost, [0.5, 0.5])
    silent = matches({**config(game), "game": {**game, "messages": None}, "objective": {"kind": "dice", "horizon": 2}})
    jax.tree.map(np.testing.assert_array_equal, found.params.env.env, silent.params.env)
    assert found.game.env.env == silent.game.env


def test_a_normal_form_is_its_own_normal_form():
    (block,) = plan(config({"name": "ipd"}, memory=2)).blocks
    assert block.normal["game"]["messages"] == {"symbols": 2, "cost": 0.0, "before": 0, "memory": 2}
    (again,) = plan({key: block.normal[key] for key in CELL if key in block.normal}).blocks
    assert again.normal == block.normal


def test_costs_are_swept_within_one_program_and_symbols_are_compiled():
    costs = plan(config({"name": "ipd"}) | {"sweep": {"game.messages.cost": [0, 1]}})
    assert len(groups(costs)) == 1
    words = plan(config({"name": "ipd"}) | {"sweep": {"game.messages.symbols": [2, 3]}})
    assert len(groups(words)) == 2


def test_steps_of_talk_come_on_top_of_the_horizon():
    raw = config({"name": "ipd", "horizon": 1, "discount": 1}, before=2)
    del raw["objective"]["horizon"]
    (block,) = plan(raw).blocks
    assert block.normal["objective"]["horizon"] == 3 and block.normal["policy"]["kind"] == "tabular"


@pytest.mark.parametrize(
    ("game", "message"),
    [
        ({"messages": 2}, "game.messages: 2 is not allowed; must be a mapping of symbols, cost, before, memory"),
        ({"messages": {"cost": 1}}, "game.messages.symbols: must be given, the number of words"),
        ({"messages": {"symbols": 0}}, "game.messages.symbols: 0 is not allowed; must be an integer, at least"),
        (
            {"messages": {"symbols": 2, "cost": -1}},
            "game.messages.cost: -1 is not allowed; must be a number, at least 0",
        ),
        ({"messages": {"symbols": 2, "words": 3}}, "game.messages.words: unknown"),
        (
            {"name": "kuhn_poker", "messages": {"symbols": 2}},
            "left out: this game is not played in steps of which each may carry a message",
        ),
        (
            {"messages": {"symbols": 4000, "memory": 3}},
            "game.messages.symbols is 4000; allowed: fewer than 2^31 observations",
        ),
    ],
    ids=str,
)
def test_what_is_not_allowed_is_refused_in_one_line(game, message):
    raw = {"game": {"name": "ipd", **game}, "objective": {"kind": "dice"} if "name" not in game else {}}
    with pytest.raises(ConfigError) as refused:
        plan(raw)
    assert message in str(refused.value) and "\n" not in str(refused.value)


def test_returns_with_messages_are_not_exact():
    with pytest.raises(ConfigError, match=r"objective.kind: .*exact"):
        plan(config({"name": "ipd"}) | {"objective": {"kind": "exact"}})


def test_measures_of_communication_are_variables_of_the_record():
    raw = config({"name": "referential"}) | {"published": [{"metric": "causal_influence", "player": 1, "value": 0}]}
    game = matches(raw).game
    per_player = {"success", "message_state_information", "message_action_information", "causal_influence"}
    assert per_player <= {name for name, one in game.variables.items() if one.along_updates and one.source}
    assert game.labels["word_then_action"][:4] == ("0 then 0", "0 then 1", "0 then 2", "0 then 3")
    assert game.variables["action_after_heard"].dims == ("match", "player", "word_then_action")
