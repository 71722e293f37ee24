"""The keys `players` and `optimizer`: who plays in which seat, and how each one learns."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from shaping.config.checks import mapping, named, settings
from shaping.config.dotted import numbers_in
from shaping.config.errors import ConfigError, errors_about, not_allowed, shown
from shaping.config.games import ANALYTIC, MATRIX, family_of, num_players
from shaping.config.initial_parameters import init_fields, normal_init
from shaping.config.policy import init_shape
from shaping.config.rewards import normal_reward, reward_fields
from shaping.config.sequential import SEQUENTIAL
from shaping.config.strategies import normal_strategy
from shaping.envs.sequential.games import SEQUENTIAL_GAMES
from shaping.envs.spaces import Discrete
from shaping.learners import Common, Learner, frozen
from shaping.learners.gradient import learner_of
from shaping.learners.opponent_model import opponent_model
from shaping.learners.optimizer import named_optimizers, optimizer_fields
from shaping.learners.schedule import SCHEDULES
from shaping.plugins import Named
from shaping.population.players_by_name import every_player, every_rule
from shaping.rules import Rule
from shaping.signatures import Field, Range, fields

Normal = Mapping[str, Any]
MODEL = "opponent_model"
TRIAL_KEYS = ("within", "frequency")
"""The keys that a learner within a trial has besides those of any player, whatever its rule."""
_STEP = Field("step_size", "number", 1.0, Range(0))


def rules() -> Mapping[str, Callable[..., Any]]:
    """Factories of update rules and of learners by name; a configuration names both with `rule:`."""
    return Named("rules", Named("learners", every_player()))


def is_learner(rule: str) -> bool:
    """Whether the name is that of a learner rather than of an update rule."""
    return rule not in Named("rules", every_rule())


def player_fields(rule: str) -> dict[str, Field]:
    """The settings of a player with this rule.

    Raises:
      ConfigError: the rule has a setting with the name of a key that every player has, so that nobody could say which
        of the two is meant.
    """
    own = fields(rules()[rule], skip=("common",))
    for name in ("rule", "strategy", *PLAYER_KEYS, *TRIAL_KEYS):
        if name in own:
            raise ConfigError(
                f"rule {rule}: its setting {name} has the name of a key of every player; allowed: another name"
            )
    return {"step_size": _STEP, **own}


def model_fields() -> dict[str, Field]:
    """The settings of an opponent model."""
    return fields(opponent_model)


def schedule_fields(name: str) -> dict[str, Field]:
    """The settings of a step size schedule."""
    return fields(SCHEDULES[name])


def within_keys(player: Normal) -> tuple[str, ...]:
    """The keys that a learner within a trial has besides those of any player. `discount` is that of its returns:
    strategies maximise nothing, and some rules have a setting of that name that means another one."""
    rule = player.get("rule")
    discounts = isinstance(rule, str) and (rule not in rules() or "discount" not in player_fields(rule))
    return (*TRIAL_KEYS, "discount") if discounts else TRIAL_KEYS


def rule_settings(player: Normal) -> dict[str, Any]:
    """The settings in a player's entry that belong to its rule."""
    return {key: player[key] for key in player_fields(player["rule"]) if key in player and key != "step_size"}


def build_rule(player: Normal) -> Rule | None:
    """The update rule of a normal player; None if it is another kind of learner, or plays a strategy."""
    if "rule" not in player or is_learner(player["rule"]):
        return None
    return rules()[player["rule"]](**rule_settings(player))


def build_learner(player: Normal, own: Normal | None = None, common: Common = Common()) -> Learner:  # noqa: B008
    """The learner of a normal player.

    Args:
      player: its entry.
      own: the settings of its rule, where numbers may be arrays; None for those of the entry.
      common: settings that every learner gets.

    Raises:
      ValueError: for settings that do not fit together.
    """
    if "rule" not in player:
        return frozen(common)
    own = rule_settings(player) if own is None else own
    factory = rules()[player["rule"]]
    return factory(**own, common=common) if is_learner(player["rule"]) else learner_of(factory(**own), common)


def wants_critic(player: Normal, objective: Normal) -> bool:
    """Whether a player needs critics."""
    if "rule" not in player or objective["kind"] == "exact":
        return False
    return objective["baseline"] == "critic" or build_learner(player).needs_critic


def played_by(players: Sequence[Normal]) -> tuple[int, ...] | None:
    """Which learner plays each seat: seats with `share` have one together; None if each seat has its own."""
    shared = [seat for seat, player in enumerate(players) if player.get("share")]
    if not shared:
        return None
    alone = [seat for seat in range(len(players)) if seat not in shared]
    learners = sorted([shared[0], *alone])
    return tuple(learners.index(shared[0] if seat in shared else seat) for seat in range(len(players)))


