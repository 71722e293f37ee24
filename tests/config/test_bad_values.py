"""The command refuses what it cannot run: one line, exit status 2, nothing written.

It is mostly one table of mistakes, which makes this file longer than others.
"""

import re

import pytest
import yaml

from shaping.cli import main

BASE = {
    "game": {"name": "ipd", "discount": 0.9},
    "players": [{"rule": "lola", "lookahead_rate": 1.0}, {"rule": "naive"}],
    "matches": 2,
    "updates": 2,
}
PAYOFFS = [[[1, 2], [3, 4]], [[1, 2], [3, 4]]]


@pytest.fixture
def refusal(tmp_path, monkeypatch, capsys):
    """Runs a configuration that must be refused and returns the line, after looking that nothing was written."""
    monkeypatch.setattr("shaping.runtime.devices.prepare_process", lambda: None)
    monkeypatch.setattr("shaping.runtime.devices.compile_for_scalars", lambda: None)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bad.yaml").write_text(yaml.safe_dump(BASE))

    def run(*overrides):
        arguments = [part for override in overrides for part in ("--set", override)]
        assert main(["run", "bad.yaml", "--out", "out/here", *arguments]) == 2
        written = capsys.readouterr()
        assert written.out == ""
        assert written.err.startswith("shaping: ") and written.err.endswith("\n")
        assert written.err.count("\n") == 1
        assert [path.name for path in tmp_path.iterdir()] == ["bad.yaml"]
        return written.err.removeprefix("shaping: ").rstrip()

    return run


