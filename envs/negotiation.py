"""The negotiation (exchange) game of Advantage Alignment: players ask for parts of items that they value
differently."""

from dataclasses import dataclass

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from shaping.envs.declarations import Measure
from shaping.envs.drawing import gauge_image
from shaping.envs.environment import check_actions, check_choice, check_integer, check_number
from shaping.envs.grid.player_order import own_first
from shaping.envs.measures import fraction, per_player
from shaping.envs.spaces import Box

MAX_PLAYERS = 8
SPLITS = ("divide_when_above", "proportional")
VALUES = ("high_contrast", "uniform")
VIEWS = ("public", "private")


@flax.struct.dataclass
class NegotiationParams:
    """The numbers of a negotiation. Every leaf may carry leading axes that a vmap maps over.

    Attributes:
        low: [] float of 0 or more, the lowest value of a unit of an item.
        high: [] float, at least low and above 0, the highest value.
        horizon: [] int32, rounds of an episode.
    """

    low: jax.Array
    high: jax.Array
    horizon: jax.Array


@flax.struct.dataclass
class NegotiationState:
    """The items on the table and the last proposals.

    Attributes:
        values: [players, items] float, value of a unit of each item to each player.
        quantities: [items] float, units of each item.
        proposals: [players, items] float in [0, 1], those of the previous round; 0 at the start.
        step: [] int32, rounds since the reset.
    """

    values: jax.Array
    quantities: jax.Array
    proposals: jax.Array
    step: jax.Array


def shares(proposals: jax.Array, split: str) -> jax.Array:
    """The part of each item that each player gets, given proposals [players, items] in [0, 1]; the same shape.

    "divide_when_above": what it asks for, divided by the sum of all demands if that is above 1.
    "proportional": always divided by that sum; if nobody asks for any of an item, nobody gets any.
    """
    asked = jnp.sum(proposals, axis=0)
    if split == "divide_when_above":
        return proposals / jnp.maximum(asked, 1)[None]
    return proposals / jnp.where(asked > 0, asked, 1)[None]


def utilities(parts: jax.Array, values: jax.Array, quantities: jax.Array, params: NegotiationParams) -> jax.Array:
    """The rewards [players] of parts [players, items] of the items: sum of part x quantity x value, divided by the
    number of items x high, the worth of single units with the highest value."""
    return jnp.sum(parts * quantities[None] * values, axis=1) / (params.high * values.shape[-1])


def efficient_welfare(values: jax.Array, quantities: jax.Array, params: NegotiationParams) -> jax.Array:
    """The largest possible sum of rewards, [] float: each item goes to a player who values it most."""
    return jnp.sum(jnp.max(values, axis=0) * quantities) / (params.high * values.shape[-1])


def cooperative_proposals(values: jax.Array) -> jax.Array:
    """All of what nobody values more than oneself and nothing of the rest, [players, items]; this is efficient."""
    return (values >= jnp.max(values, axis=0)[None]).astype(values.dtype)


