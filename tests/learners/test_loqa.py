"""LOQA as a learner: its step against the gradient of its loss, written out step by step, on the same batch."""

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import shaping
from shaping import envs
from shaping.config.errors import ConfigError
from shaping.config.plan import plan
from shaping.learners import Common, optimizer, values
from shaping.learners.critic import critic
from shaping.learners.loqa import loqa
from shaping.objectives.play_batches import Sampler
from shaping.objectives.sampled_objective import sampled_objective
from shaping.policies import tabular, tabular_critic
from tests.compiling import quickly

pytestmark = pytest.mark.usefixtures("x64")

GAMMA, DECAY, TAU, RHO, ENTROPY = 0.9, 0.7, 0.8, 1.5, 0.2
NUMBERS = np.random.default_rng(1)
# Of the prisoner's dilemma of two players and of the contribution game of three.
SIZES = {2: 5, 3: 9}


def parts(players):
    """An objective with a recorded batch, policies' parameters and critics' parameters."""
    more = {"name": "contribution", "num_players": 3} if players == 3 else {"name": "ipd"}
    env: Any = envs.make(**more, discount=GAMMA, horizon=3)  # pyright: ignore[reportArgumentType]
    states = SIZES[players]
    sampler = Sampler(env, (tabular(states),) * players, env.default_params, GAMMA, 2, 3)
    critics = (tabular_critic(states, 2),) * players
    thetas = [jnp.asarray(0.5 * NUMBERS.normal(size=states)) for _ in range(players)]
    phis = [jnp.asarray(2 * NUMBERS.normal(size=(states, 2))) for _ in range(players)]
    batch = sampler.play(thetas, jax.random.key(3))
    return replace(sampled_objective(sampler, critics=critics), observed=batch), thetas, phis


def loss_by_hand(theta, batch, thetas, phis, player, stopped):
    """Step by step and player by player, as the authors write it; to be minimised."""
    steps, streams, players = batch.rewards.shape
    box = lambda x: jnp.exp(x - jax.lax.stop_gradient(x))  # noqa: E731
    total = 0.0
    for b in range(streams):
        own = []
        for t in range(steps):
            logit = theta[batch.observations[t, b, player]]
            own.append(jax.nn.log_sigmoid(jnp.where(batch.actions[t, b, player] == 0, logit, -logit)))

        def value(seat, t, b=b):
            if t == steps:
                return 0.0
            state = batch.observations[t, b, seat]
            p = jax.nn.sigmoid(theta[state] if seat == player else thetas[seat][state])
            return p * phis[seat][state, 0] + (1 - p) * phis[seat][state, 1]

        advantages = [
            batch.rewards[t, b, player] + GAMMA * value(player, t + 1) - value(player, t) for t in range(steps)
        ]
        if stopped:
            advantages = [jax.lax.stop_gradient(a) for a in advantages]
        for t in range(steps):
            logit = theta[batch.observations[t, b, player]]
            p = jax.nn.sigmoid(logit)
            total += own[t] * advantages[t] - ENTROPY * (p * jnp.log(p) + (1 - p) * jnp.log(1 - p))
        for seat in range(players):
            if seat == player:
                continue
            returns = [sum(GAMMA ** (u - t) * batch.rewards[u, b, seat] for u in range(t, steps)) for t in range(steps)]
            z = [0.0] * (steps + 1)
            for t in reversed(range(steps)):
                d = box(sum(own[: t + 1])) - box(sum(own[:t]))
                z[t] = (returns[t] - value(seat, t)) * d + GAMMA * DECAY * z[t + 1]
            for t in range(steps):
                follows = returns[t + 1] + z[t + 1] if t + 1 < steps else 0.0
                logits = list(phis[seat][batch.observations[t, b, seat]])
                taken = int(batch.actions[t, b, seat])
                logits[taken] = batch.rewards[t, b, seat] + GAMMA * follows
                total += RHO * jax.nn.log_softmax(jnp.stack(logits) / TAU)[taken] * advantages[t]
    return -total / (steps * streams)


@pytest.mark.parametrize(
    ("players", "player", "stopped"), [pytest.param(2, 0, True, marks=pytest.mark.slow), (2, 1, False), (3, 1, True)]
)
def test_a_step_descends_the_loss_of_the_paper(players, player, stopped):
    at, thetas, phis = parts(players)
    critics = critic([tabular_critic(SIZES[players], 2)] * players, 0.0, 0.0, "sgd")
    common = Common(1.0, optimizer("sgd"), values(np.zeros(SIZES[players])), critics)
    learner = loqa(RHO, DECAY, TAU, stopped, entropy=ENTROPY, centre=False, common=common)

    @quickly
    def moved():
        state = learner.init(jax.random.key(0), jax.random.key(1), at.sampler.policies, player, at, jnp.float64)
        memory = state.memory.replace(critic=state.memory.critic.replace(parameters=tuple(phis)))
        states = [replace(state, theta=theta, memory=memory) for theta in thetas]
        return learner.step(jax.random.key(2), states, player, at)[0].theta - thetas[player]

    found = np.asarray(moved())
    played = jax.tree.map(np.asarray, (at.observed, thetas, phis))
    loss = lambda theta: loss_by_hand(theta, *played, player, stopped)  # noqa: E731
    np.testing.assert_allclose(found, -quickly(jax.grad(loss))(thetas[player]), atol=1e-10)
    assert np.abs(found).max() > 1e-2


def test_critics_of_values_are_refused_before_a_run():
    raw = {"game": "ipd", "players": {"rule": "loqa"}, "objective": {"kind": "dice"}}
    with pytest.raises(ConfigError, match="each action is worth; objective.critic_kind must be q"):
        plan(raw)
    assert shaping.loqa is loqa
