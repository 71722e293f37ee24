"""What a player's entry says beside its rule: a model of its opponents."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from shaping.config.checks import plain, settings
from shaping.config.errors import ConfigError, not_allowed
from shaping.schema import Field, NonNegative, Positive, Range, fields

KEY = "opponent_model"


def _schema(
    rate: NonNegative = 0.1,
    penalty: NonNegative = 0.0,
    trust: Positive | None = None,
    scale: NonNegative = 1.0,
    members: Annotated[int, Range(1, 64)] = 1,
    window: Annotated[int, Range(1, 10**4)] = 1,
    steps: Annotated[int, Range(1, 10**5)] = 10,
    first_steps: Annotated[int, Range(1, 10**5)] = 50,
    optimizer: Literal["adam", "sgd"] = "adam",
) -> None:
    """The settings of an opponent model, their defaults and ranges; see `learners.opponent_model.ModelSettings`."""


def model_fields() -> dict[str, Field]:
    """The settings of an opponent model."""
    return fields(_schema)


def normal_model(where: str, raw: Any, objective: Mapping[str, Any]) -> dict[str, Any]:
    """The normal form of an entry's `opponent_model`; `true` takes the defaults."""
    if objective["kind"] == "exact":
        raise ConfigError(f"{where}: models are fitted to play; objective.kind must be dice, not exact")
    given = {} if raw is True else plain(where, raw)
    found = settings(where, given, model_fields(), ())
    if found["trust"] is not None and found["members"] < 2:
        raise not_allowed(f"{where}.members", found["members"], "2 or more, where trust rests on what members agree on")
    if found["members"] > objective["batch"]:
        raise not_allowed(f"{where}.members", found["members"], f"at most objective.batch, {objective['batch']}")
    return found
