"""Published values whose source is this file: recomputed by programs that share nothing with `shaping`.

    python -m benchmarks.independent_values                        # every row, minutes on one core
    python -m benchmarks.independent_values sos_table --ours       # one configuration, with our own run beside it

The learners are those of `independent_learning`; nested derivatives of higher-order LOLA are dual numbers. Start values
are NumPy's, so a row agrees with ours within the errors of both. `tests/test_independent_values.py` starts both from
the same parameters, where they agree to rounding.

Settings, by name of the configuration, are those of Letcher et al. 2019 (`sos_table`), Foerster et al. 2018
(`lola_second_order`), Lu et al. 2022 (`mfos_head_to_head`), Zhao et al. 2022 (`pola_table`, `pola_preconditioned`,
`lola_network`) and Willi et al. 2022 (`consistency_table`).
"""

import argparse
import math
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from benchmarks.independent_learning import (
    JOINT,
    Cell,
    Game,
    Logits,
    Network,
    contribution,
    ipd,
    joint_rule,
    learn,
    lola,
    lola_exact,
    lola_second_order,
    naive,
    pola,
    table,
)

SOURCE = "benchmarks/independent_values.py"
CONFIGS = Path(__file__).resolve().parents[1] / "configs"


# Cells of configurations, by the value of their coordinate.


def sos_table() -> dict[Any, Cell]:
    rules = {"naive": naive, "LOLA": lola(1.0, middle=True), "LOLA original": lola(1.0, middle=False)}
    rules |= {name: joint_rule(name) for name in JOINT}
    return {name: Cell(ipd(), (rule, rule), 100, 2000) for name, rule in rules.items()}


def second_order() -> dict[Any, Cell]:
    first, second = lola(0.5, middle=False), lola_second_order(0.5)
    pairs = {"NL v LOLA": (naive, first), "LOLA v LOLA": (first, first), "LOLA v second order": (first, second)}
    return {name: Cell(ipd(), pair, 200, 2000, (0.5, 0.5)) for name, pair in pairs.items()}


def mfos() -> dict[Any, Cell]:
    shaper = lola(1.0, middle=True)
    pennies = Game(np.array([[-1.0, 1, 1, -1], [1, -1, -1, 1]]))
    # One round: only the first logit matters.
    chicken = Game(np.array([[0.0, -1, 1, -100], [0, 1, -1, -100]]), discount=0.0)
    games = {"IPD": ipd(), "IMP": pennies, "chicken": chicken}
    pairs = {"naive v LOLA": (naive, shaper), "LOLA v LOLA": (shaper, shaper)}
    pairs |= {"frozen v naive": (naive, naive), "frozen v LOLA": (naive, shaper)}
    return {
        f"{name} {pair}": Cell(game, rules, 100, 5000, (0.0 if pair.startswith("frozen") else 1.0, 1.0))
        for name, game in games.items()
        for pair, rules in pairs.items()
    }


def tournament(game: str) -> dict[Any, Cell]:
    """The same pairs in one game, as a league names them."""
    return {pair.removeprefix(f"{game} "): cell for pair, cell in mfos().items() if pair.startswith(f"{game} ")}


def pola_tables() -> dict[Any, Cell]:
    rates = {1.1: 5.0, 1.25: 5.0, 1.33: 5.0, 1.4: 4.0, 1.6: 2.5}
    tables = {f"logits {factor}": (factor, Logits(scale=0.1), rate, 0.3, 0.1) for factor, rate in rates.items()}
    networks = {
        "network 1.1": (1.1, Network(), 0.3, 0.03, 0.1),
        "network 1.25": (1.25, Network(), 0.25, 0.03, 0.13),
        "network 1.33": (1.33, Network(), 0.25, 0.02, 0.13),
        "network 1.4": (1.4, Network(), 0.2, 0.03, 0.1),
        "network 1.6": (1.6, Network(), 0.12, 0.03, 0.05),
    }
    return {
        name: Cell(contribution(factor, kind), (pola(rate, step, penalty), pola(rate, step, penalty)), 2, 200)
        for name, (factor, kind, rate, step, penalty) in (tables | networks).items()
    }


def preconditioned() -> dict[Any, Cell]:
    # Twice the parameter of DD is subtracted from every other logit.
    matrix = np.eye(5) - 2 * np.outer([1, 1, 1, 1, 0], [0, 0, 0, 0, 1])
    rates = {1.1: 0.4, 1.25: 0.5, 1.33: 0.4, 1.4: 0.3, 1.6: 0.3}
    return {
        factor: Cell(contribution(factor, Logits(matrix, 0.1)), (pola(rate, 0.05, 0.5), pola(rate, 0.05, 0.5)), 10, 200)
        for factor, rate in rates.items()
    }


