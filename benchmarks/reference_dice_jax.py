"""LOLA-DiCE for one pair in JAX, plainly written: `vmap` of `scan` plays, `jax.grad` goes through the opponent's steps.

The game, the policies, the objective and the optimisers are those of `reference_dice_torch`. Played games are data:
their log-probabilities are computed again, all steps at once, from the parameters with respect to which derivatives are
taken.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import optax

DISCOUNT, LOOKAHEAD_RATE, STEP_SIZE, VALUE_STEP_SIZE = 0.96, 0.3, 0.2, 0.1
STATES = 5
OWN_PAYOFFS = np.array([-1.0, -3.0, 0.0, -2.0], np.float32)  # after CC, CD, DC, DD, own action first


def magic_box(x: jax.Array) -> jax.Array:
    """1, with the derivatives of exp(x)."""
    return jnp.exp(x - jax.lax.stop_gradient(x))


def logits(theta: jax.Array, states: jax.Array) -> jax.Array:
    """Logits of cooperating and of defecting, [..., 2]."""
    cooperate = theta[states]
    return jnp.stack([cooperate, jnp.zeros_like(cooperate)], axis=-1)


def play(
    theta: jax.Array, theta_other: jax.Array, key: jax.Array, batch: int, horizon: int
) -> tuple[jax.Array, jax.Array]:
    """States and actions of both players, [batch, horizon, 2], states in each player's own view."""

    def step(states: jax.Array, key: jax.Array) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
        key, key_other = jax.random.split(key)
        action = jax.random.categorical(key, logits(theta, states[0]))
        action_other = jax.random.categorical(key_other, logits(theta_other, states[1]))
        after = jnp.stack([1 + 2 * action + action_other, 1 + 2 * action_other + action])
        return after, (states, jnp.stack([action, action_other]))

    def game(key: jax.Array) -> tuple[jax.Array, jax.Array]:
        return jax.lax.scan(step, jnp.zeros(2, int), jax.random.split(key, horizon))[1]

    return jax.vmap(game)(jax.random.split(key, batch))


def log_probabilities(theta: jax.Array, states: jax.Array, actions: jax.Array) -> jax.Array:
    """Log-probabilities of the actions taken, shape of `actions`."""
    everything = jax.nn.log_softmax(logits(theta, states))
    return jnp.take_along_axis(everything, actions[..., None], axis=-1)[..., 0]


def rewards_of(actions: jax.Array) -> jax.Array:
    """Rewards [batch, horizon] of the player whose actions come first."""
    return jnp.asarray(OWN_PAYOFFS)[2 * actions[..., 0] + actions[..., 1]]


def objective(
    theta: jax.Array, theta_other: jax.Array, values: jax.Array, played: tuple[jax.Array, jax.Array]
) -> jax.Array:
    """DiCE's objective with a baseline, of the player whose actions come first: the mean return, a scalar."""
    states, actions = played
    rewards = rewards_of(actions)
    discounts = DISCOUNT ** jnp.arange(rewards.shape[1])
    nodes = log_probabilities(theta, states[..., 0], actions[..., 0])
    nodes += log_probabilities(theta_other, states[..., 1], actions[..., 1])
    causes = jnp.cumsum(nodes, axis=1)
    returns = jnp.sum(magic_box(causes) * discounts * rewards, axis=1)
    baseline = jnp.sum((1 - magic_box(nodes)) * discounts * values[states[..., 0]], axis=1)
    return jnp.mean(returns + baseline)


def value_loss(values: jax.Array, played: tuple[jax.Array, jax.Array]) -> jax.Array:
    """Mean squared distance of the values [5] from the discounted rewards still to come."""
    states, actions = played

    def earlier(to_come: jax.Array, reward: jax.Array) -> tuple[jax.Array, jax.Array]:
        to_come = reward + DISCOUNT * to_come
        return to_come, to_come

    rewards = rewards_of(actions).T
    targets = jax.lax.scan(earlier, jnp.zeros_like(rewards[0]), rewards, reverse=True)[1].T
    return jnp.mean((values[states[..., 0]] - targets) ** 2)


def ascent(
    thetas: jax.Array, values: jax.Array, player: int, key: jax.Array, batch: int, horizon: int, lookaheads: int
) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    """One estimate of a player's LOLA direction [5] from `thetas` and `values` [2, 5], and the last games played."""
    other = 1 - player
    keys = jax.random.split(key, lookaheads + 1)

    def shaped(theta: jax.Array) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
        theta_other = thetas[other]
        for step in range(lookaheads):
            played = jax.lax.stop_gradient(play(theta_other, theta, keys[step], batch, horizon))
            theta_other += LOOKAHEAD_RATE * jax.grad(objective)(theta_other, theta, values[other], played)
        played = jax.lax.stop_gradient(play(theta, theta_other, keys[-1], batch, horizon))
        return objective(theta, theta_other, values[player], played), played

    return jax.grad(shaped, has_aux=True)(thetas[player])


def direction(
    thetas: np.ndarray, values: np.ndarray, player: int, batch: int, horizon: int, lookaheads: int, seed: int
) -> np.ndarray:
    """One estimate of a player's LOLA direction [5], of the unnormalised return, from `thetas` and `values` [2, 5]."""
    start = jnp.asarray(thetas, jnp.float32), jnp.asarray(values, jnp.float32)
    return np.asarray(_direction(*start, player, jax.random.key(seed), batch, horizon, lookaheads))


def _direction(*arguments):
    return ascent(*arguments)[0]


_direction = jax.jit(_direction, static_argnums=(2, 4, 5, 6))


def make(batch: int, horizon: int, lookaheads: int, seed: int = 0) -> Callable[[], np.ndarray]:
    """A function that does one update of both players, each from the other's previous parameters, and returns their
    parameters [2, 5]."""
    theta_optimiser, value_optimiser = optax.adam(STEP_SIZE), optax.adam(VALUE_STEP_SIZE)

    @jax.jit
    def step(state):
        thetas, values, theta_state, value_state, key = state
        key, *keys = jax.random.split(key, 3)
        found = [ascent(thetas, values, player, keys[player], batch, horizon, lookaheads) for player in range(2)]
        descent = -jnp.stack([towards for towards, _ in found])
        value_descent = jnp.stack([jax.grad(value_loss)(values[i], played) for i, (_, played) in enumerate(found)])
        theta_updates, theta_state = theta_optimiser.update(descent, theta_state)
        value_updates, value_state = value_optimiser.update(value_descent, value_state)
        thetas, values = optax.apply_updates(thetas, theta_updates), optax.apply_updates(values, value_updates)
        return thetas, values, theta_state, value_state, key

    zeros = jnp.zeros((2, STATES))
    state = zeros, zeros, theta_optimiser.init(zeros), value_optimiser.init(zeros), jax.random.key(seed)

    def update() -> np.ndarray:
        nonlocal state
        state = step(state)
        return np.asarray(state[0])

    return update