# The override, the key the line begins with, the value it shows, and what it says is allowed.
VALUES = [
    ("matches=0", "matches", "0", "an integer, at least 1"),
    ("matches=1.5", "matches", "1.5", "an integer"),
    ("matches=many", "matches", "'many'", "an integer"),
    ("matches=true", "matches", "True", "an integer"),
    ("matches=null", "matches", "None", "an integer"),
    ("updates=-1", "updates", "-1", "at least 0"),
    ("record_every=0", "record_every", "0", "at least 1"),
    ("seed=-1", "seed", "-1", "at least 0"),
    ("seed=3000000000", "seed", "3000000000", "at most"),
    ("memory_gib=0", "memory_gib", "0", "above 0"),
    ("memory_gib=.inf", "memory_gib", "inf", "a number"),
    ("precision=float16", "precision", "'float16'", "float32 or float64"),
    ("game.discount=1", "game.discount", "1", "at least 0 and below 1"),
    ("game.discount=1.2", "game.discount", "1.2", "below 1"),
    ("game.discount=-.1", "game.discount", "-0.1", "at least 0"),
    ("game.discount=[0.9]", "game.discount", "[0.9]", "a number"),
    ("game.discount='0.9'", "game.discount", "'0.9'", "a number"),
    ("game.discount=2020-01-01", "game.discount", "2020-01-01", "a number"),
    ("game.temptation=.nan", "game.temptation", "nan", "a finite number"),
    ("game.noise=2", "game.noise", "2", "at least 0 and at most 1"),
    ("game.noise=[0.1]", "game.noise", "[0.1]", "a list of 2"),
    ("game.noise=[0.1, x]", "game.noise.1", "'x'", "a number"),
    ("game.horizon=0", "game.horizon", "0", "at least 1"),
    ("game.horizon=2.5", "game.horizon", "2.5", "an integer"),
    ("game.name=[ipd]", "game.name", "['ipd']", "one of ipd"),
    (f"game={{name: [ipd], payoffs: {PAYOFFS}}}", "game.name", "['ipd']", "text, or left out"),
    ("game=7", "game", "7", "a mapping"),
    ("game={discount: 0.9}", "game.name", "missing", "one of ipd"),
    (f"game={{payoffs: {PAYOFFS[0]}}}", "game.payoffs", "[[1, 2], [3, 4]]", "payoffs[player][action_0]"),
    ("game={payoffs: 3}", "game.payoffs", "3", "payoffs[player][action_0]"),
    (f"game={{payoffs: {[*PAYOFFS, PAYOFFS[0]]}}}", "game.payoffs", "", "payoffs[player][action_0]"),
    ("game={payoffs: [[[1, 2], [3, 4]], [[1, 2], [3]]]}", "game.payoffs", "[3]", "2 to 10 actions each"),
    ("game={payoffs: [[[1, 2], [3, x]], [[1, 2], [3, 4]]]}", "game.payoffs.0.1.1", "'x'", "must be a finite number"),
    (
        "game={payoffs: [[[1, 2], [3, .inf]], [[1, 2], [3, 4]]]}",
        "game.payoffs.0.1.1",
        "inf",
        "a finite number",
    ),
    ("game={name: contribution, num_players: 7}", "game.num_players", "7", "at most 6"),
    ("game={name: contribution, num_players: 3}", "players", "lola", "a list of 3"),
    ("players=[]", "players", "[]", "a list of 2"),
    ("players=3", "players", "3", "a list of 2"),
    ("players.0=3", "players.0", "3", "a mapping"),
    ("players.0.rule=[lola]", "players.0.rule", "['lola']", "one of "),
    ("players.0.rule={name: lola}", "players.0.rule", "{'name': 'lola'}", "one of "),
    ("players.0.step_size=-1", "players.0.step_size", "-1", "at least 0"),
    ("players.0.lookahead_rate=-0.5", "players.0.lookahead_rate", "-0.5", "at least 0"),
    ("players.0.lookahead_rate=.inf", "players.0.lookahead_rate", "inf", "a number"),
    ("players.0.lookaheads=2", "players.0.lookaheads", "2", "must be 1 unless variant is exact"),
    ("players.0.lookaheads=0", "players.0.lookaheads", "0", "at least 1"),
    ("players.0.variant=3", "players.0.variant", "3", "original or taylor or exact"),
    ("optimizer=3", "optimizer", "3", "a mapping"),
    ("optimizer={name: adam, b1: x}", "optimizer.b1", "'x'", "a number, above -1 and below 1"),
    ("optimizer={name: adam, b1: 5}", "optimizer.b1", "5", "a number, above -1 and below 1"),
    ("optimizer={name: adam, eps: -1}", "optimizer.eps", "-1", "a number, at least 0"),
    ("optimizer={name: rmsprop, decay: 1}", "optimizer.decay", "1", "a number, at least 0 and below 1"),
    ("optimizer={name: signum, beta: x}", "optimizer.beta", "'x'", "a finite number"),
    ("optimizer={name: adam, nesterov: 1}", "optimizer.nesterov", "1", "true or false"),
    ("optimizer={name: [adam]}", "optimizer.name", "['adam']", "one of"),
    ("policy.kind=gru", "policy.kind", "'gru'", "tabular"),
    ("policy.state_view=mine", "policy.state_view", "'mine'", "own or shared"),
    ("policy.init=normal", "policy.init", "'normal'", "{normal: standard deviation}"),
    ("policy.init={normal: -1}", "policy.init.normal", "-1", "at least 0"),
    ("policy.init={zeros: false}", "policy.init.zeros", "False", "true"),
    (
        "policy.init={values: [[0, 0, 0, 0, 0]]}",
        "policy.init.values",
        "[[0, 0, 0, 0, 0]]",
        "2 lists of 5 numbers",
    ),
    ("policy.init={values: [[0], [0]]}", "policy.init.values", "[0]", "2 lists of 5 numbers"),
    ("policy.init={values: [[0, 0, 0, 0, 0], [0, 0, 0, 0, x]]}", "policy.init.values.1.4", "'x'", "a finite number"),
    ("policy.init={uniform: -1}", "policy.init.uniform", "-1", "at least 0"),
    ("policy.memory=0", "policy.memory", "0", "an integer, at least 1 and at most 3"),
    ("policy.memory=4", "policy.memory", "4", "at most 3"),
    ("policy.memory=1.5", "policy.memory", "1.5", "an integer"),
    ("policy={kind: mlp, hidden: []}", "policy.hidden", "[]", "a list of widths, each an integer, at least 1"),
    ("policy={kind: mlp, hidden: 16}", "policy.hidden", "16", "a list of widths"),
    ("policy={kind: mlp, hidden: [16, 0]}", "policy.hidden.1", "0", "at least 1"),
    (f"policy={{kind: mlp, hidden: {[1] * 101}}}", "policy.hidden", "[1, 1,", "a list of at most 100 widths"),
    ("policy={kind: mlp, hidden: [1.5]}", "policy.hidden.0", "1.5", "an integer"),
    ("policy={kind: mlp, init: {fan_in: -1}}", "policy.init.fan_in", "-1", "at least 0"),
    ("policy={kind: mlp, init: 1}", "policy.init", "1", "{fan_in: scale} or {uniform: half width}"),
    ("record=policies", "record", "'policies'", "a list of some of policies, consistency"),
    ("record=[policies, polices]", "record", "'polices'", "some of policies, consistency"),
    ("record=[3]", "record", "3", "some of policies, consistency"),
    ("game={name: tandem, num_players: 7}", "game.num_players", "7", "at least 2 and at most 6"),
    ("game={name: tandem, num_players: 1}", "game.num_players", "1", "at least 2"),
    ("game={name: tandem, num_players: 2.5}", "game.num_players", "2.5", "an integer"),
    ("game={name: bilinear, coupling: x}", "game.coupling", "'x'", "a finite number"),
    ("objective={kind: sampled}", "objective.kind", "'sampled'", "exact"),
    ("sweep=3", "sweep", "3", "a mapping"),
    ("sweep.game.discount=0.9", "sweep.game.discount", "0.9", "a list of values, {linspace"),
    ("sweep.game.discount=[]", "sweep.game.discount", "[]", "at least one value"),
    ("sweep.game.discount=[0.5, 1.0]", "sweep.game.discount", "1.0", "below 1"),
    ("sweep.game.discount=[0.5, x]", "sweep.game.discount", "'x'", "a number"),
    ("sweep.game.discount={linspace: [0, 1, 3]}", "sweep.game.discount", "1.0", "below 1"),
    ("sweep.game.discount={linspace: [0, 0.9]}", "sweep.game.discount.linspace", "[0, 0.9]", "a list of 3"),
    ("sweep.game.discount={linspace: [0, 0.9, 0]}", "sweep.game.discount.linspace", "0", "at least 1"),
    (
        "sweep.players.*.step_size={logspace: [0, 1, 3]}",
        "sweep.players.*.step_size.logspace",
        "[0, 1, 3]",
        "positive",
    ),
    (
        "sweep.players.*.step_size={uniform: [2, 1]}",
        "sweep.players.*.step_size.uniform",
        "[2, 1]",
        "low below high",
    ),
    ("sweep.players.*.step_size={uniform: [-1, 1]}", "sweep.players.*.step_size", "-1", "at least 0"),
    (
        "sweep.players.*.step_size={loguniform: [0, 1]}",
        "sweep.players.*.step_size.loguniform",
        "[0, 1]",
        "above 0",
    ),
    ("sweep.game.discount={uniform: [0, 1.5]}", "sweep.game.discount", "1.5", "at most 1"),
    ("sweep.game.noise={normal: [0, -1]}", "sweep.game.noise.normal", "[0, -1]", "at least 0"),
    ("sweep.players.0.step_size=[[1, 2]]", "sweep.players.0.step_size", "[1, 2]", "a number"),
    ("sweep.players.0.variant=[exact, foo]", "players.0.variant", "'foo'", "original or taylor or exact"),
    ("sweep.game.horizon=[null, 0]", "game.horizon", "0", "at least 1"),
    ("sweep.seed=[0.5]", "sweep.seed", "0.5", "an integer"),
    ("tie=3", "tie", "3", "a list of lists"),
    ("tie=[[seed]]", "tie", "['seed']", "at least two"),
    ("variants=3", "variants", "3", "a mapping"),
    ("variants={a: 3}", "variants.a", "3", "a mapping"),
    ("published=3", "published", "3", "a list"),
    ("published=[3]", "published.0", "3", "a mapping"),
    ("published=[{metric: value_mean}]", "published.0.value", "None", "a finite number"),
    ("published=[{metric: value_mean, value: about -1}]", "published.0.value", "'about -1'", "a finite number"),
    ("published=[{metric: value_mean, value: 1, runs: 0}]", "published.0.runs", "0", "at least 1"),
    ("published=[{metric: value_mean, value: 1, matches: 0}]", "published.0.matches", "0", "at least 1"),
    ("published=[{metric: value_mean, value: 1, known: 3}]", "published.0.known", "3", "text"),
    ("quick=true", "quick", "True", "a mapping of matches and variants, or false"),
    ("quick={matches: 0}", "quick.matches", "0", "at least 1"),
    ("quick={variants: [a]}", "quick.variants", "['a']", "there are no variants"),
]


