"""Exact expected returns in iterated games with two actions: memory-one policies of 2 to 6 players, and policies of two
players that remember more rounds (`returns_memory_k`).

With c_i(s) the probability that player i cooperates in state s, the joint actions form a Markov chain: from state s the
joint action a has probability prod_i c_i(s)^[a_i = C] (1 - c_i(s))^[a_i = D]. The return of player i is

    V_i = p0^T (I - gamma P)^{-1} r_i                     (Foerster et al. 2018, section 4.1)

unnormalised, so that it lies within 1 / (1 - gamma) times the range of the payoffs.

Execution noise flips the chosen action with probability eps_i: c_i <- c_i + eps_i (1 - 2 c_i). States and rewards
follow the executed action.

The whole protocol of a game is implemented by one class, which makes this file longer than others.
"""

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from shaping.envs import MatrixGame, MatrixGameParams
from shaping.envs.matrix.game import own_view
from shaping.objectives.exact_many_actions import many_action_game
from shaping.objectives.game import (
    StepByStep,
    all_alike,
    closed_form_values,
    closed_form_work,
    nothing,
    value_scale,
)
from shaping.objectives.objective import Chain, Objective, Thetas
from shaping.objectives.returns_arrays import finite_returns, returns_arrays
from shaping.objectives.returns_memory_k import num_histories, own_histories, returns_memory_k
from shaping.objectives.returns_scalars import joint_probabilities, returns_scalars
from shaping.objectives.rewards import Reward, maximised
from shaping.policies.policy import Policy
from shaping.variables import Variable, as_table, declared

# The elimination is unrolled over scalars up to this many joint actions; with more it would take long to compile.
_UNROLLED_STATES = 4


