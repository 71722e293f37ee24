"""Exact expected returns in iterated games with more than two actions, of memory-one policies that are tables.

With pi_i(a | s) the softmax of player i's logits in state s, the joint actions form a Markov chain as with two actions
(`exact_matrix`): from state s the joint action a has probability prod_i pi_i(a_i | s), and

    V_i = p0^T (I - gamma P)^{-1} r_i

Execution noise replaces the chosen action with probability eps_i by one of the A - 1 others, each equally likely:
pi_i <- (1 - eps_i) pi_i + eps_i (1 - pi_i) / (A - 1).
"""

import functools
import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from shaping.envs import MatrixGame, MatrixGameParams
from shaping.envs.matrix.game import own_view
from shaping.objectives.game import all_alike, closed_form_values, closed_form_work, nothing, value_scale
from shaping.objectives.objective import Objective, Thetas
from shaping.objectives.returns_arrays import chain_returns, finite_chain_returns
from shaping.objectives.rewards import Reward, maximised
from shaping.policies.policy import Policy
from shaping.variables import Variable, declared

# Games of one round are unrolled over scalars up to this many joint actions.
_UNROLLED_JOINT_ACTIONS = 16


@dataclass(frozen=True)
class ManyActionGame:
    """The static part of an exact game with more than two actions: what is compiled, as opposed to the numbers that
    are passed to it.

    Attributes:
      env: the game; its own payoffs, discount and noise are not used.
      horizon: None for an infinite game, T for T rounds, 1 for a one-shot game.
      policies: one per seat, with a `table` of logits [states, actions].
    """

    env: MatrixGame
    horizon: int | None
    policies: tuple[Policy, ...]

    # Returns are exact. No action is cooperation.
    sampled = tabular = False
    episode = cooperation = cooperation_as_played = round_payoffs = nothing
    evaluate, work = closed_form_values, closed_form_work

    def objective(self, params: MatrixGameParams, rewards: Sequence[Reward | None] | None = None) -> Objective:
        """The objective at one setting of payoffs, discount and noise; `rewards` replace the payoffs of a round."""
        players = range(self.env.num_players)
        rows = [jnp.ravel(params.payoffs[player]) for player in players]
        payoffs = jnp.stack(rows if rewards is None else maximised(rewards, rows))

        def returns(thetas: Thetas, key: jax.Array | None, context: Any) -> tuple[Any, None]:
            del key, context
            if self.horizon == 1:
                return self._of_one_round(thetas, payoffs, params.noise), None
            joint = self.joint(thetas, params.noise)
            if self.horizon is None:
                return chain_returns(joint, payoffs, params.discount), None
            return finite_chain_returns(joint, payoffs, params.discount, self.horizon), None

        return Objective(returns, self.distance)

    def _of_one_round(self, thetas: Thetas, payoffs: jax.Array, noise: Any) -> list[jax.Array]:
        """Returns scalar by scalar, one per player: the fastest form for a population."""
        actions, executed = range(self.env.num_actions), []
        for player, (policy, theta) in enumerate(zip(self.policies, thetas, strict=True)):
            logits = policy.table(theta)[0]
            # Subtracting the largest logit only keeps exp from overflowing.
            top = lax.stop_gradient(functools.reduce(jnp.maximum, [logits[action] for action in actions]))
            weights = [jnp.exp(logits[action] - top) for action in actions]
            total = sum(weights[1:], start=weights[0])
            other = noise[player] / (self.env.num_actions - 1)
            # (1 - noise) p + other (1 - p), with one division for all actions.
            scale = (1 - noise[player] - other) / total
            executed.append([scale * weight + other for weight in weights])
        found = []
        for row in payoffs:
            # What each joint action of the others is worth, seat by seat from the last on.
            worth = [row[place] for place in range(row.shape[0])]
            for own in reversed(executed):
                groups = [worth[first : first + len(own)] for first in range(0, len(worth), len(own))]
                worth = [_dot(own, group) for group in groups]
            found.append(worth[0])
        return found

    def joint(self, thetas: Thetas, noise: Any) -> jax.Array:
        """Probabilities of joint actions as executed, [states, joint actions], states in the shared view."""
        executed = []
        for player, own in enumerate(self.probabilities(thetas)):
            trembling = (1 - noise[player]) * own + noise[player] * (1 - own) / (self.env.num_actions - 1)
            # A permutation as a product with a constant matrix: under nested derivatives and vmap a gather is slow.
            rows = np.eye(own.shape[0], dtype=own.dtype)[self._seen(player)]
            executed.append(jnp.sum(rows[:, :, None] * trembling, axis=1))
        return functools.reduce(lambda a, b: (a[:, :, None] * b[:, None, :]).reshape(len(a), -1), executed)

    def probabilities(self, thetas: Thetas) -> list[jax.Array]:
        """P(choose each action | own state) for every player, [states, actions] each."""
        return [jax.nn.softmax(_logits(policy, theta)) for policy, theta in zip(self.policies, thetas, strict=True)]

    def _seen(self, player: int) -> np.ndarray:
        """For each state in the shared view, the row of the player's own table that it uses."""
        if self.horizon == 1 or self.env.state_view == "shared":
            return np.arange(self.env.num_states)
        return np.argsort(own_view(self.env.num_players, self.env.num_actions)[player])

    def distance(self, player: int, theta: Any, theta_old: Any, batch: Any) -> jax.Array:
        """KL(old || new) of one player's action distributions, summed over its states."""
        del batch
        new, old = (jax.nn.log_softmax(_logits(self.policies[player], t)) for t in (theta, theta_old))
        return jnp.sum(jnp.exp(old) * (old - new))

    @property
    def exchangeable(self) -> bool:
        """Whether every player sees its own action first."""
        return all_alike(self.policies) and (self.horizon == 1 or self.env.state_view == "own")

    @property
    def variables(self) -> Mapping[str, Variable]:
        """Declarations of what `describe` returns."""
        return declared("action_probabilities", "discount", "noise")

    @property
    def labels(self) -> Mapping[str, tuple[str, ...]]:
        """Labels of actions, and of players' states: the start, and the last joint action as they see it."""
        return {"action": self.env.action_labels, "last_round": self.env.state_labels}

    @property
    def about(self) -> Mapping[str, Any]:
        """How states are seen, and the number of rounds."""
        return {"state_view": self.env.state_view, "horizon": "infinite" if self.horizon is None else self.horizon}

    @property
    def unrolled(self) -> bool:
        """Whether tables may be passed as scalars, which is fastest for a population: small ones of a single round."""
        small = self.env.num_actions**self.env.num_players <= _UNROLLED_JOINT_ACTIONS
        return self.horizon == 1 and small and all(policy.scalars for policy in self.policies)

    def value_scale(self, params: MatrixGameParams) -> jax.Array:
        """The factor that turns a return into a reported value, see `game.value_scale`."""
        return value_scale(params.discount, self.horizon)

    def describe(self, params: MatrixGameParams, thetas: Thetas, key: jax.Array | None = None) -> dict[str, jax.Array]:
        """What is recorded of one match besides values: action_probabilities [players, states, actions] as chosen, with
        states as the player sees them; discount []; noise [players]."""
        del key
        found = {"action_probabilities": jnp.stack(self.probabilities(thetas))}
        each: Any = params.noise
        noise = jnp.stack([each[player] for player in range(self.env.num_players)])
        return found | {"discount": params.discount, "noise": noise}

    def working_bytes(self, itemsize: int, lookaheads: int) -> int:
        """The probabilities of joint actions in every state, once for every derivative that is taken."""
        joint = self.env.num_actions**self.env.num_players
        return 4 * (1 + lookaheads) * self.env.num_states * joint * itemsize


