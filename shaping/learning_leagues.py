"""`shaping league --learning`: learning rules against each other, everyone against everyone, both still learning.

It is one run, with a variant for each row and column, so it can be resumed, replayed and reported on like any other.
Every pair sees the same seeds, so a row against two columns, or two rows against a column, can be compared in pairs.
"""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from shaping.config.errors import ConfigError
from shaping.config.files import read
from shaping.config.league import learners_of
from shaping.experiment import run
from shaping.population.players_by_name import every_player

_DEFAULTS = {"matches": 20, "updates": 100}


def learning_league(
    source: str | Path | Mapping[str, Any],
    game: Any = None,
    out: str | Path | None = None,
    overrides: Iterable[str] = (),
    say: Callable[[str], None] = lambda line: None,
) -> Any:
    """Trains every rule against every other and itself, and says who shapes whom.

    Args:
      source: names of rules and learners separated by commas, with their default settings; or a configuration (a file
        or a mapping) with `league: {learners: ...}`, which maps names to players. The first is the one that others are
        compared with. One with a `strategy`, or with step size 0, is frozen.
      game: a name, in place of the configuration's.
      out: the folder to write, new or empty; by default a new one under `runs/`.
      overrides: `key=value` settings that change the configuration.
      say: receives lines of text, as for `run`.

    Returns:
      The folder of the run, with league.zarr (`value` [row, column, update, player], means over matches of row in seat
      0 and column in seat 1, with `low` and `high`; `value_final` [row, column, match, player]; for tables of P(C) also
      `value_crossed` [row, column, match, other_match, player], of learners that never met), league.json and
      league/index.html besides.

    Raises:
      ConfigError: bad input, in one line, before anything is computed.
    """
    return run(_configuration(source, game, overrides), out, say=say, name="learning-league")


def _configuration(source: Any, game: Any, overrides: Iterable[str]) -> dict[str, Any]:
    """The configuration with the key `league`."""
    if isinstance(source, str) and not source.endswith((".yaml", ".yml")):
        names = [each.strip() for each in source.split(",")]
        known = every_player()
        for name in names:
            if name not in known:
                raise ConfigError(f"--learning {name}: no such rule or learner; allowed: a YAML file, or some of "
                                  f"{', '.join(known)}")  # fmt: skip
        if len(set(names)) != len(names):
            raise ConfigError(f"--learning {source}: a name is there twice; allowed: each once")
        raw: dict[str, Any] = {"league": {"learners": {name: {"rule": name} for name in names}}}
    else:
        raw = read(source)
    if not learners_of(raw):
        raise ConfigError("league.learners: needed in a learning league: a mapping of names to players")
    config = read(_DEFAULTS | raw, overrides)
    if game is not None:
        config["game"] = game
    return config
