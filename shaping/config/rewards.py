"""The key `reward` of a player: what it maximises in place of the game's own reward."""

from collections.abc import Mapping, Sequence
from typing import Any

from shaping.config.checks import mapping, numbers, only_entry, settings
from shaping.config.dotted import entries, numbers_in
from shaping.objectives.rewards import REWARDS, Reward
from shaping.signatures import Field, fields

_FORMS = "{weights: numbers}, {inequity_aversion: {settings}} or {svo: {settings}}"


def normal_reward(where: str, raw: Any, seats: int) -> dict[str, Any]:
    """The normal form of `where`: one kind with its numbers; a bare name takes the defaults."""
    raw = {raw: {}} if isinstance(raw, str) and raw != "weights" else raw
    kind, value = only_entry(where, raw, REWARDS, _FORMS)
    key = f"{where}.{kind}"
    if kind == "weights":
        wanted = f"{seats} numbers, the own weight first, then the others' by ascending seat"
        return {kind: numbers(key, value, (seats,), wanted)}
    return {kind: settings(key, mapping(key, value), fields(REWARDS[kind]))}


def reward_fields(where: str, reward: Mapping[str, Any]) -> dict[str, Field]:
    """The numbers of a normal form, by dotted key."""
    ((kind, value),) = reward.items()
    if kind == "weights":
        return entries(f"{where}.{kind}", value, Field(kind, "number", None))
    return numbers_in(f"{where}.{kind}", value, fields(REWARDS[kind]))


def rewards_of(players: Sequence[Mapping[str, Any]], number: Any) -> tuple[Reward | None, ...] | None:
    """What each player maximises, see `build_reward`; None if all maximise the game's own rewards."""
    found = tuple(build_reward(player.get("reward"), number) for player in players)
    return None if all(reward is None for reward in found) else found


def build_reward(reward: Mapping[str, Any] | None, number: Any) -> Reward | None:
    """What a player with this normal form maximises; numbers may be arrays. None for the game's own reward."""
    if reward is None:
        return None
    ((kind, value),) = reward.items()
    if kind == "weights":
        each = number(value, rank=1)
        return Reward(tuple(each[:, place] for place in range(each.shape[1])), kind)
    return REWARDS[kind](**{name: number(x, rank=0) for name, x in value.items()})
