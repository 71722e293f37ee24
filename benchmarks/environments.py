"""Steps per second of environments, compared with the same games of JaxMARL and Axelrod-Python, in one run.

    python -m benchmarks.environments                       # every contender that is installed
    python -m benchmarks.environments --contenders empty coin:pola --batches 1024 8192 65536
    python -m benchmarks.environments --contenders fruit_market:16 --batches 256 --steps 1000 --rounds 3

Each contender is one compiled program: `scan` over 128 steps (`--steps`) of `vmap` over a batch of environments, with
uniformly random actions and a separate key for every environment, split at every step. Observations of all players,
rewards and ends are summed, so that no computation can be optimised away. "empty" is this harness around an environment
that does nothing. `jaxmarl:` contenders call JaxMARL's `step`, which resets itself; our corresponding contenders
(`+reset`, `+statistics`) also reset themselves and count pickups, misses and histories. "fruit_market:N" is the fruit
market with N players on its largest map, with its statistics. A step moves all players.

"scripted" plays the prisoner's dilemma between eight named strategies, each match with its own pair, for 200 turns and
both scores; "scripted:play" samples their actions and keeps all statistics of `shaping.play`; "axelrod" plays the same
pairs in Axelrod-Python, one after the other. Their unit is turns.

Contenders take turns; a ratio compares medians over the rounds of one run.
"""

import argparse
import json
import statistics
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from benchmarks.machine import describe
from shaping import envs

STEPS = 128
COIN = ("pola", "lola_dice", "lola2018", "loqa", "mfos", "pax", "jaxmarl", "reciprocator")


@dataclass
class Contender:
    """A compiled program, and how many steps one call of it makes."""

    name: str
    run: Callable[[], Any]
    steps: int
    rates: list[float] = field(default_factory=list)

    def round(self) -> None:
        """One timed call."""
        began = time.perf_counter()
        jax.block_until_ready(self.run())
        self.rates.append(self.steps / (time.perf_counter() - began))


def harness(
    name: str, batch: int, reset: Callable, step: Callable, sample: Callable, counts: Any = (), steps: int = STEPS
) -> Contender:
    """A contender from functions of one environment.

    Args:
        name: name of the contender.
        batch: number of environments.
        reset: key -> state.
        step: (key, state, actions, counts) -> (a scalar that depends on everything returned, state, counts).
        sample: key -> actions.
        counts: the initial statistics.
        steps: steps of a call.
    """

    def one(carry: Any, _: None) -> tuple[Any, None]:
        state, key, total, counts = carry
        key, key_actions, key_step = jax.random.split(key, 3)
        seen, state, counts = step(key_step, state, sample(key_actions), counts)
        return (state, key, total + seen, counts), None

    @jax.jit
    def run(carry: Any) -> Any:
        return jax.lax.scan(jax.vmap(one, in_axes=(0, None)), carry, None, length=steps)[0]

    keys = jax.random.split(jax.random.key(0), batch)
    repeated = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (batch, *leaf.shape)), counts)
    start = jax.block_until_ready((jax.jit(jax.vmap(reset))(keys), keys, jnp.zeros(batch), repeated))
    jax.block_until_ready(run(start))
    return Contender(name, lambda: run(start), batch * steps)


def empty(batch: int) -> Contender:
    """The harness around nothing."""
    return harness(
        "empty",
        batch,
        lambda key: jnp.int32(0),
        lambda key, state, actions, counts: (jnp.sum(actions).astype(jnp.float32), state + 1, counts),
        lambda key: jax.random.randint(key, (2,), 0, 4),
    )


