"""The Coin Game in a configuration: its normal form, its sweeps, and what is refused."""

import pytest

from shaping.config.errors import ConfigError
from shaping.config.plan import plan


def normal(**game):
    (block,) = plan({"game": {"name": "coin_game", **game}}).blocks
    return block.normal


def test_the_dialect_is_written_out_rule_by_rule_and_its_horizon_is_the_default():
    game = normal(dialect="lola2018")["game"]
    assert game["tie"] == "lowest_seat" and game["start_players"] == "distinct"
    assert (game["horizon"], game["discount"], game["own"], game["other"], game["taken"]) == (150, 0.96, 1, 1, -2)
    assert normal()["game"]["dialect"] == "pola" and normal()["game"]["horizon"] == 50
    assert normal(dialect="reciprocator")["game"]["coins"] == "per_colour"


def test_a_normal_form_is_its_own_normal_form():
    for settings in ({}, {"dialect": "mfos", "own": 0.5}, {"grid": [2, 3], "horizon": None}, {"tie": "lowest_seat"}):
        once = normal(**settings)
        (block,) = plan({key: once[key] for key in ("game", "players", "policy")}).blocks
        assert block.normal["game"] == once["game"] and block.normal["policy"] == once["policy"]


def test_no_horizon_is_a_game_without_end_and_policies_are_tables():
    found = normal(horizon=None)
    assert found["game"]["horizon"] is None
    assert found["policy"] == {"kind": "coin_table", "last_takers": False, "init": {"normal": 1.0}}


@pytest.mark.parametrize(("game", "kind"), [("coin_game", "coin_table"), ("tandem", "parameters"), ("ipd", "tabular")])
def test_tabular_is_whatever_table_a_game_has(game, kind):
    (block,) = plan({"game": game, "policy": "tabular"}).blocks
    assert block.normal["policy"]["kind"] == kind


def test_rewards_and_rates_are_numbers_of_one_program_while_dialects_are_programs():
    sweep = {
        "game.dialect": ["pola", "lola_dice"],
        "game.taken": [-1.0, -2.0, -3.0],
        "players.*.lookahead_rate": [1.0, 10.0],
    }
    experiment = plan({"game": {"name": "coin_game"}, "players": {"rule": "lola"}, "sweep": sweep})
    assert experiment.cells == 12 and len(experiment.blocks) == 2
    assert experiment.blocks[0].numbers["game.taken"].tolist() == [-1, -1, -2, -2, -3, -3]


REFUSED = [
    ({"dialect": "lola"}, "game.dialect is 'lola'; allowed: lola2018"),
    ({"grid": 1}, "game.grid is 1 x 1; allowed: 3 cells or more"),
    ({"num_players": 1}, "game.num_players is 1; allowed: an integer from 2"),
    ({"num_players": 4, "grid": 4}, "to enumerate exactly"),
    ({"tie": "first"}, "game.tie is 'first'; allowed: all, lowest_seat"),
    ({"stay": "yes"}, "game.stay is 'yes'; allowed: False, True"),
    ({"own": float("nan")}, "game.own"),
    ({"noise": [0.1]}, "game.noise"),
    ({"horizon": 0}, "game.horizon is 0; allowed: an integer from 1"),
    ({"horizon": 1, "dialect": "jaxmarl"}, "game.horizon: 1 leaves no step that pays"),
    ({"discount": 1.0, "horizon": None}, "game.discount"),
    ({"view": "shared"}, "game.view"),
    ({"dialct": "pola"}, "game.dialect"),
]


@pytest.mark.parametrize(("game", "message"), REFUSED, ids=[str(game) for game, _ in REFUSED])
def test_a_wrong_setting_is_refused_in_one_line_that_says_what_is_allowed(game, message):
    with pytest.raises(ConfigError) as error:
        plan({"game": {"name": "coin_game", **game}})
    assert message in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ({"policy": {"kind": "mlp"}}, "policy.kind"),
        ({"policy": {"memory": 2}}, "policy.memory"),
        ({"policy": {"last_takers": 1}}, "policy.last_takers"),
        ({"policy": {"init": {"values": [[1.0]]}}}, "policy.init.values"),
        ({"record": ["policies"]}, "record"),
    ],
)
def test_what_only_matrix_games_have_is_refused(raw, message):
    with pytest.raises(ConfigError, match=f"^{message}"):
        plan({"game": "coin_game", **raw})


def test_a_chain_that_only_its_memory_makes_too_large_is_refused_before_anything_is_computed():
    game = {"name": "coin_game", "grid": 7}
    plan({"game": game})
    with pytest.raises(ConfigError, match="^policy.last_takers: grid is 7 x 7 .* to enumerate exactly"):
        plan({"game": game, "policy": {"last_takers": True}})
