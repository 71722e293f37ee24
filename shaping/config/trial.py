"""The key `trial`: what a shaper's episode is, and the learners within it (seats with `within: true`).

An entry `shaper: N` of a pool, or of `strangers`, is no learner: a copy of the shaper of seat N sits there.
"""

from collections.abc import Mapping
from inspect import Parameter
from typing import Annotated, Any, Literal

from shaping.config.checks import check_number, mapping, named, numbers, settings
from shaping.config.dotted import check_name, numbers_in
from shaping.config.errors import ConfigError, not_allowed
from shaping.config.games import num_players
from shaping.config.initial_parameters import init_fields, normal_init
from shaping.config.objective import normal_objective, sampled_objective_form
from shaping.config.players import (
    build_learner,
    build_rule,
    normal_optimizer,
    normal_player,
    optimizer_settings,
    player_numbers,
    within_keys,
)
from shaping.config.policy import normal_policy
from shaping.config.strategies import strategy_table
from shaping.policies.automaton import Machine
from shaping.policies.kinds import NETWORKS, independent, shown_table
from shaping.signatures import Field, Positive, Probability, Range, fields

Normal = Mapping[str, Any]
POLICIES = NETWORKS | {"tabular": shown_table, "gaussian": independent}
"""The kinds of policies over trials: networks on what a shaper sees, a table of what it sees, or one that is blind."""
DRAWS = ("uniform", "loguniform")
FREQUENCY = Field("frequency", "number", 1.0, Range(0))
DISCOUNT = Field("discount", "number", None, Range(0, 1), optional=True)
COPY = {"shaper": Field("shaper", "integer", Parameter.empty, Range(0)), "frequency": FREQUENCY}
"""A copy of the shaper of a seat, within a trial."""


def _trial(
    updates: Annotated[int, Range(1, 10**6)] = 100,
    rounds: Annotated[int, Range(1, 10**6)] | None = None,
    streams: Annotated[int, Range(1, 10**6)] = 16,
    observes: Literal["policies", "play", "both"] | None = None,
    discount: Probability = 1.0,
    memory: Literal["carry", "reset", "average"] = "carry",
    baseline: Literal["leave_one_out", "batch_mean", "none"] = "leave_one_out",
    bound: Positive = 10.0,
) -> None:
    """What a shaper's episode is: updates of the learners within, and rounds of play from one to the next, in lockstep
    streams; without `rounds` returns are exact."""


TRIAL = fields(_trial)
_MORE = ("policy", "optimizer", "pool", "strangers")


def normal_trial(raw: Any, game: Normal) -> dict[str, Any]:
    """The normal form.

    Raises:
      ConfigError: for the first thing that is not allowed.
    """
    given = mapping("trial", raw)
    found = settings("trial", given, TRIAL, _MORE)
    played, horizon = found["rounds"] is not None, game.get("horizon")
    if played and horizon not in (None, found["rounds"]):
        raise not_allowed("trial.rounds", found["rounds"], f"game.horizon, {horizon}, or leave one of them out")
    if found["observes"] is None:
        found["observes"] = "play" if played else "policies"
    if not played and found["observes"] != "policies":
        raise not_allowed("trial.observes", found["observes"], "policies, as nothing is played without trial.rounds")
    inner = inner_objective(found, game)
    found["policy"] = normal_policy(given.get("policy", {}), game, played)
    found["optimizer"] = normal_optimizer(given.get("optimizer", "sgd"))
    pool = given.get("pool")
    if pool is not None:
        if not isinstance(pool, list | tuple) or not pool:
            raise not_allowed("trial.pool", pool, "a list of learners")
        pool = [_candidate(f"trial.pool.{i}", entry, game, found["policy"], inner) for i, entry in enumerate(pool)]
        _check_frequencies("trial.pool", pool)
    strangers = {}
    for name, entry in mapping("trial.strangers", given.get("strangers") or {}).items():
        where = f"trial.strangers.{name}"
        check_name("trial.strangers", name)
        strangers[name] = _candidate(where, entry, game, found["policy"], inner, of="trial.strangers")
    if played and found["observes"] != "play" and any("shaper" in one for one in [*(pool or ()), *strangers.values()]):
        raise not_allowed("trial.observes", found["observes"], "play, where a copy of a shaper sits within")
    return found | {"pool": pool, "strangers": strangers}


