"""The kinds of policies that a configuration can name, as factories `(env, player, **settings) -> Policy`.

A factory's signature declares its settings and their ranges. The factory itself refuses what does not fit the
environment, with a ValueError that begins with the setting. `of_spaces` turns a factory of a package or plugin,
`(observation_space, action_space, **settings)`, into one of these.
"""

import dataclasses
from collections.abc import Callable, Sequence
from functools import wraps
from typing import Annotated, Any, Literal

from shaping.envs.coin_game.chain import check_size
from shaping.envs.coin_game.game import CoinGame
from shaping.envs.matrix.game import MatrixGame
from shaping.envs.spaces import Box, Discrete
from shaping.policies.coin_table import coin_table
from shaping.policies.critics import Critic, joint_critic, network_critic, tabular_critic
from shaping.policies.gaussian import gaussian
from shaping.policies.mlp import mlp
from shaping.policies.networks import check_bounded, is_board, network
from shaping.policies.policy import Policy
from shaping.policies.preconditioned import preconditioned
from shaping.policies.tabular import tabular
from shaping.signatures import Range

Layout = Literal["channels_first", "channels_last"]
Memory = Annotated[int, Range(1, 3)]
Place = Literal["separate", "shared"]
Units = Annotated[int, Range(1, 4096)]
Widths = tuple[Units, ...]

# Up to this many states a table of logits counts as small.
_TABLE = 256


def default_kind(observation_space: Discrete | Box, action_space: Discrete | Box, recurrent: bool = False) -> str:
    """The configuration name of the policy for these spaces.

    "gru" if it has to remember; "tabular" for two actions and few states; "conv" for boards, which have three axes;
    otherwise "mlp", a network on vectors or on one-hot states.

    Args:
      observation_space, action_space: those of one player.
      recurrent: whether it has to remember more than it sees at a time.

    Raises:
      ValueError: for a box of actions whose bounds are not finite.
    """
    if isinstance(action_space, Box):
        check_bounded(action_space)
    if recurrent:
        return "gru"
    if isinstance(observation_space, Discrete):
        two_actions = isinstance(action_space, Discrete) and action_space.num_values == 2
        return "tabular" if two_actions and observation_space.num_values <= _TABLE else "mlp"
    return "conv" if is_board(observation_space) else "mlp"


def table(env: MatrixGame, player: int, memory: Memory = 1) -> Policy:
    """One logit for every state of a matrix game, or for every history of the last `memory` rounds; with more than two
    actions one for every action in every state."""
    del player
    if env.num_actions > 2:
        return tabular(env.num_states, memory, env.num_actions)
    if memory > 1 and (env.num_players != 2 or env.horizon == 1):
        raise ValueError(f"memory is {memory}; allowed: 1, unless two players play more than one round")
    return tabular(env.num_states if memory == 1 else sum(4**rounds for rounds in range(memory + 1)), memory)


def preconditioned_table(env: MatrixGame, player: int, matrix: list[list[float]] | None = None) -> Policy:
    """Logits of the states of a matrix game: `matrix` times the parameters."""
    del player
    _check_two_actions(env, "preconditioned")
    states = env.num_states
    if matrix is None or len(matrix) != states or not all(len(row) == states for row in matrix):
        raise ValueError(
            f"matrix is {matrix}; allowed: {states} rows of {states} numbers: logits = matrix x parameters"
        )
    return preconditioned(matrix)


def network_table(env: MatrixGame, player: int, hidden: Widths = (16,)) -> Policy:
    """Dense layers on the states of a matrix game; the table of all logits can be computed from them."""
    del player
    _check_more_rounds(env, "mlp")
    _check_two_actions(env, "mlp")
    if not hidden:
        raise ValueError("hidden is []; allowed: a list of widths, each an integer, at least 1")
    return mlp(env.num_players, hidden)


def board_table(env: CoinGame, player: int, last_takers: bool = False) -> Policy:
    """One logit for every action on every board of the Coin Game, up to shifts of the torus."""
    try:
        check_size(env, memory=last_takers)
    except ValueError as error:
        raise ValueError(f"last_takers: {error}") from None
    # In the chain, noise is a number of the game.
    return coin_table(dataclasses.replace(env, noise=None), player, last_takers)


def shown_table(env: Any, player: int) -> Policy:
    """One logit for every state that an environment shows, or with more than two actions one for every action in every
    state."""
    del player
    shown, does = env.observation_space, env.action_space
    if not isinstance(shown, Discrete) or not isinstance(does, Discrete):
        raise ValueError(f"kind is 'tabular'; allowed: a network, as {env.name} is not a few actions in a few states")
    return tabular(shown.num_values, num_actions=does.num_values)


def parameters(env: Any, player: int) -> Policy:
    """The parameters are the actions of an analytic game."""
    return env.policies[player]


def independent(env: Any, player: int) -> Policy:
    """A normal distribution over continuous actions, whatever is observed."""
    del player
    return gaussian(env.action_space)


