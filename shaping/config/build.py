"""From normal forms to stacked matches: the settings of any choice of matches as arrays, one entry per match."""

import dataclasses
from collections.abc import Mapping, Sequence
from functools import lru_cache, partial
from typing import Any

import jax
import numpy as np

from shaping.config.family import trembles
from shaping.config.games import family_of, num_players
from shaping.config.initial import saved_parameters
from shaping.config.objective import is_sampled
from shaping.config.plan import Block, Experiment, seat_keys, value_shape
from shaping.config.players import MODEL, build_learner, build_rule, played_by, rule_settings
from shaping.config.policy import critic_of, is_network, kind_of
from shaping.config.strategies import strategy_policy, strategy_theta
from shaping.config.validate import number_fields
from shaping.learners import Common, Learner, fan_in, frozen, m_maml, normal, optimizer, uniform, values, zeros
from shaping.learners.critic import CriticSettings
from shaping.learners.opponent_model import ModelSettings
from shaping.learners.schedule import schedule
from shaping.objectives.sampled import Estimator, EstimatorNumbers
from shaping.objectives.sampled_game import SampledGame, SampledParams
from shaping.policies import Policy, scripted_players, tabular
from shaping.population.keys import draw, match_key, purpose
from shaping.population.match import Match
from shaping.population.spans import Spans


def groups(experiment: Experiment) -> list[tuple[Block, ...]]:
    """Blocks that run in one compiled program: those whose matches have the same tree structure and shapes."""
    found: dict[Any, list[Block]] = {}
    for block in experiment.blocks:
        template = matches_of(experiment, [block], np.array([block.cells.start * experiment.top["matches"]]))
        leaves, structure = jax.tree.flatten(template)
        found.setdefault((structure, tuple(np.shape(leaf) for leaf in leaves)), []).append(block)
    return [tuple(blocks) for blocks in found.values()]


def templates(experiment: Experiment) -> list[Match]:
    """A match of every block, leaves [1, ...]."""
    per_cell = experiment.top["matches"]
    return [matches_of(experiment, [b], np.array([b.cells.start * per_cell])) for b in experiment.blocks]


def group_indices(experiment: Experiment, blocks: Sequence[Block]) -> Spans:
    """The match indices of a group, ascending."""
    per_cell = experiment.top["matches"]
    return Spans(tuple(range(b.cells.start * per_cell, b.cells.stop * per_cell) for b in blocks))


def matches_of(experiment: Experiment, blocks: Sequence[Block], indices: np.ndarray) -> Match:
    """The settings of the matches `indices` (ascending, all of one group), every leaf [matches, ...]."""
    per_cell = experiment.top["matches"]
    cells = indices // per_cell
    parts = []
    for block in blocks:
        own = indices[(cells >= block.cells.start) & (cells < block.cells.stop)]
        if own.size:
            parts.append(_block_matches(experiment, block, own))
    return parts[0] if len(parts) == 1 else jax.tree.map(lambda *leaves: np.concatenate(leaves), *parts)


def drawn_values(experiment: Experiment, block: Block, indices: np.ndarray) -> dict[str, np.ndarray]:
    """The draws of the matches `indices` of one block, by key as written, [matches, ...] float32."""
    seeds, numbers = _identity(experiment, block, indices)
    found = {}
    for spec in experiment.drawn:
        names = seat_keys(spec.key, block.normal)
        shape = value_shape(names[0], block.normal)
        sample = _sampler(spec.kind, spec.bounds, spec.key, len(block.normal["players"]), shape)
        found[spec.key] = np.asarray(sample(seeds, numbers))
    return found


@lru_cache(maxsize=64)
def _sampler(kind: str, bounds: tuple[float, float], key: str, seats: int, shape: tuple[int, ...]) -> Any:
    def sample(seed: jax.Array, number: jax.Array) -> jax.Array:
        own = jax.random.fold_in(jax.random.fold_in(match_key(seed, number, 2), purpose("draw")), purpose(key))
        return draw(kind, bounds, own, shape)

    return jax.jit(jax.vmap(sample))


