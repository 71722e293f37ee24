"""Commons harvest: apples that regrow only near other apples, and a beam that sends players off the map."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from shaping.envs.commons_harvest import drawing as harvest_drawing
from shaping.envs.commons_harvest import measures, rules
from shaping.envs.commons_harvest.maps import HarvestMap, read_map
from shaping.envs.commons_harvest.rules import COMPASS, TURNING
from shaping.envs.commons_harvest.state import CommonsHarvestParams, CommonsHarvestState
from shaping.envs.commons_harvest.view import full_view, window_view
from shaping.envs.declarations import Measure
from shaping.envs.environment import check_actions, check_choice, check_integer, check_number
from shaping.envs.grid.occupancy import draw_distinct, happens
from shaping.envs.spaces import Box, Discrete

MAX_PLAYERS = 24
_NUMBERS = (
    "regrowth",
    "apple_reward",
    "zap_reward",
    "zapped_reward",
    "beam_length",
    "beam_radius",
    "timeout",
    "cooldown",
)


@dataclass(frozen=True)
class CommonsHarvest:
    """Commons harvest: apples regrow only near other apples.

    The common-pool resource game of Perolat et al., "A multi-agent reinforcement learning model of
    common-pool resource appropriation" (NeurIPS 2017), with the numbers of Melting Pot's commons_harvest__open
    (Leibo et al., ICML 2021; Agapiou et al. 2022).

    Apples grow in patches. An apple is worth 1 to the player who eats it, and it grows back faster the more apples are
    near: depending on their number within a (Euclidean) distance of 2, with a probability of 0, 0.0025, 0.005 and, for
    3 and more, 0.025 per step. A patch that is eaten empty never recovers, and a single player cannot keep the others
    from emptying it except by zapping. A step, in this order:

    1. Players turn, move, stay or zap. A player off the map does nothing, whatever it chooses.
    2. A player that stands on an apple eats it.
    3. A zap hits everybody in the beam, 3 cells ahead and 1 to either side. They are off the map for 4 steps and return
       on a start cell, facing a direction; both are drawn uniformly. A player may zap every third step (cooldown 2).
    4. Apples grow on cells that were empty before the step, depending on the apples left after the eating.

    `movement="turning"` has Melting Pot's actions in its order: stay, forward, backward, step left, step right, turn
    left, turn right, zap. `movement="compass"` has stay, up, right, down, left, zap; a player then faces the direction
    in which it last tried to move. The benchmark's standard is `layout="open", num_players=7` with 1000 steps; the
    default is a map of two patches for two players. Players do not see the time; the episode is cut at the horizon
    (`truncated`).

    Differences from Melting Pot, and points that its description leaves open:

    - The episode has a fixed length; there it ends with a probability of 0.15 every 100 steps from step 1000 on.
    - Nobody enters a cell in which somebody stands before the step; of several players who want the same free cell one
      enters, with equal probabilities. There, players move one after the other in random order.
    - Beams pass through players and stop at walls, in each of their lanes; they do not hit players who stand beside the
      shooter.
    - A player that is due to return draws a start cell; if it is occupied, or wanted by a player of higher rank, it
      tries again in the next step.
    - An apple may grow under a player, who eats it in the next step, also by staying.
    - Observations are planes of symbols instead of pixels.

    Observations are uint8, [height, width, 7 + players]: apples; walls and the outside; oneself; the others by
    ascending seat, one plane each; players facing up, right, down, left, in the observer's orientation; and whether the
    observer may zap, the same on all cells. `view="window"` is a window of 9 cells ahead, 1 behind and 5 to either
    side, rotated so that ahead is up (with compass movement it is not rotated and extends 5 cells each way); a player
    off the map sees zeros. `view="full"` is the whole map, not rotated, also for players off the map.

    Layouts are "small", "open", or rows of text: A bears apples, W is a wall, P a start, Q a start of the first players
    (as many as there are Qs; like everybody they return on P), and a blank is floor. The outside counts as wall.

    Attributes:
        num_players: 1 to 24; the layout needs a start for each player.
        layout: "small", "open" or rows of text.
        movement: "turning" or "compass".
        view: "window" or "full".
        ahead, behind, sides: cells of the window; only sides with compass movement.
        regrowth: probabilities by number of nearby apples, one or more; rates of other papers can be given in this
            form.
        apple_reward, zap_reward, zapped_reward, beam_length, beam_radius, timeout, cooldown, horizon: see
            `CommonsHarvestParams`.

    Raises:
        ValueError: for a field out of its range. One line: the field, its value and what is allowed.
    """

    num_players: int = 2
    layout: str | tuple[str, ...] = "small"
    movement: str = "turning"
    view: str = "window"
    ahead: int = 9
    behind: int = 1
    sides: int = 5
    regrowth: tuple[float, ...] = (0.0, 0.0025, 0.005, 0.025)
    apple_reward: float = 1.0
    zap_reward: float = 0.0
    zapped_reward: float = 0.0
    beam_length: int = 3
    beam_radius: int = 1
    timeout: int = 4
    cooldown: int = 2
    horizon: int = 1000

    def __post_init__(self):
        world = read_map(self.layout)
        check_integer("num_players", self.num_players, 1)
        room = len(world.first_starts) + len(world.starts)
        if self.num_players > min(room, MAX_PLAYERS):
            allowed = f"1 to {min(room, MAX_PLAYERS)} (the layout has {room} starts)"
            raise ValueError(f"num_players is {self.num_players}; allowed: {allowed}")
        check_choice("movement", self.movement, ("turning", "compass"))
        check_choice("view", self.view, ("window", "full"))
        for what in ("ahead", "behind", "sides", "beam_length", "beam_radius", "timeout", "cooldown"):
            check_integer(what, getattr(self, what), 0)
        if not isinstance(self.regrowth, tuple | list) or not self.regrowth:
            raise ValueError(f"regrowth is {self.regrowth!r}; allowed: one probability or more, by apples near")
        regrowth = tuple(check_number(f"regrowth[{i}]", value, 0, 1) for i, value in enumerate(self.regrowth))
        for what in ("apple_reward", "zap_reward", "zapped_reward"):
            check_number(what, getattr(self, what))
        check_integer("horizon", self.horizon, 1)
        # The dataclass is frozen; normalising fields here makes equal games equal and hashable.
        object.__setattr__(self, "regrowth", regrowth)
        if not isinstance(self.layout, str):
            object.__setattr__(self, "layout", tuple(self.layout))

    @property
    def name(self) -> str:
        return "commons_harvest"

    @property
    def world(self) -> HarvestMap:
        """The layout as lists of cells."""
        return read_map(self.layout)

    @property
    def actions(self) -> tuple[str, ...]:
        """The names of the actions."""
        return TURNING if self.movement == "turning" else COMPASS

    @property
    def default_params(self) -> CommonsHarvestParams:
        """The default numbers, in jax's default float type."""
        floats = ("regrowth", "apple_reward", "zap_reward", "zapped_reward")
        return CommonsHarvestParams(
            **{
                what: jnp.asarray(getattr(self, what), dtype=float if what in floats else jnp.int32)
                for what in CommonsHarvestParams.__dataclass_fields__
            }
        )

    @property
    def observation_space(self) -> Box:
        """One player's observation; see the class."""
        world = self.world
        if self.view == "full":
            shape = (world.rows, world.columns)
        else:
            ahead, behind = self._reach()
            shape = (ahead + behind + 1, 2 * self.sides + 1)
        return Box((*shape, 7 + self.num_players), dtype="uint8")

    @property
    def action_space(self) -> Discrete:
        """One player's action, an index of `actions`."""
        return Discrete(len(self.actions))

    def reset(self, key: jax.Array, params: CommonsHarvestParams) -> tuple[jax.Array, CommonsHarvestState]:
        """All apples ripe, players on distinct start cells."""
        n, world = self.num_players, self.world
        words = jax.random.bits(key, (n,), jnp.uint32)
        first = min(n, len(world.first_starts))
        places = []
        for cells, some in ((world.first_starts, words[:first]), (world.starts, words[first:])):
            if some.shape[0]:
                places.append(jnp.asarray(cells, jnp.int32)[draw_distinct(some, len(cells))])
        zeros = jnp.zeros((n,), jnp.int32)
        state = CommonsHarvestState(
            places=jnp.concatenate(places),
            facing=rules.any_facing(words),
            away=zeros,
            cooldown=zeros,
            apples=jnp.ones((len(world.apples),), bool),
            step=jnp.zeros((), jnp.int32),
        )
        return self.observe(state, params), state

    def step(
        self, key: jax.Array, state: CommonsHarvestState, actions: jax.Array, params: CommonsHarvestParams
    ) -> tuple[jax.Array, CommonsHarvestState, jax.Array, jax.Array, jax.Array, dict[str, jax.Array]]:
        """Plays one joint action; the class describes the order of events.

        Returns:
            as `Environment.step`; in `info`, for this step: `apples_eaten`, `zaps` (beams), `hits` (players hit by this
            player's beam), `zapped` (whether it was hit), `away` (whether it could not act), each [players] int32;
            `apples` [] int32, on the map after the step; `step` [] int32, the number of the step, from 1.
        """
        n, world = self.num_players, self.world
        chosen = check_actions(actions, n, self.action_space)
        words = jax.random.bits(key, (2 * n + len(world.apples),), jnp.uint32)
        acts = state.away == 0

        places, facing, away = rules.move(
            state, jnp.where(acts, chosen, 0), words[:n], words[n : 2 * n], world, self.movement == "turning"
        )
        here = away == 0
        cells = places[:, 0] * world.columns + places[:, 1]
        bearing = np.array([row * world.columns + column for row, column in world.apples], np.int32)
        standing = (cells[:, None] == bearing[None]) & here[:, None]  # [players, apple cells]
        eaten = jnp.any(standing & state.apples[None], axis=1)
        left = state.apples & ~jnp.any(standing, axis=0)

        zaps = acts & (chosen == len(self.actions) - 1) & (state.cooldown == 0)
        hit = zaps[:, None] & here[None] & rules.in_beam(places, facing, world.walls, params)
        zapped = jnp.any(hit, axis=0)

        grown = ~state.apples & happens(words[2 * n :], rules.regrowth(left, world.apples, params.regrowth))
        after = CommonsHarvestState(
            places=places,
            facing=facing,
            away=jnp.where(zapped, params.timeout, away),
            cooldown=jnp.where(zaps, params.cooldown, jnp.maximum(state.cooldown - 1, 0)),
            apples=left | grown,
            step=state.step + 1,
        )
        events = {
            "apples_eaten": eaten,
            "zaps": zaps,
            "hits": jnp.sum(hit, axis=1),
            "zapped": zapped,
            "away": ~acts,
            "apples": jnp.sum(after.apples),
            "step": after.step,
        }
        info = {what: happened.astype(jnp.int32) for what, happened in events.items()}
        rewards = jnp.where(eaten, params.apple_reward, 0)
        rewards += jnp.where(zaps, params.zap_reward, 0) + jnp.where(zapped, params.zapped_reward, 0)
        return self.observe(after, params), after, rewards, jnp.asarray(False), after.step >= params.horizon, info

    def start_counts(self) -> dict[str, jax.Array]:
        """Zero for everything that `count` counts, from which the four measures of Perolat et al. are computed: sums
        over steps of `apples_eaten` (efficiency, and equality by Gini's index), `zaps`, `hits`, `zapped`, `away`
        (peace), [players] int32; `eaten_at` [players] float32, the sum of the numbers of the steps in which apples were
        eaten (divided by apples_eaten it is sustainability); `steps`, `episodes`, and at the ends of episodes
        `apples_left` and `empty_ends`, the episodes that ended without any apple; [] int32."""
        players = ("apples_eaten", "zaps", "hits", "zapped", "away")
        counts = {what: jnp.zeros((self.num_players,), jnp.int32) for what in players}
        counts |= {what: jnp.zeros((), jnp.int32) for what in ("steps", "episodes", "apples_left", "empty_ends")}
        return counts | {"eaten_at": jnp.zeros((self.num_players,), jnp.float32)}

    def count(
        self,
        counts: dict[str, jax.Array],
        state: CommonsHarvestState,
        actions: jax.Array,
        rewards: jax.Array,
        ended: jax.Array,
        info: dict[str, jax.Array],
    ) -> dict[str, jax.Array]:
        """The counts after one more step."""
        del state, actions, rewards
        episodes = ended.astype(jnp.int32)
        more = {what: info[what] for what in ("apples_eaten", "zaps", "hits", "zapped", "away")}
        more |= {"steps": jnp.ones((), jnp.int32), "episodes": episodes}
        more |= {
            "apples_left": episodes * info["apples"],
            "empty_ends": episodes * (info["apples"] == 0).astype(jnp.int32),
        }
        more |= {"eaten_at": (info["apples_eaten"] * info["step"]).astype(jnp.float32)}
        return {what: counts[what] + more[what] for what in counts}

    @property
    def measures(self) -> Mapping[str, Measure]:
        """The measures whose values `metrics` returns."""
        return measures.MEASURES

    def metrics(self, counts: Mapping[str, Any]) -> dict[str, jax.Array]:
        """The values of `measures`."""
        return measures.metrics(counts)

    @property
    def number_names(self) -> tuple[str, ...]:
        return _NUMBERS

    def image(self, state: CommonsHarvestState, params: CommonsHarvestParams) -> np.ndarray:
        """The map; see `harvest_drawing.image`."""
        del params
        return harvest_drawing.image(self.world, state.apples, state.places, state.facing, state.away)

    def text(self, state: CommonsHarvestState, params: CommonsHarvestParams) -> str:
        """The map; see `harvest_drawing.text`."""
        del params
        grid = harvest_drawing.text(self.world, state.apples, state.places, state.facing, state.away)
        return f"step {int(state.step)}: {grid}"

    def _reach(self) -> tuple[int, int]:
        """Cells of the window in front of and behind its player."""
        return (self.sides, self.sides) if self.movement == "compass" else (self.ahead, self.behind)

    def observe(self, state: CommonsHarvestState, params: CommonsHarvestParams) -> jax.Array:
        """What the players see, [players, ...], see `observation_space`."""
        del params
        here, ready = state.away == 0, state.cooldown == 0
        if self.view == "full":
            return full_view(self.world, state.apples, state.places, state.facing, here, ready)
        turned = state.facing if self.movement == "turning" else jnp.zeros_like(state.facing)
        window = (*self._reach(), self.sides)
        return window_view(self.world, state.apples, state.places, state.facing, here, ready, turned, window)
