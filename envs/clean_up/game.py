"""CleanUp-lite: a river to clean, an orchard that bears apples only while the river is clean, and punishing zaps."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from shaping.envs.clean_up import drawing, measures
from shaping.envs.declarations import Measure
from shaping.envs.environment import check_actions, check_choice, check_integer, check_number
from shaping.envs.grid.occupancy import draw_below, draw_distinct, enters, happens
from shaping.envs.grid.player_order import own_first
from shaping.envs.spaces import Box, Discrete

ACTIONS = ("up", "right", "down", "left", "stay", "zap")
_ZAP = 5


@flax.struct.dataclass
class CleanUpParams:
    """The numbers of the game. Every leaf may carry leading axes that a vmap maps over.

    Attributes:
        pollution: [] float in [0, 1], the probability that a clean river cell becomes dirty in a step.
        barren_dirt: [] float above 0, the number of dirty cells from which on nothing grows.
        zap_success: [] float in [0, 1], the probability that a zap works.
        zap_range: [] int32, cells, city-block distance.
        freeze: [] int32, steps that a hit player loses.
        start_dirt: [] int32, dirty cells at the start.
        apple_reward: [] float, for an apple.
        zap_reward, zapped_reward: [] float, for zapping (each time, hit or not) and for being hit.
        horizon: [] int32, steps of an episode.
    """

    pollution: jax.Array
    barren_dirt: jax.Array
    zap_success: jax.Array
    zap_range: jax.Array
    freeze: jax.Array
    start_dirt: jax.Array
    apple_reward: jax.Array
    zap_reward: jax.Array
    zapped_reward: jax.Array
    horizon: jax.Array


@flax.struct.dataclass
class CleanUpState:
    """The complete state.

    Attributes:
        places: [players, 2] int32, row and column.
        frozen: [players] int32, steps still to lose.
        dirt: [rows] bool, of the river's cells.
        apples: [rows] bool, of the orchard's cells.
        step: [] int32, steps taken since the reset.
    """

    places: jax.Array
    frozen: jax.Array
    dirt: jax.Array
    apples: jax.Array
    step: jax.Array


@dataclass(frozen=True)
class CleanUp:
    """CleanUp-lite: an orchard bears apples only while somebody cleans the river.

    The two-player public-goods game of Meulemans et al., "Multi-agent cooperation through learning-aware policy
    gradients" (COALA-PG, ICLR 2025, appendix B.1.2), for any number of players.

    A grid of 5 rows and 4 columns. The right-most column is the river, the left-most the orchard. A step, in this
    order:

    1. Players move up, right, down or left, stay, or zap. Frozen players do nothing, whatever they choose.
    2. Whoever stands on an apple eats it for a reward of 1; whoever stands on dirt cleans it, for nothing.
    3. A zap freezes players within a distance of 2, with a probability of 0.9, for the next 5 steps.
    4. With probability 0.35 a clean river cell becomes dirty; with probability 1 - min(1, P / 3), where P is the number
       of dirty cells, an apple grows. At the start 3 cells are dirty, and nothing grows before somebody cleans.

    All players see everything except the time; the episode is cut after 64 steps (`truncated`). The dilemma: cleaning
    takes steps in which one could eat, and everybody benefits from the apples it brings.

    There is no public code. The rules above are the paper's; where it leaves them open, this implementation decides:

    - At most one cell becomes dirty in a step, drawn from the clean ones, and at most one apple grows, on a cell drawn
      from those without one, as in Melting Pot's Clean Up, where one cell of the river becomes dirty per step. (If
      every clean cell became dirty with 0.35, one player could not keep up.) With `growth="each"` every free cell of
      the orchard grows an apple with the same probability, independently.
    - P is counted after the cleaning and before the new dirt of the same step. Apples and dirt may appear under a
      player, who then eats or cleans in the next step, also by staying.
    - Cleaning and eating are not actions: the six actions are four moves, staying, and zapping. A frozen player does
      neither, but still occupies its cell.
    - A cell holds one player. Nobody enters a cell in which somebody stands before the step; of several players who
      want the same free cell one enters, with equal probabilities. A player that would leave the grid stays.
    - Zaps need no direction and hit everybody within the distance, counted in steps (city block), after the moves of
      the step, with one random draw per zap. Players may hit each other in the same step. A frozen player cannot be hit
      (in Melting Pot it is off the map), so nobody is frozen for ever.
    - At the start there are no apples; dirt is on distinct cells drawn uniformly, and players are on distinct cells of
      the whole grid drawn uniformly.
    Observations are float32 in [0, 1]; what concerns the player itself comes first, then the others by ascending seat.
    "planes": [rows, columns, 2 + 2 x players]: dirt, apples, each player's place, and each player's place times the
    remaining share of its freeze. "vector": [2 x rows + players x (rows + columns + 1)]: dirt, apples, then for each
    player its row and its column (one-hot) and the remaining share of its freeze.

    Attributes:
        num_players: 1 or more, at most one per cell.
        rows, columns: of the grid.
        observation: "planes" or "vector".
        growth: "one" or "each".
        pollution, barren_dirt, zap_success, zap_range, freeze, start_dirt, apple_reward, zap_reward, zapped_reward,
        horizon: see `CleanUpParams`.

    Raises:
        ValueError: for a field out of its range. One line: the field, its value and what is allowed.
    """

    num_players: int = 2
    rows: int = 5
    columns: int = 4
    observation: str = "planes"
    growth: str = "one"
    pollution: float = 0.35
    barren_dirt: float = 3.0
    zap_success: float = 0.9
    zap_range: int = 2
    freeze: int = 5
    start_dirt: int = 3
    apple_reward: float = 1.0
    zap_reward: float = 0.0
    zapped_reward: float = 0.0
    horizon: int = 64

    def __post_init__(self):
        check_integer("rows", self.rows, 1)
        check_integer("columns", self.columns, 2)
        check_integer("num_players", self.num_players, 1, self.rows * self.columns)
        check_choice("observation", self.observation, ("planes", "vector"))
        check_choice("growth", self.growth, ("one", "each"))
        for what in ("pollution", "zap_success"):
            check_number(what, getattr(self, what), 0, 1)
        check_number("barren_dirt", self.barren_dirt, 1e-6)
        check_integer("start_dirt", self.start_dirt, 0, self.rows)
        for what in ("zap_range", "freeze"):
            check_integer(what, getattr(self, what), 0)
        for what in ("apple_reward", "zap_reward", "zapped_reward"):
            check_number(what, getattr(self, what))
        check_integer("horizon", self.horizon, 1)

    @property
    def name(self) -> str:
        return "clean_up"

    @property
    def default_params(self) -> CleanUpParams:
        """The default numbers, in jax's default float type."""
        integers = ("zap_range", "freeze", "start_dirt", "horizon")
        return CleanUpParams(
            **{
                what: jnp.asarray(getattr(self, what), dtype=jnp.int32 if what in integers else float)
                for what in CleanUpParams.__dataclass_fields__
            }
        )

    @property
    def observation_space(self) -> Box:
        """One player's observation; see the class."""
        if self.observation == "vector":
            return Box((2 * self.rows + self.num_players * (self.rows + self.columns + 1),))
        return Box((self.rows, self.columns, 2 + 2 * self.num_players))

    @property
    def action_space(self) -> Discrete:
        """One player's action, an index of `ACTIONS`: up, right, down, left, stay, zap."""
        return Discrete(len(ACTIONS))

    def reset(self, key: jax.Array, params: CleanUpParams) -> tuple[jax.Array, CleanUpState]:
        """Dirt and players on random cells, no apples."""
        n, rows = self.num_players, self.rows
        words = jax.random.bits(key, (n + rows,), jnp.uint32)
        cells = draw_distinct(words[:n], rows * self.columns)
        # A cell is dirty if fewer than `start_dirt` others drew a lower word; this works for a traced number of cells.
        lower = words[None, n:] < words[n:, None]
        equal_before = (words[None, n:] == words[n:, None]) & np.tri(rows, k=-1, dtype=bool)
        rank = jnp.sum(lower | equal_before, axis=1, dtype=jnp.int32)
        state = CleanUpState(
            places=jnp.stack([cells // self.columns, cells % self.columns], axis=1),
            frozen=jnp.zeros((n,), jnp.int32),
            dirt=rank < params.start_dirt,
            apples=jnp.zeros((rows,), bool),
            step=jnp.zeros((), jnp.int32),
        )
        return self.observe(state, params), state

    def step(
        self, key: jax.Array, state: CleanUpState, actions: jax.Array, params: CleanUpParams
    ) -> tuple[jax.Array, CleanUpState, jax.Array, jax.Array, jax.Array, dict[str, jax.Array]]:
        """Plays one joint action; the class describes the order of events.

        Returns:
            as `Environment.step`; in `info`, for this step: `apples_eaten`, `dirt_cleaned`, `zaps` (attempts), `hits`
            (players frozen by this player's zap), `zapped` (whether it was hit), `frozen` (whether it could not act),
            each [players] int32; `dirt`, `apples` [] int32, on the grid after the step.
        """
        n, rows = self.num_players, self.rows
        chosen = check_actions(actions, n, self.action_space)
        words = jax.random.bits(key, (2 * n + 3 + (rows if self.growth == "each" else 1),), jnp.uint32)
        acts = state.frozen == 0

        places = self._move(state.places, jnp.where(acts, chosen, ACTIONS.index("stay")), words[:n])
        in_row = places[:, :1] == np.arange(rows)[None]
        in_river = in_row & (acts & (places[:, 1] == self.columns - 1))[:, None]
        in_orchard = in_row & (acts & (places[:, 1] == 0))[:, None]
        cleaned, eaten = in_river & state.dirt[None], in_orchard & state.apples[None]
        dirt = state.dirt & ~jnp.any(in_river, axis=0)
        apples = state.apples & ~jnp.any(in_orchard, axis=0)

        zaps = acts & (chosen == _ZAP)
        works = zaps & happens(words[n : 2 * n], params.zap_success)
        distance = jnp.sum(jnp.abs(places[:, None] - places[None]), axis=2)
        near = (distance <= params.zap_range) & ~np.eye(n, dtype=bool)
        hit = works[:, None] & near & acts[None]
        zapped = jnp.any(hit, axis=0)

        fertility = 1 - jnp.minimum(1, jnp.sum(dirt).astype(params.barren_dirt.dtype) / params.barren_dirt)
        polluted = _one_of(~dirt, words[2 * n + 1]) & happens(words[2 * n], params.pollution)
        if self.growth == "each":
            grown = happens(words[2 * n + 3 :], fertility)
        else:
            grown = _one_of(~apples, words[2 * n + 3]) & happens(words[2 * n + 2], fertility)

        after = CleanUpState(
            places=places,
            frozen=jnp.where(zapped, params.freeze, jnp.maximum(state.frozen - 1, 0)),
            dirt=dirt | polluted,
            apples=apples | grown,
            step=state.step + 1,
        )
        events = {
            "apples_eaten": jnp.any(eaten, axis=1),
            "dirt_cleaned": jnp.any(cleaned, axis=1),
            "zaps": zaps,
            "hits": jnp.sum(hit, axis=1),
            "zapped": zapped,
            "frozen": ~acts,
            "dirt": jnp.sum(after.dirt),
            "apples": jnp.sum(after.apples),
        }
        info = {what: happened.astype(jnp.int32) for what, happened in events.items()}
        rewards = jnp.where(jnp.any(eaten, axis=1), params.apple_reward, 0)
        rewards += jnp.where(zaps, params.zap_reward, 0) + jnp.where(zapped, params.zapped_reward, 0)
        truncated = after.step >= params.horizon
        return self.observe(after, params), after, rewards, jnp.asarray(False), truncated, info

    def start_counts(self) -> dict[str, jax.Array]:
        """Zero for everything that `count` counts: sums over steps of what `step` returns in `info`, [players] int32
        each (an index of inequality such as Gini's can be computed from `apples_eaten`); `dirt` [] float32, the sum
        over steps of the dirty cells at the start of the step; `steps`, `episodes`, and `dirt_left`, `apples_left` at
        the ends of episodes, [] int32."""
        players = ("apples_eaten", "dirt_cleaned", "zaps", "hits", "zapped", "frozen")
        counts = {what: jnp.zeros((self.num_players,), jnp.int32) for what in players}
        counts |= {what: jnp.zeros((), jnp.int32) for what in ("steps", "episodes", "dirt_left", "apples_left")}
        return counts | {"dirt": jnp.zeros((), jnp.float32)}

    def count(
        self,
        counts: dict[str, jax.Array],
        state: CleanUpState,
        actions: jax.Array,
        rewards: jax.Array,
        ended: jax.Array,
        info: dict[str, jax.Array],
    ) -> dict[str, jax.Array]:
        """The counts after one more step."""
        del actions, rewards
        episodes = ended.astype(jnp.int32)
        more = {what: info[what] for what in ("apples_eaten", "dirt_cleaned", "zaps", "hits", "zapped", "frozen")}
        more |= {"steps": jnp.ones((), jnp.int32), "episodes": episodes}
        more |= {"dirt_left": episodes * info["dirt"], "apples_left": episodes * info["apples"]}
        more |= {"dirt": jnp.sum(state.dirt).astype(jnp.float32)}
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
        return tuple(field for field in CleanUpParams.__dataclass_fields__ if field != "horizon")

    def image(self, state: CleanUpState, params: CleanUpParams) -> np.ndarray:
        """The grid; see `envs.clean_up.drawing.image`."""
        del params
        return drawing.image(self.columns, state.dirt, state.apples, state.places, state.frozen)

    def text(self, state: CleanUpState, params: CleanUpParams) -> str:
        """The grid; see `envs.clean_up.drawing.text`."""
        del params
        grid = drawing.text(self.columns, state.dirt, state.apples, state.places, state.frozen)
        return f"step {int(state.step)}: {grid}"

    def _move(self, places: jax.Array, actions: jax.Array, words: jax.Array) -> jax.Array:
        down = (actions == 2).astype(jnp.int32) - (actions == 0).astype(jnp.int32)
        right = (actions == 1).astype(jnp.int32) - (actions == 3).astype(jnp.int32)
        targets = jnp.stack(
            [jnp.clip(places[:, 0] + down, 0, self.rows - 1), jnp.clip(places[:, 1] + right, 0, self.columns - 1)],
            axis=1,
        )
        moving = jnp.any(targets != places, axis=1)
        entered = enters(places, targets, jnp.ones((self.num_players,), bool), moving, words)
        return jnp.where(entered[:, None], targets, places)

    def observe(self, state: CleanUpState, params: CleanUpParams) -> jax.Array:
        """What the players see, [players, ...], see `observation_space`."""
        n, rows, columns = self.num_players, self.rows, self.columns
        left = state.frozen.astype(jnp.float32) / jnp.maximum(params.freeze, 1).astype(jnp.float32)
        in_row = state.places[:, :1] == np.arange(rows)[None]
        in_column = state.places[:, 1:] == np.arange(columns)[None]
        dirt, apples = state.dirt.astype(jnp.float32), state.apples.astype(jnp.float32)
        if self.observation == "vector":
            scene = jnp.concatenate([dirt, apples])
            own = jnp.concatenate([in_row.astype(jnp.float32), in_column.astype(jnp.float32), left[:, None]], axis=1)
            return jnp.concatenate(
                [jnp.broadcast_to(scene[None], (n, 2 * rows)), own_first(own).reshape(n, -1)], axis=1
            )
        at = (in_row[:, :, None] & in_column[:, None, :]).astype(jnp.float32)  # [players, rows, columns]
        river, orchard = ((np.arange(columns) == column).astype(np.float32) for column in (columns - 1, 0))
        scene = jnp.stack([dirt[:, None] * river[None], apples[:, None] * orchard[None]])
        planes = [
            jnp.broadcast_to(scene[None], (n, 2, rows, columns)),
            own_first(at),
            own_first(at * left[:, None, None]),
        ]
        return jnp.moveaxis(jnp.concatenate(planes, axis=1), 1, -1)


def _one_of(allowed: jax.Array, word: jax.Array) -> jax.Array:
    """One of the allowed cells, drawn uniformly: [cells] bool, all False if none is allowed."""
    before = jnp.sum(allowed[None] & np.tri(allowed.shape[0], k=-1, dtype=bool), axis=1, dtype=jnp.int32)
    return allowed & (before == draw_below(word, jnp.sum(allowed, dtype=jnp.int32)))
