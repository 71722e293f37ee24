"""Our environments as environments of JaxMARL and of gymnax."""

from collections.abc import Sequence
from typing import Any

from shaping.envs.adapters.peers import Policy, require
from shaping.envs.auto_reset import AutoReset
from shaping.envs.environment import Environment, check_integer


def to_jaxmarl(env: Environment, params: Any = None) -> Any:
    """One of our environments as a `jaxmarl.environments.multi_agent_env.MultiAgentEnv` of JaxMARL 0.2.0.

    Agents are called "agent_0", "agent_1", ... in seat order. `step` resets when `dones["__all__"]`, as in every
    environment of JaxMARL; `step_env` does not. All agents are done at the same time, when the episode ends, whether
    terminated or truncated. JaxMARL does not distinguish the two, so `info["terminated"]` and `info["truncated"]`, []
    bool, are added to the info of `env`.

    The state has JaxMARL's `done` and `step` (steps of this episode, int32), ours as `env`, and the observations
    [players, ...] as `observations`. With the same key `reset` and `step_env` give what `env.reset` and `env.step` do.

    Args:
        env: the environment, without `AutoReset`.
        params: its numbers, which become constants, because JaxMARL's environments take none; None for
            `env.default_params`.

        Raises:
        ImportError: if JaxMARL is not installed.
        ValueError: if `env` resets itself.
    """
    require("jaxmarl.environments.multi_agent_env")
    from shaping.envs.adapters.jaxmarl_export import JaxMARLExport

    _check_plain(env, "JaxMARL")
    return JaxMARLExport(env, env.default_params if params is None else params)


def to_gymnax(env: Environment, player: int | None = None, others: Policy | Sequence[Policy] | None = None) -> Any:
    """One of our environments as a `gymnax.environments.environment.Environment` of gymnax 1.0.

    Its parameters are ours, as data: `step(key, state, action, params)` and `reset(key, params)`; both use
    `default_params` if none are given. `step` returns (obs, state, reward, terminated, truncated, info) and resets when
    an episode ends; the last observation of the episode is then `info["final_observation"]`. `step_env` does not reset.

    Without `player`, one agent plays all seats: observations, actions and rewards have a leading player axis,
    [players, ...]. With `player`, the agent sees and plays only that seat, without that axis; the others follow fixed
    policies.

    Args:
        env: the environment, without `AutoReset`.
        player: the seat of the single-agent view, 0 .. num_players - 1; None for all seats.
        others: only with `player`: one policy for all other seats, or num_players - 1 of them in seat order.

    Raises:
        ImportError: if gymnax is not installed.
        ValueError: if `env` resets itself; for an unknown seat; if `others` is given without `player`, missing, or does
            not match the number of other seats.
    """
    require("gymnax.environments.environment")
    from shaping.envs.adapters.gymnax_export import GymnaxExport

    _check_plain(env, "gymnax")
    if player is None:
        if others is not None:
            raise ValueError("others is given without player; allowed: only together with the seat of a single agent")
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
