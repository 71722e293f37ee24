"""The Reciprocator that plays: its step and that of its models, against the formulas written out by hand."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from shaping import envs
from shaping.config.errors import ConfigError
from shaping.config.plan import plan
from shaping.learners import Common, optimizer, values
from shaping.learners.critic import critic
from shaping.learners.reciprocator import reciprocator
from shaping.objectives.play_batches import Sampler
from shaping.objectives.sampled_objective import sampled_objective
from shaping.policies import tabular, tabular_critic
from tests.compiling import quickly
from tests.learners.test_actor_critic import GAMMA, PHI, THETAS, advantages_of, gradient_of

pytestmark = pytest.mark.usefixtures("x64")

STEPS, STREAMS, WIDTH, UNIT, FUTURE, WEIGHT = 4, 3, 2, 0.1, 0.7, 1.5
NUMBERS = np.random.default_rng(4)


def objective():
    """Three streams of the prisoner's dilemma, which end after three rounds of four."""
    env = envs.make("ipd", discount=GAMMA, horizon=3)
    sampler = Sampler(env, (tabular(5),) * 2, env.default_params, GAMMA, STREAMS, STEPS)
    found = replace(sampled_objective(sampler, critics=(tabular_critic(5),) * 2), scale=UNIT)
    return replace(found, observed=sampler.play([jnp.asarray(theta) for theta in THETAS], jax.random.key(7)))


def predicted(phi, batch, which):
    """[time, streams, 4] of one network: everybody's reward, and everybody's normalised rewards afterwards."""
    inputs = np.zeros((STEPS, STREAMS, 15))
    for t, b in np.ndindex(STEPS, STREAMS):
        seen = [np.eye(5)[batch.observations[t, b, i]] for i in range(2)]
        done = [np.eye(2)[batch.actions[t, b, i]] * (which != 1 + i) for i in range(2)]
        inputs[t, b] = np.concatenate([*seen, *done, [1 - t / STEPS]])
    hidden = jnp.tanh(inputs @ phi["hidden_0"]["kernel"][which] + phi["hidden_0"]["bias"][which])
    return hidden @ phi["value"]["kernel"][which] + phi["value"]["bias"][which]


def reciprocal_by_hand(phi, batch, player, form):
    """[time, streams], from influences of the copies."""
    other = 1 - player
    q = [np.asarray(predicted(phi, batch, which)) for which in range(3)]
    q = [each[..., :2] + GAMMA * FUTURE * each[..., 2:] / UNIT for each in q]
    given = (q[0] - q[1 + player])[..., other] * batch.running
    taken = (q[0] - q[1 + other])[..., player] * batch.running
    found = np.zeros((STEPS, STREAMS))
    for b in range(STREAMS):
        balance = 0.0
        for t in range(STEPS):
            found[t, b] = balance * given[t, b]
            balance = taken[t, b] if form == "one_step" else GAMMA * balance + taken[t, b] - given[t, b]
    return found


def loss_by_hand(phi, batch):
    """Of all three networks."""
    total = 0.0
    for which in range(3):
        found = predicted(phi, batch, which)
        for t, b in np.ndindex(STEPS, STREAMS):
            if not batch.running[t, b]:
                continue
            for i in range(2):
                later = sum(GAMMA ** (u - t - 1) * batch.rewards[u, b, i] for u in range(t + 1, STEPS))
                total += (found[t, b, i] - batch.rewards[t, b, i]) ** 2 + (found[t, b, 2 + i] - UNIT * later) ** 2
    return total / 2 / batch.running.sum()


@pytest.mark.parametrize(("player", "form"), [(0, "balance"), (1, "one_step")])
def test_a_step_ascends_with_reciprocal_rewards_and_fits_the_models(player, form):
    at = objective()
    critics = critic([tabular_critic(5) if seat == player else None for seat in range(2)], 0.0, 1.0, "sgd")
    common = Common(1.0, optimizer("sgd"), values(THETAS[player]), critics)
    settings = {"gae_lambda": 0.8, "entropy": 0.3, "epochs": 1, "normalise": False, "warm_up": 0, "future": FUTURE}
    models = {"model_rate": 0.05, "model_steps": 1, "model_hidden": (WIDTH,), "window": 2, "every": 2}
    learner = reciprocator(WEIGHT, form, common=common, **settings, **models)

    @quickly
    def run():
        state = learner.init(jax.random.key(0), jax.random.key(1), at.sampler.policies, player, at, jnp.float64)
        phi = tuple(jnp.asarray(PHI[seat]) if seat == player else None for seat in range(2))
        memory = state.memory.replace(critic=state.memory.critic.replace(parameters=phi))
        before = replace(state, memory=memory)
        states = [replace(before, theta=jnp.asarray(theta)) for theta in THETAS]
        after, info = learner.step(jax.random.key(2), states, player, at)
        return before, after, {name: found() for name, found in info.items()}

    before, after, info = jax.tree.map(np.asarray, run())
    batch, phi = jax.tree.map(np.asarray, at.observed), before.memory.models.phi
    extra = reciprocal_by_hand(phi, batch, player, form)
    shaped = replace(batch, rewards=batch.rewards + WEIGHT * extra[..., None] * np.eye(2)[player])
    expected = gradient_of(batch, player, THETAS[player], advantages_of(shaped, player, 0.8), 0.3)
    np.testing.assert_allclose(after.theta - THETAS[player], expected, atol=1e-10)
    assert np.abs(extra).max() > 1e-3
    discounts = UNIT * GAMMA ** np.arange(STEPS)[:, None]
    np.testing.assert_allclose(info["reciprocal_value"], np.sum(discounts * extra) / STREAMS, atol=1e-12)

    slopes = quickly(jax.grad(lambda phi: loss_by_hand(phi, batch)))(jax.tree.map(jnp.asarray, phi))
    # The first step of Adam.
    moved = jax.tree.map(lambda x, g: x - 0.05 * g / (jnp.abs(g) + 1e-8), phi, slopes)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-10), after.memory.models.phi, moved)
    # The copies are renewed after every second update.
    jax.tree.map(np.testing.assert_array_equal, after.memory.models.copies, phi)


def test_games_in_which_influence_cannot_be_estimated_are_refused_before_a_run():
    with pytest.raises(ConfigError, match="reciprocator needs discrete actions"):
        plan({"game": "cournot", "players": {"rule": "reciprocator"}, "objective": {"kind": "dice", "batch": 4}})
    with pytest.raises(ConfigError, match="policies of memory 1, or objective.kind dice"):
        plan({"game": {"name": "ipd", "horizon": 5}, "players": {"rule": "reciprocator"}})
