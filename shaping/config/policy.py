"""The key `policy`: the kinds of policies there are, in one table."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from shaping.config.checks import check_number, mapping, settings
from shaping.config.coin import check_last_takers, coin_env
from shaping.config.environments import ENVIRONMENT
from shaping.config.errors import ConfigError, not_allowed
from shaping.config.games import ANALYTIC, COIN, MATRIX, family_of
from shaping.config.initial import normal_init
from shaping.envs.spaces import Discrete
from shaping.extensions import Named
from shaping.objectives.memory_k import num_histories
from shaping.policies import Policy, coin_table, mlp, network, preconditioned, tabular
from shaping.policies.critics import Critic, network_critic, tabular_critic
from shaping.policies.gaussian import gaussian
from shaping.schema import Field, Range, fields

View = Literal["own", "shared"]
Widths = tuple[Annotated[int, Range(1, 4096)], ...]
Normal = Mapping[str, Any]
_NETWORKS = ("mlp", "conv", "gru", "lstm")


@dataclass(frozen=True)
class Kind:
    """A kind of policies.

    Attributes:
      build: `(policy, game, seat, env) -> Policy`; env is what is played, None where returns are exact.
      fields: its settings, besides `init`.
      start: the default `init`.
      shape: `(game, policy) -> shape` of one player's table of parameters, None where it has none to write down, () for
        one that is too large for that.
      check: `(policy, game) -> None` refuses what does not fit together.
      network: whether it reads what the environment shows, step by step.
      others: keys that `check` checks.
    """

    build: Callable[..., Policy]
    fields: Mapping[str, Field] = field(default_factory=dict)
    start: Mapping[str, float] = field(default_factory=lambda: {"normal": 1.0})
    shape: Callable[[Normal, Normal], tuple[int, ...] | None] = lambda game, policy: None
    check: Callable[[dict[str, Any], Normal], None] = lambda policy, game: None
    network: bool = False
    others: tuple[str, ...] = ()


def _tabular(memory: Annotated[int, Range(1, 3)] = 1, state_view: View = "own") -> None:
    """Of the states of a matrix game."""


def _preconditioned(state_view: View = "own") -> None:
    """Logits are `matrix` times parameters."""


def _mlp(hidden: Widths = (16,), state_view: View = "own") -> None:
    """Of one-hot states of a matrix game, whose table it can write down."""


def _coin_table(last_takers: bool = False) -> None:
    """Of the relative boards of the Coin Game."""


def _feedforward(hidden: Widths = (16,), critic: Literal["separate", "shared"] = "separate") -> None:
    """A network of what the environment shows."""


def _recurrent(
    hidden: Widths = (), units: Annotated[int, Range(1, 4096)] = 16, critic: Literal["separate", "shared"] = "separate"
) -> None:
    """A network with a recurrent cell."""


def _channels(channels: Widths = ()) -> None:
    """Of the convolutions before it, on a board."""


def _board(layout: Literal["channels_first", "channels_last"] | None = None) -> None:
    """Which axis of a board of other people's environments is the channels'."""


def _view(state_view: View = "own") -> None:
    """What a state of a matrix game is."""


def num_states(game: Normal, memory: int = 1) -> int:
    """How many states a table of a game has that remembers `memory` rounds; 1 in an analytic game."""
    if family_of(game) is not MATRIX or game["horizon"] == 1:
        return 1
    return 1 + 2 ** MATRIX.seats(game) if memory == 1 else num_histories(memory)


def _check_memory(policy: dict[str, Any], game: Normal) -> None:
    if policy["memory"] > 1 and (MATRIX.seats(game) != 2 or game["horizon"] == 1):
        raise not_allowed("policy.memory", policy["memory"], "1, unless two players play more than one round")


def _check_matrix(policy: dict[str, Any], game: Normal) -> None:
    states, value = num_states(game), policy["matrix"]
    rows = value if isinstance(value, list | tuple) else []
    if len(rows) != states or not all(isinstance(row, list | tuple) and len(row) == states for row in rows):
        raise not_allowed("policy.matrix", value, f"{states} rows of {states} numbers: logits = matrix x parameters")
    policy["matrix"] = [
        [check_number(f"policy.matrix.{i}.{j}", x, Range()) for j, x in enumerate(row)] for i, row in enumerate(rows)
    ]


def _check_mlp(policy: dict[str, Any], game: Normal) -> None:
    _check_more_rounds(policy, game)
    if not policy["hidden"]:
        raise not_allowed("policy.hidden", policy["hidden"], "a list of widths, each an integer, at least 1")


def _check_more_rounds(policy: Normal, game: Normal) -> None:
    if game["horizon"] == 1:
        raise ConfigError(f"policy.kind: {policy['kind']} has nothing to look at in a one-shot game; use tabular")


def _check_network(policy: dict[str, Any], game: Normal) -> None:
    _check_more_rounds(policy, game)
    channels = policy.get("channels", [])
    if policy["kind"] == "mlp" and channels:
        raise not_allowed("policy.channels", channels, "[] for an mlp; use conv")
    if policy["kind"] == "conv" and not channels:
        raise not_allowed("policy.channels", channels, "a list of at least one width for conv")


def _build_network(policy: Normal, game: Normal, seat: int, env: Any) -> Policy:
    del seat
    shared = policy["critic"] == "shared"
    return _told(lambda: network(env.observation_space, env.action_space, critic=shared, **_layers(policy, env)))


def _layers(policy: Normal, env: Any) -> dict[str, Any]:
    channels = tuple(policy.get("channels", ()))
    return {
        "encoder": "conv" if channels else "dense",
        "hidden": tuple(policy["hidden"]),
        "channels": channels,
        "recurrent": policy["kind"] if policy["kind"] in ("gru", "lstm") else None,
        "units": max(policy.get("units", 1), 1),
        "layout": _layout(policy, env) if channels else None,
    }


def _layout(policy: Normal, env: Any) -> str:
    """Which axis of a board is the channels': as the policy or else the environment says, the last if neither does."""
    told = policy.get("layout") or getattr(env, "layout", None)
    return told if told in ("channels_first", "channels_last") else "channels_last"


