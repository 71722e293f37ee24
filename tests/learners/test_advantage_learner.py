"""Advantage Alignment as a learner: its step against the same sums written out by hand, on the same batch."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from shaping import envs
from shaping.learners import Common, optimizer, past_selves, values
from shaping.learners.advantage_alignment import advantage_aligner
from shaping.learners.critic import critic
from shaping.objectives.play_batches import Sampler
from shaping.objectives.sampled_objective import sampled_objective
from shaping.policies import tabular, tabular_critic
from tests.compiling import quickly
from tests.learners.test_actor_critic import GAMMA, PHI, THETAS, gradient_of
from tests.learners.test_advantage_products import by_hand

pytestmark = pytest.mark.usefixtures("x64")

BETA, DECAY, ENTROPY = 0.3, 0.8, 0.2


def objective():
    """Six streams of three rounds, in batches of five steps."""
    env = envs.make("ipd", discount=GAMMA, horizon=3)
    sampler = Sampler(env, (tabular(5),) * 2, env.default_params, GAMMA, 6, 5)
    return sampled_objective(sampler, critics=(tabular_critic(5),) * 2)


def common(rate=0.0):
    critics = critic([tabular_critic(5)] * 2, rate, 1.0, "sgd")
    return Common(1.0, optimizer("sgd"), values(THETAS[0]), critics)


def stepped(learner, player=0, updates=1, of_critics=PHI):
    """(theta after minus theta before, the state after, what is recorded, the batch as NumPy arrays)."""
    at = objective()
    thetas = [jnp.asarray(theta) for theta in THETAS]
    batch = at.sampler.play(thetas, jax.random.key(7))
    at = replace(at, observed=batch)

    @quickly
    def run():
        state = learner.init(jax.random.key(0), jax.random.key(1), at.sampler.policies, player, at, jnp.float64)
        phis = tuple(jnp.asarray(phi) for phi in of_critics)
        memory = state.memory.replace(critic=state.memory.critic.replace(parameters=phis))
        state, info = replace(state, theta=thetas[player], memory=memory), {}
        for _ in range(updates):
            others = [replace(state, theta=theta) for theta in thetas]
            states = [state if seat == player else other for seat, other in enumerate(others)]
            state, info = learner.step(jax.random.key(2), states, player, at)
        return state, {name: found() for name, found in info.items()}

    state, info = run()
    return np.asarray(state.theta - thetas[player]), state, info, jax.tree.map(np.asarray, batch)


def advantages_of(batch, centred=True, normalised=False):
    """[time, batch, players], by the sum of the definition."""
    running, steps = batch.running, len(batch.running)
    found = np.zeros(batch.rewards.shape)
    for player in range(2):
        expected = np.where(running, PHI[player][batch.observations[..., player]], 0)
        deltas = batch.rewards[..., player] + GAMMA * np.append(expected[1:], 0 * expected[:1], 0) - expected
        for t in range(steps):
            found[t, :, player] = sum((GAMMA * DECAY) ** k * deltas[t + k] for k in range(steps - t))
            if centred and running[t].any():
                found[t, :, player] -= running[t] * found[t, :, player].sum() / running[t].sum()
        if normalised:
            own = found[..., player][running]
            found[..., player] = running * (found[..., player] - own.mean()) / (own.std() + 1e-8)
    return found


@pytest.mark.parametrize("player", [0, 1])
def test_a_step_with_a2c_ascends_with_aligned_advantages(player):
    learner = advantage_aligner(BETA, "paper", gae_lambda=DECAY, entropy=ENTROPY, common=common())
    moved, _, info, batch = stepped(learner, player)
    before = advantages_of(batch)
    shaped = by_hand_with(before, "paper")
    expected = gradient_of(batch, player, THETAS[player], shaped[..., player], ENTROPY)
    np.testing.assert_allclose(moved, expected, atol=1e-12)
    plain = gradient_of(batch, player, THETAS[player], before[..., player], ENTROPY)
    assert np.abs(expected - plain).max() > 1e-2
    term = (shaped - before)[..., player][batch.running]
    own = before[..., player][batch.running]
    np.testing.assert_allclose(info["alignment_ratio"], term.std() / own.std(), rtol=1e-12)


def by_hand_with(advantages, form):
    """The definition with this file's numbers."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tests.learners.test_advantage_products.BETA", BETA)
        patch.setattr("tests.learners.test_advantage_products.GAMMA", GAMMA)
        return by_hand(advantages, form)


def log_probability(batch, theta):
    signed = np.where(batch.actions[..., 0] == 0, 1, -1) * theta[batch.observations[..., 0]]
    return -np.log1p(np.exp(-signed))


