"""The classes behind `to_openspiel`. This module imports OpenSpiel, so it is imported only by that function."""

from typing import Any

import numpy as np
import pyspiel  # pyright: ignore[reportMissingImports]

from shaping.envs.adapters.openspiel import known_as
from shaping.envs.sequential.game import SequentialEnv


class TreeGame(pyspiel.Game):
    """A game in turns as a game of OpenSpiel's Python interface."""

    def __init__(self, env: SequentialEnv):
        tree, players = env.tree, env.num_players
        paid = tree.rewards[tree.leaves]
        totals = paid.sum(axis=1)
        constant = bool(np.ptp(totals) == 0)
        chance = bool((tree.mover == players).any())
        utilities, chances = pyspiel.GameType.Utility, pyspiel.GameType.ChanceMode
        zero = utilities.ZERO_SUM if constant and totals[0] == 0 else utilities.CONSTANT_SUM
        kind = pyspiel.GameType(
            short_name=env.name,
            long_name=env.name,
            dynamics=pyspiel.GameType.Dynamics.SEQUENTIAL,
            chance_mode=chances.EXPLICIT_STOCHASTIC if chance else chances.DETERMINISTIC,
            information=pyspiel.GameType.Information.IMPERFECT_INFORMATION,
            utility=zero if constant else utilities.GENERAL_SUM,
            reward_model=pyspiel.GameType.RewardModel.TERMINAL,
            max_num_players=players,
            min_num_players=players,
            provides_information_state_string=True,
            provides_information_state_tensor=False,
            provides_observation_string=False,
            provides_observation_tensor=False,
        )
        info = pyspiel.GameInfo(
            num_distinct_actions=env.num_actions,
            max_chance_outcomes=tree.children.shape[1] if chance else 0,
            num_players=players,
            min_utility=float(paid.min()),
            max_utility=float(paid.max()),
            utility_sum=float(totals[0]) if constant else None,
            max_game_length=sum(path.shape[1] for path in tree.paths),
        )
        super().__init__(kind, info, {})
        self.env = env

    def new_initial_state(self) -> "TreeState":
        """The root of the tree."""
        return TreeState(self)

    def make_py_observer(self, iig_obs_type: Any = None, params: Any = None) -> "TreeObserver":
        """What a player knows."""
        del iig_obs_type, params
        return TreeObserver()


class TreeState(pyspiel.State):
    """A node of the tree."""

    def __init__(self, game: TreeGame):
        super().__init__(game)
        self.env, self.node = game.env, 0

    def current_player(self) -> int:
        """Who moves."""
        mover = int(self.env.tree.mover[self.node])
        if mover < 0:
            return pyspiel.PlayerId.TERMINAL
        return pyspiel.PlayerId.CHANCE if mover == self.env.num_players else mover

    def _legal_actions(self, player: int) -> list[int]:
        del player
        return list(range(self.env.num_actions))

    def chance_outcomes(self) -> list[tuple[int, float]]:
        """Branches and their probabilities."""
        odds = self.env.tree.probabilities[self.node]
        return [(int(branch), float(odds[branch])) for branch in np.flatnonzero(odds)]

    def _apply_action(self, action: int) -> None:
        self.node = int(self.env.tree.children[self.node, action])

    def _action_to_string(self, player: int, action: int) -> str:
        return f"chance {action}" if player == pyspiel.PlayerId.CHANCE else self.env.action_labels[action]

    def is_terminal(self) -> bool:
        """Whether the game is over."""
        return bool(self.env.tree.mover[self.node] < 0)

    def returns(self) -> list[float]:
        """What everybody has got so far."""
        return self.env.tree.rewards[self.node].tolist()

    def __str__(self) -> str:
        return f"node {self.node}"


class TreeObserver:
    """What a player knows of a state, as text."""

    def __init__(self):
        self.tensor, self.dict = np.zeros(0, np.float32), {}

    def set_from(self, state: TreeState, player: int) -> None:
        """Nothing: there is no tensor."""

    def string_from(self, state: TreeState, player: int) -> str:
        """The name of the information set; of somebody who waits, that it waits."""
        tree = state.env.tree
        if tree.mover[state.node] != player:
            return f"player {player} waits"
        return known_as(player, tree.names[player][tree.information[state.node]])
