"""Parameters of another run: whether they are those of the policy that is to start from them."""

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from shaping.config.errors import ConfigError
from shaping.config.initial_parameters import init_of
from shaping.config.plan import plan
from shaping.config.policy import policy_of
from shaping.config.yaml_text import parse
from shaping.policies import Policy


def check_warm_start(normal: Mapping[str, Any], seat: int, policy: Policy) -> None:
    """Refuses a seat whose parameters come from another kind of policy in another run: numbers that fit may mean
    something else there, such as probabilities instead of logits.

    A run that cannot be planned here, for example because it used a plugin, only shows whether the player there
    followed a strategy.

    Raises:
      ConfigError: the policy there is not equal to `policy`.
    """
    where, init = init_of(normal, seat)
    if "run" not in init:
        return
    player = seat if init["player"] is None else init["player"]
    try:
        told = (Path(init["run"]).expanduser() / "config.yaml").read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return
    found = _found(told, init["match"], player)
    if found is not None and found != policy:
        what = found if isinstance(found, str) else _shown(found)
        wanted = f"{_shown(policy)}, as player {seat} has here"
        raise ConfigError(f"{where}.run: player {player} of {init['run']} has {what}; allowed: {wanted}")


@lru_cache(maxsize=64)
def _found(told: str, match: int, player: int) -> Policy | str | None:
    """The policy of a player of a run with this configuration; a description in words if no more is known, None if
    nothing is."""
    try:
        raw = parse(told)
    except ConfigError:
        return None
    if not isinstance(raw, dict):
        return None
    try:
        there = plan(raw)
    except ConfigError:
        players = raw.get("players")
        entry = players[player] if isinstance(players, list) and player < len(players) else None
        return "a strategy" if isinstance(entry, Mapping) and "strategy" in entry else None
    cell = match // there.top["matches"]
    for block in () if there.of_populations else there.blocks:
        if cell in block.cells and player < len(block.normal["players"]):
            return policy_of(block.normal, player)
    return None


def _shown(policy: Policy) -> str:
    return f"a policy {policy.kind} of {policy.num_parameters} numbers"
