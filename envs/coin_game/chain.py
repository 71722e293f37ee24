"""The Coin Game as a Markov chain, enumerated with the environment's own transitions.

A state is where the players and coins are and, with one coin, its colour. In the *folded* chain, boards that differ by
a shift of the torus are one state, which is valid for everything that depends only on relative positions: the 1,458
states of two players and one coin on 3 x 3 cells fold to 162. Optionally a state also remembers who last took a coin of
each colour, so that a policy can reciprocate (Aghajohari et al. 2024, LOQA, include this in the observation).
"""

import functools
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from shaping.envs.coin_game.enumeration import begin_outcomes, step_outcomes
from shaping.envs.coin_game.game import CoinGame
from shaping.envs.coin_game.state import CoinGameState

# States x joint actions x outcomes of one chain; the largest takes about a minute and a few GiB.
_LARGEST = 2 * 10**8


@dataclass(frozen=True, eq=False)
class CoinChain:
    """Transitions and pickups by state and joint action, with exact probabilities.

    Joint actions are numbered in mixed radix, seat 0 most significant. Several states and joint actions lead to the
    same distribution over next states; each distinct distribution is one *transition*.

    Attributes:
      env: the game.
      folded: whether boards that differ only by a shift are one state.
      memory: whether states include who last took a coin of each colour.
      boards: states of the board alone, a `CoinGameState` of numpy arrays [boards, ...]; for a folded state one
          representative. State number = memory number x boards + board number.
      successors, probabilities: [transitions, K], the next states of each transition; padded with probability 0.
      transition: [states, joint actions], the transition of each.
      pickups: [boards, joint actions, players, colours] bool.
      start: [states] the distribution of the first state.
    """

    env: CoinGame
    folded: bool
    memory: bool
    boards: CoinGameState
    successors: np.ndarray
    probabilities: np.ndarray
    transition: np.ndarray
    pickups: np.ndarray
    start: np.ndarray

    @property
    def num_boards(self) -> int:
        return len(self.pickups)

    @property
    def num_states(self) -> int:
        return len(self.transition)

    @property
    def memories(self) -> int:
        """How many values the memory can take; 1 without memory."""
        return self.num_states // self.num_boards

    def transitions(self) -> np.ndarray:
        """Dense P[state, joint action, next state]; only for small chains."""
        rows = np.zeros((len(self.successors), self.num_states))
        np.add.at(rows, (np.arange(len(rows))[:, None], self.successors), self.probabilities)
        return rows[self.transition]

    def own_states(self, player: int) -> np.ndarray:
        """For each state, the number of the state as the player sees it, [states] int32: itself as seat 0, then the
        others by ascending seat, and colours likewise."""
        env, n = self.env, self.env.num_players
        order = [player, *(seat for seat in range(n) if seat != player)]
        boards = self.boards
        colour, coins = np.argsort(order)[boards.colour], boards.coins
        if env.coins == "per_colour":
            colour, coins = boards.colour, boards.coins[:, order]
        seen = board_number(env, CoinGameState.of(boards.players[:, order], coins, colour, boards.step), self.folded)
        takers = memories(n) if self.memory else np.full((1, n), 0)
        renamed = np.append(np.argsort(order), n)[takers][:, order]
        number = memory_number(renamed, n) if self.memory else np.zeros(1, int)
        # JAX 0.12 once mixed up the types of an int64 index in a process that used both precisions.
        return (number[:, None] * self.num_boards + seen[None]).reshape(-1).astype(np.int32)


def coin_chain(env: CoinGame, folded: bool = True, memory: bool = False) -> CoinChain:
    """Enumerates a game: every state, joint action and random outcome, through `CoinGame.transition`; the result is
    cached.

    Noise and the special rules of the last step are not part of the chain.

    Raises:
      ValueError: if the game is too large to enumerate.
    """
    check_size(env, bool(folded), bool(memory))
    return _enumerated(env, bool(folded), bool(memory))


