"""Critics with a value for every action, critics that see everybody, and target networks."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import shaping
from shaping import envs
from shaping.config.build import matches_of
from shaping.config.errors import ConfigError
from shaping.config.plan import plan
from shaping.learners.critic import critic, fitted, start, value_loss
from shaping.objectives.play_batches import Sampler
from shaping.objectives.sampled_objective import Estimator, sampled_objective
from shaping.policies import joint_critic, network, network_critic, tabular, tabular_critic
from shaping.population.match import moved
from shaping.population.match import start as begin
from shaping.rules.target_network import followed
from tests.compiling import quickly
from tests.objectives.enumeration import PROBE

pytestmark = pytest.mark.usefixtures("x64")

GAMMA, STEPS = 0.9, 3
TABLES = (tabular_critic(5, 2),) * 2


def objective(batch, critics=TABLES):
    env = envs.make("ipd", discount=GAMMA, horizon=None)
    return sampled_objective(Sampler(env, (tabular(5),) * 2, env.default_params, GAMMA, batch, STEPS), critics=critics)


def thetas():
    return [jnp.asarray(theta) for theta in PROBE]


def chances():
    """Of player 0's actions [states, 2], and of joint actions given them [states, 2, joint]."""
    p, q = 1 / (1 + np.exp(-PROBE[0])), (1 / (1 + np.exp(-PROBE[1])))[[0, 1, 3, 2, 4]]
    own, other = np.stack([p, 1 - p], 1), np.stack([q, 1 - q], 1)
    joint = np.zeros((5, 2, 4))
    for action in range(2):
        joint[:, action, 2 * action : 2 * action + 2] = other
    return own, joint


def exact_action_values(decay):
    """Player 0's Q of three rounds [states, actions], a mean over the rounds in which a state is seen. With `decay` 1
    targets are the rewards that follow; with 0 they are one step ahead, and what follows is Q itself."""
    own, joint = chances()
    payoffs = np.array([-1.0, -3.0, 0.0, -2.0])
    now = [np.eye(5)[0]]
    for _ in range(STEPS - 1):
        now.append(np.concatenate([[0.0], np.einsum("s,sa,saj->j", now[-1], own, joint)]))
    seen = np.array(now)
    if decay == 1:
        ahead, found = np.zeros(5), []
        for _ in range(STEPS):
            each = np.einsum("saj,j->sa", joint, payoffs + GAMMA * ahead[1:])
            found.append(each)
            ahead = np.sum(own * each, axis=1)
        return np.einsum("ts,tsa->sa", seen, np.array(found[::-1])) / seen.sum(0)[:, None]
    goes_on = seen[:-1].sum(0) / seen.sum(0)
    system, right = np.eye(10), np.einsum("saj,j->sa", joint, payoffs).reshape(10)
    step = np.concatenate([np.zeros((5, 2, 1)), joint], axis=2)
    system -= GAMMA * np.einsum("s,sat,tb->satb", goes_on, step, own).reshape(10, 10)
    return np.linalg.solve(system, right).reshape(5, 2)


def test_a_table_comes_to_expect_the_exact_return_of_every_action():
    at = objective(256)

    @quickly
    def learned(decay):
        settings = critic((TABLES[0], None), 1.5, decay, "sgd", steps=2, target_rate=0.5, target_period=2)

        def update(state, number):
            batch = at.sampler.play(thetas(), jax.random.fold_in(jax.random.key(3), number))
            new = fitted(settings, state, replace(at, observed=batch), thetas=thetas())
            return new, new.parameters[0]

        return jax.lax.scan(update, start(settings, jax.random.key(0), jnp.float64), jnp.arange(600))[1][200:]

    paths = learned(jnp.array(1.0)), learned(jnp.array(0.0))
    right = [exact_action_values(decay) for decay in (1, 0)]
    for path, expected in zip(paths, right, strict=True):
        # Late estimates fluctuate; tens of them are independent of each other.
        error = np.std(path, axis=0) / np.sqrt(20)
        assert np.all(np.abs(np.mean(path, axis=0) - expected) < 4 * error + 1e-3)
        assert np.all(error < 0.05)
    assert np.min(np.abs(right[0] - right[1])) > 0.05 and np.min(right[0][:, 1] - right[0][:, 0]) > 0.2


