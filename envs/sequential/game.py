"""An environment that plays a tree: in every step the player whose turn it is moves, and the others wait."""

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from shaping.envs.environment import check_actions
from shaping.envs.sequential.tree import Arrays, Node, as_arrays
from shaping.envs.spaces import Discrete


@flax.struct.dataclass
class SequentialParams:
    """The numbers of a game.

    Attributes:
        rewards: [nodes, players] float, at the nodes where the game ends.
    """

    rewards: jax.Array


@flax.struct.dataclass
class SequentialState:
    """Where a game is.

    Attributes:
        node: [] int32, the node of the tree, never one of chance.
    """

    node: jax.Array


@dataclass(frozen=True)
class SequentialEnv:
    """A game of players who move in turn.

    A player observes the number of its information set when it is to move, and otherwise the number after the last one,
    which means that it waits; what it does then has no effect. The reward comes with the last move.

    Attributes:
        name: for records and messages.
        root: the tree.
        num_players, num_actions: how many there are.
        action_labels: names of the actions.
    """

    name: str
    root: Node = field(repr=False)
    num_players: int
    num_actions: int
    action_labels: tuple[str, ...]

    def __post_init__(self):
        if len(self.action_labels) != self.num_actions:
            raise ValueError(f"action_labels has {len(self.action_labels)} names; allowed: {self.num_actions}")
        _ = self.tree

    @cached_property
    def tree(self) -> Arrays:
        """The tree as arrays."""
        return as_arrays(self.root, self.num_players, self.num_actions)

    @property
    def num_information_sets(self) -> int:
        """The most information sets that a player has; all players observe as many numbers."""
        return max(map(len, self.tree.names))

    @property
    def observation_space(self) -> Discrete:
        """Information sets, and waiting."""
        return Discrete(self.num_information_sets + 1)

    @property
    def action_space(self) -> Discrete:
        return Discrete(self.num_actions)

    @property
    def default_params(self) -> SequentialParams:
        return SequentialParams(jnp.asarray(self.tree.rewards, float))

    def reset(self, key: jax.Array, params: SequentialParams) -> tuple[jax.Array, SequentialState]:
        """The first decision, after chance has moved."""
        state = SequentialState(self._after_chance(key, jnp.int32(0)))
        return self.observe(state, params), state

    def step(
        self, key: jax.Array, state: SequentialState, actions: jax.Array, params: SequentialParams
    ) -> tuple[jax.Array, SequentialState, jax.Array, jax.Array, jax.Array, dict[str, Any]]:
        """See `Environment.step`; `actions` [players] int, of which one counts."""
        actions = check_actions(actions, self.num_players, self.action_space)
        mover = jnp.asarray(self.tree.mover)[state.node]
        action = actions[jnp.clip(mover, 0, self.num_players - 1)]
        moved = jnp.asarray(self.tree.children, jnp.int32)[state.node, action]
        after = SequentialState(self._after_chance(key, moved))
        over = jnp.asarray(self.tree.mover)[after.node] < 0
        # A step after the end stays there, and pays nothing more.
        paid = jnp.where(mover >= 0, params.rewards[after.node], 0)
        return self.observe(after, params), after, paid, over, jnp.zeros((), bool), {}

    def observe(self, state: SequentialState, params: SequentialParams) -> jax.Array:
        """What every player sees, [players] int32."""
        del params
        own = jnp.arange(self.num_players) == jnp.asarray(self.tree.mover)[state.node]
        return jnp.where(own, jnp.asarray(self.tree.information)[state.node], self.num_information_sets).astype(
            jnp.int32
        )

    def text(self, state: SequentialState, params: SequentialParams) -> str:
        """Who is to move and what it knows, or what the game paid."""
        node = int(state.node)
        player = int(self.tree.mover[node])
        if player < 0:
            return f"over: {', '.join(f'{reward:g}' for reward in np.asarray(params.rewards)[node])}"
        return f"player {player} to move, knows {self.tree.names[player][self.tree.information[node]]}"

    def _after_chance(self, key: jax.Array, node: jax.Array) -> jax.Array:
        """The first node from this one on that is not one of chance."""
        for move in range(self._chance_moves):
            odds = jnp.asarray(self.tree.probabilities)[node]
            branch = jax.random.choice(jax.random.fold_in(key, move), odds.shape[0], p=odds)
            random = jnp.asarray(self.tree.mover)[node] == self.num_players
            node = jnp.where(random, jnp.asarray(self.tree.children, jnp.int32)[node, branch], node)
        return node

    @cached_property
    def _chance_moves(self) -> int:
        """The most moves of chance in a row."""
        run = np.zeros(len(self.tree.mover), int)
        for node in reversed(range(len(run))):
            if self.tree.mover[node] == self.num_players:
                run[node] = 1 + max(run[child] for child in self.tree.children[node] if child != node)
        return int(run.max(initial=0))