@functools.lru_cache(maxsize=16)
def _enumerated(env: CoinGame, folded: bool, memory: bool) -> CoinChain:
    if memory:
        return _remembering(_enumerated(env, folded, False))
    outcomes = np.array(list(itertools.product(*map(range, step_outcomes(env)))), np.uint32)
    count = num_boards(env, folded)
    boards = board_of(env, np.arange(count), folded)
    actions = np.array(list(itertools.product(range(env.action_space.num_values), repeat=env.num_players)), np.int32)
    # Objectives ask for the chain while they are being traced.
    with jax.ensure_compile_time_eval():
        following, pickups = _transitions(env, boards, actions, outcomes, folded)
        starts = _starts(env, folded)
    found, where = np.unique(np.sort(following.reshape(-1, len(outcomes)), axis=1), axis=0, return_inverse=True)
    successors, probabilities = _as_lists(found)
    transition = where.reshape(count, len(actions))
    start = np.zeros(count)
    np.add.at(start, starts, 1)
    start /= start.sum()
    return CoinChain(env, folded, False, boards, successors, probabilities, transition, pickups, start)


def check_size(env: CoinGame, folded: bool = True, memory: bool = False) -> None:
    """Refuses a game that is too large to enumerate.

    Raises:
      ValueError: one line that says how large it is.
    """
    joint = env.action_space.num_values**env.num_players
    size = num_boards(env, folded) * joint * math.prod(step_outcomes(env)) * (num_memories(env) if memory else 1)
    if size > _LARGEST:
        rows, columns = env.grid
        raise ValueError(
            f"grid is {rows} x {columns} with {env.num_players} players: {size:.0e} outcomes; allowed: up to "
            f"{_LARGEST:.0e} to enumerate exactly, so a smaller grid or fewer players"
        )


def num_boards(env: CoinGame, folded: bool) -> int:
    """How many states of the board there are."""
    colours = env.num_players if env.coins == "alternating" else 1
    return colours * env.num_cells ** (env.num_players + env.num_coins - folded)


