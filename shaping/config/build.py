"""Turns normal forms into stacked matches: the settings of any choice of matches as arrays, one entry per match."""

import dataclasses
from collections.abc import Mapping, Sequence
from functools import lru_cache, partial
from typing import Any

import jax
import numpy as np

from shaping.config.cell import number_fields
from shaping.config.dotted import put, seat_keys
from shaping.config.errors import errors_about
from shaping.config.games import family_of, num_players
from shaping.config.initial_parameters import build_init
from shaping.config.objective import build_estimator, check_value_head, is_sampled
from shaping.config.plan import Block, Experiment, value_shape
from shaping.config.players import MODEL, build_learner, build_rule, played_by, rule_settings, wants_critic
from shaping.config.policy import critic_of, is_network, policy_of
from shaping.config.population import pairing_of, selection_of
from shaping.config.rewards import rewards_of
from shaping.config.strategies import strategy_logits, strategy_theta
from shaping.config.warm_start import check_warm_start
from shaping.learners import Common, Learner, frozen, optimizer, values
from shaping.learners.critic import CriticSettings
from shaping.learners.opponent_model import ModelSettings
from shaping.learners.schedule import schedule
from shaping.objectives.sampled_game import SampledGame, SampledParams
from shaping.objectives.sampled_objective import EstimatorNumbers
from shaping.policies import scripted_players, tabular
from shaping.population.index_ranges import Spans
from shaping.population.learner_types import check_types, learners_of
from shaping.population.match import Match
from shaping.population.meeting_population import Rules
from shaping.population.nearest_strategy import classifies
from shaping.population.population_programs import Population
from shaping.population.random_keys import draw, match_key, purpose
from shaping.population.shares import apportioned
from shaping.population.structures import games_of

Normal = Mapping[str, Any]


def groups(experiment: Experiment) -> list[tuple[Block, ...]]:
    """Groups blocks that run in one compiled program: their matches have the same tree structure and shapes."""
    found: dict[Any, list[Block]] = {}
    for block, template in zip(experiment.blocks, templates(experiment), strict=True):
        leaves, structure = jax.tree.flatten(template)
        found.setdefault((structure, tuple(np.shape(leaf) for leaf in leaves)), []).append(block)
    return [tuple(blocks) for blocks in found.values()]


def templates(experiment: Experiment) -> list[Any]:
    """One match of every block, leaves [1, ...]."""
    per_cell = experiment.top["matches"]
    return [matches_of(experiment, [b], np.array([b.cells.start * per_cell])) for b in experiment.blocks]


def group_indices(experiment: Experiment, blocks: Sequence[Block]) -> Spans:
    """The match indices of a group, ascending."""
    per_cell = experiment.top["matches"]
    return Spans(tuple(range(b.cells.start * per_cell, b.cells.stop * per_cell) for b in blocks))


def matches_of(experiment: Experiment, blocks: Sequence[Block], indices: np.ndarray) -> Any:
    """The settings of the matches `indices` (ascending, all of one group), every leaf [matches, ...]: a `Match`, or a
    `Population`."""
    per_cell = experiment.top["matches"]
    cells = indices // per_cell
    parts = []
    for block in blocks:
        own = indices[(cells >= block.cells.start) & (cells < block.cells.stop)]
        if own.size:
            parts.append(_block_matches(experiment, block, own))
    return parts[0] if len(parts) == 1 else jax.tree.map(lambda *leaves: np.concatenate(leaves), *parts)


def drawn_values(experiment: Experiment, block: Block, indices: np.ndarray) -> dict[str, np.ndarray]:
    """The draws of the matches `indices` of one block, [matches, ...] float32, by key as written."""
    seeds, numbers = _identity(experiment, block, indices)
    found = {}
    for spec in experiment.drawn:
        shape = value_shape(seat_keys(spec.key, 1)[0], block.normal)
        sample = _sampler(spec.kind, spec.bounds, spec.key, shape)
        found[spec.key] = np.asarray(sample(seeds, numbers))
    return found


@lru_cache(maxsize=64)
def _sampler(kind: str, bounds: tuple[float, float], key: str, shape: tuple[int, ...]) -> Any:
    def sample(seed: jax.Array, number: jax.Array) -> jax.Array:
        own = jax.random.fold_in(jax.random.fold_in(match_key(seed, number, 2), purpose("draw")), purpose(key))
        return draw(kind, bounds, own, shape)

    return jax.jit(jax.vmap(sample))


