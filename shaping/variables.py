"""Every variable that a record may hold, declared once: its dimensions, its meaning, and how a report shows it.

A game says which of these it records (`Game.variables`), and a learner what it records in addition
(`Learner.variables`). An environment declares its own measures (`shaping.envs.declarations`), and `of_measure` turns
each into a variable. A record carries each declaration as attributes of its array, so that a reader needs nothing
else."""

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_END = ("match", "player")
_ALONG = ("match", "update", "player")


@dataclass(frozen=True)
class Variable:
    """A variable of a record.

    Attributes:
      dims: its dimensions, "match" first. If the second is "update" or "generation" it is recorded along these,
        otherwise at the end.
      meaning: one sentence.
      label: heading of a column or an axis; "" if tables of play do not show it.
      low, high: the range of its values.
      small: whether values near zero matter and are shown with their digits.
      source: who provides it: "" the core, "play" measured during play, "environment" or "learner" declared by one.
      showcase: whether the episode to draw is of the match in which this variable is highest, averaged over players.
      whole: whether its values are whole numbers, and stored as such.
      only_last: whether, of those along updates, only the last is known, from `Game.describe`; the others are NaN.
    """

    dims: tuple[str, ...]
    meaning: str
    label: str = ""
    low: float = -math.inf
    high: float = math.inf
    small: bool = False
    source: str = ""
    showcase: bool = False
    whole: bool = False
    only_last: bool = False

    @property
    def along_updates(self) -> bool:
        """Whether it is recorded along updates or generations, rather than once per match."""
        return self.dims[1:2] in (("update",), ("generation",))

    def attributes(self) -> dict[str, Any]:
        """The attributes of its array in a record, in types that every format can hold: text and numbers. An end of the
        range that does not exist is left out."""
        ends = {name: end for name, end in (("low", self.low), ("high", self.high)) if math.isfinite(end)}
        own = {"description": self.meaning, "label": self.label, **ends, "small": int(self.small)}
        return own | {"source": self.source, "showcase": int(self.showcase)}


CORE = ("value", "value_trajectory_mean", "theta_initial", "theta_final", "diverged_at")
"""What every record holds."""