@dataclass(frozen=True)
class ExactMatrixGame:
    """The static part of an exact matrix-game objective: what is compiled, as opposed to the numbers it is given.

    Attributes:
      num_players: number of seats.
      horizon: None for an infinite game, T for T rounds, 1 for a one-shot game.
      state_view: "own" if each player sees its own action first, "shared" if all see seat 0's view.
      policies: one per seat, all with the same memory: one round, or more if two players play more than one round.
    """

    num_players: int
    horizon: int | None
    state_view: str
    policies: tuple[Policy, ...]

    sampled, tabular = False, True
    episode = nothing
    evaluate, work = closed_form_values, closed_form_work

    def step_by_step(self, params: MatrixGameParams) -> StepByStep:
        """As it is played."""
        payoffs = np.zeros((self.num_players,) + (2,) * self.num_players)
        env = MatrixGame(payoffs, horizon=1 if self.horizon == 1 else None, state_view=self.state_view)
        return StepByStep(env, params, params.discount, self.horizon)

    @property
    def memory(self) -> int:
        """How many rounds the policies remember."""
        return self.policies[0].rounds

    @property
    def num_states(self) -> int:
        """How many states a policy distinguishes."""
        if self.memory > 1:
            return num_histories(self.memory)
        return 1 if self.horizon == 1 else 1 + 2**self.num_players

    def objective(self, params: MatrixGameParams, rewards: Sequence[Reward | None] | None = None) -> Objective:
        """The objective at one setting of payoffs, discount and noise; `rewards` replace the payoffs of a round."""
        if rewards is not None:
            payoffs = maximised(rewards, [params.payoffs[player] for player in range(self.num_players)])
            params = dataclasses.replace(params, payoffs=tuple(payoffs))

        def returns(thetas: Thetas, key: jax.Array | None, context: Any) -> tuple[Any, None]:
            del key, context
            return _returns(self, list(thetas), params), None

        visible = self.horizon is None and self.memory == 1
        return Objective(returns, self.distance, chain=partial(self._chain, params) if visible else None)

    def _chain(self, params: MatrixGameParams, thetas: Thetas) -> Chain:
        noise, seen = _noise(params), [list(self._seen(player)) for player in range(self.num_players)]
        chosen = self.cooperation(thetas)
        executed = [(c + noise[i] * (1 - 2 * c))[np.array(seen[i])] for i, c in enumerate(chosen)]
        return Chain(jnp.stack(executed), self.round_payoffs(params), params.discount)

    def distance(self, player: int, theta: Any, theta_old: Any, batch: Any) -> jax.Array:
        """KL(old || new) of one player's action distributions, summed over its states."""
        del batch
        policy = self.policies[player]
        new, old = (_array(policy.table(t)) for t in (theta, theta_old))
        cooperate = jax.nn.sigmoid(old)
        return jnp.sum(
            cooperate * (jax.nn.log_sigmoid(old) - jax.nn.log_sigmoid(new))
            + (1 - cooperate) * (jax.nn.log_sigmoid(-old) - jax.nn.log_sigmoid(-new))
        )

    def from_cooperation(self, cooperation: list[Any], params: MatrixGameParams) -> list[jax.Array]:
        """Unnormalised returns, one scalar per player, from P(choose C | own state).

        `cooperation` is [players][states]: a list of scalars per player for small games, an array [states] otherwise.
        """
        if self._small:
            return self._returns_from_scalars(cooperation, params)
        return self._returns_from_arrays(cooperation, params)

    @property
    def exchangeable(self) -> bool:
        """Whether every player sees its own action first."""
        return all_alike(self.policies) and (self.horizon == 1 or self.state_view == "own")

    @property
    def variables(self) -> Mapping[str, Variable]:
        """What `describe` returns; parameters are shown over states if there is one parameter per state."""
        own = declared("policy", "payoffs", "discount", "noise", "value_cooperation", "value_defection")
        one_each = all(policy.num_parameters == self.num_states for policy in self.policies)
        return own | (as_table(declared("theta_initial", "theta_final")) if one_each else {})

    @property
    def labels(self) -> Mapping[str, tuple[str, ...]]:
        """Labels of states, as a player sees them, and of joint actions."""
        joint = tuple("".join(letters) for letters in itertools.product("CD", repeat=self.num_players))
        return {"state": ("start",) if self.horizon == 1 else histories(joint, self.memory), "joint_action": joint}

    @property
    def about(self) -> Mapping[str, Any]:
        """How states are seen, and for how many rounds the game lasts."""
        return {"state_view": self.state_view, "horizon": "infinite" if self.horizon is None else self.horizon}

    @property
    def unrolled(self) -> bool:
        """Whether parameters and numbers may be passed as scalars, which is fastest for a population."""
        return self._small and all(policy.scalars for policy in self.policies)

    @property
    def _small(self) -> bool:
        """Whether the game is small enough to compute returns scalar by scalar."""
        return self.horizon in (None, 1) and 2**self.num_players <= _UNROLLED_STATES and self.memory == 1

    def _returns_from_scalars(self, cooperation: list[list[jax.Array]], params: MatrixGameParams) -> list[Any]:
        executed = []
        for player, own in enumerate(cooperation):
            noise = _noise(params)[player]
            noisy = [c + noise * (1 - 2 * c) for c in own]
            executed.append([noisy[seen] for seen in self._seen(player)])
        choices = list(itertools.product((0, 1), repeat=self.num_players))
        payoffs = [[_entry(params.payoffs[i], choice) for choice in choices] for i in range(self.num_players)]
        if self.horizon is None:
            return returns_scalars(executed, payoffs, params.discount)
        once = joint_probabilities([c[0] for c in executed])
        return [sum(p * r for p, r in zip(once, own, strict=True)) for own in payoffs]

    def _returns_from_arrays(self, cooperation: list[jax.Array], params: MatrixGameParams) -> Any:
        executed = []
        for player, own in enumerate(cooperation):
            # The permutation is a product with a constant matrix: a gather is slow under nested derivatives and vmap.
            permutation = np.eye(own.shape[0], dtype=own.dtype)[list(self._seen(player))]
            noisy = own + _noise(params)[player] * (1 - 2 * own)
            executed.append(jnp.sum(permutation * noisy, axis=1))
        payoffs = jnp.asarray(params.payoffs).reshape(self.num_players, -1)
        if self.memory > 1:
            return returns_memory_k(jnp.stack(executed), payoffs, params.discount, self.memory, self.horizon)
        if self.horizon is None:
            return returns_arrays(jnp.stack(executed), payoffs, params.discount)
        return finite_returns(jnp.stack(executed), payoffs, params.discount, self.horizon)

    def _probabilities(self, table: Any) -> Any:
        """Turns logits over states, an array or a sequence of scalars, into probabilities in the form that
        `from_cooperation` takes."""
        if self._small:
            return [jax.nn.sigmoid(logit) for logit in table]
        return jax.nn.sigmoid(_array(table))

    def _seen(self, player: int) -> tuple[int, ...]:
        """For each joint state, which entry of the player's own table it reads."""
        if self.horizon == 1:
            return (0,)
        if self.memory > 1:
            # Exchanging CD and DC is its own inverse: the same numbers convert the joint view to the own view and back.
            swapped = self.state_view == "own" and player == 1
            return tuple(own_histories(self.memory) if swapped else range(num_histories(self.memory)))
        view = own_view(self.num_players)[player]
        if self.state_view == "shared":
            return tuple(range(len(view)))
        return tuple(view.index(state) for state in range(len(view)))

    def value_scale(self, params: MatrixGameParams) -> jax.Array:
        """The factor that turns a return into a reported value, see `game.value_scale`."""
        return value_scale(params.discount, self.horizon)

    def working_bytes(self, itemsize: int, lookaheads: int) -> int:
        """Nothing worth counting: a chain has as many states as a policy."""
        del itemsize, lookaheads
        return 0

    def pure_returns(self, cooperate: bool, params: MatrixGameParams) -> jax.Array:
        """Unnormalised returns [players] if everybody always chooses C (or always D): each round is like the first."""
        rewards = self.round_payoffs(params).reshape(self.num_players, *(2,) * self.num_players)
        for player in range(self.num_players):
            flipped = _noise(params)[player]
            executed = 1 - flipped if cooperate else flipped
            rewards = executed * rewards[:, 0] + (1 - executed) * rewards[:, 1]
        if self.horizon is None:
            return rewards / (1 - params.discount)
        return rewards if self.horizon == 1 else rewards * jnp.sum(params.discount ** jnp.arange(self.horizon))

    def cooperation(self, thetas: Thetas) -> jax.Array:
        """P(choose C | own state) of all players, [players, states]."""
        tables = [_array(policy.table(theta)) for policy, theta in zip(self.policies, thetas, strict=True)]
        return jax.nn.sigmoid(jnp.stack(tables))

    def cooperation_as_played(self, params: MatrixGameParams, thetas: Thetas) -> tuple[jax.Array, jax.Array]:
        """How often players cooperate while they play, weighted as values are: each [players], and all at once, []."""
        first = np.indices((2,) * self.num_players) == 0
        each, together = (
            tuple(jnp.asarray(own, jnp.asarray(params.discount).dtype) for own in given)
            for given in (first, (first.all(axis=0),) * self.num_players)
        )
        scale = self.value_scale(params)
        found = []
        for own in (each, together):
            counted = dataclasses.replace(params, payoffs=own if self._small else jnp.stack(own))
            returns = self.objective(counted)(thetas)[0]
            found.append(scale * jnp.stack([returns[player] for player in range(self.num_players)]))
        return found[0], found[1][0]

    def round_payoffs(self, params: MatrixGameParams) -> jax.Array:
        """What a round pays, [players, joint actions]."""
        choices = list(itertools.product((0, 1), repeat=self.num_players))
        rows = [[_entry(params.payoffs[i], choice) for choice in choices] for i in range(self.num_players)]
        return jnp.stack([jnp.stack(row) for row in rows])

    def describe(self, params: MatrixGameParams, thetas: Thetas, key: jax.Array | None = None) -> dict[str, jax.Array]:
        """What a record holds of one match besides values: final policies, and the game that was played.

        Returns:
          policy [players, states]; payoffs [players, joint actions]; discount []; noise [players];
          value_cooperation, value_defection [players], the values if everybody always cooperates or defects.
        """
        del key
        scale = self.value_scale(params)
        pure = [self.pure_returns(cooperate, params) * scale for cooperate in (True, False)]
        return {
            "policy": self.cooperation(thetas),
            "payoffs": self.round_payoffs(params),
            "discount": params.discount,
            "noise": jnp.stack([_noise(params)[i] for i in range(self.num_players)]),
            "value_cooperation": pure[0],
            "value_defection": pure[1],
        }

    def describe_played(self, params: MatrixGameParams, measured: Mapping[str, jax.Array]) -> dict[str, jax.Array]:
        """`describe` for players whose policies are not tables. `policy` is estimated from what they did, corrected for
        noise; it is NaN in states that were not visited, and everywhere if noise is 1/2, which hides every choice.

        Args:
          params: the numbers.
          measured: what `envs.MatrixGame` measures, including `cooperation_by_state` [players, states].
        """
        dtype = jnp.asarray(params.discount).dtype
        anything = [jnp.zeros(policy.shapes.shape, dtype) for policy in self.policies]
        found = self.describe(params, anything)
        return found | {"policy": chosen(measured["cooperation_by_state"], found["noise"][:, None])}


