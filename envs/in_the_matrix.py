"""Matrix games that are played by gathering strategies in a grid world: STORM, "... in the matrix"."""

from dataclasses import dataclass, field
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from envs.drawing import Sprite, empty_floor, grid_image, player_colour
from envs.environment import check_actions, check_choice, check_integer, check_number
from envs.in_the_matrix_view import (
    beam_cells,
    cell_bits,
    heading,
    relative,
    wall_bits,
    window_cell,
    window_planes,
)
from envs.matrix_game import finite_numbers
from envs.spaces import Box, Discrete

ACTIONS = ("turn_left", "turn_right", "forward", "interact", "stay")
MAX_PLAYERS = 8
DIALECTS: dict[str, dict[str, Any]] = {
    "corners": {
        "layout": "corners",
        "spawn": "mirrored",
        "spawn_directions": 4,
        "return_of": "world",
        "mutual": False,
        "pay_last_step": True,
        "regrowth": None,
    },
    "storm_2p": {
        "layout": "corners",
        "spawn": "mirrored",
        "spawn_directions": 3,
        "return_of": "world",
        "mutual": False,
        "pay_last_step": False,
        "regrowth": None,
    },
    "storm_n": {
        "layout": "corners",
        "spawn": "free",
        "spawn_directions": 4,
        "return_of": "players",
        "mutual": True,
        "pay_last_step": True,
        "regrowth": 1 / 6,
    },
}
"""Settings by the name of a dialect; see `InTheMatrix`."""
_COIN_COLOURS = ((0, 158, 115), (214, 39, 40), (230, 159, 0), (86, 180, 233), (204, 121, 167), (90, 90, 90))
_LIT = (250, 236, 150)
_ARROWS = ("right", "down", "left", "up")


@flax.struct.dataclass
class InTheMatrixParams:
    """The numbers of a game. Every leaf may carry leading axes that a vmap maps over.

    Attributes:
        payoffs: [2, kinds, kinds] float, payoffs[role][strategy of role 0][strategy of role 1]; of a pair the player
            with the lower seat has role 0.
        freeze: [] int32, steps that a pair stands still after an interaction.
        regrowth: [] float in [0, 1], the probability of a step that a coin comes back to its empty site.
        horizon: [] int32, steps of an episode.
    """

    payoffs: jax.Array
    freeze: jax.Array
    regrowth: jax.Array
    horizon: jax.Array


@flax.struct.dataclass
class InTheMatrixState:
    """Where everything is.

    Attributes:
        rows, columns: [players] int32, from 0 at the upper left.
        directions: [players] int32, 0 right, 1 down, 2 left, 3 up.
        inventories: [players, kinds] int32, coins held.
        frozen: [players] int32, steps still to stand still, 0 for those who may act.
        fired: [players] bool, whose beam shows.
        sites: [kinds * num_coins] int32, the cells of the coins, row * grid_size + column; num_coins of kind 0 first.
        present: [kinds * num_coins] bool, which of them are there.
        step: [] int32, steps taken since the reset.
    """

    rows: jax.Array
    columns: jax.Array
    directions: jax.Array
    inventories: jax.Array
    frozen: jax.Array
    fired: jax.Array
    sites: jax.Array
    present: jax.Array
    step: jax.Array


