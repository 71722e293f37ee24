"""The network of meta-value learning (Cooijmans et al. 2023), and its regression loss."""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax


class MetaValueNetwork(nn.Module):
    """Quantiles of every player's Vhat, from joint parameters [players, parameters] and discounts [players].

    One network serves all players: it embeds each player's parameters and discount, then combines a player's own
    embedding with the mean of the others' embeddings. Others' embeddings are held fixed, so that the gradient of the
    sum over players gives each player its own gradient.
    """

    width: int
    quantiles: int
    symmetric: bool

    @nn.compact
    def __call__(self, x: jax.Array, g: jax.Array, signs: jax.Array | None = None) -> jax.Array:
        def normed(z: jax.Array) -> jax.Array:
            return nn.LayerNorm()(nn.Dense(self.width, use_bias=False)(z))

        z = nn.gelu(normed(nn.gelu(nn.Dense(self.width)(nn.sigmoid(x)))))
        z = jnp.concatenate([z, nn.gelu(nn.Dense(self.width)(g[:, None]))], axis=-1)
        if not self.symmetric:
            z = z * self.param("scale", nn.initializers.ones, z.shape)
            z = z + self.param("shift", nn.initializers.zeros, z.shape)
        z = nn.gelu(normed(z))
        players = z.shape[0]
        held = lax.stop_gradient(z)
        others = (jnp.sum(held, axis=0, keepdims=True) - held) / max(players - 1, 1)
        z = nn.gelu(normed(jnp.concatenate([z, others], axis=-1)))
        z = jnp.tanh(normed(z))
        return nn.Dense(self.quantiles)(z if signs is None else signs * z)


def quantile_huber(found: jax.Array, wanted: jax.Array) -> jax.Array:
    """Huber quantile regression (Dabney et al. 2018, eq. 10) of quantiles [..., Q] on targets [..., Q]."""
    count = found.shape[-1]
    levels = (jnp.arange(count, dtype=found.dtype) + 0.5) / count
    apart = wanted[..., None, :] - found[..., :, None]
    size = jnp.abs(apart)
    huber = jnp.where(size <= 1, size**2 / 2, size - 0.5)
    return jnp.sum(jnp.abs(levels[:, None] - (apart < 0)) * huber, axis=(-2, -1)) / count
