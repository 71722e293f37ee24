"""The enumerated Coin Game: against rules written down one board at a time, and folded against unfolded."""

import itertools

import numpy as np
import pytest

from shaping import envs
from shaping.envs.coin_game.chain import (
    board_number,
    board_of,
    coin_chain,
    memories,
    memory_number,
    num_boards,
    remember,
)

MOVES = {"right": (0, 1), "left": (0, -1), "down": (1, 0), "up": (-1, 0), "stay": (0, 0)}


def game(dialect="pola", **settings):
    return envs.make("coin_game", dialect=dialect, **settings)


def boards(env):
    """Every unfolded board as (players, coins, colour), by number."""
    all_of_them = board_of(env, np.arange(num_boards(env, False)), False)
    return [
        (tuple(map(int, players)), tuple(map(int, coins)), int(colour))
        for players, coins, colour in zip(all_of_them.players, all_of_them.coins, all_of_them.colour, strict=True)
    ]


def moved(env, cell, move):
    (rows, columns), (down, right) = env.grid, MOVES[move]
    return (cell // columns + down) % rows * columns + (cell % columns + right) % columns


def expected(env, board, action):
    """{next board: probability} and {(player, colour)} that were picked up, from the rules of two players."""
    players, coins, colour = board
    after = tuple(moved(env, cell, env.action_names[a]) for cell, a in zip(players, action, strict=True))
    pickups, respawns, turns = set(), [], colour
    for number, coin in enumerate(coins):
        owner = colour if env.coins == "alternating" else number
        takers = [player for player in range(2) if after[player] == coin]
        if env.tie == "lowest_seat":
            takers = takers[:1]
        pickups |= {(player, owner) for player in takers}
        if not takers:
            respawns.append([coin])
            continue
        respawns.append([cell for cell in range(env.num_cells) if env.respawn == "any" or cell not in after])
        if env.coins == "alternating":
            turns = 1 - colour
    found = list(itertools.product(*respawns))
    return {(after, new, turns): 1 / len(found) for new in found}, pickups


@pytest.mark.parametrize(
    ("dialect", "grid"),
    [("pola", 3), ("mfos", (2, 3)), ("jaxmarl", (2, 3))]
    + [pytest.param(dialect, 3, marks=pytest.mark.slow) for dialect in ("mfos", "jaxmarl", "lola2018")],
)
def test_transitions_and_pickups_are_those_of_the_rules(dialect, grid):
    env = game(dialect, grid=grid)
    chain, known = coin_chain(env, folded=False), boards(env)
    actions = list(itertools.product(range(env.action_space.num_values), repeat=2))
    drawn = np.random.default_rng(0)
    picked = 0
    for state in drawn.integers(len(known), size=300):
        joint = int(drawn.integers(len(actions)))
        following, pickups = expected(env, known[state], actions[joint])
        row = chain.transition[state, joint]
        found = {}
        for successor, probability in zip(chain.successors[row], chain.probabilities[row], strict=True):
            if probability:
                found[known[successor]] = probability
        assert found == pytest.approx(following, rel=1e-12)
        assert {tuple(map(int, pair)) for pair in np.argwhere(chain.pickups[state, joint])} == pickups
        picked += len(pickups)
    assert picked > 30


@pytest.mark.parametrize(("dialect", "unfolded", "folded"), [("pola", 1458, 162), ("mfos", 6561, 729)])
def test_there_are_as_many_states_as_boards_and_nine_memories(dialect, unfolded, folded):
    env = game(dialect)
    assert coin_chain(env, folded=False).num_states == unfolded
    assert coin_chain(env).num_states == folded
    remembering = coin_chain(env, memory=True)
    assert (remembering.num_states, remembering.num_boards, remembering.memories) == (9 * folded, folded, 9)


@pytest.mark.parametrize("dialect", ["pola", "mfos"])
@pytest.mark.parametrize(("folded", "memory"), [(True, False), (True, True), (False, False)])
def test_rows_are_distributions(dialect, folded, memory):
    chain = coin_chain(game(dialect), folded, memory)
    np.testing.assert_allclose(chain.probabilities.sum(1), 1, rtol=1e-12)
    np.testing.assert_allclose(chain.start.sum(), 1, rtol=1e-12)
    assert chain.probabilities.min() >= 0 and chain.start.min() >= 0
    assert chain.successors.min() >= 0 and chain.successors.max() < chain.num_states
    assert chain.transition.min() == 0 and chain.transition.max() == len(chain.successors) - 1


def test_transitions_are_the_listed_outlooks_written_densely():
    chain = coin_chain(game(grid=(1, 3)))
    dense = chain.transitions()
    assert dense.shape == (18, 16, 18)
    for state, joint in itertools.product(range(18), range(16)):
        row, transition = np.zeros(18), chain.transition[state, joint]
        for successor, probability in zip(chain.successors[transition], chain.probabilities[transition], strict=True):
            row[successor] += probability
        np.testing.assert_array_equal(dense[state, joint], row)


@pytest.mark.parametrize("folded", [False, True])
@pytest.mark.parametrize("dialect", ["pola", "mfos"])
def test_a_board_has_one_number(dialect, folded):
    env = game(dialect, grid=(2, 3))
    numbers = np.arange(num_boards(env, folded))
    assert np.array_equal(board_number(env, board_of(env, numbers, folded), folded), numbers)


@pytest.mark.parametrize(("dialect", "grid"), [("pola", 3), ("mfos", (2, 3))])
def test_boards_that_fold_to_one_lead_to_the_same_folds(dialect, grid):
    env = game(dialect, grid=grid)
    whole, folds = coin_chain(env, folded=False), coin_chain(env)
    fold = board_number(env, whole.boards, True)
    assert np.array_equal(np.bincount(fold), np.full(folds.num_states, env.num_cells))
    into = np.zeros((len(whole.successors), folds.num_states))
    np.add.at(into, (np.arange(len(into))[:, None], fold[whole.successors]), whole.probabilities)
    listed = np.zeros((len(folds.successors), folds.num_states))
    np.add.at(listed, (np.arange(len(listed))[:, None], folds.successors), folds.probabilities)
    for joint in range(whole.transition.shape[1]):
        np.testing.assert_allclose(into[whole.transition[:, joint]], listed[folds.transition[fold, joint]], atol=1e-12)
    assert np.array_equal(whole.pickups, folds.pickups[fold])
    np.testing.assert_allclose(np.bincount(fold, whole.start), folds.start, rtol=1e-12)


@pytest.mark.parametrize("dialect", ["pola", "lola_dice", "mfos"])
def test_starts_are_as_likely_as_counted_by_hand(dialect):
    env = game(dialect)
    chance = []
    for (first, second), coins, _ in boards(env):
        if dialect == "mfos":
            chance.append(1 / 9**4)
        elif coins[0] in (first, second) or (dialect == "lola_dice" and first == second):
            chance.append(0)
        elif dialect == "lola_dice":
            chance.append(1 / (9 * 8 * 7 * 2))
        else:
            # The players may share a cell, which leaves the coin one more.
            chance.append(1 / (9 * 9 * 2 * (8 if first == second else 7)))
    np.testing.assert_allclose(coin_chain(env, folded=False).start, chance, rtol=1e-12)


@pytest.mark.parametrize("memory", [False, True])
@pytest.mark.parametrize("dialect", ["pola", "mfos"])
def test_player_1_sees_the_board_with_seats_and_colours_exchanged(dialect, memory):
    env = game(dialect, grid=(2, 3))
    chain, whole = coin_chain(env, memory=memory), coin_chain(env, folded=False)
    assert np.array_equal(chain.own_states(0), np.arange(chain.num_states))
    seen = chain.own_states(1)
    assert np.array_equal(seen[seen], np.arange(chain.num_states))
    assert not np.array_equal(seen, np.arange(chain.num_states))
    known = boards(env)
    for state, other in enumerate(whole.own_states(1)):
        (first, second), coins, colour = known[state]
        exchanged = coins[::-1] if env.coins == "per_colour" else coins
        turned = 1 - colour if env.coins == "alternating" else colour
        assert known[other] == ((second, first), exchanged, turned)


def test_with_three_players_own_states_put_the_own_seat_first():
    env = game(num_players=3, grid=2)
    chain = coin_chain(env, folded=False)
    all_of_them = chain.boards
    for player, order in [(1, [1, 0, 2]), (2, [2, 0, 1])]:
        seen = chain.own_states(player)
        assert sorted(seen) == list(range(chain.num_states))
        assert np.array_equal(all_of_them.players[seen], all_of_them.players[:, order])
        assert np.array_equal(np.array(order)[all_of_them.colour[seen]], all_of_them.colour)


def takes(*pairs, players=2):
    pickups = np.zeros((players, players), bool)
    for pair in pairs:
        pickups[pair] = True
    return pickups


@pytest.mark.parametrize(
    ("before", "pickups", "after"),
    [
        ([2, 2], [], [2, 2]),
        ([2, 2], [(0, 0)], [0, 2]),
        ([0, 2], [(1, 0)], [1, 2]),
        ([1, 2], [], [1, 2]),
        ([1, 2], [(0, 1)], [1, 0]),
        # Both at once: that the other took it is what counts.
        ([2, 2], [(0, 0), (1, 0)], [1, 2]),
        ([2, 2], [(0, 1), (1, 1)], [2, 0]),
        ([0, 1], [(0, 1), (1, 0)], [1, 0]),
    ],
)
def test_the_memory_tells_who_last_took_a_coin_of_each_colour(before, pickups, after):
    assert np.asarray(remember(np.array(before), takes(*pickups), range(2))).tolist() == after


def test_of_three_the_highest_seat_that_is_not_the_owner_counts_whoever_looks():
    taken = takes((0, 2), (1, 2), (2, 2), players=3)
    nobody = np.array([3, 3, 3])
    assert np.asarray(remember(nobody, taken, range(3))).tolist() == [3, 3, 1]
    # As player 1 sees it, itself in place 0: colour 2 was last taken by place 0.
    order = [1, 0, 2]
    assert np.asarray(remember(nobody, taken[order][:, order], order)).tolist() == [3, 3, 0]


def test_memories_are_numbered_colour_by_colour():
    assert memories(2).tolist() == [[0, 0], [0, 1], [0, 2], [1, 0], [1, 1], [1, 2], [2, 0], [2, 1], [2, 2]]
    assert memory_number(memories(3), 3).tolist() == list(range(64))


def test_the_remembering_chain_is_the_board_with_its_memory_carried_along():
    env = game()
    plain, chain = coin_chain(env), coin_chain(env, memory=True)
    assert chain.start[:-162].sum() == 0, "at first nobody has taken anything"
    np.testing.assert_array_equal(chain.start[-162:], plain.start)
    drawn = np.random.default_rng(1)
    for memory, board, joint in zip(*(drawn.integers(k, size=300) for k in (9, 162, 16)), strict=True):
        pickups = plain.pickups[board, joint]
        after = list(memories(2)[memory])
        for colour in range(2):
            for player in (colour, 1 - colour):
                if pickups[player, colour]:
                    after[colour] = player
        row, plain_row = chain.transition[memory * 162 + board, joint], plain.transition[board, joint]
        found = dict(zip(chain.successors[row], chain.probabilities[row], strict=True))
        base = (3 * after[0] + after[1]) * 162
        wanted = dict(zip(base + plain.successors[plain_row], plain.probabilities[plain_row], strict=True))
        assert {s: p for s, p in found.items() if p} == {s: p for s, p in wanted.items() if p}


def test_a_game_too_large_is_refused_before_anything_is_computed():
    with pytest.raises(ValueError, match="5 x 5 with 4 players: .* outcomes; allowed: up to 2e.08"):
        coin_chain(game(num_players=4, grid=5))
