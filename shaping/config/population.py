"""The key `population`: types of learners that meet, how they are paired, and how they are selected."""

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from shaping.config.checks import check_known, check_number, mapping, settings
from shaping.config.dotted import check_name, numbers_in
from shaping.config.errors import ConfigError, errors_about, not_allowed
from shaping.config.games import MATRIX, family_of, num_players
from shaping.config.initial_parameters import init_fields
from shaping.config.players import normal_player, player_numbers
from shaping.config.policy import normal_policy
from shaping.population.graphs import edges_of_file
from shaping.population.pairing import Pairing, check_size, pairing
from shaping.population.selection import Selection, selection
from shaping.population.shares import apportioned
from shaping.signatures import Field, NonNegative, Probability, Range, fields

Normal = Mapping[str, Any]


def _population(
    size: Annotated[int, Range(1, 10**9)] = 100,
    turnover: Probability = 1.0,
    encounter: Annotated[int, Range(1, 10**6)] = 1,
    shared: bool = False,
    keep_models: bool = False,
    until: Literal["end", "fixation"] = "end",
) -> None:
    """Learners that meet. `shared` lets all of them start from one draw; `keep_models` keeps models of opponents when
    partners change; `until: fixation` stops a population once all of its learners are of one type."""


def _mutation(rate: Probability = 0.0, to: str = "uniform", noise: NonNegative = 0.0) -> None:
    """How learners mutate instead of becoming copies: to a random type, to a type by name, or to a noisy copy."""


POPULATION, MUTATION = fields(_population), fields(_mutation)
PAIRING = fields(pairing, skip=("turnover", "edges", "graph"))
SELECTION = fields(selection, skip=("mutation", "mutates", "noise"))
SHARE = Field("share", "number", 1.0, Range(0, 1))


def normal_population(raw: Any, game: Normal, policy: Normal, objective: Normal) -> dict[str, Any]:
    """The normal form.

    Raises:
      ConfigError: for the first thing that is not allowed, such as shares that do not add up to one.
    """
    given = mapping("population", raw)
    found = settings("population", given, POPULATION, ("types", "pairing", "selection"))
    types = given.get("types")
    if not isinstance(types, Mapping) or not types:
        raise not_allowed("population.types", types, "a mapping of names to learners, each with a share")
    found["types"] = {name: _normal_type(name, entry, game, policy, objective) for name, entry in types.items()}
    found["pairing"] = _normal_pairing(given.get("pairing", {}))
    found["selection"] = _normal_selection(given.get("selection", {}), list(found["types"]))
    with errors_about("population"):
        counts_of(found)
        meeting = pairing_of(found)
    try:
        selection_of(found)
        check_size(meeting, found["size"], num_players(game))
    except ConfigError:
        raise
    except ValueError as error:
        text = str(error)
        raise ConfigError(text if text.startswith("population.") else f"population.{text}") from None
    return found


def _normal_type(name: Any, entry: Any, game: Normal, policy: Normal, objective: Normal) -> dict[str, Any]:
    where = f"population.types.{name}"
    check_name("population.types", name)
    given = mapping(where, entry)
    share = given.pop("share", "rest")
    if share != "rest":
        check_number(f"{where}.share", share, SHARE.range)
    own = _own_policy(where, given, game, policy, objective)
    policy = own or policy
    player = normal_player(where, given, game, policy, objective, one_shot=True)
    for key in ("reward", "share"):
        if key in player:
            raise ConfigError(f"{where}.{key}: not allowed in a population; allowed in players of independent matches")
    if "strategy" in player and (family_of(game) is not MATRIX or policy["kind"] != "tabular"):
        raise ConfigError(f"{where}.strategy: allowed in matrix games with tabular policies")
    return {"share": share} | player | ({} if own is None else {"policy": own})


def _own_policy(
    where: str, given: dict[str, Any], game: Normal, policy: Normal, objective: Normal
) -> dict[str, Any] | None:
    """The policy of a type, where it has one of its own, taken out of its entry; a strategy has a table in a matrix
    game whose learners have networks."""
    sampled, raw = objective["kind"] != "exact", given.pop("policy", None)
    if raw is None and "strategy" in given and sampled and family_of(game) is MATRIX and policy["kind"] != "tabular":
        raw = "tabular"
    if raw is None:
        return None
    if not sampled:
        raise ConfigError(f"{where}.policy: needs play; objective.kind must be dice, not exact")
    try:
        found = normal_policy(raw, game, sampled)
    except ConfigError as error:
        raise ConfigError(f"{where}.{error}") from None
    view = {key: policy[key] for key in family_of(game).view if key in policy and key in found}
    if view != {key: found[key] for key in view}:
        raise ConfigError(f"{where}.policy: types see the game differently; allowed: the view of policy, {view}")
    return None if found == policy else found


def _normal_pairing(raw: Any) -> dict[str, Any]:
    given = mapping("population.pairing", raw, "kind")
    edges, graph = given.pop("edges", None), given.pop("graph", None)
    check_known("population.pairing", given, (*PAIRING, "edges", "graph"))
    found = settings("population.pairing", given, PAIRING)
    found |= {} if edges is None else {"edges": _edges(edges)}
    return found if graph is None else found | {"graph": mapping("population.pairing.graph", graph, "generator")}


