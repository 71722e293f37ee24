"""What a family of games tells the configuration about itself, and what several families share."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from shaping.config.checks import check_number
from shaping.config.dotted import entries
from shaping.config.errors import not_allowed
from shaping.signatures import Field, Range


@dataclass(frozen=True)
class Family:
    """A family of games: how its settings are read and how a game is built. `game` and `policy` are normal forms.

    Attributes:
      normal: `(given) -> game`, with every default filled in.
      fields: `(game) -> {key: Field}`: its numbers, which may have the population axis.
      seats: `(game) -> int`.
      policies: factories of its policies by kind, see `shaping.policies.kinds`.
      exact_kinds, sampled_kinds: the kinds that are allowed with exact and with sampled returns; the first is the
        default. () where returns cannot be computed that way.
      hidden: settings of those factories that have no meaning here.
      view: settings of `policy` that determine what players are shown, and so what `env` is.
      written: whether parameters are a short vector per player, so that `init` may list them.
      params: `(game, seats, number) -> numbers of the game in closed form`; None where there is none.
        `number(value, rank)` makes an array [matches, ...] of a setting; numbers of `game` may be such arrays.
      exact: `(game, policy, policies, horizon) -> Game` in closed form, or None.
      env: `(game, policy) -> environment` that is played; its own numbers are not used.
      played: `(game, played, params, number) -> numbers of the environment` of a `SampledGame`, likewise.
      default_kind: `(game) -> kind` of sampled policies, where the default depends on what is shown.
      tabular: `(game) -> bool`, whether policies are tables of P(cooperate | state), which a run may record over
        time.
      steps: `(game) -> int | None`, the steps of an episode; None where it does not end.
      check: `(game) -> None` raises a ConfigError for a game whose numbers its factory refuses.
    """

    normal: Callable[[dict[str, Any]], dict[str, Any]]
    fields: Callable[[Mapping[str, Any]], dict[str, Field]]
    seats: Callable[[Mapping[str, Any]], int]
    env: Callable[..., Any]
    policies: Mapping[str, Callable[..., Any]]
    exact_kinds: tuple[str, ...]
    sampled_kinds: tuple[str, ...]
    hidden: tuple[str, ...] = ()
    view: Mapping[str, Field] = field(default_factory=dict)
    written: bool = False
    params: Callable[..., Any] = lambda game, seats, number: None
    exact: Callable[..., Any] = lambda game, policy, policies, horizon: None
    played: Callable[..., Any] = lambda game, played, params, number: params
    default_kind: Callable[[Mapping[str, Any]], str] | None = None
    tabular: Callable[[Mapping[str, Any]], bool] = lambda game: False
    steps: Callable[[Mapping[str, Any]], int | None] = lambda game: game["horizon"]
    check: Callable[[Mapping[str, Any]], None] = lambda game: None


HORIZON = Field("horizon", "integer", None, Range(1, 10**6), optional=True)


def discount_field(horizon: Any) -> Field:
    """The discounts a horizon allows."""
    return Field("discount", "number", 0.96, Range(0, 1, open_high=horizon is None))


def normal_noise(noise: Any, players: int) -> Any:
    """The probability that an action is replaced by another: a number, or one number per player."""
    if not isinstance(noise, list | tuple):
        return check_number("game.noise", noise, Range(0, 1))
    if len(noise) != players:
        raise not_allowed("game.noise", noise, f"a number, or a list of {players}, one per player")
    return [check_number(f"game.noise.{i}", x, Range(0, 1)) for i, x in enumerate(noise)]


def common_fields(game: Mapping[str, Any]) -> dict[str, Field]:
    """The numbers that every game with a closed form has besides its own."""
    noise = entries("noise", game["noise"], Field("noise", "number", 0.0, Range(0, 1)))
    return {"discount": discount_field(game["horizon"])} | noise


def noise_of(game: Mapping[str, Any], seats: int) -> list[Any]:
    """One noise per player."""
    return game["noise"] if isinstance(game["noise"], list) else [game["noise"]] * seats


def trembles(game: Mapping[str, Any]) -> bool:
    """Whether noise has to be drawn; if it is swept, it may start at 0."""
    return "noise" in game and not (isinstance(game["noise"], float) and game["noise"] == 0)
