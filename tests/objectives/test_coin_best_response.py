"""Best responses in the Coin Game: against policy iteration on states written down one at a time, and against play."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import shaping
from shaping import envs
from shaping.envs.coin_game.chain import board_of, num_boards
from shaping.objectives.coin_best_response import best_response, exploitability


def exact(settings, memory=False, folded=True, **arguments):
    env = envs.make("coin_game", **settings)
    policies = tuple(shaping.coin_table(env, player, memory, folded) for player in range(env.num_players))
    return shaping.exact_coin_game(env, policies, memory=memory, folded=folded, **arguments)


def drawn(form, seed=0, scale=1.0):
    numbers = np.random.default_rng(seed)
    return [scale * numbers.normal(size=policy.shapes.shape) for policy in form.policies]


def certain(actions, count=4):
    """Logits of who always does the same in a state."""
    return 200.0 * np.eye(count)[actions]


STATES = [(a, b, coin, colour) for colour in (0, 1) for coin in range(3) for a in range(3) for b in range(3)]
MOVE = (1, -1, 0, 0)
"""Right, left, and two moves that lead to the same cell of a row."""


def outcomes(state, actions):
    """Three cells in a row, written down: rewards of both, and next states with their probabilities."""
    a, b, coin, colour = state
    a, b = (a + MOVE[actions[0]]) % 3, (b + MOVE[actions[1]]) % 3
    takes = (a == coin, b == coin)
    rewards = [float(takes[0]), float(takes[1])]
    if takes[1 - colour]:
        rewards[colour] -= 2
    if not any(takes):
        return rewards, {(a, b, coin, colour): 1.0}
    free = [cell for cell in range(3) if cell not in (a, b)]
    return rewards, {(a, b, cell, 1 - colour): 1 / len(free) for cell in free}


def row_of(state, player):
    """The row of an unfolded table: colour, coin, own cell and the other's."""
    a, b, coin, colour = state
    own, other = (a, b) if player == 0 else (b, a)
    turned = colour if player == 0 else 1 - colour
    return STATES.index((own, other, coin, turned))


def decision_problem(player, table):
    """Rewards [states, actions] and transitions [states, actions, states] of a player, given the other's table."""
    rewards, moves = np.zeros((54, 4)), np.zeros((54, 4, 54))
    for number, state in enumerate(STATES):
        probabilities = table[row_of(state, 1 - player)]
        for mine, theirs in itertools.product(range(4), repeat=2):
            joint = (mine, theirs) if player == 0 else (theirs, mine)
            gained, following = outcomes(state, joint)
            rewards[number, mine] += probabilities[theirs] * gained[player]
            for after, chance in following.items():
                moves[number, mine, STATES.index(after)] += probabilities[theirs] * chance
    return rewards, moves


def starts():
    chance = np.array([0.0 if c in (a, b) else 1 / (9 * 2 * (3 - len({a, b}))) for a, b, c, _ in STATES])
    assert chance.sum() == pytest.approx(1)
    return chance


def policy_iteration(rewards, moves, discount):
    chosen = np.zeros(54, int)
    while True:
        values = np.linalg.solve(np.eye(54) - discount * moves[range(54), chosen], rewards[range(54), chosen])
        worth = rewards + discount * moves @ values
        better = worth.max(1) > worth[range(54), chosen] + 1e-10
        if not better.any():
            return values
        chosen[better] = worth.argmax(1)[better]


def backwards(rewards, moves, discount, steps):
    values = np.zeros(54)
    for _ in range(steps):
        values = (rewards + discount * moves @ values).max(1)
    return values


def probabilities(form, seed):
    return [np.exp(theta) / np.exp(theta).sum(1, keepdims=True) for theta in drawn(form, seed, 2.0)]


