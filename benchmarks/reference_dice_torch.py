"""LOLA-DiCE for one pair in PyTorch, as it is usually written: plays are lists of tensors that grow step by step, and
autograd runs back through all of them.

The iterated prisoner's dilemma with tabular policies, one logit of cooperating per state (start, CC, CD, DC, DD, each
player's own action first), starting from zero. DiCE's objective with a baseline (Foerster et al. 2018b) includes the
log-probabilities of both players; every lookahead plays again.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

try:
    import torch
except ModuleNotFoundError as error:
    raise SystemExit(
        "The PyTorch reference needs torch: pip install torch==2.13.0 "
        "--index-url https://download.pytorch.org/whl/cpu (or leave it out with --contenders)"
    ) from error

DISCOUNT, LOOKAHEAD_RATE, STEP_SIZE, VALUE_STEP_SIZE = 0.96, 0.3, 0.2, 0.1
STATES = 5
OWN_PAYOFFS = torch.tensor([-1.0, -3.0, 0.0, -2.0])  # after CC, CD, DC, DD, own action first


def magic_box(x: Any) -> Any:
    """1, with the derivatives of exp(x)."""
    return torch.exp(x - x.detach())


@dataclass(frozen=True)
class Memory:
    """One batch of play as one player remembers it: lists over steps of tensors [batch]."""

    own: list[Any] = field(default_factory=list)
    other: list[Any] = field(default_factory=list)
    values: list[Any] = field(default_factory=list)
    rewards: list[Any] = field(default_factory=list)

    def append(self, own: Any, other: Any, value: Any, reward: Any) -> None:
        """Log-probabilities of both players, the own value of the state in which they acted, and the reward that
        followed."""
        self.own.append(own)
        self.other.append(other)
        self.values.append(value)
        self.rewards.append(reward)

    def objective(self) -> Any:
        """DiCE's objective with a baseline: the mean return, a scalar, with unbiased derivatives of any order."""
        rewards, values = torch.stack(self.rewards, dim=1), torch.stack(self.values, dim=1).detach()
        discounts = DISCOUNT ** torch.arange(rewards.shape[1])
        nodes = torch.stack(self.own, dim=1) + torch.stack(self.other, dim=1)
        causes = torch.cumsum(nodes, dim=1)
        returns = torch.sum(magic_box(causes) * discounts * rewards, dim=1)
        baseline = torch.sum((1 - magic_box(nodes)) * discounts * values, dim=1)
        return torch.mean(returns + baseline)

    def value_loss(self) -> Any:
        """Mean squared distance of the values from the discounted rewards still to come."""
        to_come, targets = torch.zeros_like(self.rewards[0]), []
        for reward in reversed(self.rewards):
            to_come = reward + DISCOUNT * to_come
            targets.append(to_come)
        return torch.mean((torch.stack(self.values, dim=1) - torch.stack(targets[::-1], dim=1)) ** 2)


def act(theta: Any, states: Any) -> tuple[Any, Any]:
    """Actions [batch], 0 to cooperate and 1 to defect, and their log-probabilities."""
    choice = torch.distributions.Bernoulli(logits=-theta[states])
    actions = choice.sample()
    return actions.long(), choice.log_prob(actions)


def play(theta: Any, theta_other: Any, values: Any, batch: int, horizon: int) -> Memory:
    """`batch` games as the player with `theta` [5] and `values` [5] remembers them."""
    memory = Memory()
    states = states_other = torch.zeros(batch, dtype=torch.long)
    for _ in range(horizon):
        actions, own = act(theta, states)
        actions_other, other = act(theta_other, states_other)
        joint = 2 * actions + actions_other
        memory.append(own, other, values[states], OWN_PAYOFFS[joint])
        states, states_other = 1 + joint, 1 + 2 * actions_other + actions
    return memory


def lookahead(theta: Any, theta_other: Any, values_other: Any, batch: int, horizon: int) -> Any:
    """`theta_other` [5] after a naive step of that player; `theta` can be differentiated through it."""
    objective = play(theta_other, theta, values_other, batch, horizon).objective()
    (ascent,) = torch.autograd.grad(objective, theta_other, create_graph=True)
    return theta_other + LOOKAHEAD_RATE * ascent


def shaped_play(thetas: Any, values: Any, player: int, batch: int, horizon: int, lookaheads: int) -> Memory:
    """Play of one player against the other as it will be after its lookaheads."""
    other = 1 - player
    # A copy: what the other player learns here is not part of its own gradient.
    theta_other = thetas[other].detach().clone().requires_grad_()
    for _ in range(lookaheads):
        theta_other = lookahead(thetas[player], theta_other, values[other], batch, horizon)
    return play(thetas[player], theta_other, values[player], batch, horizon)


def direction(thetas: Any, values: Any, player: int, batch: int, horizon: int, lookaheads: int) -> np.ndarray:
    """One estimate of a player's LOLA direction [5], of the unnormalised return, from `thetas` and `values` [2, 5]."""
    leaves = [torch.as_tensor(theta, dtype=torch.float32).requires_grad_() for theta in np.asarray(thetas)]
    baselines = torch.as_tensor(np.asarray(values), dtype=torch.float32)
    objective = shaped_play(leaves, baselines, player, batch, horizon, lookaheads).objective()
    return torch.autograd.grad(objective, leaves[player])[0].numpy()


def make(batch: int, horizon: int, lookaheads: int) -> Callable[[], np.ndarray]:
    """A function that does one update of both players, each from the other's previous parameters, and returns their
    parameters [2, 5]."""
    thetas = [torch.zeros(STATES, requires_grad=True) for _ in range(2)]
    values = [torch.zeros(STATES, requires_grad=True) for _ in range(2)]
    theta_optimisers = [torch.optim.Adam([theta], lr=STEP_SIZE) for theta in thetas]
    value_optimisers = [torch.optim.Adam([value], lr=VALUE_STEP_SIZE) for value in values]

    def update() -> np.ndarray:
        plays = [shaped_play(thetas, values, player, batch, horizon, lookaheads) for player in range(2)]
        for player, memory in enumerate(plays):
            # Only this player's share of both losses is needed: adding up the other's would be wasted work.
            thetas[player].grad = torch.autograd.grad(-memory.objective(), thetas[player])[0]
            values[player].grad = torch.autograd.grad(memory.value_loss(), values[player])[0]
        for optimiser in theta_optimisers + value_optimisers:
            optimiser.step()
        return torch.stack(thetas).detach().numpy()

    return update
