"""Streams that are used for different things are different streams."""

import ast
from itertools import combinations
from pathlib import Path

import jax
import numpy as np

import shaping.population.match as single
from shaping.population.random_keys import learner_key, match_key, purpose, use


def purposes(path):
    """(names used with a learner's key, names used with a match's)."""
    learners, matches = set(), set()
    for call in ast.walk(ast.parse(Path(path).read_text())):
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "use":
            key, name = call.args[0], call.args[1].value
            of_learner = isinstance(key, ast.Call) and key.func.attr == "key_of"
            (learners if of_learner else matches).add(name)
    return learners, matches


def test_a_match_and_a_learner_may_share_a_key_but_no_purpose_and_so_no_stream():
    same = [jax.random.key_data(key) for key in (match_key(0, 0, 2), learner_key(0, 0, 1))]
    np.testing.assert_array_equal(*same)
    learners, matches = purposes(single.__file__)
    assert learners == {"init", "update"} and matches == {"prepare", "play", "evaluation", "description"}
    every = [*learners, *matches, "draw"]
    numbers = [purpose(name) for name in every]
    assert len(set(numbers)) == len(every)
    # No purpose is a number that a match or a seat could have, so that keys of different depths do not meet either.
    assert min(numbers) > 10**6


def test_keys_of_every_use_in_a_small_run_are_distinct():
    found = {}
    for match in range(6):
        for seat in range(2):
            for name in ("init", "update"):
                for update in range(4):
                    found["learner", match, seat, name, update] = use(learner_key(0, match, seat), name, update)
        for name in ("prepare", "play", "evaluation", "description"):
            for update in range(4):
                found["match", match, name, update] = use(match_key(0, match, 2), name, update)
    data = {name: np.asarray(jax.random.key_data(key)).tobytes() for name, key in found.items()}
    assert len(set(data.values())) == len(data)


def test_meva_draws_nothing_twice():
    """The keys that its preparation folds: networks, the scale of returns, episodes and what an episode draws."""
    from shaping.rules import meva

    key, episodes, players = jax.random.key(0), 40, 2
    streams = [jax.random.fold_in(key, meva._NETWORKS + i) for i in range(2)]
    scales = jax.random.fold_in(key, meva._SCALES)
    streams += [jax.random.fold_in(jax.random.fold_in(scales, n), i) for n in range(40) for i in range(players)]
    for number in range(episodes):
        own = jax.random.fold_in(key, number)
        starts = jax.random.fold_in(own, 0)
        streams += [jax.random.fold_in(own, 1), jax.random.fold_in(own, 2)]
        streams += [jax.random.fold_in(jax.random.fold_in(starts, b), i) for b in range(3) for i in range(players)]
    data = [np.asarray(jax.random.key_data(stream)).tobytes() for stream in streams]
    assert all(a != b for a, b in combinations(data, 2))
