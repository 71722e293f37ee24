"""The in-the-matrix games of published programs, by name."""

from typing import Any

from shaping.envs.environment import check_choice, check_integer
from shaping.envs.in_the_matrix.game import MAX_PLAYERS, InTheMatrix
from shaping.envs.in_the_matrix.maps import must_be_free

# The later ones list how they differ from `InTheMatrix`'s defaults.
DIALECTS: dict[str, dict[str, Any]] = {
    "corners": {},
    "storm_2p": {"spawn_directions": 3, "pay_last_step": False},
    "storm_n": {"spawn": "free", "return_of": "players", "mutual": True, "regrowth": 1 / 6},
}
"""Settings by dialect.

corners: the game of Khan et al. (2024), Scaling Opponent Shaping to High Dimensional Games, AAMAS (arXiv:2312.12568;
IPD in the Matrix): 8 x 8 cells, view 5 x 5, 6 coins of each kind, 152 steps, freeze 5. storm_2p: the same game as
programmed in Pax (ucl-dark/pax, pax/envs/in_the_matrix.py) and in JaxMARL 0.2.0 (storm_2p): players start only in
directions 0 to 2, and the last step of an episode pays nothing. What is not reproduced: there, one key determines the
collision, place and direction, which are therefore correlated; a coin dealt onto a player's cell at the *start* of an
episode hides the player in the first picture and is taken if the player does not leave at once (here it disappears, as
it does there at every later return); freeze=0 returns all players at every step after the first interaction, and
freeze=1 does so twice (here once, after `freeze` steps). storm_n: two to eight players after JaxMARL's storm_env: both
must fire, only the pair returns, coins grow back. There, a site's timer of 3 to 9 steps runs all the time, only as many
pairs as players are considered, and later pairs overwrite the rewards of earlier ones; here regrowth is 1/6 and every
pair counts.

JaxMARL's newest `storm` (eight actions, one for each cell of the beam, chained interactions) is not covered; its free
sizes are available: grid_size, view_size, num_coins, layout="random".
"""


def in_the_matrix(
    dialect: str = "corners",
    num_players: int = 2,
    grid_size: int | None = None,
    view_size: int | None = None,
    payoffs: Any = None,
    num_coins: int | None = None,
    freeze: int | None = None,
    horizon: int | None = None,
    layout: str | None = None,
    spawn: str | None = None,
    spawn_directions: int | None = None,
    return_of: str | None = None,
    mutual: bool | None = None,
    pay_last_step: bool | None = None,
    regrowth: float | None = None,
    shuffle_coins: bool | None = None,
    observation: str | None = None,
) -> InTheMatrix:
    """An in-the-matrix game by dialect; every setting given here replaces the dialect's.

    Args:
        dialect: one of `DIALECTS`.
        num_players: available in every dialect.
        spawn: if not given, "free" whenever players cannot start on mirrored places.
        others: see `envs.InTheMatrix`; None keeps the dialect's setting.

        Raises:
        ValueError: for an unknown dialect, or settings that `InTheMatrix` refuses.
    """
    given = dict(locals())
    check_choice("dialect", dialect, tuple(DIALECTS))
    check_integer("num_players", num_players, 2, MAX_PLAYERS)
    settings = DIALECTS[dialect] | {
        key: value for key, value in given.items() if key != "dialect" and value is not None
    }
    if must_be_free(num_players, settings.get("layout", "corners"), settings.get("return_of", "world")):
        settings.setdefault("spawn", "free")
    return InTheMatrix(**settings)
