"""A table of logits for the Coin Game: one row for each state of the board, one column for each action."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from shaping.envs.coin_game.chain import board_number, memory_number, num_boards, num_memories, remember
from shaping.envs.coin_game.game import CoinGame, CoinGameState
from shaping.envs.coin_game.observation import channel_order
from shaping.policies.pickling import remakable
from shaping.policies.policy import Policy


@remakable
def coin_table(env: CoinGame, player: int = 0, last_takers: bool = False, folded: bool = True) -> Policy:
    """pi(a | s) = softmax(theta[s])[a], theta [states, actions], with the state as the player sees it
    (`coin_game.chain`).

    A reactive policy on the whole board: one observation contains everything it uses. With `last_takers` it also
    remembers who last took a coin of each colour, which is the least it needs to reciprocate.

    Args:
      env: the game it plays; determines what an observation looks like.
      player: its seat.
      last_takers: whether states include who last took a coin of each colour.
      folded: whether boards that differ only by a shift are one state: 162 states instead of 1,458 on 3 x 3 cells.

    Raises:
      ValueError: for a seat that the game does not have; for last_takers, or folded False, with egocentric
        observations, which do not show where on the board anything is.
    """
    if not 0 <= player < env.num_players:
        raise ValueError(f"player is {player!r}; allowed: 0 to {env.num_players - 1}")
    if last_takers and env.egocentric:
        raise ValueError("last_takers is True; allowed: with egocentric false, which shows where a taken coin was")
    if not folded and env.egocentric:
        raise ValueError("folded is False; allowed: with egocentric false, which shows places on the board")
    n, actions = env.num_players, env.action_space.num_values
    boards = num_boards(env, folded)
    states = boards * (num_memories(env) if last_takers else 1)
    seats = [player, *(seat for seat in range(n) if seat != player)]

    def init(key: jax.Array, scale: jax.Array) -> jax.Array:
        return scale * jax.random.normal(key, (states, actions), jnp.float32)

    def start(batch_shape: tuple[int, ...]) -> Any:
        if not last_takers:
            return None
        # Where the coin of each colour was (-1 for none), and who last took one (n for nobody); its own seat first.
        return jnp.full((*batch_shape, n), -1, jnp.int32), jnp.full((*batch_shape, n), n, jnp.int32)

    def apply(theta: jax.Array, observation: jax.Array, memory: Any) -> tuple[Any, Any]:
        from shaping.policies.distributions import categorical

        players, coins = seen_cells(env, player, observation)
        state = board_number(env, _board(env, players, coins), folded)
        if last_takers:
            before, takers = memory
            reached = (players[..., :, None] == before[..., None, :]) & (before >= 0)[..., None, :]
            takers = remember(takers, _served(env, reached, seats), seats)
            state = memory_number(takers, n) * boards + state
            memory = (coins, takers)
        return categorical(jnp.asarray(theta)[state]), memory

    structure = (env, player, last_takers, folded)
    return Policy(
        "coin_table",
        structure,
        init,
        start,
        apply,
        lambda theta: theta,
        scalars=False,
        observation_space=env.observation_space,
        action_space=env.action_space,
    )


def seen_cells(env: CoinGame, player: int, observation: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Cells of the players and of the coins of all colours (-1 for none), its own seat first, [..., n] int32."""
    n, cells = env.num_players, env.num_cells
    lead = observation.shape[: observation.ndim - len(env.observation_space.shape)]
    if env.layout == "channels_first":
        planes = observation.reshape(*lead, 2 * n, cells)
    else:
        planes = jnp.swapaxes(observation.reshape(*lead, cells, 2 * n), -1, -2)
    order = channel_order(env.view, player, n)
    seats = [player, *(seat for seat in range(n) if seat != player)]
    wanted = np.array([order.index(plane) for plane in [*seats, *(n + seat for seat in seats)]])
    shown = planes[..., wanted, :] > 0
    number = jnp.sum(jnp.where(shown, jnp.arange(cells, dtype=jnp.int32), 0), axis=-1, dtype=jnp.int32)
    cell = jnp.where(jnp.any(shown, axis=-1), number, -1)
    return cell[..., :n], cell[..., n:]


def _board(env: CoinGame, players: jax.Array, coins: jax.Array) -> CoinGameState:
    zero = jnp.zeros(players.shape[:-1], jnp.int32)
    if env.coins == "per_colour":
        return CoinGameState.of(players, coins, zero, zero)
    return CoinGameState.of(players, jnp.max(coins, -1, keepdims=True), jnp.argmax(coins, -1).astype(jnp.int32), zero)


def _served(env: CoinGame, reached: jax.Array, seats: list[int]) -> jax.Array:
    """Which of the players that reached a coin takes it, [..., players, colours], its own seat first."""
    if env.tie == "all":
        return reached
    lower = np.array([[other < seat for other in seats] for seat in seats])  # [player, other]
    beaten = jnp.any(lower[..., :, :, None] & reached[..., None, :, :], axis=-2)
    return reached & ~beaten