def ours(name: str, batch: int, env: Any, counted: bool = False, steps: int = STEPS) -> Contender:
    """One of our environments, with its statistics if `counted`."""
    params = env.default_params

    def step(key: jax.Array, state: Any, actions: jax.Array, counts: Any) -> tuple[jax.Array, Any, Any]:
        obs, after, rewards, terminated, truncated, info = env.step(key, state, actions, params)
        ended = terminated | truncated
        if counted:
            counts = env.count(counts, state, actions, rewards, ended, info)
        return jnp.sum(obs, dtype=jnp.float32) + jnp.sum(rewards) + ended, after, counts

    return harness(
        name,
        batch,
        lambda key: env.reset(key, params)[1],
        step,
        lambda key: env.action_space.sample(key, (env.num_players,)),
        env.start_counts() if counted else (),
        steps,
    )


def jaxmarl(name: str, batch: int, env: Any) -> Contender:
    """One of JaxMARL's environments, through its own `step`."""
    agents = env.agents
    # JaxMARL's storm takes its actions as a tuple, and its spaces are not JaxMARL spaces.
    in_order = "storm" in name
    count = 5 if in_order else env.action_space(agents[0]).n

    def step(key: jax.Array, state: Any, actions: jax.Array, counts: Any) -> tuple[jax.Array, Any, Any]:
        chosen = tuple(actions) if in_order else {agent: actions[i] for i, agent in enumerate(agents)}
        obs, state, rewards, dones, _ = env.step(key, state, chosen)
        leaves = [*jax.tree.leaves(obs), *jax.tree.leaves(rewards)]
        seen = sum(jnp.sum(leaf, dtype=jnp.float32) for leaf in leaves)
        return seen + dones["__all__"], state, counts

    return harness(
        name,
        batch,
        lambda key: env.reset(key)[1],
        step,
        lambda key: jax.random.randint(key, (len(agents),), 0, count),
    )


def contender(name: str, batch: int, steps: int = STEPS) -> Contender | None:
    """A contender by name; None if what it needs is not installed. Only our own environments heed `steps`."""
    kind, _, rest = name.partition(":")
    game, *options = rest.split("+")
    if kind == "empty":
        return empty(batch)
    if kind == "coin":
        env = envs.make("coin_game", dialect=game, auto_reset="reset" in options)
        return ours(name, batch, env, "statistics" in options, steps)
    if kind == "matrix":
        observation = "flat" if "flat" in options else "planes"
        env = envs.make("in_the_matrix", dialect=game, observation=observation, auto_reset="reset" in options)
        return ours(name, batch, env, "statistics" in options, steps)
    if kind == "fruit_market":
        env = envs.make("fruit_market", num_players=int(game), layout="rivers", apple_trees=0.05, banana_trees=0.05)
        return ours(name, batch, env, True, steps)
    if kind == "scripted":
        return scripted(name, batch)
    if kind == "axelrod":
        return axelrod()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from jaxmarl.environments.coin_game.coin_game import CoinGame
            from jaxmarl.environments.storm import InTheGrid_2p
    except ImportError:
        return None
    return jaxmarl(name, batch, {"coin_game": CoinGame, "storm_2p": InTheGrid_2p}[game]())