VARIABLES: dict[str, Variable] = {
    "value": Variable(_ALONG, "normalised value after the given number of updates; NaN once diverged", "value"),
    "value_trajectory_mean": Variable(_END, "mean of the normalised value over updates 1 to the last"),
    "theta_initial": Variable((*_END, "parameter"), "parameters before the first update"),
    "theta_final": Variable(
        (*_END, "parameter"), "parameters after the last update (the last finite ones where diverged)"
    ),
    "diverged_at": Variable(
        ("match",), "update at which the match stopped being finite; -1 where it did not", whole=True
    ),
    "discount": Variable(("match",), "discount of the returns, a step or a round", low=0, high=1),
    "noise": Variable(_END, "probability that execution noise replaces a player's action", low=0, high=1),
    "payoffs": Variable((*_END, "joint_action"), "payoff of each joint action to each player"),
    "policy": Variable((*_END, "state"), "final P(cooperate | state) as chosen, before execution noise", low=0, high=1),
    "action_probabilities": Variable(
        (*_END, "last_round", "action"),
        "final P(action | last round), of more than two actions, as chosen, before execution noise",
        low=0,
        high=1,
    ),
    "action_probabilities_when": Variable(
        (*_END, "information_set", "action"),
        "final P(action | information set) in a game in turns",
        low=0,
        high=1,
    ),
    "gain_from_best_response": Variable(
        _ALONG,
        "what the player would gain if it alone played a best response; the sum over players is NashConv",
        "gain from best response",
        low=0,
        small=True,
        source="play",
    ),
    "policy_trajectory": Variable(
        (*_ALONG, "state"), "P(cooperate | state) after the given number of updates", low=0, high=1
    ),
    "value_cooperation": Variable(_END, "value when everybody always cooperates"),
    "value_defection": Variable(_END, "value when everybody always defects"),
    "consistency_loss": Variable(
        ("match",), "squared distance of the final directions from the ones that answer them", low=0, small=True
    ),
    "reward_per_step": Variable(
        _ALONG, "mean reward of a step, undiscounted, on a fresh batch", "reward per step", source="play"
    ),
    "value_exact": Variable(_ALONG, "closed form of what `value` estimates", "value in closed form", source="play"),
    "entropy": Variable(
        _ALONG,
        "mean entropy of a player's distribution over actions, in nats, on the same batch",
        "entropy",
        source="play",
    ),
    "reward_against": Variable(
        (*_END, "opponent"),
        "a player's reward per step, final policy, with a scripted opponent in every other seat",
        "reward against",
        source="play",
    ),
    "scripted_reward_per_step": Variable(
        (*_END, "opponent"),
        "reward per step of each seat when a scripted opponent plays every seat, to compare welfare with",
        "reward of scripts",
        source="play",
    ),
    "trial_value": Variable(
        ("match", "update", "inner", "player"),
        "normalised value at every inner update of fresh trials, before the others move and without exploration noise",
    ),
    "trial_value_against": Variable(
        (*_END, "stranger"),
        "mean value over trials of the final shaper against learners that it never trained with",
        "value against",
        source="play",
    ),
    "model_error": Variable(
        _ALONG,
        "KL divergence of the opponents' policies from their models, on the batch they are fitted to next",
        "model error",
        low=0,
        small=True,
        source="learner",
    ),
    "model_trust": Variable(
        _ALONG, "factor by which trust in the models multiplies the lookahead rate", "trust", 0, 1, source="learner"
    ),
    "explained_variance": Variable(
        _ALONG,
        "share of the variance of a player's discounted rewards that its critic explains, on the batch it learns from",
        "explained variance",
        high=1,
        source="learner",
    ),
    "others_explained_variance": Variable(
        _ALONG,
        "the same for a player's critics of the others, a mean over them",
        "others' explained variance",
        high=1,
        source="learner",
    ),
    "alignment_ratio": Variable(
        _ALONG,
        "spread of the alignment term over that of the player's advantages",
        "alignment ratio",
        low=0,
        small=True,
        source="learner",
    ),
    "reciprocal_value": Variable(
        _ALONG,
        "normalised discounted sum of a player's reciprocal rewards, before they are weighted",
        "reciprocal value",
        source="learner",
    ),
    "influence_explained_variance": Variable(
        _ALONG,
        "share of the variance of the others' rewards that a player's models of influence explain, a mean over them",
        "influences' explained variance",
        high=1,
        source="learner",
    ),
    "value_against_response": Variable(
        _ALONG,
        "normalised value of a player against the response that it expects, on the batch it learns from",
        "value against response",
        source="learner",
    ),
    "fitness": Variable(
        _ALONG, "mean value of the policies that a search tried, on one batch of play", "fitness", source="learner"
    ),
    "fitness_best": Variable(
        _ALONG,
        "value of the best of these policies on the same batch, where the best of many is the luckiest too",
        "best fitness",
        source="learner",
    ),
    "search_scale": Variable(
        _ALONG, "standard deviation of the policies tried", "sigma", low=0, small=True, source="learner"
    ),
    "shaping_norm": Variable(
        _ALONG,
        "length of the mean of independent estimates of the shaping term",
        "shaping norm",
        low=0,
        small=True,
        source="learner",
    ),
    "shaping_sd": Variable(
        _ALONG,
        "root mean square distance of one estimate of the shaping term from that mean",
        "shaping sd",
        low=0,
        small=True,
        source="learner",
    ),
}
"""Every variable of this package, by name; environments declare their own."""


_GENERATION = ("match", "generation")
_TYPE = (*_GENERATION, "type")
_LEARNER = ("match", "learner")

