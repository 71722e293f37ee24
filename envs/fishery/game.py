"""A common fishery: what one player catches today, nobody can catch tomorrow. This is the environment; its two models,
with their closed forms, are `envs.fishery.great_fish_war` and `envs.fishery.gordon_schaefer`."""

from dataclasses import dataclass

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from shaping.envs.declarations import Measure
from shaping.envs.drawing import gauge_image
from shaping.envs.environment import check_actions, check_choice, check_integer, check_number
from shaping.envs.fishery import gordon_schaefer, great_fish_war
from shaping.envs.fishery.gordon_schaefer import GordonSchaeferParams
from shaping.envs.fishery.great_fish_war import GreatFishWarParams
from shaping.envs.grid.player_order import own_first
from shaping.envs.measures import fraction, per_player
from shaping.envs.spaces import Box

MAX_PLAYERS = 8
MODELS = {"great_fish_war": great_fish_war.DEFAULTS, "gordon_schaefer": gordon_schaefer.DEFAULTS}
"""The models, and the numbers of each."""
_SMALL = 1e-6
_RANGES = {
    "initial": (_SMALL, np.inf),
    "growth": (_SMALL, np.inf),
    "discount": (_SMALL, 1 - _SMALL),
    "smallest_catch": (1e-30, 1.0),
    "threshold": (0.0, np.inf),
    "capacity": (_SMALL, np.inf),
    "efficiency": (_SMALL, np.inf),
    "price": (_SMALL, np.inf),
    "costs": (0.0, np.inf),
}


@flax.struct.dataclass
class FisheryState:
    """The stock, and the last efforts and catches.

    Attributes:
        stock: [] float.
        efforts: [players] float in [0, 1], of the last step; 0 at the start.
        catches: [players] float, of the last step; 0 at the start.
        step: [] int32, steps since the reset.
    """

    stock: jax.Array
    efforts: jax.Array
    catches: jax.Array
    step: jax.Array