def dense(
    env: Any,
    player: int,
    hidden: Widths = (16,),
    critic: Place = "separate",
    channels: Widths = (),
    layout: Layout | None = None,
) -> Policy:
    """Dense layers on observations, or on the states of a matrix game."""
    if channels:
        raise ValueError(f"channels is {list(channels)}; allowed: [] for an mlp; use conv")
    return _network(env, "mlp", critic, hidden=hidden, layout=layout)


def convolutional(
    env: Any,
    player: int,
    hidden: Widths = (16,),
    critic: Place = "separate",
    channels: Widths = (16,),
    layout: Layout | None = None,
) -> Policy:
    """Convolutions on a board, then dense layers."""
    if not channels:
        raise ValueError("channels is []; allowed: a list of at least one width for conv")
    return _network(env, "conv", critic, hidden=hidden, channels=channels, layout=layout)


def _recurrent(kind: str, about: str) -> Callable[..., Policy]:
    def build(
        env: Any,
        player: int,
        hidden: Widths = (),
        units: Units = 16,
        critic: Place = "separate",
        channels: Widths = (),
        layout: Layout | None = None,
    ) -> Policy:
        return _network(env, kind, critic, hidden=hidden, units=units, channels=channels, layout=layout)

    build.__doc__ = about
    return build


NETWORKS: dict[str, Callable[..., Policy]] = {
    "mlp": dense,
    "conv": convolutional,
    "gru": _recurrent("gru", "A network with a gated recurrent unit."),
    "lstm": _recurrent("lstm", "A network with long short-term memory."),
}
"""Networks that read observations, step by step."""
OF_STATES: dict[str, Callable[..., Policy]] = {
    "tabular": table,
    "preconditioned": preconditioned_table,
    "mlp": network_table,
}
"""Policies of the states of a matrix game, from which a table of logits can be computed."""
OTHERS: dict[str, Callable[..., Policy]] = {
    "coin_table": board_table,
    "gaussian": independent,
    "parameters": parameters,
    "tabular": shown_table,
}
"""Policies of single families of games."""


def of_spaces(factory: Callable[..., Policy]) -> Callable[..., Policy]:
    """Turns a factory that takes a player's two spaces into one of this file, with the same signature."""

    @wraps(factory)
    def build(env: Any, player: int, **settings: Any) -> Policy:
        del player
        return factory(env.observation_space, env.action_space, **settings)

    return build


def critic_beside(kind: str, env: Any, layered: bool, q: bool = False, joint: bool = False, **settings: Any) -> Critic:
    """A critic of the policy's own kind: the layers of a network, or a table for a policy of few states.

    Args:
      kind: that of the policy.
      env: the environment that is played.
      layered: whether the policy is one of `NETWORKS`.
      q: whether it has a value for each action.
      joint: whether it sees what all players see; it is then a network, without convolutions.
      **settings: those of the policy.

    Raises:
      ValueError: for values of continuous actions.
    """
    does = env.action_space
    if q and not isinstance(does, Discrete):
        raise ValueError(f"critic_kind is 'q'; allowed: value, as actions of {env.name} are continuous")
    actions = does.num_values if q else None
    layers = {}
    if layered:
        del settings["critic"]
        layers = _layers(env, kind, **settings)
    if joint:
        kept = {name: layers[name] for name in ("hidden", "recurrent", "units") if name in layers}
        return joint_critic(env.observation_space, env.num_players, **kept, num_actions=actions)
    if layered:
        return network_critic(env.observation_space, **layers, num_actions=actions)
    if isinstance(env.observation_space, Discrete):
        return tabular_critic(env.observation_space.num_values, actions)
    return network_critic(env.observation_space, encoder="dense", hidden=(32,), num_actions=actions)


def _network(env: Any, kind: str, critic: str, **settings: Any) -> Policy:
    _check_more_rounds(env, kind)
    layers = _layers(env, kind, **settings)
    return network(env.observation_space, env.action_space, critic=critic == "shared", **layers)


def _layers(
    env: Any,
    kind: str,
    hidden: Sequence[int],
    units: int = 1,
    channels: Sequence[int] = (),
    layout: str | None = None,
    **others: Any,
) -> dict[str, Any]:
    """Layers as arguments of `network`. The policy says which axis of a board holds the channels, or else the
    environment does; if neither does, it is the last."""
    told = layout or getattr(env, "layout", None)
    told = told if told in ("channels_first", "channels_last") else "channels_last"
    return {
        "encoder": "conv" if channels else "dense",
        "hidden": tuple(hidden),
        "channels": tuple(channels),
        "recurrent": kind if kind in ("gru", "lstm") else None,
        "units": units,
        "layout": told if channels else None,
    }


def _check_two_actions(env: MatrixGame, kind: str) -> None:
    if env.num_actions > 2:
        raise ValueError(f"kind is {kind!r}; allowed: tabular, gru or lstm in a game of more than two actions")


def _check_more_rounds(env: Any, kind: str) -> None:
    if getattr(env, "horizon", None) == 1:
        raise ValueError(f"kind: {kind} has nothing to look at in a one-shot game; use tabular")
