"""The games. They know nothing of learning and can be used on their own."""

if __name__ != "shaping.envs":
    raise ImportError(f"the package {__name__!r} is called shaping.envs; write `from shaping import envs`")

import dataclasses
import inspect
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

import numpy as np

from shaping.envs.auto_reset import AutoReset, AutoResetState
from shaping.envs.clean_up.game import CleanUp
from shaping.envs.coin_game import dialects as coin_dialects
from shaping.envs.coin_game.game import CoinGame, CoinGameParams, CoinGameState
from shaping.envs.commons_harvest.game import CommonsHarvest
from shaping.envs.cournot import Cournot, CournotParams, CournotState
from shaping.envs.declarations import Measure
from shaping.envs.environment import Environment, check_integer
from shaping.envs.fishery.game import Fishery, FisheryState
from shaping.envs.fishery.gordon_schaefer import GordonSchaeferParams
from shaping.envs.fishery.great_fish_war import GreatFishWarParams
from shaping.envs.fruit_market.game import FruitMarket
from shaping.envs.fruit_market.state import FruitMarketParams, FruitMarketState
from shaping.envs.gif import save_gif
from shaping.envs.gift.game import Gift, GiftParams, GiftState
from shaping.envs.in_the_matrix import dialects as matrix_dialects
from shaping.envs.in_the_matrix.game import InTheMatrix
from shaping.envs.in_the_matrix.state import InTheMatrixParams, InTheMatrixState
from shaping.envs.matrix.checks import finite_numbers
from shaping.envs.matrix.game import MatrixGame, MatrixGameParams, MatrixGameState
from shaping.envs.matrix.games import GAMES
from shaping.envs.messages.state import MessagesParams, MessagesState
from shaping.envs.messages.wrapper import Messages
from shaping.envs.negotiation import Negotiation, NegotiationParams, NegotiationState
from shaping.envs.public_goods import PublicGoods, PublicGoodsParams, PublicGoodsState
from shaping.envs.referential.game import Referential, ReferentialParams, ReferentialState
from shaping.envs.sequential.game import SequentialEnv, SequentialParams, SequentialState
from shaping.envs.sequential.games import SEQUENTIAL_GAMES

__all__ = [
    "AutoReset",
    "AutoResetState",
    "CoinGame",
    "CoinGameParams",
    "CoinGameState",
    "Cournot",
    "CournotParams",
    "CournotState",
    "Environment",
    "Fishery",
    "FisheryState",
    "FruitMarket",
    "FruitMarketParams",
    "FruitMarketState",
    "Gift",
    "GiftParams",
    "GiftState",
    "GordonSchaeferParams",
    "GreatFishWarParams",
    "InTheMatrix",
    "InTheMatrixParams",
    "InTheMatrixState",
    "MatrixGame",
    "MatrixGameParams",
    "MatrixGameState",
    "Measure",
    "Messages",
    "MessagesParams",
    "MessagesState",
    "Negotiation",
    "NegotiationParams",
    "NegotiationState",
    "PublicGoods",
    "PublicGoodsParams",
    "PublicGoodsState",
    "Referential",
    "ReferentialParams",
    "ReferentialState",
    "SequentialEnv",
    "SequentialParams",
    "SequentialState",
    "make",
    "registered",
    "save_gif",
]

_OWN_PAYOFFS = "matrix_game"
_COMMON = ("discount", "noise", "horizon", "state_view")
_WRAPPERS = ("auto_reset", "episodes", "messages")

ENVIRONMENTS: dict[str, Any] = {
    "coin_game": coin_dialects.coin_game,
    "in_the_matrix": matrix_dialects.in_the_matrix,
    "cournot": Cournot,
    "fishery": Fishery,
    "gift": Gift,
    "negotiation": Negotiation,
    "public_goods": PublicGoods,
    "referential": Referential,
    "clean_up": CleanUp,
    "commons_harvest": CommonsHarvest,
    "fruit_market": FruitMarket,
}
"""Environments other than matrix games and games in turns: their factories by name. A factory's arguments are the
settings of `make`."""

_FACTORIES = ENVIRONMENTS | SEQUENTIAL_GAMES


