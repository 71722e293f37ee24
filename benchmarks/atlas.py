"""How well representations tell policies apart, beside the best that is possible, and how long a large map takes.

    python -m benchmarks.atlas identification [--seeds 5] [--family uniform]
    python -m benchmarks.atlas generalisation [--seeds 5]
    python -m benchmarks.atlas map [--policies 10000]
    python -m benchmarks.atlas partner [--seeds 5]

`identification`: 100 planted strategies play 20 episodes of 50 rounds against a random partner each; an encoder learns
from these, and then names who played further episodes. The ceiling is maximum likelihood with the true tables; the
baseline compares frequencies of cooperation in each state. Both know what a state is; the encoder does not.
`generalisation`: the same with other seats, other partners, and strategies that the encoder was not trained on. `map`:
a whole atlas. `partner`: a learner that sees its partner's embedding.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path

import jax
import numpy as np

from benchmarks.planted_policies import EPISODES, FAMILIES, interval, planted, played
from shaping import representations
from shaping.atlases.players import seated
from shaping.representations import encode

POLICIES, HELD_OUT = 100, 20
WINDOW = {"uniform": 1, "arcsine": 1, "machines": 2}


def groups(episodes, size: int):
    """Groups of `size` episodes of one policy each, as if every group were a policy of its own."""
    return jax.tree.map(
        lambda x: np.asarray(x)[:, : x.shape[1] // size * size].reshape(-1, size, *x.shape[2:]), episodes
    )


def share_right(queries: np.ndarray, targets: np.ndarray) -> float:
    """How often the nearest target is the query's own; queries are in the order of the targets."""
    queries = queries.reshape(len(targets), -1, queries.shape[-1])
    squares = ((queries[:, :, None] - targets) ** 2).sum(-1)
    return float((squares.argmin(-1) == np.arange(len(targets))[:, None]).mean())


def frequencies(episodes) -> np.ndarray:
    """P(C) in each state as it was seen, [policies, 5], one half for a state that was not."""
    seen, done = np.asarray(episodes.observations), np.asarray(episodes.actions)
    there = np.stack([(seen == state).sum((1, 2)) for state in range(5)], -1)
    with_c = np.stack([((seen == state) & (done == 0)).sum((1, 2)) for state in range(5)], -1)
    return (with_c + 0.5) / (there + 1)


def ceiling(episodes, machines: list, size: int) -> float:
    """How often maximum likelihood with the true strategies names the one that played `size` episodes."""
    seen, done = np.asarray(episodes.observations), np.asarray(episodes.actions)
    found = np.zeros((*seen.shape[:2], len(machines)))
    for which, one in enumerate(machines):
        moves = np.asarray(one.transition)
        chance = np.clip(np.asarray(one.cooperation, float), 1e-12, 1 - 1e-12)
        state = np.zeros(seen.shape[:2], int)
        for time_ in range(seen.shape[2]):
            state = moves[state, seen[:, :, time_]]
            found[..., which] += np.where(done[:, :, time_] == 0, np.log(chance[state]), np.log1p(-chance[state]))
    each = seen.shape[1] // size
    total = found[:, : each * size].reshape(len(machines), each, size, -1).sum(2)
    return float((total.argmax(-1) == np.arange(len(machines))[:, None]).mean())


def accuracy(encoder, known, held_out, size: int) -> float:
    """How often the nearest embedding (of the known episodes) is that of who played `size` held-out ones."""
    return share_right(encode(encoder, groups(held_out, size)), encode(encoder, known))


def machines_of(players: list) -> list:
    return [one.thetas[0] for one in seated(players)]


