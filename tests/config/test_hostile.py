"""Malicious or contradictory configurations are refused at once, in one line."""

import time

import numpy as np
import pytest

from shaping.config.errors import ConfigError
from shaping.config.files import read
from shaping.config.plan import plan
from shaping.config.yaml_text import MAX_DEPTH, as_yaml, parse


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("010", 10),
        ("0o10", 8),
        ("0x1F", 31),
        ("1:30", "1:30"),
        ("yes", "yes"),
        ("off", "off"),
        ("2020-99-99", "2020-99-99"),
        ("True", True),
        ("~", None),
        ("'1e3'", "1e3"),
        ("!!str 5", "5"),
        ("!!float 5", 5.0),
    ],
)
def test_what_is_written_is_what_it_looks_like(text, value):
    found = parse(f"x: {text}")["x"]
    assert found == value and type(found) is type(value)


@pytest.mark.parametrize("text", ["!!int abc", "!!binary aGk=", "!!set {a}", "!!timestamp 2020-01-01", "!mine 3"])
def test_tags_that_do_not_hold_are_refused_with_their_line(text):
    with pytest.raises(ConfigError, match="configuration, line 2: "):
        parse(f"a: 1\nx: {text}")


def test_numbers_of_thousands_of_digits_are_refused():
    with pytest.raises(ConfigError, match="line 1: .*too many digits"):
        parse("x: " + "9" * 5000)


def test_depth_is_bounded():
    assert parse("[" * MAX_DEPTH + "]" * MAX_DEPTH)
    with pytest.raises(ConfigError, match="nested too deeply"):
        parse("[" * 5000 + "]" * 5000)


def test_what_aliases_repeat_is_counted_before_it_is_copied():
    bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
    bomb += "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 12))
    began = time.perf_counter()
    with pytest.raises(ConfigError, match=r"line \d+: too large; allowed: 300,000 values"):
        parse(bomb)
    assert time.perf_counter() - began < 10


def test_an_alias_of_what_is_not_finished_is_refused():
    with pytest.raises(ConfigError, match="nested too deeply"):
        parse("a: &a [*a]")


def test_an_alias_is_a_copy():
    raw = read({**parse("p: &p {rule: naive}\nplayers: [*p, *p]"), "p": None}, ["players.0.rule=lola"])
    assert raw["players"] == [{"rule": "lola"}, {"rule": "naive"}]


@pytest.mark.parametrize("text", ["1e3", "010", "yes", "0o10", "null", "1_000", ".5", "2020-01-01", "a: b", "'", "~"])
def test_text_that_looks_like_something_else_is_read_back_as_text(text):
    import yaml

    assert parse(as_yaml({"title": text})) == yaml.safe_load(as_yaml({"title": text})) == {"title": text}


OVERLAPS = [
    {"players.*.step_size": {"uniform": [0, 1]}, "players.0.step_size": [3, 4]},
    {"players.0.step_size": {"uniform": [0, 1]}, "players.*.step_size": {"uniform": [0, 1]}},
    {"policy.init": [{"normal": 1.0}], "policy.init.normal": [1, 2]},
    {"game": ["ipd", "chicken"], "game.name": ["ipd"]},
    {"players.*.rule": ["naive"], "players.0.rule": ["lola"]},
    {"players.*.init": [{"zeros": True}], "players.0.init": [{"normal": 1.0}]},
    {"game.noise": [0, 0.1], "game.noise.0": [0, 0.1]},
]


@pytest.mark.parametrize("sweep", OVERLAPS, ids=str)
def test_axes_that_would_undo_each_other_are_refused(sweep):
    first, second = sweep
    with pytest.raises(ConfigError) as error:
        plan({"sweep": sweep})
    assert str(error.value).startswith(f"sweep.{second}: overlaps with sweep.{first}")


