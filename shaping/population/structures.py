"""Populations whose types have policies of different structure: tables beside networks, or networks of several sizes.

Every learner has room for a policy of each structure, and uses that of its type. Those who meet are sorted by the
structures of who sits where, and updated group by group, each by the program of its own combination. What is random in
a learner's update depends on the learner and the generation alone, so it does not change with the company.
"""

import dataclasses
import itertools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from shaping.learners.learner import LearnerState
from shaping.objectives.game import Game
from shaping.objectives.sampled_game import SampledGame
from shaping.population.meeting_population import MeetingSetup, MeetingState, Rules, flat, joined, parted

# Updates a group of encounters, of one combination: `(setup, combination, types, numbers, states) -> (states,
# measured)`, see `meeting._together`.
Together = Callable[..., tuple[tuple[LearnerState, ...], dict[str, jax.Array]]]

SAMPLED_BLOCK = 2
"""Encounters that are updated side by side where returns are sampled: a batch of play fills a cache by itself."""


def games_of(own: Sequence[Game]) -> tuple[tuple[int, ...], tuple[Game, ...]]:
    """The structure of each type's policy, and the game of every combination; `Rules.structures` and `Rules.games`.

    Args:
      own: for each type the game that its learners play among themselves.

    Raises:
      ValueError: policies differ in a game that cannot have several.
    """
    different = tuple({game.policies[0]: game for game in own}.items())
    if len(different) == 1:
        return (), ()
    policies, games = zip(*different, strict=True)
    if not all(isinstance(game, SampledGame) for game in games):
        kinds = ", ".join(dict.fromkeys(policy.kind for policy in policies))
        raise ValueError(f"types: have several policies ({kinds}); allowed: where returns are estimated from play")
    if len({game.env for game in games}) > 1:
        raise ValueError("types: see the game differently; allowed: policies with one view of it")
    critics = [game.critics[0] if game.critics else None for game in games]
    if games[0].estimator.baseline == "critic" and len(set(critics)) > 1:
        raise ValueError("types: have several critics with baseline 'critic'; allowed: another baseline")
    # What only tables have is not measured.
    plain = dataclasses.replace(games[0], exact=None, matrix=None, opponents=())
    combinations = itertools.product(range(len(games)), repeat=len(games[0].policies))
    return (
        tuple(policies.index(game.policies[0]) for game in own),
        tuple(
            dataclasses.replace(
                plain,
                policies=tuple(policies[kind] for kind in sitting),
                critics=tuple(critics[kind] for kind in sitting) if any(critics) else (),
            )
            for sitting in combinations
        ),
    )


def members_of(rules: Rules, combination: int) -> list[list[int]]:
    """The numbers of the types that may sit in each seat of a combination."""
    if not rules.structures:
        return [list(range(len(rules.still)))] * rules.seats
    structures = range(max(rules.structures) + 1)
    sitting = list(itertools.product(structures, repeat=rules.seats))[combination]
    return [[place for place, own in enumerate(rules.structures) if own == kind] for kind in sitting]


