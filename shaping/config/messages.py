"""The key `game.messages`: a family of games whose players also send messages, see `envs.messages.wrapper`."""

import dataclasses
from collections.abc import Mapping
from typing import Annotated, Any

from shaping.config.checks import settings
from shaping.config.errors import ConfigError, errors_about, not_allowed
from shaping.config.game_family import Family
from shaping.envs.messages.state import MessagesParams
from shaping.envs.messages.wrapper import Messages
from shaping.envs.spaces import Discrete
from shaping.policies.kinds import NETWORKS, default_kind, shown_table
from shaping.signatures import NonNegative, Range, fields

_TABLE = 256  # up to this many states, tables are the default


def _schema(
    symbols: Annotated[int, Range(1, 4096)],
    cost: NonNegative = 0.0,
    before: Annotated[int, Range(0, 1000)] = 0,
    memory: Annotated[int, Range(1, 16)] = 1,
) -> None:
    """Each action carries a message, which all hear at the next step."""


MESSAGES = fields(_schema)
"""The settings of messages, their defaults and ranges."""


def with_messages(family: Family) -> Family:
    """The same games with messages: sampled, as what is heard belongs to the state."""

    def normal(given: dict[str, Any]) -> dict[str, Any]:
        told, own = given["messages"], {key: value for key, value in given.items() if key != "messages"}
        if not family.sampled_kinds:
            wanted = "left out: this game is not played in steps of which each may carry a message"
            raise not_allowed("game.messages", told, wanted)
        if not isinstance(told, Mapping):
            raise not_allowed("game.messages", told, f"a mapping of {', '.join(MESSAGES)}")
        if "symbols" not in told:
            raise ConfigError("game.messages.symbols: must be given, the number of words")
        game = family.normal(own)
        return game | {"messages": settings("game.messages", told, MESSAGES)}

    def steps(game: Mapping[str, Any]) -> int | None:
        own = family.steps(game)
        return None if own is None else own + game["messages"]["before"]

    def env(game: Mapping[str, Any], policy: Mapping[str, Any] | None = None) -> Messages:
        told = {key: value for key, value in game["messages"].items() if key != "cost"}
        with errors_about("game.messages"):
            return Messages(family.env(game, policy or {}), **told)

    def played(game: Mapping[str, Any], played: Any, params: Any, number: Any) -> MessagesParams:
        silent = dataclasses.replace(played, env=played.env.env)
        return MessagesParams(family.played(game, silent, params, number), number(game["messages"]["cost"], rank=0))

    def kind(game: Mapping[str, Any]) -> str:
        made = env(game)
        seen, does = made.observation_space, made.action_space
        few = isinstance(seen, Discrete) and isinstance(does, Discrete) and seen.num_values <= _TABLE
        return "tabular" if few else default_kind(seen, does)

    return dataclasses.replace(
        family,
        normal=normal,
        fields=lambda game: family.fields(game) | {"messages.cost": MESSAGES["cost"]},
        env=env,
        policies=NETWORKS | {"tabular": shown_table},
        exact_kinds=(),
        sampled_kinds=("tabular", "mlp", "gru", "lstm"),
        written=False,
        exact=lambda game, policy, policies, horizon: None,
        played=played,
        default_kind=kind,
        tabular=lambda game: False,
        steps=steps,
    )