@dataclass(frozen=True)
class Fishery:
    """n players fish from one stock, simultaneously, step after step.

    An action is an effort in [0, 1]. With model "great_fish_war" (Levhari and Mirman 1980) it is the part of the stock
    to catch; if the efforts add up to more than 1 they are divided by their sum. The reward is the logarithm of the
    catch, and what is left grows to a power below 1. Depletion ends the game, and its reward includes the loss of
    catching next to nothing for ever after (`great_fish_war.play`; the paper has no depletion). With model
    "gordon_schaefer" (Gordon 1954, Schaefer 1957; Pax's `Fishery`) catches are efficiency x effort x stock, the reward
    is price x catch - cost x effort, and growth is logistic; depletion ends the game, with nothing to come. Differences
    from Pax: efforts have an upper bound, every player sees its own effort first, and depletion terminates the episode.

    Attributes:
        num_players: 2 to 8.
        model: "great_fish_war" or "gordon_schaefer".
        initial, growth, discount, smallest_catch, threshold, capacity, efficiency, price, costs: default numbers, see
            `GreatFishWarParams` and `GordonSchaeferParams`; None for the model's own (`MODELS`). Numbers that a model
            does not have are refused. costs may be one per player.
        horizon: steps of an episode; its end truncates the episode.
        name: for records and messages.

    Raises:
        ValueError: for a setting out of its range, or of the other model. One line: the setting, its value and what is
            allowed.
    """

    num_players: int = 2
    model: str = "great_fish_war"
    initial: float | None = None
    growth: float | None = None
    discount: float | None = None
    smallest_catch: float | None = None
    threshold: float | None = None
    capacity: float | None = None
    efficiency: float | None = None
    price: float | None = None
    costs: float | tuple[float, ...] | None = None
    horizon: int = 50
    name: str = "fishery"

    def __post_init__(self):
        n = check_integer("num_players", self.num_players, 2, MAX_PLAYERS)
        check_choice("model", self.model, tuple(MODELS))
        check_integer("horizon", self.horizon, 1, 2**31 - 2)
        defaults = MODELS[self.model]
        for field, (low, high) in _RANGES.items():
            value = getattr(self, field)
            if field not in defaults:
                if value is not None:
                    own = ", ".join(defaults)
                    raise ValueError(f"{field} is {value!r}; allowed: with model {self.model} only {own}")
                continue
            value = defaults[field] if value is None else value
            if field == "growth" and self.model == "great_fish_war":
                high = 1 - _SMALL
            if field == "costs":
                costs = value if isinstance(value, list | tuple) else (value,) * n
                if len(costs) != n:
                    raise ValueError(f"costs is {value!r}; allowed: a number, or one for each of {n} players")
                value = tuple(check_number(field, cost, low, high) for cost in costs)
            else:
                value = check_number(field, value, low, high)
            # The dataclass is frozen; normalising fields here makes equal games equal and hashable.
            object.__setattr__(self, field, value)
        if self.initial is not None and self.threshold is not None and self.initial <= self.threshold:
            raise ValueError(f"initial is {self.initial!r}; allowed: a number above the threshold, {self.threshold:g}")

    @property
    def action_space(self) -> Box:
        """An effort."""
        return Box((1,), 0.0, 1.0)

    @property
    def observation_space(self) -> Box:
        """1 after the first step; the stock; the last efforts, the player's own first, then the others' by ascending
        seat."""
        return Box((2 + self.num_players,), 0.0, np.inf)

    @property
    def default_params(self) -> GreatFishWarParams | GordonSchaeferParams:
        numbers = {field: jnp.asarray(getattr(self, field), dtype=float) for field in MODELS[self.model]}
        params = GreatFishWarParams if self.model == "great_fish_war" else GordonSchaeferParams
        return params(**numbers, horizon=jnp.int32(self.horizon))

    def reset(
        self, key: jax.Array, params: GreatFishWarParams | GordonSchaeferParams
    ) -> tuple[jax.Array, FisheryState]:
        """The start, with the initial stock. Not random."""
        del key
        dtype = params.initial.dtype
        none = jnp.zeros((self.num_players,), dtype)
        state = FisheryState(params.initial, none, none, jnp.int32(0))
        return self.observe(state, params), state

    def step(
        self,
        key: jax.Array,
        state: FisheryState,
        actions: jax.Array,
        params: GreatFishWarParams | GordonSchaeferParams,
    ) -> tuple[jax.Array, FisheryState, jax.Array, jax.Array, jax.Array, dict[str, jax.Array]]:
        """Fishes once. Pure; one environment (vmap for many); never resets itself.

        Args:
            key: not used, because nothing is random.
            state: the state before.
            actions: [players, 1] float in [0, 1], efforts.
            params: the fishery's numbers.

        Returns:
            obs: [players, ...] float32, see `observation_space`.
            state: the state after.
            rewards: [players] float.
            terminated: [] bool, whether the stock is depleted.
            truncated: [] bool, whether the horizon is reached and the stock is not depleted.
            info: {"catches": [players] float, "depleted": [] bool}.

        Raises:
            ValueError: for actions of a wrong shape or dtype, and, outside of jit, of a wrong value.
        """
        del key
        actions = check_actions(actions, self.num_players, self.action_space)
        efforts = actions[:, 0].astype(params.initial.dtype)
        if isinstance(params, GreatFishWarParams):
            stock, catches, rewards, depleted = great_fish_war.play(state.stock, efforts, params)
        else:
            stock, catches, rewards, depleted = gordon_schaefer.play(state.stock, efforts, params)
        after = FisheryState(stock, efforts, catches, state.step + 1)
        truncated = (after.step >= params.horizon) & ~depleted
        info = {"catches": catches, "depleted": depleted}
        return self.observe(after, params), after, rewards, depleted, truncated, info

    def observe(self, state: FisheryState, params: GreatFishWarParams | GordonSchaeferParams) -> jax.Array:
        """What the players see, [players, ...] float32."""
        del params
        common = jnp.stack([(state.step > 0).astype(jnp.float32), state.stock.astype(jnp.float32)])
        efforts = own_first(state.efforts.astype(jnp.float32))
        return jnp.concatenate([jnp.broadcast_to(common, (self.num_players, 2)), efforts], axis=1)

    def start_counts(self) -> dict[str, jax.Array]:
        """Zero for what `count` adds up: `steps` and `depletions` [] int32; `stock` [], before fishing, `catches`,
        `efforts` and `rewards` [players] float32."""
        none = jnp.zeros((self.num_players,), jnp.float32)
        integers = {"steps": jnp.int32(0), "depletions": jnp.int32(0)}
        return integers | {"stock": jnp.float32(0)} | dict.fromkeys(("catches", "efforts", "rewards"), none)

    def count(
        self,
        counts: dict[str, jax.Array],
        state: FisheryState,
        actions: jax.Array,
        rewards: jax.Array,
        ended: jax.Array,
        info: dict[str, jax.Array],
    ) -> dict[str, jax.Array]:
        """The sums after one more step; divided by `steps` they are means."""
        del ended
        added = {
            "steps": jnp.int32(1),
            "depletions": info["depleted"].astype(jnp.int32),
            "stock": state.stock.astype(jnp.float32),
            "catches": info["catches"].astype(jnp.float32),
            "efforts": actions[:, 0].astype(jnp.float32),
            "rewards": rewards.astype(jnp.float32),
        }
        return {name: counts[name] + more for name, more in added.items()}

    @property
    def measures(self) -> dict[str, Measure]:
        """Efforts and catches, and what becomes of the stock."""
        return {
            "effort": Measure("The effort of a player, mean over steps.", "effort", low=0.0, high=1.0),
            "catch": Measure("What a player catches in a step.", "catch", low=0.0),
            "stock": Measure("The stock before fishing, mean over steps; the same for all players.", "stock", low=0.0),
            "depletion": Measure(
                "The fraction of episodes in which the stock is depleted; the same for all players.",
                "depleted episodes",
                low=0.0,
                high=1.0,
                per_episode=True,
            ),
        }

    def metrics(self, counts: dict[str, jax.Array]) -> dict[str, jax.Array]:
        """The values of `measures`."""
        steps, n = jnp.asarray(counts["steps"]), self.num_players
        return {
            "effort": fraction(counts["efforts"], steps[..., None]),
            "catch": fraction(counts["catches"], steps[..., None]),
            "stock": per_player(fraction(counts["stock"], steps), n),
            "depletion": per_player(counts["depletions"], n),
        }

    @property
    def number_names(self) -> tuple[str, ...]:
        return tuple(MODELS[self.model])

    def image(self, state: FisheryState, params: GreatFishWarParams | GordonSchaeferParams) -> np.ndarray:
        """One bar per player, its last effort; the black one is the stock relative to the stock that remains without
        fishing."""
        full = 1.0 if isinstance(params, GreatFishWarParams) else float(params.capacity)
        return gauge_image(list(np.asarray(state.efforts)), [float(state.stock) / full])

    def text(self, state: FisheryState, params: GreatFishWarParams | GordonSchaeferParams) -> str:
        """For example "step 3: stock 0.410, catches 0.120 0.140"."""
        del params
        line = f"step {int(state.step)}: stock {float(state.stock):.3f}"
        if not int(state.step):
            return line
        return f"{line}, catches {' '.join(f'{x:.3f}' for x in np.asarray(state.catches))}"
