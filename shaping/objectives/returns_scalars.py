"""Discounted returns of a repeated game, scalar by scalar: for two and three players, where it is fastest for a population.

The returns and their first derivatives are the policy-gradient theorem in closed form. With c_j(s) the probability that j
cooperates in state s, P the chain over joint actions a, and s_0 the start,

    d   = p0 + gamma P^T d                               discounted occupancy of joint actions
    u_i = r_i + gamma P u_i                              return of i from playing a, then following the policies
    V_i = sum_a d(a) r_i(a)
    dV_i / dc_j(s) = occ(s) sum_{a_-j} prod_{k != j} Pr_k(a_k | s) ( u_i(C, a_-j) - u_i(D, a_-j) )

with occ(s_0) = 1 and occ(a) = gamma d(a). Higher derivatives follow by differentiating this expression, in which d and u_i
come from `custom_linear_solve`: every order costs more solves with the same factors, never a pass through the elimination.
"""

import itertools
import math
from collections.abc import Sequence
from typing import Any

import jax
from jax import lax

from shaping.objectives.elimination import (
    Scalars,
    factorise_scalars,
    solve_scalars,
    solve_scalars_transposed,
)


@jax.custom_jvp
def returns_scalars(
    cooperation: Sequence[Scalars], payoffs: Sequence[Scalars], discount: jax.Array
) -> list[jax.Array]:
    """Unnormalised returns of an infinitely repeated game, one scalar per player.

    Args:
      cooperation: [players][1 + joint actions] P(execute C | joint state), the start first.
      payoffs: [players][joint actions], joint actions in binary counting with C = 0, seat 0 most significant.
      discount: scalar in [0, 1).
    """
    visits = _Chain(cooperation, discount).visits()
    return [_dot(visits, row) for row in payoffs]


@returns_scalars.defjvp
def _jvp(primals: tuple[Any, ...], tangents: tuple[Any, ...]) -> tuple[list[jax.Array], list[jax.Array]]:
    cooperation, payoffs, discount = primals
    cooperation_dot, payoffs_dot, discount_dot = tangents
    chain = _Chain(cooperation, discount)
    visits = chain.visits()
    occupancy = [1, *(discount * d for d in visits)]
    out, out_dot = [], []
    for own_payoffs, own_payoffs_dot in zip(payoffs, payoffs_dot, strict=True):
        following = chain.following(own_payoffs)
        change = _dot(visits, own_payoffs_dot)
        change += discount_dot * _dot(visits, [_dot(row, following) for row in chain.transition])
        for state, weight in enumerate(occupancy):
            gain = sum(
                _advantage([c[state] for c in cooperation], following, j) * c_dot[state]
                for j, c_dot in enumerate(cooperation_dot)
            )
            change += weight * gain
        out.append(_dot(visits, own_payoffs))
        out_dot.append(change)
    return out, out_dot


class _Chain:
    """The Markov chain over joint actions, with its factors."""

    def __init__(self, cooperation: Sequence[Scalars], discount: jax.Array):
        joint_actions = list(itertools.product((0, 1), repeat=len(cooperation)))
        self.discount = discount
        self.initial, *self.transition = [
            [
                math.prod(1 - c[state] if a else c[state] for c, a in zip(cooperation, actions, strict=True))
                for actions in joint_actions
            ]
            for state in range(1 + len(joint_actions))
        ]
        # The barrier keeps XLA from computing the factors anew inside each of the fusions that read them.
        fixed = lax.stop_gradient((self.transition, discount))
        self.factors = lax.optimization_barrier(factorise_scalars(*fixed))

    def visits(self) -> list[jax.Array]:
        """d, the discounted occupancy of each joint action."""

        def matvec(d: Scalars) -> list[jax.Array]:
            return [x - self.discount * _dot(column, d) for x, column in zip(d, zip(*self.transition), strict=True)]

        return lax.custom_linear_solve(
            matvec,
            self.initial,
            lambda _, b: lax.optimization_barrier(solve_scalars_transposed(self.factors, b)),
            lambda _, b: lax.optimization_barrier(solve_scalars(self.factors, b)),
        )

    def following(self, payoffs: Scalars) -> list[jax.Array]:
        """u, the return from playing each joint action and following the policies afterwards."""

        def matvec(u: Scalars) -> list[jax.Array]:
            return [x - self.discount * _dot(row, u) for x, row in zip(u, self.transition, strict=True)]

        return lax.custom_linear_solve(
            matvec,
            list(payoffs),
            lambda _, b: lax.optimization_barrier(solve_scalars(self.factors, b)),
            lambda _, b: lax.optimization_barrier(solve_scalars_transposed(self.factors, b)),
        )


def _advantage(cooperation: Scalars, following: Scalars, player: int) -> jax.Array:
    """Gain in expected return when `player` cooperates for sure instead of defecting, the others playing at random."""
    for seat, c in enumerate(cooperation):
        half = len(following) // 2
        pairs = list(zip(following[:half], following[half:], strict=True))
        following = [x - y if seat == player else y + c * (x - y) for x, y in pairs]
    return following[0]


def _dot(x: Sequence[Any], y: Sequence[Any]) -> jax.Array:
    first, *rest = (a * b for a, b in zip(x, y, strict=True))
    return sum(rest, start=first)
