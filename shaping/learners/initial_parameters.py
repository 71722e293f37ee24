"""The parameters before the first update."""

from collections.abc import Sequence
from typing import Annotated, Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from shaping.learners.m_maml import MetaInitial, meta_learned
from shaping.objectives.objective import Objective
from shaping.policies.policy import Policy
from shaping.signatures import NonNegative, Positive, Range, checked


@struct.dataclass
class Initial:
    """A distribution of initial parameters.

    Attributes:
      numbers: the standard deviation (normal), the scale (fan_in), the half width (uniform), nothing (zeros, arcsine,
        logistic), the parameters themselves (values), or settings (m_maml).
      kind: which of these it is.
    """

    numbers: Any
    kind: str = struct.field(pytree_node=False)

    @property
    def learned(self) -> bool:
        """Whether the parameters are learned rather than drawn."""
        return self.kind == "m_maml"


@checked
def normal(scale: NonNegative = 1.0) -> Initial:
    """Independent normal parameters with mean 0 and standard deviation `scale`, at least 0."""
    return Initial(scale, "normal")


@checked
def fan_in(scale: NonNegative = 1.0) -> Initial:
    """The usual start of a network: uniform between +-scale / sqrt(inputs of the layer); see `policies.mlp`."""
    return Initial(scale, "fan_in")


@checked
def uniform(half_width: NonNegative = 1.0) -> Initial:
    """Independent parameters uniform between -half_width and half_width, at least 0."""
    return Initial(half_width, "uniform")


@checked
def m_maml(
    scale: NonNegative = 1.0,
    step_size: NonNegative = 1.0,
    outer_rate: Positive = 0.01,
    episodes: Annotated[int, Range(1)] = 1000,
    steps: Annotated[int, Range(1)] = 100,
    batch: Annotated[int, Range(1)] = 16,
) -> Initial:
    """Parameters from which naive learning does best against a naive opponent, found before the first update.

    See `shaping.learners.m_maml` for the meaning of the settings.

    Raises:
      ValueError: if a number of episodes, steps or opponents is below 1.
    """
    return Initial(MetaInitial(scale, step_size, outer_rate, episodes, steps, batch), "m_maml")


def _check_given(given: Any, policy: Policy, player: int) -> None:
    # The numbers that a script took from its environment are not checked.
    wanted = policy.shapes
    if not jax.tree.leaves(wanted) or jax.tree.map(jnp.shape, given) == jax.tree.map(lambda leaf: leaf.shape, wanted):
        return
    found, needed = (sum(int(np.prod(np.shape(x))) for x in jax.tree.leaves(tree)) for tree in (given, wanted))
    told = f"{found} given; allowed: {needed}" if found != needed else f"not in the shape of a {policy.kind}"
    raise ValueError(f"initial parameters of player {player}: {told}, like those of its policy")


def arcsine() -> Initial:
    """Logits of probabilities that are Beta(1/2, 1/2): more likely near 0 and 1 than between them."""
    return Initial((), "arcsine")


def logistic() -> Initial:
    """Logits of probabilities that are uniform between 0 and 1."""
    return Initial((), "logistic")


def zeros() -> Initial:
    """All parameters zero: every action equally likely."""
    return Initial((), "zeros")


def values(theta: Any) -> Initial:
    """The given parameters: for a tabular policy its logits, [states] (a list is enough); () for a policy without any.

    Raises:
      ValueError: if one is not finite.
    """
    listed = isinstance(theta, list | tuple) and len(theta) > 0
    given = np.asarray(theta, float) if listed else theta
    if isinstance(given, np.ndarray) and given.dtype.kind == "f" and not np.all(np.isfinite(given)):
        raise ValueError(f"theta is {theta!r}; allowed: finite numbers")
    return Initial(given, "values")


def initial_parameters(
    initial: Initial, key: jax.Array, policies: Sequence[Policy], player: int, objective: Objective, dtype: Any
) -> Any:
    """Parameters of one player's policy, drawn in float32 whatever the precision of the run, then cast to `dtype`."""
    policy = policies[player]
    if initial.kind == "m_maml":
        return meta_learned(initial.numbers, key, policies, player, objective, dtype)
    if initial.kind == "values":
        given = jax.tree.map(lambda leaf: jnp.asarray(leaf, dtype), initial.numbers)
        _check_given(given, policy, player)
        return given
    if initial.kind in ("uniform", "arcsine", "logistic"):
        leaves, structure = jax.tree.flatten(policy.shapes)
        keys = [jax.random.fold_in(key, place) for place in range(len(leaves))]
        drawn = [jax.random.uniform(k, x.shape, jnp.float32, -1, 1) for k, x in zip(keys, leaves, strict=True)]
        if initial.kind == "uniform":
            drawn = [jnp.asarray(initial.numbers, jnp.float32) * leaf for leaf in drawn]
        elif initial.kind == "logistic":
            chances = [jnp.clip((1 + leaf) / 2, 1e-7, 1 - 1e-7) for leaf in drawn]
            drawn = [jnp.log(chance) - jnp.log1p(-chance) for chance in chances]
        else:
            # The logit of sin(x)^2 with x uniform on (0, pi / 2); the ends are never drawn exactly.
            angles = [jnp.clip((1 + leaf) * (jnp.pi / 4), 1e-7, jnp.pi / 2 - 1e-7) for leaf in drawn]
            drawn = [2 * jnp.log(jnp.tan(angle)) for angle in angles]
        return structure.unflatten([leaf.astype(dtype) for leaf in drawn])
    scale = jnp.float32(0) if initial.kind == "zeros" else jnp.asarray(initial.numbers, jnp.float32)
    return jax.tree.map(lambda leaf: leaf.astype(dtype), policy.init(key, scale))