def _identity(experiment: Experiment, block: Block, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    per_cell = experiment.top["matches"]
    cells = indices // per_cell - block.cells.start
    return block.seeds[cells].astype(np.int32), (indices % per_cell).astype(np.int32)


def _block_matches(experiment: Experiment, block: Block, indices: np.ndarray) -> Any:
    cells = indices // experiment.top["matches"] - block.cells.start
    seeds, numbers = _identity(experiment, block, indices)
    settings, known = block.normal, number_fields(block.normal)
    for key, array in block.numbers.items():
        settings = put(settings, key, array[cells])
    for key, array in drawn_values(experiment, block, indices).items():
        for name in seat_keys(key, len(block.normal["players"])):
            settings = put(settings, name, array) if name in known else settings
    top = experiment.top
    if experiment.of_populations:
        population = population_of(block.normal, settings, len(indices), top["precision"], top["record"])
        return dataclasses.replace(population, seed=seeds, number=numbers)
    match = _match(block.normal, settings, len(indices), top["precision"], "shaping" in top["record"])
    return dataclasses.replace(match, seed=seeds, number=numbers)


_SAMPLE = 64
"""Learners whose policies are recorded along generations, at most."""


def population_of(
    normal: Normal, settings: Normal, count: int, precision: str, extras: Sequence[str] = ()
) -> Population:
    """A population with leaves [count, ...], from a normal form and the same form with arrays [count] for some
    numbers; `extras` are recorded besides."""
    number: Any = partial(_stack, count=count, dtype=np.dtype(precision))
    own, each = normal["population"], settings["population"]
    seats = num_players(normal["game"])

    def playing(form: Normal, entries: Sequence[Normal]) -> dict[str, Any]:
        """The form of a game with these types in its seats, all of one policy."""
        players = [{k: v for k, v in entry.items() if k not in ("share", "policy")} for entry in entries]
        return {**form, "policy": entries[0].get("policy", form["policy"]), "players": players}

    def game_with(policy: Normal) -> Any:
        """The game as learners with this policy play it. A strategy plays as a table of the same states."""
        alike = [entry for entry in own["types"].values() if entry.get("policy", normal["policy"]) == policy]
        learning = [entry for entry in alike if "strategy" not in entry] or [{"policy": policy}]
        return game_of(playing(normal, learning * seats))

    policies = [entry.get("policy", normal["policy"]) for entry in own["types"].values()]
    known: list[Any] = []
    for policy in policies:
        same = [game for other, game in zip(policies, known, strict=False) if other == policy]
        known.append(same[0] if same else game_with(policy))
    with errors_about("population"):
        structures, games = games_of(known)
    game = games[0] if games else known[0]
    numbers = _params_of({**normal, "players": [{}] * seats}, settings, known[0], number)
    types: dict[str, Any] = {}
    for (name, entry), alone in zip(own["types"].items(), known, strict=True):
        if "strategy" in entry:
            types[name] = values(number(strategy_logits(entry, alone.policies[0]), rank=1))
        else:
            sitting = playing(settings, [settings["population"]["types"][name]] * seats)
            types[name] = _learner(sitting, alone, numbers, 0, number, False)
    learners, still = learners_of(types, structures)
    learners = jax.tree.map(lambda leaf: leaf if np.ndim(leaf) else number(leaf, rank=0), learners)
    selecting = selection_of(each, partial(number, rank=0))
    meeting = pairing_of(each, partial(number, rank=0))
    with errors_about("population"):
        work = game.work(numbers)
        check_types(game, meeting, selecting, list(types), learners, still, own["size"], work, structures)
    often = each["encounter"]
    rules = Rules(
        game,
        own["size"],
        own["encounter"] if isinstance(often, int) else None,
        own["shared"],
        still,
        list(types).index(selecting.mutates) if selecting.mutates in types else None,
        keep_models=own["keep_models"],
        nearest=classifies(game),
        sample=min(_SAMPLE, own["size"]) if "policies" in extras else 0,
        structures=structures,
        games=games,
    )
    counts, stops = _counts(each, count), own["until"] == "fixation"
    often = None if isinstance(often, int) else np.asarray(often, np.int32)
    names, extras = tuple(types), tuple(extras)
    return Population(0, 0, numbers, learners, counts, meeting, selecting, rules, names, stops, extras, encounter=often)


def _counts(population: Normal, count: int) -> np.ndarray:
    """How many learners there are of each type, [count, types] int32; shares may be arrays [count]."""
    shares = [entry["share"] for entry in population["types"].values()]
    rest = [isinstance(share, str) for share in shares]
    columns = [np.broadcast_to(np.nan if isinstance(share, str) else share, (count,)) for share in shares]
    each, places = np.unique(np.stack(columns, axis=1), axis=0, return_inverse=True)
    found = []
    for row in each.tolist():
        given = ["rest" if left else share for share, left in zip(row, rest, strict=True)]
        entries = dict(zip(population["types"], given, strict=True))
        found.append(apportioned(population["size"], list(entries), entries))
    return np.asarray(found, np.int32)[places.reshape(-1)]


def _match(normal: Normal, settings: Normal, count: int, precision: str, shaping: bool = False) -> Match:
    """A match with leaves [count, ...], from a normal form and the same form with arrays [count] for some numbers;
    `shaping` if the spread of the shaping term is recorded."""
    number: Any = partial(_stack, count=count, dtype=np.dtype(precision))
    if "trial" in normal:
        from shaping.config.trial_build import trial_match

        return trial_match(normal, settings, number, game_of(normal), _params_of, _learner)
    game, seats = game_of(normal), played_by(normal["players"])
    own_seats = range(len(normal["players"])) if seats is None else [seats.index(n) for n in range(max(seats) + 1)]
    numbers = _params_of(normal, settings, game, number)
    learners = tuple(_learner(settings, game, numbers, seat, number, shaping) for seat in own_seats)
    # What seats share stands at the first of them.
    first = range(len(normal["players"])) if seats is None else [seats.index(place) for place in seats]
    rewards = rewards_of([settings["players"][seat] for seat in first], number)
    return Match(0, 0, numbers, learners, game, seats, rewards=rewards)


def _params_of(normal: Normal, settings: Normal, game: Any, number: Any) -> Any:
    """The numbers of a game, leaves [matches, ...]."""
    family = family_of(normal["game"])
    numbers = family.params(settings["game"], len(normal["players"]), number)
    if not game.sampled:
        return numbers
    played = family.played(settings["game"], game, numbers, number)
    return _sampled_numbers(settings, played, numbers, number)


SHAPING_SAMPLES = 8
"""How often the shaping term is estimated when its mean and spread are recorded."""


def _learner(settings: Normal, game: Any, numbers: Any, seat: int, number: Any, shaping: bool) -> Learner:
    player = settings["players"][seat]
    if "strategy" in player:
        return frozen(Common(initial=values(strategy_theta(player, game.policies[seat], numbers, number))))
    own = _numbered(rule_settings(player), number)
    rule, step = build_rule(player), player["step_size"]
    if isinstance(step, dict):
        given = _numbered({key: value for key, value in step.items() if key != "schedule"}, number)
        step = schedule(step["schedule"], **given)
    else:
        step = number(step, rank=0)
    check_warm_start(settings, seat, game.policies[seat])
    chosen = _numbered({key: value for key, value in settings["optimizer"].items() if key != "name"}, number)
    common = Common(
        step,
        optimizer(settings["optimizer"]["name"], **chosen),
        build_init(settings, seat, game.policies[seat], number),
        _critic_settings(settings, game, seat, number) if wants_critic(player, settings["objective"]) else None,
        ModelSettings(**_numbered(player[MODEL], number)) if MODEL in player else None,
        SHAPING_SAMPLES if shaping and rule is not None and rule.shaping is not None else 0,
    )
    learner = build_learner(player, own, common)
    # Numbers that are part of the rule's structure are the same for all matches.
    return jax.tree.map(lambda leaf: leaf if np.ndim(leaf) else number(leaf, rank=0), learner)


def _numbered(given: Mapping[str, Any], number: Any) -> dict[str, Any]:
    return {key: number(value, rank=0) if _is_number(value) else value for key, value in given.items()}


def unrolled(experiment: Experiment) -> bool:
    """Whether every match is computed scalar by scalar from start to end. Touches no device."""
    if any(is_sampled(block.normal) for block in experiment.blocks):
        return False
    precision = experiment.top["precision"]
    if experiment.of_populations:
        forms = [population_of(block.normal, block.normal, 1, precision) for block in experiment.blocks]
        # Events of selection are on arrays, and the compiler's option for scalars has crashed on them.
        return all(
            one.rules.game.unrolled and all(kind.elementwise for kind in one.types) and one.selection.kind == "none"
            for one in forms
        )
    matches = [_match(block.normal, block.normal, 1, precision) for block in experiment.blocks]
    return all(
        match.game.unrolled and all(learner.elementwise and not learner.prepares for learner in match.learners)
        for match in matches
    )


def game_of(normal: Normal) -> Any:
    """The static part of the game of a normal form."""
    if "trial" in normal:
        from shaping.config.trial_build import trial_game

        return trial_game(normal, game_of)
    game, policy, objective = (normal[key] for key in ("game", "policy", "objective"))
    family = family_of(game)
    env: Any = family.env(game, policy) if is_sampled(normal) else None
    policies = tuple(policy_of(normal, seat, env) for seat in range(num_players(game)))
    if not is_sampled(normal):
        return family.exact(game, policy, policies, game.get("horizon"))
    needs_critic = any(wants_critic(player, normal["objective"]) for player in normal["players"])
    apart = needs_critic and any(one.evaluate is None for one in policies)
    if needs_critic and any(one.evaluate is not None for one in policies):
        check_value_head(objective)
    # A chain with memory is too large to evaluate again and again.
    tables = not (is_network(normal) or policy.get("last_takers")) and all(one.tabulated for one in policies)
    exact = family.exact(game, policy, policies, objective["horizon"]) if tables and family.exact_kinds else None
    matrix = None
    if exact is None and family.tabular(game):
        matrix = family.exact(game, policy, (tabular(env.num_states),) * env.num_players, objective["horizon"])
    return SampledGame(
        env=env,
        policies=policies,
        batch=objective["batch"],
        horizon=objective["horizon"],
        estimator=build_estimator(objective),
        critics=tuple(critic_of(normal, env) for _ in policies) if apart else (),
        evaluation=objective["evaluation"],
        exact=exact,
        opponents=tuple(scripted_players(env).items()),
        matrix=matrix,
    )


def _sampled_numbers(normal: Normal, played: Any, exact: Any, number: Any) -> SampledParams:
    """The numbers of a sampled game, leaves [count, ...]: those of the environment, and of the closed form or None."""
    objective = normal["objective"]
    decay = None if objective["decay"] is None else number(objective["decay"], rank=0)
    estimator = EstimatorNumbers(number(objective["gae_lambda"], rank=0), decay)
    return SampledParams(played, number(normal["game"]["discount"], rank=0), estimator, exact)


def _critic_settings(normal: Normal, game: SampledGame, seat: int, number: Any) -> CriticSettings:
    """How a seat's critics are learned: one for every seat if the baseline or the rule needs them all, otherwise only
    its own."""
    objective = normal["objective"]
    everybody = objective["baseline"] == "critic" or build_learner(normal["players"][seat]).needs_all_critics
    critics = game.critics or (None,) * len(game.policies)
    critics = tuple(critic if everybody or other == seat else None for other, critic in enumerate(critics))
    rate, gae_lambda = (number(objective[key], rank=0) for key in ("critic_rate", "gae_lambda"))
    follow = objective["critic_target_rate"]
    return CriticSettings(
        rate,
        gae_lambda,
        critics,
        objective["critic_optimizer"],
        objective["critic_steps"],
        None if follow is None else number(follow, rank=0),
        objective["critic_target_period"],
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, float | np.ndarray)


def _stack(value: Any, rank: int, count: int, dtype: np.dtype) -> np.ndarray:
    """Turns nested lists of numbers and arrays [count] into one array [count, ...]; what does not vary is a view, not
    a copy."""
    if isinstance(value, list | tuple):
        parts = [_stack(part, rank - 1, count, dtype) for part in value]
        return np.stack(parts, axis=1)
    array = np.asarray(value, dtype)
    return array if array.ndim == rank + 1 else np.broadcast_to(array, (count, *array.shape))
