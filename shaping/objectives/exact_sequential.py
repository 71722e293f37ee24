"""Exact expected returns of small games in turns, played by tables or by any policy of information sets."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from shaping.envs.sequential.game import SequentialEnv, SequentialParams
from shaping.objectives.game import EMPTY, closed_form_work, nothing
from shaping.objectives.information_sets import InformationSets
from shaping.objectives.objective import Objective, Thetas
from shaping.objectives.rewards import Reward, maximised
from shaping.policies.policy import Policy
from shaping.variables import Variable, declared


@dataclass(frozen=True)
class SequentialGame:
    """The static part of an exact game in turns: what is compiled, as opposed to the numbers that are passed to it.

    A value is the expected reward of one game, neither discounted nor scaled.

    Attributes:
      env: the game; its own rewards are not used.
      policies: one per seat, each with a `table`.
    """

    env: SequentialEnv
    policies: tuple[Policy, ...]

    # Returns are exact, and tables are arrays. Players move at different times, and no action is cooperation.
    sampled = tabular = exchangeable = unrolled = False
    about = EMPTY
    episode = cooperation = cooperation_as_played = round_payoffs = nothing
    work = closed_form_work

    def objective(self, params: SequentialParams, rewards: Sequence[Reward | None] | None = None) -> Objective:
        """The objective at one setting of the rewards; `rewards` replace what the game pays at its end."""
        sets = self.information_sets(params)
        if rewards is not None:
            each = [sets.rewards[:, player] for player in range(self.env.num_players)]
            sets = InformationSets(self.env.tree, jnp.stack(maximised(rewards, each), axis=1))

        def returns(thetas: Thetas, key: jax.Array | None, context: Any) -> tuple[jax.Array, None]:
            del key, context
            return sets.returns(self.probabilities(thetas)), None

        return Objective(returns, self.distance, information_sets=sets, logits=self.logits)

    def information_sets(self, params: SequentialParams) -> InformationSets:
        """What can be computed exactly of the game."""
        return InformationSets(self.env.tree, params.rewards[self.env.tree.leaves])

    def logits(self, player: int, theta: Any) -> jax.Array:
        """A player's logits, [information sets, actions], and in the last row what it would do while it waits."""
        table = jnp.asarray(self.policies[player].table(theta))
        return jnp.stack([table, jnp.zeros_like(table)], axis=-1) if table.ndim == 1 else table

    def probabilities(self, thetas: Thetas) -> list[jax.Array]:
        """P(action | information set) of every player, as `logits`."""
        return [jax.nn.softmax(self.logits(player, theta)) for player, theta in enumerate(thetas)]

    def distance(self, player: int, theta: Any, theta_old: Any, batch: Any) -> jax.Array:
        """KL(old || new) of one player's distributions over actions, summed over its information sets."""
        del batch
        count = len(self.env.tree.names[player])
        new, old = (jax.nn.log_softmax(self.logits(player, t))[:count] for t in (theta, theta_old))
        return jnp.sum(jnp.exp(old) * (old - new))

    @property
    def variables(self) -> Mapping[str, Variable]:
        """Declarations of what `evaluate` measures besides values, and of what `describe` returns."""
        return declared("gain_from_best_response", "action_probabilities_when")

    @property
    def labels(self) -> Mapping[str, tuple[str, ...]]:
        """Labels of actions, and of information sets: the names that each number has for player 0, player 1, ..."""
        rows = range(self.env.num_information_sets)
        names = self.env.tree.names
        sets = tuple(" / ".join(own[row] for own in names if row < len(own)) for row in rows)
        return {"action": self.env.action_labels, "information_set": sets}

    def value_scale(self, params: SequentialParams) -> jax.Array:
        """Values are returns."""
        del params
        return jnp.ones(())

    def evaluate(self, params: SequentialParams, thetas: Thetas, key: jax.Array | None = None) -> dict[str, jax.Array]:
        """value [players]; gain_from_best_response [players], see `InformationSets.gains`."""
        del key
        sets, played = self.information_sets(params), self.probabilities(thetas)
        return {"value": sets.returns(played), "gain_from_best_response": sets.gains(played)}

    def describe(self, params: SequentialParams, thetas: Thetas, key: jax.Array | None = None) -> dict[str, jax.Array]:
        """action_probabilities_when [players, information sets, actions], NaN where a player has fewer."""
        del key, params
        found = []
        for player, own in enumerate(self.probabilities(thetas)):
            known = jnp.arange(self.env.num_information_sets) < len(self.env.tree.names[player])
            found.append(jnp.where(known[:, None], own[: len(known)], jnp.nan))
        return {"action_probabilities_when": jnp.stack(found)}

    def working_bytes(self, itemsize: int, lookaheads: int) -> int:
        """A few numbers for each leaf, once for each derivative."""
        return 16 * (1 + lookaheads) * len(self.env.tree.leaves) * itemsize


def sequential_game(env: SequentialEnv, policies: Sequence[Policy]) -> SequentialGame:
    """The exact game for an environment in turns, played by these policies.

    Raises:
      ValueError: not one policy per seat, or one whose table does not fit the game.
    """
    if len(policies) != env.num_players:
        raise ValueError(f"{len(policies)} policies given; the game has {env.num_players} seats")
    rows, actions = env.num_information_sets + 1, env.num_actions
    allowed = [(rows, actions), (rows,)] if actions == 2 else [(rows, actions)]
    for policy in policies:
        found = jax.eval_shape(lambda theta, policy=policy: jnp.asarray(policy.table(theta)), policy.shapes).shape
        if found not in allowed:
            raise ValueError(f"a policy has logits of shape {list(found)}; allowed: {list(allowed[0])}")
    return SequentialGame(env, tuple(policies))
