"""Environments of ours as JaxMARL's and as gymnax's."""

from collections.abc import Sequence
from typing import Any

from shaping.envs.adapters.peers import Policy, require
from shaping.envs.auto_reset import AutoReset
from shaping.envs.environment import Environment, check_integer


def to_jaxmarl(env: Environment, params: Any = None) -> Any:
    """An environment of ours as a `jaxmarl.environments.multi_agent_env.MultiAgentEnv` of JaxMARL 0.2.0.

    Agents are called "agent_0", "agent_1", ... in seat order. `step` resets where `dones["__all__"]`, as every
    environment of JaxMARL does; `step_env` does not. All agents are done at once: where the episode ends, be it
    terminated or truncated. JaxMARL has no word for the difference: it is kept in `info["terminated"]` and
    `info["truncated"]`, [] bool, beside what `env` tells.

    The state has JaxMARL's `done` and `step` (steps of this episode, int32), ours as `env`, and the observations
    [players, ...] as `observations`. With the same key `reset` and `step_env` give what `env.reset` and `env.step` do.

    Args:
        env: what is played, without `AutoReset`.
        params: its numbers, from now on constants, because JaxMARL's environments take none; `env.default_params` if
            None.

    Raises:
        ImportError: JaxMARL is not installed.
        ValueError: `env` resets itself.
    """
    require("jaxmarl.environments.multi_agent_env")
    from shaping.envs.adapters.jaxmarl_export import JaxMARLExport

    _check_plain(env, "JaxMARL")
    return JaxMARLExport(env, env.default_params if params is None else params)


def to_gymnax(env: Environment, player: int | None = None, others: Policy | Sequence[Policy] | None = None) -> Any:
    """An environment of ours as a `gymnax.environments.environment.Environment` of gymnax 1.0.

    Its parameters are ours, as data: `step(key, state, action, params)` and `reset(key, params)`, both with
    `default_params` where none are given. `step` returns (obs, state, reward, terminated, truncated, info) and resets
    where an episode ends, with what it led to in `info["final_observation"]`; `step_env` does not reset.

    Without `player` one agent plays all seats: observations, actions and rewards have the player axis in front,
    [players, ...]. With it only that seat is seen and played, without that axis; the others follow fixed policies.

    Args:
        env: what is played, without `AutoReset`.
        player: the seat of the single-agent view, 0 .. num_players - 1; None for all.
        others: with `player` only: one policy for all other seats, or num_players - 1 of them in seat order.

    Raises:
        ImportError: gymnax is not installed.
        ValueError: `env` resets itself; a seat that is not there; `others` without `player`, missing, or not as many as
            there are other seats.
    """
    require("gymnax.environments.environment")
    from shaping.envs.adapters.gymnax_export import GymnaxExport

    _check_plain(env, "gymnax")
    if player is None:
        if others is not None:
            raise ValueError("others is given without player; allowed: only with the seat of a single-agent view")
        return GymnaxExport(env, None, ())
    player = check_integer("player", player, 0, env.num_players - 1)
    return GymnaxExport(env, player, _policies(others, env.num_players - 1))


def _policies(others: Policy | Sequence[Policy] | None, wanted: int) -> tuple[Policy, ...]:
    allowed = f"allowed: one function (observation, key) -> action for all other seats, or {wanted} in seat order"
    if callable(others):
        return (others,) * wanted
    if not isinstance(others, Sequence) or not all(map(callable, others)):
        raise ValueError(f"others is {others!r}; {allowed}")
    if len(others) != wanted:
        raise ValueError(f"others has {len(others)} policies; {allowed}")
    return tuple(others)


def _check_plain(env: Environment, whose: str) -> None:
    if isinstance(env, AutoReset):
        raise ValueError(
            f"env is an AutoReset of {env.name}; allowed: the environment within, because {whose}'s step resets"
        )
