"""Episodes of play, each seen by the one player whose policy is to be represented."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from shaping.envs.environment import check_integer
from shaping.envs.spaces import Box, Discrete
from shaping.objectives.played_league_values import PlayedGame, Seated, alike
from shaping.objectives.rollout import rollout

_STEPS = 2**21
"""Steps of play in one call of a program; bounds its memory."""


@struct.dataclass
class Episodes:
    """What some players saw and did: `policies` of them, as many episodes of each.

    Attributes:
      observations: [policies, episodes, time, *observation], before the player acted.
      actions: [policies, episodes, time, *action], as chosen.
      rewards, partner_rewards: [policies, episodes, time], of the player and of its partner.
      running: [policies, episodes, time] bool, False after the end of an episode.
      observation_space, action_space: of one player.
    """

    observations: Any
    actions: Any
    rewards: Any
    partner_rewards: Any
    running: Any
    observation_space: Discrete | Box = struct.field(pytree_node=False)
    action_space: Discrete | Box = struct.field(pytree_node=False)

    @property
    def policies(self) -> int:
        """How many policies they are of."""
        return self.running.shape[0]

    @property
    def each(self) -> int:
        """How many episodes there are of each policy."""
        return self.running.shape[1]

    def only(self, policies: Any = slice(None), episodes: Any = slice(None)) -> Episodes:
        """Those of some policies, and of each some episodes; both index as an array does."""
        return jax.tree.map(lambda leaf: np.asarray(leaf)[policies][:, episodes], self)


def play_episodes(
    game: PlayedGame,
    players: Sequence[Seated],
    partners: Sequence[Seated],
    episodes: int,
    seed: int = 0,
    steps: int | None = None,
    seats: Sequence[int] = (0, 1),
) -> Episodes:
    """Plays policies, each with partners that are drawn anew for every episode.

    Episodes of a player alternate between the seats. Their random numbers are keyed by the player's place in the list
    and the number of the episode, so they do not depend on how many others are played.

    Args:
      game: of two players.
      players: whose policies are to be represented.
      partners: whom they meet, each equally often in the long run.
      episodes: how many of each player.
      seed: of the play.
      steps: of an episode; None for those of the game.
      seats: in which the players sit, in turn.

    Raises:
      ValueError: no players or partners, a number that is not allowed, or a game of other than two players.
    """
    if game.env.num_players != 2:
        raise ValueError(f"the game has {game.env.num_players} players; allowed: 2")
    for what, given in (("players", players), ("partners", partners)):
        if not given:
            raise ValueError(f"{what} is []; allowed: one or more")
    length = check_integer("steps", game.steps if steps is None else steps, 1)
    check_integer("episodes", episodes, 1)
    if not seats or set(seats) - {0, 1}:
        raise ValueError(f"seats is {list(seats)!r}; allowed: some of 0 and 1")
    root = jax.random.key(seed)
    # A partner's number is drawn apart from the play, so that all episodes with partners of one kind run together.
    drawn = np.random.default_rng([seed, 1]).integers(0, len(partners), (len(players), episodes))
    seat_of = np.array([seats[e % len(seats)] for e in range(episodes)])
    found: list[np.ndarray] | None = None
    for own in alike(players):
        for others in alike(partners):
            for seat in sorted(set(seats)):
                which = np.isin(drawn, others) & (seat_of == seat) & np.isin(np.arange(len(players)), own)[:, None]
                at = np.argwhere(which)
                if len(at):
                    meet = np.stack([np.searchsorted(own, at[:, 0]), np.searchsorted(others, drawn[which])], axis=1)
                    sides = _sides([players[i] for i in own], [partners[i] for i in others], seat)
                    parts = _played(game, sides, seat, length, meet, at, root)
                    if found is None:
                        found = [np.zeros((len(players), episodes, *part.shape[1:]), part.dtype) for part in parts]
                    for whole, part in zip(found, parts, strict=True):
                        whole[at[:, 0], at[:, 1]] = part
    assert found is not None
    seen, done, earned, other, running = found
    return Episodes(seen, done, earned, other, running, game.env.observation_space, game.env.action_space)


def _sides(players: Sequence[Seated], partners: Sequence[Seated], seat: int) -> tuple[Any, Any]:
    """Of the player and of the partner opposite: the policy, and stacked parameters."""

    def side(of: Sequence[Seated], sits: int) -> tuple[Any, Any]:
        return of[0].policies[sits], jax.tree.map(lambda *x: np.stack(x), *[one.thetas[sits] for one in of])

    return side(players, seat), side(partners, 1 - seat)


def _played(
    game: PlayedGame, sides: tuple[Any, Any], seat: int, steps: int, meet: np.ndarray, at: np.ndarray, root: jax.Array
) -> list[np.ndarray]:
    """The episodes `at` (player, episode) of the pairs `meet` (player, partner): arrays [episodes, time, ...]."""
    (own, thetas), (other, theirs) = sides
    width = max(1, min(len(meet), _STEPS // steps))
    parts = []
    for start in range(0, len(meet), width):
        rows = np.arange(start, min(start + width, len(meet)))
        padded = np.pad(rows, (0, width - len(rows)), mode="edge")
        mine, opposite = meet[padded].T
        given = [jax.tree.map(lambda x, i=i: jnp.asarray(x[i]), x) for x, i in ((thetas, mine), (theirs, opposite))]
        keys = _keys(root, at[padded])
        found = _episodes(game.env, (own, other), seat, steps, given, keys, game.numbers)
        parts.append([np.asarray(part)[: len(rows)] for part in found])
    return [np.concatenate(each) for each in zip(*parts, strict=True)]


@jax.jit
def _keys(root: jax.Array, numbers: jax.Array) -> jax.Array:
    return jax.vmap(lambda pair: jax.random.fold_in(jax.random.fold_in(root, pair[0]), pair[1]))(numbers)


@partial(jax.jit, static_argnames=("env", "policies", "seat", "steps"))
def _episodes(
    env: Any, policies: Any, seat: int, steps: int, thetas: Any, keys: jax.Array, numbers: Any
) -> tuple[jax.Array, ...]:
    """What the first of two policies saw, did and earned in `seat`, and what the other earned."""
    order = (0, 1) if seat == 0 else (1, 0)

    def episode(thetas: Any, key: jax.Array) -> tuple[jax.Array, ...]:
        found = rollout(env, [policies[i] for i in order], [thetas[i] for i in order], key, steps, 1, numbers)
        own = [leaf[:, 0, seat] for leaf in (found.observations, found.actions, found.rewards)]
        return (*own, found.rewards[:, 0, 1 - seat], found.running[:, 0])

    return jax.vmap(episode)(thetas, keys)
