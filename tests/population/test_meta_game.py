"""A game whose state holds learners: against the plain game, against derivatives through learning, and by identity."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import shaping
from shaping import envs
from shaping.learners import Common, frozen, values
from shaping.learners.actor_critic import ActorCritic, Experience, direction_of
from shaping.objectives.exact_matrix import exact_matrix_game
from shaping.objectives.play_batches import Batch
from shaping.policies import tabular
from shaping.policies.gaussian import gaussian
from shaping.policies.kinds import shown_table
from shaping.policies.placeholder import placeholder_policy
from shaping.population.meta_game import MetaGame, meta_game
from shaping.population.pools import Candidate, Factor
from shaping.population.trial_play import Stream, trial_sampler
from shaping.population.trial_state import Copy
from tests.compiling import quickly

IPD = envs.make("ipd")
TABLES = (tabular(5),) * 2
EXACT = exact_matrix_game(IPD, TABLES)
STREAMS, ROUNDS, UPDATES = 3, 4, 2


def naive(step_size=1.0, **common):
    return shaping.gradient_learner(shaping.naive(), step_size, **common)


def exact(others, updates=UPDATES, game=EXACT, params=None):
    return meta_game(game, IPD.default_params if params is None else params, others, updates)


def sampled(others, observes=None):
    game, params = shaping.sampled(IPD, TABLES, batch=STREAMS, horizon=ROUNDS, discount=1.0)
    return meta_game(game, params, others, UPDATES, observes)


@pytest.fixture(scope="module")
def played():
    """A sampled trial against two kinds of learners, as a batch, and the same step by step."""
    meta = sampled([None, [naive(), frozen(Common(initial=values(np.zeros(5))))]], "both")
    policy = shaping.network(meta.stream_observations, meta.stream_actions, hidden=(), recurrent="gru", units=2)
    policies = (policy, placeholder_policy(meta.stream_observations, meta.stream_actions))
    thetas = [policy.init(jax.random.key(1), jnp.float32(1)), ()]
    key, params = jax.random.key(5), meta.default_params
    batch = quickly(trial_sampler(meta, policies, params, 1.0, 2).play)(thetas, key)
    return meta, batch, key, params


def replayed(meta, batch, key, params, trial, through=lambda state: state):
    """A trial again, step by step, with the actions of a batch; `through` is done with its state in its middle."""
    own = jax.random.fold_in(key, trial)
    _, state = meta.reset(jax.random.fold_in(own, 0xFFFFFFFF), params)
    step, rows = quickly(meta.step), []
    for time in range(meta.horizon):
        state = through(state) if time == meta.rounds + 1 else state
        actions = jnp.moveaxis(batch.actions[time].reshape(2, meta.streams, 2)[trial], 1, 0)
        seen, state, *rest = step(jax.random.fold_in(jax.random.fold_in(own, time), 0), state, actions, params)
        rows.append((seen, *rest))
    return state, rows


def test_a_batch_of_trials_is_the_trials_played_step_by_step(played):
    meta, batch, key, params = played
    for trial in (0, 1):
        state, rows = replayed(meta, batch, key, params, trial)
        streams = np.stack([row[-1]["stream_rewards"].T for row in rows])
        own = np.asarray(batch.rewards).reshape(meta.horizon, 2, STREAMS, 2)[:, trial]
        np.testing.assert_array_equal(streams, own)
        np.testing.assert_allclose([row[1] for row in rows], own.mean(axis=1), rtol=1e-6)
        seen = np.asarray(batch.observations).reshape(meta.horizon, 2, STREAMS, 2, -1)[1:, trial]
        np.testing.assert_allclose(np.stack([np.moveaxis(row[0], 0, 1) for row in rows])[:-1], seen, atol=1e-6)
        assert state.update == UPDATES and state.round == 0


def test_inner_and_outer_boundaries_are_told_apart(played):
    rows = replayed(*played, 0)[1]
    inner, outer = ([bool(x) for x in each] for each in zip(*((r[-1]["inner_ended"], r[3]) for r in rows), strict=True))
    assert inner == [time % ROUNDS == ROUNDS - 1 for time in range(ROUNDS * UPDATES)]
    assert outer == [time == ROUNDS * UPDATES - 1 for time in range(ROUNDS * UPDATES)]


def test_a_trial_saved_in_the_middle_of_an_inner_episode_ends_in_the_same_bits(played):
    def to_disk_and_back(state):
        leaves, structure = jax.tree.flatten(state)
        return structure.unflatten([jnp.asarray(np.asarray(leaf).copy()) for leaf in leaves])

    whole, parts = replayed(*played, 0)[0], replayed(*played, 0, to_disk_and_back)[0]
    jax.tree.map(np.testing.assert_array_equal, whole, parts)


def test_against_learners_of_step_size_zero_an_exact_trial_is_the_plain_game():
    meta = exact([None, naive(0.0)])
    params = meta.default_params
    seen, state = meta.reset(jax.random.key(0), params)
    logits = jnp.array([0.3, -1.0, 2.0, 0.0, -0.5])
    step = quickly(meta.step)
    for _ in range(UPDATES):
        theirs = state.others[1].theta
        actions = jnp.stack([jax.nn.sigmoid(logits), jnp.zeros(5)])
        seen, state, rewards, *_ = step(jax.random.key(1), state, actions, params)
        found = EXACT.evaluate(IPD.default_params, [logits, theirs])["value"]
        np.testing.assert_allclose(rewards, found, rtol=2e-5)
    np.testing.assert_array_equal(state.others[1].theta, theirs)
    np.testing.assert_allclose(seen[0], np.concatenate([jax.nn.sigmoid(logits), jax.nn.sigmoid(theirs)]), rtol=1e-5)


def test_against_a_learner_of_step_size_zero_sampled_rounds_pay_what_the_plain_game_does():
    """Tit-for-tat against a player that cooperates in the first round alone: all is certain."""
    tft = values(50.0 * np.array([1, 1, -1, 1, -1]))
    meta = sampled([None, naive(0.0, initial=tft)])
    params = meta.default_params
    _, state = meta.reset(jax.random.key(0), params)
    step, rewards = quickly(meta.step), []
    for time in range(meta.horizon):
        actions = jnp.full((2, STREAMS), int(time % ROUNDS > 0))
        _, state, paid, *_ = step(jax.random.key(time), state, actions, params)
        rewards.append(paid)
    np.testing.assert_array_equal(rewards, [[-1, -1], [0, -3], [-2, -2], [-2, -2]] * UPDATES)


def test_values_are_those_of_the_policies_played_before_the_others_move():
    meta = exact([None, naive(5.0)], updates=1)
    _, state = meta.reset(jax.random.key(2), meta.default_params)
    before = state.others[1].theta
    actions = jnp.full((2, 5), 0.5)
    _, after, rewards, *_ = quickly(meta.step)(jax.random.key(1), state, actions, meta.default_params)
    found = EXACT.evaluate(IPD.default_params, [jnp.zeros(5), before])["value"]
    np.testing.assert_allclose(rewards, found, rtol=1e-5)
    slope = jax.grad(lambda theta: EXACT.objective(IPD.default_params)([jnp.zeros(5), theta])[0][1])(before)
    # The gradient is that of the return itself, 25 times that of the value.
    np.testing.assert_allclose(after.others[1].theta - before, 5.0 * slope, rtol=1e-4, atol=1e-6)


def test_what_others_draw_does_not_depend_on_what_a_shaper_does():
    """A learner that chooses at random whatever it sees does the same against a shaper that does everything else."""
    coin = naive(0.0, initial=values(np.zeros(5)))
    meta = sampled([None, [coin, naive()]])
    params = meta.default_params
    step = quickly(meta.step)
    shown = []
    for does in (0, 1):
        taken, (_, state) = [], meta.reset(jax.random.key(3), params)
        start = state.others[1].theta
        for time in range(ROUNDS - 1):
            actions = jnp.full((2, STREAMS), does)
            _, state, *_ = step(jax.random.key(time), state, actions, params)
            taken.append(state.batch.actions[time, :, 1])
        shown.append((start, jnp.stack(taken)))
    jax.tree.map(np.testing.assert_array_equal, *shown)
    assert np.all(start == 0), "the seed has to draw the first of the two learners"


@pytest.mark.parametrize("kind", ["sampled", "exact"])
def test_where_a_copy_of_a_shaper_sits_both_play_its_policy_and_elsewhere_a_learner_does(kind):
    """Tit-for-tat cooperates with its copy, and not with a player that always defects."""
    alld, tft = values(np.full(5, -50.0)), np.array([1, 1, 0, 1, 0])
    meta = (sampled if kind == "sampled" else exact)([None, naive(0.0, initial=alld)])
    params = dataclasses.replace(meta.default_params, copies=(None, Copy(jnp.float32(0.5), 0)))
    if kind == "sampled":
        policy = shown_table(Stream(meta), 0)
        theta = 50.0 * (2 * tft - 1.0)
    else:
        policy = gaussian(meta.stream_actions)
        theta = {"mean": 8.0 * (2 * tft - 1.0), "log_sd": jnp.full(5, -9.0)}
    policies = (policy, placeholder_policy(meta.stream_observations, meta.stream_actions))
    batch = quickly(trial_sampler(meta, policies, params, 1.0, 12).play)([theta, ()], jax.random.key(1))
    copied, streams = batch.group[0] == 1, STREAMS if kind == "sampled" else 1
    assert np.all(batch.group == batch.group[:1]) and np.all(copied.reshape(12, streams) == copied[::streams, None])
    assert 0 < np.mean(copied) < 1
    np.testing.assert_allclose(batch.rewards[:, copied], -1, atol=0.01)
    assert np.all(np.asarray(batch.rewards)[-1, ~copied, 0] < -1.9)


def test_pools_draw_by_frequency_and_scale_step_sizes():
    kinds = [
        Candidate(naive(2.0), 1.0, factor=Factor((0.5, 2.0))),
        Candidate(shaping.gradient_learner(shaping.lola(variant="taylor"), 3.0), 2.0),
        Candidate(naive(4.0), 0.0, factor=Factor((0.5, 2.0))),
        Candidate(naive(8.0), 1.0, factor=Factor((0.5, 2.0))),
    ]
    meta = exact([None, kinds])
    keys = jax.vmap(jax.random.fold_in, (None, 0))(jax.random.key(0), jnp.arange(2000))
    found = quickly(jax.vmap(lambda key: meta.reset(key, meta.default_params)[1]))(keys).others[1]
    shares = np.bincount(found.kind, minlength=2) / 2000
    np.testing.assert_allclose(shares, [0.5, 0.5], atol=0.05)
    rates = np.asarray(found.candidates[0].learner.settings.common.step_size)[np.asarray(found.kind) == 0]
    assert np.all(((rates >= 1) & (rates <= 4)) | ((rates >= 4) & (rates <= 16)))
    assert 0.4 < np.mean(rates < 4) < 0.6 and rates.min() < 1.1 and rates.max() > 14
    starts = quickly(jax.vmap(lambda s: s.theta))(found)
    np.testing.assert_allclose(np.std(starts), 1.0, atol=0.05)


def test_ppos_direction_is_in_expectation_the_derivative_through_all_inner_updates():
    """One-shot chicken, one logit, two inner updates: expectations over a shaper's noise are integrals in two
    dimensions, by quadrature. The derivative through the others' updates comes from the same actions made smooth."""
    chicken = envs.make("matrix_game", payoffs=[[[0, -1], [1, -3]], [[0, 1], [-1, -3]]], horizon=1, discount=1.0)
    game = exact_matrix_game(chicken, (tabular(1),) * 2)
    with jax.enable_x64():
        numbers = jax.tree.map(lambda x: jnp.asarray(x, jnp.float64), chicken.default_params)
        start = values(np.array([0.4]))
        meta = exact([None, naive(2.0, initial=start)], 2, game, numbers)
        still = exact([None, naive(0.0, initial=start)], 2, game, numbers).default_params
        params, policy = meta.default_params, gaussian(meta.action_space)
        theta = {"mean": jnp.array([0.2]), "log_sd": jnp.array([-1.2])}
        nodes, weights = np.polynomial.hermite_e.hermegauss(20)
        noise = jnp.array([(a, b) for a in nodes for b in nodes])
        chance = jnp.array([a * b for a in weights for b in weights]) / (2 * np.pi)

        def rewards(theta, noise, params=params):
            state, found = meta.begin(jax.random.key(0), params), []
            for now in noise:
                action = jax.nn.sigmoid(2 * (theta["mean"] + jnp.exp(theta["log_sd"]) * now))
                state, paid = meta.play_policies(jax.random.key(1), state, jnp.stack([action, action]), params)
                found.append((action, paid))
            return found

        def value(theta, params):
            return chance @ jax.vmap(lambda n: sum(paid[0] for _, paid in rewards(theta, n, params)))(noise)

        slope = quickly(jax.grad(value))
        wanted, unlearned = slope(theta, params), slope(theta, still)
        both = quickly(jax.vmap(lambda n: rewards(theta, n)))(noise)
        actions = jnp.stack([action for action, _ in both])
        paid = jnp.stack([reward[:, 0] for _, reward in both])
        # Returns to go; a direction is a mean over steps, so that each stands for its chance times their number.
        advantages = jnp.cumsum(paid[::-1], axis=0)[::-1] * chance * paid.size
        shape = actions.shape[:2]
        seen = jnp.zeros((*shape, 2, 2))
        batch = Batch(seen, jnp.stack([actions, actions], axis=2), jnp.zeros((*shape, 2)), jnp.ones(shape, bool))
        sampler = trial_sampler(
            meta, (policy, placeholder_policy(meta.observation_space, meta.action_space)), params, 1.0, shape[1]
        )
        before = sampler.read(0, theta, batch)[0]
        own = ActorCritic(1.0, 0.0, 0.2)
        objective = dataclasses.replace(game.objective(numbers), sampler=sampler)
        found = direction_of(objective, [theta, ()], 0, own, Experience(batch, advantages, before, None), 0)
        for name in ("mean", "log_sd"):
            np.testing.assert_allclose(found[name], wanted[name], rtol=1e-6)
            assert abs(found[name] - unlearned[name]) > 0.1 * abs(found[name])


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"within": (True, True)}, "within is [True, True]; allowed"),
        ({"updates": 0}, "updates is 0; allowed"),
        ({"observes": "play"}, "observes is 'play'; allowed: policies"),
    ],
)
def test_wrong_arguments_are_refused_in_one_line(change, told):
    given = {"game": EXACT, "within": (False, True), "updates": 2} | change
    with pytest.raises(ValueError) as error:
        MetaGame(**given)
    assert told in str(error.value) and "\n" not in str(error.value)
