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


OUTCOMES = 4
"""Of a round: CC, CD, DC, DD, the own action first."""


def last_round(first, second, discount=0.999):
    """How likely each outcome of the last round is, [..., outcomes], by the closed form of reactive strategies: actions
    of one round are independent, and their probabilities follow linear equations."""
    y, p, q = np.moveaxis(first, -1, 0)
    z, s, t = np.moveaxis(second, -1, 0)
    own, other = reactive(first, second, discount), reactive(second, first, discount)
    a, b = p - q, s - t
    later = q * t + q * b * own + t * a * other
    both = ((1 - discount) * y * z + discount * later) / (1 - discount * a * b)
    return np.stack([both, own - both, other - both, 1 - own - other + both], axis=-1)


def test_the_last_round_of_reactive_strategies_pays_on_average_what_the_league_says():
    players = np.random.default_rng(1).random((3, 3))
    game = envs.make("ipd", discount=0.999)
    pays = last_round(players[:, None], players[None]) @ np.ravel(game.payoffs[0])
    league = shaping.league_values(game, players[:, [0, 1, 2, 1, 2]])
    np.testing.assert_allclose(pays, league.value[..., 0], atol=1e-12)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize(("benefit", "published"), [(3, 0.37), (10, 0.51)])
def test_who_imitates_by_the_last_round_evolves_less_cooperation_as_published(benefit, published):
    """The same article: a learner and its model compare what the last round of one game each paid, with each other or
    with two others; 37 % at b = 3 and 51 % at b = 10."""
    size = 100
    pays = np.array([benefit - 1, -1, benefit, 0.0])
    copies = 1 / (1 + np.exp(-(pays[None] - pays[:, None])))  # [learner's outcome, model's outcome]
    mutants = np.arange(1, size)
    residents = size - mutants

    def chance(learner, model):
        return np.einsum("wi,ij,wj->w", learner, copies, model)[:, None]

    def imitation(among, model_among, each_other, learners, models):
        """How likely a learner copies a model, [walks, mutants], given outcomes of both with (their kind's own kind,
        the other kind) and of the learner with the model; `learners` and `models` are how many there are."""
        (own, mixed), (theirs, against) = among, model_among
        alike, unlike = learners - 1, models - 1
        apart = chance(own, theirs) * alike * unlike + chance(own, against) * alike * (alike - 1)
        apart = apart + chance(mixed, theirs) * unlike * (unlike - 1) + chance(mixed, against) * unlike * alike
        together = np.einsum("wi,i->w", each_other, copies[np.arange(OUTCOMES), [0, 2, 1, 3]])[:, None]
        return together / (size - 1) + (1 - 1 / (size - 1)) * apart / ((size - 2) * (size - 3))

    def fixation(now, new):
        r, rm, mr, m = last_round(now, now), last_round(now, new), last_round(new, now), last_round(new, new)
        up = imitation((r, rm), (m, mr), rm, residents, mutants)
        down = imitation((m, mr), (r, rm), mr, mutants, residents)
        return evolution.fixation_from_advantages(np.log(up / down), 1.0)

    def random(generator, now):
        return generator.random(now.shape)

    start = np.zeros((100, 3))
    walks = evolution.invasion_walk(None, random, start, 30_000, size, 1.0, 20, seed=1, fixation=fixation)
    cooperation = reactive(walks[500:], walks[500:]).mean(axis=0)
    assert cooperation.mean() == pytest.approx(published, abs=0.02)


@pytest.mark.parametrize(
    ("mutant", "resident", "within", "between"),
    [
        ("alld", "allc", 1.0, 1.0),
        ("allc", "alld", 0.0, 0.0),
        ("tft", "allc", 0.5, 0.0),
        ("allc", "tft", 0.5, 0.49),
        ("wsls", "tft", 0.5, 0.49),
        ("wsls", "allc", 1.0, 1.0),
        ("allc", "wsls", 0.0, 0.0),
    ],
)
def test_groups_are_invaded_as_computed_elsewhere(mutant, resident, within, between):
    """Thirty groups of two players that imitate within their group, and groups that imitate groups, at intensity 10 and
    error .001 (grouped direct reciprocity, Murase, Hilbe and Baek 2022): a mutant takes over its group, and then the
    others."""
    game = envs.make("ipd", reward=2, sucker=-1, temptation=3, punishment=0, discount=1 - 1e-9, noise=1e-3)
    payoffs = shaping.league_values(game, [resident, mutant]).payoffs
    inside = evolution.fixation_probability(payoffs, 0, 1, 2, 10.0)
    back = evolution.fixation_probability(payoffs, 1, 0, 2, 10.0)
    advantage = 10.0 * (payoffs[1, 1] - payoffs[0, 0]) + np.log(inside) - np.log(back)
    found = inside * evolution.fixation_from_advantages(np.full(29, advantage), 1.0)
    assert inside == pytest.approx(within, abs=0.012) and found == pytest.approx(between, abs=0.01)
