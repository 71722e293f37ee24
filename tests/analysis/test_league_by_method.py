"""Leagues by method: who counts as a method, partners apart from strangers, and intervals that cover at their rate."""

import numpy as np
import xarray

from shaping.analysis.league_by_method import by_method, method_names


def league(value, source, match, cell):
    names = [f"{s}/{i}" for i, s in enumerate(source)]
    return xarray.Dataset(
        {"value": (("row", "column", "seat"), np.repeat(np.asarray(value, float)[..., None], 2, axis=2))},
        {"row": names, "source": ("row", source), "match": ("row", match), "cell": ("row", cell)},
    )


def test_partners_are_told_apart_from_strangers():
    value = [[9, 1, 2, 2, 5], [1, 9, 2, 2, 5], [2, 2, 9, 1, 5], [2, 2, 1, 9, 5], [0, 0, 0, 0, 7]]
    found = league(value, ["runs/a"] * 4 + ["strategy"], [0, 0, 1, 1, -1], [0, 0, 0, 0, -1])
    assert method_names(found) == ["a"] * 4 + ["strategy/4"]
    values = {(one["row"], one["column"], one["who"]): one for one in by_method(found)["values"]}
    assert values["a", "a", "partners"]["mean"] == 1 and values["a", "a", "partners"]["pairs"] == 4
    assert values["a", "a", "strangers"]["mean"] == 2 and values["a", "a", "strangers"]["pairs"] == 8
    assert values["a", "strategy/4", "others"]["mean"] == 5
    assert values["strategy/4", "strategy/4", "others"]["mean"] == 7


def test_cells_and_runs_of_one_name_are_methods_of_their_own():
    found = league(np.zeros((3, 3)), ["x/run", "y/run", "x/run"], [0, 0, 1], [0, 0, 1])
    assert method_names(found) == ["x/run cell 0", "y/run", "x/run cell 1"]


def test_seats_of_other_rules_are_methods_of_their_own_and_partners_are_told_apart_there_too():
    value = np.arange(16).reshape(4, 4)
    found = league(value, ["runs/a"] * 4, [0, 0, 1, 1], [0] * 4)
    found = found.assign_coords(rule=("row", ["lola exact", "naive", "lola exact", "naive"]))
    assert method_names(found) == ["a, lola exact", "a, naive"] * 2
    values = {(one["row"], one["column"], one["who"]): one for one in by_method(found)["values"]}
    partners, strangers = (values["a, lola exact", "a, naive", who] for who in ("partners", "strangers"))
    assert partners["pairs"] == strangers["pairs"] == 2
    assert partners["mean"] == (value[0, 1] + value[2, 3]) / 2 and strangers["mean"] == (value[0, 3] + value[2, 1]) / 2
    assert ("a, lola exact", "a, lola exact", "partners") not in values


def test_intervals_allow_for_pairs_that_share_a_player():
    generator = np.random.default_rng(0)
    covered = 0
    for _ in range(300):
        rows, columns = generator.normal(size=8), generator.normal(size=6)
        value = np.zeros((14, 14))
        value[:8, 8:] = rows[:, None] + columns + generator.normal(size=(8, 6))
        found = league(value, ["runs/a"] * 8 + ["runs/b"] * 6, range(14), [0] * 14)
        (one,) = [each for each in by_method(found)["values"] if (each["row"], each["column"]) == ("a", "b")]
        covered += one["ci95"][0] <= 0 <= one["ci95"][1]
    # An interval that took 48 pairs as independent would cover about half of the time.
    assert covered / 300 > 0.95 - 3 * np.sqrt(0.95 * 0.05 / 300)
