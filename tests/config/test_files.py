"""From YAML text and `--set` to plain data."""

import math

import numpy as np
import pytest

from shaping.config.dotted import assign
from shaping.config.errors import ConfigError
from shaping.config.files import parse, read, shipped


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("1e-3", 1e-3),
        ("-2E+4", -2e4),
        ("1e3", 1000.0),
        (".5e1", 5.0),
        ("3.e-1", 0.3),
        (".5", 0.5),
        ("-.5", -0.5),
        ("+.25", 0.25),
        ("-1.5", -1.5),
        ("1_000", 1000),
        ("7", 7),
        (".inf", math.inf),
    ],
)
def test_a_number_is_read_as_a_number_however_it_is_written(text, number):
    value = parse(f"x: {text}")["x"]
    assert value == number and type(value) is type(number)


@pytest.mark.parametrize("text", ["e3", "1e", "1e-", ".", "lola", "1-2"])
def test_what_only_resembles_a_number_stays_text(text):
    assert parse(f"x: '{text}'") == parse(f"x: {text}") == {"x": text}


@pytest.mark.parametrize(
    ("text", "key", "line"),
    [
        ("matches: 1\nupdates: 2\nmatches: 3\n", "matches", None),
        ("game:\n  name: ipd\n  name: chicken\n", "name", 3),
        ("variants:\n  a: {players: {rule: naive, rule: lola}}\n", "rule", 2),
        ("sweep: {seed: [0], seed: [1]}\n", "seed", 1),
    ],
)
def test_a_key_written_twice_is_refused_with_its_line(text, key, line):
    with pytest.raises(ConfigError, match=f"^{key}: written twice") as error:
        parse(text)
    assert line is None or f"line {line}" in str(error.value)


def test_a_merged_mapping_may_be_overridden_but_no_key_written_twice():
    assert parse("a: &a {p: 1, q: 2}\nb: {<<: *a, q: 3}")["b"] == {"p": 1, "q": 3}
    with pytest.raises(ConfigError, match="q: written twice"):
        parse("a: &a {p: 1}\nb: {<<: *a, q: 3, q: 4}")


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("game: {name: ipd\nmatches: 3\n", 2),
        ("a: 1\nb: 'unfinished\n", 3),
        ("a: 1\n\tb: 2\n", 2),
        ("a: b: c", 1),
    ],
)
def test_text_that_is_not_yaml_is_refused_with_file_and_line(tmp_path, text, line):
    path = tmp_path / "broken.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=rf"broken\.yaml, line {line}: not valid YAML") as error:
        read(path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("text", ["- a\n- b\n", "just words\n", "", "3\n", "null\n"])
def test_a_file_that_is_not_a_mapping_is_refused(tmp_path, text):
    path = tmp_path / "list.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match="must be a mapping"):
        read(path)


@pytest.mark.parametrize("content", [b"\xff\xfe\x00\x81", b"a: \x07b"])
def test_a_file_that_is_not_text_is_refused(tmp_path, content):
    path = tmp_path / "binary.yaml"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"binary\.yaml"):
        read(path)


def test_a_list_as_a_key_is_refused():
    with pytest.raises(ConfigError, match=r"\[1\]: cannot be a key"):
        parse("{[1]: 2}")


def test_code_in_yaml_is_not_run():
    with pytest.raises(ConfigError):
        parse("!!python/object/apply:os.system ['true']")


def test_a_missing_file_is_refused_and_the_shipped_ones_are_named():
    with pytest.raises(ConfigError, match=r"nowhere\.yaml: no such file") as error:
        read("nowhere.yaml")
    assert all(name in str(error.value) for name in shipped())


def test_shipped_configurations_are_read_by_bare_name_with_and_without_ending():
    assert {"lola_table", "mfos_head_to_head", "phase_diagram"} <= set(shipped())
    for name in shipped():
        assert read(name) == read(f"{name}.yaml") == read(str(shipped()[name]))


def test_a_file_comes_before_a_shipped_configuration_of_its_name(tmp_path, monkeypatch):
    (tmp_path / "lola_table.yaml").write_text("matches: 3\n")
    monkeypatch.chdir(tmp_path)
    assert read("lola_table.yaml") == {"matches": 3}
    assert read("lola_table") != {"matches": 3}


SEATS = {"players": [{"rule": "lola"}, {"rule": "naive"}]}


