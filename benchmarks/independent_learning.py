"""Learners of two players and two actions in plain NumPy, float64, from the formulas of the papers.

Nothing here uses `shaping` or automatic differentiation, so that an error would have to be made twice to go unnoticed.
First derivatives of exact returns are written out, second ones are complex steps, df/dx = Im f(x + ih) / h, which have
no cancellation; directions through a learning opponent's direction are central differences.

Conventions: a table has five logits of cooperation, after nothing (the start), CC, CD, DC, DD with the own action
first. Sources: Foerster et al. 2018 (LOLA), Letcher et al. 2019 (SOS and what it is compared with), Zhao et al. 2022
(POLA, networks).
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

TINY = 1e-30
SWAPPED = [0, 1, 3, 2, 4]
"""The five states as the other player sees them."""

Parameters = list[np.ndarray]
"""Of both players, each [matches, numbers]."""


# Parameterisations: from parameters [matches, numbers] to logits [matches, 5], and gradients back.


@dataclass(frozen=True)
class Logits:
    """Logits are a linear map of the parameters, the identity by default."""

    matrix: np.ndarray = field(default_factory=lambda: np.eye(5))
    scale: float = 1.0

    def start(self, random: np.random.Generator, matches: int) -> np.ndarray:
        return self.scale * random.standard_normal((matches, 5))

    def logits(self, theta: np.ndarray) -> np.ndarray:
        return theta @ self.matrix.T

    def back(self, theta: np.ndarray, slope: np.ndarray) -> np.ndarray:
        return slope @ self.matrix


class Network:
    """A hidden layer of 16 tanh units between the two last actions, one-hot with a third entry for "none", and a
    logit; weights and biases start uniformly within 1 / sqrt(inputs)."""

    HIDDEN = 16
    INPUTS = np.eye(3)[[[2, 2], [1, 1], [1, 0], [0, 1], [0, 0]]].reshape(5, 6)

    def start(self, random: np.random.Generator, matches: int) -> np.ndarray:
        first = random.uniform(-1, 1, (matches, 7 * self.HIDDEN)) / math.sqrt(6)
        return np.concatenate([first, random.uniform(-1, 1, (matches, self.HIDDEN + 1)) / math.sqrt(self.HIDDEN)], 1)

    def _layers(self, theta: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Hidden values [matches, 5, hidden], and the last layer's weights [matches, hidden] and bias [matches]."""
        size = 6 * self.HIDDEN
        weights = theta[:, :size].reshape(-1, 6, self.HIDDEN)
        hidden = np.tanh(self.INPUTS @ weights + theta[:, None, size : size + self.HIDDEN])
        return hidden, theta[:, size + self.HIDDEN : -1], theta[:, -1]

    def logits(self, theta: np.ndarray) -> np.ndarray:
        hidden, last, bias = self._layers(theta)
        return np.einsum("msh,mh->ms", hidden, last) + bias[:, None]

    def back(self, theta: np.ndarray, slope: np.ndarray) -> np.ndarray:
        hidden, last, _ = self._layers(theta)
        inner = slope[..., None] * last[:, None] * (1 - hidden**2)
        weights = np.einsum("si,msh->mih", self.INPUTS, inner).reshape(len(theta), -1)
        parts = weights, inner.sum(1), np.einsum("ms,msh->mh", slope, hidden), slope.sum(1, keepdims=True)
        return np.concatenate(parts, axis=1)


# Games of two players and two actions.