def _logits(policy: Policy, theta: Any) -> jax.Array:
    """A table of logits as an array [states, actions], also where it is in scalars."""
    found = policy.table(theta)
    return jnp.stack([jnp.stack(list(row)) for row in found]) if isinstance(found, tuple) else found


def _dot(x: Sequence[jax.Array], y: Sequence[jax.Array]) -> jax.Array:
    return functools.reduce(operator.add, [a * b for a, b in zip(x, y, strict=True)])


def many_action_game(game: MatrixGame, policies: Sequence[Policy]) -> ManyActionGame:
    """The exact game for a description with more than two actions, played by these policies.

    Raises:
      ValueError: a game of two actions, not one policy per seat, or tables that do not fit the game.
    """
    if game.num_actions == 2:
        raise ValueError("the game has 2 actions; allowed: more, exact_matrix.exact_matrix_game has those of two")
    if len(policies) != game.num_players:
        raise ValueError(f"{len(policies)} policies given; the game has {game.num_players} seats")
    wanted = (game.num_states, game.num_actions)
    for policy in policies:
        found = jax.eval_shape(lambda theta, policy=policy: jnp.asarray(policy.table(theta)), policy.shapes).shape
        if found != wanted:
            raise ValueError(f"a policy has logits of shape {list(found)}; allowed: {list(wanted)}, states and actions")
    return ManyActionGame(game, game.horizon, tuple(policies))
