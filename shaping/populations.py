"""`evolve`: populations of learners that meet, from a program; the record stays in memory."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from shaping.classic_strategies import STRATEGIES
from shaping.config.checks import check_number
from shaping.config.errors import ConfigError, not_allowed
from shaping.config.top_level import LIMITS
from shaping.envs.spaces import Discrete
from shaping.in_memory_training import trained
from shaping.learners import Learner, gradient_learner
from shaping.learners.initial_parameters import Initial
from shaping.learners.initial_parameters import values as given_parameters
from shaping.objectives.game import Game
from shaping.objectives.sampled_game import SampledGame
from shaping.policies import Policy, strategy
from shaping.policies.memory_one import logit
from shaping.population import pairing as pairings
from shaping.population import selection as selections
from shaping.population.generations import sampled_numbers
from shaping.population.learner_types import check_types, learners_of
from shaping.population.meeting_population import Rules
from shaping.population.nearest_strategy import classifies
from shaping.population.pairing import Pairing, check_size
from shaping.population.population_programs import Population
from shaping.population.population_replicates import POPULATIONS
from shaping.population.selection import Selection
from shaping.population.shares import apportioned
from shaping.population.structures import games_of
from shaping.rules import Rule
from shaping.runtime.devices import computing_in
from shaping.training import game_of
from shaping.variables import POPULATION, Variable, by_type


def evolve(
    game: Any,
    types: Mapping[str, Learner | Rule | str | tuple[Policy, Any]] | Learner | Rule,
    size: int = 100,
    generations: int = 100,
    *,
    shares: Mapping[str, float | Literal["rest"]] | None = None,
    pairing: Pairing | str = "well_mixed",
    encounter: int = 1,
    selection: Selection | str = "none",
    shared: bool = False,
    keep_models: bool = False,
    sample: int = 0,
    sample_every: int = 1,
    matches: int = 1,
    until: Literal["end", "fixation"] = "end",
    seed: int = 0,
    precision: str = "float32",
    parameters: Any = None,
    policy: Policy | None = None,
    policies: Mapping[str, Policy] | None = None,
) -> Any:
    """Lets populations of learners meet, learn and be selected, and returns their record, in memory.

    For example:

        from shaping import envs
        import shaping
        game = envs.make("ipd", discount=0.96)
        types = {"naive": shaping.naive(), "lola": shaping.lola(), "tft": "tft"}
        population = shaping.evolve(game, types, size=1000, generations=100)

    Args:
      game: a matrix game (`envs.MatrixGame`), or a game as in `train`, with the same policy in every seat.
      types: by name, a learner, an update rule (with step size 1, starting from N(0, 1)) or, in a matrix game, a
        strategy by its name or as returned by `strategy`, which never learns; or a single learner or rule.
      size: number of learners in a population. They are numbered type by type.
      generations: number of generations, at least 1; in each, everybody meets somebody, unless the pairing differs.
      shares: of the types, by name; they add up to 1, or one of them is "rest". Equal if None.
      pairing: who meets whom, as returned by `shaping.pairing`, or its kind.
      encounter: number of updates made together in a generation, at least 1.
      selection: who replaces whom at the end of a generation, as returned by `shaping.selection`, or its kind.
      shared: whether all learners of a population start from the same random parameters.
      keep_models: whether models of opponents are kept when partners change, rather than started anew.
      sample: number of learners whose policies are recorded during the run, at most `size`; 0 for none.
      sample_every: generations from one such record to the next.
      matches: number of independent populations, at least 1.
      until: "end", all generations; "fixation", stop once every population is of one type.
      seed: seed of all random draws, as in a configuration.
      precision: "float32" or "float64".
      parameters, policy: as in `train`.
      policies: of types that have another policy than the game's, by name; in games whose returns are estimated from
        play (`shaping.sampled`). A table may then meet a network.

    Returns:
      An `xarray.Dataset` over match (a population), generation (0 to the last; 0 is before any learning), type and
      learner: share, value, value_sd, cooperation and what else the game measures [match, generation, type];
      mean_value, mean_cooperation, mutual_cooperation, assortment, diverged, imitations and mutations [match,
      generation]; nearest [match, generation,
      strategy]; theta_final [match, learner, parameter], type_final and ancestor [match, learner]; fixed_at [match];
      and, if asked for, theta_sample [match, sample_generation, sample_learner, parameter] and type_sample. A
      learner's value is that of the last update of a generation, normalised as usual; its cooperation is the
      probability that it cooperates in the same play.

    Raises:
      ConfigError: for a number out of its range, a size that cannot be paired, shares that do not add up, or a type
        that cannot play the game.
    """
    for key, value in (("matches", matches), ("seed", seed)):
        check_number(key, value, LIMITS[key], integer=True)
    counted = {"size": size, "generations": generations, "encounter": encounter, "sample_every": sample_every}
    for key, value in counted.items():
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise not_allowed(key, value, "an integer of 1 or more")
    if precision not in ("float32", "float64"):
        raise not_allowed("precision", precision, "float32 or float64", ("float32", "float64"))
    if isinstance(sample, bool) or not isinstance(sample, int) or not 0 <= sample <= size:
        raise not_allowed("sample", sample, f"an integer from 0 to {size}, the size of the population")
    if until not in ("end", "fixation"):
        raise not_allowed("until", until, "end or fixation", ("end", "fixation"))
    form, numbers = game_of(game, policy, parameters)
    named = {"learner": types} if isinstance(types, Learner | Rule) else dict(types)
    try:
        meeting, selecting = (
            _made(pairing, pairings.pairing, Pairing),
            _made(selection, selections.selection, Selection),
        )
        check_size(meeting, size, len(form.policies))
        counts = apportioned(size, list(named), shares)
        own_games = _own_games(form, named, policies or {})
        structures, games = games_of(own_games)
        form = games[0] if games else form
        with computing_in(precision):
            types_given = _types(dict(zip(named, own_games, strict=True)), named)
            learners, still = learners_of(types_given, structures)
            work = _work(form, numbers())
            check_types(form, meeting, selecting, list(named), learners, still, size, work, structures)
    except ConfigError:
        raise
    except ValueError as error:
        raise ConfigError(str(error)) from None
    mutant = list(named).index(selecting.mutates) if selecting.mutates in named else None
    rules = Rules(
        form,
        size,
        encounter,
        shared,
        still,
        mutant,
        keep_models=keep_models,
        nearest=classifies(form),
        sample=sample,
        structures=structures,
        games=games,
    )
    extras = ("policies", "sampled_types") if sample else ()
    with computing_in(precision):
        learners = tuple(learners)
        template = Population(
            (), (), numbers(), learners, (), meeting, selecting, rules, tuple(named), until == "fixation", extras
        )
        record, _ = trained(
            lambda indices: _populations(template, counts, seed, indices, precision),
            matches,
            generations,
            1,
            extras,
            POPULATIONS,
            dict.fromkeys(extras, sample_every),
        )
    steps = record["share"].shape[1]
    coords: dict[str, Any] = {"generation": np.arange(steps), "type": list(named)}
    if rules.nearest:
        coords["strategy"] = list(STRATEGIES)
    if sample:
        record["theta_sample"] = record.pop("policies")
        record["type_sample"] = record.pop("sampled_types").astype(np.int32)
        coords["sample_generation"] = np.arange(0, steps, sample_every)
        coords["sample_learner"] = sampled_numbers(rules)
    return _dataset(record, coords, form)


def _populations(
    template: Population, counts: Sequence[int], seed: int, numbers: np.ndarray, precision: str
) -> Population:
    """The populations of these numbers, leaves [populations, ...]."""

    def spread(leaf: Any) -> np.ndarray:
        array = np.asarray(leaf)
        array = array if array.dtype.kind in "iub" and isinstance(leaf, jax.Array) else array.astype(precision)
        return np.broadcast_to(array, (len(numbers), *array.shape))

    return dataclasses.replace(
        jax.tree.map(spread, template),
        seed=np.full(len(numbers), seed, np.int32),
        number=numbers.astype(np.int32),
        counts=np.broadcast_to(np.asarray(counts, np.int32), (len(numbers), len(counts))),
    )


def _work(game: Game, params: Any) -> int:
    """The work of one evaluation of the game with these numbers, see `Game.work`."""
    return game.work(jax.tree.map(lambda leaf: np.asarray(leaf)[None], params))


def _made(given: Any, factory: Callable[..., Any], kind: type) -> Any:
    """A pairing or a selection, given as it is or by the name of its kind."""
    if isinstance(given, str):
        return factory(given)
    if not isinstance(given, kind):
        name = factory.__name__
        raise not_allowed(name, given, f"its kind, or what shaping.{name} returns")
    return given


def _own_games(game: Game, types: Mapping[str, Any], given: Mapping[str, Policy]) -> list[Game]:
    """For every type the game that its learners play among themselves."""
    for name, policy in given.items():
        if name not in types:
            raise not_allowed("policies", name, f"names of types: {', '.join(types)}", types)
        if not isinstance(policy, Policy):
            raise not_allowed(f"policies.{name}", policy, "a policy, for example shaping.mlp(5)")
        if not isinstance(game, SampledGame):
            raise ConfigError("policies: leave them out; allowed: where returns are estimated from play, by sampled")
    seats = len(game.policies)
    return [
        dataclasses.replace(game, policies=(given[name],) * seats) if name in given else game  # pyright: ignore
        for name in types
    ]


def _types(games: Mapping[str, Game], types: Mapping[str, Any]) -> dict[str, Learner | Initial]:
    """Every type as a learner, or as the parameters of one that never learns; `games` as a type plays with itself."""
    if not types:
        raise not_allowed("types", dict(types), "one type or more")
    found: dict[str, Learner | Initial] = {}
    for name, given in types.items():
        if isinstance(given, str | tuple):
            found[name] = given_parameters(_theta(games[name], name, given))
        elif isinstance(given, Rule):
            found[name] = gradient_learner(given)
        elif isinstance(given, Learner):
            found[name] = given
        else:
            raise not_allowed(f"types.{name}", given, "a learner, a rule, or a strategy by name")
    return found


def _theta(game: Game, name: str, given: Any) -> Any:
    """The parameters of a strategy, as the logits [states] of a tabular policy."""
    states = _states(game)
    if states is None:
        raise ConfigError(f"types.{name}: {given!r} is a strategy; allowed: in matrix games, with tabular policies")
    try:
        own, table = strategy(given) if isinstance(given, str) else given
    except ValueError as error:
        raise ConfigError(f"types.{name}: {error}") from None
    if own.kind != "memory_one":
        raise ConfigError(f"types.{name}: {given!r} remembers more than a round; allowed: memory-one strategies")
    table = np.asarray(table, float)
    if states == 1:
        table = table[:1]
    elif len(table) != states and np.all(table == table[0]):
        table = np.full(states, table[0])
    if len(table) != states:
        raise ConfigError(f"types.{name}: has {len(table)} probabilities; the game has {states} states")
    return np.asarray(logit(jnp.asarray(table, float)), float)


def _states(game: Game) -> int | None:
    """How many states a policy distinguishes, if policies are tables of logits of cooperation over them; otherwise
    None."""
    policy = game.policies[0]
    if policy.kind != "tabular" or policy.action_space != Discrete(2):
        return None
    return policy.num_parameters if game.tabular or "cooperation_by_state" in game.variables else None


def _dataset(record: Mapping[str, np.ndarray], coords: Mapping[str, Any], game: Game) -> Any:
    import xarray

    variables: dict[str, Variable] = {
        name: POPULATION[name] if name in POPULATION else by_type(game.variables[name]) for name in record
    }
    arrays = {name: (variables[name].dims, array, variables[name].attributes()) for name, array in record.items()}
    return xarray.Dataset(arrays, coords, dict(game.about))
