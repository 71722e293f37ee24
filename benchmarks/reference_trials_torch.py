"""M-FOS's exact prisoner's dilemma as its authors design it (Lu et al. 2022), written plainly in PyTorch: a batch of
trials side by side, a Python loop over inner updates, batched matrix inverses, and autograd for the other's update."""

try:
    import torch
except ImportError as error:
    raise SystemExit(
        "The PyTorch reference needs torch: pip install torch==2.13.0 "
        "--index-url https://download.pytorch.org/whl/cpu (or leave it out with --contenders)"
    ) from error

OWN_PAYOFFS = torch.tensor([-1.0, -3.0, 0.0, -2.0])  # after CC, CD, DC, DD, own action first
THEIR_PAYOFFS = torch.tensor([-1.0, 0.0, -3.0, -2.0])
DISCOUNT = 0.96
# Where the other's state CD, its own action first, stands among the shaper's states.
SWAPPED = torch.tensor([0, 1, 3, 2, 4])


def returns(own: torch.Tensor, their: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Unnormalised returns of both, [batch] each, from logits [batch, 5]: start, CC, CD, DC, DD, own action first."""
    p, q = torch.sigmoid(own), torch.sigmoid(their)[:, SWAPPED]
    joint = torch.stack([p * q, p * (1 - q), (1 - p) * q, (1 - p) * (1 - q)], dim=2)
    first, chain = joint[:, 0], joint[:, 1:]
    visits = torch.einsum("bi,bij->bj", first, torch.inverse(torch.eye(4) - DISCOUNT * chain))
    return visits @ OWN_PAYOFFS, visits @ THEIR_PAYOFFS


class Actor(torch.nn.Module):
    """One tanh layer from both policies to a normal distribution over the shaper's next logits."""

    def __init__(self, hidden: int):
        super().__init__()
        self.body = torch.nn.Sequential(torch.nn.Linear(10, hidden), torch.nn.Tanh())
        self.mean, self.log_sd = torch.nn.Linear(hidden, 5), torch.nn.Linear(hidden, 5)

    def forward(self, seen: torch.Tensor) -> torch.distributions.Normal:
        found = self.body(seen)
        return torch.distributions.Normal(self.mean(found), torch.exp(self.log_sd(found)))


def play(actor: Actor, trials: int, updates: int) -> tuple[torch.Tensor, ...]:
    """What was seen, done and earned in a batch of trials, [updates, trials, ...]."""
    own, their = torch.randn(trials, 5), torch.randn(trials, 5)
    rows = []
    for _ in range(updates):
        seen = torch.sigmoid(torch.cat([own, their], dim=1))
        with torch.no_grad():
            distribution = actor(seen)
            own = distribution.sample()
            chance = distribution.log_prob(own).sum(1)
        their = their.detach().requires_grad_()
        mine, theirs = returns(own, their)
        (slope,) = torch.autograd.grad(theirs.sum(), their)
        rows.append((seen.detach(), own, chance, (1 - DISCOUNT) * mine.detach()))
        their = (their + slope).detach()
    return tuple(torch.stack(column) for column in zip(*rows, strict=True))
