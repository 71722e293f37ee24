"""Environments in a configuration: all of them, which of their settings are data or structure, and what is refused."""

import jax
import numpy as np
import pytest

from shaping import envs
from shaping.config.build import groups, matches_of
from shaping.config.cell import number_fields
from shaping.config.errors import ConfigError
from shaping.config.plan import plan
from shaping.config.top_level import CELL
from shaping.envs import ENVIRONMENTS

DICE = {"kind": "dice", "batch": 4, "horizon": 2}
OTHERS = [name for name in ENVIRONMENTS if name != "coin_game"]


def config(name, **game):
    return {"game": {"name": name, **game}, "objective": DICE, "matches": 2}


def matches(raw):
    experiment = plan(raw)
    (blocks,) = groups(experiment)
    return matches_of(experiment, blocks, np.arange(experiment.matches))


@pytest.mark.parametrize("name", OTHERS)
def test_every_environment_is_played_with_its_own_default_numbers(name):
    env, found = envs.make(name), matches(config(name))
    assert found.game.env == env
    for own, stacked in zip(jax.tree.leaves(env.default_params), jax.tree.leaves(found.params.env), strict=True):
        np.testing.assert_array_equal(stacked, np.broadcast_to(own, (2, *np.shape(own))))
        assert stacked.dtype.kind == np.asarray(own).dtype.kind


@pytest.mark.parametrize("name", OTHERS)
def test_a_normal_form_is_its_own_normal_form(name):
    (block,) = plan(config(name)).blocks
    (again,) = plan({key: block.normal[key] for key in CELL if key in block.normal}).blocks
    assert again.normal == block.normal


@pytest.mark.parametrize("name", OTHERS)
def test_every_number_of_an_environment_may_be_swept_within_one_program(name):
    (block,) = plan(config(name)).blocks
    for key, field in number_fields(block.normal).items():
        if not key.startswith("game.") or key.count(".") > 1:
            continue
        value = block.normal["game"][key.removeprefix("game.")]
        experiment = plan(config(name) | {"sweep": {key: [value, value]}})
        assert experiment.cells == 2 and len(groups(experiment)) == 1, (key, field)


def test_swept_numbers_arrive_where_the_environment_reads_them():
    found = matches(config("cournot") | {"matches": 1, "sweep": {"game.intercept": [8, 9], "game.costs.1": [1, 2]}})
    np.testing.assert_array_equal(found.params.env.intercept, [8, 8, 9, 9])
    np.testing.assert_array_equal(found.params.env.costs, [[1, 1], [1, 2], [1, 1], [1, 2]])


def test_one_number_may_stand_for_all_players():
    found = matches(config("cournot") | {"matches": 1, "sweep": {"game.costs": [1, [2, 3]]}})
    np.testing.assert_array_equal(found.params.env.costs, [[1, 1], [2, 3]])


def test_tables_of_numbers_are_swept_whole_or_entry_by_entry_within_one_program():
    payoffs = [[[3, 0], [5, 1]], [[4, 0], [5, 2]]]
    found = matches(config("in_the_matrix", payoffs=payoffs[0]) | {"sweep": {"game.payoffs.0.1.1": [7, 8]}})
    np.testing.assert_array_equal(found.params.env.payoffs[:, 0, 1, 1], [7, 7, 8, 8])
    np.testing.assert_array_equal(found.params.env.payoffs[:, 1], [np.transpose(payoffs[0])] * 4)
    found = matches(config("commons_harvest") | {"sweep": {"game.regrowth.3": [0.1, 0.2]}})
    np.testing.assert_allclose(found.params.env.regrowth[:, 2:], [[0.005, 0.1]] * 2 + [[0.005, 0.2]] * 2)


