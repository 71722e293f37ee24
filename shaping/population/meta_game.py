"""A game whose state holds learners is an environment: what a shaper trains on (Lu et al. 2022, M-FOS).

An episode of this environment is a *trial*: `updates` inner updates of the others, who start afresh with each trial,
drawn from a pool. There are two forms.

Exact. A step is one inner update. A shaper's action is the policy that it plays until the next update: for a table of
two actions its P(cooperate | state), within [0, 1], so that a squashed normal distribution over actions is a normal one
over logits; in any other game its parameters, within [-bound, bound]. The reward is the normalised value of the
policies played, before the others move. What a shaper sees are everybody's policies before the step, its own first.

Sampled. A step is one round of the game in each of B lockstep streams, in all of which the same others play; after
`rounds` rounds, an inner episode, the others update on what was played in all streams, and every stream begins anew.
Observations and actions have the streams as their first axis: [players, streams, ...]. The reward is the mean over
streams; `info["stream_rewards"]` holds each. Where a population trains, the streams of all trials are the batch axis of
play (`trial_play`): whoever learns over trials has one policy, which acts in each stream by itself and has one memory
for each.

Both forms share their pools, their spaces and what is shown, so they are one class, and this file is longer than
others. `trial_state` says what a trial consists of, `trial_spaces` what its players see and do.

The seats of those who learn within the trial remain seats: they are shown the same and paid, and what they are given as
actions is ignored. What another learner draws, its start included, depends on the environment's keys and its seat
alone, never on what a shaper does or draws.

In some trials a copy of a shaper may sit there instead (`Copy`): what it does is then given as the actions of its seat.
"""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from shaping.envs import declarations
from shaping.envs.spaces import Box, Discrete
from shaping.learners.learner import LearnerState
from shaping.objectives.objective import Objective
from shaping.objectives.play_batches import Batch
from shaping.objectives.sampled_objective import sampled_objective
from shaping.policies.placeholder import placeholder_policy
from shaping.population import trial_spaces as spaces
from shaping.population.pools import Candidate, draw, learned, pool
from shaping.population.random_keys import use
from shaping.population.trial_state import MetaParams, MetaState, Rounds

OBSERVES = ("policies", "play", "both")


