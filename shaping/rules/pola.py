"""Proximal LOLA (Zhao et al. 2022, POLA): the length of a step is measured between policies, not parameters.

With D(new, old) the divergence of policies (the sum over states of KL(old || new)), in losses L = -V,

    outer   theta_i' = argmin_x  L_i(x, theta_-i - eta nabla_-i L_-i(x, theta_-i)) + beta D(x, theta_i)
    ideal   theta_i' = argmin_x  L_i(x, theta_-i'(x)) + beta D(x, theta_i)
            theta_j'(x) = argmin_y  L_j(x, y, ...) + beta_in D(y, theta_j)

Outer POLA imagines one gradient step of the opponents, like LOLA's exact variant. Ideal POLA does not depend on the
parameterisation of policies at all. Both minimise by gradient descent: the outer problem until a step changes the
policy by less than `tolerance` (in D, both ways) or for `max_iterations` steps, as in the authors' `LOLA_exact.py`; the
inner problem for `inner_iterations` steps, which are differentiated through.

On sampled returns ideal POLA is POLA-DiCE (the authors' `POLA_dice_jax.py`): every step, inner and outer, draws its own
batch, D is the mean KL over the states of the batch, and all `max_iterations` outer steps are taken, usually with Adam,
which is reset at every update.

The direction is theta_i' - theta_i: plain gradient ascent with step size 1 arrives at the minimiser.
"""

from typing import Annotated, Any, Literal

import jax
import jax.numpy as jnp
import optax
from flax import struct
from jax import lax

from shaping.objectives.objective import Objective, Thetas
from shaping.rules.gradients import computed_once, move, opponents_step, replace
from shaping.rules.rule import Rule
from shaping.signatures import NonNegative, Positive, Range, checked


@struct.dataclass
class Proximal:
    """Settings.

    Attributes:
      lookahead_rate: eta of outer POLA, the step that each opponent is imagined to take; in ideal POLA the rate of the
        inner descent. At least 0.
      proximal_rate: the rate of the outer descent, above 0.
      penalty: beta, at least 0.
      inner_penalty: beta_in of ideal POLA, at least 0.
      tolerance: divergence between successive policies at which the outer descent stops, at least 0.
      ideal: whether this is ideal or outer POLA.
      optimizer: of the outer descent, "sgd" or "adam".
      max_iterations: of the outer descent.
      inner_iterations: of the inner descent.
    """

    lookahead_rate: Any
    proximal_rate: Any
    penalty: Any
    inner_penalty: Any
    tolerance: Any
    ideal: bool = struct.field(pytree_node=False, default=False)
    max_iterations: int = struct.field(pytree_node=False, default=5000)
    inner_iterations: int = struct.field(pytree_node=False, default=50)
    optimizer: str = struct.field(pytree_node=False, default="sgd")


@checked
def pola(
    variant: Literal["outer", "ideal"] = "outer",
    lookahead_rate: NonNegative = 1.0,
    proximal_rate: Positive = 0.3,
    penalty: NonNegative = 0.1,
    inner_penalty: NonNegative = 0.1,
    tolerance: NonNegative = 1e-8,
    max_iterations: Annotated[int, Range(1)] = 5000,
    inner_iterations: Annotated[int, Range(1)] = 50,
    proximal_optimizer: Literal["sgd", "adam"] = "sgd",
) -> Rule:
    """POLA; only the ideal variant uses `inner_penalty` and `inner_iterations`.

    Raises:
      ValueError: if the variant is unknown or a number of iterations is below 1.
    """
    if variant not in ("outer", "ideal"):
        raise ValueError(f"variant is {variant!r}: must be outer or ideal")
    if proximal_optimizer not in ("sgd", "adam"):
        raise ValueError(f"proximal_optimizer is {proximal_optimizer!r}: must be sgd or adam")
    # A setting that has no effect must not lead to another compiled program.
    inner = inner_iterations if variant == "ideal" else 1
    numbers = (lookahead_rate, proximal_rate, penalty, inner_penalty, tolerance)
    settings = Proximal(*numbers, variant == "ideal", max_iterations, inner, proximal_optimizer)
    steps = max_iterations * inner
    return Rule(settings, direction, needs_distance=True, differentiable=False, gradients=steps)


