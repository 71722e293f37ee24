"""Gift, as an environment, and its closed forms: players hold tokens, and a token that is given away is multiplied for
its receiver.

Closed forms are pure functions of `GiftParams`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from shaping.envs.declarations import Measure
from shaping.envs.drawing import gauge_image
from shaping.envs.environment import check_actions, check_choice, check_integer, check_number
from shaping.envs.grid.player_order import others, own_first
from shaping.envs.measures import fraction, per_player
from shaping.envs.spaces import Box, Discrete

MAX_PLAYERS = 8
RECIPIENTS = ("chosen", "next")


@flax.struct.dataclass
class GiftParams:
    """The numbers of a game. Every leaf may carry leading axes that a vmap maps over.

    Attributes:
        factor: [] float of 0 or more, what a token given away is worth to its receiver.
        horizon: [] int32, steps of an episode.
    """

    factor: jax.Array
    horizon: jax.Array


@flax.struct.dataclass
class GiftState:
    """What all players remember, and the time.

    Attributes:
        gifts: [players, players] bool, from whom to whom a token went in the last step; none at the start.
        step: [] int32, steps taken since the reset.
    """

    gifts: jax.Array
    step: jax.Array


def rewards(gifts: jax.Array, params: GiftParams) -> jax.Array:
    """Rewards of gifts from whom to whom, [players, players] bool with nothing on the diagonal, to [players] float:
    1 - tokens given + factor x tokens received."""
    tokens = gifts.astype(params.factor.dtype)
    return 1 - jnp.sum(tokens, axis=1) + params.factor * jnp.sum(tokens, axis=0)


def nobody_gives(params: GiftParams, steps: int) -> jax.Array:
    """The sum of a player's rewards over some steps in which nobody gives, [] float: 1 per step."""
    return steps * jnp.ones_like(params.factor)


def everybody_gives(params: GiftParams, steps: int) -> jax.Array:
    """The same if everybody gives in every step, to the next player or in any other circle: the factor per step."""
    return steps * params.factor