@dataclass(frozen=True)
class Game:
    """An iterated game, or one round of it with discount 0.

    Attributes:
      payoffs: [players, 4] or [matches, players, 4], after CC, CD, DC, DD with player 0's action first.
      discount: below 1.
      kind: the parameterisation of both players.
    """

    payoffs: np.ndarray
    discount: float = 0.96
    kind: Any = field(default_factory=Logits)

    def returns(self, thetas: Parameters) -> tuple[np.ndarray, list[Parameters]]:
        """Returns V [matches, players], and the gradients of V_i by the parameters of player j as `[i][j]`."""
        (p, p_not), (q, q_not) = (_probabilities(self.kind.logits(theta)) for theta in thetas)
        q, q_not = q[:, SWAPPED], q_not[:, SWAPPED]
        joint = np.stack([p * q, p * q_not, p_not * q, p_not * q_not], axis=-1)
        start, chain = joint[:, 0], np.eye(4) - self.discount * joint[:, 1:]
        payoffs = np.broadcast_to(self.payoffs, (len(p), 2, 4)).swapaxes(1, 2)
        # What follows each joint action, its own payoff included; how often each occurs, discounted.
        after = np.linalg.solve(chain, payoffs.astype(chain.dtype))
        visits = np.linalg.solve(chain.swapaxes(1, 2), start[..., None])[..., 0]
        weight = np.concatenate([np.ones_like(visits[:, :1]), self.discount * visits], axis=1)
        slopes = []
        for i in range(2):
            cc, cd, dc, dd = (after[:, a, i, None] for a in range(4))
            by_p = weight * p * p_not * (q * (cc - dc) + q_not * (cd - dd))
            by_q = (weight * q * q_not * (p * (cc - cd) + p_not * (dc - dd)))[:, SWAPPED]
            slopes.append([self.kind.back(t, by) for t, by in zip(thetas, (by_p, by_q), strict=True)])
        return np.einsum("ma,mai->mi", start, after), slopes

    def along(self, thetas: Parameters, player: int, direction: np.ndarray) -> list[Parameters]:
        """How the gradients `[i][j]` change if one player's parameters move in a direction."""
        moved = list(thetas)
        moved[player] = thetas[player] + 1j * TINY * direction
        return [[np.imag(slope) / TINY for slope in row] for row in self.returns(moved)[1]]


def _probabilities(logits: Any) -> tuple[np.ndarray, np.ndarray]:
    """sigmoid(logits) and 1 - sigmoid(logits), to full precision and without overflow."""
    up = logits.real >= 0
    small = np.exp(np.where(up, -logits, logits))
    high, low = 1 / (1 + small), small / (1 + small)
    return np.where(up, high, low), np.where(up, low, high)


def ipd() -> Game:
    return Game(np.array([[-1.0, -3, 0, -2], [-1, 0, -3, -2]]))


def contribution(factor: Any, kind: Any) -> Game:
    """Each contribution costs 1 and pays factor / 2 to both; `factor` may be an array [matches]."""
    factor = np.asarray(factor, float)
    one, both = factor / 2, factor
    first = np.stack([both - 1, one - 1, one, 0 * one], axis=-1)
    return Game(np.stack([first, first[..., [0, 2, 1, 3]]], axis=-2), kind=kind)


# Rules: the direction in which player i climbs. `slopes` are the gradients at `thetas`.

Rule = Callable[[Game, Parameters, list[Parameters], int], np.ndarray]


def naive(game: Game, thetas: Parameters, slopes: list[Parameters], i: int) -> np.ndarray:
    return slopes[i][i]


def lola(rate: Any, middle: bool) -> Rule:
    """First-order expansion, with the term that Foerster et al. drop if `middle`."""

    def direction(game: Game, thetas: Parameters, slopes: list[Parameters], i: int) -> np.ndarray:
        j = 1 - i
        found = slopes[i][i] + rate * game.along(thetas, j, slopes[i][j])[j][i]
        return found + rate * game.along(thetas, j, slopes[j][j])[i][i] if middle else found

    return direction


def lola_exact(rate: Any) -> Rule:
    """The gradient of one's own return after the other's naive step."""

    def direction(game: Game, thetas: Parameters, slopes: list[Parameters], i: int) -> np.ndarray:
        j, after = 1 - i, list(thetas)
        after[j] = thetas[j] + rate * slopes[j][j]
        there = game.returns(after)[1][i]
        return there[i] + rate * game.along(thetas, j, there[j])[j][i]

    return direction


