"""The key `objective` in normal form: whether returns are computed exactly or sampled."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from shaping.config.checks import mapping, one_of, settings
from shaping.config.errors import ConfigError, errors_about, not_allowed, shown
from shaping.config.games import family_of
from shaping.objectives.estimators import KINDS
from shaping.objectives.sampled_objective import Estimator
from shaping.signatures import Field, NonNegative, Probability, Range, fields

HORIZON = 150
"""Steps of a rollout in a game without end, if none are given (Foerster et al. 2018)."""


def _schema(
    batch: Annotated[int, Range(1, 10**7)] = 64,
    horizon: Annotated[int, Range(1, 10**6)] | None = None,
    baseline: Literal["leave_one_out", "batch_mean", "critic", "none"] = "leave_one_out",
    gae_lambda: Probability = 1.0,
    decay: Probability | None = None,
    slices: Annotated[int, Range(1, 10**7)] = 1,
    rematerialise: bool = False,
    evaluation: Annotated[int, Range(1, 10**7)] | None = None,
    critic_rate: NonNegative = 0.1,
    critic_steps: Annotated[int, Range(1, 10**4)] = 1,
    critic_optimizer: Literal["adam", "sgd"] = "adam",
    critic_kind: Literal["value", "q"] = "value",
    critic_sees: Literal["own", "all"] = "own",
    critic_target_rate: Annotated[float, Range(0, 1, open_low=True)] | None = None,
    critic_target_period: Annotated[int, Range(1, 10**6)] = 1,
) -> None:
    """The settings of a sampled objective, their defaults and ranges."""


def is_sampled(normal: Mapping[str, Any]) -> bool:
    """Whether the returns of a normal form are sampled."""
    return normal["objective"]["kind"] != "exact"


def objective_fields() -> dict[str, Field]:
    """The settings of a sampled objective."""
    return fields(_schema)


def normal_objective(raw: Any, game: Mapping[str, Any]) -> dict[str, Any]:
    """The normal form; without a kind, returns are exact where they can be."""
    given, family = mapping("objective", raw, "kind"), family_of(game)
    kind = one_of("objective.kind", given.get("kind", "exact" if family.exact_kinds else "dice"), ("exact", *KINDS))
    if kind == "exact":
        if not family.exact_kinds:
            talks = " with messages" if game.get("messages") else ""
            wanted = f"one of {', '.join(KINDS)}; {game['name']} has no closed form{talks}"
            raise not_allowed("objective.kind", kind, wanted)
        sampled = [key for key in given if key in objective_fields()]
        if sampled and "kind" not in given and family.sampled_kinds:
            raise ConfigError(
                f"objective.{sampled[0]}: returns are exact by default in this game; add objective.kind: dice"
            )
        settings("objective", given, {}, ("kind",), "an exact objective")
        return {"kind": "exact"}
    if not family.sampled_kinds:
        raise ConfigError(f"objective.kind: {game['name']} has only exact returns; must be exact")
    return sampled_objective_form(given, kind, family.steps(game))


def sampled_objective_form(
    given: dict[str, Any], kind: str, ends: int | None, only: int | None = None
) -> dict[str, Any]:
    """The normal form of an objective that samples.

    Args:
      given: as written, its kind included.
      kind: one of `KINDS`.
      ends: the horizon of the game; None if it has none.
      only: the only horizon that is allowed; None if there is a choice.
    """
    kind = one_of("objective.kind", kind, tuple(KINDS))
    if kind == "loaded_dice":
        given.setdefault("baseline", "critic")
    found: dict[str, Any] = {"kind": kind} | settings("objective", given, objective_fields(), ("kind",), kind)
    if found["horizon"] is None:
        found["horizon"] = HORIZON if ends is None else ends
    if only is not None and found["horizon"] != only:
        raise not_allowed("objective.horizon", found["horizon"], f"left out: a trial has {only} steps")
    if found["evaluation"] is None:
        found["evaluation"] = found["batch"]
    horizon, batch = found["horizon"], found["batch"]
    if ends is not None and horizon != ends and (ends == 1 or horizon > ends):
        raise not_allowed("objective.horizon", horizon, f"at most game.horizon, {ends}")
    if kind != "loaded_dice" and found["decay"] is not None:
        raise not_allowed("objective.decay", found["decay"], "left out; it is a setting of loaded_dice")
    with errors_about("objective"):
        build_estimator(found)
    if found["baseline"] == "critic" and (found["critic_kind"], found["critic_sees"]) == ("q", "all"):
        raise not_allowed("objective.critic_kind", "q", "value, where baseline is critic and critic_sees is all")
    if batch % found["slices"]:
        raise not_allowed("objective.slices", found["slices"], f"a divisor of objective.batch, {batch}")
    if found["baseline"] == "leave_one_out" and batch < 2:
        raise not_allowed("objective.batch", batch, "2 or more with baseline leave_one_out")
    return found


def build_estimator(objective: Mapping[str, Any]) -> Estimator:
    """The estimator of a normal form.

    Raises:
      ValueError: for settings that do not fit together.
    """
    return Estimator(*(objective[key] for key in ("kind", "baseline", "slices", "rematerialise")))


def check_value_head(objective: Mapping[str, Any]) -> None:
    """Refuses critic settings that the value head of a policy cannot satisfy."""
    for key, only in (("critic_kind", "value"), ("critic_sees", "own"), ("critic_target_rate", None)):
        if objective[key] != only:
            raise not_allowed(f"objective.{key}", objective[key], f"{shown(only)}, where policy.critic is shared")