def _edges(given: Any) -> list[list[int]]:
    """The edges of a graph: pairs of numbers, or a text file with a pair in every line."""
    where = "population.pairing.edges"
    if isinstance(given, str):
        with errors_about("population"):
            return [list(pair) for pair in edges_of_file(Path(given).expanduser())]
    if not isinstance(given, list | tuple) or not given:
        raise not_allowed(where, given, "pairs of learners' numbers, or a text file with one pair in a line")
    for place, pair in enumerate(given):
        of_two = isinstance(pair, list | tuple) and len(pair) == 2
        if not of_two or not all(isinstance(number, int) and not isinstance(number, bool) for number in pair):
            raise not_allowed(f"{where}.{place}", pair, "two learners' numbers")
    return [list(pair) for pair in given]


def _normal_selection(raw: Any, names: list[str]) -> dict[str, Any]:
    given = mapping("population.selection", raw, "kind")
    raw_mutation = given.pop("mutation", {})
    where = "population.selection.mutation"
    rate = isinstance(raw_mutation, int | float) and not isinstance(raw_mutation, bool)
    mutation = settings(where, {"rate": raw_mutation} if rate else mapping(where, raw_mutation), MUTATION)
    if mutation["to"] not in ("uniform", "noise", *names):
        raise not_allowed(f"{where}.to", mutation["to"], f"uniform, noise or one of {', '.join(names)}", names)
    if mutation["noise"] and mutation["to"] != "noise":
        raise not_allowed(f"{where}.noise", mutation["noise"], f"left out where to is {mutation['to']}, not noise")
    check_known("population.selection", given, (*SELECTION, "mutation"))
    return settings("population.selection", given, SELECTION) | {"mutation": mutation}


def population_fields(population: Normal) -> dict[str, Field]:
    """The numbers of a normal form that may differ from match to match, by dotted key; only those that its pairing and
    its selection use."""
    meets, selects = population["pairing"], population["selection"]
    used = {
        "turnover": meets["kind"] == "well_mixed",
        "migration": meets["kind"] == "islands",
        "threshold": meets["choice"] == "threshold",
        "intensity": selects["kind"] in ("fermi", "birth_death", "death_birth"),
        "rate": selects["kind"] != "none" and not selects["events"],
    }
    found = {"population.encounter": POPULATION["encounter"]} | numbers_in("population", population, POPULATION)
    found |= numbers_in("population.pairing", meets, PAIRING)
    found |= numbers_in("population.selection", selects, SELECTION)
    found = {key: field for key, field in found.items() if used.get(field.name, True)}
    if selects["kind"] != "none":
        mutates = numbers_in("population.selection.mutation", selects["mutation"], MUTATION)
        noisy = selects["mutation"]["to"] == "noise"
        found |= {key: field for key, field in mutates.items() if field.name != "noise" or noisy}
    for name, entry in population["types"].items():
        where = f"population.types.{name}"
        if entry["share"] != "rest":
            found[f"{where}.share"] = SHARE
        found |= player_numbers(where, {key: value for key, value in entry.items() if key not in ("share", "policy")})
        if "policy" in entry:
            found |= init_fields(f"{where}.policy.init", entry["policy"]["init"])
    return found


def counts_of(population: Normal) -> tuple[int, ...]:
    """The number of learners of each type.

    Raises:
      ValueError: for shares that do not add up.
    """
    types = population["types"]
    return apportioned(population["size"], list(types), {name: entry["share"] for name, entry in types.items()})


def check_shares(population: Normal, swept: Mapping[str, Any], drawn: Mapping[str, tuple[float, float]]) -> None:
    """Refuses swept or drawn shares that do not add up in some cell.

    Args:
      population: the normal form.
      swept: swept numbers by dotted key, [cells] each.
      drawn: the ends of drawn numbers by dotted key.

    Raises:
      ConfigError: naming the shares.
    """
    keys = {f"population.types.{name}.share": name for name in population["types"]}
    own = {name: swept[key] for key, name in keys.items() if key in swept}
    highest = {name: drawn[key][1] for key, name in keys.items() if key in drawn}
    if not own and not highest:
        return
    for values in {*zip(*own.values(), strict=True)} or {()}:
        shares = {name: entry["share"] for name, entry in population["types"].items()}
        shares |= dict(zip(own, map(float, values), strict=True)) | highest
        with errors_about("sweep.population"):
            if highest and "rest" not in shares.values():
                raise ValueError(f"types: {', '.join(highest)} have drawn shares; allowed: where another type is rest")
            apportioned(population["size"], list(shares), shares)


def pairing_of(population: Normal, number: Callable[[Any], Any] | None = None) -> Pairing:
    """The pairing of a normal form. `number` turns each of its numbers, which may be arrays, into an array [matches];
    without it they have to be plain numbers and are checked.

    Raises:
      ValueError: for settings that do not fit together.
    """
    own, turnover = dict(population["pairing"]), population["turnover"]
    own["edges"] = [(a, b) for a, b in own.get("edges", [])]
    if number is None:
        return pairing(**own, turnover=turnover)
    data = {key: number(own.pop(key)) for key in ("threshold", "migration")}
    # An array stands for numbers that have been checked.
    plain = turnover if isinstance(turnover, float) else 0.5
    made = dataclasses.replace(pairing(**own, turnover=plain), turnover=number(turnover), **data)
    mixes = isinstance(turnover, float) and turnover == 1
    return made if mixes else dataclasses.replace(made, mixes=False)


def selection_of(population: Normal, number: Callable[[Any], Any] | None = None) -> Selection:
    """The selection of a normal form; see `pairing_of`."""
    own = dict(population["selection"])
    mutation = own.pop("mutation")
    made = selection(**own, mutation=mutation["rate"], mutates=mutation["to"], noise=mutation["noise"])
    if number is None:
        return made
    data = {key: number(getattr(made, key)) for key in ("intensity", "rate", "mutation", "noise")}
    return dataclasses.replace(made, **data)