@dataclass(frozen=True)
class Gift:
    """In every step each of n players gets one token and either keeps it or gives it away.

    A token that is kept is worth 1 to its owner; if it is given away it is worth 2 (the `factor`) to its receiver. A
    step thus pays 1 - tokens given + 2 x tokens received; tokens are spent at once and are not carried over. Keeping is
    dominant, because a gift costs its giver 1 whatever the others do; but if the factor is above 1, all are better off
    if everybody gives, 2 instead of 1 per step. With two players this is a prisoner's dilemma: 2 for both, 3 and 0, 1
    for both (the donation game with benefit 2 and cost 1). With more players a gift goes to one player and is seen by
    all, so that it can be returned by its receiver or by somebody else (direct and indirect reciprocity).

    Actions: 0 keeps. With recipients "chosen", action k = 1 .. n - 1 gives to the k-th of the others by ascending seat;
    with "next", action 1 gives to the next seat, and the last seat gives to seat 0. With two players these are the
    same game.

    Players see who gave to whom in the last step.

    Attributes:
        num_players: 2 to 8.
        recipients: "chosen" or "next".
        factor: the default number, see `GiftParams`.
        horizon: steps of an episode; its end truncates the episode.
        name: for records and messages.

    Raises:
        ValueError: for a setting out of its range. One line: the setting, its value and what is allowed.
    """

    num_players: int = 2
    recipients: str = "chosen"
    factor: float = 2.0
    horizon: int = 16
    name: str = "gift"

    def __post_init__(self):
        check_integer("num_players", self.num_players, 2, MAX_PLAYERS)
        check_choice("recipients", self.recipients, RECIPIENTS)
        # The dataclass is frozen; normalising fields here makes equal games equal and hashable.
        object.__setattr__(self, "factor", check_number("factor", self.factor, 0))
        check_integer("horizon", self.horizon, 1, 2**31 - 2)

    @property
    def action_space(self) -> Discrete:
        """See the class."""
        return Discrete(self.num_players if self.recipients == "chosen" else 2)

    @property
    def observation_space(self) -> Box:
        """1 after the first step; then who gave to whom in the last step: for each player, the observer first, a row
        with 1 for the player it gave to, again the observer first; all others by ascending seat."""
        return Box((1 + self.num_players**2,))

    @property
    def default_params(self) -> GiftParams:
        return GiftParams(jnp.asarray(self.factor, dtype=float), jnp.int32(self.horizon))

    def reset(self, key: jax.Array, params: GiftParams) -> tuple[jax.Array, GiftState]:
        """The start, before any gift. Not random."""
        del key
        state = GiftState(jnp.zeros((self.num_players, self.num_players), bool), jnp.int32(0))
        return self.observe(state, params), state

    def step(
        self, key: jax.Array, state: GiftState, actions: jax.Array, params: GiftParams
    ) -> tuple[jax.Array, GiftState, jax.Array, jax.Array, jax.Array, dict[str, jax.Array]]:
        """Everybody keeps or gives. Pure; one environment (vmap for many); never resets itself.

        Args:
            key: not used, because nothing is random.
            state: the state before.
            actions: [players] int, see the class.
            params: the game's numbers.

        Returns:
            obs: [players, ...] float32, see `observation_space`.
            state: the state after.
            rewards: [players] float.
            terminated: [] bool, always False.
            truncated: [] bool, whether the horizon is reached.
            info: {"gifts": [players, players] bool, from whom to whom}.

        Raises:
            ValueError: for actions of a wrong shape or dtype, and, outside of jit, of a wrong value.
        """
        del key
        actions = check_actions(actions, self.num_players, self.action_space)
        gifts = self._giving == actions[:, None]
        after = GiftState(gifts, state.step + 1)
        truncated = after.step >= params.horizon
        paid, info = rewards(gifts, params), {"gifts": gifts}
        return self.observe(after, params), after, paid, jnp.asarray(False), truncated, info

    def observe(self, state: GiftState, params: GiftParams) -> jax.Array:
        """What the players see, [players, ...] float32."""
        del params
        n = self.num_players
        played = jnp.broadcast_to((state.step > 0).astype(jnp.float32), (n, 1))
        # Both axes as each player sees them: its own row first, and in every row its own column.
        rows = own_first(state.gifts.astype(jnp.float32))
        order = np.array([(i, *seats) for i, seats in enumerate(others(n))], np.int32)
        seen = jnp.stack([rows[i][:, order[i]] for i in range(n)])
        return jnp.concatenate([played, seen.reshape(n, -1)], axis=1)

    def start_counts(self) -> dict[str, jax.Array]:
        """Zero for what `count` adds up: `steps` [] int32; `given` and `received` [players] int32, tokens; `rewards`
        [players] float32."""
        none = jnp.zeros((self.num_players,), jnp.int32)
        return {
            "steps": jnp.int32(0),
            "given": none,
            "received": none,
            "rewards": jnp.zeros((self.num_players,), jnp.float32),
        }

    def count(
        self,
        counts: dict[str, jax.Array],
        state: GiftState,
        actions: jax.Array,
        rewards: jax.Array,
        ended: jax.Array,
        info: dict[str, jax.Array],
    ) -> dict[str, jax.Array]:
        """The sums after one more step."""
        del state, actions, ended
        added = {
            "steps": jnp.int32(1),
            "given": jnp.sum(info["gifts"], axis=1, dtype=jnp.int32),
            "received": jnp.sum(info["gifts"], axis=0, dtype=jnp.int32),
            "rewards": rewards.astype(jnp.float32),
        }
        return {name: counts[name] + more for name, more in added.items()}

    @property
    def measures(self) -> dict[str, Measure]:
        """Gifts and welfare."""
        return {
            "gifts": Measure("The fraction of steps in which a player gives its token away.", "gifts", 0.0, 1.0),
            "received": Measure("Tokens that a player receives in a step.", "tokens received", 0.0),
            "welfare": Measure(
                "The sum of all rewards in a step, the same for all players: the number of players if nobody gives.",
                "welfare",
                0.0,
            ),
        }

    def metrics(self, counts: Mapping[str, Any]) -> dict[str, jax.Array]:
        """The values of `measures`."""
        steps = jnp.asarray(counts["steps"])
        total = jnp.asarray(counts["rewards"]).sum(-1)
        return {
            "gifts": fraction(counts["given"], steps[..., None]),
            "received": fraction(counts["received"], steps[..., None]),
            "welfare": per_player(fraction(total, steps), self.num_players),
        }

    @property
    def showcase(self) -> str:
        return "gifts"

    def image(self, state: GiftState, params: GiftParams) -> np.ndarray:
        """One bar per player, full if it gave; and a black one for the tokens it received, relative to the maximum."""
        del params
        gifts = np.asarray(state.gifts)
        return gauge_image(list(gifts.sum(1)), list(gifts.sum(0) / (self.num_players - 1)))

    def text(self, state: GiftState, params: GiftParams) -> str:
        """For example "step 3: 0 to 2, 1 keeps, 2 to 0"."""
        del params
        if not int(state.step):
            return "step 0: start"
        said = []
        for player, row in enumerate(np.asarray(state.gifts)):
            said.append(f"{player} to {int(np.argmax(row))}" if row.any() else f"{player} keeps")
        return f"step {int(state.step)}: {', '.join(said)}"

    @property
    def _giving(self) -> np.ndarray:
        """The action by which a player gives to another, [players, players]; -1 if there is none."""
        n = self.num_players
        table = np.full((n, n), -1, np.int32)
        for player, seats in enumerate(others(n)):
            for number, other in enumerate(seats):
                table[player, other] = number + 1
            if self.recipients == "next":
                table[player] = np.where(np.arange(n) == (player + 1) % n, 1, -1)
        return table
