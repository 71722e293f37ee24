"""Shares of types in a population, as whole numbers of learners."""

import math
from collections.abc import Mapping, Sequence
from typing import Any


def apportioned(size: int, names: Sequence[str], shares: Mapping[str, Any] | None = None) -> tuple[int, ...]:
    """How many learners each type has, by largest remainder (Hamilton): each the whole part of its share of the size,
    what is left to the largest fractions, the earlier type first where they are equal.

    Args:
      size: of the population.
      names: of the types.
      shares: by name, numbers from 0 to 1 that add up to 1; one may be "rest". Evenly if None.

    Raises:
      ValueError: one line: a type that is not known or has no share, a share out of its range, or shares that do not
        add up.
    """
    if shares is None:
        shares = dict.fromkeys(names, 1 / len(names))
    for name in shares:
        if name not in names:
            raise ValueError(f"shares.{name} is given; allowed: {', '.join(names)}")
    for name in names:
        if name not in shares:
            raise ValueError(f"shares.{name} is missing; allowed: a number from 0 to 1, or rest")
    rest = [name for name in names if shares[name] == "rest"]
    if len(rest) > 1:
        raise ValueError(f"shares: {' and '.join(rest)} are rest; allowed: one of them")
    given = {name: shares[name] for name in names if name not in rest}
    for name, share in given.items():
        if isinstance(share, bool) or not isinstance(share, int | float) or not 0 <= share <= 1:
            raise ValueError(f"shares.{name} is {share!r}; allowed: a number from 0 to 1, or rest")
    total = math.fsum(given.values())
    if total > 1 + 1e-9 or (not rest and total < 1 - 1e-9):
        raise ValueError(f"shares add up to {total:g}; allowed: 1, or less where one type is rest")
    each = given | {name: max(1 - total, 0.0) for name in rest}
    exact = [each[name] * size for name in names]
    # A share such as 0.29 of 100 is a whole number, whatever binary fractions make of it.
    whole = [math.floor(part + 1e-9) for part in exact]
    by_fraction = sorted(range(len(names)), key=lambda place: (round(whole[place] - exact[place], 9), place))
    for place in by_fraction[: size - sum(whole)]:
        whole[place] += 1
    return tuple(whole)
