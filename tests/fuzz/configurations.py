"""Shipped configurations with something changed at random. Nothing is trained: they are planned or refused."""

import contextlib
import copy
from functools import cache
from random import Random

from shaping.config.errors import ConfigError
from shaping.config.files import read, shipped
from shaping.config.plan import plan
from shaping.config.resolved import plain_data
from shaping.config.yaml_text import as_yaml, parse
from tests.fuzz.checking import in_time

VALUES = [
    None,
    True,
    0,
    -1,
    1,
    2.5,
    1e300,
    1e-300,
    float("nan"),
    float("inf"),
    10**30,
    "",
    "lola",
    "naive",
    "\ud800",
    "a\nb",
    [],
    {},
    [1, 2],
    [[1, 2], [3, 4]],
    {"a": 1},
    {"uniform": [0, 1]},
    {"linspace": [0, 1, 3]},
    {"logspace": [0.1, 1, 2]},
    {"normal": 1.0},
    {"rule": "naive"},
    {"strategy": "tft"},
    {"name": "ipd"},
    [None, None],
]
KEYS = [
    "game",
    "game.name",
    "game.discount",
    "game.noise",
    "game.horizon",
    "players",
    "players.*.rule",
    "players.*.step_size",
    "players.0.init",
    "players.0.reward",
    "players.1",
    "policy",
    "policy.kind",
    "policy.init",
    "policy.init.normal",
    "objective",
    "objective.kind",
    "objective.batch",
    "optimizer",
    "optimizer.b1",
    "population",
    "seed",
    "updates",
    "nothing",
    "",
    ".",
]
TOP = ["matches", "updates", "record_every", "record", "log", "checkpoint", "tie", "variants", "published", "title"]


@cache
def _shipped():
    return [read(path) for path in shipped().values()]


def configuration(random):
    """A shipped configuration after one to three changes."""
    raw = copy.deepcopy(random.choice(_shipped()))
    for _ in range(random.choice([1, 1, 2, 3])):
        change = random.choice([_put, _put, _drop, _sweep, _top])
        change(raw, random)
    return raw


def _put(tree, random):
    """Another value somewhere."""
    while isinstance(tree, dict | list) and tree:
        name = random.choice(list(tree) if isinstance(tree, dict) else range(len(tree)))
        if not isinstance(tree[name], dict | list) or not tree[name] or random.random() < 0.3:
            tree[name] = copy.deepcopy(random.choice(VALUES))
            return
        tree = tree[name]


def _drop(tree, random):
    if tree:
        del tree[random.choice(list(tree))]


def _sweep(tree, random):
    if not isinstance(tree.get("sweep"), dict):
        tree["sweep"] = {}
    spec = random.choice(VALUES)
    tree["sweep"][random.choice(KEYS)] = [spec, random.choice(VALUES)] if random.random() < 0.7 else spec


def _top(tree, random):
    tree[random.choice(TOP)] = copy.deepcopy(random.choice(VALUES))


def check_case(seed):
    """Plans one configuration.

    Raises:
      AssertionError: tells the configuration and what went wrong.
    """
    raw = configuration(Random(seed))
    before = repr(raw)
    try:
        with in_time(f"case {seed}"), contextlib.suppress(_RefusedError):
            found = _planned(raw)
            # What is written beside a record is the same experiment.
            again = _planned(parse(as_yaml(plain_data(found.resolved()))))
            assert (again.cells, again.matches) == (found.cells, found.matches)
            assert set(again.coordinates) == set(found.coordinates)
        assert repr(raw) == before, "changed what it was given"
    except Exception as failure:
        raise AssertionError(f"case {seed}: {before[:2000]}: {type(failure).__name__}: {failure}") from failure


class _RefusedError(Exception):
    pass


def _planned(raw):
    try:
        return plan(raw)
    except ConfigError as error:
        assert str(error) and "\n" not in str(error), repr(str(error))
        raise _RefusedError from error