def chosen(executed: jax.Array, noise: jax.Array) -> jax.Array:
    """P(choose C), given that a fraction `executed` of actions were C and noise flips a chosen action with this
    probability; clipped to [0, 1] because `executed` is random, and NaN at noise 1/2."""
    kept = 1 - 2 * noise
    return jnp.where(kept == 0, jnp.nan, jnp.clip((executed - noise) / jnp.where(kept == 0, 1, kept), 0, 1))


@partial(jax.jit, static_argnums=0)
def _returns(game: ExactMatrixGame, thetas: list[Any], params: MatrixGameParams) -> Any:
    """Unnormalised returns, one scalar per player.

    Jitted, so that jax traces the returns and each of their derivatives once and not at every place that asks for
    them, which took most of the time before the first update. XLA inlines the calls: the program stays the same.
    """
    tables = [policy.table(theta) for policy, theta in zip(game.policies, thetas, strict=True)]
    return game.from_cooperation([game._probabilities(table) for table in tables], params)


def histories(labels: Sequence[str], rounds: int) -> tuple[str, ...]:
    """Labels of states: the start and what happened since, over up to that many rounds, the earliest first."""
    lengths = range(1, rounds + 1)
    return ("start", *(" ".join(each) for length in lengths for each in itertools.product(labels, repeat=length)))


