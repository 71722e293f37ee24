"""Wrong arguments to the library raise a one-line error where they are passed."""

import dataclasses
import inspect
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import shaping
from shaping import envs
from shaping.population.players_by_name import every_player
from shaping.signatures import fields

ENV = envs.make("ipd")
TABLES = [shaping.tabular(5)] * 2
WRONG = (-1.0, math.nan, math.inf, "0.1", None, [1.0], True)


def one_return(thetas, parameters):
    return (jnp.sum(thetas[0]),)


def no_tuple(thetas, parameters):
    return jnp.sum(thetas[0])


def train(game=ENV, players=None, **more):
    return shaping.train(game, players or shaping.naive(), matches=1, updates=1, **more)


def sampled(**more):
    return shaping.sampled(ENV, TABLES, batch=2, horizon=3, **more)


def played(thetas=None, key=None, **more):
    thetas = [np.zeros(5)] * 2 if thetas is None else thetas
    return shaping.play(ENV, TABLES, thetas, jax.random.key(0) if key is None else key, 3, 2, **more)


def changed(**numbers):
    return dataclasses.replace(ENV.default_params, **numbers)


CALLS = {
    "lookaheads is -1": lambda: shaping.lola("exact", 1.0, lookaheads=-1),
    "lookaheads is 1.5": lambda: shaping.lola("exact", 1.0, lookaheads=1.5),
    "optimizer is 'adam'": lambda: shaping.gradient_learner(shaping.naive(), 0.1, "adam"),
    "b1 is nan": lambda: shaping.optimizer("adam", b1=math.nan),
    "initial is 'normal'": lambda: shaping.gradient_learner(shaping.naive(), 0.1, initial="normal"),
    "rule is 'naive'": lambda: shaping.gradient_learner("naive", 0.1),
    "players: 'naive' is not allowed": lambda: train(players="naive"),
    "players.1: 'lola' is not allowed": lambda: train(players=[shaping.naive(), "lola"]),
    "players: <function naive": lambda: train(players=shaping.naive),
    "policy: 'mlp' is not allowed": lambda: train(policy="mlp"),
    "parameters: 3.0 is not allowed": lambda: train(parameters=3.0),
    "initial parameters of player 0: 2 given; allowed: 5": lambda: train(
        players=shaping.gradient_learner(shaping.naive(), 0.1, initial=shaping.values([1.0, 2.0]))
    ),
    "theta is [1.0, nan]": lambda: shaping.values([1.0, math.nan]),
    "the game's function returns 1; allowed: 2 returns": lambda: train(shaping.Analytic(one_return, (1, 1))),
    "the game's function returns a single number": lambda: train(shaping.Analytic(no_tuple, (1, 1))),
    "num_parameters is -1": lambda: shaping.Analytic(one_return, (1, -1)),
    "num_parameters is 'ab'": lambda: shaping.Analytic(one_return, "ab"),
    "policies holds 'mlp'": lambda: shaping.sampled(ENV, ["mlp", "mlp"], horizon=3),
    "gae_lambda is 2.0": lambda: sampled(gae_lambda=2.0),
    "decay is nan": lambda: sampled(decay=math.nan),
    "discount is 'a'": lambda: sampled(discount="a"),
    "num_states is 2.5": lambda: shaping.tabular(2.5),
    "num_players is 0": lambda: shaping.mlp(0),
    "hidden is 16": lambda: shaping.mlp(2, 16),
    "hidden is -1": lambda: shaping.mlp(2, [-1]),
    "thetas[0] has arrays of the shapes [[4]]; allowed: [[5]]": lambda: played([jnp.zeros(4)] * 2),
    "key is 0; allowed: a random key": lambda: played(key=0),
    "discount is nan": lambda: played(discount=math.nan),
    "parameters.discount: ": lambda: train(parameters=changed(discount=jnp.float32(1.0))),
    "parameters.noise: ": lambda: train(parameters=changed(noise=jnp.float32([0.1, 1.1]))),
    "parameters.discount: has the shape [3]; must be []": lambda: train(parameters=changed(discount=jnp.zeros(3))),
    "parameters.payoffs: has the shape [2, 3, 3]; must": lambda: train(parameters=changed(payoffs=np.zeros((2, 3, 3)))),
    "configuration: None is not allowed; must be a YAML file": lambda: shaping.run(None),
    "configuration: [1] is not allowed": lambda: shaping.run([1]),
    "overrides: 'matches=3' is not allowed": lambda: shaping.run({}, overrides="matches=3"),
    "folder: 3 is not allowed; must be the path": lambda: shaping.load(3),
    "folder: None is not allowed": lambda: shaping.resume(None),
}


@pytest.mark.parametrize("said", CALLS)
def test_a_wrong_argument_is_told_in_one_line(said):
    with pytest.raises(ValueError) as told:
        CALLS[said]()
    assert str(told.value).startswith(said) and "\n" not in str(told.value)


@pytest.mark.parametrize("wrong", WRONG, ids=repr)
def test_step_sizes_rates_and_scales_are_numbers_from_0_on(wrong):
    for call, name in (
        (lambda: shaping.gradient_learner(shaping.naive(), wrong), "step_size"),
        (lambda: shaping.ppo(common=shaping.Common(wrong)), "step_size"),
        (lambda: shaping.lola("original", wrong), "lookahead_rate"),
        (lambda: shaping.normal(wrong), "scale"),
        (lambda: shaping.uniform(wrong), "half_width"),
    ):
        with pytest.raises(ValueError, match=f"^{name} is .*; allowed: a number, at least 0$"):
            call()


@pytest.mark.parametrize("name", every_player())
def test_every_setting_of_every_rule_and_learner_is_checked_where_it_is_given(name):
    factory = every_player()[name]
    for setting, field in fields(factory).items():
        if field.kind in ("number", "integer"):
            for wrong in (math.nan, "x"):
                with pytest.raises(ValueError, match=f"^{setting} is "):
                    factory(**{setting: wrong})


def test_what_is_right_passes_as_arrays_and_schedules_too():
    rates = np.array([0.0, 0.5], np.float32)
    assert shaping.lola("original", rates).settings.lookahead_rate is rates
    shaping.gradient_learner(shaping.naive(), shaping.schedule("cosine", start=0.1, steps=10))
    shaping.gradient_learner(shaping.naive(), jnp.float32(0.1))
    assert list(inspect.signature(shaping.lola).parameters)[0] == "variant" and "LOLA" in shaping.lola.__doc__
