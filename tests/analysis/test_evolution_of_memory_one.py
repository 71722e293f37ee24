"""Evolution of direct reciprocity in the donation game (benefit b, cost 1) as it has been published.

Settings: 100 players, imitation by pairwise comparison at intensity 1, mutations so rare that each mutant takes
over or dies out before the next.
"""

import itertools

import numpy as np
import pytest

import shaping
from shaping import envs, evolution

DETERMINISTIC = np.array([[1, *rest] for rest in itertools.product((1.0, 0.0), repeat=4)])


@pytest.mark.parametrize(
    ("error", "benefit", "cooperation", "first"),
    [
        (0.001, 2.0, 0.149378, "alld"),
        (0.001, 1.2, 0.080622, "alld"),
        (0.001, 3.0, 0.990690, "wsls"),
        (0.01, 2.0, 0.134115, "alld"),
        (0.01, 1.2, 0.079309, "alld"),
        (0.01, 3.0, 0.957326, "wsls"),
    ],
)
def test_the_sixteen_deterministic_strategies_cooperate_as_much_as_computed_elsewhere(
    error, benefit, cooperation, first
):
    """Without discount and with execution errors, in the settings of Hilbe, Simsa, Chatterjee and Nowak (2018, Nature
    559); values of an independent computation."""
    game = envs.make(
        "ipd", reward=benefit - 1, sucker=-1, temptation=benefit, punishment=0, discount=1 - 1e-9, noise=error
    )
    league = shaping.league_values(game, DETERMINISTIC)
    ruling = evolution.stationary_distribution(league.payoffs, 100, 1.0)
    assert ruling @ np.diagonal(league.cooperation[..., 0]) == pytest.approx(cooperation, abs=1e-6)
    rest = {"alld": [0, 0, 0, 0], "wsls": [1, 0, 0, 1]}[first]
    assert DETERMINISTIC[np.argmax(ruling), 1:].tolist() == rest


def reactive(first, second, discount=0.999):
    """Cooperation of the first: (y, p, q) are P(C) at the start, after C and after D of the other, [..., 3]."""
    y, p, q = np.moveaxis(first, -1, 0)
    z, s, t = np.moveaxis(second, -1, 0)
    start, answer = (1 - discount) * y + discount * q, discount * (p - q)
    return (start + answer * ((1 - discount) * z + discount * t)) / (1 - answer * discount * (s - t))


def test_the_closed_form_of_reactive_strategies_is_the_league_s():
    players = np.random.default_rng(0).random((4, 3))
    tables = players[:, [0, 1, 2, 1, 2]]
    league = shaping.league_values(envs.make("ipd", discount=0.999), tables)
    np.testing.assert_allclose(league.cooperation[..., 0], reactive(players[:, None], players[None]), atol=1e-12)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize(("benefit", "published"), [(3, 0.52), (10, 0.98)])
def test_reactive_strategies_evolve_as_much_cooperation_as_published(benefit, published):
    """Glynatsi, McAvoy and Hilbe (2023, arXiv 2311.02365): 52 % at b = 3 and 98 % at b = 10, with discount 0.999,
    expected payoffs and uniform mutants."""

    def payoffs(residents, mutants):
        both = np.stack([residents, mutants], axis=1)
        cooperates = reactive(both[:, :, None], both[:, None])
        return benefit * cooperates.swapaxes(1, 2) - cooperates

    def mutants(generator, residents):
        return generator.random(residents.shape)

    start = np.zeros((200, 3))
    walks = evolution.invasion_walk(payoffs, mutants, start, 60_000, 100, 1.0, record_every=20, seed=1)
    # The first third is still marked by the start, at which everybody defects.
    cooperation = reactive(walks[1000:], walks[1000:]).mean(axis=0)
    assert cooperation.mean() == pytest.approx(published, abs=0.02)
