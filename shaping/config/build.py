"""From normal forms to stacked matches: the settings of any choice of matches as arrays, one entry per match."""

import dataclasses
from collections.abc import Mapping, Sequence
from functools import lru_cache, partial
from typing import Any

import jax
import numpy as np

from shaping.config.coin import REWARDS, coin_env, is_coin
from shaping.config.game import game_fields, is_analytic, num_players, num_states
from shaping.config.objective import is_sampled
from shaping.config.plan import Block, Experiment, seat_keys, value_shape
from shaping.config.policy import is_network
from shaping.config.sampled import critic_settings, model_settings, network_of, sampled_game, sampled_numbers
from shaping.config.validate import build_rule, number_fields, rule_settings
from shaping.envs import MatrixGameParams
from shaping.envs.matrix.games import GAMES
from shaping.learners import Common, fan_in, m_maml, named_learner, normal, optimizer, uniform, values, zeros
from shaping.objectives import ExactMatrixGame, analytic_game
from shaping.objectives.exact_coin import ExactCoinGame, ExactCoinParams
from shaping.objectives.sampled_game import SampledGame
from shaping.policies import Policy, coin_table, mlp, preconditioned, tabular
from shaping.population.keys import draw, match_key, purpose
from shaping.population.match import Match


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


def group_indices(experiment: Experiment, blocks: Sequence[Block]) -> np.ndarray:
    """The match indices of a group, ascending."""
    per_cell = experiment.top["matches"]
    return np.concatenate([np.arange(b.cells.start * per_cell, b.cells.stop * per_cell) for b in blocks])


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
        own = jax.random.fold_in(jax.random.fold_in(match_key(seed, number, seats), purpose("draw")), purpose(key))
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
    form = form_of(settings)
    learners = []
    for seat, player in enumerate(settings["players"]):
        own = {k: number(v, rank=0) if _is_number(v) else v for k, v in rule_settings(player).items()}
        rule = build_rule(player)
        chosen = {k: number(v, rank=0) if _is_number(v) else v for k, v in settings["optimizer"].items() if k != "name"}
        common = Common(
            number(player["step_size"], rank=0),
            optimizer(settings["optimizer"]["name"], **chosen),
            _initial(*_init_of(settings, seat), number),
            critic_settings(settings, form, seat, number) if wants_critic(settings, player) else None,
            model_settings(player, number),
            SHAPING_SAMPLES if shaping and rule is not None and rule.shaping is not None else 0,
        )
        learner = named_learner(player["rule"], own, common)
        # Numbers that are a part of what a rule is are the same for all.
        learners.append(jax.tree.map(lambda leaf: leaf if np.ndim(leaf) else number(leaf, rank=0), learner))
    numbers = _game_numbers(settings["game"], number)
    if isinstance(form, SampledGame):
        numbers = sampled_numbers(settings, numbers, number)
    return Match(0, 0, numbers, tuple(learners), form)


SHAPING_SAMPLES = 8
"""How often the shaping term is estimated where its mean and spread are recorded."""


def wants_critic(normal: Mapping[str, Any], player: Mapping[str, Any]) -> bool:
    """Whether a player needs critics."""
    return (
        named_learner(player["rule"], rule_settings(player)).needs_critic
        or normal["objective"].get("baseline") == "critic"
    )


def _game_numbers(game: Mapping[str, Any], number: Any) -> Any:
    """What the game's form is fed, leaves [count, ...]."""
    if is_analytic(game):
        return {name: number(game[name], rank=0) for name, f in game_fields(game["name"]).items() if f.kind == "number"}
    seats = num_players(game)
    noise = game["noise"] if isinstance(game["noise"], list) else [game["noise"]] * seats
    if is_coin(game):
        rewards = number([[game[name] for name in REWARDS]] * seats, rank=2)
        return ExactCoinParams(rewards, number(game["discount"], rank=0), number(noise, rank=1))
    if "payoffs" in game:
        payoffs = number(game["payoffs"], rank=1 + seats)
    else:
        payoffs = number(
            GAMES[game["name"]](**{name: game[name] for name in game_fields(game["name"])}), rank=1 + seats
        )
    return MatrixGameParams(payoffs, number(game["discount"], rank=0), number(noise, rank=1))


def unrolled(experiment: Experiment) -> bool:
    """Whether every match is computed scalar by scalar from start to end; touches no device."""
    matches = [_match(block.normal, 1, experiment.top["precision"]) for block in experiment.blocks]
    return all(
        match.game.unrolled and all(learner.elementwise and not learner.prepares for learner in match.learners)
        for match in matches
    )


def form_of(normal: Mapping[str, Any]) -> Any:
    """The static part of the game of a normal form."""
    game, policy = normal["game"], normal["policy"]
    seats = num_players(game)
    if is_analytic(game):
        return analytic_game(game["name"], **({"num_players": seats} if "num_players" in game else {}))
    policies = tuple(policy_of(normal, seat) for seat in range(seats))
    if is_sampled(normal):
        needs_critic = any(wants_critic(normal, player) for player in normal["players"])
        return sampled_game(normal, policies, needs_critic)
    if is_coin(game):
        return ExactCoinGame(coin_env(game, policy["last_takers"]), game["horizon"], policies, policy["last_takers"])
    return ExactMatrixGame(seats, game["horizon"], policy["state_view"], policies)


def policy_of(normal: Mapping[str, Any], seat: int) -> Policy:
    """The policy of a seat of a normal form."""
    game, policy = normal["game"], normal["policy"]
    if is_network(normal):
        return network_of(normal)
    if is_coin(game):
        return coin_table(coin_env(game, policy["last_takers"]), seat, policy["last_takers"])
    if is_analytic(game):
        return form_of(normal).policies[seat]
    if policy["kind"] == "preconditioned":
        return preconditioned(policy["matrix"])
    if policy["kind"] == "mlp":
        return mlp(num_players(game), policy["hidden"])
    memory = policy["memory"]
    return tabular(num_states(game, memory), memory)


def _init_of(settings: Mapping[str, Any], seat: int) -> tuple[dict[str, Any], int | None]:
    """A seat's own `init`, or everybody's and which place in its table is this seat's."""
    own = settings["players"][seat].get("init")
    return (settings["policy"]["init"], seat) if own is None else (own, None)


def _initial(init: Mapping[str, Any], seat: int | None, number: Any) -> Any:
    """The distribution of a seat's first parameters; `values` are its own where `seat` is None."""
    if "m_maml" in init:
        own = {k: number(v, rank=0) if _is_number(v) else v for k, v in init["m_maml"].items()}
        return jax.tree.map(lambda leaf: number(leaf, rank=0), m_maml(**own))
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
