"""The Coin Games of published programs, by name."""

from typing import Any

from shaping.envs.coin_game.game import MAX_PLAYERS, CoinGame
from shaping.envs.environment import check_choice, check_integer

# What the programs of LOLA, DiCE and POLA share; the later ones list how they differ from `CoinGame`'s defaults.
_ONE_COIN = {"coins": "alternating", "respawn": "free", "start_coins": "free", "view": "shared"}
_TWO_COINS = {"coins": "per_colour", "respawn": "any", "start_coins": "any", "start_players": "any"}
_PAX = _TWO_COINS | {
    "stay": True,
    "last_step": "no_reward",
    "view": "self_first",
    "layout": "channels_last",
    "flat": True,
    "dtype": "int8",
}
DIALECTS: dict[str, dict[str, Any]] = {
    "lola2018": _ONE_COIN | {"tie": "lowest_seat", "start_players": "distinct", "horizon": 150},
    "lola_dice": _ONE_COIN | {"tie": "all", "start_players": "distinct", "flat": True, "horizon": 150},
    "pola": _ONE_COIN | {"tie": "all", "start_players": "any", "flat": True, "horizon": 50},
    "mfos": _TWO_COINS | {"view": "shared", "last_step": "restart", "horizon": 16},
    "pax": _PAX | {"egocentric": True, "horizon": 16},
    "jaxmarl": _PAX | {"egocentric": False, "horizon": 10},
    "loqa": _ONE_COIN
    | {
        "moves": "left_right_up_down",
        "start_players": "any",
        "penalty": "per_coin",
        "view": "cyclic",
        "horizon": 50,
    },
    "reciprocator": _TWO_COINS | {"stay": True, "view": "rolled", "horizon": 32},
}
"""Switches by dialect, with the default horizon of its program.

lola2018: Foerster et al. 2018 (`lola/envs/coin_game.py`): if two players reach a coin, red takes it. lola_dice: the
DiCE programs (Foerster et al. 2018b), in which both take it. pola: Zhao et al. 2022 (`coin_game_jax.py`); players may
start on the same cell. (That program draws the first cell and the first colour from one key; here they are
independent.) mfos: Lu et al. 2022 (`coin_game_envs.py`), a coin of each colour; the last of its 16 steps is a reset.
pax, jaxmarl: Pax, with the egocentric view that its configurations set, and JaxMARL 0.2.0 (`coin_game.py`), which call
action 2 up and count rows upwards; their last step pays nothing. loqa: Aghajohari et al. 2024 (`coin_game.py`,
`three_player_coin_game.py`; in the latter the first coin is never the third player's, here it may be). reciprocator:
Zhou et al. 2024, in which the owner pays n / (n - 1) for each coin taken, and whose observations are rolled by two
planes per seat.
"""


def coin_game(
    dialect: str = "pola",
    num_players: int = 2,
    grid: int | tuple[int, int] = 3,
    coins: str | None = None,
    tie: str | None = None,
    moves: str | None = None,
    stay: bool | None = None,
    start_players: str | None = None,
    start_coins: str | None = None,
    respawn: str | None = None,
    penalty: str | None = None,
    last_step: str | None = None,
    view: str | None = None,
    egocentric: bool | None = None,
    layout: str | None = None,
    flat: bool | None = None,
    dtype: str | None = None,
    horizon: int | None = None,
    own: float | None = None,
    other: float | None = None,
    taken: float | None = None,
    noise: float | tuple[float, ...] | None = None,
) -> CoinGame:
    """The Coin Game in a published dialect; switches given here replace those of the dialect.

    Args:
        dialect: one of `DIALECTS`.
        num_players, grid: available in every dialect.
        others: see `envs.CoinGame`; None keeps the dialect's setting.

    Raises:
        ValueError: for an unknown dialect, or switches that `CoinGame` refuses.
    """
    given = dict(locals())
    check_choice("dialect", dialect, tuple(DIALECTS))
    settings = dict(DIALECTS[dialect])
    if dialect == "reciprocator" and taken is None:
        check_integer("num_players", num_players, 2, MAX_PLAYERS)
        settings["taken"] = -num_players / (num_players - 1)
    settings |= {key: value for key, value in given.items() if key != "dialect" and value is not None}
    return CoinGame(**settings)