def registered() -> tuple[str, ...]:
    """The names that `make` knows: matrix games first, ending with "matrix_game", which takes payoffs of your own."""
    return (*GAMES, _OWN_PAYOFFS, *ENVIRONMENTS, *SEQUENTIAL_GAMES)


def make(
    name: str,
    *,
    auto_reset: bool = False,
    episodes: int | None = None,
    messages: int | Mapping[str, Any] = 0,
    **settings: Any,
) -> Any:
    """An environment by name.

    Args:
        name: one of `registered()`.
        auto_reset: whether a new episode starts whenever one ends (see `AutoReset`).
        episodes: episodes of a trial; only with auto_reset.
        messages: how many words players can say with each action, or how many numbers if actions are numbers (see
            `Messages`), or a mapping of all settings of `Messages`; 0 for silence.
        **settings: for a matrix game the arguments of its payoffs (see `envs.matrix.games`; each a single number), or
            `payoffs` for "matrix_game", and `discount`, `noise`, `horizon`, `state_view` of `MatrixGame`; for any other
            environment the arguments of its factory in `ENVIRONMENTS`.

    Raises:
        ValueError: for an unknown name or setting, or a value out of its range. The message is one line that names it,
            says what is allowed and, if there is one, gives the most similar known name.
    """
    if name not in registered():
        raise ValueError(f"game {name!r} is not known; {_allowed(name, registered())}")
    if not isinstance(auto_reset, bool):
        raise ValueError(f"auto_reset is {auto_reset!r}; allowed: True or False")
    if episodes is not None and not auto_reset:
        raise ValueError(f"episodes is {episodes!r}; allowed: only with auto_reset=True, which makes them into trials")
    if not isinstance(messages, Mapping):
        check_integer("messages", messages, 0)
    env = _environment(name, settings) if name in _FACTORIES else _matrix_game(name, settings)
    if messages != 0:
        env = _with_messages(env, messages)
    return AutoReset(env, episodes) if auto_reset else env


def _environment(name: str, settings: dict[str, Any]) -> Environment:
    own = tuple(inspect.signature(_FACTORIES[name]).parameters)
    _check_known(name, settings, own)
    return _FACTORIES[name](**settings)


def _matrix_game(name: str, settings: dict[str, Any]) -> MatrixGame:
    own_settings = ("payoffs",) if name == _OWN_PAYOFFS else tuple(inspect.signature(GAMES[name]).parameters)
    _check_known(name, settings, own_settings + _COMMON)
    own = {key: settings.pop(key) for key in own_settings if key in settings}
    if name == _OWN_PAYOFFS:
        if "payoffs" not in own:
            raise ValueError(f"game {name!r} needs payoffs; allowed: payoffs[player][action_0][action_1]...")
        return MatrixGame(own["payoffs"], name=name, **settings)
    for key, value in own.items():
        allowed = "a finite number (arrays of them go into MatrixGameParams)"
        if finite_numbers(key, value, allowed).ndim:
            raise ValueError(f"{key} has the shape {list(np.shape(value))}; allowed: {allowed}")
    payoffs = GAMES[name](**own)
    defaults = {key: parameter.default for key, parameter in inspect.signature(GAMES[name]).parameters.items()}
    made_of = {key: value if key == "num_players" else float(value) for key, value in (defaults | own).items()}
    return MatrixGame(payoffs, name=name, settings=tuple(made_of.items()), **settings)


def _with_messages(env: Environment, messages: int | Mapping[str, Any]) -> Messages:
    given = messages if isinstance(messages, Mapping) else {"symbols": messages}
    known = [field.name for field in dataclasses.fields(Messages) if field.name != "env"]
    if "symbols" not in given or any(key not in known for key in given):
        raise ValueError(f"messages is {dict(given)!r}; allowed: an integer, or symbols and any of {', '.join(known)}")
    return Messages(env, **given)


def _check_known(name: str, settings: dict[str, Any], known: tuple[str, ...]) -> None:
    for key in settings:
        if key not in known:
            raise ValueError(f"setting {key!r} is not one of game {name!r}; {_allowed(key, (*known, *_WRAPPERS))}")


def _allowed(given: Any, known: tuple[str, ...]) -> str:
    nearest = get_close_matches(str(given), known, n=1)
    hint = f"; nearest: {nearest[0]}" if nearest else ""
    return f"allowed: {', '.join(known)}{hint}"