def board_number(env: CoinGame, boards: Any, folded: bool) -> Any:
    """The number of a board, given as a `CoinGameState` of numpy or jax arrays with leading axes.

    The digits are the colour, the coins and the players; if folded, places are relative to the first coin.
    """
    rows, columns = env.grid
    cells = [*boards.coin_cells, *boards.player_cells]
    if folded:
        row, column = cells[0] // columns, cells[0] % columns
        cells = [(c // columns - row) % rows * columns + (c % columns - column) % columns for c in cells[1:]]
    number = boards.colour
    for cell in cells:
        number = number * env.num_cells + cell
    return number


def board_of(env: CoinGame, numbers: np.ndarray, folded: bool) -> CoinGameState:
    """The inverse of `board_number`, in numpy; if folded, the representative whose first coin is on cell 0."""
    digits: list[np.ndarray] = []
    rest: Any = numbers
    for _ in range(env.num_players + env.num_coins - folded):
        digits.append(rest % env.num_cells)
        rest = rest // env.num_cells
    cells: Any = np.stack([*([np.zeros_like(rest)] if folded else []), *reversed(digits)], axis=-1).astype(np.int32)
    coins, players = cells[:, : env.num_coins], cells[:, env.num_coins :]
    return CoinGameState.of(players, coins, rest.astype(np.int32), 0 * rest.astype(np.int32))


def num_memories(env: CoinGame) -> int:
    """How many values the memory of the last takers can take: for each colour one of the players, or nobody yet."""
    return (env.num_players + 1) ** env.num_players


def memories(num_players: int) -> np.ndarray:
    """The last taker of each colour by memory number, [memories, colours]; num_players stands for nobody yet."""
    return np.array(list(itertools.product(range(num_players + 1), repeat=num_players)))


def memory_number(takers: Any, num_players: int) -> Any:
    """The inverse of `memories`, for arrays [..., colours]."""
    number = 0
    for colour in range(num_players):
        number = number * (num_players + 1) + takers[..., colour]
    return number


def remember(takers: Any, pickups: Any, seats: Sequence[int]) -> Any:
    """Who last took a coin of each colour, [..., colours], after pickups [..., players, colours]. If several players
    take one at the same time, the highest seat that is not its owner counts.

    Args:
      takers: the previous takers; the number of players means nobody yet.
      pickups: who takes what now.
      seats: the seat of each position in both arrays: 0, 1, ... on the board; own seat first as a player sees it.
    """
    now, ascending = [], sorted(range(len(seats)), key=lambda place: seats[place])
    for colour in range(len(seats)):
        taker = takers[..., colour]
        for player in [colour, *(place for place in ascending if place != colour)]:
            taker = jnp.where(pickups[..., player, colour], player, taker)
        now.append(taker)
    return jnp.stack(now, axis=-1)


def _transitions(
    env: CoinGame, boards: CoinGameState, actions: np.ndarray, outcomes: np.ndarray, folded: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Numbers of the next boards [boards, joint actions, outcomes] and pickups [boards, joint actions, players,
    colours]."""

    def one(board: CoinGameState, action: jax.Array, words: jax.Array) -> tuple[jax.Array, jax.Array]:
        after, pickups = env.transition(words, board, action)
        return board_number(env, after, folded), jnp.stack([jnp.stack(row) for row in pickups])

    over_outcomes = jax.vmap(one, in_axes=(None, None, 0))
    over_actions = jax.vmap(over_outcomes, in_axes=(None, 0, None))

    @jax.jit
    def everything(boards: CoinGameState) -> Any:
        def of(board: CoinGameState) -> tuple[jax.Array, jax.Array]:
            number, pickups = over_actions(board, jnp.asarray(actions), jnp.asarray(outcomes))
            return number, pickups[:, 0]

        return jax.lax.map(of, boards, batch_size=64)

    following, pickups = everything(boards)
    return np.asarray(following), np.asarray(pickups)


def _starts(env: CoinGame, folded: bool) -> np.ndarray:
    """Numbers of the first boards, each repeated in proportion to its probability."""
    sizes = begin_outcomes(env)
    total = math.prod(sizes)
    words = np.stack(np.unravel_index(np.arange(total), sizes), axis=-1).astype(np.uint32)
    number = jax.jit(
        lambda words: jax.lax.map(lambda w: board_number(env, env.begin(w), folded), words, batch_size=4096)
    )
    return np.asarray(number(words))


def _as_lists(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows of equally likely outcomes [rows, outcomes], sorted, to distinct outcomes [rows, K] with probabilities."""
    pairs = [np.unique(row, return_counts=True) for row in rows]
    longest = max(len(values) for values, _ in pairs)
    successors, probabilities = np.zeros((len(rows), longest), np.int32), np.zeros((len(rows), longest))
    for number, (values, counts) in enumerate(pairs):
        successors[number, : len(values)] = values
        probabilities[number, : len(values)] = counts / rows.shape[1]
    return successors, probabilities


def _remembering(chain: CoinChain) -> CoinChain:
    """The chain, extended by the memory of the last takers."""
    n, boards = chain.env.num_players, chain.num_boards
    before = memories(n)
    with jax.ensure_compile_time_eval():
        after = np.asarray(remember(before[:, None, None, :], chain.pickups[None], range(n)))
    number = np.asarray(memory_number(after, n))  # [memories, boards, joint actions]
    pairs, where = np.unique(chain.transition[None] * len(before) + number, return_inverse=True)
    old, memory = pairs // len(before), pairs % len(before)
    start = np.zeros(len(before) * boards)
    nobody = len(before) - 1
    start[nobody * boards :] = chain.start
    return CoinChain(
        env=chain.env,
        folded=chain.folded,
        memory=True,
        boards=chain.boards,
        successors=chain.successors[old] + (memory * boards)[:, None].astype(np.int32),
        probabilities=chain.probabilities[old],
        transition=where.reshape(len(before) * boards, -1),
        pickups=chain.pickups,
        start=start,
    )