def lola_second_order(rate: float, step: float = 1e-4) -> Rule:
    """Expects the other to move in the direction of `lola(rate, middle=False)`."""
    other = lola(rate, False)

    def direction(game: Game, thetas: Parameters, slopes: list[Parameters], i: int) -> np.ndarray:
        j, change = 1 - i, np.zeros_like(thetas[i])

        def along(place: int, by: float) -> np.ndarray:
            moved = [theta.copy() for theta in thetas]
            moved[i][:, place] += by
            return np.sum(other(game, moved, game.returns(moved)[1], j) * slopes[i][j], axis=1)

        for place in range(change.shape[1]):
            # Five points: the error is of fourth order in the step.
            near, far = (along(place, by * step) - along(place, -by * step) for by in (1, 2))
            change[:, place] = (8 * near - far) / (12 * step)
        return slopes[i][i] + rate * change

    return direction


def joint_rule(name: str, rate: float = 1.0) -> Rule:
    """The rules that Letcher et al. compare, in losses L = -V: xi = (d_i L_i), and H its derivative."""

    def direction(game: Game, thetas: Parameters, slopes: list[Parameters], i: int) -> np.ndarray:
        return -JOINT[name](_Joint(game, thetas, slopes), rate)[:, 5 * i : 5 * (i + 1)]

    return direction


class _Joint:
    """xi and H with its off-diagonal blocks at some parameters, [matches, 10] and [matches, 10, 10], and chi."""

    def __init__(self, game: Game, thetas: Parameters, slopes: list[Parameters]) -> None:
        self.game, self.thetas, self.slopes = game, thetas, slopes
        self.xi = -np.concatenate([slopes[0][0], slopes[1][1]], axis=1)
        columns = []
        for j in range(2):
            for unit in np.eye(5):
                change = game.along(thetas, j, np.broadcast_to(unit, thetas[j].shape))
                columns.append(-np.concatenate([change[0][0], change[1][1]], axis=1))
        self.h = np.stack(columns, axis=-1)
        self.off = self.h * (1 - np.kron(np.eye(2), np.ones((5, 5))))
        # chi_i = (d_i d_j L_j) d_j L_i
        across = np.concatenate([-slopes[1][0], -slopes[0][1]], axis=1)
        self.chi = times(self.off.swapaxes(1, 2), across)


def times(matrix: np.ndarray, vector: np.ndarray) -> np.ndarray:
    return np.einsum("mij,mj->mi", matrix, vector)


