"""Cournot's oligopoly, repeated: firms choose quantities, their sum makes the price. Closed forms, and the environment.

The closed forms are pure functions of `CournotParams` and exact for linear inverse demand and constant marginal costs,
which may differ between firms; they ignore `CournotParams.noise` (of mean 0) and the capacity. Sources: Cournot (1838),
chapter 7; Tirole, The Theory of Industrial Organization (1988), chapters 5 and 6.
"""

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
VIEWS = ("quantities", "price")


@flax.struct.dataclass
class CournotParams:
    """The numbers of a market. Every leaf may carry leading axes that a vmap maps over.

    Attributes:
        intercept: [] float, the price at which nothing is sold.
        slope: [] float above 0, by how much one more unit of quantity lowers the price.
        costs: [players] float, cost of one unit for each firm.
        horizon: [] int32, rounds of an episode.
        noise: [] float, standard deviation of the intercept, which is normal and drawn in each round; None for no
            noise, which saves drawing it.
    """

    intercept: jax.Array
    slope: jax.Array
    costs: jax.Array
    horizon: jax.Array
    noise: jax.Array | None = None


@flax.struct.dataclass
class CournotState:
    """The previous round.

    Attributes:
        quantities: [players] float, 0 at the start.
        price: [] float, 0 at the start.
        step: [] int32, rounds since the reset.
    """

    quantities: jax.Array
    price: jax.Array
    step: jax.Array


def price(quantities: jax.Array, params: CournotParams) -> jax.Array:
    """Inverse demand, intercept - slope x (sum of quantities [players]); [] float, may be negative."""
    return params.intercept - params.slope * jnp.sum(quantities)


def profits(quantities: jax.Array, params: CournotParams) -> jax.Array:
    """(price - cost) x quantity of each firm, [players]."""
    return (price(quantities, params) - params.costs) * quantities


def best_responses(quantities: jax.Array, params: CournotParams) -> jax.Array:
    """Each firm's best response to the quantities of the others, [players]:
    max(0, (intercept - cost - slope x others' quantities) / (2 slope))."""
    of_others = jnp.sum(quantities) - quantities
    return jnp.maximum(0, params.intercept - params.costs - params.slope * of_others) / (2 * params.slope)


def nash_equilibrium(params: CournotParams) -> jax.Array:
    """The quantities of the unique equilibrium of the one-shot game, [players].

    In equilibrium slope x quantity = max(0, price - cost), so that the price solves
    price + sum of max(0, price - cost) = intercept. With the k firms of lowest cost in the market it is
    (intercept + sum of their costs) / (k + 1), and the true k is the one that gives the lowest such price. Firms whose
    costs are above that price stay out. With equal costs each firm sells (intercept - cost) / ((n + 1) slope).
    """
    n = params.costs.shape[-1]
    firms = jnp.arange(n + 1, dtype=params.costs.dtype)
    lowest = jnp.concatenate([jnp.zeros((1,), params.costs.dtype), jnp.cumsum(jnp.sort(params.costs))])
    equilibrium_price = jnp.min((params.intercept + lowest) / (firms + 1))
    return jnp.maximum(0, equilibrium_price - params.costs) / params.slope


def collusive_outcome(params: CournotParams) -> jax.Array:
    """The quantities that maximise the sum of profits, [players].

    This is the monopoly quantity (intercept - cost) / (2 slope), produced by the firm of lowest cost; if several have
    the lowest cost, they produce equal parts.
    """
    lowest = jnp.min(params.costs)
    produces = (params.costs == lowest).astype(params.costs.dtype)
    return produces / jnp.sum(produces) * jnp.maximum(0, params.intercept - lowest) / (2 * params.slope)


def consumer_surplus(quantities: jax.Array, params: CournotParams) -> jax.Array:
    """slope x (sum of quantities)^2 / 2, [] float."""
    return params.slope * jnp.sum(quantities) ** 2 / 2


def critical_discounts(quantities: jax.Array, params: CournotParams) -> jax.Array:
    """The discount from which on each firm keeps to agreed quantities, [players], if any breach is answered by playing
    the Nash equilibrium for ever (Friedman 1971): (deviation - agreed) / (deviation - Nash), all profits. For n firms
    of equal costs that share the monopoly quantity it is (n + 1)^2 / ((n + 1)^2 + 4 n). NaN if a firm gains nothing by
    a breach and loses nothing in the equilibrium."""
    margin = params.intercept - params.costs - params.slope * (jnp.sum(quantities) - quantities)
    deviation = jnp.maximum(0, margin) ** 2 / (4 * params.slope)
    nash = profits(nash_equilibrium(params), params)
    return (deviation - profits(quantities, params)) / (deviation - nash)


