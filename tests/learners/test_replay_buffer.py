"""A ring buffer of the last entries, and parameters that track others."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from shaping.learners import replay_buffer
from shaping.rules.target_network import polyak


def test_a_ring_keeps_the_last_entries_and_draws_from_those_alone():
    like = {"x": jax.ShapeDtypeStruct((2,), jnp.float32), "n": jax.ShapeDtypeStruct((), jnp.int32)}

    def filled(count):
        def step(kept, n):
            return replay_buffer.add(kept, {"x": jnp.full(2, n, jnp.float32), "n": n}), None

        kept, _ = jax.lax.scan(step, replay_buffer.init(like, 3), jnp.arange(1, count + 1))
        return kept, replay_buffer.sample(kept, jax.random.key(0), 300)

    for count, held in ((1, {1}), (2, {1, 2}), (3, {1, 2, 3}), (7, {5, 6, 7})):
        kept, drawn = jax.jit(filled, static_argnums=0)(count)
        assert set(np.asarray(drawn["n"]).tolist()) == held
        np.testing.assert_array_equal(drawn["x"][:, 0], drawn["n"])
        assert kept.seen == count and kept.capacity == 3
    assert np.all(np.asarray(replay_buffer.sample(replay_buffer.init(like, 3), jax.random.key(0), 5)["n"]) == 0)
    with pytest.raises(ValueError, match="capacity is 0: must be at least 1"):
        replay_buffer.init(like, 0)


def test_draws_are_uniform():
    kept = replay_buffer.init(jax.ShapeDtypeStruct((), jnp.int32), 5)
    for n in range(5):
        kept = replay_buffer.add(kept, jnp.int32(n))
    counts = np.bincount(np.asarray(replay_buffer.sample(kept, jax.random.key(1), 10_000)), minlength=5)
    assert np.all(np.abs(counts - 2000) < 4 * np.sqrt(2000 * 0.8))


def test_a_target_follows_at_its_rate():
    old, new = {"w": jnp.array([0.0, 4.0])}, {"w": jnp.array([1.0, 0.0])}
    np.testing.assert_allclose(polyak(old, new, 0.25)["w"], [0.25, 3.0])
    np.testing.assert_allclose(polyak(old, new, 1.0)["w"], new["w"])