@pytest.mark.parametrize(("override", "key", "value", "allowed"), VALUES, ids=[case[0] for case in VALUES])
def test_a_bad_value_is_refused_with_key_value_and_what_is_allowed(refusal, override, key, value, allowed):
    line = refusal(override)
    assert re.match(rf"{re.escape(key)}[ :]", line)
    assert value in line and allowed in line


# What is unknown, and the nearest known.
UNKNOWN = [
    ("gmae=1", "gmae", "game"),
    ("game.tempttion=1", "game.tempttion", "game.temptation"),
    ("game.name=ipdd", "game.name", "ipd"),
    ("players.0.lookahed_rate=1", "players.0.lookahed_rate", "players.0.lookahead_rate"),
    ("players.0.rule=lolla", "players.0.rule", "lola"),
    ("players.0.variant=tayler", "players.0.variant", "taylor"),
    ("optimizer=adamm", "optimizer.name", "adam"),
    ("optimizer={name: adam, epss: 1}", "optimizer.epss", "optimizer.eps"),
    ("policy.state_veiw=own", "policy.state_veiw", "policy.state_view"),
    ("policy.init={valeus: [[1]]}", "policy.init.valeus", "policy.init.values"),
    ("policy.memroy=2", "policy.memroy", "policy.memory"),
    ("policy={kind: mlp, hiden: [16]}", "policy.hiden", "policy.hidden"),
    ("policy={kind: tabulra}", "policy.kind", "tabular"),
    ("policy.init={unifrm: 1}", "policy.init.unifrm", "policy.init.uniform"),
    ("policy={kind: mlp, init: {normal: 1}}", "policy.init.normal", "policy.init.uniform"),
    ("game={name: balduzzi, copling: 1}", "game.copling", "game.coupling"),
    ("game=tandm", "game.name", "tandem"),
    ("published=[{metric: tft_fond, value: 1}]", "published.0.metric", "tft_found"),
    ("objective={knid: exact}", "objective.knid", "objective.kind"),
    ("sweep.game.discont=[0.9]", "game.discont", "game.discount"),
    ("sweep.players.*.lookahed_rate=[1]", "players.*.lookahed_rate", "players.*.lookahead_rate"),
    ("sweep.players.0.step_siez={uniform: [0, 1]}", "players.0.step_siez", "players.0.step_size"),
    (
        "sweep.game.discount={linspac: [0, 0.9, 2]}",
        "sweep.game.discount.linspac",
        "sweep.game.discount.linspace",
    ),
    ("sweep.players.0.rule=[lola, nave]", "players.0.rule", "naive"),
    ("variants={a: {plyers: {rule: naive}}}", "variants.a.plyers", "players"),
    ("published=[{metric: value_mean, value: 1, plyer: 0}]", "published.0.plyer", "published.0.player"),
    ("quick={match: 3}", "quick.match", "quick.matches"),
]


