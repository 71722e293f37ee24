"""A configuration's cells: their order, their coordinates, and which of them share a compiled program.

All of it is about one function, `plan`, which makes this file longer than others.
"""

import copy
import itertools

import jax
import numpy as np
import pytest

from shaping.config.build import group_indices, groups, matches_of
from shaping.config.errors import ConfigError
from shaping.config.files import read, shipped
from shaping.config.plan import plan

LOLA = {"rule": "lola"}
EXACT = {"rule": "lola", "variant": "exact"}


def coordinates(raw):
    return {key: column.tolist() for key, column in plan(raw).coordinates.items()}


def everything(experiment):
    """All matches of all groups, in the order of the match index: one list of leaves per match."""
    found = {}
    for blocks in groups(experiment):
        indices = group_indices(experiment, blocks)[:]
        leaves, structure = jax.tree.flatten(matches_of(experiment, blocks, indices))
        for row, index in enumerate(indices):
            found[int(index)] = (structure, [np.asarray(leaf)[row] for leaf in leaves])
    return [found[index] for index in sorted(found)]


def same(one, other):
    return one[0] == other[0] and all(np.array_equal(a, b) for a, b in zip(one[1], other[1], strict=True))


def test_without_a_sweep_there_is_one_cell_and_no_coordinate():
    experiment = plan({"matches": 7})
    assert experiment.cells == 1 and experiment.matches == 7 and experiment.coordinates == {}


def test_axes_multiply_with_the_last_moving_fastest():
    found = coordinates({"sweep": {"game.discount": [0.1, 0.2], "seed": [3, 4, 5]}})
    expected = list(itertools.product([0.1, 0.2], [3, 4, 5]))
    assert list(zip(found["game.discount"], found["seed"], strict=True)) == expected


def test_variants_are_outermost_then_structure_then_numbers_whatever_their_order():
    raw = {
        "variants": {"b": {"players": EXACT}, "a": {"players": EXACT, "optimizer": "adam"}},
        "sweep": {"seed": [0, 1], "players.*.lookaheads": [1, 2], "game.discount": [0.1, 0.2, 0.3]},
    }
    found = coordinates(raw)
    assert list(found) == ["variant", "seed", "players.all.lookaheads", "game.discount"]
    expected = list(itertools.product(["b", "a"], [1, 2], [0, 1], [0.1, 0.2, 0.3]))
    columns = ("variant", "players.all.lookaheads", "seed", "game.discount")
    assert list(zip(*(found[key] for key in columns), strict=True)) == expected


def test_tied_axes_move_together_at_the_place_of_the_first():
    raw = {
        "players": LOLA,
        "sweep": {"players.0.step_size": [1, 2], "seed": [7, 8], "players.1.lookahead_rate": [5, 6]},
        "tie": [["players.0.step_size", "players.1.lookahead_rate"]],
    }
    found = coordinates(raw)
    assert found["players.0.step_size"] == [1, 1, 2, 2]
    assert found["players.1.lookahead_rate"] == [5, 5, 6, 6]
    assert found["seed"] == [7, 8, 7, 8]


def test_axes_of_structure_can_be_tied_too():
    raw = {
        "players": [EXACT, EXACT],
        "sweep": {"players.0.lookaheads": [1, 2], "players.1.lookaheads": [3, 4]},
        "tie": [["players.0.lookaheads", "players.1.lookaheads"]],
    }
    assert coordinates(raw) == {"players.0.lookaheads": [1, 2], "players.1.lookaheads": [3, 4]}


@pytest.mark.parametrize(
    ("spec", "values"),
    [
        ({"linspace": [0, 0.9, 4]}, [0, 0.3, 0.6, 0.9]),
        ({"linspace": [0.9, 0.1, 3]}, [0.9, 0.5, 0.1]),
        ({"linspace": [0.5, 0.5, 1]}, [0.5]),
        ({"logspace": [0.001, 0.1, 3]}, [0.001, 0.01, 0.1]),
        ({"logspace": [0.8, 0.1, 4]}, [0.8, 0.4, 0.2, 0.1]),
        ([0.25], [0.25]),
    ],
)
def test_the_ends_of_a_range_are_values_and_the_count_is_kept(spec, values):
    found = coordinates({"sweep": {"game.discount": spec}})["game.discount"]
    np.testing.assert_allclose(found, values, rtol=1e-12)
    if isinstance(spec, dict):
        ((first, last, _),) = spec.values()
        assert found[0] == first and found[-1] == last


