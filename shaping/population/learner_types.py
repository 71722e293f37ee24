"""The types of a population: learners of one structure, in the order of their names, and what they may be."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import jax

from shaping.learners import Learner, frozen
from shaping.learners.gradient import learner_of
from shaping.learners.initial_parameters import Initial
from shaping.objectives.game import Game
from shaping.population.fixed_strategies import started_at
from shaping.population.meeting_population import MOST_PAIRS
from shaping.population.mixed_rules import side_by_side
from shaping.population.pairing import Pairing
from shaping.population.seating import knows_others
from shaping.population.selection import Selection
from shaping.rules import first_order
from shaping.rules import naive as naive_rule


def learners_of(
    types: Mapping[str, Learner | Initial], structures: Sequence[int] = ()
) -> tuple[tuple[Learner, ...], tuple[bool, ...]]:
    """A learner for every type, and for every type whether it never learns. Learners whose policies have the same
    structure are given one structure themselves.

    Args:
      types: by name, a learner; or, of a type that never learns, its parameters as the distribution they are drawn
        from.
      structures: of the policies of types, see `Rules.structures`.
    """
    found: dict[str, Learner] = {}
    for structure in dict.fromkeys(structures or [0]):
        alike = {n: t for place, (n, t) in enumerate(types.items()) if not structures or structures[place] == structure}
        learning = _alike({name: one for name, one in alike.items() if isinstance(one, Learner)})
        template = next(iter(learning.values()), frozen())
        each = [started_at(template, t) if isinstance(t, Initial) else learning[name] for name, t in alike.items()]
        found |= zip(alike, side_by_side(each), strict=True)
    return tuple(found[name] for name in types), tuple(isinstance(one, Initial) for one in types.values())


def _alike(learning: Mapping[str, Learner]) -> dict[str, Learner]:
    """The same learners; if some use first-order rules and others are naive, all as members of that family."""
    plain = jax.tree.structure(naive_rule())
    family = jax.tree.structure(first_order(0.0, 0.0, 0.0))
    kinds = {name: jax.tree.structure(getattr(one.settings, "rule", None)) for name, one in learning.items()}
    if family not in kinds.values():
        return dict(learning)

    def as_member(one: Learner) -> Learner:
        settings: Any = one.settings
        return learner_of(first_order(0.0, 0.0, 0.0), settings.common)

    return {name: as_member(one) if kinds[name] == plain else one for name, one in learning.items()}


def check_types(
    game: Game,
    meeting: Pairing,
    selecting: Selection,
    names: Sequence[str],
    learners: Sequence[Learner],
    still: Sequence[bool],
    size: int = 0,
    work: int = 1,
    structures: Sequence[int] = (),
) -> None:
    """Refuses learners that cannot meet or be selected.

    Args:
      game, meeting, selecting: of the population.
      names, learners, still: of its types.
      size: of the population.
      work: of an evaluation, see `Game.work`.
      structures: of the policies of types, see `Rules.structures`.

    Raises:
      ValueError: one line.
    """
    if len(set(game.policies)) > 1:
        raise ValueError(
            "game: has seats of several policies; allowed: the same in every seat, as learners change them"
        )
    if not game.exchangeable and meeting.kind != "fixed":
        allowed = "games in which all see themselves first (state_view own), as learners change seats"
        raise ValueError(f"game: seats differ in what players see; allowed: {allowed}")
    if structures:
        for name, learner in zip(names, learners, strict=True):
            if knows_others(learner.settings):
                raise ValueError(f"types.{name}: keeps models of its opponents; allowed: where all have one policy")
        if selecting.payoff == "expected":
            raise ValueError("selection.payoff is expected; allowed: encounter, where types have several policies")
    if selecting.payoff == "expected":
        pairs = size**2 * work if not all(still) or selecting.mutates == "noise" else 0
        if pairs > MOST_PAIRS:
            most = math.isqrt(MOST_PAIRS * size**2 // pairs)
            allowed = f"a population.size up to {most} where learners play each other in every generation"
            raise ValueError(f"selection.payoff is expected at population.size {size}; allowed: {allowed}")
        if len(game.policies) != 2:
            raise ValueError("selection.payoff is expected; allowed: encounter, with more than two players")
    if selecting.kind != "none" and meeting.blocks > 1:
        raise ValueError(f"selection.kind is {selecting.kind}; allowed: none where a population lies in blocks")
    if selecting.neighbours and not meeting.structured:
        raise ValueError(f"selection.among is neighbours; allowed: all with pairing {meeting.kind}")
    if selecting.mutates not in ("none", "uniform", "noise", *names):
        wanted = f"uniform, noise or one of {', '.join(names)}"
        raise ValueError(f"selection.mutates: {selecting.mutates!r} is not allowed; must be {wanted}")