def normal_players(raw: Any, game: Normal, policy: Normal, objective: Normal) -> list[dict[str, Any]]:
    """One entry per seat. Errors about a mapping for all seats name its keys `players.*.x`, like the command line."""
    seats = num_players(game)
    place = "players.*" if isinstance(raw, Mapping) else "players.{}"
    raw = [dict(raw) for _ in range(seats)] if isinstance(raw, Mapping) else raw
    if not isinstance(raw, list | tuple) or len(raw) != seats:
        wanted = f"a list of {seats}, one entry per seat of {game['name']}, or one mapping for all seats"
        raise not_allowed("players", raw, wanted)
    players = [normal_player(place.format(seat), entry, game, policy, objective) for seat, entry in enumerate(raw)]
    shared = [(seat, player) for seat, player in enumerate(players) if player.get("share")]
    for seat, player in shared:
        first, other = shared[0]
        for key in {**player, **other}:
            if player.get(key) != other.get(key):
                wanted = f"{shown(other.get(key))}, as of players.{first}, with which it shares a learner"
                raise not_allowed(f"players.{seat}.{key}", player.get(key), wanted)
    return players


def normal_player(
    where: str, entry: Any, game: Normal, policy: Normal, objective: Normal, one_shot: bool = False
) -> dict[str, Any]:
    """One player: a learner, or a strategy, which may also play a game of one round if `one_shot`."""
    given = mapping(where, entry, "rule")
    if "strategy" in given:
        return normal_strategy(where, given, game, policy, objective, one_shot)
    step = given.get("step_size")
    if isinstance(step, Mapping):
        step = named(f"{where}.step_size", step, "schedule", SCHEDULES, schedule_fields)
        given["step_size"] = 1.0
    player = named(where, given, "rule", rules(), player_fields, tuple(PLAYER_KEYS))
    player["step_size"] = step if isinstance(step, dict) else player["step_size"]
    with errors_about(where):
        seat = _Seat(player, build_learner(player), game, policy, objective)
    _check_learner(where, seat)
    for key, own in PLAYER_KEYS.items():
        found = None if given.get(key) is None else own.normal(f"{where}.{key}", given[key], seat)
        player |= {} if found is None else {key: found}
    return player


@dataclass(frozen=True)
class _Seat:
    """A player with the settings of its rule, its learner, and the normal forms of what it plays."""

    player: Normal
    learner: Learner
    game: Normal
    policy: Normal
    objective: Normal


@dataclass(frozen=True)
class PlayerKey:
    """A key of a player besides the settings of its rule.

    Attributes:
      normal: `(where, value, seat) -> normal form` of a given value; None where that has no effect.
      fields: `(where, normal form) -> {dotted key: Field}`: its numbers.
    """

    normal: Callable[[str, Any, _Seat], Any]
    fields: Callable[[str, Any], dict[str, Field]] = lambda where, value: {}


def _check_learner(where: str, seat: _Seat) -> None:
    """Refuses a learner that needs another kind of game or of returns."""
    learner, objective, game = seat.learner, seat.objective, seat.game
    exact = objective["kind"] == "exact"
    if learner.needs_distance and family_of(game) is ANALYTIC:
        rule = seat.player["rule"]
        raise ConfigError(f"{where}.rule: {rule} measures steps between policies, which {game['name']} does not have")
    if learner.needs_information_sets and family_of(game) is not SEQUENTIAL:
        names = ", ".join(SEQUENTIAL_GAMES)
        raise not_allowed(f"{where}.rule", seat.player["rule"], f"another rule, or a game in turns: {names}")
    if learner.needs_sampler and exact:
        raise ConfigError(
            f"{where}.rule: {seat.player['rule']} learns from play; objective.kind must be dice, not exact"
        )
    if learner.needs_action_values and objective["critic_kind"] != "q":
        raise ConfigError(f"{where}.rule: it asks what each action is worth; objective.critic_kind must be q")
    if learner.needs_discrete_actions and not exact:
        actions = family_of(game).env(game, seat.policy).action_space
        if not isinstance(actions, Discrete):
            wanted = f"needs discrete actions, which {game['name']} does not have"
            raise ConfigError(f"{where}.rule: {seat.player['rule']} {wanted}")
    if learner.needs_chain and exact:
        chained = family_of(game) is MATRIX and game["horizon"] is None and seat.policy.get("memory", 1) == 1
        if not chained:
            wanted = "an infinitely repeated game of two actions and policies of memory 1, or objective.kind dice"
            raise ConfigError(f"{where}.rule: {seat.player['rule']} needs {wanted}")
    if learner.needs_tables:
        tables = exact and family_of(game).tabular(game) and seat.policy["kind"] == "tabular"
        if not tables or num_players(game) != 2:
            wanted = "exact returns of two players whose policies are tables of P(cooperate | state)"
            raise ConfigError(f"{where}.rule: {seat.player['rule']} needs {wanted}")
    if learner.prepares and not exact:
        raise ConfigError(f"{where}.rule: it learns about the game beforehand; objective.kind must be exact")
    if not exact and objective["batch"] % learner.minibatches:
        wanted = f"a divisor of objective.batch, {objective['batch']}"
        raise not_allowed(f"{where}.minibatches", learner.minibatches, wanted)


def check_learns_over_trials(where: str, player: Normal) -> None:
    """Refuses a learner that learns over trials, where it would not.

    Raises:
      ConfigError: naming its rule.
    """
    if "rule" in player and build_learner(player).needs_trials:
        wanted = "for a player with trial.rounds who is not within the trial"
        raise ConfigError(f"{where}.rule: {player['rule']} learns over trials in which others learn; allowed: {wanted}")


