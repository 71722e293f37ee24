"""COALA-PG's estimator against the gradient of a two-episode trial, by enumeration of everything that can happen."""

from dataclasses import dataclass
from itertools import product
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import shaping
from shaping.learners import coala
from shaping.learners.coala import OfTrials, trial_advantages
from tests.compiling import quickly
from tests.runs import played

pytestmark = pytest.mark.usefixtures("x64")

EPISODES, ROUNDS, STREAMS = 2, 2, 2
STEPS = EPISODES * ROUNDS
LOGITS = np.array([0.4, -0.3, 0.8, -0.6])
# Everything that can happen: a shaper's actions [time, streams], and the other's in the second episode [time, streams].
OUTCOMES = np.array(list(product((0, 1), repeat=STEPS * STREAMS + ROUNDS * STREAMS)))
ACTIONS = OUTCOMES[:, : STEPS * STREAMS].reshape(-1, STEPS, STREAMS)
REPLIES = np.concatenate(
    [np.zeros((len(OUTCOMES), ROUNDS, STREAMS), int), OUTCOMES[:, STEPS * STREAMS :].reshape(-1, ROUNDS, STREAMS)],
    axis=1,
)


def log_policies(logits):
    """Log-probabilities of the shaper's actions, [outcomes, time, streams]; one logit a step."""
    log = jax.nn.log_sigmoid
    return jnp.where(ACTIONS == 1, log(logits)[:, None], log(-logits)[:, None])


def replies():
    """Probabilities of the other's actions, [outcomes]: in the first episode it plays 0; before the second it learns
    from what was played in both streams, and has the same policy in both."""
    learned = 0.15 + 0.2 * ACTIONS[:, :ROUNDS].sum(axis=(1, 2)) * np.where(ACTIONS[:, 1, 0] == 1, 1.0, 0.4)
    chances = np.where(REPLIES[:, ROUNDS:] == 1, learned[:, None, None], 1 - learned[:, None, None])
    return chances.prod(axis=(1, 2))


def rewards():
    """[outcomes, time, streams]: of both actions, and of one's own before; each stream has its episodes for itself."""
    before = np.concatenate([np.zeros_like(ACTIONS[:, :1]), ACTIONS[:, :-1]], axis=1)
    before[:, ROUNDS] = 0
    return -0.7 * ACTIONS + 2.0 * REPLIES + 1.1 * before * REPLIES - 0.4 * before


def chances(logits):
    return jnp.exp(jnp.sum(log_policies(logits), axis=(1, 2))) * replies()


def gradient(discount):
    powers = discount ** np.arange(STEPS)
    returns = (powers[:, None] * rewards()).sum(axis=1).mean(axis=-1)
    return quickly(jax.grad(lambda logits: jnp.sum(chances(logits) * returns)))(LOGITS)


def values():
    """What some critic might say, [outcomes, time, streams]: of the step and of what its stream has shown so far."""
    seen = np.cumsum(
        np.concatenate([np.zeros_like(ACTIONS[:, :1]), ACTIONS[:, :-1] + 2 * REPLIES[:, :-1]], axis=1), axis=1
    )
    return np.sin(1.3 * seen) + 0.5 * np.arange(STEPS)[:, None]


def estimated(estimator, values=0.0, discount=1.0):
    """The expected estimate; steps are weighed by discount^t, as the gradient's are."""
    held = np.broadcast_to(values, ACTIONS.shape)

    def surrogate(logits, given):
        advantages = jax.vmap(lambda r, v: trial_advantages(r, ROUNDS, estimator, v, discount))(
            jnp.asarray(rewards()), held
        )
        weights = (discount ** np.arange(STEPS))[:, None] * advantages
        return jnp.sum(chances(given) * jnp.sum(weights * log_policies(logits), axis=(1, 2)))

    return quickly(jax.grad(surrogate))(LOGITS, LOGITS)


@pytest.mark.parametrize("discount", [1.0, 0.8])
def test_coala_s_estimator_is_unbiased_with_a_critic_and_without(discount):
    np.testing.assert_allclose(quickly(chances)(LOGITS).sum(), 1, rtol=1e-12)
    expected = gradient(discount)
    for critic in (0.0, values()):
        np.testing.assert_allclose(estimated("coala", critic, discount), expected, rtol=1e-9)


def test_the_others_are_biased_before_the_last_episode():
    """M-FOS's has B times too much of the present episode, the batch-unaware one too little of what comes later."""
    expected = gradient(1.0)
    mfos, unaware = estimated("mfos"), estimated("batch_unaware")
    # Nothing is later than the last episode.
    np.testing.assert_allclose(mfos[ROUNDS:], STREAMS * expected[ROUNDS:], rtol=1e-9)
    np.testing.assert_allclose(unaware[ROUNDS:], expected[ROUNDS:], rtol=1e-9)
    for found in (mfos, unaware):
        assert (np.abs(found[:ROUNDS] - expected[:ROUNDS]) > 0.05).all()


