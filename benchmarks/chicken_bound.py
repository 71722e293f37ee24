"""The most that a shaper can get of a naive learner in one-shot chicken, by dynamic programming.

    python -m benchmarks.chicken_bound

The trial is that of `mfos_exact`: 100 updates, the other starts from an N(0, 1) logit and ascends its return by steps
of size 1. Only its logit x matters, so the best policy of x is found backwards from the last update, on a grid. Both
orders are computed: values of the policies played before the other moves, as everywhere here, and after it has moved.
"""

import numpy as np

UPDATES, STARTS = 100, 20_000
LOGITS = np.linspace(-8, 40, 4801)
COOPERATION = np.concatenate([[6e-6], np.linspace(0.001, 0.999, 400), [1 - 6e-6]])


def bound(after: bool) -> float:
    """The mean value over the updates of a trial under the best policy."""
    own = COOPERATION
    chance, rest = 1 / (1 + np.exp(-LOGITS))[:, None], 1 / (1 + np.exp(LOGITS))[:, None]
    # The other is paid 0, -1, 1 and -100 after CC, CD, DC, DD, its own action first.
    slope = 99 * (1 - own) - own
    following = LOGITS[:, None] + chance * rest * slope
    if after:
        chance, rest = 1 / (1 + np.exp(-following)), 1 / (1 + np.exp(following))
    paid = -own * rest + (1 - own) * (chance - 100 * rest)
    ahead = np.zeros(len(LOGITS))
    for _ in range(UPDATES):
        ahead = np.max(paid + np.interp(following, LOGITS, ahead), axis=1)
    starts = np.random.default_rng(0).normal(size=STARTS)
    return float(np.interp(starts, LOGITS, ahead).mean() / UPDATES)


if __name__ == "__main__":
    print(f"values before the other moves: {bound(False):.3f}")
    print(f"values after it has moved: {bound(True):.3f}")
