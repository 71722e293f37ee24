"""theta <- theta + step_size * optimiser(direction), for every optimiser of optax."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import shaping
from shaping import envs
from shaping.learners import gradient_learner, normal, optimizer, values, zeros
from shaping.learners.gradient import GradientMemory
from shaping.learners.learner import LearnerState
from shaping.learners.optimizer import named_optimizers
from shaping.objectives import exact, from_returns
from shaping.policies import tabular
from shaping.rules import lola, naive


def at(theta):
    """The state of a learner by plain gradient ascent at given parameters."""
    return LearnerState(jnp.asarray(theta), GradientMemory(optax.sgd(1.0).init(jnp.asarray(theta)), None))


SLOPE = np.array([0.5, -1.0, 2.0, -0.25, 1.5], np.float32)


@pytest.mark.parametrize("name", named_optimizers())
def test_every_named_optimizer_takes_optax_s_own_step_at_a_traced_step_size(name):
    objective = from_returns(lambda thetas: [jnp.sum(SLOPE * thetas[0])])
    start = jnp.linspace(-1, 1, 5) + 0.1

    @jax.jit
    def two_steps(step_size):
        learner = gradient_learner(naive(), step_size, optimizer(name), values(start))
        state = learner.init(jax.random.key(0), jax.random.key(0), (tabular(5),) * 2, 0, None, jnp.float32)
        for _ in range(2):
            state, _ = learner.step(jax.random.key(0), (state,), 0, objective)
        return state.theta

    found = two_steps(jnp.float32(0.01))
    assert found.shape == (5,) and np.all(np.isfinite(found))
    assert np.any(found != start)
    transform, expected = getattr(optax, name)(0.01), start
    memory = transform.init(expected)
    update = jax.jit(transform.update)
    for _ in range(2):
        change, memory = update(jnp.asarray(-SLOPE), memory, expected)
        expected = optax.apply_updates(expected, change)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["sgd", "adam", "rmsprop"])
def test_learners_ascend(name):
    objective = from_returns(lambda thetas: [jnp.sum(SLOPE * thetas[0])])
    learner = gradient_learner(naive(), 0.1, optimizer(name), zeros())
    state = learner.init(jax.random.key(0), jax.random.key(0), (tabular(5),) * 2, 0, None, jnp.float32)
    state, _ = jax.jit(lambda s: learner.step(jax.random.key(0), (s,), 0, objective))(state)
    np.testing.assert_array_equal(np.sign(state.theta), np.sign(SLOPE))
    if name == "adam":
        np.testing.assert_allclose(state.theta, 0.1 * np.sign(SLOPE), rtol=1e-5)


@pytest.mark.parametrize(
    ("lookaheads", "expected"),
    [
        pytest.param(0, [-1.549834, -1.879041, -1.976513, -1.992043, -1.995622, -1.996875], marks=pytest.mark.slow),
        (1, [-1.502204, -1.507092, -1.280056, -1.052538, -1.011502, -1.005488]),
        pytest.param(2, [-1.502204, -1.507540, -1.412989, -1.130819, -1.030185, -1.013070], marks=pytest.mark.slow),
        (3, [-1.502204, -1.519320, -1.561398, -1.285381, -1.056497, -1.021979]),
    ],
)
def test_adam_on_exact_lookaheads_from_zero(lookaheads, expected, x64):
    """Deterministic LOLA-DiCE (Foerster et al., ICML 2018): Adam 0.2, lookahead rate 0.3, in the prisoner's dilemma.

    Values after 1, 10, 20, 30, 40 and 50 updates. From zero and in own view both players stay the same.
    """
    objective = exact(envs.make("ipd"), (tabular(5),) * 2)
    rule = lola("exact", 0.3, lookaheads) if lookaheads else naive()
    learner = gradient_learner(rule, 0.2, optimizer("adam"), zeros())

    def update(state, _):
        state, _ = learner.step(jax.random.key(0), (state, state), 0, objective)
        return state, 0.04 * objective.of(1, (state.theta, state.theta))

    start = learner.init(jax.random.key(0), jax.random.key(0), (tabular(5),) * 2, 0, None, jnp.float64)
    values = jax.jit(lambda s: jax.lax.scan(update, s, None, length=50)[1])(start)
    np.testing.assert_allclose(values[np.array([1, 10, 20, 30, 40, 50]) - 1], expected, atol=1e-5)


def test_settings_of_an_optimizer_are_its_own_and_a_second_learning_rate_is_refused():
    slow = optimizer("sgd", momentum=0.5, nesterov=True)
    assert slow.numbers == {"momentum": 0.5} and slow.flags == (("nesterov", True),)
    with pytest.raises(ValueError, match="no setting 'learning_rate'"):
        optimizer("adam", learning_rate=0.1)
    with pytest.raises(ValueError, match="unknown optimizer 'adamm'"):
        optimizer("adamm")


def test_a_step_size_of_zero_freezes_a_player():
    objective = exact(envs.make("ipd"), (tabular(5),) * 2)
    learner = gradient_learner(lola("original"), 0.0)
    states = tuple(
        learner.init(jax.random.key(k), jax.random.key(k), (tabular(5),) * 2, 0, None, jnp.float32) for k in range(2)
    )
    after, _ = jax.jit(lambda s: learner.step(jax.random.key(0), s, 0, objective))(states)
    np.testing.assert_array_equal(after.theta, states[0].theta)


def test_one_naive_step_from_zero_in_own_view_is_the_meta_games_first_transition(x64):
    """M-FOS (Lu et al., ICML 2022): a naive opponent with learning rate 1 against a uniform meta-action."""
    game = envs.make("ipd")
    objective = exact(game, (tabular(5),) * 2)
    learner = gradient_learner(naive(), 1.0, initial=zeros())
    states = tuple(
        learner.init(jax.random.key(k), jax.random.key(k), (tabular(5),) * 2, 0, None, jnp.float64) for k in range(2)
    )
    step = jax.jit(lambda s: [learner.step(jax.random.key(0), s, seat, objective)[0].theta for seat in range(2)])
    for theta in step(states):
        np.testing.assert_allclose(theta, [-0.25, -1.5, -1.5, -1.5, -1.5], atol=1e-9)
    # The reward comes before the opponent's update: always defecting against uniform play.
    defect = jnp.full(5, -30.0)
    value = 0.04 * jnp.stack(list(jax.jit(lambda ts: objective(ts)[0])((defect, jnp.zeros(5)))))
    np.testing.assert_allclose(value, [-1.0, -2.5], atol=1e-6)


def test_players_step_simultaneously_from_the_same_parameters(x64):
    objective = exact(envs.make("ipd", state_view="shared"), (tabular(5),) * 2)
    learner = gradient_learner(naive(), 1.0)
    probe = ([0.1, -0.2, 0.3, -0.4, 0.5], [-0.5, 0.4, -0.3, 0.2, -0.1])
    states = tuple(at(theta) for theta in probe)
    key = jax.random.key(0)
    step = [jax.jit(lambda s, seat=seat: learner.step(key, s, seat, objective)[0]) for seat in range(2)]
    first, second = step[0](states), step[1](states)
    second_again, first_again = step[1](states), step[0](states)
    np.testing.assert_array_equal(first.theta, first_again.theta)
    np.testing.assert_array_equal(second.theta, second_again.theta)
    sequential = step[1]((first, states[1]))
    assert np.max(np.abs(sequential.theta - second.theta)) > 0.1


def test_own_and_shared_view_have_the_same_learning_curves(x64):
    swap, curves, finals = np.array([0, 1, 3, 2, 4]), [], []
    first, second = np.random.default_rng(0).normal(size=(2, 5))
    learner, key = gradient_learner(naive(), 1.0), jax.random.key(0)
    for view, start in (("shared", (first, second)), ("own", (first, second[swap]))):
        objective = exact(envs.make("ipd", state_view=view), (tabular(5),) * 2)

        def update(states, _, objective=objective):
            new = tuple(learner.step(key, states, seat, objective)[0] for seat in range(2))
            return new, objective.of(0, [state.theta for state in new])

        states = tuple(at(theta) for theta in start)
        states, curve = jax.jit(lambda s, update=update: jax.lax.scan(update, s, None, length=20))(states)
        curves.append(curve)
        finals.append(states)
    np.testing.assert_allclose(curves[0], curves[1], rtol=1e-10)
    np.testing.assert_allclose(finals[0][0].theta, finals[1][0].theta, rtol=1e-9)
    np.testing.assert_allclose(finals[0][1].theta[swap], finals[1][1].theta, rtol=1e-9)


def test_initial_parameters_are_drawn_in_float32_and_cast(x64):
    key, policy = jax.random.key(3), tabular(5)
    drawn = {
        dtype: gradient_learner(naive(), initial=normal(2.0)).init(key, key, (policy,) * 2, 0, None, dtype).theta
        for dtype in (jnp.float32, jnp.float64)
    }
    assert drawn[jnp.float64].dtype == jnp.float64 and drawn[jnp.float32].dtype == jnp.float32
    np.testing.assert_array_equal(drawn[jnp.float64], np.float64(drawn[jnp.float32]))
    np.testing.assert_array_equal(drawn[jnp.float32], 2 * jax.random.normal(key, (5,), jnp.float32))


def learned_direction(objective, thetas, player, settings, key, learned):
    """Along what was learned: the match's own number, times the seat's setting."""
    return jax.tree.map(lambda leaf: jnp.full_like(leaf, settings) * learned, thetas[player])


def draw_one(objective, policies, player, settings, key, dtype):
    """One number from the key that a match shares."""
    return jax.random.uniform(key, (), jnp.float32).astype(dtype)


def test_a_rule_learns_before_the_first_update_and_learners_of_a_match_share_what_they_draw():
    def trained(matches):
        rules = [shaping.Rule(settings, learned_direction, draw_one) for settings in (1.0, 2.0)]
        game = shaping.analytic_game("tandem")
        found = shaping.train(game, rules, matches=matches, updates=3, precision="float64")
        return (found.theta_final - found.theta_initial).values[..., 0]

    moved = trained(7)
    np.testing.assert_allclose(moved[:, 1], 2 * moved[:, 0], rtol=1e-12)
    assert np.unique(moved[:, 0]).size == 7 and np.all((moved[:, 0] > 0) & (moved[:, 0] < 3))
    np.testing.assert_allclose(trained(3), moved[:3], rtol=1e-12)