@pytest.mark.parametrize("player", [0, 1])
@pytest.mark.parametrize("horizon", [None, 1, 5])
def test_on_three_cells_it_has_the_value_of_an_exhaustive_solution(x64, player, horizon):
    discount = 0.9
    form, params = exact(
        {"grid": (1, 3), "horizon": horizon or 50}, folded=False, discount=discount, infinite=horizon is None
    )
    tables = probabilities(form, 1)
    problem = decision_problem(player, tables[1 - player])
    values = policy_iteration(*problem, discount) if horizon is None else backwards(*problem, discount, horizon)
    found = best_response(form, params, tables, player, probabilities=True)
    assert found.value == pytest.approx(starts() @ values, rel=1e-12)
    assert found.actions.shape == ((54,) if horizon is None else (horizon, 54))


@pytest.mark.parametrize(
    ("settings", "memory", "folded"),
    [
        ({"noise": (0.1, 0.3)}, False, True),
        ({"grid": (1, 3), "noise": 0.1}, True, False),
        pytest.param({"dialect": "jaxmarl", "grid": (1, 3)}, True, True, marks=pytest.mark.slow),
        ({"num_players": 3, "grid": 2, "penalty": "per_coin"}, False, True),
    ],
)
def test_who_plays_it_has_its_value(x64, settings, memory, folded):
    form, params = exact(settings, memory, folded, infinite=True, discount=0.9)
    thetas = drawn(form, 2)
    value = jax.jit(lambda *thetas: form.objective(params)(thetas)[0])
    before = exploitability(form, params, thetas)
    np.testing.assert_allclose(before.values, 0.1 * value(*thetas), rtol=1e-9, atol=1e-12)
    assert before.nash_conv == pytest.approx(before.gains.sum())
    for player in range(form.env.num_players):
        found = best_response(form, params, thetas, player)
        assert found.value == pytest.approx(before.best_values[player] / 0.1)
        turned = list(thetas)
        turned[player] = certain(found.actions, form.env.action_space.num_values)
        assert float(value(*turned)[player]) == pytest.approx(found.value, rel=1e-9)
        after = exploitability(form, params, turned)
        assert abs(after.gains[player]) < 1e-10 < before.gains[player]


