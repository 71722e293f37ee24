"""`shaping league`: values of frozen policies, everyone against everyone, as a folder with a report."""

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
from shaping.frozen_players import Player, check_names, filed, has_tables, learned, scripted
from shaping.league_cells import Cells, environment_cells, learn_responses, matrix_cells
from shaping.learned_responses import Budget
from shaping.objectives.sampled_values import PlayedGame
from shaping.output_folders import output_folder
from shaping.played_players import environment_as_played, identity, learned_to_play, scripted_of


def league(
    sources: Sequence[str | Path] = (),
    against: str = "classic",
    game: Any = None,
    cells: Sequence[str] = (),
    per_cell: int | None = None,
    out: str | Path | None = None,
    error: float = 0.01,
    sampled: bool = False,
    seed: int = 0,
    restarts: int = 0,
    updates: int = 200,
) -> Any:
    """Plays frozen policies against each other, everyone against everyone, and writes the results.

    Values are exact where both policies have tables, in matrix games and in Coin Games that can be enumerated.
    Elsewhere they are measured in play, in as many episodes as the wanted standard error needs, see
    `objectives.sampled_values`.

    Args:
      sources: folders of runs, and files of policies, see `frozen_players.filed`.
      against: strategies that join: "classic", "all", "none", or names separated by commas.
      game: a name or a mapping, as in configurations, or a YAML file with the key `game`; by default the game of the
        runs, or the prisoner's dilemma if there are no runs.
      cells, per_cell: see `frozen_players.learned`.
      out: the folder to write, new or empty; by default a new one, `runs/league-N`.
      error: the standard error that values measured in play should have, above 0.
      sampled: whether everything is played, also what could be exact.
      seed: of the play, and of learned responses.
      restarts, updates: for learners whose best response is not exact: learn one from so many starts, 0 for none, with
        so many updates each, see `learned_responses`.

    Returns:
      The folder, with league.zarr (`value`, `standard_error` and `cooperation` [row, column, seat], where something
      was played also `reward_per_step` and `episodes` [row, column]; `best_response` and `value_at_worst` [row], what a
      best response to the row's player earns and what that player then gets), summary.json and report/index.html.

    Raises:
      ConfigError: bad input, in one line, before anything is computed.
    """
    if per_cell is not None and per_cell < 1:
        raise ConfigError(f"--per-cell {per_cell}: allowed: 1 or more")
    if not (error > 0 and np.isfinite(error)):
        raise ConfigError(f"--se {error}: allowed: above 0")
    if restarts < 0 or updates < 1:
        raise ConfigError(f"--restarts {restarts}, --updates {updates}: allowed: 0 or more, and 1 or more")
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
        read_players = learned if has_tables(source) else learned_to_play
        found, played = read_players(source, cells, per_cell, name, one_game=game is None)
        players += found
        numbers.append((source, played))
    name, met = _given_game(game) if game is not None else _common_game(numbers)
    # Learners come before strategies, each in the given order.
    players += scripted(against, met) if isinstance(met, MatrixGame) else scripted_of(against, met)
    check_names(players)
    if isinstance(met, MatrixGame):
        how, about = matrix_cells, _about_matrix(met)
    else:
        _check_seated(players, name)
        how, about = environment_cells, _about_environment(name, met)
    with output_folder(out, "league") as folder:
        cells_of = how(met, players, error, seed, sampled)  # pyright: ignore[reportArgumentType]
        if restarts:
            learn_responses(cells_of, players, met, Budget(restarts, updates, error=error, seed=seed))
        dataset = _dataset(about, players, cells_of)
        dataset.to_zarr(str(folder / "league.zarr"), mode="w", consolidated=False)
        from shaping.analysis.league_report import summary_of, write_league_report

        summary = {"version": __version__} | summary_of(dataset)
        (folder / "summary.json").write_text(json.dumps(summary, indent=1) + "\n", encoding="utf-8")
        write_league_report(folder, dataset, summary)
    return folder


def _check_seated(players: Sequence[Player], game: str) -> None:
    """Refuses tables of P(C) outside matrix games."""
    for player in players:
        if not hasattr(player.behaviour, "policies"):
            raise ConfigError(f"{player.name}: a table of P(C) cannot play {game}; allowed: policies of its runs")