@pytest.mark.parametrize(("override", "key", "nearest"), UNKNOWN, ids=[case[0] for case in UNKNOWN])
def test_an_unknown_name_is_refused_with_the_nearest_known(refusal, override, key, nearest):
    line = refusal(override)
    assert line.startswith(f"{key}: ")
    assert line.endswith(f"(nearest: {nearest})")


# The key and a word of the reason, where there is no value to show.
OTHERS = [
    (["players.1.lookahead_rate=1"], "players.1.lookahead_rate", "unknown key of naive; it belongs to cgd, cola,"),
    (["game.num_players=3"], "game.num_players", "unknown key of ipd; it belongs to contribution, tandem"),
    (["game.payoffs=[[[1, 2], [3, 4]], [[1, 2], [3, 4]]]"], "game.payoffs", "leave out game.name"),
    ([f"game={{payoffs: {PAYOFFS}, win: 1}}"], "game.win", "unknown key"),
    (["optimizer={name: adam, learning_rate: 1}"], "optimizer.learning_rate", "step_size"),
    (["learning_rate=1"], "learning_rate", "players.*.step_size"),
    (["step_size=1"], "step_size", "players.*.step_size"),
    (["optimizer={name: sgd, learning_rate: 1}"], "optimizer.learning_rate", "step_size"),
    (["sweep.updates=[1]"], "sweep.updates", "cannot be swept"),
    (["sweep.matches=[1]"], "sweep.matches", "cannot be swept"),
    (["sweep.record_every=[1]"], "sweep.record_every", "cannot be swept"),
    (["sweep.precision=[float32]"], "sweep.precision", "cannot be swept"),
    (["sweep.foo=[1]"], "foo", "unknown key to sweep over"),
    (
        ["sweep.players.*.clip=[0.1]"],
        "players.*.clip",
        "unknown key to sweep over; it belongs to",
    ),
    (["game=kuhn_poker", "players={strategy: tft}"], "players.*.strategy", "kuhn_poker has no strategies"),
    (["sweep.title=[a]"], "title", "unknown key to sweep over"),
    (["sweep.seed={uniform: [0, 1]}"], "sweep.seed", "cannot be drawn"),
    (["sweep.players.0.rule={uniform: [0, 1]}"], "sweep.players.0.rule", "cannot be drawn"),
    (
        ["sweep.players.*.step_size={normal: [0, 1]}"],
        "sweep.players.*.step_size.normal",
        "can leave the allowed range",
    ),
    (["sweep.seed=[0, 1]", "tie=[[seed, game.discount]]"], "game.discount", "only swept keys"),
    (
        ["sweep.seed=[0, 1]", "sweep.game.discount=[0.1, 0.2, 0.3]", "tie=[[seed, game.discount]]"],
        "tie",
        "2, 3",
    ),
    (
        ["sweep.seed=[0, 1]", "sweep.game.discount={uniform: [0, 0.5]}", "tie=[[seed, game.discount]]"],
        "tie",
        "drawn for every match",
    ),
    (
        ["sweep.seed=[0, 1]", "sweep.players.0.variant=[exact, taylor]", "tie=[[seed, players.0.variant]]"],
        "tie",
        "mix numbers with keys that shape the program",
    ),
    (
        [
            "sweep.seed=[0, 1]",
            "sweep.game.discount=[0, 0.5]",
            "tie=[[seed, game.discount], [seed, game.discount]]",
        ],
        "tie",
        "twice",
    ),
    (["variants={a: {matches: 3}}"], "variants.a.matches", "in a variant"),
    (["variants={a: {sweep: {seed: [1]}}}"], "variants.a.sweep", "in a variant"),
    (["variants={a: {}, b: {players: {rule: bogus}}}"], "players.*.rule", "(variant b)"),
    (["variants={a: {players: {rule: naive}}}"], "players", "every variant replaces it"),
    (["policy.kind=preconditioned"], "policy.matrix", "5 rows of 5 numbers"),
    (["policy={kind: preconditioned, matrix: [[1, 0], [0, 1]]}"], "policy.matrix", "5 rows of 5 numbers"),
    (["policy.matrix=[[1]]"], "policy.matrix", "unknown key of tabular; it belongs to preconditioned"),
    (["policy.hidden=[16]"], "policy.hidden", "unknown key"),
    (["policy={kind: mlp, memory: 2}"], "policy.memory", "unknown key"),
    (["policy.memory=2", "game.horizon=1"], "policy.memory", "two players play more than one round"),
    (
        ["policy.memory=2", "game={name: contribution, num_players: 3}", "players={rule: naive}"],
        "policy.memory",
        "two players play more than one round",
    ),
    (["policy.kind=mlp", "game.horizon=1"], "policy.kind", "one-shot game; use tabular"),
    (
        ["game=tandem", "policy.memory=2"],
        "policy.memory",
        "unknown key of parameters; allowed: policy.kind",
    ),
    (["game=tandem", "policy={matrix: [[1]]}"], "policy.matrix", "unknown key of parameters"),
    (["game=tandem", "policy.state_view=own"], "policy.state_view", "unknown key of parameters"),
    (["game=tandem", "policy.kind=mlp"], "policy.kind", "must be parameters"),
    (["game=tandem", "policy.init={fan_in: 1}"], "policy.init.fan_in", "unknown key"),
    (["game=tandem", "policy.init={values: [[1], [1, 2]]}"], "policy.init.values", "2 lists of 1 numbers"),
    (["game={name: tandem, discount: 0.9}"], "game.discount", "allowed: game.name, game.num_players"),
    (["game={name: hamiltonian, noise: 0.1}"], "game.noise", "allowed: game.name"),
    ([f"game={{name: tandem, payoffs: {PAYOFFS}}}"], "game.payoffs", "leave out game.name"),
    (["game=tandem", "players={rule: pola}"], "players.*.rule", "between policies, which tandem does not have"),
    (["game=tandem", "record=[policies]"], "record", "policies are those of matrix games; tandem has none"),
    (["record=[consistency]"], "record", "needs a lookahead_rate; players.1.rule naive has none"),
    (["record=[consistency]", "players={rule: consensus}"], "record", "players.0.rule consensus has none"),
    (["record=[consistency]", "players={rule: pola}"], "record", "can be differentiated, not players.0.rule pola"),
    (["players={rule: coala}", "objective={kind: dice, batch: 8}"], "players.0.rule", "coala learns over trials"),
    (["sweep.players.7.step_size=[1]"], "players.7.step_size", "unknown key"),
    (["players.7.step_size=1"], "players.7.step_size", "0 to 1"),
    (["matches"], "--set matches", "key=value"),
]


