"""Named strategies do what their descriptions say, and zero-determinant ones enforce their relation."""

from itertools import product

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import shaping
from shaping import envs
from shaping.policies import STRATEGIES

ROUNDS = 10
OPPONENTS = {"allc": "C" * ROUNDS, "alld": "D" * ROUNDS, "alternator": "CD" * (ROUNDS // 2)}
# The first ten moves against ALLC, ALLD and C, D, C, D, ..., worked out by hand from each definition.
MOVES = {
    "allc": ("CCCCCCCCCC", "CCCCCCCCCC", "CCCCCCCCCC"),
    "alld": ("DDDDDDDDDD", "DDDDDDDDDD", "DDDDDDDDDD"),
    "tft": ("CCCCCCCCCC", "CDDDDDDDDD", "CCDCDCDCDC"),
    "suspicious_tft": ("DCCCCCCCCC", "DDDDDDDDDD", "DCDCDCDCDC"),
    "anti_tft": ("CDDDDDDDDD", "CCCCCCCCCC", "CDCDCDCDCD"),
    "bully": ("DDDDDDDDDD", "DCCCCCCCCC", "DDCDCDCDCD"),
    "grim": ("CCCCCCCCCC", "CDDDDDDDDD", "CCDDDDDDDD"),
    "grudger": ("CCCCCCCCCC", "CDDDDDDDDD", "CCDDDDDDDD"),
    "wsls": ("CCCCCCCCCC", "CDCDCDCDCD", "CCDDCCDDCC"),
    "win_shift_lose_stay": ("DCDCDCDCDC", "DDDDDDDDDD", "DCCDDCCDDC"),
    "alternator": ("CDCDCDCDCD", "CDCDCDCDCD", "CDCDCDCDCD"),
    "tf2t": ("CCCCCCCCCC", "CCDDDDDDDD", "CCCCCCCCCC"),
    "two_tits_for_tat": ("CCCCCCCCCC", "CDDDDDDDDD", "CCDDDDDDDD"),
    "hard_tft": ("CCCCCCCCCC", "CDDDDDDDDD", "CCDDDDDDDD"),
    "hard_tf2t": ("CCCCCCCCCC", "CCDDDDDDDD", "CCCCCCCCCC"),
    "tits_for_tats": ("CCCCCCCCCC", "CDDDDDDDDD", "CCDCDCDCDC"),
    "slow_tft": ("CCCCCCCCCC", "CCDDDDDDDD", "CCCCCCCCCC"),
    "contrite_tft": ("CCCCCCCCCC", "CDDDDDDDDD", "CCDCDCDCDC"),
    "soft_grudger": ("CCCCCCCCCC", "CDDDDCCDDD", "CCDDDDCCDD"),
    "easy_go": ("DDDDDDDDDD", "DCCCCCCCCC", "DDCCCCCCCC"),
    "opposite_grudger": ("DCCCCCCCCC", "DDDDDDDDDD", "DCCCCCCCCC"),
    "prober": ("DCCDDDDDDD", "DCCDDDDDDD", "DCCCDCDCDC"),
    "prober_2": ("DCCCCCCCCC", "DCCDDDDDDD", "DCCCCCCCCC"),
    "prober_3": ("DCDDDDDDDD", "DCDDDDDDDD", "DCDCDCDCDC"),
    "hard_prober": ("DDCCDDDDDD", "DDCCDDDDDD", "DDCCDCDCDC"),
    "tester": ("DCCDCDCDCD", "DCDDDDDDDD", "DCCCDCDCDC"),
    "all_or_none": ("CCCCCCCCCC", "CCDDCDDCDD", "CCDDDDDDDD"),
    "cycle": ("CCDCCDCCDC", "CCDCCDCCDC", "CCDCCDCCDC"),
    "fortress3": ("DDDDDDDDDD", "DDCDDCDDCD", "DDDDDDDDDD"),
    "fortress4": ("DDDDDDDDDD", "DDDCDDDCDD", "DDDDDDDDDD"),
    "predator": ("CDDDDDDDDD", "CDDCDDDDDD", "CDDDDDDDDD"),
    "pun1": ("DCCCCCCCCC", "DCDCDCDCDC", "DCDCDCDCDC"),
    "raider": ("DDDDDDDDDD", "DDCCDDDDDD", "DDCDDDDDDD"),
    "ripoff": ("DCDCDCDCDC", "DCDDDDDDDD", "DCCCDCDCDC"),
    "solution_b1": ("DDCCCCCCCC", "DDDDDDDDDD", "DDCCCCCCCC"),
    "solution_b5": ("DCCCCCCCCC", "DDDDDDDDDD", "DCDCDDDCDC"),
    "thumper": ("CCCCCCCCCC", "CDDDDDDDDD", "CCDDDDDDDD"),
    "usually_cooperates": ("CCCCCCCCCC", "CCCCCCCCCC", "CCCDCDCDCD"),
    "usually_defects": ("DDDDDDDDDD", "DDDDDDDDDD", "DDCDCDCDCD"),
}
STOCHASTIC = {"random", "generous_tft", "extortionate", "generous_zd", "memory_one"}


def play(policy, thetas, opponents, key=None, mistakes=None):
    """Letters of each theta (leading axis) against each row of letters [opponents]; executed actions, a mistake turning
    the own action around in the rounds given as True."""
    key = jax.random.key(0) if key is None else key
    flips = jnp.zeros(len(opponents[0]), bool) if mistakes is None else jnp.asarray(mistakes)
    moves = jnp.asarray([["CD".index(letter) for letter in row] for row in opponents], jnp.int32)

    def match(theta, opponent, key):
        def step(carry, now):
            observation, memory = carry
            other, flip, number = now
            distribution, memory = policy.apply(theta, observation, memory)
            own = distribution.sample(seed=jax.random.fold_in(key, number)).astype(jnp.int32)
            own = jnp.where(flip, 1 - own, own)
            return (1 + 2 * own + other, memory), own

        rounds = jnp.arange(opponent.shape[0])
        return jax.lax.scan(step, (jnp.int32(0), policy.start(())), (opponent, flips, rounds))[1]

    program = jax.jit(jax.vmap(jax.vmap(match, (None, 0, None)), (0, None, None)))
    return np.array(["C", "D"])[np.asarray(program(thetas, moves, key))]


def test_every_named_strategy_without_chance_starts_as_its_definition_says_in_one_program():
    assert {*MOVES, *STOCHASTIC} == set(STRATEGIES)
    policy, machines = shaping.stack_automata(list(MOVES))
    played = play(policy, machines, list(OPPONENTS.values()))
    found = {name: tuple("".join(row) for row in rows) for name, rows in zip(MOVES, played, strict=True)}
    assert found == MOVES


def test_settings_change_what_is_played():
    asked = {
        ("tits_for_tats", "tits", 3, "tats", 2): "CCDDDDDDDD",
        ("all_or_none", "rounds", 1): "CDCDCDCDCD",
        ("all_or_none", "rounds", 3): "CCCDDDCDDD",
        ("cycle", "actions", "DDC"): "DDCDDCDDCD",
        ("random", "p", 1.0): "CCCCCCCCCC",
        ("random", "p", 0.0): "DDDDDDDDDD",
        ("generous_tft", "generosity", 1.0): "CCCCCCCCCC",
        ("memory_one", "start", 0, "cc", 1, "cd", 0, "dc", 0, "dd", 1): "DCDCDCDCDC",
    }
    players = [shaping.strategy(name, **dict(zip(s[::2], s[1::2], strict=True))) for name, *s in asked]
    policy, machines = shaping.stack_automata(players)
    played = play(policy, machines, [OPPONENTS["alld"]])
    assert ["".join(rows[0]) for rows in played] == list(asked.values())


def test_chances_are_the_frequencies_of_play():
    rounds = 20_000
    players = [("random", {"p": 0.3}), ("generous_tft", {"generosity": 0.2}), ("generous_tft", {})]
    policy, machines = shaping.stack_automata([shaping.strategy(name, **numbers) for name, numbers in players])
    cooperated = (play(policy, machines, ["D" * rounds])[:, 0, 1:] == "C").mean(axis=1)
    expected = np.array([0.3, 0.2, 1 / 3])
    assert np.all(np.abs(cooperated - expected) < 4 * np.sqrt(expected * (1 - expected) / rounds))


def both(name, mistake, rounds=8):
    """A strategy against itself; the first player's action of one round is turned around. Letters [player]."""
    policy, theta = shaping.strategy(name)
    memories, seen, letters = [policy.start(())] * 2, [0, 0], ["", ""]
    for number in range(rounds):
        own = []
        for seat in range(2):
            distribution, memories[seat] = policy.apply(theta, jnp.int32(seen[seat]), memories[seat])
            own.append(int(distribution.mode()) ^ (number == mistake and seat == 0))
            letters[seat] += "CD"[own[seat]]
        seen = [1 + 2 * own[0] + own[1], 1 + 2 * own[1] + own[0]]
    return letters


def test_after_a_mistake_contrite_tft_makes_up_where_tft_feuds_and_grim_gives_up():
    assert both("contrite_tft", 2) == ["CCDCCCCC", "CCCDCCCC"]
    assert both("tft", 2) == ["CCDCDCDC", "CCCDCDCD"]
    assert both("grim", 2) == ["CCDDDDDD", "CCCDDDDD"]
    # Its own mistake does not set it off, the answer to it does.
    assert both("grudger", 2) == ["CCDCDDDD", "CCCDDDDD"]


def test_published_zero_determinant_strategies_are_these_tables():
    """Stewart and Plotkin 2012 give Extort-2 (8/9, 1/2, 1/3, 0) and ZDGTFT-2 (1, 1/8, 1, 1/4) at payoffs 3, 0, 5, 1."""
    payoffs = {"reward": 3, "sucker": 0, "temptation": 5, "punishment": 1}
    table = shaping.strategy("extortionate", chi=2, phi=1 / 18, **payoffs)[1]
    np.testing.assert_allclose(table, [0, 8 / 9, 1 / 2, 1 / 3, 0], atol=1e-6)
    table = shaping.strategy("generous_zd", chi=2, phi=1 / 8, **payoffs)[1]
    np.testing.assert_allclose(table, [1, 1, 1 / 8, 1, 1 / 4], atol=1e-6)
    # Press and Dyson 2012: at chi 3 the middle of the feasible range is (11/13, 1/2, 7/26, 0).
    table = shaping.strategy("extortionate", chi=3, **payoffs)[1]
    np.testing.assert_allclose(table, [0, 11 / 13, 1 / 2, 7 / 26, 0], atol=1e-6)


@pytest.mark.parametrize(("name", "baseline"), [("extortionate", -2.0), ("generous_zd", -1.0)])
@pytest.mark.parametrize("chi", [1.5, 3.0])
def test_exact_discounted_values_lie_on_the_line_the_strategy_promises_against_anyone(x64, name, baseline, chi):
    """With the correction for the discount (Hilbe, Traulsen and Sigmund 2015) the relation is exact at 0.96."""
    game = envs.make("ipd", discount=0.96)
    own_policy, own = shaping.strategy(name, chi=chi, discount=0.96)
    objective = shaping.exact(game, (own_policy, shaping.memory_one(5)))
    certain = np.array(list(product((0.0, 1.0), repeat=5)))
    others = jnp.asarray(np.concatenate([certain, np.random.default_rng(2).uniform(size=(100, 5))]))

    def values(other):
        return jnp.stack(list(objective((own, other))[0])) * (1 - 0.96)

    mine, theirs = np.asarray(jax.jit(jax.vmap(values))(others)).T
    np.testing.assert_allclose(mine - baseline, chi * (theirs - baseline), atol=1e-9)
    assert np.ptp(theirs) > 0.3


@pytest.mark.parametrize(("name", "baseline"), [("extortionate", 1.0), ("generous_zd", 3.0)])
def test_values_per_step_without_discount_lie_on_the_line(name, baseline):
    """Of the stationary distribution, in numpy: the relation of Press and Dyson 2012."""
    payoffs = {"reward": 3, "sucker": 0, "temptation": 5, "punishment": 1}
    for seed, (chi, share) in enumerate([(1.2, 0.2), (2, 0.5), (4, 0.9)]):
        highest = float(highest_phi(name, chi, payoffs))
        own = np.asarray(shaping.strategy(name, chi=chi, phi=share * highest, **payoffs)[1], np.float64)[1:]
        other = np.random.default_rng(seed).uniform(0.05, 0.95, 4)[[0, 2, 1, 3]]
        chain = np.stack([own * other, own * (1 - other), (1 - own) * other, (1 - own) * (1 - other)], axis=1)
        occupied = np.linalg.lstsq(np.vstack([chain.T - np.eye(4), np.ones(4)]), [0, 0, 0, 0, 1], rcond=None)[0]
        mine, theirs = occupied @ [3, 0, 5, 1], occupied @ [3, 5, 0, 1]
        np.testing.assert_allclose(mine - baseline, chi * (theirs - baseline), atol=1e-5)


def highest_phi(name, chi, payoffs):
    """From the line that refuses too large a phi."""
    with pytest.raises(ValueError, match="phi is 9") as refusal:
        shaping.strategy(name, chi=chi, phi=9.0, **payoffs)
    return str(refusal.value).split(" to ")[1].split(" with ")[0]


@pytest.mark.parametrize(
    ("name", "settings", "said"),
    [
        ("tit", {}, r"strategy is 'tit'; allowed: allc, alld, tft"),
        ("tft", {"generosity": 1}, r"'generosity' is not one of 'tft'; allowed: none"),
        ("generous_tft", {"p": 1}, r"'p' is not one of 'generous_tft'; allowed: generosity"),
        ("generous_tft", {"generosity": 1.5}, r"generosity is 1.5; allowed: a finite number from 0 to 1"),
        ("random", {"p": -0.1}, r"p is -0.1; allowed"),
        ("memory_one", {"cd": 2}, r"cd is 2; allowed"),
        ("tits_for_tats", {"tats": 0}, r"tats is 0; allowed: an integer from 1"),
        ("cycle", {"actions": "CDX"}, r"actions is 'CDX'; allowed: letters C and D"),
        ("extortionate", {"chi": 0.5}, r"chi is 0.5; allowed: a finite number of 1 or more"),
        # (P-S) / ((P-S) + chi (T-P)) = 1 / 7 at chi 3 and payoffs -1, -3, 0, -2 (Press and Dyson 2012)
        ("extortionate", {"phi": 0.15}, r"phi is 0.15; allowed: above 0 to 0.142857 with chi 3"),
        ("extortionate", {"phi": 0.0}, r"phi is 0.0; allowed: above 0 to 0.142857"),
        ("extortionate", {"phi": 0.01, "discount": 0.96}, r"phi is 0.01; allowed: 0.02 to"),
        ("extortionate", {"chi": 1.0, "discount": 0.96}, r"which no phi allows; raise chi or the discount"),
        ("generous_zd", {"phi": 0.2}, r"phi is 0.2; allowed: above 0 to 0.142857"),
        ("extortionate", {"reward": 1}, r"payoffs are reward 1, .*; allowed: temptation > reward"),
    ],
)
def test_what_is_wrong_is_refused_in_one_line_that_names_what_is_allowed(name, settings, said):
    with pytest.raises(ValueError, match=said) as refusal:
        shaping.strategy(name, **settings)
    assert "\n" not in str(refusal.value)


def test_no_phi_within_the_named_range_leaves_the_probabilities():
    for name in ("extortionate", "generous_zd"):
        for chi in (1.01, 2.0, 10.0):
            highest = float(highest_phi(name, chi, {}))
            table = np.asarray(shaping.strategy(name, chi=chi, phi=highest * (1 - 1e-5))[1])
            assert np.all((table >= 0) & (table <= 1)) and min(table[2], 1 - table[3]) < 1e-4


def test_only_tables_and_machines_are_stacked():
    with pytest.raises(ValueError, match="a player is tabular; allowed: memory_one or automaton"):
        shaping.stack_automata([(shaping.tabular(5), jnp.zeros(5))])
    with pytest.raises(ValueError, match="one player or more"):
        shaping.stack_automata([])