def _normal_model(where: str, raw: Any, seat: _Seat) -> dict[str, Any] | None:
    """A model of the player's opponents; `true` takes the defaults."""
    if raw is False:
        return None
    objective, rule = seat.objective, seat.player["rule"]
    if is_learner(rule):
        raise ConfigError(f"{where}: {rule} does not ask what its opponents do; allowed with update rules")
    if objective["kind"] == "exact":
        raise ConfigError(f"{where}: models are fitted to play; objective.kind must be dice, not exact")
    found = settings(where, {} if raw is True else mapping(where, raw), model_fields())
    if found["trust"] is not None and found["members"] < 2:
        raise not_allowed(f"{where}.members", found["members"], "2 or more, where trust rests on what members agree on")
    streams = objective["batch"] if found["streams"] is None else found["streams"]
    if streams > objective["batch"]:
        raise not_allowed(f"{where}.streams", streams, f"at most objective.batch, {objective['batch']}")
    if found["members"] > streams:
        wanted = f"at most the number of streams of play that it sees, {streams}"
        raise not_allowed(f"{where}.members", found["members"], wanted)
    return found


def _normal_share(where: str, raw: Any, seat: _Seat) -> bool | None:
    if raw is False:
        return None
    if raw is not True:
        raise not_allowed(where, raw, "true or false")
    if not seat.learner.shareable:
        raise ConfigError(f"{where}: {seat.player['rule']} cannot play several seats at once")
    return True


PLAYER_KEYS = {
    MODEL: PlayerKey(_normal_model, lambda where, value: numbers_in(where, value, model_fields())),
    "share": PlayerKey(_normal_share),
    "init": PlayerKey(
        lambda where, raw, seat: normal_init(where, raw, init_shape(seat.game, seat.policy)),
        init_fields,
    ),
    "reward": PlayerKey(lambda where, raw, seat: normal_reward(where, raw, num_players(seat.game)), reward_fields),
}
"""Keys of a player that are not settings of its rule. A new one needs an entry here, its type in
`json_schema._player`, and code in `build` that uses it."""


def seat_fields(players: Sequence[Normal]) -> dict[str, Field]:
    """The numbers of all players, by dotted key. What several seats share is listed at the first of them."""
    found: dict[str, Field] = {}
    seats = played_by(players)
    for seat, player in enumerate(players):
        if player.get("within") or (seats is not None and seats[seat] in seats[:seat]):
            continue
        found |= player_numbers(f"players.{seat}", player)
    return found


def player_numbers(where: str, player: Normal) -> dict[str, Field]:
    """The numbers of one player, by dotted key; none of a strategy."""
    if "rule" not in player:
        return {}
    step = player["step_size"]
    found = numbers_in(where, player, player_fields(player["rule"]))
    if rules()[player["rule"]] is frozen:
        del found[f"{where}.step_size"]
    elif isinstance(step, dict):
        del found[f"{where}.step_size"]
        found |= numbers_in(f"{where}.step_size", step, schedule_fields(step["schedule"]))
    for key, own in PLAYER_KEYS.items():
        found |= own.fields(f"{where}.{key}", player[key]) if key in player else {}
    return found


def optimizer_settings(name: str) -> dict[str, Field]:
    """The settings of an optimiser."""
    clip = Field("clip_norm", "number", None, Range(0, open_low=True), optional=True)
    return optimizer_fields(name) | {"clip_norm": clip}


def normal_optimizer(raw: Any) -> dict[str, Any]:
    """The key `optimizer`: an optimiser of optax and its settings."""
    if "learning_rate" in mapping("optimizer", raw, "name"):
        raise ConfigError("optimizer.learning_rate: not allowed; a player's step_size is its learning rate")
    found = named("optimizer", raw, "name", named_optimizers(), optimizer_settings)
    return {key: value for key, value in found.items() if key != "clip_norm" or value is not None}


def check_record(record: Sequence[str], normal: Normal) -> None:
    """Refuses to record what a cell does not have."""
    rules_of = [build_rule(player) for player in normal["players"]]
    exact = normal["objective"]["kind"] == "exact"
    if "consistency" in record:
        for seat, (player, rule) in enumerate(zip(normal["players"], rules_of, strict=True)):
            who = f"players.{seat}.rule {player.get('rule', 'of a strategy')}"
            if rule is None or "lookahead_rate" not in player_fields(player["rule"]):
                raise ConfigError(f"record: consistency needs a lookahead_rate; {who} has none")
            if not rule.differentiable:
                raise ConfigError(f"record: consistency needs directions that can be differentiated, not {who}")
        if not exact:
            raise ConfigError("record: consistency needs exact returns; objective.kind must be exact")
    if "shaping" in record:
        if exact:
            raise ConfigError("record: shaping is the spread of an estimate; objective.kind must be dice, not exact")
        if all(rule is None or rule.shaping is None for rule in rules_of):
            raise ConfigError("record: shaping needs a rule with a shaping term: lola, lookahead or first_order")
