"""The numbers of the fruit market, and its state."""

import flax.struct
import jax


@flax.struct.dataclass
class FruitMarketParams:
    """The numbers of the game. Every leaf may carry leading axes that a vmap maps over.

    Attributes:
        apple_trees, banana_trees: [regions] float in [0, 1], the probabilities that a cell which may bear a tree bears
            an apple tree, or a banana tree. If they add up to more than 1, there are that many fewer banana trees.
        own_tree_chance, other_tree_chance: [] float in [0, 1], the probability per step that a player harvests the ripe
            tree it stands on, if it bears the player's own fruit, or the other.
        own_fruit_reward, other_fruit_reward: [] float, for eating a fruit of the own kind, or of the other.
        harvest: [] int32, fruit of a harvest.
        regrowth: [] int32, steps from a harvest until the tree is ripe again.
        radius: [] int32, the (Euclidean) distance within which players trade.
        hunger_delay: [] int32, steps after a meal from which on hunger costs stamina.
        water_cost: [] int32, the stamina that a step in water costs.
        horizon: [] int32, steps of an episode.
    """

    apple_trees: jax.Array
    banana_trees: jax.Array
    own_tree_chance: jax.Array
    other_tree_chance: jax.Array
    own_fruit_reward: jax.Array
    other_fruit_reward: jax.Array
    harvest: jax.Array
    regrowth: jax.Array
    radius: jax.Array
    hunger_delay: jax.Array
    water_cost: jax.Array
    horizon: jax.Array


@flax.struct.dataclass
class FruitMarketState:
    """The complete state. Fruit are 0 apples and 1 bananas.

    Attributes:
        places: [players, 2] int32, row and column.
        held: [players, fruit] int32, what each player carries.
        offers: [players, fruit] int32, what each player asks for (above 0) and gives for it (below 0); 0 for no offer.
        hunger: [players] int32, steps since the last meal.
        stamina: [players] int32, 0 to `rules.FULL`.
        moves: [players] int32, 1 if a player has made one move since moving last cost it stamina, otherwise 0.
        weary: [players] int32, steps in which it still cannot move.
        trees: [cells] int32, 0 for no tree, 1 for an apple tree, 2 for a banana tree.
        ripe_in: [cells] int32, steps until a tree is ripe; 0 for a ripe one, and where there is none.
        step: [] int32, steps taken since the reset.
    """

    places: jax.Array
    held: jax.Array
    offers: jax.Array
    hunger: jax.Array
    stamina: jax.Array
    moves: jax.Array
    weary: jax.Array
    trees: jax.Array
    ripe_in: jax.Array
    step: jax.Array
