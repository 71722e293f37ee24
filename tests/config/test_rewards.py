"""The key `reward` of a player, payoffs of more than two actions, and `log`."""

import numpy as np
import pytest

from shaping.config.build import group_indices, groups, matches_of
from shaping.config.errors import ConfigError
from shaping.config.plan import plan

RPS = [[[0, -1, 1], [1, 0, -1], [-1, 1, 0]], [[0, 1, -1], [-1, 0, 1], [1, -1, 0]]]


def built(raw):
    """The matches of a configuration that makes one group."""
    experiment = plan({"matches": 2, **raw})
    (blocks,) = groups(experiment)
    return matches_of(experiment, blocks, group_indices(experiment, blocks)[:])


def test_numbers_of_a_reward_are_swept_and_the_kind_is_structure():
    match = built(
        {
            "players": [{"rule": "naive", "reward": {"weights": [1, 0]}}, {"rule": "naive", "reward": "svo"}],
            "sweep": {"players.0.reward.weights.1": [0.5, 2], "players.1.reward.svo.angle": [0, 90]},
        }
    )
    first, second = match.rewards
    assert (first.kind, second.kind) == ("weights", "svo")
    np.testing.assert_array_equal(first.numbers[0], np.ones(8))
    np.testing.assert_array_equal(first.numbers[1], np.repeat([0.5, 2], 4))
    np.testing.assert_array_equal(second.numbers[0], np.tile(np.repeat([0, 90], 2), 2))
    np.testing.assert_allclose(second.numbers[1], 0.2)
    kinds = {"players.*.reward": ["svo", "inequity_aversion", {"weights": [1, 1]}]}
    assert len(groups(plan({"matches": 2, "sweep": kinds}))) == 3


def test_whole_weights_are_swept_and_drawn_and_seats_that_share_a_learner_share_them():
    match = built(
        {
            "players": {"rule": "naive", "share": True, "reward": {"weights": [1, 0]}},
            "sweep": {"players.0.reward.weights": [[1, 1], [0, 1]]},
        }
    )
    for reward in match.rewards:
        np.testing.assert_array_equal(np.stack(reward.numbers, -1), np.repeat([[1, 1], [0, 1]], 2, axis=0))
    drawn = built(
        {
            "players": {"rule": "naive", "reward": {"weights": [1, 0]}},
            "sweep": {"players.*.reward.weights.1": {"uniform": [0, 1]}},
        }
    )
    assert len(np.unique(drawn.rewards[0].numbers[1])) == 2


def test_players_without_a_reward_of_their_own_have_the_games():
    assert built({}).rewards is None
    match = built({"players": [{"rule": "naive", "reward": "svo"}, {"strategy": "tft"}]})
    assert match.rewards[0].kind == "svo" and match.rewards[1] is None


@pytest.mark.parametrize(
    ("reward", "told"),
    [
        ("kind", r"players\.\*\.reward.kind: "),
        ({"weights": [1, 1, 1]}, r"players\.\*\.reward.weights: .*must be 2 numbers, the own weight first"),
        ({"weights": [1, "a"]}, r"players\.\*\.reward.weights.1: 'a'"),
        ("weights", r"players\.\*\.reward: 'weights' .*{weights: numbers}"),
        ({"svo": {"angle": 91}}, r"players\.\*\.reward.svo.angle: 91"),
        ({"svo": 3}, r"players\.\*\.reward.svo: 3"),
        ({"inequity_aversion": {"gamma": 1}}, r"players\.\*\.reward.inequity_aversion.gamma"),
        ({"svo": {}, "weights": [1, 1]}, r"players\.\*\.reward: "),
        (3, r"players\.\*\.reward: 3"),
    ],
)
def test_a_reward_that_is_none_is_refused_in_one_line(reward, told):
    with pytest.raises(ConfigError, match=told) as error:
        plan({"players": {"rule": "naive", "reward": reward}})
    assert "\n" not in str(error.value)


def test_games_of_more_than_two_actions_have_tables_of_softmax_logits():
    for objective, horizon, states in (("exact", None, 10), ({"kind": "dice", "batch": 4}, None, 10), ("exact", 1, 1)):
        match = built({"game": {"payoffs": RPS, "horizon": horizon}, "objective": objective})
        form = match.game.exact if match.game.sampled else match.game
        assert form.env.num_actions == 3 and not match.game.tabular
        assert match.game.policies[0].shapes.shape == (states, 3)
    # Payoffs are data: games that differ in them alone run in one program.
    other = built({"game": {"payoffs": RPS}, "sweep": {"game.payoffs.0.0.0": [0, 1]}})
    assert other.params.payoffs.shape == (4, 2, 3, 3) and other.params.payoffs[3, 0, 0, 0] == 1
    two = built({"game": {"payoffs": [[[0, 1], [1, 0]]] * 2}})
    assert two.game.policies[0].shapes.shape == (5,) and two.game.tabular


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"policy": {"kind": "mlp"}}, "kind is 'mlp'; allowed: tabular, gru or lstm|policy.kind"),
        ({"policy": {"memory": 2}}, "memory is 2"),
        ({"players": [{"strategy": "tft"}, {"rule": "naive"}]}, "two players, two actions"),
        ({"record": ["policies"]}, "record: policies are those of matrix games"),
        ({"policy": {"init": {"values": [[0] * 30] * 2}}}, "policy.init.values"),
        ({"game": {"payoffs": [[[0] * 11] * 11] * 2}}, "game.payoffs: .*2 to 10 actions"),
        ({"game": {"payoffs": [[[0, 1, 2], [0, 1, 2]]] * 2}}, "game.payoffs: .*most 256 joint actions|game.payoffs"),
    ],
)
def test_what_games_of_more_than_two_actions_have_not_is_refused(change, told):
    with pytest.raises(ConfigError, match=told) as error:
        plan({"game": {"payoffs": RPS}, **change})
    assert "\n" not in str(error.value)


def test_a_log_is_one_of_those_there_are():
    assert plan({"log": ["csv"]}).top["log"] == ["csv"] and "log" not in plan({}).resolved()
    with pytest.raises(ConfigError, match="log: 'wandb' .*csv, tensorboard"):
        plan({"log": ["wandb"]})
    with pytest.raises(ConfigError, match="log: 'csv'"):
        plan({"log": "csv"})