def test_the_value_of_a_state_is_the_mean_over_what_the_policy_does_there():
    at, phi = objective(8), np.arange(10.0).reshape(5, 2) ** 2
    batch = quickly(at.sampler.play)(thetas(), jax.random.key(1))
    known = at.within([jnp.asarray(phi), None])
    assert known.values is not None and known.action_values is not None
    seen = np.asarray(batch.observations)[..., 0]
    np.testing.assert_allclose(known.values(0, thetas(), batch), np.sum(chances()[0] * phi, axis=1)[seen], rtol=1e-12)
    np.testing.assert_array_equal(known.action_values(0, batch), phi[seen])


def test_targets_come_from_the_target_network_and_the_loss_is_that_of_the_action_taken():
    at, phi, old = objective(8), np.arange(10.0).reshape(5, 2) ** 2, np.linspace(-3, 4, 10).reshape(5, 2)
    batch = quickly(at.sampler.play)(thetas(), jax.random.key(1))
    settings = critic((TABLES[0], None), 0.1, gae_lambda=0.7, target_rate=0.5)
    within = [at.within([jnp.asarray(table), None]) for table in (phi, old)]
    found = value_loss(settings, within[0], thetas(), 0, batch, within[1])
    rewards, seen = np.asarray(batch.rewards)[..., 0], np.asarray(batch.observations)[..., 0]
    v = np.concatenate([np.sum(chances()[0] * old, axis=1)[seen], np.zeros((1, 8))])
    later, squares = 0.0, 0.0
    for t in reversed(range(STEPS)):
        later = rewards[t] + GAMMA * v[t + 1] - v[t] + GAMMA * 0.7 * later
        taken = phi[seen[t], np.asarray(batch.actions)[t, :, 0]]
        squares += np.sum((taken - v[t] - later) ** 2)
    np.testing.assert_allclose(found, 0.5 * squares / (STEPS * 8), rtol=1e-12)

    steps = critic((TABLES[0], None), 0.1, gae_lambda=0.7, optimizer="sgd", target_rate=0.5)
    first = start(steps, jax.random.key(0), jnp.float64)
    first = replace(first, parameters=(jnp.asarray(phi), None), targets=(jnp.asarray(old), None))
    after = quickly(lambda: fitted(steps, first, replace(at, observed=batch), thetas=thetas()))()
    slope = quickly(
        jax.grad(lambda table: value_loss(settings, at.within([table, None]), thetas(), 0, batch, within[1]))
    )
    np.testing.assert_allclose(after.parameters[0], phi - 0.1 * slope(jnp.asarray(phi)), rtol=1e-12)
    assert after.targets is not None
    np.testing.assert_allclose(after.targets[0], (old + after.parameters[0]) / 2, rtol=1e-12)


def test_target_networks_follow_at_their_rate_and_period():
    at = objective(8, (tabular_critic(5),) * 2)
    batch = quickly(at.sampler.play)(thetas(), jax.random.key(1))

    @quickly
    def path():
        settings = critic((tabular_critic(5), None), 0.2, target_rate=0.25, target_period=3)
        state = start(settings, jax.random.key(0), jnp.float64)

        def step(state, _):
            after = fitted(settings, state, replace(at, observed=batch))
            return after, after

        return jax.lax.scan(step, state, None, 7)[1]

    states = path()
    expected = np.zeros(5)
    for n, (online, target) in enumerate(zip(states.parameters[0], states.targets[0], strict=True), start=1):
        expected = expected + 0.25 * (online - expected) if n % 3 == 0 else expected
        np.testing.assert_allclose(target, expected, rtol=1e-12)
    assert np.ptp(expected) > 0 and np.all(states.updates == np.arange(1, 8))
    copied = followed({"w": jnp.zeros(2)}, {"w": jnp.ones(2)}, jnp.int32(4), 1.0, 4)
    np.testing.assert_array_equal(copied["w"], 1)


@pytest.mark.parametrize("q", [True, False])
def test_a_joint_critic_sees_its_player_first_then_the_others_and_for_q_what_they_do(q):
    env = envs.make("contribution", num_players=3, horizon=None)
    space, does = env.observation_space, env.action_space
    one = joint_critic(space, 3, hidden=(4,), num_actions=does.num_values if q else None)
    sampler = Sampler(env, (tabular(space.num_values),) * 3, env.default_params, 0.9, 6, 4)
    at = sampled_objective(sampler, critics=(one,) * 3)
    phi = jax.tree.map(lambda leaf: leaf.astype(float), one.init(jax.random.key(0), jnp.float32(1)))
    own = [jnp.linspace(-1.0, 1.0, space.num_values)] * 3
    batch = quickly(lambda: sampler.play(own, jax.random.key(1)))()
    known = at.within([phi] * 3)
    assert known.action_values is not None
    found = known.action_values(1, batch)
    order = [1, 2, 0]
    parts = [np.eye(space.num_values)[np.asarray(batch.observations)[..., i]] for i in order]
    parts += [np.eye(does.num_values)[np.asarray(batch.actions)[..., i]] for i in order[1:]] if q else []
    x = np.tanh(np.concatenate(parts, axis=-1) @ phi["hidden_0"]["kernel"] + phi["hidden_0"]["bias"])
    expected = x @ phi["value"]["kernel"] + phi["value"]["bias"]
    np.testing.assert_allclose(found, expected if q else expected[..., 0], rtol=1e-12)
    assert np.ptp(found) > 0.1
    if q:
        with pytest.raises(ValueError, match="^baseline is 'critic'; allowed: another, as joint Q critics see"):
            sampled_objective(sampler, Estimator(baseline="critic"), critics=(one,) * 3)


