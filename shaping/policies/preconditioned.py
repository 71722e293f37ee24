"""One logit per state, reached through a fixed linear map: logits = M theta."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from shaping.envs.spaces import Discrete
from shaping.policies.pickling import remakable
from shaping.policies.policy import Policy
from shaping.policies.tabular import tabular


@remakable
def preconditioned(matrix: Sequence[Sequence[float]] | np.ndarray) -> Policy:
    """A tabular policy in other coordinates: P(cooperate | s) = sigmoid((M theta)[s]), theta [parameters].

    A rule that is not invariant to reparameterisation learns something different in these coordinates (Zhao et al.
    2022, POLA, section 4).

    Args:
      matrix: M [states, parameters], states in the order start, CC, CD, DC, DD.

    Raises:
      ValueError: if the matrix does not have two dimensions, or if an entry is not finite.
    """
    m = np.asarray(matrix, float)
    if m.ndim != 2 or m.size == 0 or not np.all(np.isfinite(m)):
        raise ValueError("matrix must be finite numbers [states, parameters]")
    plain = tabular(m.shape[0])

    def init(key: jax.Array, scale: jax.Array) -> jax.Array:
        return scale * jax.random.normal(key, (m.shape[1],), jnp.float32)

    def table(theta: Any) -> Any:
        if isinstance(theta, jax.Array | np.ndarray):
            return jnp.sum(jnp.asarray(m, theta.dtype) * theta, axis=1)
        # Scalar by scalar, which is how a population stores them; zeros and ones of M cost nothing.
        return [_combination(row, theta) for row in m]

    def apply(theta: jax.Array, observation: jax.Array, memory: Any) -> tuple[Any, Any]:
        return plain.apply(table(theta), observation, memory)

    structure = tuple(map(tuple, m.tolist()))
    return Policy(
        "preconditioned",
        structure,
        init,
        lambda batch_shape: None,
        apply,
        table,
        observation_space=Discrete(m.shape[0]),
        action_space=Discrete(2),
    )


def _combination(row: np.ndarray, theta: Sequence[jax.Array]) -> jax.Array:
    terms = [x if weight == 1 else float(weight) * x for weight, x in zip(row, theta, strict=True) if weight]
    return sum(terms[1:], start=terms[0]) if terms else jnp.zeros_like(theta[0])
