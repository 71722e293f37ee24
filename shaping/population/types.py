"""The types of a population: learners of one structure, in the order of their names, and what they may be."""

from collections.abc import Mapping, Sequence
from typing import Any

import jax

from shaping.learners import Learner, frozen
from shaping.learners.gradient import learner_of
from shaping.learners.initial import Initial
from shaping.objectives.game import Game
from shaping.population.mixed import side_by_side
from shaping.population.pairing import Pairing
from shaping.population.selection import Selection
from shaping.population.still import started_at
from shaping.rules import first_order
from shaping.rules import naive as naive_rule


def learners_of(types: Mapping[str, Learner | Initial]) -> tuple[tuple[Learner, ...], tuple[bool, ...]]:
    """A learner for every type, all of one structure, and which of them never learn.

    Args:
      types: by name, a learner; or, of a type that never learns, its parameters as the distribution they are drawn
        from.
    """
    learning = _alike({name: one for name, one in types.items() if isinstance(one, Learner)})
    template = next(iter(learning.values()), frozen())
    each = [started_at(template, one) if isinstance(one, Initial) else learning[name] for name, one in types.items()]
    return tuple(side_by_side(each)), tuple(name not in learning for name in types)


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
) -> None:
    """Refuses learners that cannot meet or be selected.

    Raises:
      ValueError: one line.
    """
    if len(set(game.policies)) > 1:
        raise ValueError(
            "game: has seats of several policies; allowed: the same in every seat, as learners change them"
        )
    view = getattr(game, "state_view", "own")
    if view != "own" and meeting.kind != "fixed":
        raise ValueError(f"game: state_view is {view}; allowed: own, as learners change seats")
    for name, learner in zip(names, learners, strict=True):
        if learner.observes or learner.variables:
            raise ValueError(f"types.{name}: keeps a model of its opponent or a critic; allowed: learners without")
    if selecting.payoff == "expected":
        if not all(still):
            learns = names[list(still).index(False)]
            raise ValueError(f"selection.payoff is expected; allowed: where all types are strategies ({learns} learns)")
        if len(game.policies) != 2:
            raise ValueError("selection.payoff is expected; allowed: encounter, with more than two players")
    if selecting.neighbours and not meeting.structured:
        raise ValueError(f"selection.among is neighbours; allowed: all with pairing {meeting.kind}")
    if selecting.mutates not in ("none", "uniform", "noise", *names):
        wanted = f"uniform, noise or one of {', '.join(names)}"
        raise ValueError(f"selection.mutates: {selecting.mutates!r} is not allowed; must be {wanted}")
