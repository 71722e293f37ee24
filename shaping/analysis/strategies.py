"""Which strategy was learned: compares memory-one policies with named strategies and equilibria.

Policies are P(cooperate | state). States are in the order start, then the joint actions in binary counting with
0 = cooperate: (start, CC, CD, DC, DD) for two players. In the own view a player's own action comes first; in the
shared view player 0's action does. Payoffs are in the joint-action order CC, CD, DC, DD, with player 0's action
first.
"""

from __future__ import annotations

import numpy as np

from shaping import classic_strategies
from shaping.classic_strategies import EXTORTIONATE, UNDEFINED

_TFT = np.array([[1, 1, 0, 1, 0], [1, 1, 1, 0, 0]], float)  # [player, joint state]: each copies the other's action


def joint_states(players: int, player: int, state_view: str) -> np.ndarray:
    """Where a player's policy stores each joint state: `policy[..., player, :][..., index]` is in seat order.

    Returns int [1 + 2**players]; the identity in the shared view and for player 0, whose own view is in seat
    order.
    """
    states = 1 + 2**players
    if state_view == "shared" or player == 0:
        return np.arange(states)
    actions = np.arange(2**players)
    bits = (actions[:, None] >> np.arange(players - 1, -1, -1)) & 1  # [joint action, seat]
    own_first = [player] + [seat for seat in range(players) if seat != player]
    index = (bits[:, own_first] << np.arange(players - 1, -1, -1)).sum(axis=1)
    return np.concatenate([[0], 1 + index])


def as_joint(policy: np.ndarray, state_view: str) -> np.ndarray:
    """policy [match, player, state] with all states in seat order, so that one index is one joint state."""
    players, states = policy.shape[1:]
    if players == 2 and states > 5 and state_view == "own":
        return np.stack([policy[:, 0], policy[:, 1, _own_histories(states)]], axis=1)
    if states != 1 + 2**players:
        return policy
    return np.stack([policy[:, i, joint_states(players, i, state_view)] for i in range(players)], axis=1)


def _own_histories(states: int) -> np.ndarray:
    """For each history of up to k rounds as player 0 sees it, its number in player 1's view: CD and DC are
    exchanged."""
    found, swapped = [np.zeros(1, int)], np.array([0, 2, 1, 3])
    while sum(len(part) for part in found) < states:
        # One more round: the earlier rounds are the higher digits in base four.
        found.append((4 * found[-1][:, None] + swapped).ravel())
    firsts = np.cumsum([0, *(len(part) for part in found)])
    return np.concatenate([first + part for first, part in zip(firsts, found, strict=False)])


def _both_within(policy: np.ndarray, target: np.ndarray, tolerance: float) -> np.ndarray:
    close = (np.abs(policy - target) < tolerance).all(axis=1)
    undefined = ~np.isfinite(policy).all(axis=(1, 2)) | ~np.isfinite(target).all(axis=(1, 2))
    return np.where(undefined, np.nan, close.mean(axis=1))


def tft_match(policy: np.ndarray, state_view: str) -> np.ndarray:
    """Share of the five joint states in which both players are within 0.5 of tit-for-tat.

    This is the "%TFT" of Foerster et al. (2018), Table 3: ALLD against ALLD scores 0.2, since both agree with
    tit-for-tat after DD. Joint states are matched as player 0 sees them; with own views player 0's CD is
    player 1's DC.

    Args:
        policy: [match, player, state], P(cooperate | state).
        state_view: "own" or "shared".

    Returns:
        [match] in {0, 0.2, ..., 1}; NaN unless two players have five states.
    """
    if policy.shape[1:] != (2, 5):
        return np.full(len(policy), np.nan)
    return _both_within(as_joint(policy, state_view), _TFT[None], 0.5)


def tft_found(
    policy: np.ndarray, value: np.ndarray, value_cooperation: np.ndarray, value_defection: np.ndarray, state_view: str
) -> np.ndarray:
    """Whether both players have found tit-for-tat: they answer defection, and they earn nearly as much as cooperators.

    That is, P(C) < 0.65 in both states in which the opponent has defected, and the players' mean value is above V_DD +
    0.8 (V_CC - V_DD). P(C) after the opponent's cooperation is not considered. Source: POLA (Zhao et al. 2022), "finds
    TFT" in figure 3, as in the authors' `LOLA_exact.py`.

    Args:
        policy: [match, 2, 5], P(cooperate | state).
        value, value_cooperation, value_defection: [match, 2]; the latter two if everybody cooperates, or defects.
        state_view: "own" or "shared".

    Returns:
        [match] 0 or 1, 0 if a policy is not finite; NaN unless two players have five states and V_CC > V_DD.
    """
    undefined = np.full(len(policy), np.nan)
    if policy.shape[1:] != (2, 5):
        return undefined
    joint = as_joint(policy, state_view)  # start, CC, CD, DC, DD as player 0 sees them
    answers = (joint[:, 0, [2, 4]] < 0.65).all(axis=1) & (joint[:, 1, [3, 4]] < 0.65).all(axis=1)
    best, worst = value_cooperation.mean(axis=1), value_defection.mean(axis=1)
    earns = value.mean(axis=1) > worst + 0.8 * (best - worst)
    return np.where(best > worst, (answers & earns).astype(float), undefined)


