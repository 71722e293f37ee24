"""The key `policy` in normal form."""

from collections.abc import Callable, Mapping
from typing import Any

from shaping.config.checks import check_number, plain
from shaping.config.coin import is_coin, normal_last_takers
from shaping.config.errors import ConfigError, not_allowed, unknown_key
from shaping.config.game import is_analytic, num_players, num_states
from shaping.config.initial import normal_init
from shaping.schema import Range

_VIEWS = ("own", "shared")
MAX_MEMORY = 3


def normal_policy(raw: Any, game: Mapping[str, Any], sampled: bool = False) -> dict[str, Any]:
    """The normal form; `sampled` where returns are, which networks on boards and recurrent ones need."""
    given, seats = plain("policy", raw, "kind"), num_players(game)
    if is_analytic(game):
        for key in given:
            if key not in ("kind", "init"):
                raise unknown_key(f"policy.{key}", ["policy.init"], f" ({game['name']} is played with the parameters)")
        if given.get("kind", "parameters") not in ("parameters", "tabular"):
            raise not_allowed("policy.kind", given["kind"], f"left out: {game['name']} is played with the parameters")
        return {
            "kind": "parameters",
            "init": normal_init("policy.init", given.get("init", {"normal": 1.0}), (seats, 1)),
        }
    kind = given.get("kind")
    if kind in NETWORKS and not sampled:
        exact = "coin_table" if is_coin(game) else ", ".join(_POLICIES)
        wanted = f"{exact} where objective.kind is exact; {kind} needs objective.kind dice"
        raise not_allowed("policy.kind", kind, wanted)
    if kind in NETWORKS or (is_coin(game) and kind == "mlp" and sampled):
        return _network_policy(given, game)
    if is_coin(game):
        return _coin_policy(given, game, sampled)
    kind, view = given.get("kind", "tabular"), given.get("state_view", "own")
    if not isinstance(kind, str) or kind not in _POLICIES:
        names = (*_POLICIES, *NETWORKS)
        raise not_allowed("policy.kind", kind, f"one of {', '.join(names)}", names)
    known = ("kind", *_POLICIES[kind], "state_view", "init")
    for key in given:
        if key not in known:
            raise unknown_key(f"policy.{key}", [f"policy.{k}" for k in known])
    if view not in _VIEWS:
        raise not_allowed("policy.state_view", view, "own or shared", _VIEWS)
    own = {key: checked(given.get(key), game) for key, checked in _POLICIES[kind].items()}
    default = {"fan_in": 1.0} if kind == "mlp" else {"normal": 1.0}
    policy = {"kind": kind} | own | {"state_view": view}
    shape = init_shape(game, policy)
    return policy | {"init": normal_init("policy.init", given.get("init", default), shape and (seats, *shape))}


NETWORKS = ("conv", "gru", "lstm")
"""Kinds that read what an environment shows, step by step; `mlp` does so too on a board."""
_CRITICS = ("separate", "shared")


def is_network(normal: Mapping[str, Any]) -> bool:
    """Whether the policy of a normal form is a network on what the environment shows."""
    return "units" in normal["policy"]


def _network_policy(given: Mapping[str, Any], game: Mapping[str, Any]) -> dict[str, Any]:
    """A network: dense layers `hidden`, after convolutions of `channels` on a board, then a recurrent cell of `units`
    for gru and lstm."""
    kind, coin = given["kind"], is_coin(game)
    known = ("kind", "hidden", *(("channels",) if coin else ("state_view",)), "units", "critic", "init")
    for key in given:
        if key not in known:
            raise unknown_key(f"policy.{key}", [f"policy.{k}" for k in known], f" of {kind}")
    if game["horizon"] == 1:
        raise ConfigError(f"policy.kind: {kind} has nothing to look at in a one-shot game; use tabular")
    if kind == "conv" and not coin:
        raise ConfigError("policy.kind: conv looks at a board; allowed in the Coin Game")
    recurrent = kind in ("gru", "lstm")
    policy: dict[str, Any] = {"kind": kind}
    policy["hidden"] = _widths("hidden", given.get("hidden", [] if recurrent else [16]))
    if coin:
        channels = given.get("channels", [16] if kind == "conv" else [])
        policy["channels"] = _widths("channels", channels)
        if kind == "mlp" and policy["channels"]:
            raise not_allowed("policy.channels", channels, "[] for an mlp; use conv")
        if kind == "conv" and not policy["channels"]:
            raise not_allowed("policy.channels", channels, "a list of at least one width for conv")
    else:
        view = given.get("state_view", "own")
        if view not in _VIEWS:
            raise not_allowed("policy.state_view", view, "own or shared", _VIEWS)
        policy["state_view"] = view
    units = given.get("units", 16 if recurrent else 0)
    policy["units"] = check_number("policy.units", units, Range(*((1, 4096) if recurrent else (0, 0))), integer=True)
    policy["critic"] = given.get("critic", "separate")
    if policy["critic"] not in _CRITICS:
        raise not_allowed("policy.critic", policy["critic"], "separate or shared", _CRITICS)
    return policy | {"init": normal_init("policy.init", given.get("init", {"fan_in": 1.0}), None)}