def scripted(name: str, batch: int) -> Contender:
    """All pairs of the compared strategies repeatedly, `batch` matches of `TURNS` turns.

    Each player does what it is certain to do, and both scores are summed; with "scripted:play", actions are sampled and
    all statistics of `shaping.play` are kept.
    """
    import shaping

    game = envs.make("ipd")
    params = game.default_params
    policy, machines = shaping.stack_automata(list(STRATEGIES))
    pairs = jnp.arange(batch) % len(STRATEGIES) ** 2
    players = [
        jax.tree.map(lambda leaf, p=p: leaf[p], machines) for p in (pairs // len(STRATEGIES), pairs % len(STRATEGIES))
    ]
    keys = jax.random.split(jax.random.key(0), batch)

    def one(key: jax.Array, first: Any, second: Any) -> Any:
        if name == "scripted:play":
            return shaping.play(game, (policy, policy), (first, second), key, TURNS, 1)

        def turn(carry: Any, _: None) -> tuple[Any, None]:
            seen, state, memories, scores = carry
            both = zip((first, second), seen, memories, strict=True)
            chosen = [policy.apply(machine, own, memory) for machine, own, memory in both]
            actions = jnp.stack([distribution.mode() for distribution, _ in chosen])
            seen, state, rewards, *_ = game.step(key, state, actions, params)
            return (seen, state, [memory for _, memory in chosen], scores + rewards), None

        start = (*game.reset(key, params), [policy.start(()), policy.start(())], jnp.zeros(2))
        return jax.lax.scan(turn, start, None, length=TURNS)[0][3]

    run = jax.jit(jax.vmap(one))
    jax.block_until_ready(run(keys, *players))
    return Contender(name, lambda: run(keys, *players), batch * TURNS)


def axelrod() -> Contender | None:
    """The same pairs in Axelrod-Python."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import axelrod as axl
    except ImportError:
        return None
    players = [getattr(axl, name) for name in STRATEGIES.values()]

    def run() -> None:
        for first in players:
            for second in players:
                axl.Match((first(), second()), turns=TURNS).play()

    return Contender("axelrod", run, len(players) ** 2 * TURNS)


TURNS = 200
STRATEGIES = {
    "allc": "Cooperator",
    "alld": "Defector",
    "tft": "TitForTat",
    "tf2t": "TitFor2Tats",
    "grudger": "Grudger",
    "wsls": "WinStayLoseShift",
    "fortress3": "Fortress3",
    "predator": "Predator",
}
"""Our names and Axelrod-Python's names of the compared strategies."""
RATIOS = (
    ("coin:jaxmarl+reset+statistics", "jaxmarl:coin_game"),
    ("coin:pola", "empty"),
    ("coin:lola_dice", "empty"),
    ("coin:lola2018", "empty"),
    ("coin:loqa", "empty"),
    ("matrix:storm_2p+reset", "jaxmarl:storm_2p"),
    ("matrix:storm_2p+reset+flat", "jaxmarl:storm_2p"),
    ("scripted", "axelrod"),
    ("scripted:play", "axelrod"),
)
"""Which contender is divided by which, if both are there."""


def measure(names: list[str], batches: list[int], rounds: int, steps: int = STEPS) -> dict[str, Any]:
    """Steps per second of every contender at every batch size, and the ratios."""
    found: dict[str, Any] = {"machine": describe(), "results": []}
    for batch in batches:
        made = [c for c in (contender(name, batch, steps) for name in names) if c is not None]
        for _ in range(rounds):
            for each in made:
                each.round()
        medians = {c.name: statistics.median(c.rates) for c in made}
        found["results"].append(
            {
                "batch": batch,
                "steps_per_s": {
                    c.name: {"median": medians[c.name], "range": [min(c.rates), max(c.rates)]} for c in made
                },
                "ratios": {f"{a} / {b}": medians[a] / medians[b] for a, b in RATIOS if a in medians and b in medians},
            }
        )
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    every = ["empty", *(f"coin:{d}" for d in COIN), *dict.fromkeys(n for pair in RATIOS for n in pair if n != "empty")]
    parser.add_argument("--contenders", nargs="+", default=list(dict.fromkeys(every)))
    parser.add_argument("--batches", nargs="+", type=int, default=[8192])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--steps", type=int, default=STEPS, help="steps of a call, of our own environments")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    found = measure(arguments.contenders, arguments.batches, arguments.rounds, arguments.steps)
    for row in found["results"]:
        print(f"batch {row['batch']:,}")
        for name, rate in row["steps_per_s"].items():
            low, high = rate["range"]
            print(f"  {name:<34}{rate['median'] / 1e6:9.3f} M steps/s  ({low / 1e6:.3f} to {high / 1e6:.3f})")
        for name, ratio in row["ratios"].items():
            print(f"  {name:<60}{ratio:8.2f}")
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
