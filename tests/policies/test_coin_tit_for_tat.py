"""Tit-for-tat in the Coin Game on boards made by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from shaping import envs
from shaping.envs.coin_game.game import CoinGameState
from shaping.objectives.play_statistics import play
from shaping.policies import coin_game_players, coin_tit_for_tat
from shaping.policies.one_of import one_of
from tests.compiling import quickly


def course(env, player, boards):
    """The action of each board in turn, by name, and whether it is angry after each.

    Args:
      boards: (players' cells, the coins' cells, colour of the only coin).
    """
    policy = coin_tit_for_tat(env, player)
    memory, done, angry = policy.start(()), [], []
    for players, coins, colour in boards:
        arrays = (jnp.asarray(x, jnp.int32) for x in (players, coins))
        state = CoinGameState.of(*arrays, jnp.int32(colour), jnp.int32(0))
        distribution, memory = policy.apply((), env.observe(state, env.default_params)[player], memory)
        assert np.count_nonzero(distribution.probs) == 1
        done.append(env.action_names[int(jnp.argmax(distribution.logits))])
        angry.append(bool(memory[1]))
    return done, angry


def by(env, name, player, board):
    players, coins, colour = board
    arrays = (jnp.asarray(x, jnp.int32) for x in (players, coins))
    state = CoinGameState.of(*arrays, jnp.int32(colour), jnp.int32(0))
    logits = getattr(coin_game_players, name)(env, player).apply(
        (), env.observe(state, env.default_params)[player], None
    )
    return env.action_names[int(jnp.argmax(logits[0].logits))]


# Cells of 3 x 3, row by row. Player 0 in the middle, the other's coin to the right of it and so on.
OWN, OTHERS = 0, 1
START = ([4, 0], [1], OWN)  # the own coin is one cell up
ROBBED = ([4, 1], [5], OTHERS)  # the other stands where it was
SERVED = ([4, 5], [3], OTHERS)  # and then where its own was
TAKEN_MYSELF = ([1, 0], [2], OTHERS)


@pytest.mark.parametrize(("player", "view"), [(0, "self_first"), (1, "shared")])
def test_it_is_kind_until_robbed_and_kind_again_once_the_other_takes_its_own(player, view):
    env = envs.make("coin_game", dialect="pola", view=view)

    def turned(board):
        """The same board as the other seat sees it."""
        players, coins, colour = board
        return (players, coins, colour) if player == 0 else (players[::-1], coins, 1 - colour)

    boards = [turned(board) for board in (START, ROBBED, ROBBED, SERVED, SERVED)]
    done, angry = course(env, player, boards)
    assert angry == [False, True, True, False, False]
    assert done == ["up", "right", "right", "right", "right"]
    names = ["cooperate", "greedy_any", "greedy_any", "cooperate", "cooperate"]
    assert done == [by(env, name, player, board) for name, board in zip(names, boards, strict=True)]
    kind, unkind = (by(env, name, player, turned(ROBBED)) for name in ("cooperate", "greedy_any"))
    assert kind != unkind, "being angry shows"


def test_a_coin_that_it_takes_itself_or_that_nobody_takes_changes_nothing():
    env = envs.make("coin_game", dialect="pola")
    assert course(env, 0, [START, TAKEN_MYSELF, TAKEN_MYSELF])[1] == [False] * 3
    assert course(env, 0, [START, ([4, 2], [1], OWN), ([4, 5], [1], OWN)])[1] == [False] * 3
    # Once robbed, it stays angry while it takes coins itself.
    assert course(env, 0, [START, ROBBED, ([5, 1], [0], OWN), ([2, 3], [0], OWN)])[1] == [False, True, True, True]


def test_with_a_coin_of_every_colour_being_robbed_weighs_more_than_a_kindness_at_once():
    env = envs.make("coin_game", dialect="reciprocator", num_players=3)
    before = ([4, 0, 8], [1, 2, 3], 0)
    assert course(env, 0, [before, ([4, 1, 2], [5, 6, 7], 0)])[1] == [False, True]
    # Seat 2 takes the coin of seat 1: nothing of its own.
    assert course(env, 0, [before, ([4, 0, 2], [1, 6, 3], 0)])[1] == [False, False]


def test_two_of_them_never_rob_each_other_and_one_pays_a_thief_back():
    env = envs.make("coin_game", dialect="pola", horizon=60)
    first = one_of([coin_tit_for_tat(env, 0), coin_game_players.cooperate(env, 0)])
    second = one_of([coin_tit_for_tat(env, 1), coin_game_players.greedy_any(env, 1)])

    @quickly
    @jax.vmap
    def pickups(choice):
        thetas = [(number, ((), ())) for number in choice]
        return play(env, (first, second), thetas, jax.random.key(0), 60, 8).pooled().counts.pickups

    friends, thief, victim = [0, 0], [0, 1], [1, 1]
    peace, war, prey = np.asarray(pickups(jnp.array([friends, thief, victim])))
    assert peace[0, 0] > 20 and peace[1, 1] > 20 and peace[0, 1] == peace[1, 0] == 0
    assert war[1, 0] > 20 and war[0, 1] > 20
    assert prey[1, 0] > 20 and prey[0, 1] == 0


def test_egocentric_views_and_seats_that_are_not_there_are_refused():
    with pytest.raises(ValueError, match="^egocentric is True; allowed: False for tit-for-tat"):
        coin_tit_for_tat(envs.make("coin_game", egocentric=True, view="self_first"))
    with pytest.raises(ValueError, match="^player is 2; allowed: an integer from 0 to 1$"):
        coin_tit_for_tat(envs.make("coin_game"), 2)
    with pytest.raises(ValueError, match="^coin_tit_for_tat has no table of logits"):
        coin_tit_for_tat(envs.make("coin_game")).table(())