def networks() -> dict[Any, Cell]:
    rates = {1.33: (0.4, 0.05), 1.4: (0.3, 0.1), 1.6: (0.12, 0.05)}
    return {
        factor: Cell(contribution(factor, Network()), (lola_exact(rate), lola_exact(rate)), 100, 2000, (step, step))
        for factor, (rate, step) in rates.items()
    }


CELLS: dict[str, Callable[[], dict[Any, Cell]]] = {
    "sos_table": sos_table,
    "lola_second_order": second_order,
    "mfos_head_to_head": mfos,
    "mfos_tournament_chicken": partial(tournament, "chicken"),
    "mfos_tournament_pennies": partial(tournament, "IMP"),
    "pola_table": pola_tables,
    "pola_preconditioned": preconditioned,
    "lola_network": networks,
}


def measured(cell: Cell, seed: int = 0) -> dict[str, np.ndarray]:
    """By metric, its value in every match: [matches, players] or, for a share, [matches]."""
    random = np.random.default_rng(seed)
    start = [cell.game.kind.start(random, cell.matches) for _ in range(2)]
    value, total, found = np.empty(0), 0.0, np.zeros(cell.matches)
    for update, (value, thetas) in enumerate(learn(cell, start)):
        if update:
            total = total + value
            found = np.maximum(found, found_tit_for_tat(cell.game, value, table(cell.game, thetas)))
    return {"value_mean": value, "value_trajectory_mean": np.asarray(total / cell.updates), "tft_found": found}


def found_tit_for_tat(game: Game, value: np.ndarray, policy: np.ndarray) -> np.ndarray:
    """Whether both players cooperate with probability below 0.65 after the other's defection (states 2 and 4) and earn
    more than 0.8 of the way from mutual defection to mutual cooperation (Zhao et al. 2022, `LOLA_exact.py`)."""
    answers = (policy[:, :, [2, 4]] < 0.65).all(axis=(1, 2))
    best, worst = game.payoffs[..., 0].mean(-1), game.payoffs[..., 3].mean(-1)
    return answers & (value.mean(axis=1) > worst + 0.8 * (best - worst))


# Consistency of higher-order LOLA (Willi et al. 2022): players with one parameter each, so derivatives are numbers.


class Dual:
    """A number and its derivative; either may itself be dual."""

    __array_ufunc__ = None

    def __init__(self, value: Any, slope: Any) -> None:
        self.value, self.slope = value, slope

    def __add__(self, other: Any) -> "Dual":
        if isinstance(other, Dual):
            return Dual(self.value + other.value, self.slope + other.slope)
        return Dual(self.value + other, self.slope)

    def __mul__(self, other: Any) -> "Dual":
        if isinstance(other, Dual):
            return Dual(self.value * other.value, self.value * other.slope + self.slope * other.value)
        return Dual(self.value * other, self.slope * other)

    __radd__, __rmul__ = __add__, __mul__

    def __neg__(self) -> "Dual":
        return self * -1

    def __sub__(self, other: Any) -> "Dual":
        return self + -other


def tanh(x: Any) -> Any:
    if not isinstance(x, Dual):
        return np.tanh(x)
    t = tanh(x.value)
    return Dual(t, (t * t * -1 + 1) * x.slope)


Slopes = Callable[[Any, Any], list[list[Any]]]
"""(x, y) -> the derivative of the loss of player i by the parameter of player j, as [i][j]."""


def tandem(x: Any, y: Any) -> list[list[Any]]:
    """L_1 = (x + y)^2 - 2x, L_2 = (x + y)^2 - 2y."""
    both = (x + y) * 2
    return [[both - 2, both], [both, both - 2]]


def pennies(x: Any, y: Any) -> list[list[Any]]:
    """L_1 = (2p - 1)(2q - 1) = -L_2 with p = sigmoid(x), q = sigmoid(y), so that 2p - 1 = tanh(x / 2)."""
    a, b = tanh(x * 0.5), tanh(y * 0.5)
    by_x, by_y = (a * a * -1 + 1) * b * 0.5, (b * b * -1 + 1) * a * 0.5
    return [[by_x, by_y], [-by_x, -by_y]]


