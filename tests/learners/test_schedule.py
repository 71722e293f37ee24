"""Step size schedules and clipped directions, as data in one program."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from shaping.learners import gradient_learner, optimizer, schedule, zeros
from shaping.learners.schedule import SCHEDULES
from shaping.objectives import from_returns
from shaping.policies import tabular
from shaping.rules import naive

SLOPE = np.array([3.0, -4.0], np.float32)
UPHILL = from_returns(lambda thetas: [jnp.sum(SLOPE * thetas[0])])


SGD = optimizer("sgd")


def path(step_size, by=SGD, updates=6):
    """theta after 0, 1, ... updates."""
    learner, key = gradient_learner(naive(), step_size, by, zeros()), jax.random.key(0)

    def step(state, _):
        return learner.step(key, [state], 0, UPHILL)[0], state.theta

    state = learner.init(key, key, (tabular(2),), 0, None, jnp.float32)
    return jax.lax.scan(step, state, None, length=updates)[1]


CASES = {
    "constant": ({"value": 0.3}, optax.constant_schedule(0.3)),
    "cosine": ({"start": 0.3, "steps": 4, "end_share": 0.1}, optax.cosine_decay_schedule(0.3, 4, 0.1)),
    "exponential": ({"start": 0.3, "steps": 2, "rate": 0.4}, optax.exponential_decay(0.3, 2, 0.4)),
    "linear": ({"start": 0.3, "steps": 4, "end": 0.1}, optax.linear_schedule(0.3, 0.1, 4)),
    "polynomial": ({"start": 0.3, "steps": 4, "power": 2.0}, optax.polynomial_schedule(0.3, 0.0, 2.0, 4)),
    "warmup_cosine": (
        {"peak": 0.3, "warmup": 2, "steps": 4, "end_share": 0.1},
        optax.warmup_cosine_decay_schedule(0.0, 0.3, 2, 6, 0.03),
    ),
}


@pytest.mark.parametrize("name", SCHEDULES)
def test_a_schedule_is_optax_s_own_and_its_numbers_are_data(name):
    settings, expected = CASES[name]
    own = schedule(name, **settings)
    doubled = jax.tree.map(lambda leaf: jnp.array([leaf, 0.5 * leaf]), own)
    found = jax.jit(jax.vmap(lambda own: path(own)))(doubled)
    sizes = np.array([expected(t) for t in range(6)])
    steps = np.diff(found[0], axis=0)
    np.testing.assert_allclose(steps, sizes[:5, None] * SLOPE, rtol=2e-5, atol=1e-7)
    assert not np.allclose(found[0], found[1])


def test_a_direction_longer_than_the_norm_is_cut_to_it_for_each_match_by_itself():
    norms = jnp.array([1.0, 100.0])
    found = jax.jit(jax.vmap(lambda norm: path(0.5, optimizer("sgd", clip_norm=norm), 2)))(norms)
    np.testing.assert_allclose(found[:, 1], [0.5 * SLOPE / 5, 0.5 * SLOPE], rtol=1e-6)
    assert not optimizer("sgd", clip_norm=1.0).elementwise and optimizer("sgd").elementwise


def test_what_is_no_schedule_is_refused_in_a_line():
    for name, settings, message in (
        ("cosin", {}, "unknown schedule 'cosin'; allowed: constant, cosine"),
        ("cosine", {"start": 1.0, "stps": 3}, "schedule cosine has no setting 'stps': allowed are start, steps"),
        ("cosine", {"start": 1.0}, "schedule cosine needs 'steps'"),
        ("cosine", {"start": 1.0, "steps": 0}, "steps is 0; allowed: an integer, at least 1"),
    ):
        with pytest.raises(ValueError, match=message):
            schedule(name, **settings)
    with pytest.raises(ValueError, match="clip_norm is 0: must be above 0"):
        optimizer("adam", clip_norm=0)
