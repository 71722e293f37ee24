"""Repeated games with two or more actions: the environment, and the numbers from which its exact value is computed.

Conventions: of two actions, 0 cooperates and 1 defects. A state is what the players remember, the last executed joint
action: index 0 is the start, and 1 + b follows the joint action whose actions, read as a number in the base of their
count (binary for two) with the most significant first, are b. For two players: start, CC, CD, DC, DD. The shared view
lists seats 0 to n-1; in a player's own view its own action comes first, then those of the others by ascending seat.

Everything that the environment declares is in its one class, which makes this file longer than others.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from shaping.envs.declarations import Measure, leading_rank, placed
from shaping.envs.environment import check_actions
from shaping.envs.matrix import drawing
from shaping.envs.matrix import measures as matrix_measures
from shaping.envs.matrix.checks import check_shape, finite_numbers, is_integer, line, nested_tuple
from shaping.envs.matrix.games import GAMES, MAX_PLAYERS
from shaping.envs.spaces import Discrete

STATE_VIEWS = ("own", "shared")
MAX_ACTIONS, MAX_JOINT_ACTIONS = 10, 256
"""More joint actions make more states than exact values are worth computing for."""


@flax.struct.dataclass
class MatrixGameParams:
    """The numbers of a game. Every leaf may carry leading axes that a vmap maps over.

    Attributes:
        payoffs: [players, actions, ..., actions] float, payoffs[player][a_0]...[a_{n-1}], the reward of one step.
        discount: [] float, used to compute values; the environment does not discount its rewards.
        noise: [players] float in [0, 1], the probability that the executed action is not the chosen one; None for
            never, which saves drawing it and is possible only for play.
        horizon: [] int32, the number of steps if it differs from that of the description, otherwise None. Only for
            play: exact values have the horizon of the description, which is compiled in.
    """

    payoffs: jax.Array
    discount: jax.Array
    noise: jax.Array | None
    horizon: jax.Array | None = None


@flax.struct.dataclass
class MatrixGameState:
    """What the players remember, and the time.

    Attributes:
        joint: [] int32, the shared state: 0 at the start, then 1 + the last executed joint action as a number.
        step: [] int32, steps taken since the reset.
    """

    joint: jax.Array
    step: jax.Array


@flax.struct.dataclass
class MatrixGameDrawn:
    """What is drawn in a step.

    Attributes:
        mistaken: [players] bool, who executes another action than the chosen one.
        further: [players] int32, by how much the number of that action is higher, in circular order; None if there are
            two actions.
    """

    mistaken: jax.Array
    further: jax.Array | None


def own_view(num_players: int, num_actions: int = 2) -> tuple[tuple[int, ...], ...]:
    """The shared state that each state in a player's own view stands for.

    Returns:
        permutation[player][own_state] = shared state; each row is a permutation of 0 .. num_actions**num_players that
        leaves the start at 0. For an array x over shared states, x[permutation[player]] is over that player's
        own states; for theta over own states, theta[argsort(permutation[player])] is over shared states. For
        two players the rows are (0, 1, 2, 3, 4) and (0, 1, 3, 2, 4). With three players or more a row need not be
        its own inverse.
    """
    rows = []
    for player in range(num_players):
        seats = (player, *(seat for seat in range(num_players) if seat != player))
        row = [0]
        for actions in product(range(num_actions), repeat=num_players):
            row.append(1 + sum(a * num_actions ** (num_players - 1 - s) for s, a in zip(seats, actions, strict=True)))
        rows.append(tuple(row))
    return tuple(rows)


@dataclass(frozen=True)
class MatrixGame:
    """A repeated game of n players with as many actions each, usually two; players remember the last executed joint
    action.

    The object is the static, hashable description with default numbers. `default_params` returns those numbers as
    arrays, and `step` uses only the numbers it is given in `params`, so that one compiled program can play many
    games.

    Attributes:
        payoffs: payoffs[player][a_0]...[a_{n-1}], 2 to 6 players with 2 to 10 actions each and at most 256 joint
            actions; any nested sequence or array, kept as nested tuples.
        discount: in [0, 1); 1 is allowed with a finite horizon.
        noise: in [0, 1], one number or one for each player: with this probability the executed action differs
            from the chosen one ("trembling hand"), each other one equally often. States and rewards follow the
            executed action.
        horizon: None for a game without end, otherwise the number of steps; 1 is the one-shot game, in which
            players have a single state.
        state_view: "own" shows each player the state with its own action first, "shared" shows all players
            the same.
        name: for records and messages.
        settings: the arguments, with their names, of the function in `envs.matrix.games` that made the payoffs; they,
            instead of the payoffs, are then the game's numbers. () for payoffs of another origin.

    Raises:
        ValueError: for a field out of its range. One line: the field, its value and what is allowed.
    """

    payoffs: Any
    discount: float = 0.96
    noise: float | tuple[float, ...] = 0.0
    horizon: int | None = None
    state_view: str = "own"
    name: str = "matrix_game"
    settings: tuple[tuple[str, Any], ...] = ()

    def __post_init__(self):
        allowed = (
            f"finite numbers of the shape [n, a, ..., a] with one axis of length a for each of the n = 2 to "
            f"{MAX_PLAYERS} players, payoffs[player][action_0]...[action_n-1], a = 2 to {MAX_ACTIONS} actions and at "
            f"most {MAX_JOINT_ACTIONS} joint actions"
        )
        payoffs = finite_numbers("payoffs", self.payoffs, allowed)
        n = payoffs.shape[0] if payoffs.ndim else 0
        each = payoffs.shape[-1] if payoffs.ndim else 0
        fits = 2 <= n <= MAX_PLAYERS and 2 <= each <= MAX_ACTIONS and each**n <= MAX_JOINT_ACTIONS
        if not fits or payoffs.shape != (n,) + (each,) * n:
            raise ValueError(f"payoffs has the shape {list(payoffs.shape)}; allowed: {allowed}")
        horizon = self.horizon
        if horizon is not None and not (is_integer(horizon) and horizon >= 1):
            raise ValueError(f"horizon is {line(horizon)}; allowed: an integer of 1 or more, or None for no end")
        allowed = "a number from 0 to below 1, or 1 with a finite horizon"
        discount = finite_numbers("discount", self.discount, allowed)
        if discount.ndim or not (0 <= discount < 1 or (discount == 1 and horizon is not None)):
            raise ValueError(f"discount is {line(self.discount)}; allowed: {allowed}")
        allowed = f"a number from 0 to 1, or one for each of the {n} players"
        noise = finite_numbers("noise", self.noise, allowed)
        if noise.shape not in ((), (n,)) or np.any(noise < 0) or np.any(noise > 1):
            raise ValueError(f"noise is {line(self.noise)}; allowed: {allowed}")
        if self.state_view not in STATE_VIEWS:
            raise ValueError(f"state_view is {line(self.state_view)}; allowed: {' or '.join(STATE_VIEWS)}")
        # The dataclass is frozen; normalising fields here makes equal games equal and hashable.
        object.__setattr__(self, "payoffs", nested_tuple(payoffs.tolist()))
        object.__setattr__(self, "discount", float(discount))
        object.__setattr__(self, "noise", nested_tuple(noise.tolist()))
        object.__setattr__(self, "horizon", None if horizon is None else int(horizon))

    @property
    def egocentric(self) -> bool:
        """Whether players see their own action first; in a one-shot game there is nothing to see."""
        return self.state_view == "own" or self.horizon == 1

    @property
    def num_players(self) -> int:
        return len(self.payoffs)

    @property
    def num_actions(self) -> int:
        return len(self.payoffs[0])

    @property
    def num_states(self) -> int:
        """States that a player distinguishes: 1 in the one-shot game, otherwise 1 + num_actions**num_players."""
        return 1 if self.horizon == 1 else 1 + self.num_actions**self.num_players

    @property
    def action_labels(self) -> tuple[str, ...]:
        """C and D, or numbers from 0 on if there are more than two actions."""
        return ("C", "D") if self.num_actions == 2 else tuple(map(str, range(self.num_actions)))

    @property
    def joint_action_labels(self) -> tuple[str, ...]:
        """CC, CD, DC, DD for two players with two actions: joint actions in counting order, seat 0 most significant."""
        return tuple("".join(letters) for letters in product(self.action_labels, repeat=self.num_players))

    @property
    def state_labels(self) -> tuple[str, ...]:
        """The names of the states, in the view that players have: their own action first, or seat 0's."""
        return ("start", *self.joint_action_labels)[: self.num_states]

    @property
    def default_params(self) -> MatrixGameParams:
        """The default numbers, in jax's default float type."""
        noise = np.broadcast_to(np.asarray(self.noise), (self.num_players,))
        return MatrixGameParams(
            payoffs=jnp.asarray(self.payoffs, dtype=float),
            discount=jnp.asarray(self.discount, dtype=float),
            noise=jnp.asarray(noise, dtype=float),
        )

    @property
    def observation_space(self) -> Discrete:
        """One player's observation: the index of the state it sees."""
        return Discrete(self.num_states)

    @property
    def action_space(self) -> Discrete:
        """One player's action: of two, 0 cooperates and 1 defects."""
        return Discrete(self.num_actions)

    def reset(self, key: jax.Array, params: MatrixGameParams) -> tuple[jax.Array, MatrixGameState]:
        """The start of a game. It is not random; `key` and `params` are part of the common signature.

        Returns:
            obs: [players] int32, all 0.
            state: the start.
        """
        del key, params
        zero = jnp.zeros((), jnp.int32)
        return jnp.zeros((self.num_players,), jnp.int32), MatrixGameState(joint=zero, step=zero)

    def step(
        self, key: jax.Array, state: MatrixGameState, actions: jax.Array, params: MatrixGameParams
    ) -> tuple[jax.Array, MatrixGameState, jax.Array, jax.Array, jax.Array, dict[str, jax.Array]]:
        """Play one joint action. Pure; one environment (vmap for many); never resets itself.

        Args:
            key: for the noise.
            state: the state before.
            actions: [players] int32, the chosen actions, from 0 on.
            params: the game's numbers.

        Returns:
            obs: [players] int32, the index of the state each player now sees; 0 in the one-shot game.
            state: the state after.
            rewards: [players] float, the payoffs of the executed joint action, not discounted.
            terminated: [] bool, whether the finite horizon, a part of the game, is reached; otherwise False.
            truncated: [] bool, always False.
            info: {"executed": [players] int32}, the actions after noise.

        Raises:
            ValueError: if `actions` or `params` does not have this game's shape (usually because a vmap is missing).
        """
        return self.step_drawn(self.draw(key, params), state, actions, params)

    def draw(self, key: jax.Array, params: MatrixGameParams) -> MatrixGameDrawn | None:
        """The mistakes of a step, None without noise; see `declarations.draw`."""
        if params.noise is None:
            return None
        further = None
        if self.num_actions > 2:
            dtype = self.action_space.dtype
            further = jax.random.randint(jax.random.fold_in(key, 1), (self.num_players,), 1, self.num_actions, dtype)
        return MatrixGameDrawn(jax.random.bernoulli(key, params.noise), further)

    def step_drawn(
        self, drawn: MatrixGameDrawn | None, state: MatrixGameState, actions: jax.Array, params: MatrixGameParams
    ) -> tuple[jax.Array, MatrixGameState, jax.Array, jax.Array, jax.Array, dict[str, jax.Array]]:
        """`step` with what was drawn beforehand."""
        n, each = self.num_players, self.num_actions
        actions = check_actions(actions, n, self.action_space)
        check_shape("params.payoffs", params.payoffs, (n,) + (each,) * n)
        executed = actions
        if drawn is not None and params.noise is not None:
            check_shape("params.noise", params.noise, (n,))
            another = 1 - actions if drawn.further is None else (actions + drawn.further) % each
            executed = jnp.where(drawn.mistaken, another, actions)
        place_values = np.array([each ** (n - 1 - seat) for seat in range(n)], np.int32)
        joint_action = jnp.sum(executed * place_values, dtype=jnp.int32)
        rewards = params.payoffs.reshape(n, each**n)[:, joint_action]

        after = MatrixGameState(joint=joint_action + 1, step=state.step + 1)
        horizon = self.horizon if params.horizon is None else params.horizon
        terminated = jnp.asarray(False) if horizon is None else after.step >= horizon
        return self.observe(after, params), after, rewards, terminated, jnp.asarray(False), {"executed": executed}

    def start_counts(self) -> dict[str, jax.Array]:
        """Zero for everything that `count` counts, int32. With two actions: `steps` [players, states], how often each
        player was in each of its own states, and `cooperations` [players, states], how often it then executed action 0.
        With more: `executed` [players, actions]."""
        if self.num_actions > 2:
            return {"executed": jnp.zeros((self.num_players, self.num_actions), jnp.int32)}
        zeros = jnp.zeros((self.num_players, self.num_states), jnp.int32)
        return {"steps": zeros, "cooperations": zeros}

    def count(
        self,
        counts: dict[str, jax.Array],
        state: MatrixGameState,
        actions: jax.Array,
        rewards: jax.Array,
        ended: jax.Array,
        info: dict[str, jax.Array],
    ) -> dict[str, jax.Array]:
        """What was executed after one more step, by history if there are two actions."""
        del actions, rewards, ended
        if self.num_actions > 2:
            chosen = info["executed"][:, None] == jnp.arange(self.num_actions, dtype=jnp.int32)[None]
            return {"executed": counts["executed"] + chosen.astype(jnp.int32)}
        here = self._seen(state)[:, None] == jnp.arange(self.num_states, dtype=jnp.int32)[None]
        cooperated = here & (info["executed"] == 0)[:, None]
        return {
            "steps": counts["steps"] + here.astype(jnp.int32),
            "cooperations": counts["cooperations"] + cooperated.astype(jnp.int32),
        }

    @property
    def measures(self) -> dict[str, Measure]:
        """Cooperation, and cooperation by state; with more than two actions how often each was executed."""
        if self.num_actions > 2:
            return matrix_measures.action_measures(self.action_labels)
        return matrix_measures.measures(self.state_labels)

    def metrics(self, counts: dict[str, jax.Array]) -> dict[str, jax.Array]:
        """The values of `measures`."""
        return matrix_measures.action_metrics(counts) if self.num_actions > 2 else matrix_measures.metrics(counts)

    def round_payoffs(self, params: MatrixGameParams) -> jax.Array:
        """What a round pays, [players, actions, ..., actions]."""
        return params.payoffs

    @property
    def number_names(self) -> tuple[str, ...]:
        """The numbers from which the payoffs are made, or payoffs; and discount and noise."""
        return tuple(self.default_numbers)

    @property
    def default_numbers(self) -> dict[str, Any]:
        own = {name: value for name, value in self.settings if name != "num_players"}
        return (own or {"payoffs": self.payoffs}) | {"discount": self.discount, "noise": self.noise}

    def with_numbers(self, params: MatrixGameParams, numbers: Mapping[str, Any]) -> MatrixGameParams:
        """See `envs.declarations.with_numbers`. If only some numbers of the payoffs are given, the others are the
        description's."""
        defaults = self.default_params
        lead = leading_rank(params, defaults)
        fields = {name: number for name, number in numbers.items() if name in ("payoffs", "discount", "noise")}
        others = {name: number for name, number in numbers.items() if name not in fields}
        if others:
            fields["payoffs"] = GAMES[self.name](**dict(self.settings) | others)
        new = {
            name: placed(name, number, getattr(params, name), getattr(defaults, name), lead)
            for name, number in fields.items()
        }
        return dataclasses.replace(params, **new)

    def image(self, state: MatrixGameState, params: MatrixGameParams) -> np.ndarray:
        """The last executed joint action; see `envs.matrix.drawing`."""
        del params
        joint = int(state.joint)
        letters = self.joint_action_labels[joint - 1] if joint else " " * self.num_players
        return drawing.image(letters) if self.num_actions == 2 else drawing.rows(letters, self.num_actions)

    def text(self, state: MatrixGameState, params: MatrixGameParams) -> str:
        """For example "step 3: CD"."""
        del params
        joint = int(state.joint)
        return f"step {int(state.step)}: {self.joint_action_labels[joint - 1] if joint else 'start'}"

    def observe(self, state: MatrixGameState, params: MatrixGameParams) -> jax.Array:
        """The index of the state each player sees, [players] int32."""
        del params
        return self._seen(state)

    def _seen(self, state: MatrixGameState) -> jax.Array:
        n = self.num_players
        if self.horizon == 1:
            return jnp.zeros((n,), jnp.int32)
        if self.state_view == "shared":
            return jnp.broadcast_to(state.joint, (n,))
        own_state_of_shared = np.argsort(np.array(own_view(n, self.num_actions)), axis=1).astype(np.int32)
        return jnp.asarray(own_state_of_shared)[:, state.joint]
