"""A loss that was evolved so that whoever climbs it does well (Houthooft et al. 2018, evolved policy gradients).

Naive learners climb their return. This rule climbs a function of all players' parameters and returns,

    theta_i <- theta_i + alpha nabla_i L(theta),    L = V_i + d_i f(sigmoid(theta), (V - m) / d)

with returns V, and their means m and standard deviations d at N(0, 1) parameters, so that f need not know the scale of
a game. f is a network of one tanh layer whose output starts at 0: before evolution, L is the return. It is evolved
before the first update, by an evolution strategy: the fitness of its parameters is the mean value that a learner who
climbs L has over the updates of trials, in which it starts from N(0, 1) against a naive or a LOLA learner, and payoffs
are those of the game plus normal noise. Nobody differentiates through anybody's learning. After that f never changes.

Houthooft et al. evolve a loss for one agent in changing tasks; here the task that changes is another learner.
"""

import dataclasses
from collections.abc import Sequence
from typing import Annotated, Any

import jax
import jax.numpy as jnp
import optax
from flax import struct
from jax import lax
from jax.flatten_util import ravel_pytree

from shaping.objectives.objective import Objective, Thetas
from shaping.objectives.returns_arrays import returns_arrays
from shaping.objectives.returns_scalars import returns_scalars
from shaping.policies.policy import Policy
from shaping.rules.first_order import FirstOrder
from shaping.rules.first_order import direction as first_order_direction
from shaping.rules.gradients import gradient, move, replace
from shaping.rules.rule import Rule
from shaping.rules.search import normals, slope
from shaping.signatures import NonNegative, Positive, Range, checked

_SCALES, _NETWORK = 2**30, 2**30 + 1  # Folded into the key; generations are numbered below.
_SAMPLES = 512


@struct.dataclass
class EvolvedLoss:
    """Settings.

    Attributes:
      lookahead_rate: alpha of all players in trials, and the step that LOLA imagines there; at least 0.
      spread: standard deviation of the noise of payoffs in trials, relative to their own standard deviation.
      sigma: standard deviation of the population, above 0.
      loss_rate: Adam's learning rate for f, above 0.
      hidden: units of f.
      population: how many losses are tried in a generation, an even number.
      trials: in how many trials each is tried; against LOLA learners in every second of them.
      steps: updates in a trial.
      generations: how often the population moves; 0 for naive learning.
    """

    lookahead_rate: Any
    spread: Any
    sigma: Any
    loss_rate: Any
    hidden: int = struct.field(pytree_node=False)
    population: int = struct.field(pytree_node=False)
    trials: int = struct.field(pytree_node=False)
    steps: int = struct.field(pytree_node=False)
    generations: int = struct.field(pytree_node=False)


@struct.dataclass
class Loss:
    """What was learned: the parameters of f, and m and d, [players] each."""

    network: Any
    mean: jax.Array
    deviation: jax.Array


@checked
def evolved_loss(
    lookahead_rate: NonNegative = 1.0,
    spread: NonNegative = 0.1,
    sigma: Positive = 0.1,
    loss_rate: Positive = 0.03,
    hidden: Annotated[int, Range(1)] = 8,
    population: Annotated[int, Range(2)] = 32,
    trials: Annotated[int, Range(1)] = 8,
    steps: Annotated[int, Range(1)] = 50,
    generations: Annotated[int, Range(0)] = 200,
) -> Rule:
    """Climbs a loss that it evolves before the first update.

    Args:
      lookahead_rate, spread, sigma, loss_rate, hidden, population, trials, steps, generations: see `EvolvedLoss`.

    Raises:
      ValueError: for an odd population.
    """
    if population % 2:
        raise ValueError(f"population is {population}; allowed: an even number, as losses are tried in pairs")
    sizes = (hidden, population, trials, steps, generations)
    return Rule(
        EvolvedLoss(lookahead_rate, spread, sigma, loss_rate, *sizes),
        direction,
        prepare,
        needs_chain=True,
        untrained=lambda settings: dataclasses.replace(settings, generations=0),
    )


def direction(
    objective: Objective,
    thetas: Thetas,
    player: int,
    settings: EvolvedLoss,
    key: jax.Array | None = None,
    learned: Any = None,
) -> Any:
    """nabla_player L in units of the return, shaped as `thetas[player]`."""
    del settings, key

    def loss(theta: Any) -> jax.Array:
        now = replace(thetas, player, theta)
        returns = objective(now)[0]
        return returns[player] + learned.deviation[player] * _extra(learned, now, returns, player)

    return jax.grad(loss)(thetas[player])


