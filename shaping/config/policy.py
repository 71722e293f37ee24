"""The key `policy`: which kinds of policies a game may have. The kinds themselves are in `shaping.policies.kinds`."""

from collections.abc import Callable, Mapping
from typing import Any

from shaping.config.checks import mapping, one_of, settings
from shaping.config.errors import errors_about, not_allowed
from shaping.config.game_family import Family
from shaping.config.games import MATRIX, family_of
from shaping.config.initial_parameters import normal_init
from shaping.config.strategies import strategy_policy
from shaping.plugins import Named
from shaping.policies import Policy
from shaping.policies.critics import Critic
from shaping.policies.kinds import NETWORKS, OF_STATES, OTHERS, critic_beside, of_spaces
from shaping.signatures import Field, fields

Normal = Mapping[str, Any]


def added_policies() -> Mapping[str, Callable[..., Policy]]:
    """Factories `(observation_space, action_space, **settings)` of packages and plugins, by name."""
    return Named("policies", {})


def kind_fields(kind: str, family: Family | None = None) -> dict[str, Field]:
    """The settings of a kind of policies, besides `init`, in a family of games, or in any game if `family` is None."""
    if family is None:
        every = [table[kind] for table in (OF_STATES, NETWORKS, OTHERS, added_policies()) if kind in table]
        found = {name: field for factory in every for name, field in _own_fields(factory).items()}
        return found | dict(MATRIX.view if kind in MATRIX.sampled_kinds else {})
    factory = family.policies.get(kind) or added_policies()[kind]
    own = {name: field for name, field in _own_fields(factory).items() if name not in family.hidden}
    return own | dict(family.view if kind in family.policies else {})


def _own_fields(factory: Callable[..., Policy]) -> dict[str, Field]:
    return fields(factory, skip=("env", "player", "observation_space", "action_space"), others=True)


def policy_fields() -> dict[str, dict[str, Field]]:
    """The settings of every kind of policies, in any game."""
    return {kind: kind_fields(kind) for kind in {**OF_STATES, **NETWORKS, **OTHERS, **added_policies()}}


def normal_policy(raw: Any, game: Normal, sampled: bool = False) -> dict[str, Any]:
    """The normal form. `sampled` says whether returns are sampled, which networks that read observations need."""
    given = {key: value for key, value in mapping("policy", raw, "kind").items() if value is not None}
    family, kind = family_of(game), given.get("kind")
    everything = (*family.sampled_kinds, *added_policies())
    kinds = everything if sampled else family.exact_kinds
    # Every game has some kind of table.
    if kind is None or (kind == "tabular" and kind not in family.policies):
        with errors_about("game"):
            kind = family.default_kind(game) if sampled and family.default_kind else kinds[0]
    if not sampled and kind not in kinds and kind in everything:
        wanted = f"{', '.join(kinds)} where objective.kind is exact; {kind} needs objective.kind dice"
        raise not_allowed("policy.kind", kind, wanted)
    kind = one_of("policy.kind", kind, tuple(dict.fromkeys((*kinds, *everything))))
    known = kind_fields(kind, family)
    others = {name: kind_fields(name, family) for name in kinds}
    policy = {"kind": kind} | settings("policy", given, known, ("kind", "init"), kind, lambda: others)
    shape = init_shape(game, policy)
    every = (family.seats(game), *shape) if shape else shape
    start = given.get("init", {"fan_in" if kind in NETWORKS else "normal": 1.0})
    return policy | {"init": normal_init("policy.init", start, every)}


def build_policy(game: Normal, policy: Normal, env: Any, seat: int) -> Policy:
    """The policy of a seat; `env` is the environment that is played.

    Raises:
      ConfigError: it does not fit the environment.
    """
    family, kind = family_of(game), policy["kind"]
    factory = family.policies.get(kind) or of_spaces(added_policies()[kind])
    with errors_about("policy"):
        return factory(env, seat, **_settings(family, policy))


def _settings(family: Family, policy: Normal) -> dict[str, Any]:
    return {key: value for key, value in policy.items() if key not in ("kind", "init", *family.view)}


def init_shape(game: Normal, policy: Normal) -> tuple[int, ...] | None:
    """The shape of one player's table of parameters. None for a network, which has no such table; () for a table too
    large to list.

    Raises:
      ConfigError: the policy does not fit the game.
    """
    family = family_of(game)
    made = build_policy(game, policy, family.env(game, policy), 0)
    if policy["kind"] in NETWORKS:
        return None
    vector = len(getattr(made.shapes, "shape", ())) == 1
    return (made.num_parameters,) if vector and family.written and policy["kind"] in family.policies else ()


def is_network(normal: Normal) -> bool:
    """Whether the policy of a normal form reads the environment's observations, step by step."""
    kind = normal["policy"]["kind"]
    return kind in added_policies() or family_of(normal["game"]).policies[kind] in NETWORKS.values()


def critic_of(normal: Normal, env: Any) -> Critic:
    """A critic for the policy of a normal form.

    Raises:
      ConfigError: there is none of the kind it asks for.
    """
    policy, family, objective = normal["policy"], family_of(normal["game"]), normal["objective"]
    layered = policy["kind"] in NETWORKS and is_network(normal)
    q, joint = objective["critic_kind"] == "q", objective["critic_sees"] == "all"
    with errors_about("objective"):
        return critic_beside(policy["kind"], env, layered, q, joint, **_settings(family, policy))


def policy_of(normal: Normal, seat: int, env: Any = None) -> Policy:
    """The policy of a seat of a normal form. `env` is the environment that is played; None builds it."""
    game, policy, player = normal["game"], normal["policy"], normal["players"][seat]
    env = family_of(game).env(game, policy) if env is None else env
    if "strategy" in player:
        return strategy_policy(player, game, seat, env)
    return build_policy(game, policy, env, seat)
