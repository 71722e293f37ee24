"""Trials of exact M-FOS in PyTorch, in two forms: a Python loop over inner updates of a batch of trials side by side,
batched matrix inverses, and autograd for the naive learner's update.

"released" does what the released program does (luchris429/Model-Free-Opponent-Shaping, `environments.py`, `ppo.py`):
the next policy is drawn from a multivariate normal distribution with a full covariance matrix, which is diagonal; the
graph of its log-probability is kept for the update of the shaper; payoffs are repeated for each trial; the naive
learner's gradient comes with a graph of its own (`create_graph`); and a trial begins with a step that is thrown away.

"lean" is the same experience without any of this: independent normal numbers, no graph but the naive learner's, and
payoffs as constants.
"""

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


def returns(
    own: torch.Tensor, their: torch.Tensor, payoffs: tuple[torch.Tensor, torch.Tensor] = (OWN_PAYOFFS, THEIR_PAYOFFS)
) -> tuple[torch.Tensor, torch.Tensor]:
    """Unnormalised returns of both, [batch] each, from logits [batch, 5]: start, CC, CD, DC, DD, own action first;
    payoffs [4], or [batch, 4, 1]."""
    p, q = torch.sigmoid(own), torch.sigmoid(their)[:, SWAPPED]
    joint = torch.stack([p * q, p * (1 - q), (1 - p) * q, (1 - p) * (1 - q)], dim=2)
    first, chain = joint[:, :1], joint[:, 1:]
    visits = first @ torch.inverse(torch.eye(4) - DISCOUNT * chain)
    mine, theirs = (visits @ each for each in payoffs)
    return mine.flatten(), theirs.flatten()


class Actor(torch.nn.Module):
    """One tanh layer from both policies to a normal distribution over the shaper's next logits."""

    def __init__(self, hidden: int, lean: bool):
        super().__init__()
        self.layers = torch.nn.Sequential(torch.nn.Linear(10, hidden), torch.nn.Tanh(), torch.nn.Linear(hidden, 10))
        self.lean = lean

    def forward(self, seen: torch.Tensor) -> torch.distributions.Distribution:
        mean, spread = torch.split(self.layers(seen), 5, dim=-1)
        if self.lean:
            normal = torch.distributions.Normal(mean, torch.nn.functional.softplus(spread).sqrt())
            return torch.distributions.Independent(normal, 1)
        covariance = torch.diag_embed(torch.nn.functional.softplus(spread))
        return torch.distributions.MultivariateNormal(mean, covariance)


def play(actor: Actor, trials: int, updates: int) -> tuple[torch.Tensor, ...]:
    """What was seen, done and earned in a batch of trials, [updates, trials, ...]."""
    lean = actor.lean
    payoffs = OWN_PAYOFFS, THEIR_PAYOFFS
    if not lean:
        payoffs = tuple(each.reshape(1, 4, 1).repeat(trials, 1, 1) for each in payoffs)

    def step(own: torch.Tensor, their: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The shaper's value and the naive learner's next policy."""
        their = their.detach().requires_grad_()
        mine, theirs = returns(own, their, payoffs)
        (slope,) = torch.autograd.grad(theirs.sum(), their, create_graph=not lean)
        return (1 - DISCOUNT) * mine.detach(), (their + slope).detach()

    own, their = torch.randn(trials, 5), torch.randn(trials, 5)
    shown = torch.cat([own, their], dim=1)
    if not lean:
        _, their = step(own, their)
    rows = []
    for _ in range(updates):
        seen = torch.sigmoid(shown)
        with torch.set_grad_enabled(not lean):
            distribution = actor(seen)
            own = distribution.sample()
            chance = distribution.log_prob(own)
        shown = torch.cat([own, their], dim=1)
        value, their = step(own, their)
        rows.append((seen, own, chance, value))
    return tuple(torch.stack(column) for column in zip(*rows, strict=True))
