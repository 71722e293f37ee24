"""Sampled games from configuration to report, and as a library with a user's own policies and environment."""

from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import shaping
from shaping.config import build
from shaping.config.plan import plan
from shaping.envs.spaces import Discrete
from shaping.experiment import prepare
from shaping.policies import Policy
from shaping.policies.distributions import categorical
from shaping.population.random_keys import match_key, use
from tests.interrupting import assert_same, finals, stopped
from tests.runs import cell, played, summary

MODELS = {
    "game": {"name": "ipd", "discount": 0.9},
    "players": [
        {
            "rule": "lola",
            "variant": "original",
            "lookahead_rate": 0.5,
            "opponent_model": {"members": 2, "trust": 0.5, "steps": 2, "first_steps": 3, "penalty": 0.0},
        },
        {"rule": "naive"},
    ],
    "optimizer": "adam",
    "objective": {"kind": "loaded_dice", "batch": 4, "horizon": 3, "evaluation": 8},
    "matches": 2,
    "updates": 2,
    "record": ["policies", "shaping"],
    "checkpoint": {"every_updates": 1, "every_s": None},
    "sweep": {"objective.gae_lambda": [0.5, 1.0], "players.0.opponent_model.penalty": [0.0, 5.0]},
}


@pytest.fixture(scope="module")
def models(tmp_path_factory, without_pictures):
    lines: list[str] = []
    folder = shaping.run(MODELS, tmp_path_factory.mktemp("models") / "run", say=lines.append)
    return folder, played(folder), lines


def test_numbers_of_critics_and_models_sweep_in_one_program(models):
    _, record, lines = models
    assert "4 cells x 2 matches = 8 matches" in lines[0]
    assert "group 1 of 1: 8 matches (lola original v naive)" in lines[1]
    np.testing.assert_array_equal(record["objective.gae_lambda"], np.repeat([0.5, 1.0], 4))
    np.testing.assert_array_equal(record["players.0.opponent_model.penalty"], np.tile([0, 0, 5, 5], 2))
    final = record["theta_final"].values.reshape(4, 2, -1)
    initial = record["theta_initial"].values.reshape(4, 2, -1)
    np.testing.assert_array_equal(initial[0], initial[3])
    assert len({final[k].tobytes() for k in range(4)}) == 4, "both numbers are seen"


def test_the_record_holds_what_play_showed_and_what_learners_say_of_themselves(models):
    folder, record, _ = models
    for name in ("value", "value_exact", "reward_per_step", "entropy", "model_error", "model_trust"):
        assert record[name].dims == ("match", "update", "player"), name
        known = record[name].isel(player=slice(1)) if name.startswith("model_") else record[name]
        assert np.all(np.isfinite(known)), name
    assert record["policy_trajectory"].dims == ("match", "update", "player", "state")
    assert record["policy"].dims == ("match", "player", "state")
    np.testing.assert_allclose(record["policy_trajectory"].isel(update=-1), record["policy"], rtol=1e-6)
    assert record["opponent"].values.tolist() == ["ALLC", "ALLD", "TFT"]
    against = record["reward_against"].transpose("match", "player", "opponent").values
    assert np.all(np.isfinite(against)) and np.all(against[..., 0] > against[..., 1])
    error, trust = (record[name][..., 0] for name in ("model_error", "model_trust"))
    assert np.all(error > 0) and np.all((trust > 0) & (trust <= 1))
    # The second player has no model.
    assert np.all(np.isnan(record["model_error"][..., 1]))
    assert np.all(record["diverged_at"] == -1)
    assert np.abs(record["value"] - record["value_exact"]).max() < 0.5
    assert len(summary(folder)["cells"]) == 4
    assert (folder / "report" / "index.html").is_file()


def test_shaping_terms_and_their_spread_over_samples_are_recorded(models):
    _, record, _ = models
    for name in ("shaping_norm", "shaping_sd"):
        assert record[name].dims == ("match", "update", "player"), name
        assert np.all(np.isfinite(record[name][..., 0])) and np.all(np.isnan(record[name][..., 1])), name
    assert np.all(record["shaping_sd"][..., 0] > 0)


def test_critics_opponent_models_and_optimisers_are_saved_and_come_back(models, tmp_path):
    whole, _, _ = models
    leaves = {path for told in finals(whole).values() for path in told["digests"]}
    assert {"critic", "model", "optimizer"} <= {word for path in leaves for word in path.replace("[", ".").split(".")}
    assert_same(whole, shaping.resume(stopped(MODELS, tmp_path / "run", 1)))


SIDES = {
    "game": {"name": "ipd", "discount": 0.9, "horizon": 3},
    "players": {"rule": "lola", "lookahead_rate": 0.5},
    "matches": 2,
    "updates": 2,
    "record": ["policies"],
    "variants": {
        "exact": {"objective": "exact"},
        "dice": {"objective": {"kind": "dice", "batch": 256}},
    },
}