def test_a_range_of_integers_gives_integers_where_the_key_wants_them():
    assert coordinates({"sweep": {"seed": {"linspace": [0, 9, 4]}}})["seed"] == [0, 3, 6, 9]
    raw = {"game": {"name": "contribution"}, "sweep": {"game.num_players": {"linspace": [2, 4, 3]}}}
    assert coordinates(raw)["game.num_players"] == [2, 3, 4]


def test_a_star_sets_every_seat_and_is_one_coordinate():
    raw = {"players": [LOLA, EXACT], "sweep": {"players.*.lookahead_rate": [0.5, 2.0]}}
    experiment = plan(raw)
    assert list(experiment.coordinates) == ["players.all.lookahead_rate"]
    (block,) = experiment.blocks
    for seat in range(2):
        np.testing.assert_array_equal(block.numbers[f"players.{seat}.lookahead_rate"], [0.5, 2.0])


def test_a_star_skips_seats_whose_rule_has_no_such_number():
    raw = {"players": [LOLA, {"rule": "naive"}], "sweep": {"players.*.lookahead_rate": [0.5, 2.0]}}
    (block,) = plan(raw).blocks
    assert set(block.numbers) == {"players.0.lookahead_rate"}


def test_one_mapping_for_all_seats_can_be_swept_at_a_single_seat():
    found = plan({"players": LOLA, "sweep": {"players.1.rule": ["naive", "lola"], "players.0.step_size": [1, 2]}})
    assert found.coordinates["players.1.rule"].tolist() == ["naive", "naive", "lola", "lola"]
    assert [[p["rule"] for p in block.normal["players"]] for block in found.blocks] == [
        ["lola", "naive"],
        ["lola", "lola"],
    ]


def test_a_swept_rule_leaves_out_the_settings_it_does_not_know():
    raw = {"players": {**EXACT, "lookahead_rate": 3.0, "step_size": 0.5}}
    raw["sweep"] = {"players.*.rule": ["naive", "lookahead", "lola"]}
    naive, lookahead, lola = plan(raw).blocks
    assert naive.normal["players"][0] == {"rule": "naive", "step_size": 0.5}
    assert lookahead.normal["players"][1] == {"rule": "lookahead", "step_size": 0.5, "lookahead_rate": 3.0}
    assert lola.normal["players"][0]["variant"] == "exact"


def test_a_variant_replaces_whole_top_level_keys():
    raw = {
        "game": {"name": "ipd", "discount": 0.5},
        "players": LOLA,
        "variants": {"same": {}, "other": {"game": {"name": "chicken"}, "players": {"rule": "naive"}}},
    }
    same_block, other = plan(raw).blocks
    assert same_block.normal["game"]["discount"] == 0.5 and same_block.normal["players"][0]["rule"] == "lola"
    assert other.normal["game"]["discount"] == 0.96 and other.normal["players"][0]["rule"] == "naive"


STRUCTURES = {
    "a number": ({"players": LOLA, "sweep": {"players.*.lookahead_rate": [0, 1, 2]}}, 1),
    "discount, payoff, noise and start": (
        {
            "sweep": {
                "game.discount": [0.1, 0.9],
                "game.temptation": [0, 1],
                "game.noise": [0, 0.1],
                "policy.init.normal": [0, 1],
            }
        },
        1,
    ),
    "seeds": ({"sweep": {"seed": [0, 1, 2]}}, 1),
    "games of one shape": ({"sweep": {"game.name": ["ipd", "chicken", "matching_pennies"]}}, 1),
    "original and taylor are one formula": (
        {"players": LOLA, "sweep": {"players.*.variant": ["original", "taylor"]}},
        1,
    ),
    "lookahead is that formula too": (
        {"players": LOLA, "sweep": {"players.*.rule": ["lookahead", "lola", "first_order"]}},
        1,
    ),
    "exact is another": (
        {"players": LOLA, "sweep": {"players.*.variant": ["original", "taylor", "exact"]}},
        2,
    ),
    "naive is another": ({"players": LOLA, "sweep": {"players.*.rule": ["naive", "lola"]}}, 2),
    "lookaheads": ({"players": EXACT, "sweep": {"players.*.lookaheads": [1, 2, 3]}}, 3),
    "horizon": ({"sweep": {"game.horizon": [None, 1, 5]}}, 3),
    "state view": ({"sweep": {"policy.state_view": ["own", "shared"]}}, 2),
    "players": ({"game": {"name": "contribution"}, "sweep": {"game.num_players": [2, 3, 4]}}, 3),
    "optimiser": ({"sweep": {"optimizer": ["sgd", "adam", {"name": "adam", "b1": 0.5}]}}, 2),
    "a flag of the optimiser": ({"optimizer": "adam", "sweep": {"optimizer.nesterov": [False, True]}}, 2),
    "a number of the optimiser": ({"optimizer": "adam", "sweep": {"optimizer.b1": [0.5, 0.9]}}, 1),
    "start": ({"sweep": {"policy.init": [{"zeros": True}, {"normal": 1.0}, {"normal": 2.0}]}}, 2),
    "who sits where": (
        {"sweep": {"players": [[LOLA, {"rule": "naive"}], [{"rule": "naive"}, LOLA]]}},
        2,
    ),
}