def inner_objective(trial: Normal, game: Normal) -> dict[str, Any]:
    """The key `objective` of the game that is played within."""
    if trial["rounds"] is None:
        return normal_objective("exact", game)
    batch, baseline = trial["streams"], trial["baseline"]
    own = {"kind": "dice", "batch": batch, "horizon": trial["rounds"], "baseline": baseline, "evaluation": batch}
    return normal_objective(own, game)


def outer_objective(raw: Any, trial: Normal) -> dict[str, Any]:
    """The key `objective` of a run of trials, whose batch counts trials and whose horizon is that of a trial."""
    given = mapping("objective", raw, "kind")
    kind = given.setdefault("kind", "dice")
    if kind == "exact":
        raise not_allowed("objective.kind", kind, "left out: a return over trials is always sampled")
    steps = trial["updates"] * (trial["rounds"] or 1)
    return sampled_objective_form(given, kind, steps, steps)


def shaper_policy(raw: Any, trial: Normal) -> dict[str, Any]:
    """The key `policy` of a run of trials: that of those who learn over them."""
    given = {key: value for key, value in mapping("policy", raw, "kind").items() if value is not None}
    given.setdefault("kind", "gru" if trial["rounds"] else "mlp")
    init = given.pop("init", None)
    found = named("policy", given, "kind", POLICIES, policy_settings)
    network = found["kind"] in NETWORKS
    start = {"fan_in" if network else "normal": 1.0} if init is None else init
    return found | {"init": normal_init("policy.init", start, None if network else ())}


def policy_settings(kind: str) -> dict[str, Field]:
    """The settings of a kind of policies over trials."""
    return fields(POLICIES[kind], skip=("env", "player"), others=True)


def trial_players(raw: Any, game: Normal, trial: Normal, policy: Normal, objective: Normal) -> list[dict[str, Any]]:
    """One entry per seat: those with `within: true` learn within trials, from what is played there; the others over
    trials.

    Raises:
      ConfigError: for the first thing that is not allowed.
    """
    seats, inner = num_players(game), inner_objective(trial, game)
    if not isinstance(raw, list | tuple) or len(raw) != seats:
        wanted = f"a list of {seats}, one entry per seat; those who learn within a trial say within: true"
        raise not_allowed("players", raw, wanted)
    streams = (trial["streams"] if trial["rounds"] else 1) * objective["batch"]
    found = []
    for seat, entry in enumerate(raw):
        where, given = f"players.{seat}", mapping(f"players.{seat}", entry, "rule")
        within = given.pop("within", False)
        if not isinstance(within, bool):
            raise not_allowed(f"{where}.within", within, "true or false")
        if not within:
            for key in ("init", "discount"):
                if given.get(key) is not None:
                    instead = {"init": "policy.init", "discount": "trial.discount"}[key]
                    raise ConfigError(f"{where}.{key}: not allowed of a learner over trials; use {instead}")
            found.append(normal_player(where, given, game, policy, {**objective, "batch": streams}))
        elif given:
            found.append(_candidate(where, given, game, trial["policy"], inner, of="players") | {"within": True})
        elif trial["pool"] is None:
            raise ConfigError(f"{where}: nobody learns there; allowed: a rule beside within: true, or trial.pool")
        else:
            found.append({"within": True})
    if all(player.get("within") for player in found):
        raise ConfigError("players: all are within the trial; allowed: at least one who learns over trials")
    entries = [(f"trial.pool.{i}", one) for i, one in enumerate(trial["pool"] or ())]
    for where, one in [*entries, *((f"trial.strangers.{name}", one) for name, one in trial["strangers"].items())]:
        copied = one.get("shaper")
        if copied is not None and (copied >= seats or found[copied].get("within")):
            raise not_allowed(f"{where}.shaper", copied, "the seat of a player who learns over trials")
    if len({one["shaper"] for one in trial["pool"] or () if "shaper" in one}) > 1:
        raise ConfigError("trial.pool: copies of several shapers; allowed: those of one")
    if trial["pool"] is not None and {"within": True} not in found:
        raise ConfigError("trial.pool: no seat draws from it; allowed: with a seat that says within: true alone")
    if trial["strangers"] and not any(player.get("within") for player in found):
        raise ConfigError("trial.strangers: nobody would give them a seat; allowed: with a seat within the trial")
    return found