def test_how_many_numbers_a_table_has_is_structure():
    found = matches(config("commons_harvest", regrowth=[0.0, 0.5]) | {"sweep": {"game.regrowth": [[0, 0.5], [0, 1]]}})
    np.testing.assert_array_equal(found.params.env.regrowth, [[0, 0.5]] * 2 + [[0, 1]] * 2)
    three = [[3, 0, 1], [5, 1, 0], [0, 0, 0]]
    assert matches(config("in_the_matrix", payoffs=three)).params.env.payoffs.shape == (2, 2, 3, 3)
    sizes = {"a": {"game": {"name": "commons_harvest", "regrowth": [0.0, 0.5]}}, "b": {"game": "commons_harvest"}}
    assert len(groups(plan({"objective": DICE, "matches": 1, "variants": sizes}))) == 2


def test_numbers_may_be_drawn_for_every_match():
    found = matches(config("clean_up") | {"matches": 5, "sweep": {"game.apple_reward": {"uniform": [0, 1]}}})
    assert len(np.unique(found.params.env.apple_reward)) == 5


def test_games_that_differ_in_numbers_are_one_program_and_structure_makes_others():
    variants = {str(n): {"game": {"name": "public_goods", "factor": n}} for n in (1.2, 1.6)}
    assert len(groups(plan({"objective": DICE, "matches": 1, "variants": variants}))) == 1
    several = plan(config("public_goods") | {"sweep": {"game.num_players": [2, 3], "game.punishment": [False, True]}})
    assert len(groups(several)) == 4


def test_returns_are_sampled_where_there_is_no_closed_form_and_nothing_is_said():
    (block,) = plan({"game": "clean_up"}).blocks
    assert block.normal["objective"]["kind"] == "dice" and block.normal["objective"]["horizon"] == 64


@pytest.mark.parametrize(
    ("name", "kind"), [("clean_up", "conv"), ("cournot", "mlp"), ("in_the_matrix", "conv"), ("fishery", "mlp")]
)
def test_the_kind_of_policy_follows_what_is_shown(name, kind):
    (block,) = plan(config(name)).blocks
    assert block.normal["policy"]["kind"] == kind


def test_continuous_actions_may_be_normals_that_look_at_nothing():
    found = matches(config("negotiation") | {"policy": "gaussian"})
    assert found.game.policies[0].num_parameters == 6


REFUSED = [
    (config("cournot", intercpt=3), "game.intercpt: unknown key", "(nearest: game.intercept)"),
    (config("cournot", slope=0), "game.slope is 0", ""),
    (config("cournot", costs=[1]), "game.costs is (1,); allowed: a number, or one for each of 2 players", ""),
    (config("cournot", discount=1.5), "game.discount: 1.5", ""),
    (config("in_the_matrix", horizon=None), "game.horizon: None is not allowed", "always end"),
    (config("cornot"), "game.name: 'cornot' is not allowed", "(nearest: cournot)"),
    (config("clean_up") | {"objective": "exact"}, "objective.kind: 'exact' is not allowed", "no closed form"),
    (config("clean_up") | {"policy": "tabular"}, "policy.", ""),
    (config("clean_up") | {"policy": "gaussian"}, "policy.", ""),
    (config("clean_up") | {"policy": {"kind": "conv", "chanels": [3]}}, "policy.chanels", "(nearest: policy.channels)"),
    (config("cournot") | {"policy": "conv"}, "policy.encoder is 'conv'", ""),
    (config("cournot") | {"sweep": {"game.slope": [1, 0]}}, "sweep.game.slope is 0", ""),
    (config("cournot") | {"sweep": {"game.slope": {"uniform": [0, 1]}}}, "sweep.game.slope is 0", ""),
    (config("cournot") | {"sweep": {"game.costs": [[1, 2, 3]]}}, "sweep.game.costs: [1, 2, 3]", "[2]"),
    (config("clean_up") | {"record": ["policies"]}, "record: policies are those of matrix games", ""),
    (config("jaxmarl"), "game.id: must be given for the game jaxmarl", ""),
]


@pytest.mark.parametrize(("raw", "start", "part"), REFUSED, ids=[start for _, start, _ in REFUSED])
def test_what_does_not_fit_is_refused_in_one_line(raw, start, part):
    with pytest.raises(ConfigError) as error:
        for block in plan(raw).blocks:
            matches_of(plan(raw), [block], np.array([0]))
    assert str(error.value).startswith(start) and part in str(error.value) and "\n" not in str(error.value)