@pytest.mark.slow
def test_exact_and_sampled_returns_stand_side_by_side(tmp_path):
    folder = shaping.run(SIDES, tmp_path / "run")
    record = played(folder)
    one, other = cell(record, "exact"), cell(record, "dice")
    np.testing.assert_array_equal(one["theta_initial"], other["theta_initial"])
    assert np.all(np.isnan(one["value_exact"])) and np.all(np.isfinite(other["value_exact"]))
    # The same first value in closed form, and about the same way from there.
    np.testing.assert_allclose(one["value"].isel(update=0), other["value_exact"].isel(update=0), rtol=1e-5)
    steps = [(r["theta_final"] - r["theta_initial"]).values.ravel() for r in (one, other)]
    assert np.corrcoef(*steps)[0, 1] > 0.8
    assert [entry["finite"] for entry in summary(folder)["cells"]] == [2, 2]
    assert (folder / "report" / "index.html").is_file()


def test_sizes_of_an_estimate_make_programs_of_their_own():
    raw = {**MODELS, "sweep": {"objective.batch": [4, 8], "objective.gae_lambda": [0.5, 1.0]}}
    groups = prepare(raw).groups
    assert [len(group.indices) for group in groups] == [4, 4]


COINS = {
    "game": {"name": "coin_game", "horizon": 4, "discount": 0.9},
    "policy": {"kind": "gru", "units": 3, "critic": "separate"},
    "players": [
        {"rule": "lola", "variant": "original", "lookahead_rate": 0.5},
        {"rule": "ppo", "epochs": 2, "minibatches": 2, "step_size": 0.5},
    ],
    "objective": {"kind": "dice", "batch": 4},
    "optimizer": "adam",
    "matches": 2,
    "updates": 2,
}


@pytest.mark.slow
def test_recurrent_lola_plays_ppo_for_coins_and_trained_policies_play_again_as_they_did(tmp_path):
    folder = shaping.run(COINS, tmp_path / "run")
    record = played(folder)
    assert np.all(record["diverged_at"] == -1) and np.all(np.isfinite(record["value"]))
    assert np.all((record["theta_final"] != record["theta_initial"]).mean("parameter") > 0.5)
    assert record["opponent"].values.tolist() == ["ALLC", "ALLD", "TFT"]
    assert record["pickups"].dims == ("match", "player", "colour")
    (entry,) = summary(folder)["cells"]
    assert entry["finite"] == 2 and (folder / "report" / "index.html").is_file()

    run = shaping.load(folder)
    (block,) = plan(run.config).blocks
    form = build.game_of(block.normal)
    for number in range(2):
        policies = run.policies(number)
        assert [policy for policy, _ in policies] == list(form.policies)
        numbers = build.matches_of(plan(run.config), [block], np.array([number])).params
        numbers = jax.tree.map(lambda leaf: jnp.asarray(leaf[0]), numbers)
        thetas = [jax.tree.map(jnp.asarray, theta) for _, theta in policies]
        key = use(match_key(jnp.int32(0), jnp.int32(number), 2), "evaluation", 2)
        again = jax.jit(lambda ts, key, numbers=numbers: form.evaluate(numbers, ts, key))(thetas, key)
        for name in ("value", "entropy", "reward_per_step"):
            shown = record[name].isel(match=number, update=-1)
            np.testing.assert_allclose(again[name], shown, rtol=1e-5, atol=1e-6)
    other = [jax.tree.map(lambda leaf: leaf + 0.5, theta) for theta in thetas]
    assert np.any(np.abs(form.evaluate(numbers, other, key)["entropy"] - again["entropy"]) > 1e-3)


class Meeting(NamedTuple):
    """Where a game of meeting stands: how many have come so far."""

    come: jax.Array
    step: jax.Array


class MeetingGame:
    """Whoever comes (action 1) earns how many have come before, up to two; the game is over after four steps."""

    name, num_players, horizon = "meeting", 2, 4
    observation_space, action_space = Discrete(3), Discrete(2)
    default_params = {"reward": np.float32(1.0)}

    def observe(self, state: Meeting, params: Any) -> jax.Array:
        return jnp.stack([jnp.minimum(state.come, 2)] * 2)

    def reset(self, key: jax.Array, params: Any) -> tuple[jax.Array, Meeting]:
        state = Meeting(jnp.int32(0), jnp.int32(0))
        return self.observe(state, params), state

    def step(self, key: jax.Array, state: Meeting, actions: jax.Array, params: Any) -> Any:
        rewards = params["reward"] * actions * jnp.minimum(state.come, 2)
        after = Meeting(state.come + jnp.sum(actions, dtype=jnp.int32), state.step + 1)
        over = after.step >= 4
        return self.observe(after, params), after, rewards, over, jnp.zeros_like(over), {}

    def start_counts(self) -> Any:
        return {}

    def count(self, counts: Any, *happened: Any) -> Any:
        return counts


