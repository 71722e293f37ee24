"""Shipped configurations beside programs of the papers' formulas that share nothing with `shaping`: from the same
parameters, players arrive at the same ones.

A wrong setting in a configuration shows here as much as a wrong rule.
"""

import dataclasses

import jax
import numpy as np
import pytest

from benchmarks import independent_learning as learning
from benchmarks import independent_values as values
from shaping.config.build import matches_of
from shaping.config.files import read
from shaping.config.plan import plan
from shaping.population.match import moved, start, thetas_of

pytestmark = pytest.mark.usefixtures("x64")

UPDATES = 2


def first_match(name, coordinate):
    """The first match of a cell of a shipped configuration."""
    experiment = plan(read(name) | {"matches": 1, "precision": "float64"})
    (cell,) = [cell for key in experiment.coordinates.values() for cell in np.flatnonzero(key == coordinate)][:1]
    block = next(block for block in experiment.blocks if cell in block.cells)
    return jax.tree.map(lambda leaf: np.asarray(leaf)[0], matches_of(experiment, [block], np.array([cell])))


def flat(theta):
    """Parameters as the independent program has them, [1, numbers]: of a network, layer by layer."""
    if isinstance(theta, dict):
        layers = [theta[f"Dense_{place}"] for place in range(2)]
        theta = np.concatenate([np.ravel(layer[part]) for layer in layers for part in ("kernel", "bias")])
    theta = np.ravel(np.asarray(theta, float))
    # In a game of one round only the first of the five logits matters.
    return np.pad(theta, (0, max(0, 5 - theta.size)))[None]


_SLOW = ("SOS", "CGD", "LSS", "SGA", "LOLA v second order", 1.4, "logits 1.1", 1.6)
"""Cells whose programs take seconds to trace."""
CELLS = [
    pytest.param(name, cell, marks=[pytest.mark.slow] if cell in _SLOW else [])
    for name, cells in {
        "sos_table": values.sos_table(),
        "lola_second_order": ("NL v LOLA", "LOLA v second order"),
        "mfos_head_to_head": ("IPD frozen v LOLA", "IMP naive v LOLA", "chicken LOLA v LOLA"),
        "lola_network": (1.4,),
        "pola_table": ("logits 1.1",),
        "pola_preconditioned": (1.6,),
    }.items()
    for cell in cells
]


@pytest.mark.parametrize(("name", "coordinate"), CELLS)
def test_players_arrive_where_the_formulas_of_the_papers_lead(name, coordinate):
    match, cell = first_match(name, coordinate), values.CELLS[name]()[coordinate]
    states = start(match, np.float64).learners
    thetas = [flat(theta) for theta in thetas_of(match, states)]
    expected = list(learning.learn(cell, thetas))[UPDATES][1]
    for update in range(UPDATES):
        states = moved(match, states, np.int32(update))
    for theta, wanted in zip(thetas_of(match, states), expected, strict=True):
        np.testing.assert_allclose(flat(theta), wanted, rtol=1e-9, atol=1e-9)


def test_a_missing_shaping_term_would_be_noticed():
    match, cell = first_match("mfos_head_to_head", "IMP naive v LOLA"), values.mfos()["IMP naive v LOLA"]
    states = start(match, np.float64).learners
    wrong = dataclasses.replace(cell, rules=(learning.naive, learning.lola(1.0, middle=False)))
    *_, (_, expected) = learning.learn(wrong, [flat(theta) for theta in thetas_of(match, states)])
    for update in range(UPDATES):
        states = moved(match, states, np.int32(update))
    assert not np.allclose(flat(thetas_of(match, states)[1]), expected[1], rtol=1e-2)


def test_every_published_value_whose_source_is_the_program_is_one_that_it_computes():
    entries = list(values.rows([]))
    assert len(entries) >= 77
    for name, entry in entries:
        (coordinate,) = entry["cell"].values()
        if name == "consistency_table":
            assert coordinate.split()[0] in ("tandem", "pennies")
        else:
            assert coordinate in values.CELLS[name]() and entry["metric"] in (
                "value_mean",
                "value_trajectory_mean",
                "tft_found",
            )


@pytest.mark.parametrize(
    ("cell", "published"),
    [
        ("tandem order 1 rate 1", 128),  # Willi et al. 2022, Table 1a
        ("tandem order 6 rate 1", 131072),
        ("tandem order 2 rate 0.3", 2.08973),
        ("pennies order 1 rate 5", 0.00683),
        ("pennies order 3 rate 1", 3.17e-8),
    ],
)
def test_the_consistency_of_higher_order_lola_is_that_of_its_definition(cell, published):
    assert values.consistency(cell) == pytest.approx(published, rel=2e-3)