def direction(
    objective: Objective, thetas: Thetas, player: int, settings: Proximal, key: jax.Array | None = None
) -> Any:
    """theta_i' - theta_i, shaped as `thetas[player]`.

    Raises:
      ValueError: if the objective has no divergence of policies.
    """
    if objective.distance is None:
        raise ValueError("pola needs an objective with a divergence between policies (`distance`)")
    distance = objective.distance
    old = thetas[player]

    transform = {"sgd": optax.sgd, "adam": optax.adam}[settings.optimizer](settings.proximal_rate)

    def penalised_loss(theta: Any, key: jax.Array | None) -> tuple[jax.Array, Any]:
        now = replace(thetas, player, theta)
        if settings.ideal:
            after = _proximal_opponents(objective, now, thetas, player, settings, key)
        else:
            after = opponents_step(objective, now, player, settings.lookahead_rate, _folded(key, 0))
        returns, batch = objective(after, _folded(key, settings.inner_iterations))
        return settings.penalty * distance(player, theta, old, batch) - returns[player], batch

    def step(carry: tuple[Any, Any], iteration: Any) -> tuple[tuple[Any, Any], Any]:
        theta, moments = carry
        slope, batch = jax.grad(penalised_loss, has_aux=True)(theta, _folded(key, iteration))
        change, moments = transform.update(slope, moments, theta)
        return (optax.apply_updates(theta, change), moments), batch

    begin = (old, transform.init(old))
    if objective.sampler is not None:
        final, _ = lax.fori_loop(0, settings.max_iterations, lambda i, carry: step(carry, i)[0], begin)
        return jax.tree.map(jnp.subtract, final, old)

    def unfinished(carry: tuple[tuple[Any, Any], jax.Array, jax.Array]) -> jax.Array:
        _, change, iteration = carry
        return (iteration < settings.max_iterations) & (change >= settings.tolerance)

    def tested_step(
        carry: tuple[tuple[Any, Any], jax.Array, jax.Array],
    ) -> tuple[tuple[Any, Any], jax.Array, jax.Array]:
        (theta, moments), _, iteration = carry
        (new, moments), batch = step((theta, moments), iteration)
        change = jnp.maximum(distance(player, new, theta, batch), distance(player, theta, new, batch))
        return (new, moments), change, iteration + 1

    # Nothing differentiates through the outer descent, so the matches of a block may stop when the slowest does.
    never = jnp.asarray(jnp.inf, jax.tree.leaves(old)[0].dtype)
    (final, _), _, _ = lax.while_loop(unfinished, tested_step, (begin, never, jnp.int32(0)))
    return jax.tree.map(jnp.subtract, final, old)


def _proximal_opponents(
    objective: Objective, current: list[Any], thetas: Thetas, player: int, settings: Proximal, key: Any
) -> list[Any]:
    """The parameters of all players after the opponents have solved their own proximal problems, simultaneously."""
    assert objective.distance is not None
    distance = objective.distance
    others = [j for j in range(len(thetas)) if j != player]

    def step(now: list[Any], number: Any) -> tuple[list[Any], None]:
        new = list(now)
        for j in others:

            def gain(theta: Any, j: int = j) -> jax.Array:
                # The others stay where they were: each opponent solves its own problem.
                returns, batch = objective(replace(current, j, theta), _folded(key, number))
                return returns[j] - settings.inner_penalty * distance(j, theta, thetas[j], batch)

            new[j] = computed_once(move(now[j], settings.lookahead_rate, jax.grad(gain)(now[j])))
        return new, None

    move_on = jax.checkpoint(step, prevent_cse=False) if objective.rematerialise else step
    return lax.scan(move_on, current, jnp.arange(settings.inner_iterations))[0]


def _folded(key: jax.Array | None, number: Any) -> jax.Array | None:
    return None if key is None else jax.random.fold_in(key, number)


RULES = {"pola": pola}
