"""From a normal form whose returns are sampled to its form, its numbers, its critics and its opponent models."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from shaping import envs
from shaping.config.coin import coin_env, is_coin
from shaping.config.game import num_players
from shaping.config.learning import KEY as MODEL
from shaping.config.policy import is_network
from shaping.envs import CoinGameParams, MatrixGame, MatrixGameParams
from shaping.envs.coin_game.game import CoinGame
from shaping.learners.critic import CriticSettings
from shaping.learners.opponent_model import ModelSettings
from shaping.objectives.exact_coin import ExactCoinGame
from shaping.objectives.memory_one import ExactMatrixGame
from shaping.objectives.sampled import Estimator, EstimatorNumbers
from shaping.objectives.sampled_game import SampledGame, SampledParams
from shaping.policies import Policy, coin_tit_for_tat, fixed, grid_players, network
from shaping.policies.critics import Critic, network_critic, tabular_critic
from shaping.policies.memory_one import memory_one
from shaping.policies.networks import board_layout
from shaping.policies.tabular import tabular


def sampled_env(normal: Mapping[str, Any]) -> Any:
    """The environment that is played; its own numbers are not used, and a rollout ends at the objective's horizon."""
    game, policy = normal["game"], normal["policy"]
    if is_coin(game):
        env = coin_env(game, policy.get("last_takers", False))
        # Convolutions want a board, whatever the dialect shows.
        env = dataclasses.replace(env, flat=False) if policy.get("channels") else env
        return dataclasses.replace(env, noise=0.0) if _trembles(game) else env
    seats = num_players(game)
    payoffs = np.zeros((seats,) + (2,) * seats)
    one_shot = 1 if game["horizon"] == 1 else None
    return envs.make("matrix_game", payoffs=payoffs, horizon=one_shot, state_view=policy["state_view"])


def sampled_game(normal: Mapping[str, Any], policies: tuple[Policy, ...], needs_critic: bool) -> SampledGame:
    """The static part of a game whose returns are sampled."""
    objective, env = normal["objective"], sampled_env(normal)
    estimator = Estimator(*(objective[key] for key in ("kind", "baseline", "slices", "rematerialise")))
    apart = needs_critic and any(policy.evaluate is None for policy in policies)
    critics = tuple(_critic(normal, env) for _ in policies) if apart else ()
    sizes = (objective["batch"], objective["horizon"])
    exact, matrix = _exact(normal, policies), None
    if exact is None and isinstance(env, MatrixGame):
        tables = (tabular(env.num_states),) * env.num_players
        matrix = ExactMatrixGame(env.num_players, objective["horizon"], env.state_view, tables)
    return SampledGame(
        env, policies, *sizes, estimator, critics, objective["evaluation"], exact, _opponents(env), matrix
    )


def critic_settings(normal: Mapping[str, Any], form: SampledGame, seat: int, number: Any) -> CriticSettings:
    """How a seat's critics are learned: of everybody for a baseline, of itself alone for an actor-critic rule."""
    objective = normal["objective"]
    everybody = objective["baseline"] == "critic"
    critics = form.critics or (None,) * len(form.policies)
    critics = tuple(critic if everybody or other == seat else None for other, critic in enumerate(critics))
    rate, gae_lambda = (number(objective[key], rank=0) for key in ("critic_rate", "gae_lambda"))
    return CriticSettings(rate, gae_lambda, critics, objective["critic_optimizer"], objective["critic_steps"])


def model_settings(player: Mapping[str, Any], number: Any) -> ModelSettings | None:
    """A player's opponent model, or None."""
    if MODEL not in player:
        return None
    own = player[MODEL]
    numbers = {k: None if own[k] is None else number(own[k], rank=0) for k in ("rate", "penalty", "trust", "scale")}
    settings: dict[str, Any] = dict(own) | numbers
    return ModelSettings(**settings)


def sampled_numbers(normal: Mapping[str, Any], exact: Any, number: Any) -> SampledParams:
    """The numbers of a sampled game, leaves [count, ...]; `exact` are those of the closed form."""
    game, objective = normal["game"], normal["objective"]
    noise = exact.noise if _trembles(game) else None
    if is_coin(game):
        steps: Any = np.full(len(exact.discount), objective["horizon"], np.int32)
        played: Any = CoinGameParams(exact.rewards, steps, noise)
    else:
        played = MatrixGameParams(exact.payoffs, exact.discount, noise)
    decay = None if objective["decay"] is None else number(objective["decay"], rank=0)
    estimator = EstimatorNumbers(number(objective["gae_lambda"], rank=0), decay)
    return SampledParams(played, exact.discount, estimator, exact)


def _trembles(game: Mapping[str, Any]) -> bool:
    """Whether noise has to be drawn: it may be swept from 0 on."""
    return not (isinstance(game["noise"], float) and game["noise"] == 0)


def network_of(normal: Mapping[str, Any]) -> Policy:
    """The network that plays, the same on every seat."""
    policy, env = normal["policy"], sampled_env(normal)
    critic = policy["critic"] == "shared"
    return network(env.observation_space, env.action_space, critic=critic, **_built(env, policy))


def _built(env: Any, policy: Mapping[str, Any]) -> dict[str, Any]:
    channels = tuple(policy.get("channels", ()))
    return {
        "encoder": "conv" if channels else "dense",
        "hidden": tuple(policy["hidden"]),
        "channels": channels,
        "recurrent": policy["kind"] if policy["kind"] in ("gru", "lstm") else None,
        "units": max(policy["units"], 1),
        "layout": board_layout(env),
    }


def _critic(normal: Mapping[str, Any], env: Any) -> Critic:
    """Of the policy's own kind: a table beside a table, a network beside a network."""
    policy = normal["policy"]
    if is_network(normal):
        return network_critic(env.observation_space, **_built(env, policy))
    if is_coin(normal["game"]):
        return network_critic(env.observation_space, encoder="dense", hidden=(32,))
    return tabular_critic(env.observation_space.num_values)


def _exact(normal: Mapping[str, Any], policies: tuple[Policy, ...]) -> Any:
    """The same game in closed form, for as many steps as are played; None where policies have no tables, or the chain
    is too large to look at again and again."""
    game, policy = normal["game"], normal["policy"]
    horizon = normal["objective"]["horizon"]
    if is_network(normal):
        return None
    if is_coin(game):
        return None if policy["last_takers"] else ExactCoinGame(coin_env(game, False), horizon, policies)
    return ExactMatrixGame(num_players(game), horizon, policy["state_view"], policies)


def _opponents(env: Any) -> tuple[tuple[str, tuple[Policy, ...]], ...]:
    """Who the final policies meet, by name."""
    seats = range(env.num_players)
    if isinstance(env, CoinGame):
        found = {"ALLC": grid_players.cooperate, "ALLD": grid_players.greedy_any}
        if not env.egocentric:
            found["TFT"] = coin_tit_for_tat
        return tuple((name, tuple(make(env, seat) for seat in seats)) for name, make in found.items())
    states = env.num_states
    tables = {"ALLC": np.ones(states), "ALLD": np.zeros(states)}
    players = {name: fixed(memory_one(states), table) for name, table in tables.items()}
    if env.num_players == 2 and states == 5 and env.state_view == "own":
        players["TFT"] = fixed(memory_one(states), np.array([1.0, 1, 0, 1, 0]))
    return tuple((name, (policy,) * env.num_players) for name, policy in players.items())