@pytest.mark.parametrize(
    ("raw", "start", "nearest"),
    [
        ({"game": {"name": "ipd", "reward": 1e300}}, "game.reward: 1e+300", "3.4028"),
        ({"game": {"name": "ipd", "discount": 0.999999999}}, "game.discount: 0.999999999", "0.99999994"),
        ({"sweep": {"game.discount": [0.5, 0.999999999]}}, "sweep.game.discount: 0.999999999", "0.99999994"),
        ({"players": {"rule": "naive", "step_size": 1e39}}, "players.0.step_size: 1e+39", "3.4028"),
    ],
)
def test_what_the_precision_cannot_hold_is_refused_with_the_nearest_it_can(raw, start, nearest):
    with pytest.raises(ConfigError) as error:
        plan(raw)
    assert str(error.value).startswith(start) and f"float32 can hold, the nearest is {nearest}" in str(error.value)
    plan(raw | {"precision": "float64"})


@pytest.mark.parametrize(
    ("raw", "start"),
    [
        ({"variants": {1: {}, "1": {}}}, "variants: 1 and '1' are written alike"),
        ({"variants": {True: {}, "True": {}}}, "variants: True and 'True' are written alike"),
        ({"variants": {b"a": {}}}, "variants: b'a' is not allowed"),
        ({"quick": {"variants": [[1]]}, "variants": {"a": {}}}, "quick.variants: [[1]]"),
        ({"tie": [[["seed"], "seed"]], "sweep": {"seed": [1]}}, "tie: ['seed'] is not allowed"),
        ({"tie": [[{"a": 1}, "seed"]], "sweep": {"seed": [1]}}, "tie: {'a': 1} is not allowed"),
        ({"title": "half \ud800"}, "title: 'half \\ud800' holds half a character"),
        ({"variants": {"\udc80": {}}}, "variants: '\\udc80' holds half a character"),
        ({"title": 3}, "title: 3 is not allowed; must be text"),
    ],
)
def test_what_contradicts_itself_is_refused(raw, start):
    with pytest.raises(ConfigError) as error:
        plan(raw)
    assert str(error.value).startswith(start) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("overrides", "start"),
    [
        (["sweep=3", "sweep.seed=[1]"], "sweep.seed: cannot be set inside sweep, which is 3"),
        (["players.².step_size=1"], "players.²"),
        (["x" * 5000 + "=1"], "xxx"),
    ],
)
def test_overrides_that_go_nowhere_are_refused(overrides, start):
    with pytest.raises(ConfigError) as error:
        plan(read({"players": [{"rule": "naive"}, {"rule": "naive"}]}, overrides))
    assert str(error.value).startswith(start)


def test_only_a_bare_name_is_that_of_a_shipped_configuration(tmp_path):
    with pytest.raises(ConfigError, match="no such file"):
        read("/no/such/lola_table.yaml")
    with pytest.raises(ConfigError, match="is a folder; give a YAML file"):
        read(tmp_path)
    with pytest.raises(ConfigError, match="cannot be read: File name too long"):
        read("x" * 5000)


def test_draws_are_the_same_whatever_the_number_of_seats():
    import numpy as np

    from shaping.config.build import drawn_values

    raw = {"game": {"name": "contribution"}, "matches": 4}
    raw["sweep"] = {"game.num_players": [2, 3], "game.discount": {"uniform": [0, 0.9]}}
    experiment = plan(raw)
    two, three = (
        drawn_values(experiment, block, np.arange(4) + 4 * place)["game.discount"]
        for place, block in enumerate(experiment.blocks)
    )
    np.testing.assert_array_equal(two, three)


LOGITS = [[0.0] * 5, [0.0] * 5]
OTHERS = [[2.0] * 5, [3.0] * 5]


@pytest.mark.parametrize(
    ("sweep", "last"),
    [
        ({"policy.init.uniform": [0.1, 9]}, 9),
        ({"policy.init.values": [LOGITS, OTHERS]}, OTHERS),
        ({"players.0.init.normal": [0.1, 3]}, 3),
        ({"players.*.reward.weights": [[1, 0], [0, 1]]}, [0, 1]),
    ],
    ids=str,
)
def test_a_swept_number_reaches_the_cells_that_are_named_after_it(sweep, last):
    (block,) = plan({"sweep": sweep}).blocks
    (key,) = sweep
    np.testing.assert_array_equal(block.numbers[key.replace("*", "0")][-1], last)