def exact(game: MatrixGame, policies: tuple[Policy, ...], params: MatrixGameParams | None = None) -> Objective:
    """The exact objective of a matrix game for given policies, with the game's own numbers unless `params` are given.

    Raises:
      ValueError: if the policies do not fit the game, see `exact_matrix_game`; if params have a horizon of their own.
    """
    if params is not None and params.horizon is not None:
        raise ValueError("params.horizon is given; allowed: None, because the game itself sets the horizon")
    form = exact_matrix_game if game.num_actions == 2 else many_action_game
    return form(game, policies).objective(game.default_params if params is None else params)


def exact_matrix_game(game: MatrixGame, policies: tuple[Policy, ...]) -> ExactMatrixGame:
    """The static part of a matrix game played by these policies.

    Raises:
      ValueError: a game of more than two actions; or if there is not one policy per seat, or if their states are not
        those of the game.
    """
    if game.num_actions != 2:
        raise ValueError(f"the game has {game.num_actions} actions; allowed: 2, exact_many_actions has games of more")
    if len(policies) != game.num_players:
        raise ValueError(f"{len(policies)} policies given; the game has {game.num_players} seats")
    rounds = {policy.rounds for policy in policies}
    if len(rounds) > 1:
        raise ValueError(
            f"policies look {' and '.join(map(str, sorted(rounds)))} rounds back; all must look equally far"
        )
    if rounds != {1} and (game.num_players != 2 or game.horizon == 1):
        raise ValueError("policies that look more than one round back need two players and more than one round")
    states = game.num_states if rounds == {1} else num_histories(*rounds)
    for policy in policies:
        found = jax.eval_shape(lambda theta, policy=policy: _array(policy.table(theta)), policy.shapes).shape
        if found != (states,):
            raise ValueError(f"a policy has logits of shape {list(found)}; the game has {states} states")
    return ExactMatrixGame(game.num_players, game.horizon, game.state_view, policies)


def _array(table: Any) -> jax.Array:
    """A table as an array, whether it is given as an array or as a sequence of scalars."""
    return table if isinstance(table, jax.Array) else jnp.stack(list(table))


def _entry(payoffs: Any, choice: tuple[int, ...]) -> jax.Array:
    for action in choice:
        payoffs = payoffs[action]
    return payoffs


def _noise(params: MatrixGameParams) -> Any:
    """The players' noise, which an exact game must have."""
    if params.noise is None:
        raise ValueError("params.noise is None; allowed: a number per player; only play can do without noise")
    return params.noise