def _identity(experiment: Experiment, block: Block, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    per_cell = experiment.top["matches"]
    cells = indices // per_cell - block.cells.start
    return block.seeds[cells].astype(np.int32), (indices % per_cell).astype(np.int32)


def _block_matches(experiment: Experiment, block: Block, indices: np.ndarray) -> Match:
    cells = indices // experiment.top["matches"] - block.cells.start
    seeds, numbers = _identity(experiment, block, indices)
    settings = _deep_copy(block.normal)
    for key, array in block.numbers.items():
        _put(settings, key.split("."), array[cells])
    for key, array in drawn_values(experiment, block, indices).items():
        for name in seat_keys(key, block.normal):
            if name in number_fields(block.normal):
                _put(settings, name.split("."), array)
    match = _match(settings, len(indices), experiment.top["precision"], "shaping" in experiment.top["record"])
    return dataclasses.replace(match, seed=seeds, number=numbers)


def _match(settings: Mapping[str, Any], count: int, precision: str, shaping: bool = False) -> Match:
    """A match whose leaves are [count, ...], from a normal form in which numbers may be arrays [count]; `shaping` where
    the spread of the shaping term is recorded."""
    number: Any = partial(_stack, count=count, dtype=np.dtype(precision))
    game = game_of(settings)
    seats = played_by(settings["players"])
    own_seats = range(len(settings["players"])) if seats is None else [seats.index(n) for n in range(max(seats) + 1)]
    numbers = family_of(settings["game"]).params(settings["game"], number)
    if isinstance(game, SampledGame):
        numbers = _sampled_numbers(settings, numbers, number)
    learners = tuple(_learner(settings, game, numbers, seat, number, shaping) for seat in own_seats)
    return Match(0, 0, numbers, learners, game, seats)


SHAPING_SAMPLES = 8
"""How often the shaping term is estimated where its mean and spread are recorded."""


def _learner(settings: Mapping[str, Any], game: Any, numbers: Any, seat: int, number: Any, shaping: bool) -> Learner:
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
    chosen = _numbered({key: value for key, value in settings["optimizer"].items() if key != "name"}, number)
    common = Common(
        step,
        optimizer(settings["optimizer"]["name"], **chosen),
        _start_of(settings, game, seat, number),
        _critic_settings(settings, game, seat, number) if wants_critic(settings, player) else None,
        _model_settings(player, number),
        SHAPING_SAMPLES if shaping and rule is not None and rule.shaping is not None else 0,
    )
    learner = build_learner(player, own, common)
    # Numbers that are a part of what a rule is are the same for all.
    return jax.tree.map(lambda leaf: leaf if np.ndim(leaf) else number(leaf, rank=0), learner)


def _numbered(given: Mapping[str, Any], number: Any) -> dict[str, Any]:
    return {key: number(value, rank=0) if _is_number(value) else value for key, value in given.items()}


def wants_critic(normal: Mapping[str, Any], player: Mapping[str, Any]) -> bool:
    """Whether a player needs critics."""
    if "strategy" in player:
        return False
    needs = build_learner(player, rule_settings(player)).needs_critic
    return needs or normal["objective"].get("baseline") == "critic"


def unrolled(experiment: Experiment) -> bool:
    """Whether every match is computed scalar by scalar from start to end; touches no device."""
    if any(is_sampled(block.normal) for block in experiment.blocks):
        return False
    matches = [_match(block.normal, 1, experiment.top["precision"]) for block in experiment.blocks]
    return all(
        match.game.unrolled and all(learner.elementwise and not learner.prepares for learner in match.learners)
        for match in matches
    )


def game_of(normal: Mapping[str, Any]) -> Any:
    """The static part of the game of a normal form."""
    game, policy, objective = (normal[key] for key in ("game", "policy", "objective"))
    family = family_of(game)
    env: Any = family.env(game, policy) if is_sampled(normal) else None
    policies = tuple(policy_of(normal, seat, env) for seat in range(num_players(game)))
    if not is_sampled(normal):
        return family.exact(game, policy, policies, game.get("horizon"))
    needs_critic = any(wants_critic(normal, player) for player in normal["players"])
    apart = needs_critic and any(one.evaluate is None for one in policies)
    # A chain with memory is too large to look at again and again.
    tables = not (is_network(normal) or policy.get("last_takers")) and all(one.tabulated for one in policies)
    exact = family.exact(game, policy, policies, objective["horizon"]) if tables and family.exact_kinds else None
    matrix = None
    if exact is None and family.tabular:
        matrix = family.exact(game, policy, (tabular(env.num_states),) * env.num_players, objective["horizon"])
    return SampledGame(
        env=env,
        policies=policies,
        batch=objective["batch"],
        horizon=objective["horizon"],
        estimator=Estimator(*(objective[key] for key in ("kind", "baseline", "slices", "rematerialise"))),
        critics=tuple(critic_of(normal, env) for _ in policies) if apart else (),
        evaluation=objective["evaluation"],
        exact=exact,
        opponents=tuple(scripted_players(env).items()),
        matrix=matrix,
    )


def policy_of(normal: Mapping[str, Any], seat: int, env: Any = None) -> Policy:
    """The policy of a seat of a normal form; `env` is what is played, where returns are sampled."""
    game, policy = normal["game"], normal["policy"]
    if env is None and is_sampled(normal):
        env = family_of(game).env(game, policy)
    if "strategy" in normal["players"][seat]:
        return strategy_policy(normal["players"][seat], game, seat, env)
    return kind_of(game, policy["kind"]).build(policy, game, seat, env)


def _sampled_numbers(normal: Mapping[str, Any], exact: Any, number: Any) -> SampledParams:
    """The numbers of a sampled game, leaves [count, ...]; `exact` are those of the closed form, or None."""
    game, objective = normal["game"], normal["objective"]
    noise = exact.noise if exact is not None and trembles(game) else None
    played = family_of(game).played(game, objective, exact, number, noise)
    decay = None if objective["decay"] is None else number(objective["decay"], rank=0)
    estimator = EstimatorNumbers(number(objective["gae_lambda"], rank=0), decay)
    return SampledParams(played, number(game["discount"], rank=0), estimator, exact)


def _critic_settings(normal: Mapping[str, Any], game: SampledGame, seat: int, number: Any) -> CriticSettings:
    """How a seat's critics are learned: of everybody for a baseline, of itself alone for an actor-critic rule."""
    objective = normal["objective"]
    everybody = objective["baseline"] == "critic"
    critics = game.critics or (None,) * len(game.policies)
    critics = tuple(critic if everybody or other == seat else None for other, critic in enumerate(critics))
    rate, gae_lambda = (number(objective[key], rank=0) for key in ("critic_rate", "gae_lambda"))
    return CriticSettings(rate, gae_lambda, critics, objective["critic_optimizer"], objective["critic_steps"])


def _model_settings(player: Mapping[str, Any], number: Any) -> ModelSettings | None:
    """A player's opponent model, or None."""
    if MODEL not in player:
        return None
    return ModelSettings(**_numbered(player[MODEL], number))


def _init_of(settings: Mapping[str, Any], seat: int) -> tuple[dict[str, Any], int | None]:
    """A seat's own `init`, or everybody's and which place in its table is this seat's."""
    own = settings["players"][seat].get("init")
    return (settings["policy"]["init"], seat) if own is None else (own, None)


def _start_of(settings: Mapping[str, Any], game: Any, seat: int, number: Any) -> Any:
    """The distribution of a seat's first parameters."""
    init, place = _init_of(settings, seat)
    if "run" in init or "file" in init:
        theta = saved_parameters(init, seat, game.policies[seat])
        return values(jax.tree.map(lambda leaf: number(leaf, rank=np.ndim(leaf)), theta))
    return _initial(init, place, number)


def _initial(init: Mapping[str, Any], seat: int | None, number: Any) -> Any:
    """The distribution of a seat's first parameters; `values` are its own where `seat` is None."""
    if "m_maml" in init:
        own = m_maml(**_numbered(init["m_maml"], number))
        return jax.tree.map(lambda leaf: number(leaf, rank=0), own)
    for kind, initial in (("normal", normal), ("uniform", uniform), ("fan_in", fan_in)):
        if kind in init:
            return initial(number(init[kind], rank=0))
    if "zeros" in init:
        return zeros()
    table = init["values"]
    if seat is not None:
        table = table[:, seat] if isinstance(table, np.ndarray) else table[seat]
    return values(number(table, rank=1))


def _is_number(value: Any) -> bool:
    return isinstance(value, float | np.ndarray)


def _stack(value: Any, rank: int, count: int, dtype: np.dtype) -> np.ndarray:
    """Nested lists of numbers and arrays [count] to one array [count, ...]; what does not vary is a view, not a
    copy."""
    if isinstance(value, list | tuple):
        parts = [_stack(part, rank - 1, count, dtype) for part in value]
        return np.stack(parts, axis=1)
    array = np.asarray(value, dtype)
    return array if array.ndim == rank + 1 else np.broadcast_to(array, (count, *array.shape))


def _put(tree: Any, path: list[str], value: Any) -> None:
    for name in path[:-1]:
        tree = tree[int(name)] if isinstance(tree, list) else tree[name]
    if isinstance(tree, list):
        tree[int(path[-1])] = value
    else:
        tree[path[-1]] = value


def _deep_copy(tree: Any) -> Any:
    if isinstance(tree, Mapping):
        return {key: _deep_copy(value) for key, value in tree.items()}
    return [_deep_copy(part) for part in tree] if isinstance(tree, list | tuple) else tree