def test_critics_with_other_outputs_or_other_eyes_are_other_programs():
    space = envs.make("ipd").observation_space
    kinds = [tabular_critic(5), tabular_critic(5, 2), network_critic(space), network_critic(space, num_actions=2)]
    kinds += [joint_critic(space, 2), joint_critic(space, 2, num_actions=2), joint_critic(space, 3)]
    assert len(set(kinds)) == len(kinds) and tabular_critic(5, 2) == tabular_critic(5, 2)


@pytest.mark.parametrize("sees", ["all", pytest.param("own", marks=pytest.mark.slow)])
def test_a_configuration_trains_an_actor_with_a_q_critic(sees):
    raw = {
        "game": {"name": "ipd", "horizon": 1},
        "objective": {
            "kind": "dice",
            "batch": 64,
            "critic_kind": "q",
            "critic_sees": sees,
            "critic_rate": 0.3,
            "critic_target_rate": 0.5,
        },
        "players": {"rule": "a2c", "step_size": 2.0},
        "matches": 1,
    }
    experiment = plan(raw)
    match = jax.tree.map(lambda leaf: jnp.asarray(leaf[0]), matches_of(experiment, experiment.blocks, np.array([0])))

    @quickly
    def trained():
        first = begin(match, jnp.float64).learners
        return jax.lax.scan(lambda s, n: (moved(match, s, n), None), first, jnp.arange(60))[0]

    states = trained()
    for seat, state in enumerate(states):
        assert state.theta[0] < -2, "defection pays"
        phi = state.memory.critic.parameters[seat]
        start_state = jnp.zeros((2,), jnp.int32) if sees == "all" else jnp.int32(0)
        # Where the other defects, which it does nearly always by now: -3 for cooperation and -2 for defection.
        seen = (start_state, jnp.ones((1,), jnp.int32)) if sees == "all" else start_state
        found = match.learners[seat].settings.common.critic.critics[seat].apply(phi, seen, None)[0]
        assert abs(found[1] + 2) < 0.3 and found[1] > found[0]
        assert state.memory.critic.targets[seat] is not None


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (
            {"game": "cournot", "objective": {"critic_kind": "q"}},
            "objective.critic_kind is 'q'; allowed: value, as actions of cournot are continuous",
        ),
        (
            {"policy": {"kind": "gru", "critic": "shared"}, "objective": {"kind": "dice", "critic_sees": "all"}},
            "objective.critic_sees: 'all' is not allowed; must be 'own', where policy.critic is shared",
        ),
        (
            {"objective": {"kind": "dice", "baseline": "critic", "critic_kind": "q", "critic_sees": "all"}},
            "objective.critic_kind: 'q' is not allowed; must be value, where baseline is critic and critic_sees is all",
        ),
        (
            {"objective": {"kind": "dice", "critic_target_rate": 0}},
            "objective.critic_target_rate: 0 is not allowed; must be a number, above 0 and at most 1",
        ),
    ],
)
def test_critics_that_cannot_be_are_refused_in_one_line(raw, message):
    with pytest.raises(ConfigError) as error:
        experiment = plan({"players": {"rule": "ppo"}, "matches": 1, **raw})
        matches_of(experiment, experiment.blocks, np.array([0]))
    assert str(error.value) == message


def test_a_value_head_has_no_target_network():
    env = envs.make("ipd", discount=0.9)
    policy = network(env.observation_space, env.action_space, hidden=(), critic=True)
    game, numbers = shaping.sampled(env, (policy,) * 2, batch=4, horizon=2)
    learner = shaping.a2c(common=shaping.Common(critic=critic((None, None), target_rate=0.1)))
    with pytest.raises(ValueError, match="^target_rate is given; allowed: for critics that are networks"):
        shaping.train(game, learner, 1, 1, parameters=numbers)