@pytest.mark.parametrize(
    ("start", "override", "result"),
    [
        ({}, "matches=100", {"matches": 100}),
        ({}, "players.step_size=1e-2", {"players": {"rule": "naive", "step_size": 0.01}}),
        ({}, "game.discount=0.9", {"game": {"name": "ipd", "discount": 0.9}}),
        ({"game": "chicken"}, "game.horizon=1", {"game": {"name": "chicken", "horizon": 1}}),
        ({"optimizer": "adam"}, "optimizer.b1=0.5", {"optimizer": {"name": "adam", "b1": 0.5}}),
        ({"game": {"name": "ipd"}}, "game.discount=0.9", {"game": {"name": "ipd", "discount": 0.9}}),
        ({"policy": None}, "policy.init.normal=2", {"policy": {"init": {"normal": 2}}}),
        (SEATS, "players.1.rule=lola", {"players": [{"rule": "lola"}, {"rule": "lola"}]}),
        (SEATS, "players.1={rule: lola}", {"players": [{"rule": "lola"}, {"rule": "lola"}]}),
        (
            SEATS,
            "players.*.step_size=.5",
            {"players": [{"rule": "lola", "step_size": 0.5}, {"rule": "naive", "step_size": 0.5}]},
        ),
        (
            {"players": {"rule": "naive"}},
            "players.*.step_size=2",
            {"players": {"rule": "naive", "step_size": 2}},
        ),
        ({}, "sweep.players.*.step_size=[1, 2]", {"sweep": {"players.*.step_size": [1, 2]}}),
        (
            {"sweep": {"seed": [0]}},
            "sweep.game.discount={linspace: [0, 0.9, 4]}",
            {"sweep": {"seed": [0], "game.discount": {"linspace": [0, 0.9, 4]}}},
        ),
        ({"sweep": {"seed": [0]}}, "sweep={}", {"sweep": {}}),
        ({}, "tie=[[seed, game.discount]]", {"tie": [["seed", "game.discount"]]}),
        ({"title": "a"}, "title=a = b", {"title": "a = b"}),
        (
            {"variants": {"NL-Ex": {}}},
            "variants.NL-Ex.optimizer=adam",
            {"variants": {"NL-Ex": {"optimizer": "adam"}}},
        ),
    ],
)
def test_an_override_sets_exactly_its_key(start, override, result):
    assert read(start, [override]) == result


def test_overrides_apply_in_order():
    assert read({}, ["seed=1", "seed=2"]) == {"seed": 2}


def test_a_mapping_given_is_not_changed():
    given = {"players": [{"rule": "lola"}], "sweep": {}}
    read(given, ["players.*.step_size=3", "sweep.seed=[1]"])
    assert given == {"players": [{"rule": "lola"}], "sweep": {}}


def test_arrays_in_a_mapping_become_lists():
    found = read({"game": {"payoffs": np.ones((2, 2, 2)), "discount": np.float32(0.5)}, "matches": np.int64(2)})
    assert found == {"game": {"payoffs": [[[1.0, 1.0]] * 2] * 2, "discount": 0.5}, "matches": 2}
    assert type(found["matches"]) is int and type(found["game"]["discount"]) is float


@pytest.mark.parametrize("override", ["matches", "=3", ""])
def test_an_override_without_key_or_value_is_refused(override):
    with pytest.raises(ConfigError, match="must be key=value"):
        read({}, [override])


def test_an_override_that_is_not_yaml_is_refused_with_its_key():
    with pytest.raises(ConfigError, match=r"--set game.*not valid YAML"):
        read({}, ["game={name: ipd"])


@pytest.mark.parametrize("key", ["players.2.rule", "players.x.rule", "players.-1.rule", "players.2"])
def test_a_seat_that_does_not_exist_is_refused_by_its_whole_key(key):
    with pytest.raises(ConfigError) as error:
        read(SEATS, [f"{key}=1"])
    assert str(error.value).startswith(f"{key}: ") and "0 to 1" in str(error.value)


def test_a_single_seat_of_one_mapping_for_all_is_refused():
    with pytest.raises(ConfigError, match=r"^players\.1\.rule: .*players\.\*\.rule"):
        assign({"players": {"rule": "naive"}}, "players.1.rule", "lola")


def test_a_key_inside_a_single_value_is_refused():
    with pytest.raises(ConfigError, match=r"^game\.name\.x: .*'ipd'"):
        assign({"game": {"name": "ipd"}}, "game.name.x", 1)
