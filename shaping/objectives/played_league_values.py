"""Values of everyone against everyone from play: frozen policies of a two-player game, with standard errors.

A pilot of every pair estimates how much its returns vary; from that follows how many episodes the wanted standard
error needs, and as many are played (Stein 1945, Annals of Mathematical Statistics 16). The number is fixed before these
episodes are seen, so estimates are unbiased. The streams of a pair are keyed by the numbers of its players, so
they do not depend on who else plays.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from shaping.envs.declarations import conventions, measures, metrics, showcase
from shaping.objectives.game import value_scale
from shaping.objectives.play_statistics import play
from shaping.policies.fits_environment import check_policies
from shaping.policies.policy import Policy

PILOT, MOST_EPISODES = 128, 2**16
# The standard deviation of a pilot may be too small by chance.
_MARGIN = 1.1
_BATCH = 64
_PAIRS = 64


@dataclass(frozen=True)
class PlayedGame:
    """A two-player game that is played step by step.

    Attributes:
      env, numbers: the environment and its parameters.
      discount: of values.
      steps: how many steps an episode is played, at most.
      horizon: the number of steps of the game; None for a game without end, whose values are those of its first
        `steps`, as weighted means over them.
    """

    env: Any
    numbers: Any
    discount: float
    steps: int
    horizon: int | None

    @property
    def scale(self) -> float:
        """The factor from discounted returns to values."""
        if self.horizon is None:
            return (1 - self.discount) / (1 - self.discount**self.steps)
        return float(value_scale(np.float64(self.discount), self.horizon))

    @property
    def measure(self) -> str:
        """The environment's measure of cooperation; "" if it has none."""
        known = measures(self.env)
        names = [name for name in ("cooperation", showcase(self.env)) if name in known and not known[name].axis]
        return names[0] if names else ""


@dataclass(frozen=True)
class Seated:
    """A frozen player that can sit in either seat.

    Attributes:
      policies, thetas: for each seat its policy and the parameters.
      learned_in: the environment that it learned in; None if it is at home in any.
    """

    policies: tuple[Policy, Policy]
    thetas: tuple[Any, Any]
    learned_in: Any = None

    def check(self, env: Any) -> None:
        """Refuses an environment in which the policies cannot play what they have learned.

        Raises:
          ValueError: its observations or actions have other shapes, or other conventions.
        """
        check_policies(env, self.policies, self.thetas)
        if self.learned_in is not None and conventions(self.learned_in) != conventions(env):
            learned, here = conventions(self.learned_in), conventions(env)
            raise ValueError(f"it learned under the conventions {learned}; allowed: {here}, those of this {env.name}")


@dataclass(frozen=True)
class SampledValues:
    """What was measured of the pairs that were played; all else is NaN, or 0 episodes.

    Attributes:
      value, standard_error: [row, column, seat], the row's player in `seat` with the column's opposite, normalised.
      reward_per_step, cooperation: likewise; cooperation is `PlayedGame.measure`, over all steps alike.
      episodes: int [row, column], with row in seat 0.
    """

    value: np.ndarray
    standard_error: np.ndarray
    reward_per_step: np.ndarray
    cooperation: np.ndarray
    episodes: np.ndarray


def sampled_values(
    game: PlayedGame,
    players: Sequence[Seated],
    error: float = 0.01,
    pairs: np.ndarray | None = None,
    seed: int = 0,
    most: int = MOST_EPISODES,
) -> SampledValues:
    """Plays pairs of frozen players until the standard errors of their values are about as small as wanted.

    Args:
      game: what is played.
      players: who plays.
      error: the wanted standard error of each value, above 0.
      pairs: bool [row, column], which pairs are played, row in seat 0; None for all.
      seed: of the play.
      most: the most episodes of a pair, at least `PILOT`.

    Raises:
      ValueError: an error or a number of episodes that is not allowed, or a game of other than two players.
    """
    if not error > 0:
        raise ValueError(f"error is {error!r}; allowed: above 0")
    if most < PILOT:
        raise ValueError(f"most is {most!r}; allowed: {PILOT} or more")
    if game.env.num_players != 2:
        raise ValueError(f"the game has {game.env.num_players} players; allowed: 2")
    n = len(players)
    wanted = np.ones((n, n), bool) if pairs is None else np.asarray(pairs, bool)
    kinds = _kinds(players)
    result = SampledValues(*np.full((4, n, n, 2), np.nan), np.zeros((n, n), int))  # pyright: ignore[reportCallIssue]
    for rows, first in kinds:
        for columns, second in kinds:
            meet = [(i, j) for i in rows for j in columns if wanted[i, j]]
            if not meet:
                continue
            policies = (players[rows[0]].policies[0], players[columns[0]].policies[1])
            places = np.array([[rows.index(i), columns.index(j)] for i, j in meet])
            sides = (first[0], second[1])
            _play_pairs(game, policies, sides, places, np.array(meet), error, seed, most, result)
    return result


def alike(players: Sequence[Seated]) -> list[list[int]]:
    """The numbers of players that one program can play."""
    found: dict[Any, list[int]] = {}
    for number, player in enumerate(players):
        leaves, structure = jax.tree.flatten(player.thetas)
        found.setdefault((player.policies, structure, tuple(np.shape(leaf) for leaf in leaves)), []).append(number)
    return list(found.values())


