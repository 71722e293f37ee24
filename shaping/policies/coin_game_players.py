"""Scripted players of the Coin Game: they see the board and follow a rule. They do not learn; theta is ().

They take shortest paths on the torus and break ties like Zhao et al. (2022, POLA, `coin_game_jax.py`,
get_moves_shortest_path_to_coin): up or down if that is shorter than the other way round, otherwise left or right
likewise, and right if neither is. The cooperator and defector of that program are `cooperate` and `greedy_any`.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from shaping.envs.auto_reset import AutoReset
from shaping.envs.coin_game.game import MOVES, CoinGame
from shaping.envs.environment import check_integer
from shaping.policies.coin_table import seen_cells
from shaping.policies.pickling import remakable
from shaping.policies.policy import Policy

# Logit of an action that is never taken. Sampling adds a Gumbel number between -7 and 709 to each logit, so this always
# decides. If one action is left, log-probabilities and entropies are exactly 0; with infinity they would be NaN.
_NEVER = -1e4
_OPPOSITE = {"right": "left", "left": "right", "down": "up", "up": "down"}

Moves = dict[str, jax.Array]
Rule = Callable[[CoinGame, jax.Array, jax.Array], Moves]
"""(game, own cell [...], cells of the coins [..., players], the own colour first, -1 for none) -> for names of actions
whether they may be taken, [...] bool. Those that may are equally likely; actions that are not named are never taken."""


def greedy_any(env: Any, player: int = 0) -> Policy:
    """Goes to the nearest coin; of two equally near ones to its own, then to the one of the lower colour.

    In a game with one coin this is POLA's "always defect".

    Args:
      env: the Coin Game to play, by itself or in an `envs.AutoReset`; determines what an observation looks like.
      player: its seat.

    Raises:
      ValueError: if it is not a Coin Game, or has no such seat.
    """
    return _scripted("greedy_any", env, player)


def greedy_own(env: Any, player: int = 0) -> Policy:
    """Goes to the coin of its own colour; if there is none it stays, or moves at random in a game without staying.

    Args, raises: see `greedy_any`.
    """
    return _scripted("greedy_own", env, player)


def cooperate(env: Any, player: int = 0) -> Policy:
    """Goes to the coin of its own colour; if there is none it makes the opposite of the move towards the nearest coin.

    In a game with one coin this is POLA's "always cooperate"; with a coin of every colour it is `greedy_own`.

    Args, raises: see `greedy_any`.
    """
    return _scripted("cooperate", env, player)


def avoid_other(env: Any, player: int = 0) -> Policy:
    """Any action that does not end on another's coin, equally likely; if all actions do, any action.

    Args, raises: see `greedy_any`.
    """
    return _scripted("avoid_other", env, player)


def random(env: Any, player: int = 0) -> Policy:
    """Any action, equally likely.

    Args, raises: see `greedy_any`.
    """
    return _scripted("random", env, player)


def stay(env: Any, player: int = 0) -> Policy:
    """Never moves.

    Args: see `greedy_any`.

    Raises:
      ValueError: as for `greedy_any`, and if the game has no action to stay.
    """
    _check_stay(_coin_game(env))
    return _scripted("stay", env, player)


@remakable
def by_number(env: Any, player: int = 0) -> Policy:
    """The rule is a parameter: theta [] int32 is a position in `NAMES`, so one program can play a population of them.

    `init` draws one uniformly. In a game without staying, the last one, "stay", is excluded.

    Args, raises: see `greedy_any`.
    """
    game = _coin_game(env)
    rules = [RULES[name] for name in NAMES if name != "stay" or game.stay]

    def init(key: jax.Array, scale: jax.Array) -> jax.Array:
        del scale
        return jax.random.randint(key, (), 0, len(rules), jnp.int32)

    def mask(theta: jax.Array, own: jax.Array, coins: jax.Array) -> jax.Array:
        every = jnp.stack([_mask(game, rule(game, own, coins)) for rule in rules])
        return jnp.take(every, theta, axis=0)

    return _policy("grid_player", game, player, init, mask)


@remakable
def _scripted(name: str, env: Any, player: int) -> Policy:
    game, rule = _coin_game(env), RULES[name]

    def init(key: jax.Array, scale: jax.Array) -> tuple[()]:
        del key, scale
        return ()

    return _policy(name, game, player, init, lambda theta, own, coins: _mask(game, rule(game, own, coins)))


def _policy(
    name: str, game: CoinGame, player: int, init: Callable[..., Any], mask: Callable[[Any, Any, Any], jax.Array]
) -> Policy:
    """A policy from the actions it allows, `mask(theta, own cell, coins) -> [..., actions]`."""
    check_integer("player", player, 0, game.num_players - 1)

    def apply(theta: Any, observation: jax.Array, memory: Any) -> tuple[Any, Any]:
        from shaping.policies.distributions import categorical

        players, coins = seen_cells(game, player, observation)
        allowed = mask(theta, players[..., 0], coins)
        zero = jnp.zeros(allowed.shape, float)
        return categorical(jnp.where(allowed, zero, zero + _NEVER)), memory

    def table(theta: Any) -> Any:
        raise ValueError(f"{name} has no table of logits; allowed: policies made to learn, such as coin_table")

    return Policy(
        name,
        (game, player),
        init,
        lambda batch_shape: None,
        apply,
        table,
        scalars=False,
        tabulated=False,
        observation_space=game.observation_space,
        action_space=game.action_space,
    )


def _greedy_any(game: CoinGame, own: jax.Array, coins: jax.Array) -> Moves:
    return _toward(game, own, _nearest(game, own, coins))


def _greedy_own(game: CoinGame, own: jax.Array, coins: jax.Array) -> Moves:
    otherwise = _stay(game, own, coins) if game.stay else _random(game, own, coins)
    return _where(coins[..., 0] >= 0, _toward(game, own, coins[..., 0]), otherwise)


def _cooperate(game: CoinGame, own: jax.Array, coins: jax.Array) -> Moves:
    there = _shortest(game, own, _nearest(game, own, coins))
    away = {_OPPOSITE[name]: does for name, does in there.items()}
    return _where(coins[..., 0] >= 0, _toward(game, own, coins[..., 0]), away)


def _avoid_other(game: CoinGame, own: jax.Array, coins: jax.Array) -> Moves:
    rows, columns = game.grid
    fine = {}
    for name in game.action_names:
        down, right = MOVES[name]
        cell = (own // columns + down) % rows * columns + (own % columns + right) % columns
        fine[name] = ~jnp.any(coins[..., 1:] == cell[..., None], axis=-1)
    stuck = ~jnp.any(jnp.stack(list(fine.values())), axis=0)
    return {name: good | stuck for name, good in fine.items()}


def _random(game: CoinGame, own: jax.Array, coins: jax.Array) -> Moves:
    del coins
    return {name: jnp.ones(own.shape, bool) for name in game.action_names}


def _stay(game: CoinGame, own: jax.Array, coins: jax.Array) -> Moves:
    del coins
    _check_stay(game)
    return {"stay": jnp.ones(own.shape, bool)}


RULES: dict[str, Rule] = {
    "greedy_any": _greedy_any,
    "greedy_own": _greedy_own,
    "cooperate": _cooperate,
    "avoid_other": _avoid_other,
    "random": _random,
    "stay": _stay,
}
NAMES = tuple(RULES)
"""The players by number, see `by_number`."""


def _distances(game: CoinGame, cell: jax.Array, target: jax.Array) -> tuple[jax.Array, ...]:
    """Numbers of steps right, left, down and up from a cell to the column or row of another."""
    rows, columns = game.grid
    right, down = target % columns - cell % columns, target // columns - cell // columns
    return right % columns, -right % columns, down % rows, -down % rows


def _nearest(game: CoinGame, own: jax.Array, coins: jax.Array) -> jax.Array:
    """The cell of the nearest coin, [...]; the first of equally near ones."""
    right, left, down, up = _distances(game, own[..., None], coins)
    far = jnp.where(coins < 0, game.num_cells, jnp.minimum(right, left) + jnp.minimum(down, up))
    place = jnp.argmin(far, axis=-1)
    return jnp.take_along_axis(coins, place[..., None], axis=-1)[..., 0]


def _shortest(game: CoinGame, own: jax.Array, target: jax.Array) -> Moves:
    """The move that leads towards a cell, exactly one; right if the player is already there."""
    right, left, down, up = _distances(game, own, target)
    goes_up = up < down
    # Halfway around an even grid, up is as far as down. POLA's rule would then go right and left for ever.
    goes_down = (down < up) | ((down == up) & (down > 0) & (right == 0))
    level = ~(goes_up | goes_down)
    return {"right": level & (left >= right), "left": level & (left < right), "down": goes_down, "up": goes_up}


def _toward(game: CoinGame, own: jax.Array, target: jax.Array) -> Moves:
    """Like `_shortest`, but a player that is already there stays if it can, which takes the coin."""
    moves = _shortest(game, own, target)
    if not game.stay:
        return moves
    there = own == target
    return {name: does & ~there for name, does in moves.items()} | {"stay": there}


def _where(condition: jax.Array, moves: Moves, otherwise: Moves) -> Moves:
    never = jnp.zeros(condition.shape, bool)
    names = {**moves, **otherwise}
    return {name: jnp.where(condition, moves.get(name, never), otherwise.get(name, never)) for name in names}


def _mask(game: CoinGame, moves: Moves) -> jax.Array:
    """[..., actions] bool in the game's order."""
    never = jnp.zeros_like(next(iter(moves.values())))
    return jnp.stack([moves.get(name, never) for name in game.action_names], axis=-1)


def _coin_game(env: Any) -> CoinGame:
    game = env.env if isinstance(env, AutoReset) else env
    if not isinstance(game, CoinGame):
        raise ValueError(f"env is {getattr(env, 'name', type(env).__name__)}; allowed: coin_game, alone or auto-reset")
    return game


def _check_stay(game: CoinGame) -> None:
    if not game.stay:
        raise ValueError("stay is False in this game; allowed: a game made with stay=True for a player that stays")
