"""`shaping league`: exact values of frozen policies, everyone against everyone, as a folder with a report."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from shaping import __version__
from shaping.config.errors import ConfigError
from shaping.config.files import read
from shaping.config.games import MATRIX, family_of, normal_game
from shaping.config.yaml_text import parse
from shaping.envs import MatrixGame
from shaping.envs.matrix.games import GAMES
from shaping.frozen_players import Player, check_names, filed, learned, scripted
from shaping.objectives.best_responses import best_responses
from shaping.objectives.league_values import league_values
from shaping.runtime.folders import new_folder


def league(
    sources: Sequence[str | Path] = (),
    against: str = "classic",
    game: Any = None,
    cells: Sequence[str] = (),
    per_cell: int | None = None,
    out: str | Path | None = None,
) -> Any:
    """Plays frozen policies against each other, everyone against everyone, and writes the results.

    Args:
      sources: folders of runs, and files of policies, see `frozen_players.filed`.
      against: strategies that join: "classic", "all", "none", or names separated by commas.
      game: a name or a mapping, as in configurations, or a YAML file with the key `game`; by default the game of the
        runs, or the prisoner's dilemma if there are no runs.
      cells, per_cell: see `frozen_players.learned`.
      out: the folder to write, new or empty; by default a new one, `runs/league-N`.

    Returns:
      The folder, with league.zarr (`value` and `cooperation` [row, column, seat]; `best_response` and
      `value_at_worst` [row], what a best response to the row's player earns and what that player then gets),
      summary.json and report/index.html.

    Raises:
      ConfigError: bad input, in one line, before anything is computed.
    """
    if per_cell is not None and per_cell < 1:
        raise ConfigError(f"--per-cell {per_cell}: allowed: 1 or more")
    if against == "none" and not sources:
        raise ConfigError("league: no players; give a run, a file, or names with --against")
    players: list[Player] = []
    numbers: list[tuple[str, dict[str, Any]]] = []
    places = [str(source) for source in sources]
    short = [Path(place).name for place in places]
    for source, last in zip(places, short, strict=True):
        if source.endswith((".json", ".npy")):
            players += filed(source)
            continue
        name = last if short.count(last) == 1 else source
        found, played = learned(source, cells, per_cell, name, one_game=game is None)
        players += found
        numbers.append((source, played))
    met = _matrix_game(game) if game is not None else _common_game(numbers)
    # Learners come before strategies, each in the given order.
    players += scripted(against, met)
    check_names(players)
    folder = new_folder(out, "league")
    behaviours = [player.behaviour for player in players]
    values = league_values(met, behaviours)
    best = best_responses(met, behaviours)
    dataset = _dataset(met, players, values, best)
    dataset.to_zarr(str(folder / "league.zarr"), mode="w", consolidated=False)
    from shaping.analysis.league_report import summary_of, write_league_report

    summary = {"version": __version__} | summary_of(dataset)
    (folder / "summary.json").write_text(json.dumps(summary, indent=1) + "\n", encoding="utf-8")
    write_league_report(folder, dataset, summary)
    return folder


def _dataset(game: MatrixGame, players: Sequence[Player], values: Any, best: Any) -> Any:
    import xarray

    names = _text([player.name for player in players])
    about = {
        "game": game.name,
        "payoffs": np.asarray(game.payoffs).tolist(),
        "discount": game.discount,
        "noise": np.broadcast_to(np.asarray(game.noise), (2,)).tolist(),
        "horizon": "infinite" if game.horizon is None else game.horizon,
        "version": __version__,
    }
    pairs, rows = ("row", "column", "seat"), ("row",)
    return xarray.Dataset(
        {
            "value": (pairs, np.ascontiguousarray(values.value)),
            "cooperation": (pairs, np.ascontiguousarray(values.cooperation)),
            "best_response": (rows, best.value),
            "value_at_worst": (rows, best.opponent_value),
        },
        {
            "row": names,
            "column": names,
            "seat": [0, 1],
            "source": (rows, _text([player.source for player in players])),
            "match": (rows, [player.match for player in players]),
            "player": (rows, [player.seat for player in players]),
            "cell": (rows, [player.cell for player in players]),
        },
        about,
    )


def _text(words: Sequence[str]) -> np.ndarray:
    return np.array(words, dtype=np.dtypes.StringDType())


def _matrix_game(source: Any) -> MatrixGame:
    """A game by name, mapping, or YAML file."""
    raw: Any = source
    if isinstance(source, Path) or (isinstance(source, str) and source.endswith((".yaml", ".yml"))):
        raw = read(source).get("game")
        if raw is None:
            raise ConfigError(f"--game {source}: has no key game")
    elif isinstance(source, str):
        raw = parse(source, "--game")
    normal = normal_game(raw)
    if family_of(normal) is not MATRIX:
        raise ConfigError(
            f"--game {normal['name']}: is played, and leagues are exact; allowed: {', '.join(GAMES)}, or payoffs"
        )
    beside = ("name", "discount", "noise", "horizon", "payoffs")
    own = {key: value for key, value in normal.items() if key not in beside}
    payoffs = normal["payoffs"] if "payoffs" in normal else GAMES[normal["name"]](**own)
    noise = normal["noise"]
    found = MatrixGame(
        payoffs,
        normal["discount"],
        tuple(noise) if isinstance(noise, list) else noise,
        normal["horizon"],
        name=normal["name"],
    )
    if found.num_players != 2:
        raise ConfigError(f"--game {found.name}: has {found.num_players} players; allowed: 2")
    return found


def _common_game(numbers: Sequence[tuple[str, dict[str, Any]]]) -> MatrixGame:
    """The game that all runs played; the prisoner's dilemma if there are no runs."""
    if not numbers:
        return _matrix_game("ipd")
    first, played = numbers[0]
    for other, theirs in numbers[1:]:
        for key, value in played.items():
            if not np.array_equal(np.asarray(value, object), np.asarray(theirs[key], object)):
                raise ConfigError(
                    f"{first} and {other} play different games (their {key}); allowed: one game, or --game"
                )
    payoffs = np.asarray(played["payoffs"]).reshape(2, 2, 2)
    noise = np.asarray(played["noise"])
    return MatrixGame(payoffs, float(played["discount"]), tuple(noise.tolist()), played["horizon"])
