"""What is measured of the fruit market: production, consumption, prices and arbitrage."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from shaping.envs.declarations import Measure
from shaping.envs.measures import fraction, per_player

FRUIT = ("apples", "bananas")


def market_measures(regions: int) -> dict[str, Measure]:
    """The measures of a market with so many regions."""
    labels = tuple(f"region {number}" for number in range(regions))
    return {
        "production": Measure(
            "Fruit that a player harvests in an episode.", "fruit harvested per episode", 0.0, per_episode=True
        ),
        "consumption": Measure(
            "Fruit that a player eats in an episode.", "fruit eaten per episode", 0.0, per_episode=True
        ),
        "trades": Measure("Trades that a player makes in an episode.", "trades per episode", 0.0, per_episode=True),
        "price": Measure(
            "Bananas given for an apple, in all trades of all players; the same for all players.",
            "bananas per apple",
            0.0,
        ),
        "scarcity": Measure(
            "Bananas harvested for each apple harvested, by all players; the same for all players. It is the price at "
            "which farmers who sell all that they grow find buyers for all of it.",
            "bananas per apple harvested",
            0.0,
        ),
        "arbitrage": Measure(
            "What a player gains in an episode by buying apples and selling as many: their number times the difference "
            "of its mean prices, in bananas.",
            "bananas per episode",
            per_episode=True,
        ),
        "harvested": Measure(
            "Fruit that a player harvests in an episode, by kind.",
            "harvested per episode",
            0.0,
            axis="fruit",
            labels=FRUIT,
            per_episode=True,
        ),
        "eaten": Measure(
            "Fruit that a player eats in an episode, by kind.",
            "eaten per episode",
            0.0,
            axis="fruit",
            labels=FRUIT,
            per_episode=True,
        ),
        "price_by_region": Measure(
            "Bananas given for an apple in a player's trades, by the region in which it stands.",
            "bananas per apple",
            0.0,
            axis="region",
            labels=labels,
        ),
    }


def start_counts(players: int, regions: int) -> dict[str, jax.Array]:
    """Zero for what `count` adds up.

    - over all episodes: `harvested`, `eaten`, `exchanged` [players, fruit] int32, the last without signs; `trades`
      [players] int32; `exchanged_in` [players, regions, fruit] int32; `arbitrage` [players] float32, of finished
      episodes
    - in the present episode: `bought` and `sold`, [players, fruit] int32, what changed hands when a player bought
      apples, and when it sold apples
    """
    by_fruit = jnp.zeros((players, 2), jnp.int32)
    counts = {what: by_fruit for what in ("harvested", "eaten", "exchanged", "bought", "sold")}
    return counts | {
        "trades": jnp.zeros((players,), jnp.int32),
        "exchanged_in": jnp.zeros((players, regions, 2), jnp.int32),
        "arbitrage": jnp.zeros((players,), jnp.float32),
    }


def count(counts: Mapping[str, jax.Array], ended: jax.Array, info: Mapping[str, jax.Array]) -> dict[str, jax.Array]:
    """The counts after one more step; see `FruitMarket.step` for `info`."""
    traded = info["traded"]
    amounts, buys = jnp.abs(traded), traded[:, 0] > 0
    regions = counts["exchanged_in"].shape[-2]
    there = info["region"][:, None] == jnp.arange(regions, dtype=jnp.int32)[None]
    bought = counts["bought"] + jnp.where(buys[:, None], amounts, 0)
    sold = counts["sold"] + jnp.where(buys[:, None], 0, amounts)
    gained = jnp.where(ended, gain_of_resale(bought, sold), 0)
    return {
        "harvested": counts["harvested"] + info["harvested"],
        "eaten": counts["eaten"] + info["eaten"],
        "exchanged": counts["exchanged"] + amounts,
        "bought": jnp.where(ended, 0, bought),
        "sold": jnp.where(ended, 0, sold),
        "trades": counts["trades"] + (info["partner"] >= 0).astype(jnp.int32),
        "exchanged_in": counts["exchanged_in"] + there[:, :, None].astype(jnp.int32) * amounts[:, None],
        "arbitrage": counts["arbitrage"] + gained,
    }


def gain_of_resale(bought: jax.Array, sold: jax.Array) -> jax.Array:
    """min(apples bought, apples sold) x (price when sold - price when bought), [players] float32; see `start_counts`
    for the arguments."""
    both = jnp.minimum(bought[:, 0], sold[:, 0]).astype(jnp.float32)
    when_sold, when_bought = (
        amounts[:, 1].astype(jnp.float32) / jnp.maximum(amounts[:, 0], 1).astype(jnp.float32)
        for amounts in (sold, bought)
    )
    return both * (when_sold - when_bought)


def metrics(counts: Mapping[str, Any]) -> dict[str, jax.Array]:
    """The values of `market_measures`."""
    given = {what: jnp.asarray(counts[what], dtype=float) for what in counts}
    n = given["trades"].shape[-1]
    exchanged, harvested = given["exchanged"].sum(-2), given["harvested"].sum(-2)
    return {
        "production": given["harvested"].sum(-1),
        "consumption": given["eaten"].sum(-1),
        "trades": given["trades"],
        "price": per_player(fraction(exchanged[..., 1], exchanged[..., 0]), n),
        "scarcity": per_player(fraction(harvested[..., 1], harvested[..., 0]), n),
        "arbitrage": given["arbitrage"],
        "harvested": given["harvested"],
        "eaten": given["eaten"],
        "price_by_region": fraction(given["exchanged_in"][..., 1], given["exchanged_in"][..., 0]),
    }
