"""Configurations made small enough for a test to carry them out, with the same kinds of games, rules and policies."""

from functools import cache
from itertools import combinations
from typing import Any

from shaping.config.files import read, shipped
from shaping.config.players import player_fields, rules
from shaping.config.top_level import replaced

MOST = {
    # of play
    "batch": 8,
    "evaluation": 8,
    "horizon": 8,
    "rounds": 8,
    "slices": 2,
    "streams": 2,
    # of networks
    "channels": 8,
    "hidden": 8,
    "units": 8,
    "width": 8,
    # of what rules do within an update
    "max_iterations": 2,
    "model_steps": 2,
    "past_groups": 4,
    "past_of": 4,
    "selves": 4,
    # of what they do before a match
    "episodes": 2,
    "epochs": 20,
    "games": 16,
    "generations": 2,
    "training_batch": 16,
    "training_steps": 100,
    # of searches
    "chunk": 8,
    "population": 8,
}
"""Upper limits of settings, by name. They also apply to larger defaults of settings that a configuration leaves out."""

SHIPPED_GAMES = ("cournot", "fishery", "fruit_market", "gift", "negotiation", "storm", "clean_up", "commons_harvest")
"""The shipped configurations that are about one game each; tests/test_shipped_games.py runs them."""


def at_most(limit: int, value: Any) -> Any:
    """An integer, or each integer in a list, limited to `limit`; anything else unchanged."""
    if isinstance(value, (list, tuple)):
        return [at_most(limit, part) for part in value]
    return min(value, limit) if isinstance(value, int) and not isinstance(value, bool) else value


def small(tree: Any) -> Any:
    """A raw configuration made small, or a part of one. Its numbers of matches and updates are left to the caller."""
    if isinstance(tree, list):
        return [small(part) for part in tree]
    if not isinstance(tree, dict):
        return tree
    tree = {key: small(value) for key, value in tree.items()}
    if "logspace" in tree:
        first, last, count = tree["logspace"]
        tree["logspace"] = [first, last, min(count, 3)]
    if "trial" in tree:
        tree["trial"] |= {"updates": min(tree["trial"]["updates"], 4)}
    if tree.get("rule") in rules():
        defaults = {name: field.default for name, field in player_fields(tree["rule"]).items() if name in MOST}
        tree = {name: value for name, value in defaults.items() if at_most(MOST[name], value) != value} | tree
    if tree.get("opponents") == "m_maml":
        # Their start is learned in a fixed number of episodes, which takes minutes.
        tree["opponents"] = "naive"
    return {key: at_most(MOST[key], value) if key in MOST else value for key, value in tree.items()}


def kinds(tree: Any) -> frozenset[str]:
    """What a part of a configuration consists of: the names of its parts, and of the rules, games and kinds in them."""
    if not isinstance(tree, dict):
        return frozenset().union(*map(kinds, tree)) if isinstance(tree, list) else frozenset()
    parts = {key for key, part in tree.items() if isinstance(part, dict)}
    named = {tree[key] for key in ("rule", "strategy", "name", "game", "kind") if isinstance(tree.get(key), str)}
    return frozenset(parts | named).union(*map(kinds, tree.values()))


@cache
def new_combinations() -> dict[str, list[str]]:
    """By shipped configuration, the variants ("" where there are none) that combine two kinds of things that no
    earlier variant combines. Earlier are those above in the same configuration, and those of configurations before it
    in the alphabet."""
    seen, found = set(), {}
    for name in shipped():
        raw = read(name)
        common = kinds({key: part for key, part in raw.items() if key not in ("variants", "published")})
        for variant, changes in raw.get("variants", {"": {}}).items():
            pairs = set(combinations(sorted(common | kinds(changes)), 2))
            if not pairs <= seen:
                seen |= pairs
                found.setdefault(name, []).append(variant)
    return found


def small_league(learners: dict[str, Any]) -> dict[str, Any]:
    """The last three learners of a league, because the number of its pairs is the square of the number of learners. In
    shipped leagues, the last ones are of more kinds than those before them."""
    kept = {name: learners[name] for name in list(learners)[-3:]}
    for name, learner in kept.items():
        if "against" in learner:
            kept[name] = learner | {"against": {other: it for other, it in learner["against"].items() if other in kept}}
    return kept


def brief(name: str) -> dict[str, Any]:
    """A shipped configuration made small, for two matches of each cell and four updates or generations, with those of
    its variants that are new combinations."""
    raw = small(read(name)) | {"quick": False}
    if "variants" in raw:
        kept = new_combinations()[name]
        raw["variants"] = {variant: raw["variants"][variant] for variant in kept}
        published = [one for one in raw.pop("published", []) if one.get("cell", {}).get("variant") in {None, *kept}]
        raw |= {"published": published} if published else {}
        for key in replaced(raw["variants"]):
            raw.pop(key, None)
    if "league" in raw:
        learners = small_league(raw["league"]["learners"])
        raw["league"] = raw["league"] | {"learners": learners}
        pairs = {f"{row} v {column}" for row in learners for column in learners}
        raw["published"] = [one for one in raw["published"] if one["cell"]["variant"] in pairs]
    return raw | {"matches": 2, "updates" if "updates" in raw else "generations": 4}
