"""Finite automata as policies: their tables are the parameters, so one program can play any number of machines."""

from collections.abc import Callable, Hashable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from shaping.envs.environment import check_integer
from shaping.envs.spaces import Discrete
from shaping.policies.memory_one import choice
from shaping.policies.pickling import remakable
from shaping.policies.policy import Policy

_MOST_STATES = 10_000


@struct.dataclass
class Machine:
    """A Moore machine, the parameters of an `automaton`; leaves may carry leading axes that a vmap maps over.

    Attributes:
      transition: [states, observations] int32, the state after an observation. Column 0, for the start of a game, holds
        the initial state in every row, so that a new game restarts the machine.
      cooperation: [states] float in [0, 1], the probability of action 0 in each state.
    """

    transition: jax.Array
    cooperation: jax.Array


@remakable
def automaton(num_states: int, num_observations: int = 5) -> Policy:
    """A policy that remembers the state of a machine: theta is a `Machine`, the memory is its state, [...] int32.

    Each observation first moves the machine; its new state then determines the action. Machines with fewer states fit
    after padding (`padded`). Probabilities of exactly 0 and 1 are certain.

    It has no `table`, and its transitions have no derivative: it plays but does not learn. `init` draws a random
    machine: its transitions are uniform, its probabilities the sigmoids of normal numbers with standard deviation
      `scale`.

    Args:
      num_states: states of the machine.
      num_observations: how many observations it distinguishes, 1 + 2**players in a matrix game: start, CC, CD, DC, DD,
        its own action first (with the shared view, seat 1 would read CD for DC).
    """

    def init(key: jax.Array, scale: jax.Array) -> Machine:
        moves, outputs = jax.random.split(key)
        transition = jax.random.randint(moves, (num_states, num_observations), 0, num_states, jnp.int32)
        logits = scale * jax.random.normal(outputs, (num_states,), jnp.float32)
        return Machine(transition.at[:, 0].set(0), jax.nn.sigmoid(logits))

    def apply(theta: Machine, observation: jax.Array, memory: jax.Array) -> tuple[Any, jax.Array]:
        state = theta.transition[memory, observation]
        return choice(theta.cooperation[state]), state

    def table(theta: Machine) -> Any:
        raise ValueError("an automaton has no table over states of the game; allowed: memory_one, tabular, mlp")

    def start(batch_shape: tuple[int, ...]) -> jax.Array:
        return jnp.zeros(batch_shape, jnp.int32)

    return Policy(
        "automaton",
        (num_states, num_observations),
        init,
        start,
        apply,
        table,
        scalars=False,
        tabulated=False,
        observation_space=Discrete(num_observations),
        action_space=Discrete(2),
    )


def moore_machine(
    cooperation: Sequence[float] | np.ndarray, transition: Sequence[Sequence[int]] | np.ndarray, initial: int = 0
) -> Machine:
    """A machine from its tables, states numbered from 0.

    cooperation: [states], P(cooperate) in each state.
    transition: [states, 2], the state after the opponent's C and D; or [states, 4], the state after CC, CD, DC, DD,
      its own executed action first, for machines that notice their own mistakes.
    initial: the state in the first round.

    Raises:
    ValueError: for a probability outside [0, 1], a state that does not exist, or tables that do not fit together.
    """
    p, moves = np.asarray(cooperation), np.asarray(transition)
    if p.ndim != 1 or p.size == 0 or p.dtype.kind not in "iuf" or not np.all((p >= 0) & (p <= 1)):
        raise ValueError(f"cooperation is {cooperation!r}; allowed: numbers from 0 to 1, one for each state")
    states = p.size
    if moves.dtype.kind not in "iu" or moves.shape not in ((states, 2), (states, 4)):
        raise ValueError(
            f"transition has the shape {list(moves.shape)}; allowed: integers [{states}, 2] or [{states}, 4]"
        )
    if moves.min() < 0 or moves.max() >= states:
        raise ValueError(f"transition leads to {moves.min()} to {moves.max()}; allowed: states 0 to {states - 1}")
    check_integer("initial", initial, 0, states - 1)
    after = moves if moves.shape[1] == 4 else np.tile(moves, 2)
    full = np.concatenate([np.full((states, 1), initial), after], axis=1)
    return Machine(jnp.asarray(full, jnp.int32), jnp.asarray(p, dtype=float))


def explored(
    initial: Hashable, cooperate: Callable[[Any], float | bool], move: Callable[[Any, str, str], Hashable]
) -> Machine:
    """The machine of a strategy written as two functions; its states are all states that can be reached.

    Args:
      initial: the state in the first round, anything hashable.
      cooperate: `state -> P(cooperate)`.
      move: `(state, own, other) -> state` with the executed actions "C" or "D" of the round played in `state`.

      Raises:
      ValueError: if more than 10,000 states are reached, because the strategy is then not a finite automaton.
    """
    numbers: dict[Hashable, int] = {initial: 0}
    rows, open_states = [], [initial]
    while open_states:
        state = open_states.pop(0)
        reached = [move(state, own, other) for own in "CD" for other in "CD"]
        for found in reached:
            if found not in numbers:
                numbers[found] = len(numbers)
                open_states.append(found)
        if len(numbers) > _MOST_STATES:
            raise ValueError(f"the strategy reaches {len(numbers)} states; allowed: up to {_MOST_STATES}")
        rows.append([numbers[found] for found in reached])
    return moore_machine([float(cooperate(state)) for state in numbers], rows)


def mealy_machine(first: str, next_state: Sequence[Sequence[int]], action: Sequence[Sequence[str]]) -> Machine:
    """The Moore machine that plays like a Mealy machine, whose actions belong to its transitions.

    Tables of evolved machines are often published in that form (Ashlock and Kim 2008).

    Args:
      first: "C" or "D", what is played before anything has been seen, in state 0.
      next_state: [states][2], the state after the opponent's C and D.
      action: [states][2], "C" or "D", what is played next.
    """

    def move(state: tuple[int, str], own: str, other: str) -> tuple[int, str]:
        del own
        seen = "CD".index(other)
        return next_state[state[0]][seen], action[state[0]][seen]

    return explored((0, first), lambda state: state[1] == "C", move)


def from_table(table: Any) -> Machine:
    """The machine of a memory-one table [observations] of P(cooperate); its state is its last observation."""
    cooperation = jnp.asarray(table, dtype=float)
    states = cooperation.shape[0]
    seen = np.broadcast_to(np.arange(states, dtype=np.int32), (states, states))
    return Machine(jnp.asarray(seen), cooperation)


def padded(machine: Machine, num_states: int) -> Machine:
    """The same machine with additional states that are never reached, `num_states` in all.

    Raises:
      ValueError: if it has more states than that.
    """
    states = machine.cooperation.shape[0]
    if states > num_states:
        raise ValueError(f"num_states is {num_states}; allowed: {states} or more, the states of the machine")
    more = num_states - states
    return Machine(jnp.pad(machine.transition, ((0, more), (0, 0))), jnp.pad(machine.cooperation, (0, more)))
