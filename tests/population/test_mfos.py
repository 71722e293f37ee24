"""M-FOS as an update rule: what it plays, that it is trained on what it will meet, and that training pays."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import shaping
from shaping import envs
from shaping.config.errors import ConfigError
from shaping.config.plan import plan
from shaping.objectives import exact
from shaping.policies import memory_one, tabular
from shaping.population.mfos import _of_logits, mfos, opponents_of, trials
from shaping.rules.gradients import gradient
from tests.compiling import quickly

POLICIES = (tabular(5),) * 2
GAME = exact(envs.make("ipd"), POLICIES)
TINY = {"hidden": 3, "population": 4, "trials": 2, "steps": 3}
SMALL = {"rule": "mfos", "generations": 1, **TINY}


def untrained(rule, player, seed=7):
    return rule.prepare(GAME, POLICIES, player, rule.untrained(rule.settings), jax.random.key(seed), jnp.float32)


def played(network, tables, player):
    """P(cooperate | state) that a meta-policy plays next, in NumPy."""
    seen = np.concatenate([tables[player], tables[1 - player]])
    hidden = np.tanh(seen @ network["hidden_0"]["kernel"] + network["hidden_0"]["bias"])
    mean = hidden @ network["mean"]["kernel"] + network["mean"]["bias"]
    return 1 / (1 + np.exp(-2 * mean))


@pytest.mark.parametrize("player", [0, 1])
def test_a_step_of_length_one_plays_what_the_meta_policy_says(player):
    rule = mfos(**TINY)
    thetas = [jax.random.normal(jax.random.key(i), (5,)) for i in range(2)]
    learned = untrained(rule, player)
    after = thetas[player] + rule.direction(GAME, thetas, player, None, learned)
    network = jax.tree.map(lambda leaf: np.asarray(leaf, float), learned.network)
    tables = [1 / (1 + np.exp(-np.asarray(theta, float))) for theta in thetas]
    np.testing.assert_allclose(jax.nn.sigmoid(after), played(network, tables, player), rtol=1e-5)


def test_a_trial_is_a_match_against_the_same_learner():
    player, other = 1, 0
    rule = mfos(lookahead_rate=0.7, **TINY)
    learned = untrained(rule, player)

    def both(key):
        game = trials(GAME, POLICIES, player, rule.settings)
        params = opponents_of(GAME, POLICIES, player, rule.settings, key, jnp.float32)
        thetas: list = [(), ()]
        thetas[player] = learned.network
        batch = game.sampler(params).play(thetas, key)
        first = batch.observations[0, 0, player].reshape(2, 5)
        now: list = [None, None]
        now[player], now[other] = (jnp.log(row) - jnp.log1p(-row) for row in first)
        rows = []
        for _ in range(TINY["steps"]):
            rows.append((jnp.stack([jax.nn.sigmoid(theta) for theta in now]), 0.04 * jnp.stack(list(GAME(now)[0]))))
            step: list = [None, None]
            step[player] = rule.direction(GAME, now, player, None, learned)
            step[other] = 0.7 * gradient(GAME, now, other, other)
            now = [theta + change for theta, change in zip(now, step, strict=True)]
        return (batch.actions[:, 0], 0.04 * batch.rewards[:, 0]), rows

    (actions, rewards), rows = quickly(both)(jax.random.key(3))
    np.testing.assert_allclose(actions, [row[0] for row in rows], atol=1e-5)
    np.testing.assert_allclose(rewards, [row[1] for row in rows], rtol=1e-4)


def test_a_strategy_in_the_other_seat_is_seen_with_its_probabilities():
    rule = mfos(**TINY)
    policies = (tabular(5), memory_one(5))
    game, tables = exact(envs.make("ipd"), policies), [np.full(5, 0.3), np.array([1.0, 1, 0, 1, 0])]
    learned = rule.prepare(game, policies, 0, rule.untrained(rule.settings), jax.random.key(7), jnp.float32)
    thetas = [jnp.log(0.3 / 0.7) * jnp.ones(5), jnp.asarray(tables[1], jnp.float32)]
    after = thetas[0] + rule.direction(game, thetas, 0, None, learned)
    network = jax.tree.map(lambda leaf: np.asarray(leaf, float), learned.network)
    np.testing.assert_allclose(jax.nn.sigmoid(after), played(network, tables, 0), rtol=1e-5)


def test_in_the_seat_of_a_strategy_learners_of_logits_are_met():
    thetas = [jax.random.normal(jax.random.key(i), (5,)) for i in range(2)]
    policies = (tabular(5), memory_one(5))
    found = _of_logits(exact(envs.make("ipd"), policies), policies)(thetas)[0]
    np.testing.assert_allclose(found, GAME(thetas)[0], rtol=1e-5)


@pytest.mark.slow
def test_trained_meta_policies_earn_more_than_the_best_policy_that_never_changes():
    trained, naive = mfos(generations=150), shaping.naive()
    found = shaping.train(envs.make("ipd"), [trained, naive], matches=2, updates=100)["value_trajectory_mean"]
    # -0.647: the best constant policy that evolution strategies find, in 2,000 matches (docs/trials.md, mfos_exact).
    assert (found.isel(player=0) > -0.647).all() and (found.isel(player=1) < -1.8).all()


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_leagues_and_populations_have_it_beside_other_learners(tmp_path):
    learners = {"tit for tat": {"strategy": "tft"}, "M-FOS": SMALL | {"against": {"M-FOS": {"opponents": "self"}}}}
    config = {"game": "ipd", "matches": 2, "updates": 2, "league": {"learners": learners}}
    league = shaping.run(config, out=tmp_path / "league", say=lambda line: None)
    pairs = json.loads((league / "league.json").read_text())["pairs"]
    assert len(pairs) == 4 and all(np.isfinite(pair["value"]["mean"]) for pair in pairs)
    types = {"naive": {"share": 0.5, "rule": "naive"}, "M-FOS": SMALL, "D": {"share": 0.25, "strategy": "alld"}}
    population = {"size": 4, "types": types, "selection": {"kind": "fermi", "events": 1, "mutation": 0.5}}
    config = {"game": {"name": "chicken", "horizon": 1}, "population": population, "generations": 3, "matches": 1}
    record = shaping.load(shaping.run(config, out=tmp_path / "population", say=lambda line: None)).record
    assert np.isfinite(record["theta_final"]).all() and (record["diverged"] == 0).all()


@pytest.mark.parametrize(
    "opponents", ["self", *(pytest.param(one, marks=pytest.mark.slow) for one in ("lola", "sos", "m_maml"))]
)
def test_whoever_it_is_trained_against_it_plays_a_match(opponents):
    rule = mfos(opponents, generations=1, hidden=1, population=2, trials=1, steps=1)
    record = shaping.train(envs.make("chicken", horizon=1), rule, matches=1, updates=2)
    assert np.isfinite(record["value"]).all() and record["diverged_at"] == -1
    assert np.abs(record["theta_final"] - record["theta_initial"]).min() > 0


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"objective": "dice"}, "players.*.rule: mfos needs exact returns of two players whose policies are tables"),
        ({"game": {"name": "contribution", "num_players": 3}}, "mfos needs exact returns of two players"),
        ({"policy": {"kind": "mlp"}}, "players.*.rule: mfos needs exact returns of two players whose policies"),
        ({"game": "tandem"}, "players.*.rule: mfos needs exact returns of two players whose policies are tables"),
        ({"players": {"rule": "mfos", "opponents": "wise"}}, "players.*.opponents: 'wise' is not allowed"),
        ({"players": {"rule": "mfos", "population": 3}}, "population is 3; allowed: an even number"),
    ],
)
def test_bad_input_is_refused_in_one_line(change, told):
    with pytest.raises(ConfigError) as error:
        plan({"game": "ipd", "players": {"rule": "mfos"}} | change)
    assert told in str(error.value) and "\n" not in str(error.value)


def test_other_games_are_refused_in_programs_too():
    rule, three = mfos(**TINY), (tabular(9),) * 3
    for policies in (three, (tabular(3, num_actions=3),) * 2):
        with pytest.raises(ValueError, match="mfos needs exact returns of two players"):
            rule.prepare(GAME, policies, 0, rule.settings, jax.random.key(0), jnp.float32)
    with pytest.raises(ValueError, match="opponents is 'wise'; allowed: naive, lola, sos, m_maml, self"):
        mfos("wise")
