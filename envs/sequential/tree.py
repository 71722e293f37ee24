"""A game of players who move in turn as a tree: decisions, chance and outcomes; and the same tree as arrays.

A decision names what its player knows, the information set: all decisions with the same name look the same to the
player, who must remember what it knew and did before (perfect recall; Kuhn 1953).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Outcome:
    """The end of a game.

    Attributes:
        rewards: one per player.
    """

    rewards: tuple[float, ...]


@dataclass(frozen=True)
class Chance:
    """A move of nature.

    Attributes:
        branches: pairs of a probability above 0 and what follows; the probabilities add up to 1.
    """

    branches: tuple[tuple[float, "Node"], ...]


@dataclass(frozen=True)
class Decision:
    """A move of a player.

    Attributes:
        player: whose it is.
        knows: the name of its information set.
        actions: what follows each action, the same number of actions at every decision of a game.
    """

    player: int
    knows: str
    actions: tuple["Node", ...]


Node = Outcome | Chance | Decision


@dataclass(frozen=True)
class Arrays:
    """A tree as arrays. Nodes are numbered from the root, 0, parents before children.

    Attributes:
        names: for each player the names of its information sets, in the order of their numbers; an information set
            comes after those that its player passed before.
        mover: [nodes] int, who moves; the number of players at chance nodes, -1 at the end.
        information: [nodes] int, the information set of a decision, -1 elsewhere.
        children: [nodes, branches] int, the node that follows an action or a branch; the node itself where there is
            none.
        probabilities: [nodes, branches] float, of the branches of chance nodes, 0 elsewhere.
        rewards: [nodes, players] float, at the end of the game, 0 elsewhere.
        leaves: [leaves] int, the nodes at which the game ends.
        chance: [leaves] float, the probability that chance makes all its moves towards a leaf.
        paths: for each player int [leaves, moves, 2], its information sets and actions on the way to each leaf, in
            order, and (-1, -1) after the last.
        before: for each player int [information sets, 2], its information set and action that led to each, (-1, -1) for
            those in which it moves first.
    """

    names: tuple[tuple[str, ...], ...]
    mover: np.ndarray
    information: np.ndarray
    children: np.ndarray
    probabilities: np.ndarray
    rewards: np.ndarray
    leaves: np.ndarray
    chance: np.ndarray
    paths: tuple[np.ndarray, ...]
    before: tuple[np.ndarray, ...]


def as_arrays(root: Node, num_players: int, num_actions: int) -> Arrays:
    """The arrays of a tree.

    Raises:
        ValueError: if the tree is not a game of these players and actions, or a player would forget something.
    """
    names: list[list[str]] = [[] for _ in range(num_players)]
    before: list[list[tuple[int, int]]] = [[] for _ in range(num_players)]
    nodes = list(_walk(root))
    branches = max([num_actions, *(len(node.branches) for node in nodes if isinstance(node, Chance))])
    count = len(nodes)
    mover, information = np.full(count, -1, np.int32), np.full(count, -1, np.int32)
    children = np.repeat(np.arange(count, dtype=np.int32)[:, None], branches, axis=1)
    probabilities, rewards = np.zeros((count, branches)), np.zeros((count, num_players))
    leaves: list[int] = []
    chances: list[float] = []
    paths: list[list[list[tuple[int, int]]]] = [[] for _ in range(num_players)]
    following = iter(range(count))

    def number(node: Node, chance: float, taken: list[list[tuple[int, int]]]) -> int:
        own = next(following)
        if isinstance(node, Outcome):
            if len(node.rewards) != num_players:
                raise ValueError(f"an outcome has {len(node.rewards)} rewards; allowed: {num_players}, one per player")
            rewards[own] = node.rewards
            leaves.append(own)
            chances.append(chance)
            for player in range(num_players):
                paths[player].append(taken[player])
        elif isinstance(node, Chance):
            odds = [odd for odd, _ in node.branches]
            if min(odds, default=0) <= 0 or abs(sum(odds) - 1) > 1e-9:
                raise ValueError(f"chance has the probabilities {odds}; allowed: numbers above 0 that add up to 1")
            mover[own] = num_players
            for place, (odd, after) in enumerate(node.branches):
                probabilities[own, place] = odd
                children[own, place] = number(after, chance * odd, taken)
        else:
            player = node.player
            if not 0 <= player < num_players:
                raise ValueError(f"player is {player}; allowed: 0 to {num_players - 1}")
            if len(node.actions) != num_actions:
                allowed = f"{num_actions}, as at the game's other decisions"
                raise ValueError(f"{node.knows}: {len(node.actions)} actions; allowed: {allowed}")
            last = taken[player][-1] if taken[player] else (-1, -1)
            if node.knows not in names[player]:
                names[player].append(node.knows)
                before[player].append(last)
            place = names[player].index(node.knows)
            if before[player][place] != last:
                raise ValueError(f"{node.knows}: player {player} forgets what it did; allowed: perfect recall")
            mover[own], information[own] = player, place
            for action, after in enumerate(node.actions):
                longer = [*taken[player], (place, action)]
                children[own, action] = number(after, chance, [*taken[:player], longer, *taken[player + 1 :]])
        return own

    number(root, 1.0, [[] for _ in range(num_players)])
    return Arrays(
        tuple(map(tuple, names)),
        mover,
        information,
        children,
        probabilities,
        rewards,
        np.asarray(leaves, np.int32),
        np.asarray(chances),
        tuple(map(_padded, paths)),
        tuple(np.asarray(each, np.int32).reshape(-1, 2) for each in before),
    )


def _walk(node: Node) -> Iterator[Node]:
    yield node
    if isinstance(node, Chance):
        for _, after in node.branches:
            yield from _walk(after)
    elif isinstance(node, Decision):
        for after in node.actions:
            yield from _walk(after)


def _padded(paths: Sequence[Sequence[tuple[int, int]]]) -> np.ndarray:
    longest = max(map(len, paths), default=0)
    found = np.full((len(paths), longest, 2), -1, np.int32)
    for place, path in enumerate(paths):
        found[place, : len(path)] = np.asarray(path, np.int32).reshape(-1, 2)
    return found
