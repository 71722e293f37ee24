"""Tables of P(C), and numbers of games, as a record holds them."""

from typing import Any

import numpy as np

from shaping.objectives.returns_memory_k import own_histories

HISTORIES = (5, 21, 85, 341, 1365)
"""How many histories of up to 1, 2, 3, ... rounds there are, the start included."""


def own_tables(record: Any) -> np.ndarray | None:
    """P(C | history) of all players as they see it, [match, 2, histories] float64, padded with NaN; None if the record
    holds no tables of two players."""
    policy = record.get("policy")
    if policy is None or policy.sizes["player"] != 2:
        return None
    tables = policy.values.astype(np.float64)
    if record.attrs.get("state_view") == "shared":
        histories = int(np.isfinite(tables).sum(axis=-1).max())
        if histories in (1, *HISTORIES):
            tables[:, 1, :histories] = tables[:, 1, _own_view(histories)]
    return tables


def are_tables(record: Any) -> bool:
    """Whether a record is of a matrix game of two players whose policies are tables of P(C), with exact values."""
    if "policy" not in record or record["policy"].sizes["player"] != 2 or "payoffs" not in record:
        return False
    return "reward_per_step" not in record or "value_exact" in record


def as_written(value: Any) -> np.ndarray:
    """float64 with the digits that a number was written with: 0.96 rather than its nearest float32."""
    value = np.asarray(value)
    return np.array([float(str(x)) for x in value.ravel()]).reshape(value.shape)


def _own_view(histories: int) -> np.ndarray:
    return np.zeros(1, int) if histories == 1 else own_histories(HISTORIES.index(histories) + 1)
