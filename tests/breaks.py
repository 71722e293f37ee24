"""Deliberate mistakes that the tests must notice: `python -m tests.breaks [NAME ...]` makes them, one at a time, in a
copy of the project and says whether the tests named beside each one fail. It takes a few minutes on two cores.

Each mistake is one that somebody could make, and one that would change results without a sign of it.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Break:
    """One mistake.

    Attributes:
      what: what is wrong with the project once it is made.
      file: where, from the root.
      right, wrong: the text as it is, which occurs once in the file, and what replaces it.
      tests: test files, from the root, of which at least one must fail.
    """

    what: str
    file: str
    right: str
    wrong: str
    tests: tuple[str, ...]


BREAKS = {
    "boundary_late": Break(
        "COALA-PG gives an episode's last step to all streams",
        "shaping/learners/coala.py",
        "own = jnp.where(last, all_, own)\n        own = share * error + discount * decay * own",
        "own = jnp.where(last, all_, share * error + discount * decay * own)",
        ("tests/learners/test_coala.py",),
    ),
    "antithetic_alike": Break(
        "evolution strategies add what a pair differs by",
        "shaping/rules/search.py",
        "weights = used[:, 0] - used[:, 1]",
        "weights = used[:, 0] + used[:, 1]",
        ("tests/learners/test_es.py",),
    ),
    "shaping_sign": Break(
        "LOLA shapes its opponents in the opposite direction",
        "shaping/rules/first_order.py",
        "return m * by_steps[player] + s * sum(",
        "return m * by_steps[player] - s * sum(",
        ("tests/rules/test_dense_reference.py",),
    ),
    "lookahead_stopped": Break(
        "exact LOLA does not differentiate through its opponents' steps",
        "shaping/rules/lola.py",
        "return opponents_step(objective, current, player, settings.lookahead_rate, inner_key(step)), None",
        "return lax.stop_gradient(opponents_step(objective, current, player, settings.lookahead_rate,"
        " inner_key(step))), None",
        ("tests/rules/test_dense_reference.py",),
    ),
    "alignment_sign": Break(
        "symplectic gradient adjustment turns away from stable fixed points",
        "shaping/rules/sga.py",
        "positive = alignment + settings.epsilon >= 0",
        "positive = settings.epsilon - alignment >= 0",
        ("tests/rules/test_joint_rules.py", "tests/rules/test_differentiable_games.py"),
    ),
    "baseline_biased": Break(
        "the leave-one-out baseline contains the stream itself, so all derivatives shrink by 1/batch",
        "shaping/objectives/estimators.py",
        "axis=1, keepdims=True)) * (batch / (batch - 1))",
        "axis=1, keepdims=True))",
        ("tests/objectives/test_estimators.py",),
    ),
    "discount_late": Break(
        "rewards of a sampled return are discounted one step too much",
        "shaping/objectives/estimators.py",
        "return jnp.concatenate([jnp.ones((min(steps, 1),), like.dtype), powers])",
        "return discount * jnp.concatenate([jnp.ones((min(steps, 1),), like.dtype), powers])",
        ("tests/objectives/test_estimators.py",),
    ),
    "advantage_unlooped": Break(
        "generalised advantages forget to discount the future by the decay",
        "shaping/objectives/estimators.py",
        "now = delta + discount * decay * later",
        "now = delta + discount * later",
        ("tests/objectives/test_estimators.py", "tests/learners/test_actor_critic.py"),
    ),
    "coin_penalty": Break(
        "in the Coin Game whoever takes a coin pays for it, not its owner",
        "envs/coin_game/rules.py",
        "by_others = [pickups[j][i] for j in range(n) if j != i]",
        "by_others = [pickups[i][j] for j in range(n) if j != i]",
        ("tests/envs/test_coin_game.py",),
    ),
    "wrap_lost": Break(
        "players of the Coin Game cannot walk over the upper edge",
        "envs/coin_game/rules.py",
        'jnp.where(does["up"], jnp.where(row == 0, rows - 1, row - 1), row)',
        'jnp.where(does["up"], jnp.where(row == 0, row, row - 1), row)',
        ("tests/envs/test_coin_game.py",),
    ),
    "streams_by_cell": Break(
        "a learner's random stream depends on the number of seats",
        "shaping/population/random_keys.py",
        "return jax.random.fold_in(jax.random.fold_in(jax.random.key(seed), match), seat)",
        "return jax.random.fold_in(jax.random.key(seed), 2 * match + seat)",
        ("tests/population/test_random_keys.py",),
    ),
    "own_view_paired": Break(
        "tit-for-tat is counted by each player's own view, so CD is paired with CD",
        "shaping/analysis/strategies.py",
        'if state_view == "shared" or player == 0:\n        return np.arange(states)',
        "if True:\n        return np.arange(states)",
        ("tests/analysis/test_strategies.py",),
    ),
    "range_exponents": Break(
        "the ends of a logarithmic range of a sweep are not its values",
        "shaping/config/axes.py",
        "np.geomspace(first, second, count)",
        "np.geomspace(first, second, count + 1)[:count]",
        ("tests/config/test_plan.py",),
    ),
    "tie_multiplied": Break(
        "axes that are tied make a grid instead of moving together",
        "shaping/config/axes.py",
        "leader = {key: tie[0] for tie in ties for key in tie}",
        "leader = {key: key for tie in ties for key in tie}",
        ("tests/config/test_plan.py",),
    ),
    "rows_shifted": Break(
        "rows that wait for a whole piece of the record are written one update early",
        "shaping/runtime/record_buffer.py",
        "{name: array[:, count:].copy() for name, array in joined.items()}",
        "{name: array[:, count - 1 : -1].copy() for name, array in joined.items()}",
        ("tests/runtime/test_record_buffer.py",),
    ),
    "imitation_reversed": Break(
        "learners imitate those who earn less",
        "shaping/population/selection.py",
        "intensity * difference",
        "-intensity * difference",
        ("tests/population/test_selection.py",),
    ),
}


def main() -> int:
    """Makes the mistakes and returns 1 if one of them is not noticed."""
    arguments = argparse.ArgumentParser(prog="python -m tests.breaks", description=(__doc__ or "").partition("\n\n")[0])
    arguments.add_argument("names", nargs="*", metavar="NAME", help=f"{', '.join(BREAKS)} (default: all)")
    names = arguments.parse_args().names or list(BREAKS)
    unknown = [name for name in names if name not in BREAKS]
    if unknown:
        arguments.error(f"{unknown[0]!r}: no such mistake; there are {', '.join(BREAKS)}")
    missed = []
    for name in names:
        noticed = notice(BREAKS[name])
        missed += [name] * (not noticed)
        print(f"{'noticed' if noticed else 'MISSED':<8} {name:<20} {BREAKS[name].what}", flush=True)
    return bool(missed)


def notice(mistake: Break) -> bool:
    """Whether the tests fail once the mistake is made in a copy of the project."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "project"
        shutil.copytree(ROOT, copy, symlinks=True, ignore=shutil.ignore_patterns(".git", "runs", "__pycache__"))
        broken = copy / mistake.file
        broken.write_text(broken.read_text().replace(mistake.right, mistake.wrong))
        command = [sys.executable, "-m", "pytest", "-q", "-x", "-n", "0", "-p", "no:cacheprovider", *mistake.tests]
        found = subprocess.run(command, cwd=copy, env={**os.environ, "PYTHONPATH": str(copy)}, capture_output=True)
    # 1 means that tests failed; anything above, that they could not be run.
    if found.returncode > 1:
        raise RuntimeError(found.stdout.decode() + found.stderr.decode())
    return found.returncode == 1


if __name__ == "__main__":
    sys.exit(main())
