"""Who meets whom: everybody once, all possible partners equally often, and nobody else."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from shaping.population.gathering import check_pairing
from shaping.population.pairing import check_size, edges_of, matchings_of, met, moved, neighbours_of, pairing


def generations(own, size, count, seats=2, leaves=None):
    """The numbers of all encounters, [count, encounters, seats]."""
    key, matchings = jax.random.key(5), jnp.asarray(matchings_of(own, size))
    left = jnp.zeros(size // seats, bool) if leaves is None else leaves

    def one(places, generation):
        places = moved(own, key, generation, places, left)
        return places, met(own, key, generation, places, matchings, seats)

    return np.asarray(jax.jit(lambda: jax.lax.scan(one, jnp.arange(size, dtype=jnp.int32), jnp.arange(count))[1])())


def frequencies(found, size):
    """How often any two met, [size, size]."""
    counts = np.zeros((size, size))
    for pairs in found:
        own = pairs[pairs[:, 0] < size]
        counts[own[:, 0], own[:, 1]] += 1
    return counts + counts.T


def test_any_two_meet_equally_often_where_all_mix():
    """Chi-squared over the 45 pairs of ten learners in 9,000 generations; learners meet one other at a time, so that it
    has 45 - 10 degrees of freedom at a mean of 9/8 of them, within about 4 standard deviations."""
    found = generations(pairing(), 10, 9000)
    check_pairing(found, 10)
    counts = frequencies(found, 10)[np.triu_indices(10, 1)]
    assert np.sum((counts - 1000) ** 2 / 1000) < 40 + 4 * np.sqrt(2 * 40)


def test_pairs_that_stay_together_are_as_many_as_turnover_says():
    found = generations(pairing(turnover=0.3), 400, 50)
    check_pairing(found, 400)
    together = [{tuple(sorted(pair)) for pair in pairs.tolist()} for pairs in found]
    stayed = np.mean([len(a & b) for a, b in zip(together, together[1:], strict=False)]) / 200
    # Those who separate rarely meet again at once. 49 * 200 draws.
    assert abs(stayed - 0.7) < 4 * np.sqrt(0.21 / 9800) + 0.01


def test_whoever_is_left_gets_another_partner_though_turnover_is_nothing():
    leaves = jnp.arange(20) < 5
    found = generations(pairing(turnover=0.0), 40, 2, leaves=leaves)
    np.testing.assert_array_equal(found[0, 5:], found[1, 5:])
    assert np.any(found[0, :5] != found[1, :5])


def test_learners_meet_on_their_island_and_migrants_on_another():
    assert np.all(np.ptp(generations(pairing("islands", islands=4), 40, 20) // 10, axis=-1) == 0)
    mixing = generations(pairing("islands", islands=4, migration=0.2), 40, 400)
    check_pairing(mixing, 40)
    assert np.all(frequencies(mixing, 40)[~np.eye(40, dtype=bool)] > 0)


@pytest.mark.parametrize(
    ("own", "size", "degree", "matchings"),
    [
        pytest.param(pairing("ring"), 12, 2, 2, marks=pytest.mark.slow),
        (pairing("ring"), 9, 2, 3),
        pytest.param(pairing("lattice"), 16, 4, 4, marks=pytest.mark.slow),
        (pairing("lattice", width=4), 20, 4, 5),
        (pairing("graph", edges=[(0, 1), (1, 2), (2, 3), (3, 0), (0, 2)]), 4, None, 3),
    ],
)
def test_neighbours_and_nobody_else_meet_all_equally_often(own, size, degree, matchings):
    edges = {tuple(edge) for edge in edges_of(own, size).tolist()}
    each = matchings_of(own, size)
    assert len(each) == matchings
    seen = [tuple(sorted(edge)) for matching in each.tolist() for edge in matching if size not in edge]
    assert len(seen) == len(edges) and set(seen) == edges
    for matching in each:
        known = matching[matching < size]
        assert len(np.unique(known)) == len(known)
    neighbours, degrees = neighbours_of(own, size)
    for number in range(size):
        near = {a + b - number for a, b in edges if number in (a, b)}
        assert set(neighbours[number]) == near and degrees[number] == len(near)
    if degree:
        assert set(degrees) == {degree}
    met_ones = frequencies(generations(own, size, 60), size) > 0
    assert {(a, b) for a, b in np.argwhere(np.triu(met_ones)).tolist()} == edges


def test_graphs_come_from_files_and_from_networkx(tmp_path):
    file = tmp_path / "edges.txt"
    file.write_text("# a path, and a way back\n0 1\n1, 2\n\n2 3  # the last\n3 0\n")
    assert edges_of(pairing("graph", edges=str(file)), 4).tolist() == [[0, 1], [0, 3], [1, 2], [2, 3]]
    networkx = pytest.importorskip("networkx")
    own = pairing("graph", graph={"generator": "watts_strogatz_graph", "k": 4, "p": 0.2, "seed": 3})
    expected = networkx.watts_strogatz_graph(30, 4, 0.2, seed=3).edges()
    assert {tuple(edge) for edge in edges_of(own, 30).tolist()} == {tuple(sorted(edge)) for edge in expected}
    regular = pairing("graph", graph={"generator": "random_regular_graph", "d": 3})
    assert set(neighbours_of(regular, 20)[1]) == {3} and hash(regular.graph) == hash(regular.graph)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "edges and graph are not given; allowed: one of them"),
        ({"graph": {"k": 2}}, "pairing.graph is {'k': 2}; allowed: generator"),
        ({"graph": {"generator": "to_numpy_array"}}, "generator is 'to_numpy_array'; allowed: a generator of networkx"),
        ({"graph": {"generator": "cycle_graph", "k": 2}}, "pairing.graph.k is given; allowed: n"),
        ({"graph": {"generator": "random_regular_graph", "d": 30}}, "pairing.graph: random_regular_graph refuses"),
        ({"graph": {"generator": "star_graph"}}, "pairing.graph has 11 vertices; allowed: as many as population.size"),
        ({"graph": {"generator": "empty_graph"}}, "pairing: learner 0 has no neighbour"),
        ({"edges": "no_such_file"}, "pairing.edges is 'no_such_file'; allowed: a text file of edges"),
    ],
)
def test_graphs_that_do_not_fit_are_refused(settings, message):
    pytest.importorskip("networkx")
    with pytest.raises(ValueError, match=message):
        check_size(pairing("graph", **settings), 10, 2)


def test_groups_of_any_number_meet():
    found = generations(pairing(), 12, 5, seats=3)
    assert found.shape == (5, 4, 3)
    check_pairing(found, 12)


@pytest.mark.parametrize(
    ("own", "size", "seats", "message"),
    [
        (pairing(), 7, 2, "population.size is 7; allowed: a multiple of 2"),
        (pairing("islands", islands=3), 8, 2, "a multiple of 6, 2 meet on 3 islands"),
        (pairing("lattice", width=5), 16, 2, "pairing.width is 5 at population.size 16"),
        (pairing("graph", edges=[(0, 1)]), 3, 2, "learner 2 has no neighbour"),
        (pairing("graph", edges=[(0, 4)]), 3, 2, "pairing.edges has 0-4; allowed: two different numbers from 0 to 2"),
        (pairing("ring"), 9, 3, "allowed: games of two players, this one has 3"),
    ],
)
def test_a_population_that_cannot_be_paired_is_refused(own, size, seats, message):
    with pytest.raises(ValueError, match=message):
        check_size(own, size, seats)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"kind": "random"}, "pairing.kind is 'random'; allowed: fixed, well_mixed"),
        ({"turnover": 1.5}, "pairing.turnover is 1.5; allowed: 0 to 1"),
        ({"kind": "ring", "turnover": 0.5}, "turnover is given; allowed: with kind well_mixed, not ring"),
        ({"islands": 0, "kind": "islands"}, "pairing.islands is 0; allowed: an integer of 1 or more"),
        ({"choice": "never"}, "pairing.choice is 'never'"),
    ],
)
def test_settings_that_no_pairing_has_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        pairing(**settings)
