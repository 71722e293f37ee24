"""The Coin Game: players of different colours on a torus pick up coins; whoever takes a coin of another's colour costs
that other.

Six incompatible games go by this name. Here every point they differ in is a switch of `CoinGame`, and
`envs.coin_game.dialects` has the named combinations.
"""

import dataclasses
from dataclasses import dataclass
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from shaping.envs.coin_game import counts as coin_counts
from shaping.envs.coin_game.observation import LAYOUTS, VIEWS, planes
from shaping.envs.drawing import Sprite, empty_floor, grid_image, player_colour
from shaping.envs.environment import check_actions, check_choice, check_integer, check_number
from shaping.envs.grid.random_cells import (
    free_cell_outcomes,
    nth_free_cell,
    num_words,
    random_free_cell,
    split_word,
    word_outcomes,
)
from shaping.envs.spaces import Box, Discrete

MAX_PLAYERS = 8
MOVES = {"right": (0, 1), "left": (0, -1), "down": (1, 0), "up": (-1, 0), "stay": (0, 0)}
"""Rows and columns that each move goes, on a torus; rows are counted downwards."""
_CHOICES = {
    "coins": ("alternating", "per_colour"),
    "tie": ("all", "lowest_seat"),
    "moves": ("right_left_down_up", "left_right_up_down"),
    "start_players": ("distinct", "any"),
    "start_coins": ("free", "any"),
    "respawn": ("free", "any"),
    "penalty": ("per_taker", "per_coin"),
    "last_step": ("play", "no_reward", "restart"),
    "view": VIEWS,
    "layout": LAYOUTS,
    "dtype": ("float32", "int8"),
}
_RESTART = 0x5EED
_SWITCHES = ("stay", "egocentric", "flat")


@flax.struct.dataclass
class CoinGameParams:
    """The numbers of a Coin Game. Every leaf may carry leading axes that a vmap maps over.

    Attributes:
        rewards: [players, 3] float: for taking a coin of one's own colour, of another's colour, and for having a coin
            of one's colour taken by another.
        horizon: [] int32, steps of an episode.
        noise: [players] float in [0, 1], the probability that a uniformly random action is executed in place of the
            chosen one; None where the game was made without noise.
    """

    rewards: jax.Array
    horizon: jax.Array
    noise: jax.Array | None = None


@flax.struct.dataclass
class CoinGameState:
    """Where everything is. Cells are numbered row by row, row x columns + column.

    Each cell is a scalar of its own: over a batch it is then a plain vector, with which a step takes half the time that
    it takes with rows of two or four.

    Attributes:
        player_cells: one [] int32 a player.
        coin_cells: one [] int32 for the only coin, or for the coin of each colour in seat order.
        colour: [] int32, the colour of the only coin; 0 where each colour has its own.
        step: [] int32, steps taken since the reset.
    """

    player_cells: tuple[jax.Array, ...]
    coin_cells: tuple[jax.Array, ...]
    colour: jax.Array
    step: jax.Array

    @classmethod
    def of(cls, players: Any, coins: Any, colour: Any, step: Any) -> "CoinGameState":
        """A state or a batch of them, from arrays players [..., players], coins [..., coins], colour, step [...]."""
        apart = [tuple(cells[..., i] for i in range(cells.shape[-1])) for cells in (players, coins)]
        return cls(player_cells=apart[0], coin_cells=apart[1], colour=colour, step=step)

    @property
    def players(self) -> jax.Array:
        """Cells of the players as one array, [..., players]."""
        return _together(self.player_cells)

    @property
    def coins(self) -> jax.Array:
        """Cells of the coins as one array, [..., coins]."""
        return _together(self.coin_cells)