@pytest.mark.parametrize(("overrides", "key", "reason"), OTHERS, ids=[" ".join(case[0]) for case in OTHERS])
def test_what_does_not_fit_together_is_refused_by_its_key(refusal, overrides, key, reason):
    line = refusal(*overrides)
    assert re.match(rf"{re.escape(key)}[ :]", line) and reason in line


def test_a_discount_of_one_is_allowed_only_with_a_finite_horizon(refusal, capsys):
    refusal("game.discount=1")
    refusal("sweep.game.discount=[1]", "sweep.game.horizon=[5, null]")
    assert main(["run", "bad.yaml", "--dry-run", "--set", "game.discount=1", "--set", "game.horizon=5"]) == 0


@pytest.mark.parametrize("content", ["- a\n", "a: [1\n", "matches: 2\nmatches: 3\n", "\x00"])
def test_a_file_that_cannot_be_read_as_a_configuration_is_refused(refusal, tmp_path, content):
    (tmp_path / "bad.yaml").write_text(content)
    refusal()


def test_a_missing_file_is_refused(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("shaping.runtime.devices.prepare_process", lambda: None)
    monkeypatch.setattr("shaping.runtime.devices.compile_for_scalars", lambda: None)
    monkeypatch.chdir(tmp_path)
    assert main(["run", "lola_tabel.yaml"]) == 2
    written = capsys.readouterr()
    assert written.err.count("\n") == 1 and "lola_tabel.yaml" in written.err and "lola_table" in written.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", ["folder", "file", "under a file"])
def test_an_output_place_that_is_taken_is_refused_and_left_as_it_was(tmp_path, monkeypatch, capsys, kind):
    monkeypatch.setattr("shaping.runtime.devices.prepare_process", lambda: None)
    monkeypatch.setattr("shaping.runtime.devices.compile_for_scalars", lambda: None)
    (tmp_path / "good.yaml").write_text(yaml.safe_dump(BASE))
    out = tmp_path / "out"
    if kind == "folder":
        out.mkdir()
        kept = out / "record.zarr"
    else:
        kept = out
    kept.write_text("mine")
    target = out / "deeper" if kind == "under a file" else out
    assert main(["run", str(tmp_path / "good.yaml"), "--out", str(target)]) == 2
    line = capsys.readouterr().err
    assert line.count("\n") == 1 and str(target) in line
    assert kept.read_text() == "mine"
    assert sorted(path.name for path in tmp_path.rglob("*")) == sorted({"good.yaml", "out", kept.name})
