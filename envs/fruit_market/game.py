"""Fruit market: farmers grow one fruit, like the other, and barter."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from shaping.envs.declarations import Measure
from shaping.envs.environment import check_actions, check_integer, check_number
from shaping.envs.fruit_market import drawing, measures, rules, trading, view
from shaping.envs.fruit_market.maps import MarketMap, read_map
from shaping.envs.fruit_market.state import FruitMarketParams, FruitMarketState
from shaping.envs.grid.occupancy import draw_distinct, uniform
from shaping.envs.spaces import Box, Discrete

_CHANCES = ("own_tree_chance", "other_tree_chance")
_REWARDS = ("own_fruit_reward", "other_fruit_reward")
_INTEGERS = ("harvest", "regrowth", "radius", "hunger_delay", "water_cost")
_TREES = ("apple_trees", "banana_trees")
EAT_OWN, EAT_OTHER, CANCEL = (len(rules.MOVES) + i for i in range(3))
OFFERS = CANCEL + 1
"""Actions: moves, then these, then offers from this number on."""


@dataclass(frozen=True)
class FruitMarket:
    """Fruit market: apple farmers and banana farmers harvest, eat and barter.

    The game of Johanson et al., "Emergent bartering behaviour in multi-agent reinforcement learning" (2022), with the
    numbers of Melting Pot's fruit_market (Agapiou et al. 2022).

    Farmers harvest the ripe trees of their own fruit at once, those of the other fruit rarely (0.04 per step), and like
    the other fruit better: it is worth 8 to them when they eat it, their own fruit 1. Trees are drawn anew for each
    episode: a cell bears an apple tree with probability `apple_trees`, which may differ between the regions of a map
    (see `MarketMap`), a banana tree with probability `banana_trees`, or none. A step, in this order:

    1. Players eat a fruit that they hold, make or cancel an offer, move, or stay. An offer, "up to 3 apples for 1
       banana", stands until it is carried out, replaced or cancelled, and can be accepted while its player holds what
       it gives.
    2. Whoever stands on a ripe tree may harvest 2 fruit. The tree is ripe again 50 steps later.
    3. Trades: two offers fit if each gives at least what the other asks for, and the smallest quantities that do so
       change hands: what was asked for. Players trade within a radius of 4. In random order everybody gets one turn,
       and trades with somebody whose offer fits, unless either of them has a better one: an offer that is dominated,
       that gives no more and asks for no less than another which fits, is dropped. Whoever traded has no offer any
       more.
    4. Every second move costs 1 stamina of 18, and so does each step in water, and each step without a meal from the
       50th on; a step in which a player does not move, and stands on no tree, restores 1. A player with 6 or less
       cannot move for 2 steps after each move, one with none for 6.

    Actions: stay, up, right, down, left; eat own fruit, eat other fruit; cancel; give up to g own for a other (g = 1 to
    `max_give`, and for each g, a = 1 to `max_ask`); give up to g other for a own. Own and other are relative to what a
    player grows, so that a policy of an apple farmer can be that of a banana farmer. Players do not see the time; the
    episode is cut at the horizon (`truncated`).

    Prices are bananas per apple. Where all farmers sell everything they grow, supply meets demand at the price
    `scarcity`, the bananas harvested per apple harvested, as long as that lies between 1/8 and 8: at other prices one
    side would rather eat its own fruit.

    Differences from Melting Pot:

    - Moves are in compass directions; there is no holding, pulling or shoving.
    - Nobody enters a cell in which somebody stands before the step; of several players who want the same free cell one
      enters, with equal probabilities.
    - A player that stays on a tree harvests it again when it is ripe; there it has to step off and on again.
    - If several offers fit and none of them is dominated, the partner is drawn; there it depends on the order in which
      the engine lists objects.
    - Observations are a window of planes and numbers, as one vector, instead of pixels.

    Attributes:
        num_players: 2 to 32; the layout needs a start for each.
        apple_farmers: how many players grow apples, those of the first seats; None for half of them, rounded up.
        layout: "small" (5 x 5 cells, one region), "banks" (two regions of 5 x 4 cells and a river between them),
            "rivers" (27 x 27 cells, four regions in rings, separated by rivers), or rows of text, see `maps.LETTERS`.
        sides: cells that players see to each side.
        max_give, max_ask: the largest quantities of an offer.
        apple_trees, banana_trees: one number, or one for each region.
        own_tree_chance, other_tree_chance, own_fruit_reward, other_fruit_reward, harvest, regrowth, radius,
            hunger_delay, water_cost, horizon: see `FruitMarketParams`.
        name: for records and messages.

    Raises:
        ValueError: for a setting out of its range. One line: the setting, its value and what is allowed.
    """

    num_players: int = 4
    apple_farmers: int | None = None
    layout: str | tuple[str, ...] = "small"
    sides: int = 2
    max_give: int = 3
    max_ask: int = 2
    apple_trees: float | tuple[float, ...] = 0.2
    banana_trees: float | tuple[float, ...] = 0.2
    own_tree_chance: float = 1.0
    other_tree_chance: float = 0.04
    own_fruit_reward: float = 1.0
    other_fruit_reward: float = 8.0
    harvest: int = 2
    regrowth: int = 50
    radius: int = 4
    hunger_delay: int = 50
    water_cost: int = 1
    horizon: int = 1000
    name: str = "fruit_market"

    def __post_init__(self):
        # The dataclass is frozen; normalising fields here makes equal games equal and hashable.
        if not isinstance(self.layout, str):
            object.__setattr__(self, "layout", tuple(self.layout))
        world = read_map(self.layout)
        most = min(len(world.starts), trading.MAX_PLAYERS)
        check_integer("num_players", self.num_players, 2)
        if self.num_players > most:
            allowed = f"2 to {most} (the layout has {len(world.starts)} starts)"
            raise ValueError(f"num_players is {self.num_players}; allowed: {allowed}")
        if self.apple_farmers is not None:
            check_integer("apple_farmers", self.apple_farmers, 0, self.num_players)
        check_integer("sides", self.sides, 0, 10)
        for what in ("max_give", "max_ask"):
            check_integer(what, getattr(self, what), 1, 9)
        for what in _TREES:
            given = getattr(self, what)
            chances = given if isinstance(given, list | tuple) else (given,) * world.regions
            if len(chances) != world.regions:
                raise ValueError(f"{what} is {given!r}; allowed: a number, or one for each of {world.regions} regions")
            object.__setattr__(self, what, tuple(check_number(what, chance, 0, 1) for chance in chances))
        for what in _CHANCES:
            object.__setattr__(self, what, check_number(what, getattr(self, what), 0, 1))
        for what in _REWARDS:
            object.__setattr__(self, what, check_number(what, getattr(self, what)))
        for what in _INTEGERS:
            check_integer(what, getattr(self, what), 1 if what in ("regrowth", "hunger_delay") else 0, 10**6)
        check_integer("horizon", self.horizon, 1, 2**31 - 2)

    @property
    def world(self) -> MarketMap:
        """The layout as grids of cells."""
        return read_map(self.layout)

    @property
    def kinds(self) -> np.ndarray:
        """What each player grows, [players] int32: 0 apples, 1 bananas."""
        growers = (self.num_players + 1) // 2 if self.apple_farmers is None else self.apple_farmers
        return (np.arange(self.num_players) >= growers).astype(np.int32)

    @property
    def actions(self) -> tuple[str, ...]:
        """The names of the actions."""
        found = [*rules.MOVES, "eat own", "eat other", "cancel"]
        for own, other in self._own_and_other():
            gives, asks = (f"{-own} own", f"{other} other") if own < 0 else (f"{-other} other", f"{own} own")
            found.append(f"give up to {gives} for {asks}")
        return tuple(found)

    @property
    def action_space(self) -> Discrete:
        """One player's action, an index of `actions`."""
        return Discrete(OFFERS + 2 * self.max_give * self.max_ask)

    @property
    def observation_space(self) -> Box:
        """What one player sees, float32 from -1 to 1:

        - the cells around it, [height, width, 8] flattened: ripe trees of its own fruit, of the other; unripe ones,
          likewise; farmers of its own fruit, itself included, of the other; water; walls and the outside
        - what it holds of its own and of the other fruit, as x / (x + 5); its offer, own and other, divided by the
          largest quantity, 0 if it cannot be accepted; hunger and stamina, 1 when full; whether it cannot move
        - for each other player by ascending seat: whether it grows the same fruit; whether it is close enough to trade;
          if so its offer, like the own one
        """
        return Box((view.size(self.num_players, self.sides),), -1.0)

    @property
    def default_params(self) -> FruitMarketParams:
        """The default numbers, in jax's default float type."""
        return FruitMarketParams(
            **{
                what: jnp.asarray(
                    getattr(self, what), dtype=float if what in _TREES + _CHANCES + _REWARDS else jnp.int32
                )
                for what in FruitMarketParams.__dataclass_fields__
            }
        )

    def reset(self, key: jax.Array, params: FruitMarketParams) -> tuple[jax.Array, FruitMarketState]:
        """All trees ripe, players on distinct starts, rested, fed and with empty hands."""
        n, world = self.num_players, self.world
        cells = world.rows * world.columns
        words = jax.random.bits(key, (n + cells,), jnp.uint32)
        zeros = jnp.zeros((n,), jnp.int32)
        none = jnp.zeros((n, 2), jnp.int32)
        state = FruitMarketState(
            places=jnp.asarray(world.starts, jnp.int32)[draw_distinct(words[:n], len(world.starts))],
            held=none,
            offers=none,
            hunger=zeros,
            stamina=jnp.full((n,), rules.FULL, jnp.int32),
            moves=zeros,
            weary=zeros,
            trees=self._trees(words[n:], params),
            ripe_in=jnp.zeros((cells,), jnp.int32),
            step=jnp.int32(0),
        )
        return self.observe(state, params), state

    def step(
        self, key: jax.Array, state: FruitMarketState, actions: jax.Array, params: FruitMarketParams
    ) -> tuple[jax.Array, FruitMarketState, jax.Array, jax.Array, jax.Array, dict[str, jax.Array]]:
        """Plays one joint action; the class describes the order of events.

        Returns:
            as `Environment.step`; in `info`, for this step: `harvested` and `eaten` [players, fruit] int32; `traded`
            [players, fruit] int32, what each got (above 0) and gave (below 0); `partner` [players] int32, with whom it
            traded, -1 for nobody; `region` [players] int32, where it stands, the number of regions for water.
        """
        n, world, kinds = self.num_players, self.world, self.kinds
        chosen = check_actions(actions, n, self.action_space)
        words = jax.random.bits(key, (3 * n,), jnp.uint32)
        fruit = np.arange(2, dtype=np.int32)[None]

        wanted = jnp.where(chosen == EAT_OWN, kinds, jnp.where(chosen == EAT_OTHER, 1 - kinds, -1))
        eaten = ((wanted[:, None] == fruit) & (state.held > 0)).astype(jnp.int32)
        held = state.held - eaten
        offers = jnp.where((chosen == CANCEL)[:, None], 0, state.offers)
        made = jnp.asarray(self._offers())[np.arange(n), jnp.maximum(chosen - OFFERS, 0)]
        offers = jnp.where((chosen >= OFFERS)[:, None], made, offers)

        moved = (chosen > 0) & (chosen < len(rules.MOVES)) & (state.weary == 0)
        places = rules.move(state.places, jnp.where(moved, chosen, 0), words[:n], world)
        cells = places[:, 0] * world.columns + places[:, 1]
        harvested, ripe_in = rules.harvest(state, cells, kinds, words[n : 2 * n], params)
        held = held + harvested

        open_offers = jnp.where(trading.standing(offers, held)[:, None], offers, 0)
        fits = trading.fit(open_offers, view.close(places, params))
        partner = trading.partners(fits, trading.better(open_offers), _ranks(words[2 * n :]))
        traded = trading.exchanged(open_offers, partner)

        ate = jnp.any(eaten > 0, axis=1)
        region = jnp.asarray(world.region, jnp.int32)[places[:, 0], places[:, 1]]
        on_water = jnp.asarray(world.water)[places[:, 0], places[:, 1]]
        hunger, stamina, moves, weary = rules.body(state, moved, ate, state.trees[cells] > 0, on_water, params)
        after = FruitMarketState(
            places=places,
            held=held + traded,
            offers=jnp.where((partner >= 0)[:, None], 0, offers),
            hunger=hunger,
            stamina=stamina,
            moves=moves,
            weary=weary,
            trees=state.trees,
            ripe_in=ripe_in,
            step=state.step + 1,
        )
        own, other = (jnp.sum(jnp.where(fruit == kind[:, None], eaten, 0), axis=1) for kind in (kinds, 1 - kinds))
        rewards = jnp.where(own > 0, params.own_fruit_reward, 0) + jnp.where(other > 0, params.other_fruit_reward, 0)
        info = {"harvested": harvested, "eaten": eaten, "traded": traded, "partner": partner, "region": region}
        return self.observe(after, params), after, rewards, jnp.asarray(False), after.step >= params.horizon, info

    def observe(self, state: FruitMarketState, params: FruitMarketParams) -> jax.Array:
        """What the players see, [players, ...], see `observation_space`."""
        return view.seen(state, params, self.world, self.kinds, self.sides, max(self.max_give, self.max_ask))

    def start_counts(self) -> dict[str, jax.Array]:
        """See `measures.start_counts`."""
        return measures.start_counts(self.num_players, self.world.regions)

    def count(
        self,
        counts: dict[str, jax.Array],
        state: FruitMarketState,
        actions: jax.Array,
        rewards: jax.Array,
        ended: jax.Array,
        info: dict[str, jax.Array],
    ) -> dict[str, jax.Array]:
        """The counts after one more step."""
        del state, actions, rewards
        return measures.count(counts, ended, info)

    @property
    def measures(self) -> Mapping[str, Measure]:
        """The measures whose values `metrics` returns."""
        return measures.market_measures(self.world.regions)

    def metrics(self, counts: Mapping[str, Any]) -> dict[str, jax.Array]:
        """The values of `measures`."""
        return measures.metrics(counts)

    @property
    def showcase(self) -> str:
        return "trades"

    @property
    def number_names(self) -> tuple[str, ...]:
        return (*_TREES, *_CHANCES, *_REWARDS, *_INTEGERS)

    def image(self, state: FruitMarketState, params: FruitMarketParams) -> np.ndarray:
        """The map, and what everybody holds and offers; see `drawing.image`."""
        del params
        return drawing.image(self.world, state, self.kinds)

    def text(self, state: FruitMarketState, params: FruitMarketParams) -> str:
        """The map, and what everybody holds and offers; see `drawing.text`."""
        del params
        return drawing.text(self.world, state, self.kinds)

    def _trees(self, words: jax.Array, params: FruitMarketParams) -> jax.Array:
        """Which tree each cell bears, [cells] int32, from random words [cells]."""
        world = self.world
        region = np.minimum(world.region, world.regions - 1).reshape(-1)
        apples, bananas = params.apple_trees[region], params.banana_trees[region]
        drawn = uniform(words).astype(apples.dtype)
        trees = jnp.where(drawn < apples, 1, jnp.where(drawn < apples + bananas, 2, 0))
        return jnp.where(world.bears.reshape(-1), trees, 0).astype(jnp.int32)

    def _own_and_other(self) -> list[tuple[int, int]]:
        """The offers in the order of their actions: own and other fruit, above 0 what is asked for."""
        sizes = [(give, ask) for give in range(1, self.max_give + 1) for ask in range(1, self.max_ask + 1)]
        return [(-give, ask) for give, ask in sizes] + [(ask, -give) for give, ask in sizes]

    def _offers(self) -> np.ndarray:
        """The same as apples and bananas, [players, offers, fruit] int32."""
        own_first = np.array(self._own_and_other(), np.int32)
        return np.stack([own_first[:, ::-1] if kind else own_first for kind in self.kinds])


def _ranks(words: jax.Array) -> jax.Array:
    """A random permutation, [players] int32, from words [players] uint32. Of equal words, which are rare, the earlier
    seat's comes first."""
    n = words.shape[0]
    seats = np.arange(n)
    before = words[None] < words[:, None]
    tied = (words[None] == words[:, None]) & (seats[None] < seats[:, None])
    return jnp.sum(before | tied, axis=1, dtype=jnp.int32)