def _about_matrix(game: MatrixGame) -> dict[str, Any]:
    return {
        "game": game.name,
        "payoffs": np.asarray(game.payoffs).tolist(),
        "discount": game.discount,
        "noise": np.broadcast_to(np.asarray(game.noise), (2,)).tolist(),
        "horizon": "infinite" if game.horizon is None else game.horizon,
    }


def _about_environment(name: str, game: PlayedGame) -> dict[str, Any]:
    noise = getattr(game.numbers, "noise", None)
    found = {} if noise is None or np.ndim(noise) != 1 else {"noise": np.asarray(noise, float).round(7).tolist()}
    horizon = "infinite" if game.horizon is None else game.horizon
    return {"game": name, "discount": game.discount, "horizon": horizon} | found


def _dataset(about: dict[str, Any], players: Sequence[Player], cells: Cells) -> Any:
    import xarray

    names = _text([player.name for player in players])
    pairs, rows = ("row", "column", "seat"), ("row",)
    variables: dict[str, Any] = {
        name: (pairs, np.ascontiguousarray(getattr(cells, name))) for name in ("value", "standard_error", "cooperation")
    }
    if cells.episodes.any():
        variables["reward_per_step"] = (pairs, cells.reward_per_step)
        variables["episodes"] = (pairs[:2], cells.episodes)
    return xarray.Dataset(
        variables
        | {name: (rows, getattr(cells, name)) for name in ("best_response", "best_response_error", "value_at_worst")},
        {
            "row": names,
            "column": names,
            "seat": [0, 1],
            "source": (rows, _text([player.source for player in players])),
            "match": (rows, [player.match for player in players]),
            "player": (rows, [player.seat for player in players]),
            "cell": (rows, [player.cell for player in players]),
        },
        about | {"cooperation_measure": cells.measure, "version": __version__},
    )


def _text(words: Sequence[str]) -> np.ndarray:
    return np.array(words, dtype=np.dtypes.StringDType())


def _given_game(source: Any) -> tuple[str, MatrixGame | PlayedGame]:
    """A game by name, mapping, or YAML file, with its name."""
    raw: Any = source
    if isinstance(source, Path) or (isinstance(source, str) and source.endswith((".yaml", ".yml"))):
        raw = read(source).get("game")
        if raw is None:
            raise ConfigError(f"--game {source}: has no key game")
    elif isinstance(source, str):
        raw = parse(source, "--game")
    normal = normal_game(raw)
    if family_of(normal) is not MATRIX:
        if not family_of(normal).sampled_kinds:
            raise ConfigError(f"--game {normal['name']}: has no actions; allowed: games that are played in steps")
        return environment_as_played(raw)
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
    if found.num_actions != 2:
        raise ConfigError(f"--game {found.name}: has {found.num_actions} actions; allowed: 2")
    return found.name, found


def _common_game(numbers: Sequence[tuple[str, dict[str, Any]]]) -> tuple[str, MatrixGame | PlayedGame]:
    """The game that all runs played, with its name; the prisoner's dilemma if there are no runs."""
    if not numbers:
        return _given_game("ipd")
    first, played = numbers[0]
    for other, theirs in numbers[1:]:
        differs = (
            "kind"
            if played.keys() != theirs.keys()
            else next((key for key, value in played.items() if not _same(value, theirs[key])), None)
        )
        if differs:
            raise ConfigError(
                f"{first} and {other} play different games (their {differs}); allowed: one game, or --game"
            )
    if "played" in played:
        return played["game"], played["played"]
    payoffs = np.asarray(played["payoffs"]).reshape(2, 2, 2)
    noise = np.asarray(played["noise"])
    game = MatrixGame(payoffs, float(played["discount"]), tuple(noise.tolist()), played["horizon"])
    return game.name, game


def _same(value: Any, other: Any) -> bool:
    if isinstance(value, PlayedGame):
        return identity(value) == identity(other)
    return np.array_equal(np.asarray(value, object), np.asarray(other, object))