def _candidate(
    where: str, entry: Any, game: Normal, policy: Normal, inner: Normal, of: str = "trial.pool"
) -> dict[str, Any]:
    """A learner within a trial. Its step size may be drawn for each trial: {loguniform: [low, high]}. `of` is the key
    that lists it."""
    given, of_pool = mapping(where, entry, "rule"), of == "trial.pool"
    if "frequency" in given and not of_pool:
        raise ConfigError(f"{where}.frequency: belongs to trial.pool; what {of} lists is not drawn")
    if "shaper" in given and of != "players":
        return settings(where, given, COPY if of_pool else {"shaper": COPY["shaper"]})
    frequency, step = given.pop("frequency", None), given.get("step_size")
    discount = given.pop("discount", None) if "discount" in within_keys(given) else None
    drawn = isinstance(step, Mapping) and len(step) == 1 and next(iter(step)) in DRAWS
    if drawn:
        del given["step_size"]
    found = normal_player(where, given, game, policy, inner)
    if "strategy" in found and (policy["kind"] != "tabular" or isinstance(strategy_table(found), Machine)):
        raise ConfigError(
            f"{where}.strategy: {found['strategy']} is no table; allowed within a trial: memory-one tables"
        )
    played = inner["kind"] != "exact"
    if played and found.get("rule") != "naive" and build_rule(found) is not None:
        wanted = "naive, or a learner from play such as a2c, as nobody can be asked what they would do"
        raise not_allowed(f"{where}.rule", found["rule"], wanted)
    for key in ("opponent_model", "share", "reward"):
        if key in found:
            raise ConfigError(f"{where}.{key}: not allowed within a trial")
    if "m_maml" in found.get("init", policy["init"]):
        raise ConfigError(f"{where}.init: m_maml learns it before the first update; not allowed within a trial")
    if "rule" in found and build_learner(found).prepares:
        raise ConfigError(f"{where}.rule: {found['rule']} learns before its first update; not allowed within a trial")
    if drawn:
        if "strategy" in found:
            raise ConfigError(f"{where}.step_size: {found['strategy']} never learns")
        ((kind, bounds),) = step.items()  # pyright: ignore
        found["step_size"] = {kind: _bounds(f"{where}.step_size.{kind}", bounds, kind)}
    if of_pool:
        found["frequency"] = check_number(
            f"{where}.frequency", 1.0 if frequency is None else frequency, FREQUENCY.range
        )
    if discount is not None:
        top = Range(0, 1, open_high=not played and game.get("horizon") is None)
        found["discount"] = check_number(f"{where}.discount", discount, top)
    return found


def _bounds(key: str, raw: Any, kind: str) -> list[float]:
    low, high = numbers(key, raw, (2,), "[low, high]")
    least = Range(0, open_low=kind == "loguniform")
    if check_number(f"{key}.0", low, least) >= high:
        raise not_allowed(key, raw, "[low, high] with low below high")
    return [float(low), float(high)]


def _check_frequencies(where: str, pool: list[dict[str, Any]]) -> None:
    if not sum(entry["frequency"] for entry in pool) > 0:
        raise ConfigError(f"{where}: all frequencies are 0; allowed: at least one above 0")


def plain(player: Normal) -> dict[str, Any]:
    """A learner within a trial as an ordinary player; a step size that is drawn is 1, to be multiplied."""
    own = within_keys(player)
    found = {key: value for key, value in player.items() if key not in own}
    step = found.get("step_size")
    return found | ({"step_size": 1.0} if isinstance(step, Mapping) and next(iter(step)) in DRAWS else {})


def trial_numbers(normal: Normal) -> dict[str, Field]:
    """The numbers of `trial`, and of the seats within it, by dotted key."""
    trial, found = normal["trial"], {"trial.discount": TRIAL["discount"]}
    optimizer, init = trial["optimizer"], trial["policy"]["init"]
    found |= numbers_in("trial.optimizer", optimizer, optimizer_settings(optimizer["name"]))
    found |= init_fields("trial.policy.init", init)
    groups = [("trial.pool", enumerate(trial["pool"] or ())), ("trial.strangers", trial["strangers"].items())]
    groups.append(("players", ((i, p) for i, p in enumerate(normal["players"]) if p.get("within") and len(p) > 1)))
    for where, entries in groups:
        for name, player in entries:
            own = f"{where}.{name}"
            numbers_of = player_numbers(own, plain(player))
            if plain(player).get("step_size") != player.get("step_size"):
                del numbers_of[f"{own}.step_size"]
            found |= numbers_of
            found |= {
                f"{own}.{key}": f
                for key, f in (("frequency", FREQUENCY), ("discount", DISCOUNT))
                if key in player and key not in plain(player)
            }
    return found
