"""Strategies of repeated two-player games by name: functions from a strategy's numbers to its parameters.

A strategy that depends only on the last round is a `memory_one` policy with its table; any other is an `automaton` with
its machine. `stack_automata` turns all of them into machines of one size, for one program. Below, "plays D if ..."
refers to the opponent's last actions unless it says otherwise; histories are of executed actions.
"""

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from shaping.envs.environment import check_integer, check_number
from shaping.policies.automaton import Machine, automaton, explored, from_table, padded
from shaping.policies.memory_one import memory_one
from shaping.policies.policy import Policy
from shaping.policies.published_machines import PUBLISHED, published_machine
from shaping.policies.zero_determinant import extortionate, generous_zd


def strategy(name: str, **settings: Any) -> tuple[Policy, Any]:
    """A strategy by name: its policy and its parameters.

    Args:
      name: one of `STRATEGIES`.
      **settings: the strategy's own numbers; those left out have their defaults.

    Returns:
      `memory_one(5)` with theta [5], or `automaton(states)` with a `Machine`.

    Raises:
      ValueError: for an unknown name or setting, or a number out of range; the message says what is allowed.
    """
    if not isinstance(name, str) or name not in STRATEGIES:
        raise ValueError(f"strategy is {name!r}; allowed: {', '.join(STRATEGIES)}")
    known = inspect.signature(STRATEGIES[name]).parameters
    for key in settings:
        if key not in known:
            raise ValueError(f"setting {key!r} is not one of {name!r}; allowed: {', '.join(known) or 'none'}")
    found = STRATEGIES[name](**settings)
    if isinstance(found, Machine):
        return automaton(found.cooperation.shape[0]), found
    return memory_one(len(found)), jnp.asarray(found, dtype=float)


def stack_automata(players: Sequence[str | tuple[Policy, Any] | Machine]) -> tuple[Policy, Machine]:
    """Players of any kind as machines of the same size, stacked, for a vmap over matches.

    Args:
      players: names, results of `strategy`, or machines.

    Returns:
      One `automaton` policy, and the stacked machines: leaves [players, ...].

    Raises:
      ValueError: if there are no players, or if one is neither a table nor a machine.
    """
    machines = [_machine(player) for player in players]
    if not machines:
        raise ValueError("players is []; allowed: one player or more")
    observations = {machine.transition.shape[1] for machine in machines}
    if len(observations) > 1:
        raise ValueError(
            f"players distinguish {sorted(observations)} observations; all must distinguish the same number"
        )
    states = max(machine.cooperation.shape[0] for machine in machines)
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *[padded(machine, states) for machine in machines])
    return automaton(states, observations.pop()), stacked


def _machine(player: Any) -> Machine:
    theta = strategy(player)[1] if isinstance(player, str) else player
    if isinstance(player, tuple):
        policy, theta = player
        if policy.kind not in ("memory_one", "automaton"):
            raise ValueError(f"a player is {policy.kind}; allowed: memory_one or automaton")
    return theta if isinstance(theta, Machine) else from_table(theta)


def _table(start: float = 0.5, cc: float = 0.5, cd: float = 0.5, dc: float = 0.5, dd: float = 0.5) -> list[float]:
    """Any memory-one strategy: P(cooperate) at the start and after each joint action, its own action first."""
    given = {"start": start, "cc": cc, "cd": cd, "dc": dc, "dd": dd}
    return [check_number(name, value, 0, 1) for name, value in given.items()]


def _random(p: float = 0.5) -> list[float]:
    """Cooperates with probability p whatever happens."""
    return [check_number("p", p, 0, 1)] * 5


def _generous_tft(generosity: float = 1 / 3) -> list[float]:
    """Tit-for-tat that forgives a defection with a certain probability.

    The default is the best that a reactive strategy can do with payoffs 3, 0, 5, 1:
    min(1 - (T-R)/(R-S), (R-P)/(T-P)) (Nowak and Sigmund 1992, Nature 355).
    """
    q = check_number("generosity", generosity, 0, 1)
    return [1.0, 1.0, q, 1.0, q]


def _tits_for_tats(tits: int = 1, tats: int = 1) -> Machine:
    """Answers `tats` defections in a row with `tits` defections; each further defection restarts the answer.

    Tit-for-tat is (1, 1); Axelrod (1984) discusses (1, 2) and (2, 1).
    """
    tits, tats = check_integer("tits", tits, 1, 50), check_integer("tats", tats, 1, 50)

    def move(state: tuple[int, int], own: str, other: str) -> tuple[int, int]:
        row, due = state
        row = min(row + 1, tats) if other == "D" else 0
        return row, tits if row == tats else max(due - 1, 0)

    return explored((0, 0), lambda state: state[1] == 0, move)


def _slow_tft() -> Machine:
    """C twice; then follows what the opponent did twice in a row, otherwise repeats its own last action."""

    def move(state: tuple[str, str], own: str, other: str) -> tuple[str, str]:
        return (other if other == state[1] else own), other

    return explored(("C", ""), lambda state: state[0] == "C", move)


def _grudger() -> Machine:
    """C until the opponent defects, then D for ever: GRIM, but not triggered by its own mistakes."""
    return explored("C", lambda state: state == "C", lambda state, own, other: "D" if "D" in (state, other) else "C")


def _soft_grudger() -> Machine:
    """C; answers a defection with D, D, D, D, C, C, whatever happens meanwhile (Li, Hingston and Kendall 2011)."""

    def move(since: int, own: str, other: str) -> int:
        return since + 1 if 1 <= since < 6 else int(other == "D")

    return explored(0, lambda since: since in (0, 5, 6), move)