@dataclass(frozen=True)
class Cournot:
    """n firms choose quantities simultaneously, round after round.

    The price is intercept - slope x (sum of quantities); each firm earns (price - its cost) x its quantity. Only memory
    connects the rounds. Default numbers: intercept 10, slope 1, costs 1.

    Attributes:
        num_players: 2 to 8 firms.
        intercept, slope: of inverse demand; slope above 0.
        costs: cost of one unit, one number or one per firm. The lowest must be below the intercept.
        capacity: the largest quantity that can be chosen, the upper bound of `action_space`; None for intercept /
            slope, at which a single firm brings the price to 0. It is part of the structure: choose it large enough for
            all parameters that are mapped over.
        noise: None, or the standard deviation of the intercept; quantities are chosen before it is known.
        floor: whether the price stops at 0. Otherwise it may become negative, so that unsold goods cost money. Without
            noise, best responses and the equilibrium are the same either way.
        view: what a firm sees of the last round: the "quantities" of all and the price, or its own quantity and only
            the "price" (as in Green and Porter 1984; with two firms this hides something only if there is noise).
        horizon: rounds of an episode; its end truncates the episode.
        name: for records and messages.

    Raises:
        ValueError: for a setting out of its range. One line: the setting, its value and what is allowed.
    """

    num_players: int = 2
    intercept: float = 10.0
    slope: float = 1.0
    costs: float | tuple[float, ...] = 1.0
    capacity: float | None = None
    noise: float | None = None
    floor: bool = False
    view: str = "quantities"
    horizon: int = 16
    name: str = "cournot"

    def __post_init__(self):
        n = check_integer("num_players", self.num_players, 2, MAX_PLAYERS)
        check_choice("view", self.view, VIEWS)
        check_choice("floor", self.floor, (False, True))
        check_integer("horizon", self.horizon, 1, 2**31 - 2)
        intercept = check_number("intercept", self.intercept)
        slope = check_number("slope", self.slope, 1e-6)
        costs = self.costs if isinstance(self.costs, list | tuple) else (self.costs,) * n
        if len(costs) != n:
            raise ValueError(f"costs is {self.costs!r}; allowed: a number, or one for each of {n} players")
        costs = tuple(check_number("costs", cost, 0) for cost in costs)
        if min(costs) >= intercept:
            raise ValueError(f"costs is {self.costs!r}; allowed: at least one below the intercept, {intercept:g}")
        # Independent of the market's numbers: those that are played may differ from these.
        capacity = intercept / slope if self.capacity is None else check_number("capacity", self.capacity, 1e-6)
        # The dataclass is frozen; normalising fields here makes equal games equal and hashable.
        object.__setattr__(self, "intercept", intercept)
        object.__setattr__(self, "slope", slope)
        object.__setattr__(self, "costs", costs)
        object.__setattr__(self, "capacity", capacity)
        if self.noise is not None:
            object.__setattr__(self, "noise", check_number("noise", self.noise, 0))

    @property
    def action_space(self) -> Box:
        """A quantity."""
        return Box((1,), 0.0, self.capacity or 0.0)

    @property
    def observation_space(self) -> Box:
        """1 after the first round; the last price, the firm's own last quantity and, with view quantities, the others'
        by ascending seat; all 0 at the start."""
        return Box((2 + (self.num_players if self.view == "quantities" else 1),), -np.inf, np.inf)

    @property
    def default_params(self) -> CournotParams:
        return CournotParams(
            jnp.asarray(self.intercept, dtype=float),
            jnp.asarray(self.slope, dtype=float),
            jnp.asarray(self.costs, dtype=float),
            jnp.int32(self.horizon),
            None if self.noise is None else jnp.asarray(self.noise, dtype=float),
        )

    def reset(self, key: jax.Array, params: CournotParams) -> tuple[jax.Array, CournotState]:
        """The start, before any round. Not random."""
        del key
        dtype = params.costs.dtype
        state = CournotState(jnp.zeros((self.num_players,), dtype), jnp.zeros((), dtype), jnp.int32(0))
        return self.observe(state, params), state

    def step(
        self, key: jax.Array, state: CournotState, actions: jax.Array, params: CournotParams
    ) -> tuple[jax.Array, CournotState, jax.Array, jax.Array, jax.Array, dict[str, jax.Array]]:
        """Plays one round. Pure; one environment (vmap for many); never resets itself.

        Args:
            key: for the noise.
            state: the state before.
            actions: [players, 1] float, quantities.
            params: the market's numbers.

        Returns:
            obs: [players, ...] float32, see `observation_space`.
            state: the state after.
            rewards: [players] float, profits.
            terminated: [] bool, always False.
            truncated: [] bool, whether the horizon is reached.
            info: {"price": [] float, "quantities": [players] float, "consumer_surplus": [] float, the area below the
                line of demand without noise}.

        Raises:
            ValueError: for actions of a wrong shape or dtype, and, outside of jit, of a wrong value.
        """
        actions = check_actions(actions, self.num_players, self.action_space)
        dtype = params.costs.dtype
        quantities = actions[:, 0].astype(dtype)
        market_price = price(quantities, params)
        if params.noise is not None:
            market_price = market_price + params.noise * jax.random.normal(key, (), dtype)
        if self.floor:
            market_price = jnp.maximum(market_price, 0)
        rewards = (market_price - params.costs) * quantities
        after = CournotState(quantities, market_price, state.step + 1)
        info = {
            "price": market_price,
            "quantities": quantities,
            "consumer_surplus": consumer_surplus(quantities, params),
        }
        truncated = after.step >= params.horizon
        return self.observe(after, params), after, rewards, jnp.asarray(False), truncated, info

    def observe(self, state: CournotState, params: CournotParams) -> jax.Array:
        """What the firms see, [players, ...] float32."""
        del params
        n = self.num_players
        played = jnp.broadcast_to((state.step > 0).astype(jnp.float32), (n, 1))
        last_price = jnp.broadcast_to(state.price.astype(jnp.float32), (n, 1))
        quantities = state.quantities.astype(jnp.float32)
        seen = own_first(quantities) if self.view == "quantities" else quantities[:, None]
        return jnp.concatenate([played, last_price, seen], axis=1)

    def start_counts(self) -> dict[str, jax.Array]:
        """Zero for what `count` adds up: `steps` [] int32, rounds; `quantities`, `profits` [players], `price` and
        `welfare` [] (profits and consumer surplus) float32."""
        n = self.num_players
        return {
            "steps": jnp.int32(0),
            "quantities": jnp.zeros((n,), jnp.float32),
            "profits": jnp.zeros((n,), jnp.float32),
            "price": jnp.float32(0),
            "welfare": jnp.float32(0),
        }

    def count(
        self,
        counts: dict[str, jax.Array],
        state: CournotState,
        actions: jax.Array,
        rewards: jax.Array,
        ended: jax.Array,
        info: dict[str, jax.Array],
    ) -> dict[str, jax.Array]:
        """The sums after one more round; divided by `steps` they are means."""
        del state, actions, ended
        return {
            "steps": counts["steps"] + 1,
            "quantities": counts["quantities"] + info["quantities"].astype(jnp.float32),
            "profits": counts["profits"] + rewards.astype(jnp.float32),
            "price": counts["price"] + info["price"].astype(jnp.float32),
            "welfare": counts["welfare"] + (jnp.sum(rewards) + info["consumer_surplus"]).astype(jnp.float32),
        }

    @property
    def measures(self) -> dict[str, Measure]:
        """Means over rounds."""
        return {
            "quantity": Measure("The quantity that a firm sells in a round.", "quantity", low=0.0),
            "price": Measure("The price of a round, the same for all firms.", "price"),
            "surplus": Measure(
                "Profits of all firms and consumer surplus of a round, the same for all firms.", "total surplus"
            ),
        }

    def metrics(self, counts: dict[str, jax.Array]) -> dict[str, jax.Array]:
        """The values of `measures`."""
        steps, n = counts["steps"], self.num_players
        return {
            "quantity": fraction(counts["quantities"], jnp.asarray(steps)[..., None]),
            "price": per_player(fraction(counts["price"], steps), n),
            "surplus": per_player(fraction(counts["welfare"], steps), n),
        }

    @property
    def number_names(self) -> tuple[str, ...]:
        return ("intercept", "slope", "costs", "noise")

    def image(self, state: CournotState, params: CournotParams) -> np.ndarray:
        """One bar per firm, its quantity over intercept / slope; the black one is the price over the intercept."""
        most = float(params.intercept) / float(params.slope)
        return gauge_image(list(np.asarray(state.quantities) / most), [float(state.price) / float(params.intercept)])

    def text(self, state: CournotState, params: CournotParams) -> str:
        """For example "step 3: quantities 3.00 2.50, price 4.50"."""
        del params
        if not int(state.step):
            return "step 0: start"
        quantities = " ".join(f"{x:.2f}" for x in np.asarray(state.quantities))
        return f"step {int(state.step)}: quantities {quantities}, price {float(state.price):.2f}"
