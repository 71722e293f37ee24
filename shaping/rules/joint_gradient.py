"""The joint gradient of all seats and products with its Jacobian.

In the notation of differentiable games (Balduzzi et al. 2018, section 2; Letcher et al. 2019, section 2), player i's
loss is L_i = -V_i and

    xi  = (nabla_1 L_1, ..., nabla_n L_n)         the joint gradient, which naive learners descend
    H   = nabla xi                                its Jacobian, blocks H_ij = nabla_j nabla_i L_i
    H_o                                           H without its diagonal blocks

A joint vector is a list with one pytree per seat, shaped like that seat's parameters. The Jacobian is not built: rules
multiply by it. Only the two rules that solve a system need it written out, by `dense`, or one block of it, by
`block_of_scalars`.
"""

import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree

from shaping.objectives.objective import Objective, Thetas
from shaping.objectives.population_axis import population_last
from shaping.rules.gradients import add, batched, gradient, gradients, replace

JointVector = list[Any]

# Up to this many scalar parameters of all players, the columns of H are computed one by one.
_UNROLLED = 12


@dataclass(frozen=True)
class Joint:
    """The joint gradient at one point, and its Jacobian there as a linear map.

    Attributes:
      xi: the joint gradient.
      times: `v -> H v`, in forward mode.
      transposed_times: `v -> H^T v`, the transpose of the same linear map.
    """

    xi: JointVector
    times: Callable[[JointVector], JointVector]
    transposed_times: Callable[[JointVector], JointVector]


def joint(objective: Objective, thetas: Thetas, key: jax.Array | None = None) -> Joint:
    """xi and the products with H at `thetas`, linearised once."""
    xi, times = jax.linearize(lambda current: joint_gradient(objective, current, key), list(thetas))
    transpose = jax.linear_transpose(times, list(thetas))
    return Joint(xi, times, lambda v: transpose(v)[0])


def joint_gradient(objective: Objective, thetas: Thetas, key: jax.Array | None = None) -> JointVector:
    """Only xi: every player's gradient of its own loss."""
    everyone = range(len(thetas))
    found = gradients(objective, thetas, everyone, key)
    return [minus(found[i][i]) for i in everyone]


def off_diagonal_times(at: Joint, v: JointVector) -> JointVector:
    """H_o v: how the others' moves along v change each player's own gradient; takes one product with H per seat."""
    everyone = range(len(v))
    still = zeros(v)
    alone = batched(at.times, [replace(still, j, v[j]) for j in everyone])
    return [add(*(alone[j][i] for j in everyone if j != i)) for i in everyone]


def dense(at: Joint) -> tuple[jax.Array, jax.Array, Callable[[jax.Array], JointVector]]:
    """(xi [d], H [d, d], function from [d] to a joint vector), where d is the number of parameters of all seats."""
    flat, unflatten = ravel_pytree(at.xi)
    leaves, structure = jax.tree.flatten(at.xi)
    if len(leaves) <= _UNROLLED and all(jnp.ndim(leaf) == 0 for leaf in leaves):
        scalars = [jax.tree.leaves(at.times(jax.tree.unflatten(structure, unit))) for unit in _units(leaves)]
        return flat, _columns(scalars), unflatten
    columns = jax.vmap(lambda v: ravel_pytree(at.times(unflatten(v)))[0])(jnp.eye(flat.size, dtype=flat.dtype))
    return flat, columns.T, unflatten


def block_of_scalars(
    objective: Objective, thetas: Thetas, player: int, wrt: int, key: jax.Array | None = None
) -> tuple[list[jax.Array], list[list[jax.Array]]]:
    """(xi_i [d_i], H_ij [d_i][d_j]) for i = `player` and j = `wrt`, where all parameters are scalars."""

    def own(theta: Any) -> list[jax.Array]:
        return jax.tree.leaves(minus(gradient(objective, replace(thetas, wrt, theta), player, player, key)))

    leaves, structure = jax.tree.flatten(thetas[wrt])
    xi, push = jax.linearize(own, thetas[wrt])
    columns = [push(jax.tree.unflatten(structure, unit)) for unit in _units(leaves)]
    return xi, [list(row) for row in zip(*columns, strict=True)]


def _units(leaves: Sequence[jax.Array]) -> list[list[jax.Array]]:
    """The unit vectors of a space of scalars, to be pushed forward one by one: under `vmap`, rows of a few numbers
    would be last in memory, where the population should be."""
    return [[jnp.full_like(leaf, j == k) for j, leaf in enumerate(leaves)] for k in range(len(leaves))]


@population_last
def _columns(columns: list[list[jax.Array]]) -> jax.Array:
    """The matrix [n, m, *batch] with m columns of n scalars."""
    rows = list(zip(*columns, strict=True))
    # Entries that are the same in the whole population came without its axis.
    entries = jnp.broadcast_arrays(*(entry for row in rows for entry in row))
    return jnp.stack(entries).reshape(len(rows), len(columns), *entries[0].shape)


def seat_of_entry(vector: JointVector) -> list[int]:
    """For each entry of the flattened joint vector, the seat that owns it."""
    return [seat for seat, part in enumerate(vector) for _ in range(length(part))]


def length(tree: Any) -> int:
    """How many numbers a pytree holds."""
    return sum(jnp.size(leaf) for leaf in jax.tree.leaves(tree))


def inner(u: Any, v: Any) -> jax.Array:
    """The inner product of two pytrees of the same structure."""
    return reduce(operator.add, jax.tree.leaves(jax.tree.map(lambda a, b: jnp.sum(a * b), u, v)))


def minus(tree: Any) -> Any:
    """The negative of a pytree."""
    return jax.tree.map(jnp.negative, tree)


def zeros(tree: Any) -> Any:
    """A pytree of zeros of the same shape."""
    return jax.tree.map(jnp.zeros_like, tree)
