"""What is played. Knows nothing of learning and can be used alone."""

import inspect
from difflib import get_close_matches
from typing import Any

import numpy as np

from envs.matrix_game import MatrixGame, MatrixGameParams, MatrixGameState, finite_numbers
from envs.matrix_games import GAMES

__all__ = ["MatrixGame", "MatrixGameParams", "MatrixGameState", "make", "registered"]

_OWN_PAYOFFS = "matrix_game"
_COMMON = ("discount", "noise", "horizon", "state_view")


def registered() -> tuple[str, ...]:
    """The names `make` knows; the last, "matrix_game", takes payoffs written down by the user."""
    return (*GAMES, _OWN_PAYOFFS)


def make(name: str, **settings: Any) -> MatrixGame:
    """A game by name.

    Args:
        name: one of `registered()`.
        **settings: the payoff arguments of that game (see `envs.matrix_games`; each a single number), or
            `payoffs` for "matrix_game"; and for every game `discount`, `noise`, `horizon`, `state_view` of
            `MatrixGame`.

    Raises:
        ValueError: an unknown name or setting, or a value out of its range. The message is one line that
            names it, what is allowed and, where there is one, the nearest known name.
    """
    if name not in registered():
        raise ValueError(f"game {name!r} is not known; {_allowed(name, registered())}")
    own_settings = ("payoffs",) if name == _OWN_PAYOFFS else tuple(inspect.signature(GAMES[name]).parameters)
    for key in settings:
        if key not in own_settings + _COMMON:
            raise ValueError(f"setting {key!r} is not one of game {name!r}; {_allowed(key, own_settings + _COMMON)}")
    own = {key: settings.pop(key) for key in own_settings if key in settings}
    if name == _OWN_PAYOFFS:
        if "payoffs" not in own:
            raise ValueError(f"game {name!r} needs payoffs; allowed: payoffs[player][action_0][action_1]...")
        payoffs = own["payoffs"]
    else:
        for key, value in own.items():
            allowed = "a finite number (arrays of them go into MatrixGameParams)"
            if finite_numbers(key, value, allowed).ndim:
                raise ValueError(f"{key} has the shape {list(np.shape(value))}; allowed: {allowed}")
        payoffs = GAMES[name](**own)
    return MatrixGame(payoffs, name=name, **settings)


def _allowed(given: Any, known: tuple[str, ...]) -> str:
    nearest = get_close_matches(str(given), known, n=1)
    hint = f"; nearest: {nearest[0]}" if nearest else ""
    return f"allowed: {', '.join(known)}{hint}"
