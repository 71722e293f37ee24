"""ARMAC, the advantage regret-matching actor-critic (Gruslys et al. 2020, algorithm 1), with tables.

Every update is an epoch, whose policies pi^t and critics are kept. With j drawn from all epochs so far, learner i plays
games in which it acts at random and all others play their pi^j, so that situations are met as often as the others lead
to them, whatever i does. Over those games it averages the advantages of its own policy of epoch j,

    W(I, a) = mean of  q^j(h, a) - sum over a' of pi_i^j(a' | I) q^j(h, a'),

which are its counterfactual regrets, and plays by regret matching on them,

    pi_i^{t+1}(a | I) = max(W(I, a), 0) / sum over a' of max(W(I, a'), 0).

In further games, in which the others act at random and i plays its pi_i^j, it averages pi_i^j over its own situations:
that average policy approaches an equilibrium in two-player zero-sum games. It is what a record shows, and what players
of other kinds meet.

q^j is estimated for every history, by tree backups (Precup et al. 2000) with lambda 1 towards the policies of its
epoch. Where the paper fits networks, sums here are exponential averages with rate (t + 1)^-`averaging`.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from shaping.envs.sequential.tree import Arrays
from shaping.learners.initial_parameters import initial_parameters
from shaping.learners.learner import Common, Learner, LearnerState, check_without_model
from shaping.objectives.information_sets import InformationSets
from shaping.objectives.objective import Objective
from shaping.policies.policy import Policy
from shaping.signatures import Probability, Range, checked

_SMALLEST = 1e-6
"""The least probability in a table of logits."""


@struct.dataclass
class Settings:
    """Settings.

    Attributes:
      critic_rate: the part of its error by which a critic moves, in [0, 1].
      averaging: the rate of averages falls with this power of the number of updates, in [0, 1]; at 0 they are those of
        the latest games alone.
      common: settings that every learner has; only `initial` is used.
      games: how many games are played for each purpose in an update.
      epochs: how many epochs are kept, a uniform sample of all.
    """

    critic_rate: Any
    averaging: Any
    common: Common
    games: int = struct.field(pytree_node=False, default=512)
    epochs: int = struct.field(pytree_node=False, default=1000)


@struct.dataclass
class Epochs:
    """Policies and critics of past epochs, the place of each drawn by reservoir sampling.

    Attributes:
      policies: per player [epochs, information sets, actions].
      critics: [epochs, nodes, actions], of this learner's values.
    """

    policies: list[jax.Array]
    critics: jax.Array


@struct.dataclass
class Memory:
    """What it remembers besides its average policy.

    Attributes:
      current: [information sets, actions], pi_i of this epoch.
      regrets: [information sets, actions], W, up to a positive factor for each information set.
      average: [information sets, actions], the sums whose ratio is the average policy.
      critic: [nodes, actions].
      past: the epochs that are kept.
      updates: [] int32, how many there were.
    """

    current: jax.Array
    regrets: jax.Array
    average: jax.Array
    critic: jax.Array
    past: Epochs
    updates: jax.Array


@checked
def armac(
    critic_rate: Probability = 0.3,
    averaging: Probability = 0.3,
    games: Annotated[int, Range(1, 10**6)] = 512,
    epochs: Annotated[int, Range(1, 10**6)] = 1000,
    common: Common = Common(),  # noqa: B008 - frozen, and the default a reader expects to see
) -> Learner:
    """Advantage regret-matching actor-critic with tables; for games in turns (`kuhn_poker`).

    Args:
      critic_rate, averaging, games, epochs: see `Settings`.
      common: settings that every learner has.
    """
    check_without_model(common, "it treats others by their past policies")
    settings = Settings(critic_rate, averaging, common, games, epochs)
    return Learner(settings, _init, _step, prepares=common.initial.learned, needs_information_sets=True)


def _init(
    settings: Settings,
    key: jax.Array,
    shared_key: jax.Array,
    policies: Sequence[Policy],
    player: int,
    objective: Objective,
    dtype: Any,
) -> LearnerState:
    del shared_key
    sets, logits = objective.information_sets, objective.logits
    if sets is None or logits is None:
        raise ValueError("rule is armac; allowed: in a game in turns, as kuhn_poker")
    if policies[player].kind != "tabular":
        raise ValueError(f"policy is a {policies[player].kind}; allowed: tabular, as armac averages probabilities")
    theta = initial_parameters(settings.common.initial, key, policies, player, objective, dtype)
    current = jax.nn.softmax(logits(player, theta))
    nodes, actions = len(sets.tree.mover), current.shape[1]
    past = Epochs(
        [jnp.zeros((settings.epochs, *current.shape), dtype) for _ in policies],
        jnp.zeros((settings.epochs, nodes, actions), dtype),
    )
    none = jnp.zeros_like(current)
    return LearnerState(theta, Memory(current, none, none, jnp.zeros((nodes, actions), dtype), past, jnp.int32(0)))


def _step(
    settings: Settings, key: jax.Array, states: Sequence[LearnerState], player: int, objective: Objective
) -> tuple[LearnerState, Mapping[str, Any]]:
    sets, logits = objective.information_sets, objective.logits
    assert sets is not None and logits is not None
    own_state = states[player]
    memory: Memory = own_state.memory
    # Learners of other kinds have one policy, by which they also play.
    now = [
        state.memory.current if isinstance(state.memory, Memory) else jax.nn.softmax(logits(seat, state.theta))
        for seat, state in enumerate(states)
    ]
    place_key, epochs_key, own_key, others_key = jax.random.split(key, 4)
    place = _place(settings, memory.updates, place_key)
    policies = [kept.at[place].set(new, mode="drop") for kept, new in zip(memory.past.policies, now, strict=True)]
    held = jnp.minimum(memory.updates + 1, settings.epochs)
    drawn = jax.random.randint(epochs_key, (2, settings.games), 0, held)
    random = jnp.full((settings.games, *now[player].shape), 1 / now[player].shape[1], now[player].dtype)
    rate = (memory.updates + 1).astype(random.dtype) ** -settings.averaging

    # Games in which it acts at random, for its critic and its regrets.
    then = [kept[drawn[0]] for kept in policies]
    played = play(sets.tree, [random if seat == player else own for seat, own in enumerate(then)], own_key)
    critic = backed_up(sets, player, memory.critic, now, played, settings.critic_rate)
    critics = memory.past.critics.at[place].set(critic, mode="drop")
    regrets = _mean(sets.tree, player, played, advantages(sets.tree, then[player], critics[drawn[0]], played))

    # Games in which the others act at random, for its average policy.
    then = [kept[drawn[1]] for kept in policies]
    played = play(sets.tree, [own if seat == player else random for seat, own in enumerate(then)], others_key)
    chosen = _at_information_sets(sets.tree, then[player], played)
    average = _mean(sets.tree, player, played, chosen)

    regrets = memory.regrets + rate * (regrets - memory.regrets)
    average = memory.average + rate * (average - memory.average)
    theta = _as_table(average, own_state.theta, logits(player, own_state.theta))
    past = Epochs(policies, critics)
    return LearnerState(theta, Memory(matched(regrets), regrets, average, critic, past, memory.updates + 1)), {}


@struct.dataclass
class Played:
    """Games from the root on.

    Attributes:
      nodes: [games, steps + 1] int32; the last one is a leaf, at which shorter games stay.
      actions: [games, steps] int32, the actions and the branches of chance taken.
    """

    nodes: jax.Array
    actions: jax.Array


def play(tree: Arrays, tables: Sequence[jax.Array], key: jax.Array) -> Played:
    """Plays games.

    Args:
      tree: the game.
      tables: per player [games, information sets, actions], the probabilities with which it acts in each game.
      key: a PRNG key.
    """
    games, steps, branches = tables[0].shape[0], _depth(tree), tree.probabilities.shape[1]
    uniforms = jax.random.uniform(key, (steps, games), tables[0].dtype)
    node = jnp.zeros(games, jnp.int32)
    nodes, actions = [node], []
    for step in range(steps):
        chances = jnp.asarray(tree.probabilities, uniforms.dtype)[node]
        for player, table in enumerate(tables):
            own = jnp.pad(_row(tree, table, node), ((0, 0), (0, branches - table.shape[-1])))
            chances = jnp.where((jnp.asarray(tree.mover)[node] == player)[:, None], own, chances)
        along = jnp.cumsum(chances, axis=1)
        # The first action at which the cumulative probability exceeds the drawn number: never one of probability 0.
        action = jnp.argmax(along > (uniforms[step] * along[:, -1])[:, None], axis=1).astype(jnp.int32)
        node = jnp.asarray(tree.children, jnp.int32)[node, action]
        nodes.append(node)
        actions.append(action)
    return Played(jnp.stack(nodes, axis=1), jnp.stack(actions, axis=1))


def backed_up(
    sets: InformationSets, player: int, critic: jax.Array, policies: Sequence[jax.Array], played: Played, rate: Any
) -> jax.Array:
    """A critic of one player's values after a step towards the tree backups of some games.

    Args:
      sets: the game.
      player: whose values.
      critic: [nodes, actions].
      policies: per player [information sets, actions], whose values are estimated, whoever played the games.
      played: the games.
      rate: the part of the mean error in each history and action by which it moves.
    """
    tree = sets.tree
    leaf = np.zeros(len(tree.mover), np.int32)
    leaf[tree.leaves] = np.arange(len(tree.leaves))
    value = sets.rewards[jnp.asarray(leaf)[played.nodes[:, -1]], player].astype(critic.dtype)
    errors, counts = jnp.zeros_like(critic), jnp.zeros_like(critic)
    for step in reversed(range(played.actions.shape[1])):
        node = played.nodes[:, step]
        mover = jnp.asarray(tree.mover)[node]
        decides = (mover >= 0) & (mover < len(policies))
        action = jnp.where(decides, played.actions[:, step], 0)
        values = critic[node]
        chances = jnp.zeros_like(values)
        for seat, policy in enumerate(policies):
            own = policy[jnp.maximum(jnp.asarray(tree.information)[node], 0)]
            chances = jnp.where((mover == seat)[:, None], own, chances)
        taken = jnp.arange(values.shape[1]) == action[:, None]
        error = value - jnp.sum(jnp.where(taken, values, 0), axis=1)
        errors = errors.at[node, action].add(jnp.where(decides, error, 0))
        counts = counts.at[node, action].add(decides.astype(critic.dtype))
        value = jnp.where(decides, jnp.sum(chances * jnp.where(taken, value[:, None], values), axis=1), value)
    return critic + rate * errors / jnp.maximum(counts, 1)


def advantages(tree: Arrays, policies: jax.Array, critics: jax.Array, played: Played) -> jax.Array:
    """q(h, a) - sum over a' of pi(a' | I) q(h, a') on the way of some games, [games, steps, actions].

    Args:
      tree: the game.
      policies: [games, information sets, actions], a player's policy in each game.
      critics: [games, nodes, actions], its values.
      played: the games.
    """
    games = jnp.arange(critics.shape[0])[:, None]
    values = critics[games, played.nodes[:, :-1]]
    expected = jnp.sum(_at_information_sets(tree, policies, played) * values, axis=-1, keepdims=True)
    return values - expected


def matched(regrets: jax.Array) -> jax.Array:
    """Regret matching, [information sets, actions]: probabilities in proportion to positive regrets, or all the same if
    none is positive."""
    positive = jnp.maximum(regrets, 0)
    total = jnp.sum(positive, axis=1, keepdims=True)
    return jnp.where(total > 0, positive / jnp.where(total > 0, total, 1), 1 / regrets.shape[1])


def _place(settings: Settings, updates: jax.Array, key: jax.Array) -> jax.Array:
    """The place in which the next epoch after `updates` epochs is kept, [] int32; `epochs` if it is not kept. Every
    epoch has the same chance of being kept."""
    drawn = jax.random.randint(key, (), 0, updates + 1)
    return jnp.where(updates < settings.epochs, updates, jnp.minimum(drawn, settings.epochs))


def _mean(tree: Arrays, player: int, played: Played, amounts: jax.Array) -> jax.Array:
    """The mean over games of amounts [games, steps, actions], by a player's information sets, [information sets,
    actions]; 0 where it was not its turn."""
    nodes = played.nodes[:, :-1]
    turn = (jnp.asarray(tree.mover)[nodes] == player)[..., None]
    rows = jnp.maximum(jnp.asarray(tree.information)[nodes], 0)
    return jnp.zeros((_rows(tree), amounts.shape[-1]), amounts.dtype).at[rows].add(jnp.where(turn, amounts, 0)) / len(
        nodes
    )


def _rows(tree: Arrays) -> int:
    """Rows of a table of probabilities: the information sets of the player who has most, and one for waiting."""
    return max(map(len, tree.names)) + 1


def _row(tree: Arrays, table: jax.Array, node: jax.Array) -> jax.Array:
    """What a table [games, information sets, actions] says at a node for each game, [games, actions]."""
    return table[jnp.arange(table.shape[0]), jnp.maximum(jnp.asarray(tree.information)[node], 0)]


def _at_information_sets(tree: Arrays, table: jax.Array, played: Played) -> jax.Array:
    """The same on the way of each game, [games, steps, actions]."""
    rows = jnp.maximum(jnp.asarray(tree.information)[played.nodes[:, :-1]], 0)
    return table[jnp.arange(table.shape[0])[:, None], rows]


def _depth(tree: Arrays) -> int:
    """The most steps that a game may take."""
    depth = np.zeros(len(tree.mover), int)
    # Parents come before their children, and a leaf's child is itself.
    for node, children in enumerate(tree.children):
        for child in children:
            if child != node:
                depth[child] = depth[node] + 1
    return int(depth.max())


def _as_table(average: jax.Array, theta: jax.Array, logits: jax.Array) -> jax.Array:
    """The parameters of the average policy; in situations that it has not met, those that give these logits."""
    total = jnp.sum(average, axis=1, keepdims=True)
    probabilities = jnp.where(total > 0, average / jnp.where(total > 0, total, 1), jax.nn.softmax(logits))
    table = jnp.log(jnp.maximum(probabilities, _SMALLEST))
    return table[:, 0] - table[:, 1] if theta.ndim == 1 else table


LEARNERS = {"armac": armac}
