"""M-FOS with exact returns as an update rule (Lu et al. 2022): a policy over policies says what to play next.

    theta_i <- theta_i + alpha (logit m(sigmoid(theta_i), sigmoid(theta_-i)) - theta_i)

m, the meta-policy, is a network of one tanh layer, from everybody's P(cooperate | state), one's own first, to those
that one plays next. At step size 1, which is the default, it is played as it is. Before the first update it is trained
by an evolution strategy (`learners.es`) on trials (`meta_game`) of the game that is about to be played: the fitness of
its parameters is the mean value over all updates of trials, in which another learner starts anew. After that m never
changes. Nobody differentiates through anybody's learning.

In a match all players move at once, from the same old parameters, so m answers a policy that its opponent is about to
leave. In the trials of Lu et al. it answers the one that it meets. Here it is trained as it will be used, one update
late.
"""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import jax
import jax.numpy as jnp
from flax import struct
from jax import lax

from shaping.learners.es import es
from shaping.learners.gradient import gradient_learner
from shaping.learners.initial_parameters import fan_in, normal, values
from shaping.learners.learner import Common, LearnerState
from shaping.learners.m_maml import MetaInitial, meta_learned
from shaping.learners.optimizer import optimizer
from shaping.objectives.objective import Objective, Thetas
from shaping.objectives.sampled_objective import Estimator
from shaping.policies.networks import network
from shaping.policies.noiseless import noiseless
from shaping.policies.placeholder import placeholder_policy
from shaping.policies.policy import Policy
from shaping.population.meta_game import MetaGame
from shaping.population.pools import Candidate, pool
from shaping.population.trial_game import TrialGame, TrialParams
from shaping.population.trial_spaces import own_first, parameters, shown_as
from shaping.population.trial_state import Copy, MetaParams
from shaping.rules.lola import lola
from shaping.rules.naive import naive
from shaping.rules.rule import Rule
from shaping.rules.sos import sos
from shaping.signatures import NonNegative, Positive, Range, checked

Opponents = Literal["naive", "lola", "sos", "m_maml", "self"]
Variant = Literal["original", "taylor", "exact"]
# Starts of M-MAML's that a meta-policy meets, and how each is found; they are Lu et al.'s baseline, at a rate at which
# fewer episodes are enough.
_STARTS = 4
_M_MAML = {"outer_rate": 0.1, "episodes": 200}
# Folded into the key; generations are numbered below.
_NETWORK, _FIRST_START = 2**30, 2**30 + 1


@struct.dataclass
class Mfos:
    """Settings.

    Attributes:
      lookahead_rate: step size of the others in trials, and the step that LOLA and SOS learners imagine; at least 0.
      sigma, sigma_decay: standard deviation of the population at first, above 0, and its factor after each generation.
      meta_rate: Adam's learning rate for the meta-policy, above 0.
      opponents: who learns in trials.
      variant: of LOLA learners among them.
      hidden: units of the meta-policy.
      population: how many meta-policies are tried in a generation, an even number.
      trials: in how many trials each is tried.
      steps: updates in a trial.
      generations: how often the population moves; with 0 the meta-policy is random.
    """

    lookahead_rate: Any
    sigma: Any
    sigma_decay: Any
    meta_rate: Any
    opponents: Opponents = struct.field(pytree_node=False)
    variant: Variant = struct.field(pytree_node=False)
    hidden: int = struct.field(pytree_node=False)
    population: int = struct.field(pytree_node=False)
    trials: int = struct.field(pytree_node=False)
    steps: int = struct.field(pytree_node=False)
    generations: int = struct.field(pytree_node=False)


@struct.dataclass
class Learned:
    """What was learned: the parameters of the meta-policy; and all players' policies, whose tables it reads."""

    network: Any
    policies: tuple[Policy, ...] = struct.field(pytree_node=False)


