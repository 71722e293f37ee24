"""Zero-determinant strategies: memory-one tables that fix a linear relation between the two players' values.

With payoffs R, S, T, P (reward, sucker, temptation, punishment), own payoff s_x and the opponent's s_y per step,

    p(s) = [s begins with C] + phi / (P - S) ((s_x(s) - l) - chi (s_y(s) - l))

over s = CC, CD, DC, DD enforces  s_x - l = chi (s_y - l)  against anyone: with l = P these are the extortionate
strategies of Press and Dyson (2012, PNAS 109, equations 7 to 12, which also define phi), with l = R the generous ones
of Stewart and Plotkin (2012, PNAS 109, "Extortion and cooperation in the Prisoner's Dilemma"; 2013, PNAS 110). That
holds for values without discount. At a discount d below 1 the same relation holds for the values (1 - d) V exactly if
d p(s) + (1 - d) p(start) takes the place of p(s) (Hilbe, Traulsen and Sigmund 2015, Games and Economic Behavior 92,
"Partners or rivals?").
"""

import numpy as np

from shaping.envs.environment import check_number


def extortionate(
    chi: float = 3.0,
    phi: float | None = None,
    discount: float = 1.0,
    reward: float = -1.0,
    sucker: float = -3.0,
    temptation: float = 0.0,
    punishment: float = -2.0,
) -> list[float]:
    """Earns chi times the opponent's surplus over mutual defection: s_x - P = chi (s_y - P). It starts with D.

    chi: the extortion factor, at least 1.
    phi: how strongly it reacts, within what chi and the payoffs allow; by default the middle of that range.
    discount: of the game in which the relation holds exactly, above 0; 1 for the mean per step of an endless game.
    reward, sucker, temptation, punishment: the game's payoffs, as in `envs.make("ipd", ...)`.

    Returns:
      P(cooperate) in start, CC, CD, DC, DD.

    Raises:
      ValueError: for payoffs that are not a prisoner's dilemma, chi below 1, or phi out of its range, which is named.
    """
    return _table(chi, phi, discount, (reward, sucker, temptation, punishment), punishment, 0.0)


def generous_zd(
    chi: float = 3.0,
    phi: float | None = None,
    discount: float = 1.0,
    reward: float = -1.0,
    sucker: float = -3.0,
    temptation: float = 0.0,
    punishment: float = -2.0,
) -> list[float]:
    """Bears chi times the opponent's loss against mutual cooperation: s_x - R = chi (s_y - R). It starts with C.

    The arguments, result and errors are those of `extortionate`.
    """
    return _table(chi, phi, discount, (reward, sucker, temptation, punishment), reward, 1.0)


def _table(
    chi: float, phi: float | None, discount: float, payoffs: tuple[float, ...], baseline: float, start: float
) -> list[float]:
    names = ("reward", "sucker", "temptation", "punishment")
    r, s, t, p = (check_number(name, value) for name, value in zip(names, payoffs, strict=True))
    if not t > r > p > s:
        said = ", ".join(f"{name} {value:g}" for name, value in zip(names, (r, s, t, p), strict=True))
        raise ValueError(f"payoffs are {said}; allowed: temptation > reward > punishment > sucker")
    chi = check_number("chi", chi, 1)
    discount = check_number("discount", discount, 0, 1)
    own, other = np.array([r, s, t, p]), np.array([r, t, s, p])
    slope = ((own - baseline) - chi * (other - baseline)) / (p - s)
    # discount * probability = offset + phi * slope in each state.
    offset = np.array([1.0, 1.0, 0.0, 0.0]) - (1 - discount) * start
    low, high = _feasible(offset, slope, discount)
    if low > high or discount == 0:
        raise ValueError(f"chi is {chi:g} and discount {discount:g}, which no phi allows; raise chi or the discount")
    if phi is None:
        phi = (low + high) / 2
    phi = check_number("phi", phi)
    slack = 1e-9 * high
    if not (phi > 0 and low - slack <= phi <= high + slack):
        lowest = f"{low:.6g}" if low > 0 else "above 0"
        raise ValueError(f"phi is {phi!r}; allowed: {lowest} to {high:.6g} with chi {chi:g} and these payoffs")
    probabilities = np.clip((offset + phi * slope) / discount, 0, 1)
    return [start, *probabilities.tolist()]


def _feasible(offset: np.ndarray, slope: np.ndarray, discount: float) -> tuple[float, float]:
    """The smallest and largest phi with 0 <= offset + phi slope <= discount in every state; low > high if there is
    none."""
    low, high = 0.0, np.inf
    for a, b in zip(offset, slope, strict=True):
        if abs(b) < 1e-12:
            if not -1e-12 <= a <= discount + 1e-12:
                return 1.0, 0.0
            continue
        ends = sorted(((0 - a) / b, (discount - a) / b))
        low, high = max(low, ends[0]), min(high, ends[1])
    return float(low), float(high)
