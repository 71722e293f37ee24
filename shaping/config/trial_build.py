"""Turns the normal form of a run of trials into its game and its numbers."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np

from shaping.config.errors import errors_about
from shaping.config.objective import build_estimator, check_value_head
from shaping.config.players import wants_critic
from shaping.config.rewards import rewards_of
from shaping.config.strategies import strategy_logits
from shaping.config.trial import POLICIES, inner_objective, plain
from shaping.learners import Common, Learner, frozen, values
from shaping.objectives.sampled_objective import EstimatorNumbers
from shaping.policies.critics import Critic
from shaping.policies.kinds import NETWORKS, critic_beside
from shaping.policies.placeholder import placeholder_policy
from shaping.policies.policy import Policy
from shaping.population.match import Match
from shaping.population.meta_game import MetaGame
from shaping.population.pools import Candidate, Factor, Pool, by_structure
from shaping.population.trial_game import TrialGame, TrialParams
from shaping.population.trial_play import Stream
from shaping.population.trial_state import Copy, MetaParams

Normal = Mapping[str, Any]
_FROZEN = {"rule": "frozen", "step_size": 1.0}


def inner_form(normal: Normal, settings: Normal, seat: int | None = None, candidate: Normal | None = None) -> Normal:
    """The game within a trial as a cell of its own, in which shapers and strategies are `frozen`. `candidate` sits in
    `seat`; in every other seat within the trial sits one of its candidates, one that needs critics if there is any."""
    trial = settings["trial"]
    players: list[Any] = [_FROZEN] * len(settings["players"])
    for place, player in enumerate(settings["players"]):
        if player.get("within"):
            players[place] = _needing(_candidates(settings, place))
    if seat is not None and candidate is not None:
        players[seat] = plain(candidate)
    return {
        "game": settings["game"],
        "players": players,
        "optimizer": trial["optimizer"],
        "policy": trial["policy"],
        "objective": inner_objective(normal["trial"], normal["game"]),
    }


def _needing(candidates: list[Normal]) -> Normal:
    """One who learns from play, or else one who learns, or else nobody."""
    learning = [one for one in candidates if "rule" in one]
    found = next((one for one in learning if one.get("rule") in ("a2c", "ppo")), learning[0] if learning else None)
    return _FROZEN if found is None else plain(found)


def _candidates(settings: Normal, seat: int) -> list[Normal]:
    """Who may sit within a trial."""
    own = settings["players"][seat]
    return [own] if len(own) > 1 else list(settings["trial"]["pool"])


def trial_game(normal: Normal, game_of: Callable[[Normal], Any]) -> TrialGame:
    """The static part."""
    trial, policy, objective, players = (normal[key] for key in ("trial", "policy", "objective", "players"))
    inner = game_of(inner_form(normal, normal))
    within = tuple(bool(player.get("within")) for player in players)
    with errors_about("trial"):
        meta = MetaGame(inner, within, trial["updates"], trial["observes"], trial["bound"])
    stream: Any = Stream(meta)
    hidden = placeholder_policy(stream.observation_space, stream.action_space)
    policies = tuple(hidden if inside else shaper(policy, stream, seat) for seat, inside in enumerate(within))
    shaping = [seat for seat, inside in enumerate(within) if not inside]
    needs = any(wants_critic(players[seat], objective) for seat in shaping)
    shared = any(policies[seat].evaluate is not None for seat in shaping)
    if needs and shared:
        check_value_head(objective)
    critics: tuple[Critic | None, ...] = ()
    if needs and not shared:
        critics = tuple(None if inside else _critic(policy, objective, stream) for inside in within)
    return TrialGame(
        meta,
        policies,
        objective["batch"],
        build_estimator(objective),
        critics,
        objective["evaluation"],
        trial["memory"],
        tuple(trial["strangers"]),
    )


def shaper(policy: Normal, stream: Any, seat: int) -> Policy:
    """The policy of one who learns over trials."""
    with errors_about("policy"):
        return POLICIES[policy["kind"]](stream, seat, **_own(policy))


def _own(policy: Normal) -> dict[str, Any]:
    return {key: value for key, value in policy.items() if key not in ("kind", "init")}


def _critic(policy: Normal, objective: Normal, stream: Any) -> Critic:
    layered, q = policy["kind"] in NETWORKS, objective["critic_kind"] == "q"
    with errors_about("objective"):
        return critic_beside(policy["kind"], stream, layered, q, objective["critic_sees"] == "all", **_own(policy))


def trial_match(
    normal: Normal,
    settings: Normal,
    number: Any,
    game: TrialGame,
    params_of: Callable[..., Any],
    learner_of: Callable[..., Learner],
) -> Match:
    """A match with leaves [matches, ...]: a shaper, or several, and all that a trial needs.

    Args:
      normal: the normal form.
      settings: the same with arrays [matches] for some numbers.
      number: `(value, rank) -> array [matches, ...]`.
      game: the static part.
      params_of: `(normal, settings, game, number) -> numbers` of a game.
      learner_of: `(settings, game, numbers, seat, number, shaping) -> learner` of a seat.
    """
    trial, players, inner = settings["trial"], settings["players"], game.meta.game
    form, own = inner_form(normal, normal), inner_form(normal, settings)
    played = params_of(form, own, inner, number)

    def candidate(seat: int, entry: Normal) -> Candidate:
        if "strategy" in entry:
            # A table like that of learners, so that all candidates play with one policy.
            start = values(number(strategy_logits(plain(entry), inner.policies[seat]), rank=1))
            return Candidate(frozen(Common(initial=start)), number(entry.get("frequency", 1.0), rank=0))
        seated = inner_form(normal, settings, seat, entry)
        step, discount = entry.get("step_size"), None if "discount" in plain(entry) else entry.get("discount")
        factor = None
        if isinstance(step, Mapping) and "schedule" not in step:
            ((kind, (low, high)),) = step.items()
            factor = Factor((number(low, rank=0), number(high, rank=0)), kind)
        return Candidate(
            learner_of(seated, inner, played, seat, number, False),
            number(entry.get("frequency", 1.0), rank=0),
            None if discount is None else number(discount, rank=0),
            factor,
        )

    def copy(entries: list[Normal]) -> Copy | None:
        """The shaper whose copy sits there in some trials; its share of the draws."""
        frequencies = [number(entry.get("frequency", 1.0), rank=0) for entry in entries]
        copied = [place for place, entry in enumerate(entries) if "shaper" in entry]
        if not copied:
            return None
        share = sum(frequencies[place] for place in copied) / sum(frequencies)
        return Copy(np.asarray(share, frequencies[0].dtype), entries[copied[0]]["shaper"])

    def meeting(of: Callable[[int], list[Normal]]) -> MetaParams:
        """For each seat its pool, leaves [matches, candidates of the kind, ...], and whose copy sits there."""
        drawn: list[Pool | None] = []
        copies: list[Copy | None] = []
        for seat, player in enumerate(players):
            entries = of(seat) if player.get("within") else []
            learners = [candidate(seat, entry) for entry in entries if "shaper" not in entry]
            # A copy takes somebody's place; if nobody else may sit there, that of one who never learns.
            drawn.append(_stacked(learners or [candidate(seat, _FROZEN)]) if entries else None)
            copies.append(copy(entries))
        return MetaParams(played, tuple(drawn), tuple(copies) if any(copies) else ())

    drawn = meeting(lambda seat: _candidates(settings, seat))
    strangers = tuple(meeting(lambda seat, entry=entry: [entry]) for entry in trial["strangers"].values())
    objective = settings["objective"]
    decay = None if objective["decay"] is None else number(objective["decay"], rank=0)
    estimator = EstimatorNumbers(number(objective["gae_lambda"], rank=0), decay)
    numbers = TrialParams(drawn, number(trial["discount"], rank=0), estimator, strangers)
    learners = tuple(
        frozen() if player.get("within") else learner_of(settings, game, numbers, seat, number, False)
        for seat, player in enumerate(players)
    )
    learners = tuple(
        jax.tree.map(lambda leaf: leaf if np.ndim(leaf) else number(leaf, rank=0), learner) for learner in learners
    )
    return Match(0, 0, numbers, learners, game, rewards=rewards_of(players, number))


def _stacked(candidates: list[Candidate]) -> Pool:
    """Candidates stacked as by `pools.pool`, but behind the matches' axis and without touching a device."""
    return tuple(jax.tree.map(lambda *leaves: np.stack(leaves, axis=1), *kind) for kind in by_structure(candidates))
