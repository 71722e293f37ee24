"""A learner of the prisoner's dilemma that sees its partner's embedding, beside one that does not and one that is told
who it is. Part of `benchmarks/atlas.py`.

The pool consists of ten scripted strategies. The encoder has seen none of them: it was trained on random tables. A
learner sees the embedding of episodes that its partner has played with a random player, and is trained by exact
gradients of its mean value against the pool. It is tested with embeddings of episodes that it has not seen.
"""

import jax
import jax.numpy as jnp
import numpy as np
import optax

import shaping
from benchmarks.planted_policies import EPISODES, GAME, interval, planted, played
from shaping import representations
from shaping.objectives.best_responses import best_responses
from shaping.objectives.exact_matrix import exact_matrix_game
from shaping.policies.memory_one import logit
from shaping.policies.zero_determinant import extortionate
from shaping.representations import conditioned_logits, encode, encode_each

POOL = {
    "ALLC": [1, 1, 1, 1, 1],
    "ALLD": [0, 0, 0, 0, 0],
    "TFT": [1, 1, 0, 1, 0],
    "GRIM": [1, 1, 0, 0, 0],
    "WSLS": [1, 1, 0, 0, 1],
    "generous TFT": [1, 1, 1 / 3, 1, 1 / 3],
    "extortionate": extortionate(),
    "bully": [0, 0, 1, 0, 1],
    "anti-TFT": [1, 0, 1, 0, 1],
    "random": [0.5] * 5,
}
UPDATES, STEP_SIZE = 1500, 0.05
EXACT = exact_matrix_game(GAME, (shaping.tabular(5),) * 2)


def values(theta: jax.Array, seen: jax.Array, tables: jax.Array) -> jax.Array:
    """The learner's normalised value with each partner, [partners, embeddings]."""
    returns = EXACT.objective(GAME.default_params).returns

    def one(embedding: jax.Array, partner: jax.Array) -> jax.Array:
        found, _ = returns([conditioned_logits(theta, embedding), logit(partner)], None, None)
        return (1 - GAME.discount) * found[0]

    return jax.vmap(jax.vmap(one, (0, None)))(seen, tables)


@jax.jit
def learned(start: jax.Array, seen: jax.Array, tables: jax.Array) -> jax.Array:
    """Parameters after Adam's ascent of the mean value over partners and embeddings."""
    optimiser = optax.adam(optax.cosine_decay_schedule(STEP_SIZE, UPDATES))

    def update(before, _):
        theta, state = before
        gradient = jax.grad(lambda theta: -values(theta, seen, tables).mean())(theta)
        change, state = optimiser.update(gradient, state)
        return (optax.apply_updates(theta, change), state), None

    return jax.lax.scan(update, (start, optimiser.init(start)), None, UPDATES)[0][0]


def seeing_partners(seeds: int) -> dict:
    """Mean values over the pool, with 95 % intervals over seeds; and the most that anybody can earn."""
    rows: dict = {}
    pool = [np.asarray(row, float) for row in POOL.values()]
    tables = jnp.asarray(np.stack(pool))
    for seed in range(seeds):
        others = played(planted("arcsine", 500, seed), EPISODES, 100 + seed)
        encoder = representations.train(others, "both", dimension=16, seed=seed)
        meet, test = played(pool, EPISODES, 200 + seed), played(pool, EPISODES, 300 + seed)
        five = np.array([encode(encoder, test.only(episodes=slice(k, None, 4))) for k in range(4)])
        own = np.repeat(np.eye(len(pool))[:, None], 2, axis=1)
        contexts = {
            "nothing": (np.zeros((len(pool), 1, 0)), np.zeros((len(pool), 1, 0))),
            "embedding of one episode": (encode_each(encoder, meet), encode_each(encoder, test)),
            "embedding of five episodes": (
                np.stack([encode(encoder, meet.only(episodes=slice(k, None, 4))) for k in range(4)], 1),
                five.swapaxes(0, 1),
            ),
            "true identity": (own, own),
        }
        for name, (known, new) in contexts.items():
            # Numbers of one size, about 0, for one step size; the same change for known and new ones.
            middle, scale = known.mean((0, 1)), max(float(known.std()), 1e-6) if known.size else 1.0
            given = [jnp.asarray((x - middle) / scale, jnp.float32) for x in (known, new)]
            start = 0.1 * jax.random.normal(jax.random.key(seed), (5, 1 + known.shape[-1]))
            found = np.asarray(values(learned(start, given[0], tables), given[1], tables)).mean(1)
            rows.setdefault(name, []).append(float(found.mean()))
            for who, value in zip(POOL, found, strict=True):
                rows.setdefault(f"{name}, against {who}", []).append(float(value))
        print(seed, {name: round(rows[name][-1], 3) for name in contexts}, flush=True)
    most = np.asarray(best_responses(GAME, pool).value)
    found = {name: interval(each) for name, each in rows.items()}
    return found | {"best responses": float(most.mean()), "each": dict(zip(POOL, most.round(3).tolist(), strict=True))}