@checked
def mfos(
    opponents: Opponents = "naive",
    variant: Variant = "original",
    lookahead_rate: NonNegative = 1.0,
    hidden: Annotated[int, Range(1)] = 8,
    population: Annotated[int, Range(2)] = 32,
    trials: Annotated[int, Range(1)] = 8,
    steps: Annotated[int, Range(1)] = 100,
    generations: Annotated[int, Range(0)] = 300,
    sigma: Positive = 0.1,
    sigma_decay: Annotated[float, Range(0, 1, open_low=True)] = 0.995,
    meta_rate: Positive = 0.03,
) -> Rule:
    """M-FOS with exact returns: plays what a meta-policy says that was trained on trials before the first update.

    Args:
      opponents: who learns in trials: naive, LOLA or SOS learners from N(0, 1) parameters, naive ones from starts of
        M-MAML, or, in `self`, naive ones and copies of the meta-policy, each in half of the trials. A copy has the
        same parameters in the other seat, so `self` is for games in which seats are alike.
      variant: of LOLA learners among them, see `lola`.
      lookahead_rate, hidden, population, trials, steps, generations, sigma, sigma_decay, meta_rate: see `Mfos`.

    Raises:
      ValueError: for unknown opponents, or an odd population.
    """
    known = Opponents.__args__
    if opponents not in known:
        raise ValueError(f"opponents is {opponents!r}; allowed: {', '.join(known)}")
    if population % 2:
        raise ValueError(f"population is {population}; allowed: an even number, as meta-policies are tried in pairs")
    lola(variant)  # refuses another variant
    structure = (opponents, variant, hidden, population, trials, steps, generations)
    return Rule(
        Mfos(lookahead_rate, sigma, sigma_decay, meta_rate, *structure),
        direction,
        prepare,
        needs_tables=True,
        untrained=lambda settings: dataclasses.replace(settings, generations=0),
    )


def direction(
    objective: Objective, thetas: Thetas, player: int, settings: Mfos, key: jax.Array | None = None, learned: Any = None
) -> Any:
    """From `thetas[player]` to what the meta-policy plays next, shaped like it."""
    del key
    meta = _meta_game(objective, learned.policies, player, settings)
    seen = own_first([shown_as(meta, seat, theta) for seat, theta in enumerate(thetas)], player)
    after = parameters(meta, player, _chosen(_meta_policy(meta, settings), learned.network, seen))
    return after.astype(thetas[player].dtype) - thetas[player]


def prepare(
    objective: Objective, policies: Sequence[Policy], player: int, settings: Mfos, key: jax.Array, dtype: Any
) -> Learned:
    """The meta-policy after all generations.

    Raises:
      ValueError: for another game than one of two players whose policies are tables of P(cooperate | state).
    """
    written = all(policy.kind in ("tabular", "memory_one") and len(policy.shapes.shape) == 1 for policy in policies)
    if len(policies) != 2 or not written or policies[player].kind != "tabular" or objective.sampler is not None:
        raise ValueError("mfos needs exact returns of two players whose policies are tables of P(cooperate | state)")
    played = tuple(policies)
    # A strategy's parameters are probabilities; in trials, learners whose parameters are logits take its seat.
    objective, policies = _of_logits(objective, played), (policies[player],) * 2
    game = trials(objective, policies, player, settings)
    search = es(
        settings.population,
        settings.sigma,
        settings.sigma_decay,
        common=Common(settings.meta_rate, optimizer("adam"), fan_in()),
    )
    first = search.init(jax.random.fold_in(key, _NETWORK), key, game.policies, player, objective, dtype)
    if settings.generations == 0:
        return Learned(first.theta, played)
    maximised = game.objective(opponents_of(objective, policies, player, settings, key, dtype))

    def generation(state: LearnerState, number: jax.Array) -> tuple[LearnerState, None]:
        states = [LearnerState((), ())] * 2
        states[player] = state
        return search.step(jax.random.fold_in(key, number), states, player, maximised)[0], None

    return Learned(lax.scan(generation, first, jnp.arange(settings.generations))[0].theta, played)


def _of_logits(objective: Objective, policies: Sequence[Policy]) -> Objective:
    """The same returns, as a function of logits in the seats of strategies too."""

    def returns(thetas: Thetas, key: jax.Array | None, context: Any) -> tuple[Any, Any]:
        seated = zip(policies, thetas, strict=True)
        own = [jax.nn.sigmoid(theta) if policy.kind == "memory_one" else theta for policy, theta in seated]
        return objective.returns(own, key, context)

    return dataclasses.replace(objective, returns=returns)


