"""Small games in turns, by name."""

from itertools import permutations

import numpy as np

from shaping.envs.matrix.checks import finite_numbers
from shaping.envs.sequential.game import SequentialEnv
from shaping.envs.sequential.tree import Chance, Decision, Node, Outcome

CARDS = ("J", "Q", "K")


def kuhn_poker() -> SequentialEnv:
    """Kuhn poker: three cards, one for each player, an ante of one, one bet.

    Player 0 passes or bets; after a pass player 1 may bet, and player 0 then pass (fold) or bet (call). The higher card
    wins. In equilibrium player 0 loses 1/18 a game. Source: Kuhn (1950), A simplified two-person poker.
    """

    def after(cards: tuple[int, int], history: str) -> Node:
        higher = 0 if cards[0] > cards[1] else 1
        if history in ("pp", "bb", "pbb"):
            stake = 1 if history == "pp" else 2
            won = stake if higher == 0 else -stake
            return Outcome((float(won), float(-won)))
        if history in ("bp", "pbp"):
            won = 1.0 if history == "bp" else -1.0
            return Outcome((won, -won))
        player = len(history) % 2
        knows = f"{CARDS[cards[player]]}{history}"
        return Decision(player, knows, (after(cards, history + "p"), after(cards, history + "b")))

    deals = list(permutations(range(len(CARDS)), 2))
    root = Chance(tuple((1 / len(deals), after(deal, "")) for deal in deals))
    return SequentialEnv("kuhn_poker", root, 2, 2, ("pass", "bet"))


def one_shot_game(payoffs: list[list[list[float]]]) -> SequentialEnv:
    """A matrix game of two players, played once: player 1 moves without knowing what player 0 did.

    Args:
        payoffs: payoffs[player][action_0][action_1], as many actions for both.

    Raises:
        ValueError: for anything else.
    """
    allowed = "payoffs[player][action_0][action_1] of two players with the same number of actions, 2 or more"
    array = finite_numbers("payoffs", payoffs, allowed)
    if array.ndim != 3 or array.shape[0] != 2 or array.shape[1] != array.shape[2] or array.shape[1] < 2:
        raise ValueError(f"payoffs has the shape {list(array.shape)}; allowed: {allowed}")
    return _one_shot("one_shot_game", array)


def biased_rock_paper_scissors() -> SequentialEnv:
    """Rock-paper-scissors in which winning pays differently; the equilibrium is (1/16, 10/16, 5/16).

    The payoffs to player 0 are 0, -0.25, 0.5; 0.25, 0, -0.05; -0.5, 0.05, 0, and player 1 gets their negative: a
    hundredth of those of OpenSpiel's matrix_brps. Gradient learners cycle around the equilibrium.
    """
    own = np.array([[0, -0.25, 0.5], [0.25, 0, -0.05], [-0.5, 0.05, 0]])
    return _one_shot("biased_rock_paper_scissors", np.stack([own, -own]), ("rock", "paper", "scissors"))


def _one_shot(name: str, payoffs: np.ndarray, labels: tuple[str, ...] = ()) -> SequentialEnv:
    actions = range(payoffs.shape[1])

    def answer(first: int) -> Node:
        outcomes = (Outcome((float(payoffs[0, first, second]), float(payoffs[1, first, second]))) for second in actions)
        return Decision(1, "second", tuple(outcomes))

    root = Decision(0, "first", tuple(answer(first) for first in actions))
    return SequentialEnv(name, root, 2, len(actions), labels or tuple(str(action) for action in actions))


SEQUENTIAL_GAMES = {
    "kuhn_poker": kuhn_poker,
    "biased_rock_paper_scissors": biased_rock_paper_scissors,
    "one_shot_game": one_shot_game,
}
"""Factories of games in turns by name; their arguments are the settings of `envs.make`."""