@dataclass(frozen=True)
class InTheMatrix:
    """A matrix game in a grid world: players gather coins of two or more kinds, and play the mixture that they hold.

    Rules of a step, in this order:

    1. A frozen player stays, whatever it chose. 0 turns to the left, 1 to the right (direction + 1 and - 1 modulo 4;
       on the picture that is clockwise and against the clock), 2 goes one cell forward, 3 interacts, 4 stays. The map's
       edge stops a player. Of several who enter one cell one, drawn uniformly, does and the others stay; nobody enters
       the cell of somebody who stays. Two players may change places.
    2. Who stands on a coin takes it into its inventory.
    3. An interacting player's beam covers the cell ahead, the one beyond, and the two beside the cell ahead. A pair
       plays if the beam of one (with `mutual` of each) covers the other, both hold a coin and neither is frozen. Of
       the pairs that could, random ones are taken in turn, a player is in one at most.
    4. A pair (i, j), i < j, with the inventories u and v over their sums x = u / |u| and y = v / |v|, is paid
       x P[0] y and x P[1] y, and stands still for `freeze` steps.
    5. After them all (`return_of="world"`: all players get new places and lose their coins, all coins are back) or the
       two (`"players"`) return: to new places, with empty inventories. A new place takes a coin there away.
    6. Empty sites without a player grow their coin back with probability `regrowth`.

    An observation looks `view_size` cells ahead (the own cell included) and half as far to both sides, turned so that
    the player looks along the second axis: [aside, ahead]. Planes: oneself, each other player by ascending distance of
    seat modulo n, each kind of coin, what is outside of the map, a beam on an otherwise empty cell, and the direction
    of the players seen minus one's own, one of four. Numbers: own inventory, whether oneself holds a coin, whether each
    other does, and the inventories of the others while they are frozen. `observation="planes"` repeats each number
    over a plane of its own, [view_size, view_size, planes + numbers]; "flat" is a vector, the planes flattened and then
    the numbers. Type uint8, counts above 255 show as 255.

    Map ("corners", Pax and JaxMARL): coins on the twelve cells about the inner corners, (1, 1), (1, 2), (2, 1) and
    their mirror images, players on 18 cells at the rim. The kinds alternate along the list of the twelve;
    `shuffle_coins` deals them anew at every reset. "random" draws the coins' sites anew at every reset from all cells.
    Places: "mirrored" puts player 1 at the point reflection of player 0 (two players, corners); "free" draws each
    from the cells of the layout that no other player is on.

    Dialects:
        "corners": the game of Khan et al. (2024), Scaling Opponent Shaping to High Dimensional Games, AAMAS
            (arXiv:2312.12568; IPD in the Matrix): 8 x 8 cells, view 5 x 5, 6 coins of each kind, 152 steps, freeze 5.
        "storm_2p": the same as programmed in Pax (ucl-dark/pax, pax/envs/in_the_matrix.py) and in JaxMARL 0.2.0
            (storm_2p): players start in directions 0 to 2 only, and the last step of an episode pays nothing. What
            is not reproduced: there, one key serves the collision, place and direction, which are so correlated; a
            coin dealt onto a player's cell at the *start* of an episode hides the player in the first picture and is
            taken if it does not leave at once (here it goes away, as there at every later return); freeze=0 returns
            all players at every step after the first interaction, freeze=1 does so twice (here once, after `freeze`
            steps).
        "storm_n": two to eight players after JaxMARL's storm_env: both must fire, only the pair returns, coins grow
            back. There, a site's timer of 3 to 9 steps runs all the time, only as many pairs as players are looked at,
            and later pairs overwrite the rewards of earlier ones; here regrowth 1/6 and every pair counts.

    JaxMARL's newest `storm` (eight actions, one for each cell of the beam, chained interactions) is not covered;
    its free sizes are: grid_size, view_size, num_coins, layout="random".

    Attributes:
        dialect: whose settings hold where the ones below are None.
        num_players: 2 to 8.
        grid_size: rows and columns, 3 to 32; from 6 on with corners.
        view_size: an odd number, 3 to 15.
        payoffs: [2][kinds][kinds], 2 to 6 kinds; two numbers deep, [kinds][kinds], for a symmetric game, payoffs of
            role 0.
        num_coins: of each kind; None for 12 / kinds with corners (the only number then), else 6.
        freeze: steps, 0 or more.
        horizon: steps of an episode, after which it is truncated.
        layout: "corners" or "random".
        spawn: "mirrored" or "free".
        spawn_directions: directions a player may start in, 1 to 4: 0 .. spawn_directions - 1.
        return_of: "world" or "players".
        mutual: whether both of a pair must fire.
        pay_last_step: whether the last step of an episode pays.
        regrowth: a probability; None for never, also whatever the params say (compiles less).
        shuffle_coins: see above.
        observation: "planes" or "flat".

    Raises:
        ValueError: a field is out of its range. One line: the field, its value and what is allowed.
    """

    dialect: str = "corners"
    num_players: int = 2
    grid_size: int = 8
    view_size: int = 5
    payoffs: Any = ((3, 0), (5, 1))
    num_coins: Any = None
    freeze: int = 5
    horizon: int = 152
    layout: Any = None
    spawn: str | None = None
    spawn_directions: Any = None
    return_of: str | None = None
    mutual: bool | None = None
    pay_last_step: bool | None = None
    regrowth: float | None = None
    shuffle_coins: bool = False
    observation: str = "planes"
    _kinds: int = field(default=0, init=False, repr=False)

    def __post_init__(self):
        def settle(name: str, value: Any) -> None:
            # The fields are frozen for users; settling them here is what makes equal games equal and hashable.
            object.__setattr__(self, name, value)

        check_choice("dialect", self.dialect, tuple(DIALECTS))
        settle("num_players", check_integer("num_players", self.num_players, 2, MAX_PLAYERS))
        for name, value in DIALECTS[self.dialect].items():
            if getattr(self, name) is None:
                settle(name, "free" if name == "spawn" and self._must_be_free else value)
        check_choice("layout", self.layout, ("corners", "random"))
        check_choice("spawn", self.spawn, ("mirrored", "free"))
        check_choice("return_of", self.return_of, ("world", "players"))
        check_choice("observation", self.observation, ("planes", "flat"))
        for name in ("mutual", "pay_last_step", "shuffle_coins"):
            check_choice(name, getattr(self, name), (True, False))
        settle("spawn_directions", check_integer("spawn_directions", self.spawn_directions, 1, 4))
        settle("freeze", check_integer("freeze", self.freeze, 0))
        settle("horizon", check_integer("horizon", self.horizon, 1))
        settle("regrowth", None if self.regrowth is None else check_number("regrowth", self.regrowth, 0.0, 1.0))
        settle("grid_size", check_integer("grid_size", self.grid_size, 6 if self.layout == "corners" else 3, 32))
        check_integer("view_size", self.view_size, 3, 15)
        if self.view_size % 2 == 0:
            raise ValueError(f"view_size is {self.view_size}; allowed: an odd number from 3 to 15")
        if self.spawn == "mirrored" and self._must_be_free:
            raise ValueError("spawn is 'mirrored'; allowed: free, or mirrored with two players, corners and world")
        payoffs = _payoffs(self.payoffs)
        settle("payoffs", tuple(tuple(tuple(row) for row in role) for role in payoffs.tolist()))
        settle("_kinds", payoffs.shape[-1])
        self._settle_coins(settle)

    def _settle_coins(self, settle: Any) -> None:
        if self.layout == "corners":
            if 12 % self._kinds:
                raise ValueError(
                    f"layout is 'corners' with {self._kinds} kinds of coins; allowed: 2, 3, 4 or 6, or layout='random'"
                )
            number = 12 // self._kinds
            given = number if self.num_coins is None else check_integer("num_coins", self.num_coins, number, number)
        else:
            room = (self.grid_size**2 - self.num_players) // self._kinds
            given = min(6, room) if self.num_coins is None else check_integer("num_coins", self.num_coins, 1, room)
        settle("num_coins", given)

    @property
    def _must_be_free(self) -> bool:
        return self.num_players > 2 or self.layout == "random" or self.return_of == "players"

    @property
    def name(self) -> str:
        return "in_the_matrix"

    @property
    def num_kinds(self) -> int:
        """Kinds of coins, the strategies of the matrix game."""
        return self._kinds

    @property
    def default_params(self) -> InTheMatrixParams:
        """The description's own numbers, in jax's default float type."""
        return InTheMatrixParams(
            payoffs=jnp.asarray(self.payoffs, dtype=float),
            freeze=jnp.int32(self.freeze),
            regrowth=jnp.asarray(self.regrowth or 0.0, dtype=float),
            horizon=jnp.int32(self.horizon),
        )

    @property
    def num_planes(self) -> int:
        """Planes of a window: the players, the kinds, wall and beam, four directions."""
        return self.num_players + self._kinds + 6

    @property
    def num_numbers(self) -> int:
        """Numbers of an observation besides the window."""
        return self._kinds + self.num_players + (self.num_players - 1) * self._kinds

    @property
    def observation_space(self) -> Box:
        cells, size = self.view_size**2, self.view_size
        flat = (cells * self.num_planes + self.num_numbers,)
        shape = (size, size, self.num_planes + self.num_numbers) if self.observation == "planes" else flat
        return Box(shape, 0, 255, "uint8")

    @property
    def action_space(self) -> Discrete:
        return Discrete(len(ACTIONS))

    def reset(self, key: jax.Array, params: InTheMatrixParams) -> tuple[jax.Array, InTheMatrixState]:
        """The start of an episode: new places, all coins there, nobody holds one. `params` is not needed."""
        n, kinds = self.num_players, self._kinds
        nobody = jnp.zeros((n,), bool)
        zeros = jnp.zeros((n,), jnp.int32)
        cells, directions = self._places(self._words(key), zeros - 1, ~nobody)
        sites = self._sites(key)
        state = InTheMatrixState(
            rows=cells // self.grid_size,
            columns=cells % self.grid_size,
            directions=directions,
            inventories=jnp.zeros((n, kinds), jnp.int32),
            frozen=zeros,
            fired=nobody,
            sites=sites,
            present=~jnp.any(sites[:, None] == cells[None, :], 1),
            step=jnp.zeros((), jnp.int32),
        )
        return self.observe(state, params), state

    def step(
        self, key: jax.Array, state: InTheMatrixState, actions: jax.Array, params: InTheMatrixParams
    ) -> tuple[jax.Array, InTheMatrixState, jax.Array, jax.Array, jax.Array, dict[str, jax.Array]]:
        """Plays one joint action, as `Environment.step`; the class states the rules.

        Args:
            actions: [players] int32, indices of ACTIONS.

        Returns:
            obs [players, *observation_space.shape] uint8, state, rewards [players], terminated always False, truncated
            at the horizon, and info: collected [players, kinds] int32, coins taken in this step; interacted [players]
            bool; strategies [players, kinds] float32, the mixture that one who interacted played, else 0.
        """
        n, kinds, size = self.num_players, self._kinds, self.grid_size
        actions = check_actions(actions, n, self.action_space)
        was_frozen = state.frozen > 0
        actions = jnp.where(was_frozen, 4, actions)
        words = self._words(key)

        directions = (state.directions + jnp.where(actions == 0, 1, 0) - jnp.where(actions == 1, 1, 0)) & 3
        rows, columns = self._move(words, state, actions == 2)
        cells = rows * size + columns

        on_site = state.sites[:, None] == cells[None, :]
        taken = on_site & state.present[:, None]
        collected = jnp.sum(taken.reshape(kinds, self.num_coins, n), 1, dtype=jnp.int32).T
        inventories = state.inventories + collected

        fired = actions == 3
        held = jnp.sum(inventories, 1, dtype=jnp.int32)
        pairs = self._pairs(key, (rows, columns, directions), fired, (held > 0) & ~was_frozen)
        interacted = jnp.any(pairs, 1)
        strategies = inventories.astype(params.payoffs.dtype) / jnp.maximum(held, 1)[:, None].astype(
            params.payoffs.dtype
        )
        rewards = _rewards(pairs, strategies, params.payoffs)

        frozen = jnp.where(interacted, params.freeze, jnp.maximum(state.frozen - 1, 0))
        back = (frozen == 0) & (was_frozen | interacted)
        world = jnp.any(back) if self.return_of == "world" else jnp.asarray(False)
        back = back | world
        cells, new_directions = self._places(words, cells, back)
        present = (state.present & ~jnp.any(taken, 1)) | world
        occupied = jnp.any(state.sites[:, None] == cells[None, :], 1)
        grown = self._grown(key, params)
        after = InTheMatrixState(
            rows=cells // size,
            columns=cells % size,
            directions=jnp.where(back, new_directions, directions),
            inventories=jnp.where(back[:, None], 0, inventories),
            frozen=jnp.where(back, 0, frozen),
            fired=fired & ~back,
            sites=state.sites,
            present=(present | grown) & ~occupied,
            step=state.step + 1,
        )
        truncated = after.step >= params.horizon
        if not self.pay_last_step:
            rewards = jnp.where(truncated, jnp.zeros_like(rewards), rewards)
        info = {
            "collected": collected,
            "interacted": interacted,
            "strategies": jnp.where(interacted[:, None], strategies, 0).astype(jnp.float32),
        }
        return self.observe(after, params), after, rewards, jnp.asarray(False), truncated, info

    def _move(self, words: jax.Array, state: InTheMatrixState, forward: jax.Array) -> tuple[jax.Array, jax.Array]:
        n, last = self.num_players, self.grid_size - 1
        down, right = heading(state.directions)
        rows = jnp.clip(state.rows + jnp.where(forward, down, 0), 0, last)
        columns = jnp.clip(state.columns + jnp.where(forward, right, 0), 0, last)
        moves = (rows != state.rows) | (columns != state.columns)
        other = ~np.eye(n, dtype=bool)
        meet = (rows[:, None] == rows[None, :]) & (columns[:, None] == columns[None, :]) & other
        if n == 2:
            coin = (words[0] & 1) == 1
            first = jnp.stack([coin, ~coin])
            moves = moves & ~(jnp.any(meet & moves[None, :], 1) & ~first)
        else:
            # Directions take the lower halves of these words; the seat breaks ties, of probability 2^-16.
            rank = ((words[1 : 1 + n] >> 16) << 3).astype(jnp.int32) | np.arange(n, dtype=np.int32)
            moves = moves & ~jnp.any(meet & moves[None, :] & (rank[None, :] > rank[:, None]), 1)
        # Who had to stay blocks its own cell, which may make another stay: n - 1 rounds reach everybody.
        for _ in range(n - 1):
            now_rows, now_columns = jnp.where(moves, rows, state.rows), jnp.where(moves, columns, state.columns)
            entered = (rows[:, None] == now_rows[None, :]) & (columns[:, None] == now_columns[None, :]) & other
            moves = moves & ~jnp.any(entered & ~moves[None, :], 1)
        return jnp.where(moves, rows, state.rows), jnp.where(moves, columns, state.columns)

    def _pairs(self, key: jax.Array, own: tuple[jax.Array, ...], fired: jax.Array, able: jax.Array) -> jax.Array:
        """Who plays with whom, [players, players] bool, symmetric."""
        n = self.num_players
        rows, columns, directions = own
        ahead, aside = relative(rows[None, :], columns[None, :], (rows[:, None], columns[:, None], directions[:, None]))
        hit = ((ahead == 1) & (jnp.abs(aside) <= 1)) | ((ahead == 2) & (aside == 0))
        hit = hit & fired[:, None]
        possible = (hit & hit.T if self.mutual else hit | hit.T) & able[:, None] & able[None, :]
        if n == 2:
            return possible
        numbers = np.triu(np.arange(n * n, dtype=np.uint32).reshape(n, n), 1)
        drawn = jax.random.bits(jax.random.fold_in(key, 2), (n, n)) & np.uint32(0x7FFFFFC0)
        upper = jnp.where(np.triu(np.ones((n, n), bool), 1), drawn | numbers, 0).astype(jnp.int32)
        order = upper + upper.T
        chosen = jnp.zeros((n, n), bool)
        for _ in range(n // 2):
            now = possible & (order == jnp.max(jnp.where(possible, order, -1)))
            chosen = chosen | now
            busy = jnp.any(chosen, 1)
            possible = possible & ~busy[:, None] & ~busy[None, :]
        return chosen

    def _places(self, words: jax.Array, cells: jax.Array, back: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Cells and directions [players] of those who are `back`, and where all others are; uniform to 1e-4."""
        spawns = _spawns(self.layout, self.grid_size)
        if self.spawn == "mirrored":
            first = jnp.asarray(spawns)[_below(words[0] & np.uint32(0xFFFFFFFE), len(spawns))]
            drawn = jnp.stack([words[1] & np.uint32(0xFFFF), words[1] >> 16])
            places = jnp.stack([first, self.grid_size**2 - 1 - first])
            return jnp.where(back, places, cells), self._directions(drawn)
        n = self.num_players
        cells = jnp.where(back, -1, cells)
        for player in range(n):
            free = ~jnp.any(spawns[:, None] == cells[None, :], 1)
            upto = jnp.cumsum(free, dtype=jnp.int32)
            pick = _below(words[1 + n + player], upto[-1].astype(jnp.uint32))
            place = jnp.sum(jnp.where(free & (upto == pick + 1), spawns, 0), dtype=jnp.int32)
            cells = jnp.where((np.arange(n) == player) & back, place, cells)
        return cells, self._directions(words[1 : 1 + n] & np.uint32(0xFFFF))

    def _directions(self, drawn: jax.Array) -> jax.Array:
        return ((drawn * np.uint32(self.spawn_directions)) >> 16).astype(jnp.int32)

    def _words(self, key: jax.Array) -> jax.Array:
        """What collisions, places and directions are drawn from: 2 words for mirrored places, else 1 + 2 players."""
        count = 2 if self.spawn == "mirrored" else 1 + 2 * self.num_players
        return jax.random.bits(key, (count,), jnp.uint32)

    def _sites(self, key: jax.Array) -> jax.Array:
        total = self._kinds * self.num_coins
        if self.layout == "random":
            shuffled = jax.random.permutation(jax.random.fold_in(key, 3), self.grid_size**2)
            return shuffled[:total].astype(jnp.int32)
        sites = _coin_sites(self.grid_size)
        if self.shuffle_coins:
            return jax.random.permutation(jax.random.fold_in(key, 3), jnp.asarray(sites))
        return jnp.asarray(_fixed_sites(self.grid_size, self._kinds))

    def _grown(self, key: jax.Array, params: InTheMatrixParams) -> jax.Array:
        total = self._kinds * self.num_coins
        if self.regrowth is None:
            return jnp.zeros((total,), bool)
        drawn = jax.random.uniform(jax.random.fold_in(key, 4), (total,), params.regrowth.dtype)
        return drawn < params.regrowth

    def observe(self, state: InTheMatrixState, params: InTheMatrixParams) -> jax.Array:
        """What the players see, [players, ...], see `observation_space`."""
        del params
        n, size = self.num_players, self.view_size
        cyclic = (np.arange(n)[:, None] + np.arange(n)[None, :]) % n  # seats as each player counts them
        if n == 2:  # scalars, which a vmap over games turns into plain vectors
            seen = [self._window([tuple(x[seat] for x in _bodies(state)) for seat in row], state) for row in cyclic]
            channels = jnp.stack([jnp.stack([jnp.stack([*word]) for word in window]) for window in seen])
        else:

            def window(bodies: tuple[jax.Array, ...]) -> jax.Array:
                everybody = [tuple(x[number] for x in bodies) for number in range(n)]
                return jnp.stack([jnp.stack([*word]) for word in self._window(everybody, state)])

            channels = jax.vmap(window)(tuple(x[cyclic] for x in _bodies(state)))
        held = jnp.minimum(state.inventories, 255)
        holds = (jnp.sum(held, 1, keepdims=True, dtype=jnp.int32) > 0).astype(jnp.int32)
        shown = jnp.where((state.frozen > 0)[:, None], held, 0)
        others = cyclic.T[1:]
        numbers = [held, holds, *(holds[seats] for seats in others), *(shown[seats] for seats in others)]
        if self.observation == "flat":
            planes = window_planes(channels, jnp.zeros((n, 0), jnp.int32), size).reshape(n, -1)
            return jnp.concatenate([planes, *(part.astype(jnp.uint8) for part in numbers)], 1)
        return window_planes(channels, jnp.concatenate(numbers, 1), size).reshape(n, size, size, -1)

    def _window(self, bodies: list[tuple[jax.Array, ...]], state: InTheMatrixState) -> list[tuple[jax.Array, ...]]:
        """The channels of one player's window, each as words of bits [].

        Args:
            bodies: row, column, direction and whether its beam shows, each [], of oneself and then the others.
            state: where the coins are.
        """
        size, grid = self.view_size, self.grid_size
        own = bodies[0][:3]

        def bits(row: Any, column: Any, where: Any) -> tuple[jax.Array, ...]:
            return cell_bits(window_cell(*relative(row, column, own), size, where), size)

        def join(left: tuple[jax.Array, ...], right: tuple[jax.Array, ...]) -> tuple[jax.Array, ...]:
            return tuple(a | b for a, b in zip(left, right, strict=True))

        nothing = tuple(jnp.zeros((), jnp.int32) for _ in range(0, size * size, 32))
        players = [bits(row, column, True) for row, column, _, _ in bodies]
        turned = [nothing] * 4
        for seen, (_, _, direction, _) in zip(players[1:], bodies[1:], strict=True):
            angle = (direction - own[2]) & 3
            turned = [join(turned[k], tuple(jnp.where(angle == k, w, 0) for w in seen)) for k in range(4)]
        rows, columns = self._site_places(state)
        coins = [nothing] * self._kinds
        for site in range(self._kinds * self.num_coins):
            kind = site // self.num_coins
            coins[kind] = join(coins[kind], bits(rows[site], columns[site], state.present[site]))
        wall = wall_bits(own, grid, size)
        beam = nothing
        for row, column, direction, fired in bodies:
            for beam_row, beam_column in beam_cells(row, column, direction):
                beam = join(beam, bits(beam_row, beam_column, fired))
        for covering in (*players, *coins, wall):
            beam = tuple(a & ~b for a, b in zip(beam, covering, strict=True))
        return jax.lax.optimization_barrier([*players, *coins, wall, beam, *turned])

    def _site_places(self, state: InTheMatrixState) -> tuple[Any, Any]:
        """Rows and columns of the coins' sites; constants where every episode has the same."""
        fixed = self.layout == "corners" and not self.shuffle_coins
        return (
            divmod(_fixed_sites(self.grid_size, self._kinds), self.grid_size)
            if fixed
            else (
                state.sites // self.grid_size,
                state.sites % self.grid_size,
            )
        )

    def start_counts(self) -> dict[str, jax.Array]:
        """Zero of everything `count` counts: `steps` [], `interactions` [players], `collected` [players, kinds], and
        `strategies` [players, kinds], the sum of the mixtures played, whose shares are those of the interactions."""
        n, kinds = self.num_players, self._kinds
        return {
            "steps": jnp.zeros((), jnp.int32),
            "interactions": jnp.zeros((n,), jnp.int32),
            "collected": jnp.zeros((n, kinds), jnp.int32),
            "strategies": jnp.zeros((n, kinds), jnp.float32),
        }

    def count(
        self,
        counts: dict[str, jax.Array],
        state: InTheMatrixState,
        actions: jax.Array,
        rewards: jax.Array,
        ended: jax.Array,
        info: dict[str, jax.Array],
    ) -> dict[str, jax.Array]:
        """Counts one more step."""
        del state, actions, rewards, ended
        return {
            "steps": counts["steps"] + 1,
            "interactions": counts["interactions"] + info["interacted"].astype(jnp.int32),
            "collected": counts["collected"] + info["collected"],
            "strategies": counts["strategies"] + info["strategies"],
        }

    def image(self, state: InTheMatrixState, params: InTheMatrixParams) -> np.ndarray:
        """The map: players as triangles in their direction (in a ring while frozen), coins as discs by kind, beams lit;
        below it for each player a line with its colour and the numbers of coins it holds as bars, one for each kind."""
        del params
        size, n = self.grid_size, self.num_players
        floor = empty_floor(size, size)
        rows, columns = np.asarray(state.rows), np.asarray(state.columns)
        fired = np.asarray(state.fired)
        for beam_rows, beam_columns in beam_cells(*(jnp.asarray(x) for x in (rows, columns, state.directions))):
            for row, column in zip(np.asarray(beam_rows)[fired], np.asarray(beam_columns)[fired], strict=True):
                if 0 <= row < size and 0 <= column < size:
                    floor[row, column] = _LIT
        sprites = []
        for number, (site, there) in enumerate(zip(np.asarray(state.sites), np.asarray(state.present), strict=True)):
            if there:
                colour = _COIN_COLOURS[number // self.num_coins]
                sprites.append(Sprite(int(site) // size, int(site) % size, colour, "disc", 0.45))
        for seat in range(n):
            place = int(rows[seat]), int(columns[seat]), player_colour(seat)
            if state.frozen[seat] > 0:
                sprites.append(Sprite(*place, "ring", 0.98))
            sprites.append(Sprite(*place, _ARROWS[int(state.directions[seat])], 0.6))
        picture = grid_image(floor, sprites)
        return np.concatenate([picture, *(self._inventory_line(state, seat, picture.shape[1]) for seat in range(n))])

    def _inventory_line(self, state: InTheMatrixState, seat: int, width: int) -> np.ndarray:
        height = 4 * self._kinds + 4
        line = np.full((height, width, 3), 255, np.uint8)
        line[2:-2, 2:10] = player_colour(seat)
        unit = max(1, (width - 14) // (2 * self.num_coins))
        for kind in range(self._kinds):
            for coin in range(min(int(state.inventories[seat, kind]), (width - 14) // unit)):
                left = 14 + coin * unit
                line[2 + 4 * kind : 5 + 4 * kind, left : left + max(1, unit - 2)] = _COIN_COLOURS[kind]
        return line

    def text(self, state: InTheMatrixState, params: InTheMatrixParams) -> str:
        """The map, ">v<^" for directions with the seats below, coins as a, b, ..., and the inventories."""
        del params
        size = self.grid_size
        grid = [["."] * size for _ in range(size)]
        for number, (site, there) in enumerate(zip(np.asarray(state.sites), np.asarray(state.present), strict=True)):
            if there:
                grid[int(site) // size][int(site) % size] = "abcdef"[number // self.num_coins]
        lines = []
        for seat in range(self.num_players):
            row, column, direction = (int(x[seat]) for x in (state.rows, state.columns, state.directions))
            grid[row][column] = str(seat)
            held = np.asarray(state.inventories)[seat].tolist()
            lines.append(f"player {seat} looks {_ARROWS[direction]}, holds {held}, frozen {int(state.frozen[seat])}")
        return "\n".join([f"step {int(state.step)}", *("".join(row) for row in grid), *lines])


def _rewards(pairs: jax.Array, strategies: jax.Array, payoffs: jax.Array) -> jax.Array:
    n, kinds = strategies.shape
    table = jnp.zeros((n, n), payoffs.dtype)
    lower = np.triu(np.ones((n, n), bool), 1)
    for own in range(kinds):
        for other in range(kinds):
            payoff = jnp.where(lower, payoffs[0, own, other], payoffs[1, other, own])
            table = table + strategies[:, None, own] * strategies[None, :, other] * payoff
    return jnp.sum(jnp.where(pairs, table, 0), 1)


def _below(word: jax.Array, count: Any) -> jax.Array:
    """floor(word / 2^32 x count) as int32, for a count below 2^16."""
    low = ((word & np.uint32(0xFFFF)) * jnp.asarray(count, jnp.uint32)) >> 16
    return (((word >> 16) * jnp.asarray(count, jnp.uint32) + low) >> 16).astype(jnp.int32)


def _corners(cells: tuple[tuple[int, int], ...], size: int) -> np.ndarray:
    return np.array([(row % size) * size + column % size for row, column in cells], np.int32)


def _coin_sites(size: int) -> np.ndarray:
    """The twelve sites of "corners"; negative places count from the far edge."""
    sites = ((1, 1), (1, 2), (2, 1), (1, -2), (2, -2), (1, -3))
    sites += ((-2, 2), (-3, 1), (-2, 1), (-2, -2), (-2, -3), (-3, -2))
    return _corners(sites, size)


def _fixed_sites(size: int, kinds: int) -> np.ndarray:
    """Sites by kind: the last kind has the first of the twelve, as in Pax."""
    sites = _coin_sites(size)
    return np.concatenate([sites[kind::kinds] for kind in reversed(range(kinds))])


def _bodies(state: InTheMatrixState) -> tuple[jax.Array, ...]:
    return state.rows, state.columns, state.directions, state.fired


def _spawns(layout: str, size: int) -> np.ndarray:
    """The cells players start on; of "corners" 18 as in Pax, of which (2, 1) and (5, 6) of an 8 x 8 map are sites."""
    if layout == "random":
        return np.arange(size * size, dtype=np.int32)
    rim = ((0, 0), (1, 0), (2, 0), (0, 1), (2, 1), (-1, 0), (-2, 0), (-3, 0), (-1, 1))
    return _corners((*rim, *((-1 - row, -1 - column) for row, column in rim)), size)


def _payoffs(value: Any) -> np.ndarray:
    allowed = "finite numbers of the shape [2, kinds, kinds], or [kinds, kinds] of a symmetric game, 2 to 6 kinds"
    payoffs = finite_numbers("payoffs", value, allowed)
    if payoffs.ndim == 2:
        payoffs = np.stack([payoffs, payoffs.T]) if payoffs.shape[0] == payoffs.shape[1] else payoffs
    shape = payoffs.shape
    if len(shape) != 3 or shape[0] != 2 or shape[1] != shape[2] or not 2 <= shape[1] <= 6:
        raise ValueError(f"payoffs has the shape {list(shape)}; allowed: {allowed}")
    return payoffs
