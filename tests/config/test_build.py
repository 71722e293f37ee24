"""Stacked settings: whatever the sweep, match m of a cell has the settings of match m of that cell alone."""

import copy

import jax
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from shaping.config.build import group_indices, groups, matches_of
from shaping.config.dotted import assign
from shaping.config.plan import plan

PAYOFFS = [[[-1, -3], [0, -2]], [[-1, 0], [-3, -2]]]
GAMES = [
    {"name": "ipd"},
    {"payoffs": PAYOFFS, "noise": [0.0, 0.1]},
    {"name": "contribution", "num_players": 3},
]
# Of float32's own numbers, as two that are the same in it are refused.
NUMBERS = {
    "game.discount": st.floats(0, 0.98828125, width=32, allow_subnormal=False),
    "game.noise": st.floats(0, 1, width=32, allow_subnormal=False),
    "players.*.step_size": st.floats(0, 100, width=32, allow_subnormal=False),
    "players.0.step_size": st.floats(0, 100, width=32, allow_subnormal=False),
    "players.1.lookahead_rate": st.floats(0, 100, width=32, allow_subnormal=False),
    "policy.init.normal": st.floats(0, 5, width=32, allow_subnormal=False),
    "seed": st.integers(0, 2**31 - 1),
}
STRUCTURE = {
    "players.0.rule": st.sampled_from(["naive", "lookahead", "lola"]),
    "players.1.variant": st.sampled_from(["original", "taylor", "exact"]),
    "game.horizon": st.sampled_from([None, 1, 3]),
    "policy.state_view": st.sampled_from(["own", "shared"]),
    "optimizer": st.sampled_from(["sgd", "adam"]),
}


@st.composite
def sweeps(draw):
    keys = draw(st.lists(st.sampled_from([*NUMBERS, *STRUCTURE]), min_size=1, max_size=3, unique=True))
    if "players.*.step_size" in keys and "players.0.step_size" in keys:
        keys.remove("players.0.step_size")
    axes = {key: draw(st.lists((NUMBERS | STRUCTURE)[key], min_size=1, max_size=3)) for key in keys}
    game = draw(st.sampled_from(GAMES))
    return {
        "game": copy.deepcopy(game),
        "players": [{"rule": "lola"} for _ in range(game.get("num_players", 2))],
        "policy": {"init": {"normal": 1.0}},
        "precision": draw(st.sampled_from(["float32", "float64"])),
        "matches": draw(st.integers(1, 3)),
        "sweep": axes,
    }


def cell_alone(raw, experiment, cell):
    """The configuration of one cell, written without a sweep."""
    single = copy.deepcopy(raw)
    sweep = single.pop("sweep")
    for key, values in sweep.items():
        shown = experiment.coordinates[key.replace(".*.", ".all.")][cell]
        # Structure is labelled by its text; the value itself is found by it.
        value = next(v for v in values if v == shown or str(v) == str(shown) or (v is None and shown == "null"))
        if key == "players.0.rule" and value == "naive":
            single["players"][0] = {
                "rule": "naive",
                **{k: v for k, v in single["players"][0].items() if k == "step_size"},
            }
        elif key.startswith("players.1.lookahead_rate") or key != "players.0.rule":
            assign(single, key, value)
        else:
            single["players"][0]["rule"] = value
    return single


@settings(max_examples=40, deadline=None)
@given(raw=sweeps())
def test_stacked_settings_equal_those_of_each_cell_alone(raw):
    experiment = plan(raw)
    per_cell = raw["matches"]
    for blocks in groups(experiment):
        indices = group_indices(experiment, blocks)[:]
        assert np.all(np.diff(indices) > 0)
        stacked = matches_of(experiment, blocks, indices)
        for cell in np.unique(indices // per_cell):
            rows = np.flatnonzero(indices // per_cell == cell)
            single = plan(cell_alone(raw, experiment, cell))
            (own_blocks,) = groups(single)
            alone = matches_of(single, own_blocks, np.arange(per_cell))
            assert jax.tree.structure(alone) == jax.tree.structure(stacked)
            for one, many in zip(jax.tree.leaves(alone), jax.tree.leaves(stacked), strict=True):
                assert one.dtype == many.dtype
                np.testing.assert_array_equal(one, many[rows])


@settings(max_examples=20, deadline=None)
@given(raw=sweeps(), data=st.data())
def test_any_choice_of_matches_gives_the_rows_of_all(raw, data):
    experiment = plan(raw)
    for blocks in groups(experiment):
        indices = group_indices(experiment, blocks)[:]
        chosen = data.draw(st.lists(st.sampled_from(list(range(len(indices)))), min_size=1, unique=True).map(sorted))
        every, some = matches_of(experiment, blocks, indices), matches_of(experiment, blocks, indices[chosen])
        for whole, part in zip(jax.tree.leaves(every), jax.tree.leaves(some), strict=True):
            np.testing.assert_array_equal(whole[chosen], part)


def test_floats_have_the_precision_of_the_run_and_do_not_lose_it_on_the_way():
    for precision in ("float32", "float64"):
        experiment = plan({"precision": precision, "sweep": {"game.discount": [0.1, 0.123456789012345]}, "matches": 1})
        (blocks,) = groups(experiment)
        discount = matches_of(experiment, blocks, np.arange(2)).params.discount
        assert discount.dtype == precision
        np.testing.assert_array_equal(discount, np.array([0.1, 0.123456789012345], precision))


def test_what_does_not_vary_takes_no_memory_per_match():
    experiment = plan({"matches": 10**6})
    (blocks,) = groups(experiment)
    matches = matches_of(experiment, blocks, np.arange(10**6))
    assert matches.params.payoffs.strides[0] == 0
