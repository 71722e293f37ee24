"""Games in turns: trees as arrays, Kuhn poker, play by steps, refusals."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from shaping import envs
from shaping.envs.sequential.tree import Chance, Decision, Outcome, as_arrays

KUHN = envs.make("kuhn_poker")


def test_kuhn_poker_has_six_information_sets_a_player_and_thirty_ends():
    assert KUHN.tree.names == (
        ("J", "Jpb", "Q", "Qpb", "K", "Kpb"),
        ("Qp", "Qb", "Kp", "Kb", "Jp", "Jb"),
    )
    assert len(KUHN.tree.leaves) == 30
    np.testing.assert_allclose(KUHN.tree.chance, 1 / 6)


@pytest.mark.parametrize(
    "cards, history, paid",
    [
        ("KQ", "pp", 1),
        ("QK", "pp", -1),
        ("QK", "bp", 1),
        ("KQ", "bb", 2),
        ("QK", "bb", -2),
        ("KQ", "pbp", -1),
        ("KQ", "pbb", 2),
    ],
)
def test_kuhn_poker_pays_the_higher_card_the_stake_or_the_ante_to_who_was_not_called(cards, history, paid):
    node = 0
    for branch in range(6):
        child = KUHN.tree.children[0, branch]
        reply = KUHN.tree.children[child, 0]
        names = KUHN.tree.names[0][KUHN.tree.information[child]] + KUHN.tree.names[1][KUHN.tree.information[reply]]
        if names[:2] == cards:
            node = child
    for move in history:
        node = KUHN.tree.children[node, "pb".index(move)]
    assert KUHN.tree.mover[node] == -1
    assert KUHN.tree.rewards[node].tolist() == [paid, -paid]


def test_played_step_by_step_a_game_ends_as_often_and_pays_as_much_as_its_tree_says():
    games, params = 20_000, KUHN.default_params
    keys = jax.random.split(jax.random.key(0), 4)

    @jax.jit
    def play(keys):
        def step(carry, key):
            state, paid, over = carry
            moves = jax.random.bernoulli(jax.random.fold_in(key, 1), 0.3, (2,)).astype(jnp.int32)
            _, state, rewards, terminated, _, _ = KUHN.step(key, state, moves, params)
            return (state, paid + rewards, terminated), over

        key, rest = keys[0], keys[1:]
        _, state = KUHN.reset(key, params)
        (_, paid, over), _ = jax.lax.scan(step, (state, jnp.zeros(2), jnp.zeros((), bool)), rest)
        return paid, over

    each = jax.vmap(lambda key: jax.random.split(key, 4))(jax.random.split(keys[0], games))
    paid, over = jax.vmap(play)(each)
    assert bool(over.all())
    np.testing.assert_array_equal(np.asarray(paid).sum(axis=1), 0)
    # Everybody bets with probability 0.3 at every decision.
    weights, squares = 0.0, 0.0
    for leaf, chance in zip(KUHN.tree.leaves, KUHN.tree.chance, strict=True):
        moves = np.concatenate([path[list(KUHN.tree.leaves).index(leaf), :, 1] for path in KUHN.tree.paths])
        odds = chance * np.prod([{-1: 1, 0: 0.7, 1: 0.3}[int(move)] for move in moves])
        weights += odds * KUHN.tree.rewards[leaf, 0]
        squares += odds * KUHN.tree.rewards[leaf, 0] ** 2
    error = np.sqrt((squares - weights**2) / games)
    assert abs(float(paid[:, 0].mean()) - weights) < 4 * error


def test_who_waits_sees_that_it_waits_and_cannot_change_anything():
    params = KUHN.default_params
    seen, state = KUHN.reset(jax.random.key(1), params)
    assert int(seen[1]) == KUHN.num_information_sets
    assert int(seen[0]) < KUHN.num_information_sets
    steps = [KUHN.step(jax.random.key(2), state, jnp.array([1, waits]), params)[1] for waits in (0, 1)]
    assert int(steps[0].node) == int(steps[1].node)


def test_after_the_end_nothing_more_is_paid():
    params = KUHN.default_params
    _, state = KUHN.reset(jax.random.key(1), params)
    for _ in range(2):
        _, state, rewards, over, _, _ = KUHN.step(jax.random.key(2), state, jnp.array([1, 1]), params)
    assert bool(over) and float(jnp.abs(rewards).sum()) == 4
    _, _, rewards, over, _, _ = KUHN.step(jax.random.key(2), state, jnp.array([1, 1]), params)
    assert bool(over) and float(jnp.abs(rewards).sum()) == 0


END = Outcome((0.0, 0.0))


@pytest.mark.parametrize(
    "root, message",
    [
        (Decision(0, "a", (END,)), "a: 1 actions; allowed: 2, as at the game's other decisions"),
        (Decision(2, "a", (END, END)), "player is 2; allowed: 0 to 1"),
        (Decision(0, "a", (END, Outcome((0.0,)))), "an outcome has 1 rewards; allowed: 2, one per player"),
        (
            Chance(((0.5, END), (0.4, END))),
            "chance has the probabilities [0.5, 0.4]; allowed: numbers above 0 that add up to 1",
        ),
        (
            Decision(0, "a", (Decision(0, "b", (END, END)), Decision(0, "b", (END, END)))),
            "b: player 0 forgets what it did; allowed: perfect recall",
        ),
    ],
)
def test_a_tree_that_is_no_game_is_refused_in_one_line(root, message):
    with pytest.raises(ValueError) as error:
        as_arrays(root, 2, 2)
    assert str(error.value) == message


def test_payoffs_of_another_shape_are_refused_in_one_line():
    with pytest.raises(ValueError, match=r"payoffs has the shape \[2, 2, 3\]; allowed: payoffs\[player\]"):
        envs.make("one_shot_game", payoffs=[[[1, 2, 3], [1, 2, 3]]] * 2)
