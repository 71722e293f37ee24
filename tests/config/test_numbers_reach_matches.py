"""Every setting that is accepted has an effect: what a configuration says of a rule reaches its learner, and every
number that could be swept is a number of the matches."""

import dataclasses
import re
from inspect import Parameter

import jax
import numpy as np
import pytest

from shaping.config import players
from shaping.config.build import matches_of
from shaping.config.cell import number_fields
from shaping.config.dotted import look_up
from shaping.config.errors import ConfigError
from shaping.config.files import read, shipped
from shaping.config.plan import plan
from shaping.signatures import Field


@pytest.mark.parametrize("rule", sorted(players.rules()))
def test_every_setting_of_a_rule_reaches_its_factory(rule):
    given = {name: object() for name in players.player_fields(rule) if name != "step_size"}
    entry = {"rule": rule, "step_size": 1.0, "init": {"normal": 1.0}, "within": True, "frequency": 2.0, **given}
    assert players.rule_settings(entry) == given


@pytest.mark.parametrize("name", ["share", "frequency"])
def test_a_rule_whose_setting_could_be_mistaken_for_a_key_of_every_player_is_refused(name, monkeypatch):
    taken = {name: Field(name, "number", Parameter.empty)}
    monkeypatch.setattr(players, "fields", lambda factory, skip=(): taken)
    with pytest.raises(ConfigError, match=rf"rule naive: its setting {name} has the name of a key of every player"):
        players.player_fields("naive")


def test_every_number_that_may_be_swept_changes_the_matches():
    tried, without = set(), []
    for name in shipped():
        raw = read(str(shipped()[name]))
        if "league" in raw:
            continue
        experiment = plan(raw)
        for block in experiment.blocks:
            swept = tuple(f"{key}." for key in block.numbers)
            known = [key for key in number_fields(block.normal) if not swept or not key.startswith(swept)]
            # Shares have to add up to 1, so one of them cannot change alone.
            known = [key for key in known if not key.endswith(".share")]
            new = {key: _kind(block.normal, key) for key in known if _kind(block.normal, key) not in tried}
            if not new:
                continue
            place = np.array([block.cells.start * experiment.top["matches"]])
            before = matches_of(experiment, [block], place)
            for key, kind in new.items():
                now = np.asarray(block.numbers.get(key, np.asarray(look_up(block.normal, key), float)[None]))
                moved = dataclasses.replace(block, numbers=block.numbers | {key: now * 0.5 + 0.0625})
                after = matches_of(experiment, [moved], place)
                tried.add(kind)
                # A noise that is 0 everywhere is left out of the program.
                old, new_leaves = jax.tree.leaves(before), jax.tree.leaves(after)
                same = len(old) == len(new_leaves) and all(map(np.array_equal, old, new_leaves))
                if same:
                    without.append(f"{name}: {key}")
    assert not without and len(tried) > 100


def _kind(normal, key):
    """What the key is, wherever it stands: the rule and its setting, the game and its number, and so on."""
    if found := re.match(r"players\.(\d+)\.(.*)", key):
        return normal["players"][int(found[1])].get("rule"), re.sub(r"\d+", "", found[2])
    root = key.split(".")[0]
    owner = normal[root] if isinstance(normal[root], dict) else {}
    return owner.get("name", owner.get("kind")), re.sub(r"\d+", "", key)
