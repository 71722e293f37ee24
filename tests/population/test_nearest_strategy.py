"""Policies are told apart within a program as the reports tell them apart."""

import jax.numpy as jnp
import numpy as np
import pytest

import shaping
from shaping import envs
from shaping.analysis import strategies
from shaping.population.nearest_strategy import classifies, nearest
from shaping.training import game_of

DILEMMA, CHICKEN = np.array([[3, 0, 5, 1], [3, 5, 0, 1.0]]), np.array([[0, -1, 1, -100], [0, 1, -1, -100.0]])


@pytest.mark.parametrize("payoffs", [DILEMMA, CHICKEN, DILEMMA + [[0], [0.5]]])
def test_the_nearest_strategy_is_that_of_the_reports(payoffs, x64):
    """Random policies, pure ones, those halfway between them, extortionate ones and one that is not finite."""
    generator = np.random.default_rng(0)
    pure = np.array([[1.0, *(float(bit) for bit in f"{number:04b}")] for number in range(16)])
    extorting = np.array([[1, 8 / 9, 1 / 2, 1 / 3, 0], [1, 0.85, 0.7, 0.15, 0.02]])
    tables = np.concatenate([generator.random((200, 5)), pure, pure / 2 + 0.25, extorting, np.full((1, 5), np.nan)])
    expected, _ = strategies.nearest_strategy(tables[:, None].repeat(2, 1), payoffs[None].repeat(len(tables), 0), "own")
    found = nearest(jnp.asarray(tables), jnp.asarray(payoffs))
    np.testing.assert_array_equal(found, expected[:, 0])
    assert (expected[-3:-1, 0] == 6).any() == (payoffs is DILEMMA)


def test_only_tables_of_a_round_of_two_are_classified():
    for game, told in (
        (envs.make("ipd"), True),
        (envs.make("ipd", state_view="shared"), False),
        (envs.make("ipd", horizon=1), False),
        (envs.make("contribution", num_players=3), False),
        (envs.make("matrix_game", payoffs=np.zeros((2, 3, 3)).tolist()), False),
    ):
        assert classifies(game_of(game, None, None)[0]) == told


def test_a_record_counts_strategies_and_keeps_samples(monkeypatch):
    # Calls of a generation each.
    monkeypatch.setattr("shaping.runtime.chunks._SEGMENT_WORK", 1)
    types, selection = {"naive": shaping.naive(), "wsls": "wsls"}, shaping.selection("fermi", events=3)
    found = shaping.evolve(envs.make("ipd"), types, 8, 9, sample=4, sample_every=3, selection=selection)
    assert found.sample_generation.values.tolist() == [0, 3, 6, 9] and found.nearest.dims[2:] == ("strategy",)
    assert found.nearest.sel(strategy="WSLS")[0, 0] == 0.5
    np.testing.assert_allclose(found.nearest.sum("strategy"), 1, rtol=1e-6)
    # The last sample is of the final state, the first of the initial one.
    np.testing.assert_array_equal(found.theta_sample[0, -1], found.theta_final[0, [0, 2, 4, 6]])
    np.testing.assert_array_equal(found.type_sample[0, -1], found.type_final[0, [0, 2, 4, 6]])
    np.testing.assert_array_equal(found.type_sample[0, 0], [0, 0, 1, 1])


@pytest.mark.slow
def test_a_sample_is_of_the_generation_that_it_is_said_to_be():
    types, selection = {"naive": shaping.naive(), "wsls": "wsls"}, shaping.selection("fermi", events=3)
    found = shaping.evolve(envs.make("ipd"), types, 8, 9, sample=4, sample_every=3, selection=selection)
    alone = shaping.evolve(envs.make("ipd"), types, 8, 3, sample=8, selection=selection)
    np.testing.assert_allclose(found.theta_sample[0, 1], alone.theta_final[0, [0, 2, 4, 6]], rtol=1e-3)


def test_a_record_ends_where_every_population_has_come_to_one_type(monkeypatch):
    monkeypatch.setattr("shaping.runtime.chunks._SEGMENT_WORK", 1)
    own = shaping.selection("fermi", intensity=1.0, events=4, payoff="expected")
    types, game = {"allc": "allc", "alld": "alld"}, envs.make("ipd", horizon=1)
    found = shaping.evolve(game, types, 4, 10_000, selection=own, until="fixation", matches=2)
    assert found.sizes["generation"] == found.fixed_at.max() + 2 and (found.share.values[:, -1].max(axis=1) == 1).all()