def _told(build: Callable[[], Any]) -> Any:
    """What does not fit a space is told as what does not fit the policy."""
    try:
        return build()
    except ValueError as error:
        raise ConfigError(f"policy.{error}") from None


def _table_of_states(policy: Normal, game: Normal, seat: int, env: Any) -> Policy:
    del seat
    memory = policy["memory"]
    return tabular(num_states(game, memory), memory)


def _table_of_shown(policy: Normal, game: Normal, seat: int, env: Any) -> Policy:
    del seat
    shown, does = env.observation_space, env.action_space
    if not isinstance(shown, Discrete) or not isinstance(does, Discrete) or does.num_values != 2:
        raise not_allowed(
            "policy.kind", policy["kind"], f"a network; {game['name']} is not two actions in a few states"
        )
    return tabular(shown.num_values)


def _network_kind(kind: str, game: Normal) -> Kind:
    recurrent, family = kind in ("gru", "lstm"), family_of(game)
    own = fields(_recurrent if recurrent else _feedforward)
    own |= fields(_view) if family is MATRIX else fields(_channels)
    own |= fields(_board) if family is ENVIRONMENT else {}
    if kind == "conv":
        own["channels"] = Field("channels", "integers", (16,), own["channels"].range)
    return Kind(_build_network, own, {"fan_in": 1.0}, check=_check_network, network=True)


_TABLES = {
    "parameters": Kind(
        lambda policy, game, seat, env: ANALYTIC.exact(game, policy, (), None).policies[seat],
        shape=lambda game, policy: (1,),
    ),
    "tabular": Kind(
        _table_of_states,
        fields(_tabular),
        shape=lambda game, policy: (num_states(game, policy["memory"]),),
        check=_check_memory,
    ),
    "preconditioned": Kind(
        lambda policy, game, seat, env: preconditioned(policy["matrix"]),
        fields(_preconditioned),
        shape=lambda game, policy: (num_states(game),),
        check=_check_matrix,
        others=("matrix",),
    ),
    "mlp": Kind(
        lambda policy, game, seat, env: mlp(MATRIX.seats(game), policy["hidden"]),
        fields(_mlp),
        {"fan_in": 1.0},
        check=_check_mlp,
    ),
    "coin_table": Kind(
        lambda policy, game, seat, env: coin_table(coin_env(game, policy["last_takers"]), seat, policy["last_takers"]),
        fields(_coin_table),
        shape=lambda game, policy: (),
        check=lambda policy, game: check_last_takers(policy["last_takers"], game),
    ),
    "gaussian": Kind(
        lambda policy, game, seat, env: _told(lambda: gaussian(env.action_space)), shape=lambda game, policy: ()
    ),
}
_OF_STATES = Kind(_table_of_shown, shape=lambda game, policy: ())
"""A table of what a player of another environment is shown, an integer."""


def added_policies() -> Mapping[str, Callable[..., Policy]]:
    """Factories `(observation_space, action_space, **settings)` of packages and plugins, by name."""
    return Named("policies", {})


