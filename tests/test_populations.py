"""Populations that meet, in a program: what they do is what is worked out by hand, and their record says it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import shaping
from shaping import envs, populations
from shaping.config.errors import ConfigError
from shaping.population import generations as engine
from shaping.population import meeting_population
from shaping.population import pairing as pairings
from shaping.population.learner_types import learners_of
from shaping.population.meeting_population import Rules
from shaping.population.population_programs import Population, setup_of
from shaping.population.random_keys import population_key
from shaping.training import game_of

R, S, T, P = 3.0, 0.0, 5.0, 1.0
ONE_SHOT = envs.make("ipd", horizon=1, reward=R, sucker=S, temptation=T, punishment=P)


def probability(theta):
    return 1 / (1 + np.exp(-theta))


def direction(a, b, rate, weight):
    """The first-order rule in a one-shot symmetric game with one logit per player, worked out by hand: weight 0 is
    naive learning, 1 is the full expansion (`taylor`)."""
    p, q, k = probability(a), probability(b), R - S - T + P
    dp, dq = p * (1 - p), q * (1 - q)
    own, theirs = dp * (q * k + S - P), dq * (p * k + S - P)
    cross, effect, theirs_cross = dp * dq * k, dq * (p * k + T - P), dp * dq * k
    # d/da of (dV1/db)(dV2/db).
    return own + weight * rate * (cross * theirs + effect * theirs_cross)


def by_hand(theta, settings, rounds, encounter):
    """Everybody's logit after these pairings, in NumPy float64; settings are (step size, rate, weight) of a learner.
    To whoever looks ahead, one whose step size is 0 does not move."""
    theta = np.array(theta, float)
    for pairs in rounds:
        for _ in range(encounter):
            old = theta.copy()
            for a, b in [*pairs, *((b, a) for a, b in pairs)]:
                step, rate, weight = settings[a]
                moves = settings[b][0] > 0
                theta[a] = old[a] + step * direction(old[a], old[b], rate, weight if moves else 0.0)
    return theta


def pairs_of(own, size, generations, seed=0):
    key = population_key(jnp.int32(seed), jnp.int32(0))
    left, nothing = jnp.zeros(size // 2, bool), jnp.zeros((0, 0, 2))

    @jax.jit
    def following(generation, places):
        places = pairings.moved(own, key, generation, places, left)
        return places, pairings.met(own, key, generation, places, nothing, 2)

    places, found = jnp.arange(size, dtype=jnp.int32), []
    for generation in range(generations):
        places, pairs = following(jnp.int32(generation), places)
        found.append(np.asarray(pairs).tolist())
    return found


def test_settings_follow_their_learner_from_partner_to_partner():
    """Naive, LOLA and scripted learners of one population, every trajectory by hand in float64."""
    types = {
        "naive": shaping.gradient_learner(shaping.naive(), 0.5, initial=shaping.uniform(1.0)),
        "lola": shaping.gradient_learner(shaping.lola("taylor", 2.0), 1.5, initial=shaping.uniform(1.0)),
        "script": shaping.strategy("random", p=0.25),
    }
    found = shaping.evolve(ONE_SHOT, types, 12, 9, encounter=2, precision="float64", pairing="well_mixed")
    settings = [(0.5, 0.0, 0.0)] * 4 + [(1.5, 2.0, 1.0)] * 4 + [(0.0, 0.0, 0.0)] * 4
    start = np.concatenate([started(8), np.full(4, np.log(0.25 / 0.75))])
    rounds = pairs_of(shaping.pairing(), 12, 9)
    expected = by_hand(start, settings, rounds, 2)
    np.testing.assert_allclose(found.theta_final.values[0, :, 0], expected, rtol=1e-12, atol=1e-12)
    met_before = {tuple(sorted(pair)) for pair in rounds[0]}
    assert any({tuple(sorted(pair)) for pair in pairs} != met_before for pairs in rounds[1:])


def started(size):
    """What learners of the first population of seed 0 start from, uniform on (-1, 1)."""
    from shaping.learners.initial_parameters import initial_parameters, uniform
    from shaping.policies import tabular
    from shaping.population.random_keys import learner_key, use

    policy = (tabular(1),) * 2

    def drawn(number):
        return initial_parameters(uniform(1.0), use(learner_key(0, 0, number), "init"), policy, 0, None, jnp.float32)[0]

    return np.asarray(jax.jit(jax.vmap(drawn))(jnp.arange(size)), float)


ALIKE = {"size": 8, "generations": 5, "pairing": shaping.pairing(turnover=0.5)}


def test_names_and_splits_change_nothing():
    """One population of one type, and of two types that are alike."""
    rule, settings = shaping.naive(), ALIKE
    alone = shaping.evolve(ONE_SHOT, rule, **settings)
    split = shaping.evolve(ONE_SHOT, {"b": rule, "a": rule}, shares={"a": 0.25, "b": "rest"}, **settings)
    np.testing.assert_array_equal(alone.theta_final, split.theta_final)


# The short suite shows this with runs of populations that are interrupted, or only some of which are compared.
@pytest.mark.slow
def test_cuts_and_company_change_nothing(monkeypatch):
    """One population, cut in calls of two generations, beside others."""
    rule, settings = shaping.naive(), ALIKE
    alone = shaping.evolve(ONE_SHOT, rule, **settings)
    monkeypatch.setattr("shaping.runtime.chunks._SEGMENT_WORK", 16)
    beside = shaping.evolve(ONE_SHOT, rule, matches=3, **settings)
    np.testing.assert_allclose(alone.theta_final, beside.theta_final[:1], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(alone.value, beside.value[:1], rtol=1e-5)


def test_a_record_tells_shares_values_cooperation_and_whose_copies_are_left():
    types = {"alld": "alld", "allc": "allc"}
    own = shaping.selection("fermi", intensity=50.0, events=30)
    found = shaping.evolve(ONE_SHOT, types, 20, 6, matches=2, shares={"alld": 0.29, "allc": "rest"}, selection=own)
    assert found.share.dims == ("match", "generation", "type") and list(found.generation) == list(range(7))
    np.testing.assert_allclose(found.share[:, 0], [[0.3, 0.7]] * 2, rtol=1e-6)
    cooperation = found.cooperation.values
    np.testing.assert_array_equal(cooperation[..., 0][~np.isnan(cooperation[..., 0])], 0)
    np.testing.assert_allclose(cooperation[..., 1][~np.isnan(cooperation[..., 1])], 1, rtol=1e-6)
    # Defectors are never worth less than cooperators here, and win.
    np.testing.assert_array_equal(found.share[:, -1, 0], 1)
    assert np.all(found.fixed_at > 0) and np.all(found.ancestor < 6) and np.all(found.type_final == 0)
    assert np.all(found.imitations[:, 1] > 0) and np.all(found.imitations[:, 0] == 0)
    # Values are against the partners met: a cooperator earns R with a cooperator, and S = 0 with a defector.
    first = found.isel(generation=1)
    pairs_alike = first.mutual_cooperation.values
    np.testing.assert_allclose(first.value.sel(type="allc"), R * pairs_alike * 20 / 14, rtol=1e-5)


def test_expected_values_of_learners_are_means_over_all_others():
    """Truncation among six learners that stand still: the one with the least mean against all others goes, whomever it
    met, and becomes the one with the highest."""
    chosen = np.array([0.9, 0.8, 0.35, 0.6, 0.1, 0.5])
    types = {f"t{n}": shaping.strategy("random", p=p) for n, p in enumerate(chosen)}
    types["t0"] = shaping.gradient_learner(shaping.naive(), 0.0, initial=shaping.values([np.log(9.0)]))
    game = envs.make("ipd", horizon=1, reward=4.0, sucker=0.0, temptation=3.0, punishment=2.0)
    own = shaping.selection("truncation", rate=1 / 6, payoff="expected")
    found = shaping.evolve(game, types, 6, 1, selection=own, precision="float64")
    others = (chosen.sum() - chosen) / 5
    worth = chosen * (4 * others) + (1 - chosen) * (3 * others + 2 * (1 - others))
    expected = np.arange(6)
    expected[np.argmin(worth)] = np.argmax(worth)
    np.testing.assert_array_equal(found.ancestor[0], expected)


def test_mutants_start_anew_and_noise_moves_copies():
    types = {"tft": "tft", "naive": shaping.naive()}
    drawn = shaping.selection("fermi", rate=1.0, mutation=1.0, mutates="naive")
    found = shaping.evolve(ONE_SHOT, types, 6, 1, shares={"tft": "rest", "naive": 0.0}, selection=drawn)
    np.testing.assert_array_equal(found.share[0, 1], [0, 1])
    assert int(found.mutations[0, 1]) == 6 and len(np.unique(found.theta_final[0, :, 0])) == 6
    moved = shaping.selection("birth_death", events=20, mutation=1.0, mutates="noise", noise=0.1)
    found = shaping.evolve(ONE_SHOT, {"tft": "tft"}, 6, 1, selection=moved)
    away = found.theta_final[0, :, 0] - 1000
    assert np.any(away != 0) and np.all(np.abs(away) < 1)


def test_learners_leave_partners_who_are_worth_too_little():
    """Two defectors among cooperators: with a threshold their partners leave them in every generation, nobody else."""
    types, shares = {"allc": "allc", "alld": "alld"}, {"allc": "rest", "alld": 0.1}
    # Nothing is worth less than nothing.
    found, kept = (
        shaping.evolve(ONE_SHOT, types, 20, 30, shares=shares, seed=1, pairing=own)
        for own in (shaping.pairing(turnover=0.0, choice="threshold", threshold=least) for least in (0.5, 0.0))
    )
    assert np.ptp(kept.assortment.values[0, 1:]) == 0
    # Left by everybody else, the defectors end up with each other, and neither of them leaves.
    assert found.assortment[0, -1] == 1 and kept.assortment[0, -1] < 1


@pytest.mark.parametrize("name", ["adam", pytest.param("plain", marks=pytest.mark.slow)])
def test_learners_of_several_optimisers_meet_and_each_keeps_its_own(name):
    """A population whose learners are all of one of the types equals a population of that type alone, the optimiser's
    moments included."""
    adam = shaping.gradient_learner(shaping.naive(), 0.1, shaping.optimizer("adam"))
    plain = shaping.gradient_learner(shaping.naive(), 1.0)
    settings = {"size": 4, "generations": 3, "encounter": 2}
    shares = {"adam": 0.0, "plain": 0.0, name: 1.0}
    found = shaping.evolve(ONE_SHOT, {"adam": adam, "plain": plain}, shares=shares, **settings)
    expected = shaping.evolve(ONE_SHOT, {"adam": adam, "plain": plain}[name], **settings)
    np.testing.assert_allclose(found.theta_final, expected.theta_final, rtol=1e-5)
    mixed = shaping.evolve(ONE_SHOT, {"adam": adam, "plain": plain}, **settings)
    assert np.all(np.isfinite(mixed.theta_final)) and mixed.share.values[0, -1].tolist() == [0.5, 0.5]


def test_groups_of_three_meet_in_a_public_goods_game():
    game = envs.make("contribution", num_players=3, horizon=1)
    found = shaping.evolve(game, {"naive": shaping.naive(), "allc": "allc"}, 12, 2)
    assert found.theta_final.shape == (1, 12, 1) and np.all(np.isfinite(found.value))
    np.testing.assert_allclose(found.cooperation.sel(type="allc"), 1, rtol=1e-5)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"size": 7}, "population.size is 7; allowed: a multiple of 2"),
        ({"generations": 0}, "generations: 0 is not allowed; must be an integer of 1 or more"),
        ({"shares": {"a": 0.7, "b": 0.7}}, "shares add up to 1.4; allowed: 1"),
        ({"shares": {"a": 0.2, "b": 0.7}}, "shares add up to 0.9; allowed: 1"),
        ({"shares": {"a": "rest", "b": "rest"}}, "shares: a and b are rest; allowed: one of them"),
        ({"shares": {"a": 1.0}}, "shares.b is missing"),
        ({"types": {"a": "tft", "b": "tf2t"}}, "types.b: 'tf2t' remembers more than a round"),
        ({"types": {"a": "tft", "b": "nice"}}, "types.b: strategy is 'nice'"),
        ({"types": {"a": 3}}, "types.a: 3 is not allowed; must be a learner, a rule, or a strategy by name"),
        ({"selection": "fermi"}, "selection: events 0 and rate 0.0 given; allowed: one of them above 0"),
        (
            {"selection": shaping.selection("fermi", events=1, payoff="expected"), "size": 5000},
            "selection.payoff is expected at population.size 5000; allowed: a population.size up to 4096 where",
        ),
        (
            {"selection": shaping.selection("fermi", events=1, mutation=0.1, mutates="c")},
            "selection.mutates: 'c' is not allowed; must be uniform, noise or one of a, b",
        ),
        (
            {"selection": shaping.selection("fermi", events=1, among="neighbours")},
            "selection.among is neighbours; allowed: all with pairing well_mixed",
        ),
        ({"pairing": shaping.pairing("lattice", width=5)}, "pairing.width is 5 at population.size 8"),
        ({"game": envs.make("ipd", state_view="shared")}, "seats differ in what players see; allowed: games"),
    ],
)
def test_what_cannot_meet_is_refused_in_one_line(settings, message):
    given = {"game": ONE_SHOT, "types": {"a": shaping.naive(), "b": shaping.lola()}, "size": 8, "generations": 2}
    with pytest.raises(ConfigError, match=message) as error:
        shaping.evolve(**(given | settings))
    assert "\n" not in str(error.value)


def test_learners_leave_a_partner_that_is_worth_less_than_the_last_one():
    """What they remember is the value of the last generation with the partner before, however they came to part."""
    form, numbers = game_of(envs.make("ipd", discount=0.9), None, None)
    names = ("allc", "alld", "tft")
    learners, still = learners_of(populations._types(dict.fromkeys(names, form), dict(zip(names, names, strict=True))))
    rules = Rules(form, 12, 1, False, still)
    meeting = shaping.pairing("well_mixed", turnover=0.3, choice="elsewhere")
    template = Population((), (), numbers(), learners, (), meeting, shaping.selection(), rules, ())
    own = setup_of(populations._populations(template, (4, 4, 4), 0, np.arange(1), "float32"))
    kinds = np.repeat(np.arange(3, dtype=np.int32), 4)
    state = jax.jit(lambda kinds: meeting_population.begin(rules, own, kinds, jnp.float32))(kinds[None])
    payoffs = np.asarray(jax.jit(lambda: meeting_population.type_values(rules, own, jnp.float32))())[0]
    step = jax.jit(lambda state, number: engine.generation(rules, own, state, number, jnp.zeros((1, 3, 3)))[0])
    partner, value, left = None, None, 0
    for number in range(40):
        before, state = np.asarray(state.elsewhere[0]), step(state, jnp.int32(number))
        groups, remembered = np.asarray(state.places[0]).reshape(-1, 2), np.asarray(state.elsewhere[0])
        now = np.empty(12, int)
        now[groups[:, 0]], now[groups[:, 1]] = groups[:, 1], groups[:, 0]
        if number == 0:
            assert np.isnan(remembered).all()
        else:
            moved = now != partner
            np.testing.assert_allclose(remembered[moved], value[moved], atol=1e-5)
            kept = remembered[~moved]
            assert np.all((kept == before[~moved]) | np.isclose(kept, value[~moved], atol=1e-5) | np.isnan(kept))
        partner, value = now, payoffs[kinds, kinds[now]]
        wants_out = value < remembered - 1e-5
        np.testing.assert_array_equal(np.asarray(state.leaves[0]), wants_out[groups].any(axis=1))
        left += int(wants_out.sum())
    assert left > 0
