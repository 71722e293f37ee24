"""Calls of the library with arguments of any kind."""

import inspect
from random import Random

import jax.numpy as jnp
import numpy as np

import shaping
from shaping import envs
from shaping.population.players_by_name import every_player
from tests.fuzz.checking import in_time

VALUES = [
    None,
    True,
    False,
    0,
    1,
    -1,
    2,
    5,
    0.5,
    -0.5,
    2.5,
    float("nan"),
    float("inf"),
    10**30,
    "",
    "adam",
    "exact",
    b"x",
    [],
    (),
    {},
    [1, 2],
    [[1.0, 2.0], [3.0, 4.0]],
    {"a": 1},
    np.zeros(3),
    np.array(["a"]),
    jnp.zeros(2),
    object,
    len,
]
CALLS = {
    **every_player(),
    **{
        name: getattr(shaping, name)
        for name in (
            "tabular",
            "mlp",
            "memory_one",
            "normal",
            "uniform",
            "fan_in",
            "values",
            "m_maml",
            "weights",
            "svo",
            "inequity_aversion",
            "optimizer",
            "schedule",
            "critic",
            "opponent_model",
            "strategy",
            "gradient_learner",
            "train",
            "run",
            "load",
            "resume",
            "report",
            "replay",
        )
    },
    **{f"envs.{name}": lambda name=name, **more: envs.make(name, **more) for name in envs.registered()},
}
"""What is called, by name; each with some of its own arguments."""
# These would train, or write.
NEVER_VALID = {"train": "game", "run": "source", **dict.fromkeys(("load", "resume", "report", "replay"), "folder")}


def _names(name, function):
    if name.startswith("envs."):
        factory = envs.ENVIRONMENTS.get(name[5:]) or envs.matrix.games.GAMES.get(name[5:])
        own = list(inspect.signature(factory).parameters) if factory else ["payoffs"]
        return [*own, "discount", "noise", "horizon", "auto_reset", "messages", "nothing"]
    return list(inspect.signature(function).parameters)


def check_case(seed):
    """Makes one call. It returns, or it raises a ValueError of one line, or Python itself refuses the arguments' names.

    Raises:
      AssertionError: tells the call and what went wrong.
    """
    random = Random(seed)
    name = random.choice(list(CALLS))
    function = CALLS[name]
    known = _names(name, function)
    chosen = random.sample(known, random.randrange(len(known) + 1))
    given = {key: random.choice(VALUES) for key in chosen}
    if name in NEVER_VALID:
        given[NEVER_VALID[name]] = random.choice([None, 3, [], (), 2.5, object, len])
        given.pop("match", None)
    try:
        with in_time(f"case {seed}"):
            function(**given)
    except ValueError as error:
        assert str(error) and "\n" not in str(error), f"case {seed}: {name}({given}): {error!r}"
    except TypeError as error:
        wrong_call = "required" in str(error) or "unexpected keyword" in str(error) or "positional" in str(error)
        assert wrong_call, f"case {seed}: {name}({given}): {error!r}"
    except Exception as error:
        raise AssertionError(f"case {seed}: {name}({given}): {type(error).__name__}: {error}") from error
