"""Names are names: relabelling players, actions or states permutes directions and changes nothing else."""

import numpy as np
import pytest

from shaping.envs import MatrixGameParams
from shaping.envs.matrix.game import own_view
from shaping.rules import first_order, lola, naive
from shaping.rules.pola import pola

RULES = {"naive": naive(), "first_order": first_order(0.7, 0.6, 1.3), "exact": lola("exact", 0.7)}
RULES |= {"pola": pola("outer", 0.7, 0.02, 0.5, tolerance=0.0, max_iterations=3)}
RULES |= {"lola opponents": lola("original", 0.7, opponents="lola")}


def cases(*quick):
    """(number of players, rule) of every test; those that are not `quick` take long to compile."""
    return [
        pytest.param(players, name, marks=() if (players, name) in quick else pytest.mark.slow, id=f"{players}-{name}")
        for players in (2, 3)
        for name in RULES
    ]


EVERY = cases(*[(2, name) for name in ("naive", "first_order", "exact", "pola")], (3, "naive"), (3, "exact"))
# A rule sees the objective alone, which knows what its players see.
VIEWS = cases((2, "exact"), (3, "naive"))


def random_match(players: int, seed: int = 0):
    rng = np.random.default_rng(seed)
    payoffs = rng.normal(size=(players,) + (2,) * players)
    params = MatrixGameParams(payoffs=payoffs, discount=np.float64(0.9), noise=rng.uniform(0, 0.2, players))
    return params, rng.normal(size=(players, 1 + 2**players))


def on_joint_actions(table: np.ndarray, change) -> np.ndarray:
    """The table [1 + joint actions] with its joint actions, as axes of length 2, transformed; the start stays."""
    players = int(np.log2(table.size - 1))
    return np.append(table[0], change(table[1:].reshape((2,) * players)).ravel())


@pytest.mark.parametrize(("players", "name"), EVERY)
def test_relabelling_players_permutes_directions(players, name, direction, form_of):
    order = {2: (1, 0), 3: (2, 0, 1)}[players]
    form, (params, thetas) = form_of(players), random_match(players)
    payoffs = np.stack([np.transpose(params.payoffs[seat], order) for seat in order])
    relabelled = MatrixGameParams(payoffs=payoffs, discount=params.discount, noise=params.noise[list(order)])
    moved = [on_joint_actions(thetas[seat], lambda t: np.transpose(t, order)) for seat in order]
    found = direction(RULES[name], form, relabelled, moved, order.index(0))
    expected = np.array(direction(RULES[name], form, params, thetas, 0))
    expected = on_joint_actions(expected, lambda t: np.transpose(t, order))
    np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(("players", "name"), EVERY)
def test_relabelling_one_players_actions_negates_and_permutes_directions(players, name, direction, form_of):
    form, (params, thetas) = form_of(players), random_match(players)
    before = np.array(direction(RULES[name], form, params, thetas, 0))
    for renamed in range(players):
        payoffs = np.flip(params.payoffs, axis=1 + renamed)
        flipped = [on_joint_actions(theta, lambda t, axis=renamed: np.flip(t, axis)) for theta in thetas]
        flipped[renamed] = -flipped[renamed]
        found = direction(RULES[name], form, params.replace(payoffs=payoffs), flipped, 0)
        expected = on_joint_actions(before, lambda t, axis=renamed: np.flip(t, axis))
        np.testing.assert_allclose(found, -expected if renamed == 0 else expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(("players", "name"), VIEWS)
def test_own_and_shared_view_agree_after_relabelling_states(players, name, direction, form_of):
    params, thetas = random_match(players)
    # Both terms and every view enter the direction of the first player; the last one's own view is checked where cheap.
    player, view = players - 1 if name == "naive" else 0, np.array(own_view(players))
    shared = np.array(direction(RULES[name], form_of(players), params, thetas, player))
    seen = [theta[row] for theta, row in zip(thetas, view, strict=True)]
    own = direction(RULES[name], form_of(players, state_view="own"), params, seen, player)
    np.testing.assert_allclose(own, shared[view[player]], rtol=1e-10, atol=1e-12)
