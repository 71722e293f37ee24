"""A game played for its returns, as a population trains on it: estimated returns, and what a batch of play shows."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jax.core import Tracer

from shaping.envs.auto_reset import AutoReset
from shaping.envs.coin_game.counts import HISTORIES, CoinCounts
from shaping.envs.coin_game.game import CoinGame
from shaping.envs.environment import check_integer
from shaping.envs.measures import cooperation_by_history, cooperation_by_state, own_fraction
from shaping.objectives.exact_coin import pickup_variables
from shaping.objectives.game import Episode, Game, value_scale
from shaping.objectives.objective import Objective, Thetas
from shaping.objectives.play import Statistics, play
from shaping.objectives.sampled import Estimator, EstimatorNumbers, sampled_objective
from shaping.objectives.sampler import Sampler
from shaping.policies.critics import Critic
from shaping.policies.one_of import one_of
from shaping.policies.policy import Policy
from shaping.variables import Variable, against, declared


@struct.dataclass
class SampledParams:
    """The numbers of a sampled game.

    Attributes:
      env: those of its environment.
      discount: gamma, in [0, 1].
      estimator: those of the estimator.
      exact: those of the exact game beside it (`SampledGame.exact`), or None.
    """

    env: Any
    discount: Any
    estimator: EstimatorNumbers = EstimatorNumbers()
    exact: Any = None


@dataclass(frozen=True)
class SampledGame:
    """The static part of a game whose returns are sampled: what is compiled, as opposed to the numbers it is fed.

    Attributes:
      env: the environment.
      policies: one a seat.
      batch: streams of play of an estimate.
      horizon: steps of a stream, cut there.
      estimator: how returns are estimated.
      critics: one a seat, where there are critics with parameters of their own; else ().
      evaluation: streams of play of a measurement.
      exact: the same game in closed form, for the same horizon, where it has one.
      opponents: scripted players, by name, that the final policies meet: for each a policy a seat, its parameters ().
      matrix: of a matrix game whose policies have no tables, the same game with tables, which says what its payoffs are
        and what it is worth to cooperate.
    """

    env: Any
    policies: tuple[Policy, ...]
    batch: int
    horizon: int
    estimator: Estimator = Estimator()
    critics: tuple[Critic, ...] = ()
    evaluation: int = 64
    exact: Game | None = None
    opponents: tuple[tuple[str, tuple[Policy, ...]], ...] = ()
    matrix: Game | None = None

    @property
    def unrolled(self) -> bool:
        """Never: play makes arrays."""
        return False

    @property
    def sampled(self) -> bool:
        """Always."""
        return True

    @property
    def tabular(self) -> bool:
        """Whether the closed form beside it is of tables."""
        return self.exact is not None and self.exact.tabular

    @property
    def reference(self) -> Game | None:
        """The game in closed form, of these policies or of others, that says what is known of it without play."""
        return self.exact or self.matrix

    @property
    def variables(self) -> Mapping[str, Variable]:
        """What is measured on play, what the environment declares, and what the closed form tells."""
        own = declared("reward_per_step", "entropy", "discount", "noise")
        if self.exact is not None:
            own |= declared("value_exact")
        if isinstance(self.env, CoinGame):
            history = "of the coins taken after each history of pickups, those of the own colour"
            dims = ("match", "player", "history")
            own |= pickup_variables()
            own["cooperation_by_history"] = Variable(dims, history, low=0, high=1, source="environment")
            if self.opponents:
                own["own_fraction_against"] = against("own_fraction", own["own_fraction"])
        elif self.reference is not None:
            own |= self.reference.variables
        if self.matrix is not None:
            own |= declared("theta_initial", "theta_final")
        return own | (declared("reward_against") if self.opponents else {})

    @property
    def labels(self) -> Mapping[str, tuple[str, ...]]:
        """Of what the environment and the closed form have, and of scripted opponents."""
        found = {} if self.reference is None else dict(self.reference.labels)
        if isinstance(self.env, CoinGame):
            found |= {"colour": tuple(map(str, range(self.env.num_players))), "history": HISTORIES}
        return found | ({"opponent": tuple(name for name, _ in self.opponents)} if self.opponents else {})

    @property
    def about(self) -> Mapping[str, Any]:
        """What the closed form says."""
        return {} if self.reference is None else self.reference.about

    def working_bytes(self, itemsize: int, lookaheads: int) -> int:
        """The batches of play that are alive at once, and what derivatives keep of the networks that read them."""
        space, players = self.env.observation_space, self.env.num_players
        seen = math.prod(space.shape) * np.dtype(space.dtype).itemsize
        steps = self.batch * self.horizon
        # A rollout: observations, actions, rewards, whether it runs, log-probabilities and a few arrays like them.
        rollout = steps * players * (seen + 10 * itemsize)
        # A layer's output is kept for every derivative taken: twice where a step is differentiated through.
        outputs = sum(leaf.shape[-1] if leaf.shape else 1 for leaf in jax.tree.leaves(self.policies[0].shapes))
        kept = 1 if self.estimator.rematerialise else 1 + lookaheads
        return rollout * (1 + lookaheads) + 4 * itemsize * outputs * steps * players * kept // self.estimator.slices

    def work(self, params: SampledParams) -> int:
        """A few rollouts for every player, some 10 ns a step and more for what networks compute in it."""
        del params
        parameters = max(policy.num_parameters for policy in self.policies)
        return self.batch * self.horizon * len(self.policies) * (1 + parameters // 100)

    def episode(self, params: SampledParams) -> Episode:
        """One from a reset to the horizon."""
        return Episode(self.env, params.env, self.policies, self.horizon)

    def sampler(self, params: SampledParams) -> Sampler:
        """What plays the game at one setting of its numbers."""
        return Sampler(self.env, self.policies, params.env, params.discount, self.batch, self.horizon)

    def objective(self, params: SampledParams) -> Objective:
        """The objective at one setting of the game's numbers."""
        critics = self.critics or None
        return sampled_objective(self.sampler(params), self.estimator, params.estimator, critics)

    def value_scale(self, params: SampledParams) -> jax.Array:
        """The factor that turns a return into a reported value, see `game.value_scale`."""
        return value_scale(params.discount, self.horizon)

    def evaluate(self, params: SampledParams, thetas: Thetas, key: jax.Array) -> dict[str, jax.Array]:
        """What a fresh batch of play shows.

        Returns:
          value, reward_per_step, entropy [players]; value_exact [players] where there is a closed form; of a Coin Game
          own_fraction [players].
        """
        played = self._played(params, self.policies, thetas, key)
        scale = self.value_scale(params)
        found = {
            "value": scale * played.discounted_returns,
            "reward_per_step": played.rewards_per_step,
            "entropy": played.policy_entropy,
        }
        if self.exact is not None:
            found["value_exact"] = scale * jnp.stack(list(self.exact.objective(params.exact)(thetas)[0]))
        if isinstance(played.counts, CoinCounts):
            found["own_fraction"] = own_fraction(played.counts)
        dtype = jax.tree.leaves(list(thetas))[0].dtype
        return {name: value.astype(dtype) for name, value in found.items()}

    def cooperation(self, thetas: Thetas) -> jax.Array | None:
        """P(choose action 0 | state), [players, states], of policies that are tables of it; else None."""
        return None if self.exact is None else self.exact.cooperation(thetas)

    def describe(self, params: SampledParams, thetas: Thetas, key: jax.Array | None = None) -> dict[str, jax.Array]:
        """What a record tells of one match at its end.

        Returns:
          discount []; noise [players]; of a matrix game what its exact form describes, `policy` as measured where
          policies are no tables (NaN in states that did not come up); of a Coin Game pickups [players, colours], per
          episode, and cooperation_by_history [players, 9]; reward_against [players, opponents], a player's reward per
          step against each scripted opponent in all other seats, and own_fraction_against likewise.
        """
        assert key is not None
        every = self._meetings(params, thetas, key)
        played: Statistics = jax.tree.map(lambda leaf: leaf[0], every)
        noise = getattr(params.env, "noise", None)
        discount = jnp.asarray(params.discount)
        found: dict[str, jax.Array] = {
            "discount": discount,
            "noise": jnp.zeros(len(thetas), discount.dtype) if noise is None else jnp.asarray(noise),
        }
        coins = isinstance(played.counts, CoinCounts)
        if coins:
            found["pickups"] = played.counts.pickups / played.episodes
            found["cooperation_by_history"] = cooperation_by_history(played.counts)
        elif self.exact is not None:
            found |= self.exact.describe(params.exact, thetas)
        elif isinstance(played.counts, dict) and "cooperations" in played.counts:
            if self.matrix is not None:
                anything = [jnp.zeros(policy.shapes.shape, discount.dtype) for policy in self.matrix.policies]
                found |= self.matrix.describe(params.exact, anything)
            found["policy"] = cooperation_by_state(played.counts)
        if self.opponents:
            # Meetings after the first: opponent by opponent, and seat by seat.
            seats, shape = jnp.arange(len(thetas)), (len(self.opponents), len(thetas), len(thetas))
            found["reward_against"] = every.rewards_per_step[1:].reshape(shape)[:, seats, seats].T
            if coins:
                found["own_fraction_against"] = own_fraction(every.counts)[1:].reshape(shape)[:, seats, seats].T
        return found

    def _meetings(self, params: SampledParams, thetas: Thetas, key: jax.Array) -> Statistics:
        """The players among themselves, and then each with each scripted opponent in all other seats, leaves
        [1 + opponents * players, ...]; one program for all, as most of its cost is to compile it."""
        players = range(len(thetas))
        choices = [[0] * len(thetas)]
        for number in range(len(self.opponents)):
            choices += [[0 if seat == i else 1 + number for seat in players] for i in players]
        mixed = [one_of([self.policies[i], *(scripted[i] for _, scripted in self.opponents)]) for i in players]

        def meet(number: jax.Array, choice: jax.Array) -> Statistics:
            given = [(choice[i], (theta, *((),) * len(self.opponents))) for i, theta in enumerate(thetas)]
            return self._played(params, mixed, given, jax.random.fold_in(key, number))

        return jax.vmap(meet)(jnp.arange(len(choices)), jnp.array(choices, jnp.int32))

    def _played(self, params: SampledParams, policies: Sequence[Policy], thetas: Thetas, key: jax.Array) -> Statistics:
        thetas = jax.lax.stop_gradient(list(thetas))
        found = play(self.env, policies, thetas, key, self.horizon, self.evaluation, params.env, params.discount)
        return found.pooled()