def identification(seeds: int, families: list[str]) -> dict:
    """Shares identified, for each family, objective and number of held-out episodes."""
    found: dict = {}
    for family in families:
        for seed in range(seeds):
            players = planted(family, POLICIES, seed)
            known, held_out = played(players, EPISODES, 2 * seed), played(players, HELD_OUT, 2 * seed + 1)
            rows = found.setdefault(family, {})
            for size in (1, 5):
                rows.setdefault(f"ceiling, {size}", []).append(ceiling(held_out, machines_of(players), size))
                right = share_right(frequencies(groups(held_out, size)), frequencies(known))
                rows.setdefault(f"frequencies, {size}", []).append(right)
            for objective in representations.OBJECTIVES:
                encoder = representations.train(known, objective, window=WINDOW[family], seed=seed)
                for size in (1, 5):
                    rows.setdefault(f"{objective}, {size}", []).append(accuracy(encoder, known, held_out, size))
            print(family, seed, {name: round(values[-1], 3) for name, values in rows.items()}, flush=True)
    return {family: {name: interval(values) for name, values in rows.items()} for family, rows in found.items()}


def generalisation(seeds: int) -> dict:
    """The share of one-episode and five-episode queries identified, where something differs from training."""
    rows: dict = {}
    for seed in range(seeds):
        players, others = planted("uniform", POLICIES, seed), planted("uniform", 1000, 100 + seed)
        known, held_out = played(players, EPISODES, 2 * seed), played(players, HELD_OUT, 2 * seed + 1)
        own = representations.train(known, "identification", seed=seed)
        strange = representations.train(played(others, EPISODES, 50 + seed), "identification", seed=seed)
        first = played(players, EPISODES, 2 * seed, seats=(0,))
        second = played(players, HELD_OUT, 2 * seed + 1, seats=(1,))
        partners = [np.array([1.0, 1, 0, 1, 0]) * 0.9 + 0.05, np.full(5, 0.8), np.full(5, 0.2)]
        elsewhere = played(players, HELD_OUT, 2 * seed + 1, partners)
        shuffled = known.only(episodes=np.random.default_rng(seed).permutation(EPISODES))
        rows.setdefault("largest change of an embedding when episodes are shuffled", []).append(
            float(np.abs(encode(own, shuffled) - encode(own, known)).max())
        )
        for size in (1, 5):
            machines = machines_of(players)
            told = {
                "ceiling": ceiling(held_out, machines, size),
                "trained on them": accuracy(own, known, held_out, size),
                "trained on 1,000 others": accuracy(strange, known, held_out, size),
                "trained on 1,000 others, known from seat 0, met in seat 1": accuracy(strange, first, second, size),
                "ceiling, unseen partners": ceiling(elsewhere, machines, size),
                "trained on them, unseen partners": accuracy(own, known, elsewhere, size),
                "trained on 1,000 others, unseen partners": accuracy(strange, known, elsewhere, size),
                "frequencies, unseen partners": share_right(frequencies(groups(elsewhere, size)), frequencies(known)),
            }
            for name, value in told.items():
                rows.setdefault(f"{name}, {size}", []).append(value)
        print(seed, {name: round(values[-1], 4) for name, values in rows.items()}, flush=True)
    return {name: interval(values) for name, values in rows.items()}


def large_map(policies: int) -> dict:
    """Seconds that an atlas of so many random tables takes, in processor and wall time."""
    import shaping

    with tempfile.TemporaryDirectory() as place:
        began, cpu = time.time(), time.process_time()
        folder = shaping.atlas(tables=policies, out=Path(place) / "atlas")
        page = (folder / "report" / "index.html").stat().st_size
        return {"wall_s": time.time() - began, "cpu_s": time.process_time() - cpu, "page_bytes": page}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("identification", "generalisation", "map", "partner"))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--family", choices=FAMILIES, action="append")
    parser.add_argument("--policies", type=int, default=10_000)
    given = parser.parse_args()
    if given.what == "identification":
        found = identification(given.seeds, given.family or list(FAMILIES))
    elif given.what == "generalisation":
        found = generalisation(given.seeds)
    elif given.what == "map":
        found = large_map(given.policies)
    else:
        from benchmarks.atlas_partner import seeing_partners

        found = seeing_partners(given.seeds)
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