@pytest.mark.parametrize("clipped", ["ratio", "released"])
def test_two_steps_of_ppo_put_the_code_form_into_the_clipped_surrogate(clipped):
    learner = advantage_aligner(
        BETA, "code", "ppo", 0.05, clipped, DECAY, 0.0, epochs=2, normalise=True, centre=False, common=common()
    )
    moved, _, _, batch = stepped(learner)
    shaped = by_hand_with(advantages_of(batch, centred=False, normalised=True), "code")[..., 0]
    first = gradient_of(batch, 0, THETAS[0], shaped, 0.0)
    after = THETAS[0] + first
    ratio = np.exp(log_probability(batch, after) - log_probability(batch, THETAS[0]))
    inside, good = np.abs(ratio - 1) < 0.05, shaped > 0
    if clipped == "ratio":
        # A good action counts until its ratio passes 1.05, a bad one until it falls below 0.95.
        factor = np.where(good, ratio * (ratio < 1.05), ratio * (ratio > 0.95))
    else:
        # log pi A is the lower of the two where A is positive, whatever the ratio.
        factor = np.where(good, 1.0, ratio * inside)
    second = gradient_of(batch, 0, after, factor * shaped, 0.0)
    np.testing.assert_allclose(moved, first + second, atol=1e-12)
    assert not inside[batch.running].all() and np.abs(second).max() > 1e-2


def test_the_policy_waits_for_its_critics_during_the_warm_up():
    learner = advantage_aligner(BETA, gae_lambda=DECAY, warm_up=1, common=common(rate=0.5))
    moved, state, _, _ = stepped(learner)
    assert np.all(moved == 0) and state.memory.updates == 1
    learned = [np.abs(after - before).max() for after, before in zip(state.memory.critic.parameters, PHI, strict=True)]
    assert min(learned) > 0.1
    assert np.any(stepped(learner, updates=2)[0] != 0)


def test_critics_in_another_unit_give_the_same_step_and_learn_the_same_values():
    plain = advantage_aligner(BETA, gae_lambda=DECAY, common=common(rate=0.5))
    scaled = advantage_aligner(BETA, gae_lambda=DECAY, value_scale=4.0, common=common(rate=0.5))
    one, state, _, _ = stepped(plain)
    other, scaled_state, _, _ = stepped(scaled, of_critics=PHI / 4)
    np.testing.assert_allclose(other, one, atol=1e-13)
    for phi, quarter in zip(state.memory.critic.parameters, scaled_state.memory.critic.parameters, strict=True):
        np.testing.assert_allclose(4 * quarter, phi, atol=1e-12)


def test_one_learner_in_both_seats_takes_both_steps_at_once():
    learner = advantage_aligner(BETA, gae_lambda=DECAY, common=common())
    at = objective()
    thetas = [jnp.asarray(THETAS[0])] * 2
    at = replace(at, observed=at.sampler.play(thetas, jax.random.key(7)))

    @quickly
    def run():
        def of(player):
            state = learner.init(jax.random.key(0), jax.random.key(1), at.sampler.policies, player, at, jnp.float64)
            phis = (jnp.asarray(PHI[0]), None if isinstance(player, tuple) else jnp.asarray(PHI[0]))
            critics = state.memory.critic.replace(parameters=phis)
            state = replace(state, theta=thetas[0], memory=state.memory.replace(critic=critics))
            return learner.step(jax.random.key(2), [state, state], player, at)[0].theta - thetas[0]

        return of((0, 1)), of(0), of(1)

    both, first, second = run()
    np.testing.assert_allclose(both, first + second, atol=1e-12)
    assert np.abs(both).max() > 1e-2


def test_past_selves_play_the_other_seat_and_one_is_kept_every_so_often():
    learner = advantage_aligner(BETA, past_groups=2, past_of=3, past_every=2, past_capacity=2, common=common())
    _, state, _, _ = stepped(learner, updates=3)
    # The initial self and the one after the second update.
    assert state.memory.selves.seen == 2
    kept = np.asarray(state.memory.selves.entries)
    np.testing.assert_allclose(kept[0], THETAS[0])
    assert np.any(kept[1] != kept[0])


def test_groups_meet_the_opponents_they_were_given():
    at = objective()
    always = [jnp.full(5, 50.0), jnp.full(5, -50.0)]
    settings = past_selves.PastSelves(2, 3, 1, 4)
    selves = past_selves.start(settings, always[0])
    met = quickly(lambda key: past_selves.meet(settings, selves, at, [jnp.zeros(5), always[1]], 0, key))(
        jax.random.key(0)
    )
    # Two groups meet the past self, which cooperates, and one the present opponent, which defects.
    assert np.all(met.batch.actions[:2, ..., 1] == 0) and np.all(met.batch.actions[2, ..., 1] == 1)
    # The learner plays its own policy in all of them.
    own = met.batch.actions[..., 0]
    assert {0, 1} == set(own.ravel().tolist())
    assert met.whole.rewards.shape == (5, 6, 2)


def test_what_does_not_fit_is_refused_in_a_line():
    for make, message in (
        (lambda: advantage_aligner(epochs=4), "epochs is given with base a2c; allowed: with base ppo"),
        (lambda: advantage_aligner(past_groups=9), "past_groups is 9; allowed: at most past_of, 8"),
        (lambda: advantage_aligner(form="other"), "form is 'other'; allowed: paper or code"),  # pyright: ignore
    ):
        with pytest.raises(ValueError) as error:
            make()
        assert str(error.value) == message
