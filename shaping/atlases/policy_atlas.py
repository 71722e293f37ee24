"""`shaping atlas`: policies as vectors, learned from what they do in play, and a map of them as a folder."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from shaping import __version__, representations
from shaping.analysis.atlas.clusters import clustered, nearest
from shaping.analysis.atlas.extortion import extortion
from shaping.analysis.atlas.maps import METHODS, missing_packages, project
from shaping.atlases.players import MOST, NAMED, Mapped, of_sources, random_tables, seated
from shaping.config.errors import ConfigError, not_allowed
from shaping.leagues.frozen_leagues import written_game
from shaping.leagues.frozen_players import check_names
from shaping.leagues.games import LeagueGame, common_game, given_game
from shaping.objectives.played_league_values import PlayedGame, Seated
from shaping.output_folders import output_folder
from shaping.policies.random_player import random_player
from shaping.representations import OBJECTIVES, Encoder, Episodes

RANDOM = "random"
_MOST_TRAINED = 2048
"""Policies from which an encoder learns; it reads all others as well as these."""
_NEAREST = 3
_ROUNDS = 50


def atlas(
    sources: Sequence[str | Path] = (),
    against: str = RANDOM,
    game: Any = None,
    cells: Sequence[str] = (),
    per_cell: int | None = None,
    out: str | Path | None = None,
    *,
    strategies: str | None = None,
    tables: int = 0,
    objective: str = "both",
    method: str = "umap",
    clusters: int = 12,
    snapshots: int = 11,
    episodes: int = 20,
    rounds: int = _ROUNDS,
    updates: int = 4000,
    dimension: int = 32,
    window: int = 2,
    seed: int = 0,
) -> Any:
    """Plays policies, learns a representation of them from play alone, and writes a map of them.

    Args:
      sources: folders of runs of two players or of populations, and files of policies, see `frozen_players.filed`.
      against: who the policies play with, drawn anew for every episode: "random", "classic", "all", or names of
        strategies separated by commas, "random" among them.
      game, cells, per_cell: as in `league`.
      out: the folder to write, new or empty; by default a new one, `runs/atlas-N`.
      strategies: which named strategies are on the map, and give their names to what is near: "classic", "all", "none",
        or names separated by commas; None for those that a reader recognises.
      tables: how many random memory-one tables are on the map too, in matrix games.
      objective: of the encoder, see `representations.train`.
      method: of the maps, see `analysis.atlas.maps.project`.
      clusters: how many.
      snapshots: at how many times of a run its learners are on the map, the last one included, if it recorded them.
      episodes, rounds: how many episodes each policy plays, an even number, and how long these are at most.
      updates, dimension, window: of the encoder.
      seed: of play, training, maps and tables.

    Returns:
      The folder, with atlas.zarr (over `policy`: `embedding`, `map2`, `map3`, `cluster`, `nearest` and
      `nearest_distance` [policy, rank], `drift`, `reward`, `partner_reward`, `cooperation`, `table`,
      `extortion_distance`, and who it is), encoder.msgpack, summary.json and report/index.html.

    Raises:
      ConfigError: bad input, in one line, before anything is computed.
    """
    numbers = {"clusters": clusters, "snapshots": snapshots, "rounds": rounds, "updates": updates}
    numbers |= {"dimension": dimension, "window": window}
    for name, value in numbers.items():
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise not_allowed(f"--{name}", value, "an integer of 1 or more")
    if isinstance(episodes, bool) or not isinstance(episodes, int) or episodes < 4 or episodes % 2:
        raise not_allowed("--episodes", episodes, "an even number of 4 or more")
    if tables < 0:
        raise not_allowed("--tables", tables, "0 or more")
    if per_cell is not None and per_cell < 1:
        raise not_allowed("--per-cell", per_cell, "1 or more")
    if objective not in OBJECTIVES:
        raise not_allowed("--objective", objective, ", ".join(OBJECTIVES), OBJECTIVES)
    if method not in METHODS:
        raise not_allowed("--map", method, ", ".join(METHODS), METHODS)
    if missing := missing_packages(method):
        raise ConfigError(f"atlas: needs {' and '.join(missing)}; pip install 'shaping[atlas]'")
    place, mapped, partners = _gathered(
        [str(source) for source in sources], against, game, cells, per_cell, strategies, tables, snapshots, seed
    )
    with output_folder(out, "atlas") as folder:
        # Of a game without end, play the whole of the asked rounds, not only those that its discount makes matter.
        most = place.played.steps if place.matrix is None else place.matrix.horizon or rounds
        steps = min(rounds, most)
        players = seated([one.player.behaviour for one in mapped])
        _check_seats(place.played, mapped, players)
        found = representations.play_episodes(place.played, players, partners, episodes, seed, steps)
        few = np.random.default_rng([seed, 3]).permutation(len(mapped))[:_MOST_TRAINED]
        encoder = representations.train(
            found.only(np.sort(few)), objective, dimension=dimension, window=window, updates=updates, seed=seed
        )
        dataset = _dataset(mapped, place, found, encoder, method, clusters, seed)
        dataset.attrs |= place.about() | {"against": against, "objective": objective, "map": method}
        dataset.attrs |= {"episodes": episodes, "rounds": steps, "seed": seed, "version": __version__}
        dataset.to_zarr(str(folder / "atlas.zarr"), mode="w", consolidated=False)
        representations.save(encoder, folder / "encoder.msgpack")
        from shaping.analysis.atlas.report import write_atlas

        write_atlas(folder)
    return folder


def _gathered(
    sources: Sequence[str],
    against: str,
    game: Any,
    cells: Sequence[str],
    per_cell: int | None,
    strategies: str | None,
    tables: int,
    snapshots: int,
    seed: int,
) -> tuple[LeagueGame, list[Mapped], list[Seated]]:
    """The game, everyone on the map, learners first, and their partners."""
    mapped, games = of_sources(sources, cells, per_cell, snapshots, game is None)
    place = common_game(games) if game is None else given_game(written_game(game))
    if place.matrix is not None and place.matrix.horizon == 1:
        raise ConfigError(
            f"atlas: {place.name} has one round, in which a policy is one number; allowed: games of more rounds"
        )
    if tables and place.matrix is None:
        raise ConfigError(f"--tables: {place.name} is no matrix game; allowed: games of two players with two actions")
    mapped += random_tables(tables, seed)
    landmarks = strategies if strategies is not None else _known(place)
    mapped += [Mapped(player) for player in place.strategies(landmarks, "--strategies")]
    check_names([one.player for one in mapped], "atlas", MOST)
    if len(mapped) < 3:
        raise ConfigError(f"atlas: {len(mapped)} policies; allowed: three or more; give runs, files or --tables")
    place.check_tables([one.player for one in mapped])
    asked = [each.strip() for each in against.split(",") if each.strip()]
    if not asked or asked == ["none"]:
        raise not_allowed("--against", against, "random, classic, all, or names of strategies")
    others = ",".join(each for each in asked if each.lower() != RANDOM)
    partners = seated([player.behaviour for player in place.strategies(others or "none")])
    if others.count(",") + 1 < len(asked) or not others:
        env = place.played.env
        policy = random_player(env.observation_space, env.action_space)
        partners.append(Seated((policy, policy), ((), ())))
    return place, mapped, partners


def _known(game: LeagueGame) -> str:
    """The named strategies that exist for the payoffs of a game, or all scripted players of another one."""
    if game.matrix is None:
        return "all"
    (r, s), (t, p) = np.asarray(game.matrix.payoffs)[0].tolist()
    return ",".join(name for name in NAMED if name != "extortionate" or t > r > p > s)


def _check_seats(game: PlayedGame, mapped: Sequence[Mapped], players: Sequence[Seated]) -> None:
    checked: set[Any] = set()
    for one, player in zip(mapped, players, strict=True):
        if (player.policies, player.learned_in) in checked:
            continue
        checked.add((player.policies, player.learned_in))
        try:
            player.check(game.env)
        except ValueError as reason:
            raise ConfigError(f"{one.player.name}: cannot sit in this game: {reason}") from None


def _dataset(
    mapped: Sequence[Mapped], game: LeagueGame, found: Episodes, encoder: Encoder, method: str, clusters: int, seed: int
) -> Any:
    import xarray

    embeddings = representations.encode(encoder, found)
    halves = [representations.encode(encoder, found.only(episodes=slice(part, None, 2))) for part in (0, 1)]
    spread = float(np.median(np.linalg.norm(halves[0] - halves[1], axis=1)))
    players = [one.player for one in mapped]
    landmarks = [i for i, player in enumerate(players) if player.source == "strategy"]
    names = [players[i].name for i in landmarks]
    groups = clustered(embeddings, landmarks, names, clusters, spread, seed)
    who = ("policy",)
    variables: dict[str, Any] = {
        "embedding": (("policy", "number"), embeddings),
        "map2": (("policy", "axis2"), project(embeddings, 2, method, seed)),
        "map3": (("policy", "axis3"), project(embeddings, 3, method, seed)),
        "cluster": (who, groups.number.astype(np.int32)),
        "cluster_name": (("group",), _text(groups.names)),
        "drift": (who, _drift(mapped, embeddings)),
    } | _in_play(game, found)
    if landmarks:
        number, distance = nearest(embeddings, embeddings[landmarks], _NEAREST)
        variables["nearest"] = (("policy", "rank"), _text(np.array(names, object)[number].tolist()))
        variables["nearest_distance"] = (("policy", "rank"), distance.astype(np.float32))
    about = {
        "name": (who, _text([player.name for player in players])),
        "source": (who, _text([player.source for player in players])),
        "rule": (who, _text([player.rule or player.source for player in players])),
        "match": (who, [player.match for player in players]),
        "player": (who, [player.seat for player in players]),
        "cell": (who, [player.cell for player in players]),
        "when": (who, [one.when for one in mapped]),
        "track": (who, [one.track for one in mapped]),
        "last": (who, [one.last for one in mapped]),
    }
    return xarray.Dataset(variables, about, {"spread": spread})


def _drift(mapped: Sequence[Mapped], embeddings: np.ndarray) -> np.ndarray:
    """How far each learner is from where it was first, [policies]; NaN for whoever does not learn."""
    found, first = np.full(len(mapped), np.nan, np.float32), {}
    for i in sorted((i for i, one in enumerate(mapped) if one.track >= 0), key=lambda i: mapped[i].when):
        begin = first.setdefault(mapped[i].track, i)
        found[i] = np.linalg.norm(embeddings[i] - embeddings[begin])
    return found


def _in_play(game: LeagueGame, found: Episodes) -> dict[str, Any]:
    """What each policy did and earned in its episodes."""
    running = np.asarray(found.running)
    steps, who = running.sum(axis=(1, 2)), ("policy",)
    variables: dict[str, Any] = {
        name: (who, ((values * running).sum(axis=(1, 2)) / steps).astype(np.float32))
        for name, values in (("reward", found.rewards), ("partner_reward", found.partner_rewards))
    }
    if game.matrix is not None:
        cooperates, seen = (np.asarray(found.actions) == 0) & running, np.asarray(found.observations)
        variables["cooperation"] = (who, (cooperates.sum(axis=(1, 2)) / steps).astype(np.float32))
        counts = np.stack([((seen == state) & running).sum(axis=(1, 2)) for state in range(5)], axis=1)
        played = np.stack([((seen == state) & cooperates).sum(axis=(1, 2)) for state in range(5)], axis=1)
        # One half is as good a guess as any of what was never seen.
        table = (played + 0.5) / (counts + 1)
        (r, s), (t, p) = np.asarray(game.matrix.payoffs)[0].tolist()
        distance, factor = extortion(table, (r, s, t, p))
        variables["table"] = (("policy", "history"), table.astype(np.float32))
        variables["extortion_distance"] = (who, distance.astype(np.float32))
        variables["extortion_factor"] = (who, factor.astype(np.float32))
    return variables


def _text(words: Any) -> np.ndarray:
    return np.array(words, dtype=np.dtypes.StringDType())
