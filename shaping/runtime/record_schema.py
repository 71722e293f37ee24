"""What the record of an experiment holds, known before its first match."""

from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any

import numpy as np

from shaping.config import build
from shaping.config.games import is_coin, is_matrix, num_players
from shaping.config.objective import is_sampled
from shaping.config.plan import Experiment
from shaping.config.players import MODEL
from shaping.envs.coin_game.game import CoinGame
from shaping.objectives.sampled_game import SampledGame
from shaping.runtime.record import Layout, spread


def layout(experiment: Experiment) -> Layout:
    """Sizes and labels of the record of an experiment."""
    normals = [block.normal for block in experiment.blocks]
    matrix = [normal for normal in normals if is_matrix(normal["game"])]
    seats = max(num_players(normal["game"]) for normal in normals)
    in_matrix = max((num_players(normal["game"]) for normal in matrix), default=0)
    labels = ["".join(letters) for letters in product("CD", repeat=in_matrix)]
    memory = max((normal["policy"].get("memory", 1) for normal in matrix), default=1)
    one_shot = all(normal["game"]["horizon"] == 1 for normal in matrix)
    longest = max(build.policy_of(normal, 0).num_parameters for normal in normals)
    tables = all(normal["policy"]["kind"] in ("tabular", "preconditioned") for normal in normals)
    forms = [build.form_of(normal) for normal in normals if is_sampled(normal)]
    top = experiment.top
    return Layout(
        matches=experiment.matches,
        updates=[*range(0, top["updates"], top["record_every"]), top["updates"]],
        states=["start"] if one_shot else histories(labels, memory),
        joint_actions=labels,
        players=seats,
        dtype=np.dtype(top["precision"]),
        parameters=None if tables else longest,
        matrix_games=bool(matrix),
        coin_games=any(is_coin(normal["game"]) for normal in normals),
        extras=tuple(top["record"]),
        measured=_measured(normals, forms, top["record"]),
        opponents=max((tuple(name for name, _ in form.opponents) for form in forms), key=len, default=()),
        sampled_coins=any(isinstance(form.env, CoinGame) for form in forms),
    )


def _measured(
    normals: Sequence[Mapping[str, Any]], forms: Sequence[SampledGame], record: Sequence[str]
) -> tuple[str, ...]:
    """Variables of play recorded along with values."""
    if not forms:
        return ()
    names = ["reward_per_step", "entropy"]
    names += ["value_exact"] if any(form.exact is not None for form in forms) else []
    names += ["own_fraction"] if any(isinstance(form.env, CoinGame) for form in forms) else []
    modelled = any(MODEL in player for normal in normals for player in normal["players"])
    names += ["model_error", "model_trust"] if modelled else []
    return (*names, *(["shaping_norm", "shaping_sd"] if "shaping" in record else []))


def histories(labels: Sequence[str], rounds: int) -> list[str]:
    """Labels of states: the start and what happened since, up to that many rounds, the earliest first."""
    lengths = range(1, rounds + 1)
    return ["start", *(" ".join(history) for length in lengths for history in product(labels, repeat=length))]


def coordinates(experiment: Experiment) -> dict[str, Any]:
    """Coordinates on `match`: cell, number within it, seed, and every swept or drawn key."""
    per_cell = experiment.top["matches"]
    cells, every = np.arange(experiment.cells), np.arange(experiment.matches)
    seeds = np.concatenate([block.seeds for block in experiment.blocks])
    found: dict[str, Any] = {
        "cell": spread(cells, per_cell),
        "match_in_cell": np.tile(np.arange(per_cell), experiment.cells),
        "seed": spread(seeds, per_cell),
    }
    found |= {name: spread(column, per_cell) for name, column in experiment.coordinates.items() if name != "seed"}
    for spec in experiment.drawn:
        parts = []
        for block in experiment.blocks:
            own = every[block.cells.start * per_cell : block.cells.stop * per_cell]
            parts.append(build.drawn_values(experiment, block, own)[spec.key])
        array = np.concatenate(parts)
        dims = ("match", *(f"{spec.coordinate}.{axis}" for axis in range(array.ndim - 1)))
        found[spec.coordinate] = (dims, array)
    return found


def attributes(experiment: Experiment, config: str) -> dict[str, Any]:
    """Attributes of the Dataset; `config` is the resolved configuration as text."""
    own = {"updates": experiment.top["updates"], "config": config}
    matrix = [block.normal for block in experiment.blocks if is_matrix(block.normal["game"])]
    if not matrix:
        return own
    horizon = matrix[0]["game"]["horizon"]
    views = {"state_view": matrix[0]["policy"]["state_view"], "horizon": "infinite" if horizon is None else horizon}
    return views | own