def _kinds(players: Sequence[Seated]) -> list[tuple[list[int], tuple[Any, Any]]]:
    """Players that one program can play: their numbers, and for each seat their parameters, stacked."""
    stacked = []
    for numbers in alike(players):
        seats = tuple(
            jax.tree.map(lambda *leaves: jnp.stack(leaves), *[players[i].thetas[seat] for i in numbers])
            for seat in (0, 1)
        )
        stacked.append((numbers, seats))
    return stacked


class _Sums:
    """Sums over the episodes of some pairs."""

    def __init__(self, pairs: int):
        self.episodes = np.zeros(pairs)
        self.steps = np.zeros(pairs)
        self.mean, self.squares, self.rewards = (np.zeros((pairs, 2)) for _ in range(3))
        self.counts: Any = None

    def add(self, at: np.ndarray, found: Any) -> None:
        """Adds a batch of episodes of the pairs `at`; Chan's update of means and sums of squared deviations."""
        returns, rewards, steps, counts = found
        batch, before = returns.shape[1], self.episodes[at][:, None]
        mean = returns.mean(axis=1)
        apart, total = mean - self.mean[at], before + batch
        self.squares[at] += ((returns - mean[:, None]) ** 2).sum(axis=1) + apart**2 * before * batch / total
        self.mean[at] += apart * batch / total
        self.episodes[at] += batch
        self.rewards[at] += rewards
        self.steps[at] += steps
        if self.counts is None:
            self.counts = jax.tree.map(lambda x: np.zeros((len(self.episodes), *x.shape[1:])), counts)

        def added(total: np.ndarray, new: np.ndarray) -> np.ndarray:
            total[at] += new
            return total

        self.counts = jax.tree.map(added, self.counts, counts)

    @property
    def deviation(self) -> np.ndarray:
        """[pairs, 2]."""
        return np.sqrt(self.squares / (self.episodes[:, None] - 1))


def _play_pairs(
    game: PlayedGame,
    policies: tuple[Policy, Policy],
    sides: tuple[Any, Any],
    places: np.ndarray,
    meet: np.ndarray,
    error: float,
    seed: int,
    most: int,
    result: SampledValues,
) -> None:
    """Plays pairs of one kind of row and one of column: a pilot of all, then what each of them still needs."""
    sums, width = _Sums(len(meet)), min(_PAIRS, len(meet))
    root = jax.random.key(seed)

    def play_batch(number: int, which: np.ndarray) -> None:
        for start in range(0, len(which), width):
            at = which[start : start + width]
            padded = np.pad(at, (0, width - len(at)), mode="edge")
            numbers = (game.numbers, jnp.asarray(game.discount, float))
            found = _meet(
                game.env, policies, game.steps, sides, places[padded], meet[padded], jnp.int32(number), root, *numbers
            )
            sums.add(at, jax.tree.map(partial(_first, len(at)), found))

    every = np.arange(len(meet))
    pilots = PILOT // _BATCH
    for number in range(pilots):
        play_batch(number, every)
    needed = (_MARGIN * game.scale * sums.deviation.max(axis=1) / error) ** 2
    batches = np.ceil(np.clip(needed, PILOT, most) / _BATCH).astype(int)
    for number in range(pilots, int(batches.max())):
        play_batch(number, np.flatnonzero(batches > number))

    i, j = meet.T
    value, errors = sums.mean * game.scale, sums.deviation * game.scale / np.sqrt(sums.episodes)[:, None]
    rewards = sums.rewards / sums.steps[:, None]
    cooperation = np.full((len(meet), 2), np.nan)
    if game.measure:
        found = metrics(game.env, sums.counts)[game.measure]
        per_episode = measures(game.env)[game.measure].per_episode
        cooperation = np.asarray(found) / (sums.episodes[:, None] if per_episode else 1)
    for target, values in (
        (result.value, value),
        (result.standard_error, errors),
        (result.reward_per_step, rewards),
        (result.cooperation, cooperation),
    ):
        _place(target, i, j, values)
    result.episodes[i, j] = sums.episodes.astype(int)


def _first(number: int, x: jax.Array) -> np.ndarray:
    return np.asarray(x, np.float64)[:number]


def _place(target: np.ndarray, rows: np.ndarray, columns: np.ndarray, values: np.ndarray) -> None:
    """Values of both seats of pairs (row in seat 0, column in seat 1), each at its own player's row."""
    target[rows, columns, 0] = values[:, 0]
    target[columns, rows, 1] = values[:, 1]


@partial(jax.jit, static_argnames=("env", "policies", "steps"))
def _meet(
    env: Any,
    policies: tuple[Policy, Policy],
    steps: int,
    sides: tuple[Any, Any],
    places: jax.Array,
    meet: jax.Array,
    number: jax.Array,
    root: jax.Array,
    numbers: Any,
    discount: jax.Array,
) -> tuple[jax.Array, jax.Array, jax.Array, Any]:
    """A batch of every pair: returns [pairs, batch, 2], sums of rewards [pairs, 2], steps [pairs], and counts."""

    def pair(place: jax.Array, who: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array, Any]:
        thetas = [jax.tree.map(lambda leaf, at=at: leaf[at], side) for side, at in zip(sides, place, strict=True)]
        key = root
        for part in (who[0], who[1], number):
            key = jax.random.fold_in(key, part)
        found = play(env, policies, thetas, key, steps, _BATCH, numbers, discount)
        pooled = found.pooled()
        returns = found.discounted / jnp.maximum(found.episodes, 1)[:, None]
        return returns, pooled.rewards, pooled.steps, pooled.counts

    return jax.vmap(pair)(places, meet)
