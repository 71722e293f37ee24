"""What a trial is made of: its numbers, who sits where, and where its streams stand."""

from typing import Any

import jax
from flax import struct

from shaping.objectives.play_batches import Batch
from shaping.population.pools import Opponent, Pool


@struct.dataclass
class Copy:
    """A shaper that also sits within.

    Attributes:
      share: in which share of trials, a scalar from 0 to 1.
      shaper: the seat of the shaper that is copied.
    """

    share: Any
    shaper: int = struct.field(pytree_node=False)


@struct.dataclass
class MetaParams:
    """The numbers of a meta-game; every leaf may have leading axes that a vmap maps over.

    Attributes:
      game: those of the game that is played.
      pools: for each seat its pool, None for a shaper's seat.
      copies: for each seat the shaper whose copy sits there in some trials, None if nobody's does; () for nowhere.
    """

    game: Any
    pools: tuple[Pool | None, ...]
    copies: tuple[Copy | None, ...] = ()

    def copy(self, seat: int) -> Copy | None:
        """The shaper whose copy may sit in a seat."""
        return self.copies[seat] if self.copies else None


@struct.dataclass
class Rounds:
    """Where the streams of a sampled trial stand; leaves [streams, ...].

    Attributes:
      observations: [streams, players, ...] of the game.
      env: states of the game.
      memories: for each seat what its policy remembers, () for a shaper's seat.
      running: False where the inner episode is over before its last round.
    """

    observations: jax.Array
    env: Any
    memories: tuple[Any, ...]
    running: jax.Array


@struct.dataclass
class MetaState:
    """A trial.

    Attributes:
      others: for each seat the learner within, None for a shaper's seat.
      copied: for each seat whether a copy of a shaper sits there in this trial, [] bool; None where none ever does.
      played: for each seat where a shaper or its copy sits the parameters that it last played, if the game is exact;
        None otherwise.
      rounds: where the streams stand, if it is sampled; None otherwise.
      batch: what was played since the last inner update, [rounds, streams, ...]; None if the game is exact.
      update, round: [] int32, inner updates so far, and rounds since the last one.
    """

    others: tuple[Opponent | None, ...]
    copied: tuple[jax.Array | None, ...]
    played: tuple[Any, ...]
    rounds: Rounds | None
    batch: Batch | None
    update: jax.Array
    round: jax.Array