def _widths(name: str, value: Any) -> list[int]:
    """A list of widths, possibly empty."""
    if not isinstance(value, list | tuple):
        raise not_allowed(f"policy.{name}", value, "a list of widths, each an integer, at least 1")
    return [check_number(f"policy.{name}.{i}", w, Range(1, 4096), integer=True) for i, w in enumerate(value)]


def _coin_policy(given: Mapping[str, Any], game: Mapping[str, Any], sampled: bool) -> dict[str, Any]:
    known = ("kind", "last_takers", "init")
    for key in given:
        if key not in known:
            raise unknown_key(f"policy.{key}", [f"policy.{k}" for k in known], " in the Coin Game")
    if given.get("kind", "coin_table") not in ("coin_table", "tabular"):
        names = ("coin_table", "mlp", *NETWORKS) if sampled else ("coin_table",)
        wanted = f"one of {', '.join(names)} in the Coin Game"
        raise not_allowed("policy.kind", given["kind"], wanted if sampled else "coin_table in the Coin Game", names)
    init = normal_init("policy.init", given.get("init", {"normal": 1.0}), ())
    return {"kind": "coin_table", "last_takers": normal_last_takers(given.get("last_takers"), game), "init": init}


def init_shape(game: Mapping[str, Any], policy: Mapping[str, Any]) -> tuple[int, ...] | None:
    """The shape of one player's table of parameters, None for a network, () for a table too large to write down."""
    if is_coin(game):
        return () if policy["kind"] == "coin_table" else None
    return None if policy["kind"] in ("mlp", *NETWORKS) else (num_states(game, policy.get("memory", 1)),)


def _matrix(value: Any, game: Mapping[str, Any]) -> list[list[float]]:
    """The matrix of a preconditioned policy, [states][states]."""
    states = num_states(game)
    rows = value if isinstance(value, list | tuple) else []
    if len(rows) != states or not all(isinstance(row, list | tuple) and len(row) == states for row in rows):
        raise not_allowed("policy.matrix", value, f"{states} rows of {states} numbers: logits = matrix x parameters")
    return [[check_number(f"policy.matrix.{i}.{j}", x, Range()) for j, x in enumerate(r)] for i, r in enumerate(rows)]


def _memory(value: Any, game: Mapping[str, Any]) -> int:
    """How many rounds a tabular policy remembers."""
    memory = check_number("policy.memory", 1 if value is None else value, Range(1, MAX_MEMORY), integer=True)
    if memory > 1 and (num_players(game) != 2 or game["horizon"] == 1):
        raise not_allowed("policy.memory", memory, "1, unless two players play more than one round")
    return memory


def _hidden(value: Any, game: Mapping[str, Any]) -> list[int]:
    """Widths of the hidden layers of an mlp policy."""
    if game["horizon"] == 1:
        raise ConfigError("policy.kind: mlp has nothing to look at in a one-shot game; use tabular")
    widths = [16] if value is None else value
    if not isinstance(widths, list | tuple) or not widths:
        raise not_allowed("policy.hidden", value, "a list of widths, each an integer, at least 1")
    return [check_number(f"policy.hidden.{i}", w, Range(1, 4096), integer=True) for i, w in enumerate(widths)]


_POLICIES: dict[str, dict[str, Callable[[Any, Mapping[str, Any]], Any]]] = {
    "tabular": {"memory": _memory},
    "preconditioned": {"matrix": _matrix},
    "mlp": {"hidden": _hidden},
}
"""Kinds of policies: the keys each adds, and what checks them given the game."""
