"""Advantage Alignment for one pair in the Coin Game in PyTorch, as the public programs do it: a Python loop over steps,
networks with a GRU that are asked step by step while playing and once more for the gradient, one pair at a time.

The game is that of the LOQA program: a 3 x 3 torus, one coin, four moves, the colour alternates. Observations are four
planes, those of both players and of coins of both colours, turned so that the player stands at the corner. Each player
has an actor and a critic of its own and is told the other's advantages. A2C with Adam, gradients clipped to 1.
"""

from typing import Any

try:
    import torch
except ImportError as error:
    raise SystemExit(
        "The PyTorch reference needs torch: pip install torch==2.13.0 "
        "--index-url https://download.pytorch.org/whl/cpu (or leave it out with --contenders)"
    ) from error

DISCOUNT, WEIGHT, ENTROPY = 0.96, 0.2, 0.01
MOVES = torch.tensor([[0, -1], [0, 1], [-1, 0], [1, 0]])


class Net(torch.nn.Module):
    """A GRU and a linear layer."""

    def __init__(self, units: int, outputs: int):
        super().__init__()
        self.gru, self.head = torch.nn.GRU(36, units), torch.nn.Linear(units, outputs)

    def forward(self, seen: torch.Tensor, memory: Any = None) -> tuple[torch.Tensor, Any]:
        found, memory = self.gru(seen, memory)
        return self.head(found), memory


class Game:
    """Many games side by side: positions [batch, 2, 2] of both players, [batch, 2] of the coin, and its owner."""

    def __init__(self, batch: int):
        self.players = torch.randint(3, (batch, 2, 2))
        self.coin = torch.randint(3, (batch, 2))
        self.owner = torch.randint(2, (batch,))

    def observations(self) -> torch.Tensor:
        """[2, batch, 36], each player's own planes first."""
        batch = len(self.owner)
        found = torch.zeros(2, batch, 4, 9)
        rows = torch.arange(batch)
        for player in range(2):
            own = self.players[:, player]
            for plane, cell in enumerate((own, self.players[:, 1 - player])):
                turned = (cell - own) % 3
                found[player, rows, plane, 3 * turned[:, 0] + turned[:, 1]] = 1
            turned = (self.coin - own) % 3
            found[player, rows, 2 + (self.owner != player).long(), 3 * turned[:, 0] + turned[:, 1]] = 1
        return found.flatten(2)

    def step(self, actions: torch.Tensor) -> torch.Tensor:
        """Moves both players; rewards [2, batch]."""
        self.players = (self.players + MOVES[actions].transpose(0, 1)) % 3
        takes = (self.players == self.coin[:, None]).all(2)
        rewards = takes.float().T.clone()
        for player in range(2):
            rewards[player] -= 2 * (takes[:, 1 - player] & (self.owner == player)).float()
        taken = takes.any(1)
        fresh = torch.randint(3, self.coin.shape)
        while bool((again := (fresh[:, None] == self.players).all(2).any(1) & taken).any()):
            fresh[again] = torch.randint(3, (int(again.sum()), 2))
        self.coin = torch.where(taken[:, None], fresh, self.coin)
        self.owner = torch.where(taken, 1 - self.owner, self.owner)
        return rewards


class Pair:
    """Two players with their optimisers."""

    def __init__(self, batch: int, horizon: int, units: int):
        self.batch, self.horizon = batch, horizon
        self.actors = [Net(units, 4) for _ in range(2)]
        self.critics = [Net(units, 1) for _ in range(2)]
        self.of_actors = [torch.optim.Adam(net.parameters(), 3e-3) for net in self.actors]
        self.of_critics = [torch.optim.Adam(net.parameters(), 1e-2) for net in self.critics]

    def play(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Observations [2, time, batch, 36], actions and rewards [2, time, batch]."""
        game, memories, rows = Game(self.batch), [None, None], []
        with torch.no_grad():
            for _ in range(self.horizon):
                seen, actions = game.observations(), []
                for player, actor in enumerate(self.actors):
                    logits, memories[player] = actor(seen[player][None], memories[player])
                    actions.append(torch.distributions.Categorical(logits=logits[0]).sample())
                done = torch.stack(actions)
                rows.append((seen, done, game.step(done)))
        seen, done, rewards = (torch.stack(column, dim=1) for column in zip(*rows, strict=True))
        return seen, done, rewards

    def update(self) -> float:
        """One update of both players; the mean reward of a step."""
        seen, done, rewards = self.play()
        returns, later = torch.zeros_like(rewards), torch.zeros(2, self.batch)
        for t in reversed(range(self.horizon)):
            later = rewards[:, t] + DISCOUNT * later
            returns[:, t] = later
        values = [critic(seen[player])[0][..., 0] for player, critic in enumerate(self.critics)]
        advantages = returns - torch.stack(values).detach()
        advantages -= advantages.mean(2, keepdim=True)
        past = torch.zeros_like(advantages)
        for t in range(1, self.horizon):
            past[:, t] = DISCOUNT * (past[:, t - 1] + advantages[:, t - 1])
        for player in range(2):
            logits, _ = self.actors[player](seen[player])
            policy = torch.distributions.Categorical(logits=logits)
            shaped = advantages[player] + WEIGHT * DISCOUNT * past[player] * advantages[1 - player]
            loss = -(policy.log_prob(done[player]) * shaped + ENTROPY * policy.entropy()).mean()
            _descend(loss, self.actors[player], self.of_actors[player])
            _descend(
                0.5 * ((values[player] - returns[player]) ** 2).mean(), self.critics[player], self.of_critics[player]
            )
        return float(rewards.mean())


def _descend(loss: torch.Tensor, net: Net, optimizer: torch.optim.Optimizer) -> None:
    optimizer.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
    optimizer.step()
