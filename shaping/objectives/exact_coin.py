"""Exact expected returns of reactive policies in the Coin Game, differentiable to any order.

With pi_i(a | s) the policy of player i in state s, play is a Markov chain P on the states of `CoinChain`, and

    V_i = sum_t gamma^t p0^T P^t r_i        (t = 0, 1, ..., horizon - 1, or without end)

with p0 the distribution of starts and r_i(s) the expected reward of a step, so that V_i is the inner product of r_i
with the discounted visits. Noise mixes every policy with the uniform one before it is played.
"""

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from shaping.envs.coin_game.chain import CoinChain, coin_chain
from shaping.envs.coin_game.game import CoinGame, CoinGameParams
from shaping.envs.declarations import measures
from shaping.envs.measures import fraction
from shaping.objectives.game import (
    EMPTY,
    StepByStep,
    all_alike,
    closed_form_values,
    closed_form_work,
    nothing,
    value_scale,
)
from shaping.objectives.objective import Objective, Thetas
from shaping.objectives.occupancy import visits_of
from shaping.objectives.rewards import Reward, maximised
from shaping.policies.policy import Policy
from shaping.variables import Variable, declared, of_measure


@flax.struct.dataclass
class ExactCoinParams:
    """The numbers of an exact Coin Game.

    Attributes:
      rewards: [players, 3] own, other, taken; see `envs.CoinGameParams`.
      discount: [] in [0, 1), or up to 1 with a finite horizon.
      noise: [players] in [0, 1], the probability that an action is replaced by a uniformly random one.
    """

    rewards: jax.Array
    discount: jax.Array
    noise: jax.Array


@dataclass(frozen=True)
class ExactCoinGame:
    """The static part of an exact Coin Game objective.

    Attributes:
      env: the game; its own horizon, rewards and noise are not used.
      horizon: steps of an episode; None for an episode without end.
      policies: one per seat, each with a `table` of logits [states as the player sees them, actions].
      memory: whether states include who last took a coin of each colour.
      folded: whether boards that differ only by a shift are one state.
    """

    env: CoinGame
    horizon: int | None
    policies: tuple[Policy, ...]
    memory: bool = False
    folded: bool = True

    # Returns are exact, and there are too many states to treat each as a scalar. No move is cooperation.
    sampled = tabular = unrolled = False
    about = EMPTY
    episode = cooperation = cooperation_as_played = round_payoffs = nothing
    evaluate, work = closed_form_values, closed_form_work

    @property
    def chain(self) -> CoinChain:
        """The states and transitions, enumerated when first used."""
        return coin_chain(self.env, self.folded, self.memory)

    @property
    def exchangeable(self) -> bool:
        """Whether all have the same policy: every player sees the board with its own coin first."""
        return all_alike(self.policies)

    @property
    def variables(self) -> Mapping[str, Variable]:
        """What `describe` returns, as the environment declares it; the own fraction is known only at the end."""
        known = {name: of_measure(own) for name, own in measures(self.env).items()}
        own_fraction = dataclasses.replace(known["own_fraction"], only_last=True)
        return declared("discount", "noise") | {"pickups": known["pickups"], "own_fraction": own_fraction}

    @property
    def labels(self) -> Mapping[str, tuple[str, ...]]:
        """Labels of colours, numbered like players."""
        return {"colour": measures(self.env)["pickups"].labels}

    def step_by_step(self, params: ExactCoinParams) -> StepByStep:
        """As it is played."""
        noise = params.noise if np.any(np.asarray(params.noise)) else None
        # An episode without end is cut by whoever plays it.
        steps = jnp.int32(self.horizon or np.iinfo(np.int32).max - 1)
        return StepByStep(self.env, CoinGameParams(params.rewards, steps, noise), params.discount, self.horizon)

    def objective(self, params: ExactCoinParams, rewards: Sequence[Reward | None] | None = None) -> Objective:
        """The objective at one setting of rewards, discount and noise."""

        def returns(thetas: Thetas, key: jax.Array | None, context: Any) -> tuple[jax.Array, None]:
            del key, context
            return _returns(self, list(thetas), params, rewards), None

        return Objective(returns, self.distance)

    def distance(self, player: int, theta: Any, theta_old: Any, batch: Any) -> jax.Array:
        """KL(old || new) of one player's action distributions, summed over its states."""
        del batch
        new, old = (jax.nn.log_softmax(self.policies[player].table(t)) for t in (theta, theta_old))
        return jnp.sum(jnp.exp(old) * (old - new))

    def value_scale(self, params: ExactCoinParams) -> jax.Array:
        """The factor that turns a return into a reported value, see `game.value_scale`."""
        return value_scale(params.discount, self.horizon)

    def working_bytes(self, itemsize: int, lookaheads: int) -> int:
        """The probabilities of joint actions in every state, once for each derivative."""
        states, joint = self.chain.transition.shape
        return 4 * (1 + lookaheads) * states * joint * itemsize

    def describe(self, params: ExactCoinParams, thetas: Thetas, key: jax.Array | None = None) -> dict[str, jax.Array]:
        """What a record holds of one match besides values: pickups [players, colours], own_fraction [players], discount
        [], noise [players]."""
        del key
        pickups = self.pickups(params, thetas)
        own = fraction(jnp.diagonal(pickups), pickups.sum(1)).astype(pickups.dtype)
        return {"pickups": pickups, "own_fraction": own, "discount": params.discount, "noise": params.noise}

    def pickups(self, params: ExactCoinParams, thetas: Thetas) -> jax.Array:
        """Expected coins of each colour that each player takes, [players, colours], differentiable: per episode and
        undiscounted; in a game without end a rate per step, (1 - discount) times the discounted sum."""
        joint = self.joint(thetas, params.noise)
        if self.horizon is None:
            visits = visits_of(self.chain, joint, params.discount, None) * (1 - params.discount)
        else:
            steps = self.horizon - (self.env.last_step == "restart")
            visits = visits_of(self.chain, joint, jnp.ones_like(params.discount), steps)
        return self._expected(visits, joint, jnp.asarray(self.chain.pickups, joint.dtype))

    def joint(self, thetas: Thetas, noise: jax.Array) -> jax.Array:
        """Probabilities of joint actions after noise, [states, joint actions]."""
        executed = []
        for player, (policy, theta) in enumerate(zip(self.policies, thetas, strict=True)):
            own = jax.nn.softmax(policy.table(theta))[_own_states(self.chain, player)]
            executed.append(own + noise[player] * (1 / own.shape[1] - own))
        return functools.reduce(lambda a, b: (a[:, :, None] * b[:, None, :]).reshape(len(a), -1), executed)

    def _expected(self, visits: jax.Array, joint: jax.Array, events: Any) -> jax.Array:
        """Expected events over all visits, [...], from [boards, joint actions, ...]."""
        played = (visits[:, None] * joint).reshape(self.chain.memories, *events.shape[:2]).sum(0)
        return jnp.einsum("sj,sj...->...", played, events, precision=lax.Precision.HIGHEST)