@pytest.mark.parametrize("name", STRUCTURES)
def test_cells_share_a_program_exactly_where_they_differ_in_numbers_only(name):
    raw, count = STRUCTURES[name]
    experiment = plan({"matches": 2, **raw})
    found = groups(experiment)
    assert len(found) == count
    indices = np.concatenate([group_indices(experiment, blocks)[:] for blocks in found])
    np.testing.assert_array_equal(np.sort(indices), np.arange(experiment.matches))


def test_a_swept_structure_reaches_only_the_seats_whose_rule_has_it():
    raw = {"variants": {"a": {"players": {"rule": "naive"}}, "b": {"players": EXACT}}}
    blocks = plan(raw | {"sweep": {"players.*.lookaheads": [1, 2]}}).blocks
    assert [block.normal["players"][0].get("lookaheads") for block in blocks] == [None, None, 1, 2]
    with pytest.raises(ConfigError, match=r"unknown key to sweep over"):
        plan({"players": {"rule": "naive"}, "sweep": {"players.*.lookaheads": [1, 2]}})


def test_a_key_that_every_variant_replaces_is_refused_and_not_resolved():
    raw = {"variants": {"a": {"players": {"rule": "naive"}}, "b": {"players": EXACT}}}
    with pytest.raises(ConfigError, match="players: every variant replaces it"):
        plan(raw | {"players": {"rule": "lolla"}})
    assert "players" not in plan(raw).resolved()


def test_an_error_in_a_variant_names_it():
    with pytest.raises(ConfigError, match=r"players\.\*.step_size: -1 is not allowed.*\(variant b\)"):
        plan({"variants": {"a": {}, "b": {"players": {"rule": "naive", "step_size": -1}}}})


def test_a_structure_that_returns_joins_its_earlier_group():
    raw = {
        "matches": 3,
        "variants": {"a": {"players": LOLA}, "b": {"players": EXACT}, "c": {"players": LOLA}},
    }
    experiment = plan(raw)
    first, second = groups(experiment)
    assert group_indices(experiment, first)[:].tolist() == [0, 1, 2, 6, 7, 8]
    assert group_indices(experiment, second)[:].tolist() == [3, 4, 5]


def test_one_mapping_for_players_serves_games_of_several_sizes():
    raw = {"game": {"name": "contribution"}, "players": EXACT, "sweep": {"game.num_players": [2, 3]}}
    assert [len(block.normal["players"]) for block in plan(raw).blocks] == [2, 3]


def test_drawn_keys_make_no_cells_and_are_the_same_in_every_cell():
    raw = {
        "matches": 4,
        "players": LOLA,
        "sweep": {
            "game.discount": [0.5, 0.9],
            "game.temptation": {"normal": [0, 1]},
            "players.*.lookahead_rate": {"loguniform": [0.1, 10]},
            "game.noise": {"uniform": [0, 0.1]},
        },
    }
    experiment = plan(raw)
    assert experiment.cells == 2
    (blocks,) = groups(experiment)
    matches = matches_of(experiment, blocks, np.arange(8))
    first, second = np.arange(4), np.arange(4, 8)
    np.testing.assert_array_equal(matches.params.payoffs[first], matches.params.payoffs[second])
    np.testing.assert_array_equal(matches.params.noise[first], matches.params.noise[second])
    rates = [learner.settings.rule.settings.lookahead_rate for learner in matches.learners]
    np.testing.assert_array_equal(rates[0][first], rates[0][second])
    np.testing.assert_array_equal(rates[0], rates[1])
    for draw in (matches.params.payoffs[first, 0, 1, 0], matches.params.noise[first, 0], rates[0][first]):
        assert len(np.unique(draw)) == 4
    assert np.all((rates[0] >= 0.1) & (rates[0] <= 10)) and np.all(matches.params.noise <= 0.1)


