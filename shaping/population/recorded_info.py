"""What learners record about an update, in the form of a record: one number per player for every name."""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from shaping.learners.learner import Learner
from shaping.objectives.game import Game
from shaping.variables import Variable


def variables(learners: Sequence[Learner]) -> dict[str, Variable]:
    """What learners record besides values, by name."""
    found = {name: own for learner in learners for name, own in learner.variables.items()}
    return dict(sorted(found.items()))


def of_game(game: Game) -> dict[str, Variable]:
    """What an exact game measures along updates besides values, by name. Games that are played are measured by
    `match.measure`."""
    known = {} if game.sampled else game.variables
    return {name: one for name, one in known.items() if one.along_updates and not one.only_last}


def measured(
    game: Game, params: Any, thetas: Sequence[Any], wanted: jax.Array | bool, dtype: Any
) -> dict[str, list[jax.Array]]:
    """What an exact game measures before an update, one scalar per player for every name of `of_game`; NaN if the
    update is not recorded."""
    names = of_game(game)

    def found() -> dict[str, list[jax.Array]]:
        measures = game.evaluate(params, thetas, jax.random.key(0))
        return {name: [measures[name][player].astype(dtype) for player in range(len(thetas))] for name in names}

    def left_out() -> dict[str, list[jax.Array]]:
        return {name: [jnp.full((), jnp.nan, dtype)] * len(thetas) for name in names}

    if isinstance(wanted, bool):
        return found() if wanted else left_out()
    return lax.cond(wanted, found, left_out) if names else {}


def recorded(
    learners: Sequence[Learner],
    played_by: Sequence[int],
    infos: Sequence[Mapping[str, Any]],
    wanted: jax.Array | bool,
    dtype: Any,
) -> dict[str, list[jax.Array]]:
    """For every name one scalar per player, NaN for those whose learners do not record it.

    Args:
      learners: the learners of a match.
      played_by: for each seat, the position of its learner.
      infos: what each learner's step returned.
      wanted: whether this update is recorded; if not, everything is NaN and nothing is computed.
      dtype: of what is recorded.

    Raises:
      ValueError: if a learner returns something that it has not declared, or fails to return something that it has.
    """
    for place, (learner, info) in enumerate(zip(learners, infos, strict=True)):
        if set(info) != set(learner.variables):
            given, declared = sorted(info), sorted(learner.variables)
            raise ValueError(f"info of learner {place} is {given}; allowed: what its variables declare, {declared}")
    names, nothing = variables(learners), jnp.full((), jnp.nan, dtype)

    def found() -> dict[str, list[jax.Array]]:
        each = [
            {name: jnp.asarray(own() if callable(own) else own, dtype) for name, own in info.items()} for info in infos
        ]
        return {name: [each[place].get(name, nothing) for place in played_by] for name in names}

    def left_out() -> dict[str, list[jax.Array]]:
        return {name: [nothing for _ in played_by] for name in names}

    if isinstance(wanted, bool):
        return found() if wanted else left_out()
    # If there is nothing to record, the program has no branch.
    return lax.cond(wanted, found, left_out) if names else {}
