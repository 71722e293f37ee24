"""What can be computed exactly in a small game in turns: returns, counterfactual values and best responses.

With pi_i(a | I) the probability that player i takes action a in its information set I, c(z) that of chance's moves
towards the leaf z, and (I_1, a_1), (I_2, a_2), ... the moves of player i on the way to it,

    V_i = sum over z of c(z) u_i(z) prod_j prod_k pi_j(a_k | I_k)

and the counterfactual value of an action, in which player i plays to reach it, is

    q_i(I, a) = sum over z after (I, a) of c(z) u_i(z) prod_{j != i} prod_k pi_j(a_k | I_k) p_i(z)

with p_i(z) the product of the pi_i(a_k | I_k) of its moves after (I, a)
(Zinkevich et al. 2007, eq. 6). Information sets are few enough to be unrolled.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from shaping.envs.sequential.tree import Arrays

Probabilities = Sequence[jax.Array]
"""One array [information sets, actions] per player; rows after a player's last information set have no meaning."""


@dataclass(frozen=True)
class InformationSets:
    """A game in turns at one setting of its numbers.

    Attributes:
      tree: the game.
      rewards: [leaves, players], what each leaf pays.
    """

    tree: Arrays
    rewards: jax.Array

    def probabilities(self, logits: Sequence[jax.Array]) -> list[jax.Array]:
        """The players' probabilities, from logits [rows, actions] with a row for each information set."""
        return [jax.nn.softmax(own) for own in logits]

    def returns(self, probabilities: Probabilities) -> jax.Array:
        """V, [players]."""
        reach = jnp.asarray(self.tree.chance, self.rewards.dtype)
        for player, own in enumerate(probabilities):
            reach = reach * _product(self._moves(player, own))
        return jnp.sum(reach[:, None] * self.rewards, axis=0)

    def counterfactual_values(
        self, player: int, probabilities: Probabilities, rewards: jax.Array | None = None
    ) -> jax.Array:
        """q of one player, shaped as its probabilities, 0 in rows without an information set.

        Args:
          player: whose values.
          probabilities: of all players.
          rewards: [leaves], what the leaves pay to this player; None for what they pay in the game.
        """
        paid = self.rewards[:, player] if rewards is None else rewards
        weights = self._reach_of_others(player, probabilities) * paid
        moves, found = self._moves(player, probabilities[player]), jnp.zeros_like(probabilities[player])
        after = jnp.ones_like(weights)
        for k in reversed(range(len(moves))):
            found = found + self._gathered(player, k, weights * after, found)
            after = after * moves[k]
        return found

    def best_response(self, player: int, probabilities: Probabilities) -> jax.Array:
        """A best response of one player to the others' probabilities (its own are not used), as probabilities 0 and 1;
        the first of equally good actions."""
        rows, actions = probabilities[player].shape
        weights = self._reach_of_others(player, probabilities) * self.rewards[:, player]
        last = _last_moves(self.tree.paths[player])
        # What follows an action without another move of this player.
        values = [
            [jnp.sum(jnp.where((last == (row, action)).all(axis=1), weights, 0)) for action in range(actions)]
            for row in range(rows)
        ]
        chosen = [jnp.zeros(actions, weights.dtype)] * rows
        # An information set comes after those that lead to it.
        for row in reversed(range(len(self.tree.before[player]))):
            best = jnp.argmax(jnp.stack(values[row]))
            chosen[row] = jax.nn.one_hot(best, actions, dtype=weights.dtype)
            earlier, action = self.tree.before[player][row]
            if earlier >= 0:
                values[earlier][action] = values[earlier][action] + jnp.max(jnp.stack(values[row]))
        return jnp.stack(chosen)

    def gains(self, probabilities: Probabilities) -> jax.Array:
        """By how much each player's return would rise if it alone played a best response, [players]; their sum is
        NashConv (Lanctot et al. 2017)."""
        now, found = self.returns(probabilities), []
        for player in range(len(probabilities)):
            better = list(probabilities)
            better[player] = self.best_response(player, probabilities)
            found.append(self.returns(better)[player] - now[player])
        return jnp.stack(found)

    def along_paths(self, player: int, amounts: jax.Array) -> jax.Array:
        """The sum of a player's amounts, [information sets, actions], over its moves towards each leaf, [leaves]."""
        path, total = self.tree.paths[player], jnp.zeros(len(self.tree.leaves), amounts.dtype)
        for k in range(path.shape[1]):
            total = total + jnp.where(path[:, k, 0] < 0, 0, amounts[path[:, k, 0], path[:, k, 1]])
        return total

    def _moves(self, player: int, probabilities: jax.Array) -> list[jax.Array]:
        """The probabilities of the player's first, second, ... move towards each leaf, [leaves] each; 1 after the
        last."""
        path = self.tree.paths[player]
        return [
            jnp.where(path[:, k, 0] < 0, 1, probabilities[path[:, k, 0], path[:, k, 1]]) for k in range(path.shape[1])
        ]

    def _reach_of_others(self, player: int, probabilities: Probabilities) -> jax.Array:
        """The probability that chance and the others move towards each leaf, [leaves]."""
        reach = jnp.asarray(self.tree.chance, self.rewards.dtype)
        for other, own in enumerate(probabilities):
            if other != player:
                reach = reach * _product(self._moves(other, own))
        return reach

    def _gathered(self, player: int, k: int, weights: jax.Array, like: jax.Array) -> jax.Array:
        """The sum of the leaves' weights by the player's move number k towards them, shaped as its probabilities."""
        path = self.tree.paths[player][:, k]
        hit = np.zeros((like.shape[0], like.shape[1], len(path)))
        for leaf, (row, action) in enumerate(path):
            if row >= 0:
                hit[row, action, leaf] = 1
        return jnp.sum(jnp.asarray(hit, weights.dtype) * weights, axis=-1)


def _product(factors: Sequence[jax.Array]) -> Any:
    found: Any = 1
    for factor in factors:
        found = found * factor
    return found


def _last_moves(paths: np.ndarray) -> np.ndarray:
    """A player's last information set and action before each leaf, [leaves, 2]; (-1, -1) if it never moved."""
    moves = (paths[:, :, 0] >= 0).sum(axis=1)
    found = np.full((len(paths), 2), -1)
    if paths.shape[1]:
        found = np.where(moves[:, None] > 0, paths[np.arange(len(paths)), np.maximum(moves - 1, 0)], found)
    return found