@pytest.mark.parametrize("discount", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("last_step", ["play", "no_reward", "restart"])
def test_own_values_of_a_finite_game_are_those_of_the_objective(x64, discount, last_step):
    form, params = exact({"grid": (1, 3), "horizon": 7, "last_step": last_step}, discount=discount)
    thetas = [jnp.asarray(theta) for theta in drawn(form, 3)]
    found = exploitability(form, params, thetas)
    expected = form.objective(params)(thetas)[0] * form.value_scale(params)
    np.testing.assert_allclose(found.values, expected, rtol=1e-10, atol=1e-13)
    assert best_response(form, params, thetas, 0).actions.shape == (7 - (last_step != "play"), 18)
    assert np.all(found.gains >= -1e-9)


def test_folded_and_remembering_games_have_the_same_best_value_where_nobody_uses_more(x64):
    """What the opponent does not look at does not help against it."""
    settings, numbers = {"horizon": 12}, {"discount": 0.9}
    form, params = exact(settings, **numbers)
    theta = drawn(form, 4)[1]
    expected = best_response(form, params, [theta, theta], 0).value
    for memory, folded in ((True, True), (False, False)):
        other, _ = exact(settings, memory, folded, **numbers)
        boards = board_of(form.env, np.arange(num_boards(form.env, folded)), folded)
        rows, columns = form.env.grid
        row = (boards.players // columns - boards.coins // columns) % rows
        column = (boards.players % columns - boards.coins % columns) % columns
        places = row * columns + column
        fold = (boards.colour * 9 + places[:, 0]) * 9 + places[:, 1]
        spread = np.tile(theta[fold], (9 if memory else 1, 1))
        assert best_response(other, params, [spread, spread], 0).value == pytest.approx(expected, rel=1e-12)


def towards(form, flees):
    """Goes for any coin, columns first; or stays away from the other's coin."""
    boards = board_of(form.env, np.arange(num_boards(form.env, True)), True)
    actions = []
    for (own, _), colour in zip(boards.players, boards.colour, strict=True):
        down, right = -(own // 3) % 3, -(own % 3) % 3
        move = (0, 0, 1)[right] if right else (0, 2, 3)[down]
        actions.append([1, 0, 3, 2][move] if flees and colour == 1 else move)
    return certain(actions)


def test_against_a_random_player_nothing_is_better_than_to_go_for_every_coin():
    form, params = exact({"horizon": 50}, discount=1.0)
    random = np.zeros((162, 4))
    found = best_response(form, params, [random, random], 0).value / 50
    greedy_any, greedy_own = (
        exploitability(form, params, [towards(form, flees), random]).values[0] for flees in (False, True)
    )
    # What the exact Markov chain of the published program gives (POLA `coin_game_jax.py`).
    assert greedy_any == pytest.approx(0.531121, abs=1e-5) and greedy_own == pytest.approx(0.060182, abs=1e-5)
    assert found == pytest.approx(greedy_any, rel=1e-12)


def test_in_a_finite_game_it_may_depend_on_the_time():
    form, params = exact({"horizon": 20}, discount=1.0)
    actions = best_response(form, params, drawn(form, 5), 0).actions
    assert actions.shape == (20, 162)
    assert any(not np.array_equal(actions[0], row) for row in actions[1:])


def test_where_only_one_player_can_gain_its_best_response_leaves_nothing_to_gain():
    form, params = exact({}, infinite=True)
    params = params.replace(rewards=params.rewards.at[1].set(0))
    thetas = drawn(form, 6)
    thetas[0] = certain(best_response(form, params, thetas, 0).actions)
    found = exploitability(form, params, thetas)
    np.testing.assert_allclose(found.gains, 0, atol=1e-12)
    assert abs(found.nash_conv) < 1e-12


def test_best_responses_to_each_other_that_repeat_are_an_equilibrium():
    form, params = exact({"grid": (1, 3)}, infinite=True, discount=0.3)
    thetas = [np.zeros((18, 4))] * 2
    for _ in range(30):
        before = thetas
        for player in range(2):
            actions = best_response(form, params, thetas, player).actions
            thetas = [certain(actions) if i == player else theta for i, theta in enumerate(thetas)]
        if all(np.array_equal(a, b) for a, b in zip(before, thetas, strict=True)):
            break
    else:
        pytest.fail("best responses go round in circles here: choose another game for this test")
    assert abs(exploitability(form, params, thetas).nash_conv) < 1e-10


def test_going_for_any_coin_is_less_exploitable_than_sharing():
    form, params = exact({}, infinite=True)
    selfish, kind = (exploitability(form, params, [towards(form, flees)] * 2) for flees in (False, True))
    assert kind.values.mean() > 0.3 > selfish.values.mean()
    assert kind.nash_conv > selfish.nash_conv > 0
    np.testing.assert_allclose(kind.gains[0], kind.gains[1], rtol=1e-9)


def test_gains_are_never_negative():
    form, params = exact({"grid": (2, 2), "noise": 0.2}, infinite=True, discount=0.99)
    for seed in range(4):
        assert np.all(exploitability(form, params, drawn(form, seed, 10.0)).gains >= -1e-9)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"player": 2}, "player is 2; allowed: 0 to 1"),
        ({"thetas": [np.zeros((18, 4))]}, "thetas has the length 1; allowed: 2, one per seat"),
        ({"thetas": [np.zeros((18, 3))] * 2}, r"player 0 has a table of shape \[18, 3\]; allowed: \[18, 4\]"),
        ({"probabilities": True}, "player 0 has rows that sum to 0 to 0, .*; allowed: probabilities"),
        ({"thetas": [np.full((18, 4), np.nan)] * 2}, "player 0 has rows that sum to nan"),
        ({"discount": jnp.array([0.5, 0.9])}, r"shapes \[2\], \[2, 3\] and \[2\]; allowed: \[\], "),
    ],
)
def test_misuse_is_refused_in_one_line(change, reason):
    form, params = exact({"grid": (1, 3)})
    arguments = {"thetas": [np.zeros((18, 4))] * 2, "player": 0} | change
    if "discount" in change:
        params = params.replace(discount=arguments.pop("discount"))
    with pytest.raises(ValueError, match=reason) as refused:
        best_response(form, params, **arguments)
    assert "\n" not in str(refused.value)
