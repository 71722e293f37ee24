"""Matrix games played by collecting strategies in a grid world: STORM, "... in the matrix"."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from shaping.envs.declarations import Measure
from shaping.envs.environment import check_actions, check_choice, check_integer, check_number
from shaping.envs.in_the_matrix import drawing, measures
from shaping.envs.in_the_matrix.maps import (
    draw_sites,
    draw_words,
    fixed_sites,
    free_places,
    mirrored_places,
    must_be_free,
    start_cells,
    start_directions,
)
from shaping.envs.in_the_matrix.rules import check_payoffs, move, pair_rewards, pairs
from shaping.envs.in_the_matrix.state import InTheMatrixParams, InTheMatrixState
from shaping.envs.in_the_matrix.view import observation
from shaping.envs.spaces import Box, Discrete

ACTIONS = ("turn_left", "turn_right", "forward", "interact", "stay")
MAX_PLAYERS = 8


@dataclass(frozen=True)
class InTheMatrix:
    """A matrix game in a grid world: players collect coins of two or more kinds, and play the mixture that they hold.

    Rules of a step, in this order:

    1. A frozen player stays, whatever it chose. Action 0 turns left, 1 turns right (direction + 1 and - 1 modulo 4; on
       the picture that is clockwise and counterclockwise), 2 moves one cell forward, 3 interacts, 4 stays. The map's
       edge stops a player. Of several players who enter one cell, one, drawn uniformly, does and the others stay;
       nobody enters the cell of a player who stays. Two players may exchange places.
    2. A player that stands on a coin adds it to its inventory.
    3. An interacting player's beam covers the cell ahead, the one beyond, and the two next to the cell ahead. A pair
       plays if the beam of one (with `mutual`, of each) covers the other, both hold a coin and neither is frozen. Pairs
       that could play are taken in random order; a player is in at most one pair.
    4. A pair (i, j), i < j, with the inventories u and v divided by their sums, x = u / |u| and y = v / |v|, is paid
       x P[0] y and x P[1] y, and stands still for `freeze` steps.
    5. After that all (`return_of="world"`: all players get new places and lose their coins, all coins are back) or the
       two (`"players"`) return: to new places, with empty inventories. A coin on a new place disappears.
    6. Empty sites without a player grow their coin back with probability `regrowth`.

    An observation extends `view_size` cells ahead (including the player's own cell) and half as far to both sides,
    rotated so that the player looks along the second axis: [sideways, ahead]. Planes: oneself, each other player by
    ascending distance of seats modulo n, each kind of coin, the outside of the map, a beam on an otherwise empty cell,
    and the direction of the players seen minus one's own, one of four. Numbers: one's own inventory, whether one holds
    a coin, whether each other player does, and the inventories of the others while they are frozen.
    `observation="planes"` repeats each number over a plane of its own, [view_size, view_size, planes + numbers]; "flat"
    is a vector, the flattened planes and then the numbers. The type is uint8; counts above 255 are shown as 255.

    Map: "corners" is that of Pax and JaxMARL, with twelve sites at the inner corners and 18 cells at the rim to start
    on (see `in_the_matrix.maps`). The kinds alternate along the list of the twelve sites; `shuffle_coins` deals them
    again at every reset. "random" draws the coins' sites from all cells at every reset. Places: "mirrored" puts player
    1 at the point reflection of player 0 (two players, corners); "free" draws each from the cells of the layout that no
    other player is on.

    Settings of published programs have names: see `envs.in_the_matrix.dialects`, and `envs.make`, which takes them.

    Attributes:
        num_players: 2 to 8.
        grid_size: rows and columns, 3 to 32; from 6 on with corners.
        view_size: an odd number, 3 to 15.
        payoffs: [2][kinds][kinds], 2 to 6 kinds; or only [kinds][kinds], the payoffs of role 0, for a symmetric game.
        num_coins: coins of each kind; None for 12 / kinds with corners (where no other number is possible), otherwise
            6.
        freeze: steps, 0 or more.
        horizon: steps of an episode, after which it is truncated.
        layout: "corners" or "random".
        spawn: "mirrored" or "free".
        spawn_directions: the number of directions in which a player may start, 1 to 4: 0 .. spawn_directions - 1.
        return_of: "world" or "players".
        mutual: whether both players of a pair must fire.
        pay_last_step: whether the last step of an episode pays.
        regrowth: a probability; None for never, which makes the program smaller.
        shuffle_coins: see above.
        observation: "planes" or "flat".

    Raises:
        ValueError: for a field out of its range. One line: the field, its value and what is allowed.
    """

    num_players: int = 2
    grid_size: int = 8
    view_size: int = 5
    payoffs: Any = ((3, 0), (5, 1))
    num_coins: Any = None
    freeze: int = 5
    horizon: int = 152
    layout: str = "corners"
    spawn: str = "mirrored"
    spawn_directions: int = 4
    return_of: str = "world"
    mutual: bool = False
    pay_last_step: bool = True
    regrowth: float | None = None
    shuffle_coins: bool = False
    observation: str = "planes"

    def __post_init__(self):
        def settle(name: str, value: Any) -> None:
            # The dataclass is frozen; setting fields here makes equal games equal and hashable.
            object.__setattr__(self, name, value)

        settle("num_players", check_integer("num_players", self.num_players, 2, MAX_PLAYERS))
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
        if self.spawn == "mirrored" and must_be_free(self.num_players, self.layout, self.return_of):
            raise ValueError("spawn is 'mirrored'; allowed: free, or mirrored with two players, corners and world")
        payoffs = check_payoffs(self.payoffs)
        settle("payoffs", tuple(tuple(tuple(row) for row in role) for role in payoffs.tolist()))
        kinds = self.num_kinds
        if self.layout == "corners":
            if 12 % kinds:
                raise ValueError(
                    f"layout is 'corners' with {kinds} kinds of coins; allowed: 2, 3, 4 or 6, or layout='random'"
                )
            fewest = most = usual = 12 // kinds
        else:
            fewest, most = 1, (self.grid_size**2 - self.num_players) // kinds
            usual = min(6, most)
        given = usual if self.num_coins is None else check_integer("num_coins", self.num_coins, fewest, most)
        settle("num_coins", given)

    @property
    def name(self) -> str:
        return "in_the_matrix"

    @property
    def num_kinds(self) -> int:
        """Kinds of coins, the strategies of the matrix game."""
        return len(self.payoffs[0])

    @property
    def default_params(self) -> InTheMatrixParams:
        """The default numbers, in jax's default float type."""
        return InTheMatrixParams(
            payoffs=jnp.asarray(self.payoffs, dtype=float),
            freeze=jnp.int32(self.freeze),
            regrowth=None if self.regrowth is None else jnp.asarray(self.regrowth, dtype=float),
            horizon=jnp.int32(self.horizon),
        )

    @property
    def num_planes(self) -> int:
        """Planes of a window: the players, the kinds, wall and beam, four directions."""
        return self.num_players + self.num_kinds + 6

    @property
    def num_numbers(self) -> int:
        """Numbers of an observation in addition to the window."""
        return self.num_kinds + self.num_players + (self.num_players - 1) * self.num_kinds

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
        """The start of an episode: new places, all coins present, nobody holds one. `params` is not used."""
        n, kinds = self.num_players, self.num_kinds
        nobody = jnp.zeros((n,), bool)
        zeros = jnp.zeros((n,), jnp.int32)
        cells, directions = self._places(draw_words(key, n, self.spawn == "mirrored"), zeros - 1, ~nobody)
        sites = draw_sites(key, self.layout, self.grid_size, kinds, self.num_coins, self.shuffle_coins)
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
        """Plays one joint action, as `Environment.step`; the class describes the rules.

        Args:
            actions: [players] int32, indices of ACTIONS.

        Returns:
            obs [players, *observation_space.shape] uint8; state; rewards [players]; terminated, always False;
            truncated, at the horizon; and info: collected [players, kinds] int32, coins taken in this step; interacted
            [players] bool; strategies [players, kinds] float32, the mixture that a player who interacted played, 0 for
            the others.
        """
        n, kinds, size = self.num_players, self.num_kinds, self.grid_size
        actions = check_actions(actions, n, self.action_space)
        was_frozen = state.frozen > 0
        actions = jnp.where(was_frozen, 4, actions)
        words = draw_words(key, n, self.spawn == "mirrored")

        directions = (state.directions + jnp.where(actions == 0, 1, 0) - jnp.where(actions == 1, 1, 0)) & 3
        rows, columns = move(words, state, actions == 2, size)
        cells = rows * size + columns

        on_site = state.sites[:, None] == cells[None, :]
        taken = on_site & state.present[:, None]
        collected = jnp.sum(taken.reshape(kinds, self.num_coins, n), 1, dtype=jnp.int32).T
        inventories = state.inventories + collected

        fired = actions == 3
        held = jnp.sum(inventories, 1, dtype=jnp.int32)
        paired = pairs(key, (rows, columns, directions), fired, (held > 0) & ~was_frozen, self.mutual)
        interacted = jnp.any(paired, 1)
        strategies = inventories.astype(params.payoffs.dtype) / jnp.maximum(held, 1)[:, None].astype(
            params.payoffs.dtype
        )
        rewards = pair_rewards(paired, strategies, params.payoffs)

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

    def _places(self, words: jax.Array, cells: jax.Array, back: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Cells [players], new ones for players who are `back`, and directions [players]."""
        starts, mirrored = start_cells(self.layout, self.grid_size), self.spawn == "mirrored"
        if mirrored:
            places = jnp.where(back, mirrored_places(words, starts, self.grid_size), cells)
        else:
            places = free_places(words, starts, cells, back)
        return places, start_directions(words, self.num_players, mirrored, self.spawn_directions)

    def _grown(self, key: jax.Array, params: InTheMatrixParams) -> jax.Array:
        total = self.num_kinds * self.num_coins
        if params.regrowth is None:
            return jnp.zeros((total,), bool)
        drawn = jax.random.uniform(jax.random.fold_in(key, 4), (total,), params.regrowth.dtype)
        return drawn < params.regrowth

    def observe(self, state: InTheMatrixState, params: InTheMatrixParams) -> jax.Array:
        """What the players see, [players, ...], see `observation_space`."""
        del params
        if self.layout == "corners" and not self.shuffle_coins:
            sites = divmod(fixed_sites(self.grid_size, self.num_kinds), self.grid_size)
        else:
            sites = state.sites // self.grid_size, state.sites % self.grid_size
        return observation(state, sites, self.grid_size, self.view_size, self.observation == "flat")

    def start_counts(self) -> dict[str, jax.Array]:
        """Zero for everything that `count` counts: `steps` [], `interactions` [players], `collected` [players, kinds],
        and `strategies` [players, kinds], the sum of the mixtures played; divided by interactions these are mean
        mixtures."""
        n, kinds = self.num_players, self.num_kinds
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
        """The counts after one more step."""
        del state, actions, rewards, ended
        return {
            "steps": counts["steps"] + 1,
            "interactions": counts["interactions"] + info["interacted"].astype(jnp.int32),
            "collected": counts["collected"] + info["collected"],
            "strategies": counts["strategies"] + info["strategies"],
        }

    @property
    def measures(self) -> Mapping[str, Measure]:
        """The measures whose values `metrics` returns."""
        return measures.measures(self.num_kinds)

    def metrics(self, counts: Mapping[str, Any]) -> dict[str, jax.Array]:
        """The values of `measures`."""
        return measures.metrics(counts)

    @property
    def number_names(self) -> tuple[str, ...]:
        return ("payoffs", "freeze", "regrowth")

    def image(self, state: InTheMatrixState, params: InTheMatrixParams) -> np.ndarray:
        """The map and what the players hold; see `in_the_matrix_drawing.image`."""
        del params
        return drawing.image(state, self.grid_size)

    def text(self, state: InTheMatrixState, params: InTheMatrixParams) -> str:
        """The map and what the players hold; see `in_the_matrix_drawing.text`."""
        del params
        return drawing.text(state, self.grid_size)
