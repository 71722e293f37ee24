"""Trials as a game that a run trains: what a batch of trials shows, and how a shaper fares against others."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from shaping.objectives.game import nothing, value_scale
from shaping.objectives.objective import Objective, Thetas
from shaping.objectives.play_batches import Batch, Sampler
from shaping.objectives.rewards import Reward
from shaping.objectives.sampled_objective import Estimator, EstimatorNumbers, sampled_objective
from shaping.policies.critics import Critic
from shaping.policies.noiseless import noiseless
from shaping.policies.policy import Policy
from shaping.population.meta_game import MetaGame
from shaping.population.trial_play import Remembering, split, trial_sampler
from shaping.population.trial_state import MetaParams
from shaping.variables import Variable, declared


@struct.dataclass
class TrialParams:
    """The numbers of trials.

    Attributes:
      meta: those of the meta-game.
      discount: of a shaper's return, from one step of a trial to the next.
      estimator: of the estimator.
      strangers: whom the final shapers meet besides, in the order of `TrialGame.strangers`: for each a meta-game's
        numbers, with others in its pools.
    """

    meta: MetaParams
    discount: Any
    estimator: EstimatorNumbers = EstimatorNumbers()
    strangers: tuple[MetaParams, ...] = ()


@dataclass(frozen=True)
class TrialGame:
    """The static part; the protocol is `objectives.game.Game`.

    Attributes:
      meta: the meta-game.
      policies: one per seat, over one stream's spaces; `placeholder_policy` for those who learn within a trial.
      trials: trials in a batch.
      estimator: how returns are estimated, for rules that differentiate them.
      critics: one per seat, if critics have parameters of their own; otherwise ().
      evaluation: trials in a measurement.
      memory: what shapers remember over inner boundaries.
      strangers: names of others whom the final shapers meet.
    """

    meta: MetaGame
    policies: tuple[Policy, ...]
    trials: int
    estimator: Estimator = Estimator()
    critics: tuple[Critic | None, ...] = ()
    evaluation: int = 64
    memory: Remembering = "carry"
    strangers: tuple[str, ...] = ()

    # Trials are played, with arrays. A shaper's policy is one over trials, and seats differ in who learns when.
    sampled = True
    unrolled = tabular = exchangeable = False
    episode = cooperation = cooperation_as_played = round_payoffs = nothing

    @property
    def env(self) -> MetaGame:
        """The environment that is played."""
        return self.meta

    @property
    def variables(self) -> Mapping[str, Variable]:
        """Values along a trial, and against strangers."""
        found = declared("trial_value", "discount")
        return found | (declared("trial_value_against") if self.strangers else {})

    @property
    def labels(self) -> Mapping[str, Any]:
        """Inner updates, and the names of strangers."""
        return {"inner": range(self.meta.updates)} | ({"stranger": self.strangers} if self.strangers else {})

    @property
    def about(self) -> Mapping[str, Any]:
        """How long a trial is."""
        return {"trial_updates": self.meta.updates, "trial_rounds": self.meta.rounds}

    def sampler(self, params: TrialParams, rewards: Sequence[Reward | None] | None = None) -> Sampler:
        """Plays batches of trials."""
        return trial_sampler(self.meta, self.policies, params.meta, params.discount, self.trials, self.memory, rewards)

    def objective(self, params: TrialParams, rewards: Sequence[Reward | None] | None = None) -> Objective:
        """Returns over whole trials."""
        return sampled_objective(self.sampler(params, rewards), self.estimator, params.estimator, self.critics or None)

    def value_scale(self, params: TrialParams) -> jax.Array:
        """The factor that turns a return over a trial into a value of a step."""
        return value_scale(params.discount, self.meta.horizon)

    def evaluate(self, params: TrialParams, thetas: Thetas, key: jax.Array) -> dict[str, jax.Array]:
        """What fresh trials show, without exploration noise (continuous actions are the medians of their
        distributions): trial_value [inner, players], the mean value at each inner update; value [players], the mean
        over all of them."""
        curve = self._curve(params.meta, params, thetas, key)
        return {"value": jnp.mean(curve, axis=0), "trial_value": curve}

    def describe(self, params: TrialParams, thetas: Thetas, key: jax.Array | None = None) -> dict[str, jax.Array]:
        """The discount; trial_value_against [players, strangers], the mean value of each seat over trials in which
        strangers learn within."""
        found = {"discount": jnp.asarray(params.discount)}
        if self.strangers:
            assert key is not None
            met = []
            for number, meta in enumerate(params.strangers):
                met.append(jnp.mean(self._curve(meta, params, thetas, jax.random.fold_in(key, number)), axis=0))
            found["trial_value_against"] = jnp.stack(met, axis=-1)
        return found

    def _curve(self, meta: MetaParams, params: TrialParams, thetas: Thetas, key: jax.Array) -> jax.Array:
        """[inner, players], the mean value at each inner update of fresh trials."""
        policies = [noiseless(policy) for policy in self.policies]
        sampler = trial_sampler(self.meta, policies, meta, params.discount, self.evaluation, self.memory)
        batch: Batch = sampler.play(thetas, key)
        found = jnp.mean(split(batch.rewards, self.meta), axis=(1, 2, 3))
        return found.astype(jnp.asarray(params.discount).dtype)

    def working_bytes(self, itemsize: int, lookaheads: int) -> int:
        """The batches that exist at the same time, and what derivatives store of the networks that read them."""
        space, players = self.meta.stream_observations, self.meta.num_players
        steps = self.trials * self.meta.streams * self.meta.horizon
        seen = math.prod(space.shape) * np.dtype(space.dtype).itemsize
        does = math.prod(self.meta.stream_actions.shape)
        outputs = sum(
            leaf.shape[-1] if leaf.shape else 1 for policy in self.policies for leaf in jax.tree.leaves(policy.shapes)
        )
        return steps * (players * (seen + (8 + does) * itemsize) * (1 + lookaheads) + 4 * itemsize * outputs)

    def work(self, params: TrialParams) -> int:
        """All steps of all trials, and the inner updates."""
        del params
        parameters = max(policy.num_parameters for policy in self.policies)
        return self.trials * self.meta.streams * self.meta.horizon * self.meta.num_players * (1 + parameters // 100)