@dataclass(frozen=True)
class Negotiation:
    """n players simultaneously ask for a part of each item on the table, round after round.

    A proposal is a number in [0, 1] for each item, the part of it that the player asks for. `shares` says which parts
    result, and a round pays part x quantity x value summed over the items, divided by (items x high). Asking for
    everything is dominant in a single round; it is efficient if each asks only for what it values most
    (`cooperative_proposals`).

    The rules are those of the program published with Advantage Alignment (Duque et al. 2025, repository
    jduquevan/advantage-alignment, `ObligatedRatioDiscreteEG` in train.py with configs/eg_cont.yaml): two players, three
    items of one unit, values 1 and 5 that are always opposite ("high_contrast"), new items in each round, all values
    and the last proposals visible. There, proposals go up to 5, and two whose sum is above 5 are divided by that sum,
    which is the same in other units; its discrete configurations split in the way called "proportional" here. The game
    of Cao et al. (2018) from which it descends, with messages and an agreement to be reached, is not implemented. More
    than two players, private values and items that stay for an episode are additions.

    In a round between two players on three high-contrast items, two cooperators expect 1/2 each and two players who ask
    for everything 0.3 each; one who asks for everything expects 0.55 against a cooperator, who then expects 0.25.

    Attributes:
        num_players: 2 to 8.
        items: items on the table, 1 or more.
        split: "divide_when_above" or "proportional", see `shares`.
        values: "high_contrast", each item is worth high to one player, drawn uniformly, and low to all others;
            "uniform", each value is drawn independently and uniformly from low, low + 1, ..., high.
        max_quantity: units of each item are uniform from 1 to this.
        redraw: whether items and values are drawn in each round; otherwise once per episode.
        view: "public", or "private" if the others' values are hidden.
        low, high: default numbers, see `NegotiationParams`; if values are uniform they must differ by an integer.
        horizon: rounds of an episode; its end truncates the episode.
        name: for records and messages.

    Raises:
        ValueError: for a setting out of its range. One line: the setting, its value and what is allowed.
    """

    num_players: int = 2
    items: int = 3
    split: str = "divide_when_above"
    values: str = "high_contrast"
    max_quantity: int = 1
    redraw: bool = True
    view: str = "public"
    low: float = 1.0
    high: float = 5.0
    horizon: int = 16
    name: str = "negotiation"

    def __post_init__(self):
        check_integer("num_players", self.num_players, 2, MAX_PLAYERS)
        check_integer("items", self.items, 1, 1000)
        check_choice("split", self.split, SPLITS)
        check_choice("values", self.values, VALUES)
        check_integer("max_quantity", self.max_quantity, 1, 1000)
        check_choice("redraw", self.redraw, (False, True))
        check_choice("view", self.view, VIEWS)
        check_integer("horizon", self.horizon, 1, 2**31 - 2)
        object.__setattr__(self, "low", check_number("low", self.low, 0))
        object.__setattr__(self, "high", check_number("high", self.high, max(self.low, 1e-6)))
        if self.values == "uniform" and (self.high - self.low) % 1:
            raise ValueError(f"high is {self.high!r}; allowed: low, {self.low:g}, plus an integer with values uniform")

    @property
    def action_space(self) -> Box:
        """The part of each item to ask for."""
        return Box((self.items,), 0.0, 1.0)

    @property
    def observation_space(self) -> Box:
        """1 after the first round; for each item the quantity over max_quantity; the values over high, one's own and,
        with view public, the others' by ascending seat; the last proposals of all, one's own first."""
        seen = self.num_players if self.view == "public" else 1
        return Box((1 + self.items * (1 + seen + self.num_players),), 0.0, 1.0)

    @property
    def default_params(self) -> NegotiationParams:
        return NegotiationParams(
            jnp.asarray(self.low, dtype=float), jnp.asarray(self.high, dtype=float), jnp.int32(self.horizon)
        )

    def reset(self, key: jax.Array, params: NegotiationParams) -> tuple[jax.Array, NegotiationState]:
        """The first items, before any proposal."""
        values, quantities = self._draw(key, params)
        state = NegotiationState(values, quantities, jnp.zeros_like(values), jnp.int32(0))
        return self.observe(state, params), state

    def step(
        self, key: jax.Array, state: NegotiationState, actions: jax.Array, params: NegotiationParams
    ) -> tuple[jax.Array, NegotiationState, jax.Array, jax.Array, jax.Array, dict[str, jax.Array]]:
        """Splits the items on the table. Pure; one environment (vmap for many); never resets itself.

        Args:
            key: for the next round's items.
            state: the state before.
            actions: [players, items] float in [0, 1], proposals.
            params: the game's numbers.

        Returns:
            obs: [players, ...] float32, see `observation_space`.
            state: the state after.
            rewards: [players] float.
            terminated: [] bool, always False.
            truncated: [] bool, whether the horizon is reached.
            info: {"shares": [players, items] float, the parts that were given; "efficient_welfare": [] float, the
                largest sum of rewards this round could have had}.

        Raises:
            ValueError: for actions of a wrong shape or dtype, and, outside of jit, of a wrong value.
        """
        actions = check_actions(actions, self.num_players, self.action_space)
        proposals = actions.astype(state.values.dtype)
        parts = shares(proposals, self.split)
        rewards = utilities(parts, state.values, state.quantities, params)
        info = {"shares": parts, "efficient_welfare": efficient_welfare(state.values, state.quantities, params)}
        values, quantities = self._draw(key, params) if self.redraw else (state.values, state.quantities)
        after = NegotiationState(values, quantities, proposals, state.step + 1)
        truncated = after.step >= params.horizon
        return self.observe(after, params), after, rewards, jnp.asarray(False), truncated, info

    def observe(self, state: NegotiationState, params: NegotiationParams) -> jax.Array:
        """What the players see, [players, ...] float32."""
        n = self.num_players
        played = jnp.broadcast_to((state.step > 0).astype(jnp.float32), (n, 1))
        quantities = jnp.broadcast_to(state.quantities.astype(jnp.float32) / self.max_quantity, (n, self.items))
        values = (state.values / params.high).astype(jnp.float32)
        values = own_first(values).reshape(n, -1) if self.view == "public" else values
        proposals = own_first(state.proposals.astype(jnp.float32)).reshape(n, -1)
        return jnp.concatenate([played, quantities, values, proposals], axis=1)

    def start_counts(self) -> dict[str, jax.Array]:
        """Zero for what `count` adds up: `steps` [] int32, rounds; `rewards` [players]; `efficient_welfare` [];
        `asked_own` and `asked_others` [players], the mean part asked for of the items that the player values most
        (including ties) and of the rest; and `rounds_own` and `rounds_others` [players], the numbers of rounds with
        such items; float32."""
        zeros = jnp.zeros((self.num_players,), jnp.float32)
        sums = dict.fromkeys(("rewards", "asked_own", "rounds_own", "asked_others", "rounds_others"), zeros)
        return {"steps": jnp.int32(0), "efficient_welfare": jnp.float32(0), **sums}

    def count(
        self,
        counts: dict[str, jax.Array],
        state: NegotiationState,
        actions: jax.Array,
        rewards: jax.Array,
        ended: jax.Array,
        info: dict[str, jax.Array],
    ) -> dict[str, jax.Array]:
        """The sums after one more round. The sum of `rewards` over `efficient_welfare` is the efficiency."""
        del ended
        own = cooperative_proposals(state.values).astype(jnp.float32)
        asked_own, rounds_own = _mean_where(own, actions)
        asked_others, rounds_others = _mean_where(1 - own, actions)
        added = {
            "steps": jnp.int32(1),
            "efficient_welfare": info["efficient_welfare"].astype(jnp.float32),
            "rewards": rewards.astype(jnp.float32),
            "asked_own": asked_own,
            "rounds_own": rounds_own,
            "asked_others": asked_others,
            "rounds_others": rounds_others,
        }
        return {name: counts[name] + more for name, more in added.items()}

    @property
    def measures(self) -> dict[str, Measure]:
        """Efficiency, and the parts that are asked for."""
        return {
            "efficiency": Measure(
                "The sum of all rewards over the largest possible sum, the same for all players.",
                "efficiency",
                low=0.0,
                high=1.0,
            ),
            "asked_own": Measure(
                "The part that a player asks for of the items it values most.", "asked of own items", low=0.0, high=1.0
            ),
            "asked_others": Measure(
                "The part that a player asks for of the items that another values more.",
                "asked of others' items",
                low=0.0,
                high=1.0,
            ),
        }

    def metrics(self, counts: dict[str, jax.Array]) -> dict[str, jax.Array]:
        """The values of `measures`."""
        rewards = jnp.asarray(counts["rewards"])
        return {
            "efficiency": per_player(fraction(rewards.sum(-1), counts["efficient_welfare"]), self.num_players),
            "asked_own": fraction(counts["asked_own"], counts["rounds_own"]),
            "asked_others": fraction(counts["asked_others"], counts["rounds_others"]),
        }

    @property
    def number_names(self) -> tuple[str, ...]:
        return ("low", "high")

    def image(self, state: NegotiationState, params: NegotiationParams) -> np.ndarray:
        """A row of bars for the values of what is on the table, relative to the highest, item by item; below it a row
        for the last proposals; each item has one bar per player."""
        values = np.asarray(state.values) / float(params.high)
        return np.concatenate([_bars(values), _bars(np.asarray(state.proposals))], axis=0)

    def text(self, state: NegotiationState, params: NegotiationParams) -> str:
        """The items with their values, and the last proposals."""
        del params
        quantities = " ".join(f"{x:g}" for x in np.asarray(state.quantities))
        lines = [f"step {int(state.step)}: quantities {quantities}"]
        for player, (values, asked) in enumerate(
            zip(np.asarray(state.values), np.asarray(state.proposals), strict=True)
        ):
            line = f"player {player}: values {' '.join(f'{x:g}' for x in values)}"
            lines.append(line + (f", asked {' '.join(f'{x:.2f}' for x in asked)}" if int(state.step) else ""))
        return "\n".join(lines)

    def _draw(self, key: jax.Array, params: NegotiationParams) -> tuple[jax.Array, jax.Array]:
        """Values [players, items] and quantities [items]. Remainders of 32-bit words: uniform to a relative error of
        1e-6."""
        n, items, dtype = self.num_players, self.items, params.low.dtype
        high_contrast = self.values == "high_contrast"
        rows = 1 if high_contrast else n
        words = jax.random.bits(key, (rows + (self.max_quantity > 1), items), jnp.uint32)
        if high_contrast:
            owner = (words[0] % n).astype(jnp.int32)
            owns = owner[None] == jnp.arange(n, dtype=jnp.int32)[:, None]
            values = jnp.where(owns, params.high, params.low)
        else:
            levels = jnp.round(params.high - params.low).astype(jnp.uint32) + 1
            values = params.low + (words[:n] % levels).astype(dtype)
        if self.max_quantity == 1:
            return values, jnp.ones((items,), dtype)
        return values, 1 + (words[rows] % self.max_quantity).astype(dtype)


def _mean_where(chosen: jax.Array, proposals: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The mean of the proposals over chosen items, [players], and 1 if there are any; float32."""
    number = jnp.sum(chosen, axis=1)
    asked = jnp.sum(chosen * proposals.astype(jnp.float32), axis=1)
    return asked / jnp.maximum(number, 1), (number > 0).astype(jnp.float32)


def _bars(levels: np.ndarray) -> np.ndarray:
    """[players, items] as bars, the items side by side with gaps between them."""
    gap = gauge_image([0.0], height=64, width=12)
    gap[:] = gap[0, 0]
    pictures = []
    for item in range(levels.shape[1]):
        pictures += [gap] * bool(item) + [gauge_image(list(levels[:, item]), height=64, width=16)]
    return np.concatenate(pictures, axis=1)
