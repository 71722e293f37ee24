"""Learned initial parameters against learning written out step by step, and their values."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from shaping import envs
from shaping.learners.initial_parameters import m_maml
from shaping.learners.m_maml import MetaInitial, meta_learned
from shaping.objectives import exact, from_returns
from shaping.policies import tabular
from shaping.policies.tabular import parameters
from tests.compiling import quickly

GAME, POLICIES = exact(envs.make("ipd"), (tabular(5),) * 2), (tabular(5),) * 2


def test_one_episode_moves_the_start_by_adam_s_first_step_along_the_gradient_through_learning(x64):
    """Adam's first step is the sign of the gradient times its rate; the gradient by central differences."""
    settings = MetaInitial(1.0, 0.5, 0.01, 1, 3, 1)
    key = jax.random.key(4)
    found = quickly(lambda k: meta_learned(settings, k, POLICIES, 0, GAME, jnp.float64))(key)
    start = POLICIES[0].init(jax.random.fold_in(key, 0), jnp.float32(1)).astype(jnp.float64)
    # The first episode's first opponent.
    own = jax.random.fold_in(jax.random.fold_in(key, len(POLICIES)), 0)
    opponent = POLICIES[1].init(jax.random.fold_in(own, 1), jnp.float32(1)).astype(jnp.float64)

    @quickly
    @jax.vmap
    def updated(own, other):
        """Everybody's parameters after one more update, and the return there."""
        ts = [own, other]
        slopes = [jax.grad(lambda t, i=i: GAME.of(i, [*ts[:i], t, *ts[i + 1 :]]))(ts[i]) for i in range(2)]
        after = [t + 0.5 * s for t, s in zip(ts, slopes, strict=True)]
        return after, GAME.of(0, after)

    thetas = [start + 1e-5 * np.concatenate([np.eye(5), -np.eye(5)]), jnp.stack([opponent] * 10)]
    returns = []
    for _ in range(3):
        thetas, value = updated(*thetas)
        returns.append(value)
    mean_return = np.mean(returns, axis=0)
    gradient = (mean_return[:5] - mean_return[5:]) / 2e-5
    np.testing.assert_allclose(found - start, 0.01 * gradient / (np.abs(gradient) + 1e-8), rtol=1e-4)


@pytest.mark.slow
def test_learned_starts_are_worth_more_to_a_naive_learner_than_random_ones():
    settings = MetaInitial(outer_rate=0.1, episodes=100, steps=30, batch=8)
    prepare = jax.vmap(lambda k: meta_learned(settings, k, POLICIES, 0, GAME, jnp.float32))
    starts = quickly(prepare)(jax.random.split(jax.random.key(0), 8))

    def worth(start, key):
        def update(_, carry):
            thetas, total = carry
            thetas = [
                t + jax.grad(lambda x, i=i: GAME.of(i, [*thetas[:i], x, *thetas[i + 1 :]]))(t)
                for i, t in enumerate(thetas)
            ]
            return thetas, total + 0.04 * GAME.of(0, thetas) / 30

        return jax.lax.fori_loop(0, 30, update, ([start, jax.random.normal(key, (5,))], 0.0))[1]

    keys = jax.random.split(jax.random.key(1), 64)
    mean = jax.jit(jax.vmap(lambda s: jnp.mean(jax.vmap(lambda k: worth(s, k))(keys))))
    random = jax.random.normal(jax.random.key(2), (8, 5))
    assert float(jnp.mean(mean(starts))) > float(jnp.mean(mean(random))) + 0.15


def test_a_start_that_cannot_matter_stays_where_it_was_drawn():
    objective, policies = from_returns(lambda thetas: [0.0 * theta[0] for theta in thetas]), (parameters(1),) * 2
    key = jax.random.key(0)
    found = meta_learned(MetaInitial(2.0, 1.0, 0.1, 2, 2, 2), key, policies, 1, objective, jnp.float32)
    np.testing.assert_array_equal(found, policies[1].init(jax.random.fold_in(key, 1), jnp.float32(2.0)))


def test_numbers_of_episodes_below_one_are_refused():
    with pytest.raises(ValueError, match="episodes is 0; allowed: an integer, at least 1"):
        m_maml(episodes=0)
