"""Games of more than two actions: exact returns against a dense chain, play against both, and the cycles of
rock-paper-scissors."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import shaping
from shaping import envs
from shaping.objectives.exact_many_actions import many_action_game
from shaping.policies import tabular
from shaping.rules import gradients
from tests.compiling import quickly

pytestmark = pytest.mark.usefixtures("x64")
WINS = np.array([[0.0, -1.0, 1.0], [1.0, 0.0, -1.0], [-1.0, 1.0, 0.0]])  # rock, paper, scissors
RPS = np.array([WINS, -WINS])


def game_of(players=2, actions=3, **settings):
    payoffs = np.random.default_rng(players * actions).normal(size=(players, *(actions,) * players))
    return envs.MatrixGame(payoffs, name="random", **settings)


def drawn(game, seed=0):
    shape = (game.num_players, game.num_states, game.num_actions)
    return np.random.default_rng(seed).normal(size=shape)


def dense_returns(game, thetas):
    """[players] by the chain over joint actions in numpy, with loops in place of the product's arrays."""
    players, actions = game.num_players, game.num_actions
    joint = list(itertools.product(range(actions), repeat=players))
    remembered = [None, *joint][: game.num_states]
    noise = np.broadcast_to(game.noise, players)
    chances = np.ones((len(remembered), len(joint)))
    for state, last in enumerate(remembered):
        for player in range(players):
            seen = last
            if last is not None and game.state_view == "own":
                seen = (last[player], *(a for seat, a in enumerate(last) if seat != player))
            row = np.exp(thetas[player][remembered.index(seen)])
            chosen = row / row.sum()
            for place, played in enumerate(joint):
                own = chosen[played[player]]
                chances[state, place] *= (1 - noise[player]) * own + noise[player] * (1 - own) / (actions - 1)
    rewards = np.asarray(game.payoffs).reshape(players, -1)
    if game.horizon == 1:
        return rewards @ chances[0]
    start, step = chances[0], game.discount * chances[1:]
    if game.horizon is None:
        return rewards @ np.linalg.solve(np.eye(len(joint)) - step.T, start)
    return rewards @ sum(np.linalg.matrix_power(step.T, t) @ start for t in range(game.horizon))


@pytest.mark.parametrize(
    "game",
    [
        game_of(),
        game_of(discount=0.9, noise=(0.1, 0.4), state_view="shared"),
        game_of(3, 3, discount=0.5, noise=0.2),
        game_of(horizon=4, discount=1.0),
        game_of(2, 5, horizon=1),
    ],
    ids=["infinite", "noise and shared view", "three players", "four rounds", "one shot of five actions"],
)
def test_exact_returns_are_those_of_the_dense_chain(game):
    thetas = drawn(game)
    policies = (tabular(game.num_states, num_actions=game.num_actions),) * game.num_players
    objective = many_action_game(game, policies).objective(game.default_params)
    found = quickly(lambda thetas: objective(thetas)[0])(list(thetas))
    np.testing.assert_allclose(found, dense_returns(game, thetas), rtol=1e-10)


def test_softmax_tables_of_two_actions_are_the_games_of_one_logit_a_state():
    """Embedding: a third action that is never played leaves the prisoner's dilemma, whatever it would pay."""
    ipd = envs.make("ipd", discount=0.9)
    payoffs = np.full((2, 3, 3), 100.0)
    payoffs[:, :2, :2] = np.asarray(ipd.payoffs)
    game = envs.MatrixGame(payoffs, discount=0.9, name="embedded")
    logits = np.random.default_rng(1).normal(size=(2, 5))
    wide = np.full((2, 10, 3), -1e4)
    wide[:, :, 1] = 0
    wide[:, [0, 1, 2, 4, 5], 0] = logits  # start, 00, 01, 10, 11 among start, 00, 01, 02, 10, ...
    form = many_action_game(game, (tabular(10, num_actions=3),) * 2)
    found = form.objective(game.default_params)([jnp.asarray(t) for t in wide])[0]
    wanted = shaping.exact(ipd, (tabular(5),) * 2)([jnp.asarray(t) for t in logits])[0]
    np.testing.assert_allclose(found, wanted, rtol=1e-10)


