"""Scripted extremes of every environment, by name: a report compares the welfare of learners with theirs."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from shaping.envs import (
    AutoReset,
    CleanUp,
    CoinGame,
    CommonsHarvest,
    Cournot,
    Fishery,
    FruitMarket,
    Gift,
    InTheMatrix,
    MatrixGame,
    Negotiation,
    PublicGoods,
)
from shaping.envs.cournot import collusive_outcome, nash_equilibrium
from shaping.envs.fishery import gordon_schaefer, great_fish_war
from shaping.envs.spaces import Discrete
from shaping.policies import coin_game_players
from shaping.policies.coin_tit_for_tat import coin_tit_for_tat
from shaping.policies.fixed import fixed
from shaping.policies.memory_one import memory_one
from shaping.policies.pickling import remakable
from shaping.policies.policy import Policy, no_params
from shaping.policies.tabular import tabular
from shaping.policies.walkers import cleaners, farmers, gatherers, harvesters

# Logit of an action that is never taken, as in `coin_game_players`.
_NEVER = -1e4


@dataclass(frozen=True)
class Script:
    """What a scripted player does.

    Attributes:
      act: `(env, seat, numbers, observation) -> action`: an integer, or an array if actions are continuous; or the
        logits of a discrete action, [actions] float.
      numbers: `(env, params) -> numbers` it needs from the environment, [players, ...]; None if it needs none.
    """

    act: Callable[[Any, int, Any, jax.Array], jax.Array]
    numbers: Callable[[Any, Any], jax.Array] | None = None


def scripted_players(env: Any) -> Mapping[str, tuple[Policy, ...]]:
    """Scripted players of an environment: by name, one policy per seat, with parameters ().

    - matrix games: ALLC, ALLD and, for two players that see their own action first, TFT; with more than two actions
      ALL0, ALL1, ..., each of which plays one action
    - coin_game: the same (`coin_game_players.cooperate`, `greedy_any`, `coin_tit_for_tat`)
    - cournot: NASH and COLLUSIVE quantities
    - fishery: NASH and COOPERATIVE efforts; with gordon_schaefer also OPEN_ACCESS; with great_fish_war GREEDY, which
      takes all of the stock
    - public_goods: ALL and NONE of the endowment; nobody is punished
    - negotiation: GREEDY asks for everything, COOPERATIVE for what nobody values more, if it can see that
    - gift: GIVES, to the next seat, and KEEPS
    - clean_up: CLEANS and EATS, which do nothing else, and BOTH, which eats while at most one cell is dirty
    - commons_harvest: GREEDY and SUSTAINABLE, which leaves apples that have few others around
    - fruit_market: TRADES, which offers its own fruit one for one, and SELF_SUFFICIENT, which eats it
    - in_the_matrix: one for each kind of coins (ALLC and ALLD if there are two), which collects only that kind and then
      plays

    Quantities and efforts are computed from the environment's default numbers; `Policy.for_params` gives the parameters
    for other numbers. An environment in an `AutoReset` has the players of the environment inside; unknown environments,
    and games with messages, have none, {}.
    """
    game, seats = env.env if isinstance(env, AutoReset) else env, range(env.num_players)
    if isinstance(game, MatrixGame) and game.num_actions > 2:
        table = tabular(game.num_states, num_actions=game.num_actions)
        logits = _NEVER * (1 - np.eye(game.num_actions))[:, None].repeat(game.num_states, axis=1)
        return {f"ALL{action}": (fixed(table, logits[action]),) * len(seats) for action in range(game.num_actions)}
    if isinstance(game, MatrixGame):
        return {name: (fixed(memory_one(game.num_states), table),) * len(seats) for name, table in _tables(game)}
    if isinstance(game, CoinGame):
        found = {"ALLC": coin_game_players.cooperate, "ALLD": coin_game_players.greedy_any}
        if not game.egocentric:
            found["TFT"] = coin_tit_for_tat
        return {name: tuple(make(game, seat) for seat in seats) for name, make in found.items()}
    return {name: tuple(scripted(game, name, seat) for seat in seats) for name in _scripts(game)}


@remakable
def scripted(env: Any, name: str, seat: int) -> Policy:
    """A scripted player of `scripted_players`, for environments other than matrix games and the Coin Game.

    Args:
      env: the environment.
      name: name of the player.
      seat: its seat.

    Raises:
      ValueError: if the environment has no such player.
    """
    scripts = _scripts(env)
    if name not in scripts:
        raise ValueError(f"strategy is {name!r}; allowed: {', '.join(scripts) or 'none'} in {env.name}")
    script, space = scripts[name], env.action_space

    def init(key: jax.Array, scale: jax.Array) -> tuple[()]:
        del key, scale
        return ()

    def for_params(params: Any) -> Any:
        return () if script.numbers is None else script.numbers(env, params)[seat]

    def apply(theta: Any, observation: jax.Array, memory: Any) -> tuple[Any, Any]:
        from shaping.policies.distributions import always, categorical

        numbers = for_params(env.default_params) if isinstance(theta, tuple) else theta
        action = script.act(env, seat, numbers, observation)
        if not isinstance(space, Discrete):
            return always(action, space), memory
        if jnp.ndim(action) == 0:
            action = jnp.where(jnp.arange(space.num_values) == action, 0, jnp.asarray(_NEVER, float))
        return categorical(action), memory

    return Policy(
        name,
        (env, seat),
        init,
        lambda batch_shape: None,
        apply,
        scalars=False,
        observation_space=env.observation_space,
        action_space=space,
        for_params=no_params if script.numbers is None else for_params,
    )


def _tables(game: MatrixGame) -> list[tuple[str, np.ndarray]]:
    """Probabilities of cooperating, [states]."""
    states = game.num_states
    tables = [("ALLC", np.ones(states)), ("ALLD", np.zeros(states))]
    if game.num_players == 2 and states == 5 and game.state_view == "own":
        tables.append(("TFT", np.array([1.0, 1, 0, 1, 0])))
    return tables


def _scripts(env: Any) -> dict[str, Script]:
    if isinstance(env, Cournot):
        return {
            "NASH": _constant(lambda env, params: nash_equilibrium(params)),
            "COLLUSIVE": _constant(lambda env, params: collusive_outcome(params)),
        }
    if isinstance(env, Fishery):
        return _FISHERIES[env.model]
    if isinstance(env, PublicGoods):
        return {
            "ALL": Script(lambda *given: _contribute(1, *given)),
            "NONE": Script(lambda *given: _contribute(0, *given)),
        }
    if isinstance(env, Negotiation):
        found = {"GREEDY": Script(lambda env, seat, numbers, observation: jnp.ones(env.action_space.shape))}
        if env.view == "public" or env.values == "high_contrast":
            found["COOPERATIVE"] = Script(_ask_for_the_own)
        return found
    if isinstance(env, CleanUp):
        return _walking(cleaners(env))
    if isinstance(env, CommonsHarvest):
        return _walking(harvesters(env))
    if isinstance(env, FruitMarket):
        return _walking(farmers(env))
    if isinstance(env, InTheMatrix):
        return _walking(gatherers(env))
    if isinstance(env, Gift):
        return {"GIVES": Script(_give), "KEEPS": Script(lambda env, seat, numbers, observation: jnp.int32(0))}
    return {}


def _walking(moves: Mapping[str, Callable[[Any, jax.Array], jax.Array]]) -> dict[str, Script]:
    """Players that need only an observation: `(env, observation) -> action`, by name."""
    return {
        name: Script(lambda env, seat, numbers, observation, move=move: move(env, observation))
        for name, move in moves.items()
    }


def _constant(numbers: Callable[[Any, Any], jax.Array]) -> Script:
    """Always the same action, [players] by seat, where an action is one number."""
    return Script(lambda env, seat, numbers, observation: jnp.reshape(numbers, env.action_space.shape), numbers)


def _steady(of: Callable[[Any], jax.Array]) -> Callable[[Any, Any], jax.Array]:
    """Efforts of the oligopoly in its steady state, which may exceed what anybody can do."""
    return lambda env, params: jnp.clip(of(gordon_schaefer.steady_state_game(params)), 0, 1)


def _open_access(env: Any, params: Any) -> jax.Array:
    together = gordon_schaefer.open_access_effort(params)
    return jnp.clip(jnp.broadcast_to(together / env.num_players, (env.num_players,)), 0, 1)


_FISHERIES = {
    "great_fish_war": {
        "NASH": _constant(lambda env, params: great_fish_war.nash_parts(params, env.num_players)),
        "COOPERATIVE": _constant(lambda env, params: great_fish_war.cooperative_parts(params, env.num_players)),
        "GREEDY": _constant(lambda env, params: jnp.ones(env.num_players)),
    },
    "gordon_schaefer": {
        "NASH": _constant(_steady(nash_equilibrium)),
        "COOPERATIVE": _constant(_steady(collusive_outcome)),
        "OPEN_ACCESS": _constant(_open_access),
    },
}


def _contribute(share: int, env: Any, seat: int, numbers: Any, observation: jax.Array) -> jax.Array:
    """All or nothing; in a punishment step no points to anybody."""
    if not isinstance(env.action_space, Discrete):
        return jnp.zeros(env.action_space.shape).at[0].set(share)
    punishing = observation[1 + env.num_players] > 0 if env.punishment else False
    return jnp.where(punishing, 0, share * (env.levels - 1)).astype(jnp.int32)


def _ask_for_the_own(env: Any, seat: int, numbers: Any, observation: jax.Array) -> jax.Array:
    """All of each item that nobody values more; if others' values are hidden, all items of the highest possible
    value."""
    items = env.items
    seen = env.num_players if env.view == "public" else 1
    values = observation[1 + items : 1 + items * (1 + seen)].reshape(seen, items)
    most = jnp.max(values, axis=0) if env.view == "public" else 1
    return (values[0] >= most).astype(float)


def _give(env: Any, seat: int, numbers: Any, observation: jax.Array) -> jax.Array:
    """To the next seat: its number among the others, counted from 1, by ascending seat."""
    last = seat == env.num_players - 1
    return jnp.int32(1 if last or env.recipients == "next" else seat + 1)