@dataclass(frozen=True)
class MetaGame:
    """The static part: what is compiled. `envs.Environment` says what its methods are.

    Attributes:
      game: the game that is played within, an `objectives.game.Game`: exact, or a `SampledGame`, whose batch is the
        number of streams and whose horizon is the number of rounds.
      within: for each seat whether its learner learns within the trial; at least one seat is a shaper's.
      updates: inner updates in a trial, at least 1.
      observes: what a shaper sees: "policies", "play" (of a sampled game) or "both". In a sampled game a shaper's own
        policy is not among the policies.
      bound: the largest parameter that a shaper may play in an exact game without tables, above 0.
      numbers: `default_params`, if any.

    Raises:
      ValueError: one line, for what is out of its range or does not fit the game.
    """

    game: Any
    within: tuple[bool, ...]
    updates: int
    observes: str = "policies"
    bound: float = 10.0
    numbers: Any = field(default=None, compare=False, repr=False)

    name = "meta_game"

    def __post_init__(self):
        if len(self.within) != len(self.game.policies) or all(self.within):
            raise ValueError(
                f"within is {list(self.within)}; allowed: one entry for each of {len(self.game.policies)} seats, false "
                "for at least one, who learns over trials"
            )
        if self.updates < 1:
            raise ValueError(f"updates is {self.updates}; allowed: an integer of 1 or more")
        if self.observes not in (OBSERVES if self.sampled else OBSERVES[:1]):
            allowed = ", ".join(OBSERVES) if self.sampled else "policies, as nothing is played where returns are exact"
            raise ValueError(f"observes is {self.observes!r}; allowed: {allowed}")
        if not self.sampled and len({self.game.policies[seat].num_parameters for seat in self.shapers}) > 1:
            raise ValueError("policies of shapers differ in length; allowed: those of one length, which are actions")
        if self.sampled and self.observes != "play" and not all(self.game.policies[s].tabulated for s in self.learners):
            raise ValueError(f"observes is {self.observes!r}; allowed: play, as policies of this game are no tables")
        if self.sampled:
            # Those within the trial learn from what a shaper does; they cannot ask what it would do in other states.
            env = self.game.env
            hidden = placeholder_policy(env.observation_space, env.action_space)
            policies = [policy if self.within[seat] else hidden for seat, policy in enumerate(self.game.policies)]
            object.__setattr__(self, "game", dataclasses.replace(self.game, policies=tuple(policies), exact=None))

    @property
    def sampled(self) -> bool:
        """Whether the game is played, round by round."""
        return self.game.sampled

    @property
    def streams(self) -> int:
        """Streams of play in which the same others play; 1 if the game is exact."""
        return self.game.batch if self.sampled else 1

    @property
    def rounds(self) -> int:
        """Steps from one inner update to the next."""
        return self.game.horizon if self.sampled else 1

    @property
    def horizon(self) -> int:
        """Steps of a trial."""
        return self.updates * self.rounds

    @property
    def num_players(self) -> int:
        """All seats of the game, those of learners within included."""
        return len(self.within)

    @property
    def shapers(self) -> tuple[int, ...]:
        """The seats of those who learn over trials."""
        return tuple(seat for seat, inside in enumerate(self.within) if not inside)

    @property
    def learners(self) -> tuple[int, ...]:
        """The seats of those who learn within a trial."""
        return tuple(seat for seat, inside in enumerate(self.within) if inside)

    @property
    def stream_observations(self) -> Discrete | Box:
        """What one player sees in one stream."""
        return spaces.stream_observations(self)

    @property
    def stream_actions(self) -> Discrete | Box:
        """What one player does in one stream."""
        return spaces.stream_actions(self)

    @property
    def observation_space(self) -> Discrete | Box:
        """What one player sees, in all streams of a sampled game."""
        return spaces.over_streams(self, self.stream_observations)

    @property
    def action_space(self) -> Discrete | Box:
        """What one player does, in all streams of a sampled game."""
        return spaces.over_streams(self, self.stream_actions)

    @property
    def default_params(self) -> MetaParams:
        """The numbers it was made with.

        Raises:
          ValueError: if it was made without.
        """
        if self.numbers is None:
            raise ValueError("numbers is None; allowed: the numbers that the game is played with, or pass params")
        return self.numbers

    def reset(self, key: jax.Array, params: MetaParams) -> tuple[jax.Array, MetaState]:
        """A trial before its first step."""
        state = self.begin(key, params)
        if self.sampled:
            state = dataclasses.replace(state, batch=self._empty(state))
        return self.shown(state), state

    def step(
        self, key: jax.Array, state: MetaState, actions: jax.Array, params: MetaParams
    ) -> tuple[jax.Array, MetaState, jax.Array, jax.Array, jax.Array, dict[str, Any]]:
        """One step of a trial; `info["inner_ended"]` [] bool says whether an inner episode ended with it, `truncated`
        whether the trial did."""
        info: dict[str, Any] = {}
        if not self.sampled:
            state, rewards = self.play_policies(key, state, actions, params)
            info["inner_ended"] = jnp.asarray(True)
        else:
            seen = state.rounds
            state, streams, taken = self.play_round(self.draw_round(key, state, params), state, actions, params)
            assert seen is not None and state.batch is not None
            row = Batch(seen.observations, taken, streams, seen.running)
            place = state.round - 1
            batch = jax.tree.map(lambda whole, new: whole.at[place].set(new), state.batch, row)
            state, ended = dataclasses.replace(state, batch=batch), state.round == self.rounds
            state = jax.lax.cond(ended, lambda s: self.learn(key, s, batch, params), lambda s: s, state)
            rewards = jnp.mean(streams, axis=0)
            info |= {"inner_ended": ended, "stream_rewards": streams.T}
        over = state.update >= self.updates
        return self.shown(state), state, rewards, jnp.asarray(False), over, info

    # What follows is what a step consists of; `trial_play` uses it directly.

    def begin(self, key: jax.Array, params: MetaParams) -> MetaState:
        """A trial before its first step, without room for a batch."""
        dtype = _dtype(params.game)
        others, copied, played = [], [], []
        for seat, of_seat in enumerate(params.pools):
            own, copy = jax.random.fold_in(key, seat), params.copy(seat)
            first = None
            if (of_seat is None or copy is not None) and not self.sampled:
                # Before its first action a shaper has some policy too, which the exact game shows.
                first = self.game.policies[seat].init(use(own, "init"), jnp.float32(1))
                first = jax.tree.map(lambda leaf: leaf.astype(dtype), first)
            played.append(first)
            chance = None if copy is None else jax.random.uniform(use(own, "copy"), (), jnp.float32)
            copied.append(None if copy is None else chance < copy.share)
            others.append(
                None if of_seat is None else draw(of_seat, own, self.game.policies, seat, self._before(params), dtype)
            )
        state = MetaState(tuple(others), tuple(copied), tuple(played), None, None, jnp.int32(0), jnp.int32(0))
        return dataclasses.replace(state, rounds=self._dealt(key, params)) if self.sampled else state

    def shown(self, state: MetaState) -> jax.Array:
        """Observations [players, ...], or [players, streams, ...] of a sampled game, in the order of the seats."""
        return spaces.shown(self, state)

    def as_action(self, seat: int, theta: Any) -> jax.Array:
        """Parameters as the action that plays them, [parameters]."""
        return spaces.as_action(self, seat, theta)

    def thetas(self, state: MetaState) -> list[Any]:
        """Everybody's parameters; of a shaper, and of its copy, those that it last played. In a sampled game a shaper
        has none, and those of a learner in whose place a copy sits mean nothing."""
        found = []
        for other, copied, played in zip(state.others, state.copied, state.played, strict=True):
            if other is None:
                found.append(() if self.sampled else played)
            elif copied is None or self.sampled:
                found.append(other.theta)
            else:
                found.append(jax.tree.map(lambda a, b, copied=copied: jnp.where(copied, a, b), played, other.theta))
        return found

    def play_policies(
        self, key: jax.Array, state: MetaState, actions: jax.Array, params: MetaParams
    ) -> tuple[MetaState, jax.Array]:
        """One inner update of an exact game.

        Args:
          key: of the step.
          state: the trial before it.
          actions: [players, parameters]; those of learners within are ignored.
          params: the numbers.

        Returns:
          The trial after it, and the values of the policies played, [players].
        """
        dtype = _dtype(params.game)
        played = tuple(
            None if before is None else spaces.parameters(self, seat, actions[seat].astype(dtype))
            for seat, before in enumerate(state.played)
        )
        state = dataclasses.replace(state, played=played)
        thetas = self.thetas(state)
        returns = self.game.objective(params.game)(thetas)[0]
        values = self.game.value_scale(params.game) * jnp.stack([returns[seat] for seat in range(self.num_players)])
        others = self._moved(key, state, thetas, lambda discount: self._exact(params, discount))
        return dataclasses.replace(state, others=others, update=state.update + 1), values

    def draw_round(self, key: jax.Array, state: MetaState, params: MetaParams) -> tuple[Any, Any]:
        """All that is random in a round, drawn with the key of its step: by seat what learners within draw for their
        actions, [streams, ...] (None for a shaper), and what the environment draws. It depends on nothing that happens
        within the trial, so that an inner episode can draw it before its first round."""
        from shaping.policies.distributions import numbers_of_sample

        keys, env = jax.vmap(jax.random.fold_in, (None, 0))(key, jnp.arange(self.streams)), self.game.env

        def numbers(seat: int, theta: Any) -> jax.Array:
            policy = self.game.policies[seat]
            own = jax.vmap(jax.random.fold_in, (0, None))(keys, 1 + seat)
            return jax.vmap(lambda key: numbers_of_sample(policy, theta, env.observation_space, key))(own)

        within = [None if other is None else numbers(seat, other.theta) for seat, other in enumerate(state.others)]
        own = jax.vmap(jax.random.fold_in, (0, None))(keys, 0)
        return within, jax.vmap(lambda key: declarations.draw(env, key, params.game.env))(own)

    def play_round(
        self, drawn: tuple[Any, Any], state: MetaState, actions: jax.Array, params: MetaParams
    ) -> tuple[MetaState, jax.Array, jax.Array]:
        """One round in every stream.

        Args:
          drawn: from `draw_round`.
          state: the trial before it.
          actions: [players, streams, ...]; those of learners within are ignored.
          params: the numbers.

        Returns:
          The trial after it, rewards [streams, players] (0 where the inner episode was over), and the joint actions
          [streams, players, ...] that were played.
        """
        from shaping.policies.distributions import sampled_from

        (numbers, chance), before, game = drawn, state.rounds, self.game
        assert before is not None
        taken, memories = [], []
        for seat, other in enumerate(state.others):
            if other is None:
                taken.append(actions[seat])
                memories.append(())
                continue
            policy, theta = game.policies[seat], other.theta

            def act(numbers: jax.Array, seen: jax.Array, memory: Any, policy: Any = policy, theta: Any = theta) -> Any:
                distribution, memory = policy.apply(theta, seen, memory)
                return sampled_from(distribution, numbers), memory

            action, memory = jax.vmap(act)(numbers[seat], before.observations[:, seat], before.memories[seat])
            copied = state.copied[seat]
            taken.append(action if copied is None else jnp.where(copied, actions[seat].astype(action.dtype), action))
            memories.append(memory)
        joint = jnp.stack([action.astype(game.env.action_space.dtype) for action in taken], axis=1)
        step = partial(declarations.step_drawn, game.env)
        after = jax.vmap(step, (0, 0, 0, None))(chance, before.env, joint, params.game.env)
        observations, env, rewards, terminated, truncated, _ = after
        rewards = jnp.where(before.running[:, None], rewards, 0)
        running = before.running & ~(terminated | truncated)
        rounds = Rounds(observations, env, tuple(memories), running)
        return dataclasses.replace(state, rounds=rounds, round=state.round + 1), rewards, joint

    def learn(self, key: jax.Array, state: MetaState, batch: Batch, params: MetaParams) -> MetaState:
        """The others update on a batch [rounds, streams, ...] of an inner episode, and the next one begins."""

        def objective_of(discount: Any) -> Objective:
            numbers = params.game if discount is None else dataclasses.replace(params.game, discount=discount)
            sampler = dataclasses.replace(self.game.sampler(numbers), playing=lambda *_: batch)
            found = sampled_objective(sampler, self.game.estimator, numbers.estimator, self.game.critics or None)
            return dataclasses.replace(found, observed=batch, scale=self.game.value_scale(numbers))

        others = self._moved(key, state, self.thetas(state), objective_of)
        rounds = self._dealt(use(key, "inner"), params)
        return dataclasses.replace(state, others=others, rounds=rounds, update=state.update + 1, round=jnp.int32(0))

    def _moved(self, key: jax.Array, state: MetaState, thetas: Sequence[Any], objective_of: Any) -> tuple[Any, ...]:
        """The others after an update of all of them, from the same old states."""
        seated = [LearnerState(theta, ()) for theta in thetas]
        return tuple(
            None if other is None else learned(other, use(key, "update", seat), seated, seat, objective_of)
            for seat, other in enumerate(state.others)
        )

    def _before(self, params: MetaParams) -> Any:
        """What learners maximise, as they are told before anything is played."""
        if not self.sampled:
            return lambda discount: self._exact(params, discount)
        return lambda discount: self.game.objective(params.game)

    def _exact(self, params: MetaParams, discount: Any) -> Objective:
        numbers = params.game if discount is None else dataclasses.replace(params.game, discount=discount)
        return dataclasses.replace(self.game.objective(numbers), scale=self.game.value_scale(numbers))

    def _dealt(self, key: jax.Array, params: MetaParams) -> Rounds:
        """All streams at the start of an inner episode."""
        keys = jax.vmap(jax.random.fold_in, (None, 0))(use(key, "reset"), jnp.arange(self.streams))
        observations, env = jax.vmap(self.game.env.reset, (0, None))(keys, params.game.env)
        memories = tuple(
            jax.tree.map(lambda x: jnp.broadcast_to(x, (self.streams, *x.shape)), policy.start(())) if inside else ()
            for policy, inside in zip(self.game.policies, self.within, strict=True)
        )
        return Rounds(observations, env, memories, jnp.ones(self.streams, bool))

    def _empty(self, state: MetaState) -> Batch:
        assert state.rounds is not None
        seen, does, shape = state.rounds.observations, self.game.env.action_space, (self.rounds, self.streams)
        return Batch(
            jnp.zeros((self.rounds, *seen.shape), seen.dtype),
            jnp.zeros((*shape, self.num_players, *does.shape), does.dtype),
            jnp.zeros((*shape, self.num_players)),
            jnp.zeros(shape, bool),
        )


