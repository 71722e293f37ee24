"""Settings of the Coin Game that are refused, and the smallest games that are allowed."""

import jax
import numpy as np
import pytest

from tests.compiling import quickly
from tests.envs.coin_rules import (
    coin_game,
    strict,  # noqa: F401
)

REFUSED = {
    "an unknown dialect": ({"dialect": "lola"}, "dialect is 'lola'; allowed: lola2018, lola_dice, pola, mfos, pax"),
    "an unknown setting": ({"colours": 2}, "setting 'colours' is not one of game 'coin_game'; allowed: dialect, "),
    "one player": ({"num_players": 1}, "num_players is 1; allowed: an integer from 2 to 8"),
    "nine players": ({"num_players": 9, "grid": 9}, "num_players is 9; allowed: an integer from 2 to 8"),
    "half a player": ({"num_players": 2.5}, "num_players is 2.5; allowed: an integer from 2 to 8"),
    "half a player of the reciprocator's": (
        {"dialect": "reciprocator", "num_players": 2.5},
        "num_players is 2.5; allowed: an integer from 2 to 8",
    ),
    "no room for the coin": ({"grid": (1, 2)}, "grid is 1 x 2; allowed: 3 cells or more with 2 players, start_coins"),
    "no room for coins of all colours": (
        {"coins": "per_colour", "num_players": 4, "grid": (2, 3)},
        "grid is 2 x 3; allowed: 8 cells or more with 4 players, start_coins free",
    ),
    "no room for coins to come back": (
        {"dialect": "mfos", "respawn": "free", "grid": (1, 3)},
        "grid is 1 x 3; allowed: 4 cells or more with 2 players, respawn free",
    ),
    "no room for distinct players": (
        {"dialect": "mfos", "start_players": "distinct", "grid": 1},
        "grid is 1 x 1; allowed: 2 cells or more with 2 players, start_players distinct",
    ),
    "a grid of three sides": ({"grid": (3, 3, 3)}, "grid is (3, 3, 3); allowed: a number of rows and columns, or "),
    "a grid of no rows": ({"grid": (0, 9)}, "grid is 0; allowed: an integer from 1 to 1000"),
    "a grid in words": ({"grid": "3x3"}, "grid is '3x3'; allowed: an integer from 1 to 1000"),
    "an egocentric view in seat order": (
        {"egocentric": True},
        "egocentric is True; allowed: with view self_first or cyclic, not shared",
    ),
    "an egocentric rolled view": (
        {"dialect": "reciprocator", "egocentric": True},
        "egocentric is True; allowed: with view self_first or cyclic, not rolled",
    ),
    "a restart without a step": ({"dialect": "mfos", "horizon": 1}, "horizon is 1; allowed: 2 or more with last_step"),
    "no steps": ({"horizon": 0}, "horizon is 0; allowed: an integer from 1 to 2147483646"),
    "a horizon beyond int32": ({"horizon": 2**31}, "horizon is 2147483648; allowed: an integer from 1 to 2147483646"),
    "a reward that is no number": ({"taken": float("nan")}, "taken is nan; allowed: a finite number"),
    "a reward in words": ({"own": "1"}, "own is '1'; allowed: a finite number"),
    "a noise above one": ({"noise": 1.5}, "noise is 1.5; allowed: a finite number from 0 to 1"),
    "a noise below zero": ({"noise": (0.1, -0.1)}, "noise is -0.1; allowed: a finite number from 0 to 1"),
    "noise for too many": ({"noise": (0.1, 0.1, 0.1)}, "noise is (0.1, 0.1, 0.1); allowed: None, a number, or one for"),
    "a switch that is no switch": ({"stay": 1}, "stay is 1; allowed: False, True"),
    "an unknown coins": ({"coins": "two"}, "coins is 'two'; allowed: alternating, per_colour"),
    "an unknown tie": ({"tie": "red"}, "tie is 'red'; allowed: all, lowest_seat"),
    "an unknown moves": ({"moves": "up"}, "moves is 'up'; allowed: right_left_down_up, left_right_up_down"),
    "an unknown start": ({"start_players": "free"}, "start_players is 'free'; allowed: distinct, any"),
    "an unknown start of coins": ({"start_coins": "all"}, "start_coins is 'all'; allowed: free, any"),
    "an unknown respawn": ({"respawn": True}, "respawn is True; allowed: free, any"),
    "an unknown penalty": ({"penalty": "both"}, "penalty is 'both'; allowed: per_taker, per_coin"),
    "an unknown last step": ({"last_step": "reset"}, "last_step is 'reset'; allowed: play, no_reward, restart"),
    "an unknown view": ({"view": "own"}, "view is 'own'; allowed: shared, self_first, cyclic, rolled"),
    "an unknown layout": ({"layout": "NCHW"}, "layout is 'NCHW'; allowed: channels_first, channels_last"),
    "an unknown dtype": ({"dtype": "bool"}, "dtype is 'bool'; allowed: float32, int8"),
    "trials without resets": ({"episodes": 3}, "episodes is 3; allowed: only with auto_reset=True"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_bad_setting_is_refused_in_one_line_that_names_the_remedy(case):
    settings, message = REFUSED[case]
    with pytest.raises(ValueError) as refusal:
        coin_game(**settings)
    assert str(refusal.value).startswith(message) and "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    "settings",
    [
        {"grid": (1, 3)},
        {"coins": "per_colour", "num_players": 4, "grid": (2, 4)},
        {"dialect": "mfos", "grid": 1},
        {"dialect": "mfos", "start_players": "distinct", "grid": (1, 2)},
        {"dialect": "mfos", "respawn": "free", "grid": (2, 2)},
        pytest.param({"num_players": 8}, marks=pytest.mark.slow),
    ],
)
def test_the_smallest_grids_that_are_allowed_are_played(settings):
    env = coin_game(**settings)
    params = env.default_params
    keys = jax.random.split(jax.random.key(0), 50)

    def steps(key):
        def step(time, state):
            now = jax.random.fold_in(key, time)
            return env.step(now, state, env.action_space.sample(now, (env.num_players,)), params)[1]

        return jax.lax.fori_loop(0, 3, step, env.reset(key, params)[1])

    state = quickly(jax.vmap(steps))(keys)
    cells = np.concatenate([np.asarray(state.players), np.asarray(state.coins)], axis=1)
    assert cells.min() >= 0 and cells.max() < env.num_cells
    if env.respawn == "free" and env.start_coins == "free":
        coins, players = np.asarray(state.coins), np.asarray(state.players)
        assert not np.any(coins[:, :, None] == players[:, None, :])