@pytest.mark.parametrize(
    ("raw", "start"),
    [
        ({"sweep": {"policy.init.normal": [1, 2]}}, "sweep.policy.init.normal: has no effect on any player"),
        ({"sweep": {"policy.init": [{"normal": 1}, {"zeros": True}]}}, "sweep.policy.init: has no effect"),
    ],
)
def test_a_swept_start_that_no_player_has_is_refused(raw, start):
    with pytest.raises(ConfigError) as error:
        plan(raw | {"players": {"rule": "naive", "init": {"normal": 3}}})
    assert str(error.value).startswith(start)


@pytest.mark.parametrize(
    ("sweep", "start"),
    [
        ({"game.discount": [0.96, 0.9600000000001]}, "sweep.game.discount: 0.96 and 0.9600000000001 are the same"),
        ({"game.horizon": [2, 2.0]}, "sweep.game.horizon: 2 and 2.0 are the same"),
    ],
)
def test_values_that_differ_in_name_alone_are_refused(sweep, start):
    with pytest.raises(ConfigError) as error:
        plan({"sweep": sweep})
    assert str(error.value).startswith(start)


def test_neighbours_in_float64_are_no_repetition():
    assert plan({"precision": "float64", "sweep": {"game.discount": [0.96, 0.9600000000001]}}).cells == 2


@pytest.mark.parametrize(
    ("raw", "start"),
    [
        ({"sweep": {"game.reward": {"uniform": [0, 1e300]}}}, "sweep.game.reward: 1e+300"),
        ({"sweep": {"players.*.step_size": {"loguniform": [1e-300, 1]}}}, "sweep.players.*.step_size: 1e-300"),
        ({"sweep": {"players.*.step_size": {"loguniform": [1e-40, 1]}}}, "sweep.players.*.step_size: 1e-40"),
        ({"optimizer": {"name": "adam", "clip_norm": 1e-40}}, "optimizer.clip_norm: 1e-40"),
        ({"optimizer": {"name": "adam", "b1": 1 - 1e-12}}, "optimizer.b1: 0.999999999999"),
        ({"sweep": {"policy.init.values": [LOGITS, [[1e300] * 5] * 2]}}, "sweep.policy.init.values: 1e+300"),
    ],
)
def test_draws_optimisers_and_small_numbers_are_held_to_the_precision_too(raw, start):
    with pytest.raises(ConfigError) as error:
        plan(raw)
    assert str(error.value).startswith(start) and "the nearest is" in str(error.value)


@pytest.mark.parametrize(
    ("raw", "start"),
    [
        ({"sweep": {f"game.{name}": {"linspace": [0, 0.9, 10**4]} for name in ("reward", "sucker")}}, "100,000,000 c"),
        ({"sweep": {"game.horizon": {"linspace": [1, 1001, 1001]}}}, "1,001 programs"),
    ],
)
def test_a_sweep_that_could_never_be_laid_out_is_refused_before_it_is(raw, start):
    began = time.perf_counter()
    with pytest.raises(ConfigError, match=f"sweep: makes {start}"):
        plan(raw)
    assert time.perf_counter() - began < 10


def test_names_of_variants_that_differ_in_blanks_alone_are_refused():
    with pytest.raises(ConfigError, match="variants: 'a b' and ' a  b' are written alike"):
        plan({"variants": {"a b": {}, " a  b": {}}})
    with pytest.raises(ConfigError, match="variants: ' ' is not allowed; must be names that can be seen"):
        plan({"variants": {" ": {}}})


@pytest.mark.parametrize("text", ["title: 'a\x00b'", "title: \udcfc"])
def test_a_character_that_yaml_does_not_allow_is_named(text):
    with pytest.raises(ConfigError, match="not valid YAML: holds the character '"):
        parse(text)