def trials(objective: Objective, policies: Sequence[Policy], player: int, settings: Mfos) -> TrialGame:
    """The trials on which the meta-policy of `player` is trained."""
    meta = _meta_game(objective, policies, player, settings)
    seats = [placeholder_policy(meta.stream_observations, meta.stream_actions)] * 2
    seats[player] = _one_update_late(_meta_policy(meta, settings), meta.stream_actions.shape[0])
    # A search takes no derivatives, so no baseline is needed.
    return TrialGame(meta, tuple(seats), settings.trials, Estimator(baseline="none"))


@dataclass(frozen=True, eq=False)
class _Given:
    """The game within trials, of which only the objective is known. It has only the part of `objectives.game.Game` that
    a `MetaGame` needs from an exact game of tables."""

    policies: tuple[Policy, ...]
    played: Objective
    sampled, tabular = False, True

    def objective(self, params: Any) -> Objective:
        """The objective that was given."""
        del params
        return self.played

    def value_scale(self, params: Any) -> Any:
        """The factor that turns its returns into values."""
        del params
        return self.played.scale


def _meta_game(objective: Objective, policies: Sequence[Policy], player: int, settings: Mfos) -> MetaGame:
    return MetaGame(_Given(tuple(policies), objective), tuple(seat != player for seat in (0, 1)), settings.steps)


def _meta_policy(meta: MetaGame, settings: Mfos) -> Policy:
    return noiseless(network(meta.stream_observations, meta.stream_actions, hidden=(settings.hidden,)))


def _chosen(net: Policy, theta: Any, seen: jax.Array) -> jax.Array:
    """P(cooperate | state) that the meta-policy plays next, [states]."""
    return net.apply(theta, seen, net.start(()))[0].mode()


@dataclass(frozen=True)
class _Certain:
    """A distribution with one action."""

    action: jax.Array

    def sample(self, *, seed: jax.Array) -> jax.Array:
        """The action."""
        del seed
        return self.action


def _one_update_late(net: Policy, states: int) -> Policy:
    """The meta-policy as it acts in a match: it plays what it chose an update ago, and chooses, from that and from what
    the other plays now, what it plays next. In the first update it plays the policy that it starts with."""

    def start(batch_shape: tuple[int, ...]) -> Any:
        return jnp.zeros(batch_shape, bool), jnp.zeros((*batch_shape, states), jnp.float32)

    def apply(theta: Any, observation: jax.Array, memory: Any) -> tuple[Any, Any]:
        begun, chosen = memory
        playing = jnp.where(begun[..., None], chosen, observation[..., :states])
        seen = jnp.concatenate([playing, observation[..., states:]], axis=-1)
        return _Certain(playing), (jnp.ones_like(begun), _chosen(net, theta, seen).astype(jnp.float32))

    return dataclasses.replace(net, kind=f"{net.kind}, one update late", start=start, apply=apply)


def opponents_of(
    objective: Objective, policies: Sequence[Policy], player: int, settings: Mfos, key: jax.Array, dtype: Any
) -> TrialParams:
    """Who learns in trials, as the numbers of `trials`."""
    other, rate = 1 - player, settings.lookahead_rate
    shaping = {"lola": lambda: lola(settings.variant, rate), "sos": lambda: sos(rate)}
    rule = shaping.get(settings.opponents, naive)()
    starts = [normal(1.0)]
    if settings.opponents == "m_maml":
        baseline = MetaInitial(1.0, rate, **_M_MAML)
        keys = jax.vmap(jax.random.fold_in, (None, 0))(key, _FIRST_START + jnp.arange(_STARTS))
        found = jax.vmap(lambda own: meta_learned(baseline, own, policies, other, objective, dtype))(keys)
        starts = [values(found[number]) for number in range(_STARTS)]
    drawn: list[Any] = [None, None]
    copies: list[Any] = [None, None]
    drawn[other] = pool([Candidate(gradient_learner(rule, rate, initial=start)) for start in starts])
    if settings.opponents == "self":
        copies[other] = Copy(jnp.asarray(0.5, jnp.float32), player)
    met = MetaParams(jnp.zeros((), dtype), tuple(drawn), tuple(copies) if any(copies) else ())
    return TrialParams(met, jnp.ones((), dtype))


RULES = {"mfos": mfos}