def _easy_go() -> Machine:
    """D until the opponent defects, then C for ever (the reverse of GRIM; Li, Hingston and Kendall 2011)."""

    def move(forgives: bool, own: str, other: str) -> bool:
        return forgives or other == "D"

    return explored(False, lambda forgives: forgives, move)


def _opposite_grudger() -> Machine:
    """D until the opponent cooperates, then C for ever."""
    return explored("D", lambda state: state == "C", lambda state, own, other: "C" if "C" in (state, other) else "D")


def _prober(opening: str, answer: str, then: str) -> Machine:
    """Plays `opening`. If the opponent's actions from the second on begin with `answer`, plays `then` for ever;
    otherwise tit-for-tat."""

    def move(seen: str, own: str, other: str) -> str:
        if seen in ("always", "C!", "D!"):
            return "always" if seen == "always" else other + "!"
        seen += other
        if len(seen) < len(opening):
            return seen
        return "always" if seen[1:].startswith(answer) else other + "!"

    def cooperate(seen: str) -> bool:
        action = then if seen == "always" else seen[0] if seen.endswith("!") else opening[len(seen)]
        return action == "C"

    return explored("", cooperate, move)


def _tester() -> Machine:
    """D, C, C, then alternates D and C until the opponent defects: then C once, and tit-for-tat for ever.

    David Gladstein's entry to Axelrod's second tournament (Axelrod 1980, Journal of Conflict Resolution 24, 379).
    """

    def move(state: str, own: str, other: str) -> str:
        if state in ("sorry", "C", "D"):
            return other
        if other == "D":
            return "sorry"
        return {"first": "second", "second": "third", "third": "take", "take": "give", "give": "take"}[state]

    return explored("first", lambda state: state not in ("first", "take", "D"), move)


def _contrite_tft() -> Machine:
    """Tit-for-tat by standing: defects only if its own standing is good and the opponent's is not.

    Cooperating gives good standing, and so does a defection that is justified by the rule above; any other defection
    loses it. Without mistakes it is tit-for-tat; after its own mistakes it makes amends (Sugden 1986; Wu and Axelrod
    1995, Journal of Conflict Resolution 39;
    Boerlijst, Nowak and Sigmund 1997, Journal of Theoretical Biology 185).
    """

    def move(state: tuple[bool, bool], own: str, other: str) -> tuple[bool, bool]:
        mine, theirs = state
        return own == "C" or (mine and not theirs), other == "C" or (theirs and not mine)

    return explored((True, True), lambda state: not state[0] or state[1], move)


def _all_or_none(rounds: int = 2) -> Machine:
    """Cooperates if both players acted alike in each of the last `rounds` rounds, and during the first `rounds` rounds.

    One round is win-stay lose-shift (Hilbe, Martinez-Vaquero, Chatterjee and Nowak 2017, PNAS 114).
    """
    rounds = check_integer("rounds", rounds, 1, 50)

    def move(state: tuple[int, int], own: str, other: str) -> tuple[int, int]:
        played, same = state
        return min(played + 1, rounds), min(same + 1, rounds) if own == other else 0

    return explored((0, 0), lambda state: state[0] < rounds or state[1] == rounds, move)


def _cycle(actions: str = "CCD") -> Machine:
    """Repeats the letters of `actions`, whatever happens."""
    if not isinstance(actions, str) or not actions or set(actions) - set("CD"):
        raise ValueError(f"actions is {actions!r}; allowed: letters C and D, such as 'CCD'")
    return explored(0, lambda at: actions[at] == "C", lambda at, own, other: (at + 1) % len(actions))


def _fixed(*table: float) -> Callable[[], list[float]]:
    return lambda: list(table)


STRATEGIES: dict[str, Callable[..., Any]] = {
    # start, CC, CD, DC, DD
    "allc": _fixed(1, 1, 1, 1, 1),
    "alld": _fixed(0, 0, 0, 0, 0),
    "tft": _fixed(1, 1, 0, 1, 0),
    "suspicious_tft": _fixed(0, 1, 0, 1, 0),
    "anti_tft": _fixed(1, 0, 1, 0, 1),
    "bully": _fixed(0, 0, 1, 0, 1),
    "grim": _fixed(1, 1, 0, 0, 0),
    "wsls": _fixed(1, 1, 0, 0, 1),
    "win_shift_lose_stay": _fixed(0, 0, 1, 1, 0),
    "alternator": _fixed(1, 0, 0, 1, 1),
    "random": _random,
    "generous_tft": _generous_tft,
    "extortionate": extortionate,
    "generous_zd": generous_zd,
    "memory_one": _table,
    "tf2t": lambda: _tits_for_tats(1, 2),
    "two_tits_for_tat": lambda: _tits_for_tats(2, 1),
    "hard_tft": lambda: _tits_for_tats(3, 1),
    "hard_tf2t": lambda: _tits_for_tats(2, 2),
    "tits_for_tats": _tits_for_tats,
    "slow_tft": _slow_tft,
    "contrite_tft": _contrite_tft,
    "grudger": _grudger,
    "soft_grudger": _soft_grudger,
    "easy_go": _easy_go,
    "opposite_grudger": _opposite_grudger,
    "prober": lambda: _prober("DCC", "CC", "D"),
    "prober_2": lambda: _prober("DCC", "DC", "C"),
    "prober_3": lambda: _prober("DC", "C", "D"),
    "hard_prober": lambda: _prober("DDCC", "CC", "D"),
    "tester": _tester,
    "all_or_none": _all_or_none,
    "cycle": _cycle,
    **{name: (lambda name=name: published_machine(name)) for name in PUBLISHED},
}
"""Names, and the functions that make their parameters: a table [5] of P(cooperate), or a `Machine`."""