def encounter_in_groups(
    rules: Rules,
    setup: MeetingSetup,
    state: MeetingState,
    numbers: jax.Array,
    identities: jax.Array,
    together: Together,
) -> tuple[LearnerState, dict[str, jax.Array]]:
    """`meeting.encounter` where types have policies of different structure.

    Args:
      rules, setup, state: the populations.
      numbers: [populations, encounters, seats] int32, where the learners lie who meet; beyond the last one where an
        encounter is empty.
      identities: likewise, but the learners' own numbers instead of their positions.
      together: updates a group of encounters.
    """
    populations, encounters, seats = numbers.shape
    size, total = state.types.shape[1], populations * encounters
    places = jnp.repeat(jnp.arange(populations, dtype=jnp.int32), encounters)
    at = (jnp.minimum(numbers, size - 1) + size * jnp.arange(populations, dtype=jnp.int32)[:, None, None]).reshape(
        total, seats
    )
    types = flat(state.types)[at]
    structures = max(rules.structures) + 1
    weights = jnp.asarray([structures ** (seats - 1 - seat) for seat in range(seats)])
    combinations = jnp.sum(jnp.asarray(rules.structures)[types] * weights, axis=1)
    # An empty encounter is of no combination.
    combinations = jnp.where((numbers < size).all(axis=-1).reshape(-1), combinations, -1)
    block = min(SAMPLED_BLOCK, total)
    room = -(-total // block) * block
    own_numbers = identities.reshape(total, seats)

    def group(combination: int, states: Any, measured: Any) -> tuple[Any, Any]:
        mine = combinations == combination
        count = jnp.sum(mine, dtype=jnp.int32)
        order = jnp.full(room, total, jnp.int32).at[:total].set(jnp.argsort(~mine, stable=True).astype(jnp.int32))
        # Numbers beyond the last encounter fill the last block, and what comes of them is dropped.
        order = jnp.where(jnp.arange(room) < count, order, total)
        seated = [rules.structures[members[0]] for members in members_of(rules, combination)]

        def one_block(number: jax.Array, carry: tuple[Any, Any]) -> tuple[Any, Any]:
            states, measured = carry
            rows = lax.dynamic_slice_in_dim(order, number * block, block)
            # The first row of a block that runs is always an encounter of the group; it fills in for rows that are not.
            known = jnp.where(rows < total, rows, rows[0])
            apart = parted(states)
            met = tuple(
                jax.tree.map(lambda leaf, seat=seat: leaf[at[known, seat]], apart[structure])
                for seat, structure in enumerate(seated)
            )
            own: MeetingSetup = jax.tree.map(lambda leaf: leaf[places[known]], _numbers_of(setup))
            sitters = [types[known, seat] for seat in range(seats)]
            after, found = together(own, combination, sitters, own_numbers[known][:, None], met)
            measured = {name: leaf.at[rows].set(found[name], mode="drop") for name, leaf in measured.items()}
            for seat, structure in enumerate(seated):
                target = jnp.where(rows < total, at[known, seat], populations * size)
                apart[structure] = jax.tree.map(
                    lambda leaf, new, target=target: leaf.at[target].set(new, mode="drop"),
                    apart[structure],
                    after[seat],
                )
            return joined(apart), measured

        return lax.fori_loop(0, -(-count // block), one_block, (states, measured))

    shapes = jax.eval_shape(lambda: _first(rules, setup, state, own_numbers, places, block, together))
    measured = {name: jnp.full((total, *leaf.shape[1:]), jnp.nan, leaf.dtype) for name, leaf in shapes.items()}
    learners = state.learners
    for combination in range(len(rules.games)):
        learners, measured = group(combination, learners, measured)
    return learners, {name: leaf.reshape(populations, encounters, *leaf.shape[1:]) for name, leaf in measured.items()}


def _numbers_of(setup: MeetingSetup) -> MeetingSetup:
    """The parts of a setup that updating encounters needs; all their leaves are [populations, ...]."""
    return dataclasses.replace(setup, pairing=None, selection=None, matchings=None, neighbours=None, degrees=None)  # pyright: ignore[reportArgumentType]


def _first(
    rules: Rules,
    setup: MeetingSetup,
    state: MeetingState,
    numbers: jax.Array,
    places: jax.Array,
    block: int,
    run: Together,
) -> dict[str, jax.Array]:
    """What is measured of a group of the first combination, for its shapes alone."""
    own = jax.tree.map(lambda leaf: leaf[places[:block]], _numbers_of(setup))
    met = (jax.tree.map(lambda leaf: leaf[:block], parted(state.learners)[0]),) * rules.seats
    types = [jnp.zeros(block, jnp.int32)] * rules.seats
    return run(own, 0, types, numbers[:block][:, None], met)[1]
