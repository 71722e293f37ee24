"""Advantage Alignment for one pair in the Coin Game in PyTorch, in two forms. Both play step by step in Python, with an
actor and a critic for each player, which is told the other's advantages: A2C with Adam, gradients clipped to 1.

"released" computes what the authors' recurrent program computes (jduquevan/advantage-alignment, branch eg, `train.py`),
in the same order: networks are asked one step at a time, for the gradient too, and play keeps their graphs; each step
is written into arrays of the whole batch; for each player in turn its own values and the other's are computed, by
critics and target networks alike, and its own once more when its critic is fitted; target networks follow.

"lean" is the same update with every sequence given to `torch.nn.GRU` as a whole, each value computed once, no graph
while playing, and no target networks, on which these advantages and targets do not depend.

There is no public PyTorch program of either method in the Coin Game: the game here is that of the LOQA program, a 3 x 3
torus, one coin, four moves, the colour alternates, and it plays all games of a batch at once. Observations are four
planes, those of both players and of coins of both colours, turned so that the player stands at the corner. The formula
is the paper's; the authors' program differs from it, but not in what it costs.
"""

import copy
from typing import Any

try:
    import torch
except ImportError as error:
    raise SystemExit(
        "The PyTorch reference needs torch: pip install torch==2.13.0 "
        "--index-url https://download.pytorch.org/whl/cpu (or leave it out with --contenders)"
    ) from error

DISCOUNT, WEIGHT, ENTROPY, FOLLOWS = 0.96, 0.2, 0.01, 0.005
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

    def __init__(self, batch: int, horizon: int, units: int, lean: bool = False):
        self.batch, self.horizon, self.lean = batch, horizon, lean
        self.actors = [Net(units, 4) for _ in range(2)]
        self.critics = [Net(units, 1) for _ in range(2)]
        self.targets = copy.deepcopy(self.critics)
        self.of_actors = [torch.optim.Adam(net.parameters(), 3e-3) for net in self.actors]
        self.of_critics = [torch.optim.Adam(net.parameters(), 1e-2) for net in self.critics]

    def play(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Observations [2, time, batch, 36], actions and rewards [2, time, batch]."""
        game, memories = Game(self.batch), [None, None]
        observations = torch.zeros(2, self.horizon, self.batch, 36)
        chosen = torch.zeros(2, self.horizon, self.batch, dtype=torch.long)
        rewards, chances = torch.zeros(2, self.horizon, self.batch), torch.zeros(2, self.horizon, self.batch)
        with torch.set_grad_enabled(not self.lean):
            for t in range(self.horizon):
                observations[:, t] = game.observations()
                for player, actor in enumerate(self.actors):
                    logits, memories[player] = actor(observations[player, t][None], memories[player])
                    policy = torch.distributions.Categorical(logits=logits[0])
                    chosen[player, t] = policy.sample()
                    if not self.lean:
                        chances[player, t] = policy.log_prob(chosen[player, t]).detach()
                rewards[:, t] = game.step(chosen[:, t])
        return observations, chosen, rewards

    def update(self) -> float:
        """One update of both players; the mean reward of a step."""
        seen, done, rewards = self.play()
        returns, later = torch.zeros_like(rewards), torch.zeros(2, self.batch)
        for t in reversed(range(self.horizon)):
            later = rewards[:, t] + DISCOUNT * later
            returns[:, t] = later
        once = [self.values(each, seen) for each in range(2)] if self.lean else None
        for player in range(2):
            values = once or [self.values(each, seen) for each in range(2)]
            advantages = returns - torch.stack(values).detach()
            advantages -= advantages.mean(2, keepdim=True)
            past = torch.zeros_like(advantages[player])
            for t in range(1, self.horizon):
                past[t] = DISCOUNT * (past[t - 1] + advantages[player, t - 1])
            shaped = advantages[player] + WEIGHT * DISCOUNT * past * advantages[1 - player]
            chances, entropies = self.read(player, seen, done)
            loss = -(chances * shaped + ENTROPY * entropies).mean()
            _descend(loss, self.actors[player], self.of_actors[player])
            own = once[player] if once else self.values(player, seen)
            critic = self.critics[player]
            _descend(0.5 * ((own - returns[player]) ** 2).mean(), critic, self.of_critics[player])
            if not self.lean:
                for target, now in zip(self.targets[player].parameters(), critic.parameters(), strict=True):
                    target.data.copy_(FOLLOWS * now.data + (1 - FOLLOWS) * target.data)
        return float(rewards.mean())

    def values(self, player: int, seen: torch.Tensor) -> torch.Tensor:
        """What a player's critic expects, [time, batch]."""
        if self.lean:
            return self.critics[player](seen[player])[0][..., 0]
        found, aimed = torch.zeros(self.horizon, self.batch), torch.zeros(self.horizon, self.batch)
        memory, steady = None, None
        for t in range(self.horizon):
            value, memory = self.critics[player](seen[player, t][None], memory)
            target, steady = self.targets[player](seen[player, t][None], steady)
            found[t], aimed[t] = value[0, :, 0], target[0, :, 0]
        return found

    def read(self, player: int, seen: torch.Tensor, done: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Log-probabilities of a player's actions, and entropies, [time, batch] each."""
        if self.lean:
            policy = torch.distributions.Categorical(logits=self.actors[player](seen[player])[0])
            return policy.log_prob(done[player]), policy.entropy()
        chances, entropies, memory = [], [], None
        for t in range(self.horizon):
            logits, memory = self.actors[player](seen[player, t][None], memory)
            policy = torch.distributions.Categorical(logits=logits[0])
            chances.append(policy.log_prob(done[player, t]))
            entropies.append(policy.entropy())
        return torch.stack(chances), torch.stack(entropies)


def _descend(loss: torch.Tensor, net: Net, optimizer: torch.optim.Optimizer) -> None:
    optimizer.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
    optimizer.step()