def test_a_draw_does_not_depend_on_the_other_keys_or_on_how_many_matches_there_are():
    def temptations(matches, sweep):
        experiment = plan({"matches": matches, "sweep": {"game.temptation": {"uniform": [0, 1]}, **sweep}})
        (blocks,) = groups(experiment)
        return matches_of(experiment, blocks, np.arange(3)).params.payoffs[:, 0, 1, 0]

    alone = temptations(3, {})
    np.testing.assert_array_equal(alone, temptations(100, {}))
    np.testing.assert_array_equal(alone, temptations(3, {"game.noise": {"uniform": [0, 1]}}))
    assert np.all(alone != temptations(3, {"seed": [1]}))


def test_different_keys_are_drawn_independently():
    raw = {"matches": 500, "sweep": {key: {"uniform": [0, 1]} for key in ("game.temptation", "game.noise")}}
    experiment = plan(raw)
    (blocks,) = groups(experiment)
    game = matches_of(experiment, blocks, np.arange(500)).params
    correlation = np.corrcoef(game.payoffs[:, 0, 1, 0], game.noise[:, 0])[0, 1]
    assert abs(correlation) < 0.2
    assert abs(game.noise[:, 0].mean() - 0.5) < 0.05


def test_a_draw_reaches_only_the_seats_and_variants_that_have_the_key():
    raw = {
        "matches": 2,
        "variants": {"lola": {"players": [LOLA, {"rule": "naive"}]}, "naive": {}},
        "sweep": {"players.*.lookahead_rate": {"uniform": [0, 1]}},
    }
    experiment = plan(raw)
    assert len(everything(experiment)) == 4


def test_a_whole_table_of_payoffs_can_be_drawn_or_swept():
    tables = np.arange(16.0).reshape(2, 2, 2, 2)
    raw = {"matches": 2, "game": {"payoffs": tables[0].tolist()}}
    experiment = plan({**raw, "sweep": {"game.payoffs": tables.tolist()}})
    (blocks,) = groups(experiment)
    np.testing.assert_array_equal(matches_of(experiment, blocks, np.arange(4)).params.payoffs, tables[[0, 0, 1, 1]])
    assert experiment.coordinates["game.payoffs"].tolist() == [0, 1]
    experiment = plan({**raw, "sweep": {"game.payoffs": {"normal": [0, 1]}}})
    (blocks,) = groups(experiment)
    drawn = matches_of(experiment, blocks, np.arange(2)).params.payoffs
    assert drawn.shape == (2, 2, 2, 2) and len(np.unique(drawn)) == 16


def test_a_single_payoff_can_be_swept():
    raw = {
        "matches": 1,
        "game": {"payoffs": np.zeros((2, 2, 2)).tolist()},
        "sweep": {"game.payoffs.1.0.1": [5, 6]},
    }
    experiment = plan(raw)
    (blocks,) = groups(experiment)
    payoffs = matches_of(experiment, blocks, np.arange(2)).params.payoffs
    np.testing.assert_array_equal(payoffs[:, 1, 0, 1], [5, 6])
    assert np.count_nonzero(payoffs) == 2


AGAIN = {
    "plain": {},
    **{name: raw for name, (raw, _) in STRUCTURES.items()},
    "tied": {"sweep": {"seed": [0, 1], "game.discount": [0.1, 0.2]}, "tie": [["seed", "game.discount"]]},
    "drawn": {"players": LOLA, "sweep": {"players.*.lookahead_rate": {"uniform": [0, 1]}}},
    "variants": {"variants": {"a": {"players": LOLA}, "b": {"game": "chicken"}}, "sweep": {"seed": [0, 1]}},
    "games of two sizes": {"sweep": {"game": ["ipd", {"name": "contribution", "num_players": 3}]}},
    "values": {"policy": {"init": {"values": [[1, 2, 3, 4, 5]] * 2}}},
}


@pytest.mark.parametrize("name", AGAIN)
def test_a_resolved_configuration_plans_the_same_matches_again(name):
    once = plan({"matches": 2, "updates": 3, **copy.deepcopy(AGAIN[name])})
    again = plan(once.resolved())
    assert again.resolved() == once.resolved()
    assert list(again.coordinates) == list(once.coordinates)
    for key, column in once.coordinates.items():
        assert again.coordinates[key].tolist() == column.tolist()
    assert all(map(same, everything(once), everything(again)))


@pytest.mark.parametrize("name", list(shipped()))
def test_every_shipped_configuration_plans_and_names_cells_that_exist(name):
    raw = read(name, ["matches=2"])
    experiment = plan(raw)
    assert raw["title"] and raw["description"]
    everything(experiment)
    for entry in experiment.top["published"]:
        cell = {key.replace(".*.", ".all."): value for key, value in (entry.get("cell") or {}).items()}
        columns = [experiment.coordinates[key] == value for key, value in cell.items()]
        assert np.all(columns, axis=0).sum() == 1
        assert entry["source"]