@dataclass(frozen=True)
class CoinGame:
    """n players on a torus; seat i owns the coins of colour i.

    All move at once and may share cells and change places. A player that enters a coin's cell, or stays there, takes
    it: +1. A coin of another's colour costs its owner 2 besides (`CoinGameParams.rewards` has these numbers). A taken
    coin comes back elsewhere. Taking and paying follow Lerer and Peysakhovich (2017) and Foerster et al. (2018); the
    switches below cover what later programs do differently.

    Attributes:
        num_players: 2 to 8.
        grid: (rows, columns), or one number for both.
        coins: "alternating", one coin whose colour goes on to the next seat's each time it is taken, or "per_colour",
            one coin of every colour.
        tie: who takes a coin that several players reach at once: "all" of them, or "lowest_seat" alone.
        moves: what actions 0 to 3 are; `stay` adds action 4, to stay.
        stay: whether there is a fifth action. A player that stays takes a coin that comes back under it.
        start_players: "distinct" cells, or "any", each drawn by itself.
        start_coins: "free" of players and other coins, or "any".
        respawn: where a taken coin comes back: on a cell "free" of players and other coins, or "any".
        penalty: the owner pays "per_taker", or once "per_coin" however many others take it. With two players the same.
        last_step: "play"; "no_reward", the last step of an episode pays nothing though its pickups happen; "restart",
            the last step ignores actions, pays nothing and leads to a fresh start.
        view: whose plane comes first in an observation, of players and then of coins: "shared", in seat order for
            everybody; "self_first", the own, then the others by ascending seat; "cyclic", the own, then the next
            seats, round to the one before; "rolled", all 2n planes turned on by two places a seat.
        egocentric: whether each player sees itself in the middle of the board, cell (rows // 2, columns // 2).
        layout: "channels_first" [2n, rows, columns] or "channels_last" [rows, columns, 2n].
        flat: whether the planes are one vector.
        dtype: of observations, "float32" or "int8".
        horizon: steps of an episode, its end truncates it.
        own, other, taken: the default rewards (see `CoinGameParams.rewards`).
        noise: None, or the default probability of a random action, one number or one a player.
        name: for records and messages.

    Raises:
        ValueError: a setting out of its range, a grid too small for its players, or switches that contradict each
            other. One line: the setting, its value and what is allowed.
    """

    num_players: int = 2
    grid: Any = (3, 3)
    coins: str = "alternating"
    tie: str = "all"
    moves: str = "right_left_down_up"
    stay: bool = False
    start_players: str = "any"
    start_coins: str = "free"
    respawn: str = "free"
    penalty: str = "per_taker"
    last_step: str = "play"
    view: str = "shared"
    egocentric: bool = False
    layout: str = "channels_first"
    flat: bool = False
    dtype: str = "float32"
    horizon: int = 50
    own: float = 1.0
    other: float = 1.0
    taken: float = -2.0
    noise: float | tuple[float, ...] | None = None
    name: str = "coin_game"

    def __post_init__(self):
        for field, allowed in _CHOICES.items():
            check_choice(field, getattr(self, field), allowed)
        for field in _SWITCHES:
            check_choice(field, getattr(self, field), (False, True))
        n = check_integer("num_players", self.num_players, 2, MAX_PLAYERS)
        # The fields are frozen for users; normalising them here is what makes equal games equal and hashable.
        object.__setattr__(self, "grid", _grid(self.grid))
        check_integer("horizon", self.horizon, 1, 2**31 - 2)
        for field in ("own", "other", "taken"):
            object.__setattr__(self, field, check_number(field, getattr(self, field)))
        if isinstance(self.noise, list | tuple):
            if len(self.noise) != n:
                raise ValueError(f"noise is {self.noise!r}; allowed: None, a number, or one for each of {n} players")
            object.__setattr__(self, "noise", tuple(check_number("noise", x, 0, 1) for x in self.noise))
        elif self.noise is not None:
            object.__setattr__(self, "noise", check_number("noise", self.noise, 0, 1))
        self._check_room()
        if self.egocentric and self.view in ("shared", "rolled"):
            raise ValueError(f"egocentric is True; allowed: with view self_first or cyclic, not {self.view}")
        if self.last_step == "restart" and self.horizon == 1:
            raise ValueError("horizon is 1; allowed: 2 or more with last_step restart, which plays one step less")

    def _check_room(self) -> None:
        needed, why = 1, ""
        if self.start_players == "distinct":
            needed, why = self.num_players, "start_players distinct"
        if self.start_coins == "free":
            needed, why = self.num_players + self.num_coins, "start_coins free"
        if self.respawn == "free" and self.num_players + self.num_coins > needed:
            needed, why = self.num_players + self.num_coins, "respawn free"
        if self.num_cells < needed:
            rows, columns = self.grid
            raise ValueError(
                f"grid is {rows} x {columns}; allowed: {needed} cells or more with {self.num_players} players, {why}"
            )

    @property
    def num_cells(self) -> int:
        return self.grid[0] * self.grid[1]

    @property
    def num_coins(self) -> int:
        """Coins on the board at any time."""
        return 1 if self.coins == "alternating" else self.num_players

    @property
    def action_names(self) -> tuple[str, ...]:
        """What each action is called, in order."""
        return (*self.moves.split("_"), *(("stay",) if self.stay else ()))

    @property
    def action_space(self) -> Discrete:
        return Discrete(len(self.action_names))

    @property
    def observation_space(self) -> Box:
        """One-hot planes: where each player is, and where the coin of each colour is."""
        channels, (rows, columns) = 2 * self.num_players, self.grid
        shape = (channels, rows, columns) if self.layout == "channels_first" else (rows, columns, channels)
        return Box((channels * rows * columns,) if self.flat else shape, 0, 1, self.dtype)

    @property
    def default_params(self) -> CoinGameParams:
        noise = None if self.noise is None else jnp.asarray(np.broadcast_to(self.noise, self.num_players), dtype=float)
        rewards = np.tile([self.own, self.other, self.taken], (self.num_players, 1))
        return CoinGameParams(jnp.asarray(rewards, dtype=float), jnp.int32(self.horizon), noise)

    def reset(self, key: jax.Array, params: CoinGameParams) -> tuple[jax.Array, CoinGameState]:
        """A random start, see `start_players` and `start_coins`; the first colour of an only coin is uniform.

        Returns:
            obs: [players, ...] see `observation_space`.
            state: the start.
        """
        state = self.begin(jax.random.bits(key, (len(self.begin_outcomes),), jnp.uint32))
        return self.observe(state, params), state

    def begin(self, words: jax.Array) -> CoinGameState:
        """The start that random words stand for, [len(begin_outcomes)] uint32."""
        n, distinct = self.num_players, self.start_players == "distinct"
        ranges = self._begin_ranges
        shared = num_words(ranges)
        colour, *drawn = split_word(words[:shared], ranges)
        players: list[jax.Array] = []
        for rank in drawn[:n]:
            players.append(nth_free_cell(rank, players) if distinct else rank)
        coins = drawn[n:]
        if self.start_coins == "free":
            for c in range(self.num_coins):
                coins.append(random_free_cell(words[shared + c], [*players, *coins], self.num_cells))
        return CoinGameState(tuple(players), tuple(coins), colour, jnp.int32(0))

    def step(
        self, key: jax.Array, state: CoinGameState, actions: jax.Array, params: CoinGameParams
    ) -> tuple[jax.Array, CoinGameState, jax.Array, jax.Array, jax.Array, dict[str, jax.Array]]:
        """Plays one joint action. Pure; one environment (vmap for many); never resets itself.

        Args:
            key: what noise and new cells of taken coins are drawn from.
            state: the state before.
            actions: [players] int, see `action_names`.
            params: the game's numbers.

        Returns:
            obs: [players, ...] see `observation_space`.
            state: the state after.
            rewards: [players] float.
            terminated: [] bool, always False: the game has no end of its own.
            truncated: [] bool, whether the horizon is reached.
            info: {"pickups": [players, colours] int32}, 1 where a player took a coin of a colour.

        Raises:
            ValueError: actions of a wrong shape or dtype, and, outside of jit, of a wrong value; params with noise for
                a game made without, or without noise for a game made with it.
        """
        n, cells = self.num_players, len(self.step_outcomes)
        actions = check_actions(actions, n, self.action_space)
        if (params.noise is None) != (self.noise is None):
            given, made = ("None", "an array, as") if params.noise is None else ("an array", "None, unless")
            raise ValueError(f"params.noise is {given}; allowed: {made} the game is made with noise")
        words = jax.random.bits(key, (cells + (0 if self.noise is None else 2 * n),), jnp.uint32)
        if self.noise is not None:
            actions = self._tremble(words[cells:], actions, params)
        after, pickups = self.transition(words[:cells], state, actions)
        rewards = jnp.stack(self._rewards(pickups, params))
        pickups = jnp.stack([jnp.stack(row) for row in pickups]).astype(jnp.int32)
        truncated = after.step >= params.horizon
        if self.last_step != "play":
            rewards = jnp.where(truncated, 0, rewards)
        if self.last_step == "restart":
            _, fresh = self.reset(jax.random.fold_in(key, _RESTART), params)
            after = jax.tree.map(
                lambda x, y: jnp.where(truncated, x, y), dataclasses.replace(fresh, step=after.step), after
            )
            pickups = jnp.where(truncated, 0, pickups)
        return self.observe(after, params), after, rewards, jnp.asarray(False), truncated, {"pickups": pickups}

    def transition(
        self, words: jax.Array, state: CoinGameState, actions: jax.Array
    ) -> tuple[CoinGameState, list[list[jax.Array]]]:
        """Where executed actions lead, given the random words: what `step` does but for noise and the last step.

        Args:
            words: [len(step_outcomes)] uint32.
            state: the state before.
            actions: [players] int32.

        Returns:
            state: the state after.
            pickups: pickups[player][colour], scalars of bool.
        """
        n = self.num_players
        chosen = [actions[i] for i in range(n)]
        players = [self._move(state.player_cells[i], chosen[i]) for i in range(n)]
        reached = self._reached(players, state)
        pickups = [[self._is_colour(state, c, reached[i]) for c in range(n)] for i in range(n)]
        after = CoinGameState(
            player_cells=tuple(players),
            coin_cells=tuple(self._coins_after(words, players, state, reached)),
            colour=self._colour_after(state, reached),
            step=state.step + 1,
        )
        return after, pickups

    def observe(self, state: CoinGameState, params: CoinGameParams) -> jax.Array:
        """What everybody sees in a state, [players, ...] see `observation_space`."""
        del params
        coins = self._by_colour(state)
        return planes(
            state.player_cells, coins, self.grid, self.view, self.egocentric, self.layout, self.flat, self.dtype
        )

    def start_counts(self) -> coin_counts.CoinCounts:
        """See `envs.coin_game.counts`."""
        return coin_counts.start(self.num_players)

    def count(
        self,
        counts: coin_counts.CoinCounts,
        state: CoinGameState,
        actions: jax.Array,
        rewards: jax.Array,
        ended: jax.Array,
        info: dict[str, jax.Array],
    ) -> coin_counts.CoinCounts:
        """Pickups, misses and their history, one step further."""
        del actions, rewards
        at = self._by_colour(state)
        near = [[self._adjacent(cell, coin) for coin in at] for cell in state.player_cells]
        if self.last_step == "restart":
            # What was near at a step that ignores actions could not be taken, so nobody missed it.
            near = [[flag & ~ended for flag in row] for row in near]
        return coin_counts.count(counts, near, info["pickups"], ended)

    def image(self, state: CoinGameState, params: CoinGameParams) -> np.ndarray:
        """The board from above: coins are discs, players rings of their colour, the lowest seat's the widest."""
        del params
        columns = self.grid[1]
        colours = [int(state.colour)] if self.coins == "alternating" else range(self.num_coins)
        cells = np.asarray(state.coins)
        sprites = [
            Sprite(*divmod(int(cell), columns), player_colour(c), "disc", 0.42 - 0.1 * (list(cells[:i]).count(cell)))
            for i, (c, cell) in enumerate(zip(colours, cells, strict=True))
        ]
        for i, cell in enumerate(np.asarray(state.players)):
            sprites.append(Sprite(*divmod(int(cell), columns), player_colour(i), "ring", 0.95 - 0.07 * i))
        return grid_image(empty_floor(*self.grid), sprites)

    def text(self, state: CoinGameState, params: CoinGameParams) -> str:
        """A board on which 0, 1, ... are players and a, b, ... the coins of their colours."""
        del params
        rows, columns = self.grid
        colours = [int(state.colour)] if self.coins == "alternating" else range(self.num_coins)
        cells = [""] * self.num_cells
        for i, cell in enumerate(np.asarray(state.players)):
            cells[cell] += str(i)
        for c, cell in zip(colours, np.asarray(state.coins), strict=True):
            cells[cell] += "abcdefgh"[c]
        width = max(1, *map(len, cells))
        board = [" ".join(cells[r * columns + c].ljust(width, ".") for c in range(columns)) for r in range(rows)]
        return "\n".join([f"step {int(state.step)}", *board])

    @property
    def begin_outcomes(self) -> tuple[int, ...]:
        """For each random word of `begin`, a number of values 0, 1, ... over which every start comes equally often as
        it is likely: all starts, exactly, for who wants to enumerate them."""
        found = word_outcomes(self._begin_ranges)
        if self.start_coins == "free":
            found += tuple(free_cell_outcomes(self.num_players + c, self.num_cells) for c in range(self.num_coins))
        return found

    @property
    def step_outcomes(self) -> tuple[int, ...]:
        """Likewise for `transition`."""
        if self.respawn == "any":
            return word_outcomes([self.num_cells] * self.num_coins)
        return (free_cell_outcomes(self.num_players + self.num_coins - 1, self.num_cells),) * self.num_coins

    @property
    def _begin_ranges(self) -> list[int]:
        n, cells, distinct = self.num_players, self.num_cells, self.start_players == "distinct"
        ranges = [n if self.coins == "alternating" else 1, *(cells - i * distinct for i in range(n))]
        return ranges + [cells] * (self.num_coins if self.start_coins == "any" else 0)

    def _tremble(self, words: jax.Array, actions: jax.Array, params: CoinGameParams) -> jax.Array:
        """The executed actions, [players] int32."""
        n = self.num_players
        assert params.noise is not None
        trembles = (words[:n] >> 8).astype(params.noise.dtype) * 2.0**-24 < params.noise
        random = (words[n:] % self.action_space.num_values).astype(jnp.int32)
        return jnp.where(trembles, random, actions)

    def _move(self, cell: jax.Array, action: jax.Array) -> jax.Array:
        rows, columns = self.grid
        row, column = cell // columns, cell % columns
        does = {name: action == number for number, name in enumerate(self.action_names)}
        row = jnp.where(does["down"], jnp.where(row == rows - 1, 0, row + 1), row)
        row = jnp.where(does["up"], jnp.where(row == 0, rows - 1, row - 1), row)
        column = jnp.where(does["right"], jnp.where(column == columns - 1, 0, column + 1), column)
        column = jnp.where(does["left"], jnp.where(column == 0, columns - 1, column - 1), column)
        return row * columns + column

    def _adjacent(self, cell: jax.Array, other: jax.Array) -> jax.Array:
        """Whether one move, not counting to stay, leads from a cell to another; never to cell -1."""
        rows, columns = self.grid
        down, right = (other // columns - cell // columns) % rows, (other % columns - cell % columns) % columns
        near_row = (right == 0) & ((down == 1 % rows) | (down == (rows - 1) % rows))
        near_column = (down == 0) & ((right == 1 % columns) | (right == (columns - 1) % columns))
        return (near_row | near_column) & (other >= 0)

    def _by_colour(self, state: CoinGameState) -> list[jax.Array]:
        """The cell of the coin of each colour, -1 where there is none."""
        if self.coins == "per_colour":
            return list(state.coin_cells)
        return [jnp.where(state.colour == c, state.coin_cells[0], -1) for c in range(self.num_players)]

    def _reached(self, players: list[jax.Array], state: CoinGameState) -> list[list[jax.Array]]:
        """reached[player][coin]: who takes which coin, scalars of bool."""
        reached: list[list[jax.Array]] = []
        for cell in players:
            row = [cell == state.coin_cells[c] for c in range(self.num_coins)]
            if self.tie == "lowest_seat" and reached:
                row = [here & ~coin_counts.any_of([lower[c] for lower in reached]) for c, here in enumerate(row)]
            reached.append(row)
        return reached

    def _is_colour(self, state: CoinGameState, colour: int, reached: list[jax.Array]) -> jax.Array:
        return reached[0] & (state.colour == colour) if self.coins == "alternating" else reached[colour]

    def _rewards(self, pickups: list[list[jax.Array]], params: CoinGameParams) -> list[jax.Array]:
        """Rewards of a step, one scalar a player."""
        n, dtype = self.num_players, params.rewards.dtype
        rewards = []
        for i in range(n):
            own, other, taken = (params.rewards[i, k] for k in range(3))
            by_others = [pickups[j][i] for j in range(n) if j != i]
            if self.penalty == "per_coin":
                by_others = [coin_counts.any_of(by_others)]
            rewards.append(
                own * pickups[i][i].astype(dtype)
                + other * sum(pickups[i][c].astype(dtype) for c in range(n) if c != i)
                + taken * sum(by.astype(dtype) for by in by_others)
            )
        return rewards

    def _colour_after(self, state: CoinGameState, reached: list[list[jax.Array]]) -> jax.Array:
        if self.coins == "per_colour":
            return state.colour
        following = jnp.where(state.colour == self.num_players - 1, 0, state.colour + 1)
        return jnp.where(coin_counts.any_of([row[0] for row in reached]), following, state.colour)

    def _coins_after(
        self, words: jax.Array, players: list[jax.Array], state: CoinGameState, reached: list[list[jax.Array]]
    ) -> list[jax.Array]:
        """Cells of the coins, those that were taken drawn anew."""
        coins = list(state.coin_cells)
        if self.respawn == "any":
            drawn = split_word(words, [self.num_cells] * self.num_coins)
            return [
                jnp.where(coin_counts.any_of([row[c] for row in reached]), new, old)
                for c, (new, old) in enumerate(zip(drawn, coins, strict=True))
            ]
        for c in range(self.num_coins):
            others = [*players, *coins[:c], *coins[c + 1 :]]
            new = random_free_cell(words[c], others, self.num_cells)
            coins[c] = jnp.where(coin_counts.any_of([row[c] for row in reached]), new, coins[c])
        return coins


def _together(cells: tuple[Any, ...]) -> Any:
    return (np if isinstance(cells[0], np.ndarray) else jnp).stack(cells, axis=-1)


def _grid(value: Any) -> tuple[int, int]:
    sides = tuple(value) if isinstance(value, list | tuple) else (value, value)
    if len(sides) != 2:
        raise ValueError(f"grid is {value!r}; allowed: a number of rows and columns, or (rows, columns)")
    return check_integer("grid", sides[0], 1, 1000), check_integer("grid", sides[1], 1, 1000)
