"""The Coin Game: players of two or more colours pick up coins on a torus; taking another's colour costs that player.

Incompatible games go by this name. Every point on which they differ is a switch of `CoinGame` here, and
`envs.coin_game.dialects` names the published combinations.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from shaping.envs.coin_game import counts as coin_counts
from shaping.envs.coin_game import drawing, rules
from shaping.envs.coin_game import measures as coin_measures
from shaping.envs.coin_game.observation import LAYOUTS, VIEWS, planes
from shaping.envs.coin_game.state import REWARDS, CoinGameDrawn, CoinGameParams, CoinGameState, with_numbers
from shaping.envs.declarations import Measure
from shaping.envs.environment import check_actions, check_choice, check_integer, check_number
from shaping.envs.grid.random_cells import num_words
from shaping.envs.spaces import Box, Discrete

MAX_PLAYERS = 8
MOVES = {"right": (0, 1), "left": (0, -1), "down": (1, 0), "up": (-1, 0), "stay": (0, 0)}
"""The change of row and column of each move, on a torus; rows are counted downwards."""
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


@dataclass(frozen=True)
class CoinGame:
    """n players on a torus; seat i owns the coins of colour i.

    All players move at the same time; they may share cells and exchange places. A player that enters a coin's cell, or
    stays there, takes the coin: +1. If the coin has another player's colour, that player also loses 2
    (`CoinGameParams.rewards` holds these numbers). A taken coin reappears elsewhere. Taking and paying follow Lerer and
    Peysakhovich (2017) and Foerster et al. (2018); the switches below cover what later programs do differently.

    Attributes:
        num_players: 2 to 8.
        grid: (rows, columns), or one number for both.
        coins: "alternating", one coin whose colour passes to the next seat each time it is taken, or "per_colour", one
            coin of every colour.
        tie: who takes a coin that several players reach at the same time: "all" of them, or only the "lowest_seat".
        moves: what actions 0 to 3 are; `stay` adds action 4, to stay.
        stay: whether there is a fifth action. A player that stays takes a coin that reappears under it.
        start_players: "distinct" cells, or "any" cells, each drawn independently.
        start_coins: cells "free" of players and other coins, or "any" cells.
        respawn: where a taken coin reappears: on a cell "free" of players and other coins, or on "any" cell.
        penalty: the owner pays "per_taker", or once "per_coin" however many others take it. Equivalent with two
            players.
        last_step: "play"; "no_reward", the last step of an episode pays nothing although its pickups happen; "restart",
            the last step ignores actions, pays nothing and leads to a new start.
        view: whose plane comes first in an observation, for players and then for coins: "shared", in seat order for
            everybody; "self_first", one's own, then the others by ascending seat; "cyclic", one's own, then the
            following seats in cyclic order; "rolled", all 2n planes rotated by two places per seat.
        egocentric: whether each player sees itself in the middle of the board, cell (rows // 2, columns // 2).
        layout: "channels_first" [2n, rows, columns] or "channels_last" [rows, columns, 2n].
        flat: whether the planes are flattened into one vector.
        dtype: of observations, "float32" or "int8".
        horizon: steps of an episode; its end truncates the episode.
        own, other, taken: the default rewards (see `CoinGameParams.rewards`).
        noise: None, or the default probability of a random action, one number or one per player.
        name: for records and messages.

    Raises:
        ValueError: for a setting out of its range, a grid too small for its players, or contradictory switches. One
          line:
            the setting, its value and what is allowed.
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
        # The dataclass is frozen; normalising fields here makes equal games equal and hashable.
        object.__setattr__(self, "grid", _grid(self.grid))
        check_integer("horizon", self.horizon, 1, 2**31 - 2)
        for field in REWARDS:
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
    def conventions(self) -> tuple[Any, ...]:
        """How the board is shown, and which way the actions lead."""
        return self.view, self.egocentric, self.layout, self.moves

    @property
    def action_names(self) -> tuple[str, ...]:
        """The names of the actions, in order."""
        return (*self.moves.split("_"), *(("stay",) if self.stay else ()))

    @property
    def action_space(self) -> Discrete:
        return Discrete(len(self.action_names))

    @property
    def observation_space(self) -> Box:
        """One-hot planes: the position of each player, and that of the coin of each colour."""
        channels, (rows, columns) = 2 * self.num_players, self.grid
        shape = (channels, rows, columns) if self.layout == "channels_first" else (rows, columns, channels)
        return Box((channels * rows * columns,) if self.flat else shape, 0, 1, self.dtype, torus=not self.flat)

    @property
    def default_params(self) -> CoinGameParams:
        noise = None if self.noise is None else jnp.asarray(np.broadcast_to(self.noise, self.num_players), dtype=float)
        rewards = np.tile([self.own, self.other, self.taken], (self.num_players, 1))
        return CoinGameParams(jnp.asarray(rewards, dtype=float), jnp.int32(self.horizon), noise)

    def reset(self, key: jax.Array, params: CoinGameParams) -> tuple[jax.Array, CoinGameState]:
        """A random start, see `start_players` and `start_coins`; if there is a single coin, its first colour is
        uniform."""
        state = self.begin(jax.random.bits(key, (self.begin_words,), jnp.uint32))
        return self.observe(state, params), state

    def begin(self, words: jax.Array) -> CoinGameState:
        """The start determined by random words, [begin_words] uint32."""
        sizes = self.num_players, self.num_coins, self.num_cells
        return rules.start(words, self.begin_ranges, *sizes, distinct=self.start_players == "distinct")

    def step(
        self, key: jax.Array, state: CoinGameState, actions: jax.Array, params: CoinGameParams
    ) -> tuple[jax.Array, CoinGameState, jax.Array, jax.Array, jax.Array, dict[str, jax.Array]]:
        """Plays one joint action. Pure; one environment (vmap for many); never resets itself.

        Args:
            key: for noise and for the new cells of taken coins.
            state: the state before.
            actions: [players] int, see `action_names`.
            params: the game's numbers.

        Returns:
            obs: [players, ...] see `observation_space`.
            state: the state after.
            rewards: [players] float.
            terminated: [] bool, always False: the game has no end of its own.
            truncated: [] bool, whether the horizon is reached.
            info: {"pickups": [players, colours] int32}, 1 if a player took a coin of a colour.

        Raises:
            ValueError: for actions of a wrong shape or dtype, and, outside of jit, of a wrong value.
        """
        return self.step_drawn(self.draw(key, params), state, actions, params)

    def draw(self, key: jax.Array, params: CoinGameParams) -> CoinGameDrawn:
        """What a step draws; see `declarations.draw`."""
        words = self.step_words + (0 if params.noise is None else 2 * self.num_players)
        restart = None
        if self.last_step == "restart":
            restart = jax.random.bits(jax.random.fold_in(key, _RESTART), (self.begin_words,), jnp.uint32)
        return CoinGameDrawn(jax.random.bits(key, (words,), jnp.uint32), restart)

    def step_drawn(
        self, drawn: CoinGameDrawn, state: CoinGameState, actions: jax.Array, params: CoinGameParams
    ) -> tuple[jax.Array, CoinGameState, jax.Array, jax.Array, jax.Array, dict[str, jax.Array]]:
        """`step` with what was drawn beforehand."""
        cells, words = self.step_words, drawn.words
        actions = check_actions(actions, self.num_players, self.action_space)
        if params.noise is not None:
            actions = rules.tremble(words[cells:], actions, params.noise, self.action_space.num_values)
        after, pickups = self.transition(words[:cells], state, actions)
        rewards = jnp.stack(rules.rewards(pickups, params.rewards, self.penalty))
        pickups = jnp.stack([jnp.stack(row) for row in pickups]).astype(jnp.int32)
        truncated = after.step >= params.horizon
        if self.last_step != "play":
            rewards = jnp.where(truncated, 0, rewards)
        if drawn.restart is not None:
            fresh = self.begin(drawn.restart)
            after = jax.tree.map(
                lambda x, y: jnp.where(truncated, x, y), dataclasses.replace(fresh, step=after.step), after
            )
            pickups = jnp.where(truncated, 0, pickups)
        return self.observe(after, params), after, rewards, jnp.asarray(False), truncated, {"pickups": pickups}

    def transition(
        self, words: jax.Array, state: CoinGameState, actions: jax.Array
    ) -> tuple[CoinGameState, list[list[jax.Array]]]:
        """The result of executed actions, given the random words: what `step` does without noise and without the last
        step.

        Args:
            words: [step_words] uint32.
            state: the state before.
            actions: [players] int32.

        Returns:
            state: the state after.
            pickups: pickups[player][colour], scalars of bool.
        """
        n = self.num_players
        coins = state.coin_cells
        players = [rules.move(state.player_cells[i], actions[i], self.action_names, self.grid) for i in range(n)]
        reached = rules.reach(players, coins, self.tie)
        pickups = [[self._is_colour(state, c, reached[i]) for c in range(n)] for i in range(n)]
        after = CoinGameState(
            player_cells=tuple(players),
            coin_cells=tuple(rules.coins_after(words, players, coins, reached, self.respawn, self.num_cells)),
            colour=rules.colour_after(state.colour, reached) if self.coins == "alternating" else state.colour,
            step=state.step + 1,
        )
        return after, pickups

    def observe(self, state: CoinGameState, params: CoinGameParams) -> jax.Array:
        """What each player sees in a state, [players, ...], see `observation_space`."""
        del params
        coins = rules.by_colour(state, self.num_players, self.coins)
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
        """Pickups, misses and their history after one more step."""
        del actions, rewards
        at = rules.by_colour(state, self.num_players, self.coins)
        near = [[rules.adjacent(cell, coin, self.grid) for coin in at] for cell in state.player_cells]
        if self.last_step == "restart":
            # What was near in a step that ignores actions could not be taken, so nobody missed it.
            near = [[flag & ~ended for flag in row] for row in near]
        return coin_counts.count(counts, near, info["pickups"], ended)

    @property
    def measures(self) -> dict[str, Measure]:
        """Own fraction, pickups, and cooperation by history."""
        return coin_measures.measures(self.num_players)

    def metrics(self, counts: coin_counts.CoinCounts) -> dict[str, jax.Array]:
        """The values of `measures`."""
        return coin_measures.metrics(counts)

    @property
    def showcase(self) -> str:
        return "own_fraction"

    def image(self, state: CoinGameState, params: CoinGameParams) -> np.ndarray:
        """See `envs.coin_game.drawing`."""
        del params
        return drawing.image(state, self.grid, self._colours(state))

    def text(self, state: CoinGameState, params: CoinGameParams) -> str:
        """See `envs.coin_game.drawing`."""
        del params
        return drawing.text(state, self.grid, self._colours(state))

    @property
    def number_names(self) -> tuple[str, ...]:
        return (*REWARDS, "noise")

    def with_numbers(self, params: CoinGameParams, numbers: Mapping[str, Any]) -> CoinGameParams:
        """See `envs.declarations.with_numbers`; own, other and taken are columns of the rewards."""
        return with_numbers(params, numbers, self.default_params)

    @property
    def begin_words(self) -> int:
        """How many random words `begin` takes."""
        return num_words(self.begin_ranges) + (self.num_coins if self.start_coins == "free" else 0)

    @property
    def step_words(self) -> int:
        """How many random words `transition` takes."""
        return num_words([self.num_cells] * self.num_coins) if self.respawn == "any" else self.num_coins

    @property
    def begin_ranges(self) -> list[int]:
        """The number of values of each integer that `begin` draws together: the colour, the places of players and, if
        coins may be anywhere, the places of coins."""
        n, cells, distinct = self.num_players, self.num_cells, self.start_players == "distinct"
        ranges = [n if self.coins == "alternating" else 1, *(cells - i * distinct for i in range(n))]
        return ranges + [cells] * (self.num_coins if self.start_coins == "any" else 0)

    def _is_colour(self, state: CoinGameState, colour: int, reached: list[jax.Array]) -> jax.Array:
        return reached[0] & (state.colour == colour) if self.coins == "alternating" else reached[colour]

    def _colours(self, state: CoinGameState) -> list[int]:
        """The colours of the coins of one state, on the host."""
        return [int(state.colour)] if self.coins == "alternating" else list(range(self.num_coins))


def _grid(value: Any) -> tuple[int, int]:
    sides = tuple(value) if isinstance(value, list | tuple) else (value, value)
    if len(sides) != 2:
        raise ValueError(f"grid is {value!r}; allowed: a number of rows and columns, or (rows, columns)")
    return check_integer("grid", sides[0], 1, 1000), check_integer("grid", sides[1], 1, 1000)
