"""What a player's entry says beside its rule: a model of its opponents."""

from collections.abc import Mapping
from typing import Any

from shaping.config.checks import plain, settings
from shaping.config.errors import ConfigError, not_allowed
from shaping.learners.opponent_model import opponent_model
from shaping.schema import Field, fields

KEY = "opponent_model"


def model_fields() -> dict[str, Field]:
    """The settings of an opponent model."""
    return fields(opponent_model)


def normal_model(where: str, raw: Any, objective: Mapping[str, Any]) -> dict[str, Any]:
    """The normal form of an entry's `opponent_model`; `true` takes the defaults."""
    if objective["kind"] == "exact":
        raise ConfigError(f"{where}: models are fitted to play; objective.kind must be dice, not exact")
    given = {} if raw is True else plain(where, raw)
    found = settings(where, given, model_fields(), ())
    if found["trust"] is not None and found["members"] < 2:
        raise not_allowed(f"{where}.members", found["members"], "2 or more, where trust rests on what members agree on")
    shown = objective["batch"] if found["streams"] is None else found["streams"]
    if shown > objective["batch"]:
        raise not_allowed(f"{where}.streams", shown, f"at most objective.batch, {objective['batch']}")
    if found["members"] > shown:
        raise not_allowed(f"{where}.members", found["members"], f"at most as many as it sees streams of play, {shown}")
    return found