def mixed_equilibrium(payoffs: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """P(cooperate), as chosen, in the unique mixed equilibrium of a 2x2 stage game that has no pure one.

    Args:
        payoffs: [match, player, joint_action], two players with two actions.
        noise: [match, player], probability in [0, 1/2) that the executed action is not the chosen one.

    Returns:
        [match, player]: the probability to choose so that the executed one is the equilibrium,
        (p - noise)/(1 - 2 noise); NaN if the game has a pure equilibrium (weak inequalities) or if noise makes the
        mixture unreachable.
    """
    if payoffs.shape[1:] != (2, 4):
        return np.full(payoffs.shape[:2], np.nan)
    a = payoffs[:, 0].reshape(-1, 2, 2)
    b = payoffs[:, 1].reshape(-1, 2, 2)
    pure = np.logical_and(a >= a[:, ::-1, :], b >= b[:, :, ::-1]).any(axis=(1, 2))
    with np.errstate(divide="ignore", invalid="ignore"):
        # Each player mixes so that the other one is indifferent.
        p0 = (b[:, 1, 1] - b[:, 1, 0]) / (b[:, 0, 0] - b[:, 1, 0] - b[:, 0, 1] + b[:, 1, 1])
        p1 = (a[:, 1, 1] - a[:, 0, 1]) / (a[:, 0, 0] - a[:, 0, 1] - a[:, 1, 0] + a[:, 1, 1])
        chosen = (np.stack([p0, p1], axis=1) - noise) / (1 - 2 * noise)
    reachable = (chosen >= 0) & (chosen <= 1) & np.logical_not(pure)[:, None]
    return np.where(reachable.all(axis=1, keepdims=True), chosen, np.nan)


def nash_match(policy: np.ndarray, payoffs: np.ndarray, noise: np.ndarray, state_view: str) -> np.ndarray:
    """Share of the joint states in which both players are within 0.25 of the stage game's mixed equilibrium.

    Joint states are matched as in tft_match; a one-shot game has one state. Shapes as in tft_match and
    mixed_equilibrium.

    Returns:
        [match] in [0, 1]; NaN unless two players have five states or one, and if mixed_equilibrium is NaN.
    """
    if policy.shape[1:] not in ((2, 5), (2, 1)):
        return np.full(len(policy), np.nan)
    return _both_within(as_joint(policy, state_view), mixed_equilibrium(payoffs, noise)[:, :, None], 0.25)


def cooperative(value: np.ndarray, value_cooperation: np.ndarray, value_defection: np.ndarray) -> np.ndarray:
    """Whether the players' mean value is at least V_CC - 0.2 (V_CC - V_DD).

    Args:
        value: [match, player], normalised, at the last update.
        value_cooperation, value_defection: [match, player], normalised values if everybody always cooperates
            (V_CC) and if everybody always defects (V_DD); their means over players are compared.

        Returns:
        [match] 0 or 1; NaN if V_CC is not above V_DD (beyond rounding) or the value is not finite.
    """
    mean, good, bad = value.mean(axis=1), value_cooperation.mean(axis=1), value_defection.mean(axis=1)
    # In a constant-sum game both are equal, and single-precision rounding must not decide which one is larger.
    scale = np.abs(value_cooperation).max(axis=1) + np.abs(value_defection).max(axis=1)
    gap = good - bad
    defined = (gap > 1e-5 * scale) & np.isfinite(mean)
    return np.where(defined, mean >= good - 0.2 * gap, np.nan)


def own_payoffs(payoffs: np.ndarray) -> np.ndarray:
    """payoffs [match, 2, 4] as (R, S, T, P) of each player: own action first, [match, player, 4]."""
    return np.stack([payoffs[:, 0], payoffs[:, 1][:, [0, 2, 1, 3]]], axis=1)


def nearest_strategy(policy: np.ndarray, payoffs: np.ndarray, state_view: str) -> tuple[np.ndarray, np.ndarray]:
    """The nearest classic strategy of every player; see `classic_strategies`.

    Args:
        policy: [match, player, state], P(cooperate | state).
        payoffs: [match, player, joint_action].
        state_view: "own" or "shared".

    Returns:
        labels int8 [match, player], indices into `classic_strategies.STRATEGIES`, or UNDEFINED; chi [match, player],
        NaN if the label is not extortionate. All undefined unless two players have five states.
    """
    labels = np.full(policy.shape[:2], UNDEFINED, np.int8)
    chis = np.full(policy.shape[:2], np.nan)
    if policy.shape[1:] != (2, 5):
        return labels, chis
    own = policy
    if state_view == "shared":
        own = np.stack([policy[:, 0], policy[:, 1][:, [0, 1, 3, 2, 4]]], axis=1)
    mine = own_payoffs(payoffs)
    symmetric = np.all(np.isclose(mine[:, :1], mine[:, 1:], rtol=1e-6, atol=0), axis=-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        labels[:], chi = classic_strategies.nearest(np, own[..., 1:].astype(np.float64), mine, symmetric)
    return labels, np.where(labels == EXTORTIONATE, chi, chis)
