"""The public goods game as an environment: contributions are multiplied and shared by all. With or without
punishment.

Closed forms are pure functions of `PublicGoodsParams`.
"""

from dataclasses import dataclass

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from shaping.envs.declarations import Measure
from shaping.envs.drawing import gauge_image
from shaping.envs.environment import check_actions, check_choice, check_integer, check_number
from shaping.envs.grid.player_order import others, own_first
from shaping.envs.measures import fraction
from shaping.envs.spaces import Box, Discrete

MAX_PLAYERS = 8
MAX_ACTIONS = 4096
CONTRIBUTIONS = ("continuous", "discrete")


@flax.struct.dataclass
class PublicGoodsParams:
    """The numbers of a public goods game. Every leaf may carry leading axes that a vmap maps over.

    Attributes:
        endowment: [] float above 0, what each player gets in each round.
        factor: [] float, by which the sum of contributions is multiplied before it is shared equally.
        max_points: [] float, the most punishment points that one player can give another in a round.
        cost: [] float, what a point costs its giver.
        harm: [] float, what a point costs its receiver.
        horizon: [] int32, steps of an episode; a round with punishment has two steps.
    """

    endowment: jax.Array
    factor: jax.Array
    max_points: jax.Array
    cost: jax.Array
    harm: jax.Array
    horizon: jax.Array


@flax.struct.dataclass
class PublicGoodsState:
    """The last contributions and punishments.

    Attributes:
        contributions: [players] float in [0, 1], shares of the endowment, in this round or, before they are made, in
            the previous one; 0 at the start.
        received: [players] float in [0, 1], points that each received in the last punishment, relative to the most that
            all others together can give.
        punishing: [] bool, whether the next actions are punishments.
        step: [] int32, steps since the reset.
    """

    contributions: jax.Array
    received: jax.Array
    punishing: jax.Array
    step: jax.Array


def payoffs(contributions: jax.Array, params: PublicGoodsParams) -> jax.Array:
    """The payoffs of contributions [players] in units of money, [players]:
    endowment - own contribution + factor x (sum of contributions) / players."""
    shared = params.factor * jnp.sum(contributions) / contributions.shape[-1]
    return params.endowment - contributions + shared


def punishment_payoffs(points: jax.Array, params: PublicGoodsParams) -> jax.Array:
    """The payoffs of punishment points, points[giver, receiver] with zeros on the diagonal, [players], none above 0:
    - cost x points given - harm x points received."""
    return -params.cost * jnp.sum(points, axis=1) - params.harm * jnp.sum(points, axis=0)


def dominant_contribution(params: PublicGoodsParams, num_players: int) -> jax.Array:
    """The best contribution in one round whatever the others do, [] float in units of money: nothing if factor <
    players, the endowment if factor > players; if they are equal, all contributions are equally good and the result is
    arbitrary. Because punishing only costs, it is also the subgame-perfect play of a finite horizon, without any
    punishment."""
    return jnp.where(params.factor > num_players, params.endowment, jnp.zeros_like(params.endowment))


def optimal_contribution(params: PublicGoodsParams) -> jax.Array:
    """The contribution that maximises the sum of payoffs if all make it, [] float in units of money: the endowment if
    factor > 1, otherwise nothing."""
    return jnp.where(params.factor > 1, params.endowment, jnp.zeros_like(params.endowment))


