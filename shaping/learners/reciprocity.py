"""Reciprocal rewards (Zhou et al. 2024): what a player adds to its reward in order to pay others back in kind.

The influence of i on j at step t is what i's action was worth to j, compared with what i does on average,

    I_ij,t = r_j(s_t, a_t) - sum over a' of pibar_i(a' | s_t) r_j(s_t, (a', a_-i,t))

with pibar_i a baseline, i's policies of the recent past. i keeps an account of its balance with every other player,
and is paid for hurting those who are in debt and for helping those to whom it owes:

    b_ij,t = decay b_ij,t-1 + I_ji,t - debit I_ij,t          u_i,t = mean over j of b_ij,t-1 I_ij,t

    balance     decay = gamma, debit = 1     the paper's discounted balance
    credit      decay = gamma, debit = 0     only what the others did
    one_step    decay = 0,     debit = 0     only what they did in the last step; the authors' program for matrix games
"""

from typing import Any, Literal

import jax
import jax.numpy as jnp
from jax import lax

from shaping.objectives.returns_arrays import chain_returns, joint_probabilities
from shaping.signatures import Probability, checked

FORMS = ("balance", "credit", "one_step")


def account(form: str, discount: Any) -> tuple[Any, float]:
    """(decay, debit) of a form, see the file's head.

    Raises:
      ValueError: for an unknown form.
    """
    if form not in FORMS:
        raise ValueError(f"form is {form!r}; allowed: {', '.join(FORMS)}")
    return (0.0 if form == "one_step" else discount), (1.0 if form == "balance" else 0.0)


@checked
def reciprocal_reward(
    influences: jax.Array, discount: Probability = 0.96, form: Literal["balance", "credit", "one_step"] = "balance"
) -> jax.Array:
    """u of the file's head, to be added to rewards with a weight: 5 in the authors' prisoner's dilemma, 1 in their Coin
    Game.

    Args:
      influences: [time, batch, players, players], entry (i, j) the influence of i on j; the diagonal is not used. 0
        after the end of a stream.
      discount: gamma, in [0, 1].
      form: "balance", "credit" or "one_step".

    Returns:
      [time, batch, players].

    Raises:
      ValueError: for an unknown form, a discount out of its range, or influences of another shape.
    """
    shape = jnp.shape(influences)
    if len(shape) != 4 or shape[-1] != shape[-2] or shape[-1] < 2:
        raise ValueError(f"influences has the shape {list(shape)}; allowed: [time, batch, players, players]")
    decay, debit = account(form, discount)
    paid = jnp.swapaxes(influences, -1, -2) - debit * influences

    def step(balance: jax.Array, now: jax.Array) -> tuple[jax.Array, jax.Array]:
        return decay * balance + now, balance

    before = lax.scan(step, jnp.zeros_like(paid[0]), paid)[1]
    others = 1 - jnp.eye(shape[-1], dtype=influences.dtype)
    return jnp.sum(others * before * influences, axis=-1) / (shape[-1] - 1)


def exact_influence(baselines: jax.Array, payoffs: jax.Array, player: int, other: int) -> jax.Array:
    """I of `player` on `other` in a game of two actions, [states, joint actions].

    Args:
      baselines: [players, states], P(cooperate) of the baseline policies in every joint state, the start first.
      payoffs: [players, joint actions] in binary counting, 0 = cooperate, seat 0 most significant.
      player, other: seats.
    """
    players = len(baselines)
    bit = 2 ** (players - 1 - player)
    joint = jnp.arange(2**players)
    cooperates, defects = (payoffs[other][chosen] for chosen in (joint & ~bit, joint | bit))
    chance = baselines[player][:, None]
    return payoffs[other] - (chance * cooperates + (1 - chance) * defects)


def exact_reciprocal_return(
    cooperation: jax.Array, baselines: jax.Array, payoffs: jax.Array, discount: Any, player: int, form: str
) -> jax.Array:
    """The expected discounted sum of u_i in an infinitely repeated game of memory-one policies, a scalar.

    A balance is linear in what happened before, so the sum over pairs of steps is two solves of the chain of joint
    actions: what i's influence on j will be worth to a debt that is made now, and how often debts are made.

        U = sum_j sum_s d(s) sum_a P(a | s) x_j(s, a) gamma w_j(a),   w_j = (I - gamma decay P)^-1 E I_ij
        x_j = I_ji - debit I_ij,   d the discounted visits of s

    The influences depend on the baselines alone: derivatives pass through the chain.

    Args:
      cooperation: [players, states], P(cooperate) in every joint state, the start first.
      baselines, payoffs: see `exact_influence`.
      discount: gamma, in [0, 1).
      player: i, a seat.
      form: see the file's head.
    """
    decay, debit = account(form, discount)
    joint = joint_probabilities(cooperation)
    rate = jnp.asarray(discount * decay, joint.dtype)

    def ahead(expected: jax.Array) -> jax.Array:
        """(I - rate P)^-1 of something expected in every state after the start, [joint actions]."""

        def of(row: jax.Array) -> jax.Array:
            return chain_returns(jnp.concatenate([row[None], joint[1:]]), expected[None], rate)[0]

        return expected + rate * jax.vmap(of)(joint[1:])

    total = jnp.zeros((), joint.dtype)
    others = [seat for seat in range(len(payoffs)) if seat != player]
    for other in others:
        given = exact_influence(baselines, payoffs, player, other)
        made = exact_influence(baselines, payoffs, other, player) - debit * given
        worth = discount * ahead(jnp.sum(joint * given, axis=1)[1:])
        debts = jnp.sum(joint * made * worth, axis=1)
        total += debts[0] + discount * chain_returns(joint, debts[None, 1:], discount)[0]
    return total / len(others)
