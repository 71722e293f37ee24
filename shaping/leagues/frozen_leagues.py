"""`shaping league`: values of frozen policies, everyone against everyone, as a folder with a report.

A league is a configuration, which `run` and `resume` know too: pairs that were played, and best responses that were
learned, are kept in the folder until it is whole, so an interrupted league goes on where it was.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from shaping import __version__
from shaping.config.errors import ConfigError
from shaping.config.files import read
from shaping.config.league import normal_frozen
from shaping.config.yaml_text import as_yaml, parse
from shaping.leagues.cells import Cells, Play, league_cells, learn_responses
from shaping.leagues.frozen_players import Player, check_names, filed, has_tables, learned
from shaping.leagues.games import LeagueGame, common_game, given_game
from shaping.leagues.learned_responses import Budget, check_episodes
from shaping.leagues.stepwise_players import learned_to_play
from shaping.objectives.behaviour_tables import each_behaviour
from shaping.objectives.played_league_values import Seated
from shaping.output_folders import output_folder
from shaping.runtime.existing_run import config_of
from shaping.runtime.storage import folder_at, is_locked, locked, remove, write_whole

PARTS = "parts"


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
    `objectives.played_league_values`.

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
      The folder, with config.yaml, league.zarr (`value`, `standard_error` and `cooperation` [row, column, seat], where
      something was played also `reward_per_step` and `episodes` [row, column]; `best_response` and `value_at_worst`
      [row], what a best response to the row's player earns and what that player then gets; `policy` [row, history] of
      tables of one round), summary.json and report/index.html.

    Raises:
      ConfigError: bad input, in one line, before anything is computed.
    """
    if per_cell is not None and per_cell < 1:
        raise ConfigError(f"--per-cell {per_cell}: allowed: 1 or more")
    if not (error > 0 and np.isfinite(error)):
        raise ConfigError(f"--se {error}: allowed: above 0")
    if restarts < 0 or updates < 1:
        raise ConfigError(f"--restarts {restarts}, --updates {updates}: allowed: 0 or more, and 1 or more")
    how = {"against": against, "standard_error": float(error), "sampled": sampled}
    how |= {"restarts": restarts, "updates": updates} | ({} if per_cell is None else {"per_cell": per_cell})
    who = {"players": [str(source) for source in sources], "cells": [str(cell) for cell in cells]}
    told = {} if game is None else {"game": written_game(game)}
    return run_league(told | {"seed": seed, "league": who | how}, out)


def run_league(config: Mapping[str, Any], out: str | Path | None = None, stem: str = "league") -> Any:
    """Carries out a configuration whose league has frozen players only; returns the folder, as `league` does.

    Args:
      config: the configuration.
      out: the folder to write, new or empty; by default a new one, `runs/STEM-N`.
      stem: of its name.

    Raises:
      ConfigError: bad input, in one line, before anything is computed.
    """
    normal = normal_frozen(config)
    game, players = _gathered(normal)
    with output_folder(out, stem) as folder:
        write_whole(folder / "config.yaml", as_yaml(normal))
        _carry_out(folder, normal, game, players)
    return folder


def resume_league(folder: str | Path) -> Any:
    """Continues a league that was interrupted; nothing that is done is computed again. Returns the folder.

    Raises:
      ConfigError: the folder holds no league, or one of the league's runs can no longer be read.
    """
    place = folder_at(folder)
    normal = normal_frozen(config_of(place))
    if not (place / "report" / "index.html").is_file():
        _carry_out(place, normal, *_gathered(normal))
    return place


