"""Exact LOLA with one lookahead in batched PyTorch: `torch.linalg.solve`, autograd with `create_graph`."""

from collections.abc import Callable
from typing import Any

import numpy as np

try:
    import torch
except ModuleNotFoundError as error:
    raise SystemExit(
        "The PyTorch reference needs torch: pip install torch==2.13.0 "
        "--index-url https://download.pytorch.org/whl/cpu (or leave it out with --contenders)"
    ) from error


def returns(theta_0: Any, theta_1: Any, payoffs: Any, discount: float) -> Any:
    """Unnormalised returns [pairs, 2] from logits [pairs, 5] in each player's own view, payoffs [2, 4]."""
    p = torch.sigmoid(theta_0)
    q = torch.sigmoid(theta_1)[:, [0, 1, 3, 2, 4]]
    joint = torch.stack([p * q, p * (1 - q), (1 - p) * q, (1 - p) * (1 - q)], dim=-1)
    chain = torch.eye(4, dtype=joint.dtype) - discount * joint[:, 1:].transpose(1, 2)
    return torch.linalg.solve(chain, joint[:, 0]) @ payoffs.T


def directions(theta: Any, payoffs: Any, discount: float, lookahead_rate: float) -> Any:
    """Both players' directions for all pairs, [2, pairs, 5] like `theta`."""
    # Pairs are independent, so the gradients of sums over them are the gradients of each.
    theta_0, theta_1 = (player.detach().requires_grad_() for player in theta)
    now = returns(theta_0, theta_1, payoffs, discount).sum(0)
    (ascent_0,) = torch.autograd.grad(now[0], theta_0, create_graph=True)
    (ascent_1,) = torch.autograd.grad(now[1], theta_1, create_graph=True)
    shaped_0 = returns(theta_0, theta_1 + lookahead_rate * ascent_1, payoffs, discount)[:, 0].sum()
    shaped_1 = returns(theta_0 + lookahead_rate * ascent_0, theta_1, payoffs, discount)[:, 1].sum()
    (direction_0,) = torch.autograd.grad(shaped_0, theta_0, retain_graph=True)
    (direction_1,) = torch.autograd.grad(shaped_1, theta_1)
    return torch.stack([direction_0, direction_1])


def contender(
    theta: np.ndarray, payoffs: Any, discount: float, lookahead_rate: float, step_size: float, updates: int
) -> Callable[[], np.ndarray]:
    """A function that runs all updates from `theta` [2, pairs, 5] and returns the new parameters."""
    torch.set_num_threads(2)
    start = torch.from_numpy(theta)
    matrix = torch.tensor(payoffs, dtype=start.dtype)

    def run() -> np.ndarray:
        current = start
        for _ in range(updates):
            current = current + step_size * directions(current, matrix, discount, lookahead_rate)
        return current.numpy()

    return run
