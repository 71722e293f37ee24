"""The JSON Schema, asked through an independent validator."""

import json

import jsonschema
import pytest

from shaping.config.files import read, shipped
from shaping.config.json_schema import json_schema


@pytest.fixture(scope="module")
def schema():
    return json_schema()


@pytest.fixture(scope="module")
def validator(schema):
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


@pytest.mark.parametrize("name", list(shipped()))
def test_every_shipped_configuration_is_valid_and_says_where_the_schema_is(validator, name):
    validator.validate(read(name))
    first = shipped()[name].read_text(encoding="utf-8").partition("\n")[0]
    assert first == "# yaml-language-server: $schema=schema.json"


def test_the_schema_that_is_shipped_is_the_one_that_is_made(schema):
    shipped_one = next(iter(shipped().values())).parent / "schema.json"
    assert json.loads(shipped_one.read_text(encoding="utf-8")) == schema, "shaping schema > configs/schema.json"


GOOD = [
    {},
    {"game": "ipd", "optimizer": "adam", "policy": "gru", "objective": "dice", "players": ["lola", "naive"]},
    {"game": {"name": "cournot", "costs": [1, 2], "num_players": 2}},
    {"game": {"payoffs": [[[1, 2], [3, 4]], [[1, 2], [3, 4]]], "noise": [0.1, 0.2]}},
    {"players": [{"strategy": "tft"}, {"rule": "ppo", "step_size": {"schedule": "cosine", "start": 1, "steps": 9}}]},
    {"players": {"rule": "naive", "share": True, "init": {"values": [1, 2, 3, 4, 5]}}},
    {"sweep": {"game.discount": {"linspace": [0, 0.9, 3]}, "seed": [1, 2], "game.noise": {"uniform": [0, 1]}}},
    {"quick": False},
]
BAD = [
    {"matches": 0},
    {"matches": "many"},
    {"gmae": "ipd"},
    {"game": "ipdd"},
    {"game": {"name": "ipd", "temptaton": 1}},
    {"game": {"name": "ipd", "temptation": "x"}},
    {"game": {"name": "cournot", "floor": 3}},
    {"players": {"rule": "naive", "lookahead_rate": 1}},
    {"players": {"rule": "lola", "variant": "tayler"}},
    {"players": {"rule": "lola", "lookahead_rate": -1}},
    {"optimizer": {"name": "adam", "learning_rate": 1}},
    {"policy": {"kind": "gru", "units": 0}},
    {"objective": {"kind": "exact", "batch": 3}},
    {"sweep": {"seed": []}},
    {"sweep": {"game.discount": {"linspac": [0, 1, 2]}}},
    {"variants": {"a": {"matches": 3}}},
    {"record": ["polices"]},
    {"published": [{"metric": "value_mean"}]},
]


@pytest.mark.parametrize("raw", GOOD, ids=str)
def test_what_runs_is_valid(validator, raw):
    validator.validate(raw)


@pytest.mark.parametrize("raw", BAD, ids=str)
def test_what_is_refused_is_invalid(validator, raw):
    assert not validator.is_valid(raw)
