"""Policies with fixed parameters."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from shaping import envs
from shaping.envs.spaces import Discrete
from shaping.objectives.exact_matrix import exact
from shaping.policies import fixed, memory_one, mlp, network, tabular

LOGITS = np.array([0.1, -0.2, 0.3, -0.4, 0.5])


def test_it_does_what_the_policy_does_with_its_parameters_and_has_none_itself():
    policy, still = tabular(21, memory=2), fixed(tabular(21, memory=2), np.linspace(-1, 1, 21))
    assert still.num_parameters == 0 and still.init(jax.random.key(0), jnp.float32(1)) == ()
    memory, own = policy.start(()), still.start(())
    for state in (0, 3, 1, 4):
        expected, memory = policy.apply(jnp.linspace(-1, 1, 21), jnp.int32(state), memory)
        found, own = still.apply((), jnp.int32(state), own)
        np.testing.assert_allclose(found.logits, expected.logits, rtol=1e-6)
    assert jax.tree.all(jax.tree.map(lambda a, b: bool(a == b), memory, own))


def test_what_is_known_of_the_policy_is_known_of_it():
    for policy in (tabular(5), tabular(21, memory=2), memory_one(5), mlp(2), network(Discrete(5), Discrete(2))):
        theta = jax.tree.map(lambda x: np.zeros(x.shape), policy.shapes)
        still = fixed(policy, theta)
        known = [(p.rounds, p.scalars, p.tabulated) for p in (policy, still)]
        assert known[0] == known[1], policy.kind
        if policy.tabulated:
            np.testing.assert_allclose(np.asarray(still.table(())), np.asarray(policy.table(theta)), rtol=1e-6)
        else:
            with pytest.raises(TypeError, match="no table of logits"):
                still.table(())


def test_it_plays_exact_games():
    with jax.enable_x64(True):
        env = envs.make("ipd", discount=0.9)
        other = jnp.asarray(-LOGITS)
        expected = exact(env, (tabular(5),) * 2)([jnp.asarray(LOGITS), other])[0]
        found = exact(env, (fixed(tabular(5), LOGITS), tabular(5)))([(), other])[0]
        np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_equal_ones_compile_to_the_same_program_and_others_do_not():
    first = fixed(tabular(5), LOGITS)
    assert first == fixed(tabular(5), LOGITS.copy()) and hash(first) == hash(fixed(tabular(5), LOGITS.copy()))
    others = [fixed(tabular(5), LOGITS + 1), fixed(memory_one(5), LOGITS), fixed(tabular(5), LOGITS.astype("float32"))]
    assert len({first, *others, tabular(5)}) == 5


def test_nothing_flows_back_and_parameters_keep_the_precision_of_a_run():
    still = fixed(tabular(5), LOGITS)
    assert still.apply((), jnp.int32(1), None)[0].logits.dtype == jnp.float32
    with jax.enable_x64(True):
        np.testing.assert_allclose(still.apply((), jnp.int32(1), None)[0].probs[0], 1 / (1 + np.exp(0.2)), rtol=1e-14)
