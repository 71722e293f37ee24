"""Whose copy everybody becomes: one event after another, or many at once."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from shaping.population.selection import Scene, expected_payoffs, selected, selection

VALUES = np.array([0.0, 1.0, 2.0, 3.0])
TYPES = np.array([0, 0, 1, 1], np.int32)
MATRIX = np.array([[1.0, 4.0], [0.0, 2.0]])


def outcomes(own, count=4000, mutant=None, values=VALUES, types=TYPES, near=None, each=None):
    """Many selections of one population, leaves [count, ...]."""
    neighbours, degrees = near or (jnp.zeros((4, 1), jnp.int32), jnp.ones(4, jnp.int32))
    scene = Scene(jnp.asarray(values, jnp.float32), jnp.asarray(types), jnp.asarray(MATRIX), neighbours, degrees, each)
    keys = jax.random.split(jax.random.key(0), count)
    return jax.tree.map(np.asarray, jax.jit(jax.vmap(lambda key: selected(own, key, scene, mutant)))(keys))


def close(frequency, expected, count):
    """Within four standard errors."""
    spread = np.sqrt(np.asarray(expected) * (1 - np.asarray(expected)) / count)
    assert np.all(np.abs(np.asarray(frequency) - expected) < 4 * spread + 1e-9)


def imitation(intensity):
    """P(i becomes a copy of j) in one event of Fermi imitation, [4, 4]."""
    found = 1 / (1 + np.exp(-intensity * (VALUES[None] - VALUES[:, None]))) / 12
    np.fill_diagonal(found, 0)
    return found


def test_one_imitation_is_of_a_random_other_by_the_fermi_function():
    found = outcomes(selection("fermi", intensity=1.5, events=1))
    counts = np.zeros((4, 4))
    for parents in found.parents:
        for i in np.flatnonzero(parents != np.arange(4)):
            counts[i, parents[i]] += 1
    close(counts / 4000, imitation(1.5), 4000)
    np.testing.assert_array_equal(found.imitations, np.sum(found.parents != np.arange(4), axis=1))


def test_imitations_one_after_another_are_a_chain_of_single_ones():
    """At this intensity nobody copies what is worse, and after enough events nearly all are copies of the best."""
    found = outcomes(selection("fermi", intensity=1e6, events=40), 50)
    assert np.all(found.parents >= np.arange(4)) and np.mean(found.parents) > 2.9
    np.testing.assert_array_equal(found.types, TYPES[found.parents])


def test_all_at_once_everybody_compares_with_the_old_values():
    found = outcomes(selection("fermi", intensity=1.5, rate=0.5))
    for i in range(4):
        close(
            [np.mean(found.parents[:, i] == j) for j in range(4) if j != i], np.delete(2 * imitation(1.5)[i], i), 4000
        )


@pytest.mark.parametrize("kind", ["birth_death", "death_birth"])
def test_parents_are_drawn_by_fitness(kind):
    found, fitness = outcomes(selection(kind, intensity=0.7, events=1)), np.exp(0.7 * VALUES)
    counts = np.zeros((4, 4))
    for parents in found.parents:
        (gone,) = np.flatnonzero(parents != np.arange(4))
        counts[gone, parents[gone]] += 1
    others = 1 - np.eye(4)
    born = others * fitness
    expected = others * fitness / fitness.sum() / 3 if kind == "birth_death" else born / born.sum(1, keepdims=True) / 4
    close(counts / 4000, expected, 4000)


def test_truncation_replaces_the_lowest_by_the_highest():
    found = outcomes(selection("truncation", rate=0.25), 1)
    np.testing.assert_array_equal(found.parents[0], [3, 1, 2, 3])


def test_expected_payoffs_leave_oneself_out():
    found = expected_payoffs(jnp.asarray(MATRIX), jnp.array([3, 2]))
    np.testing.assert_allclose(found, [(2 * 1 + 2 * 4) / 4, (0 + 1 * 2) / 4])


def test_expected_payoffs_follow_the_composition_from_event_to_event():
    """Two of a type that is worth 4 against the other and 1 against itself win at any intensity, then nothing does."""
    found = outcomes(selection("fermi", intensity=1e6, events=60, payoff="expected"), 20)
    assert np.all(found.types == 0)


@pytest.mark.parametrize("kind", ["fermi", "birth_death", "death_birth"])
def test_expected_payoffs_of_every_learner_are_those_of_types_where_these_are_alike(kind):
    """The same words lead to the same copies, event after event, while the composition changes."""
    own = selection(kind, intensity=1.5, events=12, payoff="expected", mutation=0.1, mutates="noise")
    by_type, by_learner = outcomes(own, 300), outcomes(own, 300, each=jnp.asarray(MATRIX[TYPES][:, TYPES]))
    assert np.mean(np.any(by_type.parents != by_learner.parents, axis=1)) < 0.02
    assert np.any(by_type.parents != np.arange(4))


def test_all_at_once_the_payoffs_of_every_learner_count():
    """Learner 2 is worth most to the others, learner 1 most against them."""
    each = jnp.asarray([[9.0, 1, 1, 1], [2, 0, 2, 2], [0, 0, 9, 0], [1, 1, 1, 9]])
    found = outcomes(selection("truncation", rate=0.25, payoff="expected"), 1, each=each)
    np.testing.assert_array_equal(found.parents[0], [0, 1, 1, 3])


def test_mutants_are_of_any_type_or_of_the_one_that_is_named():
    found = outcomes(selection("fermi", events=1, mutation=1.0))
    assert np.all(found.mutations == 1) and np.all(found.imitations == 0)
    close(np.mean(found.types[found.mutated]), 0.5, 4000)
    named = outcomes(selection("fermi", rate=0.5, mutation=0.5, mutates="x"), mutant=1)
    close(np.mean(named.mutated), 0.25, 16000)
    assert np.all(named.types[named.mutated] == 1)


def test_among_neighbours_nobody_else_is_copied():
    ring = (jnp.asarray([[1, 3], [0, 2], [1, 3], [2, 0]], jnp.int32), jnp.full(4, 2, jnp.int32))
    for own in (
        selection("fermi", events=1, among="neighbours"),
        selection("death_birth", events=1, among="neighbours"),
        selection("birth_death", events=1, among="neighbours"),
        selection("fermi", rate=1.0, among="neighbours"),
    ):
        found = outcomes(own, 200, near=ring)
        apart = (found.parents - np.arange(4)) % 4
        assert set(apart.ravel()) == {0, 1, 3}


def test_nobody_copies_somebody_whose_value_is_not_known():
    found = outcomes(selection("fermi", events=20, intensity=0.0), 50, values=[0.0, np.nan, 1.0, 2.0])
    assert not np.any(found.parents[:, [0, 2, 3]] == 1) and np.all(found.parents[:, 1] == 1)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"kind": "tournament"}, "selection.kind is 'tournament'; allowed: none, fermi"),
        ({"kind": "fermi"}, "events 0 and rate 0.0 given; allowed: one of them above 0"),
        ({"kind": "fermi", "events": 1, "rate": 0.5}, "events 1 and rate 0.5 given"),
        ({"kind": "birth_death", "rate": 0.5}, "selection.rate is 0.5; allowed: 0 with kind birth_death"),
        ({"kind": "fermi", "rate": 1.5}, "selection.rate is 1.5; allowed: 0 to 1"),
        ({"kind": "fermi", "events": 1, "intensity": -1.0}, "selection.intensity is -1.0; allowed: at least 0"),
        ({"kind": "none", "events": 3}, "allowed: with a kind other than none"),
        ({"kind": "fermi", "events": 1, "fitness": "linear"}, "selection.fitness is linear"),
        ({"kind": "truncation", "events": 1}, "selection.events is 1; allowed: 0 with kind truncation"),
    ],
)
def test_settings_that_no_selection_has_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        selection(**settings)