def test_play_and_its_gradients_are_those_of_the_closed_form():
    game = game_of(horizon=3, discount=0.9, noise=0.1)
    policies = (tabular(game.num_states, num_actions=3),) * 2
    thetas = [jnp.asarray(theta) for theta in drawn(game)]
    exact = many_action_game(game, policies).objective(game.default_params)
    played, numbers = shaping.sampled(game, policies, batch=512)

    def asked(objective, key=None):
        returns, own = objective(thetas, key)[0], gradients.gradient(objective, thetas, 1, 1, key)
        return jnp.concatenate([jnp.stack(list(returns)), jnp.ravel(own)])

    keys = jax.random.split(jax.random.key(2), 40)
    each = np.asarray(quickly(jax.vmap(lambda key: asked(played.objective(numbers), key)))(keys))
    error = each.std(0, ddof=1) / np.sqrt(len(keys))
    wanted = np.asarray(quickly(lambda: asked(exact))())
    np.testing.assert_array_less(np.abs(each.mean(0) - wanted), 4.5 * error + 1e-12)
    assert np.linalg.norm(wanted[2:]) > 5 * np.linalg.norm(error[2:])


@pytest.mark.slow
def test_naive_learners_go_around_in_rock_paper_scissors_and_lookahead_comes_to_rest():
    game, rate = envs.MatrixGame(RPS, horizon=1, name="rps"), 0.5
    naive, lookahead = (
        shaping.train(
            game,
            shaping.gradient_learner(rule, step_size=rate, initial=shaping.normal(0.5)),
            matches=10,
            updates=400,
            precision="float64",
        )
        for rule in (shaping.naive(), shaping.lookahead(5.0))
    )
    assert naive.action_probabilities.dims == ("match", "player", "last_round", "action")
    found = naive.action_probabilities.values[:, :, 0]
    theta = naive.theta_initial.values
    for _ in range(400):  # the gradient of sum_ab p_a q_b r_ab in the logits is p (u - p u)
        p = np.exp(theta) / np.exp(theta).sum(-1, keepdims=True)
        paid = np.stack([p[:, 1] @ WINS.T, p[:, 0] @ -WINS], axis=1)
        theta = theta + rate * p * (paid - (p * paid).sum(-1, keepdims=True))
    np.testing.assert_allclose(found, np.exp(theta) / np.exp(theta).sum(-1, keepdims=True), rtol=1e-8)
    leads = np.sign(naive.value.isel(player=0).values)
    assert np.all((leads[:, 1:] != leads[:, :-1]).sum(axis=1) >= 4)  # who wins changes again and again
    third = np.full(3, 1 / 3)
    assert np.all(np.abs(found - third).max((1, 2)) > 0.1)
    np.testing.assert_allclose(lookahead.action_probabilities, np.broadcast_to(third, (10, 2, 1, 3)), atol=1e-9)


def test_play_counts_what_is_executed_and_scripts_play_one_action_each():
    game = envs.make("matrix_game", payoffs=RPS, horizon=50, noise=0.3)
    scripts = shaping.scripted_players(game)
    assert list(scripts) == ["ALL0", "ALL1", "ALL2"]
    pair = (scripts["ALL2"][0], scripts["ALL0"][1])
    found = quickly(lambda key: shaping.play(game, pair, ((), ()), key, 50, 200).pooled())(jax.random.key(0))
    frequency = game.metrics(found.counts)["action_frequency"]
    # 10,000 steps: a standard error of .005, and each other action as likely.
    np.testing.assert_allclose(frequency, [[0.15, 0.15, 0.7], [0.7, 0.15, 0.15]], atol=0.02)
    # Scissors against rock: player 0 loses but for trembles.
    chances = np.asarray(frequency)
    np.testing.assert_allclose(found.rewards_per_step[0], chances[0] @ WINS @ chances[1], atol=0.03)


def test_a_game_too_large_or_a_table_of_another_is_told_in_one_line():
    with pytest.raises(ValueError, match="at most 256 joint actions"):
        envs.MatrixGame(np.zeros((3, 7, 7, 7)))
    with pytest.raises(ValueError, match=r"logits of shape \[5, 3\]; allowed: \[10, 3\]"):
        many_action_game(game_of(), (tabular(5, num_actions=3),) * 2)
    with pytest.raises(ValueError, match="3 actions; allowed: 2"):
        shaping.objectives.exact_matrix.exact_matrix_game(game_of(), (tabular(10),) * 2)
    with pytest.raises(ValueError, match="memory is 2"):
        tabular(10, 2, 3)