def prepare(
    objective: Objective, policies: Sequence[Policy], player: int, settings: EvolvedLoss, key: jax.Array, dtype: Any
) -> Loss:
    """The loss after all generations."""
    everyone = range(len(policies))

    def drawn(key: jax.Array) -> list[Any]:
        thetas = [policy.init(jax.random.fold_in(key, i), jnp.float32(1)) for i, policy in enumerate(policies)]
        return jax.tree.map(lambda leaf: leaf.astype(dtype), thetas)

    keys = jax.vmap(jax.random.fold_in, (None, 0))(jax.random.fold_in(key, _SCALES), jnp.arange(_SAMPLES))
    samples = jax.vmap(lambda k: jnp.stack(list(objective(drawn(k))[0])))(keys)
    first = Loss(
        _network(settings.hidden, drawn(key), jax.random.fold_in(key, _NETWORK), dtype),
        jnp.mean(samples, axis=0),
        jnp.std(samples, axis=0) + 1e-6,
    )
    if settings.generations == 0:
        return first
    flat, unflatten = ravel_pytree(first.network)
    lola = FirstOrder(settings.lookahead_rate, 1.0, 1.0)

    def fitness(tried: jax.Array, key: jax.Array) -> jax.Array:
        """The mean value over the updates of some trials."""
        learned = dataclasses.replace(first, network=unflatten(tried))

        def trial(number: jax.Array) -> jax.Array:
            own = jax.random.fold_in(key, number)
            game = _nearby(objective, drawn(own), settings.spread, jax.random.fold_in(own, len(policies)))

            def step(thetas: list[Any], _: None) -> tuple[list[Any], jax.Array]:
                after = []
                for seat in everyone:
                    if seat == player:
                        ascent = direction(game, thetas, seat, settings, None, learned)
                    else:
                        naive = gradient(game, thetas, seat, seat)
                        shaping = first_order_direction(game, thetas, seat, lola)
                        ascent = jax.tree.map(lambda a, b: jnp.where(number % 2 == 1, b, a), naive, shaping)
                    after.append(move(thetas[seat], settings.lookahead_rate, ascent))
                return after, game(thetas)[0][player]

            return jnp.mean(lax.scan(step, drawn(own), None, length=settings.steps)[1])

        return jnp.mean(jax.vmap(trial)(jnp.arange(settings.trials)))

    transform = optax.scale_by_adam()

    def generation(carry: tuple[jax.Array, Any], number: jax.Array) -> tuple[tuple[jax.Array, Any], None]:
        centre, moments = carry
        own = jax.random.fold_in(key, number)
        noise = normals(jax.random.fold_in(own, 0), settings.population // 2, centre)
        pairs = jnp.stack([centre + settings.sigma * noise, centre - settings.sigma * noise], axis=1)
        play = jax.random.fold_in(own, 1)
        found = jax.vmap(lambda tried: fitness(tried, play))(pairs.reshape(settings.population, -1))
        change, moments = transform.update(slope(noise, found, settings.sigma), moments)
        return (centre + settings.loss_rate * change, moments), None

    (centre, _), _ = lax.scan(generation, (flat, transform.init(flat)), jnp.arange(settings.generations))
    return dataclasses.replace(first, network=unflatten(centre))


def _network(hidden: int, thetas: Thetas, key: jax.Array, dtype: Any) -> dict[str, jax.Array]:
    """The parameters of f at first: its output is 0."""
    inputs = sum(ravel_pytree(theta)[0].size for theta in thetas) + len(thetas)
    weights = jax.random.normal(key, (inputs, hidden), jnp.float32).astype(dtype) / jnp.sqrt(inputs).astype(dtype)
    return {"in": weights, "bias": jnp.zeros(hidden, dtype), "out": jnp.zeros(hidden, dtype)}


def _extra(learned: Loss, thetas: Thetas, returns: Any, player: int) -> jax.Array:
    """f, whose inputs are the own numbers first."""
    order = [player, *(seat for seat in range(len(thetas)) if seat != player)]
    values = [(returns[seat] - learned.mean[seat]) / learned.deviation[seat] for seat in order]
    inputs = [*(jax.nn.sigmoid(ravel_pytree(thetas[seat])[0]) - 0.5 for seat in order), jnp.stack(values)]
    network = learned.network
    hidden = jnp.concatenate(inputs) @ network["in"] + network["bias"]
    return jnp.sum(jnp.tanh(hidden) * network["out"])


def _nearby(objective: Objective, thetas: Thetas, spread: Any, key: jax.Array) -> Objective:
    """The same game with noise added to its payoffs."""
    chain_of = objective.chain
    assert chain_of is not None
    payoffs = chain_of(thetas).payoffs
    noise = jax.random.normal(key, payoffs.shape, jnp.float32).astype(payoffs.dtype)
    changed = payoffs + spread * jnp.std(payoffs) * noise

    def returns(thetas: Thetas, key: jax.Array | None, context: Any) -> tuple[Any, None]:
        del key, context
        chain = chain_of(thetas)
        if len(thetas) > 2:
            return returns_arrays(chain.cooperation, changed, chain.discount), None
        return returns_scalars([list(c) for c in chain.cooperation], [list(p) for p in changed], chain.discount), None

    return Objective(returns)


RULES = {"evolved_loss": evolved_loss}