def summed(rewards, values, estimator, discount, decay):
    """The formulas as sums, [time, streams]."""
    steps, streams = rewards.shape
    errors = rewards + discount * np.append(values[1:], np.zeros((1, streams)), axis=0) - values
    found = np.zeros_like(rewards)
    for b, step in product(range(streams), range(steps)):
        end = steps if estimator == "batch_unaware" else (step // ROUNDS + 1) * ROUNDS
        share = 1 if estimator == "mfos" else 1 / streams
        weigh = (discount * decay) ** (np.arange(steps) - step)
        found[step, b] = share * sum(weigh[t] * errors[t, b] for t in range(step, end))
        found[step, b] += sum(weigh[t] * errors[t].mean() for t in range(end, steps))
    return found


@dataclass(frozen=True)
class Meta:
    horizon: int
    rounds: int
    streams: int
    sampled: bool = True


@dataclass(frozen=True)
class Played:
    group: Any


@dataclass(frozen=True)
class Playing:
    env: Any
    discount: float


@dataclass(frozen=True)
class Of:
    meta: Meta


@pytest.mark.parametrize("estimator", ["coala", "mfos", "batch_unaware"])
def test_a_batch_of_trials_has_each_trial_s_sums_for_itself(estimator):
    trials, streams, steps = 3, 4, 6
    drawn = np.random.default_rng(0).normal(size=(2, steps, trials * streams))
    rewards, values = (jnp.asarray(x) for x in drawn)
    sampler = Playing(Of(Meta(steps, ROUNDS, streams)), 0.9)
    found = OfTrials(estimator, False, False)(rewards, values, Played(None), sampler, 0.7)
    apart = drawn.reshape(2, steps, trials, streams)
    expected = np.stack([summed(*apart[:, :, k], estimator, 0.9, 0.7) for k in range(trials)], axis=1)
    np.testing.assert_allclose(found, streams * expected.reshape(steps, -1), rtol=1e-9)
    alone = np.repeat([False, True, False], streams)
    group = jnp.asarray(np.broadcast_to(alone, rewards.shape).astype(np.int32))
    mixed = OfTrials(estimator, True, False)(rewards, values, Played(group), sampler, 0.7)
    for chosen, by in ((alone, "batch_unaware"), (~alone, estimator)):
        kinds = np.concatenate(
            [summed(*apart[:, :, k], by, 0.9, 0.7) for k in np.flatnonzero(chosen[::streams])], axis=1
        )
        centred = streams * (kinds - kinds.mean(axis=1, keepdims=True))
        np.testing.assert_allclose(np.asarray(mixed)[:, chosen], centred, rtol=1e-6, atol=1e-9)
    scaled = OfTrials(estimator, True, True)(rewards, values, Played(None), sampler, 0.7)
    np.testing.assert_allclose(scaled.mean(axis=1), 0, atol=1e-12)
    np.testing.assert_allclose(scaled.std(), 1, rtol=1e-6)


def test_what_does_not_fit_is_refused_in_a_line():
    with pytest.raises(ValueError, match="rounds is 4; allowed: a divisor of the steps of a trial, 6"):
        trial_advantages(jnp.zeros((6, 2)), 4)
    with pytest.raises(
        ValueError, match="coala learns over trials of a game that is played; allowed: with trial.rounds"
    ):
        OfTrials("coala", True, True)(jnp.zeros((6, 2)), jnp.zeros((6, 2)), None, Playing(None, 1.0), 1.0)
    with pytest.raises(ValueError, match="clip is 0.0; allowed: a number, above 0"):
        coala(clip=0.0)


@pytest.mark.slow
@pytest.mark.usefixtures("without_pictures")
def test_with_one_stream_a_trial_every_estimator_is_that_of_ppo(tmp_path):
    """Nobody else's stream is changed by what is done in one's own."""
    own = {"epochs": 2, "minibatches": 1, "entropy": 0.0, "gae_lambda": 0.9, "normalise": False}
    within = {"rule": "naive", "within": True}
    learners = {"ppo": {"rule": "ppo", **own}}
    learners |= {name: {"rule": "coala", "estimator": name, "centre": False, **own} for name in ("coala", "mfos")}
    config = {
        "game": {"name": "ipd", "horizon": 2, "discount": 1},
        "trial": {"updates": 2, "rounds": 2, "streams": 1, "baseline": "none"},
        "policy": {"kind": "gru", "units": 2, "critic": "shared"},
        "objective": {"batch": 4, "evaluation": 2},
        "optimizer": "adam",
        "matches": 1,
        "updates": 2,
        "variants": {name: {"players": [{**one, "step_size": 0.05}, within]} for name, one in learners.items()},
    }
    record = played(shaping.run(config, tmp_path / "run"))
    start, ends = (record[name].isel(player=0).values for name in ("theta_initial", "theta_final"))
    assert np.abs(ends[0] - start[0]).max() > 0.01
    np.testing.assert_allclose(ends[1:], ends[:2], rtol=1e-5, atol=1e-7)
