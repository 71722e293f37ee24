"""Shaping by products of advantages, as pure functions of recorded arrays: Advantage Alignment and LOQA.

A player i that learns by a policy gradient puts A*_i in the place of its advantages A_i. With the advantages of its
opponents j,

    A*_i,t = A_i,t + sum over j != i of A_j,t K_ij,t
    K_ij,t = c t^-p  sum over k < t of  decay^(t-k-1) w_j,k A_i,k

What i did at step t was good for j by A_j,t. It is repeated if what happened before, much of which j decided, was good
for i by K. The two methods differ in the kernel alone:

    Advantage Alignment, paper    c = beta gamma^2   decay = gamma            p = 0   w = 1
      (Duque et al. 2025)
    Advantage Alignment, code     c = beta           decay = 1                p = 1   w = 1
    LOQA                          c = rho gamma / tau  decay = gamma lambda   p = 0   w = 1 - pi_j(b_k | s_k)
      (Aghajohari et al. 2024)

The authors' program of Advantage Alignment sums without discounting, divides by t, and normalises advantages over the
batch first, which is left to the caller here. LOQA is written as a loss that is differentiated through the opponent's
action values (`loqa_loss`); its gradient is the policy gradient with this A* and advantages A_j from Monte Carlo
returns. The sum over k does not include step t itself.

Arrays are [time, batch, players], and 0 after the end of a stream.
"""

from typing import Any, Literal

import jax
import jax.numpy as jnp
from flax import struct
from jax import lax

from shaping.objectives.estimators import gae, magic_box
from shaping.signatures import Positive, Probability, checked

FORMS = ("paper", "code")


@struct.dataclass
class Kernel:
    """The numbers of K in the file's head; all of them may have a population axis.

    Attributes:
      coefficient: c.
      decay: of the past, in [0, 1].
      power: p, 0 for a sum and 1 for a mean of what came before.
    """

    coefficient: Any
    decay: Any
    power: Any = 0.0


def paper_kernel(weight: Any, discount: Any) -> Kernel:
    """That of Advantage Alignment as published, with beta `weight` (Duque et al. 2025, eq. 8)."""
    return Kernel(weight * discount**2, discount)


def code_kernel(weight: Any) -> Kernel:
    """That of the authors' program, with beta `weight`."""
    return Kernel(weight, 1.0, 1.0)


def loqa_kernel(weight: Any, discount: Any, decay: Any, temperature: Any) -> Kernel:
    """That of LOQA with rho `weight`, lambda `decay` and tau `temperature`."""
    return Kernel(weight * discount / temperature, discount * decay)


def past(kernel: Kernel, terms: jax.Array) -> jax.Array:
    """c t^-p sum over k < t of decay^(t-k-1) terms_k, [time, ...], for terms [time, ...]; 0 at step 0."""

    def step(total: jax.Array, now: jax.Array) -> tuple[jax.Array, jax.Array]:
        return kernel.decay * total + now, total

    sums = lax.scan(step, jnp.zeros_like(terms[0]), terms)[1]
    steps = jnp.maximum(jnp.arange(len(terms), dtype=terms.dtype), 1)
    scale = kernel.coefficient * steps**-kernel.power
    return jnp.reshape(scale, (-1,) + (1,) * (terms.ndim - 1)) * sums


def alignment_term(kernel: Kernel, own: jax.Array, others: jax.Array, weights: jax.Array | None = None) -> jax.Array:
    """sum over j of A_j,t K_j,t for one player, [time, batch].

    Args:
      kernel: the numbers of K.
      own: [time, batch], the player's advantages.
      others: [time, batch, opponents], those of the others.
      weights: [time, batch, opponents], w; None for 1.
    """
    if weights is None:
        return past(kernel, own) * jnp.sum(others, axis=-1)
    return jnp.sum(past(kernel, weights * own[..., None]) * others, axis=-1)


@checked
def advantage_alignment(
    advantages: jax.Array,
    weight: float = 1.0,
    discount: Probability = 0.96,
    form: Literal["paper", "code"] = "paper",
) -> jax.Array:
    """The advantages of every player, plus its alignment term: what takes the place of A in PPO or A2C.

        paper   A_i,t + beta gamma sum_j A_j,t sum over k < t of gamma^(t-k) A_i,k
        code    A_i,t + beta       sum_j A_j,t (1 / t) sum over k < t of A_i,k          (0 at t = 0)

    Args:
      advantages: [time, batch, players], for example generalised advantages; 0 after the end of a stream. The code
        form expects them normalised over the batch. Advantages that are on average negative, because a critic has not
        learned yet, make players spiteful; subtracting each step's mean over the batch prevents it.
      weight: beta. Useful values are 0.1 to 0.4 for the paper's form, and about 4 for that of the code.
      discount: gamma, in [0, 1]; the code form does not use it.
      form: "paper" or "code".

    Returns:
      [time, batch, players].

    Raises:
      ValueError: for an unknown form, a discount out of its range, or advantages that do not have three axes with at
        least two players.
    """
    _check_advantages(advantages)
    kernel = kernel_of(form, weight, discount)
    each = range(advantages.shape[-1])
    found = [alignment_term(kernel, advantages[..., i], others_of(advantages, i)) for i in each]
    return advantages + jnp.stack(found, axis=-1)


