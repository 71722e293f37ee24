"""Derivatives of one player's return with respect to one player's parameters, and arithmetic on parameter pytrees."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from shaping.objectives.objective import Objective, Thetas


def replace(thetas: Thetas, player: int, theta: Any) -> list[Any]:
    """The same parameters with one seat's replaced."""
    new = list(thetas)
    new[player] = theta
    return new


def gradient(objective: Objective, thetas: Thetas, of: int, wrt: int, key: jax.Array | None = None) -> Any:
    """The gradient of player `of`'s return with respect to player `wrt`'s parameters."""
    return jax.grad(lambda theta: objective.of(of, replace(thetas, wrt, theta), key))(thetas[wrt])


def gradients(
    objective: Objective, thetas: Thetas, of: Sequence[int], key: jax.Array | None = None
) -> dict[int, list[Any]]:
    """For each player in `of`, the gradients of its return with respect to the parameters of every player.

    The objective is evaluated once and each player adds one backward pass, so that programs stay small for many
    players.
    """
    if len(thetas) <= 2:
        # One by one: in a joint pass, zero cotangents for the other returns would turn their infinite derivatives into
        # NaN.
        return {i: jax.grad(lambda ts, i=i: objective.of(i, ts, key))(list(thetas)) for i in of}
    returns, pull_back = jax.vjp(lambda ts: tuple(objective(ts, key)[0]), list(thetas))
    ones = {i: tuple(jnp.full_like(r, i == j) for j, r in enumerate(returns)) for i in of}
    return dict(zip(of, batched(lambda one: pull_back(one)[0], list(ones.values())), strict=True))


def batched(linear: Callable[[Any], Any], arguments: list[Any]) -> list[Any]:
    """A function of each argument: one after the other for up to two, in one batch for more, which compiles faster."""
    if len(arguments) <= 2:
        return [linear(argument) for argument in arguments]
    stacked = jax.vmap(linear)(jax.tree.map(lambda *leaves: jnp.stack(leaves), *arguments))
    return [jax.tree.map(lambda leaf, k=k: leaf[k], stacked) for k in range(len(arguments))]


def computed_once(tree: Any) -> Any:
    """The same values, behind a branch that XLA cannot see through.

    Without it, XLA's fusion would recompute them wherever they are used, and nested steps at every level, which takes
    minutes to compile. A barrier alone is not enough, because it is removed before fusion.
    """
    always = lax.optimization_barrier(jnp.array(True))
    return lax.cond(always, lambda same: same, lambda same: jax.tree.map(jnp.zeros_like, same), tree)


def move(theta: Any, rate: Any, direction: Any) -> Any:
    """theta + rate * direction, leaf by leaf."""
    return jax.tree.map(lambda t, d: t + rate * d, theta, direction)


def opponents_step(objective: Objective, thetas: Thetas, player: int, rate: Any, key: jax.Array | None) -> list[Any]:
    """The parameters of all players after one imagined step of all but `player`, each along its own gradient, at
    once."""
    others = [j for j in range(len(thetas)) if j != player]
    ascent = gradients(objective, thetas, others, key)
    after = list(thetas)
    for j in others:
        after[j] = computed_once(move(thetas[j], rate, ascent[j][j]))
    return after


def add(*trees: Any) -> Any:
    """The sum of pytrees, leaf by leaf."""
    return jax.tree.map(lambda *leaves: sum(leaves[1:], start=leaves[0]), *trees)


def scale(coefficient: jax.Array, tree: Any) -> Any:
    """coefficient * tree; a coefficient of zero gives zero even where the tree is infinite."""
    return jax.tree.map(lambda leaf: jnp.where(coefficient == 0, jnp.zeros_like(leaf), coefficient * leaf), tree)
