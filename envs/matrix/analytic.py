"""Differentiable games by name: returns as functions of the players' parameters, which are themselves the actions.

A game is `(thetas, **numbers) -> returns`: `thetas` holds one parameter vector per player (each of one number here),
`returns` one return per player, to be maximised. The literature states most of them as losses L = -V, and so do the
docstrings. Numbers may be arrays or traced. A game for any number of players takes it as `num_players`.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax


# Annotations here are types, not text, because configuration readers inspect them.
def tandem(thetas: Sequence[Any], num_players: int = 2) -> list[Any]:
    """Tandem game: L_i = s^2 - 2 x_i with s the sum of all parameters. Pulling more than the others burdens everybody.

    Every fixed point of naive learning has s = 1 and mean loss 1 - 2 / n, which is 0 for two players. Source: SOS
    (Letcher et al., ICLR 2019, section 4), which has two players.
    """
    del num_players
    s = sum(theta[0] for theta in thetas)
    return [2 * theta[0] - s**2 for theta in thetas]


def bilinear(thetas: Sequence[Any], coupling: float = 1.0) -> list[Any]:
    """Bilinear zero-sum game: L_1 = coupling x y = -L_2. Naive learners spiral away from the equilibrium (0, 0)."""
    product = coupling * thetas[0][0] * thetas[1][0]
    return [-product, product]


def hamiltonian(thetas: Sequence[Any]) -> list[Any]:
    """Hamiltonian game: L_1 = x y = -L_2, the bilinear game as COLA names it (Willi et al., ICML 2022)."""
    return bilinear(thetas, 1.0)


def balduzzi(thetas: Sequence[Any], coupling: float = 10.0) -> list[Any]:
    """Balduzzi game: L_1 = x^2 / 2 + coupling x y, L_2 = y^2 / 2 - coupling x y. A weak attractor, strong rotation.

    Source: Balduzzi et al. (ICML 2018), with the coupling of COLA (Willi et al., ICML 2022).
    """
    x, y = thetas[0][0], thetas[1][0]
    return [-(x**2) / 2 - coupling * x * y, -(y**2) / 2 + coupling * x * y]


def ultimatum(thetas: Sequence[Any], total: float = 10.0, unfair: float = 8.0) -> list[Any]:
    """Ultimatum game, one shot: player 0 offers half of `total` with probability sigmoid(x), else keeps `unfair` of it.

    A fair offer is always accepted, an unfair one with probability sigmoid(y); rejected, both get nothing:
    V_1 = total/2 p + unfair (1 - p) q, V_2 = total/2 p + (total - unfair) (1 - p) q. Source: COLA (Willi et al., ICML
    2022).
    """
    fair, accept = jax.nn.sigmoid(thetas[0][0]), jax.nn.sigmoid(thetas[1][0])
    unfair_deal = (1 - fair) * accept
    return [total / 2 * fair + unfair * unfair_deal, total / 2 * fair + (total - unfair) * unfair_deal]


def logistic(thetas: Sequence[Any], confinement: float = 1e-4) -> list[Any]:
    """Logistic game: L_1 = 4 sigmoid(x) (1 - 2 sigmoid(y)) + c ((x y)^2 + (x^2 - y^2)^2), L_2 with x and y exchanged.

    Two attractors of naive learning, both players high (good for both) and both low; the term with c = `confinement`
    keeps parameters finite. Source: MeVa (Cooijmans et al. 2023, Meta-Value Learning, the authors' notebook).
    """
    x, y = thetas[0][0], thetas[1][0]
    high_x, high_y = jax.nn.sigmoid(x), jax.nn.sigmoid(y)
    fence = confinement * ((x * y) ** 2 + (x**2 - y**2) ** 2)
    return [-4 * high_x * (1 - 2 * high_y) - fence, -4 * high_y * (1 - 2 * high_x) - fence]


ANALYTIC_GAMES: dict[str, Callable[..., list[Any]]] = {
    "tandem": tandem,
    "bilinear": bilinear,
    "hamiltonian": hamiltonian,
    "balduzzi": balduzzi,
    "ultimatum": ultimatum,
    "logistic": logistic,
}