@dataclass(frozen=True)
class PublicGoods:
    """n players keep their endowment or put it into a common good, which is multiplied and shared equally.

    A round pays endowment - own contribution + factor x (sum of contributions) / n (Isaac and Walker 1988, with
    factor / n as marginal per capita return). With 1 < factor < n contributing nothing is dominant, and it is best for
    all if everybody contributes everything.

    With punishment a round has two steps (Fehr and Gaechter 2000): contributions are made and seen by all, and then
    each player may give points to each other player. A point costs its giver 1 and its receiver 3, both linearly, with
    at most 10 points from one player to another (the schedule of Fehr and Gaechter 2002; that of 2000 is convex and
    takes 10 % of the receiver's earnings per point). Payoffs may become negative. Players keep their seats and see each
    player's contributions; of punishments they see how much each received, but not from whom. The first step pays the
    contributions, the second subtracts the punishments. Default numbers: endowment 20, four players, factor 1.6 (a
    return of 0.4 each) as in that paper.

    Actions. Continuous: a vector in [0, 1], first the share of the endowment to contribute, then, with punishment, the
    share of max_points for each of the others by ascending seat; each step reads only the part that concerns it.
    Discrete: in the first step, action 0 .. levels - 1 contributes action / (levels - 1) of the endowment; in the
    second step the action, read as a number of n - 1 digits to the base punishment_levels, the first of the others most
    significant, gives the points for each other player, digit / (punishment_levels - 1) of max_points. An action that
    does not exist in a step contributes nothing and punishes nobody. Note that action 0 contributes nothing, whereas in
    a matrix game it cooperates.

    Attributes:
        num_players: 2 to 8.
        contributions: "continuous" or "discrete".
        levels: number of discrete contributions, 2 or more.
        punishment: whether there is a second step.
        punishment_levels: number of levels of discrete punishment, 2 or more.
        endowment, factor, max_points, cost, harm: the default numbers, see `PublicGoodsParams`.
        horizon: steps of an episode; its end truncates the episode; even with punishment, because a round has two
            steps.
        name: for records and messages.

    Raises:
        ValueError: for a setting out of its range, or more than 4096 discrete actions. One line: the setting, its value
            and what is allowed.
    """

    num_players: int = 4
    contributions: str = "continuous"
    levels: int = 2
    punishment: bool = False
    punishment_levels: int = 2
    endowment: float = 20.0
    factor: float = 1.6
    max_points: float = 10.0
    cost: float = 1.0
    harm: float = 3.0
    horizon: int = 20
    name: str = "public_goods"

    def __post_init__(self):
        n = check_integer("num_players", self.num_players, 2, MAX_PLAYERS)
        check_choice("contributions", self.contributions, CONTRIBUTIONS)
        check_choice("punishment", self.punishment, (False, True))
        check_integer("levels", self.levels, 2, MAX_ACTIONS)
        check_integer("punishment_levels", self.punishment_levels, 2, MAX_ACTIONS)
        if self.contributions == "discrete" and self.punishment and self.punishment_levels ** (n - 1) > MAX_ACTIONS:
            raise ValueError(
                f"punishment_levels is {self.punishment_levels}; allowed: at most {MAX_ACTIONS} actions, "
                f"punishment_levels^{n - 1} with {n} players (or contributions continuous)"
            )
        object.__setattr__(self, "endowment", check_number("endowment", self.endowment, 1e-6))
        for field in ("factor", "max_points", "cost", "harm"):
            object.__setattr__(self, field, check_number(field, getattr(self, field), 0))
        check_integer("horizon", self.horizon, 1, 2**31 - 2)
        if self.punishment and self.horizon % 2:
            raise ValueError(f"horizon is {self.horizon}; allowed: an even number with punishment, two steps per round")

    @property
    def action_space(self) -> Discrete | Box:
        """See the class."""
        n = self.num_players
        if self.contributions == "continuous":
            return Box((n if self.punishment else 1,), 0.0, 1.0)
        return Discrete(max(self.levels, self.punishment_levels ** (n - 1) if self.punishment else 0))

    @property
    def observation_space(self) -> Box:
        """1 after the first contributions; the last contributions, one's own first, then the others' by ascending seat;
        with punishment also 1 if punishments come next, and what each received in the last punishment, oneself
        first."""
        return Box((1 + self.num_players + (1 + self.num_players if self.punishment else 0),), 0.0, 1.0)

    @property
    def default_params(self) -> PublicGoodsParams:
        endowment, factor, max_points, cost, harm = (
            jnp.asarray(x, dtype=float) for x in (self.endowment, self.factor, self.max_points, self.cost, self.harm)
        )
        return PublicGoodsParams(endowment, factor, max_points, cost, harm, jnp.int32(self.horizon))

    def reset(self, key: jax.Array, params: PublicGoodsParams) -> tuple[jax.Array, PublicGoodsState]:
        """The start, before any contribution. Not random."""
        del key
        zeros = jnp.zeros((self.num_players,), params.endowment.dtype)
        state = PublicGoodsState(zeros, zeros, jnp.asarray(False), jnp.int32(0))
        return self.observe(state, params), state

    def step(
        self, key: jax.Array, state: PublicGoodsState, actions: jax.Array, params: PublicGoodsParams
    ) -> tuple[jax.Array, PublicGoodsState, jax.Array, jax.Array, jax.Array, dict[str, jax.Array]]:
        """Plays contributions, or punishments. Pure; one environment (vmap for many); never resets itself.

        Args:
            key: not used, because nothing is random.
            state: the state before.
            actions: [players, ...], see the class.
            params: the game's numbers.

        Returns:
            obs: [players, ...] float32, see `observation_space`.
            state: the state after.
            rewards: [players] float.
            terminated: [] bool, always False.
            truncated: [] bool, whether the horizon is reached.
            info: {"contributed": [players] float, in units of money, 0 in a step of punishments; "points":
                [players, players] float, from whom to whom, 0 in a step of contributions}.

        Raises:
            ValueError: for actions of a wrong shape or dtype, and, outside of jit, of a wrong value.
        """
        del key
        n = self.num_players
        actions = check_actions(actions, n, self.action_space)
        dtype = params.endowment.dtype
        shares = self._shares(actions).astype(dtype)
        given = params.endowment * shares
        points = jnp.zeros((n, n), dtype)
        rewards, received, punishing = payoffs(given, params), state.received, state.punishing
        contributions = shares
        if self.punishment:
            fractions = jnp.where(punishing, self._punishments(actions).astype(dtype), 0)
            points = params.max_points * fractions
            rewards = jnp.where(punishing, punishment_payoffs(points, params), rewards)
            received = jnp.where(punishing, jnp.sum(fractions, axis=0) / (n - 1), received)
            contributions = jnp.where(punishing, state.contributions, shares)
            given = jnp.where(punishing, 0, given)
            punishing = ~punishing
        after = PublicGoodsState(contributions, received, punishing, state.step + 1)
        truncated = after.step >= params.horizon
        info = {"contributed": given, "points": points}
        return self.observe(after, params), after, rewards, jnp.asarray(False), truncated, info

    def observe(self, state: PublicGoodsState, params: PublicGoodsParams) -> jax.Array:
        """What the players see, [players, ...] float32."""
        del params
        n = self.num_players
        seen = [_for_all((state.step > 0).astype(jnp.float32), n), own_first(state.contributions.astype(jnp.float32))]
        if self.punishment:
            seen += [_for_all(state.punishing.astype(jnp.float32), n), own_first(state.received.astype(jnp.float32))]
        # Sums of shares may exceed 1 by a rounding error.
        return jnp.minimum(jnp.concatenate(seen, axis=1), 1)

    def start_counts(self) -> dict[str, jax.Array]:
        """Zero for what `count` adds up: `rounds` [] int32, rounds of contributions; `contributed` [players], in units
        of money, `points_given`, `points_received` and `payoffs` [players] float32."""
        zeros = jnp.zeros((self.num_players,), jnp.float32)
        sums = dict.fromkeys(("contributed", "points_given", "points_received", "payoffs"), zeros)
        return {"rounds": jnp.int32(0), **sums}

    def count(
        self,
        counts: dict[str, jax.Array],
        state: PublicGoodsState,
        actions: jax.Array,
        rewards: jax.Array,
        ended: jax.Array,
        info: dict[str, jax.Array],
    ) -> dict[str, jax.Array]:
        """The sums after one more step; divided by `rounds` they are means per round."""
        del actions, ended
        added = {
            "rounds": (~state.punishing).astype(jnp.int32),
            "contributed": info["contributed"].astype(jnp.float32),
            "points_given": jnp.sum(info["points"], axis=1).astype(jnp.float32),
            "points_received": jnp.sum(info["points"], axis=0).astype(jnp.float32),
            "payoffs": rewards.astype(jnp.float32),
        }
        return {name: counts[name] + more for name, more in added.items()}

    @property
    def measures(self) -> dict[str, Measure]:
        """Means per round."""
        found = {
            "contribution": Measure("What a player contributes in a round, in units of money.", "contribution", 0.0)
        }
        if self.punishment:
            found["points_given"] = Measure("Punishment points that a player gives in a round.", "points given", 0.0)
            found["points_received"] = Measure(
                "Punishment points that a player receives in a round.", "points received", 0.0
            )
        return found

    def metrics(self, counts: dict[str, jax.Array]) -> dict[str, jax.Array]:
        """The values of `measures`."""
        rounds = jnp.asarray(counts["rounds"])[..., None]
        found = {"contribution": fraction(counts["contributed"], rounds)}
        if self.punishment:
            found |= {name: fraction(counts[name], rounds) for name in ("points_given", "points_received")}
        return found

    @property
    def number_names(self) -> tuple[str, ...]:
        return ("endowment", "factor", "max_points", "cost", "harm")

    def image(self, state: PublicGoodsState, params: PublicGoodsParams) -> np.ndarray:
        """One bar per player, its last contribution relative to the endowment; with punishment also a black one each,
        for the points it received last relative to the maximum."""
        del params
        received = list(np.asarray(state.received)) if self.punishment else []
        return gauge_image(list(np.asarray(state.contributions)), received)

    def text(self, state: PublicGoodsState, params: PublicGoodsParams) -> str:
        """For example "step 3: contributed 20.00 0.00, received 0.00 5.00 points"."""
        given = " ".join(f"{x:.2f}" for x in np.asarray(state.contributions) * float(params.endowment))
        line = f"step {int(state.step)}: contributed {given}"
        if self.punishment:
            most = float(params.max_points) * (self.num_players - 1)
            line += f", received {' '.join(f'{x:.2f}' for x in np.asarray(state.received) * most)} points"
        return line

    def _shares(self, actions: jax.Array) -> jax.Array:
        """Shares of the endowment that actions contribute, [players] float32."""
        if self.contributions == "continuous":
            return actions[:, 0]
        known = actions < self.levels
        return jnp.where(known, actions.astype(jnp.float32) / (self.levels - 1), 0)

    def _punishments(self, actions: jax.Array) -> jax.Array:
        """Shares of the maximum of points, from whom to whom, [players, players] float32 with zeros on the diagonal."""
        n, base = self.num_players, self.punishment_levels
        if self.contributions == "continuous":
            to_others = actions[:, 1:]
        else:
            places = np.array([base ** (n - 2 - k) for k in range(n - 1)], np.int32)
            digits = actions[:, None] // places[None] % base
            known = actions < base ** (n - 1)
            to_others = jnp.where(known[:, None], digits.astype(jnp.float32) / (base - 1), 0)
        zero = jnp.zeros((), to_others.dtype)
        rows = []
        for giver, seats in enumerate(others(n)):
            place_of = {seat: place for place, seat in enumerate(seats)}
            rows.append(jnp.stack([zero if j == giver else to_others[giver, place_of[j]] for j in range(n)]))
        return jnp.stack(rows)


def _for_all(value: jax.Array, num_players: int) -> jax.Array:
    return jnp.broadcast_to(value, (num_players, 1))
