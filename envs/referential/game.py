"""The referential game, as an environment, and its optimum in closed form: a speaker sees an object, and a listener has
to find it.

Closed forms are of players who share a code of `messages` different messages.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from math import comb, log
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from shaping.envs.declarations import Measure
from shaping.envs.environment import check_actions, check_choice, check_integer, check_number
from shaping.envs.measures import fraction, per_player
from shaping.envs.spaces import Box, Discrete

MOST_OBJECTS = 4096
VIEWS = ("object", "attributes")
SPEAKER, LISTENER = 0, 1


@flax.struct.dataclass
class ReferentialParams:
    """The numbers of a game. Every leaf may carry leading axes that a vmap maps over.

    Attributes:
        reward: [] float, what both players get if the listener picks the object.
        horizon: [] int32, steps of an episode.
    """

    reward: jax.Array
    horizon: jax.Array


@flax.struct.dataclass
class ReferentialState:
    """What the speaker sees, what the listener chooses from, and the time.

    Attributes:
        candidates: [candidates] int32, the objects from which the listener picks.
        place: [] int32, the place among them of the one that the speaker sees.
        step: [] int32, steps taken since the reset.
        picked: [] int32, the place that the listener picked; -1 before.
    """

    candidates: jax.Array
    place: jax.Array
    step: jax.Array
    picked: jax.Array


def code_sizes(objects: int, messages: int) -> list[int]:
    """How many objects share each message in the best code: as equally many as possible."""
    used = min(objects, messages)
    return [objects // used + (number < objects % used) for number in range(used)]


def best_success(objects: int, messages: int, candidates: int | None = None) -> float:
    """How often the listener finds the object at best, if all objects are equally likely.

    A listener that knows the code picks among the candidates that share the message it hears. It is right with a
    probability of (the expected number of different messages among the candidates) / candidates, so the best one is
    sum over messages of (1 - C(objects - n, candidates) / C(objects, candidates)) / candidates,
    where n objects have the message. It is concave in n, and hence largest where all n are as equal as possible.

    Args:
        objects: how many there are.
        messages: how many different messages can be sent.
        candidates: from how many the listener picks; None for all.
    """
    k = objects if candidates is None else candidates
    return sum(1 - comb(objects - n, k) / comb(objects, k) for n in code_sizes(objects, messages)) / k


def best_information(objects: int, messages: int) -> float:
    """The largest mutual information of the object and the message in nats: the entropy of the messages of the best
    code, log(objects) if there is a message for each."""
    return sum(n / objects * log(objects / n) for n in code_sizes(objects, messages))


@dataclass(frozen=True)
class Referential:
    """The speaker sees one object, and the listener picks one of several; both win if it is the same.

    Objects have `attributes` attributes, each with one of `values` values, and all combinations exist. At the start of
    an episode one of them is drawn. The speaker sees it in every step. The listener picks in the last step, all other
    actions mean nothing. It knows nothing of the object but what it hears, so wrap the game in `Messages`
    (`game.messages` in a configuration): a message has horizon - 1 words, and the wrapper's `memory` should be as
    many. Without messages the listener can only guess.

    With `candidates` the listener picks among that many different objects in random order, which it sees, and the
    speaker's is one of them (Lazaridou, Peysakhovich and Baroni 2017); otherwise among all objects, which have their
    numbers as actions (the signalling game of Lewis 1969). The speaker never sees the candidates.

    Attributes:
        attributes: 1 or more.
        values: 2 or more; values^attributes is at most 4096.
        candidates: 2 to values^attributes, or None.
        view: "object" if objects are seen as numbers, "attributes" if they are seen as one one-hot vector per
            attribute, one after the other; with candidates always attributes.
        reward: the default number, see `ReferentialParams`.
        horizon: steps of an episode, 2 or more, the last for the pick.
        name: for records and messages.

    Raises:
        ValueError: for a setting out of its range. One line: the setting, its value and what is allowed.
    """

    attributes: int = 2
    values: int = 2
    candidates: int | None = None
    view: str = "object"
    reward: float = 1.0
    horizon: int = 2
    name: str = "referential"

    def __post_init__(self):
        check_integer("attributes", self.attributes, 1, 12)
        check_integer("values", self.values, 2, MOST_OBJECTS)
        if self.num_objects > MOST_OBJECTS:
            raise ValueError(
                f"values is {self.values!r}; allowed: at most {MOST_OBJECTS} objects, here {self.values}^"
                f"{self.attributes}"
            )
        check_choice("view", self.view, VIEWS)
        if self.candidates is not None:
            check_integer("candidates", self.candidates, 2, self.num_objects)
        # The dataclass is frozen; normalising fields here makes equal games equal and hashable.
        object.__setattr__(self, "reward", check_number("reward", self.reward))
        check_integer("horizon", self.horizon, 2, 2**31 - 2)

    num_players = 2
    egocentric = False
    showcase = "success"

    @property
    def num_objects(self) -> int:
        return self.values**self.attributes

    @property
    def objects(self) -> np.ndarray:
        """The values of all objects, [objects, attributes] int32, in counting order, the first attribute most
        significant."""
        return np.array(list(product(range(self.values), repeat=self.attributes)), np.int32)

    @property
    def _places(self) -> int:
        return self.num_objects if self.candidates is None else self.candidates

    @property
    def _numbered(self) -> bool:
        return self.view == "object" and self.candidates is None

    @property
    def action_space(self) -> Discrete:
        """The candidate to pick; without candidates, the object."""
        return Discrete(self._places)

    @property
    def observation_space(self) -> Discrete | Box:
        """The number of the object for the speaker, the number of objects for the listener, who sees nothing. As
        attributes: the object's, one-hot, and then those of each candidate; 0 for what a player does not see."""
        if self._numbered:
            return Discrete(self.num_objects + 1)
        return Box(((1 + (self.candidates or 0)) * self.attributes * self.values,))

    @property
    def default_params(self) -> ReferentialParams:
        return ReferentialParams(jnp.asarray(self.reward, dtype=float), jnp.int32(self.horizon))

    def reset(self, key: jax.Array, params: ReferentialParams) -> tuple[jax.Array, ReferentialState]:
        """A new object, and new candidates."""
        order, own = jax.random.split(key)
        candidates = jnp.arange(self.num_objects, dtype=jnp.int32)
        if self.candidates is not None:
            candidates = jax.random.permutation(order, candidates)[: self.candidates]
        place = jax.random.randint(own, (), 0, self._places, jnp.int32)
        state = ReferentialState(candidates, place, jnp.int32(0), jnp.int32(-1))
        return self.observe(state, params), state

    def step(
        self, key: jax.Array, state: ReferentialState, actions: jax.Array, params: ReferentialParams
    ) -> tuple[jax.Array, ReferentialState, jax.Array, jax.Array, jax.Array, dict[str, jax.Array]]:
        """Time passes, or in the last step the listener picks. Pure; one environment (vmap for many); never resets
        itself.

        Args:
            key: not used, because only the start is random.
            state: the state before.
            actions: [players] int, the candidate to pick.
            params: the game's numbers.

        Returns:
            obs: [players, ...], see `observation_space`.
            state: the state after.
            rewards: [players] float, the reward if the listener picked the right one; otherwise 0.
            terminated: [] bool, whether the listener has picked.
            truncated: [] bool, always False.
            info: {"object": [players] int32, see `declarations.objects`; "right": [] bool}.

        Raises:
            ValueError: for actions of a wrong shape or dtype, and, outside of jit, of a wrong value.
        """
        del key
        actions = check_actions(actions, self.num_players, self.action_space)
        ends = state.step + 1 >= params.horizon
        picked = jnp.where(ends, actions[LISTENER], -1).astype(jnp.int32)
        right = ends & (picked == state.place)
        after = ReferentialState(state.candidates, state.place, state.step + 1, picked)
        rewards = jnp.broadcast_to(jnp.where(right, params.reward, 0), (self.num_players,))
        info = {"object": jnp.stack([state.candidates[state.place], jnp.int32(-1)]), "right": right}
        return self.observe(after, params), after, rewards, ends, jnp.asarray(False), info

    def observe(self, state: ReferentialState, params: ReferentialParams) -> jax.Array:
        """What the players see, [players, ...]."""
        del params
        shown = state.candidates[state.place]
        if self._numbered:
            return jnp.stack([shown, jnp.int32(self.num_objects)])
        vectors = np.eye(self.values, dtype=np.float32)[self.objects].reshape(self.num_objects, -1)
        own = jnp.asarray(vectors)[shown]
        if self.candidates is None:
            return jnp.stack([own, jnp.zeros_like(own)])
        each = jnp.asarray(vectors)[state.candidates].reshape(-1)
        return jnp.stack(
            [
                jnp.concatenate([own, jnp.zeros_like(each)]),
                jnp.concatenate([jnp.zeros_like(own), each]),
            ]
        )

    def acting(self, state: ReferentialState) -> jax.Array:
        """Only the listener's pick matters, [players] bool."""
        return jnp.stack([jnp.asarray(False), state.step + 1 >= self.horizon])

    def start_counts(self) -> dict[str, jax.Array]:
        """Zero for what `count` adds up, [] int32: `picks` of the listener, and how many were `right`."""
        return {"picks": jnp.int32(0), "right": jnp.int32(0)}

    def count(
        self,
        counts: dict[str, jax.Array],
        state: ReferentialState,
        actions: jax.Array,
        rewards: jax.Array,
        ended: jax.Array,
        info: dict[str, jax.Array],
    ) -> dict[str, jax.Array]:
        """The sums after one more step."""
        del state, actions, rewards
        return {
            "picks": counts["picks"] + ended.astype(jnp.int32),
            "right": counts["right"] + info["right"].astype(jnp.int32),
        }

    @property
    def measures(self) -> dict[str, Measure]:
        """How often the listener is right."""
        chance = f"{1 / self._places:.3g}"
        meaning = f"The fraction of episodes in which the listener picks the speaker's object; {chance} by guessing."
        return {"success": Measure(meaning, "success", 0.0, 1.0)}

    def metrics(self, counts: Mapping[str, Any]) -> dict[str, jax.Array]:
        """The values of `measures`, the same for both players."""
        return {"success": per_player(fraction(counts["right"], counts["picks"]), self.num_players)}

    def text(self, state: ReferentialState, params: ReferentialParams) -> str:
        """For example "step 2: object (0, 1), picked (1, 1)"."""
        del params
        told = [tuple(one) for one in self.objects[np.asarray(state.candidates)].tolist()]
        found = f"step {int(state.step)}: object {told[int(state.place)]}"
        if self.candidates is not None:
            found += f" of {', '.join(map(str, told))}"
        return found + (f", picked {told[int(state.picked)]}" if int(state.picked) >= 0 else "")