POPULATION: dict[str, Variable] = {
    "share": Variable(_TYPE, "share of a type after the given number of generations", "share", 0, 1),
    "value": Variable(_TYPE, "mean normalised value of a type's learners against whom they met", "value"),
    "value_sd": Variable(_TYPE, "standard deviation of that value among them", "value's spread", low=0),
    "cooperation": Variable(_TYPE, "how often a type's learners cooperate while they play", "cooperation", 0, 1),
    "mean_value": Variable(_GENERATION, "mean normalised value of all learners that met somebody", "value"),
    "mean_cooperation": Variable(
        _GENERATION, "how often learners cooperate while they play, mean over all of them", "cooperation", 0, 1
    ),
    "mutual_cooperation": Variable(_GENERATION, "how often all who meet cooperate", "mutual cooperation", 0, 1),
    "assortment": Variable(
        _GENERATION, "how much more often learners meet their own type than by chance, 1 if always", "assortment"
    ),
    "imitations": Variable(_GENERATION, "learners that became copies of others", "imitations", low=0),
    "mutations": Variable(_GENERATION, "learners that mutated", "mutations", low=0),
    "nearest": Variable(
        (*_GENERATION, "strategy"), "share of learners nearest to a classic strategy", "nearest strategy", 0, 1
    ),
    "theta_sample": Variable(
        ("match", "sample_generation", "sample_learner", "parameter"),
        "parameters of some learners after some generations",
    ),
    "type_sample": Variable(
        ("match", "sample_generation", "sample_learner"), "place of the type of these learners, among those of `type`"
    ),
    "policies": Variable(
        (*_GENERATION, "sample_learner", "parameter"), "parameters of some learners after the given generation"
    ),
    "sampled_types": Variable(
        (*_GENERATION, "sample_learner"), "place of the type of these learners, among those of `type`"
    ),
    "types": Variable((*_GENERATION, "learner"), "place of every learner's type, among those of `type`"),
    "theta_final": Variable((*_LEARNER, "parameter"), "parameters after the last generation"),
    "diverged": Variable(_GENERATION, "learners that stopped being finite in their last encounter", low=0),
    "type_final": Variable(
        _LEARNER, "place of a learner's type after the last generation, among those of `type`", whole=True
    ),
    "ancestor": Variable(_LEARNER, "learner of generation 0, or mutant, whose copy it is", whole=True),
    "fixed_at": Variable(("match",), "generation after which all were of one type; -1 while they were not", whole=True),
    "diverged_at": Variable(
        ("match",), "generation in which a learner first stopped being finite; -1 where none did", whole=True
    ),
}
"""What a record of populations that meet holds; a match is one population."""


def by_type(variable: Variable) -> Variable:
    """A variable along updates and over players, averaged over the learners of a type after each generation."""
    return dataclasses.replace(variable, dims=_TYPE, showcase=False)


def declared(*names: str) -> dict[str, Variable]:
    """Variables of this package by name."""
    return {name: VARIABLES[name] for name in names}


def as_table(variables: Mapping[str, Variable]) -> dict[str, Variable]:
    """Turns variables over parameters into variables over states, for policies that have one parameter per state."""

    def along_states(dims: tuple[str, ...]) -> tuple[str, ...]:
        return tuple("state" if dim == "parameter" else dim for dim in dims)

    return {name: dataclasses.replace(found, dims=along_states(found.dims)) for name, found in variables.items()}


def of_measure(measure: Any) -> Variable:
    """A measure of an environment as a variable of a record: along updates, or only at the end if it has an axis.

    Args:
      measure: see `shaping.envs.declarations.Measure`.
    """
    dims = (*_END, measure.axis) if measure.axis else _ALONG
    return Variable(dims, measure.meaning, measure.label, measure.low, measure.high, source="environment")


def against(name: str, variable: Variable) -> Variable:
    """`NAME_against`: the variable NAME, measured at the end against scripted opponents."""
    return dataclasses.replace(
        variable,
        dims=(*_END, "opponent"),
        meaning=f"{name} of a player's final policy with a scripted opponent in every other seat",
        label=f"{variable.label or name} against",
        showcase=False,
    )