def meta_game(
    game: Any,
    params: Any,
    others: Any,
    updates: int = 100,
    observes: str | None = None,
    bound: float = 10.0,
) -> MetaGame:
    """A meta-game with its numbers, for use from Python.

    Args:
      game: the game that is played within, see `MetaGame`.
      params: its numbers.
      others: for each seat None for a shaper, or a learner, or a list of learners or `Candidate`s: its pool.
      updates, bound: see `MetaGame`.
      observes: see `MetaGame`; None for "play" in sampled games and "policies" in exact ones.

    Raises:
      ValueError: see `MetaGame`.
    """
    pools = []
    for given in others:
        listed = given if isinstance(given, list | tuple) else [given]
        candidates = [one if isinstance(one, Candidate) else Candidate(one) for one in listed if one is not None]
        pools.append(pool(candidates) if candidates else None)
    within = tuple(one is not None for one in pools)
    shown = ("play" if game.sampled else "policies") if observes is None else observes
    dtype = _dtype(params)
    made = jax.tree.map(lambda leaf: leaf.astype(dtype) if leaf.dtype.kind == "f" else leaf, tuple(pools))
    return MetaGame(game, within, updates, shown, bound, MetaParams(params, made))


def _dtype(tree: Any) -> Any:
    """The precision of the run."""
    floats = [leaf.dtype for leaf in jax.tree.leaves(tree) if jnp.issubdtype(jnp.result_type(leaf), jnp.floating)]
    return floats[0] if floats else jnp.result_type(float)
