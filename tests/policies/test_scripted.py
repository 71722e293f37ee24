"""Policies whose parameters are probabilities and machines: certain choices, derivatives, exact values, restarts."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import shaping
from shaping import envs
from shaping.policies import Machine, explored, mealy_machine
from shaping.policies.automaton import from_table, padded
from shaping.policies.memory_one import logit
from tests.compiling import quickly

TABLE = [0.0, 1.0, 0.25, 0.9, 1.0]


@pytest.fixture(autouse=True)
def strict():
    with jax.numpy_dtype_promotion("strict"), jax.numpy_rank_promotion("raise"), jax.debug_nans(True):
        yield


def distributions(policy, theta):
    """What the policy does at the start and then after each joint action, [5]."""
    memory = policy.start(())
    _, started = policy.apply(theta, jnp.int32(0), memory)
    after = [policy.apply(theta, jnp.int32(state), started)[0] for state in range(1, 5)]
    return [policy.apply(theta, jnp.int32(0), memory)[0], *after]


@pytest.mark.parametrize("x64", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_certain_choices_are_certain_in_samples_probabilities_and_log_probabilities(x64):
    with jax.enable_x64(x64):
        policy, theta = shaping.memory_one(5), jnp.asarray(TABLE, dtype=float)
        for p, distribution in zip(TABLE, distributions(policy, theta), strict=True):
            drawn = np.asarray(distribution.sample(seed=jax.random.key(1), sample_shape=(50_000,)))
            assert all(np.isfinite(distribution.log_prob(action)) for action in range(2))
            if p in (0, 1):
                assert np.all(drawn == 1 - p)
                assert float(distribution.probs[0]) == p
                assert float(distribution.log_prob(1 - int(p))) == 0
            else:
                np.testing.assert_allclose(distribution.probs[0], p, rtol=1e-6)
                assert abs((drawn == 0).mean() - p) < 4 * np.sqrt(p * (1 - p) / drawn.size)


def test_log_probabilities_differentiate_to_one_over_p_and_to_zero_where_the_choice_is_certain():
    policy, theta = shaping.memory_one(5), jnp.asarray(TABLE)

    def total(theta, action):
        return sum(distribution.log_prob(action) for distribution in distributions(policy, theta))

    with np.errstate(divide="ignore"):
        p, inside = np.array(TABLE), (np.array(TABLE) > 0) & (np.array(TABLE) < 1)
        np.testing.assert_allclose(jax.grad(total)(theta, 0), np.where(inside, 1 / p, 0), rtol=1e-5)
        np.testing.assert_allclose(jax.grad(total)(theta, 1), np.where(inside, -1 / (1 - p), 0), rtol=1e-5)


def test_exact_values_of_certain_tables_are_those_of_the_play():
    """At discount d: ALLD against ALLC earns 0 against -3; TFT against ALLD earns -3 once and -2 from then on."""
    game, policies = envs.make("ipd", discount=0.9), (shaping.memory_one(5),) * 2
    objective = shaping.exact(game, policies)

    def values(*names):
        returns, _ = objective([shaping.strategy(name)[1] for name in names])
        return [float(0.1 * value) for value in returns]

    np.testing.assert_allclose(values("alld", "allc"), [0, -3], atol=1e-5)
    np.testing.assert_allclose(values("tft", "alld"), [0.1 * -3 + 0.9 * -2, 0.1 * 0 + 0.9 * -2], rtol=1e-5)
    np.testing.assert_allclose(values("wsls", "grim"), [-1, -1], rtol=1e-5)
    gradient = quickly(jax.grad(lambda theta: objective([theta, jnp.full(5, 0.5)])[0][0]))(jnp.asarray(TABLE))
    assert np.all(np.isfinite(gradient)) and np.count_nonzero(gradient) == 2


def test_logits_are_the_same_number_by_number_and_make_a_tabular_policy_of_a_table():
    policy, theta = shaping.memory_one(5), jnp.asarray(TABLE)
    np.testing.assert_array_equal(jnp.stack(policy.table(tuple(theta))), policy.table(theta))
    for table, tabular in zip(
        distributions(policy, theta), distributions(shaping.tabular(5), logit(theta)), strict=True
    ):
        np.testing.assert_array_equal(table.probs, tabular.probs)


def test_a_table_and_its_machine_do_the_same_with_the_same_key():
    game = envs.make("ipd")
    table = (shaping.memory_one(5), jnp.asarray(TABLE))
    machine = (shaping.automaton(8), padded(from_table(TABLE), 8))
    opponent = shaping.strategy("generous_tft")
    played = [
        shaping.rollout(game, (policy, opponent[0]), (theta, opponent[1]), jax.random.key(2), 20, 30)
        for policy, theta in (table, machine)
    ]
    np.testing.assert_array_equal(*[run.actions for run in played])
    np.testing.assert_array_equal(*[run.log_probabilities for run in played])
    assert 0 < played[0].actions.mean() < 1


def test_matches_of_different_machines_run_in_one_program():
    game = envs.make("ipd")
    policy, machines = shaping.stack_automata(["tft", "alld", "predator"])
    other = jax.tree.map(lambda leaf: leaf[0], machines)

    def rewards(machine):
        played = shaping.rollout(game, (policy, policy), (machine, other), jax.random.key(0), 6, 1)
        return played.rewards[:, 0, 0]

    expected = [[-1.0] * 6, [0.0] + [-2.0] * 5, [-1.0, 0.0, -2.0, -2.0, -2.0, -3.0]]
    np.testing.assert_array_equal(jax.jit(jax.vmap(rewards))(machines), expected)


def test_a_machine_starts_again_where_a_new_game_starts():
    policy, theta = shaping.strategy("grudger")
    memory, chosen = policy.start(()), []
    for observation in (0, 2, 1, 0, 1):  # its opponent defects in the first round
        distribution, memory = policy.apply(theta, jnp.int32(observation), memory)
        chosen.append(int(distribution.mode()))
    assert chosen == [0, 1, 1, 0, 0]


def test_a_batch_of_observations_is_taken_as_many_matches_are():
    policy, theta = shaping.strategy("solution_b5")
    seen = jnp.array([0, 1, 2, 3, 4], jnp.int32)
    distribution, memory = policy.apply(theta, seen, policy.start((5,)))
    alone = [policy.apply(theta, jnp.int32(o), policy.start(())) for o in range(5)]
    np.testing.assert_array_equal(distribution.probs, [d.probs for d, _ in alone])
    np.testing.assert_array_equal(memory, [m for _, m in alone])


def test_tables_notice_own_actions_where_transitions_have_four_columns():
    """WSLS as a machine of two states: it stays after CC and DC, in its own actions, and shifts after CD and DD."""
    machine = shaping.moore_machine([1, 0], [[0, 1, 1, 0]] * 2)
    for found, expected in zip(
        distributions(shaping.automaton(2), machine),
        distributions(shaping.memory_one(5), shaping.strategy("wsls")[1]),
        strict=True,
    ):
        np.testing.assert_array_equal(found.probs, expected.probs)


def test_a_mealy_machine_of_one_state_that_copies_is_tit_for_tat():
    machine = mealy_machine("C", [[0, 0]], [["C", "D"]])
    assert machine.cooperation.tolist() == [1, 0]
    assert machine.transition.tolist() == [[0, 0, 1, 0, 1]] * 2


def test_an_initial_state_need_not_be_the_first():
    machine = shaping.moore_machine([1, 0.5, 0], [[0, 1], [1, 2], [2, 0]], initial=2)
    start, *_ = distributions(shaping.automaton(3), machine)
    assert float(start.probs[0]) == 0


def test_random_machines_of_a_policy_have_its_shapes_and_restart_in_their_first_state():
    policy = shaping.automaton(7)
    machine = policy.init(jax.random.key(0), jnp.float32(1))
    assert machine.transition.dtype == jnp.int32 and policy.shapes.transition.shape == (7, 5)
    assert policy.num_parameters == 7 * 5 + 7
    assert not machine.transition[:, 0].any() and set(np.unique(machine.transition[:, 1:])) == set(range(7))
    assert np.all((machine.cooperation > 0) & (machine.cooperation < 1))
    table = shaping.memory_one(5).init(jax.random.key(0), jnp.float32(0))
    np.testing.assert_array_equal(table, [0.5] * 5)


def test_policies_of_the_same_size_compile_to_the_same_program():
    assert shaping.automaton(3) == shaping.strategy("fortress3")[0] != shaping.automaton(4)
    assert shaping.memory_one(5) == shaping.strategy("tft")[0] != shaping.tabular(5)


def test_float64_machines_and_tables_stay_float64(x64):
    machine = shaping.strategy("predator")[1]
    assert machine.cooperation.dtype == jnp.float64 and machine.transition.dtype == jnp.int32
    assert shaping.strategy("tft")[1].dtype == jnp.float64


def test_exact_values_of_an_automaton_are_refused_with_what_is_allowed():
    with pytest.raises(ValueError, match="no table over states of the game; allowed: memory_one"):
        shaping.exact(envs.make("ipd"), (shaping.automaton(2), shaping.memory_one(5)))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (([1, 2], [[0, 0], [0, 0]]), r"cooperation is \[1, 2\]; allowed: numbers from 0 to 1"),
        (([], []), r"cooperation is \[\]"),
        (([1, 0], [[0, 1]]), r"shape \[1, 2\]; allowed: integers \[2, 2\] or \[2, 4\]"),
        (([1, 0], [[0, 0.5], [1, 1]]), r"transition has .* allowed: integers"),
        (([1, 0], [[0, 2], [1, 1]]), r"transition leads to 0 to 2; allowed: states 0 to 1"),
        (([1, 0], [[0, 1], [1, 1]], 2), r"initial is 2; allowed: an integer from 0 to 1"),
    ],
)
def test_tables_that_are_no_machine_are_refused(arguments, said):
    with pytest.raises(ValueError, match=said):
        shaping.moore_machine(*arguments)


def test_what_is_no_finite_automaton_is_refused():
    with pytest.raises(ValueError, match="states; allowed: up to 10000"):
        explored(0, lambda number: True, lambda number, own, other: number + 1)
    machine = Machine(jnp.zeros((3, 5), jnp.int32), jnp.ones(3))
    with pytest.raises(ValueError, match="num_states is 2; allowed: 3 or more"):
        padded(machine, 2)