def directions(slopes: Slopes, order: int, rate: float, x: Any, y: Any) -> list[Any]:
    """h^n of both players: h_i^0 = -d_i L_i, and h_i^{n+1} = -d_i [L_i(own, other + rate h_other^n)], where the other's
    direction depends on the own parameter too. h^1 is LOLA exact."""
    if order == 0:
        return [-slopes(x, y)[i][i] for i in range(2)]
    here = directions(slopes, order - 1, rate, x, y)
    found = []
    for i in range(2):
        lifted = directions(slopes, order - 1, rate, *(Dual(z, float(i == k)) for k, z in enumerate((x, y))))
        there = slopes(x, y + here[1] * rate) if i == 0 else slopes(x + here[0] * rate, y)
        found.append(-(there[i][i] + there[i][1 - i] * lifted[1 - i].slope * rate))
    return found


def consistency_loss(slopes: Slopes, order: int, rate: float, points: np.ndarray) -> float:
    """The mean over pairs of points of the sum over players of (h^n - h^{n+1})^2."""
    x, y = (np.ravel(z) for z in np.meshgrid(points, points))
    pairs = zip(*(directions(slopes, n, rate, x, y) for n in (order, order + 1)), strict=True)
    return float(np.mean(sum((a - b) ** 2 for a, b in pairs)))


def consistency(name: str) -> float:
    """The value of a cell such as `pennies order 3 rate 10`.

    On the tandem game losses are polynomials of degree 2, which two Gauss points integrate exactly over [-1, 1]; on
    matching pennies 140 mid-points stand for [-7, 7].
    """
    game, _, order, _, rate = name.split()
    gauss, grid = np.array([-1, 1]) / math.sqrt(3), (np.arange(140) + 0.5) / 10 - 7
    slopes, points = (tandem, gauss) if game == "tandem" else (pennies, grid)
    return consistency_loss(slopes, int(order), float(rate), points)


# The rows.


def rows(names: Sequence[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Configuration and entry of every published value that names this file as its source."""
    for path in sorted(CONFIGS.glob("*.yaml")):
        if not names or path.stem in names:
            for entry in yaml.safe_load(path.read_text(encoding="utf-8")).get("published") or ():
                if SOURCE in entry["source"]:
                    yield path.stem, entry


def recomputed(name: str, entry: dict[str, Any]) -> tuple[float, float, int]:
    """The value of a row, its standard deviation between matches and their number; 0 and 1 where nothing is drawn."""
    (coordinate,) = entry["cell"].values()
    if name == "consistency_table":
        return consistency(coordinate), 0.0, 1
    found = _measured(name, coordinate)[entry["metric"]]
    player = entry.get("player")
    each = found if found.ndim == 1 else found.mean(axis=1) if player is None else found[:, player]
    each = each[np.isfinite(each)]
    return float(each.mean()), float(each.std(ddof=1)), len(each)


@cache
def _measured(name: str, coordinate: Any) -> dict[str, np.ndarray]:
    return measured(CELLS[name]()[coordinate])


def ours(name: str) -> dict[str, Any]:
    """What `shaping` makes of a configuration, as its summary compares it with what was published."""
    import shaping

    with tempfile.TemporaryDirectory() as folder:
        return shaping.run(name, out=f"{folder}/run").summary


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="CONFIGURATION", help="which; all by default")
    parser.add_argument("--ours", action="store_true", help="run these configurations too")
    given = parser.parse_args()
    began, compared = time.perf_counter(), {}
    print(f"{'configuration':20} {'cell':30} {'metric':22} {'here':>11} {'error':>8} {'in YAML':>11} {'ours':>11}")
    for name, entry in rows(given.names):
        if given.ours and name not in compared:
            compared[name] = ours(name)
        value, sd, runs = recomputed(name, entry)
        told = entry["metric"] + (f" {entry['player']}" if "player" in entry else "")
        (cell,) = entry["cell"].values()
        print(
            f"{name:20} {cell!s:30} {told:22} {value:11.6g} {sd / math.sqrt(runs):8.2g} {entry['value']:11.6g} "
            f"{_ours_of(compared.get(name), entry):>11}  sd {sd:.4g}, {runs} runs",
            flush=True,
        )
    print(f"{time.perf_counter() - began:.0f} s")


def _ours_of(summary: Any, entry: dict[str, Any]) -> str:
    if summary is None:
        return ""
    same = [row for row in summary["published"] if all(row.get(key) == value for key, value in entry.items())]
    return f"{same[0]['ours']:.6g}" if same and same[0]["ours"] is not None else "-"


if __name__ == "__main__":
    main()