def league_status(folder: str | Path) -> list[str]:
    """How far a league of frozen players is, as lines of text.

    Raises:
      ConfigError: the folder holds no such league.
    """
    place = folder_at(folder)
    told = normal_frozen(config_of(place))["league"]
    parts = [path.name for path in (place / PARTS).glob("*.npz")] if (place / PARTS).is_dir() else []
    counts = {"played": "play-", "of learned responses": "responses-"}
    kept_parts = [f"{sum(name.startswith(start) for name in parts)} {what}" for what, start in counts.items()]
    finished = (place / "report" / "index.html").is_file()
    state = "finished" if finished else "running" if is_locked(place) else "stopped"
    who = [f"{len(told['players'])} runs and files"] * bool(told["players"]) + [f"strategies: {told['against']}"]
    lines = [f"{place}: league of frozen players, {state}", f"  players    {', '.join(who)}"]
    if finished:
        import xarray

        with xarray.open_zarr(str(place / "league.zarr"), consolidated=False, chunks=None) as league:
            rows = league.sizes["row"]
            played = int((league["episodes"].values > 0).sum()) if "episodes" in league else 0
        pairs = f"{rows**2:,} of {rows:,} players; {played:,} were played, the others are exact"
        return [*lines, f"  pairs      {pairs}"]
    lines.append(f"  parts      kept: {', '.join(kept_parts)}")
    return lines if state == "running" else [*lines, f"  `shaping resume {place}` continues it"]


def written_game(game: Any) -> Any:
    """A game as a configuration has it; a YAML file gives its key `game`."""
    if isinstance(game, Path) or (isinstance(game, str) and game.endswith((".yaml", ".yml"))):
        found = read(game).get("game")
        if found is None:
            raise ConfigError(f"--game {game}: has no key game")
        return found
    return parse(game, "--game") if isinstance(game, str) else game


def _gathered(normal: Mapping[str, Any]) -> tuple[LeagueGame, list[Player]]:
    """The game, and everyone who plays: learners before strategies, each in the given order."""
    told = normal["league"]
    if told["against"] == "none" and not told["players"]:
        raise ConfigError("league: no players; give a run, a file, or names with --against")
    players: list[Player] = []
    numbers: list[tuple[str, dict[str, Any]]] = []
    short = [Path(place).name for place in told["players"]]
    for source, last in zip(told["players"], short, strict=True):
        if source.endswith((".json", ".npy")):
            players += filed(source)
            continue
        name = last if short.count(last) == 1 else source
        read_players = learned if has_tables(source) else learned_to_play
        one_game = "game" not in normal
        found, played = read_players(source, told["cells"], told["per_cell"], name, one_game)
        players += found
        numbers.append((source, played))
    game = given_game(normal["game"]) if "game" in normal else common_game(numbers)
    if told["restarts"]:
        check_episodes(game.played)
    players += game.strategies(told["against"])
    check_names(players)
    game.check_tables(players)
    return game, players


def _carry_out(folder: Any, normal: Mapping[str, Any], game: LeagueGame, players: Sequence[Player]) -> None:
    """Computes what is missing, and writes the results."""
    from shaping.analysis.league_report import write_league

    told, seed = normal["league"], normal["seed"]
    parts = folder / PARTS
    with locked(folder):
        parts.mkdir(exist_ok=True)
        how = Play(told["standard_error"], seed, told["sampled"], parts)
        cells = league_cells(game, players, how)
        if told["restarts"]:
            budget = Budget(told["restarts"], told["updates"], error=told["standard_error"], seed=seed)
            learn_responses(cells, players, game.played, budget, parts)
        _dataset(game.about(), players, cells).to_zarr(str(folder / "league.zarr"), mode="w", consolidated=False)
        write_league(folder)
        remove(parts)


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
    tables = [_one_round(player) for player in players]
    if any(np.isfinite(table).all() for table in tables):
        variables["policy"] = (("row", "history"), np.stack(tables))
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
            "rule": (rows, _text([player.rule for player in players])),
        },
        about | {"cooperation_measure": cells.measure, "version": __version__},
    )


def _one_round(player: Player) -> np.ndarray:
    """P(C) after the start and each joint action, of a player that remembers one round; otherwise NaN."""
    if not isinstance(player.behaviour, Seated):
        table = each_behaviour([player.behaviour])[0]
        if isinstance(table, np.ndarray) and table.shape == (5,):
            return np.asarray(table, float)
    return np.full(5, np.nan)


def _text(words: Sequence[str]) -> np.ndarray:
    return np.array(words, dtype=np.dtypes.StringDType())
