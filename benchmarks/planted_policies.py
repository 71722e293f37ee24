"""Planted strategies and their play, for the benchmarks of the atlas."""

import numpy as np
from scipy import stats

from shaping import envs
from shaping.atlases.players import seated
from shaping.leagues.stepwise_players import matrix_as_played
from shaping.policies import moore_machine
from shaping.representations import play_episodes

EPISODES, ROUNDS = 20, 50
FAMILIES = ("uniform", "arcsine", "machines")
GAME = envs.make("ipd", discount=0.96)


def planted(family: str, number: int, seed: int) -> list:
    """Random strategies: memory-one tables with uniform or arcsine-distributed probabilities; or half of them uniform
    tables, half machines of two to four states that do what they mean to in 95 of 100 rounds."""
    rng = np.random.default_rng([seed, FAMILIES.index(family)])
    if family == "arcsine":
        return list(rng.beta(0.5, 0.5, (number, 5)))
    tables = list(rng.uniform(size=(number, 5)))
    if family == "uniform":
        return tables
    machines = []
    for _ in range(number // 2):
        states = int(rng.integers(2, 5))
        chances = np.where(rng.permutation(states) % 2 == 0, 0.95, 0.05)
        machines.append(moore_machine(chances, rng.integers(0, states, (states, 4))))
    return tables[: number - len(machines)] + machines


def played(players: list, episodes: int, seed: int, partners: list | None = None, **how):
    """Episodes of 50 rounds; the partner is random unless others are given."""
    others = [np.full(5, 0.5)] if partners is None else partners
    return play_episodes(matrix_as_played(GAME), seated(players), seated(others), episodes, seed, ROUNDS, **how)


def interval(values: list[float]) -> dict:
    """The mean over seeds, and its 95 % interval (Student's t)."""
    mean, half = float(np.mean(values)), float("nan")
    if len(values) > 1:
        half = float(stats.t.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / np.sqrt(len(values)))
    return {"mean": round(mean, 5), "ci95": [round(mean - half, 5), round(mean + half, 5)]}