def kind_of(game: Normal, kind: str) -> Kind:
    """What a kind of policies is in a game."""
    family = family_of(game)
    if kind in added_policies():
        return _added_kind(kind)
    if kind == "tabular" and family is not MATRIX:
        return _OF_STATES
    if kind in _NETWORKS and not (kind == "mlp" and family is MATRIX):
        return _network_kind(kind, game)
    return _TABLES[kind]


def policy_fields() -> dict[str, dict[str, Field]]:
    """The settings of every kind of policies, in whatever game."""
    networks = fields(_feedforward) | fields(_channels) | fields(_board) | fields(_view)
    recurrent = fields(_recurrent) | networks
    own = {kind: recurrent if kind in ("gru", "lstm") else networks for kind in _NETWORKS}
    tables = {name: dict(kind.fields) for name, kind in _TABLES.items()}
    return tables | own | {name: dict(_added_kind(name).fields) for name in added_policies()}


def _added_kind(name: str) -> Kind:
    factory = added_policies()[name]

    def build(policy: Normal, game: Normal, seat: int, env: Any) -> Policy:
        own = {key: value for key, value in policy.items() if key not in ("kind", "init")}
        return _told(lambda: factory(env.observation_space, env.action_space, **own))

    known = fields(factory, skip=("observation_space", "action_space"))
    return Kind(build, known, shape=lambda game, policy: (), network=True)


def normal_policy(raw: Any, game: Normal, sampled: bool = False) -> dict[str, Any]:
    """The normal form; `sampled` where returns are, which networks on what is shown need."""
    given = {key: value for key, value in mapping("policy", raw, "kind").items() if value is not None}
    family, name = family_of(game), game["name"]
    kinds = family.sampled_kinds if sampled else family.exact_kinds
    kinds = (*kinds, *added_policies()) if sampled else kinds
    asked = given.get("kind")
    if family is ANALYTIC and asked in (None, "tabular"):
        asked = "parameters"
    elif family is COIN and asked in (None, "tabular"):
        asked = "coin_table"
    elif asked is None:
        asked = family.default_kind(game) if sampled and family.default_kind else kinds[0]
    if asked not in kinds:
        _refuse_kind(asked, given, game, kinds, sampled)
    kind = kind_of(game, asked)
    notes = {ANALYTIC: f" ({name} is played with the parameters)", COIN: " in the Coin Game"}
    note = f" of {asked}" if kind.network else notes.get(family, "")
    own = {key: value for key, value in given.items() if key != "kind"}
    policy = {"kind": asked} | settings("policy", own, kind.fields, ("init", *kind.others), note)
    policy |= {key: own.get(key) for key in kind.others}
    kind.check(policy, game)
    shape = kind.shape(game, policy)
    every = (family.seats(game), *shape) if shape else shape
    return policy | {"init": normal_init("policy.init", own.get("init", dict(kind.start)), every)}


def _refuse_kind(asked: Any, given: Normal, game: Normal, kinds: tuple[str, ...], sampled: bool) -> None:
    family, name = family_of(game), game["name"]
    if family is ANALYTIC:
        raise not_allowed("policy.kind", asked, f"left out: {name} is played with the parameters")
    if family is MATRIX and asked == "conv" and sampled:
        raise ConfigError("policy.kind: conv looks at a board; allowed in games that show one")
    everything = (*family.sampled_kinds, *added_policies())
    if not sampled and isinstance(asked, str) and asked in everything:
        wanted = f"{', '.join(kinds)} where objective.kind is exact; {asked} needs objective.kind dice"
        raise not_allowed("policy.kind", asked, wanted)
    names = kinds if sampled or family is COIN else tuple(dict.fromkeys((*kinds, *everything)))
    raise not_allowed("policy.kind", asked, f"one of {', '.join(names)}", names)


def init_shape(game: Normal, policy: Normal) -> tuple[int, ...] | None:
    """The shape of one player's table of parameters, see `Kind.shape`."""
    return kind_of(game, policy["kind"]).shape(game, policy)


def is_network(normal: Normal) -> bool:
    """Whether the policy of a normal form reads what the environment shows, step by step."""
    return kind_of(normal["game"], normal["policy"]["kind"]).network


def critic_of(normal: Normal, env: Any) -> Critic:
    """Of the policy's own kind: a table beside a table of a few states, a network beside anything else."""
    policy = normal["policy"]
    if policy["kind"] in _NETWORKS and is_network(normal):
        return network_critic(env.observation_space, **_layers(policy, env))
    if isinstance(env.observation_space, Discrete):
        return tabular_critic(env.observation_space.num_values)
    return network_critic(env.observation_space, encoder="dense", hidden=(32,))
