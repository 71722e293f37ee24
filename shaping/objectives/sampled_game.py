"""A game whose returns are estimated from play, for training a population: the estimates, and what a batch shows."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from shaping.envs.declarations import egocentric, measures, metrics, showcase
from shaping.envs.spaces import Discrete
from shaping.objectives.exact_matrix import ExactMatrixGame
from shaping.objectives.game import Episode, Game, all_alike, value_scale
from shaping.objectives.objective import Objective, Thetas
from shaping.objectives.play_batches import Sampler
from shaping.objectives.play_statistics import Statistics, play
from shaping.objectives.rewards import Reward
from shaping.objectives.sampled_objective import Estimator, EstimatorNumbers, sampled_objective
from shaping.policies.critics import Critic
from shaping.policies.one_of import one_of
from shaping.policies.policy import Policy
from shaping.variables import CORE, VARIABLES, Variable, against, declared, of_measure


@struct.dataclass
class SampledParams:
    """The numbers of a sampled game.

    Attributes:
      env: the numbers of its environment.
      discount: gamma, in [0, 1].
      estimator: the numbers of the estimator.
      exact: the numbers of the corresponding exact game (`SampledGame.exact`), or None.
    """

    env: Any
    discount: Any
    estimator: EstimatorNumbers = EstimatorNumbers()
    exact: Any = None


@dataclass(frozen=True)
class SampledGame:
    """The static part of a game whose returns are estimated from play: what is compiled, as opposed to its numbers.

    Attributes:
      env: the environment.
      policies: one per seat.
      batch: streams of play per estimate.
      horizon: the number of steps after which a stream is cut.
      estimator: how returns are estimated.
      critics: one per seat, if critics have parameters of their own; otherwise ().
      evaluation: streams of play per measurement.
      exact: the same game in closed form, for the same horizon, if there is one.
      opponents: scripted players that the final policies meet: by name, one policy per seat, with parameters ().
      matrix: for a matrix game whose policies are not tables, the same game with tables; it provides the payoffs and
        the values of cooperation and defection.
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
    matrix: ExactMatrixGame | None = None

    @property
    def unrolled(self) -> bool:
        """Never: play uses arrays."""
        return False

    @property
    def sampled(self) -> bool:
        """Always."""
        return True

    @property
    def tabular(self) -> bool:
        """Whether policies are tables in the corresponding closed form."""
        return self.exact is not None and self.exact.tabular

    @property
    def exchangeable(self) -> bool:
        """Whether all have the same policy and critic, and every player sees the environment from its own point of
        view."""
        return all_alike(self.policies) and len(set(self.critics)) <= 1 and egocentric(self.env)

    @property
    def variables(self) -> Mapping[str, Variable]:
        """What is measured during play, what the environment declares, and what the closed form provides."""
        found: dict[str, Variable] = {}
        if self.exact is not None:
            found |= {**self.exact.variables, **declared("value_exact")}
        elif self.matrix is not None:
            found |= {name: one for name, one in self.matrix.variables.items() if name not in CORE}
        found |= declared("reward_per_step", "entropy", "discount", *["noise"] * self._trembles)
        found |= declared("reward_against", "scripted_reward_per_step") if self.opponents else {}
        found |= {name: of_measure(one) for name, one in measures(self.env).items()}
        shown = showcase(self.env)
        found[shown] = dataclasses.replace(found[shown] if shown in found else VARIABLES[shown], showcase=True)
        return found | {f"{name}_against": against(name, found[name]) for name in self._met}

    @property
    def _met(self) -> tuple[str, ...]:
        """What is measured against scripted opponents: rewards, and the measure that picks the showcase."""
        if not self.opponents:
            return ()
        shown = showcase(self.env)
        return (shown,) if shown in measures(self.env) and not measures(self.env)[shown].axis else ()

    @property
    def _trembles(self) -> bool:
        """Whether the game's noise is, for each player, the probability that its action is replaced; None counts as no
        noise."""
        numbers = self.env.default_params
        found = getattr(numbers, "noise", ())
        told = found is None or np.shape(found) == (self.env.num_players,)
        return told and isinstance(self.env.action_space, Discrete)

    @property
    def labels(self) -> Mapping[str, tuple[str, ...]]:
        """Labels from the environment and the closed form, and names of scripted opponents."""
        found = {one.axis: tuple(one.labels) for one in measures(self.env).values() if one.axis}
        form = self.exact or self.matrix
        found |= {} if form is None else form.labels
        return found | ({"opponent": tuple(name for name, _ in self.opponents)} if self.opponents else {})

    @property
    def about(self) -> Mapping[str, Any]:
        """What the closed form says about the game."""
        form = self.exact or self.matrix
        return {} if form is None else form.about

    def working_bytes(self, itemsize: int, lookaheads: int) -> int:
        """The batches of play that exist at the same time, and what derivatives store of the networks that read
        them."""
        space, players = self.env.observation_space, self.env.num_players
        seen = math.prod(space.shape) * np.dtype(space.dtype).itemsize
        steps = self.batch * self.horizon
        # A rollout: observations, actions, rewards, whether it runs, log-probabilities and a few similar arrays.
        rollout = steps * players * (seen + 10 * itemsize)
        # A layer's output is stored for every derivative: twice for a step that is differentiated through.
        outputs = sum(leaf.shape[-1] if leaf.shape else 1 for leaf in jax.tree.leaves(self.policies[0].shapes))
        kept = 1 if self.estimator.rematerialise else 1 + lookaheads
        return rollout * (1 + lookaheads) + 4 * itemsize * outputs * steps * players * kept // self.estimator.slices

    def work(self, params: SampledParams) -> int:
        """A few rollouts per player, at roughly 10 ns per step plus the time of the networks."""
        del params
        parameters = max(policy.num_parameters for policy in self.policies)
        return self.batch * self.horizon * len(self.policies) * (1 + parameters // 100)

    def episode(self, params: SampledParams) -> Episode:
        """One episode, from a reset to the horizon."""
        return Episode(self.env, params.env, self.policies, self.horizon, params.discount)

    def sampler(self, params: SampledParams, rewards: Sequence[Reward | None] | None = None) -> Sampler:
        """Plays the game at one setting of its numbers."""
        return Sampler(self.env, self.policies, params.env, params.discount, self.batch, self.horizon, rewards)

    def objective(self, params: SampledParams, rewards: Sequence[Reward | None] | None = None) -> Objective:
        """The objective at one setting of the game's numbers; `rewards` are of each step that is played."""
        critics = self.critics or None
        return sampled_objective(self.sampler(params, rewards), self.estimator, params.estimator, critics)

    def value_scale(self, params: SampledParams) -> jax.Array:
        """The factor that turns a return into a reported value, see `game.value_scale`."""
        return value_scale(params.discount, self.horizon)

    def evaluate(self, params: SampledParams, thetas: Thetas, key: jax.Array) -> dict[str, jax.Array]:
        """What a fresh batch of play shows.

        Returns:
          value, reward_per_step, entropy [players]; value_exact [players] where there is a closed form; and what the
          environment measures of each player, [players].
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
        found |= {name: one for name, one in self._measured(played).items() if not measures(self.env)[name].axis}
        dtype = jnp.asarray(params.discount).dtype
        return {name: value.astype(dtype) for name, value in found.items()}

    def _measured(self, played: Statistics) -> dict[str, jax.Array]:
        """What the environment measures, [players] or [players, labels], from pooled statistics."""
        found = metrics(self.env, played.counts)
        known = measures(self.env)
        return {name: found[name] / played.episodes if one.per_episode else found[name] for name, one in known.items()}

    def cooperation(self, thetas: Thetas) -> jax.Array | None:
        """P(choose action 0 | state), [players, states], if policies are tables of it; otherwise None."""
        return None if self.exact is None else self.exact.cooperation(thetas)

    def cooperation_as_played(self, params: SampledParams, thetas: Thetas) -> tuple[jax.Array, jax.Array] | None:
        """How often each player chooses action 0, [players], and all at once, [], in closed form where there is one."""
        return None if self.exact is None else self.exact.cooperation_as_played(params.exact, thetas)

    def round_payoffs(self, params: SampledParams) -> jax.Array | None:
        """What a round pays, [players, joint actions], where there is a closed form with such rounds."""
        return None if self.exact is None else self.exact.round_payoffs(params.exact)

    def describe(self, params: SampledParams, thetas: Thetas, key: jax.Array | None = None) -> dict[str, jax.Array]:
        """What a record holds of one match at its end.

        Returns:
          discount []; noise [players], if the game has it; what the closed form describes; the environment's measures
          with labels, [players, labels]; reward_against [players, opponents], a player's reward per step if each
          scripted opponent plays all other seats, and likewise NAME_against for the measure NAME that picks the
          showcase; scripted_reward_per_step [players, opponents], if each scripted opponent plays every seat.
        """
        assert key is not None
        every = self._meetings(params, thetas, key)
        played: Statistics = jax.tree.map(lambda leaf: leaf[0], every)
        known = measures(self.env)
        measured = {name: one for name, one in self._measured(played).items() if known[name].axis}
        found: dict[str, jax.Array] = {}
        if self.exact is not None:
            found |= {name: one for name, one in self.exact.describe(params.exact, thetas).items() if name not in known}
        elif self.matrix is not None:
            found |= self.matrix.describe_played(params.exact, measured)
        discount = jnp.asarray(params.discount)
        found |= measured | {"discount": discount}
        if self._trembles:
            noise = params.env.noise
            found["noise"] = jnp.zeros(len(thetas), discount.dtype) if noise is None else jnp.asarray(noise)
        if self.opponents:
            seats, shape = jnp.arange(len(thetas)), (len(self.opponents), len(thetas), len(thetas))
            mixed = slice(1, 1 + len(self.opponents) * len(thetas))
            met = {"reward": every.rewards_per_step}
            met |= {name: jax.vmap(self._measured)(every)[name] for name in self._met}
            found |= {f"{name}_against": x[mixed].reshape(shape)[:, seats, seats].T for name, x in met.items()}
            found["scripted_reward_per_step"] = every.rewards_per_step[mixed.stop :].T
        return found

    def _meetings(self, params: SampledParams, thetas: Thetas, key: jax.Array) -> Statistics:
        """Everything that is played at the end, leaves [1 + opponents * players + opponents, ...]: the players among
        themselves; for each opponent and each seat, the player of that seat with the opponent in all other seats; and
        each opponent in every seat. It is one program, because most of its cost is compilation."""
        players = range(len(thetas))
        choices = [[0] * len(thetas)]
        for number in range(len(self.opponents)):
            choices += [[0 if seat == i else 1 + number for seat in players] for i in players]
        choices += [[1 + number] * len(thetas) for number in range(len(self.opponents))]
        mixed = [one_of([self.policies[i], *(scripted[i] for _, scripted in self.opponents)]) for i in players]
        # Numbers of this match, such as the quantities of its own equilibrium.
        numbers = [[scripted[i].for_params(params.env) for _, scripted in self.opponents] for i in players]

        def meet(number: jax.Array, choice: jax.Array) -> Statistics:
            given = [(choice[i], (theta, *numbers[i])) for i, theta in enumerate(thetas)]
            return self._played(params, mixed, given, jax.random.fold_in(key, number))

        return jax.vmap(meet)(jnp.arange(len(choices)), jnp.array(choices, jnp.int32))

    def _played(self, params: SampledParams, policies: Sequence[Policy], thetas: Thetas, key: jax.Array) -> Statistics:
        thetas = jax.lax.stop_gradient(list(thetas))
        found = play(self.env, policies, thetas, key, self.horizon, self.evaluation, params.env, params.discount)
        return found.pooled()