@functools.partial(jax.jit, static_argnums=0)
def _returns(
    game: ExactCoinGame, thetas: list[Any], params: ExactCoinParams, rewards: Sequence[Reward | None] | None
) -> jax.Array:
    """Unnormalised returns, [players]; jitted, so that they and each of their derivatives are traced once."""
    # A last step that pays nothing need not be played.
    steps = None if game.horizon is None else game.horizon - (game.env.last_step != "play")
    joint = game.joint(thetas, params.noise)
    paid = coins_taken(game.chain, str(joint.dtype))
    visits = visits_of(game.chain, joint, params.discount, steps)
    if rewards is None:
        return jnp.sum(params.rewards * game._expected(visits, joint, paid), axis=1)
    # What a move pays is certain: the step's rewards of every board and joint action.
    given = jnp.sum(params.rewards * paid, axis=-1)
    own = maximised(rewards, [given[..., player] for player in range(given.shape[-1])])
    return game._expected(visits, joint, jnp.stack(own, axis=-1))


def exact_coin_game(
    env: CoinGame,
    policies: Sequence[Policy],
    discount: float = 0.96,
    params: CoinGameParams | None = None,
    infinite: bool = False,
    memory: bool = False,
    folded: bool = True,
) -> tuple[ExactCoinGame, ExactCoinParams]:
    """The exact game of an environment, and its numbers.

    Args:
      env: the environment; a finite game has its horizon.
      policies: one per seat, reactive, see `shaping.coin_table`.
      discount: in [0, 1), or up to 1 if the game is finite.
      params: the environment's numbers; None for its defaults. Their horizon is not used.
      infinite: whether the game has no end.
      memory, folded: see `ExactCoinGame`.

    Raises:
      ValueError: for more or fewer policies than the game has seats, tables that do not fit its states, a discount out
        of its range, a game without a step that pays, or a game too large to enumerate.
    """
    if not (0 <= discount < 1 or (discount == 1 and not infinite)):
        raise ValueError(
            f"discount is {discount!r}; allowed: a number from 0 to below 1, or 1 where the game is finite"
        )
    if env.horizon == 1 and env.last_step != "play" and not infinite:
        raise ValueError(f"horizon is 1; allowed: 2 or more with last_step {env.last_step}, which pays nothing")
    if len(policies) != env.num_players:
        raise ValueError(f"policies has the length {len(policies)}; allowed: {env.num_players}, one per seat")
    game = ExactCoinGame(env, None if infinite else env.horizon, tuple(policies), memory, folded)
    wanted = (game.chain.num_states, env.action_space.num_values)
    for policy in policies:
        found = jax.eval_shape(policy.table, policy.shapes).shape
        if found != wanted:
            raise ValueError(f"a policy has logits of shape {list(found)}; allowed: {list(wanted)}, states and actions")
    numbers = env.default_params if params is None else params
    noise = jnp.zeros(env.num_players) if numbers.noise is None else numbers.noise
    return game, ExactCoinParams(numbers.rewards, jnp.asarray(discount, numbers.rewards.dtype), noise)


@functools.lru_cache(maxsize=64)
def _own_states(chain: CoinChain, player: int) -> np.ndarray:
    return chain.own_states(player)


@functools.lru_cache(maxsize=16)
def coins_taken(chain: CoinChain, dtype: str) -> np.ndarray:
    """What each player is paid for: own coins taken, others' coins taken, own coins taken by others; [boards, joint
    actions, players, 3]."""
    taken = chain.pickups.astype(dtype)
    own = np.einsum("...ii->...i", taken)
    by_others = taken.sum(-2) - own
    if chain.env.penalty == "per_coin":
        by_others = np.minimum(by_others, 1)
    return np.stack([own, taken.sum(-1) - own, by_others], axis=-1)