def kernel_of(form: str, weight: Any, discount: Any) -> Kernel:
    """The kernel of a form of Advantage Alignment, see `advantage_alignment`.

    Raises:
      ValueError: for an unknown form.
    """
    if form not in FORMS:
        raise ValueError(f"form is {form!r}; allowed: {' or '.join(FORMS)}")
    return paper_kernel(weight, discount) if form == "paper" else code_kernel(weight)


def loaded_returns(
    log_probabilities: jax.Array, rewards: jax.Array, values: jax.Array, discount: Any, decay: Any = 1.0
) -> jax.Array:
    """R of `loqa_loss`, [time, batch, opponents]: the discounted rewards from each step on, whose expected derivatives
    with respect to the player's policy are those of the expected return if `decay` is 1 (Farquhar et al. 2019)."""
    summed = jnp.cumsum(log_probabilities, axis=0)
    loaded = (magic_box(summed) - magic_box(summed - log_probabilities))[..., None]
    returns = returns_of(rewards, discount)
    return returns + returns_of((returns - values) * loaded, discount * decay)


def imagined_log_probabilities(
    returns: jax.Array,
    rewards: jax.Array,
    action_values: jax.Array,
    actions: jax.Array,
    discount: Any,
    temperature: Any,
) -> jax.Array:
    """Log-probabilities of what opponents did, if they play as LOQA imagines, [time, batch, opponents]: see
    `loqa_loss`, with `returns` in the place of R."""
    following = jnp.concatenate([returns[1:], jnp.zeros_like(returns[:1])])
    chosen = jax.nn.one_hot(actions, action_values.shape[-1], dtype=action_values.dtype)
    replaced = jnp.where(chosen == 1, (rewards + discount * following)[..., None], action_values)
    return jnp.sum(chosen * jax.nn.log_softmax(replaced / temperature), axis=-1)


@checked
def loqa_loss(
    log_probabilities: jax.Array,
    advantages: jax.Array,
    rewards: jax.Array,
    values: jax.Array,
    action_values: jax.Array,
    actions: jax.Array,
    discount: Probability = 0.96,
    decay: Probability = 0.9,
    temperature: Positive = 1.0,
    running: jax.Array | None = None,
) -> jax.Array:
    """LOQA's shaping loss for one player, to be minimised, a scalar: a mean over running steps.

    Opponents j are imagined to play softmax(Q_j / tau). The value of the action that j took is replaced by an estimate
    that depends on the player's own policy, as Loaded DiCE does:

        d_t = box(sum over l <= t of log pi(a_l)) - box(sum over l < t of log pi(a_l))
        R_j,t = G_j,t + z_j,t,   z_j,t = (G_j,t - V_j,t) d_t + gamma lambda z_j,t+1,   G the discounted rewards from t
        Q~_j,t = r_j,t + gamma R_j,t+1
        loss = - mean_t sum_j A_t log softmax((Q_j(s_t, .) with Q~_j,t at b_j,t) / tau)[b_j,t]

    To this, LOQA adds the loss of an actor-critic, - mean log pi(a_t) A_t.

    Args:
      log_probabilities: [time, batch], of the player's own actions, differentiable; 0 after the end.
      advantages: [time, batch], the player's; differentiated if they are not stopped.
      rewards, values: [time, batch, opponents], r_j and V_j.
      action_values: [time, batch, opponents, actions], Q_j.
      actions: [time, batch, opponents], b_j, integers.
      discount, decay, temperature: gamma, lambda and tau.
      running: [time, batch] bool; None if streams do not end.
    """
    estimates = loaded_returns(log_probabilities, rewards, values, discount, decay)
    imagined = imagined_log_probabilities(estimates, rewards, action_values, actions, discount, temperature)
    terms = advantages * jnp.sum(imagined, axis=-1)
    if running is None:
        return -jnp.mean(terms)
    return -jnp.sum(jnp.where(running, terms, 0)) / jnp.maximum(jnp.sum(running), 1)


def loqa_term(
    kernel: Kernel,
    advantages: jax.Array,
    rewards: jax.Array,
    returns: jax.Array,
    values: jax.Array,
    action_values: jax.Array,
    actions: jax.Array,
    discount: Any,
    temperature: Any,
) -> jax.Array:
    """The alignment term, [time, batch], with which a policy gradient equals the gradient of `loqa_loss` with respect
    to the player's log-probabilities. Arguments as there, and `returns` [time, batch, opponents], the discounted
    rewards from each step on or another estimate of them; nothing is differentiated."""
    imagined = imagined_log_probabilities(returns, rewards, action_values, actions, discount, temperature)
    return alignment_term(kernel, advantages, returns - values, 1 - jnp.exp(imagined))


def returns_of(rewards: jax.Array, discount: Any) -> jax.Array:
    """The discounted rewards from each step on, [time, ...]."""
    # What generalised advantages are without values.
    return gae(rewards, jnp.zeros_like(rewards), discount, 1)


def others_of(arrays: jax.Array, player: int) -> jax.Array:
    """Those of all other players, by ascending seat: [time, batch, players] to [time, batch, players - 1]."""
    return jnp.delete(arrays, player, axis=2)


def _check_advantages(advantages: jax.Array) -> None:
    shape = jnp.shape(advantages)
    if len(shape) != 3 or shape[-1] < 2:
        wanted = "[time, batch, players] with 2 players or more"
        raise ValueError(f"advantages has the shape {list(shape)}; allowed: {wanted}")
