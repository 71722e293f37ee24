"""Independent matches as a run trains them: what the loop, the planner and the record have to know about them."""

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from shaping.learners.initial_parameters import Initial, zeros
from shaping.population import recorded_info
from shaping.population.compiled_programs import finish_program, segment_program, start_program
from shaping.population.match import Match, MatchState, thetas_of
from shaping.population.match import start as start_match
from shaping.population.replicates import Cost, Replicate
from shaping.rules import Rule
from shaping.variables import CORE, Variable, declared

# Matches in a block, and numbers of its transition matrices: as many as stay in the second-level cache of a core.
_BLOCK = 128
_SAMPLED_BLOCK = 2
_BLOCK_NUMBERS = 2**16


def variables_of(match: Match, extras: Sequence[str] = ()) -> dict[str, Variable]:
    """Every variable that is recorded for a match, as its game and its learners declare them; `extras` are as in a
    `Timetable`.

    Raises:
      ValueError: if a learner declares a variable that its game declares too.
    """
    found = {**declared(*CORE), **match.game.variables}
    for name in recorded_info.variables(match.learners):
        if name in found:
            raise ValueError(f"variable {name} of a learner is also one of its game; allowed: another name")
    found |= match.variables
    if "policies" in extras and match.game.tabular:
        found |= declared("policy_trajectory")
    return found | (declared("consistency_loss") if "consistency" in extras else {})


def without_learned_starts(settings: Any) -> Any:
    """The settings without anything that is learned before a match, be it initial parameters or what rules prepare. The
    shapes of states do not depend on that, and tracing such learning can take half a minute."""

    def drawn(node: Any) -> Any:
        if isinstance(node, Rule):
            return dataclasses.replace(node, settings=node.untrained(node.settings))
        return zeros() if isinstance(node, Initial) and node.learned else node

    return jax.tree.map(drawn, settings, is_leaf=lambda node: isinstance(node, Initial | Rule))


def _initial(matches: Match, states: MatchState, fetched: Callable[[Any], np.ndarray]) -> dict[str, np.ndarray]:
    thetas = [jax.tree.map(fetched, learner.theta) for learner in matches.by_seat(states.learners)]
    return {"theta_initial": _rows(thetas, fetched(states.value_sum[0]))}


def _rows(thetas: Sequence[Any], like: np.ndarray) -> np.ndarray:
    """Parameters of all players as [matches, players, parameters], padded with NaN. If nobody has any, the number of
    matches and the type are those of `like`."""
    none = np.zeros((len(like), 0), like.dtype)
    flat = [
        np.concatenate([x.reshape(len(x), math.prod(x.shape[1:])) for x in jax.tree.leaves(theta)] or [none], axis=1)
        for theta in thetas
    ]
    longest = max(theta.shape[1] for theta in flat)
    padded = [np.pad(t, ((0, 0), (0, longest - t.shape[1])), constant_values=np.nan) for t in flat]
    return np.stack(padded, axis=1)


def _shapes(template: Match, dtype: Any) -> MatchState:
    return jax.eval_shape(jax.vmap(lambda match: start_match(match, dtype)), without_learned_starts(template))


def _cost(template: Match, start: MatchState, extras: Sequence[str]) -> Cost:
    itemsize = jax.tree.leaves(start.value_sum)[0].dtype.itemsize
    row = len(template.played_by)
    if "policies" in extras:
        states = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape[1:], leaf.dtype), start.learners)
        policies: Any = jax.eval_shape(template.game.cooperation, thetas_of(template, states))
        row += policies.size
    lookaheads = max(learner.lookaheads for learner in template.learners)
    working = template.game.working_bytes(itemsize, lookaheads) * max(learner.plays for learner in template.learners)
    numbers = max(math.prod(leaf.shape) for leaf in jax.tree.leaves(start))

    def largest_block(memory_bytes: float, devices: int) -> int:
        if template.game.sampled:
            return max(1, min(_SAMPLED_BLOCK, int(memory_bytes // max(working, 1) // devices)))
        return max(8, min(_BLOCK, _BLOCK_NUMBERS // int(numbers) ** 2))

    # What learners hold besides parameters, such as networks, is also processed in every update.
    held = sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(start.learners))
    gradients = max(learner.gradients for learner in template.learners)
    work = max(template.game.work(template.params), held // 64) * gradients
    return Cost(row, working, largest_block, work)


def _labels(template: Match) -> Mapping[str, Sequence[Any]]:
    return {**template.game.labels, "player": range(len(template.game.policies))}


MATCHES = Replicate(
    step="update",
    counted="match-updates",
    start=start_program,
    segment=segment_program,
    finish=finish_program,
    initial=_initial,
    shapes=_shapes,
    cost=_cost,
    variables=variables_of,
    labels=_labels,
    parameters=lambda template: max(policy.num_parameters for policy in template.game.policies),
    about=lambda template: template.game.about,
    prepares=lambda template: any(learner.prepares for learner in template.learners),
)
"""Matches whose learners stay together."""