def sampled(
    env: Any,
    policies: Sequence[Policy],
    batch: int = 64,
    horizon: int | None = None,
    discount: float | None = None,
    kind: str = "dice",
    baseline: str = "leave_one_out",
    gae_lambda: float = 1.0,
    decay: float | None = None,
    slices: int = 1,
    rematerialise: bool = False,
    evaluation: int | None = None,
    critics: Sequence[Critic] = (),
    opponents: Mapping[str, Sequence[Policy]] | None = None,
    params: Any = None,
) -> tuple[SampledGame, SampledParams]:
    """A game whose returns are sampled, and its numbers: what `shaping.train` takes, for any environment and policies.

    `game.objective(numbers)` is its objective, for `rule.direction` in a loop of one's own.

    Args:
      env: an environment (`envs.Environment`); a stream of play is one episode from a reset, cut at the horizon.
      policies: one a player, see `Policy`; of the user's own or of `shaping.policies`.
      batch: streams of an estimate, at least 1.
      horizon: steps of a stream; the environment's own if None.
      discount: gamma in [0, 1]; the environment's own if None.
      kind, baseline, slices, rematerialise: see `Estimator`.
      gae_lambda, decay: see `EstimatorNumbers`.
      evaluation: streams of a measurement; as many as `batch` if None.
      critics: one a player, for baseline `critic` and for rules that ask critics.
      opponents: scripted players that the final policies meet, one policy a seat by name; their parameters are ().
      params: the environment's numbers; its own defaults if None.

    Raises:
      ValueError: a setting out of its range, no horizon or discount known, not one policy a player, or an environment
        that resets itself.
    """
    if isinstance(env, AutoReset):
        raise ValueError(
            f"env is {env.name}, which resets itself; allowed: one whose episodes end, a stream is one of them"
        )
    numbers = env.default_params if params is None else params
    steps = getattr(env, "horizon", None) if horizon is None else horizon
    if steps is None:
        raise ValueError("horizon is None; allowed: an integer of 1 or more, as the environment has none of its own")
    gamma = getattr(numbers, "discount", None) if discount is None else discount
    if gamma is None or (not isinstance(gamma, Tracer) and not np.all((gamma >= 0) & (gamma <= 1))):
        raise ValueError(f"discount is {gamma!r}; allowed: a number from 0 to 1")
    measured = batch if evaluation is None else evaluation
    for what, count in (("batch", batch), ("horizon", steps), ("evaluation", measured)):
        check_integer(what, count, 1)
    if len(policies) != env.num_players:
        raise ValueError(f"policies has the length {len(policies)}; allowed: {env.num_players}, one per player")
    game = SampledGame(
        env,
        tuple(policies),
        batch,
        steps,
        Estimator(kind, baseline, slices, rematerialise),
        tuple(critics),
        measured,
        None,
        tuple((name, tuple(players)) for name, players in (opponents or {}).items()),
    )
    dtype = jnp.result_type(float)
    rates = EstimatorNumbers(jnp.asarray(gae_lambda, dtype), None if decay is None else jnp.asarray(decay, dtype))
    found = SampledParams(numbers, jnp.asarray(gamma, dtype), rates)
    game.objective(found)  # refuses what does not fit
    return game, found
