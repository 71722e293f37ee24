"""All random outcomes of the Coin Game, so that they can be enumerated, as in `envs.coin_game.chain`."""

from shaping.envs.coin_game.game import CoinGame
from shaping.envs.grid.random_cells import free_cell_outcomes, word_outcomes


def begin_outcomes(env: CoinGame) -> tuple[int, ...]:
    """For each random word of `CoinGame.begin`, a number of values 0, 1, ... that together produce every start exactly
    in proportion to its probability."""
    found = word_outcomes(env.begin_ranges)
    if env.start_coins == "free":
        found += tuple(free_cell_outcomes(env.num_players + c, env.num_cells) for c in range(env.num_coins))
    return found


def step_outcomes(env: CoinGame) -> tuple[int, ...]:
    """The same for `CoinGame.transition`."""
    if env.respawn == "any":
        return word_outcomes([env.num_cells] * env.num_coins)
    return (free_cell_outcomes(env.num_players + env.num_coins - 1, env.num_cells),) * env.num_coins