def plain() -> Policy:
    """A policy of somebody's own on a plain pytree: logits from a dictionary of a table and a bias."""

    def init(key, scale):
        return {"table": scale * jax.random.normal(key, (3, 2), jnp.float32), "bias": jnp.zeros(2, jnp.float32)}

    def apply(theta, observation, memory):
        return categorical(theta["table"][observation] + theta["bias"]), memory

    def table(theta):
        raise TypeError("no table")

    return Policy("own", (), init, lambda shape: None, apply, table, scalars=False, tabulated=False)


def linen() -> Policy:
    """A policy of somebody's own in flax, with a memory: how much it has seen."""

    class Net(nn.Module):
        @nn.compact
        def __call__(self, x):
            return nn.Dense(2, name="out")(jnp.tanh(nn.Dense(4, name="hidden")(x)))

    net = Net()

    def init(key, scale):
        # Not orthogonal: flax's default for Dense draws normal numbers.
        return jax.tree.map(lambda leaf: scale * leaf, net.init(key, jnp.zeros(4)))

    def apply(theta, observation, memory):
        seen = memory + 0.1 * observation.astype(memory.dtype)
        one_hot = jax.nn.one_hot(observation, 3, dtype=memory.dtype)
        logits = net.apply(theta, jnp.concatenate([one_hot, seen[..., None]], axis=-1))
        return categorical(logits), seen

    def table(theta):
        raise TypeError("no table")

    return Policy("linen", (), init, lambda shape: jnp.zeros(shape), apply, table, scalars=False, tabulated=False)


def test_ones_own_environment_and_policies_train():
    env, policies = MeetingGame(), (plain(), linen())
    game, numbers = shaping.sampled(env, policies, batch=16, discount=0.9)
    assert (game.horizon, float(numbers.discount)) == (4, np.float32(0.9))
    learner = shaping.gradient_learner(shaping.naive(), 0.5, initial=shaping.normal(0.5))
    record = shaping.train(game, learner, matches=4, updates=25, record_every=25, parameters=numbers)
    value = record["value"].mean(["match", "player"]).values
    assert value[-1] > value[0] + 0.1, "both learn to come"
    assert record["theta_final"].sizes["parameter"] == 5 * 4 + 5 * 2 == policies[1].num_parameters
    row = record["theta_final"].isel(player=0).values
    assert np.all(np.isfinite(row[:, :8])) and np.all(np.isnan(row[:, 8:]))
    for name in ("reward_per_step", "entropy"):
        assert record[name].dims == ("match", "update", "player")
    # What it is worth is what a batch of play shows: certain to come, 0 + 2 + 2 + 2.
    come = jnp.array([-60.0, 60.0])
    still = policies[1].init(jax.random.key(0), jnp.float32(0))
    still["params"]["out"]["bias"] = come
    thetas = [{"table": jnp.zeros((3, 2)), "bias": come}, still]
    found = jax.jit(game.evaluate)(numbers, thetas, jax.random.key(0))
    np.testing.assert_allclose(found["value"], 0.1 * 2 * (0.9 + 0.9**2 + 0.9**3), rtol=1e-5)


def test_what_a_sampled_game_cannot_be_is_refused_in_one_line():
    env, policies = MeetingGame(), (plain(), plain())
    for settings, message in (
        ({"batch": 0}, "batch is 0; allowed: an integer of 1 or more"),
        ({"batch": 1}, "batch is 1; allowed: 2 or more with baseline leave_one_out"),
        ({"horizon": 0}, "horizon is 0; allowed: an integer of 1 or more"),
        ({"discount": 1.5}, "discount is 1.5; allowed: a number from 0 to 1"),
        ({"discount": None}, "discount is None; allowed: a number from 0 to 1"),
        ({"baseline": "critic"}, "player 0 has no critic; allowed: one per player with baseline critic"),
        ({"slices": 3}, "slices is 3; allowed: a divisor of batch, 64"),
    ):
        with pytest.raises(ValueError) as error:
            shaping.sampled(env, policies, **{"discount": 0.9, **settings})
        assert str(error.value) == message
    with pytest.raises(ValueError, match="^policies has the length 1; allowed: 2, one per player$"):
        shaping.sampled(env, policies[:1], discount=0.9)
    game, numbers = shaping.sampled(env, policies, batch=4, discount=0.9)
    with pytest.raises(ValueError, match="^parameters: needed"):
        shaping.train(game, shaping.naive(), 1, 1)
    for rule in (shaping.a2c(), shaping.ppo()):
        with pytest.raises(ValueError, match="^player 0 has no critic; allowed: critics in the game"):
            shaping.train(game, rule, 1, 1, parameters=numbers)
    with_critics = shaping.sampled(env, policies, batch=4, discount=0.9, critics=(shaping.tabular_critic(3),) * 2)
    with pytest.raises(ValueError, match="^player 0's critic has no parameters; allowed: learners that keep critics"):
        shaping.train(with_critics[0], shaping.a2c(), 1, 1, parameters=with_critics[1])