def dot(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.sum(a * b, axis=1, keepdims=True)


def solved(matrix: np.ndarray, vector: np.ndarray) -> np.ndarray:
    """NaN where a matrix is singular."""
    singular = ~np.isfinite(np.linalg.cond(matrix)) | (np.linalg.det(matrix) == 0)
    found = np.linalg.solve(np.where(singular[:, None, None], np.eye(matrix.shape[1]), matrix), vector[..., None])
    return np.where(singular[:, None], np.nan, found[..., 0])


def _lookahead(at: _Joint, rate: float) -> np.ndarray:
    return at.xi - rate * times(at.off, at.xi)


def _sos(at: _Joint, rate: float, a: float = 0.5, b: float = 0.1) -> np.ndarray:
    plain, shaping = _lookahead(at, rate), -rate * at.chi
    inner = dot(shaping, plain)
    first = np.where(inner >= 0, 1.0, np.minimum(1.0, -a * dot(plain, plain) / np.where(inner < 0, inner, -1)))
    norm = np.sqrt(dot(at.xi, at.xi))
    return plain + np.minimum(first, np.where(norm < b, norm**2, 1.0)) * shaping


def _sga(at: _Joint, rate: float, epsilon: float = 0.1) -> np.ndarray:
    transposed = times(at.h.swapaxes(1, 2), at.xi)
    adjustment = (transposed - times(at.h, at.xi)) / 2
    sign = np.sign(dot(at.xi, transposed) * dot(adjustment, transposed) / at.xi.shape[1] + epsilon)
    return at.xi + sign * adjustment


def _extragradient(at: _Joint, rate: float) -> np.ndarray:
    ahead = [theta + rate * at.slopes[j][j] for j, theta in enumerate(at.thetas)]
    there = at.game.returns(ahead)[1]
    return -np.concatenate([there[0][0], there[1][1]], axis=1)


JOINT: dict[str, Callable[[_Joint, float], np.ndarray]] = {
    "LookAhead": _lookahead,
    "SOS": _sos,
    "consensus optimisation": lambda at, rate: at.xi + times(at.h.swapaxes(1, 2), at.xi),
    "SGA": _sga,
    "extragradient": _extragradient,
    "CGD": lambda at, rate: solved(np.eye(10) + rate * at.off, at.xi),
    "LSS": lambda at, rate: (at.xi + times(at.h.swapaxes(1, 2), solved(at.h, at.xi))) / 2,
}


def pola(rate: Any, proximal_rate: Any, penalty: Any, tolerance: float = 1e-8, most: int = 5000) -> Rule:
    """Outer POLA: descends on the loss after the other's naive step, plus penalty * sum over states of KL(old || new),
    until a step changes the policy by less than the tolerance. Numbers may be arrays [matches, 1]."""

    def direction(game: Game, thetas: Parameters, slopes: list[Parameters], i: int) -> np.ndarray:
        numbers = [np.broadcast_to(n, (len(thetas[i]), 1)) for n in (rate, proximal_rate, penalty)]
        payoffs = np.broadcast_to(game.payoffs, (len(thetas[i]), 2, 4))
        now, left = thetas[i].copy(), np.arange(len(thetas[i]))
        for _ in range(most):
            step, size, weight = (n[left] for n in numbers)
            some = Game(payoffs[left], game.discount, game.kind)
            here = [theta[left] for theta in thetas]
            anchor = _probabilities(game.kind.logits(here[i]))[0]
            here[i] = now[left]
            policy = _probabilities(game.kind.logits(here[i]))
            gain = lola_exact(step)(some, here, some.returns(here)[1], i)
            new = here[i] + size * (gain - weight * game.kind.back(here[i], policy[0] - anchor))
            now[left] = new
            changed = _probabilities(game.kind.logits(new))
            change = np.maximum(_divergence(policy, changed), _divergence(changed, policy))
            left = left[change >= tolerance]
            if not len(left):
                break
        return now - thetas[i]

    return direction


def _divergence(old: tuple[np.ndarray, np.ndarray], new: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    """The sum over states of KL(old || new), [matches]."""
    return np.sum([np.sum(a * np.log(a / b), axis=1) for a, b in zip(old, new, strict=True)], axis=0)


# Learning.


@dataclass(frozen=True)
class Cell:
    """What one cell of a configuration trains."""

    game: Game
    rules: tuple[Rule, Rule]
    updates: int
    matches: int
    steps: tuple[Any, Any] = (1.0, 1.0)


def learn(cell: Cell, thetas: Parameters) -> Iterator[tuple[np.ndarray, Parameters]]:
    """Normalised values [matches, players] and parameters after 0, 1, ... updates."""
    values, slopes = cell.game.returns(thetas)
    yield (1 - cell.game.discount) * values, thetas
    for _ in range(cell.updates):
        with np.errstate(all="ignore"):
            directions = [rule(cell.game, thetas, slopes, i) for i, rule in enumerate(cell.rules)]
            new = [theta + step * d for theta, step, d in zip(thetas, cell.steps, directions, strict=True)]
        # A match that left the finite numbers stays where it was; its value is NaN from then on.
        fine = np.isfinite(values).all(1) & np.isfinite(new[0]).all(1) & np.isfinite(new[1]).all(1)
        thetas = [np.where(fine[:, None], n, theta) for n, theta in zip(new, thetas, strict=True)]
        returns, slopes = cell.game.returns(thetas)
        values = np.where(fine[:, None], returns, np.nan)
        yield (1 - cell.game.discount) * values, thetas


def table(game: Game, thetas: Parameters) -> np.ndarray:
    """P(cooperate | state), [matches, players, 5]."""
    return np.stack([_probabilities(game.kind.logits(theta))[0] for theta in thetas], axis=1)
