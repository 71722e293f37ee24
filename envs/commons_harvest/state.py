"""The numbers of commons harvest, and its state."""

import flax.struct
import jax


@flax.struct.dataclass
class CommonsHarvestParams:
    """The numbers of the game. Every leaf may carry leading axes that a vmap maps over.

    Attributes:
        regrowth: [numbers] float in [0, 1], the probability that an eaten apple is back after a step, by the number of
            apples within a distance of 2; the last entry also holds for larger numbers.
        apple_reward: [] float, for an apple.
        zap_reward, zapped_reward: [] float, for zapping (each time, hit or not) and for being hit.
        beam_length, beam_radius: [] int32, cells that a beam reaches ahead, and to either side.
        timeout: [] int32, steps that a hit player is off the map.
        cooldown: [] int32, steps after a zap in which its player cannot zap.
        horizon: [] int32, steps of an episode.
    """

    regrowth: jax.Array
    apple_reward: jax.Array
    zap_reward: jax.Array
    zapped_reward: jax.Array
    beam_length: jax.Array
    beam_radius: jax.Array
    timeout: jax.Array
    cooldown: jax.Array
    horizon: jax.Array


@flax.struct.dataclass
class CommonsHarvestState:
    """The complete state.

    Attributes:
        places: [players, 2] int32, row and column; for a player off the map the last ones.
        facing: [players] int32, 0 up, 1 right, 2 down, 3 left.
        away: [players] int32, steps still to spend off the map; 0 for a player on the map.
        cooldown: [players] int32, steps in which it still cannot zap.
        apples: [apple cells] bool, in reading order.
        step: [] int32, steps taken since the reset.
    """

    places: jax.Array
    facing: jax.Array
    away: jax.Array
    cooldown: jax.Array
    apples: jax.Array
    step: jax.Array
